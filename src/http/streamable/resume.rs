//! The event streams of sessions: each is sent once, and what was sent can be had again for a while.
//!
//! Promises: an event is remembered before it is sent, so that none is lost between the two; a stream is sent on
//! one connection at a time, the newest.

use std::collections::VecDeque;
use std::future::poll_fn;
use std::rc::Rc;

use super::event_store::{EventId, OWN, SessionEvents};
use super::sse::Outgoing;

/// The stream of one call, at the side of the call.
#[derive(Debug)]
pub(in crate::http) struct CallStream {
    memory: Rc<SessionEvents>,
    stream: u64,
}

/// A stream at the side of the client who opened it with a GET.
#[derive(Debug)]
pub(in crate::http) enum SseSource {
    SessionStream(SessionStream),
    Followed(ResumedStream),
}

/// A session's own stream: first what was missed, then what comes.
#[derive(Debug)]
pub(in crate::http) struct SessionStream {
    memory: Rc<SessionEvents>,
    missed: VecDeque<Vec<u8>>,
    news: Rc<Outgoing>,
}

/// The stream of a call whose first connection was lost.
#[derive(Debug)]
pub(in crate::http) struct ResumedStream {
    memory: Rc<SessionEvents>,
    place: EventId,
    number: u64,
    primer: Option<Vec<u8>>,
}

impl CallStream {
    pub(in crate::http) fn open(memory: Rc<SessionEvents>) -> CallStream {
        let stream = memory.open();
        CallStream { memory, stream }
    }

    pub(in crate::http) fn prime(&self) -> Option<Vec<u8>> {
        self.memory.prime(self.stream)
    }

    /// The event for a message; `None` when another connection has taken over and sends it.
    pub(in crate::http) fn event(&self, message: &[u8]) -> Option<Vec<u8>> {
        let text = self.memory.keep(self.stream, message);
        (!self.memory.is_followed(self.stream)).then_some(text)
    }
}

impl Drop for CallStream {
    fn drop(&mut self) {
        self.memory.end(self.stream);
    }
}

impl SseSource {
    /// The next event; `None` at the end.
    pub(in crate::http) async fn next(&mut self) -> Option<Vec<u8>> {
        match self {
            SseSource::SessionStream(own) => own.next().await,
            SseSource::Followed(follower) => follower.next().await,
        }
    }
}

impl SessionStream {
    /// The stream whose messages come here, from a place on.
    pub(in crate::http) fn new(
        memory: Rc<SessionEvents>,
        after: u64,
        news: Rc<Outgoing>,
    ) -> SessionStream {
        let mut missed = memory.after(EventId {
            stream: OWN,
            number: after,
        });
        if missed.is_empty() {
            missed.extend(memory.prime(OWN));
        }
        memory.hear();
        SessionStream {
            memory,
            missed,
            news,
        }
    }

    async fn next(&mut self) -> Option<Vec<u8>> {
        if let Some(missed) = self.missed.pop_front() {
            return Some(missed);
        }
        let message = self.news.next().await?;
        let text = self.memory.keep(OWN, &message);
        self.memory.hear();
        Some(text)
    }
}

impl Drop for SessionStream {
    fn drop(&mut self) {
        // Later messages go to the event store as they come; these are the first.
        self.news.close();
        while let Some(message) = self.news.take() {
            self.memory.keep(OWN, &message);
        }
    }
}

impl ResumedStream {
    pub(in crate::http) fn new(memory: Rc<SessionEvents>, place: EventId) -> ResumedStream {
        let number = memory.follow(place.stream);
        let waits = memory.newest(place.stream) == place.number;
        let primer = waits.then(|| memory.prime(place.stream)).flatten();
        ResumedStream {
            memory,
            place,
            number,
            primer,
        }
    }

    async fn next(&mut self) -> Option<Vec<u8>> {
        if let Some(primer) = self.primer.take() {
            return Some(primer);
        }
        poll_fn(|context| self.memory.poll_next(&mut self.place, self.number, context)).await
    }
}

impl Drop for ResumedStream {
    fn drop(&mut self) {
        self.memory.leave(self.place.stream, self.number);
    }
}
