//! What a client tells its driver, and the words for everything that can go wrong.

mod words;

use std::time::{Duration, Instant};

use mqttrs::QoS;

use crate::encode::EncodeError;
use crate::frame::FrameError;
use crate::message::Message;
use crate::topic::{SubscribeFilter, TopicError, TopicName};

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
    /// The broker had a session of our identifier from before this process began. It is being ended, with
    /// what was kept for it.
    OldSession,
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
    /// What answered CONNECT is no broker of MQTT 3.1.1.
    Stranger(Stranger),
    /// The connection ended before the broker answered CONNECT; the driver's words, empty for an
    /// orderly end.
    ClosedBeforeConnack(String),
    /// The connection ended; the driver's words, empty for an orderly end.
    Closed(String),
    /// As `Closed`, right after something was sent that the broker may not take.
    ClosedAfter(LastSent, String),
    /// As `Closed`, soon after CONNACK and more than once: another client seems to have our identifier.
    Takeover,
    /// The same when nobody else can have our identifier.
    ShortLived,
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
    /// We had to end the connection each time this filter was asked for, the last time for this reason.
    FilterEndsConnection(Box<Reason>),
    /// What the broker sends for this filter broke the protocol more than once.
    BringsMalformed(FrameError),
    /// The broker ended the connection each time it was sent this message, so its session is ended.
    MessageCutsConnection {
        /// Where it was to go.
        topic: TopicName,
        /// Topic and payload.
        bytes: usize,
    },
    /// The broker ended the connection each time the kept session went on, so that session is ended.
    SessionGivenUp,
    /// The application asked for the end.
    ShuttingDown,
}

/// What was sent last before a connection ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum LastSent {
    /// A publish that is not acknowledged.
    Publish {
        /// Where it went.
        topic: TopicName,
        /// Topic and payload.
        bytes: usize,
        /// The connection before ended after the same one.
        again: bool,
    },
    /// A SUBSCRIBE that is not answered.
    Subscribe(SubscribeFilter),
}

/// What may answer at the broker's port in its place.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Stranger {
    /// An HTTP server.
    Http,
    /// An SSH server.
    Ssh,
    /// An AMQP server, such as RabbitMQ at its main port.
    Amqp,
    /// An SMTP or FTP server.
    MailOrFtp,
    /// Something that speaks TLS.
    Tls,
    /// A broker that refuses in MQTT 5, with this reason code.
    Mqtt5(u8),
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
    /// Code 4 or 5, for a client that sent no user name.
    NoUserName,
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
    /// Topic and payload together are above `Limits::publish_bytes`.
    AboveLimit {
        /// Their size.
        bytes: usize,
        /// The limit.
        limit: usize,
    },
    /// A topic that brokers may end the connection for.
    Topic(TopicError),
}

/// Why a listener was not accepted.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ListenError {
    /// There is no connection, and attempts fail.
    NotConnected(Reason),
    /// So many are listening already.
    TooMany(usize),
    /// The filter was given up a moment ago.
    GivenUp(Reason),
}

impl Reason {
    /// True for what a retry cannot cure soon.
    #[must_use]
    pub fn is_configuration(&self) -> bool {
        match self {
            Self::Refused(refusal) => *refusal != Refusal::Unavailable,
            Self::BadOptions(_) | Self::Stranger(_) => true,
            _ => false,
        }
    }

    /// True for an attempt that took all the time it had, or failed in a way that the next will hardly cure:
    /// whoever waits for a connection waits no longer.
    pub(super) fn is_to_stay(&self) -> bool {
        matches!(self, Self::ConnectTimeout(_)) || self.is_configuration()
    }

    /// True when the broker, or what stands in its place, ended a connection that was up.
    pub(super) fn is_by_the_broker(&self) -> bool {
        matches!(
            self,
            Self::Closed(_)
                | Self::ClosedAfter(..)
                | Self::Takeover
                | Self::ShortLived
                | Self::MessageCutsConnection { .. }
                | Self::Protocol(_)
        )
    }
}

impl std::error::Error for Reason {}
impl std::error::Error for ProtocolError {}
impl std::error::Error for PublishError {}
impl std::error::Error for ListenError {}
