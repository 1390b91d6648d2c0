//! The fields of JSON objects.

use serde_json::Value;

use super::{BLOCK, Range, is_boolean};

/// The longest name of a field that is kept.
const LONGEST_NAME: usize = 64;

/// The fields of the JSON objects that came, as far as they were sampled.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Shape {
    /// In the order in which they came first.
    fields: Vec<(Box<str>, FieldKind)>,
    /// Whether there were more fields than are kept.
    more: bool,
    array: bool,
}

/// What kind of values a field of a JSON object carries.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum FieldKind {
    /// Nothing but `null`.
    Null,
    /// Numbers.
    Number(Range),
    /// `true` and `false`, or a pair of words such as `ON` and `OFF`.
    Boolean,
    /// Texts.
    Text,
    /// Arrays.
    Array,
    /// Objects whose fields are not kept: empty ones, and those below the first level of nesting.
    Object,
    /// Values of several kinds.
    Mixed,
}

impl Shape {
    /// The fields in the order in which they came first. A field of an object in the object is written `outer.inner`.
    pub fn fields(&self) -> impl Iterator<Item = (&str, &FieldKind)> {
        self.fields.iter().map(|(name, kind)| (&**name, kind))
    }

    /// Whether there were more fields than are kept here.
    pub fn has_more(&self) -> bool {
        self.more
    }

    /// Whether an array came.
    pub fn is_array(&self) -> bool {
        self.array
    }

    pub(super) fn add(&mut self, value: &Value, most_fields: usize) {
        let Value::Object(members) = value else {
            self.array = true;
            return;
        };
        for (name, value) in members {
            match value {
                Value::Object(inner) if !inner.is_empty() => {
                    for (inner, value) in inner {
                        self.add_field([name, ".", inner], FieldKind::of(value), most_fields);
                    }
                }
                _ => self.add_field([name, "", ""], FieldKind::of(value), most_fields),
            }
        }
    }

    /// The name is what the three parts are together.
    fn add_field(&mut self, name: [&str; 3], kind: FieldKind, most_fields: usize) {
        let known = self.fields.iter_mut().find(|(known, _)| {
            let [first, dot, rest] = name;
            let tail = known
                .strip_prefix(first)
                .and_then(|it| it.strip_prefix(dot));
            tail == Some(rest)
        });
        if let Some((_, before)) = known {
            before.join(kind);
            return;
        }
        let length: usize = name.iter().map(|part| part.len()).sum();
        if self.fields.len() >= most_fields || length > LONGEST_NAME {
            self.more = true;
            return;
        }
        self.fields.reserve_exact(1);
        self.fields.push((name.concat().into(), kind));
    }

    pub(super) fn heap(&self) -> usize {
        let names: usize = self.fields.iter().map(|(name, _)| name.len() + BLOCK).sum();
        self.fields.capacity() * size_of::<(Box<str>, FieldKind)>() + BLOCK + names
    }
}

impl FieldKind {
    /// The kind in one word.
    pub fn word(&self) -> &'static str {
        match self {
            Self::Null => "null",
            Self::Number(_) => "number",
            Self::Boolean => "boolean",
            Self::Text => "text",
            Self::Array => "array",
            Self::Object => "object",
            Self::Mixed => "mixed",
        }
    }

    fn of(value: &Value) -> Self {
        match value {
            Value::Null => Self::Null,
            Value::Bool(_) => Self::Boolean,
            Value::Number(number) => match number.as_f64().filter(|it| it.is_finite()) {
                Some(value) => Self::Number(Range::of(value, !number.is_f64())),
                None => Self::Mixed,
            },
            Value::String(text) if is_boolean(text) => Self::Boolean,
            Value::String(_) => Self::Text,
            Value::Array(_) => Self::Array,
            Value::Object(_) => Self::Object,
        }
    }

    fn join(&mut self, other: Self) {
        match (&mut *self, other) {
            (_, Self::Null) => {}
            (Self::Null, other) => *self = other,
            (Self::Number(range), Self::Number(other)) => range.join(other),
            // A word of a pair can be one of more words.
            (Self::Boolean | Self::Text, Self::Text) | (Self::Text, Self::Boolean) => {
                *self = Self::Text;
            }
            (before, other) if *before == other => {}
            _ => *self = Self::Mixed,
        }
    }
}
