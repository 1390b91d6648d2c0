//! Validates the fixed header, the first two to five bytes of a packet.
//!
//! Promises: a packet is refused at the first byte that makes it illegal. Does not: read bodies.

use mqttrs::PacketType;

use super::{FrameError, Receiver};

/// A valid fixed header of a packet from this peer.
#[derive(Debug, Clone, Copy)]
pub(super) struct Header {
    pub(super) kind: PacketType,
    /// The low four bits of the first byte.
    pub(super) flags: u8,
    pub(super) header_bytes: usize,
    pub(super) body_bytes: usize,
}

impl Header {
    pub(super) fn packet_bytes(&self) -> usize {
        self.header_bytes + self.body_bytes
    }
}

/// The fixed header at the front of `bytes`; `None` while the header is incomplete and legal so far.
pub(super) fn judge(receiver: Receiver, bytes: &[u8]) -> Result<Option<Header>, FrameError> {
    let Some((&first, rest)) = bytes.split_first() else {
        return Ok(None);
    };
    let kind = kind(receiver, first)?;
    let flags = first & 0x0F;
    judge_flags(kind, flags)?;
    let Some((length_bytes, body_bytes)) = remaining_length(kind, rest)? else {
        return Ok(None);
    };
    let header = Header {
        kind,
        flags,
        header_bytes: 1 + length_bytes,
        body_bytes,
    };
    judge_length(&header)?;
    Ok(Some(header))
}

/// Checks the packet type and its direction of flow (MQTT 3.1.1 table 2.1).
fn kind(receiver: Receiver, first: u8) -> Result<PacketType, FrameError> {
    use PacketType::*;
    let (kind, to_client, to_broker) = match first >> 4 {
        1 => (Connect, false, true),
        2 => (Connack, true, false),
        3 => (Publish, true, true),
        4 => (Puback, true, true),
        5 => (Pubrec, true, true),
        6 => (Pubrel, true, true),
        7 => (Pubcomp, true, true),
        8 => (Subscribe, false, true),
        9 => (Suback, true, false),
        10 => (Unsubscribe, false, true),
        11 => (Unsuback, true, false),
        12 => (Pingreq, false, true),
        13 => (Pingresp, true, false),
        14 => (Disconnect, false, true),
        _ => return Err(FrameError::ReservedType(first)),
    };
    let legal = match receiver {
        Receiver::Client => to_client,
        Receiver::Broker => to_broker,
    };
    // [MQTT-4.8.0-1]
    if legal {
        Ok(kind)
    } else {
        Err(FrameError::WrongDirection(kind))
    }
}

fn judge_flags(kind: PacketType, flags: u8) -> Result<(), FrameError> {
    if kind == PacketType::Publish {
        return match (flags & 0b0110, flags & 0b1000) {
            // [MQTT-3.3.1-4]
            (0b0110, _) => Err(FrameError::Qos3),
            // [MQTT-3.3.1-2]
            (0, 0b1000) => Err(FrameError::DupWithQos0),
            _ => Ok(()),
        };
    }
    // [MQTT-2.2.2-2]
    if flags == required_flags(kind) {
        Ok(())
    } else {
        Err(FrameError::Flags { kind, flags })
    }
}

/// [MQTT-2.2.2-1], [MQTT-3.6.1-1], [MQTT-3.8.1-1], [MQTT-3.10.1-1]; not for PUBLISH.
pub(super) fn required_flags(kind: PacketType) -> u8 {
    match kind {
        PacketType::Pubrel | PacketType::Subscribe | PacketType::Unsubscribe => 0b0010,
        _ => 0,
    }
}

/// The size of the remaining length field and its value. Non-minimal forms are legal in MQTT 3.1.1.
fn remaining_length(kind: PacketType, bytes: &[u8]) -> Result<Option<(usize, usize)>, FrameError> {
    let mut value = 0;
    for (i, &byte) in bytes.iter().take(MAX_LENGTH_BYTES).enumerate() {
        value |= usize::from(byte & 0x7F) << (7 * i);
        if byte & 0x80 == 0 {
            return Ok(Some((i + 1, value)));
        }
    }
    if bytes.len() >= MAX_LENGTH_BYTES {
        // MQTT 3.1.1 §2.2.3
        return Err(FrameError::EndlessLength(kind));
    }
    Ok(None)
}

/// The topic of the PUBLISH at the front of `bytes`, even if the packet is invalid.
pub(super) fn publish_topic(bytes: &[u8]) -> Option<&[u8]> {
    let (&first, rest) = bytes.split_first()?;
    if first >> 4 != 3 {
        return None;
    }
    let (length_bytes, body_bytes) = remaining_length(PacketType::Publish, rest).ok()??;
    let (length, rest) = rest.get(length_bytes..)?.split_first_chunk::<2>()?;
    let topic_bytes = usize::from(u16::from_be_bytes(*length));
    rest.get(..topic_bytes)
        .filter(|_| topic_bytes + 2 <= body_bytes)
}

fn judge_length(header: &Header) -> Result<(), FrameError> {
    let (min, exact) = body_length(header.kind, header.flags);
    let bytes = header.body_bytes;
    if bytes < min || (exact && bytes != min) {
        return Err(FrameError::Length {
            kind: header.kind,
            bytes,
            min,
            exact,
        });
    }
    Ok(())
}

/// The shortest legal body, and whether it is the only legal length.
fn body_length(kind: PacketType, flags: u8) -> (usize, bool) {
    use PacketType::*;
    match kind {
        Pingreq | Pingresp | Disconnect => (0, true),
        Connack | Puback | Pubrec | Pubrel | Pubcomp | Unsuback => (2, true),
        // Topic length, one byte of topic, and an id above QoS 0.
        Publish if flags & 0b0110 == 0 => (3, false),
        Publish => (5, false),
        // Id and one code [MQTT-3.8.4-5].
        Suback => (3, false),
        // Id and one filter of one byte [MQTT-3.8.3-3], [MQTT-3.10.3-2], [MQTT-4.7.3-1].
        Subscribe => (6, false),
        Unsubscribe => (5, false),
        // The variable header and an empty client id.
        Connect => (12, false),
    }
}

/// MQTT 3.1.1 §2.2.3
const MAX_LENGTH_BYTES: usize = 4;
