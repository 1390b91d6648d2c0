//! The messages of one listener: the driver puts them in, the listener takes them out.
//!
//! Promises: bounded in messages and bytes, alone and together with all others; what finds no room is counted.

use std::cell::RefCell;
use std::collections::VecDeque;
use std::fmt;
use std::rc::Rc;

use mcpmqtt_protocol::client::Reason;
use mcpmqtt_protocol::message::Message;

use super::TooLarge;
use super::client::{CancelGuard, Shared};
use crate::local::notify::Notify;

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
    sender: Rc<InboxSender>,
    /// Bytes that were taken out and are still kept by the caller.
    held: usize,
    guard: CancelGuard,
}

/// Where the driver puts what comes for one listener.
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
    /// Takes a message in, or counts it as lost when there is no room.
    pub(super) fn put(&self, message: Message, shared: &Shared) {
        if !self.take_in(Arrival::Message(message), shared) {
            self.count_lost(shared);
        }
    }

    /// Counts a message as lost that was too large to be kept, and tells of it if there is room for that.
    pub(super) fn put_too_large(&self, large: TooLarge, shared: &Shared) {
        self.count_lost(shared);
        self.take_in(Arrival::TooLarge(large), shared);
    }

    fn count_lost(&self, shared: &Shared) {
        self.state.borrow_mut().lost += 1;
        shared.count(|counts| counts.messages_lost += 1);
    }

    /// False when there is no room.
    fn take_in(&self, arrival: Arrival, shared: &Shared) -> bool {
        let mut state = self.state.borrow_mut();
        let size = arrival.size();
        let limits = &shared.limits;
        let total = shared.waiting_bytes.get() + size;
        // An empty inbox takes one message of any size: the packet cap bounds it.
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

    /// The next message, or why there will be none. Waits as long as it takes.
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

    /// Counts `bytes` of messages taken out as waiting still, until this is dropped: a caller that
    /// collects many calls' worth of messages is bounded like one that lets them wait here.
    pub fn hold(&mut self, bytes: usize) {
        self.held += bytes;
        let total = &self.guard.shared.waiting_bytes;
        total.set(total.get() + bytes);
    }

    /// Throws away what has come so far: messages older than a request are not its reply.
    pub fn clear(&mut self) {
        let mut state = self.sender.state.borrow_mut();
        self.guard.shared.release(state.bytes);
        state.bytes = 0;
        state.queue.clear();
    }

    /// Messages that came and are still waiting here.
    #[must_use]
    pub fn waiting(&self) -> usize {
        let state = self.sender.state.borrow();
        let messages = |arrival: &&Arrival| matches!(arrival, Arrival::Message(_));
        state.queue.iter().filter(messages).count()
    }

    /// Messages that came and found no room here, or were too large to be kept.
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
        self.guard.shared.release(self.held);
    }
}
