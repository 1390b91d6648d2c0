//! The client's outputs and events, and its errors.

mod words;

use std::sync::Arc;
use std::time::{Duration, Instant};

use mqttrs::QoS;

use crate::encode::EncodeError;
use crate::frame::FrameError;
use crate::message::Message;
use crate::topic::{SubscribeFilter, TopicError, TopicName};

/// Identifies one publish, one listener or one ping; never reused in the process.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Ticket(pub(super) u64);

/// An output of [`Client::poll`](super::Client::poll) for the driver.
#[derive(Debug, Clone)]
pub enum Output {
    /// Open a transport, then call `handle_connected` or `handle_connect_failed`.
    Connect,
    /// Drop the transport, whatever its state; the driver reports nothing back for it.
    Close,
    /// An event for the application.
    Event(Event),
    /// No more output until there is input, or until this time.
    Wait(Option<Instant>),
}

/// An event for the application.
#[derive(Debug, Clone)]
pub enum Event {
    /// The broker accepted the connection.
    Connected {
        /// Whether the broker still had this client's session.
        session_present: bool,
    },
    /// The broker has a session of this client identifier from before the process began. The client ends that session
    /// with all messages kept for it.
    OldSession,
    /// There is no connection now.
    Disconnected {
        /// Why there is no connection.
        reason: Reason,
        /// The time until the next attempt; `None` when there will be no attempt.
        retry_in: Option<Duration>,
    },
    /// The one outcome of a publish.
    Published {
        /// The publish.
        ticket: Ticket,
        /// The outcome.
        outcome: Outcome,
    },
    /// The broker granted a listener's filter: messages published from now on are received.
    Listening {
        /// The listener.
        ticket: Ticket,
        /// The maximum QoS that the broker granted; it may be lower than requested ([MQTT-3.8.4-6]).
        granted: QoS,
    },
    /// A listener has ended: the broker refused its filter, or the client was disconnected.
    ListenRefused {
        /// The listener, which is removed already.
        ticket: Ticket,
        /// Why the listener ended.
        reason: Reason,
    },
    /// A message for a listener.
    Message {
        /// The listener.
        ticket: Ticket,
        /// The message, shared with other listeners.
        message: Message,
    },
    /// A message for a listener that observes; see [`Client::observe`](super::Client::observe).
    Observed {
        /// The listener.
        ticket: Ticket,
        /// The message, shared with other listeners.
        message: Message,
        /// Whether this may be a copy: more than one subscription of this client matches the topic, so that a broker may
        /// send the message once for each of them (MQTT 3.1.1 §3.3.5), and one of the last such messages was the same.
        /// Nothing tells a copy from a message that says the same again.
        may_be_copy: bool,
    },
    /// The broker answered a ping of [`Client::ping`](super::Client::ping).
    Pong {
        /// The ping.
        ticket: Ticket,
    },
    /// A message for a listener that exceeded `Limits::packet_bytes` and is lost.
    TooLarge {
        /// The listener.
        ticket: Ticket,
        /// The topic of the message.
        topic: TopicName,
        /// The size of the payload in bytes.
        payload_bytes: usize,
        /// Whether the message is the retained message of its topic.
        retain: bool,
    },
}

/// The outcome of a publish. Each publish has exactly one.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Outcome {
    /// QoS 0: the connection took the whole packet. There is no confirmation.
    Sent,
    /// QoS 1: PUBACK was received. QoS 2: PUBCOMP was received. The broker has the message.
    Delivered,
    /// The message did not reach the broker, and will not.
    NotSent(Reason),
    /// The message may have reached the broker: it was sent, and the acknowledgement was not received.
    Unknown(Reason),
}

/// Why there is no connection, or why something was given up.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Reason {
    /// No connection was attempted yet.
    NeverConnected,
    /// Opening the transport failed; the driver's error message.
    Transport(String),
    /// The connect timeout passed.
    ConnectTimeout(Duration),
    /// CONNACK with an error code ([MQTT-3.2.2-5]).
    Refused(Refusal),
    /// The peer that answered CONNECT is not an MQTT 3.1.1 broker.
    Stranger(Stranger),
    /// The connection ended before the broker answered CONNECT; the driver's error message, empty for an orderly end.
    ClosedBeforeConnack(String),
    /// The connection ended; the driver's error message, empty for an orderly end.
    Closed(String),
    /// Like `Closed`, right after a packet that the broker may not accept.
    ClosedAfter(LastSent, String),
    /// Like `Closed`, soon after CONNACK and more than once: another client seems to use the same identifier.
    Takeover,
    /// Like `Takeover`, when no other client can have the identifier.
    ShortLived,
    /// No response to a ping in time.
    KeepAlive,
    /// The socket took no bytes in time.
    WriteStalled,
    /// No SUBACK or UNSUBACK in time.
    NoSubscribeAck,
    /// No acknowledgement of any publish in flight in time.
    NoPublishAck,
    /// The options are invalid for a CONNECT: a fault of the configuration.
    BadOptions(EncodeError),
    /// The broker violated the protocol ([MQTT-4.8.0-1]).
    Protocol(ProtocolError),
    /// The deadline of the call passed; the cause of the delay, if known.
    Timeout(Option<Box<Reason>>),
    /// SUBACK with code 0x80 (failure).
    FilterRefused,
    /// The broker ended the connection each time this filter was requested.
    FilterCutsConnection,
    /// This client had to end the connection each time the filter was requested, the last time for this reason.
    FilterEndsConnection(Box<Reason>),
    /// The broker's messages for this filter violated the protocol more than once.
    BringsMalformed(FrameError),
    /// The broker ended the connection each time this message was sent, so its session is ended.
    MessageCutsConnection {
        /// The topic of the message.
        topic: TopicName,
        /// The topic and payload bytes.
        bytes: usize,
    },
    /// The broker ended the connection each time the kept session was resumed, so that session is ended.
    SessionGivenUp,
    /// The application has halted what is sent; its own words.
    Halted(Arc<str>),
    /// The application has disconnected the client.
    ShuttingDown,
}

/// The last packet sent before a connection ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum LastSent {
    /// A publish without an acknowledgement.
    Publish {
        /// The topic of the message.
        topic: TopicName,
        /// The topic and payload bytes.
        bytes: usize,
        /// Whether the previous connection ended after the same message.
        again: bool,
    },
    /// A SUBSCRIBE without a SUBACK.
    Subscribe(SubscribeFilter),
}

/// Another kind of server at the broker's port.
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
    /// A server that speaks TLS.
    Tls,
    /// A broker that refuses the connection in MQTT 5, with this reason code.
    Mqtt5(u8),
}

/// The CONNACK return codes that refuse a connection (MQTT 3.1.1 table 3.1).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Refusal {
    /// Code 1: unacceptable protocol version.
    ProtocolVersion,
    /// Code 2: identifier rejected.
    ClientId,
    /// Code 3: server unavailable.
    Unavailable,
    /// Code 4: bad user name or password.
    Credentials,
    /// Code 5: not authorized.
    NotAuthorized,
    /// Code 4 or 5, for a client that sent no user name.
    NoUserName,
}

/// A packet that the broker must not send at this point.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ProtocolError {
    /// The bytes are not a valid packet.
    Frame(FrameError),
    /// The first packet was not CONNACK ([MQTT-3.2.0-1]).
    NotConnack,
    /// A second CONNACK.
    SecondConnack,
    /// Session Present in response to a clean session ([MQTT-3.2.2-1]).
    SessionPresent,
    /// An acknowledgement of this kind for an identifier that does not wait for it.
    UnexpectedAck(&'static str),
    /// SUBACK with a number of codes that differs from the number of filters ([MQTT-3.8.4-5]).
    SubackCount,
    /// A packet type that only clients send.
    ClientPacket,
}

/// Why a publish was refused. Nothing was sent.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum PublishError {
    /// There is no connection, and attempts fail.
    NotConnected(Reason),
    /// The limit on queued publishes is reached.
    QueueFull(usize),
    /// The limit on bytes of queued publishes is reached.
    QueueBytesFull(usize),
    /// The message exceeds the largest MQTT packet (268,435,455 bytes).
    TooLarge,
    /// Topic and payload together exceed `Limits::publish_bytes`.
    AboveLimit {
        /// The topic and payload bytes.
        bytes: usize,
        /// The limit in bytes.
        limit: usize,
    },
    /// The topic contains characters that brokers may end the connection for.
    Topic(TopicError),
    /// The caller took the message back before it was sent.
    TakenBack,
    /// The application has halted what is sent; its own words.
    Halted(Arc<str>),
}

/// Why a listener was refused.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ListenError {
    /// There is no connection, and attempts fail.
    NotConnected(Reason),
    /// The limit on listeners is reached.
    TooMany(usize),
    /// The filter was given up a moment ago.
    GivenUp(Reason),
}

impl Reason {
    /// True for a reason that a retry will not remove soon.
    #[must_use]
    pub fn is_configuration(&self) -> bool {
        match self {
            Self::Refused(refusal) => *refusal != Refusal::Unavailable,
            Self::BadOptions(_) | Self::Stranger(_) => true,
            _ => false,
        }
    }

    /// True for an attempt that used its whole time, or failed in a way that the next attempt will hardly change: calls
    /// that wait for a connection end.
    pub(super) fn is_to_stay(&self) -> bool {
        matches!(self, Self::ConnectTimeout(_)) || self.is_configuration()
    }

    /// True when the broker, or another peer at its port, ended an established connection.
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
