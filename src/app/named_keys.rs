//! `--genkey NAME`, `--revoke NAME` and `--keys`.
//!
//! Promises: a key is shown before its hash is in force; no command shows a hash.

use std::fmt::Write as _;
use std::io::{self, Write as _};
use std::path::Path;
use std::time::SystemTime;

use mcpmqtt_config::{
    ApiKey, KeyRequest, NamedKey, NewKey, RemoteServer, Revoked, add_key, revoke_key,
};
use mcpmqtt_protocol::topic::{Printable, Shown, ShownPath};

use super::keyfile::KeyfileError;
use super::replacement::{Replacement, random};
use super::{console, location, run, startup};
use crate::clock;

/// Adds a key with this name and profile and prints it: the key alone, on standard output, once.
///
/// # Errors
/// No key is in force that was not before.
pub(super) fn add(named: Option<&Path>, name: &str, profile: &str) -> Result<(), String> {
    let (path, folders) = run::key_file(named)?;
    run::refuse_to_lose_a_key()?;
    let entropy = random().map_err(|error| KeyfileError::no_key(&path, error).to_string())?;
    let today = clock::rfc3339(SystemTime::now());
    let request = KeyRequest {
        name,
        profile,
        today: today.split('T').next().unwrap_or_default(),
    };
    let prepared = Replacement::prepare(&path, folders, |old| {
        let added = add_key(
            old,
            entropy,
            request,
            location::own_socket(&path).as_deref(),
        );
        let added = added.map_err(|error| KeyfileError::Key {
            path: path.clone(),
            error,
        })?;
        Ok((added.text.clone(), added))
    });
    let (replacement, added) = prepared.map_err(|error| error.to_string())?;
    let NewKey {
        key,
        is_second,
        socket,
        ..
    } = added;
    run::print_key(&key)?;
    let mut notes = String::new();
    for warning in replacement.warnings() {
        let _ = writeln!(notes, "warning: {warning}");
    }
    let file = replacement.file.clone();
    replacement
        .put_in_force()
        .map_err(|error| format!("{error}. The key on standard output is not in force"))?;
    let (shown, name) = (ShownPath(&file), Shown(name));
    let _ = writeln!(
        notes,
        "{shown} now holds the hash of the API key above, which is shown this once: {name} with \
         the profile {}; it takes effect when the server restarts or gets SIGHUP",
        Shown(profile)
    );
    if is_second {
        let _ = writeln!(
            notes,
            "the key of this name before it stays valid beside it, until `--revoke` ends it"
        );
    }
    if let Some(socket) = socket {
        notes.push_str(&run::about_socket(&socket));
    }
    let _ = write!(io::stderr(), "{}", Printable(&notes));
    Ok(())
}

/// Takes the key with this name out of the file, of two the older one, and says so.
///
/// # Errors
/// The file is as it was, unless the error says otherwise.
pub(super) fn revoke(named: Option<&Path>, name: &str) -> Result<(), String> {
    let (path, _) = run::key_file(named)?;
    let prepared = Replacement::prepare(&path, false, |old| {
        let revoked = revoke_key(old, name).map_err(|error| KeyfileError::Key {
            path: path.clone(),
            error,
        })?;
        Ok((revoked.text.clone(), revoked))
    });
    let (replacement, revoked) = prepared.map_err(|error| error.to_string())?;
    replacement
        .put_in_force()
        .map_err(|error| error.to_string())?;
    let Revoked {
        created,
        is_one_left,
        ..
    } = revoked;
    let name = Shown(name);
    let made = created.map(|day| format!(" of {}", Shown(&day)));
    let mut notes = format!(
        "the key {name}{} is revoked; this takes effect when the server gets SIGHUP or restarts\n",
        made.unwrap_or_default()
    );
    if is_one_left {
        let _ = writeln!(
            notes,
            "the newer key {name} is still valid; the same command again ends it, too"
        );
    }
    let _ = write!(io::stderr(), "{}", Printable(&notes));
    Ok(())
}

/// Prints the names and dates of the keys.
///
/// # Errors
/// The configuration cannot be used, or standard output cannot be written to.
pub(super) fn list(named: Option<&Path>) -> Result<(), String> {
    let loaded = startup::load(named)?;
    let server = loaded.config.remote_server.as_ref();
    let lines = server.map(|server| listed(server, SystemTime::now()));
    let lines = lines.filter(|lines| !lines.is_empty());
    console::print(&lines.unwrap_or_else(|| "no keys\n".to_owned()))
}

fn listed(server: &RemoteServer, now: SystemTime) -> String {
    let mut lines = match &server.api_key {
        ApiKey::None => String::new(),
        ApiKey::Unusable(_) => "default: profile default, cannot be used\n".to_owned(),
        ApiKey::Hashed(_) | ApiKey::Plain(_) => "default: profile default\n".to_owned(),
    };
    for key in &server.keys {
        lines.push_str(&line(key, now));
    }
    lines
}

fn line(key: &NamedKey, now: SystemTime) -> String {
    let mut line = format!("{}: profile {}", key.name, key.profile);
    if let Some(created) = &key.created {
        let _ = write!(line, ", made {created}");
    }
    if let Some(expires) = &key.expires {
        let verb = match expires.is_over(now) {
            true => "expired",
            false => "expires",
        };
        let _ = write!(line, ", {verb} {}", expires.as_str());
    }
    line.push('\n');
    line
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use std::time::{Duration, UNIX_EPOCH};

    use mcpmqtt_config::Config;

    use super::*;

    #[test]
    fn keys_are_listed_with_their_names_and_dates_and_nothing_else() {
        let hash = |letter: &str| format!("blake2b-256:{}=", letter.repeat(43));
        let text = format!(
            r#"{{"profiles": {{"line": {{}}}}, "remote_server": {{"api_key": "secret", "keys": [
                {{"name": "codex", "profile": "line", "hash": "{}", "created": "2026-11-28"}},
                {{"name": "codex", "profile": "default", "hash": "{}", "expires": "2001-09-08"}},
                {{"name": "ci", "profile": "line", "hash": "{}", "expires": "2001-09-09T01:46:41Z"}}
            ]}}}}"#,
            hash("A"),
            hash("E"),
            hash("I")
        );
        let server = Config::parse(&text).unwrap().0.remote_server.unwrap();
        let now = UNIX_EPOCH + Duration::from_secs(1_000_000_000);
        assert_eq!(
            listed(&server, now),
            "default: profile default\n\
             codex: profile line, made 2026-11-28\n\
             codex: profile default, expired 2001-09-08\n\
             ci: profile line, expires 2001-09-09T01:46:41Z\n"
        );
    }
}
