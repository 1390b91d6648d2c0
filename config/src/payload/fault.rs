//! Why a payload is not let through, in words that a model can act on.

use std::cmp::Ordering;

use mcpmqtt_protocol::topic::{Shown, TopicFilter};

use super::words::{InJson, JoinedNames};
use super::{Bound, PayloadRule};

/// Why a payload is not within the limits of one rule.
#[derive(Debug)]
pub(crate) struct PayloadFault<'r> {
    /// The field, as in `motor.rpm`.
    pub(super) path: String,
    /// How many fields the path has; none for the payload as a whole.
    pub(super) depth: usize,
    pub(super) wrong: Wrong<'r>,
}

#[derive(Debug)]
pub(super) enum Wrong<'r> {
    /// A number is above the largest or below the least.
    Beyond {
        found: String,
        bound: &'r Bound,
        unit: Option<&'r str>,
        side: Side,
    },
    /// The value is not of the kind that the rule takes: what it is.
    Unlike {
        found: String,
        rule: &'r PayloadRule,
    },
    /// The rule has no field of this name.
    Unknown { rule: &'r PayloadRule },
    /// A required field is not there.
    Missing { rule: &'r PayloadRule },
    /// The field is there more than once: readers differ in which one counts.
    Twice,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Side {
    Above,
    Below,
}

impl<'r> PayloadFault<'r> {
    pub(super) fn new(wrong: Wrong<'r>) -> Self {
        Self {
            path: String::new(),
            depth: 0,
            wrong,
        }
    }

    /// The same fault seen from the object around the field `name`.
    pub(super) fn inside(mut self, name: &str) -> Self {
        self.path = match self.depth {
            0 => name.to_owned(),
            _ => format!("{name}.{}", self.path),
        };
        self.depth += 1;
        self
    }

    /// The fault as a sentence, under the rule for `pattern`.
    pub(crate) fn tell(&self, pattern: &TopicFilter) -> String {
        let mut text = self.sentence(pattern);
        // A rule may have any number of fields.
        if let Some(end) = (0..=MOST_WORDS)
            .rev()
            .find(|end| text.is_char_boundary(*end))
        {
            if end < text.len() {
                text.truncate(end);
                text.push('…');
            }
        }
        text
    }

    fn sentence(&self, pattern: &TopicFilter) -> String {
        let (field, pattern) = (Shown(&self.path), Shown(pattern.as_str()));
        let (lead, there) = match self.depth {
            0 => (String::new(), ""),
            _ => (format!("{field}: "), " there"),
        };
        // The name of a field that is not there is a part of the path.
        let inner = if self.depth > 1 { " there" } else { "" };
        match &self.wrong {
            Wrong::Beyond {
                found,
                bound,
                unit,
                side,
            } => {
                let (beyond, most) = match side {
                    Side::Above => ("above", "most"),
                    Side::Below => ("below", "least"),
                };
                let unit = unit.map(|unit| format!(" {unit}")).unwrap_or_default();
                let limit = &bound.number;
                format!(
                    "{lead}{found} is {beyond} {limit}{unit}, the {most} that {pattern} takes{there}"
                )
            }
            Wrong::Unlike { found, rule } => {
                let takes = match self.depth {
                    0 => rule.to_string(),
                    _ => InJson(rule).to_string(),
                };
                format!("{lead}{found}; {pattern} takes{there} {takes}")
            }
            Wrong::Unknown { rule } => {
                let names = JoinedNames(rule);
                format!("{pattern} takes no field {field}{inner}; it takes {names}")
            }
            Wrong::Missing { rule } => {
                format!("{field} is missing; {pattern} takes{inner} {rule}")
            }
            Wrong::Twice => {
                format!(
                    "{field} is given more than once, and readers differ in which one counts; {pattern} takes it once"
                )
            }
        }
    }

    /// Whether this fault names a tighter limit than `other` for the same number.
    fn is_stricter(&self, other: &Self) -> bool {
        let (
            Wrong::Beyond { bound, side, .. },
            Wrong::Beyond {
                bound: before,
                side: before_side,
                ..
            },
        ) = (&self.wrong, &other.wrong)
        else {
            return false;
        };
        let tighter = match side {
            Side::Above => Ordering::Less,
            Side::Below => Ordering::Greater,
        };
        side == before_side
            && self.path == other.path
            && bound.exact.order(&before.exact) == tighter
    }
}

/// The fault to tell of those that several rules find: the first, or the tightest limit for the same number, so that the
/// next attempt can be within all.
pub(crate) fn strictest<'r, T>(
    faults: impl Iterator<Item = (T, PayloadFault<'r>)>,
) -> Option<(T, PayloadFault<'r>)> {
    faults.reduce(|first, next| match next.1.is_stricter(&first.1) {
        true => next,
        false => first,
    })
}

/// What a payload or a value is shown as: text in backticks, or why it is not text.
pub(super) fn shown(payload: &[u8]) -> String {
    match std::str::from_utf8(payload) {
        Ok("") => "an empty payload".to_owned(),
        Ok(text) => Shown(text).to_string(),
        Err(_) => format!("a payload of {} bytes that are not UTF-8", payload.len()),
    }
}

/// The longest sentence in bytes, which keeps a refusal below 4 KB.
const MOST_WORDS: usize = 3_800;
