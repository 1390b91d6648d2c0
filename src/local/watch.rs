//! The latest value of something, for tasks that want to see it change.
//!
//! Promises: everybody who waits is woken by a change.
//! Does not: remember the values in between.

use std::cell::{Cell, RefCell};
use std::fmt;
use std::future::poll_fn;
use std::rc::Rc;
use std::task::{Context, Poll};

use super::notify::NotifyAll;

/// Cheap to clone; clones share one value.
#[derive(Clone, Default)]
pub struct Watch<T>(Rc<WatchState<T>>);

#[derive(Default)]
struct WatchState<T> {
    value: RefCell<T>,
    /// How often it was set.
    version: Cell<u64>,
    changed: NotifyAll,
}

impl<T: Clone> Watch<T> {
    /// A value to begin with.
    #[must_use]
    pub fn new(value: T) -> Self {
        Self(Rc::new(WatchState {
            value: RefCell::new(value),
            version: Cell::new(0),
            changed: NotifyAll::default(),
        }))
    }

    /// The value now.
    #[must_use]
    pub fn get(&self) -> T {
        self.0.value.borrow().clone()
    }

    /// What `look` makes of the value now.
    pub fn with<R>(&self, look: impl FnOnce(&T) -> R) -> R {
        look(&self.0.value.borrow())
    }

    /// Sets the value and wakes everybody who waits, also when it is the same value again.
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

    /// How often the value was set.
    pub(crate) fn version(&self) -> u64 {
        self.0.version.get()
    }

    /// The task of `context` is woken when the value is set next.
    pub(crate) fn register(&self, context: &Context<'_>) {
        self.0.changed.register(context);
    }
}

impl<T: fmt::Debug> fmt::Debug for Watch<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Watch").field(&self.0.value).finish()
    }
}
