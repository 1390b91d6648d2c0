//! Messages in tool results, cut to the size limits.

use std::time::SystemTime;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use mcpmqtt_protocol::message::Message;
use serde::Serialize;

use crate::clock;

/// A received message as JSON.
#[derive(Debug, Serialize)]
pub(super) struct ReceivedMessage {
    topic: String,
    payload: String,
    encoding: Encoding,
    qos: u8,
    retain: bool,
    /// The time of arrival at this program, RFC 3339 in UTC.
    timestamp: String,
    /// `unknown` for a retained message, which its publisher sent at an unknown time before.
    #[serde(skip_serializing_if = "Option::is_none")]
    age: Option<&'static str>,
    /// The size of the whole payload in bytes, set only when the payload is cut.
    #[serde(skip_serializing_if = "Option::is_none")]
    payload_bytes: Option<usize>,
}

/// The encoding of a payload in a JSON string.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub(super) enum Encoding {
    Utf8,
    /// The standard alphabet with padding (RFC 4648 §4).
    Base64,
}

/// The topic and payload bytes that one result can still take.
#[derive(Debug)]
pub(super) struct ResultBudget {
    left: usize,
    empty: bool,
}

/// Whether a message fits into a result.
#[derive(Debug)]
pub(super) enum Fit {
    Whole(ReceivedMessage),
    /// Only the beginning fits: the message is the first, and larger than a whole result may be.
    Cut(ReceivedMessage),
    No,
}

impl ResultBudget {
    pub(super) fn new(bytes: usize) -> Self {
        Self {
            left: bytes,
            empty: true,
        }
    }

    /// Adds `message` to the result as far as it fits.
    pub(super) fn take(&mut self, message: &Message) -> Fit {
        let topic = message.topic.as_str();
        let (encoding, cost) = measure(&message.payload);
        let cost = cost + topic.len();
        if cost <= self.left {
            self.left -= cost;
            self.empty = false;
            let text = encode(&message.payload, encoding);
            return Fit::Whole(ReceivedMessage::new(message, text, encoding, None));
        }
        if !self.empty {
            return Fit::No;
        }
        let room = self.left.saturating_sub(topic.len());
        let text = encode(beginning(&message.payload, encoding, room), encoding);
        self.left = 0;
        self.empty = false;
        let whole = Some(message.payload.len());
        Fit::Cut(ReceivedMessage::new(message, text, encoding, whole))
    }
}

impl ReceivedMessage {
    fn new(
        message: &Message,
        payload: String,
        encoding: Encoding,
        payload_bytes: Option<usize>,
    ) -> Self {
        Self {
            topic: message.topic.to_string(),
            payload,
            encoding,
            qos: message.qos as u8,
            retain: message.retain,
            timestamp: clock::rfc3339(SystemTime::now()),
            age: message.retain.then_some("unknown"),
            payload_bytes,
        }
    }
}

impl ReceivedMessage {
    /// The message as the beginning of one whose whole payload has this size.
    pub(super) fn of(mut self, whole: Option<usize>) -> ReceivedMessage {
        self.payload_bytes = whole.or(self.payload_bytes);
        self
    }

    /// The bytes that the message takes in a response at most. A response contains the message twice: as JSON, and as
    /// the text of that JSON.
    fn written_len(&self) -> usize {
        let texts = self.topic.chars().chain(self.payload.chars());
        MEMBERS + texts.map(written_twice).sum::<usize>()
    }

    /// Cuts the payload so that the message takes at most `room` bytes of a response; returns whether the payload was
    /// cut.
    pub(super) fn fit(&mut self, room: Option<usize>) -> bool {
        let Some(room) = room else { return false };
        let topic: usize = self.topic.chars().map(written_twice).sum();
        let mut left = room.saturating_sub(MEMBERS + topic);
        let fits = self.payload.char_indices().find(|(_, c)| {
            let cost = written_twice(*c);
            let fits = cost <= left;
            left = left.saturating_sub(cost);
            !fits
        });
        let Some((mut end, _)) = fits else {
            return false;
        };
        let whole = match self.encoding {
            Encoding::Utf8 => self.payload.len(),
            Encoding::Base64 => {
                end -= end % 4;
                let padding = self.payload.bytes().rev().take_while(|it| *it == b'=');
                self.payload.len() / 4 * 3 - padding.count()
            }
        };
        self.payload.truncate(end);
        self.payload_bytes.get_or_insert(whole);
        true
    }
}

/// Cuts the messages to `room` bytes of a response: drops whole messages from the end, then cuts the payload of the
/// first. Returns the number of dropped messages when something was cut.
pub(super) fn fit(messages: &mut Vec<ReceivedMessage>, room: Option<usize>) -> Option<usize> {
    let room = room?;
    let (mut used, mut fit) = (0, 0);
    for message in messages.iter() {
        used += message.written_len();
        if used > room {
            break;
        }
        fit += 1;
    }
    let before = messages.len();
    if fit == before {
        return None;
    }
    messages.truncate(fit.max(1));
    if fit == 0 {
        messages.first_mut()?.fit(Some(room));
    }
    Some(before - messages.len())
}

/// The bytes that a character takes in a JSON string plus those in that JSON as a string.
fn written_twice(c: char) -> usize {
    match c {
        '"' | '\\' => 6,
        '\n' | '\r' | '\t' | '\u{8}' | '\u{c}' => 5,
        // At most `\u` and four digits.
        '\0'..='\u{1f}' | '\u{7f}'..='\u{9f}' | '\u{2028}' | '\u{2029}' => 13,
        _ => 2 * c.len_utf8(),
    }
}

/// Decodes the caller's `payload` by `encoding`.
pub(super) fn decode(payload: String, encoding: Encoding) -> Result<Vec<u8>, String> {
    match encoding {
        Encoding::Utf8 => Ok(payload.into_bytes()),
        Encoding::Base64 => STANDARD.decode(payload.as_bytes()).map_err(|error| {
            format!("`payload` is not base64 (standard alphabet, with padding): {error}")
                .to_lowercase()
        }),
    }
}

fn encode(payload: &[u8], encoding: Encoding) -> String {
    match (encoding, std::str::from_utf8(payload)) {
        (Encoding::Utf8, Ok(text)) => text.to_owned(),
        _ => STANDARD.encode(payload),
    }
}

/// The encoding that a payload needs, and its cost in a result: its bytes, or half of its JSON form when that is more
/// (control characters become six bytes each, in two places).
fn measure(payload: &[u8]) -> (Encoding, usize) {
    if std::str::from_utf8(payload).is_err() {
        return (Encoding::Base64, payload.len());
    }
    (Encoding::Utf8, payload.len().max(escaped_len(payload) / 2))
}

fn escaped_len(text: &[u8]) -> usize {
    text.iter().map(|byte| escaped_byte_len(*byte)).sum()
}

fn escaped_byte_len(byte: u8) -> usize {
    match byte {
        b'"' | b'\\' | b'\n' | b'\r' | b'\t' | 8 | 12 => 2,
        0..=31 => 6,
        _ => 1,
    }
}

/// The first `most` bytes, cut between characters.
pub(super) fn beginning_of(payload: &[u8], most: usize) -> &[u8] {
    let (encoding, _) = measure(payload);
    let mut end = most.min(payload.len());
    while encoding == Encoding::Utf8 && payload.get(end).is_some_and(|byte| byte & 0xC0 == 0x80) {
        end -= 1;
    }
    payload.get(..end).unwrap_or_default()
}

/// The longest beginning that costs at most `room`, cut between characters.
fn beginning(payload: &[u8], encoding: Encoding, room: usize) -> &[u8] {
    let mut end = match encoding {
        Encoding::Base64 => room.min(payload.len()),
        Encoding::Utf8 => {
            let mut cost = 0;
            let fits = payload.iter().take(room).take_while(|byte| {
                cost += escaped_byte_len(**byte);
                cost / 2 <= room
            });
            fits.count()
        }
    };
    if encoding == Encoding::Utf8 {
        // The cut must not fall before a continuation byte of a character.
        while payload.get(end).is_some_and(|byte| byte & 0xC0 == 0x80) {
            end -= 1;
        }
    }
    payload.get(..end).unwrap_or_default()
}

/// The bytes of a message's other members in a response, in both copies.
const MEMBERS: usize = 640;

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use std::sync::Arc;

    use mcpmqtt_protocol::QoS;
    use mcpmqtt_protocol::topic::TopicName;

    use super::*;

    fn message(payload: &[u8]) -> Message {
        Message {
            topic: TopicName::parse("t").unwrap(),
            payload: Arc::from(payload),
            qos: QoS::AtMostOnce,
            retain: false,
        }
    }

    #[test]
    fn what_is_not_utf8_comes_as_base64_and_says_so() {
        let Fit::Whole(received) = ResultBudget::new(100).take(&message(&[0xFF, 0xFE, 0])) else {
            panic!("there is room");
        };
        assert_eq!(
            (received.payload.as_str(), received.encoding),
            ("//4A", Encoding::Base64)
        );
    }

    #[test]
    fn the_first_message_is_cut_between_characters_and_later_ones_are_left_out() {
        let mut budget = ResultBudget::new(6);
        let Fit::Cut(received) = budget.take(&message("ééé".as_bytes())) else {
            panic!("six bytes and the topic do not fit in six");
        };
        assert_eq!(
            (received.payload.as_str(), received.payload_bytes),
            ("éé", Some(6))
        );
        assert!(matches!(budget.take(&message(b"")), Fit::No));
        let mut budget = ResultBudget::new(6);
        assert!(matches!(budget.take(&message(b"abc")), Fit::Whole(_)));
        assert!(matches!(budget.take(&message(b"abc")), Fit::No));
        assert!(matches!(budget.take(&message(b"a")), Fit::Whole(_)));
    }

    #[test]
    fn control_characters_cost_what_json_makes_of_them() {
        let payload = [1_u8; 1000];
        let Fit::Cut(received) = ResultBudget::new(1001).take(&message(&payload)) else {
            panic!("a thousand of them become six thousand");
        };
        assert_eq!(received.payload.len(), 333);
    }

    #[test]
    fn base64_is_taken_strictly() {
        assert_eq!(
            decode("//4A".into(), Encoding::Base64).unwrap(),
            [0xFF, 0xFE, 0]
        );
        for bad in ["//4", "__4A", "//4A\n", "//4A=", "/", "//5="] {
            assert!(decode(bad.into(), Encoding::Base64).is_err(), "{bad:?}");
        }
    }
}
