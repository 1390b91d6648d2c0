//! The members of a JSON object, each value as it is written: a number keeps its digits.

use std::borrow::Cow;

use serde::de::IgnoredAny;

/// A member of an object: its name, and its value as it is written.
pub(super) type Member<'a> = (Cow<'a, str>, &'a str);

/// The members of the object in `text`, in its order.
///
/// # Errors
/// The text is no JSON (RFC 8259), or no object: why, in words.
pub(super) fn of_text(text: &str) -> Result<Members<'_>, String> {
    serde_json::from_str::<IgnoredAny>(text).map_err(|error| format!("not JSON ({error})"))?;
    of_value(text.trim_matches(WHITE_SPACE)).ok_or_else(|| "not a JSON object".to_owned())
}

/// The members of a value that is known to be JSON; none if it is no object.
pub(super) fn of_value(value: &str) -> Option<Members<'_>> {
    let inside = value.strip_prefix('{')?.strip_suffix('}')?;
    Some(Members { rest: inside })
}

/// The text of a string that is known to be JSON; none for any other value, and for a string that stands for no text (a
/// lone surrogate).
pub(super) fn string(value: &str) -> Option<Cow<'_, str>> {
    let inside = value.strip_prefix('"')?.strip_suffix('"')?;
    match inside.contains('\\') {
        false => Some(Cow::Borrowed(inside)),
        true => serde_json::from_str(value).ok().map(Cow::Owned),
    }
}

/// What is left of an object that is known to be JSON.
pub(super) struct Members<'a> {
    rest: &'a str,
}

impl<'a> Iterator for Members<'a> {
    /// A name that stands for no text is an error.
    type Item = Result<Member<'a>, String>;

    fn next(&mut self) -> Option<Self::Item> {
        let between = |c: char| WHITE_SPACE.contains(&c) || c == ',' || c == ':';
        let rest = self.rest.trim_start_matches(between);
        if rest.is_empty() {
            return None;
        }
        let (name, rest) = rest.split_at_checked(end_of_value(rest))?;
        let rest = rest.trim_start_matches(between);
        let (value, rest) = rest.split_at_checked(end_of_value(rest))?;
        self.rest = rest;
        Some(match string(name) {
            Some(name) => Ok((name, value)),
            None => Err(name.to_owned()),
        })
    }
}

/// The length of the value at the beginning of `text`, which is known to be JSON.
fn end_of_value(text: &str) -> usize {
    let (mut depth, mut in_string, mut escaped) = (0_usize, false, false);
    for (at, byte) in text.bytes().enumerate() {
        if in_string {
            match byte {
                _ if escaped => escaped = false,
                b'\\' => escaped = true,
                b'"' => {
                    in_string = false;
                    if depth == 0 {
                        return at + 1;
                    }
                }
                _ => {}
            }
            continue;
        }
        match byte {
            b'"' => in_string = true,
            b'{' | b'[' => depth += 1,
            b'}' | b']' if depth > 0 => {
                depth -= 1;
                if depth == 0 {
                    return at + 1;
                }
            }
            b',' | b':' | b'}' | b']' | b' ' | b'\t' | b'\n' | b'\r' if depth == 0 => return at,
            _ => {}
        }
    }
    text.len()
}

/// RFC 8259 §2.
const WHITE_SPACE: [char; 4] = [' ', '\t', '\n', '\r'];

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    fn split(text: &str) -> Result<Vec<Member<'_>>, String> {
        of_text(text)?.collect()
    }

    #[test]
    fn members_come_as_they_are_written() {
        let text = r#" { "a" : 1.50 ,"b":"x,}\"{" , "c":{"d":[1,{"e":"]"}]}, "f":[ ],"" :null,"g\u0041":-0
} "#;
        let members = split(text).unwrap();
        let expected = [
            ("a", "1.50"),
            ("b", r#""x,}\"{""#),
            ("c", r#"{"d":[1,{"e":"]"}]}"#),
            ("f", "[ ]"),
            ("", "null"),
            ("gA", "-0"),
        ];
        let members: Vec<_> = members
            .iter()
            .map(|(name, value)| (&**name, *value))
            .collect();
        assert_eq!(members, expected);
        assert_eq!(split("{}").unwrap(), []);
        assert_eq!(split(" { } ").unwrap(), []);
    }

    #[test]
    fn what_is_no_object_says_why() {
        assert_eq!(split("[1]").unwrap_err(), "not a JSON object");
        assert_eq!(split("\"{}\"").unwrap_err(), "not a JSON object");
        for text in [
            "",
            "{",
            "{a:1}",
            "{'a':1}",
            "{\"a\":1,}",
            "{\"a\":1}}",
            "\u{feff}{}",
            "{\"a\":NaN}",
            "{\"a\":01}",
            "{\"a\":\"\u{1}\"}",
            "{\"a\u{1}\":1}",
        ] {
            let why = split(text).unwrap_err();
            assert!(why.starts_with("not JSON ("), "{text}: {why}");
        }
        assert!(split(r#"{"\ud800":1}"#).is_err());
        // As deep as a payload can be.
        let deep = format!("{{\"a\":{}{}}}", "[".repeat(100_000), "]".repeat(100_000));
        assert_eq!(split(&deep).unwrap().len(), 1);
    }
}
