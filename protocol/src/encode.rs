//! Appends MQTT packets to a buffer of bytes to send.
//!
//! Promises: every field is checked and the exact size is known before the first byte is written, so that an error
//! leaves the buffer unchanged and no length is truncated to its field (`mqttrs` truncates silently); [`crate::frame`]
//! accepts every packet written here.
//!
//! Does not: check the grammar of topic filters ([`crate::topic`] has the types for that), or that packet ids are free.

mod error;

use std::fmt;

use mqttrs::{
    Connack, ConnectReturnCode, LastWill, Packet, Pid, Protocol, QoS, QosPid, Suback, Subscribe,
    SubscribeReturnCodes, SubscribeTopic, Unsubscribe,
};

use crate::frame::Field;
use crate::topic::unsendable;

pub use error::EncodeError;

/// The fields of a CONNECT.
#[derive(Clone)]
pub struct Connect<'a> {
    /// The client identifier; empty only together with `clean_session`.
    pub client_id: &'a str,
    /// Whether the broker discards its session of this client identifier.
    pub clean_session: bool,
    /// The keep alive in seconds; 0 turns it off.
    pub keep_alive: u16,
    /// The user name, if any.
    pub username: Option<&'a str>,
    /// The password; needs a user name.
    pub password: Option<&'a [u8]>,
    /// What the broker publishes when the connection ends without DISCONNECT.
    pub will: Option<Will<'a>>,
}

/// A message the broker publishes when the connection ends without DISCONNECT.
#[derive(Clone)]
pub struct Will<'a> {
    /// The topic name of the message.
    pub topic: &'a str,
    /// The payload, at most 65,535 bytes.
    pub payload: &'a [u8],
    /// The QoS of the message.
    pub qos: QoS,
    /// Whether the message is retained.
    pub retain: bool,
}

/// Appends a CONNECT.
///
/// # Errors
///
/// A field that the protocol does not allow; nothing is appended.
pub fn connect(out: &mut Vec<u8>, connect: &Connect<'_>) -> Result<(), EncodeError> {
    text(connect.client_id, Field::ClientId)?;
    if connect.client_id.is_empty() && !connect.clean_session {
        return Err(EncodeError::EmptyClientId);
    }
    // Protocol name and level, flags, keep alive.
    let mut body = 10 + 2 + connect.client_id.len();
    if let Some(will) = &connect.will {
        topic_name(will.topic, Field::WillTopic)?;
        fits(will.payload, Field::WillMessage)?;
        body += 2 + will.topic.len() + 2 + will.payload.len();
    }
    if let Some(username) = connect.username {
        text(username, Field::UserName)?;
        body += 2 + username.len();
    }
    if let Some(password) = connect.password {
        fits(password, Field::Password)?;
        body += 2 + password.len();
        if connect.username.is_none() {
            return Err(EncodeError::PasswordWithoutUserName);
        }
    }
    let packet = Packet::Connect(mqttrs::Connect {
        protocol: Protocol::MQTT311,
        keep_alive: connect.keep_alive,
        client_id: connect.client_id,
        clean_session: connect.clean_session,
        last_will: connect.will.as_ref().map(|will| LastWill {
            topic: will.topic,
            message: will.payload,
            qos: will.qos,
            retain: will.retain,
        }),
        username: connect.username,
        password: connect.password,
    });
    let sent = [
        (Field::ClientId, Some(connect.client_id)),
        (
            Field::WillTopic,
            connect.will.as_ref().map(|will| will.topic),
        ),
        (Field::UserName, connect.username),
    ];
    for (field, text) in sent {
        if let Some((_, character)) = text.and_then(unsendable) {
            return Err(EncodeError::Unsendable(field, character));
        }
    }
    put(out, &packet, body)
}

/// Appends a PUBLISH.
///
/// `mqttrs` would copy the payload byte by byte and cannot write a header alone, so this packet is written here; a test
/// compares both encodings byte for byte.
///
/// # Errors
///
/// A topic that the protocol does not allow, DUP at QoS 0, or too large a payload; nothing is appended.
pub fn publish(
    out: &mut Vec<u8>,
    dup: bool,
    qospid: QosPid,
    retain: bool,
    topic: &str,
    payload: &[u8],
) -> Result<(), EncodeError> {
    topic_name(topic, Field::Topic)?;
    let qos = qospid.qos();
    if dup && qos == QoS::AtMostOnce {
        return Err(EncodeError::DupWithQos0);
    }
    let body = publish_body_len(topic, payload, qos);
    if body > MAX_BODY_BYTES {
        return Err(EncodeError::PacketTooLarge(body));
    }
    out.reserve(packet_len(body));
    out.push(0x30 | u8::from(dup) << 3 | (qos as u8) << 1 | u8::from(retain));
    put_remaining_length(out, body);
    let topic_bytes = u16::try_from(topic.len()).unwrap_or(u16::MAX);
    out.extend_from_slice(&topic_bytes.to_be_bytes());
    out.extend_from_slice(topic.as_bytes());
    if let Some(pid) = qospid.pid() {
        out.extend_from_slice(&pid.get().to_be_bytes());
    }
    out.extend_from_slice(payload);
    Ok(())
}

/// The size in bytes of the PUBLISH that [`publish`] appends.
pub fn publish_len(topic: &str, payload: &[u8], qos: QoS) -> usize {
    packet_len(publish_body_len(topic, payload, qos))
}

/// Appends a PUBACK.
pub fn puback(out: &mut Vec<u8>, pid: Pid) {
    put_fixed(out, &Packet::Puback(pid), 2);
}

/// Appends a PUBREC.
pub fn pubrec(out: &mut Vec<u8>, pid: Pid) {
    put_fixed(out, &Packet::Pubrec(pid), 2);
}

/// Appends a PUBREL.
pub fn pubrel(out: &mut Vec<u8>, pid: Pid) {
    put_fixed(out, &Packet::Pubrel(pid), 2);
}

/// Appends a PUBCOMP.
pub fn pubcomp(out: &mut Vec<u8>, pid: Pid) {
    put_fixed(out, &Packet::Pubcomp(pid), 2);
}

/// Appends a SUBSCRIBE for `filters`, each with its requested QoS.
///
/// # Errors
///
/// No filter, or a filter that is not a valid MQTT string; nothing is appended.
pub fn subscribe(out: &mut Vec<u8>, pid: Pid, filters: &[(&str, QoS)]) -> Result<(), EncodeError> {
    let mut body = 2;
    for (filter, _) in filters {
        nonempty(filter, Field::Filter)?;
        body += 2 + filter.len() + 1;
    }
    check_filters(filters.len(), body)?;
    let topics = filters.iter().map(|&(filter, qos)| SubscribeTopic {
        topic_path: filter.to_owned(),
        qos,
    });
    put(
        out,
        &Packet::Subscribe(Subscribe::new(pid, topics.collect())),
        body,
    )
}

/// Appends an UNSUBSCRIBE for `filters`.
///
/// # Errors
///
/// No filter, or a filter that is not a valid MQTT string; nothing is appended.
pub fn unsubscribe(out: &mut Vec<u8>, pid: Pid, filters: &[&str]) -> Result<(), EncodeError> {
    let mut body = 2;
    for filter in filters {
        nonempty(filter, Field::Filter)?;
        body += 2 + filter.len();
    }
    check_filters(filters.len(), body)?;
    let topics = filters.iter().map(|&filter| filter.to_owned()).collect();
    put(
        out,
        &Packet::Unsubscribe(Unsubscribe::new(pid, topics)),
        body,
    )
}

/// Appends a PINGREQ.
pub fn pingreq(out: &mut Vec<u8>) {
    put_fixed(out, &Packet::Pingreq, 0);
}

/// Appends a DISCONNECT.
pub fn disconnect(out: &mut Vec<u8>) {
    put_fixed(out, &Packet::Disconnect, 0);
}

/// Appends a CONNACK; a refusal never sets Session Present [MQTT-3.2.2-4].
pub fn connack(out: &mut Vec<u8>, session_present: bool, code: ConnectReturnCode) {
    let session_present = session_present && code == ConnectReturnCode::Accepted;
    put_fixed(
        out,
        &Packet::Connack(Connack {
            session_present,
            code,
        }),
        2,
    );
}

/// Appends a SUBACK with one code for each filter of the SUBSCRIBE, in its order.
///
/// # Errors
///
/// No code; nothing is appended.
pub fn suback(
    out: &mut Vec<u8>,
    pid: Pid,
    codes: &[SubscribeReturnCodes],
) -> Result<(), EncodeError> {
    let body = 2 + codes.len();
    check_filters(codes.len(), body)?;
    put(out, &Packet::Suback(Suback::new(pid, codes.to_vec())), body)
}

/// Appends an UNSUBACK.
pub fn unsuback(out: &mut Vec<u8>, pid: Pid) {
    put_fixed(out, &Packet::Unsuback(pid), 2);
}

/// Appends a PINGRESP.
pub fn pingresp(out: &mut Vec<u8>) {
    put_fixed(out, &Packet::Pingresp, 0);
}

/// Appends `packet`, whose body has exactly `body` bytes.
fn put(out: &mut Vec<u8>, packet: &Packet<'_>, body: usize) -> Result<(), EncodeError> {
    if body > MAX_BODY_BYTES {
        return Err(EncodeError::PacketTooLarge(body));
    }
    let start = out.len();
    let size = packet_len(body);
    out.resize(start + size, 0);
    let room = out.get_mut(start..).unwrap_or_default();
    if mqttrs::encode_slice(packet, room) == Ok(size) {
        return Ok(());
    }
    out.truncate(start);
    Err(EncodeError::Codec)
}

/// Appends a packet of a fixed size, which cannot fail.
fn put_fixed(out: &mut Vec<u8>, packet: &Packet<'_>, body: usize) {
    let put = put(out, packet, body);
    debug_assert_eq!(put, Ok(()), "{packet:?}");
}

fn put_remaining_length(out: &mut Vec<u8>, mut length: usize) {
    while length > 0x7F {
        out.push((length & 0x7F) as u8 | 0x80);
        length >>= 7;
    }
    out.push(length as u8);
}

fn packet_len(body: usize) -> usize {
    let length_bytes = match body {
        0..=0x7F => 1,
        0x80..=0x3FFF => 2,
        0x4000..=0x1F_FFFF => 3,
        _ => 4,
    };
    1 + length_bytes + body
}

fn publish_body_len(topic: &str, payload: &[u8], qos: QoS) -> usize {
    let pid_bytes = if qos == QoS::AtMostOnce { 0 } else { 2 };
    2 + topic.len() + pid_bytes + payload.len()
}

fn check_filters(count: usize, body: usize) -> Result<(), EncodeError> {
    match (count, body) {
        (0, _) => Err(EncodeError::NoFilters),
        (_, body) if body > MAX_BODY_BYTES => Err(EncodeError::PacketTooLarge(body)),
        _ => Ok(()),
    }
}

fn fits(bytes: &[u8], field: Field) -> Result<(), EncodeError> {
    match bytes.len() {
        0..=0xFFFF => Ok(()),
        bytes => Err(EncodeError::TooLong { field, bytes }),
    }
}

fn text(text: &str, field: Field) -> Result<(), EncodeError> {
    fits(text.as_bytes(), field)?;
    if text.as_bytes().contains(&0) {
        return Err(EncodeError::Nul(field));
    }
    Ok(())
}

fn nonempty(string: &str, field: Field) -> Result<(), EncodeError> {
    if string.is_empty() {
        return Err(EncodeError::Empty(field));
    }
    text(string, field)
}

fn topic_name(topic: &str, field: Field) -> Result<(), EncodeError> {
    nonempty(topic, field)?;
    if topic.bytes().any(|byte| matches!(byte, b'+' | b'#')) {
        return Err(EncodeError::Wildcard(field));
    }
    Ok(())
}

impl fmt::Debug for Connect<'_> {
    /// Omits the password and the will's payload.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Connect")
            .field("client_id", &self.client_id)
            .field("clean_session", &self.clean_session)
            .field("keep_alive", &self.keep_alive)
            .field("username", &self.username)
            .field("password", &self.password.map(|_| "…"))
            .field("will", &self.will)
            .finish()
    }
}

impl fmt::Debug for Will<'_> {
    /// Omits the payload.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Will")
            .field("topic", &self.topic)
            .field("payload_bytes", &self.payload.len())
            .field("qos", &self.qos)
            .field("retain", &self.retain)
            .finish()
    }
}

/// The largest remaining length (MQTT 3.1.1 §2.2.3).
const MAX_BODY_BYTES: usize = 268_435_455;
