//! The value of a condition, and when a reading equals or contains it.

use std::fmt;

use serde_json::Value;

use super::Verdict;
use crate::reading::{Reading, is_json_text, is_large, plain_number};

/// The value of a condition.
#[derive(Debug, Clone, PartialEq)]
pub enum Operand {
    /// A finite number.
    Number(f64),
    /// A whole number beyond 2⁵³, of which an `f64` keeps not every digit.
    Whole(i128),
    /// True or false.
    Bool(bool),
    /// A text, without white space around it.
    Text(String),
}

impl Operand {
    pub(super) fn parse(value: &Value) -> Result<Option<Self>, String> {
        Ok(Some(match value {
            Value::Null => return Ok(None),
            Value::Bool(flag) => Self::Bool(*flag),
            Value::String(text) => Self::Text(text.trim().into()),
            Value::Number(number) if is_large(number) => {
                let whole = number.to_string().parse();
                Self::Whole(whole.map_err(|_| "`value` is too large for a number")?)
            }
            Value::Number(number) => Self::Number(
                number
                    .as_f64()
                    .filter(|it| it.is_finite())
                    .ok_or("`value` is too large for a number")?,
            ),
            Value::Array(_) | Value::Object(_) => {
                return Err("`value` is a number, a text, true or false; name a `field` to compare a part of a document".into());
            }
        }))
    }

    pub(super) fn number(&self) -> Option<f64> {
        match self {
            Self::Number(number) => Some(*number),
            Self::Whole(number) => Some(*number as f64),
            Self::Bool(_) => None,
            Self::Text(text) => plain_number(text),
        }
    }

    pub(super) fn equals(&self, reading: &Reading) -> Result<bool, Verdict> {
        match (self, reading) {
            (Self::Number(value), reading) => Ok(number(reading)? == *value),
            (Self::Whole(value), reading) => match reading.whole_number() {
                Some(whole) => Ok(whole == *value),
                None => Ok(number(reading)? == *value as f64),
            },
            (Self::Bool(value), Reading::Bool(flag)) => Ok(flag == value),
            (Self::Bool(value), Reading::Text(text)) => match text.as_str() {
                "true" => Ok(*value),
                "false" => Ok(!value),
                _ => Err(Verdict::WrongKind),
            },
            (Self::Bool(_), _) => Err(Verdict::WrongKind),
            (Self::Text(value), reading) => text_equals(value, reading),
        }
    }

    /// `contains`: an element of an array, else a part of the text.
    pub(super) fn is_in(&self, reading: &Reading) -> Result<bool, Verdict> {
        if let Reading::Json(Value::Array(elements)) = reading {
            let mut elements = elements.iter().map(Reading::of_value);
            return Ok(elements.any(|element| self.equals(&element) == Ok(true)));
        }
        let text = reading.text().ok_or(Verdict::WrongKind)?;
        Ok(self.is_part_of(&text))
    }

    pub(super) fn is_part_of(&self, text: &str) -> bool {
        match self {
            Self::Text(part) => text.contains(part.as_str()),
            part => text.contains(&part.to_string()),
        }
    }
}

impl fmt::Display for Operand {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Number(number) => number.fmt(f),
            Self::Whole(number) => number.fmt(f),
            Self::Bool(flag) => flag.fmt(f),
            Self::Text(text) => write!(f, "{text:?}"),
        }
    }
}

/// The number that a reading is.
pub(super) fn number(reading: &Reading) -> Result<f64, Verdict> {
    reading.number().ok_or(Verdict::NoNumber)
}

/// Whether a reading equals a text. A text that is a number equals the number; a text that is a document equals the
/// document, however either is spaced.
fn text_equals(value: &str, reading: &Reading) -> Result<bool, Verdict> {
    if let (Ok(value), Some(number)) = (value.parse::<i128>(), reading.whole_number()) {
        return Ok(value == number);
    }
    if let (Some(value), Some(number)) = (plain_number(value), reading.number()) {
        return Ok(value == number);
    }
    match reading {
        Reading::Text(text) => Ok(text == value),
        Reading::Bool(flag) => Ok(value == if *flag { "true" } else { "false" }),
        Reading::Json(document) if !document.is_null() => Ok(is_json_text(value, document)),
        Reading::Json(_) | Reading::Binary { .. } => Err(Verdict::WrongKind),
        Reading::Number(_) | Reading::Large(_) | Reading::Kept(_) => Ok(false),
    }
}
