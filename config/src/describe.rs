//! The configuration in words: every rule as it was understood, no secret. For `--check`.

use std::fmt::Write as _;
use std::path::Path;
use std::time::Duration;

use mcpmqtt_protocol::message::Message;
use mcpmqtt_protocol::topic::{Shown, ShownPath};

use crate::mqtt::{Credentials, Mqtt, Password};
use crate::policy::Grant;
use crate::remote::{ApiKey, Listen, RemoteServer};
use crate::settings::Config;
use crate::tls::{Tls, Trust};

impl Config {
    /// What this configuration means, one statement a line.
    pub fn describe(&self) -> String {
        let mut lines = broker(&self.mqtt);
        lines.extend(self.policy.grants().map(topic));
        if self.policy.grants().len() == 0 {
            lines.push("topics: none; everything is refused".to_owned());
        }
        lines.push(match &self.logging.logfile {
            Some(path) => format!(
                "logging: {} and above to {}",
                self.logging.level,
                file(path)
            ),
            None => format!(
                "logging: {} and above to standard error",
                self.logging.level
            ),
        });
        lines.push(match &self.remote_server {
            Some(server) => remote(server),
            None => "remote server: not configured".to_owned(),
        });
        for (limit, value) in self
            .limits
            .iter()
            .filter(|(limit, value)| *value != limit.default)
        {
            lines.push(format!(
                "limit {}: {value} {} (default {})",
                limit.name, limit.unit, limit.default
            ));
        }
        lines.iter().fold(String::new(), |mut text, line| {
            let _ = writeln!(text, "{line}");
            text
        })
    }
}

fn broker(mqtt: &Mqtt) -> Vec<String> {
    let address = address(&mqtt.host, mqtt.port);
    let keepalive = match mqtt.keepalive {
        0 => "off".to_owned(),
        seconds => format!("{seconds} s"),
    };
    let session = if mqtt.clean_session {
        "clean session"
    } else {
        "session kept by the broker"
    };
    let id = match &mqtt.client_id {
        Some(id) => Shown(id).to_string(),
        None => "generated".to_owned(),
    };
    let wait = &mqtt.backoff;
    let mut lines = vec![
        format!(
            "broker: {address} {}, connect timeout {}, keep-alive {keepalive}",
            tls(mqtt.tls.as_ref()),
            seconds(mqtt.connect_timeout)
        ),
        format!("session: {session}, client id {id}"),
        format!("credentials: {}", credentials(mqtt.credentials.as_ref())),
        format!(
            "reconnect: within {} up to {}; when refused, after {} up to {}; anew after {} connected",
            seconds(wait.initial),
            seconds(wait.max),
            seconds(wait.refused_initial),
            seconds(wait.refused_max),
            seconds(wait.stable)
        ),
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
        Trust::Anyone => "with TLS trusting anyone".to_owned(),
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

fn credentials(credentials: Option<&Credentials>) -> String {
    let Some(Credentials { username, password }) = credentials else {
        return "none".to_owned();
    };
    let user = Shown(username);
    match password {
        Password::None => format!("user {user} without password"),
        Password::Text(_) => format!("user {user} with the password of the file"),
        Password::File(path) => format!("user {user} with the password in {}", file(path)),
    }
}

fn topic(grant: &Grant) -> String {
    let permissions: Vec<_> = grant.permissions.names().collect();
    format!(
        "topic {}: {}",
        Shown(grant.pattern.as_str()),
        permissions.join(", ")
    )
}

fn remote(server: &RemoteServer) -> String {
    let listen = match &server.listen {
        Listen::Unix(path) => format!("Unix socket {}, mode {:04o}", file(path), server.uds_mode),
        Listen::Tcp { host, port } => address(host, *port),
    };
    let key = match &server.api_key {
        ApiKey::None => "no API key, so it cannot start; `--genkey` makes one".to_owned(),
        ApiKey::Hashed(_) => "API key hashed".to_owned(),
        ApiKey::Plain(_) => "API key in plain text".to_owned(),
        ApiKey::Unusable(reason) => {
            format!("no usable API key ({reason}), so it cannot start; `--genkey` makes one")
        }
    };
    let mut text = format!("remote server: {listen}, {key}");
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

fn names(list: &[impl std::fmt::Display]) -> String {
    let names: Vec<_> = list.iter().map(|name| format!("`{name}`")).collect();
    names.join(" ")
}

fn seconds(time: Duration) -> String {
    format!("{} s", time.as_secs_f64())
}
