//! The latest value of something, with a wake-up for every task that waits for a change.
//!
//! Promises: a change wakes every waiting task.
//! Does not: keep intermediate values.

use std::cell::{Cell, RefCell};
use std::fmt;
use std::future::poll_fn;
use std::rc::Rc;
use std::task::{Context, Poll};

use super::notify::NotifyAll;

/// A shared value. Cheap to clone; clones share one value.
#[derive(Clone, Default)]
pub struct Watch<T>(Rc<WatchState<T>>);

#[derive(Default)]
struct WatchState<T> {
    value: RefCell<T>,
    /// The number of times that the value was set.
    version: Cell<u64>,
    changed: NotifyAll,
}

impl<T: Clone> Watch<T> {
    /// Creates the shared value.
    #[must_use]
    pub fn new(value: T) -> Self {
        Self(Rc::new(WatchState {
            value: RefCell::new(value),
            version: Cell::new(0),
            changed: NotifyAll::default(),
        }))
    }

    /// Returns a copy of the current value.
    #[must_use]
    pub fn get(&self) -> T {
        self.0.value.borrow().clone()
    }

    /// Applies `look` to the current value and returns its result.
    pub fn with<R>(&self, look: impl FnOnce(&T) -> R) -> R {
        look(&self.0.value.borrow())
    }

    /// Sets the value and wakes every waiting task, also when the value is unchanged.
    pub fn set(&self, value: T) {
        self.0.value.replace(value);
        self.0.version.set(self.version() + 1);
        self.0.changed.notify_all();
    }

    /// Waits until the value fulfils the condition.
    pub async fn until(&self, holds: impl Fn(&T) -> bool) {
        poll_fn(|context| {
            if self.with(&holds) {
                return Poll::Ready(());
            }
            self.register(context);
            Poll::Pending
        })
        .await;
    }

    /// The number of times that the value was set.
    pub(crate) fn version(&self) -> u64 {
        self.0.version.get()
    }

    /// Registers the task of `context` to be woken when the value is set next.
    pub(crate) fn register(&self, context: &Context<'_>) {
        self.0.changed.register(context);
    }
}

impl<T: fmt::Debug> fmt::Debug for Watch<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Watch").field(&self.0.value).finish()
    }
}
