//! Sends one value once, from one task to another.
//!
//! A general channel costs several times as much, and every publish has one of these.

use std::cell::RefCell;
use std::rc::Rc;

use super::notify::Notify;

/// The sending end. Dropping it unused tells the receiver that no value will come.
pub(crate) struct Sender<T>(Rc<OneshotState<T>>);

pub(crate) struct Receiver<T>(Rc<OneshotState<T>>);

struct OneshotState<T> {
    value: RefCell<OneshotValue<T>>,
    changed: Notify,
}

enum OneshotValue<T> {
    /// The value was not sent yet.
    Open,
    Sent(T),
    /// The value was received, or will never be sent.
    Closed,
}

pub(crate) fn channel<T>() -> (Sender<T>, Receiver<T>) {
    let shared = Rc::new(OneshotState {
        value: RefCell::new(OneshotValue::Open),
        changed: Notify::default(),
    });
    (Sender(Rc::clone(&shared)), Receiver(shared))
}

impl<T> Sender<T> {
    pub(crate) fn is_closed(&self) -> bool {
        Rc::strong_count(&self.0) == 1
    }

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
    /// Waits for the value; `None` when the sender was dropped.
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
