//! Publishes that nobody waits for any longer.

use std::time::Instant;

use super::{Publish, Publishes};
use crate::client::event::{Event, Outcome, Reason, Ticket};

/// Where a publish was, and when its time is over.
enum Forgotten {
    Queued(Option<Instant>),
    Encoded(Option<Instant>),
}

impl Publishes {
    /// Tells the outcome of every publish whose time is over. A message that is on its way stays in
    /// its flow: its identifier is taken until the broker answers.
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
                // The broker may get it or have it.
                Forgotten::Encoded(_) => Outcome::Unknown(reason),
                Forgotten::Queued(_) => Outcome::NotSent(reason),
            };
            events(Event::Published { ticket, outcome });
        }
    }

    /// Nobody waits for this publish any more: what was not sent is not sent. Gives no outcome.
    pub(in crate::client) fn cancel(&mut self, ticket: Ticket) {
        let (Forgotten::Encoded(deadline) | Forgotten::Queued(deadline)) = self.forget(ticket);
        if let Some(at) = deadline {
            self.deadlines.remove(&(at, ticket));
        }
    }

    /// Takes the ticket off its message, and the message out of the queue if it is still there.
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
            None => self.flows.forget(ticket).flatten(),
        };
        Forgotten::Encoded(deadline)
    }
}
