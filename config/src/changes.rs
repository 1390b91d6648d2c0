//! The differences between two configurations that take effect only after a restart.

use crate::mqtt::{Credentials, Mqtt, Password};
use crate::remote::{ApiKey, RemoteServer};
use crate::settings::Config;

impl Config {
    /// The keys that differ in `new` and that a running program cannot change: all keys except topics, profiles, logging,
    /// and the remote server's keys, peers, hosts and origins.
    pub fn fixed_changes(&self, new: &Self) -> Vec<String> {
        let mut changed = mqtt(&self.mqtt, &new.mqtt);
        match (&self.remote_server, &new.remote_server) {
            (Some(old), Some(new)) => changed.extend(remote(old, new)),
            (None, None) => {}
            _ => changed.push("remote_server"),
        }
        if self.observe != new.observe {
            changed.push("observe");
        }
        if self.audit != new.audit {
            changed.push("audit");
        }
        let mut changed: Vec<_> = changed.into_iter().map(str::to_owned).collect();
        for ((limit, old), (_, new)) in self.limits.iter().zip(new.limits.iter()) {
            if old != new && !IN_PROFILES.contains(&limit.name) {
                changed.push(format!("limits.{}", limit.name));
            }
        }
        changed
    }
}

impl ApiKey {
    /// Whether both accept the same API keys.
    pub fn is_same(&self, other: &Self) -> bool {
        match (self, other) {
            (Self::None, Self::None) | (Self::Unusable(_), Self::Unusable(_)) => true,
            (Self::Hashed(old), Self::Hashed(new)) => old.is_same(new),
            (Self::Plain(old), Self::Plain(new)) => old.matches(new.expose()),
            _ => false,
        }
    }
}

/// The limits that a profile takes over and that change with it.
const IN_PROFILES: [&str; 2] = ["publishes_per_second", "publishes_per_minute"];

fn mqtt(old: &Mqtt, new: &Mqtt) -> Vec<&'static str> {
    let keys = [
        ("mqtt.host", old.host != new.host),
        ("mqtt.port", old.port != new.port),
        ("mqtt.tls", old.tls != new.tls),
        (
            "mqtt.username and mqtt.password",
            !same_login(old.credentials.as_ref(), new.credentials.as_ref()),
        ),
        ("mqtt.client_id", old.client_id != new.client_id),
        ("mqtt.will", old.will != new.will),
        ("mqtt.birth", old.birth != new.birth),
        ("mqtt.clean_session", old.clean_session != new.clean_session),
        ("mqtt.keepalive", old.keepalive != new.keepalive),
        (
            "mqtt.connect_timeout",
            old.connect_timeout != new.connect_timeout,
        ),
        ("mqtt.backoff", old.backoff != new.backoff),
    ];
    changed(&keys)
}

fn remote(old: &RemoteServer, new: &RemoteServer) -> Vec<&'static str> {
    changed(&[
        ("remote_server.uds, host and port", old.listen != new.listen),
        ("remote_server.uds_mode", old.uds_mode != new.uds_mode),
        ("remote_server.tls", old.tls.is_some() != new.tls.is_some()),
        ("remote_server.metrics", old.metrics != new.metrics),
    ])
}

fn changed(keys: &[(&'static str, bool)]) -> Vec<&'static str> {
    let changed = keys.iter().filter(|(_, differs)| *differs);
    changed.map(|(key, _)| *key).collect()
}

fn same_login(old: Option<&Credentials>, new: Option<&Credentials>) -> bool {
    match (old, new) {
        (None, None) => true,
        (Some(old), Some(new)) => {
            old.username == new.username && same_password(&old.password, &new.password)
        }
        _ => false,
    }
}

fn same_password(old: &Password, new: &Password) -> bool {
    match (old, new) {
        (Password::None, Password::None) => true,
        (Password::Text(old), Password::Text(new)) => old.matches(new.expose()),
        (Password::File(old), Password::File(new)) => old == new,
        (Password::Env(old), Password::Env(new)) => old == new,
        _ => false,
    }
}
