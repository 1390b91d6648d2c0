//! The error messages of the client.

use std::fmt;

use super::{LastSent, ListenError, ProtocolError, PublishError, Reason, Refusal, Stranger};
use crate::topic::Shown;

impl fmt::Display for Reason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NeverConnected => f.write_str("not connected yet"),
            Self::Transport(words) => f.write_str(words),
            Self::ConnectTimeout(limit) => {
                write!(f, "no answer within the connect timeout of {} s", limit.as_secs_f64())
            }
            Self::Refused(refusal) => refusal.fmt(f),
            Self::Stranger(stranger) => stranger.fmt(f),
            Self::ClosedBeforeConnack(words) => {
                f.write_str(
                    "the broker closed the connection without an answer to CONNECT; \
                     check whether this port wants TLS (`mqtt.tls`) and MQTT 3.1.1",
                )?;
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
            Self::ClosedAfter(sent, words) => {
                match sent {
                    LastSent::Publish { topic, bytes, again: false } => write!(
                        f,
                        "the broker closed the connection soon after a message of {bytes} bytes on {}",
                        Shown(topic.as_str())
                    )?,
                    LastSent::Publish { topic, bytes, again: true } => write!(
                        f,
                        "the broker closed the connection again right after a message of {bytes} bytes on {}; \
                         it may not accept it (topic, size)",
                        Shown(topic.as_str())
                    )?,
                    LastSent::Subscribe(filter) => write!(
                        f,
                        "the broker closed the connection after a subscription to {}; it may not allow it",
                        Shown(filter.as_str())
                    )?,
                }
                if words.is_empty() { Ok(()) } else { write!(f, ": {words}") }
            }
            Self::ShortLived => f.write_str(
                "the broker ends the connection soon after each connect; its log may say why",
            ),
            Self::KeepAlive => f.write_str("the broker stopped answering (no reply to a ping)"),
            Self::WriteStalled => f.write_str("the broker stopped reading"),
            Self::NoSubscribeAck => f.write_str("the broker did not acknowledge a subscription"),
            Self::NoPublishAck => f.write_str("the broker acknowledges no message"),
            Self::BadOptions(error) => write!(f, "the connection cannot be asked for: {error}"),
            Self::Protocol(error) => error.fmt(f),
            Self::Timeout(None) => f.write_str("the time limit was reached"),
            Self::Timeout(Some(why)) => write!(f, "the time limit was reached; {why}"),
            Self::FilterRefused => f.write_str("the broker refused the subscription"),
            Self::FilterCutsConnection => f.write_str(
                "the broker closes the connection when this filter is subscribed; it does not allow it",
            ),
            Self::FilterEndsConnection(why) => write!(
                f,
                "the connection has to be closed each time this filter is asked for ({why}); the \
                 subscription is given up"
            ),
            Self::BringsMalformed(error) => write!(
                f,
                "what the broker sends for this filter breaks the protocol ({error}), so that the \
                 connection has to be closed each time; the subscription is given up"
            ),
            Self::MessageCutsConnection { topic, bytes } => write!(
                f,
                "the broker ends the connection each time it is sent the message of {bytes} bytes on {}; it \
                 does not accept it (topic, size), so a new session is begun",
                Shown(topic.as_str())
            ),
            Self::SessionGivenUp => f.write_str(
                "the broker ends the connection whenever the kept session goes on; a new one is begun",
            ),
            Self::Halted(words) => f.write_str(words),
            Self::ShuttingDown => f.write_str("the program is shutting down"),
        }
    }
}

impl fmt::Display for Stranger {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let who = match self {
            Self::Tls => {
                return f.write_str(
                    "what answers at the broker's port speaks TLS; set `mqtt.tls`, or `mqtt.port` to \
                     the port without TLS",
                );
            }
            Self::Mqtt5(code) => {
                return write!(
                    f,
                    "the broker refuses in MQTT 5 (reason code {code:#04x}); it does not take MQTT 3.1.1 here"
                );
            }
            Self::Http => "an HTTP",
            Self::Ssh => "an SSH",
            Self::Amqp => "an AMQP",
            Self::MailOrFtp => "a mail or FTP",
        };
        write!(
            f,
            "{who} server answers at the broker's port; see `mqtt.host` and `mqtt.port`"
        )
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
                "the broker does not authorize this client: the user name, the password or the client id is \
                 wrong, or may not connect (see `mqtt.username`, `mqtt.password`, `mqtt.client_id`)"
            }
            Self::NoUserName => {
                "the broker does not authorize this client, which sent no user name (see `mqtt.username`, \
                 `mqtt.password`)"
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
            Self::AboveLimit { bytes, limit } => write!(
                f,
                "topic and payload have {bytes} bytes, above `limits.publish_bytes` of {limit}"
            ),
            Self::Topic(error) => write!(f, "the topic is refused: {error}"),
            Self::Halted(words) => f.write_str(words),
            Self::TakenBack => f.write_str("it was taken back before it was sent"),
            Self::TooLarge => f.write_str("an MQTT packet holds at most 268,435,455 bytes"),
        }
    }
}

impl fmt::Display for ListenError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NotConnected(reason) => write!(f, "not connected: {reason}"),
            Self::GivenUp(reason) => reason.fmt(f),
            Self::TooMany(limit) => {
                write!(
                    f,
                    "{limit} calls are listening already; try again when some are done"
                )
            }
        }
    }
}
