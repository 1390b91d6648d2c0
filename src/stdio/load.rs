//! Counts the calls in flight.
//!
//! Promises: a [`Slot`] gives its share back when it is dropped, however its call ended.
//! Does not: refuse anybody.

use std::cell::Cell;
use std::future::poll_fn;
use std::rc::Rc;
use std::task::{Poll, Waker};

/// How much is in flight, and how much may be.
pub(super) struct Load {
    requests: Cell<usize>,
    bytes: Cell<usize>,
    max_requests: usize,
    max_bytes: usize,
    freed: Signal,
}

/// One call's share.
pub(super) struct Slot {
    load: Rc<Load>,
    requests: usize,
    bytes: usize,
}

/// Lets one task wait for a change that another task on the same thread makes.
#[derive(Default)]
pub(super) struct Signal(Cell<Option<Waker>>);

impl Load {
    pub(super) fn new(max_requests: usize, max_bytes: usize) -> Rc<Load> {
        Rc::new(Load {
            requests: Cell::new(0),
            bytes: Cell::new(0),
            max_requests,
            max_bytes,
            freed: Signal::default(),
        })
    }

    pub(super) fn requests(&self) -> usize {
        self.requests.get()
    }

    pub(super) fn has_room(&self, requests: usize, bytes: usize) -> bool {
        let used = self.bytes.get();
        self.requests.get() + requests <= self.max_requests
            && (used == 0 || used + bytes <= self.max_bytes)
    }

    /// Waits for room.
    pub(super) async fn room(&self, requests: usize, bytes: usize) {
        self.freed.until(|| self.has_room(requests, bytes)).await;
    }

    /// Waits until nothing is in flight.
    pub(super) async fn empty(&self) {
        self.freed.until(|| self.requests.get() == 0).await;
    }

    pub(super) fn take(self: &Rc<Self>, requests: usize, bytes: usize) -> Slot {
        self.requests.set(self.requests.get() + requests);
        self.bytes.set(self.bytes.get() + bytes);
        Slot {
            load: self.clone(),
            requests,
            bytes,
        }
    }
}

impl Drop for Slot {
    fn drop(&mut self) {
        let load = &self.load;
        load.requests.set(load.requests.get() - self.requests);
        load.bytes.set(load.bytes.get() - self.bytes);
        load.freed.notify();
    }
}

impl Signal {
    /// Waits until `test` holds. It is asked again after each [`notify`](Self::notify).
    pub(super) async fn until(&self, test: impl Fn() -> bool) {
        poll_fn(|context| {
            if test() {
                return Poll::Ready(());
            }
            self.0.set(Some(context.waker().clone()));
            Poll::Pending
        })
        .await;
    }

    pub(super) fn notify(&self) {
        if let Some(waker) = self.0.take() {
            waker.wake();
        }
    }
}
