//! JSON that different receivers read differently.

use std::collections::HashSet;
use std::fmt;

use crate::path::Path;

use serde::de::{Deserialize, Deserializer, Error, MapAccess, SeqAccess, Visitor};

/// Whether a JSON payload names a member twice: which of the two counts is up to each receiver (RFC 8259 §4), so that a
/// limit on one of them would say nothing.
pub fn is_ambiguous(payload: &[u8]) -> bool {
    let text = json(payload);
    // What is no JSON at all is no ambiguous JSON.
    let is_json = serde_json::from_str::<serde::de::IgnoredAny>(text).is_ok();
    is_json && serde_json::from_str::<Unique>(text).is_err()
}

/// Whether receivers may read different values at `field`: a member is named twice, or the path is found both by its levels
/// and as the name of one member (`a.b` in `{"a.b": 1, "a": {"b": 2}}`). Without a field there is one value.
pub fn is_ambiguous_at(payload: &[u8], field: Option<&Path>) -> bool {
    let has_several = |field: &Path| {
        let root = serde_json::from_str(json(payload));
        root.is_ok_and(|root| field.is_ambiguous(&root))
    };
    field.is_some_and(|field| is_ambiguous(payload) || has_several(field))
}

/// The text of a payload as JSON is read.
fn json(payload: &[u8]) -> &str {
    let text = std::str::from_utf8(payload).unwrap_or_default();
    text.trim_start_matches('\u{feff}').trim()
}

/// A document in which each object names its members once.
struct Unique;

impl<'de> Deserialize<'de> for Unique {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(UniqueVisitor)
    }
}

struct UniqueVisitor;

impl<'de> Visitor<'de> for UniqueVisitor {
    type Value = Unique;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a document")
    }

    fn visit_bool<E: Error>(self, _: bool) -> Result<Unique, E> {
        Ok(Unique)
    }

    fn visit_i64<E: Error>(self, _: i64) -> Result<Unique, E> {
        Ok(Unique)
    }

    fn visit_u64<E: Error>(self, _: u64) -> Result<Unique, E> {
        Ok(Unique)
    }

    fn visit_f64<E: Error>(self, _: f64) -> Result<Unique, E> {
        Ok(Unique)
    }

    fn visit_str<E: Error>(self, _: &str) -> Result<Unique, E> {
        Ok(Unique)
    }

    fn visit_unit<E: Error>(self) -> Result<Unique, E> {
        Ok(Unique)
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut elements: A) -> Result<Unique, A::Error> {
        while elements.next_element::<Unique>()?.is_some() {}
        Ok(Unique)
    }

    fn visit_map<A: MapAccess<'de>>(self, mut members: A) -> Result<Unique, A::Error> {
        let mut names = HashSet::new();
        while let Some(name) = members.next_key::<String>()? {
            if !names.insert(name) {
                return Err(A::Error::custom("a member is named twice"));
            }
            members.next_value::<Unique>()?;
        }
        Ok(Unique)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_member_named_twice_is_found_at_any_depth_and_however_it_is_written() {
        for text in [
            r#"{"a": 1, "a": 1}"#,
            r#"{"a": 1, "b": [{"c": null, "d": "x", "c": 2.5}]}"#,
            r#"{"a": 1, "\u0061": 2}"#,
            "\u{feff} {\"\": true, \"\": -1} ",
        ] {
            assert!(is_ambiguous(text.as_bytes()), "{text}");
        }
        for text in [
            r#"{"a": {"a": {"a": 1}}, "A": 1}"#,
            r#"[{"a": 1}, {"a": 1}]"#,
            r#"{"a": -1, "b": [2.5, -0.5, null], "c": true}"#,
            "5",
            "\"a\"",
            "null",
            "text",
            r#"{"a": 1, "a": }"#,
            "",
        ] {
            assert!(!is_ambiguous(text.as_bytes()), "{text}");
        }
        assert!(!is_ambiguous(b"\xff"));
    }

    #[test]
    fn a_path_that_is_found_at_two_places_is_ambiguous() {
        for (payload, field, expected) in [
            (r#"{"a.b": 900, "a": {"b": 12}}"#, "a.b", true),
            (r#"{"a.b": 12, "a": {"b": 12}}"#, "$.a.b", true),
            (r#"{"$.a.b": 1, "a.b": 12}"#, "$.a.b", true),
            (r#"{"a[0]": 1, "a": [2]}"#, "a[0]", true),
            (r#"{"/a/b": 1, "a": {"b": 2}}"#, "/a/b", true),
            (r#"{"a": {"b": 1, "b": 2}}"#, "a.b", true),
            (r#"{"a.b": 900, "a": {"c": 12}}"#, "a.b", false),
            (r#"{"a": {"b": 12}, "b": 1}"#, "a.b", false),
            (r#"{"a": 1}"#, "a", false),
            (r#"{"a": 1}"#, "$.a", false),
            (r#"{"a.b": 1}"#, r#"["a.b"]"#, false),
            (r#"{"a": 1}"#, "b", false),
            ("12", "a.b", false),
            ("no JSON", "a.b", false),
        ] {
            let path = Path::parse(field).ok();
            let found = is_ambiguous_at(payload.as_bytes(), path.as_ref());
            assert_eq!(found, expected, "{payload} {field}");
            let twice = payload.contains("\"b\": 1, \"b\"");
            assert!(!is_ambiguous_at(payload.as_bytes(), None), "{payload}");
            assert_eq!(is_ambiguous(payload.as_bytes()), twice, "{payload}");
        }
    }
}
