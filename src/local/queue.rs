//! Messages from one task to another, in order.
//!
//! Promises: only the end that closes loses messages; the sender learns whether somebody receives what it sends.
//! Does not: bound itself; the sender can ask how many messages wait. A channel would do the same at several times the
//! cost, and there is one of these for every request over HTTP, which mostly carries none.

use std::cell::{Cell, RefCell};
use std::collections::VecDeque;
use std::rc::Rc;

use super::notify::Notify;

/// The end that messages go in at. When it is dropped, no more will come.
#[derive(Debug)]
pub(crate) struct Sender<T>(Rc<QueueState<T>>);

/// The end that messages come out at. When it is dropped, nobody receives them any more.
#[derive(Debug)]
pub(crate) struct Receiver<T>(Rc<QueueState<T>>);

#[derive(Debug)]
struct QueueState<T> {
    messages: RefCell<VecDeque<T>>,
    changed: Notify,
    closed: Cell<bool>,
}

/// Both ends.
pub(crate) fn unbounded<T>() -> (Sender<T>, Receiver<T>) {
    let queue = Rc::new(QueueState {
        messages: RefCell::default(),
        changed: Notify::default(),
        closed: Cell::new(false),
    });
    (Sender(Rc::clone(&queue)), Receiver(queue))
}

impl<T> Sender<T> {
    /// Puts a message in.
    ///
    /// # Errors
    /// The message, when the queue is closed.
    pub(crate) fn send(&self, message: T) -> Result<(), T> {
        if self.is_closed() {
            return Err(message);
        }
        self.0.messages.borrow_mut().push_back(message);
        self.0.changed.notify();
        Ok(())
    }

    /// How many messages wait.
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

    /// A message that is there already.
    pub(crate) fn try_recv(&self) -> Option<T> {
        self.0.messages.borrow_mut().pop_front()
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.0.messages.borrow().is_empty()
    }

    /// From now on nothing goes in; what is there can be received.
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
