//! Parses JSON text, and detects repeated keys, which `serde_json` alone would accept silently.

use std::fmt;

use serde::de::{DeserializeSeed, Deserializer, MapAccess, SeqAccess, Visitor};
use serde_json::{Map, Value};

use crate::finding::Report;
use crate::section::{holds_agents, join};
use crate::{encoding, json_fault};

/// The longest configuration file that is read, in bytes. 10,000 topic patterns with descriptions fit.
pub const MAX_FILE_BYTES: usize = 1024 * 1024;

/// Parses the file's bytes. A fault is reported with line and column, a repeated key with its path.
pub(crate) fn parse(bytes: &[u8], report: &Report) -> Option<Value> {
    if bytes.len() > MAX_FILE_BYTES {
        report.problem(
            "",
            format!(
                "the file has {} bytes, at most {MAX_FILE_BYTES} are allowed",
                bytes.len()
            ),
        );
        return None;
    }
    match encoding::text(bytes).and_then(|text| read(text, report)) {
        Ok(value) => Some(value),
        Err(fault) => {
            report.problem("", fault);
            None
        }
    }
}

fn read(text: &str, report: &Report) -> Result<Value, String> {
    let mut json = serde_json::Deserializer::from_str(text);
    let place = ValuePath {
        path: String::new(),
        report,
    };
    place
        .deserialize(&mut json)
        .and_then(|value| json.end().map(|()| value))
        .map_err(|error| json_fault::explain(text, error.line(), error.column()))
}

/// The position in the document during parsing.
struct ValuePath<'a> {
    path: String,
    report: &'a Report,
}

impl<'de> DeserializeSeed<'de> for ValuePath<'_> {
    type Value = Value;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Value, D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for ValuePath<'_> {
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
            match items.next_element_seed(ValuePath {
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
                // The last one could take away what the first one says.
                match holds_agents(&path) {
                    true => self.report.problem(
                        &path,
                        "the key is given more than once; what holds agents back is given once",
                    ),
                    false => self.report.warning(
                        &path,
                        "the key is given more than once, the last value is used",
                    ),
                }
            }
            let value = entries.next_value_seed(ValuePath {
                path,
                report: self.report,
            })?;
            map.insert(key, value);
        }
        Ok(map.into())
    }
}
