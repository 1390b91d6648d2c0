//! One value from one task to another, sent once.
//!
//! A channel would do the same at several times the cost, and there is one of these for every publish.

use std::cell::RefCell;
use std::rc::Rc;

use super::notify::Notify;

/// Sends the value. Dropping it unused tells the receiver that there will be none.
pub(crate) struct Sender<T>(Rc<OneshotState<T>>);

/// Receives the value.
pub(crate) struct Receiver<T>(Rc<OneshotState<T>>);

struct OneshotState<T> {
    value: RefCell<OneshotValue<T>>,
    changed: Notify,
}

enum OneshotValue<T> {
    /// Not sent yet.
    Open,
    Sent(T),
    /// Received, or never to be sent.
    Closed,
}

/// Both ends.
pub(crate) fn channel<T>() -> (Sender<T>, Receiver<T>) {
    let shared = Rc::new(OneshotState {
        value: RefCell::new(OneshotValue::Open),
        changed: Notify::default(),
    });
    (Sender(Rc::clone(&shared)), Receiver(shared))
}

impl<T> Sender<T> {
    /// Whether the receiver is gone.
    pub(crate) fn is_closed(&self) -> bool {
        Rc::strong_count(&self.0) == 1
    }

    /// Sends the value.
    pub(crate) fn send(self, value: T) {
        self.0.value.replace(OneshotValue::Sent(value));
    }
}

impl<T> Drop for Sender<T> {
    fn drop(&mut self) {
        let mut value = self.0.value.borrow_mut();
        if matches!(*value, OneshotValue::Open) {
            *value = OneshotValue::Closed;
        }
        drop(value);
        self.0.changed.notify();
    }
}

impl<T> Receiver<T> {
    /// Waits for the value; `None` when there will be none.
    pub(crate) async fn recv(self) -> Option<T> {
        let take = || match self.0.value.replace(OneshotValue::Closed) {
            OneshotValue::Open => {
                self.0.value.replace(OneshotValue::Open);
                None
            }
            OneshotValue::Sent(value) => Some(Some(value)),
            OneshotValue::Closed => Some(None),
        };
        self.0.changed.find(take).await
    }
}
