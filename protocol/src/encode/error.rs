//! Why a packet was not written. Each message names the field and never its contents.

use std::fmt;

use super::MAX_BODY_BYTES;
use crate::frame::Field;

/// Why a packet was not written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum EncodeError {
    /// A field of more than 65,535 bytes.
    TooLong {
        /// The field.
        field: Field,
        /// The size of the field.
        bytes: usize,
    },
    /// A string with U+0000 [MQTT-1.5.3-2].
    Nul(Field),
    /// A character that brokers may end the connection for (MQTT 3.1.1 §1.5.3).
    Unsendable(Field, char),
    /// An empty topic name or filter [MQTT-4.7.3-1].
    Empty(Field),
    /// `+` or `#` in a topic name [MQTT-3.3.2-2].
    Wildcard(Field),
    /// A password without a user name [MQTT-3.1.2-22].
    PasswordWithoutUserName,
    /// An empty client identifier for a session that is kept [MQTT-3.1.3-8].
    EmptyClientId,
    /// SUBSCRIBE or UNSUBSCRIBE without a filter [MQTT-3.8.3-3], [MQTT-3.10.3-2].
    NoFilters,
    /// DUP on a QoS 0 message [MQTT-3.3.1-2].
    DupWithQos0,
    /// More bytes than the remaining length can express (268,435,455).
    PacketTooLarge(usize),
    /// The codec refused a packet that was checked here: a defect of this program.
    Codec,
}

impl std::error::Error for EncodeError {}

impl fmt::Display for EncodeError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match *self {
            Self::TooLong { field, bytes } => {
                write!(
                    f,
                    "the {field} has {bytes} bytes; the protocol allows 65535"
                )
            }
            Self::Nul(field) => write!(f, "the {field} contains U+0000"),
            Self::Unsendable(field, character) => write!(
                f,
                "the {field} contains U+{:04X}, for which brokers may close the connection",
                u32::from(character)
            ),
            Self::Empty(field) => write!(f, "the {field} is empty"),
            Self::Wildcard(field) => write!(f, "the {field} contains a wildcard (`+` or `#`)"),
            Self::PasswordWithoutUserName => write!(f, "a password needs a user name"),
            Self::EmptyClientId => write!(f, "an empty client id needs a clean session"),
            Self::NoFilters => write!(f, "no topic filter is given"),
            Self::DupWithQos0 => write!(f, "a message of QoS 0 is never sent again"),
            Self::PacketTooLarge(bytes) => {
                write!(
                    f,
                    "the packet has {bytes} bytes; the protocol allows {MAX_BODY_BYTES}"
                )
            }
            Self::Codec => write!(f, "the codec refused the packet"),
        }
    }
}
