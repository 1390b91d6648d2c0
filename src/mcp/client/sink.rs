//! The engine's channel to a client for notifications and requests; responses go another way.
//!
//! Promises: the caller learns whether a message was accepted; progress may have a channel of its own, with a shorter
//! queue.
//! Does not: queue, order or write messages; the transport does.

use std::fmt;
use std::rc::Rc;

use crate::mcp::jsonrpc::line_separators;
use crate::mcp::jsonrpc::message::Id;

/// Sends messages to the client. The transport creates the sink: its messages become lines on stdout or events on a
/// request's stream. Cheap to clone.
#[derive(Clone)]
pub struct ClientSink {
    all: Offer,
    progress: Option<Offer>,
    most: Option<Rc<dyn Fn() -> Option<usize>>>,
    shared: bool,
}

type Offer = Rc<dyn Fn(Vec<u8>) -> bool>;

/// The limit on one response's length, which is known for certain only when the response is built. Cheap to clone.
#[derive(Clone, Debug, Default)]
pub struct AnswerRoom {
    sink: ClientSink,
    envelope: usize,
}

impl AnswerRoom {
    /// The room in the response to the request with this id.
    pub(in crate::mcp) fn of(sink: &ClientSink, id: &Id) -> AnswerRoom {
        AnswerRoom {
            sink: sink.clone(),
            envelope: id.as_json().len() + ENVELOPE,
        }
    }

    /// The number of bytes that the result may have now; `None` for no limit.
    #[must_use]
    pub fn bytes(&self) -> Option<usize> {
        let most = self.sink.most.as_ref()?()?;
        Some(most.saturating_sub(self.envelope))
    }
}

impl ClientSink {
    /// A sink that belongs to one request and ends with its response. `offer` gets each message (JSON text without a
    /// line end) and returns whether it accepted the message; `offer` must neither block nor grow without bound.
    pub fn new(offer: impl Fn(Vec<u8>) -> bool + 'static) -> ClientSink {
        ClientSink {
            all: Rc::new(offer),
            progress: None,
            most: None,
            shared: false,
        }
    }

    /// A sink for the messages of any number of requests, which outlives them.
    pub fn shared(offer: impl Fn(Vec<u8>) -> bool + 'static) -> ClientSink {
        ClientSink {
            shared: true,
            ..ClientSink::new(offer)
        }
    }

    /// Sends progress through `offer` instead. This function may refuse sooner: a progress report that is not accepted
    /// is dropped without harm, while a subscription whose notification is not accepted has to end.
    #[must_use]
    pub fn with_progress(mut self, offer: impl Fn(Vec<u8>) -> bool + 'static) -> ClientSink {
        self.progress = Some(Rc::new(offer));
        self
    }

    /// Limits the response as well: `most` returns the limit in bytes at the moment when the response is built, or
    /// `None` for no limit.
    #[must_use]
    pub fn with_most(mut self, most: impl Fn() -> Option<usize> + 'static) -> ClientSink {
        self.most = Some(Rc::new(most));
        self
    }

    /// A sink that accepts no message.
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

/// Bytes of a response around a tool's result: `_meta` and the members that do not grow.
const ENVELOPE: usize = 4096;
