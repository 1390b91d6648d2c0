//! Readings: what a payload, or one field of it, says.

use std::hash::{DefaultHasher, Hash as _, Hasher as _};

use serde_json::{Number, Value};

use crate::path::Path;

/// The most bytes of a text in a reading that is kept ([`Reading::kept`]).
pub const KEPT_BYTES: usize = 256;

/// What a payload, or one field of it, says.
#[derive(Debug, Clone, PartialEq)]
pub enum Reading {
    /// A finite JSON number.
    Number(f64),
    /// A whole number beyond 2⁵³, of which an `f64` keeps not every digit: an id, or a time in nanoseconds.
    Large(Number),
    /// `true` or `false`.
    Bool(bool),
    /// The text of a JSON string, or a payload that is text and no JSON, without white space around it.
    Text(String),
    /// An object, an array or null.
    Json(Value),
    /// Bytes that are no text.
    Binary {
        /// How many.
        bytes: usize,
        /// Tells different bytes of one length apart.
        hash: u64,
    },
    /// A text, or the text of an object or array, kept in bounded memory.
    Kept(Kept),
}

/// The beginning of a text with what identifies the whole.
#[derive(Debug, Clone, PartialEq)]
pub struct Kept {
    start: String,
    bytes: usize,
    hash: u64,
    json: bool,
}

/// Why a payload has no reading.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Unreadable {
    /// A field is asked for, and the payload is no JSON.
    NoJson,
    /// The payload is JSON and has no such field.
    NoField,
}

/// A reading for a result.
#[derive(Debug, Clone, PartialEq)]
pub struct Shown {
    /// The value; the beginning of its text if it is cut; null for bytes that are not text.
    pub value: Value,
    /// The size of the whole value in bytes, set only when `value` does not show all of it.
    pub whole_bytes: Option<usize>,
}

impl Reading {
    /// Reads the whole payload, or the field at `field`.
    pub fn of(payload: &[u8], field: Option<&Path>) -> Result<Self, Unreadable> {
        let text = std::str::from_utf8(payload)
            .ok()
            .filter(|it| !it.contains('\0'));
        let trimmed = text.map(|text| text.trim_start_matches('\u{feff}').trim());
        match (field, trimmed) {
            (None, Some(text)) => Ok(Self::of_text(text)),
            (None, None) => Ok(Self::Binary {
                bytes: payload.len(),
                hash: hash(payload),
            }),
            (Some(path), Some(text)) => {
                let root: Value = serde_json::from_str(text).map_err(|_| Unreadable::NoJson)?;
                let value = path.select(&root).ok_or(Unreadable::NoField)?;
                Ok(Self::of_value(value))
            }
            (Some(_), None) => Err(Unreadable::NoJson),
        }
    }

    /// Reads a JSON value.
    pub fn of_value(value: &Value) -> Self {
        match value {
            Value::Number(number) if is_large(number) => Self::Large(number.clone()),
            Value::Number(number) => number
                .as_f64()
                .filter(|it| it.is_finite())
                .map_or_else(|| Self::Text(number.to_string()), Self::Number),
            Value::Bool(flag) => Self::Bool(*flag),
            Value::String(text) => Self::Text(text.trim().into()),
            Value::Null | Value::Array(_) | Value::Object(_) => Self::Json(value.clone()),
        }
    }

    /// Reads a text. The first byte tells what to try, so that a number costs no document.
    fn of_text(text: &str) -> Self {
        let json = match text.as_bytes().first() {
            Some(b'-' | b'0'..=b'9') => {
                large_number(text).or_else(|| json_number(text).map(Self::Number))
            }
            Some(b't' | b'f') => text.parse().ok().map(Self::Bool),
            Some(b'"' | b'{' | b'[' | b'n') => serde_json::from_str(text)
                .ok()
                .map(|value| Self::of_value(&value)),
            _ => None,
        };
        json.unwrap_or_else(|| Self::Text(text.into()))
    }

    /// The number that this reading is: a number, or a text that is a plain decimal number (`+3`, `21.5`, not
    /// `21.5 °C`, `0x10` or `NaN`).
    pub fn number(&self) -> Option<f64> {
        match self {
            Self::Number(number) => Some(*number),
            Self::Large(number) => number.as_f64(),
            Self::Text(text) => plain_number(text),
            Self::Kept(kept) => plain_number(kept.whole()?),
            _ => None,
        }
    }

    /// The whole number that this reading is, exactly.
    pub fn whole_number(&self) -> Option<i128> {
        match self {
            Self::Number(number) if number.fract() == 0.0 && number.abs() <= EXACT => {
                Some(*number as i128)
            }
            Self::Large(number) => number.to_string().parse().ok(),
            Self::Text(text) => text.parse().ok(),
            _ => None,
        }
    }

    /// The reading as text: the text itself, or its JSON. Nothing for bytes that are not text, and for null.
    pub fn text(&self) -> Option<String> {
        match self {
            Self::Number(number) => Some(json_of(*number).to_string()),
            Self::Large(number) => Some(number.to_string()),
            Self::Bool(flag) => Some(flag.to_string()),
            Self::Text(text) => Some(text.clone()),
            Self::Json(Value::Null) | Self::Binary { .. } => None,
            Self::Json(value) => Some(value.to_string()),
            Self::Kept(kept) => Some(kept.start.clone()),
        }
    }

    /// Whether both say the same. Numbers are compared as numbers, even where one is written as text.
    pub fn same(&self, other: &Self) -> bool {
        if let (Some(a), Some(b)) = (self.whole_number(), other.whole_number()) {
            return a == b;
        }
        if let (Some(a), Some(b)) = (self.number(), other.number()) {
            return a == b;
        }
        match (self, other) {
            (Self::Kept(kept), whole) | (whole, Self::Kept(kept)) => kept.is(whole),
            (Self::Json(a), Self::Json(b)) => same_json(a, b),
            (a, b) => a == b,
        }
    }

    /// The same reading in bounded memory: at most [`KEPT_BYTES`] of a text.
    pub fn kept(self) -> Self {
        match self {
            Self::Text(text) if text.len() > KEPT_BYTES => Self::Kept(Kept::new(&text, false)),
            // A short JSON text may be a large document in memory.
            Self::Json(value) if !value.is_null() => {
                Self::Kept(Kept::new(&value.to_string(), true))
            }
            other => other,
        }
    }

    /// The reading for a result, with at most `most` bytes of a text.
    pub fn to_json(&self, most: usize) -> Shown {
        match self {
            Self::Number(number) => Shown::whole(json_of(*number)),
            Self::Large(number) => Shown::whole(Value::Number(number.clone())),
            Self::Bool(flag) => Shown::whole(Value::Bool(*flag)),
            Self::Text(text) => Shown::text(text, text.len(), most),
            Self::Json(value) => Shown::json(value, most),
            Self::Binary { bytes, .. } => Shown {
                value: Value::Null,
                whole_bytes: Some(*bytes),
            },
            Self::Kept(kept) => match kept.document() {
                Some(value) => Shown::json(&value, most),
                None => Shown::text(&kept.start, kept.bytes, most),
            },
        }
    }
}

impl Kept {
    fn new(text: &str, json: bool) -> Self {
        Self {
            start: beginning(text, KEPT_BYTES).into(),
            bytes: text.len(),
            hash: hash(text.as_bytes()),
            json,
        }
    }

    /// The whole text, if all of it is kept and it is no document.
    fn whole(&self) -> Option<&str> {
        (!self.json && self.start.len() == self.bytes).then_some(&self.start)
    }

    /// The document, if all of its text is kept.
    fn document(&self) -> Option<Value> {
        let complete = self.json && self.start.len() == self.bytes;
        complete
            .then(|| serde_json::from_str(&self.start).ok())
            .flatten()
    }

    /// Whether `reading` says the same. Documents longer than [`KEPT_BYTES`] are compared by their text, and so by the
    /// order of their members too.
    fn is(&self, reading: &Reading) -> bool {
        match reading {
            Reading::Text(text) => *self == Self::new(text, false),
            Reading::Json(value) => {
                *self == Self::new(&value.to_string(), true)
                    || self.document().is_some_and(|own| same_json(&own, value))
            }
            Reading::Kept(other) => {
                self == other
                    || match (self.document(), other.document()) {
                        (Some(a), Some(b)) => same_json(&a, &b),
                        _ => false,
                    }
            }
            _ => false,
        }
    }
}

impl Shown {
    fn whole(value: Value) -> Self {
        Self {
            value,
            whole_bytes: None,
        }
    }

    /// `start` is the beginning of a text of `bytes` bytes.
    fn text(start: &str, bytes: usize, most: usize) -> Self {
        let shown = beginning(start, most);
        Self {
            value: Value::String(shown.into()),
            whole_bytes: (shown.len() < bytes).then_some(bytes),
        }
    }

    fn json(value: &Value, most: usize) -> Self {
        let text = value.to_string();
        if text.len() <= most || value.is_null() {
            return Self::whole(value.clone());
        }
        Self::text(&text, text.len(), most)
    }
}

/// The number that `text` is, if it is a plain decimal number: an optional sign, digits with at most one point among
/// them, an optional exponent.
pub fn plain_number(text: &str) -> Option<f64> {
    let text = text.trim();
    let unsigned = text.strip_prefix(['+', '-']).unwrap_or(text);
    let (mantissa, exponent) = match unsigned.split_once(['e', 'E']) {
        Some((mantissa, exponent)) => (
            mantissa,
            exponent.strip_prefix(['+', '-']).unwrap_or(exponent),
        ),
        None => (unsigned, "0"),
    };
    let (whole, fraction) = mantissa.split_once('.').unwrap_or((mantissa, ""));
    let digits = |part: &str| part.bytes().all(|byte| byte.is_ascii_digit());
    let is_number = digits(whole) && digits(fraction) && digits(exponent);
    if !is_number || exponent.is_empty() || whole.len() + fraction.len() == 0 {
        return None;
    }
    json_number(text).or_else(|| text.parse().ok().filter(|it: &f64| it.is_finite()))
}

/// The JSON number that `text` is. Numbers in payloads, in fields and in arguments all go through the same parser, so
/// that the same digits are the same number to the last bit.
fn json_number(text: &str) -> Option<f64> {
    serde_json::from_str(text)
        .ok()
        .filter(|it: &f64| it.is_finite())
}

/// The whole number beyond 2⁵³ that `text` is, if 64 bits hold it.
fn large_number(text: &str) -> Option<Reading> {
    // The shortest of them has 16 digits; most numbers are done with here.
    if text.len() < 16 {
        return None;
    }
    let number: Number = match text.strip_prefix('-') {
        Some(_) => text.parse::<i64>().ok()?.into(),
        None if text.starts_with('0') => return None,
        None => text.parse::<u64>().ok()?.into(),
    };
    is_large(&number).then_some(Reading::Large(number))
}

/// Whether it is a whole number beyond 2⁵³.
pub(crate) fn is_large(number: &Number) -> bool {
    let magnitude = number.as_u64().or(number.as_i64().map(i64::unsigned_abs));
    magnitude.is_some_and(|it| it > EXACT as u64)
}

/// 2⁵³: up to here every whole number is exact.
const EXACT: f64 = 9_007_199_254_740_992.0;

/// Whole numbers are shown without a fraction.
fn json_of(number: f64) -> Value {
    if number.fract() == 0.0 && number.abs() <= EXACT {
        return Value::from(number as i64);
    }
    Number::from_f64(number).map_or(Value::Null, Value::Number)
}

/// Whether two documents say the same: `1` is `1.0`, and the order of members does not count.
fn same_json(a: &Value, b: &Value) -> bool {
    match (a, b) {
        (Value::Number(a), Value::Number(b)) if is_large(a) && is_large(b) => a == b,
        (Value::Number(a), Value::Number(b)) => a == b || a.as_f64() == b.as_f64(),
        (Value::Array(a), Value::Array(b)) => {
            a.len() == b.len() && a.iter().zip(b).all(|(a, b)| same_json(a, b))
        }
        (Value::Object(a), Value::Object(b)) => {
            let same = |(name, a): (&String, &Value)| b.get(name).is_some_and(|b| same_json(a, b));
            a.len() == b.len() && a.iter().all(same)
        }
        (a, b) => a == b,
    }
}

/// Whether `text` writes the document `value`.
pub fn is_json_text(text: &str, value: &Value) -> bool {
    text.starts_with(['{', '['])
        && serde_json::from_str(text).is_ok_and(|written| same_json(&written, value))
}

/// The first characters of `text` that take at most `most` bytes.
fn beginning(text: &str, most: usize) -> &str {
    let end = (0..=most.min(text.len()))
        .rev()
        .find(|at| text.is_char_boundary(*at));
    text.get(..end.unwrap_or_default()).unwrap_or_default()
}

/// The hash has fixed keys: it tells values of one topic apart and indexes no table.
fn hash(bytes: &[u8]) -> u64 {
    let mut hasher = DefaultHasher::new();
    bytes.hash(&mut hasher);
    hasher.finish()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn text(text: &str) -> Reading {
        Reading::Text(text.into())
    }

    fn whole(payload: &[u8]) -> Reading {
        match Reading::of(payload, None) {
            Ok(reading) => reading,
            Err(error) => panic!("{payload:?}: {error:?}"),
        }
    }

    #[test]
    fn a_whole_payload_is_read() {
        let table: [(&[u8], Reading); 32] = [
            (b"21.5", Reading::Number(21.5)),
            (b" 21.5\r\n", Reading::Number(21.5)),
            (b"-3", Reading::Number(-3.0)),
            (b"1e3", Reading::Number(1000.0)),
            (b"0", Reading::Number(0.0)),
            ("\u{feff}7".as_bytes(), Reading::Number(7.0)),
            (
                b"18446744073709551616",
                Reading::Number(18446744073709551616.0),
            ),
            (b"+3", text("+3")),
            (b"007", text("007")),
            (b".5", text(".5")),
            (b"1e999", text("1e999")),
            (b"-", text("-")),
            ("21.5 °C".as_bytes(), text("21.5 °C")),
            (b"2026-11-28T10:00:00Z", text("2026-11-28T10:00:00Z")),
            (b"NaN", text("NaN")),
            (b"true", Reading::Bool(true)),
            (b"false ", Reading::Bool(false)),
            (b"True", text("True")),
            (b"trueish", text("trueish")),
            (b"ON", text("ON")),
            (b" closed\t", text("closed")),
            (b"\"ON\"", text("ON")),
            (b"\"21.5\"", text("21.5")),
            (b"\"open", text("\"open")),
            (b"null", Reading::Json(Value::Null)),
            (b"none", text("none")),
            (b"{\"a\":1}", Reading::Json(json!({"a": 1}))),
            (b"[1, 2]", Reading::Json(json!([1, 2]))),
            (b"[1] [2]", text("[1] [2]")),
            (b"{a}", text("{a}")),
            (b"", text("")),
            (b"  ", text("")),
        ];
        for (payload, expected) in table {
            assert_eq!(whole(payload), expected, "{payload:?}");
        }
        for payload in [b"\xff\xd8\xff".as_slice(), b"\0\0\0\0", b"21\0"] {
            let Reading::Binary { bytes, .. } = whole(payload) else {
                panic!("{payload:?} is not text");
            };
            assert_eq!(bytes, payload.len());
        }
    }

    #[test]
    fn large_whole_numbers_keep_their_digits() {
        let path = Path::parse("a").ok();
        for digits in [
            "9007199254740993",
            "-9007199254740993",
            "18446744073709551615",
        ] {
            let plain = whole(digits.as_bytes());
            let field = Reading::of(format!("{{\"a\":{digits}}}").as_bytes(), path.as_ref());
            assert_eq!(field.as_ref(), Ok(&plain), "{digits}");
            assert_eq!(plain.to_json(0).value.to_string(), digits);
            assert_eq!(plain.text().as_deref(), Some(digits));
            assert!(plain.same(&text(digits)));
            assert!(plain.clone().kept().same(&plain));
        }
        let same = |a: &str, b: &str| whole(a.as_bytes()).same(&whole(b.as_bytes()));
        assert!(!same("9007199254740993", "9007199254740992"));
        assert!(!same("9007199254740993", "9007199254740994"));
        assert!(!same(
            "{\"a\":9007199254740993}",
            "{\"a\":9007199254740995}"
        ));
        assert!(same("9007199254740992", "9007199254740992.0"));
        assert_eq!(
            whole(b"9007199254740992").text().as_deref(),
            Some("9007199254740992")
        );
        assert_eq!(
            whole(b"9007199254740993").number(),
            Some(9007199254740992.0)
        );
        assert_eq!(whole(b"0009007199254740993"), text("0009007199254740993"));
    }

    #[test]
    fn a_field_is_read() {
        let path = Path::parse("a").ok();
        let table: [(&[u8], Result<Reading, Unreadable>); 14] = [
            (b"{\"a\": 21.5}", Ok(Reading::Number(21.5))),
            (b"{\"a\": \"21.5\"}", Ok(text("21.5"))),
            (b"{\"a\": true}", Ok(Reading::Bool(true))),
            (b"{\"a\": null}", Ok(Reading::Json(Value::Null))),
            (b"{\"a\": [1]}", Ok(Reading::Json(json!([1])))),
            (b"{\"a\": \" ON \"}", Ok(text("ON"))),
            (b" {\"a\": 1} ", Ok(Reading::Number(1.0))),
            (b"{\"b\": 1}", Err(Unreadable::NoField)),
            (b"[1]", Err(Unreadable::NoField)),
            (b"21.5", Err(Unreadable::NoField)),
            (b"ON", Err(Unreadable::NoJson)),
            (b"", Err(Unreadable::NoJson)),
            (b"{\"a\": 1", Err(Unreadable::NoJson)),
            (b"\xff", Err(Unreadable::NoJson)),
        ];
        for (payload, expected) in table {
            assert_eq!(Reading::of(payload, path.as_ref()), expected, "{payload:?}");
        }
        let deep = format!("{}1{}", "[".repeat(100_000), "]".repeat(100_000));
        assert_eq!(
            Reading::of(deep.as_bytes(), path.as_ref()),
            Err(Unreadable::NoJson)
        );
    }

    #[test]
    fn texts_that_are_numbers_count_as_numbers() {
        let table = [
            ("21.5", Some(21.5)),
            ("+3", Some(3.0)),
            ("-0.5", Some(-0.5)),
            ("007", Some(7.0)),
            (".5", Some(0.5)),
            ("5.", Some(5.0)),
            ("1e3", Some(1000.0)),
            ("1E-1", Some(0.1)),
            (" 4 ", Some(4.0)),
            ("", None),
            ("+", None),
            (".", None),
            ("e3", None),
            ("1e", None),
            ("1e+", None),
            ("+-1", None),
            ("1.2.3", None),
            ("1,5", None),
            ("1 000", None),
            ("1_000", None),
            ("0x10", None),
            ("21.5 °C", None),
            ("21.5C", None),
            ("NaN", None),
            ("inf", None),
            ("-Infinity", None),
            ("1e999", None),
            ("٣", None),
        ];
        for (written, expected) in table {
            assert_eq!(plain_number(written), expected, "{written:?}");
            assert_eq!(text(written).number(), expected, "{written:?}");
        }
        assert_eq!(Reading::Bool(true).number(), None);
    }

    #[test]
    fn the_same_digits_are_the_same_number_wherever_they_stand() {
        let path = Path::parse("a").ok();
        let mut random = fastrand::Rng::with_seed(2);
        for _ in 0..2_000 {
            let digits = format!("{}.{}", random.u16(..), random.u64(..));
            let document = format!("{{\"a\":{digits}}}");
            let string = format!("{{\"a\":\"{digits}\"}}");
            let plain = whole(digits.as_bytes()).number();
            assert!(plain.is_some());
            for payload in [document, string] {
                let field = Reading::of(payload.as_bytes(), path.as_ref());
                assert_eq!(field.map(|it| it.number()), Ok(plain), "{digits}");
            }
        }
    }

    #[test]
    fn a_result_shows_a_reading_and_says_what_is_cut() {
        let show = |payload: &[u8], most| {
            let shown = whole(payload).to_json(most);
            (shown.value, shown.whole_bytes)
        };
        assert_eq!(show(b"5.0", 0), (json!(5), None));
        assert_eq!(show(b"21.50", 0), (json!(21.5), None));
        assert_eq!(show(b"-0.0", 0), (json!(0), None));
        assert_eq!(show(b"1e300", 0), (json!(1e300), None));
        assert_eq!(show(b"true", 0), (json!(true), None));
        assert_eq!(show(b"hello", 5), (json!("hello"), None));
        assert_eq!(show(b"hello", 4), (json!("hell"), Some(5)));
        assert_eq!(show("grün".as_bytes(), 3), (json!("gr"), Some(5)));
        assert_eq!(show(b"{\"a\": 1}", 7), (json!({"a": 1}), None));
        assert_eq!(show(b"{\"a\": 1}", 6), (json!("{\"a\":1"), Some(7)));
        assert_eq!(show(b"null", 0), (Value::Null, None));
        assert_eq!(show(b"\xff\xfe", 9), (Value::Null, Some(2)));
        assert_eq!(show(b"", 0), (json!(""), None));
    }

    #[test]
    fn a_kept_reading_is_small_and_says_the_same() {
        let long_text = "ü".repeat(1000);
        let long_json = format!("[{}0]", "0,".repeat(1000));
        let payloads = [
            "21.5",
            "ON",
            "true",
            "null",
            "{\"a\":1,\"b\":2}",
            &long_text,
            &long_json,
        ];
        for a in payloads {
            let whole_a = whole(a.as_bytes());
            let kept = whole_a.clone().kept();
            if let Reading::Kept(kept) = &kept {
                assert!(kept.start.len() <= KEPT_BYTES);
                assert_eq!(kept.bytes, a.len());
            }
            for most in [0, 10, KEPT_BYTES] {
                assert_eq!(kept.to_json(most), whole_a.to_json(most), "{a}");
            }
            for b in payloads {
                let whole_b = whole(b.as_bytes());
                for (one, other) in [
                    (&kept, &whole_b),
                    (&whole_b, &kept),
                    (&whole_a, &whole_b),
                    (&kept, &whole_b.clone().kept()),
                ] {
                    assert_eq!(one.same(other), a == b, "{one:?} {other:?}");
                }
            }
        }
        let (a, b) = (
            whole(long_text.as_bytes()).kept(),
            whole(format!("{}u", "ü".repeat(999)).as_bytes()),
        );
        assert!(!a.same(&b));
    }

    #[test]
    fn what_is_the_same() {
        let same = |a: &[u8], b: &[u8]| whole(a).same(&whole(b));
        assert!(same(b"1", b"1.0"));
        assert!(same(b"1", b"\"1\""));
        assert!(same(b"007", b"7"));
        assert!(same(b"{\"a\":1,\"b\":[2]}", b"{\"b\":[2.0],\"a\":1.0}"));
        assert!(!same(b"{\"a\":1}", b"{\"a\":1,\"b\":1}"));
        assert!(!same(b"true", b"1"));
        assert!(!same(b"ON", b"on"));
        assert!(!same(b"\xff\x00", b"\xff\x01"));
        assert!(same(b"\xff\x00", b"\xff\x00"));
        let kept = whole(b"{\"a\":1,\"b\":2}").kept();
        assert!(kept.same(&whole(b"{\"b\":2,\"a\":1.0}")));
    }
}
