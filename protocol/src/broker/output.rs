//! The broker's outputs to its driver, and the messages for why a connection ended.

use std::fmt;
use std::time::Instant;

use super::ConnId;
use crate::frame::FrameError;
use crate::message::Message;
use crate::topic::TopicFault;

/// An output of [`Broker::poll`](super::Broker::poll) for the driver.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Output {
    /// Drop this transport, whatever its state; the driver reports nothing back for it.
    Close(ConnId, CloseReason),
    /// A message for the embedding program.
    Local(Message),
    /// No more output until there is input, or until this time.
    Wait(Option<Instant>),
}

/// Why the broker ended a connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum CloseReason {
    /// The client sent DISCONNECT.
    Disconnect,
    /// Another connection used the same client identifier ([MQTT-3.1.4-2]).
    Takeover,
    /// No packet within one and a half times the keep alive ([MQTT-3.1.2-24]).
    KeepAlive,
    /// No CONNECT in time.
    NoConnect,
    /// The first packet was not CONNECT ([MQTT-3.1.0-1]).
    NotConnect,
    /// CONNECT came twice ([MQTT-3.1.0-2]).
    SecondConnect,
    /// The client identifier was empty and the session was to be kept ([MQTT-3.1.3-8]).
    EmptyClientId,
    /// The bytes were not a packet, or not one that a client may send.
    Frame(FrameError),
    /// A packet that only brokers send.
    BrokerPacket,
    /// A topic or filter violated the grammar.
    Topic(TopicFault),
    /// The acknowledgement was of another kind than the message in flight waits for.
    UnexpectedAck(&'static str),
    /// The client does not read the responses to its packets; the limit in bytes.
    OutputFull(usize),
    /// The limit on connections was reached.
    TooManyConnections(usize),
    /// The limit on sessions was reached.
    TooManySessions(usize),
}

impl fmt::Display for CloseReason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Disconnect => f.write_str("the client disconnected"),
            Self::Takeover => f.write_str("the client id is used by a newer connection"),
            Self::KeepAlive => f.write_str("the client was silent beyond its keep alive"),
            Self::NoConnect => f.write_str("no CONNECT came in time"),
            Self::NotConnect => f.write_str("the first packet was not CONNECT"),
            Self::SecondConnect => f.write_str("the client sent a second CONNECT"),
            Self::EmptyClientId => f.write_str("an empty client id needs a clean session"),
            Self::Frame(error) => write!(f, "the client sent {error}"),
            Self::BrokerPacket => f.write_str("the client sent a packet that only brokers send"),
            Self::Topic(fault) => write!(f, "the client sent a bad topic: {fault}"),
            Self::UnexpectedAck(kind) => {
                write!(f, "the client sent {kind} for a message not waiting for it")
            }
            Self::OutputFull(limit) => {
                write!(f, "the client left {limit} bytes of answers unread")
            }
            Self::TooManyConnections(limit) => write!(f, "{limit} connections are open already"),
            Self::TooManySessions(limit) => write!(f, "{limit} sessions are kept already"),
        }
    }
}

impl std::error::Error for CloseReason {}
