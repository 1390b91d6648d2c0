//! The configuration as it is being made: what is known of it, and its text.
//!
//! Promises: the text is what [`Config`] reads, so that what is tried is what is written; a typed password is not in it.

use std::path::{Path, PathBuf};

use mcpmqtt_config::{Config, Password, Secret};
use mcpmqtt_protocol::topic::TopicFilter;
use serde_json::Value;

use crate::mqtt::place;

/// A configuration in the making.
#[derive(Debug, Default)]
pub(super) struct Draft {
    pub(super) host: String,
    /// `None`: the usual one.
    pub(super) port: Option<u16>,
    pub(super) tls: bool,
    pub(super) ca_file: Option<PathBuf>,
    pub(super) username: Option<String>,
    pub(super) password_file: Option<PathBuf>,
    /// A password that was typed, and is in no file yet.
    pub(super) typed: Option<Secret>,
    /// What agents may read, each with its description.
    pub(super) topics: Vec<(TopicFilter, String)>,
}

impl Draft {
    /// Takes `HOST`, `HOST:PORT`, or the same as an address with `mqtt://` or `mqtts://`.
    ///
    /// # Errors
    /// What is wrong with it.
    pub(super) fn set_broker(&mut self, text: &str) -> Result<(), String> {
        let (place, tls) = match text.split_once("://") {
            None => (text, self.tls),
            Some(("mqtt" | "tcp", place)) => (place, false),
            Some(("mqtts" | "ssl" | "tls", place)) => (place, true),
            Some((scheme, _)) => {
                return Err(format!(
                    "`{}://` is not spoken here; MQTT goes over TCP, with TLS or without it: write the host, or host:port",
                    scheme.escape_debug()
                ));
            }
        };
        let place = place.strip_suffix('/').unwrap_or(place);
        if place.contains('@') {
            // What stands before it may be a password.
            return Err("a host has no `@`; give the user name with `--username`".into());
        }
        let (host, port) = match place.strip_prefix('[') {
            // RFC 3986 §3.2.2: an IPv6 address beside a port has brackets.
            Some(rest) => rest.split_once(']').unwrap_or((rest, "")),
            None if place.matches(':').count() > 1 => (place, ""),
            None => place.split_at(place.find(':').unwrap_or(place.len())),
        };
        let port = match port.strip_prefix(':') {
            None => None,
            Some(digits) => match digits.parse::<u16>() {
                Ok(port @ 1..) => Some(port),
                _ => {
                    let digits = digits.escape_debug();
                    return Err(format!(
                        "`{digits}` is not a port; a port is a number from 1 to 65535"
                    ));
                }
            },
        };
        (self.host, self.port, self.tls) = (host.to_owned(), port, tls);
        Ok(())
    }

    /// The port that the configuration names.
    pub(super) fn port(&self) -> u16 {
        // IANA: `mqtt` and `secure-mqtt`.
        self.port.unwrap_or(if self.tls { 8883 } else { 1883 })
    }

    /// The broker as [`Draft::set_broker`] takes it.
    pub(super) fn address(&self) -> String {
        match self.port {
            Some(port) => place(&self.host, port),
            None => self.host.clone(),
        }
    }

    /// The broker, for people.
    pub(super) fn place(&self) -> String {
        let tls = if self.tls { " with TLS" } else { "" };
        let place = place(&self.host, self.port());
        format!("`{}`{tls}", place.escape_debug())
    }

    /// The configuration to connect with.
    ///
    /// # Errors
    /// What is wrong with it.
    pub(super) fn config(&self) -> Result<Config, String> {
        let (mut config, _) = Config::parse(&self.text(None)?).map_err(|refused| {
            let problems = refused.problems.iter().map(ToString::to_string);
            problems.collect::<Vec<_>>().join("; ")
        })?;
        if let (Some(credentials), Some(typed)) = (&mut config.mqtt.credentials, &self.typed) {
            credentials.password = Password::Text(typed.clone());
        }
        Ok(config)
    }

    /// The text of the file; `typed`: the file that has the typed password by then.
    ///
    /// # Errors
    /// A path is not UTF-8 text, which a JSON file has to be.
    pub(super) fn text(&self, typed: Option<&Path>) -> Result<String, String> {
        let mut mqtt = vec![
            format!("\"host\": {}", quoted(&self.host)),
            format!("\"port\": {}", self.port()),
        ];
        match (&self.ca_file, self.tls) {
            (Some(path), _) => mqtt.push(format!(
                "\"tls\": {{ \"ca_file\": {} }}",
                quoted(utf8(path)?)
            )),
            (None, true) => mqtt.push("\"tls\": {}".into()),
            (None, false) => {}
        }
        if let Some(username) = &self.username {
            mqtt.push(format!("\"username\": {}", quoted(username)));
        }
        if let Some(path) = self.password_file.as_deref().or(typed) {
            mqtt.push(format!("\"password_file\": {}", quoted(utf8(path)?)));
        }
        let topics = self.topics.iter().map(|(filter, description)| {
            format!(
                "\n    {{\n      \"pattern\": {},\n      \"permissions\": [\"read\"],\n      \"description\": {}\n    }}",
                quoted(filter.as_str()),
                quoted(description)
            )
        });
        let topics = topics.collect::<Vec<_>>().join(",");
        let end = if topics.is_empty() { "" } else { "\n  " };
        let mqtt = mqtt.join(",\n    ");
        Ok(format!(
            "{{\n  \"mqtt\": {{\n    {mqtt}\n  }},\n  \"topics\": [{topics}{end}]\n}}\n"
        ))
    }
}

fn quoted(text: &str) -> String {
    Value::from(text).to_string()
}

fn utf8(path: &Path) -> Result<&str, String> {
    path.to_str().ok_or_else(|| {
        let path = path.display().to_string();
        format!(
            "`{}` is not UTF-8 text, which a configuration must be",
            path.escape_debug()
        )
    })
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn a_broker_is_a_host_with_or_without_a_port() {
        for (text, host, port, tls) in [
            ("localhost", "localhost", 1883, false),
            ("broker.example:1884", "broker.example", 1884, false),
            ("mqtt://broker.example/", "broker.example", 1883, false),
            ("mqtts://broker.example", "broker.example", 8883, true),
            ("ssl://10.0.0.1:18883", "10.0.0.1", 18883, true),
            ("::1", "::1", 1883, false),
            ("[fe80::1]:1884", "fe80::1", 1884, false),
            ("[::1]", "::1", 1883, false),
        ] {
            let mut draft = Draft::default();
            draft.set_broker(text).unwrap();
            let found = (draft.host.as_str(), draft.port(), draft.tls);
            assert_eq!(found, (host, port, tls), "{text}");
            // The address that is shown means the same.
            let address = draft.address();
            draft.set_broker(&address).unwrap();
            assert_eq!((draft.host.as_str(), draft.port()), (host, port), "{text}");
        }
        let mut draft = Draft::default();
        draft.set_broker("::1").unwrap();
        assert_eq!(draft.place(), "`[::1]:1883`");
        for (text, words) in [
            ("a:0", "`0` is not a port"),
            ("a:b", "`b` is not a port"),
            ("ws://a", "`ws://` is not spoken here"),
            ("mqtt://user:secret@a", "a host has no `@`"),
        ] {
            let why = Draft::default().set_broker(text).unwrap_err();
            assert!(why.starts_with(words) && !why.contains("secret"), "{why}");
        }
    }

    #[test]
    fn the_text_is_a_configuration_without_the_typed_password() {
        let filter = |text| TopicFilter::parse(text).unwrap();
        let draft = Draft {
            host: "broker.example".into(),
            tls: true,
            username: Some("a \"b\"".into()),
            typed: Some(Secret::new("hidden")),
            topics: vec![
                (filter("a/+"), "One.".into()),
                (filter("b/\"c\""), "Two.".into()),
            ],
            ..Draft::default()
        };
        let text = draft.text(Some(Path::new("/p/config.password"))).unwrap();
        assert!(!text.contains("hidden"), "{text}");
        let (config, warnings) = Config::parse(&text).unwrap();
        assert!(warnings.is_empty(), "{warnings:?}");
        assert_eq!(config.mqtt.port, 8883);
        let credentials = config.mqtt.credentials.unwrap();
        assert_eq!(credentials.username, "a \"b\"");
        assert!(
            matches!(credentials.password, Password::File(path) if path == Path::new("/p/config.password"))
        );
        let permissions: Vec<_> = config
            .policy
            .grants()
            .map(|grant| grant.permissions)
            .collect();
        assert_eq!(permissions.len(), 2);
        assert!(
            permissions
                .iter()
                .all(|it| it.read && !it.write && !it.retain)
        );
        // What is tried has it.
        let credentials = draft.config().unwrap().mqtt.credentials.unwrap();
        assert!(matches!(credentials.password, Password::Text(it) if it.expose() == "hidden"));
    }
}
