//! JSON text to a value, with what `serde_json` alone would pass over in silence: repeated keys.

use std::fmt;

use serde::de::{DeserializeSeed, Deserializer, MapAccess, SeqAccess, Visitor};
use serde_json::{Map, Value};

use crate::finding::Report;
use crate::section::join;

/// The longest configuration file that is read, in bytes. 10,000 topic patterns with descriptions fit.
pub const MAX_FILE_BYTES: usize = 1024 * 1024;

/// Parses the file's text. A fault is reported with line and column, a repeated key with its path.
pub(crate) fn parse(text: &str, report: &Report) -> Option<Value> {
    if text.len() > MAX_FILE_BYTES {
        report.problem(
            "",
            format!(
                "the file has {} bytes, at most {MAX_FILE_BYTES} are allowed",
                text.len()
            ),
        );
        return None;
    }
    // Some editors put a byte order mark before UTF-8.
    let text = text.strip_prefix('\u{feff}').unwrap_or(text);
    let mut json = serde_json::Deserializer::from_str(text);
    let parsed = Place {
        path: String::new(),
        report,
    }
    .deserialize(&mut json);
    match parsed.and_then(|value| json.end().map(|()| value)) {
        Ok(value) => Some(value),
        Err(error) => {
            report.problem("", format!("the file is not JSON: {error}"));
            None
        }
    }
}

/// Where in the document a value is being parsed.
struct Place<'a> {
    path: String,
    report: &'a Report,
}

impl<'de> DeserializeSeed<'de> for Place<'_> {
    type Value = Value;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Value, D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for Place<'_> {
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

    fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<Value, A::Error> {
        let mut list = Vec::new();
        loop {
            let path = format!("{}[{}]", self.path, list.len());
            match items.next_element_seed(Place {
                path,
                report: self.report,
            })? {
                Some(item) => list.push(item),
                None => return Ok(list.into()),
            }
        }
    }

    fn visit_map<A: MapAccess<'de>>(self, mut entries: A) -> Result<Value, A::Error> {
        let mut map = Map::new();
        while let Some(key) = entries.next_key::<String>()? {
            let path = join(&self.path, &key);
            if map.contains_key(&key) {
                self.report.warning(
                    &path,
                    "the key is given more than once, the last value is used",
                );
            }
            let value = entries.next_value_seed(Place {
                path,
                report: self.report,
            })?;
            map.insert(key, value);
        }
        Ok(map.into())
    }
}
