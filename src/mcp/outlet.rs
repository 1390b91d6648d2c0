//! The way from the engine to a client for everything that is no answer.
//!
//! Promises: whoever offers learns whether the message was taken; progress may have a way of its
//! own, on which less may wait.
//! Does not: keep, order or write anything; the front door does.

use std::fmt;
use std::rc::Rc;

use super::separators;

/// Takes messages for the client. The front door makes it: a line on stdout, an event on a
/// request's own stream. Cheap to clone.
#[derive(Clone)]
pub struct Outlet {
    all: Offer,
    progress: Option<Offer>,
    shared: bool,
}

type Offer = Rc<dyn Fn(Vec<u8>) -> bool>;

impl Outlet {
    /// An outlet that belongs to one request and ends with its answer. `offer` gets each message
    /// (JSON text without a line end) and answers whether it took it; it must neither block nor
    /// grow without bound.
    pub fn new(offer: impl Fn(Vec<u8>) -> bool + 'static) -> Outlet {
        Outlet {
            all: Rc::new(offer),
            progress: None,
            shared: false,
        }
    }

    /// An outlet that carries what belongs to any number of requests and outlives them.
    pub fn shared(offer: impl Fn(Vec<u8>) -> bool + 'static) -> Outlet {
        Outlet {
            shared: true,
            ..Outlet::new(offer)
        }
    }

    /// Sends progress through this instead. It may refuse sooner: a report that is not taken is
    /// dropped without harm, while a subscription whose notification is not taken has to end.
    #[must_use]
    pub fn with_progress(mut self, offer: impl Fn(Vec<u8>) -> bool + 'static) -> Outlet {
        self.progress = Some(Rc::new(offer));
        self
    }

    /// An outlet that takes nothing.
    #[must_use]
    pub fn closed() -> Outlet {
        Outlet::new(|_| false)
    }

    pub(super) fn offer(&self, text: Vec<u8>) -> bool {
        (self.all)(separators::escaped(text))
    }

    pub(super) fn offer_progress(&self, text: Vec<u8>) -> bool {
        self.progress.as_ref().unwrap_or(&self.all)(separators::escaped(text))
    }

    pub(super) fn is_shared(&self) -> bool {
        self.shared
    }
}

impl Default for Outlet {
    fn default() -> Outlet {
        Outlet::closed()
    }
}

impl fmt::Debug for Outlet {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Outlet")
    }
}
