//! The handle to the connection with the broker.
//!
//! Promises: a publish returns its one definite outcome; a listener is live when [`Client::listen`] returns; dropping a
//! future or an [`Inbox`] takes back what it asked for.
//! Does not: own a socket. The driver does, at the other end of one bounded channel.

use std::cell::Cell;
use std::fmt;
use std::rc::Rc;
use std::time::Instant;

use async_channel::{Receiver, Sender, TrySendError};
use mcpmqtt_protocol::client::{Listen, Outcome, PublishError, Reason, Traffic};
use mcpmqtt_protocol::message::Message;

use super::failure::ListenFailure;
use super::inbox::{Inbox, InboxLimits, InboxSender};
use super::state::{ConnectionState, StateReceiver};
use crate::local::oneshot;

/// A cheap handle; clones share the connection.
#[derive(Clone)]
pub struct Client {
    requests: Sender<ClientRequest>,
    shared: Rc<Shared>,
}

/// What the connection has seen since the start.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Counts {
    /// Messages by direction and QoS.
    pub traffic: Traffic,
    /// Connections that the broker accepted.
    pub connects: u64,
    /// Of those, the ones that ended against our will.
    pub connections_lost: u64,
    /// Attempts that did not become a connection.
    pub connect_failures: u64,
    /// Messages that found no room in an inbox, or were too large to be kept, for each that wanted them.
    pub messages_lost: u64,
}

/// Names one call at the driver, before the protocol has a ticket for it.
pub(super) type CallId = u64;

/// What the driver is asked for.
pub(super) enum ClientRequest {
    Publish {
        id: CallId,
        message: Message,
        deadline: Instant,
        reply: oneshot::Sender<Result<Outcome, PublishError>>,
    },
    Listen {
        id: CallId,
        listen: Listen,
        inbox: Rc<InboxSender>,
        reply: oneshot::Sender<Result<(), ListenFailure>>,
    },
}

/// The driver's ends of the channels.
pub(super) struct DriverEnd {
    pub(super) requests: Receiver<ClientRequest>,
    pub(super) cancelled: Receiver<CallId>,
    pub(super) shared: Rc<Shared>,
}

/// What both ends see.
pub(super) struct Shared {
    pub(super) limits: InboxLimits,
    pub(super) counts: Cell<Counts>,
    pub(super) state: ConnectionState,
    /// Bytes waiting in all inboxes.
    pub(super) waiting_bytes: Cell<usize>,
    last_id: Cell<CallId>,
    /// Calls that were given up.
    cancelled: Sender<CallId>,
}

/// Tells the driver, when dropped, that nobody waits for this call any more.
pub(super) struct CancelGuard {
    id: CallId,
    pub(super) shared: Rc<Shared>,
    /// The call is over; the driver has forgotten it.
    done: bool,
}

impl Client {
    /// A handle and the ends that the driver takes.
    pub(super) fn pair(limits: InboxLimits) -> (Self, DriverEnd) {
        let (requests, requests_end) = async_channel::bounded(REQUESTS);
        // Not bounded by a number: each call leaves at most once, and calls are bounded.
        let (cancelled, cancelled_end) = async_channel::unbounded();
        let shared = Rc::new(Shared {
            limits,
            counts: Cell::default(),
            state: ConnectionState::new(),
            waiting_bytes: Cell::new(0),
            last_id: Cell::new(0),
            cancelled,
        });
        let handle = Self {
            requests,
            shared: Rc::clone(&shared),
        };
        let end = DriverEnd {
            requests: requests_end,
            cancelled: cancelled_end,
            shared,
        };
        (handle, end)
    }

    /// Publishes and waits for the outcome, until `deadline` at the latest. Dropping the future takes
    /// the message back if it was not sent yet.
    ///
    /// # Errors
    /// When the message was not accepted; nothing was or will be sent.
    pub async fn publish(
        &self,
        message: Message,
        deadline: Instant,
    ) -> Result<Outcome, PublishError> {
        let mut guard = self.guard();
        let (reply, answer) = oneshot::channel();
        let request = ClientRequest::Publish {
            id: guard.id,
            message,
            deadline,
            reply,
        };
        let handed_in = match self.requests.try_send(request) {
            // Boxed, because there mostly is room.
            Err(TrySendError::Full(request)) => Box::pin(self.requests.send(request)).await.is_ok(),
            other => other.is_ok(),
        };
        if !handed_in {
            return Err(PublishError::NotConnected(Reason::ShuttingDown));
        }
        let outcome = answer.recv().await;
        guard.done = true;
        outcome.unwrap_or(Ok(Outcome::Unknown(Reason::ShuttingDown)))
    }

    /// Sets up a listener; when this returns, the broker has granted it.
    ///
    /// # Errors
    /// When it was not accepted or the broker refused the filter.
    pub async fn listen(&self, listen: Listen) -> Result<Inbox, ListenFailure> {
        let guard = self.guard();
        let inbox = Rc::new(InboxSender::default());
        let (reply, answer) = oneshot::channel();
        let request = ClientRequest::Listen {
            id: guard.id,
            listen,
            inbox: Rc::clone(&inbox),
            reply,
        };
        if self.requests.send(request).await.is_err() {
            return Err(ListenFailure::Ended);
        }
        let inbox = Inbox::new(inbox, guard);
        answer.recv().await.unwrap_or(Err(ListenFailure::Ended))?;
        Ok(inbox)
    }

    /// Whether the broker has accepted us and the connection is up.
    #[must_use]
    pub fn is_connected(&self) -> bool {
        self.shared.state.is_connected()
    }

    /// Why there is no connection, or was none before this one.
    #[must_use]
    pub fn last_reason(&self) -> Reason {
        self.shared.state.last_reason()
    }

    /// What the connection has seen since the start.
    #[must_use]
    pub fn counts(&self) -> Counts {
        self.shared.counts.get()
    }

    /// The state of the connection, told whenever it changes.
    #[must_use]
    pub fn changes(&self) -> StateReceiver {
        StateReceiver::new(Rc::clone(&self.shared))
    }

    /// Ends the driver: it disconnects in good order and its future returns.
    pub fn shut_down(&self) {
        self.requests.close();
    }

    fn guard(&self) -> CancelGuard {
        let id = self.shared.last_id.get() + 1;
        self.shared.last_id.set(id);
        CancelGuard {
            id,
            shared: Rc::clone(&self.shared),
            done: false,
        }
    }
}

impl fmt::Debug for Client {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Client")
            .field("connected", &self.is_connected())
            .finish_non_exhaustive()
    }
}

impl Drop for CancelGuard {
    fn drop(&mut self) {
        if !self.done {
            // Fails only when the driver has ended, and then there is nobody to tell.
            let _ = self.shared.cancelled.try_send(self.id);
        }
    }
}

impl Shared {
    pub(super) fn count(&self, change: impl FnOnce(&mut Counts)) {
        let mut counts = self.counts.get();
        change(&mut counts);
        self.counts.set(counts);
    }

    pub(super) fn release(&self, bytes: usize) {
        self.waiting_bytes
            .set(self.waiting_bytes.get().saturating_sub(bytes));
    }
}

/// Requests the driver has not looked at yet. It looks at them all in each turn; a sender that finds
/// the channel full waits for the next.
const REQUESTS: usize = 256;
