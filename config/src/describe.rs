//! Describes the configuration for `--check`: every setting as understood, without secrets.

use std::fmt::Write as _;
use std::path::Path;
use std::time::Duration;

use mcpmqtt_protocol::message::Message;
use mcpmqtt_protocol::topic::{Shown, ShownPath};

use crate::audit::Audit;
use crate::callers::{NamedKey, PeerRule, PeerUser};
use crate::limits::Limits;
use crate::mqtt::{Credentials, Mqtt, Password};
use crate::observe::Observe;
use crate::operator::Operator;
use crate::policy::Grant;
use crate::profile::{Profile, Quota, Tools};
use crate::remote::{ApiKey, DEFAULT_HOST, DEFAULT_MODE, DEFAULT_SOCKET, Listen, RemoteServer};
use crate::settings::Config;
use crate::tls::{TLS_PORT, Tls, Trust};
use crate::write_rule::WriteRule;

impl Config {
    /// Describes the configuration with one statement a line; settings equal to the built-in default are marked as
    /// default.
    pub fn describe(&self) -> String {
        let default = Self::without_file();
        let mut lines = broker(&self.mqtt, &default.mqtt);
        lines.extend(self.policy.grants().map(topic));
        lines.extend(counting(self));
        if self.policy.grants().len() == 0 {
            lines.push("topics: none; everything is refused".to_owned());
        }
        for (name, it) in self.profiles.named() {
            lines.extend(profile(name, it, &self.limits));
        }
        lines.extend(rules(
            "default",
            self.profiles.default_profile(),
            &self.limits,
        ));
        let logging = &self.logging;
        let target = match &logging.logfile {
            Some(path) => file(path),
            None => "standard error (default)".to_owned(),
        };
        let level = marked(logging.level, logging.level == default.logging.level);
        lines.push(format!("logging: {level} and above to {target}"));
        lines.push(match &self.remote_server {
            Some(server) => remote(server),
            None => "remote server: not configured (default)".to_owned(),
        });
        lines.extend(limits(&self.limits));
        lines.extend(observe(&self.observe));
        lines.extend(operator(&self.operator));
        lines.extend(self.audit.as_ref().map(Audit::to_string));
        lines.iter().fold(String::new(), |mut text, line| {
            let _ = writeln!(text, "{line}");
            text
        })
    }
}

/// What is observed, where it differs from the default.
fn observe(observe: &Observe) -> Option<String> {
    if *observe == Observe::default() {
        return None;
    }
    let always = match observe.always.len() {
        0 => "nothing".to_owned(),
        _ => {
            let shown = observe
                .always
                .iter()
                .map(|it| Shown(it.as_str()).to_string());
            shown.collect::<Vec<_>>().join(", ")
        }
    };
    Some(format!(
        "observation: always {always}; other filters until {} s after their last use; at most {} topics, {} bytes, {} \
         bytes a second",
        observe.idle.as_secs_f64(),
        observe.topics,
        observe.bytes,
        observe.bytes_per_second
    ))
}

/// What the operator has, where it is anything.
fn operator(operator: &Operator) -> Vec<String> {
    let topic = operator.topic.as_ref().map(|topic| {
        let signed = match &operator.secret_file {
            Some(path) => format!("; what signs its messages is in {}", file(path)),
            None => String::new(),
        };
        let unprotected = match operator.unprotected {
            true => "; answers count although this account could write them",
            false => "",
        };
        format!(
            "operator: topics below {}, which no agent reads or writes{signed}{unprotected}",
            Shown(topic.as_str())
        )
    });
    let safe = operator.safe.iter().map(|safe| {
        let payload = String::from_utf8_lossy(&safe.payload);
        format!(
            "operator: {} to {} is permitted while writing is halted",
            Shown(&payload),
            Shown(safe.topic.as_str())
        )
    });
    topic.into_iter().chain(safe).collect()
}

/// The limits that differ from their default.
fn limits(limits: &Limits) -> Vec<String> {
    let changed = limits
        .iter()
        .filter(|(limit, value)| *value != limit.default);
    let mut lines: Vec<_> = changed
        .map(|(limit, value)| {
            format!(
                "limit {}: {value} {} (default {})",
                limit.name, limit.unit, limit.default
            )
        })
        .collect();
    if lines.is_empty() {
        lines.push("limits: all (default)".to_owned());
    }
    lines
}

/// Marks a setting that is the default.
fn marked(setting: impl std::fmt::Display, is_default: bool) -> String {
    let mark = if is_default { " (default)" } else { "" };
    format!("{setting}{mark}")
}

fn broker(mqtt: &Mqtt, default: &Mqtt) -> Vec<String> {
    // Port 8883 may be the default of TLS, or the reason for TLS.
    let is_default_port = mqtt.port == default.port && mqtt.tls.is_none();
    let is_default = (mqtt.host == default.host, is_default_port);
    let address = marked_address(&mqtt.host, mqtt.port, is_default);
    let keepalive = match mqtt.keepalive {
        0 => "off".to_owned(),
        seconds => format!("{seconds} s"),
    };
    let session = if mqtt.clean_session {
        "clean session (default)"
    } else {
        "session kept by the broker"
    };
    let id = match &mqtt.client_id {
        Some(id) => Shown(id).to_string(),
        None => "generated (default)".to_owned(),
    };
    let wait = &mqtt.backoff;
    let timeout = seconds(mqtt.connect_timeout);
    let waits = format!(
        "within {} up to {}; when refused, after {} up to {}; anew after {} connected",
        seconds(wait.initial),
        seconds(wait.max),
        seconds(wait.refused_initial),
        seconds(wait.refused_max),
        seconds(wait.stable)
    );
    let mut lines = vec![
        format!(
            "broker: {address} {}, connect timeout {}, keep-alive {}",
            marked(
                tls(mqtt.tls.as_ref()),
                mqtt.tls == default.tls && mqtt.port != TLS_PORT
            ),
            marked(timeout, mqtt.connect_timeout == default.connect_timeout),
            marked(keepalive, mqtt.keepalive == default.keepalive),
        ),
        format!("session: {session}, client id {id}"),
        format!("credentials: {}", credentials(mqtt.credentials.as_ref())),
        format!("reconnect: {}", marked(waits, *wait == default.backoff)),
    ];
    let notices = [("will", &mqtt.will), ("birth", &mqtt.birth)];
    for (name, message) in notices {
        lines.extend(message.as_ref().map(|message| notice(name, message)));
    }
    lines
}

fn notice(name: &str, message: &Message) -> String {
    let kept = if message.retain { ", retained" } else { "" };
    format!(
        "{name}: {} bytes to {}, QoS {}{kept}",
        message.payload.len(),
        Shown(message.topic.as_str()),
        message.qos as u8
    )
}

fn tls(tls: Option<&Tls>) -> String {
    let Some(tls) = tls else {
        return "without TLS".to_owned();
    };
    let mut text = match &tls.trust {
        Trust::System => "with TLS trusting the authorities of this system".to_owned(),
        Trust::File(path) => format!("with TLS trusting the authorities in {}", file(path)),
        Trust::Anyone => "with TLS that accepts any certificate".to_owned(),
    };
    if let Some(name) = &tls.server_name {
        let _ = write!(text, ", for the name {}", Shown(name));
    }
    if let Some(identity) = &tls.identity {
        let (cert, key) = (file(&identity.cert_file), file(&identity.key_file));
        let _ = write!(text, ", as the certificate in {cert} with the key in {key}");
    }
    text
}

fn file(path: &Path) -> String {
    ShownPath(path).to_string()
}

fn address(host: &str, port: u16) -> String {
    let shown = ShownPath(Path::new(host)).to_string();
    let host = shown.trim_matches('`');
    if host.contains(':') {
        format!("[{host}]:{port}")
    } else {
        format!("{host}:{port}")
    }
}

/// An address whose host, port or both are defaults.
fn marked_address(host: &str, port: u16, is_default: (bool, bool)) -> String {
    let mark = match is_default {
        (true, true) => " (default)",
        (true, false) => " (default host)",
        (false, true) => " (default port)",
        (false, false) => "",
    };
    format!("{}{mark}", address(host, port))
}

fn credentials(credentials: Option<&Credentials>) -> String {
    let Some(Credentials { username, password }) = credentials else {
        return "none (default)".to_owned();
    };
    let user = Shown(username);
    match password {
        Password::None => format!("user {user} without password"),
        Password::Text(_) => format!("user {user} with the password of the file"),
        Password::File(path) => format!("user {user} with the password in {}", file(path)),
        Password::Env(name) => format!(
            "user {user} with the password in the environment variable {}",
            Shown(name)
        ),
    }
}

fn topic(grant: &Grant) -> String {
    let permissions: Vec<_> = grant.permissions.names().collect();
    let description = match grant.description.as_deref().map(str::trim) {
        None | Some("") => "no description".to_owned(),
        Some(text) => Shown(text).to_string(),
    };
    let payload = grant
        .payload
        .as_ref()
        .map(|rule| format!("; payload: {rule}"));
    let mut text = format!(
        "topic {}: {}{}; {description}",
        Shown(grant.pattern.as_str()),
        permissions.join(", "),
        payload.unwrap_or_default()
    );
    for rule in &grant.write {
        let _ = write!(text, "; writes: {rule} (`{}`)", rule.place);
    }
    if let Some(consent) = grant.consent {
        let _ = write!(text, "; consent: {}", consent.words());
    }
    text
}

/// Who counts, where rules on writes count or compare.
fn counting(config: &Config) -> Option<String> {
    let default = config.profiles.default_profile();
    let profiles = config.profiles.named().map(|(_, profile)| profile);
    let all = std::iter::once(default).chain(profiles);
    let mut rules = all.flat_map(|profile| profile.policy.grants().flat_map(|it| &it.write));
    rules.any(WriteRule::counts).then(|| COUNTING.to_owned())
}

const COUNTING: &str = "writes: intervals, rates and changes are counted by each process for itself, and every agent that \
                        starts its own mcpmqtt over stdio has its own; limits for a whole plant need one remote server \
                        for all agents";

/// What a profile permits: its topics, then what else it sets.
fn profile(name: &str, profile: &Profile, limits: &Limits) -> Vec<String> {
    let of_it = |line: String| format!("profile {}: {line}", Shown(name));
    let mut lines: Vec<_> = profile.policy.grants().map(topic).map(of_it).collect();
    if lines.is_empty() {
        lines.push(of_it("topics: none; everything is refused".to_owned()));
    }
    lines.extend(rules(name, profile, limits));
    lines
}

/// What a profile sets beside its topics.
fn rules(name: &str, profile: &Profile, limits: &Limits) -> Option<String> {
    let mut rules = Vec::new();
    if let Tools::Only(names) = &profile.tools {
        let names: Vec<_> = names.iter().map(|name| format!("`{name}`")).collect();
        rules.push(match names.is_empty() {
            true => "no tool".to_owned(),
            false => format!("tools {}", names.join(", ")),
        });
    }
    let (quota, usual) = (profile.quota, Quota::of(limits));
    if quota != usual {
        let each = [
            ("publishes_per_second", quota.per_second),
            ("publishes_per_minute", quota.per_minute),
        ];
        rules.extend(each.map(|(name, value)| format!("{name} {value}")));
    }
    (!rules.is_empty()).then(|| format!("profile {}: {}", Shown(name), rules.join("; ")))
}

fn remote(server: &RemoteServer) -> String {
    let listen = match &server.listen {
        Listen::Unix(path) => format!(
            "Unix socket {}, mode {}",
            marked(file(path), path == Path::new(DEFAULT_SOCKET)),
            marked(
                format_args!("{:04o}", server.uds_mode),
                server.uds_mode == DEFAULT_MODE
            )
        ),
        Listen::Tcp { host, port } => marked_address(host, *port, (host == DEFAULT_HOST, false)),
    };
    let key = match &server.api_key {
        ApiKey::None if server.has_a_way_in() => "no single API key".to_owned(),
        ApiKey::None => "no API key, so it cannot start; `--genkey` makes one".to_owned(),
        ApiKey::Hashed(_) => "API key hashed".to_owned(),
        ApiKey::Plain(_) => "API key in plain text".to_owned(),
        ApiKey::Unusable(reason) if server.has_a_way_in() => {
            format!("no usable single API key ({reason})")
        }
        ApiKey::Unusable(reason) => {
            format!("no usable API key ({reason}), so it cannot start; `--genkey` makes one")
        }
    };
    let mut text = format!("remote server: {listen}, {key}");
    for one in callers(server) {
        let _ = write!(text, ", {one}");
    }
    for (what, names) in [
        ("hosts", names(&server.allowed_hosts)),
        ("origins", names(&server.allowed_origins)),
    ] {
        if !names.is_empty() {
            let _ = write!(text, ", {what} {names}");
        }
    }
    if let Some(tls) = &server.tls {
        let (cert, key) = (file(&tls.identity.cert_file), file(&tls.identity.key_file));
        let _ = write!(
            text,
            ", HTTPS as the certificate in {cert} with the key in {key}"
        );
        if let Some(path) = &tls.client_ca_file {
            let _ = write!(
                text,
                ", for clients with a certificate of the authorities in {}",
                file(path)
            );
        }
    }
    if let Some(metrics) = &server.metrics {
        let place = address(&metrics.host, metrics.port);
        let _ = write!(text, ", metrics on {place} without a key");
    }
    text
}

/// Who comes in beside the holders of the single key.
fn callers(server: &RemoteServer) -> Vec<String> {
    let keys = server.keys.iter().map(named_key);
    let certificates = server.certificates.iter().map(|it| {
        let (subject, profile) = (Shown(&it.subject), Shown(&it.profile));
        format!("certificate {subject} with profile {profile}")
    });
    keys.chain(server.peers.iter().map(peer))
        .chain(certificates)
        .collect()
}

fn named_key(key: &NamedKey) -> String {
    let expires = key.expires.as_ref();
    let until = expires.map(|it| format!(" until {}", it.as_str()));
    let (name, profile) = (Shown(&key.name), Shown(&key.profile));
    format!(
        "key {name} with profile {profile}{}",
        until.unwrap_or_default()
    )
}

fn peer(peer: &PeerRule) -> String {
    let profile = Shown(&peer.profile);
    match &peer.user {
        PeerUser::Id(id) => format!("user {id} with profile {profile}"),
        PeerUser::Name(name) => format!("user {} with profile {profile}", Shown(name)),
    }
}

fn names(list: &[impl std::fmt::Display]) -> String {
    let names: Vec<_> = list.iter().map(|name| format!("`{name}`")).collect();
    names.join(" ")
}

fn seconds(time: Duration) -> String {
    format!("{} s", time.as_secs_f64())
}
