//! The connection state, and a receiver for its changes.

use std::cell::RefCell;
use std::fmt;
use std::future::poll_fn;
use std::rc::Rc;
use std::task::{Context, Poll};
use std::time::Duration;

use mcpmqtt_protocol::client::Reason;

use super::client::Shared;
use crate::local::watch::Watch;

/// The state of the connection to the broker.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Status {
    /// The broker has accepted the connection.
    Connected {
        /// Whether the broker still had the client's session (CONNACK `Session Present`).
        session_present: bool,
    },
    /// There is no connection.
    Disconnected {
        /// Why there is no connection.
        reason: Reason,
        /// The time from the loss to the next attempt; `None` when there will be no attempt.
        retry_in: Option<Duration>,
    },
}

/// Receives the connection state after each change.
pub struct StateReceiver {
    shared: Rc<Shared>,
    /// The version of the last received state.
    seen: Option<u64>,
}

/// The state that the driver writes and every receiver reads.
pub(super) struct ConnectionState {
    status: Watch<Status>,
    /// Why there is no connection, or why there was none before this one.
    last_reason: RefCell<Reason>,
}

impl StateReceiver {
    pub(super) fn new(shared: Rc<Shared>) -> Self {
        Self { shared, seen: None }
    }

    /// The first call returns the current state; each later call waits for a state that was not received yet. Of
    /// several changes between two calls only the last state is received.
    pub async fn next(&mut self) -> Status {
        poll_fn(|cx| self.poll(cx)).await
    }

    /// The current state, whether it was received or not.
    #[must_use]
    pub fn latest(&self) -> Status {
        self.shared.state.status.get()
    }

    /// Waits for a connection; that state counts as received. False when there will be no further connection.
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
        let status = &self.shared.state.status;
        if self.seen == Some(status.version()) {
            status.register(cx);
            return Poll::Pending;
        }
        self.seen = Some(status.version());
        Poll::Ready(status.get())
    }
}

impl fmt::Debug for StateReceiver {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("StateReceiver").finish_non_exhaustive()
    }
}

impl ConnectionState {
    pub(super) fn new() -> Self {
        Self {
            status: Watch::new(Status::Disconnected {
                reason: Reason::NeverConnected,
                retry_in: Some(Duration::ZERO),
            }),
            last_reason: RefCell::new(Reason::NeverConnected),
        }
    }

    pub(super) fn set(&self, status: Status) {
        if let Status::Disconnected { reason, .. } = &status {
            *self.last_reason.borrow_mut() = reason.clone();
        }
        self.status.set(status);
    }

    pub(super) fn is_connected(&self) -> bool {
        self.status
            .with(|status| matches!(status, Status::Connected { .. }))
    }

    pub(super) fn last_reason(&self) -> Reason {
        self.last_reason.borrow().clone()
    }
}
