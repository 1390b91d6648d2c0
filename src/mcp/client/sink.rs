//! The way from the engine to a client for everything that is no answer.
//!
//! Promises: whoever offers learns whether the message was taken; progress may have a way of its
//! own, on which less may wait.
//! Does not: keep, order or write anything; the front door does.

use std::fmt;
use std::rc::Rc;

use crate::mcp::jsonrpc::line_separators;
use crate::mcp::jsonrpc::message::Id;

/// Takes messages for the client. The front door makes it: a line on stdout, an event on a
/// request's own stream. Cheap to clone.
#[derive(Clone)]
pub struct ClientSink {
    all: Offer,
    progress: Option<Offer>,
    most: Option<Rc<dyn Fn() -> Option<usize>>>,
    shared: bool,
}

type Offer = Rc<dyn Fn(Vec<u8>) -> bool>;

/// How long the answer of one request may be: known for certain only when it is made. Cheap to clone.
#[derive(Clone, Debug, Default)]
pub struct AnswerRoom {
    sink: ClientSink,
    envelope: usize,
}

impl AnswerRoom {
    /// AnswerRoom for the answer to the request of this id.
    pub(in crate::mcp) fn of(sink: &ClientSink, id: &Id) -> AnswerRoom {
        AnswerRoom {
            sink: sink.clone(),
            envelope: id.as_json().len() + ENVELOPE,
        }
    }

    /// Bytes that the result may have at this moment; `None`: any number.
    #[must_use]
    pub fn bytes(&self) -> Option<usize> {
        let most = self.sink.most.as_ref()?()?;
        Some(most.saturating_sub(self.envelope))
    }
}

impl ClientSink {
    /// A sink that belongs to one request and ends with its answer. `offer` gets each message
    /// (JSON text without a line end) and answers whether it took it; it must neither block nor
    /// grow without bound.
    pub fn new(offer: impl Fn(Vec<u8>) -> bool + 'static) -> ClientSink {
        ClientSink {
            all: Rc::new(offer),
            progress: None,
            most: None,
            shared: false,
        }
    }

    /// A sink that carries what belongs to any number of requests and outlives them.
    pub fn shared(offer: impl Fn(Vec<u8>) -> bool + 'static) -> ClientSink {
        ClientSink {
            shared: true,
            ..ClientSink::new(offer)
        }
    }

    /// Sends progress through this instead. It may refuse sooner: a report that is not taken is
    /// dropped without harm, while a subscription whose notification is not taken has to end.
    #[must_use]
    pub fn with_progress(mut self, offer: impl Fn(Vec<u8>) -> bool + 'static) -> ClientSink {
        self.progress = Some(Rc::new(offer));
        self
    }

    /// Bounds the answer, too, at the moment when it is made: `most` says in bytes to how much, if it does.
    #[must_use]
    pub fn with_most(mut self, most: impl Fn() -> Option<usize> + 'static) -> ClientSink {
        self.most = Some(Rc::new(most));
        self
    }

    /// A sink that takes nothing.
    #[must_use]
    pub fn closed() -> ClientSink {
        ClientSink::new(|_| false)
    }

    pub(in crate::mcp) fn offer(&self, text: Vec<u8>) -> bool {
        (self.all)(line_separators::escaped(text))
    }

    pub(in crate::mcp) fn offer_progress(&self, text: Vec<u8>) -> bool {
        self.progress.as_ref().unwrap_or(&self.all)(line_separators::escaped(text))
    }

    pub(in crate::mcp) fn is_shared(&self) -> bool {
        self.shared
    }
}

impl Default for ClientSink {
    fn default() -> ClientSink {
        ClientSink::closed()
    }
}

impl fmt::Debug for ClientSink {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("ClientSink")
    }
}

/// Bytes of an answer around the result of a tool, with `_meta` and the members that do not grow.
const ENVELOPE: usize = 4096;
