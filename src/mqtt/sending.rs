//! What is said about publishing, until the driver has heard it.
//!
//! Promises: a halt ends every publish that was handed in before it, also when it is lifted before the driver's next turn.

use std::cell::RefCell;
use std::sync::Arc;

use mcpmqtt_protocol::client::Sending;

/// What the driver has to hear, and the last halt.
#[derive(Default)]
pub(super) struct SendingOrders {
    /// In the order in which it was said: at most a halt, and what came after it.
    unheard: RefCell<Vec<Sending>>,
    halts: RefCell<Halts>,
}

#[derive(Default)]
struct Halts {
    count: u64,
    last: Option<Arc<str>>,
}

impl SendingOrders {
    pub(super) fn say(&self, sending: Sending) {
        let mut unheard = self.unheard.borrow_mut();
        if let Sending::Halted(words) = &sending {
            unheard.clear();
            let mut halts = self.halts.borrow_mut();
            halts.count += 1;
            halts.last = Some(Arc::clone(words));
        }
        unheard.retain(|it| matches!(it, Sending::Halted(_)));
        unheard.push(sending);
    }

    /// What the driver hears next.
    pub(super) fn hear(&self) -> Option<Sending> {
        let mut unheard = self.unheard.borrow_mut();
        (!unheard.is_empty()).then(|| unheard.remove(0))
    }

    /// The number of halts so far.
    pub(super) fn halts(&self) -> u64 {
        self.halts.borrow().count
    }

    /// The words of the last halt, if it came after so many halts.
    pub(super) fn halted_since(&self, halts: u64) -> Option<Arc<str>> {
        let so_far = self.halts.borrow();
        (so_far.count > halts).then(|| so_far.last.clone())?
    }
}
