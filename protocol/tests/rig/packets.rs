//! Packets as bytes, to be sent by the script or expected from the client.

use mcpmqtt_protocol::frame::{FrameBuffer, Receiver};
use mcpmqtt_protocol::{ConnectReturnCode, Pid, QoS, QosPid, encode};

pub(crate) const PINGREQ: [u8; 2] = [0xC0, 0];
pub(crate) const PINGRESP: [u8; 2] = [0xD0, 0];
pub(crate) const DISCONNECT: [u8; 2] = [0xE0, 0];

pub(crate) fn pid(id: u16) -> Pid {
    Pid::try_from(id).unwrap()
}

fn written(write: impl FnOnce(&mut Vec<u8>)) -> Vec<u8> {
    let mut out = Vec::new();
    write(&mut out);
    out
}

pub(crate) fn connack(session_present: bool) -> Vec<u8> {
    written(|out| encode::connack(out, session_present, ConnectReturnCode::Accepted))
}

pub(crate) fn publish0(topic: &str, payload: &str) -> Vec<u8> {
    publish(QosPid::AtMostOnce, topic, payload)
}

pub(crate) fn publish1(id: u16, topic: &str, payload: &str) -> Vec<u8> {
    publish(QosPid::AtLeastOnce(pid(id)), topic, payload)
}

pub(crate) fn publish2(id: u16, topic: &str, payload: &str) -> Vec<u8> {
    publish(QosPid::ExactlyOnce(pid(id)), topic, payload)
}

fn publish(qospid: QosPid, topic: &str, payload: &str) -> Vec<u8> {
    written(|out| {
        encode::publish(out, false, qospid, false, topic, payload.as_bytes()).unwrap();
    })
}

/// The same PUBLISH, sent again.
pub(crate) fn dup(mut publish: Vec<u8>) -> Vec<u8> {
    publish[0] |= 0b1000;
    publish
}

/// The same PUBLISH with RETAIN.
pub(crate) fn retained(mut publish: Vec<u8>) -> Vec<u8> {
    publish[0] |= 0b0001;
    publish
}

pub(crate) fn puback(id: u16) -> Vec<u8> {
    written(|out| encode::puback(out, pid(id)))
}

pub(crate) fn pubrec(id: u16) -> Vec<u8> {
    written(|out| encode::pubrec(out, pid(id)))
}

pub(crate) fn pubrel(id: u16) -> Vec<u8> {
    written(|out| encode::pubrel(out, pid(id)))
}

pub(crate) fn pubcomp(id: u16) -> Vec<u8> {
    written(|out| encode::pubcomp(out, pid(id)))
}

pub(crate) fn subscribe(id: u16, filters: &[(&str, QoS)]) -> Vec<u8> {
    written(|out| encode::subscribe(out, pid(id), filters).unwrap())
}

/// SUBACK with these codes, legal or not.
pub(crate) fn suback(id: u16, codes: &[u8]) -> Vec<u8> {
    let [high, low] = id.to_be_bytes();
    let length = u8::try_from(2 + codes.len()).unwrap();
    [&[0x90, length, high, low], codes].concat()
}

pub(crate) fn unsubscribe(id: u16, filter: &str) -> Vec<u8> {
    written(|out| encode::unsubscribe(out, pid(id), &[filter]).unwrap())
}

pub(crate) fn unsuback(id: u16) -> Vec<u8> {
    written(|out| encode::unsuback(out, pid(id)))
}

/// Bytes from their hex digits, blanks ignored.
pub(crate) fn hex(digits: &str) -> Vec<u8> {
    let digits: Vec<char> = digits.chars().filter(|c| !c.is_whitespace()).collect();
    assert!(digits.len() % 2 == 0);
    digits
        .chunks(2)
        .map(|pair| u8::from_str_radix(&pair.iter().collect::<String>(), 16).unwrap())
        .collect()
}

/// What a client wrote, for a person to read.
pub(crate) fn shown(bytes: &[u8]) -> String {
    let mut buffer = FrameBuffer::new(Receiver::Broker, usize::MAX);
    buffer.extend(bytes);
    let mut lines = Vec::new();
    loop {
        match buffer.next_packet() {
            Ok(Some(packet)) => lines.push(format!("{packet:?}")),
            Ok(None) => break,
            Err(error) => {
                lines.push(error.to_string());
                break;
            }
        }
    }
    let rest = buffer.buffered();
    lines.push(format!("and {rest} bytes of {bytes:02X?}"));
    lines.join("\n  ")
}
