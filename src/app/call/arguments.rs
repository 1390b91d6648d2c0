//! The arguments of a tool on the command line.
//!
//! Promises: the type of a value is that of its place in the schema, so that `payload=1` is the text "1" and `qos=1`
//! the number; what does not fit its type stays text, for the schema to say what is wrong; nothing is given twice.

use serde_json::{Map, Value};

use crate::mcp::strict_object;

/// Reads `NAME=VALUE` arguments, or one JSON object.
///
/// # Errors
/// The argument that is neither.
pub(super) fn read(words: &[String], schema: &Value) -> Result<Map<String, Value>, String> {
    if let [only] = words {
        if only.trim_start().starts_with('{') {
            return strict_object(only)
                .map_err(|why| format!("the arguments are not a JSON object: {why}"));
        }
    }
    let mut arguments = Map::new();
    for word in words {
        let Some((name, value)) = word.split_once('=').filter(|(name, _)| !name.is_empty()) else {
            return Err(format!(
                "`{}` is not an argument: write NAME=VALUE, or all arguments as one JSON object",
                shown(word)
            ));
        };
        let value = typed(
            value,
            schema.get("properties").and_then(|all| all.get(name)),
        );
        if arguments.insert(name.to_owned(), value).is_some() {
            return Err(format!("the argument `{}` is given twice", shown(name)));
        }
    }
    Ok(arguments)
}

fn typed(text: &str, schema: Option<&Value>) -> Value {
    let kind = schema.and_then(|schema| schema.get("type")?.as_str());
    let parsed = match kind {
        None | Some("string") => None,
        Some(_) => serde_json::from_str(text).ok(),
    };
    parsed.unwrap_or_else(|| text.into())
}

fn shown(word: &str) -> String {
    let short: String = word.chars().take(SHOWN_CHARACTERS).collect();
    short.escape_debug().to_string()
}

const SHOWN_CHARACTERS: usize = 60;

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use serde_json::json;

    use super::*;

    fn read_all(words: &[&str]) -> Result<Value, String> {
        let schema = json!({"properties": {
            "payload": {"type": "string"}, "qos": {"type": "integer"}, "timeout": {"type": "number"},
            "retain": {"type": "boolean"}, "when": {"type": "object"}, "all": {"type": "array"},
        }});
        let words: Vec<String> = words.iter().map(|word| (*word).to_owned()).collect();
        read(&words, &schema).map(Value::Object)
    }

    #[test]
    fn the_schema_says_what_a_value_is() {
        for (words, expected) in [
            (
                &["payload=1", "qos=1"][..],
                json!({"payload": "1", "qos": 1}),
            ),
            (
                &["payload=true", "retain=true"],
                json!({"payload": "true", "retain": true}),
            ),
            (
                &["payload=a=b c", "timeout=2.5"],
                json!({"payload": "a=b c", "timeout": 2.5}),
            ),
            (&["payload="], json!({"payload": ""})),
            (&["payload={\"a\":1}"], json!({"payload": "{\"a\":1}"})),
            (
                &["when={\"a\":1}", "all=[1]"],
                json!({"when": {"a": 1}, "all": [1]}),
            ),
            (
                &["qos=high", "retain=yes"],
                json!({"qos": "high", "retain": "yes"}),
            ),
            (&["stranger=1"], json!({"stranger": "1"})),
            (&[" {\"payload\": 1}"], json!({"payload": 1})),
            (&[], json!({})),
        ] {
            assert_eq!(read_all(words).unwrap(), expected, "{words:?}");
        }
    }

    #[test]
    fn what_is_no_argument_is_named() {
        for (words, part) in [
            (
                &["topic"][..],
                "`topic` is not an argument: write NAME=VALUE",
            ),
            (&["=x"], "`=x` is not an argument"),
            (&["a=1", "{}"], "`{}` is not an argument"),
            (&["a=1", "a=1"], "the argument `a` is given twice"),
            (&["{\"a\":1,\"a\":2}"], "duplicate key `a`"),
            (&["{\"a\":1} x"], "not a JSON object"),
            (&["{"], "not a JSON object"),
        ] {
            let error = read_all(words).unwrap_err();
            assert!(error.contains(part), "{words:?}: {error}");
        }
    }
}
