//! The halt: from one moment on nothing more is sent, of what was accepted before and of what comes after.

use std::sync::Arc;
use std::time::Instant;

use mqttrs::Pid;

use super::{Publish, Publishes, Writing};
use crate::client::event::{Event, Outcome, Reason};
use crate::ids::PacketIds;
use crate::outbox::Outbox;

/// Whether messages are sent. Messages that are exempt are sent in any case.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub enum Sending {
    /// They are.
    #[default]
    Allowed,
    /// They wait, as long as their deadline allows.
    Held,
    /// They are refused, and those that wait end; the words say why.
    Halted(Arc<str>),
}

impl Publishes {
    pub(super) fn is_held(&self) -> bool {
        self.sending == Sending::Held
    }

    /// The message of the queue that is to be sent next, and its place there.
    pub(super) fn next_in_queue(&self) -> Option<(usize, &Publish)> {
        let all = self.sending == Sending::Allowed;
        let mut queue = self.queue.iter().enumerate();
        queue.find(|(_, publish)| all || publish.is_exempt)
    }

    /// Allows, holds or halts what is sent. Returns why the connection has to end, if it has to: the socket has taken a part
    /// of a packet that must not arrive, or such a packet cannot be taken out of the stream.
    pub(in crate::client) fn set_sending(
        &mut self,
        now: Instant,
        sending: Sending,
        out: &mut Outbox,
        ids: &mut PacketIds,
        events: &mut impl FnMut(Event),
    ) -> Option<Reason> {
        // What waited could not be acknowledged.
        self.inflight.postpone(now);
        self.sending = sending;
        let Sending::Halted(words) = &self.sending else {
            return None;
        };
        let reason = Reason::Halted(Arc::clone(words));
        self.halt_queue(&reason, events);
        let is_cut = self.halt_writing(&reason, out, ids, events);
        let may_release = self.halt_inflight(&reason, events);
        let is_releasing = may_release && self.released > out.written();
        let ends = is_cut || is_releasing || self.inflight.is_sending_again(out.written());
        ends.then_some(reason)
    }

    fn halt_queue(&mut self, reason: &Reason, events: &mut impl FnMut(Event)) {
        for publish in std::mem::take(&mut self.queue) {
            if publish.is_exempt {
                self.queue.push_back(publish);
                continue;
            }
            self.bytes -= publish.message.size();
            let outcome = Outcome::NotSent(reason.clone());
            self.finish(publish.ticket, publish.deadline, outcome, events);
        }
    }

    /// Takes out of the stream what the socket has not begun to take. True when it has begun: half a packet is nothing to
    /// the broker, if no more of it comes.
    fn halt_writing(
        &mut self,
        reason: &Reason,
        out: &mut Outbox,
        ids: &mut PacketIds,
        events: &mut impl FnMut(Event),
    ) -> bool {
        let mut is_cut = false;
        for mut writing in std::mem::take(&mut self.writing) {
            if writing.publish.is_exempt {
                self.writing.push_back(writing);
                continue;
            }
            let publish = &mut writing.publish;
            let (ticket, deadline) = (publish.ticket.take(), publish.deadline.take());
            let outcome = Outcome::NotSent(reason.clone());
            self.finish(ticket, deadline, outcome, events);
            if writing.start < out.written() {
                is_cut = true;
                // It goes with the connection.
                self.writing.push_back(writing);
                continue;
            }
            let Writing {
                start,
                end,
                publish,
                pid,
            } = writing;
            self.bytes -= publish.message.size();
            out.remove(start, end);
            if let Some(pid) = pid {
                ids.release(pid);
            }
        }
        is_cut
    }

    /// Ends what was sent and not acknowledged. True when there was any.
    fn halt_inflight(&mut self, reason: &Reason, events: &mut impl FnMut(Event)) -> bool {
        let ended = self.inflight.withhold();
        let is_any = !ended.is_empty();
        for (pid, flow) in ended {
            self.withheld.insert(pid);
            self.bytes -= flow.step.size();
            let outcome = Outcome::Unknown(reason.clone());
            self.finish(flow.ticket, flow.deadline, outcome, events);
        }
        is_any
    }

    /// Whether the flow was ended by a halt: of such a flow nothing more is sent, a PUBREL neither, which may be what
    /// makes the broker pass the message on.
    pub(in crate::client) fn is_withheld(&self, pid: Pid) -> bool {
        self.withheld.contains(&pid)
    }

    /// Whether a halt has ended flows that the broker has not acknowledged. Resuming the session would have to send them
    /// again ([MQTT-4.4.0-1]).
    pub(in crate::client) fn withholds(&self) -> bool {
        !self.withheld.is_empty()
    }

    /// Handles the last acknowledgement of such a flow, if it is one.
    pub(super) fn was_withheld(&mut self, pid: Pid, ids: &mut PacketIds) -> bool {
        let was_withheld = self.withheld.remove(&pid);
        if was_withheld {
            ids.release(pid);
        }
        was_withheld
    }

    /// Records that a PUBREL was encoded; it ends at `end` in the stream.
    pub(in crate::client) fn releases(&mut self, end: u64) {
        self.released = end;
    }
}
