//! What a request or a session has to tell its client, until it is sent: a queue on one thread.
//!
//! Promises: nothing is lost but by whoever closes it; the teller learns whether somebody takes what it tells.
//! Does not: bound itself; the teller can ask how much waits. A channel would do the same at several times the cost, and
//! there is one for every request, which mostly has nothing to tell.

use std::cell::{Cell, RefCell};
use std::collections::VecDeque;
use std::future::poll_fn;
use std::rc::Rc;
use std::task::{Context, Poll, Waker};

/// The end that messages go in at. When it is dropped, no more will come.
#[derive(Debug)]
pub(super) struct Teller(Rc<Queue>);

/// The end that they come out at. When it is dropped, nobody takes them any more.
#[derive(Debug)]
pub(super) struct News(Rc<Queue>);

#[derive(Debug, Default)]
struct Queue {
    messages: RefCell<VecDeque<Vec<u8>>>,
    waker: RefCell<Option<Waker>>,
    closed: Cell<bool>,
    /// Something was told, or will be.
    begun: Cell<bool>,
}

/// Both ends.
pub(super) fn queue() -> (Teller, News) {
    let queue = Rc::<Queue>::default();
    (Teller(Rc::clone(&queue)), News(queue))
}

impl Teller {
    /// Puts a message in.
    ///
    /// # Errors
    /// The message, when nobody takes it any more.
    pub(super) fn tell(&self, message: Vec<u8>) -> Result<(), Vec<u8>> {
        if self.is_closed() {
            return Err(message);
        }
        self.0.messages.borrow_mut().push_back(message);
        self.0.begun.set(true);
        self.0.wake();
        Ok(())
    }

    /// How many messages wait.
    pub(super) fn waiting(&self) -> usize {
        self.0.messages.borrow().len()
    }

    pub(super) fn is_closed(&self) -> bool {
        self.0.closed.get()
    }

    /// Whether the stream of these messages has begun, or has to.
    pub(super) fn has_begun(&self) -> bool {
        self.0.begun.get()
    }
}

impl News {
    /// The stream begins, whether there is something to tell or not.
    pub(super) fn begin(&self) {
        self.0.begun.set(true);
    }

    /// The next message; `None` when no more will come.
    pub(super) async fn next(&self) -> Option<Vec<u8>> {
        poll_fn(|context| self.0.poll_next(context)).await
    }

    /// A message that is there already.
    pub(super) fn take(&self) -> Option<Vec<u8>> {
        self.0.messages.borrow_mut().pop_front()
    }

    pub(super) fn is_empty(&self) -> bool {
        self.0.messages.borrow().is_empty()
    }

    /// From now on nothing goes in; what is there can be taken.
    pub(super) fn close(&self) {
        self.0.close();
    }

    pub(super) fn is_closed(&self) -> bool {
        self.0.closed.get()
    }
}

impl Queue {
    fn poll_next(&self, context: &mut Context<'_>) -> Poll<Option<Vec<u8>>> {
        if let Some(message) = self.messages.borrow_mut().pop_front() {
            return Poll::Ready(Some(message));
        }
        if self.closed.get() {
            return Poll::Ready(None);
        }
        let mut waker = self.waker.borrow_mut();
        match &mut *waker {
            Some(waker) => waker.clone_from(context.waker()),
            None => *waker = Some(context.waker().clone()),
        }
        Poll::Pending
    }

    fn close(&self) {
        self.closed.set(true);
        self.wake();
    }

    fn wake(&self) {
        if let Some(waker) = self.waker.take() {
            waker.wake();
        }
    }
}

impl Drop for Teller {
    fn drop(&mut self) {
        self.0.close();
    }
}

impl Drop for News {
    fn drop(&mut self) {
        self.0.close();
    }
}
