//! What others on this machine can do with the files that a configuration consists of.
//!
//! Promises: a file of the group that may read it is no fault, since packages install the configuration so for the
//! service's group; whoever can write the configuration, or put another in its place, can permit agents anything.

use std::fs;
use std::os::unix::fs::MetadataExt as _;
use std::path::Path;

use mcpmqtt_config::{ApiKey, Config, Password};
use mcpmqtt_protocol::topic::ShownPath;

/// What the operator should change about the configuration at `path` and the files of secrets that it names.
pub(crate) fn warnings(config: &Config, path: &Path) -> Vec<String> {
    let mut warnings = Vec::new();
    if fs::metadata(path).is_ok_and(|found| found.is_file()) {
        let what = holds_secret(config).then_some("it holds a secret");
        warnings.extend(of_file(path, "the configuration", what));
        warnings.extend(of_directory(path));
    }
    for (key, path) in secret_files(config) {
        warnings.extend(of_file(path, key, Some("it is a secret")));
    }
    warnings
}

/// The hash of a key is no secret, because the keys are random and cannot be guessed.
fn holds_secret(config: &Config) -> bool {
    let password = config.mqtt.credentials.as_ref();
    let server = config.remote_server.as_ref();
    password.is_some_and(|it| matches!(it.password, Password::Text(_)))
        || server.is_some_and(|it| matches!(it.api_key, ApiKey::Plain(_)))
}

fn secret_files(config: &Config) -> Vec<(&'static str, &Path)> {
    let mut files: Vec<(&'static str, &Path)> = Vec::new();
    if let Some(Password::File(path)) = config.mqtt.credentials.as_ref().map(|it| &it.password) {
        files.push(("mqtt.password_file", path));
    }
    if let Some(path) = &config.operator.secret_file {
        files.push(("operator.secret_file", path));
    }
    let tls = config.mqtt.tls.as_ref();
    if let Some(identity) = tls.and_then(|tls| tls.identity.as_ref()) {
        files.push(("mqtt.tls.key_file", &identity.key_file));
    }
    let server = config.remote_server.as_ref();
    if let Some(tls) = server.and_then(|server| server.tls.as_ref()) {
        files.push(("remote_server.tls.key_file", &tls.identity.key_file));
    }
    files
}

/// What others can do with one file that is `what`; `secret`: why nobody else may read it.
pub(crate) fn of_file(path: &Path, what: &str, secret: Option<&str>) -> Option<String> {
    let found = fs::metadata(path).ok().filter(fs::Metadata::is_file)?;
    let mode = found.mode() & 0o7777;
    let secret = secret.filter(|_| mode & OTHERS_READ != 0);
    let (can, why) = match (secret, mode & (GROUP_WRITE | OTHERS_WRITE) != 0) {
        (Some(why), false) => ("every user can read", format!(", and {why}")),
        (Some(why), true) => ("others can read and write", format!(", and {why}")),
        (None, true) => ("others can write", String::new()),
        (None, false) => return None,
    };
    let remedy = if secret.is_some() {
        "chmod go-w,o-r"
    } else {
        "chmod go-w"
    };
    let path = ShownPath(path);
    Some(format!(
        "{what}: {can} {path} (mode {mode:04o}){why}; `{remedy}` it"
    ))
}

fn of_directory(path: &Path) -> Option<String> {
    let file = fs::canonicalize(path).ok()?;
    let directory = file.parent()?;
    let mode = fs::metadata(directory).ok()?.mode() & 0o7777;
    if mode & OTHERS_WRITE == 0 || mode & STICKY != 0 {
        return None;
    }
    let shown = ShownPath(directory);
    Some(format!(
        "the configuration: every user can replace it, since every user can write in its directory {shown} (mode \
         {mode:04o}); `chmod o-w` it"
    ))
}

const OTHERS_READ: u32 = 0o004;
const OTHERS_WRITE: u32 = 0o002;
const GROUP_WRITE: u32 = 0o020;
const STICKY: u32 = 0o1000;
