//! Publishes whose caller no longer waits: cancelled or past their deadline.

use std::time::Instant;

use super::{Publish, Publishes};
use crate::client::event::{Event, Outcome, Reason, Ticket};

/// The state of a cancelled publish, and its deadline.
enum Forgotten {
    Queued(Option<Instant>),
    Encoded(Option<Instant>),
}

impl Publishes {
    /// Ends every publish whose deadline has passed. A message that was sent stays in its flow: its identifier is in
    /// use until the broker answers.
    pub(in crate::client) fn expire(
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
            let reason = Reason::Timeout(why.cloned().map(Box::new));
            let outcome = match self.forget(ticket) {
                // The broker may have the message, or get it later.
                Forgotten::Encoded(_) => Outcome::Unknown(reason),
                Forgotten::Queued(_) => Outcome::NotSent(reason),
            };
            events(Event::Published { ticket, outcome });
        }
    }

    /// Cancels a publish: if it was not sent yet, it will not be. Emits no outcome.
    pub(in crate::client) fn cancel(&mut self, ticket: Ticket) {
        let (Forgotten::Encoded(deadline) | Forgotten::Queued(deadline)) = self.forget(ticket);
        if let Some(at) = deadline {
            self.deadlines.remove(&(at, ticket));
        }
    }

    /// Cancels a publish that is still in the queue. False when it is not.
    pub(in crate::client) fn take_back(&mut self, ticket: Ticket) -> bool {
        let is_queued = self.queue.iter().any(|held| held.ticket == Some(ticket));
        if is_queued {
            self.cancel(ticket);
        }
        is_queued
    }

    /// Removes the ticket from its message, and the message from the queue if it is still there.
    fn forget(&mut self, ticket: Ticket) -> Forgotten {
        let held = |publish: &Publish| publish.ticket == Some(ticket);
        if let Some(publish) = self.queue.iter().position(held) {
            let publish = self.queue.remove(publish);
            self.bytes -= publish.as_ref().map_or(0, |p| p.message.size());
            return Forgotten::Queued(publish.and_then(|p| p.deadline));
        }
        let mut writing = self.writing.iter_mut().map(|w| &mut w.publish);
        let deadline = match writing.find(|publish| held(publish)) {
            Some(publish) => {
                publish.ticket = None;
                publish.deadline.take()
            }
            None => self.inflight.forget(ticket).flatten(),
        };
        Forgotten::Encoded(deadline)
    }
}
