//! What sessions remember of their event streams, so that a client whose connection broke can go on where it was
//! (`Last-Event-ID`, MCP 2025-11-25 basic/transports §Resumability).
//!
//! Promises: an id is unique within its session and names its stream; no client gets the events of another stream; the
//! store is bounded in events and bytes, for each session and for all sessions together. At a bound the oldest event is
//! forgotten, of the session or of the name that holds most, and a client that asks for a forgotten event gets an error.
//! Does not: send anything (see `resume`).

use std::cell::{Cell, RefCell};
use std::collections::{HashMap, VecDeque};
use std::rc::{Rc, Weak};
use std::task::{Context, Poll, Waker};

use super::sse;
use crate::http::h1::refusal::Refusal;

/// How much may be remembered.
#[derive(Clone, Copy, Debug)]
pub(in crate::http) struct ReplayBounds {
    pub(in crate::http) session_events: usize,
    pub(in crate::http) session_bytes: usize,
    pub(in crate::http) events: usize,
    pub(in crate::http) bytes: usize,
}

/// The event store of all sessions.
#[derive(Debug)]
pub(in crate::http) struct EventStore {
    bounds: ReplayBounds,
    events: Cell<usize>,
    bytes: Cell<usize>,
    clock: Cell<u64>,
    /// By the name of the principal.
    held_by_name: RefCell<HashMap<Rc<str>, Holding>>,
    memories: RefCell<Vec<Weak<SessionEvents>>>,
}

/// What the sessions of one name hold together.
#[derive(Clone, Copy, Debug, Default)]
struct Holding {
    events: usize,
    bytes: usize,
}

/// The stored events of one session.
#[derive(Debug)]
pub(in crate::http) struct SessionEvents {
    archive: Rc<EventStore>,
    /// The name of the principal that the session belongs to.
    name: Rc<str>,
    /// Whether its streams begin with an event without a message.
    primes: bool,
    /// The events of all streams of the session, oldest first.
    events: RefCell<VecDeque<StoredEvent>>,
    bytes: Cell<usize>,
    streams: RefCell<HashMap<u64, StoredStream>>,
    opened: Cell<u64>,
    /// The newest event of the session's own stream that a client was connected for.
    heard: Cell<u64>,
    closed: Cell<bool>,
}

/// An event with its framing.
#[derive(Debug)]
struct StoredEvent {
    /// When, by the archive's clock.
    at: u64,
    stream: u64,
    number: u64,
    text: Vec<u8>,
}

#[derive(Debug, Default)]
struct StoredStream {
    /// The number of the newest event.
    last: u64,
    /// The number of the newest event that was forgotten.
    forgotten: u64,
    ended: bool,
    /// The connection that follows the stream, if any: the newest one.
    follower: Option<u64>,
    followers: u64,
    waker: Option<Waker>,
}

/// The place after an event.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::http) struct EventId {
    pub(in crate::http) stream: u64,
    pub(in crate::http) number: u64,
}

impl EventStore {
    pub(in crate::http) fn new(bounds: ReplayBounds) -> Rc<EventStore> {
        Rc::new(EventStore {
            bounds,
            events: Cell::new(0),
            bytes: Cell::new(0),
            clock: Cell::new(0),
            held_by_name: RefCell::default(),
            memories: RefCell::default(),
        })
    }

    /// The memory of a new session, which belongs to a principal of this name.
    pub(in crate::http) fn memory(
        self: &Rc<Self>,
        name: &Rc<str>,
        primes: bool,
    ) -> Rc<SessionEvents> {
        let memory = Rc::new(SessionEvents {
            archive: Rc::clone(self),
            name: Rc::clone(name),
            primes,
            events: RefCell::default(),
            bytes: Cell::new(0),
            streams: RefCell::default(),
            opened: Cell::new(OWN),
            heard: Cell::new(0),
            closed: Cell::new(false),
        });
        memory
            .streams
            .borrow_mut()
            .insert(OWN, StoredStream::default());
        let mut memories = self.memories.borrow_mut();
        memories.retain(|known| known.strong_count() > 0);
        memories.push(Rc::downgrade(&memory));
        memory
    }

    fn has_room(&self, bytes: usize) -> bool {
        self.events.get() < self.bounds.events && self.bytes.get() + bytes <= self.bounds.bytes
    }

    /// Forgets the oldest event of the name that holds most, to make room for one of this name and size; false when there
    /// is none.
    fn forget(&self, newcomer: &str, size: usize) -> bool {
        let Some(name) = self.largest_holder(newcomer, size) else {
            return false;
        };
        let memories: Vec<_> = self
            .memories
            .borrow()
            .iter()
            .filter_map(Weak::upgrade)
            .filter(|memory| memory.name == name)
            .collect();
        let oldest = memories.iter().filter_map(|memory| {
            let at = memory.events.borrow().front()?.at;
            Some((at, memory))
        });
        match oldest.min_by_key(|(at, _)| *at) {
            Some((_, memory)) => memory.forget(),
            None => false,
        }
    }

    /// The name that holds most of what has run out: of events, or of bytes. Otherwise many small events would push out
    /// a large one of another name. The event that comes counts for its name, so that no name takes from another that
    /// has no more than it.
    fn largest_holder(&self, newcomer: &str, size: usize) -> Option<Rc<str>> {
        let is_out_of_events = self.events.get() >= self.bounds.events;
        let held_by_name = self.held_by_name.borrow();
        let largest = held_by_name.iter().max_by_key(|(name, held)| {
            let comes = usize::from(***name == *newcomer);
            let held = match is_out_of_events {
                true => held.events + comes,
                false => held.bytes + comes * size,
            };
            (held, comes)
        });
        largest.map(|(name, _)| Rc::clone(name))
    }

    fn add(&self, name: &Rc<str>, size: usize) {
        self.events.set(self.events.get() + 1);
        self.bytes.set(self.bytes.get() + size);
        let mut held_by_name = self.held_by_name.borrow_mut();
        let held = held_by_name.entry(Rc::clone(name)).or_default();
        held.events += 1;
        held.bytes += size;
    }

    fn release(&self, name: &Rc<str>, size: usize) {
        self.events.set(self.events.get() - 1);
        self.bytes.set(self.bytes.get() - size);
        let mut held_by_name = self.held_by_name.borrow_mut();
        let Some(held) = held_by_name.get_mut(name) else {
            return;
        };
        held.events -= 1;
        held.bytes -= size;
        if held.events == 0 {
            held_by_name.remove(name);
        }
    }
}

impl SessionEvents {
    /// Opens a stream; returns its number.
    pub(in crate::http) fn open(&self) -> u64 {
        let stream = self.opened.get() + 1;
        self.opened.set(stream);
        self.streams
            .borrow_mut()
            .insert(stream, StoredStream::default());
        stream
    }

    /// Makes a message the next event of a stream and remembers it as far as there is room.
    pub(in crate::http) fn keep(&self, stream: u64, message: &[u8]) -> Vec<u8> {
        let number = self.count(stream);
        let text = sse::numbered(stream, number, message);
        self.remember(stream, number, &text);
        if let Some(waker) = self.with(stream, |it| it.waker.take()).flatten() {
            waker.wake();
        }
        text
    }

    /// An event without a message for the beginning of a stream, from which on it can be resumed; not for versions
    /// whose clients would take it for a broken message.
    pub(in crate::http) fn prime(&self, stream: u64) -> Option<Vec<u8>> {
        self.primes
            .then(|| sse::priming(stream, self.count(stream)))
    }

    /// Notes that no more events will come on this stream.
    pub(in crate::http) fn end(&self, stream: u64) {
        let waker = self.with(stream, |it| {
            it.ended = true;
            it.waker.take()
        });
        if let Some(waker) = waker.flatten() {
            waker.wake();
        }
        if !self.remembers(stream) {
            self.streams.borrow_mut().remove(&stream);
        }
    }

    /// Forgets every event for good, and ends the followers.
    pub(in crate::http) fn close(&self) {
        self.closed.set(true);
        while self.forget() {}
        let streams = self.streams.take();
        for waker in streams.into_values().filter_map(|stream| stream.waker) {
            waker.wake();
        }
    }

    /// The place that a `Last-Event-ID` names.
    ///
    /// # Errors
    /// 400 when no such event was sent in this session, when what came after it is not remembered, or when nothing
    /// came and the stream has ended. 404 would say that the session is gone.
    pub(in crate::http) fn find(&self, id: &str) -> Result<EventId, Refusal> {
        let parsed = id.split_once('.').and_then(|(stream, number)| {
            let (stream, number) = (stream.parse().ok()?, number.parse().ok()?);
            Some(EventId { stream, number })
        });
        let gone = || {
            Refusal::bad(
                "`last-event-id` is not an event of this session, or is too old; open a stream without it",
            )
        };
        let place = parsed.ok_or_else(gone)?;
        let known = self.with(place.stream, |stream| {
            let after = place.number < stream.last || !stream.ended;
            (stream.forgotten..=stream.last).contains(&place.number) && after
        });
        match known {
            Some(true) => Ok(place),
            _ => Err(gone()),
        }
    }

    /// What is remembered after this place of its stream.
    pub(in crate::http) fn after(&self, place: EventId) -> VecDeque<Vec<u8>> {
        let events = self.events.borrow();
        let after = events
            .iter()
            .filter(|event| event.stream == place.stream && event.number > place.number);
        after.map(|event| event.text.clone()).collect()
    }

    /// Notes that a client has the session's own stream up to its newest event.
    pub(in crate::http) fn hear(&self) {
        self.heard.set(self.newest(OWN));
    }

    /// The event after which a client without `Last-Event-ID` goes on: the newest one that a client was connected for.
    pub(in crate::http) fn heard(&self) -> u64 {
        self.heard.get()
    }

    /// The number of the newest event of a stream.
    pub(in crate::http) fn newest(&self, stream: u64) -> u64 {
        self.with(stream, |it| it.last).unwrap_or_default()
    }

    /// Makes the caller the only follower of the stream; returns the follower's number.
    pub(in crate::http) fn follow(&self, stream: u64) -> u64 {
        let follower = self.with(stream, |it| {
            it.followers += 1;
            it.follower = Some(it.followers);
            (it.followers, it.waker.take())
        });
        let (number, before) = follower.unwrap_or_default();
        if let Some(before) = before {
            before.wake();
        }
        number
    }

    pub(in crate::http) fn leave(&self, stream: u64, follower: u64) {
        self.with(stream, |it| {
            if it.follower == Some(follower) {
                it.follower = None;
            }
        });
    }

    pub(in crate::http) fn is_followed(&self, stream: u64) -> bool {
        self.with(stream, |it| it.follower.is_some())
            .unwrap_or_default()
    }

    /// The next event after this place for this follower; `None` when its stream has ended, is another's, or was
    /// forgotten faster than it was followed.
    pub(in crate::http) fn poll_next(
        &self,
        place: &mut EventId,
        follower: u64,
        context: &Context<'_>,
    ) -> Poll<Option<Vec<u8>>> {
        let mut streams = self.streams.borrow_mut();
        let Some(stream) = streams.get_mut(&place.stream) else {
            return Poll::Ready(None);
        };
        if stream.follower != Some(follower) || stream.forgotten > place.number {
            return Poll::Ready(None);
        }
        let events = self.events.borrow();
        let next = events
            .iter()
            .find(|event| event.stream == place.stream && event.number > place.number);
        if let Some(event) = next {
            place.number = event.number;
            return Poll::Ready(Some(event.text.clone()));
        }
        if stream.ended {
            return Poll::Ready(None);
        }
        stream.waker = Some(context.waker().clone());
        Poll::Pending
    }

    fn with<T>(&self, stream: u64, work: impl FnOnce(&mut StoredStream) -> T) -> Option<T> {
        self.streams.borrow_mut().get_mut(&stream).map(work)
    }

    fn count(&self, stream: u64) -> u64 {
        let counted = self.with(stream, |it| {
            it.last += 1;
            it.last
        });
        counted.unwrap_or_default()
    }

    fn remember(&self, stream: u64, number: u64, text: &[u8]) {
        let (bounds, size) = (self.archive.bounds, text.len() + EVENT_OVERHEAD);
        let fits = !self.closed.get() && size <= bounds.session_bytes.min(bounds.bytes);
        let full = |memory: &SessionEvents| {
            memory.events.borrow().len() >= bounds.session_events
                || memory.bytes.get() + size > bounds.session_bytes
        };
        while fits && full(self) && self.forget() {}
        while fits && !self.archive.has_room(size) && self.archive.forget(&self.name, size) {}
        if !fits || full(self) || !self.archive.has_room(size) {
            self.with(stream, |it| it.forgotten = number);
            return;
        }
        let at = self.archive.clock.get();
        self.archive.clock.set(at + 1);
        self.archive.add(&self.name, size);
        self.bytes.set(self.bytes.get() + size);
        self.events.borrow_mut().push_back(StoredEvent {
            at,
            stream,
            number,
            text: text.to_vec(),
        });
    }

    /// Forgets the oldest event; false when there is none.
    fn forget(&self) -> bool {
        let Some(event) = self.events.borrow_mut().pop_front() else {
            return false;
        };
        let size = event.text.len() + EVENT_OVERHEAD;
        self.bytes.set(self.bytes.get() - size);
        self.archive.release(&self.name, size);
        let ended = self.with(event.stream, |stream| {
            stream.forgotten = event.number;
            stream.ended
        });
        if ended == Some(true) && !self.remembers(event.stream) {
            self.streams.borrow_mut().remove(&event.stream);
        }
        true
    }

    fn remembers(&self, stream: u64) -> bool {
        let events = self.events.borrow();
        events.iter().any(|event| event.stream == stream)
    }
}

impl Drop for SessionEvents {
    fn drop(&mut self) {
        while self.forget() {}
    }
}

/// The number of the stream that a session has beside those of its calls.
pub(in crate::http) const OWN: u64 = 0;
/// What an event costs beside its text, about.
const EVENT_OVERHEAD: usize = 64;

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    const BOUNDS: ReplayBounds = ReplayBounds {
        session_events: 4,
        session_bytes: 1000,
        events: 6,
        bytes: 1500,
    };

    /// The memory of a session whose name matters nothing.
    fn memory_in(archive: &Rc<EventStore>, primes: bool) -> Rc<SessionEvents> {
        archive.memory(&"a".into(), primes)
    }

    fn texts(memory: &SessionEvents, stream: u64, number: u64) -> Vec<String> {
        let after = memory.after(EventId { stream, number });
        let texts = after
            .into_iter()
            .map(|text| String::from_utf8(text).unwrap());
        texts.collect()
    }

    #[test]
    fn only_the_events_of_one_stream_after_one_place_come_back() {
        let memory = memory_in(&EventStore::new(BOUNDS), true);
        let (one, two) = (memory.open(), memory.open());
        memory.keep(one, b"1");
        memory.keep(two, b"2");
        memory.keep(one, b"3");
        assert_eq!(
            texts(&memory, one, 1),
            ["id: 1.2\nevent: message\ndata: 3\n\n"]
        );
        assert_eq!(
            texts(&memory, two, 0),
            ["id: 2.1\nevent: message\ndata: 2\n\n"]
        );
        assert!(texts(&memory, OWN, 0).is_empty());
    }

    #[test]
    fn ids_that_were_not_given_out_are_refused() {
        let memory = memory_in(&EventStore::new(BOUNDS), true);
        let stream = memory.open();
        memory.keep(stream, b"1");
        for id in ["1.0", "1.1", "0.0"] {
            memory.find(id).unwrap();
        }
        for id in [
            "",
            "1",
            "1.",
            ".1",
            "1.2",
            "2.0",
            "1.-1",
            "x.y",
            "1.1.1",
            "99999999999999999999.1",
        ] {
            assert_eq!(memory.find(id).unwrap_err().status, 400, "{id}");
        }
    }

    #[test]
    fn a_stream_that_has_ended_can_be_resumed_while_something_follows() {
        let memory = memory_in(&EventStore::new(BOUNDS), true);
        let stream = memory.open();
        memory.keep(stream, b"1");
        memory.end(stream);
        memory.find("1.0").unwrap();
        memory.find("1.1").unwrap_err();
    }

    #[test]
    fn a_session_forgets_its_oldest_events_and_says_so() {
        let archive = EventStore::new(BOUNDS);
        let memory = memory_in(&archive, true);
        let (one, two) = (memory.open(), memory.open());
        memory.keep(one, b"x");
        memory.end(one);
        for _ in 0..5 {
            memory.keep(two, b"x");
        }
        assert_eq!(texts(&memory, two, 0).len(), 4);
        memory.find("1.0").unwrap_err();
        memory.find("2.0").unwrap_err();
        memory.find("2.1").unwrap();
        memory.keep(two, &[b'x'; 900]);
        assert_eq!(texts(&memory, two, 0).len(), 1);
        memory.keep(two, &[b'x'; 1000]);
        memory.find("2.6").unwrap_err();
        memory.find("2.7").unwrap();
        assert!(archive.bytes.get() <= BOUNDS.bytes);
    }

    #[test]
    fn all_sessions_together_forget_the_oldest_events_of_all() {
        let archive = EventStore::new(BOUNDS);
        let memories: Vec<_> = (0..3).map(|_| memory_in(&archive, true)).collect();
        for memory in &memories {
            for _ in 0..3 {
                memory.keep(OWN, b"x");
            }
        }
        assert_eq!(archive.events.get(), 6);
        let left: Vec<_> = memories.iter().map(|it| texts(it, OWN, 0).len()).collect();
        assert_eq!(left, [0, 3, 3]);
        memories[1].keep(OWN, &[b'x'; 800]);
        memories[2].keep(OWN, &[b'x'; 600]);
        assert!(archive.bytes.get() <= BOUNDS.bytes);
        memories[2].find("0.3").unwrap();
    }

    #[test]
    fn what_runs_out_is_taken_from_the_name_that_holds_most_of_it() {
        let archive = EventStore::new(BOUNDS);
        let (large, small) = (&"large".into(), &"small".into());
        let calm = archive.memory(large, true);
        calm.keep(OWN, &[b'x'; 500]);
        let greedy: Vec<_> = (0..3).map(|_| archive.memory(small, true)).collect();
        for memory in &greedy {
            for _ in 0..4 {
                memory.keep(OWN, b"x");
            }
        }
        let left = || -> Vec<_> { greedy.iter().map(|it| texts(it, OWN, 0).len()).collect() };
        assert_eq!((texts(&calm, OWN, 0).len(), left()), (1, vec![0, 1, 4]));
        // Now it is bytes that run out.
        greedy[0].keep(OWN, &[b'x'; 500]);
        greedy[1].keep(OWN, &[b'x'; 500]);
        assert_eq!((texts(&calm, OWN, 0).len(), left()), (1, vec![0, 1, 0]));
        assert!(archive.bytes.get() <= BOUNDS.bytes);
        drop((calm, greedy));
        assert!(archive.held_by_name.borrow().is_empty());
    }

    #[test]
    fn what_ends_frees_its_memory() {
        let archive = EventStore::new(BOUNDS);
        let (one, two) = (memory_in(&archive, true), memory_in(&archive, true));
        one.keep(OWN, b"x");
        two.keep(OWN, b"x");
        one.close();
        one.keep(OWN, b"x");
        drop(two);
        assert_eq!((archive.events.get(), archive.bytes.get()), (0, 0));
    }

    #[test]
    fn versions_without_priming_are_not_primed() {
        let archive = EventStore::new(BOUNDS);
        assert_eq!(memory_in(&archive, false).prime(OWN), None);
        let primed = memory_in(&archive, true).prime(OWN).unwrap();
        assert_eq!(
            String::from_utf8(primed).unwrap(),
            "id: 0.1\nretry: 1000\ndata:\n\n"
        );
    }
}
