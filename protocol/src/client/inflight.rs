//! QoS 1 and 2 messages that may have reached the broker and are not fully acknowledged.
//!
//! Promises: the in-flight window is the number of flows, with no separate counter that could drift; messages sent
//! again keep their order. Does not: emit events; its owner, `publishes`, turns ended flows into outcomes.

use std::collections::{HashMap, VecDeque};
use std::sync::Arc;
use std::time::Instant;

use mqttrs::{Pid, QosPid};

use super::event::Ticket;
use super::trial::Trial;
use crate::encode;
use crate::limits::PUBLISH_ACK_TIMEOUT;
use crate::message::Message;
use crate::outbox::Outbox;
use crate::sort::sort;

#[derive(Default)]
pub(super) struct Inflight {
    by_pid: HashMap<Pid, InflightPublish>,
    /// The flows to be sent again in a resumed session, oldest first ([MQTT-4.6.0-1]).
    resend: VecDeque<Pid>,
    /// The stream position where the last packet sent again ends.
    resend_end: u64,
    /// The identifier of that packet, and when the socket had taken it whole.
    last_resent: Option<(Pid, Option<Instant>)>,
    /// True while nothing of what is sent again has been acknowledged on this connection.
    is_unanswered: bool,
    /// Since when the broker has acknowledged nothing of what is in flight.
    waiting_since: Option<Instant>,
    releases: u64,
    trial: Trial,
}

pub(super) struct InflightPublish {
    /// `None` after the caller has cancelled or timed out.
    pub(super) ticket: Option<Ticket>,
    pub(super) deadline: Option<Instant>,
    /// The position among the flows at the same step.
    pub(super) order: u64,
    pub(super) step: Step,
    /// Whether a halt leaves the flow alone.
    pub(super) is_exempt: bool,
}

pub(super) enum Step {
    /// PUBLISH at QoS 1 was sent.
    Puback(Message),
    /// PUBLISH at QoS 2 was sent.
    Pubrec(Message),
    /// PUBREL was sent: the PUBLISH must not be sent again ([MQTT-4.3.3-1]).
    Pubcomp,
}

/// The effect of an acknowledgement.
pub(super) enum Acked {
    /// The flow ended; the broker has the message.
    Done(InflightPublish),
    /// The flow continues; its payload of so many bytes was freed.
    Next(usize),
    /// No flow has this identifier; a late duplicate is legal after a resumption.
    Unknown,
    /// The flow is not at a step where this acknowledgement is allowed.
    Wrong,
}

impl Inflight {
    pub(super) fn len(&self) -> usize {
        self.by_pid.len()
    }

    /// Whether the message (or a clone that shares its payload) may not have reached the broker yet.
    pub(super) fn holds(&self, message: &Message) -> bool {
        let same = |held: &Message| {
            held.topic == message.topic && Arc::ptr_eq(&held.payload, &message.payload)
        };
        self.by_pid.values().any(|flow| match &flow.step {
            Step::Puback(held) | Step::Pubrec(held) => same(held),
            Step::Pubcomp => false,
        })
    }

    /// Starts a flow: the socket took a whole PUBLISH.
    pub(super) fn begin(&mut self, now: Instant, pid: Pid, flow: InflightPublish) {
        self.by_pid.insert(pid, flow);
        self.waiting_since.get_or_insert(now);
    }

    /// Handles PUBACK. It also ends a QoS 2 message: brokers that support only QoS 1 acknowledge it so, and have the
    /// message.
    pub(super) fn puback(&mut self, now: Instant, pid: Pid) -> Acked {
        match self.by_pid.get(&pid).map(|flow| &flow.step) {
            None => Acked::Unknown,
            Some(Step::Pubcomp) => Acked::Wrong,
            Some(_) => self.end(now, pid),
        }
    }

    /// Handles PUBREC: the broker has taken over the payload. PUBREL has to be sent unless this returns `Wrong`.
    pub(super) fn pubrec(&mut self, now: Instant, pid: Pid) -> Acked {
        let Some(flow) = self.by_pid.get_mut(&pid) else {
            return Acked::Unknown;
        };
        self.is_unanswered = false;
        // The PUBREL that follows replaces the PUBLISH to be sent again.
        self.resend.retain(|waiting| *waiting != pid);
        let size = match &flow.step {
            Step::Puback(_) => return Acked::Wrong,
            Step::Pubrec(message) => message.size(),
            Step::Pubcomp => return Acked::Next(0),
        };
        flow.step = Step::Pubcomp;
        self.trial.answered(pid, false);
        // [MQTT-4.6.0-4]: PUBRELs are sent in the order of the PUBRECs.
        flow.order = self.releases;
        self.releases += 1;
        self.waiting_since = Some(now);
        Acked::Next(size)
    }

    /// PUBCOMP.
    pub(super) fn pubcomp(&mut self, now: Instant, pid: Pid) -> Acked {
        match self.by_pid.get(&pid).map(|flow| &flow.step) {
            None => Acked::Unknown,
            Some(Step::Pubcomp) => self.end(now, pid),
            Some(_) => Acked::Wrong,
        }
    }

    fn end(&mut self, now: Instant, pid: Pid) -> Acked {
        let Some(flow) = self.by_pid.remove(&pid) else {
            return Acked::Unknown;
        };
        self.is_unanswered = false;
        self.trial.answered(pid, true);
        self.waiting_since = (!self.by_pid.is_empty()).then_some(now);
        Acked::Done(flow)
    }

    pub(super) fn disconnected(&mut self) {
        self.resend.clear();
        self.resend_end = 0;
        self.last_resent = None;
        self.is_unanswered = false;
        self.waiting_since = None;
    }

    /// Handles a kept session: everything in flight is sent again, one message at a time if `is_doubted`.
    pub(super) fn resume(&mut self, now: Instant, is_doubted: bool) {
        let order = self.in_order();
        self.trial.resumed(now, &order, is_doubted);
        self.resend = order.into();
        self.is_unanswered = !self.resend.is_empty();
        self.waiting_since = (!self.by_pid.is_empty()).then_some(now);
    }

    /// Sends the next packet again, if there is one: with the same identifier and DUP, otherwise unchanged
    /// ([MQTT-4.4.0-1], [MQTT-3.3.1-1]).
    pub(super) fn send_again(&mut self, now: Instant, out: &mut Outbox) -> bool {
        if self.trial.is_on() && !self.trial.may_send(now) {
            return false;
        }
        let Some(pid) = self.resend.pop_front() else {
            return false;
        };
        let publish = match self.by_pid.get(&pid).map(|flow| &flow.step) {
            // Acknowledged meanwhile.
            None => return true,
            Some(Step::Puback(message)) => Some((message, QosPid::AtLeastOnce(pid))),
            Some(Step::Pubrec(message)) => Some((message, QosPid::ExactlyOnce(pid))),
            Some(Step::Pubcomp) => None,
        };
        match publish {
            None => encode::pubrel(out.buffer(), pid),
            Some((message, qospid)) => write(out, true, qospid, message),
        }
        self.resend_end = out.end();
        self.last_resent = Some((pid, None));
        self.trial.sent(pid, out.end());
        true
    }

    /// The last message sent again, if it is not acknowledged, and when the socket had taken it.
    pub(super) fn last_resent(&self) -> Option<(&Message, Instant)> {
        let (pid, written) = self.last_resent?;
        match &self.by_pid.get(&pid)?.step {
            Step::Puback(message) | Step::Pubrec(message) => Some((message, written?)),
            Step::Pubcomp => None,
        }
    }

    /// Whether no other message may be sent, because messages are tried one at a time.
    pub(super) fn is_on_trial(&self) -> bool {
        self.trial.is_on()
    }

    /// When the next of these messages may be sent.
    pub(super) fn next_turn(&self) -> Option<Instant> {
        self.trial.next_turn().filter(|_| !self.resend.is_empty())
    }

    /// Handles the loss of the connection; `by_the_broker` when there is no other explanation. Removes the flow that
    /// has ended every connection.
    pub(super) fn convict(
        &mut self,
        now: Instant,
        by_the_broker: bool,
    ) -> Option<(Pid, InflightPublish)> {
        let pid = self.trial.connection_ended(now, by_the_broker)?;
        Some((pid, self.by_pid.remove(&pid)?))
    }

    /// Records that the socket took the stream up to `written`. The broker cannot have acknowledged packets that were
    /// still being written.
    pub(super) fn written(&mut self, now: Instant, before: u64, written: u64) {
        self.trial.written(now, before, written);
        if before < self.resend_end && self.resend_end <= written {
            self.last_resent = self.last_resent.map(|(pid, _)| (pid, Some(now)));
        }
        if self.waiting_since.is_some() && (!self.resend.is_empty() || before < self.resend_end) {
            self.waiting_since = Some(now);
        }
    }

    /// Records that the broker could not acknowledge anything until `now`.
    pub(super) fn postpone(&mut self, now: Instant) {
        self.waiting_since = self.waiting_since.map(|_| now);
    }

    /// Whether there were packets to be sent again on this connection and none is acknowledged.
    pub(super) fn is_unanswered(&self) -> bool {
        self.is_unanswered
    }

    /// Whether any of these packets was sent on this connection.
    pub(super) fn has_sent_again(&self) -> bool {
        self.resend_end > 0
    }

    /// Removes all flows, in order.
    pub(super) fn drain(&mut self) -> Vec<(Pid, InflightPublish)> {
        self.disconnected();
        self.trial = Trial::default();
        let order = self.in_order();
        let inflight = order.into_iter();
        inflight
            .filter_map(|pid| Some((pid, self.by_pid.remove(&pid)?)))
            .collect()
    }

    /// Removes the flows that a halt ends, in order. None of them is sent again.
    pub(super) fn withhold(&mut self) -> Vec<(Pid, InflightPublish)> {
        let mut withheld = Vec::new();
        for pid in self.in_order() {
            let ended = self.by_pid.get(&pid).is_some_and(|flow| !flow.is_exempt);
            if !ended {
                continue;
            }
            if let Some(flow) = self.by_pid.remove(&pid) {
                self.trial.answered(pid, true);
                withheld.push((pid, flow));
            }
        }
        if self.by_pid.is_empty() {
            self.waiting_since = None;
            self.is_unanswered = false;
        }
        withheld
    }

    /// Whether the socket has not taken all packets that were sent again.
    pub(super) fn is_sending_again(&self, written: u64) -> bool {
        self.resend_end > written
    }

    /// Removes the ticket from its flow, which continues without it. Returns the publish's deadline.
    pub(super) fn forget(&mut self, ticket: Ticket) -> Option<Option<Instant>> {
        let mut inflight = self.by_pid.values_mut();
        let flow = inflight.find(|flow| flow.ticket == Some(ticket))?;
        flow.ticket = None;
        Some(flow.deadline.take())
    }

    /// When a broker that acknowledges nothing counts as lost.
    pub(super) fn ack_deadline(&self) -> Option<Instant> {
        Some(self.waiting_since? + PUBLISH_ACK_TIMEOUT)
    }

    /// PUBRELs first, because they were sent before the PUBLISHes that are still unacknowledged.
    fn in_order(&self) -> Vec<Pid> {
        let mut inflight: Vec<(bool, u64, Pid)> = self
            .by_pid
            .iter()
            .map(|(pid, flow)| {
                let is_publish = !matches!(flow.step, Step::Pubcomp);
                (is_publish, flow.order, *pid)
            })
            .collect();
        sort(&mut inflight);
        inflight.into_iter().map(|(.., pid)| pid).collect()
    }
}

impl Step {
    /// The bytes that the flow holds.
    pub(super) fn size(&self) -> usize {
        match self {
            Self::Puback(message) | Self::Pubrec(message) => message.size(),
            Self::Pubcomp => 0,
        }
    }
}

/// Encodes a PUBLISH. It cannot fail, because topics are names by type and sizes were checked when the message was
/// accepted.
pub(super) fn write(out: &mut Outbox, dup: bool, qospid: QosPid, message: &Message) {
    let (topic, retain) = (message.topic.as_str(), message.retain);
    let encoded = encode::publish(out.buffer(), dup, qospid, retain, topic, &message.payload);
    debug_assert!(encoded.is_ok());
}
