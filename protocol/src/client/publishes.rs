//! Outbound messages: queued, being written, in flight, and the one outcome of each.

mod ending;
mod giving_up;
mod halting;
mod last_sent;

use std::collections::{BTreeSet, HashSet, VecDeque};
use std::sync::Arc;
use std::time::Instant;

use mqttrs::{Pid, QoS, QosPid};

pub use self::halting::Sending;
use self::last_sent::Last;

use super::event::{Event, Outcome, PublishError, Ticket};
use super::inflight::{self, Acked, Inflight, InflightPublish, Step};
use super::traffic::Count;
use crate::ids::PacketIds;
use crate::limits::{Limits, OUTBOX_HIGH_WATER};
use crate::message::Message;
use crate::outbox::Outbox;
use crate::topic::TopicName;

/// All unfinished publishes.
#[derive(Default)]
pub(super) struct Publishes {
    /// Accepted messages in order, not encoded on this connection.
    queue: VecDeque<Publish>,
    /// Encoded messages that the socket has not taken whole, in stream order.
    writing: VecDeque<Writing>,
    inflight: Inflight,
    deadlines: BTreeSet<(Instant, Ticket)>,
    bytes: usize,
    next_order: u64,
    pub(super) sent: [Count; 3],
    last_sent: Option<Last>,
    /// Topic and size of the message that was sent right before the last connection loss.
    cut_after: Option<(TopicName, usize)>,
    sending: Sending,
    /// The identifiers of the flows that a halt ended.
    withheld: HashSet<Pid>,
    /// The stream position where the last PUBREL ends.
    released: u64,
}

struct Publish {
    /// `None` after the caller has cancelled or timed out.
    ticket: Option<Ticket>,
    message: Message,
    deadline: Option<Instant>,
    order: u64,
    /// Whether a halt leaves the message alone.
    is_exempt: bool,
}

struct Writing {
    start: u64,
    end: u64,
    publish: Publish,
    pid: Option<Pid>,
}

impl Limits {
    /// Whether a message may be published, whatever else is.
    ///
    /// # Errors
    /// [`PublishError::Topic`], [`PublishError::AboveLimit`] or [`PublishError::TooLarge`].
    pub fn permits(&self, message: &Message) -> Result<(), PublishError> {
        message.topic.sendable().map_err(PublishError::Topic)?;
        let (bytes, limit) = (message.size(), self.publish_bytes);
        if bytes > limit {
            return Err(PublishError::AboveLimit { bytes, limit });
        }
        if bytes > MAX_MESSAGE {
            return Err(PublishError::TooLarge);
        }
        Ok(())
    }
}

impl Publishes {
    /// Queues a message.
    pub(super) fn accept(
        &mut self,
        ticket: Ticket,
        message: Message,
        deadline: Option<Instant>,
        is_exempt: bool,
        limits: &Limits,
    ) -> Result<(), PublishError> {
        let size = message.size();
        if let (Sending::Halted(words), false) = (&self.sending, is_exempt) {
            return Err(PublishError::Halted(Arc::clone(words)));
        }
        limits.permits(&message)?;
        if self.unfinished() >= limits.publish_queue {
            return Err(PublishError::QueueFull(limits.publish_queue));
        }
        if self.bytes > 0 && self.bytes + size > limits.publish_queue_bytes {
            return Err(PublishError::QueueBytesFull(limits.publish_queue_bytes));
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
            is_exempt,
        });
        Ok(())
    }

    /// Encodes the messages that may be sent now.
    pub(super) fn pump(
        &mut self,
        now: Instant,
        out: &mut Outbox,
        ids: &mut PacketIds,
        limits: &Limits,
    ) {
        while out.pending().len() < OUTBOX_HIGH_WATER {
            if !self.is_held() && self.inflight.send_again(now, out) {
                continue;
            }
            if self.inflight.is_on_trial() {
                break;
            }
            let Some((place, next)) = self.next_in_queue() else {
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
            if let Some(publish) = self.queue.remove(place) {
                self.send(publish, pid, out);
            }
        }
    }

    /// Sends a message without a ticket ahead of all others, unless a resumed session holds the message and sends it
    /// again. When all identifiers are taken, the message is sent at QoS 0.
    pub(super) fn announce(&mut self, message: Message, out: &mut Outbox, ids: &mut PacketIds) {
        if self.inflight.holds(&message) {
            return;
        }
        let pid = match message.qos {
            QoS::AtMostOnce => None,
            _ => ids.allocate(),
        };
        self.bytes += message.size();
        let publish = Publish {
            ticket: None,
            message,
            deadline: None,
            order: self.next_order,
            is_exempt: true,
        };
        self.next_order += 1;
        self.send(publish, pid, out);
    }

    fn send(&mut self, publish: Publish, pid: Option<Pid>, out: &mut Outbox) {
        let qospid = match (publish.message.qos, pid) {
            (QoS::AtLeastOnce, Some(pid)) => QosPid::AtLeastOnce(pid),
            (QoS::ExactlyOnce, Some(pid)) => QosPid::ExactlyOnce(pid),
            _ => QosPid::AtMostOnce,
        };
        let start = out.end();
        inflight::write(out, false, qospid, &publish.message);
        self.writing.push_back(Writing {
            start,
            end: out.end(),
            publish,
            pid,
        });
    }

    /// Records that the socket took the stream from `before` to `written`.
    pub(super) fn written(
        &mut self,
        now: Instant,
        before: u64,
        written: u64,
        events: &mut impl FnMut(Event),
    ) {
        self.inflight.written(now, before, written);
        while self.writing.front().is_some_and(|w| w.end <= written) {
            let Some(Writing { publish, pid, .. }) = self.writing.pop_front() else {
                break;
            };
            self.took(now, publish, pid, events);
        }
    }

    fn took(
        &mut self,
        now: Instant,
        publish: Publish,
        pid: Option<Pid>,
        events: &mut impl FnMut(Event),
    ) {
        let size = publish.message.size();
        self.survived(now);
        self.last_sent = Some(Last::new(now, &publish.message, pid));
        Count::add(&mut self.sent, publish.message.qos, size);
        let Some(pid) = pid else {
            self.bytes -= size;
            return self.finish(publish.ticket, publish.deadline, Outcome::Sent, events);
        };
        let step = match publish.message.qos {
            QoS::ExactlyOnce => Step::Pubrec(publish.message),
            _ => Step::Puback(publish.message),
        };
        let flow = InflightPublish {
            ticket: publish.ticket,
            deadline: publish.deadline,
            order: publish.order,
            step,
            is_exempt: publish.is_exempt,
        };
        self.inflight.begin(now, pid, flow);
    }

    /// Handles PUBACK. False when it is not allowed now.
    pub(super) fn puback(
        &mut self,
        now: Instant,
        pid: Pid,
        ids: &mut PacketIds,
        events: &mut impl FnMut(Event),
    ) -> bool {
        if self.was_withheld(pid, ids) {
            return true;
        }
        let acked = self.inflight.puback(now, pid);
        self.acked(acked, pid, ids, events)
    }

    /// Handles PUBREC: the broker has taken over the payload. False when it is not allowed now; otherwise PUBREL has to
    /// be sent.
    pub(super) fn pubrec(&mut self, now: Instant, pid: Pid) -> bool {
        match self.inflight.pubrec(now, pid) {
            Acked::Next(size) => {
                self.took_last(pid);
                self.bytes -= size;
            }
            Acked::Wrong => return false,
            Acked::Unknown | Acked::Done(_) => {}
        }
        true
    }

    /// Handles PUBCOMP. False when it is not allowed now.
    pub(super) fn pubcomp(
        &mut self,
        now: Instant,
        pid: Pid,
        ids: &mut PacketIds,
        events: &mut impl FnMut(Event),
    ) -> bool {
        if self.was_withheld(pid, ids) {
            return true;
        }
        let acked = self.inflight.pubcomp(now, pid);
        self.acked(acked, pid, ids, events)
    }

    fn acked(
        &mut self,
        acked: Acked,
        pid: Pid,
        ids: &mut PacketIds,
        events: &mut impl FnMut(Event),
    ) -> bool {
        match acked {
            Acked::Done(flow) => {
                self.took_last(pid);
                self.end_flow(pid, flow, Outcome::Delivered, ids, events);
            }
            Acked::Unknown | Acked::Next(_) => {}
            Acked::Wrong => return false,
        }
        true
    }

    fn end_flow(
        &mut self,
        pid: Pid,
        flow: InflightPublish,
        outcome: Outcome,
        ids: &mut PacketIds,
        events: &mut impl FnMut(Event),
    ) {
        ids.release(pid);
        self.bytes -= flow.step.size();
        self.finish(flow.ticket, flow.deadline, outcome, events);
    }

    /// Handles a kept session: everything in flight is sent again, one message at a time if `is_doubted`, because the
    /// broker may not accept one of them.
    pub(super) fn resume(&mut self, now: Instant, is_doubted: bool) {
        self.inflight.resume(now, is_doubted);
    }

    /// When the next of the messages sent one at a time may be sent.
    pub(super) fn next_turn(&self) -> Option<Instant> {
        self.inflight.next_turn().filter(|_| !self.is_held())
    }

    /// Whether the broker kept the session and has acknowledged nothing of what was in flight.
    pub(super) fn is_unanswered(&self) -> bool {
        self.inflight.is_unanswered()
    }

    /// Whether any of these messages was sent on this connection.
    pub(super) fn has_sent_again(&self) -> bool {
        self.inflight.has_sent_again()
    }

    /// The earliest deadline of a publish.
    pub(super) fn next_deadline(&self) -> Option<Instant> {
        self.deadlines.first().map(|(at, _)| *at)
    }

    /// When a broker that acknowledges nothing counts as lost.
    pub(super) fn ack_deadline(&self) -> Option<Instant> {
        self.inflight.ack_deadline().filter(|_| !self.is_held())
    }

    /// Records that the broker could not acknowledge anything until `now`.
    pub(super) fn postpone(&mut self, now: Instant) {
        self.inflight.postpone(now);
    }

    /// The number of publishes that are not finished.
    pub(super) fn unfinished(&self) -> usize {
        self.queue.len() + self.writing.len() + self.inflight.len()
    }

    /// Their topic and payload bytes.
    pub(super) fn bytes(&self) -> usize {
        self.bytes
    }

    fn in_window(&self) -> usize {
        self.inflight.len() + self.writing.iter().filter(|w| w.pid.is_some()).count()
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
}

/// The remaining length's limit of 268,435,455 bytes without the topic's length and a packet identifier.
const MAX_MESSAGE: usize = 268_435_455 - 4;
