//! What a client tells its driver, and the words for everything that can go wrong.

use std::fmt;
use std::time::{Duration, Instant};

use mqttrs::QoS;

use crate::encode::EncodeError;
use crate::frame::FrameError;
use crate::message::Message;
use crate::topic::TopicName;

/// Names one publish or one listener for as long as the process lives.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Ticket(pub(super) u64);

/// What [`Client::poll`](super::Client::poll) asks of its driver.
#[derive(Debug, Clone)]
pub enum Output {
    /// Open a transport, then call `handle_connected` or `handle_connect_failed`.
    Connect,
    /// Drop the transport, whatever state it is in; no call is owed for it.
    Close,
    /// Something happened.
    Event(Event),
    /// Nothing more until there is input, or this time has come.
    Wait(Option<Instant>),
}

/// Something the application may want to know.
#[derive(Debug, Clone)]
pub enum Event {
    /// The broker accepted us.
    Connected {
        /// It still had our session.
        session_present: bool,
    },
    /// There is no connection now.
    Disconnected {
        /// Why.
        reason: Reason,
        /// Time until the next attempt; `None` when none will be made.
        retry_in: Option<Duration>,
    },
    /// The one outcome of a publish.
    Published {
        /// Which.
        ticket: Ticket,
        /// How it ended.
        outcome: Outcome,
    },
    /// The broker granted a listener's filter: messages published from now on will come.
    Listening {
        /// Which listener.
        ticket: Ticket,
        /// The broker's maximum QoS for it; it may be lower than asked ([MQTT-3.8.4-6]).
        granted: QoS,
    },
    /// A listener is over: the broker does not take its filter, or the client was disconnected.
    ListenRefused {
        /// Which listener; it is gone already.
        ticket: Ticket,
        /// Why.
        reason: Reason,
    },
    /// A message for a listener.
    Message {
        /// Which listener.
        ticket: Ticket,
        /// The message, shared with other listeners.
        message: Message,
    },
    /// A message for a listener that was larger than `Limits::packet_bytes`: it is lost.
    TooLarge {
        /// Which listener.
        ticket: Ticket,
        /// Where it came on.
        topic: TopicName,
        /// The size of its payload.
        payload_bytes: usize,
        /// It is the stored message of its topic.
        retain: bool,
    },
}

/// How a publish ended. There is exactly one for each.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Outcome {
    /// QoS 0: the whole packet was handed to the connection. Nobody will confirm more.
    Sent,
    /// QoS 1: PUBACK came. QoS 2: PUBCOMP came. The broker owns the message.
    Delivered,
    /// It certainly did not reach the broker, and will not.
    NotSent(Reason),
    /// It may have reached the broker: it was sent, and the acknowledgement did not come.
    Unknown(Reason),
}

/// Why there is no connection, or why something was given up.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Reason {
    /// No connection was ever tried.
    NeverConnected,
    /// Opening the transport failed; the driver's words.
    Transport(String),
    /// The connect timeout passed first.
    ConnectTimeout(Duration),
    /// CONNACK with a code that says no ([MQTT-3.2.2-5]).
    Refused(Refusal),
    /// The connection ended before the broker answered CONNECT; the driver's words, empty for an
    /// orderly end.
    ClosedBeforeConnack(String),
    /// The connection ended; the driver's words, empty for an orderly end.
    Closed(String),
    /// As `Closed`, soon after CONNACK and more than once.
    Takeover,
    /// No answer to a ping in time.
    KeepAlive,
    /// The connection takes no bytes.
    WriteStalled,
    /// SUBACK or UNSUBACK did not come in time.
    NoSubscribeAck,
    /// No PUBLISH in flight was acknowledged for too long.
    NoPublishAck,
    /// The options make no CONNECT; the configuration is at fault.
    BadOptions(EncodeError),
    /// The broker broke the protocol ([MQTT-4.8.0-1]).
    Protocol(ProtocolError),
    /// The call's own time was over; why it took so long, if that is known.
    Timeout(Option<Box<Reason>>),
    /// SUBACK 0x80.
    FilterRefused,
    /// The broker ended the connection each time this filter was asked for.
    FilterCutsConnection,
    /// The broker ended the connection each time the kept session went on, so that session is ended.
    SessionGivenUp,
    /// The application asked for the end.
    ShuttingDown,
}

/// The broker's refusals in CONNACK.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Refusal {
    /// Code 1.
    ProtocolVersion,
    /// Code 2.
    ClientId,
    /// Code 3.
    Unavailable,
    /// Code 4.
    Credentials,
    /// Code 5.
    NotAuthorized,
}

/// A packet that a broker must not send at this point.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ProtocolError {
    /// The bytes are no legal packet.
    Frame(FrameError),
    /// The first packet was another one ([MQTT-3.2.0-1]).
    NotConnack,
    /// A second CONNACK.
    SecondConnack,
    /// Session present, although a clean session was asked for ([MQTT-3.2.2-1]).
    SessionPresent,
    /// An acknowledgement of this kind for an identifier that is not waiting for it.
    UnexpectedAck(&'static str),
    /// SUBACK with more or fewer codes than filters were asked for ([MQTT-3.8.4-5]).
    SubackCount,
    /// A packet type that only clients send.
    ClientPacket,
}

/// Why a publish was not accepted. Nothing was sent.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum PublishError {
    /// There is no connection, and attempts fail.
    NotConnected(Reason),
    /// So many are waiting already.
    QueueFull(usize),
    /// So many bytes are waiting already.
    QueueBytesFull(usize),
    /// Longer than a packet can be (268,435,455 bytes).
    TooLarge,
}

/// Why a listener was not accepted.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ListenError {
    /// There is no connection, and attempts fail.
    NotConnected(Reason),
    /// So many are listening already.
    TooMany(usize),
}

impl Reason {
    /// True for what a retry cannot cure soon.
    #[must_use]
    pub fn is_configuration(&self) -> bool {
        match self {
            Self::Refused(refusal) => *refusal != Refusal::Unavailable,
            Self::BadOptions(_) => true,
            _ => false,
        }
    }
}

impl fmt::Display for Reason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NeverConnected => f.write_str("not connected yet"),
            Self::Transport(words) => f.write_str(words),
            Self::ConnectTimeout(limit) => {
                write!(f, "no answer within the connect timeout of {} s", limit.as_secs_f64())
            }
            Self::Refused(refusal) => refusal.fmt(f),
            Self::ClosedBeforeConnack(words) => {
                f.write_str("the broker closed the connection without an answer to CONNECT")?;
                if words.is_empty() { Ok(()) } else { write!(f, ": {words}") }
            }
            Self::Closed(words) if words.is_empty() => {
                f.write_str("the broker closed the connection")
            }
            Self::Closed(words) => write!(f, "the connection broke: {words}"),
            Self::Takeover => f.write_str(
                "the broker ends the connection soon after each connect; \
                 another client probably uses this client id (set `mqtt.client_id` to a unique one)",
            ),
            Self::KeepAlive => f.write_str("the broker stopped answering (no reply to a ping)"),
            Self::WriteStalled => f.write_str("the broker stopped reading"),
            Self::NoSubscribeAck => f.write_str("the broker did not acknowledge a subscription"),
            Self::NoPublishAck => f.write_str("the broker acknowledges no message"),
            Self::BadOptions(error) => write!(f, "the connection cannot be asked for: {error}"),
            Self::Protocol(error) => error.fmt(f),
            Self::Timeout(None) => f.write_str("the time allowed was over"),
            Self::Timeout(Some(why)) => write!(f, "the time allowed was over; {why}"),
            Self::FilterRefused => f.write_str("the broker refused the subscription"),
            Self::FilterCutsConnection => f.write_str(
                "the broker closes the connection when this filter is subscribed; it does not allow it",
            ),
            Self::SessionGivenUp => f.write_str(
                "the broker ends the connection whenever the kept session goes on; a new one is begun",
            ),
            Self::ShuttingDown => f.write_str("the program is shutting down"),
        }
    }
}

impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::ProtocolVersion => "the broker does not speak MQTT 3.1.1",
            Self::ClientId => "the broker refused the client id (see `mqtt.client_id`)",
            Self::Unavailable => "the broker says it is unavailable",
            Self::Credentials => {
                "the broker refused the user name or password (see `mqtt.username`, `mqtt.password`)"
            }
            Self::NotAuthorized => {
                "the broker does not authorize this client (see `mqtt.username`, `mqtt.client_id`)"
            }
        })
    }
}

impl fmt::Display for ProtocolError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("the broker broke the protocol: ")?;
        match self {
            Self::Frame(error) => error.fmt(f),
            Self::NotConnack => f.write_str("its first packet was not CONNACK"),
            Self::SecondConnack => f.write_str("it sent a second CONNACK"),
            Self::SessionPresent => f.write_str("it claims a session after a clean start"),
            Self::UnexpectedAck(kind) => {
                write!(f, "it sent {kind} for a packet id not waiting for it")
            }
            Self::SubackCount => f.write_str("SUBACK does not have one code for each filter"),
            Self::ClientPacket => f.write_str("it sent a packet that only clients send"),
        }
    }
}

impl fmt::Display for PublishError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NotConnected(reason) => write!(f, "not connected: {reason}"),
            Self::QueueFull(limit) => {
                write!(
                    f,
                    "{limit} publishes are waiting already; try again when some are done"
                )
            }
            Self::QueueBytesFull(limit) => {
                write!(
                    f,
                    "{limit} bytes are waiting to be published already; try again later"
                )
            }
            Self::TooLarge => f.write_str("an MQTT packet holds at most 268,435,455 bytes"),
        }
    }
}

impl fmt::Display for ListenError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NotConnected(reason) => write!(f, "not connected: {reason}"),
            Self::TooMany(limit) => {
                write!(
                    f,
                    "{limit} calls are listening already; try again when some are done"
                )
            }
        }
    }
}

impl std::error::Error for Reason {}
impl std::error::Error for ProtocolError {}
impl std::error::Error for PublishError {}
impl std::error::Error for ListenError {}
