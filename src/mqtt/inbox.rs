//! The message queue of one listener, filled by the driver.
//!
//! Promises: bounded in messages and bytes, for each inbox and over all inboxes; a message that finds no room is
//! counted.

use std::cell::RefCell;
use std::collections::VecDeque;
use std::fmt;
use std::rc::Rc;

use mcpmqtt_protocol::client::Reason;
use mcpmqtt_protocol::message::Message;

use super::TooLarge;
use super::client::{CancelGuard, Shared};
use crate::local::notify::Notify;

/// The limits on waiting messages.
#[derive(Debug, Clone, Copy)]
pub struct InboxLimits {
    /// The messages in one inbox.
    pub messages: usize,
    /// The payload and topic bytes in one inbox.
    pub bytes: usize,
    /// The payload and topic bytes over all inboxes.
    pub total_bytes: usize,
}

/// An item from an [`Inbox`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Arrival {
    /// A received message.
    Message(Message),
    /// A received message that was not kept; it counts as lost.
    TooLarge(TooLarge),
    /// No more messages will come, for this reason.
    Ended(Reason),
}

/// The messages of one listener. Dropping the inbox ends the listener.
pub struct Inbox {
    sender: Rc<InboxSender>,
    /// The bytes that the caller has removed and still keeps.
    held: usize,
    guard: CancelGuard,
}

/// The driver's end of one listener's inbox.
#[derive(Default)]
pub(super) struct InboxSender {
    state: RefCell<InboxState>,
    changed: Notify,
}

#[derive(Default)]
struct InboxState {
    queue: VecDeque<Arrival>,
    bytes: usize,
    lost: u64,
    interruptions: u64,
    ended: Option<Reason>,
}

impl InboxSender {
    /// Adds a message, or counts it as lost when there is no room.
    pub(super) fn put(&self, message: Message, shared: &Shared) {
        if !self.take_in(Arrival::Message(message), shared) {
            self.count_lost(shared);
        }
    }

    /// Counts a message that was too large to be kept as lost, and queues a notice of it if there is room.
    pub(super) fn put_too_large(&self, large: TooLarge, shared: &Shared) {
        self.count_lost(shared);
        self.take_in(Arrival::TooLarge(large), shared);
    }

    fn count_lost(&self, shared: &Shared) {
        self.state.borrow_mut().lost += 1;
        shared.count(|counts| counts.messages_lost += 1);
    }

    /// Adds an item; false when there is no room.
    fn take_in(&self, arrival: Arrival, shared: &Shared) -> bool {
        let mut state = self.state.borrow_mut();
        let size = arrival.size();
        let limits = &shared.limits;
        let total = shared.waiting_bytes.get() + size;
        // An empty inbox takes one message of any size, because `limits.packet_bytes` bounds it.
        let fits = state.queue.is_empty()
            || (state.queue.len() < limits.messages && state.bytes + size <= limits.bytes);
        if !fits || total > limits.total_bytes {
            return false;
        }
        shared.waiting_bytes.set(total);
        state.bytes += size;
        state.queue.push_back(arrival);
        drop(state);
        self.changed.notify();
        true
    }

    pub(super) fn interrupt(&self) {
        self.state.borrow_mut().interruptions += 1;
    }

    pub(super) fn end(&self, reason: Reason) {
        self.state.borrow_mut().ended.get_or_insert(reason);
        self.changed.notify();
    }
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

impl Inbox {
    pub(super) fn new(sender: Rc<InboxSender>, guard: CancelGuard) -> Self {
        Self {
            sender,
            held: 0,
            guard,
        }
    }

    /// Returns the next message, or the reason why there will be none. Has no time limit.
    pub async fn next(&mut self) -> Arrival {
        let take = || {
            let mut state = self.sender.state.borrow_mut();
            if let Some(arrival) = state.queue.pop_front() {
                let size = arrival.size();
                state.bytes -= size;
                self.guard.shared.release(size);
                return Some(arrival);
            }
            state.ended.clone().map(Arrival::Ended)
        };
        self.sender.changed.find(take).await
    }

    /// Counts `bytes` of removed messages as still waiting, until this inbox is dropped: a caller that collects many
    /// messages has the same limit as one that lets them wait here.
    pub fn hold(&mut self, bytes: usize) {
        self.held += bytes;
        let total = &self.guard.shared.waiting_bytes;
        total.set(total.get() + bytes);
    }

    /// Discards the messages that have arrived so far: a message older than a request is not the reply to it.
    pub fn clear(&mut self) {
        let mut state = self.sender.state.borrow_mut();
        self.guard.shared.release(state.bytes);
        state.bytes = 0;
        state.queue.clear();
    }

    /// The number of messages that wait here.
    #[must_use]
    pub fn waiting(&self) -> usize {
        let state = self.sender.state.borrow();
        let messages = |arrival: &&Arrival| matches!(arrival, Arrival::Message(_));
        state.queue.iter().filter(messages).count()
    }

    /// The number of messages that found no room here or were too large to be kept.
    #[must_use]
    pub fn lost(&self) -> u64 {
        self.sender.state.borrow().lost
    }

    /// How often the connection was lost while listening; messages sent meanwhile may be missing.
    #[must_use]
    pub fn interruptions(&self) -> u64 {
        self.sender.state.borrow().interruptions
    }
}

impl Arrival {
    /// The item's size in the byte limits.
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
        self.guard.shared.release(self.held);
    }
}
