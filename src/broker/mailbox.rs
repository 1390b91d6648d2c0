//! What has come for one listener and waits to be taken.
//!
//! Promises: bounded in messages and bytes, alone and together with all others; what finds no room is counted.

use std::cell::RefCell;
use std::collections::VecDeque;
use std::task::Waker;

use mcpmqtt_protocol::client::Reason;
use mcpmqtt_protocol::message::Message;

use super::Shared;

/// Where the link puts what comes for one listener.
#[derive(Default)]
pub(crate) struct Mailbox {
    pub(super) state: RefCell<MailboxState>,
}

#[derive(Default)]
pub(super) struct MailboxState {
    pub(super) queue: VecDeque<Message>,
    pub(super) bytes: usize,
    pub(super) lost: u64,
    pub(super) interruptions: u64,
    pub(super) ended: Option<Reason>,
    pub(super) waker: Option<Waker>,
}

impl Mailbox {
    /// Takes a message in, or counts it as lost when there is no room.
    pub(crate) fn put(&self, message: Message, shared: &Shared) {
        let mut state = self.state.borrow_mut();
        let size = message.size();
        let limits = &shared.limits;
        let total = shared.waiting_bytes.get() + size;
        // An empty inbox takes one message of any size: the packet cap bounds it.
        let fits = state.queue.is_empty()
            || (state.queue.len() < limits.messages && state.bytes + size <= limits.bytes);
        if !fits || total > limits.total_bytes {
            state.lost += 1;
            shared.count(|counts| counts.messages_lost += 1);
            return;
        }
        shared.waiting_bytes.set(total);
        state.bytes += size;
        state.queue.push_back(message);
        state.wake();
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
