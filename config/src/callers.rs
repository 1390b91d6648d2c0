//! `remote_server.keys`, `remote_server.peers` and `remote_server.certificates`: who may come in, each with a profile.
//!
//! Promises: a name belongs to two keys at most; no two keys are the same; every profile exists.

use serde_json::Value;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use mcpmqtt_protocol::topic::Shown;

use crate::date::{self, Expiry};
use crate::key_check::KeyDigest;
use crate::profile::{self, NAMES, Profiles};
use crate::remote::ApiKey;
use crate::section::{Section, found};

/// An API key with a name.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NamedKey {
    /// The name for the log and for `--revoke`. Two keys may share it, so that one can take the other's place.
    pub name: String,
    /// The digest that recognises the key.
    pub digest: KeyDigest,
    /// The name of the profile of its callers.
    pub profile: String,
    /// The day on which it was made, for people.
    pub created: Option<String>,
    /// When it ends.
    pub expires: Option<Expiry>,
}

/// A user of this machine that needs no key on the Unix socket.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PeerRule {
    /// The user.
    pub user: PeerUser,
    /// The name of the profile of its programs.
    pub profile: String,
}

/// A user of this machine.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum PeerUser {
    /// By number.
    Id(u32),
    /// By a name of `/etc/passwd`.
    Name(String),
}

/// A client certificate whose holder needs no key.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CertificateRule {
    /// The subject, as RFC 2253 writes it.
    pub subject: String,
    /// The name of the profile of its holder.
    pub profile: String,
}

impl NamedKey {
    /// The digest as the file has it, under `hash`.
    pub(crate) fn hash_text(digest: &KeyDigest) -> String {
        format!("{ALGORITHM}:{}", STANDARD.encode(digest.as_bytes()))
    }

    fn read(section: &Section<'_>, profiles: &Profiles) -> Option<Self> {
        let name = match section.text("name") {
            Some(name) if profile::is_name(name) => Some(name.to_owned()),
            Some(_) => {
                section.problem("name", NAMES);
                None
            }
            None if section.value("name").is_none() => {
                section.problem("name", "is missing; allowed: a name for the key");
                None
            }
            None => None,
        };
        let digest = digest(section);
        let profile = profile::read_name(section, profiles);
        let created = section.text("created").map(str::to_owned);
        if let Some(text) = created.as_deref().filter(|text| !date::is_date(text)) {
            section.refuse("created", &Value::from(text), "a date, as in `2026-11-28`");
        }
        let expires = section.text("expires").and_then(|text| {
            let expires = Expiry::parse(text);
            if expires.is_none() {
                section.refuse("expires", &Value::from(text), TIMES);
            }
            expires
        });
        Some(Self {
            name: name?,
            digest: digest?,
            profile,
            created,
            expires,
        })
    }
}

impl PeerRule {
    fn read(section: &Section<'_>, profiles: &Profiles) -> Option<Self> {
        let user = match section.value("user") {
            Some(Value::String(name)) if !name.is_empty() && !name.contains([':', '\n', '\0']) => {
                Some(PeerUser::Name(name.clone()))
            }
            Some(Value::Number(number)) => {
                let id = number.as_u64().and_then(|id| u32::try_from(id).ok());
                // The last number stands for none.
                id.filter(|id| *id != u32::MAX).map(PeerUser::Id)
            }
            _ => None,
        };
        match section.value("user") {
            None => section.problem("user", format!("is missing; allowed: {USERS}")),
            Some(value) if user.is_none() => section.refuse("user", value, USERS),
            Some(_) => {}
        }
        let profile = profile::read_name(section, profiles);
        Some(Self {
            user: user?,
            profile,
        })
    }
}

/// Reads `keys`, beside the old single key, which is named `default`.
pub(crate) fn keys(server: &Section<'_>, profiles: &Profiles, single: &ApiKey) -> Vec<NamedKey> {
    let mut keys: Vec<(String, NamedKey)> = Vec::new();
    for section in entries(server, "keys", MAX_KEYS) {
        let path = section.place().to_owned();
        if let Some(key) = NamedKey::read(&section, profiles) {
            judge(&section, &key, &keys, single);
            keys.push((path, key));
        }
        section.finish();
    }
    keys.into_iter().map(|(_, key)| key).collect()
}

/// Judges a key beside those before it.
fn judge(section: &Section<'_>, key: &NamedKey, before: &[(String, NamedKey)], single: &ApiKey) {
    let is_default = key.name == Profiles::DEFAULT && single.is_some();
    let others = before.iter().filter(|(_, other)| other.name == key.name);
    if others.count() + usize::from(is_default) > 1 {
        let name = Shown(&key.name);
        let text = format!(
            "two keys are named {name} already, which is for the time in which one takes the other's place"
        );
        section.problem("name", text);
    }
    let mut others = before.iter();
    if let Some((path, _)) = others.find(|(_, other)| other.digest == key.digest) {
        section.problem(
            "hash",
            format!("is that of `{path}`, too; each key is given once"),
        );
    } else if single.digest() == Some(key.digest) {
        section.problem(
            "hash",
            "is that of the single API key, too; each key is given once",
        );
    }
}

/// Reads `peers`.
pub(crate) fn peers(server: &Section<'_>, profiles: &Profiles) -> Vec<PeerRule> {
    let mut peers: Vec<PeerRule> = Vec::new();
    for section in entries(server, "peers", MAX_PEERS) {
        if let Some(peer) = PeerRule::read(&section, profiles) {
            if peers.iter().any(|other| other.user == peer.user) {
                section.problem("user", "is given more than once; a user has one profile");
            }
            peers.push(peer);
        }
        section.finish();
    }
    peers
}

/// Reads `certificates`.
pub(crate) fn certificates(server: &Section<'_>, profiles: &Profiles) -> Vec<CertificateRule> {
    let mut certificates: Vec<CertificateRule> = Vec::new();
    for section in entries(server, "certificates", MAX_PEERS) {
        let subject = section.text("subject");
        // `subject=` is what OpenSSL puts before it, and ` = ` is in another form of its.
        let is_odd = |text: &&str| {
            !text.contains('=') || text.contains(" = ") || text.starts_with("subject=")
        };
        if let Some(text) = subject.filter(is_odd) {
            section.refuse("subject", &Value::from(text), SUBJECTS);
        } else if section.value("subject").is_none() {
            section.problem("subject", format!("is missing; allowed: {SUBJECTS}"));
        }
        let profile = profile::read_name(&section, profiles);
        if let Some(subject) = subject {
            if certificates.iter().any(|other| other.subject == subject) {
                section.problem(
                    "subject",
                    "is given more than once; a subject has one profile",
                );
            }
            let subject = subject.to_owned();
            certificates.push(CertificateRule { subject, profile });
        }
        section.finish();
    }
    certificates
}

/// The objects of the list under `key`.
fn entries<'a>(server: &Section<'a>, key: &'static str, most: usize) -> Vec<Section<'a>> {
    let list = match server.value(key) {
        None => return Vec::new(),
        Some(Value::Array(list)) => list,
        Some(other) => {
            server.refuse(key, other, "a list of objects");
            return Vec::new();
        }
    };
    if list.len() > most {
        let text = format!("has {} entries; allowed: at most {most}", list.len());
        server.problem(key, text);
    }
    let place = server.path_of(key);
    let mut sections = Vec::new();
    for (index, entry) in list.iter().enumerate().take(most) {
        let path = format!("{place}[{index}]");
        match entry {
            Value::Object(_) => sections.push(Section::new(path, Some(entry), server.report())),
            // It may be the key itself.
            Value::String(_) => server
                .report()
                .problem(path, "found a string; allowed: an object"),
            other => server
                .report()
                .problem(path, format!("found {}; allowed: an object", found(other))),
        }
    }
    sections
}

/// Reads `hash`; no message shows it.
fn digest(section: &Section<'_>) -> Option<KeyDigest> {
    let Some(value) = section.value("hash") else {
        section.problem("hash", format!("is missing; {HASHES}"));
        return None;
    };
    let encoded = value.as_str().and_then(|text| text.split_once(':'));
    let encoded = encoded.filter(|(algorithm, _)| *algorithm == ALGORITHM);
    let bytes = encoded.and_then(|(_, text)| STANDARD.decode(text).ok());
    let digest: Option<[u8; 32]> = bytes.and_then(|bytes| bytes.try_into().ok());
    if digest.is_none() {
        section.problem("hash", format!("cannot be used; {HASHES}"));
    }
    digest.map(KeyDigest::from_bytes)
}

const ALGORITHM: &str = "blake2b-256";
const HASHES: &str = "`--genkey NAME` makes a key and writes its hash here";
const TIMES: &str = "a date, which lasts until its end in UTC, as in `2027-01-31`, or a time in UTC, as in `2027-01-31T12:00:00Z`";
const USERS: &str = "the number of a user, or a name of `/etc/passwd`";
const SUBJECTS: &str = "a subject as `openssl x509 -noout -subject -nameopt RFC2253` prints it after `subject=`, as in `CN=codex,O=plant`";
/// Each is looked up at once, whatever their number; this bounds what a file can ask for.
const MAX_KEYS: usize = 1000;
const MAX_PEERS: usize = 1000;
