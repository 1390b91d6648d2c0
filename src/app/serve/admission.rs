//! Who may use the remote server, as the section `remote_server` says: the key, hosts, origins and certificates.

use std::path::Path;
use std::time::SystemTime;

use mcpmqtt_config::{ApiKey, Config, RemoteServer};
use mcpmqtt_protocol::topic::{Shown, ShownPath};

use crate::app::peers;
use crate::http::{Admission, NamedCallers, Tls};
use crate::logger;

/// Whether there is a key, without which the remote server must not open. `named` is the file of `--config`.
///
/// # Errors
/// What is missing, and the command that makes it.
pub fn has_key(config: &Config, named: Option<&Path>) -> Result<(), String> {
    // Within the quotation of the whole command.
    let named = named.map(|path| {
        format!(
            " --config {}",
            ShownPath(path).to_string().trim_matches('`')
        )
    });
    let named = named.unwrap_or_default();
    let remedy = format!("run `mcpmqtt --genkey{named}` to make a key");
    let server = config.remote_server.as_ref();
    if server.is_some_and(RemoteServer::has_a_way_in) {
        return Ok(());
    }
    match server.map(|server| &server.api_key) {
        None => Err(format!("there is no `remote_server` section; {remedy}")),
        Some(ApiKey::None) => Err(format!("remote_server: there is no API key; {remedy}")),
        Some(ApiKey::Unusable(why)) => Err(format!("remote_server: {why}; {remedy}")),
        Some(ApiKey::Hashed(_) | ApiKey::Plain(_)) => Ok(()),
    }
}

/// Warns of keys that let nobody in, and advises on a key that is stored as a slow hash alone, because clients with wrong
/// keys can delay its proof after every start.
pub(super) fn advise_on_key(server: &RemoteServer) {
    for doubt in doubts_about_keys(server, SystemTime::now()) {
        logger::warning(format_args!("{doubt}"));
    }
    if matches!(&server.api_key, ApiKey::Hashed(record) if record.digest().is_none()) {
        logger::info(format_args!(
            "remote_server: the API key has no `api_key_check`, so that after a start wrong keys \
             of strangers can delay it; `--genkey` makes a key that they cannot delay"
        ));
    }
}

/// What an operator should know of the keys at this time.
pub fn doubts_about_keys(server: &RemoteServer, now: SystemTime) -> Vec<String> {
    let keys = server.keys.iter().enumerate();
    let expired = keys.filter_map(|(index, key)| {
        let expires = key.expires.as_ref().filter(|it| it.is_over(now))?;
        Some(format!(
            "remote_server.keys[{index}]: the key {} has expired ({}); `--revoke` takes it out",
            Shown(&key.name),
            Shown(expires.as_str())
        ))
    });
    expired.collect()
}

/// Reads the files that HTTPS needs, and warns of what is wrong with them.
pub(super) fn tls(server: &RemoteServer) -> Result<Option<Tls>, String> {
    let tls = server.tls.as_ref().map(Tls::load).transpose()?;
    for warning in tls.iter().flat_map(|tls| &tls.warnings) {
        logger::warning(format_args!("{warning}"));
    }
    Ok(tls)
}

/// The rules of a configuration, with its users found.
///
/// # Errors
/// A user that is not there.
pub(super) fn admission(server: RemoteServer, tls: Option<Tls>) -> Result<Admission, String> {
    let callers = NamedCallers {
        peers: peers::find(&server.peers)?,
        certificates: server.certificates,
        keys: server.keys,
        is_complete: server.lists_keys,
    };
    Ok(Admission {
        tls,
        callers,
        api_key: server.api_key,
        allowed_hosts: server.allowed_hosts,
        allowed_origins: server.allowed_origins,
    })
}

pub(super) const NO_SECTION: &str =
    "there is no `remote_server` section; run `mcpmqtt --genkey` to make a key";

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn without_a_key_the_server_does_not_open_and_says_which_command_makes_one() {
        let key = "blake2b-256:EAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=";
        for (server, expected) in [
            ("null", Err("there is no `remote_server` section")),
            ("{}", Err("remote_server: there is no API key")),
            (r#"{"keys": []}"#, Err("remote_server: there is no API key")),
            (r#"{"api_key": "k"}"#, Ok(())),
            (r#"{"peers": [{"user": 1, "profile": "default"}]}"#, Ok(())),
            (
                &format!(r#"{{"keys": [{{"name": "a", "hash": "{key}", "profile": "default"}}]}}"#),
                Ok(()),
            ),
        ] {
            let text = format!(r#"{{"remote_server": {server}}}"#);
            let (config, _) = Config::parse(&text).unwrap();
            let found = has_key(&config, Some(Path::new("/etc/a b.json")));
            match expected {
                Ok(()) => assert_eq!(found, Ok(()), "{server}"),
                Err(why) => {
                    let words = format!(
                        "{why}; run `mcpmqtt --genkey --config /etc/a b.json` to make a key"
                    );
                    assert_eq!(found, Err(words));
                }
            }
        }
    }

    #[test]
    fn a_key_that_has_expired_is_named_from_that_day_on() {
        let text = r#"{"remote_server": {"keys": [{
            "name": "a", "hash": "blake2b-256:EAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=", "profile": "default",
            "expires": "1970-01-02"
        }]}}"#;
        let (config, _) = Config::parse(text).unwrap();
        let server = config.remote_server.unwrap();
        let after =
            |days: u64| SystemTime::UNIX_EPOCH + std::time::Duration::from_secs(days * 86_400);
        assert!(doubts_about_keys(&server, after(0)).is_empty());
        let told = doubts_about_keys(&server, after(9));
        let words = "remote_server.keys[0]: the key `a` has expired (`1970-01-02`); `--revoke` takes it out";
        assert_eq!(told, [words]);
    }
}
