//! Conditions on messages: one comparison of one value, `{field, op, value, tolerance, hold_s}`.
//!
//! What cannot be judged never meets a condition, not even `!=`: a message without the field, or without a number where
//! one is compared.

use std::fmt;
use std::time::Duration;

use serde_json::{Map, Value};

use crate::path::Path;
use crate::reading::{Reading, Unreadable};

mod operand;

pub use operand::Operand;
use operand::number;

/// The longest `hold_s`, in seconds.
pub const MAX_HOLD_S: f64 = 300.0;

/// The arguments of a condition as they come from a caller.
#[derive(Debug, Clone, Default)]
pub struct RawCondition {
    /// A [`Path`]; the whole payload without it.
    pub field: Option<String>,
    /// One of [`Op::WORDS`].
    pub op: Option<String>,
    /// A number, a text, true or false. Null is the same as nothing.
    pub value: Option<Value>,
    /// How far a number may be away.
    pub tolerance: Option<f64>,
    /// How many seconds the condition has to hold.
    pub hold_s: Option<f64>,
}

impl RawCondition {
    /// Takes the members of a condition from an object of arguments, and leaves the others there. Null is the same as
    /// nothing.
    pub fn take(arguments: &mut Map<String, Value>) -> Result<Self, String> {
        Ok(Self {
            field: text(arguments, "field")?,
            op: text(arguments, "op")?,
            value: arguments.remove("value"),
            tolerance: decimal(arguments, "tolerance")?,
            hold_s: decimal(arguments, "hold_s")?,
        })
    }
}

fn text(arguments: &mut Map<String, Value>, name: &str) -> Result<Option<String>, String> {
    match arguments.remove(name) {
        None | Some(Value::Null) => Ok(None),
        Some(Value::String(text)) => Ok(Some(text)),
        Some(_) => Err(format!("`{name}` is a string")),
    }
}

fn decimal(arguments: &mut Map<String, Value>, name: &str) -> Result<Option<f64>, String> {
    match arguments.remove(name) {
        None | Some(Value::Null) => Ok(None),
        Some(Value::Number(number)) => Ok(number.as_f64()),
        Some(_) => Err(format!("`{name}` is a number")),
    }
}

/// A valid condition.
#[derive(Debug, Clone, PartialEq)]
pub struct Condition {
    field: Option<Path>,
    test: Test,
    hold: Duration,
}

/// The operator of a condition.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Op {
    /// `=`: numbers as numbers, true and false, else the exact text.
    Equal,
    /// `!=`
    NotEqual,
    /// `<`
    Less,
    /// `<=`
    LessOrEqual,
    /// `>`
    Greater,
    /// `>=`
    GreaterOrEqual,
    /// `within`: a number at most the tolerance away.
    Within,
    /// `contains`: a part of the text, or an element of the array.
    Contains,
    /// `changed`: another value than before, or a number further away than the tolerance.
    Changed,
    /// `any`: every message, or every message with the field.
    Any,
}

/// What a condition compares, with everything that its operator needs.
#[derive(Debug, Clone, PartialEq)]
enum Test {
    Equal(Operand),
    NotEqual(Operand),
    Order(Op, f64),
    Within { value: f64, tolerance: f64 },
    Contains(Operand),
    Changed { tolerance: f64 },
    Any,
}

/// What a condition says of a message.
#[derive(Debug, Clone, PartialEq)]
pub struct Judged {
    /// What the message says, if it is readable.
    pub reading: Option<Reading>,
    /// Whether it meets the condition.
    pub verdict: Verdict,
}

/// Whether a message meets a condition, and why it cannot be judged.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Verdict {
    /// The message meets the condition.
    Met,
    /// The message does not meet the condition.
    NotMet,
    /// A field is asked for, and the payload is no JSON.
    NoJson,
    /// The payload is JSON without the field.
    NoField,
    /// A number is compared, and the value is none.
    NoNumber,
    /// The value is not of the kind that is compared: null, bytes that are not text, or no boolean.
    WrongKind,
}

impl Op {
    /// The words of the operators, as callers write them.
    pub const WORDS: [&'static str; 10] = [
        "=", "!=", "<", "<=", ">", ">=", "within", "contains", "changed", "any",
    ];

    /// The operators in the order of [`Self::WORDS`].
    const ALL: [Self; 10] = [
        Self::Equal,
        Self::NotEqual,
        Self::Less,
        Self::LessOrEqual,
        Self::Greater,
        Self::GreaterOrEqual,
        Self::Within,
        Self::Contains,
        Self::Changed,
        Self::Any,
    ];

    fn parse(word: &str) -> Result<Self, String> {
        let words = Self::WORDS.iter().zip(Self::ALL);
        words
            .into_iter()
            .find_map(|(known, op)| (*known == word).then_some(op))
            .ok_or_else(|| {
                let words = Self::WORDS.map(|word| format!("`{word}`"));
                format!("`op` is one of {}", words.join(", "))
            })
    }

    /// The word of the operator.
    pub fn word(self) -> &'static str {
        let words = Self::ALL.iter().zip(Self::WORDS);
        words
            .into_iter()
            .find_map(|(op, word)| (*op == self).then_some(word))
            .unwrap_or_default()
    }
}

impl Condition {
    /// Parses the arguments; the error names the argument and says what to write.
    pub fn parse(raw: RawCondition) -> Result<Self, String> {
        let field = Path::parse_optional(raw.field.as_deref())
            .map_err(|error| format!("`field`: {error}"))?;
        let operand = raw
            .value
            .as_ref()
            .map(Operand::parse)
            .transpose()?
            .flatten();
        let op = match (&raw.op, &operand) {
            (Some(word), _) => Op::parse(word)?,
            (None, Some(_)) => Op::Equal,
            (None, None) => Op::Any,
        };
        let tolerance = tolerance(op, raw.tolerance)?;
        let hold = hold(op, raw.hold_s)?;
        let test = Test::parse(op, operand, tolerance)?;
        Ok(Self { field, test, hold })
    }

    /// The field that is judged; the whole payload without one.
    pub fn field(&self) -> Option<&Path> {
        self.field.as_ref()
    }

    /// The operator.
    pub fn op(&self) -> Op {
        self.test.op()
    }

    /// For how long the condition has to hold.
    pub fn hold(&self) -> Duration {
        self.hold
    }

    /// Judges a message. `previous` is what `changed` compares with; without it `changed` is never met.
    pub fn judge(&self, payload: &[u8], previous: Option<&Reading>) -> Judged {
        match Reading::of(payload, self.field()) {
            Ok(reading) => Judged {
                verdict: match self.test.judge(&reading, previous) {
                    Verdict::NotMet if self.is_written_in(payload, &reading) => Verdict::Met,
                    verdict => verdict,
                },
                reading: Some(reading),
            },
            Err(error) => Judged {
                verdict: match error {
                    Unreadable::NoJson => Verdict::NoJson,
                    Unreadable::NoField => Verdict::NoField,
                },
                reading: None,
            },
        }
    }

    /// Whether a whole payload contains the operand as it was written: a document may be spaced, and a number may have
    /// digits, that its reading does not keep. An array is searched for an element and not as a text.
    fn is_written_in(&self, payload: &[u8], reading: &Reading) -> bool {
        let Test::Contains(operand) = &self.test else {
            return false;
        };
        let is_text = self.field.is_none() && !matches!(reading, Reading::Json(Value::Array(_)));
        is_text && std::str::from_utf8(payload).is_ok_and(|text| operand.is_part_of(text))
    }
}

impl fmt::Display for Condition {
    /// For example `a.b >= 5 for 10 s`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.field {
            Some(field) => write!(f, "{field} {}", self.test)?,
            None => write!(f, "{}", self.test)?,
        }
        if !self.hold.is_zero() {
            write!(f, " for {} s", self.hold.as_secs_f64())?;
        }
        Ok(())
    }
}

impl Test {
    fn parse(op: Op, operand: Option<Operand>, tolerance: Option<f64>) -> Result<Self, String> {
        let word = op.word();
        let operand = match (op, operand) {
            (Op::Changed | Op::Any, Some(_)) => {
                return Err(format!(
                    "`value` has no meaning with `{word}`; leave it out"
                ));
            }
            (Op::Changed, None) => {
                let tolerance = tolerance.unwrap_or_default();
                return Ok(Self::Changed { tolerance });
            }
            (Op::Any, None) => return Ok(Self::Any),
            (_, None) => return Err(format!("`value` is missing; `{word}` compares with it")),
            (_, Some(operand)) => operand,
        };
        let number = || {
            let number = operand.number();
            number.ok_or_else(|| format!("`value` must be a number for `{word}`"))
        };
        Ok(match (op, tolerance) {
            (Op::Within, None) => {
                return Err(
                    "`tolerance` is missing; `within` needs how far a number may be away".into(),
                );
            }
            (Op::Within | Op::Equal, Some(tolerance)) => Self::Within {
                value: operand
                    .number()
                    .ok_or("`value` must be a number where there is a `tolerance`")?,
                tolerance,
            },
            (Op::Equal, None) => Self::Equal(operand),
            (Op::NotEqual, _) => Self::NotEqual(operand),
            (Op::Contains, _) if operand == Operand::Text(String::new()) => {
                return Err("`value` is empty, and everything contains it; use `any`".into());
            }
            (Op::Contains, _) => Self::Contains(operand),
            _ => Self::Order(op, number()?),
        })
    }

    fn op(&self) -> Op {
        match self {
            Self::Equal(_) => Op::Equal,
            Self::NotEqual(_) => Op::NotEqual,
            Self::Order(op, _) => *op,
            Self::Within { .. } => Op::Within,
            Self::Contains(_) => Op::Contains,
            Self::Changed { .. } => Op::Changed,
            Self::Any => Op::Any,
        }
    }

    fn judge(&self, reading: &Reading, previous: Option<&Reading>) -> Verdict {
        let met = match self {
            Self::Any => Ok(true),
            Self::Equal(operand) => operand.equals(reading),
            Self::NotEqual(operand) => operand.equals(reading).map(|equal| !equal),
            Self::Contains(operand) => operand.is_in(reading),
            Self::Changed { tolerance } => changed(reading, previous, *tolerance),
            Self::Order(op, value) => number(reading).map(|number| match op {
                Op::Less => number < *value,
                Op::LessOrEqual => number <= *value,
                Op::Greater => number > *value,
                _ => number >= *value,
            }),
            Self::Within { value, tolerance } => {
                number(reading).map(|number| is_near(number, *value, *tolerance))
            }
        };
        match met {
            Ok(true) => Verdict::Met,
            Ok(false) => Verdict::NotMet,
            Err(why) => why,
        }
    }
}

impl fmt::Display for Test {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let word = self.op().word();
        match self {
            Self::Equal(operand) | Self::NotEqual(operand) | Self::Contains(operand) => {
                write!(f, "{word} {operand}")
            }
            Self::Order(_, value) => write!(f, "{word} {value}"),
            Self::Within { value, tolerance } => write!(f, "{word} {tolerance} of {value}"),
            Self::Changed { tolerance } if *tolerance > 0.0 => {
                write!(f, "{word} by more than {tolerance}")
            }
            Self::Changed { .. } | Self::Any => f.write_str(word),
        }
    }
}

/// Whether the reading is another than the previous one. With a tolerance, only numbers are compared.
fn changed(reading: &Reading, previous: Option<&Reading>, tolerance: f64) -> Result<bool, Verdict> {
    if tolerance == 0.0 {
        return Ok(previous.is_some_and(|previous| !reading.same(previous)));
    }
    let number = number(reading)?;
    let previous = previous.and_then(Reading::number);
    Ok(previous.is_some_and(|previous| !is_near(number, previous, tolerance)))
}

/// Whether two numbers are at most `tolerance` apart. 20.3 is within 0.3 of 20: the decimals are meant, so the rounding
/// of their binary forms does not count. Without a tolerance numbers are compared exactly.
pub fn is_near(a: f64, b: f64, tolerance: f64) -> bool {
    let rounding = f64::EPSILON * a.abs() + f64::EPSILON * b.abs();
    let distance = (a - b).abs();
    a == b || (tolerance > 0.0 && distance.is_finite() && distance <= tolerance + rounding)
}

/// The tolerance, where the operator has one. Zero elsewhere is what a caller writes who fills in every argument.
fn tolerance(op: Op, tolerance: Option<f64>) -> Result<Option<f64>, String> {
    let Some(tolerance) = tolerance else {
        return Ok(None);
    };
    if !tolerance.is_finite() || tolerance < 0.0 {
        return Err("`tolerance` is a number, 0 or more".into());
    }
    match op {
        Op::Within => Ok(Some(tolerance)),
        Op::Equal | Op::Changed => Ok(Some(tolerance).filter(|it| *it > 0.0)),
        _ if tolerance == 0.0 => Ok(None),
        _ => Err(format!(
            "`tolerance` belongs to `within`, `=` and `changed`; leave it out with `{}`",
            op.word()
        )),
    }
}

fn hold(op: Op, seconds: Option<f64>) -> Result<Duration, String> {
    let seconds = seconds.unwrap_or_default();
    if !(0.0..=MAX_HOLD_S).contains(&seconds) {
        return Err(format!(
            "`hold_s` is a number of seconds from 0 to {MAX_HOLD_S}"
        ));
    }
    if op == Op::Any && seconds > 0.0 {
        return Err(
            "`hold_s` has no meaning with `any`, which every message meets; leave it out".into(),
        );
    }
    Ok(Duration::from_secs_f64(seconds))
}

#[cfg(test)]
#[allow(clippy::indexing_slicing)]
mod tests;
