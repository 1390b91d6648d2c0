//! What a broker tells its driver, and the words for why a connection ended.

use std::fmt;
use std::time::Instant;

use super::ConnId;
use crate::frame::FrameError;
use crate::message::Message;
use crate::topic::TopicFault;

/// What [`Broker::poll`](super::Broker::poll) asks of its driver.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Output {
    /// Drop this transport, whatever state it is in; no call is owed for it.
    Close(ConnId, CloseReason),
    /// A message for the program itself.
    Local(Message),
    /// Nothing more until there is input, or this time has come.
    Wait(Option<Instant>),
}

/// Why the broker ended a connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum CloseReason {
    /// The client said DISCONNECT.
    Disconnect,
    /// Another connection came with the same client id ([MQTT-3.1.4-2]).
    Takeover,
    /// No packet within one and a half times the keep alive ([MQTT-3.1.2-24]).
    KeepAlive,
    /// No CONNECT in time.
    NoConnect,
    /// The first packet was not CONNECT ([MQTT-3.1.0-1]).
    NotConnect,
    /// CONNECT came twice ([MQTT-3.1.0-2]).
    SecondConnect,
    /// An empty client id for a session to be kept ([MQTT-3.1.3-8]).
    EmptyClientId,
    /// Bytes that are no packet, or none that a client may send.
    Frame(FrameError),
    /// A packet that only brokers send.
    BrokerPacket,
    /// A topic or filter that breaks the grammar.
    Topic(TopicFault),
    /// An acknowledgement of another kind than the message in flight waits for.
    UnexpectedAck(&'static str),
    /// The client asks and does not read the answers; the limit in bytes.
    OutputFull(usize),
    /// The limit of connections is reached.
    TooManyConnections(usize),
    /// The limit of sessions is reached.
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
