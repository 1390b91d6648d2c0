//! Bytes that all connections together may hold.

use std::cell::Cell;
use std::rc::Rc;

use http_types::StatusCode;

use crate::http::h1::refusal::Refusal;

/// A budget of bytes that several holders share.
#[derive(Debug)]
pub(in crate::http) struct ByteBudget {
    left: Cell<usize>,
}

/// One holder's part; dropping it gives it back.
#[derive(Debug)]
pub(in crate::http) struct Share {
    budget: Rc<ByteBudget>,
    held: usize,
}

impl ByteBudget {
    pub(in crate::http) fn new(bytes: usize) -> Rc<ByteBudget> {
        let left = Cell::new(bytes);
        Rc::new(ByteBudget { left })
    }

    pub(in crate::http) fn share(self: &Rc<Self>) -> Share {
        Share {
            budget: Rc::clone(self),
            held: 0,
        }
    }
}

impl Share {
    /// Takes `bytes` more.
    ///
    /// # Errors
    /// 503 when there are not so many left.
    pub(in crate::http) fn grow(&mut self, bytes: usize) -> Result<(), Refusal> {
        let Some(left) = self.budget.left.get().checked_sub(bytes) else {
            let text = "too many bytes of requests are in progress; try again";
            return Err(Refusal::new(StatusCode::ServiceUnavailable, text).with("retry-after", "1"));
        };
        self.budget.left.set(left);
        self.held += bytes;
        Ok(())
    }
}

impl Drop for Share {
    fn drop(&mut self) {
        self.budget.left.set(self.budget.left.get() + self.held);
    }
}
