//! Errors in packets from a peer, with their messages.
//!
//! Each message is a noun phrase that continues "the broker sent …" or "the client sent …", and contains no byte of a
//! topic, a payload or a password.

use std::fmt;

use mqttrs::PacketType;

use super::header::required_flags;

/// Why a packet was refused; its connection must be closed [MQTT-4.8.0-1].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum FrameError {
    /// The first byte names packet type 0 or 15.
    ReservedType(u8),
    /// The packet type is never sent in this direction.
    WrongDirection(PacketType),
    /// The low four bits of the first byte are illegal for the packet type.
    Flags {
        /// The packet's type.
        kind: PacketType,
        /// The four bits received.
        flags: u8,
    },
    /// A PUBLISH with both QoS bits set.
    Qos3,
    /// A PUBLISH with DUP at QoS 0 [MQTT-3.3.1-2].
    DupWithQos0,
    /// The remaining length has more than four bytes.
    EndlessLength(PacketType),
    /// The remaining length is illegal for the packet type.
    Length {
        /// The packet's type.
        kind: PacketType,
        /// The length received.
        bytes: usize,
        /// The shortest legal length.
        min: usize,
        /// Whether `min` is the only legal length.
        exact: bool,
    },
    /// The packet is legal but exceeds the size limit of this connection.
    TooLarge {
        /// The packet's type.
        kind: PacketType,
        /// Its announced size, fixed header included.
        bytes: usize,
        /// The limit in bytes.
        max: usize,
    },
    /// A field is longer than the rest of its packet.
    RunsPastEnd {
        /// The packet's type.
        kind: PacketType,
        /// The field that is too long.
        field: Field,
    },
    /// Bytes are left after the last field.
    TrailingBytes {
        /// The packet's type.
        kind: PacketType,
        /// The number of bytes left over.
        bytes: usize,
    },
    /// A packet id of 0.
    ZeroPacketId(PacketType),
    /// A string that is not UTF-8.
    NotUtf8 {
        /// The packet's type.
        kind: PacketType,
        /// The field with the string.
        field: Field,
    },
    /// A string with U+0000.
    Nul {
        /// The packet's type.
        kind: PacketType,
        /// The field with the string.
        field: Field,
    },
    /// An empty string where at least one character is required.
    Empty {
        /// The packet's type.
        kind: PacketType,
        /// The field with the string.
        field: Field,
    },
    /// `+` or `#` in a topic name.
    Wildcard {
        /// The packet's type.
        kind: PacketType,
        /// The field with the topic name.
        field: Field,
    },
    /// CONNACK with reserved flag bits set.
    ConnackFlags(u8),
    /// CONNACK with an undefined return code.
    ConnackCode(u8),
    /// CONNACK that refuses the connection and sets Session Present.
    SessionPresentWithRefusal(u8),
    /// SUBACK with an undefined return code.
    SubackCode(u8),
    /// CONNECT of another protocol.
    ProtocolName,
    /// CONNECT of another MQTT version: the response is CONNACK 1 [MQTT-3.1.2-2].
    ProtocolLevel(u8),
    /// CONNECT with bit 0 of its flags set.
    ConnectReservedFlag,
    /// CONNECT with a will QoS of 3.
    WillQos3,
    /// CONNECT with will QoS or will retain, but no will.
    WillBitsWithoutWill,
    /// CONNECT with a password and no user name.
    PasswordWithoutUserName,
    /// SUBSCRIBE with a requested QoS byte above 2.
    SubscribeQos(u8),
    /// The codec refused a packet that this module had accepted: a defect of this program.
    Codec(PacketType),
}

/// A field of a packet, for error texts.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[allow(missing_docs)] // The names are those of the standard.
pub enum Field {
    PacketId,
    Topic,
    Filter,
    Qos,
    Flags,
    Code,
    ProtocolName,
    ProtocolLevel,
    KeepAlive,
    ClientId,
    WillTopic,
    WillMessage,
    UserName,
    Password,
}

impl std::error::Error for FrameError {}

impl fmt::Display for FrameError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        use FrameError::*;
        match *self {
            ReservedType(first) => {
                write!(
                    f,
                    "a packet of the reserved type {} (first byte {first:#04x})",
                    first >> 4
                )
            }
            WrongDirection(kind) => {
                let sender = if from_client(kind) {
                    "client"
                } else {
                    "broker"
                };
                write!(f, "a {}, which only a {sender} may send", name(kind))
            }
            Flags { kind, flags } => write!(
                f,
                "a {} with flags {flags:#06b} (must be {:#06b})",
                name(kind),
                required_flags(kind)
            ),
            Qos3 => write!(f, "a PUBLISH with QoS 3"),
            DupWithQos0 => write!(f, "a PUBLISH with QoS 0 and the DUP flag"),
            EndlessLength(kind) => {
                write!(
                    f,
                    "a {} whose remaining length has more than 4 bytes",
                    name(kind)
                )
            }
            Length {
                kind,
                bytes,
                min,
                exact,
            } => {
                let bound = if exact { "exactly" } else { "at least" };
                write!(
                    f,
                    "a {} of remaining length {bytes} (must be {bound} {min})",
                    name(kind)
                )
            }
            TooLarge { kind, bytes, max } => {
                write!(
                    f,
                    "a {} of {bytes} bytes (at most {max} are accepted)",
                    name(kind)
                )
            }
            RunsPastEnd { kind, field } => {
                write!(f, "a {} whose {field} runs past its end", name(kind))
            }
            TrailingBytes { kind, bytes } => {
                write!(
                    f,
                    "a {} with {bytes} bytes after its last field",
                    name(kind)
                )
            }
            ZeroPacketId(kind) => write!(f, "a {} with packet id 0", name(kind)),
            NotUtf8 { kind, field } => write!(f, "a {} whose {field} is not UTF-8", name(kind)),
            Nul { kind, field } => write!(f, "a {} whose {field} contains U+0000", name(kind)),
            Empty { kind, field } => write!(f, "a {} whose {field} is empty", name(kind)),
            Wildcard { kind, field } => {
                write!(f, "a {} whose {field} contains a wildcard", name(kind))
            }
            ConnackFlags(flags) => {
                write!(
                    f,
                    "a CONNACK with flags {flags:#010b} (only bit 0 may be set)"
                )
            }
            ConnackCode(code) => write!(f, "a CONNACK with the unknown return code {code}"),
            SessionPresentWithRefusal(code) => {
                write!(
                    f,
                    "a CONNACK that refuses with code {code} and says a session is present"
                )
            }
            SubackCode(code) => write!(f, "a SUBACK with the unknown return code {code:#04x}"),
            ProtocolName => write!(f, "a CONNECT of a protocol that is not MQTT"),
            ProtocolLevel(level) => {
                write!(
                    f,
                    "a CONNECT of MQTT protocol level {level} (only 4, MQTT 3.1.1, is spoken)"
                )
            }
            ConnectReservedFlag => write!(f, "a CONNECT with the reserved flag set"),
            WillQos3 => write!(f, "a CONNECT with a will of QoS 3"),
            WillBitsWithoutWill => write!(f, "a CONNECT with will QoS or retain but no will"),
            PasswordWithoutUserName => write!(f, "a CONNECT with a password but no user name"),
            SubscribeQos(qos) => {
                write!(
                    f,
                    "a SUBSCRIBE with the QoS byte {qos:#04x} (must be 0, 1 or 2)"
                )
            }
            Codec(kind) => write!(f, "a {} that the codec cannot read", name(kind)),
        }
    }
}

impl fmt::Display for Field {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Field::PacketId => "packet id",
            Field::Topic => "topic",
            Field::Filter => "topic filter",
            Field::Qos => "QoS byte",
            Field::Flags => "flags byte",
            Field::Code => "return code",
            Field::ProtocolName => "protocol name",
            Field::ProtocolLevel => "protocol level",
            Field::KeepAlive => "keep alive",
            Field::ClientId => "client id",
            Field::WillTopic => "will topic",
            Field::WillMessage => "will message",
            Field::UserName => "user name",
            Field::Password => "password",
        })
    }
}

/// Whether only clients send `kind`; for packet types with one direction.
fn from_client(kind: PacketType) -> bool {
    use PacketType::*;
    matches!(
        kind,
        Connect | Subscribe | Unsubscribe | Pingreq | Disconnect
    )
}

/// The name of a packet type in the standard.
fn name(kind: PacketType) -> &'static str {
    match kind {
        PacketType::Connect => "CONNECT",
        PacketType::Connack => "CONNACK",
        PacketType::Publish => "PUBLISH",
        PacketType::Puback => "PUBACK",
        PacketType::Pubrec => "PUBREC",
        PacketType::Pubrel => "PUBREL",
        PacketType::Pubcomp => "PUBCOMP",
        PacketType::Subscribe => "SUBSCRIBE",
        PacketType::Suback => "SUBACK",
        PacketType::Unsubscribe => "UNSUBSCRIBE",
        PacketType::Unsuback => "UNSUBACK",
        PacketType::Pingreq => "PINGREQ",
        PacketType::Pingresp => "PINGRESP",
        PacketType::Disconnect => "DISCONNECT",
    }
}
