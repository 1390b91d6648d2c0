//! From the command line to a configuration in force.
//!
//! Promises: every fault and every warning of the file is reported; a file that was named and is not there is an error;
//! without any file the program reports the places searched and the configuration that runs.

use std::ffi::OsStr;
use std::fmt;
use std::io;
use std::path::{Path, PathBuf};
use std::time::Duration;

use mcpmqtt_config::{Config, Finding, MAX_FILE_BYTES, Operator, Password, Refused};
use mcpmqtt_protocol::client::{BackoffOptions, Options};
use mcpmqtt_protocol::limits::Limits;
use mcpmqtt_protocol::topic::{Shown, ShownPath};

use super::location::{self, Location};
use super::{exposure, home};
use crate::file;
use crate::mqtt::{InboxLimits, Target, Tls};
use crate::operator;
use crate::tools::MOST_OWN_LISTENERS;

/// A configuration and where it came from.
#[derive(Debug)]
pub struct Loaded {
    /// The configuration in force.
    pub config: Config,
    /// The origin as text: a path, or the name of the built-in configuration.
    pub origin: String,
    /// The file, if there is one.
    pub file: Option<PathBuf>,
    /// What an operator should look at.
    pub warnings: Vec<Finding>,
}

/// Why there is no configuration.
#[derive(Debug)]
pub enum Unusable {
    /// The file cannot be read; the message names the file.
    Unreadable(String),
    /// What is in the file is wrong.
    Wrong {
        /// The path of the file.
        origin: String,
        /// The faults in the file, with their lines.
        refused: Refused,
    },
}

/// Loads the file that `named` names, or that of the environment, or the first of the usual ones.
///
/// # Errors
/// Every fault, a line each.
pub fn load(named: Option<&Path>) -> Result<Loaded, String> {
    find(named).map_err(|unusable| unusable.to_string())
}

/// As [`load`], with each fault by itself.
///
/// # Errors
/// Every fault.
pub fn find(named: Option<&Path>) -> Result<Loaded, Unusable> {
    let (path, is_by_variable) = match location::locate(named).map_err(Unusable::Unreadable)? {
        Location::Named(path) => (path, named.is_none()),
        Location::Usual(path) => (path, false),
        Location::Absent { why, .. } => return Ok(without_file(&why)),
    };
    // One byte more than is allowed, so that `Config::parse_bytes` can say that it is too much.
    match file::read(&path, MAX_FILE_BYTES + 1) {
        Ok(bytes) => {
            let mut loaded = understand(&bytes, &ShownPath(&path).to_string())?;
            let exposed = exposure::warnings(&loaded.config, &path);
            loaded
                .warnings
                .extend(exposed.into_iter().map(of_the_whole));
            loaded.file = Some(path);
            Ok(loaded)
        }
        Err(error) => Err(Unusable::Unreadable(format!(
            "cannot read the configuration {}{}: {}{}",
            ShownPath(&path),
            if is_by_variable {
                ", which `MCPMQTT_CONFIG` names"
            } else {
                ""
            },
            words(&error),
            remedy(&path, &error)
        ))),
    }
}

/// Takes the bytes of a file for the configuration.
///
/// # Errors
/// Every fault, a line each.
pub fn parse(bytes: impl AsRef<[u8]>, origin: &str) -> Result<Loaded, String> {
    understand(bytes.as_ref(), origin).map_err(|unusable| unusable.to_string())
}

fn understand(bytes: &[u8], origin: &str) -> Result<Loaded, Unusable> {
    let wrong = |refused| Unusable::Wrong {
        origin: origin.to_owned(),
        refused,
    };
    match Config::parse_bytes(bytes) {
        Ok((mut config, warnings)) => {
            if let Err(problem) = home::expand_all(&mut config) {
                return Err(wrong(Refused {
                    problems: vec![of_the_whole(problem)],
                    warnings,
                }));
            }
            Ok(Loaded {
                config,
                origin: origin.to_owned(),
                file: None,
                warnings,
            })
        }
        Err(refused) => Err(wrong(refused)),
    }
}

impl fmt::Display for Unusable {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (origin, refused) = match self {
            Self::Unreadable(words) => return f.write_str(words),
            Self::Wrong { origin, refused } => (origin, refused),
        };
        write!(f, "the configuration {origin} cannot be used:")?;
        for problem in &refused.problems {
            write!(f, "\n  error: {problem}")?;
        }
        for warning in &refused.warnings {
            write!(f, "\n  warning: {warning}")?;
        }
        Ok(())
    }
}

fn of_the_whole(text: String) -> Finding {
    Finding {
        path: String::new(),
        text,
    }
}

/// The protocol client's options.
///
/// # Errors
/// A password file that cannot be read, or no random numbers for a client identifier.
pub fn client_options(config: &Config) -> Result<Options, String> {
    let mqtt = &config.mqtt;
    let client_id = match &mqtt.client_id {
        Some(id) => id.clone(),
        None => generate_client_id()?,
    };
    let mut options = Options::new(client_id);
    options.is_client_id_generated = mqtt.client_id.is_none();
    options.clean_session = mqtt.clean_session;
    options.keep_alive = mqtt.keepalive;
    if let Some(credentials) = &mqtt.credentials {
        options.username = Some(credentials.username.clone());
        options.password = password(&credentials.password)?;
    }
    options.will = mqtt.will.clone();
    options.birth = mqtt.birth.clone();
    options.connect_timeout = mqtt.connect_timeout;
    options.backoff = BackoffOptions {
        initial: mqtt.backoff.initial,
        max: mqtt.backoff.max,
        refused_initial: mqtt.backoff.refused_initial,
        refused_max: mqtt.backoff.refused_max,
        stable: mqtt.backoff.stable,
    };
    options.limits = Limits {
        packet_bytes: config.limits.packet_bytes,
        publish_queue: config.limits.publish_queue,
        publish_queue_bytes: config.limits.publish_queue_bytes,
        publish_bytes: config.limits.publish_bytes,
        inflight: config.limits.inflight,
        // Each kind has places of its own; together they are never more.
        listeners: config.limits.listeners
            + config.limits.watches
            + MOST_OWN_LISTENERS
            + OPERATOR_LISTENERS,
    };
    Ok(options)
}

/// The secret that signs what the operator says, if the configuration names one.
///
/// # Errors
/// The file cannot be read, or holds no secret.
pub fn operator_secret(operator: &Operator) -> Result<Option<operator::Secret>, String> {
    let Some(path) = &operator.secret_file else {
        return Ok(None);
    };
    let fault = |words: String| {
        format!(
            "operator.secret_file: cannot use {}: {words}",
            ShownPath(path)
        )
    };
    let unread = |error: io::Error| fault(words(&error) + &remedy(path, &error));
    let bytes = file::read(path, MAX_SECRET_FILE_BYTES).map_err(unread)?;
    operator::Secret::of_file(&bytes).map(Some).map_err(fault)
}

/// Where the broker is, with the files read that TLS needs.
///
/// # Errors
/// The key of the configuration that cannot be used, and why.
pub fn target(config: &Config) -> Result<Target, String> {
    let keepalive = Duration::from_secs(config.mqtt.keepalive.into());
    let host = config.mqtt.host.clone();
    let tls = config.mqtt.tls.as_ref();
    Ok(Target {
        tls: tls.map(|tls| Tls::load(tls, &host)).transpose()?,
        host,
        port: config.mqtt.port,
        // The same timeout as the protocol's keep-alive, which notices failures that the system does not.
        user_timeout: keepalive * 3 / 2,
        connect_timeout: config.mqtt.connect_timeout,
    })
}

/// The bounds on messages that wait for calls.
#[must_use]
pub fn inbox_limits(config: &Config) -> InboxLimits {
    InboxLimits {
        messages: config.limits.inbox_messages,
        bytes: config.limits.inbox_bytes,
        total_bytes: config.limits.waiting_bytes,
    }
}

/// A number from the operating system, different at each start.
///
/// # Errors
/// The operating system has no random numbers.
pub fn seed() -> Result<u64, String> {
    getrandom::u64()
        .map_err(|error| format!("the operating system gives no random numbers: {error}"))
}

fn without_file(why: &str) -> Loaded {
    Loaded {
        config: Config::without_file(),
        origin: "the built-in defaults".into(),
        file: None,
        warnings: vec![of_the_whole(format!(
            "{why}; using the broker at localhost:1883, with `test/+` to read and write; `mcpmqtt --init` makes a file"
        ))],
    }
}

fn password(password: &Password) -> Result<Option<Vec<u8>>, String> {
    let path = match password {
        Password::None => return Ok(None),
        Password::Text(secret) => return Ok(Some(secret.expose().as_bytes().to_vec())),
        Password::File(path) => path,
        Password::Env(name) => return password_of_variable(name).map(Some),
    };
    let fault = |words: String| {
        format!(
            "mqtt.password_file: cannot use {}: {words}",
            ShownPath(path)
        )
    };
    let unread = |error: io::Error| fault(words(&error) + &remedy(path, &error));
    // Room for a line end, and one byte more to see that it is too long.
    let bytes = file::read(path, MAX_PASSWORD_BYTES + 3).map_err(unread)?;
    // Editors and `echo` end a file with one newline, which is not part of the password.
    let text = bytes.strip_suffix(b"\n").unwrap_or(&bytes);
    let text = text.strip_suffix(b"\r").unwrap_or(text);
    if text.len() > MAX_PASSWORD_BYTES {
        return Err(fault(format!(
            "a password has at most {MAX_PASSWORD_BYTES} bytes"
        )));
    }
    Ok(Some(text.to_vec()))
}

/// The password in the environment variable `name`. Nothing of it is shown.
fn password_of_variable(name: &str) -> Result<Vec<u8>, String> {
    let value = std::env::var_os(name);
    let why = match value.as_deref().map(OsStr::to_str) {
        None => "is not set",
        Some(None) => "is not UTF-8 text",
        Some(Some("")) => "is empty",
        Some(Some(text)) if text.len() > MAX_PASSWORD_BYTES => {
            "is too long; a password has at most 65535 bytes"
        }
        Some(Some(text)) => return Ok(text.as_bytes().to_vec()),
    };
    let name = Shown(name);
    Err(format!(
        "mqtt.password_env: the environment variable {name} {why}"
    ))
}

/// Letters and digits, 23 of them: every broker must take such an identifier ([MQTT-3.1.3-5]).
fn generate_client_id() -> Result<String, String> {
    let mut random = fastrand::Rng::with_seed(seed()?);
    let tail = std::iter::repeat_with(|| random.alphanumeric());
    Ok("mcpmqtt"
        .chars()
        .chain(tail)
        .take(CLIENT_ID_CHARS)
        .collect())
}

fn words(error: &io::Error) -> String {
    crate::io_error::describe(error)
}

fn remedy(path: &Path, error: &io::Error) -> String {
    match error.kind() {
        io::ErrorKind::PermissionDenied => location::remedy_for(path),
        io::ErrorKind::NotFound if path.as_os_str().as_encoded_bytes().starts_with(b"$") => {
            "; `$` is not expanded here: write the whole path, or `~/`".into()
        }
        _ => String::new(),
    }
}

const MAX_PASSWORD_BYTES: usize = 65_535;
const MAX_SECRET_FILE_BYTES: usize = 4096;
/// The subscriptions below `operator.topic`: a handful.
const OPERATOR_LISTENERS: usize = 16;
const CLIENT_ID_CHARS: usize = 23;

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    /// [MQTT-3.1.3-5].
    #[test]
    fn a_generated_client_id_is_one_that_every_broker_must_take() {
        let id = generate_client_id().unwrap();
        assert_eq!(id.len(), 23);
        assert!(id.chars().all(|c| c.is_ascii_alphanumeric()));
        assert_ne!(id, generate_client_id().unwrap());
    }
}
