//! Wakes tasks that wait for a condition to change: one task ([`Notify`]), or all that wait ([`NotifyAll`]).
//!
//! Promises: a notification after the condition was found false is never missed.
//! Does not: keep several tasks in a [`Notify`]; the last one that waits is woken.

use std::cell::{Cell, RefCell};
use std::fmt;
use std::future::poll_fn;
use std::task::{Context, Poll, Waker};

/// A place for one task to wait until it is notified.
#[derive(Default)]
pub(crate) struct Notify(Cell<Option<Waker>>);

impl Notify {
    /// Wakes the waiting task, because the condition may have changed.
    pub(crate) fn notify(&self) {
        if let Some(waker) = self.0.take() {
            waker.wake();
        }
    }

    /// Registers the task of `context`: the next notification wakes it.
    pub(crate) fn register(&self, context: &Context<'_>) {
        let waker = match self.0.take() {
            Some(waker) if waker.will_wake(context.waker()) => waker,
            _ => context.waker().clone(),
        };
        self.0.set(Some(waker));
    }

    /// Waits until the condition holds; it is checked again after each notification.
    pub(crate) async fn until(&self, holds: impl Fn() -> bool) {
        self.find(|| holds().then_some(())).await;
    }

    /// Waits until `look` returns a value; it is called again after each notification.
    pub(crate) async fn find<T>(&self, look: impl FnMut() -> Option<T>) -> T {
        find(look, |context| self.register(context)).await
    }
}

impl fmt::Debug for Notify {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Notify").finish_non_exhaustive()
    }
}

/// Where any number of tasks wait, and others notify them all.
#[derive(Default)]
pub(crate) struct NotifyAll(RefCell<Vec<Waker>>);

impl NotifyAll {
    /// The condition may have changed.
    pub(crate) fn notify_all(&self) {
        for waker in self.0.take() {
            waker.wake();
        }
    }

    /// Waits until `look` returns a value; it is called again after each notification.
    pub(crate) async fn find<T>(&self, look: impl FnMut() -> Option<T>) -> T {
        find(look, |context| self.register(context)).await
    }

    /// The task of `context` waits from now on: the next notification wakes it.
    pub(crate) fn register(&self, context: &Context<'_>) {
        let mut wakers = self.0.borrow_mut();
        if !wakers.iter().any(|waker| waker.will_wake(context.waker())) {
            wakers.push(context.waker().clone());
        }
    }
}

impl fmt::Debug for NotifyAll {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("NotifyAll").finish_non_exhaustive()
    }
}

async fn find<T>(mut look: impl FnMut() -> Option<T>, register: impl Fn(&Context<'_>)) -> T {
    poll_fn(|context| match look() {
        Some(found) => Poll::Ready(found),
        None => {
            register(context);
            Poll::Pending
        }
    })
    .await
}
