//! The `remote_server` section: the HTTP listener and its access rules.

use std::net::IpAddr;
use std::path::PathBuf;

use mcpmqtt_protocol::topic::Shown;
use serde_json::Value;

use crate::callers::{self, CertificateRule, NamedKey, PeerRule};
use crate::host::{Host, Origin};
use crate::https::ServerTls;
use crate::kdf::KeyRecord;
use crate::key_check::KeyDigest;
use crate::mqtt::judge_host;
use crate::profile::Profiles;
use crate::secret::Secret;
use crate::section::{Section, found};

/// Settings of the HTTP server. Stdio does not need them, and works even if the API key cannot be used.
#[derive(Clone, Debug)]
pub struct RemoteServer {
    /// The address to listen on.
    pub listen: Listen,
    /// The permission bits of the socket file.
    pub uds_mode: u32,
    /// The hosts that requests may name. Empty: every host, but on a loopback port only this machine.
    pub allowed_hosts: Vec<Host>,
    /// The origins that web pages may have, besides this machine's.
    pub allowed_origins: Vec<Origin>,
    /// The check of the single API key, which is named `default`.
    pub api_key: ApiKey,
    /// The API keys with names.
    pub keys: Vec<NamedKey>,
    /// Whether the file has a list of keys: an empty one says that nobody is to come in.
    pub lists_keys: bool,
    /// The users of this machine that need no key on the Unix socket.
    pub peers: Vec<PeerRule>,
    /// The client certificates whose holders need no key.
    pub certificates: Vec<CertificateRule>,
    /// The settings of HTTPS on TCP; `None` for plain HTTP.
    pub tls: Option<ServerTls>,
    /// Where metrics are served without a key, on this machine only.
    pub metrics: Option<MetricsListen>,
}

/// A TCP port that only this machine can connect to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MetricsListen {
    /// The host: a loopback address, or `localhost`.
    pub host: String,
    /// The TCP port.
    pub port: u16,
}

/// An address to listen on.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Listen {
    /// A Unix domain socket at this path.
    Unix(PathBuf),
    /// A TCP port.
    Tcp {
        /// The name or address of the interface.
        host: String,
        /// The TCP port.
        port: u16,
    },
}

/// The check of API keys.
#[derive(Clone, Debug)]
pub enum ApiKey {
    /// No key is set: the HTTP server must not start.
    None,
    /// The key is checked by its hash.
    Hashed(KeyRecord),
    /// The key itself is in the file: accepted because the original accepts it, with a warning.
    Plain(Secret),
    /// The record cannot check any key, for this reason: the HTTP server must not start.
    Unusable(String),
}

impl RemoteServer {
    pub(crate) fn read(section: Section<'_>, profiles: &Profiles) -> Self {
        let mut server = Self {
            listen: listen(&section),
            uds_mode: mode(&section),
            allowed_hosts: list(&section, "allowed_hosts", HOSTS, |text| {
                Host::parse(text).filter(|host| !host.is_empty())
            }),
            allowed_origins: list(&section, "allowed_origins", ORIGINS, Origin::parse),
            api_key: api_key(&section),
            keys: Vec::new(),
            lists_keys: section.value("keys").is_some(),
            peers: callers::peers(&section, profiles),
            certificates: callers::certificates(&section, profiles),
            tls: section
                .value("tls")
                .map(|_| ServerTls::read(section.section("tls"))),
            metrics: section
                .value("metrics")
                .map(|_| MetricsListen::read(section.section("metrics"))),
        };
        server.keys = callers::keys(&section, profiles, &server.api_key);
        if server.tls.is_some() && matches!(server.listen, Listen::Unix(_)) {
            section.warn(
                "tls",
                "a Unix socket has none; set `port`, or let systemd pass a TCP socket",
            );
        }
        if !server.peers.is_empty() && matches!(server.listen, Listen::Tcp { .. }) {
            section.warn(
                "peers",
                "are not used on TCP, which does not tell the user of a client; each client needs a key",
            );
        }
        if !server.certificates.is_empty() && !server.asks_for_certificates() {
            section.warn(
                "certificates",
                "are not used without `tls.client_ca_file` on a TCP port: clients are not asked for one",
            );
        }
        section.finish();
        server
    }

    /// Whether clients have to show a certificate.
    fn asks_for_certificates(&self) -> bool {
        let tls = self.tls.as_ref();
        let is_asked = tls.is_some_and(|tls| tls.client_ca_file.is_some());
        is_asked && matches!(self.listen, Listen::Tcp { .. })
    }

    /// Whether anybody can come in: with a key, as a user of this machine or with a certificate.
    #[must_use]
    pub fn has_a_way_in(&self) -> bool {
        let by_single = matches!(self.api_key, ApiKey::Hashed(_) | ApiKey::Plain(_));
        let by_peer = matches!(self.listen, Listen::Unix(_)) && !self.peers.is_empty();
        let by_certificate = self.asks_for_certificates() && !self.certificates.is_empty();
        by_single || by_peer || by_certificate || !self.keys.is_empty()
    }
}

impl ApiKey {
    /// Whether the file has the single key.
    pub(crate) fn is_some(&self) -> bool {
        !matches!(self, Self::None)
    }

    /// The digest of the key, if it is known without the key.
    #[must_use]
    pub fn digest(&self) -> Option<KeyDigest> {
        match self {
            Self::Plain(key) => Some(KeyDigest::of(key.expose())),
            Self::Hashed(record) => record.digest(),
            Self::None | Self::Unusable(_) => None,
        }
    }
}

impl MetricsListen {
    fn read(section: Section<'_>) -> Self {
        let host = section.text("host").unwrap_or(METRICS_HOST);
        let is_loopback = host
            .parse()
            .is_ok_and(|address: IpAddr| address.is_loopback());
        if !is_loopback && host != "localhost" {
            let allowed = "an address that only this machine can reach, as `127.0.0.1`";
            section.refuse("host", &Value::from(host), allowed);
        }
        if section.value("port").is_none() {
            section.problem(
                "port",
                "is missing; allowed: a whole number from 1 to 65535",
            );
        }
        let listen = Self {
            host: host.to_owned(),
            port: section.whole("port", 1..=u16::MAX, 1),
        };
        section.finish();
        listen
    }
}

/// Reads the listening address: TCP when a port is given, otherwise the Unix socket.
fn listen(section: &Section<'_>) -> Listen {
    let host = section
        .text("host")
        .filter(|host| !host.is_empty())
        .unwrap_or(DEFAULT_HOST);
    let uds = section.text("uds").unwrap_or(DEFAULT_SOCKET);
    if uds.is_empty() || uds.contains('\0') {
        section.refuse("uds", &Value::from(uds), "the path of a socket");
    }
    if section.value("port").is_some() {
        judge_host(section, host);
        return Listen::Tcp {
            host: host.to_owned(),
            port: section.whole("port", 1..=u16::MAX, 1),
        };
    }
    // A file that names a socket needs no hint about the missing port.
    if section.value("host").is_some() && section.value("uds").is_none() {
        let socket = Shown(uds);
        section.warn(
            "host",
            format!("is not used without `port`: the server listens on the socket {socket}"),
        );
    }
    Listen::Unix(uds.into())
}

/// Reads the file mode from a string: JSON has no octal numbers, and the number 660 would mean another mode.
fn mode(section: &Section<'_>) -> u32 {
    let Some(value) = section.value("uds_mode") else {
        return DEFAULT_MODE;
    };
    let digits = value.as_str().filter(|text| {
        matches!(text.len(), 3 | 4) && text.bytes().all(|byte| byte.is_ascii_digit())
    });
    let mode = digits.and_then(|text| u32::from_str_radix(text, 8).ok());
    match mode.filter(|mode| *mode <= 0o777) {
        Some(mode) => {
            if mode & 0o006 != 0 {
                section.warn("uds_mode", "every user of this machine may connect");
            }
            mode
        }
        None => {
            section.refuse(
                "uds_mode",
                value,
                "octal digits in a string, as in \"0660\"",
            );
            DEFAULT_MODE
        }
    }
}

fn list<T>(
    section: &Section<'_>,
    key: &'static str,
    allowed: &str,
    parse: fn(&str) -> Option<T>,
) -> Vec<T> {
    let entries = match section.value(key) {
        None => return Vec::new(),
        Some(Value::Array(entries)) => entries,
        Some(other) => {
            section.refuse(key, other, &format!("a list of {allowed}"));
            return Vec::new();
        }
    };
    let mut parsed = Vec::new();
    for (index, entry) in entries.iter().enumerate() {
        match entry.as_str().and_then(parse) {
            Some(entry) => parsed.push(entry),
            None => {
                let text = format!("found {}; allowed: {allowed}", found(entry));
                let path = format!("{}[{index}]", section.path_of(key));
                section.report().problem(path, text);
            }
        }
    }
    parsed
}

fn api_key(section: &Section<'_>) -> ApiKey {
    let plain = section.secret("api_key");
    if plain.as_ref().is_some_and(|key| key.expose().is_empty()) {
        section.problem(
            "api_key",
            "is empty; allowed: a key of at least one character",
        );
    }
    if section.value("api_key_kdf").is_none() {
        if section.value("api_key_check").is_some() {
            section.warn("api_key_check", "not used without `api_key_kdf`");
        }
        return match plain {
            Some(key) => {
                section.warn(
                    "api_key",
                    "the key is in plain text; replace it by a hash with `--genkey`",
                );
                ApiKey::Plain(key)
            }
            None => ApiKey::None,
        };
    }
    if plain.is_some() {
        section.warn(
            "api_key",
            "not used beside `api_key_kdf`, and in plain text; remove it",
        );
    }
    let check = section.value("api_key_check").is_some();
    let check = check.then(|| section.section("api_key_check"));
    match KeyRecord::read(section.section("api_key_kdf"), check) {
        Ok(record) => ApiKey::Hashed(record),
        Err(reason) => {
            section.warn(
                "api_key_kdf",
                format!("no key can be checked: {reason}; `--genkey` makes a new key"),
            );
            ApiKey::Unusable(reason)
        }
    }
}

/// All interfaces, as in the original, but only when a port is given.
pub(crate) const DEFAULT_HOST: &str = "0.0.0.0";
const METRICS_HOST: &str = "127.0.0.1";
pub(crate) const DEFAULT_SOCKET: &str = "/var/run/mcpmqtt.sock";
/// Read and write for the owner and the group.
pub(crate) const DEFAULT_MODE: u32 = 0o660;
const HOSTS: &str = "host names or addresses, with or without a port";
const ORIGINS: &str = "origins as browsers send them, as in `https://app.example`";
