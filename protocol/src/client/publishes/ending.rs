//! What becomes of unfinished publishes when the connection, the session or the client ends.

use super::{Publishes, Writing};
use crate::client::event::{Event, Outcome, Reason};
use crate::ids::PacketIds;

impl Publishes {
    /// Handles the loss of the connection: messages that the socket did not take whole never reached the broker and are
    /// queued again, as if they had not been encoded.
    pub(in crate::client) fn disconnected(&mut self, ids: &mut PacketIds) {
        self.inflight.disconnected();
        self.last_sent = None;
        self.released = 0;
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

    /// Handles the loss of the session: messages that may have been sent can never be acknowledged. They end as
    /// `Unknown` and are not published again, because the broker may have them.
    pub(in crate::client) fn session_lost(
        &mut self,
        reason: &Reason,
        ids: &mut PacketIds,
        events: &mut impl FnMut(Event),
    ) {
        for pid in self.withheld.drain() {
            ids.release(pid);
        }
        for (pid, flow) in self.inflight.drain() {
            self.end_flow(pid, flow, Outcome::Unknown(reason.clone()), ids, events);
        }
    }

    /// Ends all unfinished publishes.
    pub(in crate::client) fn close(
        &mut self,
        reason: &Reason,
        ids: &mut PacketIds,
        events: &mut impl FnMut(Event),
    ) {
        self.disconnected(ids);
        self.session_lost(reason, ids, events);
        self.drop_queue(reason, events);
    }

    /// Ends the messages that were accepted and not encoded.
    pub(in crate::client) fn drop_queue(
        &mut self,
        reason: &Reason,
        events: &mut impl FnMut(Event),
    ) {
        while let Some(publish) = self.queue.pop_front() {
            self.bytes -= publish.message.size();
            let outcome = Outcome::NotSent(reason.clone());
            self.finish(publish.ticket, publish.deadline, outcome, events);
        }
    }
}
