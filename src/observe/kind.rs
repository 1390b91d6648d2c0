//! What kind of values a topic carries, learnt from its payloads.
//!
//! A [`Kind`] is a summary for the overview, no type: a device may send `unavailable` among its numbers. The kind is that
//! of the most recent majority, and the record says when others came, too.

use std::time::Duration;

use serde_json::Value;

/// The most distinct words that make an enumeration.
const MOST_WORDS: usize = 8;
/// The longest text that counts as a word.
const LONGEST_WORD: usize = 32;
/// The most fields of a JSON object that are kept.
pub(super) const MOST_FIELDS: usize = 24;
/// The longest name of a field that is kept.
const LONGEST_NAME: usize = 64;
/// Longer JSON texts are not parsed for their fields.
const LONGEST_JSON: usize = 16 * 1024;
/// A JSON text is parsed at most once in this time for each topic.
pub(super) const SAMPLED_EVERY: Duration = Duration::from_secs(1);
/// What an allocator adds to a block.
pub(super) const BLOCK: usize = 8;

/// Pairs of words that mean off and on; not `0` and `1`, which are numbers.
const PAIRS: [(&str, &str); 10] = [
    ("off", "on"),
    ("false", "true"),
    ("closed", "open"),
    ("no", "yes"),
    ("offline", "online"),
    ("disabled", "enabled"),
    ("inactive", "active"),
    ("unlocked", "locked"),
    ("stopped", "running"),
    ("clear", "detected"),
];

/// What kind of values a topic carries.
#[derive(Clone, Debug, PartialEq)]
pub enum Kind {
    /// Nothing but empty payloads.
    Empty,
    /// Numbers.
    Number(Range),
    /// Up to 8 distinct short texts.
    Words(Box<Words>),
    /// Texts of many values, or long ones.
    Text,
    /// JSON objects or arrays.
    Json(Box<Shape>),
    /// Images.
    Image(ImageFormat),
    /// Bytes that are no text.
    Binary,
}

/// The numbers that came.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Range {
    /// The least.
    pub min: f64,
    /// The greatest.
    pub max: f64,
    /// Whether all were written as whole numbers.
    pub integer: bool,
}

/// The distinct words that came, with how often each came.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Words(Vec<(Box<str>, u32)>);

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

/// The format of an image, by its first bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ImageFormat {
    /// PNG.
    Png,
    /// JPEG.
    Jpeg,
    /// GIF.
    Gif,
    /// WebP.
    Webp,
}

impl Kind {
    /// The kind in one word, for people and for grouping.
    pub fn word(&self) -> &'static str {
        match self {
            Self::Empty => "empty",
            Self::Number(_) => "number",
            Self::Words(words) if words.are_boolean() => "boolean",
            Self::Words(_) => "enum",
            Self::Text => "text",
            Self::Json(_) => "json",
            Self::Image(_) => "image",
            Self::Binary => "binary",
        }
    }

    /// The first kind of a topic.
    pub(super) fn first(found: &Found<'_>, most_fields: usize) -> Self {
        match found {
            Found::Empty => Self::Empty,
            Found::Number { value, integer } => Self::Number(Range::of(*value, *integer)),
            Found::Word(word) => {
                let mut words = Words::default();
                words.add(word);
                Self::Words(Box::new(words))
            }
            Found::Text => Self::Text,
            Found::Json(value) => {
                let mut shape = Shape::default();
                if let Some(value) = value {
                    shape.add(value, most_fields);
                }
                Self::Json(Box::new(shape))
            }
            Found::Image(format) => Self::Image(*format),
            Found::Binary => Self::Binary,
        }
    }

    /// Takes one more payload; false if it is of another kind, and then nothing has changed.
    pub(super) fn add(&mut self, found: &Found<'_>, most_fields: usize) -> bool {
        match (&mut *self, found) {
            // An empty payload deletes a retained value; it is none itself.
            (_, Found::Empty) | (Self::Text, Found::Word(_) | Found::Text) => true,
            (Self::Binary, Found::Binary) => true,
            (Self::Number(range), Found::Number { value, integer }) => {
                range.add(*value, *integer);
                true
            }
            (Self::Words(words), Found::Word(word)) => {
                if !words.add(word) {
                    *self = Self::Text;
                }
                true
            }
            (Self::Words(_), Found::Text) => {
                *self = Self::Text;
                true
            }
            (Self::Json(shape), Found::Json(value)) => {
                if let Some(value) = value {
                    shape.add(value, most_fields);
                }
                true
            }
            (Self::Image(one), Found::Image(other)) => one == other,
            _ => false,
        }
    }

    /// The bytes on the heap.
    pub(super) fn heap(&self) -> usize {
        match self {
            Self::Words(words) => size_of::<Words>() + BLOCK + words.heap(),
            Self::Json(shape) => size_of::<Shape>() + BLOCK + shape.heap(),
            _ => 0,
        }
    }
}

impl Range {
    fn of(value: f64, integer: bool) -> Self {
        Self {
            min: value,
            max: value,
            integer,
        }
    }

    fn add(&mut self, value: f64, integer: bool) {
        self.min = self.min.min(value);
        self.max = self.max.max(value);
        self.integer &= integer;
    }

    fn join(&mut self, other: Self) {
        self.add(other.min, other.integer);
        self.add(other.max, other.integer);
    }
}

impl Words {
    /// The words in the order in which they came first, with how often each came.
    pub fn iter(&self) -> impl Iterator<Item = (&str, u32)> {
        self.0.iter().map(|(word, count)| (&**word, *count))
    }

    /// Whether they are one pair such as `ON` and `OFF`, or one word of it.
    pub fn are_boolean(&self) -> bool {
        PAIRS.iter().any(|pair| {
            let mut words = self.0.iter();
            words.all(|(word, _)| is_of(pair, word))
        })
    }

    /// False if there is no room for one more.
    fn add(&mut self, word: &str) -> bool {
        if let Some((_, count)) = self.0.iter_mut().find(|(known, _)| **known == *word) {
            *count = count.saturating_add(1);
            return true;
        }
        if self.0.len() == MOST_WORDS {
            return false;
        }
        self.0.reserve_exact(1);
        self.0.push((word.into(), 1));
        true
    }

    fn heap(&self) -> usize {
        let texts: usize = self.0.iter().map(|(word, _)| word.len() + BLOCK).sum();
        self.0.capacity() * size_of::<(Box<str>, u32)>() + BLOCK + texts
    }
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

    fn add(&mut self, value: &Value, most_fields: usize) {
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

    fn heap(&self) -> usize {
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
            Value::String(text) if PAIRS.iter().any(|pair| is_of(pair, text)) => Self::Boolean,
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

impl ImageFormat {
    /// The media type.
    pub fn media_type(self) -> &'static str {
        match self {
            Self::Png => "image/png",
            Self::Jpeg => "image/jpeg",
            Self::Gif => "image/gif",
            Self::Webp => "image/webp",
        }
    }

    fn of(payload: &[u8]) -> Option<Self> {
        match payload {
            [0x89, b'P', b'N', b'G', b'\r', b'\n', 0x1a, b'\n', ..] => Some(Self::Png),
            [0xff, 0xd8, 0xff, ..] => Some(Self::Jpeg),
            [b'G', b'I', b'F', b'8', b'7' | b'9', b'a', ..] => Some(Self::Gif),
            [
                b'R',
                b'I',
                b'F',
                b'F',
                _,
                _,
                _,
                _,
                b'W',
                b'E',
                b'B',
                b'P',
                ..,
            ] => Some(Self::Webp),
            _ => None,
        }
    }
}

/// What one payload is.
#[derive(Debug, PartialEq)]
pub(super) enum Found<'a> {
    Empty,
    Number {
        value: f64,
        integer: bool,
    },
    Word(&'a str),
    Text,
    /// Without a value if the text is too long to be parsed.
    Json(Option<Value>),
    Image(ImageFormat),
    Binary,
}

impl<'a> Found<'a> {
    /// `None` for what looks like JSON if `sample` forbids to parse it.
    pub(super) fn of(payload: &'a [u8], sample: bool) -> Option<Self> {
        let trimmed = payload.trim_ascii();
        match trimmed {
            [] => return Some(Self::Empty),
            [b'0'..=b'9' | b'+' | b'-' | b'.', ..] => {
                if let Some((value, integer)) = number(trimmed) {
                    return Some(Self::Number { value, integer });
                }
            }
            [b'{', .., b'}'] | [b'[', .., b']'] => {
                if payload.len() > LONGEST_JSON {
                    return Some(Self::text(payload, Self::Json(None)));
                }
                if !sample {
                    return None;
                }
                if let Ok(value) = serde_json::from_slice(trimmed) {
                    return Some(Self::Json(Some(value)));
                }
            }
            [b'"', inner @ .., b'"'] if !inner.iter().any(|it| matches!(it, b'"' | b'\\')) => {
                return Self::of(inner, false)
                    .filter(|it| matches!(it, Self::Number { .. }))
                    .or(Some(Self::of_text(inner)));
            }
            _ => {}
        }
        Some(Self::of_text(trimmed))
    }

    fn of_text(payload: &'a [u8]) -> Self {
        if let Some(format) = ImageFormat::of(payload) {
            return Self::Image(format);
        }
        match std::str::from_utf8(payload) {
            Ok(word) if word.len() <= LONGEST_WORD && !word.contains(char::is_control) => {
                Self::Word(word)
            }
            _ => Self::text(payload, Self::Text),
        }
    }

    /// `then` if the payload's beginning is text.
    fn text(payload: &[u8], then: Self) -> Self {
        let beginning = payload.get(..1024).unwrap_or(payload);
        let whole = beginning.len() == payload.len();
        let is_text = match std::str::from_utf8(beginning) {
            Ok(_) => true,
            // The cut can be within a character.
            Err(error) => !whole && error.error_len().is_none(),
        };
        let is_control = |it: &u8| *it < b' ' && !matches!(it, b'\t' | b'\n' | b'\r' | 0x1b);
        if is_text && !beginning.iter().any(is_control) {
            then
        } else {
            Self::Binary
        }
    }
}

/// Whether a payload is worth an attempt to parse it as a JSON object or array.
pub(super) fn looks_like_json(payload: &[u8]) -> bool {
    matches!(payload.trim_ascii(), [b'{', .., b'}'] | [b'[', .., b']'])
}

fn is_of(pair: &(&str, &str), word: &str) -> bool {
    word.eq_ignore_ascii_case(pair.0) || word.eq_ignore_ascii_case(pair.1)
}

/// A finite decimal number, and whether it is written as a whole one; not `inf`, `NaN`, `0x10` or `21.5 °C`.
fn number(text: &[u8]) -> Option<(f64, bool)> {
    if !text
        .iter()
        .all(|it| matches!(it, b'0'..=b'9' | b'+' | b'-' | b'.' | b'e' | b'E'))
    {
        return None;
    }
    let text = std::str::from_utf8(text).ok()?;
    let value: f64 = text.parse().ok().filter(|value: &f64| value.is_finite())?;
    Some((value, !text.contains(['.', 'e', 'E'])))
}

#[cfg(test)]
mod tests;
