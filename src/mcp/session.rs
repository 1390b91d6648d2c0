//! What one connection (stdio) or one legacy session remembers: the negotiated version and the
//! calls in flight.
//!
//! Promises: an id is in flight from the moment its request was accepted until its [`Ticket`] is
//! dropped, which the front door does after the answer is written; a call that was cancelled
//! yields no answer.
//! Does not: serve modern requests, which need nothing of it but the cancel table.

use std::cell::{Cell, RefCell};
use std::collections::HashMap;
use std::fmt;
use std::future::poll_fn;
use std::rc::Rc;
use std::task::{Poll, Waker};

use super::rpc::Id;
use super::version::Version;

/// The state of one peer.
#[derive(Debug, Default)]
pub struct Session {
    negotiated: Cell<Option<Version>>,
    calls: RefCell<HashMap<Id, Rc<Cancel>>>,
    // Room: requests of ours that the client has yet to answer, resources it subscribed to.
}

/// The proof that a call is in flight; dropping it ends that.
pub(super) struct Ticket {
    session: Rc<Session>,
    id: Id,
    cancel: Rc<Cancel>,
}

#[derive(Debug, Default)]
struct Cancel {
    asked: Cell<bool>,
    waker: RefCell<Option<Waker>>,
}

impl Session {
    /// A peer that has not initialized yet.
    #[must_use]
    pub fn new() -> Rc<Session> {
        Rc::default()
    }

    /// A peer whose version is known without a handshake in this session.
    #[must_use]
    pub fn assuming(version: Version) -> Rc<Session> {
        let session = Session::new();
        session.negotiate(version);
        session
    }

    /// The version agreed on by `initialize`, if it has been.
    #[must_use]
    pub fn version(&self) -> Option<Version> {
        self.negotiated.get()
    }

    /// How many calls are in flight.
    #[must_use]
    pub fn in_flight(&self) -> usize {
        self.calls.borrow().len()
    }

    pub(super) fn negotiate(&self, version: Version) {
        self.negotiated.set(Some(version));
    }

    pub(super) fn is_in_flight(&self, id: &Id) -> bool {
        self.calls.borrow().contains_key(id)
    }

    /// Marks the id as in flight; the caller has checked that it is not.
    pub(super) fn open(self: &Rc<Self>, id: Id) -> Ticket {
        let cancel = Rc::<Cancel>::default();
        self.calls.borrow_mut().insert(id.clone(), cancel.clone());
        let session = self.clone();
        Ticket {
            session,
            id,
            cancel,
        }
    }

    /// Drops that call. An unknown or finished one: nothing happens, as the protocol has it.
    pub(super) fn cancel(&self, id: &Id) {
        let found = self.calls.borrow().get(id).cloned();
        if let Some(cancel) = found {
            cancel.asked.set(true);
            if let Some(waker) = cancel.waker.take() {
                waker.wake();
            }
        }
    }
}

impl Ticket {
    /// Waits until the client cancels the call.
    pub(super) async fn cancelled(&self) {
        poll_fn(|context| {
            if self.cancel.asked.get() {
                return Poll::Ready(());
            }
            self.cancel.waker.replace(Some(context.waker().clone()));
            Poll::Pending
        })
        .await;
    }

    pub(super) fn id(&self) -> &Id {
        &self.id
    }
}

impl Drop for Ticket {
    fn drop(&mut self) {
        self.session.calls.borrow_mut().remove(&self.id);
    }
}

impl fmt::Debug for Ticket {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Ticket({})", self.id.as_json())
    }
}
