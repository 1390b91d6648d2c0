//! The handle to the broker connection.
//!
//! Promises: a publish returns exactly one outcome; a listener is active when [`Client::listen`] returns; dropping a
//! future or an [`Inbox`] cancels its request.
//! Does not: own a socket. The driver owns it, at the other end of one bounded channel.

use std::cell::{Cell, RefCell};
use std::fmt;
use std::future::{Future as _, poll_fn};
use std::pin::pin;
use std::rc::Rc;
use std::sync::Arc;
use std::task::Context;
use std::time::Instant;

use async_channel::{Receiver, Sender, TrySendError};
use mcpmqtt_protocol::client::{Listen, Outcome, PublishError, Reason, Sending, Traffic};
use mcpmqtt_protocol::limits::Limits;
use mcpmqtt_protocol::message::Message;
use mcpmqtt_protocol::topic::{SubscribeFilter, TopicFilter};

use super::failure::ListenFailure;
use super::inbox::{Inbox, InboxLimits, InboxSender};
use super::sending::SendingOrders;
use super::state::{ConnectionState, StateReceiver};
use super::tap::{Observing, Tap};
use crate::local::oneshot;

/// A handle to the connection. Cheap to clone; clones share the connection.
#[derive(Clone)]
pub struct Client {
    requests: Sender<ClientRequest>,
    shared: Rc<Shared>,
}

/// Counters of the connection since the start.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Counts {
    /// The messages by direction and QoS.
    pub traffic: Traffic,
    /// The connections that the broker accepted.
    pub connects: u64,
    /// The accepted connections that ended without a DISCONNECT of this client.
    pub connections_lost: u64,
    /// The attempts that did not become a connection.
    pub connect_failures: u64,
    /// The messages that found no room in an inbox or were too large to be kept, counted for each listener.
    pub messages_lost: u64,
}

/// Identifies a call at the driver before the protocol assigns a ticket.
pub(super) type CallId = u64;

/// A request to the driver.
pub(super) enum ClientRequest {
    Publish {
        id: CallId,
        message: Message,
        deadline: Instant,
        /// Whether it is sent whatever [`Client::set_sending`] says.
        is_exempt: bool,
        /// The number of halts when it was handed in: one that came since ends it.
        halts: u64,
        reply: oneshot::Sender<Result<Outcome, PublishError>>,
    },
    /// Ends the publish of this call, if its message was not sent yet.
    TakeBack { id: CallId },
    Listen {
        id: CallId,
        listen: Listen,
        inbox: Rc<InboxSender>,
        reply: oneshot::Sender<Result<(), ListenFailure>>,
    },
    Observe {
        id: CallId,
        filter: SubscribeFilter,
        is_needed: bool,
        tap: Tap,
        /// Whether the tap hears of reserved topics, too.
        hears_reserved: bool,
        reply: oneshot::Sender<Result<(), ListenFailure>>,
    },
    /// Wakes the driver: what is sent is allowed, held or halted.
    Sending,
    Ping {
        /// Dropped when the connection ends before the broker answers.
        reply: oneshot::Sender<()>,
    },
}

/// The driver's ends of the channels.
pub(super) struct DriverEnd {
    pub(super) requests: Receiver<ClientRequest>,
    pub(super) cancelled: Receiver<CallId>,
    pub(super) shared: Rc<Shared>,
}

/// The state that the handle and the driver share.
pub(super) struct Shared {
    pub(super) limits: InboxLimits,
    pub(super) publish_limits: Limits,
    pub(super) counts: Cell<Counts>,
    pub(super) state: ConnectionState,
    /// The bytes waiting in all inboxes.
    pub(super) waiting_bytes: Cell<usize>,
    /// The topics whose messages go to nobody but [`Client::observe_reserved`].
    pub(super) reserved: RefCell<Option<TopicFilter>>,
    pub(super) sending: SendingOrders,
    last_id: Cell<CallId>,
    /// The numbers of cancelled calls.
    cancelled: Sender<CallId>,
}

/// When dropped, tells the driver that the call was cancelled.
pub(super) struct CancelGuard {
    id: CallId,
    pub(super) shared: Rc<Shared>,
    /// True when the call is over and the driver has forgotten it.
    done: bool,
}

impl Client {
    /// Creates a handle and the driver's ends.
    pub(super) fn pair(limits: InboxLimits, publish_limits: Limits) -> (Self, DriverEnd) {
        let (requests, requests_end) = async_channel::bounded(REQUESTS);
        // Unbounded, because each call is cancelled at most once and the number of calls is bounded.
        let (cancelled, cancelled_end) = async_channel::unbounded();
        let shared = Rc::new(Shared {
            limits,
            publish_limits,
            counts: Cell::default(),
            state: ConnectionState::new(),
            waiting_bytes: Cell::new(0),
            reserved: RefCell::default(),
            sending: SendingOrders::default(),
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

    /// Whether the limits of the connection permit a message, whatever else is published. Nothing is sent.
    ///
    /// # Errors
    /// Why [`publish`](Self::publish) would refuse it.
    pub fn would_publish(&self, message: &Message) -> Result<(), PublishError> {
        self.shared.publish_limits.permits(message)
    }

    /// Publishes a message and waits for the outcome, until `deadline` at the latest. Dropping the future takes the
    /// message back if it was not sent yet.
    ///
    /// # Errors
    /// When the message was not accepted; then nothing was or will be sent.
    pub async fn publish(
        &self,
        message: Message,
        deadline: Instant,
    ) -> Result<Outcome, PublishError> {
        self.publish_while(message, deadline, false, |_| true).await
    }

    /// As [`publish`](Self::publish), for a message that is sent whatever [`set_sending`](Self::set_sending) says.
    ///
    /// # Errors
    /// When the message was not accepted; then nothing was or will be sent.
    pub async fn publish_exempt(
        &self,
        message: Message,
        deadline: Instant,
    ) -> Result<Outcome, PublishError> {
        self.publish_while(message, deadline, true, |_| true).await
    }

    /// Allows, holds or halts what is published. The driver hears of it before it writes again, also when a tap calls this.
    /// A halt ends what was handed in before it, however soon it is lifted.
    /// See [`protocol::client::Client::set_sending`] for what becomes of what is under way.
    ///
    /// [`protocol::client::Client::set_sending`]: mcpmqtt_protocol::client::Client::set_sending
    pub fn set_sending(&self, sending: Sending) {
        self.shared.sending.say(sending);
        // A driver whose channel is full is awake.
        let _ = self.requests.try_send(ClientRequest::Sending);
    }

    /// The number of halts so far.
    pub fn halts(&self) -> u64 {
        self.shared.sending.halts()
    }

    /// The words of the last halt, if it came after so many halts; also if it is lifted.
    pub fn halted_since(&self, halts: u64) -> Option<Arc<str>> {
        self.shared.sending.halted_since(halts)
    }

    /// Like [`publish`](Self::publish), and takes the message back when `holds` returns false before it was sent: the
    /// error is [`PublishError::TakenBack`] then. `holds` is asked whenever the future is polled. What `is_exempt` is sent
    /// whatever [`set_sending`](Self::set_sending) says.
    ///
    /// # Errors
    /// When the message was not accepted or was taken back; then nothing was or will be sent.
    pub async fn publish_while(
        &self,
        message: Message,
        deadline: Instant,
        is_exempt: bool,
        mut holds: impl FnMut(&mut Context<'_>) -> bool,
    ) -> Result<Outcome, PublishError> {
        let mut guard = self.guard();
        let (reply, answer) = oneshot::channel();
        let request = ClientRequest::Publish {
            id: guard.id,
            message,
            deadline,
            is_exempt,
            halts: self.shared.sending.halts(),
            reply,
        };
        let handed_in = match self.requests.try_send(request) {
            // Boxed, because the channel is rarely full.
            Err(TrySendError::Full(request)) => Box::pin(self.requests.send(request)).await.is_ok(),
            other => other.is_ok(),
        };
        if !handed_in {
            return Err(PublishError::NotConnected(Reason::ShuttingDown));
        }
        let mut answer = pin!(answer.recv());
        let outcome = poll_fn(|context| {
            let answered = answer.as_mut().poll(context);
            if answered.is_pending() && !holds(context) {
                let taking_back = ClientRequest::TakeBack { id: guard.id };
                if self.requests.try_send(taking_back).is_err() {
                    context.waker().wake_by_ref();
                }
            }
            answered
        })
        .await;
        guard.done = true;
        outcome.unwrap_or(Ok(Outcome::Unknown(Reason::ShuttingDown)))
    }

    /// Sets up a listener; when this returns, the broker has granted its filter.
    ///
    /// # Errors
    /// When the request was not accepted or the broker refused the filter.
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

    /// Observes a filter: `tap` is called with every message as it arrives, and nothing waits anywhere. When this returns,
    /// the broker has granted the filter; messages may come before. When the future or the [`Observing`] is dropped, `tap` is
    /// called no more. See [`protocol::client::Client::observe`] for `is_needed`, and for how this
    /// differs from [`listen`](Self::listen).
    ///
    /// [`protocol::client::Client::observe`]: mcpmqtt_protocol::client::Client::observe
    ///
    /// # Errors
    /// When the request was not accepted or the broker refused the filter.
    pub async fn observe(
        &self,
        filter: SubscribeFilter,
        is_needed: bool,
        tap: Tap,
    ) -> Result<Observing, ListenFailure> {
        self.begin_observing(filter, is_needed, tap, false).await
    }

    /// Like [`observe`](Self::observe), at QoS 1, for a tap that hears of the topics of [`reserve`](Self::reserve), too.
    ///
    /// # Errors
    /// When the request was not accepted or the broker refused the filter.
    pub async fn observe_reserved(
        &self,
        filter: SubscribeFilter,
        tap: Tap,
    ) -> Result<Observing, ListenFailure> {
        self.begin_observing(filter, true, tap, true).await
    }

    /// From now on, messages on topics of this filter go to nobody but those who [`observe_reserved`]; to all others they
    /// never came, and are not lost.
    ///
    /// [`observe_reserved`]: Self::observe_reserved
    pub fn reserve(&self, topics: Option<TopicFilter>) {
        self.shared.reserved.replace(topics);
    }

    async fn begin_observing(
        &self,
        filter: SubscribeFilter,
        is_needed: bool,
        tap: Tap,
        hears_reserved: bool,
    ) -> Result<Observing, ListenFailure> {
        let guard = self.guard();
        let is_observing = Rc::new(());
        let observed = Rc::downgrade(&is_observing);
        // The driver hears of the end later.
        let tap: Tap = Rc::new(move |now, tapped| {
            if observed.strong_count() > 0 {
                tap(now, tapped);
            }
        });
        let (reply, answer) = oneshot::channel();
        let request = ClientRequest::Observe {
            id: guard.id,
            filter,
            is_needed,
            tap,
            hears_reserved,
            reply,
        };
        if self.requests.send(request).await.is_err() {
            return Err(ListenFailure::Ended);
        }
        answer.recv().await.unwrap_or(Err(ListenFailure::Ended))?;
        Ok(Observing {
            _is_observing: is_observing,
            _guard: guard,
        })
    }

    /// Sends PINGREQ and waits for the answer. Has no time limit. False when the connection ends before.
    pub async fn ping(&self) -> bool {
        let (reply, answer) = oneshot::channel();
        let request = ClientRequest::Ping { reply };
        self.requests.send(request).await.is_ok() && answer.recv().await.is_some()
    }

    /// Whether the broker has accepted the connection and it is still up.
    #[must_use]
    pub fn is_connected(&self) -> bool {
        self.shared.state.is_connected()
    }

    /// Why there is no connection, or why there was none before this one.
    #[must_use]
    pub fn last_reason(&self) -> Reason {
        self.shared.state.last_reason()
    }

    /// The counters since the start.
    #[must_use]
    pub fn counts(&self) -> Counts {
        self.shared.counts.get()
    }

    /// A receiver for changes of the connection state.
    #[must_use]
    pub fn changes(&self) -> StateReceiver {
        StateReceiver::new(Rc::clone(&self.shared))
    }

    /// Ends the driver: it sends DISCONNECT and its future returns.
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

impl fmt::Debug for CancelGuard {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("CancelGuard")
            .field("id", &self.id)
            .finish_non_exhaustive()
    }
}

impl Drop for CancelGuard {
    fn drop(&mut self) {
        if !self.done {
            // Fails only when the driver has ended, and then the call has ended with it.
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

    /// Whether messages on this topic go to nobody but those who observe reserved topics.
    pub(super) fn is_reserved(&self, topic: &str) -> bool {
        let reserved = self.reserved.borrow();
        reserved.as_ref().is_some_and(|it| it.matches(topic))
    }

    pub(super) fn release(&self, bytes: usize) {
        self.waiting_bytes
            .set(self.waiting_bytes.get().saturating_sub(bytes));
    }
}

/// The limit on requests that the driver has not handled yet. The driver handles all of them in each turn; a sender
/// that finds the channel full waits for the next turn.
const REQUESTS: usize = 256;
