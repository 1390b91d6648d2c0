//! Whether there is a connection to the broker, for those who want to hear when that changes.

use std::cell::{Cell, RefCell};
use std::fmt;
use std::future::poll_fn;
use std::rc::Rc;
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use mcpmqtt_protocol::client::Reason;

use super::Shared;

/// The state of the connection.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Status {
    /// The broker has accepted us.
    Connected {
        /// It still had our session.
        session_present: bool,
    },
    /// There is no connection.
    Disconnected {
        /// Why.
        reason: Reason,
        /// From the loss to the next attempt; `None` when none will be made.
        retry_in: Option<Duration>,
    },
}

/// The state of the connection, told whenever it changes.
pub struct Changes {
    shared: Rc<Shared>,
    /// The number of the last change told.
    seen: Option<u64>,
}

/// What the link writes and everybody reads.
pub(crate) struct Board {
    status: RefCell<Status>,
    /// Why there is no connection, or was none before this one.
    last_reason: RefCell<Reason>,
    changes: Cell<u64>,
    wakers: RefCell<Vec<Waker>>,
}

impl Changes {
    pub(super) fn new(shared: Rc<Shared>) -> Self {
        Self { shared, seen: None }
    }

    /// The state now when this is called first, then the next state that was not told yet. What
    /// changes back and forth between two calls is told by its last state only.
    pub async fn next(&mut self) -> Status {
        poll_fn(|cx| self.poll(cx)).await
    }

    /// The state now, whether it was told or not.
    #[must_use]
    pub fn latest(&self) -> Status {
        self.shared.board.status()
    }

    /// Waits until there is a connection; that counts as told. False when there will be none any more.
    pub async fn connected(&mut self) -> bool {
        self.seen = None;
        loop {
            match self.next().await {
                Status::Connected { .. } => return true,
                Status::Disconnected { retry_in: None, .. } => return false,
                Status::Disconnected { .. } => {}
            }
        }
    }

    fn poll(&mut self, cx: &Context<'_>) -> Poll<Status> {
        let board = &self.shared.board;
        let latest = board.changes.get();
        if self.seen == Some(latest) {
            board.wait(cx.waker());
            return Poll::Pending;
        }
        self.seen = Some(latest);
        Poll::Ready(board.status())
    }
}

impl fmt::Debug for Changes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Changes").finish_non_exhaustive()
    }
}

impl Board {
    pub(super) fn new() -> Self {
        Self {
            status: RefCell::new(Status::Disconnected {
                reason: Reason::NeverConnected,
                retry_in: Some(Duration::ZERO),
            }),
            last_reason: RefCell::new(Reason::NeverConnected),
            changes: Cell::new(0),
            wakers: RefCell::default(),
        }
    }

    pub(crate) fn set(&self, status: Status) {
        if let Status::Disconnected { reason, .. } = &status {
            *self.last_reason.borrow_mut() = reason.clone();
        }
        *self.status.borrow_mut() = status;
        self.changes.set(self.changes.get() + 1);
        for waker in self.wakers.take() {
            waker.wake();
        }
    }

    pub(crate) fn is_connected(&self) -> bool {
        matches!(*self.status.borrow(), Status::Connected { .. })
    }

    pub(super) fn last_reason(&self) -> Reason {
        self.last_reason.borrow().clone()
    }

    fn status(&self) -> Status {
        self.status.borrow().clone()
    }

    fn wait(&self, waker: &Waker) {
        let mut wakers = self.wakers.borrow_mut();
        if !wakers.iter().any(|waiting| waiting.will_wake(waker)) {
            wakers.push(waker.clone());
        }
    }
}
