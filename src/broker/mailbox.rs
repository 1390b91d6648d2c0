//! What has come for one listener and waits to be taken.
//!
//! Promises: bounded in messages and bytes, alone and together with all others; what finds no room is counted.

use std::cell::RefCell;
use std::collections::VecDeque;
use std::task::Waker;

use mcpmqtt_protocol::client::Reason;
use mcpmqtt_protocol::message::Message;

use super::{Arrival, Shared, TooLarge};

/// Where the link puts what comes for one listener.
#[derive(Default)]
pub(crate) struct Mailbox {
    pub(super) state: RefCell<MailboxState>,
}

#[derive(Default)]
pub(super) struct MailboxState {
    pub(super) queue: VecDeque<Arrival>,
    pub(super) bytes: usize,
    pub(super) lost: u64,
    pub(super) interruptions: u64,
    pub(super) ended: Option<Reason>,
    pub(super) waker: Option<Waker>,
}

impl Mailbox {
    /// Takes a message in, or counts it as lost when there is no room.
    pub(crate) fn put(&self, message: Message, shared: &Shared) {
        if !self.take_in(Arrival::Message(message), shared) {
            self.count_lost(shared);
        }
    }

    /// Counts a message as lost that was too large to be kept, and tells of it if there is room for that.
    pub(crate) fn put_too_large(&self, large: TooLarge, shared: &Shared) {
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
        state.wake();
        true
    }

    pub(crate) fn interrupt(&self) {
        self.state.borrow_mut().interruptions += 1;
    }

    pub(crate) fn end(&self, reason: Reason) {
        let mut state = self.state.borrow_mut();
        state.ended.get_or_insert(reason);
        state.wake();
    }
}

impl MailboxState {
    fn wake(&mut self) {
        if let Some(waker) = self.waker.take() {
            waker.wake();
        }
    }
}
