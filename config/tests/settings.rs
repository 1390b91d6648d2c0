//! The file as a whole: defaults, bounds, and what must never be shown.
#![allow(clippy::unwrap_used)]

use std::time::Duration;

use mcpmqtt_config::{ApiKey, Config, LIMITS, Limits, Listen, LogLevel, MAX_FILE_BYTES, Password};
use mcpmqtt_protocol::topic::TopicName;

#[test]
fn an_empty_object_means_the_defaults() {
    let (config, _) = Config::parse("{}").unwrap();
    let mqtt = config.mqtt;
    assert_eq!(
        (mqtt.host.as_str(), mqtt.port, mqtt.keepalive),
        ("localhost", 1883, 60)
    );
    assert!(mqtt.credentials.is_none() && mqtt.client_id.is_none() && mqtt.clean_session);
    assert_eq!(mqtt.connect_timeout, Duration::from_secs(10));
    assert_eq!(
        (mqtt.backoff.initial, mqtt.backoff.max),
        (Duration::from_millis(250), Duration::from_secs(8))
    );
    assert_eq!(mqtt.backoff.refused_initial, Duration::from_secs(5));
    assert_eq!(
        (mqtt.backoff.refused_max, mqtt.backoff.stable),
        (Duration::from_secs(60), Duration::from_secs(10))
    );
    assert_eq!(
        (config.logging.level, config.logging.logfile),
        (LogLevel::Info, None)
    );
    assert!(config.remote_server.is_none());
    assert_eq!(config.limits, Limits::default());
}

#[test]
fn without_a_file_test_topics_may_be_read_and_written() {
    let config = Config::without_file();
    let topic = TopicName::parse("test/a").unwrap();
    assert!(
        config.policy.may_publish(&topic, false).is_ok() && config.policy.may_receive("test/a")
    );
    assert!(
        config.policy.may_publish(&topic, true).is_err() && !config.policy.may_receive("test/a/b")
    );
    assert_eq!(
        (config.mqtt.host.as_str(), config.mqtt.port),
        ("localhost", 1883)
    );
}

#[test]
fn a_file_of_the_greatest_size_is_read_and_one_byte_more_refused() {
    let padded = |bytes: usize| format!("{{{}}}", " ".repeat(bytes - 2));
    assert!(Config::parse(&padded(MAX_FILE_BYTES)).is_ok());
    let refused = Config::parse(&padded(MAX_FILE_BYTES + 1)).unwrap_err();
    assert_eq!(
        refused.to_string(),
        "the file has 1048577 bytes, at most 1048576 are allowed"
    );
}

#[test]
fn strings_that_do_not_fit_a_packet_are_refused() {
    let long = "x".repeat(65_536);
    let file = format!(
        r#"{{"mqtt": {{"username": "{long}", "password": "{long}", "client_id": "{long}"}}}}"#
    );
    let refused = Config::parse(&file).unwrap_err();
    let paths: Vec<_> = refused
        .problems
        .iter()
        .map(|problem| problem.path.as_str())
        .collect();
    assert_eq!(paths, ["mqtt.username", "mqtt.password", "mqtt.client_id"]);
    assert!(refused.to_string().len() < 1000, "long strings are cut");
    assert!(Config::parse(&file.replace(&long, &long[1..])).is_ok());
}

#[test]
fn the_password_comes_from_the_file_or_from_another() {
    let password = |mqtt: &str| {
        let (config, _) =
            Config::parse(&format!(r#"{{"mqtt": {{"username": "u", {mqtt}}}}}"#)).unwrap();
        config.mqtt.credentials.unwrap().password
    };
    assert!(
        matches!(password(r#""password": "pw""#), Password::Text(secret) if secret.expose() == "pw")
    );
    assert!(
        matches!(password(r#""password_file": "/etc/pw""#), Password::File(path) if path.ends_with("pw"))
    );
    assert!(matches!(password(r#""password_file": """#), Password::None));
    assert!(
        matches!(password(r#""password_env": "MQTT_PASSWORD""#), Password::Env(name) if name == "MQTT_PASSWORD")
    );
    assert!(matches!(
        password(r#""password": "", "password_file": null, "password_env": "X""#),
        Password::Env(_)
    ));
    assert!(matches!(password(r#""password_env": """#), Password::None));
}

#[test]
fn a_port_switches_the_remote_server_to_tcp() {
    let listen = |server: &str| {
        let (config, _) = Config::parse(&format!(r#"{{"remote_server": {server}}}"#)).unwrap();
        config.remote_server.unwrap().listen
    };
    assert_eq!(listen("{}"), Listen::Unix("/var/run/mcpmqtt.sock".into()));
    assert_eq!(
        listen(r#"{"uds": "/run/x", "host": "::1", "port": null}"#),
        Listen::Unix("/run/x".into())
    );
    assert_eq!(
        listen(r#"{"port": 8080, "host": ""}"#),
        Listen::Tcp {
            host: "0.0.0.0".into(),
            port: 8080
        }
    );
}

#[test]
fn no_secret_is_shown_by_debug_or_in_words() {
    let secrets = [
        "hunter2-password",
        "plain-api-key",
        "AAECAwQFBgcICQoLDA0ODw==",
        "D6BoFq6J2wF6",
    ];
    let kdf = r#"{"salt": "AAECAwQFBgcICQoLDA0ODw==", "hash": "D6BoFq6J2wF6jkL/wGZon1JG+JNFw9Z7Eg3KnFSxczo="}"#;
    for server in [
        format!(r#"{{"api_key_kdf": {kdf}}}"#),
        r#"{"api_key": "plain-api-key"}"#.to_owned(),
    ] {
        let file = format!(
            r#"{{"mqtt": {{"username": "ada", "password": "hunter2-password"}}, "remote_server": {server}}}"#
        );
        let (config, warnings) = Config::parse(&file).unwrap();
        assert!(!matches!(
            config.remote_server.as_ref().unwrap().api_key,
            ApiKey::None
        ));
        let shown = format!(
            "{config:?} {config:#?} {} {} {warnings:?}",
            config.describe(),
            config.describe_json(&warnings)
        );
        assert!(shown.contains("ada"), "something is shown");
        for secret in secrets {
            assert!(!shown.contains(secret), "{secret} in {shown}");
        }
        // The bytes of the salt, as `Debug` would print them.
        assert!(!shown.contains("[0, 1, 2, 3"));
    }
}

#[test]
fn the_table_of_limits_is_consistent_and_complete() {
    let mut names: Vec<_> = LIMITS.iter().map(|limit| limit.name).collect();
    names.sort_unstable();
    names.dedup();
    assert_eq!(names.len(), LIMITS.len());
    for (index, (limit, value)) in Limits::default().iter().enumerate() {
        assert!(
            (limit.min..=limit.max).contains(&limit.default),
            "{}",
            limit.name
        );
        assert_eq!(value, limit.default, "{}", limit.name);
        // Setting one limit changes that one, and no other.
        let set = |value| Config::parse(&format!(r#"{{"limits": {{"{}": {value}}}}}"#, limit.name));
        let changed: Vec<_> = set(limit.max)
            .unwrap()
            .0
            .limits
            .iter()
            .map(|(_, value)| value)
            .collect();
        let expected = LIMITS
            .iter()
            .enumerate()
            .map(|(i, other)| if i == index { other.max } else { other.default });
        assert_eq!(changed, expected.collect::<Vec<_>>(), "{}", limit.name);
        assert!(
            set(limit.max + 1).is_err() && set(limit.min.wrapping_sub(1)).is_err(),
            "{}",
            limit.name
        );
    }
}

#[test]
fn log_levels_are_ordered_and_named_in_any_case() {
    assert!(LogLevel::Debug < LogLevel::Info && LogLevel::Error < LogLevel::Critical);
    for name in ["debug", "Info", "WARNING", "error", "Critical"] {
        assert_eq!(
            LogLevel::parse(name).unwrap().to_string(),
            name.to_uppercase()
        );
    }
    assert_eq!(LogLevel::parse("warn"), Some(LogLevel::Warning));
    assert_eq!(LogLevel::parse("notset"), None);
}

/// A will's length has 16 bits (MQTT 3.1.1 §3.1.3.3).
#[test]
fn a_will_that_connect_cannot_carry_is_refused() {
    let file = |bytes: usize| {
        let payload = "x".repeat(bytes);
        format!(r#"{{"mqtt": {{"will": {{"topic": "a", "payload": "{payload}"}}}}}}"#)
    };
    let (config, _) = Config::parse(&file(65_535)).unwrap();
    assert_eq!(config.mqtt.will.unwrap().payload.len(), 65_535);
    let refused = Config::parse(&file(65_536)).unwrap_err();
    assert_eq!(
        refused.to_string(),
        "mqtt.will.payload: is too long; allowed: at most 65535 bytes"
    );
}

/// Such a file was good before, so it stays so; only what brokers end connections for is not used.
#[test]
fn characters_that_brokers_do_not_take_warn_and_are_not_used() {
    let file = "{\"mqtt\": {\"client_id\": \"a\\u0001\", \"username\": \"b\\u0085\", \
                \"will\": {\"topic\": \"w\\ufffe\"}, \"birth\": {\"topic\": \"w\"}}, \
                \"topics\": [{\"pattern\": \"t/\\u007f\", \"permissions\": [\"read\"]}, \
                {\"pattern\": \"t/x\", \"permissions\": [\"read\"]}]}";
    let (config, warnings) = Config::parse(file).unwrap();
    let said: Vec<String> = warnings.iter().map(ToString::to_string).collect();
    let expected = [
        (
            "mqtt.client_id: contains U+0001",
            "no connection is made with it",
        ),
        (
            "mqtt.username: contains U+0085",
            "no connection is made with it",
        ),
        (
            "mqtt.will.topic: ",
            "U+FFFE at byte 1, for which brokers may close the connection; the message is not sent",
        ),
        (
            "topics[0].pattern: ",
            "U+007F at byte 2, for which brokers may close the connection; it grants nothing",
        ),
    ];
    for (start, end) in expected {
        let fits = |text: &&String| text.starts_with(start) && text.ends_with(end);
        assert!(said.iter().any(|text| fits(&text)), "{start}: {said:#?}");
    }
    assert_eq!(said.len(), expected.len(), "{said:#?}");
    assert!(config.mqtt.will.is_none() && config.mqtt.birth.is_some());
    assert_eq!(config.policy.grants().len(), 1);
}
