//! How often each value came: for words, states and units, where statistics of numbers say nothing.

use std::collections::{BTreeMap, HashMap};
use std::hash::{BuildHasher as _, RandomState};

use super::path::Path;
use super::reading::Reading;

/// The most distinct values of a distribution.
pub const MAX_VALUES: usize = 1_000;

/// The most bytes of one value that are told apart.
pub const VALUE_BYTES: usize = 100;

/// The most topics whose value is known again when the broker sends its retained copy once more.
pub const MAX_TOPICS: usize = 20_000;

/// The distinct values of the whole payloads, or of a field.
#[derive(Debug)]
pub struct Distribution {
    field: Option<Path>,
    values: BTreeMap<String, Occurrences>,
    without_field: u64,
    left_out: u64,
    /// The hash of each topic with those of the value that came last and of the one that was retained last.
    last: HashMap<u64, (u64, u64)>,
    hashes: RandomState,
    may_be_copies: bool,
}

/// How often a value came.
#[derive(Debug)]
pub struct Occurrences {
    /// The messages with this value.
    pub count: u64,
    /// The topic of the first of them.
    pub topic: Box<str>,
}

impl Distribution {
    /// No values yet, of the whole payloads or of a field.
    pub fn new(field: Option<Path>) -> Self {
        Self {
            field,
            values: BTreeMap::new(),
            without_field: 0,
            left_out: 0,
            last: HashMap::new(),
            hashes: RandomState::new(),
            may_be_copies: false,
        }
    }

    /// Takes a message. A retained one that says what its topic said last, or what it had retained, is a copy, which the
    /// broker sends again at each subscription, and does not count.
    pub fn message(&mut self, topic: &str, payload: &[u8], retained: bool) {
        if self.is_copy(topic, payload, retained) {
            return;
        }
        let Ok(reading) = Reading::of(payload, self.field.as_ref()) else {
            self.without_field += 1;
            return;
        };
        let Some(mut value) = reading.text() else {
            self.without_field += 1;
            return;
        };
        if value.len() > VALUE_BYTES {
            let end = (0..=VALUE_BYTES)
                .rev()
                .find(|end| value.is_char_boundary(*end));
            value.truncate(end.unwrap_or(0));
            value.push('…');
        }
        if let Some(known) = self.values.get_mut(&value) {
            known.count += 1;
        } else if self.values.len() < MAX_VALUES {
            let first = Occurrences {
                count: 1,
                topic: topic.into(),
            };
            self.values.insert(value, first);
        } else {
            self.left_out += 1;
        }
    }

    fn is_copy(&mut self, topic: &str, payload: &[u8], retained: bool) -> bool {
        let (topic, value) = (self.hashes.hash_one(topic), self.hashes.hash_one(payload));
        if self.last.len() >= MAX_TOPICS && !self.last.contains_key(&topic) {
            self.may_be_copies = true;
            return false;
        }
        let last = self.last.entry(topic).or_default();
        let is_copy = retained && (last.0 == value || last.1 == value);
        match retained {
            true => last.1 = value,
            false => last.0 = value,
        }
        is_copy
    }

    /// Whether there were too many topics to know all copies, so that counts are upper bounds.
    pub fn may_be_copies(&self) -> bool {
        self.may_be_copies
    }

    /// The values, in their order as texts.
    pub fn iter(&self) -> impl Iterator<Item = (&str, &Occurrences)> {
        self.values.iter().map(|(value, it)| (value.as_str(), it))
    }

    /// How many distinct values there are.
    pub fn len(&self) -> usize {
        self.values.len()
    }

    /// Whether nothing came.
    pub fn is_empty(&self) -> bool {
        self.values.is_empty()
    }

    /// Messages without the field, or with bytes that are not text.
    pub fn without_field(&self) -> u64 {
        self.without_field
    }

    /// Messages with values that found no room.
    pub fn left_out(&self) -> u64 {
        self.left_out
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn each_value_is_counted_with_its_first_topic() {
        let mut units = Distribution::new(Some(Path::parse("unit").unwrap()));
        for (topic, payload) in [
            ("a", r#"{"unit": "°C"}"#),
            ("b", r#"{"unit": "°F"}"#),
            ("c", r#"{"unit": "°C"}"#),
            ("d", r#"{"other": 1}"#),
            ("e", "°C"),
        ] {
            units.message(topic, payload.as_bytes(), false);
        }
        let seen: Vec<_> = units
            .iter()
            .map(|(value, it)| (value, it.count, &*it.topic))
            .collect();
        assert_eq!(seen, [("°C", 2, "a"), ("°F", 1, "b")]);
        assert_eq!(units.without_field(), 2);
    }

    #[test]
    fn a_copy_of_a_retained_value_is_not_counted_again() {
        let mut states = Distribution::new(None);
        for (topic, payload, retained) in [
            ("a", "offline", true),
            ("b", "offline", true),
            // Another subscription of the client, or a new connection.
            ("a", "offline", true),
            // It changed while the connection was lost.
            ("b", "online", true),
            ("c", "offline", false),
            ("c", "offline", true),
            ("c", "offline", false),
            // What was retained is so still after something else came.
            ("a", "online", false),
            ("a", "offline", true),
        ] {
            states.message(topic, payload.as_bytes(), retained);
        }
        let seen: Vec<_> = states.iter().map(|(value, it)| (value, it.count)).collect();
        assert_eq!(seen, [("offline", 4), ("online", 2)]);
        assert!(!states.may_be_copies());
        for n in 0..=MAX_TOPICS {
            states.message(&n.to_string(), b"x", true);
        }
        assert!(states.may_be_copies());
    }

    #[test]
    fn values_are_bounded_in_number_and_length() {
        let mut values = Distribution::new(None);
        for n in 0..MAX_VALUES + 7 {
            values.message("t", format!("{n}{}", "é".repeat(200)).as_bytes(), false);
        }
        assert_eq!((values.len(), values.left_out()), (MAX_VALUES, 7));
        assert!(
            values
                .iter()
                .all(|(value, _)| value.len() <= VALUE_BYTES + 3)
        );
    }
}
