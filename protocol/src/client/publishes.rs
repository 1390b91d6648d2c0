//! Outbound messages: waiting, in flight, and the one outcome each of them gets.

use std::collections::{BTreeSet, HashMap, VecDeque};
use std::time::Instant;

use mqttrs::{Pid, QoS, QosPid};

use super::event::{Event, Outcome, PublishError, Reason, Ticket};
use crate::encode;
use crate::ids::PacketIds;
use crate::limits::{Limits, OUTBOX_HIGH_WATER};
use crate::message::Message;
use crate::outbox::Outbox;

/// All publishes that are not finished. The in-flight window is the size of `flows`: there is no
/// counter that could drift.
pub(super) struct Publishes {
    /// Accepted, in order, not encoded on this connection.
    queue: VecDeque<Publish>,
    /// Encoded and not taken whole by the socket, in stream order.
    writing: VecDeque<Writing>,
    /// QoS 1 and 2 that the socket took, or that a resumed session still owes.
    flows: HashMap<Pid, Flow>,
    /// Flows to be sent again on a resumed session, oldest first ([MQTT-4.6.0-1]).
    resend: VecDeque<Pid>,
    deadlines: BTreeSet<(Instant, Ticket)>,
    bytes: usize,
    next_order: u64,
}

struct Publish {
    /// `None` when nobody waits for the outcome any more.
    ticket: Option<Ticket>,
    message: Message,
    deadline: Option<Instant>,
    order: u64,
}

struct Writing {
    end: u64,
    publish: Publish,
    pid: Option<Pid>,
}

/// One QoS 1 or 2 message that may have reached the broker.
struct Flow {
    ticket: Option<Ticket>,
    deadline: Option<Instant>,
    order: u64,
    step: Step,
}

enum Step {
    /// PUBLISH with QoS 1 sent.
    Puback(Message),
    /// PUBLISH with QoS 2 sent.
    Pubrec(Message),
    /// PUBREL sent: from here on the PUBLISH must not go out again ([MQTT-4.3.3-1]).
    Pubcomp,
}

/// What an acknowledgement did.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Acked {
    /// The flow went on or ended.
    Yes,
    /// No flow has this identifier; a late duplicate is legal after a resumption.
    Unknown,
    /// The flow is not at a step where this may come.
    Wrong,
}

impl Publishes {
    pub(super) fn new() -> Self {
        Self {
            queue: VecDeque::new(),
            writing: VecDeque::new(),
            flows: HashMap::new(),
            resend: VecDeque::new(),
            deadlines: BTreeSet::new(),
            bytes: 0,
            next_order: 0,
        }
    }

    /// Puts a message in line.
    pub(super) fn accept(
        &mut self,
        ticket: Ticket,
        message: Message,
        deadline: Option<Instant>,
        limits: &Limits,
    ) -> Result<(), PublishError> {
        let size = message.size();
        if self.unfinished() >= limits.publish_queue {
            return Err(PublishError::QueueFull(limits.publish_queue));
        }
        if self.bytes > 0 && self.bytes + size > limits.publish_queue_bytes {
            return Err(PublishError::QueueBytesFull(limits.publish_queue_bytes));
        }
        if size > MAX_MESSAGE {
            return Err(PublishError::TooLarge);
        }
        self.bytes += size;
        if let Some(at) = deadline {
            self.deadlines.insert((at, ticket));
        }
        let order = self.next_order;
        self.next_order += 1;
        self.queue.push_back(Publish {
            ticket: Some(ticket),
            message,
            deadline,
            order,
        });
        Ok(())
    }

    /// Encodes what may go out now.
    pub(super) fn pump(&mut self, out: &mut Outbox, ids: &mut PacketIds, limits: &Limits) {
        while out.pending().len() < OUTBOX_HIGH_WATER {
            if let Some(pid) = self.resend.pop_front() {
                self.send_again(pid, out);
                continue;
            }
            let Some(next) = self.queue.front() else {
                break;
            };
            let pid = match next.message.qos {
                QoS::AtMostOnce => None,
                _ if self.in_window() >= limits.inflight => break,
                _ => match ids.allocate() {
                    Some(pid) => Some(pid),
                    None => break,
                },
            };
            if let Some(publish) = self.queue.pop_front() {
                self.send(publish, pid, out);
            }
        }
    }

    fn send(&mut self, publish: Publish, pid: Option<Pid>, out: &mut Outbox) {
        let message = &publish.message;
        let qospid = match (message.qos, pid) {
            (QoS::AtLeastOnce, Some(pid)) => QosPid::AtLeastOnce(pid),
            (QoS::ExactlyOnce, Some(pid)) => QosPid::ExactlyOnce(pid),
            _ => QosPid::AtMostOnce,
        };
        let topic = message.topic.as_str();
        // Topics are names by type and the size was judged in `accept`: nothing is left to fail.
        let encoded = encode::publish(
            out.buffer(),
            false,
            qospid,
            message.retain,
            topic,
            &message.payload,
        );
        debug_assert!(encoded.is_ok());
        self.writing.push_back(Writing {
            end: out.end(),
            publish,
            pid,
        });
    }

    /// [MQTT-4.4.0-1], [MQTT-3.3.1-1]: the same identifier, DUP set, nothing else changed.
    fn send_again(&mut self, pid: Pid, out: &mut Outbox) {
        let Some(flow) = self.flows.get(&pid) else {
            return;
        };
        let (message, qospid) = match &flow.step {
            Step::Puback(message) => (message, QosPid::AtLeastOnce(pid)),
            Step::Pubrec(message) => (message, QosPid::ExactlyOnce(pid)),
            Step::Pubcomp => return encode::pubrel(out.buffer(), pid),
        };
        let topic = message.topic.as_str();
        let encoded = encode::publish(
            out.buffer(),
            true,
            qospid,
            message.retain,
            topic,
            &message.payload,
        );
        debug_assert!(encoded.is_ok());
    }

    /// The socket took everything before `written`.
    pub(super) fn written(&mut self, written: u64, events: &mut impl FnMut(Event)) {
        while self.writing.front().is_some_and(|w| w.end <= written) {
            let Some(Writing { publish, pid, .. }) = self.writing.pop_front() else {
                break;
            };
            self.took(publish, pid, events);
        }
    }

    fn took(&mut self, publish: Publish, pid: Option<Pid>, events: &mut impl FnMut(Event)) {
        let Some(pid) = pid else {
            self.bytes -= publish.message.size();
            return self.finish(publish.ticket, publish.deadline, Outcome::Sent, events);
        };
        let step = match publish.message.qos {
            QoS::ExactlyOnce => Step::Pubrec(publish.message),
            _ => Step::Puback(publish.message),
        };
        self.flows.insert(
            pid,
            Flow {
                ticket: publish.ticket,
                deadline: publish.deadline,
                order: publish.order,
                step,
            },
        );
    }

    /// PUBACK. Also taken for a QoS 2 message: brokers that know QoS 1 only answer it so, and the
    /// message is theirs.
    pub(super) fn puback(
        &mut self,
        pid: Pid,
        ids: &mut PacketIds,
        events: &mut impl FnMut(Event),
    ) -> Acked {
        match self.flows.get(&pid).map(|flow| &flow.step) {
            None => Acked::Unknown,
            Some(Step::Pubcomp) => Acked::Wrong,
            Some(_) => self.complete(pid, ids, events),
        }
    }

    /// PUBREC: the payload is the broker's now; the caller sends PUBREL unless this is `Wrong`.
    pub(super) fn pubrec(&mut self, pid: Pid) -> Acked {
        let Some(flow) = self.flows.get_mut(&pid) else {
            return Acked::Unknown;
        };
        match &flow.step {
            Step::Puback(_) => return Acked::Wrong,
            Step::Pubrec(message) => self.bytes -= message.size(),
            Step::Pubcomp => {}
        }
        flow.step = Step::Pubcomp;
        Acked::Yes
    }

    /// PUBCOMP.
    pub(super) fn pubcomp(
        &mut self,
        pid: Pid,
        ids: &mut PacketIds,
        events: &mut impl FnMut(Event),
    ) -> Acked {
        match self.flows.get(&pid).map(|flow| &flow.step) {
            None => Acked::Unknown,
            Some(Step::Pubcomp) => self.complete(pid, ids, events),
            Some(_) => Acked::Wrong,
        }
    }

    fn complete(&mut self, pid: Pid, ids: &mut PacketIds, events: &mut impl FnMut(Event)) -> Acked {
        if let Some(flow) = self.flows.remove(&pid) {
            ids.release(pid);
            self.bytes -= flow.step.size();
            self.finish(flow.ticket, flow.deadline, Outcome::Delivered, events);
        }
        Acked::Yes
    }

    /// The connection is gone: what the socket did not take whole never reached the broker and goes
    /// back in line, as if it had not been encoded.
    pub(super) fn disconnected(&mut self, ids: &mut PacketIds) {
        self.resend.clear();
        while let Some(Writing { publish, pid, .. }) = self.writing.pop_back() {
            if let Some(pid) = pid {
                ids.release(pid);
            }
            if publish.ticket.is_some() {
                self.queue.push_front(publish);
            } else {
                self.bytes -= publish.message.size();
            }
        }
    }

    /// The session is gone: what may have been sent can never be acknowledged. It ends as unknown
    /// and is not published as new, because the broker may have it.
    pub(super) fn session_lost(
        &mut self,
        reason: &Reason,
        ids: &mut PacketIds,
        events: &mut impl FnMut(Event),
    ) {
        for (pid, flow) in self.in_order() {
            self.flows.remove(&pid);
            ids.release(pid);
            self.bytes -= flow.size;
            let outcome = Outcome::Unknown(reason.clone());
            self.finish(flow.ticket, flow.deadline, outcome, events);
        }
    }

    /// The broker kept the session: everything in flight goes out again.
    pub(super) fn resume(&mut self) {
        self.resend = self.in_order().into_iter().map(|(pid, _)| pid).collect();
    }

    /// Ends everything that is not finished.
    pub(super) fn close(
        &mut self,
        reason: &Reason,
        ids: &mut PacketIds,
        events: &mut impl FnMut(Event),
    ) {
        self.disconnected(ids);
        self.session_lost(reason, ids, events);
        while let Some(publish) = self.queue.pop_front() {
            self.bytes -= publish.message.size();
            let outcome = Outcome::NotSent(reason.clone());
            self.finish(publish.ticket, publish.deadline, outcome, events);
        }
    }

    /// Ends what was accepted and not encoded.
    pub(super) fn drop_queue(&mut self, reason: &Reason, events: &mut impl FnMut(Event)) {
        while let Some(publish) = self.queue.pop_front() {
            self.bytes -= publish.message.size();
            let outcome = Outcome::NotSent(reason.clone());
            self.finish(publish.ticket, publish.deadline, outcome, events);
        }
    }

    /// Tells the outcome of every publish whose time is over. A message that is on its way stays in
    /// its flow: its identifier is taken until the broker answers.
    pub(super) fn expire(
        &mut self,
        now: Instant,
        why: Option<&Reason>,
        events: &mut impl FnMut(Event),
    ) {
        while let Some(&(at, ticket)) = self.deadlines.first() {
            if at > now {
                break;
            }
            self.deadlines.remove(&(at, ticket));
            let sent = self.forget(ticket);
            let reason = Reason::Timeout(why.cloned().map(Box::new));
            let outcome = if sent {
                Outcome::Unknown(reason)
            } else {
                Outcome::NotSent(reason)
            };
            events(Event::Published { ticket, outcome });
        }
    }

    /// Nobody waits for this publish any more: what was not sent is not sent. Gives no outcome.
    pub(super) fn cancel(&mut self, ticket: Ticket) {
        let deadline = self.forget_deadline(ticket);
        if let Some(at) = deadline {
            self.deadlines.remove(&(at, ticket));
        }
        self.forget(ticket);
    }

    /// Takes the ticket off its message, and the message out of the queue if it is still there.
    /// Returns whether the broker may get or have it.
    fn forget(&mut self, ticket: Ticket) -> bool {
        let held = |publish: &Publish| publish.ticket == Some(ticket);
        if let Some(at) = self.queue.iter().position(held) {
            if let Some(publish) = self.queue.remove(at) {
                self.bytes -= publish.message.size();
            }
            return false;
        }
        for writing in &mut self.writing {
            if held(&writing.publish) {
                writing.publish.ticket = None;
                writing.publish.deadline = None;
                return true;
            }
        }
        for flow in self.flows.values_mut() {
            if flow.ticket == Some(ticket) {
                flow.ticket = None;
                flow.deadline = None;
                break;
            }
        }
        true
    }

    fn forget_deadline(&self, ticket: Ticket) -> Option<Instant> {
        let queued = self
            .queue
            .iter()
            .chain(self.writing.iter().map(|w| &w.publish));
        queued
            .filter(|publish| publish.ticket == Some(ticket))
            .map(|publish| publish.deadline)
            .chain(
                self.flows
                    .values()
                    .filter(|f| f.ticket == Some(ticket))
                    .map(|f| f.deadline),
            )
            .next()
            .flatten()
    }

    pub(super) fn next_deadline(&self) -> Option<Instant> {
        self.deadlines.first().map(|(at, _)| *at)
    }

    /// Publishes accepted and not finished.
    pub(super) fn unfinished(&self) -> usize {
        self.queue.len() + self.writing.len() + self.flows.len()
    }

    /// Their bytes.
    pub(super) fn bytes(&self) -> usize {
        self.bytes
    }

    fn in_window(&self) -> usize {
        self.flows.len() + self.writing.iter().filter(|w| w.pid.is_some()).count()
    }

    fn finish(
        &mut self,
        ticket: Option<Ticket>,
        deadline: Option<Instant>,
        outcome: Outcome,
        events: &mut impl FnMut(Event),
    ) {
        let Some(ticket) = ticket else { return };
        if let Some(at) = deadline {
            self.deadlines.remove(&(at, ticket));
        }
        events(Event::Published { ticket, outcome });
    }

    fn in_order(&self) -> Vec<(Pid, Owed)> {
        let mut flows: Vec<(u64, Pid, Owed)> = self
            .flows
            .iter()
            .map(|(pid, flow)| {
                let owed = Owed {
                    ticket: flow.ticket,
                    deadline: flow.deadline,
                    size: flow.step.size(),
                };
                (flow.order, *pid, owed)
            })
            .collect();
        flows.sort_unstable_by_key(|(order, ..)| *order);
        flows
            .into_iter()
            .map(|(_, pid, owed)| (pid, owed))
            .collect()
    }
}

struct Owed {
    ticket: Option<Ticket>,
    deadline: Option<Instant>,
    size: usize,
}

impl Step {
    fn size(&self) -> usize {
        match self {
            Self::Puback(message) | Self::Pubrec(message) => message.size(),
            Self::Pubcomp => 0,
        }
    }
}

/// Room for the fixed header, the topic's length and a packet identifier in 268,435,455 bytes.
const MAX_MESSAGE: usize = 268_435_455 - 4;
