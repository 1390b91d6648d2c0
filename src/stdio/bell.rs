//! Wakes the one future that waits for a condition to change.
//!
//! Promises: a ring after the condition was found false is never missed.
//! Does not: serve several waiters; the last one to wait is woken.

use std::cell::Cell;
use std::future::poll_fn;
use std::task::{Poll, Waker};

#[derive(Default)]
pub(super) struct Bell(Cell<Option<Waker>>);

impl Bell {
    /// Something changed.
    pub(super) fn ring(&self) {
        if let Some(waker) = self.0.take() {
            waker.wake();
        }
    }

    /// Waits until the condition holds; it is looked at again after each ring.
    pub(super) async fn until(&self, holds: impl Fn() -> bool) {
        poll_fn(|context| {
            if holds() {
                return Poll::Ready(());
            }
            self.0.set(Some(context.waker().clone()));
            Poll::Pending
        })
        .await;
    }
}
