//! Rows, groups and conditions, printed for the user of `--call`: a line each.

use serde_json::{Map, Value};

use super::{Shown, string, tame_line};

/// The rows or groups of a result, if it has any.
pub(super) fn rows(members: &Map<String, Value>) -> Option<Shown> {
    let rows = members.get("rows").or(members.get("groups"))?.as_array()?;
    let lines = rows
        .iter()
        .filter_map(Value::as_object)
        .map(|row| format!("{}\n", line(row)));
    let notes = members.get("notes").and_then(Value::as_array);
    let notes = notes.into_iter().flatten().filter_map(Value::as_str);
    let mut shown = Shown {
        output: lines.collect::<String>().into_bytes(),
        notes: notes.map(str::to_owned).collect(),
        failure: None,
    };
    for (name, meaning) in [("left_out", "left out"), ("lost", "lost")] {
        if let Some(count) = members.get(name).and_then(Value::as_u64).filter(|n| *n > 0) {
            shown.notes.push(format!("{meaning}: {count}"));
        }
    }
    if let Some(reason) = members.get("reason").and_then(Value::as_str) {
        shown.failure = Some(format!("the subscription ended: {reason}"));
    } else if rows.is_empty() {
        shown.failure = Some("nothing came that was asked for".into());
    }
    Some(shown)
}

/// What a condition came to, as a failure if it was not met.
pub(super) fn condition(members: &Map<String, Value>) -> Option<String> {
    if members.get("met") == Some(&Value::Bool(false)) {
        let last = members.get("value").map_or(String::new(), |value| {
            format!(
                "; the last value of {} was {value}",
                tame_line(string(members, "topic"))
            )
        });
        return Some(format!("the condition was not met in time{last}"));
    }
    None
}

/// What a publish with a condition or a confirmation came to: a line for each, and the failure.
pub(super) fn publish(members: &Map<String, Value>) -> (String, Option<String>) {
    let mut lines = String::new();
    let mut failure = None;
    if let Some(when) = members.get("when").and_then(Value::as_object) {
        failure = condition(when);
        if failure.is_none() {
            lines.push_str(&format!("when: {}\n", line(when)));
        }
    }
    if let Some(confirmed) = members.get("confirmed") {
        let confirmation = members.get("confirmation").and_then(Value::as_object);
        let seen = confirmation.map_or(String::new(), line);
        lines.push_str(&format!("confirmed: {} {seen}\n", plain(confirmed)));
        if *confirmed != Value::Bool(true) {
            failure = Some(match confirmed.as_str() {
                Some(_) => "published, and nothing came that could confirm it".into(),
                None => "published, and what came does not confirm it".into(),
            });
        }
    }
    (lines, failure)
}

/// One row: its topic or pattern, its value, then the rest by name.
fn line(row: &Map<String, Value>) -> String {
    let mut words = Vec::new();
    for (name, value) in row {
        let text = plain(value);
        match name.as_str() {
            "topic" | "pattern" | "value" => words.push(text),
            _ => words.push(format!("{name}={text}")),
        }
    }
    words.join(" ")
}

fn plain(value: &Value) -> String {
    match value {
        Value::String(text) => tame_line(text).into_owned(),
        value => value.to_string(),
    }
}
