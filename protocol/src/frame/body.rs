//! Validates the body of one complete packet.
//!
//! Promises: every field lies within the packet, strings are UTF-8 without U+0000, packet ids are not 0, and reserved
//! bits and codes have legal values. Does not: build packets; `mqttrs` parses the fields again after this check.

use mqttrs::{PacketType, Pid, QosPid};

use super::{Field, FrameError, header::Header};

pub(super) fn judge(header: &Header, body: &[u8]) -> Result<(), FrameError> {
    use PacketType::*;
    let mut fields = Fields {
        kind: header.kind,
        rest: body,
    };
    match header.kind {
        Pingreq | Pingresp | Disconnect => {}
        Puback | Pubrec | Pubrel | Pubcomp | Unsuback => {
            fields.packet_id()?;
        }
        Publish => return publish(header.flags, fields),
        Connack => connack(&mut fields)?,
        Suback => suback(&mut fields)?,
        Subscribe => subscribe(&mut fields)?,
        Unsubscribe => unsubscribe(&mut fields)?,
        Connect => connect(&mut fields)?,
    }
    fields.done()
}

fn publish(flags: u8, mut fields: Fields<'_>) -> Result<(), FrameError> {
    fields.topic(Field::Topic)?;
    if flags & 0b0110 != 0 {
        fields.packet_id()?;
    }
    Ok(())
}

/// The fields before the payload of a PUBLISH.
pub(super) struct PublishHead<'a> {
    pub(super) topic: &'a str,
    pub(super) qospid: QosPid,
    pub(super) bytes: usize,
}

/// The same for an incomplete body; `None` while too few bytes have arrived.
pub(super) fn publish_head<'a>(
    header: &Header,
    body: &'a [u8],
) -> Result<Option<PublishHead<'a>>, FrameError> {
    let Some(length) = body.first_chunk::<2>() else {
        return Ok(None);
    };
    let id_bytes = if header.flags & 0b0110 == 0 { 0 } else { 2 };
    let bytes = 2 + usize::from(u16::from_be_bytes(*length)) + id_bytes;
    // A topic that runs past the end of the packet gets the same error as any other field.
    let there = bytes.min(header.body_bytes);
    let Some(head) = body.get(..there) else {
        return Ok(None);
    };
    let mut fields = Fields {
        kind: header.kind,
        rest: head,
    };
    let topic = fields.topic(Field::Topic)?;
    let pid = match id_bytes {
        0 => None,
        _ => Some(fields.packet_id()?),
    };
    let qospid = match (pid, header.flags & 0b0100) {
        (None, _) => QosPid::AtMostOnce,
        (Some(pid), 0) => QosPid::AtLeastOnce(pid),
        (Some(pid), _) => QosPid::ExactlyOnce(pid),
    };
    Ok(Some(PublishHead {
        topic,
        qospid,
        bytes,
    }))
}

fn connack(fields: &mut Fields<'_>) -> Result<(), FrameError> {
    let flags = fields.byte(Field::Flags)?;
    let code = fields.byte(Field::Code)?;
    match (flags, code) {
        (0 | 1, 0) | (0, 1..=5) => Ok(()),
        // [MQTT-3.2.2-4]
        (1, 1..=5) => Err(FrameError::SessionPresentWithRefusal(code)),
        (0 | 1, _) => Err(FrameError::ConnackCode(code)),
        (_, _) => Err(FrameError::ConnackFlags(flags)),
    }
}

fn suback(fields: &mut Fields<'_>) -> Result<(), FrameError> {
    fields.packet_id()?;
    while let Some(code) = fields.next_byte() {
        // [MQTT-3.9.3-2]
        if !matches!(code, 0..=2 | 0x80) {
            return Err(FrameError::SubackCode(code));
        }
    }
    Ok(())
}

fn subscribe(fields: &mut Fields<'_>) -> Result<(), FrameError> {
    fields.packet_id()?;
    while !fields.rest.is_empty() {
        fields.filter()?;
        let qos = fields.byte(Field::Qos)?;
        // [MQTT-3-8.3-4]
        if qos > 2 {
            return Err(FrameError::SubscribeQos(qos));
        }
    }
    Ok(())
}

fn unsubscribe(fields: &mut Fields<'_>) -> Result<(), FrameError> {
    fields.packet_id()?;
    while !fields.rest.is_empty() {
        fields.filter()?;
    }
    Ok(())
}

fn connect(fields: &mut Fields<'_>) -> Result<(), FrameError> {
    let name = fields.bytes(Field::ProtocolName)?;
    let level = fields.byte(Field::ProtocolLevel)?;
    match (name, level) {
        (b"MQTT", 4) => {}
        // [MQTT-3.1.2-2]: another MQTT version, whose fields have another layout.
        (b"MQTT" | b"MQIsdp", _) => return Err(FrameError::ProtocolLevel(level)),
        // [MQTT-3.1.2-1]
        _ => return Err(FrameError::ProtocolName),
    }
    let flags = ConnectFlags(fields.byte(Field::Flags)?);
    flags.judge()?;
    fields.u16(Field::KeepAlive)?;
    // [MQTT-3.1.3-1]: the order of the payload.
    fields.text(Field::ClientId)?;
    if flags.will() {
        fields.topic(Field::WillTopic)?;
        fields.bytes(Field::WillMessage)?;
    }
    if flags.user_name() {
        fields.text(Field::UserName)?;
    }
    if flags.password() {
        fields.bytes(Field::Password)?;
    }
    Ok(())
}

#[derive(Clone, Copy)]
struct ConnectFlags(u8);

impl ConnectFlags {
    fn judge(self) -> Result<(), FrameError> {
        // [MQTT-3.1.2-3]
        if self.0 & 0b0000_0001 != 0 {
            return Err(FrameError::ConnectReservedFlag);
        }
        match (self.will(), (self.0 >> 3) & 0b11, self.0 & 0b0010_0000) {
            // [MQTT-3.1.2-14]
            (true, 3, _) => return Err(FrameError::WillQos3),
            (true, _, _) | (false, 0, 0) => {}
            // [MQTT-3.1.2-11], [MQTT-3.1.2-13], [MQTT-3.1.2-15]
            _ => return Err(FrameError::WillBitsWithoutWill),
        }
        // [MQTT-3.1.2-22]
        if self.password() && !self.user_name() {
            return Err(FrameError::PasswordWithoutUserName);
        }
        Ok(())
    }

    fn will(self) -> bool {
        self.0 & 0b0000_0100 != 0
    }

    fn password(self) -> bool {
        self.0 & 0b0100_0000 != 0
    }

    fn user_name(self) -> bool {
        self.0 & 0b1000_0000 != 0
    }
}

/// The part of a body that was not read yet.
struct Fields<'a> {
    kind: PacketType,
    rest: &'a [u8],
}

impl<'a> Fields<'a> {
    fn next_byte(&mut self) -> Option<u8> {
        let (&byte, rest) = self.rest.split_first()?;
        self.rest = rest;
        Some(byte)
    }

    fn byte(&mut self, field: Field) -> Result<u8, FrameError> {
        self.next_byte().ok_or(self.runs_past_end(field))
    }

    fn u16(&mut self, field: Field) -> Result<u16, FrameError> {
        let high = self.byte(field)?;
        let low = self.byte(field)?;
        Ok(u16::from_be_bytes([high, low]))
    }

    /// A packet id: never 0 [MQTT-2.3.1-1].
    fn packet_id(&mut self) -> Result<Pid, FrameError> {
        let id = self.u16(Field::PacketId)?;
        Pid::try_from(id).map_err(|_| FrameError::ZeroPacketId(self.kind))
    }

    /// Reads bytes after their length.
    fn bytes(&mut self, field: Field) -> Result<&'a [u8], FrameError> {
        let length = usize::from(self.u16(field)?);
        let Some((bytes, rest)) = self.rest.split_at_checked(length) else {
            return Err(self.runs_past_end(field));
        };
        self.rest = rest;
        Ok(bytes)
    }

    fn text(&mut self, field: Field) -> Result<&'a str, FrameError> {
        let kind = self.kind;
        let bytes = self.bytes(field)?;
        // [MQTT-1.5.3-1]; [MQTT-1.5.3-3] holds because U+FEFF is kept.
        let text = std::str::from_utf8(bytes).map_err(|_| FrameError::NotUtf8 { kind, field })?;
        // [MQTT-1.5.3-2]
        if bytes.contains(&0) {
            return Err(FrameError::Nul { kind, field });
        }
        Ok(text)
    }

    /// Reads a topic filter as a string of at least one character [MQTT-4.7.3-1]; its grammar is not checked here.
    fn filter(&mut self) -> Result<&'a str, FrameError> {
        self.nonempty(Field::Filter)
    }

    /// Reads a topic name: a string without wildcards [MQTT-3.3.2-2].
    fn topic(&mut self, field: Field) -> Result<&'a str, FrameError> {
        let topic = self.nonempty(field)?;
        if topic.bytes().any(|byte| matches!(byte, b'+' | b'#')) {
            return Err(FrameError::Wildcard {
                kind: self.kind,
                field,
            });
        }
        Ok(topic)
    }

    fn nonempty(&mut self, field: Field) -> Result<&'a str, FrameError> {
        let text = self.text(field)?;
        if text.is_empty() {
            return Err(FrameError::Empty {
                kind: self.kind,
                field,
            });
        }
        Ok(text)
    }

    fn done(&self) -> Result<(), FrameError> {
        match self.rest.len() {
            0 => Ok(()),
            bytes => Err(FrameError::TrailingBytes {
                kind: self.kind,
                bytes,
            }),
        }
    }

    fn runs_past_end(&self, field: Field) -> FrameError {
        FrameError::RunsPastEnd {
            kind: self.kind,
            field,
        }
    }
}
