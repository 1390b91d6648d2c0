//! A number that goes up and down, and that somebody may wait to see change.
//!
//! Does not: remember what it was in between, or wake more than one who waits.

use std::cell::{Cell, RefCell};
use std::future::poll_fn;
use std::rc::Rc;
use std::task::{Poll, Waker};

/// Cheap to clone; clones are one number.
#[derive(Debug, Clone, Default)]
pub struct Gauge(Rc<State>);

#[derive(Debug, Default)]
struct State {
    value: Cell<usize>,
    waker: RefCell<Option<Waker>>,
}

impl Gauge {
    /// The number now.
    #[must_use]
    pub fn value(&self) -> usize {
        self.0.value.get()
    }

    /// Changes it.
    pub fn set(&self, value: usize) {
        if self.0.value.replace(value) == value {
            return;
        }
        if let Some(waker) = self.0.waker.take() {
            waker.wake();
        }
    }

    /// Waits until it is another than `seen`.
    pub async fn changed(&self, seen: usize) {
        poll_fn(|context| {
            if self.value() != seen {
                return Poll::Ready(());
            }
            self.0.waker.replace(Some(context.waker().clone()));
            Poll::Pending
        })
        .await;
    }
}
