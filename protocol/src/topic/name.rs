//! Topic names: the topic of one message.

use std::fmt;
use std::sync::Arc;

use super::error::{TopicError, TopicFault, check_sendable, check_text};
use super::filter::MAX_LEVELS;

/// A valid topic name: 1 to 65,535 bytes of UTF-8 without U+0000, `+` and `#`; as many levels as fit. Cheap to clone.
///
/// Other control characters are valid in MQTT and kept in received topics; [`Shown`](super::Shown) escapes them for
/// display. A topic that is sent has to be [`sendable`](Self::sendable), too.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct TopicName(Arc<str>);

impl TopicName {
    /// Parses a topic name; the error says what is wrong and where.
    pub fn parse(text: &str) -> Result<Self, TopicError> {
        match check_name(text) {
            Ok(()) => Ok(Self(text.into())),
            Err(fault) => Err(TopicError::new("topic name", text, fault)),
        }
    }

    /// Checks that brokers in general accept the name; the error says what is wrong.
    pub fn sendable(&self) -> Result<(), TopicError> {
        let levels = self.0.split('/').count();
        let fault = match check_sendable(&self.0) {
            Ok(()) if levels <= MAX_LEVELS => return Ok(()),
            Ok(()) => TopicFault::TooManyLevels { max: MAX_LEVELS },
            Err(fault) => fault,
        };
        Err(TopicError::new("topic name to send", &self.0, fault))
    }

    /// The name as sent to the broker.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for TopicName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

fn check_name(text: &str) -> Result<(), TopicFault> {
    check_text(text)?;
    for (index, level) in text.split('/').enumerate() {
        // [MQTT-3.3.2-2]: a PUBLISH topic name has no wildcard characters.
        if let Some(wildcard) = level.chars().find(|c| matches!(c, '+' | '#')) {
            return Err(TopicFault::WildcardInName {
                wildcard,
                level: index + 1,
            });
        }
    }
    Ok(())
}
