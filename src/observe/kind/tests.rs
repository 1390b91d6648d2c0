#![allow(clippy::unwrap_used)]

use serde_json::json;

use super::*;

fn found(payload: &[u8]) -> Found<'_> {
    Found::of(payload, true).unwrap()
}

fn kind(payloads: &[&str]) -> Kind {
    let mut kind = Kind::first(&found(payloads.first().unwrap().as_bytes()), MOST_FIELDS);
    for payload in payloads.iter().skip(1) {
        assert!(
            kind.add(&found(payload.as_bytes()), MOST_FIELDS),
            "{payload}"
        );
    }
    kind
}

fn number(value: f64, integer: bool) -> Found<'static> {
    Found::Number { value, integer }
}

#[test]
fn a_payload_is_of_one_kind() {
    for (payload, expected) in [
        (&b""[..], Found::Empty),
        (b" \n", Found::Empty),
        (b"21.5", number(21.5, false)),
        (b" 21 \n", number(21.0, true)),
        (b"+3", number(3.0, true)),
        (b"-0.5", number(-0.5, false)),
        (b".5", number(0.5, false)),
        (b"1e3", number(1000.0, false)),
        (b"\"21.5\"", number(21.5, false)),
        (b"0", number(0.0, true)),
        (b"0x10", Found::Word("0x10")),
        (b"1e999", Found::Word("1e999")),
        (b"NaN", Found::Word("NaN")),
        (b"inf", Found::Word("inf")),
        (b"-", Found::Word("-")),
        (b"--1", Found::Word("--1")),
        (b"21.5 kW", Found::Word("21.5 kW")),
        (b"2026-11-28", Found::Word("2026-11-28")),
        (b"true", Found::Word("true")),
        (b" ON ", Found::Word("ON")),
        (b"\"ON\"", Found::Word("ON")),
        (b"\"\"", Found::Word("")),
        (b"a\"b", Found::Word("a\"b")),
        (b"{", Found::Word("{")),
        (b"{no json}", Found::Word("{no json}")),
        ("köln".as_bytes(), Found::Word("köln")),
        (b"a longer text than a word ever is", Found::Text),
        (b"two\nlines", Found::Text),
        (b"{\"a\":1}", Found::Json(Some(json!({"a": 1})))),
        (b" [1] ", Found::Json(Some(json!([1])))),
        (b"\x00\x01", Found::Binary),
        (b"\xff\xfe", Found::Binary),
        (b"\x89PNG\r\n\x1a\n....", Found::Image(ImageFormat::Png)),
        (b"\xff\xd8\xff\xe0", Found::Image(ImageFormat::Jpeg)),
        (b"GIF89a", Found::Image(ImageFormat::Gif)),
        (
            b"RIFF\x10\x00\x00\x00WEBPVP8 ",
            Found::Image(ImageFormat::Webp),
        ),
        (b"RIFF\x10\x00\x00\x00WAVEfmt ", Found::Binary),
    ] {
        assert_eq!(found(payload), expected, "{}", payload.escape_ascii());
    }
}

#[test]
fn long_payloads_are_judged_by_their_beginning() {
    let text = "ö".repeat(5_000);
    assert_eq!(found(format!("x{text}").as_bytes()), Found::Text);
    assert_eq!(found(text.as_bytes()), Found::Text);
    let cut = text.as_bytes().get(1..).unwrap();
    assert_eq!(found(cut), Found::Binary);
    let json = format!("[{}1]", "1,".repeat(20_000));
    assert_eq!(found(json.as_bytes()), Found::Json(None));
    let mut bytes = json.into_bytes();
    bytes.splice(1..2, [0]);
    assert_eq!(found(&bytes), Found::Binary);
}

#[test]
fn what_looks_like_json_is_parsed_only_when_a_sample_is_due() {
    assert_eq!(Found::of(b"{\"a\":1}", false), None);
    assert_eq!(Found::of(b"\"{}\"", false), Some(Found::Word("{}")));
    assert_eq!(Found::of(b"1", false), Some(number(1.0, true)));
}

#[test]
fn kinds_have_a_word_and_what_they_saw() {
    for (payloads, word) in [
        (&[""][..], "empty"),
        (&["1", "0", "1"], "number"),
        (&["ON"], "boolean"),
        (&["ON", "OFF", "on"], "boolean"),
        (&["\"open\"", "closed", ""], "boolean"),
        (&["true", "false"], "boolean"),
        (&["open", "closed", "opening"], "enum"),
        (&["on", "true"], "enum"),
        (&["a", "b", "c", "d", "e", "f", "g", "h", "a"], "enum"),
        (&["a", "b", "c", "d", "e", "f", "g", "h", "i", "a"], "text"),
        (&["a", "an explanation of more than 32 bytes"], "text"),
        (&["an explanation of more than 32 bytes", "a"], "text"),
        (&["{\"a\":1}", "{}", "[]"], "json"),
    ] {
        assert_eq!(kind(payloads).word(), word, "{payloads:?}");
    }
    let range = Range {
        min: -2.0,
        max: 7.0,
        integer: true,
    };
    assert_eq!(kind(&["3", "-2", "7", "0"]), Kind::Number(range));
    let Kind::Number(range) = kind(&["3", "3.0"]) else {
        panic!()
    };
    assert!(!range.integer);
    let Kind::Words(words) = kind(&["idle", "run", "idle"]) else {
        panic!()
    };
    assert_eq!(words.iter().collect::<Vec<_>>(), [("idle", 2), ("run", 1)]);
}

#[test]
fn another_kind_is_refused_and_changes_nothing() {
    for (payloads, other) in [
        (&["1"][..], "unavailable"),
        (&["a"], "1"),
        (&["a"], "{\"a\":1}"),
        (&["{\"a\":1}"], "1"),
        (&["a text that is longer than words"], "1"),
    ] {
        let mut it = kind(payloads);
        let before = it.clone();
        assert!(!it.add(&found(other.as_bytes()), MOST_FIELDS), "{other}");
        assert_eq!(it, before);
        assert!(it.add(&Found::Empty, MOST_FIELDS));
        assert_eq!(it, before);
    }
}

#[test]
fn fields_have_kinds_and_numbers_a_range() {
    let Kind::Json(shape) = kind(&[
        r#"{"t":21.5,"n":1,"s":"ON","m":"idle","x":null,"o":{"a":1,"b":{"c":1},"":2},"e":{},"l":[],"k":1}"#,
        r#"{"t":19,"n":4,"s":"OFF","m":"ON","x":5,"o":{"a":7},"k":"1","o.a":9}"#,
        r#"{"t":null,"new":true}"#,
    ]) else {
        panic!()
    };
    let range = |min, max, integer| FieldKind::Number(Range { min, max, integer });
    let fields: Vec<_> = shape.fields().map(|(name, kind)| (name, *kind)).collect();
    assert_eq!(
        fields,
        [
            ("t", range(19.0, 21.5, false)),
            ("n", range(1.0, 4.0, true)),
            ("s", FieldKind::Boolean),
            ("m", FieldKind::Text),
            ("x", range(5.0, 5.0, true)),
            ("o.a", range(1.0, 9.0, true)),
            ("o.b", FieldKind::Object),
            ("o.", range(2.0, 2.0, true)),
            ("e", FieldKind::Object),
            ("l", FieldKind::Array),
            ("k", FieldKind::Mixed),
            ("new", FieldKind::Boolean),
        ]
    );
    assert!(!shape.has_more() && !shape.is_array());
}

#[test]
fn fields_are_bounded_in_number_and_length() {
    let members: Vec<String> = (0..50).map(|n| format!("\"f{n}\":{n}")).collect();
    let long = format!("{{\"{}\":1}}", "x".repeat(65));
    for (text, fields) in [
        (format!("{{{}}}", members.join(",")), MOST_FIELDS),
        (long, 0),
    ] {
        let Kind::Json(shape) = kind(&[&text]) else {
            panic!()
        };
        assert_eq!(shape.fields().count(), fields);
        assert!(shape.has_more());
    }
}
