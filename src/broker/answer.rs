//! The answer to one call: given once by the link, awaited once by the caller, on one thread.
//!
//! A channel would do the same at several times the cost, and there is one for every publish.

use std::cell::RefCell;
use std::future::poll_fn;
use std::rc::Rc;
use std::task::{Poll, Waker};

/// The caller's end.
pub(super) struct Answer<T>(Rc<RefCell<State<T>>>);

/// The link's end. Dropping it unused tells the caller that there will be no answer.
pub(crate) struct Reply<T>(Rc<RefCell<State<T>>>);

enum State<T> {
    Open(Option<Waker>),
    Given(T),
    Over,
}

/// Both ends.
pub(super) fn pair<T>() -> (Reply<T>, Answer<T>) {
    let state = Rc::new(RefCell::new(State::Open(None)));
    (Reply(Rc::clone(&state)), Answer(state))
}

impl<T> Answer<T> {
    /// Waits for the answer; `None` when there will be none.
    pub(super) async fn recv(self) -> Option<T> {
        poll_fn(|cx| {
            let mut state = self.0.borrow_mut();
            if let State::Open(waker) = &mut *state {
                *waker = Some(cx.waker().clone());
                return Poll::Pending;
            }
            match std::mem::replace(&mut *state, State::Over) {
                State::Given(answer) => Poll::Ready(Some(answer)),
                _ => Poll::Ready(None),
            }
        })
        .await
    }
}

impl<T> Reply<T> {
    /// Whether the caller has gone.
    pub(crate) fn is_closed(&self) -> bool {
        Rc::strong_count(&self.0) == 1
    }

    /// Gives the answer.
    pub(crate) fn give(self, answer: T) {
        self.set(State::Given(answer));
    }

    fn set(&self, state: State<T>) {
        let before = self.0.replace(state);
        if let State::Open(Some(waker)) = before {
            waker.wake();
        }
    }
}

impl<T> Drop for Reply<T> {
    fn drop(&mut self) {
        let open = matches!(*self.0.borrow(), State::Open(_));
        if open {
            self.set(State::Over);
        }
    }
}
