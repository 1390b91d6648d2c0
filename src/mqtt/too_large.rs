//! A message that the driver did not keep, because its packet is above `limits.packet_bytes`.

use std::fmt;

use mcpmqtt_protocol::topic::{Shown, TopicName};

/// A message that was too large to be kept.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TooLarge {
    /// The topic of the message.
    pub topic: TopicName,
    /// The size of the payload in bytes.
    pub payload_bytes: usize,
    /// Whether the message is the retained message of its topic.
    pub retain: bool,
    /// The limit in force, in bytes.
    pub limit: usize,
}

impl fmt::Display for TooLarge {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "the message on {} has {} bytes, above `limits.packet_bytes` of {}; it was not kept",
            Shown(self.topic.as_str()),
            grouped(self.payload_bytes),
            grouped(self.limit)
        )
    }
}

/// Writes `3145728` as `3,145,728`.
fn grouped(number: usize) -> String {
    let digits = number.to_string();
    let mut text = String::with_capacity(digits.len() * 4 / 3);
    for (index, digit) in digits.chars().enumerate() {
        if index > 0 && (digits.len() - index) % 3 == 0 {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_grouped_by_thousands() {
        for (number, text) in [
            (0, "0"),
            (999, "999"),
            (1000, "1,000"),
            (3_145_728, "3,145,728"),
        ] {
            assert_eq!(grouped(number), text);
        }
    }
}
