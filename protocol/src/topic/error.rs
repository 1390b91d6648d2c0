//! The errors of topic strings, and the rules that names and filters share.

use std::fmt;

use super::shown::Shown;

/// A string that is not a valid topic name, topic filter or shared subscription.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TopicError {
    /// What is wrong, and where.
    pub fault: TopicFault,
    /// What the string was meant to be: `topic name`, `topic filter` or `shared subscription`.
    kind: &'static str,
    /// The string as [`Shown`] shows it.
    shown: String,
}

impl TopicError {
    pub(super) fn new(kind: &'static str, text: &str, fault: TopicFault) -> Self {
        let shown = Shown(text).to_string();
        Self { fault, kind, shown }
    }
}

impl fmt::Display for TopicError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { fault, kind, shown } = self;
        write!(f, "{shown} is not a valid {kind}: {fault}")
    }
}

impl std::error::Error for TopicError {}

/// The rule that the string violates. Levels are counted from 1, bytes from 0.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TopicFault {
    /// The string is empty ([MQTT-4.7.3-1]).
    Empty,
    /// The string has more than 65,535 bytes ([MQTT-4.7.3-3]).
    TooLong {
        /// The length in bytes.
        bytes: usize,
    },
    /// The string contains U+0000 ([MQTT-4.7.3-2]).
    Nul {
        /// The offset of the first U+0000 in bytes.
        at: usize,
    },
    /// A topic name contains `+` or `#` ([MQTT-3.3.2-2]).
    WildcardInName {
        /// The character.
        wildcard: char,
        /// The level of the wildcard.
        level: usize,
    },
    /// `+` or `#` shares its level with other characters ([MQTT-4.7.1-2], [MQTT-4.7.1-3]).
    WildcardNotAlone {
        /// The character.
        wildcard: char,
        /// The level of the wildcard.
        level: usize,
    },
    /// `#` is not in the last level ([MQTT-4.7.1-2]).
    HashNotLast {
        /// The level of the `#`.
        level: usize,
    },
    /// A character that brokers may end the connection for (MQTT 3.1.1 §1.5.3): accepted in received topics, not sent.
    Unsendable {
        /// The character.
        character: char,
        /// The offset of the first such character in bytes.
        at: usize,
    },
    /// More than [`MAX_LEVELS`](super::MAX_LEVELS) levels: a limit of this program for what is sent.
    TooManyLevels {
        /// The limit.
        max: usize,
    },
    /// `$share` without a group name, or with one that contains a wildcard.
    BadShareGroup,
    /// `$share/group` without a filter.
    NoShareFilter,
}

impl fmt::Display for TopicFault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Empty => f.write_str("it is empty"),
            Self::TooLong { bytes } => {
                write!(f, "it has {bytes} bytes, at most {MAX_BYTES} are allowed")
            }
            Self::Nul { at } => write!(f, "it contains the NUL character at byte {at}"),
            Self::Unsendable { character, at } => write!(
                f,
                "it contains U+{:04X} at byte {at}, for which brokers may close the connection",
                u32::from(*character)
            ),
            Self::WildcardInName { wildcard, level } => {
                write!(
                    f,
                    "`{wildcard}` in level {level} is a wildcard, and a message goes to one exact topic"
                )
            }
            Self::WildcardNotAlone { wildcard, level } => {
                write!(f, "`{wildcard}` in level {level} must be the whole level")
            }
            Self::HashNotLast { level } => {
                write!(f, "`#` must be the last level, and is in level {level}")
            }
            Self::TooManyLevels { max } => write!(f, "it has more than {max} levels"),
            Self::BadShareGroup => {
                f.write_str("`$share/` must be followed by a group name without wildcards")
            }
            Self::NoShareFilter => {
                f.write_str("`$share/group/` must be followed by a topic filter")
            }
        }
    }
}

/// The rules for every topic string, name or filter.
pub(super) fn check_text(text: &str) -> Result<(), TopicFault> {
    if text.is_empty() {
        return Err(TopicFault::Empty);
    }
    if text.len() > MAX_BYTES {
        return Err(TopicFault::TooLong { bytes: text.len() });
    }
    match text.find('\0') {
        Some(at) => Err(TopicFault::Nul { at }),
        None => Ok(()),
    }
}

/// The rule for every string that is sent.
pub(super) fn check_sendable(text: &str) -> Result<(), TopicFault> {
    match unsendable(text) {
        Some((at, character)) => Err(TopicFault::Unsendable { character, at }),
        None => Ok(()),
    }
}

/// The first character of `text` that MQTT 3.1.1 §1.5.3 advises against sending, and its offset in bytes: a control
/// character or a Unicode noncharacter. mosquitto ends the connection for each of them.
pub fn unsendable(text: &str) -> Option<(usize, char)> {
    text.char_indices().find(|(_, c)| {
        let code = u32::from(*c);
        c.is_control() || (0xFDD0..=0xFDEF).contains(&code) || code & 0xFFFE == 0xFFFE
    })
}

/// A string on the wire has a 16-bit length ([MQTT-1.5.3], [MQTT-4.7.3-3]).
const MAX_BYTES: usize = 65_535;
