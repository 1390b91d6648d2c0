//! A tap: a function that is called with each message as it arrives.
//!
//! Does not: hold messages. What a tap keeps is its own.

use std::rc::Rc;
use std::time::Instant;

use mcpmqtt_protocol::message::Message;

use super::TooLarge;
use super::client::CancelGuard;

/// The function that observes. It runs within the driver's turn, so it is quick and calls nothing of the client.
pub type Tap = Rc<dyn Fn(Instant, Tapped<'_>)>;

/// What a tap is told.
#[derive(Debug)]
pub enum Tapped<'a> {
    /// A message has arrived.
    Message {
        /// The message.
        message: &'a Message,
        /// Whether this may be one of several copies; see [`Event::Observed`](mcpmqtt_protocol::client::Event::Observed).
        may_be_copy: bool,
    },
    /// A message has arrived that was too large to be kept.
    TooLarge(&'a TooLarge),
    /// The connection was lost. Messages sent until it is there again may be missed.
    Interrupted,
    /// No more messages will come: the broker refused the filter, or the client was shut down.
    Ended(&'a mcpmqtt_protocol::client::Reason),
}

/// A filter that is observed, until this is dropped.
#[derive(Debug)]
pub struct Observing {
    /// The tap is called as long as this is there.
    pub(super) _is_observing: Rc<()>,
    pub(super) _guard: CancelGuard,
}
