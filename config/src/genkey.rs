//! A new API key, written into the text of a configuration file.
//!
//! Promises: everything else in the file stays, unknown keys and the order of keys included; each key gets a salt of
//! its own; the result loads. Layout and number spelling are those of a two-space JSON writer.

use std::fmt;

use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use serde_json::{Map, Value};

use crate::finding::{Refused, Report};
use crate::kdf::{ALGORITHM, Costs, OutOfMemory};
use crate::secret::Secret;
use crate::section::Section;
use crate::{document, lint};

/// A new key and the file that knows its hash.
#[derive(Clone)]
pub struct Rotation {
    /// The new text of the file.
    pub text: String,
    /// 43 characters of URL-safe base64. It is nowhere else: show it once.
    pub key: Secret,
}

impl fmt::Debug for Rotation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Rotation").finish_non_exhaustive()
    }
}

/// Makes a key and a salt of `entropy`, which must come from the operating system, and puts the hash where
/// `remote_server.api_key_kdf` is or belongs. Costs already there are kept if they are valid; a plain `api_key` is
/// removed.
pub fn rotate(text: &str, entropy: [u8; 48]) -> Result<Rotation, GenkeyError> {
    rotate_bytes(text.as_bytes(), entropy)
}

/// Like [`rotate`], for what was read from a file: bytes that are no UTF-8 text are refused with their place.
pub fn rotate_bytes(bytes: &[u8], entropy: [u8; 48]) -> Result<Rotation, GenkeyError> {
    let (key, salt) = entropy.split_at(32);
    let key = URL_SAFE_NO_PAD.encode(key);
    let report = Report::default();
    let value = document::parse(bytes, &report);
    if let Some(fault) = value.as_ref().and_then(lint::client_file) {
        report.problem("", fault);
    }
    report.conclude(()).map_err(GenkeyError::NotJson)?;
    let Some(Value::Object(mut file)) = value else {
        return Err(GenkeyError::NotAnObject("the file"));
    };

    let server =
        object(&mut file, "remote_server").ok_or(GenkeyError::NotAnObject("`remote_server`"))?;
    server.shift_remove("api_key");
    let costs = costs(server.get("api_key_kdf"));
    let hash = costs.derive(&key, salt).map_err(GenkeyError::OutOfMemory)?;
    if !server.get("api_key_kdf").is_some_and(Value::is_object) {
        server.insert("api_key_kdf".to_owned(), Value::Object(Map::new()));
    }
    let block = object(server, "api_key_kdf").ok_or(GenkeyError::NotAnObject("`api_key_kdf`"))?;
    for (name, value) in [
        ("algorithm", ALGORITHM.into()),
        ("time_cost", costs.time_cost.into()),
        ("memory_cost", costs.memory_cost.into()),
        ("parallelism", costs.parallelism.into()),
        ("hash_len", costs.hash_len.into()),
        ("salt", STANDARD.encode(salt).into()),
        ("hash", STANDARD.encode(hash).into()),
    ] {
        block.insert(name.to_owned(), value);
    }
    // `{:#}` is serde_json's two-space layout.
    Ok(Rotation {
        text: format!("{:#}\n", Value::Object(file)),
        key: Secret::new(key),
    })
}

/// Why no key was made. The file is as it was.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum GenkeyError {
    /// The text is not JSON, too long, or another program's.
    NotJson(Refused),
    /// This part is not a JSON object; it must be mended by hand.
    NotAnObject(&'static str),
    /// The key cannot be hashed here.
    OutOfMemory(OutOfMemory),
}

impl fmt::Display for GenkeyError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NotJson(refused) => refused.fmt(f),
            Self::NotAnObject(part) => write!(f, "{part} must be a JSON object to hold an API key"),
            Self::OutOfMemory(error) => error.fmt(f),
        }
    }
}

impl std::error::Error for GenkeyError {}

/// The object under a key, made if it is absent.
fn object<'a>(parent: &'a mut Map<String, Value>, key: &str) -> Option<&'a mut Map<String, Value>> {
    let value = parent.entry(key).or_insert(Value::Null);
    if value.is_null() {
        *value = Value::Object(Map::new());
    }
    value.as_object_mut()
}

/// The costs of the block that is there; the defaults for what is missing, and for all if any is invalid.
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
