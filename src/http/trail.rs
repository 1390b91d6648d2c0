//! The event streams of sessions: each is sent once, and what was sent can be had again for a while.
//!
//! Promises: an event is remembered before it is sent, so that none is lost between the two; a stream is sent on
//! one connection at a time, the newest.

use std::collections::VecDeque;
use std::future::poll_fn;
use std::rc::Rc;

use super::events::Outgoing;
use super::replay::{Memory, OWN, Place};

/// The stream of one call, at the side of the call.
#[derive(Debug)]
pub(super) struct Trail {
    memory: Rc<Memory>,
    stream: u64,
}

/// A stream at the side of the client who opened it with a GET.
#[derive(Debug)]
pub(super) enum Source {
    Own(Own),
    Followed(Follower),
}

/// A session's own stream: first what was missed, then what comes.
#[derive(Debug)]
pub(super) struct Own {
    memory: Rc<Memory>,
    missed: VecDeque<Vec<u8>>,
    news: Rc<Outgoing>,
}

/// The stream of a call whose first connection was lost.
#[derive(Debug)]
pub(super) struct Follower {
    memory: Rc<Memory>,
    place: Place,
    number: u64,
    primer: Option<Vec<u8>>,
}

impl Trail {
    pub(super) fn open(memory: Rc<Memory>) -> Trail {
        let stream = memory.open();
        Trail { memory, stream }
    }

    pub(super) fn prime(&self) -> Option<Vec<u8>> {
        self.memory.prime(self.stream)
    }

    /// The event for a message; `None` when another connection has taken over and sends it.
    pub(super) fn event(&self, message: &[u8]) -> Option<Vec<u8>> {
        let text = self.memory.keep(self.stream, message);
        (!self.memory.is_followed(self.stream)).then_some(text)
    }
}

impl Drop for Trail {
    fn drop(&mut self) {
        self.memory.end(self.stream);
    }
}

impl Source {
    /// The next event; `None` at the end.
    pub(super) async fn next(&mut self) -> Option<Vec<u8>> {
        match self {
            Source::Own(own) => own.next().await,
            Source::Followed(follower) => follower.next().await,
        }
    }
}

impl Own {
    /// The stream whose news come here, from a place on.
    pub(super) fn new(memory: Rc<Memory>, after: u64, news: Rc<Outgoing>) -> Own {
        let mut missed = memory.after(Place {
            stream: OWN,
            number: after,
        });
        if missed.is_empty() {
            missed.extend(memory.prime(OWN));
        }
        memory.hear();
        Own {
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

impl Drop for Own {
    fn drop(&mut self) {
        // From now on messages for it are remembered as they come; these are the first.
        self.news.close();
        while let Some(message) = self.news.take() {
            self.memory.keep(OWN, &message);
        }
    }
}

impl Follower {
    pub(super) fn new(memory: Rc<Memory>, place: Place) -> Follower {
        let number = memory.follow(place.stream);
        let waits = memory.newest(place.stream) == place.number;
        let primer = waits.then(|| memory.prime(place.stream)).flatten();
        Follower {
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

impl Drop for Follower {
    fn drop(&mut self) {
        self.memory.leave(self.place.stream, self.number);
    }
}
