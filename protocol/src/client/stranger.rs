//! Recognises other servers that may answer at the broker's port.
//!
//! Promises: a CONNACK of MQTT 3.1.1 is never mistaken for another protocol; the client waits only for the rest of a
//! known greeting.

use super::event::Stranger;

/// The protocol of a connection's first bytes.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Greeting {
    Stranger(Stranger),
    /// More bytes may complete a known greeting.
    Incomplete,
    /// No known greeting: to be parsed as MQTT.
    Unknown,
}

pub(super) fn recognise(bytes: &[u8]) -> Greeting {
    for (beginning, stranger) in BEGINNINGS {
        if bytes.starts_with(beginning) {
            return Greeting::Stranger(stranger);
        }
        if !bytes.is_empty() && beginning.starts_with(bytes) {
            return Greeting::Incomplete;
        }
    }
    connack_of_mqtt_5(bytes)
}

/// CONNACK of MQTT 5 (§3.2): flags, reason code, properties. A code from 0x80 on is a refusal that MQTT 3.1.1 does not
/// define.
fn connack_of_mqtt_5(bytes: &[u8]) -> Greeting {
    match *bytes {
        [0x20, 3..=0x7F, _, code, ..] if code >= 0x80 => Greeting::Stranger(Stranger::Mqtt5(code)),
        // "Unsupported protocol version" in the form of 3.1.1.
        [0x20, 2, 0, 0x84, ..] => Greeting::Stranger(Stranger::Mqtt5(0x84)),
        [0x20, 3..=0x7F] | [0x20, 3..=0x7F, _] => Greeting::Incomplete,
        _ => Greeting::Unknown,
    }
}

const BEGINNINGS: [(&[u8], Stranger); 5] = [
    (b"HTTP/", Stranger::Http),
    (b"SSH-", Stranger::Ssh),
    (b"AMQP", Stranger::Amqp),
    // The greeting of SMTP and FTP.
    (b"220", Stranger::MailOrFtp),
    // A TLS record with an alert (RFC 8446 §5.1).
    (&[0x15, 0x03], Stranger::Tls),
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_known_is_recognised_however_it_is_cut_and_mqtt_is_left_alone() {
        let known: [(&[u8], Stranger); 8] = [
            (b"HTTP/1.1 400 Bad Request\r\n\r\n", Stranger::Http),
            (b"SSH-2.0-OpenSSH_9.2\r\n", Stranger::Ssh),
            (b"AMQP\x00\x00\x09\x01", Stranger::Amqp),
            (b"220 ready\r\n", Stranger::MailOrFtp),
            (b"\x15\x03\x03\x00\x02\x02\x0a", Stranger::Tls),
            (b"\x20\x03\x00\x84\x00", Stranger::Mqtt5(0x84)),
            (b"\x20\x06\x00\x87\x03\x21\x00\x0a", Stranger::Mqtt5(0x87)),
            (b"\x20\x02\x00\x84", Stranger::Mqtt5(0x84)),
        ];
        for (bytes, stranger) in known {
            let mut found = Greeting::Unknown;
            for end in 1..=bytes.len() {
                found = recognise(bytes.get(..end).unwrap_or_default());
                if found == Greeting::Unknown {
                    // What is read as MQTT so far is an incomplete CONNACK.
                    assert!(bytes.starts_with(&[0x20]) && end < 4, "{bytes:02x?} {end}");
                }
            }
            assert_eq!(found, Greeting::Stranger(stranger));
        }
        for code in 0..=5 {
            assert_eq!(recognise(&[0x20, 2, 0, code]), Greeting::Unknown);
        }
        for mqtt in [
            &b""[..],
            b"\x20",
            b"\x20\x02\x01\x00",
            b"\xd0\x00",
            b"\x30\x04\x00\x01ax",
        ] {
            assert_eq!(recognise(mqtt), Greeting::Unknown, "{mqtt:02x?}");
        }
    }
}
