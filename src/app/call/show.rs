//! A tool's result, printed for the user of `--call`.
//!
//! Promises: a payload goes out as its bytes, so that it can be piped; a terminal gets no control characters of it;
//! what came to nothing is a failure.

mod rows;

use std::borrow::Cow;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Map, Value};

/// What is printed where, and how it ended.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Shown {
    /// Bytes for standard output.
    pub(super) output: Vec<u8>,
    /// Notes for standard error.
    pub(super) notes: Vec<String>,
    /// Why the call is no success.
    pub(super) failure: Option<String>,
}

/// The result as agents get it, on one line.
pub(super) fn json(result: &Value) -> Shown {
    let mut shown = text(result, false);
    shown.notes.clear();
    if let Some(structured) = structured(result) {
        shown.output = format!("{}\n", Value::Object(structured.clone())).into_bytes();
    }
    shown
}

/// The result for people and pipes.
pub(super) fn text(result: &Value, is_terminal: bool) -> Shown {
    if result.get("isError").and_then(Value::as_bool) == Some(true) {
        return Shown {
            failure: Some(blocks(result)),
            ..Shown::default()
        };
    }
    let Some(members) = structured(result) else {
        let text = blocks(result);
        return Shown {
            output: format!("{}\n", tame(&text, is_terminal)).into_bytes(),
            ..Shown::default()
        };
    };
    if let Some(messages) = members.get("messages").and_then(Value::as_array) {
        return collected(members, messages);
    }
    if members.contains_key("payload") {
        return message(members, is_terminal);
    }
    if let Some(shown) = rows::rows(members) {
        return shown;
    }
    let outcome = members.get("outcome").and_then(Value::as_str);
    if let (Some(outcome), Some(topic)) = (outcome, members.get("topic").and_then(Value::as_str)) {
        let number = |name: &str| {
            members
                .get(name)
                .and_then(Value::as_u64)
                .unwrap_or_default()
        };
        let (bytes, qos) = (number("bytes"), number("qos"));
        let plural = if bytes == 1 { "" } else { "s" };
        let line = format!("{outcome}: {topic} ({bytes} byte{plural}, QoS {qos})\n");
        let (more, failure) = rows::publish(members);
        return Shown {
            output: (line + &more).into_bytes(),
            notes: Vec::new(),
            failure,
        };
    }
    let lines = members.iter().map(|(name, value)| match value {
        Value::String(text) => format!("{name}: {}\n", tame_line(text)),
        value => format!("{name}: {value}\n"),
    });
    Shown {
        output: lines.collect::<String>().into_bytes(),
        notes: Vec::new(),
        failure: rows::condition(members),
    }
}

/// One message: its payload alone. Text ends with a line end, other bytes as they end.
fn message(members: &Map<String, Value>, is_terminal: bool) -> Shown {
    let payload = string(members, "payload");
    let output = match bytes(members) {
        Some(bytes) if !is_terminal => bytes,
        Some(_) => format!("base64:{payload}\n").into_bytes(),
        None => format!("{}\n", tame(payload, is_terminal)).into_bytes(),
    };
    let mut notes = Vec::new();
    if flag(members, "truncated") {
        let whole = members.get("payload_bytes").and_then(Value::as_u64);
        notes.push(match whole {
            Some(whole) => format!("the payload was cut; it has {whole} bytes"),
            None => "the payload was cut".into(),
        });
    }
    Shown {
        output,
        notes,
        failure: None,
    }
}

/// Several messages: topic and payload, a line each.
fn collected(members: &Map<String, Value>, messages: &[Value]) -> Shown {
    let lines = messages.iter().filter_map(Value::as_object).map(|message| {
        let mark = if bytes(message).is_some() {
            "base64:"
        } else {
            ""
        };
        let payload = tame_line(string(message, "payload"));
        format!("{} {mark}{payload}\n", tame_line(string(message, "topic")))
    });
    let mut shown = Shown {
        output: lines.collect::<String>().into_bytes(),
        ..Shown::default()
    };
    let lost = members
        .get("lost")
        .and_then(Value::as_u64)
        .unwrap_or_default();
    if lost > 0 {
        shown
            .notes
            .push(format!("{lost} more messages found no room"));
    }
    if flag(members, "truncated") {
        shown.notes.push("a payload or the list was cut".into());
    }
    if flag(members, "interrupted") {
        let text = "the connection to the broker was lost meanwhile; messages may be missing";
        shown.notes.push(text.into());
    }
    let reason = members.get("reason").and_then(Value::as_str);
    if let Some(reason) = reason {
        shown.failure = Some(format!("the subscription ended: {reason}"));
    } else if messages.is_empty() {
        shown.failure = Some("no message came in time".into());
    }
    shown
}

fn structured(result: &Value) -> Option<&Map<String, Value>> {
    result.get("structuredContent")?.as_object()
}

/// The texts of the content blocks.
fn blocks(result: &Value) -> String {
    let blocks = result.get("content").and_then(Value::as_array);
    let texts = blocks.into_iter().flatten();
    let texts: Vec<&str> = texts
        .filter_map(|block| block.get("text")?.as_str())
        .collect();
    texts.join("\n")
}

fn bytes(message: &Map<String, Value>) -> Option<Vec<u8>> {
    let is_base64 = string(message, "encoding") == "base64";
    is_base64.then(|| STANDARD.decode(string(message, "payload")).ok())?
}

fn string<'a>(members: &'a Map<String, Value>, name: &str) -> &'a str {
    members
        .get(name)
        .and_then(Value::as_str)
        .unwrap_or_default()
}

fn flag(members: &Map<String, Value>, name: &str) -> bool {
    members
        .get(name)
        .and_then(Value::as_bool)
        .unwrap_or_default()
}

/// Escapes text from the broker, because a terminal would obey its control characters.
fn tame(text: &str, is_terminal: bool) -> Cow<'_, str> {
    if !is_terminal {
        return Cow::Borrowed(text);
    }
    escaped(text, |letter| {
        letter.is_control() && !['\n', '\t'].contains(&letter)
    })
}

/// Escapes text as above, where one message is one line.
fn tame_line(text: &str) -> Cow<'_, str> {
    escaped(text, char::is_control)
}

fn escaped(text: &str, is_wild: impl Fn(char) -> bool) -> Cow<'_, str> {
    if !text.contains(&is_wild) {
        return Cow::Borrowed(text);
    }
    let mut tamed = String::with_capacity(text.len());
    for letter in text.chars() {
        match is_wild(letter) {
            true => tamed.extend(letter.escape_debug()),
            false => tamed.push(letter),
        }
    }
    Cow::Owned(tamed)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn shown(structured: &Value, is_terminal: bool) -> (Vec<u8>, Vec<String>, Option<String>) {
        let shown = text(&json!({"structuredContent": structured}), is_terminal);
        (shown.output, shown.notes, shown.failure)
    }

    #[test]
    fn a_payload_is_its_bytes_and_no_terminal_obeys_them() {
        let text = json!({"topic": "t", "payload": "a\u{1b}[2J\nb", "encoding": "utf8"});
        assert_eq!(shown(&text, false).0, b"a\x1b[2J\nb\n");
        assert_eq!(shown(&text, true).0, b"a\\u{1b}[2J\nb\n");
        let bytes = json!({"topic": "t", "payload": "//4A", "encoding": "base64",
            "truncated": true, "payload_bytes": 9});
        let (output, notes, failure) = shown(&bytes, false);
        assert_eq!(output, [0xFF, 0xFE, 0]);
        assert_eq!(
            (notes, failure),
            (vec!["the payload was cut; it has 9 bytes".into()], None)
        );
        assert_eq!(shown(&bytes, true).0, b"base64://4A\n");
    }

    #[test]
    fn messages_are_lines_and_none_is_a_failure() {
        let message = |payload: &str, encoding: &str| json!({"topic": "t/a", "payload": payload, "encoding": encoding});
        let all = json!({"messages": [message("1\n2", "utf8"), message("//4A", "base64")], "lost": 2,
            "truncated": false, "interrupted": true});
        let (output, notes, failure) = shown(&all, false);
        assert_eq!(output, b"t/a 1\\n2\nt/a base64://4A\n");
        assert_eq!((notes.len(), failure), (2, None));
        let none = shown(&json!({"messages": [], "lost": 0}), false);
        assert_eq!(none.2.as_deref(), Some("no message came in time"));
        let lost = shown(
            &json!({"messages": [message("1", "utf8")], "reason": "cut"}),
            false,
        );
        assert_eq!(lost.2.as_deref(), Some("the subscription ended: cut"));
    }

    #[test]
    fn what_is_not_known_here_is_shown_all_the_same() {
        let published =
            json!({"topic": "t", "qos": 1, "bytes": 2, "retain": false, "outcome": "delivered"});
        assert_eq!(
            shown(&published, false).0,
            b"delivered: t (2 bytes, QoS 1)\n"
        );
        // One member each: whether their order is kept is a matter of how serde_json was built.
        assert_eq!(shown(&json!({"met": true}), false).0, b"met: true\n");
        assert_eq!(shown(&json!({"by": "a\nb"}), false).0, b"by: a\\nb\n");
        let plain = text(
            &json!({"content": [{"type": "text", "text": "hello"}]}),
            false,
        );
        assert_eq!(plain.output, b"hello\n");
        let error = json(&json!({"content": [{"type": "text", "text": "no"}], "isError": true}));
        assert_eq!(
            (error.output, error.failure),
            (Vec::new(), Some("no".into()))
        );
    }
}
