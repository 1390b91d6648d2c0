//! Parses JSON into a [`Value`], refuses an object with a duplicate key, and counts values before they are built.
//!
//! Promises: the limits of `serde_json` (128 levels, well-formed Unicode) hold; duplicate keys are refused, so that two
//! readers of one message cannot see different values.
//! Does not: know JSON-RPC.

use std::fmt;

use serde::de::{DeserializeSeed, Deserializer, Error, MapAccess, SeqAccess, Visitor};
use serde_json::map::Entry;
use serde_json::{Map, Value};

/// Deserialises a value, `null` included, as `Some`; for `#[serde(deserialize_with)]`.
pub(in crate::mcp) fn strict<'de, D: Deserializer<'de>>(
    from: D,
) -> Result<Option<Value>, D::Error> {
    from.deserialize_any(Strict).map(Some)
}

/// Parses a text that is one JSON object.
///
/// # Errors
/// An error message that says what is wrong and where.
pub(crate) fn object(text: &str) -> Result<Map<String, Value>, String> {
    let mut from = serde_json::Deserializer::from_str(text);
    let value = from.deserialize_any(Strict);
    match value.and_then(|value| from.end().map(|()| value)) {
        Ok(Value::Object(map)) => Ok(map),
        Ok(_) => Err("it is another value".into()),
        Err(why) => Err(cut(&why.to_string(), 200)),
    }
}

pub(in crate::mcp) fn cut(text: &str, max: usize) -> String {
    match text.char_indices().nth(max) {
        None => text.to_owned(),
        Some((end, _)) => format!("{}…", text.get(..end).unwrap_or_default()),
    }
}

/// Whether `text`, read as JSON, has more than `most` values. The text need not be valid JSON.
///
/// A value takes two bytes of text and up to some hundred bytes of memory, so values are counted before any is built.
/// Each value but the first follows a comma or an opening bracket.
pub(in crate::mcp) fn has_more_values(text: &str, most: usize) -> bool {
    if text.len() < most {
        return false;
    }
    let mut values = 1;
    let mut bytes = text.bytes();
    while let Some(byte) = bytes.next() {
        match byte {
            b',' | b'[' | b'{' => values += 1,
            b'"' => skip_string(&mut bytes),
            _ => {}
        }
        if values > most {
            return true;
        }
    }
    false
}

/// Skips to the byte after the quotation mark that ends the string.
fn skip_string(bytes: &mut std::str::Bytes<'_>) {
    while let Some(byte) = bytes.next() {
        match byte {
            b'"' => return,
            b'\\' => drop(bytes.next()),
            _ => {}
        }
    }
}

struct Strict;

impl<'de> DeserializeSeed<'de> for Strict {
    type Value = Value;

    fn deserialize<D: Deserializer<'de>>(self, from: D) -> Result<Value, D::Error> {
        from.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for Strict {
    type Value = Value;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a JSON value")
    }

    fn visit_unit<E>(self) -> Result<Value, E> {
        Ok(Value::Null)
    }

    fn visit_bool<E>(self, value: bool) -> Result<Value, E> {
        Ok(value.into())
    }

    fn visit_i64<E>(self, value: i64) -> Result<Value, E> {
        Ok(value.into())
    }

    fn visit_u64<E>(self, value: u64) -> Result<Value, E> {
        Ok(value.into())
    }

    fn visit_f64<E>(self, value: f64) -> Result<Value, E> {
        Ok(value.into())
    }

    fn visit_str<E>(self, value: &str) -> Result<Value, E> {
        Ok(value.into())
    }

    fn visit_string<E>(self, value: String) -> Result<Value, E> {
        Ok(value.into())
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<Value, A::Error> {
        let mut items = Vec::new();
        while let Some(item) = seq.next_element_seed(Strict)? {
            items.push(item);
        }
        Ok(Value::Array(items))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut entries: A) -> Result<Value, A::Error> {
        let mut map = Map::new();
        while let Some(key) = entries.next_key::<String>()? {
            match map.entry(key) {
                Entry::Vacant(place) => {
                    place.insert(entries.next_value_seed(Strict)?);
                }
                Entry::Occupied(taken) => {
                    let key = cut(taken.key(), 60);
                    return Err(A::Error::custom(format_args!("duplicate key `{key}`")));
                }
            }
        }
        Ok(Value::Object(map))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_are_counted_outside_of_strings() {
        for (text, values) in [
            ("0", 1),
            ("[]", 2),
            ("[0,0,0]", 4),
            (r#"{"a":[1],"b":{}}"#, 5),
            (r#""[,,,{\",[""#, 1),
            (r#"["\\",0]"#, 3),
            (r#"["unended,[,"#, 2),
        ] {
            // Padded, because a short text cannot have many.
            let text = format!("{text}{}", " ".repeat(20));
            assert!(!has_more_values(&text, values), "{text}");
            assert!(has_more_values(&text, values - 1) || values == 1, "{text}");
        }
    }
}
