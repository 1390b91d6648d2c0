//! The `mqtt` section: the broker, and this client's identity there.

use std::path::PathBuf;
use std::time::Duration;

use mcpmqtt_protocol::message::Message;
use mcpmqtt_protocol::topic::unsendable;
use serde_json::Value;

use crate::notice;
use crate::secret::Secret;
use crate::section::Section;
use crate::tls::{Asked, Tls};

/// The address of the broker and the settings of the connection.
#[derive(Clone, Debug)]
pub struct Mqtt {
    /// The host name or IP address, without port and brackets.
    pub host: String,
    /// The TCP port.
    pub port: u16,
    /// The TLS settings; `None` for a plain connection.
    pub tls: Option<Tls>,
    /// The user name and the password, if any.
    pub credentials: Option<Credentials>,
    /// The client identifier as sent; `None` lets the program generate one. Always set when `clean_session` is false.
    pub client_id: Option<String>,
    /// The message that the broker publishes when the connection is lost, and that the client itself publishes before
    /// DISCONNECT.
    pub will: Option<Message>,
    /// The message that the client publishes on every connection.
    pub birth: Option<Message>,
    /// Whether the broker discards the session when the connection ends.
    pub clean_session: bool,
    /// The keep alive of CONNECT in seconds; 0 turns it off.
    pub keepalive: u16,
    /// One deadline for name resolution, TCP, TLS and CONNACK together.
    pub connect_timeout: Duration,
    /// The waits between connection attempts.
    pub backoff: Backoff,
}

/// A user name with an optional password ([MQTT-3.1.2-22]: never a password alone).
#[derive(Clone, Debug)]
pub struct Credentials {
    /// The user name as sent.
    pub username: String,
    /// The source of the password.
    pub password: Password,
}

/// The source of the password.
#[derive(Clone, Debug)]
pub enum Password {
    /// There is no password.
    None,
    /// The password is in the configuration.
    Text(Secret),
    /// The password is read from this file at start; one final newline is removed.
    File(PathBuf),
    /// The password is read at start from the environment variable with this name.
    Env(String),
}

/// The waits between connection attempts. Each wait is a random time between zero and a bound that doubles from
/// `initial` to `max`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Backoff {
    /// The first bound after a lost or failed connection.
    pub initial: Duration,
    /// The largest bound.
    pub max: Duration,
    /// The first bound after a refusal that a retry will hardly change (CONNACK 1, 2, 4, 5).
    pub refused_initial: Duration,
    /// The largest bound after such refusals.
    pub refused_max: Duration,
    /// A connection that lasts this long resets the bound.
    pub stable: Duration,
}

impl Mqtt {
    pub(crate) fn read(section: Section<'_>) -> Self {
        let clean_session = section.flag("clean_session", true);
        let tls = Asked::read(&section);
        let port = section.whole("port", 1..=u16::MAX, tls.default_port());
        let mqtt = Self {
            host: host(&section),
            port,
            tls: tls.decide(&section, port),
            credentials: credentials(&section),
            client_id: client_id(&section, clean_session),
            will: notice::read(&section, "will"),
            birth: notice::read(&section, "birth"),
            clean_session,
            keepalive: section.whole("keepalive", 0..=u16::MAX, 60),
            connect_timeout: section.seconds("connect_timeout", 0.001..=3600.0, 10.0),
            backoff: Backoff::read(section.section("backoff")),
        };
        section.finish();
        mqtt
    }
}

impl Backoff {
    fn read(section: Section<'_>) -> Self {
        let backoff = Self {
            initial: section.seconds("initial", WAIT, 0.25),
            max: section.seconds("max", WAIT, 8.0),
            refused_initial: section.seconds("refused_initial", WAIT, 5.0),
            refused_max: section.seconds("refused_max", WAIT, 60.0),
            stable: section.seconds("stable", 0.0..=86_400.0, 10.0),
        };
        for (first, last, names) in [
            (backoff.initial, backoff.max, ("initial", "max")),
            (
                backoff.refused_initial,
                backoff.refused_max,
                ("refused_initial", "refused_max"),
            ),
        ] {
            if first > last {
                let (first, last) = (first.as_secs_f64(), last.as_secs_f64());
                section.problem(
                    names.0,
                    format!(
                        "is {first} s and more than `{}`, which is {last} s",
                        names.1
                    ),
                );
            }
        }
        section.finish();
        backoff
    }
}

fn host(section: &Section<'_>) -> String {
    let host = section.text("host").unwrap_or(DEFAULT_HOST);
    judge_host(section, host);
    host.to_owned()
}

/// Reports a `host` that is neither a host name nor an address.
pub(crate) fn judge_host(section: &Section<'_>, host: &str) {
    if let Some(allowed) = host_rule(host) {
        // What stands before `@` in an address is a login.
        let shown = match host.rsplit_once('@') {
            Some((_, host)) => format!("…@{host}"),
            None => host.to_owned(),
        };
        section.refuse("host", &Value::from(shown), allowed);
    }
}

/// What would be right, if `host` is neither a host name nor an address.
pub(crate) fn host_rule(host: &str) -> Option<&'static str> {
    if host.is_empty() {
        Some("the name or address of the broker")
    } else if host.contains("://") {
        Some("the host alone, without `://`; the port has its own key")
    } else if host.contains('@') {
        Some("the host alone; the user name and the password have their own keys")
    } else if host.starts_with('[') {
        Some("an IPv6 address without brackets")
    } else if host.matches(':').count() == 1 {
        Some("the host alone; the port has its own key")
    } else if host.len() > MAX_HOST_BYTES
        || host.contains(|c: char| c.is_control() || c.is_whitespace() || c == '/')
    {
        Some("a host name or IP address")
    } else {
        None
    }
}

fn credentials(section: &Section<'_>) -> Option<Credentials> {
    // The original treats an empty string as absent.
    let username = wire_text(section, "username").filter(|name| !name.is_empty());
    let (key, password) = password(section)?;
    let Some(username) = username else {
        if !key.is_empty() {
            // [MQTT-3.1.2-22]: no password flag without the user name flag.
            section.problem(
                key,
                "is given without `username`, which MQTT does not allow; add one or remove it",
            );
        }
        return None;
    };
    Some(Credentials {
        username: username.to_owned(),
        password,
    })
}

/// The password and its key; `None` when several keys give one.
fn password(section: &Section<'_>) -> Option<(&'static str, Password)> {
    let text = section
        .secret("password")
        .filter(|password| !password.expose().is_empty());
    if text
        .as_ref()
        .is_some_and(|password| password.expose().len() > MAX_WIRE_BYTES)
    {
        section.problem(
            "password",
            format!("is too long; allowed: at most {MAX_WIRE_BYTES} bytes"),
        );
    }
    let given = [
        text.map(|text| ("password", Password::Text(text))),
        section
            .path("password_file")
            .map(|path| ("password_file", Password::File(path))),
        variable(section).map(|name| ("password_env", Password::Env(name))),
    ];
    let mut given = given.into_iter().flatten();
    let first = given.next().unwrap_or(("", Password::None));
    let others: Vec<_> = given.map(|(key, _)| key).collect();
    for key in &others {
        section.problem(
            key,
            format!("is given together with `{}`; keep one of them", first.0),
        );
    }
    others.is_empty().then_some(first)
}

/// The name of an environment variable (POSIX XBD 8.1). Any other value may be the password itself and is not shown.
fn variable(section: &Section<'_>) -> Option<String> {
    let name = section
        .text("password_env")
        .filter(|name| !name.is_empty())?;
    let is_part = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'_';
    if !name.bytes().all(is_part) || name.starts_with(|c: char| c.is_ascii_digit()) {
        section.problem(
            "password_env",
            "is not the name of an environment variable; allowed: letters, digits and `_`, without `$`",
        );
    }
    Some(name.to_owned())
}

fn client_id(section: &Section<'_>, clean_session: bool) -> Option<String> {
    let id = wire_text(section, "client_id").filter(|id| !id.is_empty());
    if id.is_none() && !clean_session {
        // [MQTT-3.1.3-7]. A generated identifier would never find its session again.
        section.problem(
            "client_id",
            "is missing; `clean_session` false needs a client id that stays the same",
        );
    }
    id.map(str::to_owned)
}

/// A string of the CONNECT packet: [MQTT-1.5.3-2] and the 16-bit length of MQTT 3.1.1 §1.5.3.
fn wire_text<'a>(section: &Section<'a>, key: &'static str) -> Option<&'a str> {
    let text = section.text(key)?;
    if text.len() > MAX_WIRE_BYTES || text.contains('\0') {
        let allowed = format!("at most {MAX_WIRE_BYTES} bytes without the NUL character");
        section.refuse(key, &Value::from(text), &allowed);
    } else if let Some((_, character)) = unsendable(text) {
        let code = u32::from(character);
        section.warn(
            key,
            format!("contains U+{code:04X}, for which brokers may close the connection; no connection is made with it"),
        );
    }
    Some(text)
}

const DEFAULT_HOST: &str = "localhost";

/// The longest name DNS can carry, in its text form.
const MAX_HOST_BYTES: usize = 253;

const MAX_WIRE_BYTES: usize = 65_535;

/// Seconds between attempts: a shorter wait would flood a broker that is down, and nobody waits longer.
const WAIT: std::ops::RangeInclusive<f64> = 0.01..=3600.0;
