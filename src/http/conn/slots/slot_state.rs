//! The state of one connection slot, and when the connection makes room for another.
//!
//! Does not: choose among several (see [`ConnectionSlots`](super::ConnectionSlots)).

use std::cell::{Cell, RefCell};
use std::rc::Rc;
use std::time::Instant;

use super::Interrupted;
use crate::http::net::remote_addr::RemoteAddr;
use crate::local::notify::Notify;
use crate::mcp::Principal;

/// In which order connections make room.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Rank {
    /// The connection has its last answer.
    Parting,
    /// The client has shown no key, and reads nothing of an answer.
    Unread,
    /// The client has shown no key, and had an answer already.
    Answered,
    /// The client has shown no key, and has yet to send its first request.
    Stranger,
    /// The client has shown the key; of the name that has most connections, the one that is idle for longest goes first.
    Proven,
}

/// What the peer of a connection has to do next, or that it is our turn.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::http) enum Stage {
    /// To close: it has its last answer.
    Parting,
    /// To read what it was sent.
    Unread,
    /// To send a request.
    Request,
    /// To send the body of a request.
    Body,
    /// To listen to a stream that has no end of its own.
    Stream,
    /// Nothing: it is owed an answer.
    Served,
}

#[derive(Debug)]
pub(super) struct SlotState {
    pub(super) peer: RemoteAddr,
    pub(super) stage: Cell<Stage>,
    /// Whether a request of the client has come.
    pub(super) has_asked: Cell<bool>,
    /// When the stage began; for a client without a key, when it connected.
    pub(super) since: Cell<Instant>,
    pub(super) deadline: Cell<Option<Instant>>,
    /// Why a wait is to end.
    pub(super) called: Cell<Option<Interrupted>>,
    pub(super) interrupted: Notify,
    /// Who the client is, once it has shown a key or needs none.
    pub(super) principal: RefCell<Option<Rc<Principal>>>,
    /// Who the client was whose exchange has to end because the key counts no longer.
    pub(super) dismissed: RefCell<Option<Rc<Principal>>>,
    pub(super) dismissal: Notify,
}

impl SlotState {
    /// The place of a newcomer, who has shown no key and sent no request.
    pub(super) fn of(peer: RemoteAddr) -> SlotState {
        SlotState {
            peer,
            stage: Cell::new(Stage::Request),
            has_asked: Cell::new(false),
            since: Cell::new(Instant::now()),
            deadline: Cell::default(),
            called: Cell::default(),
            interrupted: Notify::default(),
            principal: RefCell::default(),
            dismissed: RefCell::default(),
            dismissal: Notify::default(),
        }
    }

    /// Whether the client has shown a key, or needs none.
    pub(super) fn is_proven(&self) -> bool {
        self.principal.borrow().is_some()
    }

    /// The name of the principal, once the client has shown a key or needs none.
    pub(super) fn name(&self) -> Option<Rc<str>> {
        let principal = self.principal.borrow();
        principal.as_ref().map(|it| Rc::clone(&it.name))
    }

    pub(super) fn enter(&self, stage: Stage, now: Instant) {
        self.stage.set(stage);
        // A client without a key stays no longer by sending request after request.
        if self.is_proven() {
            self.since.set(now);
        }
    }

    /// The rank for eviction; `None`: the connection does not make room.
    pub(super) fn rank(&self) -> Option<Rank> {
        match (self.stage.get(), self.is_proven()) {
            (Stage::Served, _) => None,
            (Stage::Parting, _) => Some(Rank::Parting),
            (_, true) => Some(Rank::Proven),
            (Stage::Unread, false) => Some(Rank::Unread),
            (_, false) if self.has_asked.get() => Some(Rank::Answered),
            (_, false) => Some(Rank::Stranger),
        }
    }

    pub(super) fn call(&self, why: Interrupted) {
        if self.called.get() != Some(Interrupted::Evicted) {
            self.called.set(Some(why));
        }
        self.interrupted.notify();
        self.dismissal.notify();
    }
}
