//! Edits a JSON text without changing the rest: layout, order, spelling.
//!
//! Promises: a new value stands in the place of the old one, or after the last member of its object, in the layout of
//! the neighbouring members; no other byte changes.
//! Does not: validate the text, which has to be JSON with an object outermost. Of repeated keys the last one counts, as
//! for the reader.

use std::ops::Range;

use serde::Serialize as _;
use serde_json::Value;
use serde_json::ser::{PrettyFormatter, Serializer};

/// Sets the value at `path`, whose parts except the last must be objects already; `None` otherwise.
pub(crate) fn set(text: &str, path: &[&str], value: &Value) -> Option<String> {
    let (object, key) = Object::around(text, path)?;
    let (place, new) = match object.last(key) {
        Some(member) => (
            member.value.clone(),
            object.layout.value(value, member.is_compact(text)),
        ),
        None => object.insertion(key, value),
    };
    Some(replaced(text, place, &new))
}

/// Removes the members at `path`; `None` when there is no such member.
pub(crate) fn remove(text: &str, path: &[&str]) -> Option<String> {
    let (object, key) = Object::around(text, path)?;
    let index = object.members.iter().rposition(|it| it.key == key)?;
    let member = object.members.get(index)?;
    // With the comma before the member; the first member with the comma after it.
    let before = index.checked_sub(1).and_then(|it| object.members.get(it));
    let place = match (before, object.members.get(index + 1)) {
        (Some(before), _) => before.value.end..member.value.end,
        (None, Some(after)) => member.begin..after.begin,
        // Nothing is left, so no blanks are.
        (None, None) => object.begin..skip_blank(text, member.value.end),
    };
    let text = replaced(text, place, "");
    Some(remove(&text, path).unwrap_or(text))
}

fn replaced(text: &str, place: Range<usize>, new: &str) -> String {
    let mut text = text.to_owned();
    text.replace_range(place, new);
    text
}

/// An object in the text.
#[derive(Debug)]
struct Object {
    members: Vec<Member>,
    /// The offset after the opening bracket.
    begin: usize,
    layout: Layout,
}

#[derive(Debug)]
struct Member {
    key: String,
    /// The offset of the member's key.
    begin: usize,
    value: Range<usize>,
}

/// The layout of an object's members.
#[derive(Clone, Debug)]
struct Layout {
    /// The text before each member, if each has a line of its own.
    line: Option<String>,
    /// The text before the closing bracket in that case.
    last_line: String,
    /// The additional indentation of one level.
    indent: String,
}

impl Object {
    /// The object that contains the last part of `path`.
    fn around<'a>(text: &str, path: &[&'a str]) -> Option<(Object, &'a str)> {
        let (key, outer) = path.split_last()?;
        let newline = if text.contains("\r\n") { "\r\n" } else { "\n" };
        let outermost = Layout {
            line: Some(format!("{newline}  ")),
            last_line: newline.to_owned(),
            indent: "  ".to_owned(),
        };
        let mut object = Object::read(text, text.find('{')?, &outermost)?;
        for part in outer {
            let inside = object.layout.deeper();
            let place = object.last(part)?.value.start;
            object = Object::read(text, place, &inside)?;
        }
        Some((object, key))
    }

    /// The object that begins at `open`; an empty object gets the layout `usual`.
    fn read(text: &str, open: usize, usual: &Layout) -> Option<Object> {
        text.get(open..)?.strip_prefix('{')?;
        let mut members = Vec::new();
        let mut at = skip_blank(text, open + 1);
        while text.as_bytes().get(at)? == &b'"' {
            let key = at..end_of_value(text, at);
            let colon = skip_blank(text, key.end);
            let begin = skip_blank(text, colon + 1);
            let value = begin..end_of_value(text, begin);
            at = skip_blank(text, value.end);
            if text.as_bytes().get(at) == Some(&b',') {
                at = skip_blank(text, at + 1);
            }
            members.push(Member {
                key: serde_json::from_str(text.get(key.clone())?).ok()?,
                begin: key.start,
                value,
            });
        }
        let layout = match members.first() {
            None => usual.clone(),
            Some(first) => Layout::of(text, open + 1..first.begin, usual)?,
        };
        Some(Object {
            members,
            begin: open + 1,
            layout,
        })
    }

    fn last(&self, key: &str) -> Option<&Member> {
        self.members.iter().rev().find(|member| member.key == key)
    }

    /// The place and the text of a new member.
    fn insertion(&self, key: &str, value: &Value) -> (Range<usize>, String) {
        let member = format!("{}: {}", Value::from(key), self.layout.value(value, false));
        let line = self.layout.line.as_deref();
        match self.members.last() {
            Some(last) => {
                let at = last.value.end;
                (at..at, format!(",{}{member}", line.unwrap_or(" ")))
            }
            None => {
                let (line, last_line) = match line {
                    Some(line) => (line, self.layout.last_line.as_str()),
                    None => ("", ""),
                };
                let at = self.begin;
                (at..at, format!("{line}{member}{last_line}"))
            }
        }
    }
}

impl Member {
    /// Whether the member's value is an object or array on one line.
    fn is_compact(&self, text: &str) -> bool {
        let value = text.get(self.value.clone()).unwrap_or_default();
        value.len() > 2 && value.starts_with(['{', '[']) && !value.contains('\n')
    }
}

impl Layout {
    /// The layout of members whose first has `blank` before it.
    fn of(text: &str, blank: Range<usize>, usual: &Layout) -> Option<Layout> {
        let blank = text.get(blank)?;
        let Some(newline) = blank.rfind('\n') else {
            let line = None;
            return Some(Layout {
                line,
                ..usual.clone()
            });
        };
        let spaces = blank.get(newline + 1..)?;
        let newline = if blank.contains("\r\n") { "\r\n" } else { "\n" };
        let outer = usual.last_line.trim_start_matches(['\r', '\n']);
        let deeper = spaces.strip_prefix(outer).filter(|rest| !rest.is_empty());
        Some(Layout {
            line: Some(format!("{newline}{spaces}")),
            last_line: usual.last_line.clone(),
            indent: deeper.unwrap_or(&usual.indent).to_owned(),
        })
    }

    /// The layout of an object that is a value among these members.
    fn deeper(&self) -> Layout {
        Layout {
            line: self.line.as_ref().map(|line| line.clone() + &self.indent),
            last_line: self.line.clone().unwrap_or_default(),
            indent: self.indent.clone(),
        }
    }

    /// The text of a value in this layout.
    fn value(&self, value: &Value, compact: bool) -> String {
        let line = self.line.as_deref().filter(|_| !compact);
        let Some(line) = line else {
            return value.to_string();
        };
        let mut bytes = Vec::new();
        let pretty = PrettyFormatter::with_indent(self.indent.as_bytes());
        let written = value.serialize(&mut Serializer::with_formatter(&mut bytes, pretty));
        match (written, String::from_utf8(bytes)) {
            // A JSON string contains no line end.
            (Ok(()), Ok(text)) => text.replace('\n', line),
            _ => value.to_string(),
        }
    }
}

fn skip_blank(text: &str, from: usize) -> usize {
    let rest = text.as_bytes().get(from..).unwrap_or_default();
    let is_blank = |byte: &&u8| matches!(byte, b' ' | b'\t' | b'\r' | b'\n');
    from + rest.iter().take_while(is_blank).count()
}

/// The end offset of the value that begins at `begin`.
fn end_of_value(text: &str, begin: usize) -> usize {
    let (mut depth, mut in_string, mut escaped) = (0_usize, false, false);
    for (at, byte) in text.bytes().enumerate().skip(begin) {
        match byte {
            _ if escaped => escaped = false,
            b'\\' if in_string => escaped = true,
            b'"' => {
                in_string = !in_string;
                if !in_string && depth == 0 {
                    return at + 1;
                }
            }
            _ if in_string => {}
            b'{' | b'[' => depth += 1,
            b'}' | b']' if depth == 0 => return at,
            b'}' | b']' => {
                depth -= 1;
                if depth == 0 {
                    return at + 1;
                }
            }
            b',' | b' ' | b'\t' | b'\r' | b'\n' if depth == 0 => return at,
            _ => {}
        }
    }
    text.len()
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use serde_json::json;

    use super::*;

    #[test]
    fn a_value_is_set_in_the_layout_that_is_there() {
        for (before, path, value, after) in [
            (
                r#"{"a": 1, "b":2}"#,
                &["a"][..],
                json!("x"),
                r#"{"a": "x", "b":2}"#,
            ),
            (r#"{"a": 1}"#, &["b"], json!([1]), r#"{"a": 1, "b": [1]}"#),
            ("{}", &["b"], json!(1), "{\n  \"b\": 1\n}"),
            (
                "{\n    \"s\": {}\n}\n",
                &["s", "b"],
                json!({"x": 1}),
                "{\n    \"s\": {\n        \"b\": {\n            \"x\": 1\n        }\n    }\n}\n",
            ),
            (
                "{\r\n\t\"s\": {\r\n\t\t\"a\": \"}\\\"{\"\r\n\t}\r\n}",
                &["s", "b"],
                json!({"x": 1}),
                "{\r\n\t\"s\": {\r\n\t\t\"a\": \"}\\\"{\",\r\n\t\t\"b\": {\r\n\t\t\t\"x\": 1\r\n\t\t}\r\n\t}\r\n}",
            ),
            (
                r#"{"a": {"b": 1}, "a": {"b" : [2, "]"] }}"#,
                &["a", "b"],
                json!(null),
                r#"{"a": {"b": 1}, "a": {"b" : null }}"#,
            ),
            (
                "{\n  \"a\": {\"x\": 1}\n}",
                &["a"],
                json!({"y": 2}),
                "{\n  \"a\": {\"y\":2}\n}",
            ),
        ] {
            assert_eq!(set(before, path, &value).as_deref(), Some(after));
        }
        assert_eq!(set(r#"{"a": 1}"#, &["a", "b"], &json!(1)), None);
        assert_eq!(set(r#"{"a": 1}"#, &["c", "b"], &json!(1)), None);
    }

    #[test]
    fn members_are_removed_with_their_comma() {
        for (before, after) in [
            (r#"{"k": 1}"#, "{}"),
            ("{\n  \"k\": {\n    \"b\": 1\n  }\n}\n", "{}\n"),
            (r#"{"k": [1, {"k": 2}], "b": 2}"#, r#"{"b": 2}"#),
            (r#"{"b": 2, "k": "a,b"}"#, r#"{"b": 2}"#),
            (
                "{\n  \"a\": 1,\n  \"k\": 2,\n  \"b\": 3\n}",
                "{\n  \"a\": 1,\n  \"b\": 3\n}",
            ),
            (r#"{"\u006b": 1, "b": 2, "k": 3}"#, r#"{"b": 2}"#),
        ] {
            assert_eq!(remove(before, &["k"]).as_deref(), Some(after));
        }
        assert_eq!(remove(r#"{"b": {"k": 1}}"#, &["k"]), None);
    }
}
