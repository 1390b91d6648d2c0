//! The file of an MCP client that lists the servers it starts: puts an entry in or takes it out.
//!
//! Promises: every other byte of the file stays unchanged; an entry of somebody else is never replaced.
//! Does not: edit what is not strict JSON, such as a file with comments.

use std::fmt;

use serde_json::{Map, Value, json};

use crate::finding::{Refused, Report};
use crate::{document, json_edit};

/// Puts `entry` under `name` into the object `list` of the file; `None` when it is there already. A file of white space
/// counts as one without a list.
///
/// # Errors
/// The file cannot be edited, or has another entry of that name.
pub fn put_entry(
    bytes: &[u8],
    list: &str,
    name: &str,
    entry: &Value,
) -> Result<Option<String>, ClientFileError> {
    let bytes = match bytes.trim_ascii() {
        [] => b"{}\n",
        _ => bytes,
    };
    let (text, mut file) = parse(bytes)?;
    let has_list = file.contains_key(list);
    let entries = entries(&mut file, list)?;
    match entries.get(name) {
        Some(known) if known == entry => return Ok(None),
        Some(_) => return Err(ClientFileError::Taken(name.to_owned())),
        None => entries.insert(name.to_owned(), entry.clone()),
    };
    let mut edited = Some(text.to_owned());
    if !has_list {
        edited = json_edit::set(text, &[list], &json!({}));
    }
    let edited = edited.and_then(|text| json_edit::set(&text, &[list, name], entry));
    meant(edited, &file).map(Some)
}

/// Takes the entry under `name` out of the object `list`; `None` when there is none.
///
/// # Errors
/// The file cannot be edited.
pub fn take_entry(bytes: &[u8], list: &str, name: &str) -> Result<Option<String>, ClientFileError> {
    if bytes.trim_ascii().is_empty() {
        return Ok(None);
    }
    let (text, mut file) = parse(bytes)?;
    if !file.contains_key(list) || entries(&mut file, list)?.shift_remove(name).is_none() {
        return Ok(None);
    }
    meant(json_edit::remove(text, &[list, name]), &file).map(Some)
}

fn parse(bytes: &[u8]) -> Result<(&str, Map<String, Value>), ClientFileError> {
    let report = Report::default();
    let value = document::parse(bytes, &report);
    report.conclude(()).map_err(ClientFileError::NotJson)?;
    match (std::str::from_utf8(bytes), value) {
        (Ok(text), Some(Value::Object(file))) => Ok((text, file)),
        _ => Err(ClientFileError::NotAnObject("the file".into())),
    }
}

fn entries<'f>(
    file: &'f mut Map<String, Value>,
    list: &str,
) -> Result<&'f mut Map<String, Value>, ClientFileError> {
    let entries = file.entry(list).or_insert_with(|| json!({}));
    let entries = entries.as_object_mut();
    entries.ok_or_else(|| ClientFileError::NotAnObject(format!("`{list}`")))
}

/// The edited text, if it means what was wanted.
fn meant(edited: Option<String>, file: &Map<String, Value>) -> Result<String, ClientFileError> {
    let is_meant = |text: &String| parse(text.as_bytes()).is_ok_and(|(_, found)| found == *file);
    edited.filter(is_meant).ok_or(ClientFileError::Entangled)
}

/// Why the file is not edited.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ClientFileError {
    /// The file is not JSON.
    NotJson(Refused),
    /// This part is not a JSON object.
    NotAnObject(String),
    /// There is another entry of this name.
    Taken(String),
    /// The text has no place where the entry can be put or taken.
    Entangled,
}

impl fmt::Display for ClientFileError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NotJson(refused) => refused.fmt(f),
            Self::NotAnObject(part) => write!(f, "{part} is not a JSON object"),
            Self::Taken(name) => write!(
                f,
                "it has another server `{name}` already; choose a name with `--name`, or take that one out first with \
                 `--uninstall`"
            ),
            Self::Entangled => f.write_str("its layout cannot be edited"),
        }
    }
}

impl std::error::Error for ClientFileError {}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn an_entry_comes_and_goes_and_the_rest_stays() {
        let entry = json!({"command": "/usr/bin/mcpmqtt", "args": ["--demo"]});
        let new = "{\n  \"mcpServers\": {\n    \"mqtt\": {\n      \"command\": \"/usr/bin/mcpmqtt\",\n      \
                   \"args\": [\n        \"--demo\"\n      ]\n    }\n  }\n}\n";
        for (before, after) in [
            ("", new),
            (" \n", new),
            ("{}\n", new),
            (
                "{\"theme\":\"dark\", \"mcpServers\": {\"a\": {\"command\":\"x\"}}}",
                "{\"theme\":\"dark\", \"mcpServers\": {\"a\": {\"command\":\"x\"}, \"mqtt\": \
                 {\"command\":\"/usr/bin/mcpmqtt\",\"args\":[\"--demo\"]}}}",
            ),
        ] {
            let put = put_entry(before.as_bytes(), "mcpServers", "mqtt", &entry).unwrap();
            assert_eq!(put.as_deref(), Some(after));
            let again = put_entry(after.as_bytes(), "mcpServers", "mqtt", &entry).unwrap();
            assert_eq!(again, None);
            let taken = take_entry(after.as_bytes(), "mcpServers", "mqtt").unwrap();
            let taken = taken.unwrap();
            assert!(!taken.contains("mqtt\""), "{taken}");
            let again = take_entry(taken.as_bytes(), "mcpServers", "mqtt").unwrap();
            assert_eq!(again, None);
        }
        let text = "{\r\n\t\"mcpServers\": {\r\n\t\t\"a\": {}\r\n\t},\r\n\t\"x\":  1.50\r\n}";
        let put = put_entry(text.as_bytes(), "mcpServers", "mqtt", &json!({"url": "u"}));
        let put = put.unwrap().unwrap();
        assert_eq!(
            put,
            "{\r\n\t\"mcpServers\": {\r\n\t\t\"a\": {},\r\n\t\t\"mqtt\": {\r\n\t\t\t\"url\": \"u\"\r\n\t\t}\r\n\t},\r\n\t\"x\":  1.50\r\n}"
        );
        let taken = take_entry(put.as_bytes(), "mcpServers", "mqtt").unwrap();
        assert_eq!(taken.as_deref(), Some(text));
    }

    #[test]
    fn what_cannot_be_edited_stays_and_says_why() {
        let put = |text: &str| {
            let put = put_entry(text.as_bytes(), "mcpServers", "mqtt", &json!({}));
            put.unwrap_err().to_string()
        };
        assert!(
            put("{ // mine\n}").contains("JSON has no comments"),
            "{}",
            put("{ // mine\n}")
        );
        assert_eq!(put("[]"), "the file is not a JSON object");
        assert_eq!(
            put(r#"{"mcpServers": []}"#),
            "`mcpServers` is not a JSON object"
        );
        assert!(
            put(r#"{"mcpServers": {"mqtt": {"command": "x"}}}"#)
                .starts_with("it has another server `mqtt`")
        );
    }

    /// Of repeated keys the last one counts, as for those who read the file.
    #[test]
    fn of_two_lists_the_last_one_counts() {
        let twice = r#"{"mcpServers": {}, "mcpServers": {}}"#;
        let put = put_entry(twice.as_bytes(), "mcpServers", "mqtt", &json!({})).unwrap();
        let after = r#"{"mcpServers": {}, "mcpServers": {"mqtt": {}}}"#;
        assert_eq!(put.as_deref(), Some(after));
    }
}
