//! Explains why a text is not JSON: the place and the reason.
//!
//! Promises: no text of the parser library is shown; the faulty line is shown with a caret under the fault; no secret
//! is shown.

use crate::json_scan::{self, Expect, Kind, MAX_DEPTH, Open, Stop, TextFault};
use crate::json_token::{in_quotes, shown};
use crate::{json_token, secret_spans, source_line};

/// Describes the fault in `text`, which `serde_json` refused at `line` and `column`.
pub(crate) fn explain(text: &str, line: usize, column: usize) -> String {
    if text.is_empty() {
        return "the file is empty; write at least `{}`".to_owned();
    }
    if text.bytes().all(|byte| b" \t\r\n".contains(&byte)) {
        return "the file holds nothing but white space; write at least `{}`".to_owned();
    };
    let (at, reason) = match json_token::other_format(text) {
        Some(found) => found,
        None => match json_scan::find(text) {
            Some(stop) => Words { text, stop: &stop }.fault(),
            None => return format!("the file is not JSON: line {line}, column {column}"),
        },
    };
    let place = source_line::show(text.as_bytes(), at);
    format!(
        "the file is not JSON: line {}, column {}: {reason}{}",
        place.line, place.column, place.excerpt
    )
}

/// Builds the message of a fault.
struct Words<'a> {
    text: &'a str,
    stop: &'a Stop,
}

impl Words<'_> {
    /// The offset of the caret, and the reason.
    fn fault(&self) -> (usize, String) {
        let at = self.stop.at;
        match &self.stop.kind {
            Kind::Ended => (at, self.ended()),
            Kind::Unexpected => self.unexpected(),
            Kind::TooDeep => (
                at,
                format!(
                    "brackets are nested too deep; at most {} levels are allowed",
                    MAX_DEPTH - 1
                ),
            ),
            Kind::Number(_) | Kind::Word(_) if self.is_secret() => (
                at,
                "text needs double quotes, also a password of digits".to_owned(),
            ),
            Kind::Number(range) => (at, json_token::number(self.slice(range.start, range.end))),
            Kind::Word(range) => (at, json_token::word(self.slice(range.start, range.end))),
            Kind::Text { begin, fault } => (at, self.string(*begin, *fault)),
        }
    }

    fn ended(&self) -> String {
        let missing = match self.stop.expected {
            Expect::Colon => "the file ends after a key; `:` and a value are missing".to_owned(),
            Expect::Value if self.is_before(":") => {
                "the file ends where a value belongs".to_owned()
            }
            _ => "the file ends too early".to_owned(),
        };
        format!("{missing}; {}", self.missing_brackets())
    }

    /// The closing brackets of the open objects and arrays.
    fn missing_brackets(&self) -> String {
        let Some(inner) = self.stop.open.last() else {
            return "a value is missing".to_owned();
        };
        let closers: String = self
            .stop
            .open
            .iter()
            .rev()
            .take(MAX_NAMED)
            .map(|open| open.closer())
            .collect();
        let more = if self.stop.open.len() > MAX_NAMED {
            "…"
        } else {
            ""
        };
        format!(
            "`{closers}{more}` is missing: {} is not closed",
            self.opened(*inner)
        )
    }

    /// Names an open bracket with its place.
    fn opened(&self, open: Open) -> String {
        let (line, column) = source_line::position(self.text.as_bytes(), open.at);
        format!("the `{}` of line {line}, column {column}", open.opener())
    }

    fn unexpected(&self) -> (usize, String) {
        let at = self.stop.at;
        let rest = self.slice(at, self.text.len());
        let found = rest.chars().next().unwrap_or_default();
        if let Some(reason) = json_token::never_json(rest, self.stop.expected) {
            return (at, reason);
        }
        match self.stop.expected {
            Expect::FirstKey | Expect::Key => self.no_key(rest, found),
            Expect::Colon => (at, self.no_colon(rest, found)),
            Expect::FirstItem | Expect::Value => self.no_value(rest, found),
            Expect::Next => self.no_separator(rest, found),
        }
    }

    fn no_key(&self, rest: &str, found: char) -> (usize, String) {
        let at = self.stop.at;
        let reason = match found {
            '}' => return (self.stop.before.start, trailing_comma("}")),
            ',' => "a comma too many; remove it".to_owned(),
            ']' => self.wrong_closer(),
            '{' | '[' => "a key in double quotes and `:` are missing before this".to_owned(),
            ':' => "a key in double quotes is missing before `:`".to_owned(),
            _ => match json_scan::run_length(rest) {
                0 => format!(
                    "found {}; a key in double quotes belongs here",
                    shown(found)
                ),
                length => {
                    let key = rest.get(..length).unwrap_or_default();
                    format!("keys need double quotes; write {}", in_quotes(key))
                }
            },
        };
        (at, reason)
    }

    fn no_colon(&self, rest: &str, found: char) -> String {
        match found {
            '=' => "`:` separates a key and its value, not `=`".to_owned(),
            ',' | '}' => "the key before this has no value; `:` and a value are missing".to_owned(),
            ']' => self.wrong_closer(),
            '"' | '{' | '[' => "`:` is missing between the key and its value".to_owned(),
            _ if json_scan::run_length(rest) > 0 => {
                if self.stop.before.end == self.stop.at {
                    QUOTE_INSIDE.to_owned()
                } else {
                    "`:` is missing between the key and its value".to_owned()
                }
            }
            _ => format!(
                "found {}; `:` belongs between a key and its value",
                shown(found)
            ),
        }
    }

    fn no_value(&self, rest: &str, found: char) -> (usize, String) {
        let at = self.stop.at;
        let reason = match found {
            ']' if self.is_before(",") && !self.in_object() => {
                return (self.stop.before.start, trailing_comma("]"));
            }
            ',' | '}' | ']' if self.is_before(":") => {
                "the key before this has no value; write one, or `null` for none".to_owned()
            }
            '}' | ']' if self.stop.open.is_empty() => {
                format!("`{found}` closes nothing; remove it")
            }
            '}' | ']' => self.wrong_closer(),
            ',' => "a comma too many; remove it".to_owned(),
            ':' => "`:` belongs between a key and its value only".to_owned(),
            '.' | '+' if json_token::begins_number(rest) && !self.is_secret() => {
                let length = json_scan::run_length(rest);
                json_token::number(rest.get(..length).unwrap_or_default())
            }
            '<' => "found `<`; a value belongs here, and text stands in double quotes".to_owned(),
            _ => format!(
                "found {}, with which no value begins; text stands in double quotes",
                shown(found)
            ),
        };
        (at, reason)
    }

    fn no_separator(&self, rest: &str, found: char) -> (usize, String) {
        let at = self.stop.at;
        let reason = match self.stop.open.last() {
            None => self.after_the_end(found),
            Some(_) if found == '}' || found == ']' => self.wrong_closer(),
            Some(open) if found == ':' && !open.is_object => {
                format!(
                    "a key with a value stands in `{{ }}`, and {} began a list",
                    self.opened(*open)
                )
            }
            Some(_) if self.is_quote_inside(rest) => QUOTE_INSIDE.to_owned(),
            Some(_) if matches!(found, '"' | '{' | '[') || json_scan::run_length(rest) > 0 => {
                "a comma is missing before this".to_owned()
            }
            Some(open) => format!(
                "found {}; after a value comes a comma or `{}`",
                shown(found),
                open.closer()
            ),
        };
        (at, reason)
    }

    /// The reason for text after the outermost value.
    fn after_the_end(&self, found: char) -> String {
        let before = self.slice(self.stop.before.start, self.stop.before.end);
        match found {
            '}' | ']' => format!(
                "one `{found}` too many; remove it, or the bracket that closed too early before it"
            ),
            ',' => {
                "a comma after the end; remove it, or the bracket that closed too early before it"
                    .to_owned()
            }
            ':' if before.starts_with('"') => {
                "the outer `{` and `}` around all keys are missing".to_owned()
            }
            '{' | '[' => {
                "a second document begins here; a configuration is one object `{ … }`".to_owned()
            }
            '"' => "the object was closed before this; remove the bracket that closed too early"
                .to_owned(),
            _ => format!(
                "found {} after the end; remove what follows the last bracket",
                shown(found)
            ),
        }
    }

    fn wrong_closer(&self) -> String {
        match self.stop.open.last() {
            Some(open) => format!(
                "`{}` is missing before this: {} is not closed",
                open.closer(),
                self.opened(*open)
            ),
            None => "no bracket is open here; remove it".to_owned(),
        }
    }

    fn string(&self, begin: usize, fault: TextFault) -> String {
        let rest = self.slice(self.stop.at, self.text.len());
        let mut chars = rest.chars();
        let found = chars.next().unwrap_or_default();
        let (line, column) = source_line::position(self.text.as_bytes(), begin);
        match fault {
            TextFault::Unclosed => "this string is never closed; its last `\"` is missing".to_owned(),
            TextFault::Control if matches!(found, '\n' | '\r') => format!(
                "the string of line {line}, column {column} is not closed on its line; `\"` is missing, or `\\n` for a line break in it"
            ),
            TextFault::Control => match found {
                '\t' => "a tab in a string is written `\\t`".to_owned(),
                '\0' => "a NUL character in a string; the file may be damaged".to_owned(),
                _ => format!("the control character U+{:04X} in a string is written `\\u{:04x}`", u32::from(found), u32::from(found)),
            },
            TextFault::Escape => match chars.next() {
                Some(escaped @ ('\'' | '`')) => format!("`{escaped}` in a string needs no backslash; remove it"),
                _ => "a backslash in a string is written `\\\\`".to_owned(),
            },
            TextFault::Hex => "`\\u` is followed by four hexadecimal digits, as in `\\u00e4`; a backslash alone is written `\\\\`".to_owned(),
            TextFault::Surrogate if self.is_secret() => {
                "half of a character (a surrogate) stands here without the other half".to_owned()
            }
            TextFault::Surrogate => {
                let escape = self.slice(self.stop.at, self.stop.at + 6);
                format!("`{escape}` is half of a character (a surrogate); both halves together make one, as in `\\ud83d\\ude00`")
            }
        }
    }

    /// Whether a string seems to end at a quotation mark that was meant as part of the text.
    fn is_quote_inside(&self, rest: &str) -> bool {
        let before = self.slice(self.stop.before.start, self.stop.before.end);
        before.starts_with('"')
            && self.stop.before.end == self.stop.at
            && json_scan::run_length(rest) > 0
    }

    /// Whether the fault lies in text that may be secret.
    fn is_secret(&self) -> bool {
        let spans = secret_spans::find(self.text.as_bytes());
        spans.iter().any(|span| span.contains(&self.stop.at))
    }

    fn is_before(&self, token: &str) -> bool {
        self.slice(self.stop.before.start, self.stop.before.end) == token
    }

    fn in_object(&self) -> bool {
        self.stop.open.last().is_some_and(|open| open.is_object)
    }

    fn slice(&self, begin: usize, end: usize) -> &str {
        self.text.get(begin..end).unwrap_or_default()
    }
}

fn trailing_comma(closer: &str) -> String {
    format!("trailing comma; remove it, since `{closer}` follows")
}

const QUOTE_INSIDE: &str =
    "a `\"` inside a string is written `\\\"`; or a comma is missing before this";
/// The limit on brackets that a message names.
const MAX_NAMED: usize = 10;
