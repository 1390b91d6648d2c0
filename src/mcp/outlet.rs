//! The way from the engine to a client for everything that is no answer.
//!
//! Promises: whoever offers learns whether the message was taken; progress may have a way of its
//! own, on which less may wait.
//! Does not: keep, order or write anything; the front door does.

use std::fmt;
use std::rc::Rc;

use super::rpc::Id;
use super::separators;

/// Takes messages for the client. The front door makes it: a line on stdout, an event on a
/// request's own stream. Cheap to clone.
#[derive(Clone)]
pub struct Outlet {
    all: Offer,
    progress: Option<Offer>,
    most: Option<Rc<dyn Fn() -> Option<usize>>>,
    shared: bool,
}

type Offer = Rc<dyn Fn(Vec<u8>) -> bool>;

/// How long the answer of one request may be: known for certain only when it is made. Cheap to clone.
#[derive(Clone, Debug, Default)]
pub struct Room {
    outlet: Outlet,
    envelope: usize,
}

impl Room {
    /// Room for the answer to the request of this id.
    pub(super) fn of(outlet: &Outlet, id: &Id) -> Room {
        Room {
            outlet: outlet.clone(),
            envelope: id.as_json().len() + ENVELOPE,
        }
    }

    /// Bytes that the result may have at this moment; `None`: any number.
    #[must_use]
    pub fn bytes(&self) -> Option<usize> {
        let most = self.outlet.most.as_ref()?()?;
        Some(most.saturating_sub(self.envelope))
    }
}

impl Outlet {
    /// An outlet that belongs to one request and ends with its answer. `offer` gets each message
    /// (JSON text without a line end) and answers whether it took it; it must neither block nor
    /// grow without bound.
    pub fn new(offer: impl Fn(Vec<u8>) -> bool + 'static) -> Outlet {
        Outlet {
            all: Rc::new(offer),
            progress: None,
            most: None,
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

    /// Bounds the answer, too, at the moment when it is made: `most` says in bytes to how much, if it does.
    #[must_use]
    pub fn with_most(mut self, most: impl Fn() -> Option<usize> + 'static) -> Outlet {
        self.most = Some(Rc::new(most));
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

/// Bytes of an answer around the result of a tool, with `_meta` and the members that do not grow.
const ENVELOPE: usize = 4096;
