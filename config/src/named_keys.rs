//! Adds a named API key to the text of a configuration file, and takes one out of it.
//!
//! Promises: every byte outside `remote_server.keys` stays unchanged, but for what makes up the single key when that is
//! revoked; a name is never given to more than two keys.

use std::fmt;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use mcpmqtt_protocol::topic::Shown;
use serde_json::{Map, Value, json};

use crate::callers::NamedKey;
use crate::genkey::{self, GenkeyError};
use crate::key_check::KeyDigest;
use crate::profile::{NAMES, Profiles, is_name};
use crate::secret::Secret;

/// What a new key is called, and what its callers may do.
#[derive(Clone, Copy, Debug)]
pub struct KeyRequest<'a> {
    /// The name.
    pub name: &'a str,
    /// The name of the profile, which the file must have.
    pub profile: &'a str,
    /// The day, as in `2026-11-28`.
    pub today: &'a str,
}

/// A new key, and the file with the key's hash.
#[derive(Clone)]
pub struct NewKey {
    /// The new text of the file.
    pub text: String,
    /// 43 characters of URL-safe base64. The key is stored nowhere else, so it has to be shown once.
    pub key: Secret,
    /// Whether another key of the name stays valid beside it.
    pub is_second: bool,
    /// The socket of a new `remote_server` section.
    pub socket: Option<String>,
}

/// A file without a key.
#[derive(Clone, Debug)]
pub struct Revoked {
    /// The new text of the file.
    pub text: String,
    /// When the key was made, if the file says so.
    pub created: Option<String>,
    /// Whether another key of the name stays valid.
    pub is_one_left: bool,
}

/// Why the keys of a file are not changed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum NamedKeyError {
    /// The file cannot hold a key.
    File(GenkeyError),
    /// The text is no name for a key.
    NoName(String),
    /// There are two keys with this name already.
    Two(String),
    /// The file has no profile with this name; those that it has.
    NoProfile(String, String),
    /// The file has no key with this name; those that it has.
    NoKey(String, Vec<String>),
}

/// Generates a key from `entropy`, which must come from the operating system, and adds its hash to
/// `remote_server.keys`. A new section `remote_server` listens on `socket`, if given, instead of the default.
///
/// # Errors
/// The file is to stay as it is.
pub fn add_key(
    bytes: &[u8],
    entropy: [u8; 32],
    request: KeyRequest<'_>,
    socket: Option<&str>,
) -> Result<NewKey, NamedKeyError> {
    let KeyRequest {
        name,
        profile,
        today,
    } = request;
    if !is_name(name) {
        return Err(NamedKeyError::NoName(name.to_owned()));
    }
    let file = genkey::parse(bytes).map_err(NamedKeyError::File)?;
    let server = genkey::server(&file).map_err(NamedKeyError::File)?;
    has_profile(&file, profile)?;
    let mut keys = listed(server)?;
    let same = places(server, &keys, name).len();
    if same > 1 {
        return Err(NamedKeyError::Two(name.to_owned()));
    }
    let key = URL_SAFE_NO_PAD.encode(entropy);
    keys.push(json!({
        "name": name,
        "hash": NamedKey::hash_text(&KeyDigest::of(&key)),
        "profile": profile,
        "created": today,
    }));
    let mut changes = Vec::new();
    if server.is_none() {
        changes.push((vec!["remote_server"], json!({})));
        if let Some(socket) = socket {
            changes.push((vec!["remote_server", "uds"], socket.into()));
        }
    }
    changes.push((vec!["remote_server", "keys"], keys.into()));
    Ok(NewKey {
        text: genkey::changed(bytes, &file, &[], &changes),
        key: Secret::new(key),
        is_second: same > 0,
        socket: socket.filter(|_| server.is_none()).map(str::to_owned),
    })
}

/// Takes the key with this name out of the file; of two the older one.
///
/// # Errors
/// The file is to stay as it is.
pub fn revoke_key(bytes: &[u8], name: &str) -> Result<Revoked, NamedKeyError> {
    let file = genkey::parse(bytes).map_err(NamedKeyError::File)?;
    let server = genkey::server(&file).map_err(NamedKeyError::File)?;
    let mut keys = listed(server)?;
    let places = places(server, &keys, name);
    let Some((created, place)) = places.iter().min().cloned() else {
        return Err(NamedKeyError::NoKey(name.to_owned(), names(server, &keys)));
    };
    let removed: &[&str] = match place {
        Place::Single => &["api_key", "api_key_kdf", "api_key_check"],
        Place::Listed(index) => {
            keys.remove(index);
            &[]
        }
    };
    // Also when it is empty: that says that nobody is to come in, where a file without it says nothing.
    let changes = [(vec!["remote_server", "keys"], keys.into())];
    Ok(Revoked {
        text: genkey::changed(bytes, &file, removed, &changes),
        created,
        is_one_left: places.len() > 1,
    })
}

/// Where a key is in the file. The single key is older than one with a name.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Place {
    Single,
    Listed(usize),
}

/// The keys with this name, each with the day on which it was made. What has no day is older than what has one.
fn places(
    server: Option<&Map<String, Value>>,
    keys: &[Value],
    name: &str,
) -> Vec<(Option<String>, Place)> {
    let is_single = name == Profiles::DEFAULT && server.is_some_and(genkey::has_key);
    let single = is_single.then_some((None, Place::Single));
    let named = keys.iter().enumerate();
    let named = named.filter(|(_, key)| text(key, "name") == Some(name));
    let named = named.map(|(index, key)| {
        let created = text(key, "created").map(str::to_owned);
        (created, Place::Listed(index))
    });
    single.into_iter().chain(named).collect()
}

fn names(server: Option<&Map<String, Value>>, keys: &[Value]) -> Vec<String> {
    let single = server.is_some_and(genkey::has_key);
    let single = single.then(|| Profiles::DEFAULT.to_owned());
    let named = keys.iter().filter_map(|key| text(key, "name"));
    let mut names: Vec<_> = single.into_iter().chain(named.map(str::to_owned)).collect();
    names.dedup();
    names
}

fn text<'a>(key: &'a Value, member: &str) -> Option<&'a str> {
    key.get(member)?.as_str()
}

fn listed(server: Option<&Map<String, Value>>) -> Result<Vec<Value>, NamedKeyError> {
    match server.and_then(|server| server.get("keys")) {
        None | Some(Value::Null) => Ok(Vec::new()),
        Some(Value::Array(keys)) => Ok(keys.clone()),
        Some(_) => Err(NamedKeyError::File(GenkeyError::NotAList)),
    }
}

fn has_profile(file: &Map<String, Value>, profile: &str) -> Result<(), NamedKeyError> {
    let profiles = file.get("profiles").and_then(Value::as_object);
    let profiles = profiles.into_iter().flatten();
    let mut names: Vec<_> = profiles
        .filter(|(_, value)| value.is_object())
        .map(|(name, _)| name.as_str())
        .filter(|name| *name != Profiles::DEFAULT)
        .collect();
    names.insert(0, Profiles::DEFAULT);
    if names.contains(&profile) {
        return Ok(());
    }
    let names: Vec<_> = names.iter().map(|name| Shown(name).to_string()).collect();
    Err(NamedKeyError::NoProfile(
        profile.to_owned(),
        names.join(", "),
    ))
}

impl fmt::Display for NamedKeyError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::File(error) => error.fmt(f),
            Self::NoName(text) => write!(f, "{} {NAMES}", Shown(text)),
            Self::Two(name) => write!(
                f,
                "two keys are named {name} already, so that one can take the other's place; `--revoke {}` ends the older one",
                name.escape_debug(),
                name = Shown(name)
            ),
            Self::NoProfile(name, names) => {
                write!(f, "there is no profile {}; there are {names}", Shown(name))
            }
            Self::NoKey(name, names) if names.is_empty() => {
                write!(f, "there is no key {}, and no other", Shown(name))
            }
            Self::NoKey(name, names) => {
                let names: Vec<_> = names.iter().map(|name| Shown(name).to_string()).collect();
                let names = names.join(", ");
                write!(f, "there is no key {}; there are {names}", Shown(name))
            }
        }
    }
}

impl std::error::Error for NamedKeyError {}

impl fmt::Debug for NewKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("NewKey").finish_non_exhaustive()
    }
}
