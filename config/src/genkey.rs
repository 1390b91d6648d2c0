//! Generates an API key and writes it into the text of a configuration file.
//!
//! Promises: every other byte of the file stays unchanged; each key gets a salt of its own; the result is a valid
//! configuration.

use std::fmt;

use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use serde_json::{Map, Value, json};

use crate::finding::{Refused, Report};
use crate::kdf::{ALGORITHM, Costs, OutOfMemory};
use crate::secret::Secret;
use crate::section::Section;
use crate::{document, json_edit, key_check, lint};

/// A new key, and the file with the key's hash.
#[derive(Clone)]
pub struct Rotation {
    /// The new text of the file.
    pub text: String,
    /// 43 characters of URL-safe base64. The key is stored nowhere else, so it has to be shown once.
    pub key: Secret,
    /// Whether there was a key before, which is no longer valid.
    pub replaces: bool,
    /// The socket of a new `remote_server` section.
    pub socket: Option<String>,
}

impl fmt::Debug for Rotation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Rotation").finish_non_exhaustive()
    }
}

/// Generates a key and a salt from `entropy`, which must come from the operating system, and writes the hash to
/// `remote_server.api_key_kdf`. Valid costs in the file are kept; a plain `api_key` is removed.
pub fn rotate(text: &str, entropy: [u8; 48]) -> Result<Rotation, GenkeyError> {
    rotate_bytes(text.as_bytes(), entropy, None)
}

/// Like [`rotate`], for the bytes of a file: bytes that are not UTF-8 are refused with their place. A new section
/// `remote_server` listens on `socket`, if given, instead of the default.
pub fn rotate_bytes(
    bytes: &[u8],
    entropy: [u8; 48],
    socket: Option<&str>,
) -> Result<Rotation, GenkeyError> {
    let (key, salt) = entropy.split_at(32);
    let key = URL_SAFE_NO_PAD.encode(key);
    let file = parse(bytes)?;
    let server = server(&file)?;
    let before = server.and_then(|server| server.get("api_key_kdf"));
    let costs = costs(before);
    let hash = costs.derive(&key, salt).map_err(GenkeyError::OutOfMemory)?;
    let record = [
        ("algorithm", ALGORITHM.into()),
        ("time_cost", costs.time_cost.into()),
        ("memory_cost", costs.memory_cost.into()),
        ("parallelism", costs.parallelism.into()),
        ("hash_len", costs.hash_len.into()),
        ("salt", STANDARD.encode(salt).into()),
        ("hash", STANDARD.encode(&hash).into()),
    ];
    // Values that stay are not even reformatted.
    let mut changes = Vec::new();
    if server.is_none() {
        changes.push((vec!["remote_server"], json!({})));
        if let Some(socket) = socket {
            changes.push((vec!["remote_server", "uds"], socket.into()));
        }
    }
    if !before.is_some_and(Value::is_object) {
        changes.push((vec!["remote_server", "api_key_kdf"], json!({})));
    }
    for (name, value) in record {
        changes.push((vec!["remote_server", "api_key_kdf", name], value));
    }
    let check = key_check::block(&key, salt, &hash);
    changes.push((vec!["remote_server", "api_key_check"], check));
    let replaces = server.is_some_and(has_key);
    Ok(Rotation {
        text: changed(bytes, &file, &["api_key"], &changes),
        key: Secret::new(key),
        replaces,
        socket: socket.filter(|_| server.is_none()).map(str::to_owned),
    })
}

/// The JSON object in the bytes of a file.
pub(crate) fn parse(bytes: &[u8]) -> Result<Map<String, Value>, GenkeyError> {
    let report = Report::default();
    let value = document::parse(bytes, &report);
    if let Some(fault) = value.as_ref().and_then(lint::client_file) {
        report.problem("", fault);
    }
    report.conclude(()).map_err(GenkeyError::NotJson)?;
    match value {
        Some(Value::Object(file)) => Ok(file),
        _ => Err(GenkeyError::NotAnObject("the file")),
    }
}

/// The section `remote_server`, if the file has it.
pub(crate) fn server(
    file: &Map<String, Value>,
) -> Result<Option<&Map<String, Value>>, GenkeyError> {
    match file.get("remote_server") {
        None | Some(Value::Null) => Ok(None),
        Some(Value::Object(server)) => Ok(Some(server)),
        Some(_) => Err(GenkeyError::NotAnObject("`remote_server`")),
    }
}

/// The text of `file` without these keys of `remote_server` and with these values set; the rest is unchanged.
pub(crate) fn changed(
    bytes: &[u8],
    file: &Map<String, Value>,
    removed: &[&str],
    changes: &[(Vec<&str>, Value)],
) -> String {
    let mut meant = Value::Object(file.clone());
    if let Some(server) = meant
        .get_mut("remote_server")
        .and_then(Value::as_object_mut)
    {
        for key in removed {
            server.shift_remove(*key);
        }
    }
    for (path, value) in changes {
        let place = path.iter().fold(&mut meant, |place, part| &mut place[part]);
        *place = value.clone();
    }
    let edited = edited(bytes, removed, changes);
    let is_meant = |text: &String| {
        serde_json::from_str(text.trim_start_matches(BOM)).is_ok_and(|it: Value| it == meant)
    };
    // When the text cannot be edited in place, the layout is lost but the values are right.
    edited
        .filter(is_meant)
        .unwrap_or_else(|| format!("{meant:#}\n"))
}

fn edited(bytes: &[u8], removed: &[&str], changes: &[(Vec<&str>, Value)]) -> Option<String> {
    let mut text = std::str::from_utf8(bytes).ok()?.to_owned();
    for key in removed {
        if let Some(without) = json_edit::remove(&text, &["remote_server", key]) {
            text = without;
        }
    }
    for (path, value) in changes {
        text = json_edit::set(&text, path, value)?;
    }
    Some(text)
}

/// Whether the section has a usable key; placeholders from a manual do not count.
pub(crate) fn has_key(server: &Map<String, Value>) -> bool {
    let hash = server
        .get("api_key_kdf")
        .and_then(|block| block.get("hash")?.as_str());
    let hashed = hash.is_some_and(|hash| STANDARD.decode(hash).is_ok());
    let plain = server.get("api_key").and_then(Value::as_str);
    hashed || plain.is_some_and(|key| !key.is_empty())
}

/// Why no key was generated. The file is unchanged.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum GenkeyError {
    /// The text is not JSON, too long, or the configuration of another program.
    NotJson(Refused),
    /// This part is not a JSON object; a person has to correct it.
    NotAnObject(&'static str),
    /// `remote_server.keys` is not a list; a person has to correct it.
    NotAList,
    /// There is not enough memory to hash the key.
    OutOfMemory(OutOfMemory),
}

impl fmt::Display for GenkeyError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NotJson(refused) => refused.fmt(f),
            Self::NotAnObject(part) => write!(f, "{part} must be a JSON object to hold an API key"),
            Self::NotAList => f.write_str("`remote_server.keys` must be a list to hold an API key"),
            Self::OutOfMemory(error) => error.fmt(f),
        }
    }
}

impl std::error::Error for GenkeyError {}

/// The costs in the block; the default for a missing cost, and all defaults if any cost is invalid.
fn costs(block: Option<&Value>) -> Costs {
    let report = Report::default();
    let costs = Costs::read(&Section::new(
        String::new(),
        block.filter(|block| block.is_object()),
        &report,
    ));
    if report.has_problems() {
        Costs::default()
    } else {
        costs
    }
}

/// The text of a new configuration file: the built-in defaults.
pub const FIRST_FILE: &str = r#"{
  "mqtt": { "host": "localhost", "port": 1883 },
  "topics": [
    {
      "pattern": "test/+",
      "permissions": ["read", "write"],
      "description": "To try things out: nothing is controlled here."
    }
  ]
}
"#;

/// The byte order mark, which some editors write before UTF-8.
const BOM: char = '\u{feff}';
