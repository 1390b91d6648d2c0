//! QoS 1 and 2 messages that may have reached the broker, until it has acknowledged them.
//!
//! It promises that the in-flight window is the number of flows held, with no counter beside it that
//! could drift, and that what is sent again keeps its order. It tells nobody anything: its owner,
//! `publishes`, turns ends into outcomes.

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

#[derive(Default)]
pub(super) struct Flows {
    by_pid: HashMap<Pid, Flow>,
    /// To be sent again on a resumed session, oldest first ([MQTT-4.6.0-1]).
    resend: VecDeque<Pid>,
    /// Where in the stream the last packet that was sent again ends.
    resend_end: u64,
    /// That packet's identifier, and when the socket had taken it whole.
    last_resent: Option<(Pid, Option<Instant>)>,
    /// What is sent again has not been acknowledged, not one of it, on this connection.
    is_unanswered: bool,
    /// Since when the broker has acknowledged nothing of what is in flight.
    waiting_since: Option<Instant>,
    releases: u64,
    trial: Trial,
}

pub(super) struct Flow {
    /// `None` when nobody waits for the outcome any more.
    pub(super) ticket: Option<Ticket>,
    pub(super) deadline: Option<Instant>,
    /// Its place among the flows at the same step.
    pub(super) order: u64,
    pub(super) step: Step,
}

pub(super) enum Step {
    /// PUBLISH with QoS 1 sent.
    Puback(Message),
    /// PUBLISH with QoS 2 sent.
    Pubrec(Message),
    /// PUBREL sent: from here on the PUBLISH must not go out again ([MQTT-4.3.3-1]).
    Pubcomp,
}

/// What an acknowledgement did.
pub(super) enum Acked {
    /// The flow ended; it is the broker's message now.
    Done(Flow),
    /// The flow went on; its payload of so many bytes was let go.
    Next(usize),
    /// No flow has this identifier; a late duplicate is legal after a resumption.
    Unknown,
    /// The flow is not at a step where this may come.
    Wrong,
}

impl Flows {
    pub(super) fn len(&self) -> usize {
        self.by_pid.len()
    }

    /// Whether this very message (a clone of it) has not reached the broker for certain.
    pub(super) fn holds(&self, message: &Message) -> bool {
        let same = |held: &Message| {
            held.topic == message.topic && Arc::ptr_eq(&held.payload, &message.payload)
        };
        self.by_pid.values().any(|flow| match &flow.step {
            Step::Puback(held) | Step::Pubrec(held) => same(held),
            Step::Pubcomp => false,
        })
    }

    /// The socket took a whole PUBLISH.
    pub(super) fn begin(&mut self, now: Instant, pid: Pid, flow: Flow) {
        self.by_pid.insert(pid, flow);
        self.waiting_since.get_or_insert(now);
    }

    /// PUBACK. Also taken for a QoS 2 message: brokers that know QoS 1 only answer it so, and the
    /// message is theirs.
    pub(super) fn puback(&mut self, now: Instant, pid: Pid) -> Acked {
        match self.by_pid.get(&pid).map(|flow| &flow.step) {
            None => Acked::Unknown,
            Some(Step::Pubcomp) => Acked::Wrong,
            Some(_) => self.end(now, pid),
        }
    }

    /// PUBREC: the payload is the broker's now; PUBREL is owed unless this is `Wrong`.
    pub(super) fn pubrec(&mut self, now: Instant, pid: Pid) -> Acked {
        let Some(flow) = self.by_pid.get_mut(&pid) else {
            return Acked::Unknown;
        };
        self.is_unanswered = false;
        // The answer to this PUBREC is what would be sent again.
        self.resend.retain(|waiting| *waiting != pid);
        let size = match &flow.step {
            Step::Puback(_) => return Acked::Wrong,
            Step::Pubrec(message) => message.size(),
            Step::Pubcomp => return Acked::Next(0),
        };
        flow.step = Step::Pubcomp;
        self.trial.answered(pid, false);
        // [MQTT-4.6.0-4]: a PUBREL has its place by its PUBREC.
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

    /// The connection is gone.
    pub(super) fn disconnected(&mut self) {
        self.resend.clear();
        self.resend_end = 0;
        self.last_resent = None;
        self.is_unanswered = false;
        self.waiting_since = None;
    }

    /// The broker kept the session: everything in flight goes out again.
    /// One at a time when it is doubted that the broker takes them all.
    pub(super) fn resume(&mut self, now: Instant, is_doubted: bool) {
        let order = self.in_order();
        self.trial.resumed(now, &order, is_doubted);
        self.resend = order.into();
        self.is_unanswered = !self.resend.is_empty();
        self.waiting_since = (!self.by_pid.is_empty()).then_some(now);
    }

    /// Sends the next packet again, if there is one: with the same identifier, DUP set, nothing else
    /// changed ([MQTT-4.4.0-1], [MQTT-3.3.1-1]).
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

    /// The message that was sent again last, if it is not acknowledged, and since when the socket has it.
    pub(super) fn last_resent(&self) -> Option<(&Message, Instant)> {
        let (pid, written) = self.last_resent?;
        match &self.by_pid.get(&pid)?.step {
            Step::Puback(message) | Step::Pubrec(message) => Some((message, written?)),
            Step::Pubcomp => None,
        }
    }

    /// Whether nothing else may be sent, because messages are tried one at a time.
    pub(super) fn is_on_trial(&self) -> bool {
        self.trial.is_on()
    }

    /// When the next of those may be sent.
    pub(super) fn next_turn(&self) -> Option<Instant> {
        self.trial.next_turn().filter(|_| !self.resend.is_empty())
    }

    /// The connection is gone; `by_the_broker` when nothing else explains it. Takes out the flow that it
    /// ends for every time.
    pub(super) fn convict(&mut self, now: Instant, by_the_broker: bool) -> Option<(Pid, Flow)> {
        let pid = self.trial.connection_ended(now, by_the_broker)?;
        Some((pid, self.by_pid.remove(&pid)?))
    }

    /// The socket took the stream up to `written`. While what is sent again leaves, the broker
    /// cannot have acknowledged it.
    pub(super) fn written(&mut self, now: Instant, before: u64, written: u64) {
        self.trial.written(now, before, written);
        if before < self.resend_end && self.resend_end <= written {
            self.last_resent = self.last_resent.map(|(pid, _)| (pid, Some(now)));
        }
        if self.waiting_since.is_some() && (!self.resend.is_empty() || before < self.resend_end) {
            self.waiting_since = Some(now);
        }
    }

    /// The broker cannot have acknowledged anything until `now`.
    pub(super) fn postpone(&mut self, now: Instant) {
        self.waiting_since = self.waiting_since.map(|_| now);
    }

    /// Whether something was to be sent again on this connection, and nothing of it is acknowledged.
    pub(super) fn is_unanswered(&self) -> bool {
        self.is_unanswered
    }

    /// Whether any of that was sent on this connection.
    pub(super) fn has_sent_again(&self) -> bool {
        self.resend_end > 0
    }

    /// Takes everything out, in order.
    pub(super) fn drain(&mut self) -> Vec<(Pid, Flow)> {
        self.disconnected();
        self.trial = Trial::default();
        let order = self.in_order();
        let flows = order.into_iter();
        flows
            .filter_map(|pid| Some((pid, self.by_pid.remove(&pid)?)))
            .collect()
    }

    /// Takes the ticket off its flow, which goes on without it. Returns its deadline.
    pub(super) fn forget(&mut self, ticket: Ticket) -> Option<Option<Instant>> {
        let mut flows = self.by_pid.values_mut();
        let flow = flows.find(|flow| flow.ticket == Some(ticket))?;
        flow.ticket = None;
        Some(flow.deadline.take())
    }

    /// When a broker that acknowledges nothing counts as lost.
    pub(super) fn ack_deadline(&self) -> Option<Instant> {
        Some(self.waiting_since? + PUBLISH_ACK_TIMEOUT)
    }

    /// PUBRELs first, as they had left before what is still unacknowledged; then PUBLISHes.
    fn in_order(&self) -> Vec<Pid> {
        let mut flows: Vec<(bool, u64, Pid)> = self
            .by_pid
            .iter()
            .map(|(pid, flow)| {
                let is_publish = !matches!(flow.step, Step::Pubcomp);
                (is_publish, flow.order, *pid)
            })
            .collect();
        flows.sort_unstable();
        flows.into_iter().map(|(.., pid)| pid).collect()
    }
}

impl Step {
    /// The bytes it holds.
    pub(super) fn size(&self) -> usize {
        match self {
            Self::Puback(message) | Self::Pubrec(message) => message.size(),
            Self::Pubcomp => 0,
        }
    }
}

/// Encodes a PUBLISH. Topics are names by type and sizes were judged when the message was accepted:
/// nothing is left to fail.
pub(super) fn write(out: &mut Outbox, dup: bool, qospid: QosPid, message: &Message) {
    let (topic, retain) = (message.topic.as_str(), message.retain);
    let encoded = encode::publish(out.buffer(), dup, qospid, retain, topic, &message.payload);
    debug_assert!(encoded.is_ok());
}
