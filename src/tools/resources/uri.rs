//! `mqtt://topic/…`: a topic as a URI, by the template `mqtt://topic/{+topic}` (RFC 6570 §3.2.3).
//!
//! Promises: an accepted topic is a valid topic name after exactly one percent-decoding; characters that a URI must not
//! contain are refused, never guessed at.

use mcpmqtt_protocol::topic::TopicName;

/// Whether a URI matches the template's prefix.
pub(super) fn belongs(uri: &str) -> bool {
    uri.starts_with(PREFIX)
}

/// The topic that a URI names.
///
/// # Errors
/// Why the URI names no topic.
pub(super) fn topic(uri: &str) -> Result<TopicName, String> {
    let encoded = uri.strip_prefix(PREFIX).unwrap_or_default();
    let text = decode(encoded)?;
    TopicName::parse(&text).map_err(|error| format!("the URI names no topic: {error}"))
}

fn decode(encoded: &str) -> Result<String, String> {
    let mut bytes = Vec::with_capacity(encoded.len());
    let mut rest = encoded.bytes();
    while let Some(byte) = rest.next() {
        match byte {
            b'%' => match (rest.next().and_then(digit), rest.next().and_then(digit)) {
                (Some(high), Some(low)) => bytes.push(high << 4 | low),
                _ => return Err("`%` in a URI is followed by two hexadecimal digits".into()),
            },
            byte if byte.is_ascii_alphanumeric() || ALLOWED.contains(&byte) => bytes.push(byte),
            _ => {
                let at = encoded.len() - rest.len() - 1;
                return Err(format!(
                    "the URI has a character at byte {} that must be percent-encoded",
                    PREFIX.len() + at
                ));
            }
        }
    }
    String::from_utf8(bytes).map_err(|_| "the URI is not percent-encoded UTF-8".into())
}

fn digit(byte: u8) -> Option<u8> {
    char::from(byte)
        .to_digit(16)
        .and_then(|digit| u8::try_from(digit).ok())
}

pub(super) const TEMPLATE: &str = "mqtt://topic/{+topic}";
const PREFIX: &str = "mqtt://topic/";
/// RFC 3986: the unreserved and reserved characters beside letters and digits, which `{+topic}` leaves unescaped;
/// without `#`, which would begin a fragment.
const ALLOWED: &[u8] = b"-._~:/?[]@!$&'()*+,;=";

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn a_uri_is_decoded_once_and_strictly() {
        let table = [
            ("a/b", Ok("a/b")),
            ("/", Ok("/")),
            ("a%2Fb", Ok("a/b")),
            ("a%20b%25", Ok("a b%")),
            ("%2541", Ok("%41")),
            ("%c3%A9", Ok("é")),
            ("$SYS/x:y@z?q=1", Ok("$SYS/x:y@z?q=1")),
            ("", Err("names no topic")),
            ("a/%2B", Err("names no topic")),
            ("a/+", Err("names no topic")),
            ("a%00", Err("names no topic")),
            ("a#b", Err("byte 14 that must be percent-encoded")),
            ("a b", Err("byte 14 that must be percent-encoded")),
            ("é", Err("byte 13 that must be percent-encoded")),
            ("a%", Err("two hexadecimal digits")),
            ("a%4", Err("two hexadecimal digits")),
            ("a%zz", Err("two hexadecimal digits")),
            ("a%+1", Err("two hexadecimal digits")),
            ("%ff", Err("percent-encoded UTF-8")),
            ("%ed%a0%80", Err("percent-encoded UTF-8")),
        ];
        for (tail, expected) in table {
            let found = topic(&format!("{PREFIX}{tail}"));
            match expected {
                Ok(topic) => assert_eq!(found.unwrap().as_str(), topic, "{tail}"),
                Err(words) => {
                    let why = found.unwrap_err();
                    assert!(why.contains(words), "{tail}: {why}");
                }
            }
        }
    }
}
