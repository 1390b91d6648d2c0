//! The values that a schema allows for one property, and their description in error messages.
//!
//! Promises: a rule compiles only from keywords that it checks; its description is the same for a missing and for a
//! wrong value.
//! Does not: know objects and their properties (see `schema`).

use std::fmt;

use mcpmqtt_protocol::topic::Printable;
use serde_json::{Map, Number, Value};

use crate::mcp::jsonrpc::strict::cut;

/// A rule for a value that is not an object.
#[derive(Debug)]
pub(in crate::mcp) enum Rule {
    Boolean,
    Number { integer: bool, range: Range },
    Text { min: Option<u64>, max: Option<u64> },
    OneOf(Vec<Value>),
}

#[derive(Debug)]
pub(in crate::mcp) struct Range {
    minimum: Option<Number>,
    above: Option<Number>,
    maximum: Option<Number>,
}

/// Describes the value found, in short; for a string of the wrong length, the length alone.
pub(in crate::mcp) struct FaultyValue<'a> {
    pub(in crate::mcp) value: &'a Value,
    pub(in crate::mcp) by_length: bool,
}

impl Rule {
    /// Compiles the rule in a property's schema.
    ///
    /// # Errors
    /// The reason, when a keyword is not implemented.
    pub(in crate::mcp) fn compile(members: &Map<String, Value>) -> Result<Rule, String> {
        let kind = members.get("type").and_then(Value::as_str);
        let (rule, words): (Rule, &[&str]) = match kind {
            Some("boolean") => (Rule::Boolean, &[]),
            Some("number" | "integer") => {
                let integer = kind == Some("integer");
                let range = Range::compile(members);
                let words = &["minimum", "exclusiveMinimum", "maximum"];
                (Rule::Number { integer, range }, words)
            }
            Some("string") => match members.get("enum").and_then(Value::as_array) {
                Some(allowed) => (Rule::OneOf(allowed.clone()), &["enum"]),
                None => {
                    let length = |word| members.get(word).and_then(Value::as_u64);
                    let (min, max) = (length("minLength"), length("maxLength"));
                    (Rule::Text { min, max }, &["minLength", "maxLength"])
                }
            },
            _ => return Err("`type` is missing or not implemented".into()),
        };
        for (word, value) in members {
            let word = word.as_str();
            let idle = word == "type" || word == "default" || ANNOTATIONS.contains(&word);
            let sound = match rule {
                Rule::Text { .. } => value.is_u64(),
                Rule::OneOf(_) => value.is_array(),
                _ => value.is_number(),
            };
            let bound = sound && words.contains(&word);
            if !(idle || bound) {
                return Err(unknown(word, value));
            }
        }
        Ok(rule)
    }

    /// Whether the value matches the rule. A value with only one possible meaning is converted first: an integer
    /// written as `1.0`, and a number or a boolean in a string, which many clients send.
    pub(in crate::mcp) fn accept(&self, value: &mut Value) -> bool {
        match self.in_string(value) {
            Some(mut meant) => {
                let good = self.obeys(&mut meant);
                if good {
                    *value = meant;
                }
                good
            }
            None => self.obeys(value),
        }
    }

    /// The value that a string stands for where the rule allows no string.
    fn in_string(&self, value: &Value) -> Option<Value> {
        let text = value.as_str()?.trim();
        match self {
            Rule::Number { .. } => text.parse().ok().map(Value::Number),
            Rule::Boolean if text.eq_ignore_ascii_case("true") => Some(Value::Bool(true)),
            Rule::Boolean if text.eq_ignore_ascii_case("false") => Some(Value::Bool(false)),
            _ => None,
        }
    }

    /// Whether the value matches the rule as written; only an integer written as `1.0` is converted.
    pub(in crate::mcp) fn obeys(&self, value: &mut Value) -> bool {
        if let Rule::Number { integer: true, .. } = self {
            make_integer(value);
        }
        match (self, &*value) {
            (Rule::Boolean, Value::Bool(_)) => true,
            (Rule::Number { integer, range }, Value::Number(number)) => {
                (!integer || !number.is_f64()) && range.contains(number)
            }
            (Rule::Text { min, max }, Value::String(text)) => {
                min.is_none_or(|min| characters(text) >= min)
                    // A text never has fewer bytes than characters, so most texts need no count.
                    && max.is_none_or(|max| text.len() as u64 <= max || characters(text) <= max)
            }
            (Rule::OneOf(allowed), value) => allowed.contains(value),
            _ => false,
        }
    }
}

impl Range {
    fn compile(members: &Map<String, Value>) -> Range {
        let bound = |word| members.get(word).and_then(Value::as_number).cloned();
        Range {
            minimum: bound("minimum"),
            above: bound("exclusiveMinimum"),
            maximum: bound("maximum"),
        }
    }

    fn contains(&self, number: &Number) -> bool {
        let Some(value) = number.as_f64() else {
            return false;
        };
        let holds = |bound: &Option<Number>, test: fn(&f64, &f64) -> bool| {
            let bound = bound.as_ref().and_then(Number::as_f64);
            bound.is_none_or(|bound| test(&value, &bound))
        };
        holds(&self.minimum, f64::ge)
            && holds(&self.above, f64::gt)
            && holds(&self.maximum, f64::le)
    }
}

/// The error message for a keyword that would go unchecked.
pub(in crate::mcp) fn unknown(word: &str, value: &Value) -> String {
    format!("keyword `{word}` is not implemented with {value}")
}

/// Describes the allowed values.
impl fmt::Display for Rule {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Rule::Boolean => f.write_str("true or false"),
            Rule::Number { integer, range } => {
                f.write_str(if *integer { "an integer" } else { "a number" })?;
                write!(f, "{range}")
            }
            Rule::Text { min, max } => match (min, max) {
                (None, None) => f.write_str("a string"),
                (Some(1), None) => f.write_str("a string that is not empty"),
                (Some(min), None) => write!(f, "a string of at least {min} characters"),
                (None, Some(max)) => write!(f, "a string of at most {max} characters"),
                (Some(min), Some(max)) => write!(f, "a string of {min} to {max} characters"),
            },
            Rule::OneOf(allowed) => {
                let names: Vec<String> = allowed.iter().map(Value::to_string).collect();
                f.write_str(&names.join(" or "))
            }
        }
    }
}

impl fmt::Display for Range {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match (&self.minimum, &self.above, &self.maximum) {
            (None, None, None) => Ok(()),
            (Some(min), _, Some(max)) => write!(f, " from {min} to {max}"),
            (Some(min), _, None) => write!(f, " of at least {min}"),
            (None, Some(above), Some(max)) => write!(f, " above {above} and at most {max}"),
            (None, Some(above), None) => write!(f, " above {above}"),
            (None, None, Some(max)) => write!(f, " of at most {max}"),
        }
    }
}

impl fmt::Display for FaultyValue<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.value {
            Value::Null => f.write_str("null"),
            Value::Bool(value) => write!(f, "{value}"),
            Value::Number(number) => write!(f, "{number}"),
            Value::String(text) if self.by_length => write!(f, "one of {}", characters(text)),
            Value::String(text) => {
                let quoted = Value::String(cut(text, 40)).to_string();
                write!(f, "the string {}", Printable(&quoted))
            }
            Value::Array(_) => f.write_str("an array"),
            Value::Object(_) => f.write_str("an object"),
        }
    }
}

/// `1.0` is an integer in JSON Schema; handlers get it as `1`.
fn make_integer(value: &mut Value) {
    if let Some(float) = value.as_f64().filter(|_| value.is_f64()) {
        // Beyond 2^53 a float does not determine one integer.
        if float.fract() == 0.0 && float.abs() <= 9_007_199_254_740_992.0 {
            *value = Value::from(float as i64);
        }
    }
}

fn characters(text: &str) -> u64 {
    text.chars().count() as u64
}

/// Keywords that do not affect validity.
pub(in crate::mcp) const ANNOTATIONS: [&str; 4] = ["title", "description", "$schema", REPEATED];

/// The keyword that names the header field in which an HTTP client repeats the argument.
pub(in crate::mcp) const REPEATED: &str = "x-mcp-header";
