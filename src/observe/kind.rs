//! What kind of values a topic carries, learnt from its payloads.
//!
//! A [`Kind`] is a summary for the overview, no type: a device may send `unavailable` among its numbers. The kind is that
//! of the most recent majority, and the record says when others came, too.

use std::time::Duration;

mod found;
mod shape;

pub use found::ImageFormat;
pub(super) use found::{Found, looks_like_json};
pub use shape::{FieldKind, Shape};

/// The most distinct words that make an enumeration.
const MOST_WORDS: usize = 8;
/// The most fields of a JSON object that are kept.
pub(super) const MOST_FIELDS: usize = 24;
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

/// Whether a word is one of a pair that means off and on.
fn is_boolean(word: &str) -> bool {
    PAIRS.iter().any(|pair| is_of(pair, word))
}

fn is_of(pair: &(&str, &str), word: &str) -> bool {
    word.eq_ignore_ascii_case(pair.0) || word.eq_ignore_ascii_case(pair.1)
}

#[cfg(test)]
mod tests;
