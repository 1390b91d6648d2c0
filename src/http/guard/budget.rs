//! Bytes that all connections together may hold.
//!
//! Promises: all holders of one name together, if they are more than one, get at most fifteen sixteenths of what other names
//! leave, so that small requests of the next name find room, however many connections the others have.

use std::cell::{Cell, RefCell};
use std::collections::HashMap;
use std::rc::Rc;

use crate::http::h1::refusal::Refusal;

/// A budget of bytes that several holders share.
#[derive(Debug)]
pub(in crate::http) struct ByteBudget {
    left: Cell<usize>,
    /// By the name of the principal.
    held_by_name: RefCell<HashMap<Rc<str>, usize>>,
}

/// One holder's part; dropping it gives it back.
#[derive(Debug)]
pub(in crate::http) struct Share {
    budget: Rc<ByteBudget>,
    name: Rc<str>,
    held: usize,
}

/// The holders of one name hold at most so many times as many bytes as are still free.
const SHARE_OF_NAME: usize = 15;

impl ByteBudget {
    pub(in crate::http) fn new(bytes: usize) -> Rc<ByteBudget> {
        Rc::new(ByteBudget {
            left: Cell::new(bytes),
            held_by_name: RefCell::default(),
        })
    }

    /// A part for a holder whose principal has this name; it has no bytes yet.
    pub(in crate::http) fn share(self: &Rc<Self>, name: &Rc<str>) -> Share {
        Share {
            budget: Rc::clone(self),
            name: Rc::clone(name),
            held: 0,
        }
    }
}

impl Share {
    /// Takes `bytes` more.
    ///
    /// # Errors
    /// 503 when there are not so many left, or not for this name.
    pub(in crate::http) fn grow(&mut self, bytes: usize) -> Result<(), Refusal> {
        if bytes == 0 {
            return Ok(());
        }
        let Some(left) = self.budget.left.get().checked_sub(bytes) else {
            return Err(Refusal::overloaded(
                "too many bytes of requests are in progress; try again",
            ));
        };
        let mut held_by_name = self.budget.held_by_name.borrow_mut();
        let of_name = held_by_name.get(&self.name).copied().unwrap_or_default() + bytes;
        // The only body of a name may take all that there is.
        let is_only_one = of_name == self.held + bytes;
        if !is_only_one && of_name > left.saturating_mul(SHARE_OF_NAME) {
            return Err(Refusal::overloaded(
                "too many bytes of requests by clients with this client's name or key are in progress; try again",
            ));
        }
        held_by_name.insert(Rc::clone(&self.name), of_name);
        self.budget.left.set(left);
        self.held += bytes;
        Ok(())
    }
}

impl Drop for Share {
    fn drop(&mut self) {
        if self.held == 0 {
            return;
        }
        let ByteBudget { left, held_by_name } = &*self.budget;
        left.set(left.get() + self.held);
        let mut held_by_name = held_by_name.borrow_mut();
        let of_name = held_by_name.get(&self.name).copied().unwrap_or_default();
        // A name without bytes is removed from the table, because names come and go with reloads.
        match of_name.saturating_sub(self.held) {
            0 => held_by_name.remove(&self.name),
            of_name => held_by_name.insert(Rc::clone(&self.name), of_name),
        };
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    /// Takes parts of `size` bytes until one is refused; these, and the refusal's sentence.
    fn fill(budget: &Rc<ByteBudget>, name: &str, size: usize) -> (Vec<Share>, String) {
        let mut taken = Vec::new();
        loop {
            let mut share = budget.share(&name.into());
            match share.grow(size) {
                Ok(()) => taken.push(share),
                Err(refusal) => return (taken, refusal.sentence.into_owned()),
            }
        }
    }

    #[test]
    fn one_name_leaves_some_for_the_next_however_many_parts_it_has() {
        let budget = ByteBudget::new(1600);
        let (first, why) = fill(&budget, "a", 10);
        assert_eq!(first.len(), 150);
        assert!(why.contains("this client's name or key"), "{why}");
        let (second, _) = fill(&budget, "b", 1);
        assert_eq!(second.len(), 93);
        budget.share(&"c".into()).grow(6).unwrap();
        drop((first, second));
        assert_eq!(budget.left.get(), 1600);
        assert!(budget.held_by_name.borrow().is_empty());
    }

    #[test]
    fn all_names_together_get_no_more_than_there_is() {
        let budget = ByteBudget::new(100);
        let mut share = budget.share(&"a".into());
        let why = share.grow(101).unwrap_err().sentence;
        assert_eq!(why, "too many bytes of requests are in progress; try again");
        share.grow(60).unwrap();
        budget.share(&"b".into()).grow(41).unwrap_err();
        let mut other = budget.share(&"b".into());
        other.grow(37).unwrap();
        budget.share(&"a".into()).grow(1).unwrap_err();
        share.grow(3).unwrap();
        share.grow(1).unwrap_err();
        // Nothing more is always to be had.
        share.grow(0).unwrap();
    }
}
