//! Sessions of the versions with a handshake: what `Mcp-Session-Id` stands for.
//!
//! Promises: an id cannot be guessed and is worth nothing without the key that it was given for; the table is bounded,
//! and forgets sessions that have been unused for long; the end of a session ends its calls, those without a client,
//! too.

use std::cell::{Cell, RefCell};
use std::cmp::Reverse;
use std::collections::HashMap;
use std::rc::Rc;
use std::time::{Duration, Instant};

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;

use super::event_store::{EventStore, OWN, ReplayBounds, SessionEvents};
use super::resume::{ResumedStream, SessionStream, SseSource};
use super::sse::Outgoing;
use super::sse::sink_or;

use crate::http::h1::refusal::Refusal;
use crate::local::watch::Watch;
use crate::logger;
use crate::mcp::{ClientSink, Principal, Session, Version};
use mcpmqtt_protocol::sort::sort_by_key;

/// The sessions of all clients, by id.
#[derive(Debug)]
pub(in crate::http) struct Sessions {
    limit: usize,
    idle: Duration,
    table: RefCell<HashMap<String, Rc<HttpSession>>>,
    archive: Rc<EventStore>,
    begun: Cell<u64>,
    /// Publishes the number of sessions.
    count: Watch<usize>,
    swept: Cell<Option<Instant>>,
}

/// One client's session.
#[derive(Debug)]
pub(in crate::http) struct HttpSession {
    pub(in crate::http) session: Rc<Session>,
    /// The stored events of the session's streams.
    pub(in crate::http) memory: Rc<SessionEvents>,
    /// For the log, which must not have the id.
    pub(in crate::http) number: u64,
    principal: Rc<Principal>,
    used: Cell<Instant>,
    /// What the session's own stream still has to send. Whatever ends the stream closes the queue.
    stream: RefCell<Option<Rc<Outgoing>>>,
}

impl Sessions {
    pub(in crate::http) fn new(
        limit: usize,
        idle: Duration,
        replay: ReplayBounds,
        count: Watch<usize>,
    ) -> Sessions {
        Sessions {
            limit,
            idle,
            table: RefCell::default(),
            archive: EventStore::new(replay),
            begun: Cell::new(0),
            count,
            swept: Cell::new(None),
        }
    }

    /// Keeps a session under a new id.
    ///
    /// # Errors
    /// 503 when the table is full of busy ones, or without random numbers.
    pub(in crate::http) fn keep(
        &self,
        session: Rc<Session>,
        principal: Rc<Principal>,
        now: Instant,
    ) -> Result<String, Refusal> {
        self.make_room(&principal.name, now)?;
        let mut random = [0; ID_BYTES];
        getrandom::fill(&mut random)
            .map_err(|_| Refusal::overloaded("no random numbers for a session"))?;
        let id = URL_SAFE_NO_PAD.encode(random);
        let version = session.version();
        let primes = version.is_some_and(|version| version.shape().primes);
        let memory = self.archive.memory(&principal.name, primes);
        let number = self.begun.get() + 1;
        self.begun.set(number);
        logger::debug(format_args!(
            "session {number} begun with version {}, {} others are open",
            version.map_or("unknown", Version::name),
            self.table.borrow().len()
        ));
        let entry = HttpSession {
            session,
            memory,
            number,
            principal,
            used: Cell::new(now),
            stream: RefCell::new(None),
        };
        self.table.borrow_mut().insert(id.clone(), Rc::new(entry));
        self.sweep(now);
        self.recount();
        Ok(id)
    }

    /// The session of this id, if it is this principal's and not expired.
    pub(in crate::http) fn find(
        &self,
        id: &str,
        principal: &Rc<Principal>,
        now: Instant,
    ) -> Option<Rc<HttpSession>> {
        let found = self.table.borrow().get(id).cloned()?;
        if found.principal != *principal {
            return None;
        }
        if found.is_expired(self.idle, now) {
            self.end(id, "it was unused for too long");
            return None;
        }
        found.used.set(now);
        Some(found)
    }

    /// Ends the session with this id; `why` is for the log.
    pub(in crate::http) fn end(&self, id: &str, why: &str) {
        let ended = self.table.borrow_mut().remove(id);
        if let Some(entry) = ended {
            logger::debug(format_args!("session {} ended: {why}", entry.number));
            entry.end();
        }
        self.recount();
    }

    /// Ends every session of these principals.
    pub(in crate::http) fn end_of(&self, whose: impl Fn(&Principal) -> bool) {
        for id in self.ids(|session| whose(&session.principal)) {
            self.end(&id, "its key was replaced");
        }
    }

    /// Ends every stream.
    pub(in crate::http) fn end_streams(&self) {
        for entry in self.table.borrow().values() {
            entry.end_stream();
        }
    }

    /// Forgets, now and then, sessions that have expired.
    fn sweep(&self, now: Instant) {
        let due = |last: Instant| now.saturating_duration_since(last) >= SWEEP_EVERY;
        if !self.swept.get().is_none_or(due) {
            return;
        }
        self.swept.set(Some(now));
        for id in self.ids(|entry| entry.is_expired(self.idle, now)) {
            self.end(&id, "it was unused for too long");
        }
    }

    fn recount(&self) {
        self.count.set(self.table.borrow().len());
    }

    /// Ends what has expired, or else one session, as [`Sessions::least_missed`] says.
    fn make_room(&self, newcomer: &str, now: Instant) -> Result<(), Refusal> {
        if self.table.borrow().len() < self.limit {
            return Ok(());
        }
        let mut leaving = self.ids(|entry| entry.is_expired(self.idle, now));
        if leaving.is_empty() {
            leaving.extend(self.least_missed(newcomer));
        }
        if leaving.is_empty() {
            return Err(Refusal::overloaded("too many sessions"));
        }
        for id in leaving {
            self.end(&id, "there was no room for it any more");
        }
        Ok(())
    }

    /// The session that makes room for one of the name `newcomer`, if any does. A name with more than half of the table
    /// makes room by itself: for its own sessions with idle ones, for those of others also with busy ones. Otherwise it is
    /// the idle one that has been unused the longest, of the name that has most.
    fn least_missed(&self, newcomer: &str) -> Option<String> {
        let table = self.table.borrow();
        let mut counts: HashMap<&str, usize> = HashMap::new();
        for entry in table.values() {
            *counts.entry(&entry.principal.name).or_default() += 1;
        }
        let mut names = counts.iter();
        let greedy = names.find(|(_, count)| **count > self.limit / 2);
        let greedy = greedy.map(|(name, _)| *name);
        let may_leave = |entry: &HttpSession| match greedy {
            Some(name) if *entry.principal.name != *name => false,
            Some(name) => !entry.is_busy() || *name != *newcomer,
            None => !entry.is_busy(),
        };
        let leaving = table.iter().filter(|(_, entry)| may_leave(entry));
        let next = leaving.max_by_key(|(_, entry)| {
            let count = counts.get(&*entry.principal.name);
            (!entry.is_busy(), count, Reverse(entry.used.get()))
        });
        next.map(|(id, _)| id.clone())
    }

    /// The ids of the sessions that `which` selects, longest unused first.
    fn ids(&self, which: impl Fn(&HttpSession) -> bool) -> Vec<String> {
        let table = self.table.borrow();
        let mut found: Vec<_> = table.iter().filter(|(_, entry)| which(entry)).collect();
        sort_by_key(&mut found, |(_, entry)| entry.used.get());
        found.into_iter().map(|(id, _)| id.clone()).collect()
    }
}

impl HttpSession {
    /// Opens the session's own stream. One that is open ends: its client has lost it, or means this one.
    pub(in crate::http) fn open_stream(&self) -> SseSource {
        self.own_stream(None)
    }

    /// Goes on with one of the session's streams after the event with this id.
    ///
    /// # Errors
    /// 400 for an id with which that cannot be done.
    pub(in crate::http) fn resume(&self, id: &str) -> Result<SseSource, Refusal> {
        let place = self.memory.find(id)?;
        Ok(match place.stream {
            OWN => self.own_stream(Some(place.number)),
            _ => SseSource::Followed(ResumedStream::new(Rc::clone(&self.memory), place)),
        })
    }

    fn own_stream(&self, after: Option<u64>) -> SseSource {
        let memory = Rc::clone(&self.memory);
        let (sink, news) = sink_or(move |message| {
            memory.keep(OWN, message);
            true
        });
        let news = Rc::new(news);
        if let Some(before) = self.stream.replace(Some(Rc::clone(&news))) {
            before.close();
            while let Some(message) = before.take() {
                self.memory.keep(OWN, &message);
            }
        }
        self.session.attach(sink);
        let after = after.unwrap_or_else(|| self.memory.heard());
        SseSource::SessionStream(SessionStream::new(Rc::clone(&self.memory), after, news))
    }

    fn end(&self) {
        self.session.end_calls();
        self.memory.close();
        self.end_stream();
    }

    fn end_stream(&self) {
        if let Some(stream) = self.stream.take() {
            stream.close();
        }
        self.session.attach(ClientSink::closed());
    }

    fn is_busy(&self) -> bool {
        let streams = |stream: &Rc<Outgoing>| !stream.is_closed();
        self.session.in_flight() > 0 || self.stream.borrow().as_ref().is_some_and(streams)
    }

    fn is_expired(&self, idle: Duration, now: Instant) -> bool {
        !self.is_busy() && now.saturating_duration_since(self.used.get()) > idle
    }
}

/// The shortest time between two sweeps of the table.
const SWEEP_EVERY: Duration = Duration::from_secs(60);
/// 144 bits.
const ID_BYTES: usize = 18;
