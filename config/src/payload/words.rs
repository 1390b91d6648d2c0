//! The limits of a payload in words for people and models, and as JSON.

use std::fmt;

use mcpmqtt_protocol::topic::Shown;
use serde_json::{Map, Value, json};

use super::{Choice, Field, Kind, Numbers, PayloadRule};

/// The limits in words, such as `a number from 0 to 2000 rpm, such as 1500`.
impl fmt::Display for PayloadRule {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.write(f, &payload_text)
    }
}

/// The limits of a field in a JSON object, where texts have their quotation marks.
pub(super) struct InJson<'r>(pub(super) &'r PayloadRule);

impl fmt::Display for InJson<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.write(f, &json_text)
    }
}

/// The names of an object's fields: ``` `rpm` and `mode` ```.
pub(super) struct JoinedNames<'r>(pub(super) &'r PayloadRule);

impl fmt::Display for JoinedNames<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let fields = match &self.0.kind {
            Kind::Object(fields) => fields.as_slice(),
            _ => &[],
        };
        let names = fields.iter().map(|field| Shown(&field.name).to_string());
        f.write_str(&joined(names, "and"))
    }
}

impl PayloadRule {
    /// The rule as an object with the keys of the file.
    #[must_use]
    pub fn to_json(&self) -> Value {
        self.json(|example| example.into())
    }

    /// The rule as an object; `example` makes its example a value of the file.
    fn json(&self, example: fn(&str) -> Value) -> Value {
        let mut object = Map::new();
        let mut put = |key: &str, value: Value| {
            if !value.is_null() {
                object.insert(key.to_owned(), value);
            }
        };
        put("type", self.kind.name().into());
        match &self.kind {
            Kind::Number(Numbers { min, max, unit, .. }) => {
                put("min", json!(min.as_ref().map(|min| &min.number)));
                put("max", json!(max.as_ref().map(|max| &max.number)));
                put("unit", json!(unit));
            }
            Kind::Boolean(words) => {
                if let Some([yes, no]) = words {
                    put("true", json!(yes));
                    put("false", json!(no));
                }
            }
            Kind::Enum(choices) => {
                put("values", choices.iter().map(Choice::to_json).collect());
            }
            Kind::Text { max_bytes } => put("max_bytes", json!(max_bytes)),
            Kind::Object(fields) => {
                let required = fields.iter().filter(|field| field.required);
                let required: Vec<_> = required.map(|field| field.name.as_str()).collect();
                let fields = fields
                    .iter()
                    .map(|field| (field.name.clone(), field.rule.json(written)));
                put("fields", Value::Object(fields.collect()));
                put("required", json!(required));
            }
        }
        put(
            "example",
            self.example.as_deref().map_or(Value::Null, example),
        );
        object.into()
    }

    /// Writes the limits; `text` writes a text as it has to be written at this place.
    fn write(&self, f: &mut fmt::Formatter<'_>, text: &dyn Fn(&str) -> String) -> fmt::Result {
        match &self.kind {
            Kind::Number(numbers) => write!(f, "{numbers}")?,
            Kind::Boolean(None) => f.write_str("`true` or `false`")?,
            Kind::Boolean(Some([yes, no])) => {
                write!(f, "{} (true) or {} (false)", text(yes), text(no))?;
            }
            Kind::Enum(choices) => {
                let choices = choices.iter().map(|choice| match choice {
                    Choice::Text(choice) => text(choice),
                    Choice::Whole(choice) => format!("`{choice}`"),
                });
                f.write_str(&joined(choices, "or"))?;
            }
            Kind::Text { max_bytes } => {
                f.write_str("text")?;
                if let Some(max) = max_bytes {
                    write!(f, " of at most {max} bytes")?;
                }
            }
            Kind::Object(fields) if fields.is_empty() => f.write_str("an empty JSON object")?,
            Kind::Object(fields) => {
                f.write_str("a JSON object of ")?;
                f.write_str(&joined(fields.iter().map(ToString::to_string), "and"))?;
            }
        }
        match &self.example {
            Some(example) => write!(f, ", such as {}", Shown(example)),
            None => Ok(()),
        }
    }
}

impl Kind {
    /// The word of the type in the file.
    pub(super) fn name(&self) -> &'static str {
        match self {
            Self::Number(Numbers { whole: false, .. }) => "number",
            Self::Number(Numbers { whole: true, .. }) => "integer",
            Self::Boolean(_) => "boolean",
            Self::Enum(_) => "enum",
            Self::Text { .. } => "text",
            Self::Object(_) => "object",
        }
    }
}

impl fmt::Display for Numbers {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self.whole {
            true => "a whole number",
            false => "a number",
        })?;
        match (&self.min, &self.max) {
            (Some(min), Some(max)) => write!(f, " from {} to {}", min.number, max.number)?,
            (Some(min), None) => write!(f, " of at least {}", min.number)?,
            (None, Some(max)) => write!(f, " of at most {}", max.number)?,
            (None, None) => {}
        }
        match (&self.unit, &self.min, &self.max) {
            (None, ..) => Ok(()),
            (Some(unit), None, None) => write!(f, " in {unit}"),
            (Some(unit), ..) => write!(f, " {unit}"),
        }
    }
}

/// The name of a field, and in parentheses what it takes.
impl fmt::Display for Field {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let optional = match self.required {
            true => "",
            false => "optional, ",
        };
        write!(
            f,
            "{} ({optional}{})",
            Shown(&self.name),
            InJson(&self.rule)
        )
    }
}

impl Choice {
    fn to_json(&self) -> Value {
        match self {
            Self::Text(text) => text.as_str().into(),
            Self::Whole(number) => (*number).into(),
        }
    }
}

/// The value of a field that is written so.
fn written(example: &str) -> Value {
    serde_json::from_str(example).unwrap_or_default()
}

fn payload_text(text: &str) -> String {
    Shown(text).to_string()
}

fn json_text(text: &str) -> String {
    Shown(&Value::from(text).to_string()).to_string()
}

/// The first items with commas between them, and `word` before the last.
fn joined(items: impl Iterator<Item = String>, word: &str) -> String {
    let mut items: Vec<_> = items.collect();
    let more = items.len().saturating_sub(MOST_ITEMS);
    if more > 0 {
        items.truncate(MOST_ITEMS);
        items.push(format!("{more} more"));
    }
    match items.as_slice() {
        [] => String::new(),
        [one] => one.clone(),
        [first @ .., last] => format!("{} {word} {last}", first.join(", ")),
    }
}

/// The most values or fields that are named. All are in `to_json`.
const MOST_ITEMS: usize = 20;
