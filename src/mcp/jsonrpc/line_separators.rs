//! Escapes the three characters that JSON allows in a string although some readers end a line there: U+0085, U+2028 and
//! U+2029. Parsers of event streams split the message there and then wait for the rest, which has been sent already.
//!
//! Promises: the result is the same JSON with these characters escaped.
//! Does not: parse JSON. Outside of strings, JSON does not allow these characters.

pub(crate) fn escaped(text: Vec<u8>) -> Vec<u8> {
    // Most messages are ASCII; the standard library checks that a word at a time.
    if text.is_ascii() {
        return text;
    }
    let Some(first) = find(&text, 0) else {
        return text;
    };
    let mut safe = Vec::with_capacity(text.len() + 64);
    let (mut done, mut found) = (0, Some(first));
    while let Some(Separator { at, bytes, escape }) = found {
        safe.extend_from_slice(text.get(done..at).unwrap_or_default());
        safe.extend_from_slice(escape);
        done = at + bytes;
        found = find(&text, done);
    }
    safe.extend_from_slice(text.get(done..).unwrap_or_default());
    safe
}

struct Separator {
    at: usize,
    bytes: usize,
    escape: &'static [u8],
}

/// Finds the first separator at or after `from`.
fn find(text: &[u8], mut from: usize) -> Option<Separator> {
    loop {
        let rest = text.get(from..)?;
        let at = rest.iter().position(|byte| matches!(byte, 0xC2 | 0xE2))?;
        let (bytes, escape): (_, &[u8]) = match rest.get(at..)? {
            [0xC2, 0x85, ..] => (2, br"\u0085"),
            [0xE2, 0x80, 0xA8, ..] => (3, br"\u2028"),
            [0xE2, 0x80, 0xA9, ..] => (3, br"\u2029"),
            _ => {
                from += at + 1;
                continue;
            }
        };
        let at = from + at;
        return Some(Separator { at, bytes, escape });
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use serde_json::Value;

    use super::*;

    #[test]
    fn they_are_escaped_wherever_they_are_and_all_else_stays() {
        for text in [
            "",
            "plain",
            "é°€“”…",
            "\u{85}",
            "\u{2028}\u{2029}",
            "a\u{85}b",
            "é\u{2028}é\u{2029}",
            "\u{2027}\u{202a}\u{84}\u{86}",
        ] {
            let json = Value::from(text).to_string();
            let safe = escaped(json.clone().into_bytes());
            let shown = String::from_utf8(safe.clone()).unwrap();
            assert!(
                !shown.contains(['\u{85}', '\u{2028}', '\u{2029}']),
                "{shown:?}"
            );
            assert_eq!(serde_json::from_slice::<Value>(&safe).unwrap(), text);
            if !text.contains(['\u{85}', '\u{2028}', '\u{2029}']) {
                assert_eq!(shown, json);
            }
        }
        assert_eq!(
            escaped(vec![b'a', 0xE2]),
            [b'a', 0xE2],
            "cut off, and no text at all"
        );
    }
}
