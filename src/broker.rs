//! The handle through which every room uses the broker connection.
//!
//! It promises: a publish returns its one definite outcome, a listener is live when [`Broker::listen`]
//! returns, and dropping a future or an [`Inbox`] takes back what it asked for. It owns no socket:
//! [`link`](crate::link) does, at the other end of one bounded channel.

mod answer;
mod failure;
mod large;
mod mailbox;
mod status;

use std::cell::Cell;
use std::fmt;
use std::future::poll_fn;
use std::rc::Rc;
use std::task::Poll;
use std::time::Instant;

use async_channel::{Receiver, Sender, TrySendError};
use mcpmqtt_protocol::client::{Listen, Outcome, PublishError, Reason, Traffic};
use mcpmqtt_protocol::message::Message;

pub(crate) use self::answer::Reply;
pub use self::failure::ListenFailure;
pub use self::large::TooLarge;
pub(crate) use self::mailbox::Mailbox;
use self::status::Board;
pub use self::status::{Changes, Status};

/// A cheap handle; clones share the connection.
#[derive(Clone)]
pub struct Broker {
    requests: Sender<Request>,
    shared: Rc<Shared>,
}

/// Bounds on what waits in inboxes.
#[derive(Debug, Clone, Copy)]
pub struct InboxLimits {
    /// Messages in one inbox.
    pub messages: usize,
    /// Payload and topic bytes in one inbox.
    pub bytes: usize,
    /// Payload and topic bytes over all inboxes.
    pub total_bytes: usize,
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

/// Names one call at the link, before the protocol has a ticket for it.
pub(crate) type CallId = u64;

/// What the link is asked for.
pub(crate) enum Request {
    Publish {
        id: CallId,
        message: Message,
        deadline: Instant,
        reply: Reply<Result<Outcome, PublishError>>,
    },
    Listen {
        id: CallId,
        listen: Listen,
        mailbox: Rc<Mailbox>,
        reply: Reply<Result<(), ListenFailure>>,
    },
}

/// The link's ends of the channels.
pub(crate) struct LinkEnd {
    pub(crate) requests: Receiver<Request>,
    pub(crate) gone: Receiver<CallId>,
    pub(crate) shared: Rc<Shared>,
}

/// What both ends see.
pub(crate) struct Shared {
    pub(crate) limits: InboxLimits,
    pub(crate) counts: Cell<Counts>,
    pub(crate) board: Board,
    /// Bytes waiting in all inboxes.
    pub(crate) waiting_bytes: Cell<usize>,
    last_id: Cell<CallId>,
    /// Calls that were given up.
    gone: Sender<CallId>,
}

/// What an [`Inbox`] yields.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Arrival {
    /// A message.
    Message(Message),
    /// A message that came and was not kept; it is counted as lost.
    TooLarge(TooLarge),
    /// No more will come, for this reason.
    Ended(Reason),
}

/// The messages of one listener. Dropping it ends the listener.
pub struct Inbox {
    mailbox: Rc<Mailbox>,
    /// Bytes that were taken out and are still kept by the caller.
    held: usize,
    presence: Presence,
}

/// Tells the link, when dropped, that nobody waits for this call any more.
struct Presence {
    id: CallId,
    shared: Rc<Shared>,
    /// The call is over; the link has forgotten it.
    done: bool,
}

impl Default for InboxLimits {
    fn default() -> Self {
        Self {
            messages: 1000,
            bytes: 2 * 1024 * 1024,
            total_bytes: 16 * 1024 * 1024,
        }
    }
}

impl Broker {
    /// A handle and the ends that the link takes.
    pub(crate) fn pair(limits: InboxLimits) -> (Self, LinkEnd) {
        let (requests, requests_end) = async_channel::bounded(REQUESTS);
        // Not bounded by a number: each call leaves at most once, and calls are bounded.
        let (gone, gone_end) = async_channel::unbounded();
        let shared = Rc::new(Shared {
            limits,
            counts: Cell::default(),
            board: Board::new(),
            waiting_bytes: Cell::new(0),
            last_id: Cell::new(0),
            gone,
        });
        let handle = Self {
            requests,
            shared: Rc::clone(&shared),
        };
        let end = LinkEnd {
            requests: requests_end,
            gone: gone_end,
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
        let mut presence = self.presence();
        let (reply, answer) = answer::pair();
        let request = Request::Publish {
            id: presence.id,
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
        presence.done = true;
        outcome.unwrap_or(Ok(Outcome::Unknown(Reason::ShuttingDown)))
    }

    /// Sets up a listener; when this returns, the broker has granted it.
    ///
    /// # Errors
    /// When it was not accepted or the broker refused the filter.
    pub async fn listen(&self, listen: Listen) -> Result<Inbox, ListenFailure> {
        let presence = self.presence();
        let mailbox = Rc::new(Mailbox::default());
        let (reply, answer) = answer::pair();
        let request = Request::Listen {
            id: presence.id,
            listen,
            mailbox: Rc::clone(&mailbox),
            reply,
        };
        if self.requests.send(request).await.is_err() {
            return Err(ListenFailure::Ended);
        }
        let inbox = Inbox {
            mailbox,
            held: 0,
            presence,
        };
        answer.recv().await.unwrap_or(Err(ListenFailure::Ended))?;
        Ok(inbox)
    }

    /// Whether the broker has accepted us and the connection is up.
    #[must_use]
    pub fn is_connected(&self) -> bool {
        self.shared.board.is_connected()
    }

    /// Why there is no connection, or was none before this one.
    #[must_use]
    pub fn last_reason(&self) -> Reason {
        self.shared.board.last_reason()
    }

    /// What the connection has seen since the start.
    #[must_use]
    pub fn counts(&self) -> Counts {
        self.shared.counts.get()
    }

    /// The state of the connection, told whenever it changes.
    #[must_use]
    pub fn changes(&self) -> Changes {
        Changes::new(Rc::clone(&self.shared))
    }

    /// Ends the link: it disconnects in good order and its future returns.
    pub fn shut_down(&self) {
        self.requests.close();
    }

    fn presence(&self) -> Presence {
        let id = self.shared.last_id.get() + 1;
        self.shared.last_id.set(id);
        Presence {
            id,
            shared: Rc::clone(&self.shared),
            done: false,
        }
    }
}

impl fmt::Debug for Broker {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Broker")
            .field("connected", &self.is_connected())
            .finish_non_exhaustive()
    }
}

impl Inbox {
    /// The next message, or why there will be none. Waits as long as it takes.
    pub async fn next(&mut self) -> Arrival {
        poll_fn(|cx| {
            let mut state = self.mailbox.state.borrow_mut();
            if let Some(arrival) = state.queue.pop_front() {
                let size = arrival.size();
                state.bytes -= size;
                self.presence.shared.release(size);
                return Poll::Ready(arrival);
            }
            if let Some(reason) = &state.ended {
                return Poll::Ready(Arrival::Ended(reason.clone()));
            }
            state.waker = Some(cx.waker().clone());
            Poll::Pending
        })
        .await
    }

    /// Counts `bytes` of messages taken out as waiting still, until this is dropped: a caller that
    /// collects many calls' worth of messages is bounded like one that lets them wait here.
    pub fn hold(&mut self, bytes: usize) {
        self.held += bytes;
        let total = &self.presence.shared.waiting_bytes;
        total.set(total.get() + bytes);
    }

    /// Throws away what has come so far: messages older than a request are not its reply.
    pub fn clear(&mut self) {
        let mut state = self.mailbox.state.borrow_mut();
        self.presence.shared.release(state.bytes);
        state.bytes = 0;
        state.queue.clear();
    }

    /// Messages that came and are still waiting here.
    #[must_use]
    pub fn waiting(&self) -> usize {
        let state = self.mailbox.state.borrow();
        let messages = |arrival: &&Arrival| matches!(arrival, Arrival::Message(_));
        state.queue.iter().filter(messages).count()
    }

    /// Messages that came and found no room here, or were too large to be kept.
    #[must_use]
    pub fn lost(&self) -> u64 {
        self.mailbox.state.borrow().lost
    }

    /// How often the connection was lost while listening; messages sent meanwhile may be missing.
    #[must_use]
    pub fn interruptions(&self) -> u64 {
        self.mailbox.state.borrow().interruptions
    }
}

impl Arrival {
    /// What it counts for in the byte budgets.
    fn size(&self) -> usize {
        match self {
            Self::Message(message) => message.size(),
            Self::TooLarge(large) => large.topic.as_str().len(),
            Self::Ended(_) => 0,
        }
    }
}

impl fmt::Debug for Inbox {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Inbox")
            .field("waiting", &self.waiting())
            .finish_non_exhaustive()
    }
}

impl Drop for Inbox {
    fn drop(&mut self) {
        self.clear();
        self.presence.shared.release(self.held);
    }
}

impl Drop for Presence {
    fn drop(&mut self) {
        if !self.done {
            // Fails only when the link has ended, and then there is nobody to tell.
            let _ = self.shared.gone.try_send(self.id);
        }
    }
}

impl Shared {
    pub(crate) fn count(&self, change: impl FnOnce(&mut Counts)) {
        let mut counts = self.counts.get();
        change(&mut counts);
        self.counts.set(counts);
    }

    fn release(&self, bytes: usize) {
        self.waiting_bytes
            .set(self.waiting_bytes.get().saturating_sub(bytes));
    }
}

/// Requests the link has not looked at yet. It looks at them all in each turn; a sender that finds
/// the channel full waits for the next.
const REQUESTS: usize = 256;
