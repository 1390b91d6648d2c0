//! Hints for unknown keys and words: their probable meaning.

use crate::limits::LIMITS;
use crate::logging::LogLevel;

/// The end of a message about the unknown `key` of the section at `path`, in which the keys `known` exist.
pub(crate) fn of_key(key: &str, path: &str, known: &[&str]) -> String {
    let bare = bare(key);
    let other_names = ALIASES.iter().filter(|(alias, _)| *alias == bare);
    let other_names = other_names.flat_map(|(_, names)| names.iter().copied());
    let same = known.iter().copied().find(|name| self::bare(name) == bare);
    let here = same
        .or_else(|| other_names.clone().find(|name| known.contains(name)))
        .or_else(|| known.iter().copied().find(|name| near(key, name)));
    if let Some(name) = here {
        return format!("; did you mean `{name}`?");
    }
    let elsewhere = std::iter::once(key)
        .chain(other_names)
        .find_map(|name| Some((name, place_of(name, path)?)));
    match elsewhere {
        Some((name, "")) => format!("; `{name}` belongs to the top level of the file"),
        Some((name, place)) => format!("; did you mean `{place}.{name}`?"),
        None => String::new(),
    }
}

/// The permissions among `names` that `word` stands for in other programs.
pub(crate) fn of_permission(
    word: &str,
    names: impl Iterator<Item = &'static str>,
) -> Vec<&'static str> {
    let meant: &[&str] = match bare(word).as_str() {
        "r" | "subscribe" | "sub" | "subscribing" | "get" | "listen" | "receive" | "readonly" => {
            &["read"]
        }
        "w" | "publish" | "pub" | "publishing" | "put" | "set" | "send" | "writeonly" => &["write"],
        "retained" => &["retain"],
        "rw" | "wr" | "readwrite" | "read/write" | "pubsub" | "both" | "all" | "full" | "any"
        | "*" => &["read", "write"],
        _ => return names.filter(|name| near(word, name)).take(1).collect(),
    };
    meant.to_vec()
}

/// The level that `word` stands for in other programs.
pub(crate) fn of_level(word: &str) -> Option<LogLevel> {
    Some(match bare(word).as_str() {
        "trace" | "verbose" | "all" | "fine" | "finest" | "dbg" => LogLevel::Debug,
        "notice" | "information" | "informational" | "normal" => LogLevel::Info,
        "warnings" => LogLevel::Warning,
        "err" | "errors" | "severe" => LogLevel::Error,
        "fatal" | "crit" | "panic" | "alert" | "emerg" | "emergency" | "off" | "none" | "quiet"
        | "silent" => LogLevel::Critical,
        _ => {
            let word = word.to_ascii_uppercase();
            let levels = [
                LogLevel::Debug,
                LogLevel::Info,
                LogLevel::Warning,
                LogLevel::Error,
                LogLevel::Critical,
            ];
            return levels
                .into_iter()
                .find(|level| near(&word, &level.to_string()));
        }
    })
}

/// The section that has `key`; of several the nearest to `path`.
fn place_of(key: &str, path: &str) -> Option<&'static str> {
    let mut places = PLACES.iter().filter(|(_, keys)| keys.contains(&key));
    let first = places.clone().next().map(|(place, _)| *place);
    let below = places.find(|(place, _)| !path.is_empty() && place.starts_with(path));
    let limit = || {
        LIMITS
            .iter()
            .any(|limit| limit.name == key)
            .then_some("limits")
    };
    below.map(|(place, _)| *place).or(first).or_else(limit)
}

/// A key without the differences in spelling that people make: case and the marks between words. Cut, so that a hostile
/// key costs nothing.
fn bare(key: &str) -> String {
    let letters = key.chars().take(64);
    let letters = letters.filter(|c| !matches!(c, '_' | '-' | '.' | ' '));
    letters.map(|c| c.to_ascii_lowercase()).collect()
}

/// Whether an unknown key looks like a mistyped `name`: equal except for case or the order of letters, or with a few
/// different letters.
fn near(key: &str, name: &str) -> bool {
    differs_by(key, name, if name.len() > 4 { 2 } else { 1 })
}

/// The same with one different letter at most, so that another word (`site` beside `write`) is none; of a name of several
/// words, with two.
fn is_slip(key: &str, name: &str) -> bool {
    differs_by(key, name, if name.contains('_') { 2 } else { 1 })
}

/// Whether the key that holds agents back is meant by a slip, or by another name that means nothing else.
pub(crate) fn stands_for(key: &str, name: &str) -> bool {
    let spelt = bare(key);
    let is_other_name = |(alias, names): &(&str, &[&str])| *alias == spelt && *names == [name];
    let is_slip = is_slip(key, name) || spelt == bare(name);
    (is_slip && !ORDINARY.contains(&key))
        || (name == "expires" && ALIASES.iter().any(is_other_name))
}

/// Words that people write beside the keys of this program, and that differ in one letter from one of them.
const ORDINARY: [&str; 4] = ["audio", "content", "white", "writer"];

fn differs_by(key: &str, name: &str, allowed: usize) -> bool {
    // Checked first, so that a hostile key costs nothing.
    key.len().abs_diff(name.len()) <= allowed
        && (key.eq_ignore_ascii_case(name)
            || sorted(key) == sorted(name)
            || edits(key, name) <= allowed)
}

fn sorted(text: &str) -> Vec<u8> {
    let mut bytes = text.as_bytes().to_vec();
    mcpmqtt_protocol::sort::sort(&mut bytes);
    bytes
}

/// Levenshtein distance in bytes.
fn edits(a: &str, b: &str) -> usize {
    let mut row: Vec<usize> = (0..=b.len()).collect();
    for (i, x) in a.bytes().enumerate() {
        let mut diagonal = i;
        let mut left = i + 1;
        for (cell, y) in row.iter_mut().skip(1).zip(b.bytes()) {
            let here = (diagonal + usize::from(x != y))
                .min(left + 1)
                .min(*cell + 1);
            diagonal = std::mem::replace(cell, here);
            left = here;
        }
        if let Some(first) = row.first_mut() {
            *first = i + 1;
        }
    }
    row.last().copied().unwrap_or_default()
}

/// Names of keys in other programs (without case and marks), and the keys here that they may stand for.
const ALIASES: [(&str, &[&str]); 97] = [
    ("user", &["username"]),
    ("login", &["username"]),
    ("account", &["username"]),
    ("pass", &["password"]),
    ("passwd", &["password"]),
    ("pwd", &["password"]),
    ("pw", &["password"]),
    ("passfile", &["password_file"]),
    ("server", &["host", "remote_server"]),
    ("broker", &["host", "mqtt"]),
    ("brokerhost", &["host"]),
    ("brokerurl", &["host"]),
    ("hostname", &["host"]),
    ("url", &["host"]),
    ("uri", &["host"]),
    ("address", &["host"]),
    ("addr", &["host"]),
    ("ip", &["host"]),
    ("bind", &["host"]),
    ("mqtthost", &["host"]),
    ("mqttport", &["port"]),
    ("brokerport", &["port"]),
    ("httpport", &["port"]),
    ("connection", &["mqtt"]),
    ("mqttbroker", &["mqtt"]),
    ("topic", &["pattern", "topics"]),
    ("filter", &["pattern"]),
    ("topicfilter", &["pattern"]),
    ("path", &["pattern", "uds", "logfile"]),
    ("subscriptions", &["topics"]),
    ("acl", &["permissions", "topics"]),
    ("rules", &["topics"]),
    ("perms", &["permissions"]),
    ("perm", &["permissions"]),
    ("permission", &["permissions"]),
    ("access", &["permissions"]),
    ("rights", &["permissions"]),
    ("allow", &["permissions"]),
    ("allowed", &["permissions"]),
    ("desc", &["description"]),
    ("comment", &["description"]),
    ("help", &["description"]),
    ("ca", &["ca_file"]),
    ("cacert", &["ca_file"]),
    ("cacerts", &["ca_file"]),
    ("capath", &["ca_file"]),
    ("cacertificate", &["ca_file"]),
    ("cert", &["cert_file"]),
    ("certificate", &["cert_file"]),
    ("clientcert", &["cert_file"]),
    ("key", &["key_file", "api_key"]),
    ("privatekey", &["key_file"]),
    ("clientkey", &["key_file"]),
    ("ssl", &["tls"]),
    ("secure", &["tls"]),
    ("https", &["tls"]),
    ("id", &["client_id"]),
    ("clientname", &["client_id"]),
    ("cleanstart", &["clean_session"]),
    ("timeout", &["connect_timeout"]),
    ("reconnect", &["backoff"]),
    ("lastwill", &["will"]),
    ("message", &["payload"]),
    ("socket", &["uds"]),
    ("unixsocket", &["uds"]),
    ("log", &["logging"]),
    ("logger", &["logging"]),
    ("file", &["logfile"]),
    ("filename", &["logfile"]),
    ("loglevel", &["level"]),
    ("verbosity", &["level"]),
    ("mode", &["uds_mode"]),
    ("http", &["remote_server"]),
    ("remote", &["remote_server"]),
    ("token", &["api_key"]),
    ("apitoken", &["api_key"]),
    ("origins", &["allowed_origins"]),
    ("hosts", &["allowed_hosts"]),
    ("cors", &["allowed_origins"]),
    ("minimum", &["min"]),
    ("lowest", &["min"]),
    ("maximum", &["max"]),
    ("highest", &["max"]),
    ("enum", &["values"]),
    ("choices", &["values"]),
    ("maxlength", &["max_bytes"]),
    ("maxlen", &["max_bytes"]),
    ("properties", &["fields"]),
    ("members", &["fields"]),
    ("mandatory", &["required"]),
    ("sample", &["example"]),
    ("expiry", &["expires"]),
    ("expiresat", &["expires"]),
    ("expireson", &["expires"]),
    ("expiration", &["expires"]),
    ("validuntil", &["expires"]),
    ("notafter", &["expires"]),
];

/// The keys of the sections, for a key in the wrong section.
const PLACES: [(&str, &[&str]); 9] = [
    (
        "",
        &[
            "mqtt",
            "topics",
            "logging",
            "remote_server",
            "limits",
            "observe",
            "operator",
            "profiles",
            "audit",
        ],
    ),
    (
        "mqtt",
        &[
            "host",
            "port",
            "tls",
            "username",
            "password",
            "password_file",
            "password_env",
            "client_id",
            "clean_session",
            "will",
            "birth",
            "keepalive",
            "connect_timeout",
            "backoff",
        ],
    ),
    (
        "mqtt.tls",
        &[
            "ca_file",
            "cert_file",
            "key_file",
            "server_name",
            "insecure",
        ],
    ),
    ("logging", &["level", "logfile"]),
    (
        "remote_server",
        &[
            "uds",
            "uds_mode",
            "api_key",
            "api_key_kdf",
            "allowed_hosts",
            "allowed_origins",
            "metrics",
            "keys",
            "peers",
            "certificates",
        ],
    ),
    (
        "remote_server.tls",
        &["cert_file", "key_file", "client_ca_file"],
    ),
    (
        "observe",
        &["idle", "always", "topics", "bytes", "bytes_per_second"],
    ),
    ("operator", &["topic", "secret_file", "unprotected", "safe"]),
    (
        "audit",
        &[
            "file",
            "payload",
            "max_bytes",
            "keep",
            "sync",
            "required",
            "reads",
            "feed",
        ],
    ),
];

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use crate::Config;

    fn warnings(path: &str, key: &str) -> Vec<String> {
        let sections = path.split('.').filter(|name| !name.is_empty()).rev();
        let file = sections.fold(format!(r#"{{"{key}": null}}"#), |value, name| {
            format!(r#"{{"{name}": {value}}}"#)
        });
        let warnings = match Config::parse(&file) {
            Ok((_, warnings)) => warnings,
            // The rest of a section may be missed, and some sections refuse an unknown key.
            Err(refused) => refused
                .problems
                .into_iter()
                .chain(refused.warnings)
                .collect(),
        };
        warnings.iter().map(ToString::to_string).collect()
    }

    #[test]
    fn every_place_that_is_named_exists() {
        for (place, keys) in PLACES {
            for key in keys {
                let said = warnings(place, key);
                assert!(
                    !said.iter().any(|warning| warning.contains("unknown key")),
                    "{said:?}"
                );
            }
        }
    }

    /// A name that is itself a key somewhere must lead there, and every name must lead to a key that exists.
    #[test]
    fn every_other_name_leads_to_a_key() {
        for (alias, names) in ALIASES {
            assert_eq!(bare(alias), alias, "is never looked up");
            for name in names {
                let sections = PLACES.iter().filter(|(_, keys)| keys.contains(name));
                let mut sections: Vec<_> = sections.map(|(place, _)| *place).collect();
                sections.extend(match *name {
                    "pattern" | "permissions" | "description" => &[][..],
                    "payload" => &["mqtt.will"],
                    "key_file" | "cert_file" => &["remote_server.tls"],
                    _ => &[],
                });
                for section in sections {
                    let said = warnings(section, alias).join(" ");
                    assert!(said.contains("did you mean"), "{section}.{alias}: {said}");
                }
            }
        }
    }
}
