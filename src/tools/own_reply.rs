//! `field` and `value` of `mqtt_query`: what tells the caller's own reply from others on the same topic.
//!
//! Promises: an id is compared as it is written, not as the number that it may be: `0123` is not `123`, and no digit of a
//! long id is lost.

use mcpmqtt_config::reading::is_json_text;
use serde_json::{Number, Value};

use super::arguments::Arguments;
use crate::observe::path::Path;

/// The caller's own reply has this value.
pub(super) struct OwnReply {
    /// The whole payload without it.
    field: Option<Path>,
    value: String,
}

impl OwnReply {
    /// Takes the two arguments, if they are there.
    ///
    /// # Errors
    /// What is wrong with them.
    pub(super) fn parse(arguments: &mut Arguments) -> Result<Option<OwnReply>, String> {
        let field = arguments.optional_text("field")?;
        let value = match (arguments.optional_text("value")?, &field) {
            (Some(value), _) => value,
            (None, None) => return Ok(None),
            (None, Some(_)) => {
                return Err(
                    "`field` names the field of the reply that holds `value`, which is missing"
                        .into(),
                );
            }
        };
        let field = Path::parse_optional(field.as_deref());
        Ok(Some(OwnReply {
            field: field.map_err(|error| format!("`field`: {error}"))?,
            value: value.trim().to_owned(),
        }))
    }

    /// Whether this is the payload of the caller's own reply.
    pub(super) fn is(&self, payload: &[u8]) -> bool {
        let Ok(text) = std::str::from_utf8(payload) else {
            return false;
        };
        let text = text.trim_start_matches('\u{feff}').trim();
        if self.field.is_none() && text == self.value {
            return true;
        }
        let Ok(document) = serde_json::from_str::<Value>(text) else {
            return false;
        };
        let value = match &self.field {
            Some(field) => field.select(&document),
            None => Some(&document),
        };
        match value {
            Some(Value::String(text)) => text.trim() == self.value,
            Some(Value::Number(number)) => self.is_number(number, text),
            Some(Value::Bool(flag)) => flag.to_string() == self.value,
            Some(document) => is_json_text(&self.value, document),
            None => false,
        }
    }

    /// Devices may write a fraction where there is none: 5 is 5.0. But `71e2` is an id in hexadecimal digits, and `0123` no
    /// number of JSON.
    fn is_number(&self, number: &Number, text: &str) -> bool {
        if number.to_string() == self.value {
            return true;
        }
        let own = serde_json::from_str::<Number>(&self.value);
        let is_near = own.is_ok_and(|own| own.as_f64() == number.as_f64());
        let is_short = self.value.len() <= EXACT_DIGITS && !self.value.contains(['e', 'E']);
        is_near && (is_short || self.is_written_so(text))
    }

    /// Whether the number in the field is written as the value is: in its place a string would be in the field.
    fn is_written_so(&self, text: &str) -> bool {
        let places = text.match_indices(&self.value).take(MOST_PLACES);
        let (before, after) = (|at| text.get(..at), |at| text.get(at..));
        places
            .filter_map(|(at, own)| {
                let (before, after) = (before(at)?, after(at + own.len())?);
                let is_whole = !before.ends_with(OF_NUMBER) && !after.starts_with(OF_NUMBER);
                is_whole.then(|| format!("{before}\"{own}\"{after}"))
            })
            .filter_map(|text| serde_json::from_str::<Value>(&text).ok())
            .any(|document| {
                let field = self.field.as_ref();
                field.is_some_and(|field| field.select(&document).is_some_and(Value::is_string))
            })
    }
}

/// A document that has a long number more often than this in other places is not looked through.
const MOST_PLACES: usize = 16;

/// What may stand in a number of JSON.
const OF_NUMBER: fn(char) -> bool = |it| it.is_ascii_digit() || "+-.eE".contains(it);

/// An `f64` tells any two numbers of so many digits apart.
const EXACT_DIGITS: usize = 15;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_id_is_compared_as_it_is_written() {
        for (value, payload, expected) in [
            ("7", r#"{"id": 7}"#, true),
            ("7", r#"{"id": "7"}"#, true),
            ("7", r#"{"id": 7.0}"#, true),
            ("7.0", r#"{"id": 7}"#, true),
            ("7", r#"{"id": 70}"#, false),
            ("7", r#"{"id": null}"#, false),
            ("7", r#"{"other": 7}"#, false),
            ("7", "7", false),
            ("a-7", r#"{"id": " a-7 "}"#, true),
            ("true", r#"{"id": true}"#, true),
            ("[1,2]", r#"{"id": [1, 2]}"#, true),
            ("0123", r#"{"id": "123"}"#, false),
            ("0123", r#"{"id": 123}"#, false),
            ("71e2", r#"{"id": "7100"}"#, false),
            ("71e2", r#"{"id": 7100}"#, false),
            ("71e2", r#"{"id": 71e2}"#, true),
            ("71e2", r#"{"id": 7.1e3, "ref": 71e2}"#, false),
            ("0123", r#"{"id": 123.0}"#, false),
            ("+7", r#"{"id": 7}"#, false),
            ("0e1", r#"{"id": "0e99"}"#, false),
            ("21.50", r#"{"id": 21.5}"#, true),
            (
                "18446744073709551616",
                r#"{"id": 18446744073709551616}"#,
                true,
            ),
            (
                "18446744073709551616",
                r#"{"id": 18446744073709551617}"#,
                false,
            ),
            (
                "18446744073709551616",
                r#"{"id": 18446744073709551617, "ref": 18446744073709551616}"#,
                false,
            ),
            (
                "18446744073709551616",
                r#"{"ref": "18446744073709551616", "id": 18446744073709551616}"#,
                true,
            ),
            (
                "-9223372036854775809",
                r#"{"id": -9223372036854775809}"#,
                true,
            ),
            (
                "-9223372036854775809",
                r#"{"id": -9223372036854775810}"#,
                false,
            ),
            ("9007199254740993", r#"{"id": 9007199254740992.0}"#, false),
            (
                "1764403200123456789",
                r#"{"id": 1764403200123456789}"#,
                true,
            ),
            (
                "1764403200123456789",
                r#"{"id": 1764403200123456780}"#,
                false,
            ),
            (
                "1764403200123456789",
                r#"{"id": "1764403200123456780"}"#,
                false,
            ),
        ] {
            let field = Path::parse_optional(Some("id")).unwrap_or_default();
            let own = OwnReply {
                field,
                value: value.to_owned(),
            };
            assert_eq!(own.is(payload.as_bytes()), expected, "{value} in {payload}");
        }
        let own = OwnReply {
            field: None,
            value: "done 7".to_owned(),
        };
        assert!(own.is(b"done 7\n") && own.is(b"\"done 7\"") && !own.is(b"done 70"));
    }
}
