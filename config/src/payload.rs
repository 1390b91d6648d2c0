//! What may be written to a topic: the type and the limits of a payload (`topics[].payload`).
//!
//! Promises: a payload passes only if every reader that takes numbers, words and JSON as they are defined understands
//! the same of it, and that is within the limits; a verdict costs one walk over the payload.
//!
//! * `decimal`: numbers, compared exactly;
//! * `members`: the members of a JSON object, each as it is written;
//! * `judge`, `fault`: the verdict on a payload, and its words;
//! * `words`: the limits in words and as JSON;
//! * `read`: the section of the file;
//! * `logic`: whether rules can be met together, and whether one includes another.

mod decimal;
mod fault;
mod judge;
mod logic;
mod members;
mod read;
mod words;

use serde_json::Number;

use self::decimal::Decimal;
pub(crate) use self::fault::{PayloadFault, strictest};
pub(crate) use self::logic::{can_be_met, includes};
pub(crate) use self::read::read;
use crate::path::Path;
use crate::reading::plain_number;

/// The payloads that a rule of the file lets through to a topic.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PayloadRule {
    kind: Kind,
    /// A payload that the rule lets through, for models: the text of a payload, or of a JSON value in a field.
    example: Option<String>,
}

impl PayloadRule {
    /// Whether a payload that the rule lets through can be a number, or can have one in this field.
    pub(crate) fn may_be_number(&self, field: Option<&Path>) -> bool {
        let is_number = |text: &str| plain_number(text).is_some();
        match (&self.kind, field) {
            (Kind::Object(fields), Some(path)) => {
                let name = path.to_string();
                let found = fields.iter().find(|field| field.name == name);
                found.is_none_or(|field| field.rule.may_be_number(None))
            }
            (Kind::Object(_), None) => false,
            (Kind::Number(_) | Kind::Text { .. }, _) => true,
            (Kind::Boolean(words), _) => words.iter().flatten().any(|word| is_number(word)),
            (Kind::Enum(choices), _) => choices.iter().any(|choice| match choice {
                Choice::Text(text) => is_number(text),
                Choice::Whole(_) => true,
            }),
        }
    }
}

/// The type of a payload, or of a field in a JSON object, with its limits.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Kind {
    Number(Numbers),
    /// True and false; as words where the file gives some.
    Boolean(Option<[String; 2]>),
    /// One of several values.
    Enum(Vec<Choice>),
    Text {
        max_bytes: Option<usize>,
    },
    /// A JSON object with these fields and no others.
    Object(Vec<Field>),
}

#[derive(Clone, Debug, PartialEq, Eq)]
struct Numbers {
    /// Only numbers that are written without a fraction.
    whole: bool,
    min: Option<Bound>,
    max: Option<Bound>,
    unit: Option<String>,
}

/// A limit that a number may reach and not pass.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Bound {
    number: Number,
    exact: Decimal,
}

/// A value of an `enum`.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Choice {
    Text(String),
    Whole(i64),
}

#[derive(Clone, Debug, PartialEq, Eq)]
struct Field {
    name: String,
    required: bool,
    rule: PayloadRule,
}
