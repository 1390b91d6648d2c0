//! An ordered queue of messages from one task to another.
//!
//! Promises: no message is lost unless one end closes; the sender learns whether there is a receiver.
//! Does not: bound itself; the sender can ask how many messages wait. A general channel costs several times as much,
//! and every HTTP request has one of these queues, mostly unused.

use std::cell::{Cell, RefCell};
use std::collections::VecDeque;
use std::rc::Rc;

use super::notify::Notify;

/// The sending end. After it is dropped, no more messages come.
#[derive(Debug)]
pub(crate) struct Sender<T>(Rc<QueueState<T>>);

/// The receiving end. After it is dropped, nobody receives messages.
#[derive(Debug)]
pub(crate) struct Receiver<T>(Rc<QueueState<T>>);

#[derive(Debug)]
struct QueueState<T> {
    messages: RefCell<VecDeque<T>>,
    changed: Notify,
    closed: Cell<bool>,
}

pub(crate) fn unbounded<T>() -> (Sender<T>, Receiver<T>) {
    let queue = Rc::new(QueueState {
        messages: RefCell::default(),
        changed: Notify::default(),
        closed: Cell::new(false),
    });
    (Sender(Rc::clone(&queue)), Receiver(queue))
}

impl<T> Sender<T> {
    /// Adds a message to the queue.
    ///
    /// # Errors
    /// Returns the message when the queue is closed.
    pub(crate) fn send(&self, message: T) -> Result<(), T> {
        if self.is_closed() {
            return Err(message);
        }
        self.0.messages.borrow_mut().push_back(message);
        self.0.changed.notify();
        Ok(())
    }

    pub(crate) fn len(&self) -> usize {
        self.0.messages.borrow().len()
    }

    pub(crate) fn is_closed(&self) -> bool {
        self.0.closed.get()
    }
}

impl<T> Receiver<T> {
    /// Waits for the next message; `None` when no more will come.
    pub(crate) async fn recv(&self) -> Option<T> {
        let take = || match self.try_recv() {
            None if !self.is_closed() => None,
            message => Some(message),
        };
        self.0.changed.find(take).await
    }

    /// Takes a message without waiting.
    pub(crate) fn try_recv(&self) -> Option<T> {
        self.0.messages.borrow_mut().pop_front()
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.0.messages.borrow().is_empty()
    }

    /// Closes the queue for new messages; messages already in it can be received.
    pub(crate) fn close(&self) {
        self.0.close();
    }

    pub(crate) fn is_closed(&self) -> bool {
        self.0.closed.get()
    }
}

impl<T> QueueState<T> {
    fn close(&self) {
        self.closed.set(true);
        self.changed.notify();
    }
}

impl<T> Drop for Sender<T> {
    fn drop(&mut self) {
        self.0.close();
    }
}

impl<T> Drop for Receiver<T> {
    fn drop(&mut self) {
        self.0.close();
    }
}
