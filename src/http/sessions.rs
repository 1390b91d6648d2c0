//! Sessions of the versions with a handshake: what `Mcp-Session-Id` stands for.
//!
//! Promises: an id cannot be guessed and is worth nothing without the key that it was given for; the table is
//! bounded, and forgets whoever has been silent for long.

use std::cell::{Cell, RefCell};
use std::collections::HashMap;
use std::rc::Rc;
use std::time::{Duration, Instant};

use async_channel::Receiver;
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;

use super::auth::Principal;
use super::events::outlet;
use super::refusal::Refusal;
use crate::gauge::Gauge;
use crate::mcp::{Outlet, Session};

/// All of them.
#[derive(Debug)]
pub(super) struct Sessions {
    limit: usize,
    idle: Duration,
    table: RefCell<HashMap<String, Rc<Entry>>>,
    /// Says how many there are.
    count: Gauge,
    swept: Cell<Option<Instant>>,
}

/// One of them.
#[derive(Debug)]
pub(super) struct Entry {
    pub(super) session: Rc<Session>,
    principal: Principal,
    used: Cell<Instant>,
    /// What its stream still has to send; closed by whoever ends it.
    stream: RefCell<Option<Receiver<Vec<u8>>>>,
}

impl Sessions {
    pub(super) fn new(limit: usize, idle: Duration, count: Gauge) -> Sessions {
        Sessions {
            limit,
            idle,
            table: RefCell::default(),
            count,
            swept: Cell::new(None),
        }
    }

    /// Keeps a session under a new id.
    ///
    /// # Errors
    /// 503 when the table is full of busy ones, or without random numbers.
    pub(super) fn keep(
        &self,
        session: Rc<Session>,
        principal: Principal,
        now: Instant,
    ) -> Result<String, Refusal> {
        self.make_room(now)?;
        let mut random = [0; ID_BYTES];
        getrandom::fill(&mut random)
            .map_err(|_| Refusal::overloaded("no random numbers for a session"))?;
        let id = URL_SAFE_NO_PAD.encode(random);
        let entry = Entry {
            session,
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
    pub(super) fn find(&self, id: &str, principal: Principal, now: Instant) -> Option<Rc<Entry>> {
        let found = self.table.borrow().get(id).cloned()?;
        if found.principal != principal {
            return None;
        }
        if found.is_expired(self.idle, now) {
            self.table.borrow_mut().remove(id);
            self.recount();
            return None;
        }
        found.used.set(now);
        Some(found)
    }

    /// Ends it.
    pub(super) fn end(&self, id: &str) {
        let ended = self.table.borrow_mut().remove(id);
        if let Some(entry) = ended {
            entry.end_stream();
        }
        self.recount();
    }

    /// Ends every stream.
    pub(super) fn end_streams(&self) {
        for entry in self.table.borrow().values() {
            entry.end_stream();
        }
    }

    /// Forgets, now and then, those whose clients left without a word.
    fn sweep(&self, now: Instant) {
        let due = |last: Instant| now.saturating_duration_since(last) >= SWEEP_EVERY;
        if self.swept.get().is_none_or(due) {
            self.swept.set(Some(now));
            self.table
                .borrow_mut()
                .retain(|_, entry| !entry.is_expired(self.idle, now));
        }
    }

    fn recount(&self) {
        self.count.set(self.table.borrow().len());
    }

    fn make_room(&self, now: Instant) -> Result<(), Refusal> {
        let mut table = self.table.borrow_mut();
        if table.len() < self.limit {
            return Ok(());
        }
        table.retain(|_, entry| !entry.is_expired(self.idle, now));
        if table.len() < self.limit {
            return Ok(());
        }
        let idle = table.iter().filter(|(_, entry)| !entry.is_busy());
        let oldest = idle.min_by_key(|(_, entry)| entry.used.get());
        let Some(id) = oldest.map(|(id, _)| id.clone()) else {
            return Err(Refusal::overloaded("too many sessions"));
        };
        table.remove(&id);
        Ok(())
    }
}

impl Entry {
    /// Opens the session's own stream. One that is open ends: its client has lost it, or means this one.
    pub(super) fn open_stream(&self) -> Receiver<Vec<u8>> {
        let (outlet, news) = outlet();
        if let Some(before) = self.stream.replace(Some(news.clone())) {
            before.close();
        }
        self.session.attach(outlet);
        news
    }

    fn end_stream(&self) {
        if let Some(stream) = self.stream.take() {
            stream.close();
        }
        self.session.attach(Outlet::closed());
    }

    fn is_busy(&self) -> bool {
        let streams = |stream: &Receiver<_>| !stream.is_closed();
        self.session.in_flight() > 0 || self.stream.borrow().as_ref().is_some_and(streams)
    }

    fn is_expired(&self, idle: Duration, now: Instant) -> bool {
        !self.is_busy() && now.saturating_duration_since(self.used.get()) > idle
    }
}

/// As often as the table is looked through at most.
const SWEEP_EVERY: Duration = Duration::from_secs(60);
/// 144 bits.
const ID_BYTES: usize = 18;
