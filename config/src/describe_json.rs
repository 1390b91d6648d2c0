//! The configuration as JSON: the content of [`Config::describe`] for programs, without secrets.

use std::path::Path;
use std::time::Duration;

use mcpmqtt_protocol::message::Message;
use mcpmqtt_protocol::topic::TopicFilter;
use serde_json::{Map, Value, json};

use crate::audit::{Audit, AuditSync};
use crate::callers::{CertificateRule, NamedKey, PeerRule, PeerUser};
use crate::date::Expiry;
use crate::finding::{Finding, Refused};
use crate::https::ServerTls;
use crate::mqtt::{Backoff, Credentials, Mqtt, Password};
use crate::observe::Observe;
use crate::operator::{Operator, OperatorTopic};
use crate::policy::Grant;
use crate::profile::{Profile, Profiles, Tools};
use crate::remote::{ApiKey, Listen, RemoteServer};
use crate::settings::Config;
use crate::tls::{Identity, Tls, Trust};
use crate::write_rule::WriteRule;

impl Config {
    /// The configuration with the warnings that [`parse`](Self::parse) returned beside it: an object with `broker`,
    /// `topics`, `logging`, `remote_server`, `limits`, `observe` and `findings`, `profiles` where there is more than
    /// the default, `operator` where the file has something of it, and `audit` where there is one. Times are in seconds.
    pub fn describe_json(&self, warnings: &[Finding]) -> Value {
        let limits = self.limits.iter().map(|(limit, value)| {
            let numbers = json!({"value": value, "default": limit.default, "unit": limit.unit});
            (limit.name.to_owned(), numbers)
        });
        let described = json!({
            "broker": broker(&self.mqtt),
            "topics": self.policy.grants().map(topic).collect::<Vec<_>>(),
            "logging": {
                "level": self.logging.level.to_string(),
                "logfile": self.logging.logfile.as_deref().map(file),
            },
            "remote_server": self.remote_server.as_ref().map(remote),
            "limits": limits.collect::<Map<_, _>>(),
            "observe": observe(&self.observe),
            "findings": findings(&[], warnings),
        });
        let optional = [
            ("profiles", profiles(&self.profiles)),
            ("operator", operator(&self.operator)),
            ("audit", self.audit.as_ref().map(audit)),
        ];
        with(described, optional)
    }
}

fn audit(audit: &Audit) -> Value {
    let sync: Value = match audit.sync {
        AuditSync::Within(period) => seconds(period).into(),
        sync => sync.to_string().into(),
    };
    let feed = audit
        .feed
        .map(|feed| json!({"payload": feed.payload, "per_second": feed.per_second}));
    json!({
        "file": file(&audit.file),
        "payload": audit.payload.name(),
        "max_bytes": audit.max_bytes,
        "keep": audit.keep,
        "sync": sync,
        "required": audit.required,
        "reads": audit.reads,
        "feed": feed,
    })
}

fn operator(operator: &Operator) -> Option<Value> {
    if *operator == Operator::default() {
        return None;
    }
    let safe = operator.safe.iter().map(|safe| {
        let payload = String::from_utf8_lossy(&safe.payload);
        json!({"topic": safe.topic.as_str(), "payload": payload})
    });
    Some(json!({
        "topic": operator.topic.as_ref().map(OperatorTopic::as_str),
        "secret_file": operator.secret_file.as_deref().map(file),
        "unprotected": operator.unprotected,
        "safe": safe.collect::<Vec<_>>(),
    }))
}

fn observe(observe: &Observe) -> Value {
    let always = observe.always.iter().map(TopicFilter::as_str);
    json!({
        "idle": observe.idle.as_secs_f64(),
        "always": always.collect::<Vec<_>>(),
        "topics": observe.topics,
        "bytes": observe.bytes,
        "bytes_per_second": observe.bytes_per_second,
    })
}

impl Refused {
    /// The faults and warnings: an object with `findings`, each with `path`, `text` and `severity`.
    pub fn describe_json(&self) -> Value {
        json!({ "findings": findings(&self.problems, &self.warnings) })
    }
}

fn findings(problems: &[Finding], warnings: &[Finding]) -> Vec<Value> {
    let finding = |severity: &'static str| move |Finding { path, text }: &Finding| json!({"path": path, "text": text, "severity": severity});
    let problems = problems.iter().map(finding("error"));
    problems
        .chain(warnings.iter().map(finding("warning")))
        .collect()
}

fn broker(mqtt: &Mqtt) -> Value {
    json!({
        "host": mqtt.host,
        "port": mqtt.port,
        "tls": mqtt.tls.as_ref().map(tls),
        "credentials": mqtt.credentials.as_ref().map(credentials),
        "client_id": mqtt.client_id,
        "clean_session": mqtt.clean_session,
        "keepalive": mqtt.keepalive,
        "connect_timeout": seconds(mqtt.connect_timeout),
        "backoff": backoff(&mqtt.backoff),
        "will": mqtt.will.as_ref().map(notice),
        "birth": mqtt.birth.as_ref().map(notice),
    })
}

fn tls(tls: &Tls) -> Value {
    let (trust, ca_file) = match &tls.trust {
        Trust::System => ("system", None),
        Trust::File(path) => ("ca_file", Some(file(path))),
        Trust::Anyone => ("anyone", None),
    };
    json!({
        "trust": trust,
        "ca_file": ca_file,
        "server_name": tls.server_name,
        "identity": tls.identity.as_ref().map(identity),
    })
}

fn identity(identity: &Identity) -> Value {
    json!({"cert_file": file(&identity.cert_file), "key_file": file(&identity.key_file)})
}

/// The source of the password, never the password.
fn credentials(Credentials { username, password }: &Credentials) -> Value {
    let (source, name) = match password {
        Password::None => ("none", None),
        Password::Text(_) => ("password", None),
        Password::File(path) => ("password_file", Some(file(path))),
        Password::Env(name) => ("password_env", Some(name.clone())),
    };
    json!({"username": username, "password_from": source, "name": name})
}

fn backoff(wait: &Backoff) -> Value {
    json!({
        "initial": seconds(wait.initial),
        "max": seconds(wait.max),
        "refused_initial": seconds(wait.refused_initial),
        "refused_max": seconds(wait.refused_max),
        "stable": seconds(wait.stable),
    })
}

fn notice(message: &Message) -> Value {
    json!({
        "topic": message.topic.as_str(),
        "bytes": message.payload.len(),
        "qos": message.qos as u8,
        "retain": message.retain,
    })
}

fn topic(grant: &Grant) -> Value {
    let mut topic = json!({
        "pattern": grant.pattern.as_str(),
        "permissions": grant.permissions.names().collect::<Vec<_>>(),
        "description": grant.description,
    });
    if let (Some(payload), Some(keys)) = (&grant.payload, topic.as_object_mut()) {
        keys.insert("payload".to_owned(), payload.to_json());
    }
    let rule = |rule: &WriteRule| json!({"place": rule.place, "limits": rule.to_string()});
    let rules: Vec<_> = grant.write.iter().map(rule).collect();
    if let Some(members) = topic.as_object_mut().filter(|_| !rules.is_empty()) {
        members.insert("write".into(), rules.into());
    }
    if let (Some(consent), Some(members)) = (grant.consent, topic.as_object_mut()) {
        members.insert("consent".into(), consent.name().into());
    }
    topic
}

/// The profiles by name; `None` for a file that has only topics.
fn profiles(profiles: &Profiles) -> Option<Value> {
    let default = profiles.default_profile();
    if profiles.named().len() == 0 && default.tools == Tools::All {
        return None;
    }
    let named = profiles
        .named()
        .map(|(name, it)| (name.to_owned(), profile(it)));
    let default = (Profiles::DEFAULT.to_owned(), profile(default));
    Some(
        std::iter::once(default)
            .chain(named)
            .collect::<Map<_, _>>()
            .into(),
    )
}

fn profile(profile: &Profile) -> Value {
    let tools = match &profile.tools {
        Tools::All => None,
        Tools::Only(names) => Some(names),
    };
    json!({
        "topics": profile.policy.grants().map(topic).collect::<Vec<_>>(),
        "tools": tools,
        "publishes_per_second": profile.quota.per_second,
        "publishes_per_minute": profile.quota.per_minute,
    })
}

/// A key without its hash.
fn named_key(key: &NamedKey) -> Value {
    json!({
        "name": key.name,
        "profile": key.profile,
        "created": key.created,
        "expires": key.expires.as_ref().map(Expiry::as_str),
    })
}

fn peer(peer: &PeerRule) -> Value {
    let user: Value = match &peer.user {
        PeerUser::Id(id) => (*id).into(),
        PeerUser::Name(name) => name.as_str().into(),
    };
    json!({"user": user, "profile": peer.profile})
}

fn certificate(certificate: &CertificateRule) -> Value {
    json!({"subject": certificate.subject, "profile": certificate.profile})
}

fn remote(server: &RemoteServer) -> Value {
    let (api_key, unusable) = match &server.api_key {
        ApiKey::None => ("none", None),
        ApiKey::Hashed(_) => ("hashed", None),
        ApiKey::Plain(_) => ("plain", None),
        ApiKey::Unusable(reason) => ("unusable", Some(reason)),
    };
    let described = json!({
        "listen": listen(server),
        "api_key": api_key,
        "api_key_fault": unusable,
        "allowed_hosts": server.allowed_hosts.iter().map(ToString::to_string).collect::<Vec<_>>(),
        "allowed_origins": server.allowed_origins.iter().map(ToString::to_string).collect::<Vec<_>>(),
        "tls": server.tls.as_ref().map(https),
        "metrics": server.metrics.as_ref().map(|metrics| json!({"host": metrics.host, "port": metrics.port})),
    });
    let listed = |values: Vec<Value>| (!values.is_empty()).then(|| values.into());
    let certificates = server.certificates.iter().map(certificate);
    with(
        described,
        [
            ("keys", listed(server.keys.iter().map(named_key).collect())),
            ("peers", listed(server.peers.iter().map(peer).collect())),
            ("certificates", listed(certificates.collect())),
        ],
    )
}

/// An object with these members more, as far as they are there.
fn with<const N: usize>(mut object: Value, members: [(&str, Option<Value>); N]) -> Value {
    if let Some(object) = object.as_object_mut() {
        let members = members.into_iter();
        object.extend(members.filter_map(|(name, value)| Some((name.to_owned(), value?))));
    }
    object
}

fn listen(server: &RemoteServer) -> Value {
    match &server.listen {
        Listen::Unix(path) => {
            json!({"uds": file(path), "uds_mode": format!("{:04o}", server.uds_mode)})
        }
        Listen::Tcp { host, port } => json!({"host": host, "port": port}),
    }
}

fn https(tls: &ServerTls) -> Value {
    json!({
        "identity": identity(&tls.identity),
        "client_ca_file": tls.client_ca_file.as_deref().map(file),
    })
}

fn file(path: &Path) -> String {
    path.to_string_lossy().into_owned()
}

fn seconds(time: Duration) -> f64 {
    time.as_secs_f64()
}
