//! Field paths: the place of a value in a JSON payload, as people and models write it.
//!
//! A path is written with dots and brackets (`a.b[0].c`, `a["b.c"]`, with or without a leading `$.`), or as a JSON
//! Pointer (`/a/b/0`, RFC 6901).

use std::fmt;

use serde_json::Value;

/// The most bytes of a path's text.
pub const MAX_BYTES: usize = 256;

/// The most levels of a path.
pub const MAX_LEVELS: usize = 32;

/// The place of a value in a JSON document.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Path {
    text: String,
    levels: Vec<String>,
}

impl Path {
    /// Parses a path; the error says what is wrong and what to write.
    pub fn parse(text: &str) -> Result<Self, String> {
        if text.is_empty() {
            return Err("the path is empty; leave it out for the whole payload".into());
        }
        if text.len() > MAX_BYTES {
            return Err(format!("the path is longer than {MAX_BYTES} bytes"));
        }
        let levels = match text.strip_prefix('/') {
            Some(rest) => pointer(rest)?,
            None => dotted(text)?,
        };
        if levels.len() > MAX_LEVELS {
            return Err(format!("the path has more than {MAX_LEVELS} levels"));
        }
        Ok(Self {
            text: text.into(),
            levels,
        })
    }

    /// Parses an optional argument: nothing, an empty text and `$` alone mean the whole payload.
    pub fn parse_optional(text: Option<&str>) -> Result<Option<Self>, String> {
        match text {
            None | Some("" | "$") => Ok(None),
            Some(text) => Self::parse(text).map(Some),
        }
    }

    /// The value at this place. If there is none, the member of the root whose name is the whole text of the path:
    /// `a.b` finds 1 in `{"a.b": 1}` too.
    pub fn select<'a>(&self, root: &'a Value) -> Option<&'a Value> {
        let mut levels = self.levels.iter();
        levels
            .try_fold(root, |value, level| child(value, level))
            .or_else(|| root.get(&self.text))
            .or_else(|| root.get(self.text.strip_prefix("$.")?))
    }

    /// Whether several values are at this place, so that another reader may take another one than
    /// [`select`](Self::select).
    pub(crate) fn is_ambiguous(&self, root: &Value) -> bool {
        let selected = self.select(root);
        let flat = [Some(self.text.as_str()), self.text.strip_prefix("$.")];
        let mut flat = flat.into_iter().flatten().filter_map(|name| root.get(name));
        flat.any(|value| !selected.is_some_and(|it| std::ptr::eq(it, value)))
    }
}

impl fmt::Display for Path {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

/// The member or element of `value` that a level names. A negative index counts from the end (RFC 9535 §2.3.3).
fn child<'a>(value: &'a Value, level: &str) -> Option<&'a Value> {
    match value {
        Value::Object(members) => members.get(level),
        Value::Array(elements) => {
            let index = match level.strip_prefix('-') {
                Some(from_end) => elements.len().checked_sub(index(from_end)?)?,
                None => index(level)?,
            };
            elements.get(index)
        }
        _ => None,
    }
}

/// The array index that `text` writes. `+1` is a name only.
fn index(text: &str) -> Option<usize> {
    let digits = text.bytes().all(|byte| byte.is_ascii_digit());
    digits.then(|| text.parse().ok()).flatten()
}

/// The levels of a JSON Pointer without its first `/`.
fn pointer(text: &str) -> Result<Vec<String>, String> {
    text.split('/').map(unescape_pointer).collect()
}

/// RFC 6901 §4: `~1` is `/`, `~0` is `~`.
fn unescape_pointer(level: &str) -> Result<String, String> {
    let mut name = String::with_capacity(level.len());
    let mut characters = level.chars();
    while let Some(character) = characters.next() {
        name.push(match character {
            '~' => match characters.next() {
                Some('0') => '~',
                Some('1') => '/',
                _ => return Err("in a JSON Pointer write `~0` for `~` and `~1` for `/`".into()),
            },
            other => other,
        });
    }
    Ok(name)
}

/// The levels of a path with dots and brackets.
fn dotted(text: &str) -> Result<Vec<String>, String> {
    let mut levels = Vec::new();
    let mut rest = text.strip_prefix('$').unwrap_or(text);
    if rest.len() < text.len() {
        rest = rest.strip_prefix('.').unwrap_or(rest);
    }
    if rest.is_empty() {
        return Err("the path names no field; leave it out for the whole payload".into());
    }
    loop {
        rest = match rest.strip_prefix('[') {
            Some(bracket) => in_brackets(bracket, &mut levels)?,
            None => plain_name(rest, &mut levels)?,
        };
        if rest.is_empty() {
            return Ok(levels);
        }
        if let Some(after) = rest.strip_prefix('.') {
            rest = after;
        } else if !rest.starts_with('[') {
            return Err(format!(
                "write `.` or `[` before {:?}",
                rest.chars().take(20).collect::<String>()
            ));
        }
    }
}

/// Takes a name up to the next dot or bracket; returns what follows.
fn plain_name<'a>(text: &'a str, levels: &mut Vec<String>) -> Result<&'a str, String> {
    let end = text.find(['.', '[', ']']).unwrap_or(text.len());
    let (name, rest) = text.split_at(end);
    if rest.starts_with(']') {
        return Err("a `]` stands without its `[`".into());
    }
    if name.is_empty() {
        return Err("a name is missing; write names with one dot between them, as `a.b`".into());
    }
    if name == "*" {
        return Err(NO_WILDCARD.into());
    }
    levels.push(name.into());
    Ok(rest)
}

/// Takes an index or a quoted name up to `]`; returns what follows.
fn in_brackets<'a>(text: &'a str, levels: &mut Vec<String>) -> Result<&'a str, String> {
    let (level, rest) = match text.chars().next() {
        Some(quote @ ('"' | '\'')) => quoted(text, quote)?,
        _ => {
            let (level, rest) = text.split_at(text.find(']').unwrap_or(text.len()));
            if level == "*" {
                return Err(NO_WILDCARD.into());
            }
            if index(level.strip_prefix('-').unwrap_or(level)).is_none() {
                return Err(
                    "write a number or a quoted name in brackets, as `[0]` or `[\"a.b\"]`".into(),
                );
            }
            (level.into(), rest)
        }
    };
    levels.push(level);
    rest.strip_prefix(']')
        .ok_or_else(|| "a `[` stands without its `]`".into())
}

/// A quoted name with `\` before a quote or a `\`, and what follows it.
fn quoted(text: &str, quote: char) -> Result<(String, &str), String> {
    let mut name = String::new();
    let mut characters = text.char_indices().skip(1);
    while let Some((at, character)) = characters.next() {
        match character {
            '\\' => name.extend(characters.next().map(|(_, escaped)| escaped)),
            _ if character == quote => return Ok((name, text.get(at + 1..).unwrap_or_default())),
            _ => name.push(character),
        }
    }
    Err(format!("a name in brackets lacks its closing {quote}"))
}

const NO_WILDCARD: &str =
    "a path names one value, and `*` is not a wildcard; for a name that is `*` write `[\"*\"]`";

#[cfg(test)]
#[allow(clippy::indexing_slicing)]
mod tests {
    use serde_json::json;

    use super::*;

    fn found(path: &str, value: &Value) -> Option<Value> {
        let path = Path::parse(path).unwrap_or_else(|error| panic!("{path}: {error}"));
        path.select(value).cloned()
    }

    #[test]
    fn paths_are_found_as_people_write_them() {
        let value = json!({
            "temperature": 21.5, "a": {"b": [{"c": 1}, {"c": 2}], "b.c": 3, "0": "zero", "": 4, "it's": 5},
            "x.y": 6, "Outside temp": 7, "a/b": 8, "m~n": 9, "$ref": 10, "grün": {"ß": 11}, "*": 12,
            "nested": {"x.y": 13}, "": 14, "p]q": 15, "/raw": 16,
        });
        let table = [
            ("temperature", json!(21.5)),
            ("$.temperature", json!(21.5)),
            ("$temperature", json!(21.5)),
            ("/temperature", json!(21.5)),
            ("a.b[0].c", json!(1)),
            ("a.b[1].c", json!(2)),
            ("a.b.1.c", json!(2)),
            ("a.b[-1].c", json!(2)),
            ("$.a.b[-2]['c']", json!(1)),
            ("/a/b/1/c", json!(2)),
            ("a[\"b.c\"]", json!(3)),
            ("a['b.c']", json!(3)),
            ("$['a'][\"b.c\"]", json!(3)),
            ("/a/b.c", json!(3)),
            ("a.0", json!("zero")),
            ("a[0]", json!("zero")),
            ("/a/", json!(4)),
            ("a[\"\"]", json!(4)),
            ("a['it\\'s']", json!(5)),
            ("a[\"it's\"]", json!(5)),
            ("x.y", json!(6)),
            ("$.x.y", json!(6)),
            ("[\"x.y\"]", json!(6)),
            ("Outside temp", json!(7)),
            ("a/b", json!(8)),
            ("/a~1b", json!(8)),
            ("/m~0n", json!(9)),
            ("m~n", json!(9)),
            ("$ref", json!(10)),
            ("grün.ß", json!(11)),
            ("/grün/ß", json!(11)),
            ("[\"*\"]", json!(12)),
            ("nested[\"x.y\"]", json!(13)),
            ("/", json!(14)),
            ("['p]q']", json!(15)),
            ("/raw", json!(16)),
        ];
        for (path, expected) in table {
            assert_eq!(found(path, &value), Some(expected), "{path}");
        }
        for path in [
            "b",
            "a.c",
            "a.b[2]",
            "a.b[-3]",
            "a.b[-0]",
            "a.b.c",
            "temperature.x",
            "a.b.99999999999999999999",
            "/a/b/-",
            "a.b.+1",
        ] {
            assert_eq!(found(path, &value), None, "{path}");
        }
        assert_eq!(found("[1][0]", &json!([1, [2]])), Some(json!(2)));
        assert_eq!(found("0", &json!([1])), Some(json!(1)));
        assert_eq!(found("a", &json!(null)), None);
    }

    #[test]
    fn the_split_name_comes_before_the_literal_one() {
        let value = json!({"a": {"b": 1}, "a.b": 2});
        assert_eq!(found("a.b", &value), Some(json!(1)));
        assert_eq!(found("[\"a.b\"]", &value), Some(json!(2)));
    }

    #[test]
    fn an_error_says_what_to_write() {
        let table = [
            ("", "leave it out"),
            ("$", "leave it out"),
            ("$.", "leave it out"),
            ("a..b", "name is missing"),
            (".a", "name is missing"),
            ("a.", "name is missing"),
            ("a[", "in brackets"),
            ("a[0", "without its `]`"),
            ("a[]", "in brackets"),
            ("a[x]", "in brackets"),
            ("a[+1]", "in brackets"),
            ("a[99999999999999999999]", "in brackets"),
            ("a[1]b", "before \"b\""),
            ("a]", "without its `[`"),
            ("a[\"b", "closing \""),
            ("a['b\\']", "closing '"),
            ("a['b'", "without its `]`"),
            ("a[*].b", "not a wildcard"),
            ("a.*", "not a wildcard"),
            ("/a~", "~0"),
            ("/a~2", "~0"),
        ];
        for (path, part) in table {
            let error = Path::parse(path).map(|_| ()).expect_err(path);
            assert!(error.contains(part), "{path}: {error}");
        }
    }

    #[test]
    fn the_limits_hold_exactly() {
        let deep = vec!["a"; MAX_LEVELS].join(".");
        assert!(Path::parse(&deep).is_ok());
        assert!(Path::parse(&format!("{deep}.a")).is_err());
        assert!(Path::parse(&"/a".repeat(MAX_LEVELS)).is_ok());
        assert!(Path::parse(&"/a".repeat(MAX_LEVELS + 1)).is_err());
        assert!(Path::parse(&"x".repeat(MAX_BYTES)).is_ok());
        assert!(Path::parse(&"x".repeat(MAX_BYTES + 1)).is_err());
    }

    #[test]
    fn a_path_prints_as_it_was_written() {
        for path in ["a.b[0]", "$.a", "/a/b", "a[\"b.c\"]"] {
            assert_eq!(
                Path::parse(path).map(|it| it.to_string()),
                Ok(path.to_string())
            );
        }
    }

    #[test]
    fn the_whole_payload_is_no_path() {
        for text in [None, Some(""), Some("$")] {
            assert_eq!(Path::parse_optional(text), Ok(None));
        }
        assert!(Path::parse_optional(Some("a")).is_ok_and(|path| path.is_some()));
        assert!(Path::parse_optional(Some("a..b")).is_err());
    }

    #[test]
    fn no_text_panics() {
        let mut random = fastrand::Rng::with_seed(1);
        let pieces = [
            "a", ".", "[", "]", "\"", "'", "\\", "$", "/", "~", "0", "-", "*", "ß", " ",
        ];
        let value = json!({"a": [{"0": 1}], "0": {"a": []}});
        for _ in 0..20_000 {
            let text: String = (0..random.usize(0..8))
                .map(|_| pieces[random.usize(0..pieces.len())])
                .collect();
            if let Ok(path) = Path::parse(&text) {
                path.select(&value);
            }
        }
    }
}
