//! What a reload cannot change is named, key by key, and nothing else is.
#![allow(clippy::unwrap_used)]

use mcpmqtt_config::{ApiKey, Config, LIMITS};

fn config(text: &str) -> Config {
    Config::parse(text).unwrap().0
}

/// What changes from one file to the other; the same the other way round.
fn changes(old: &str, new: &str) -> Vec<String> {
    let (old, new) = (config(old), config(new));
    assert!(old.fixed_changes(&old).is_empty() && new.fixed_changes(&new).is_empty());
    let changes = old.fixed_changes(&new);
    assert_eq!(new.fixed_changes(&old), changes);
    changes
}

#[test]
fn each_key_about_the_broker_is_named() {
    let login = r#""username": "u", "password": "p""#;
    for (old, new, named) in [
        ("", r#""host": "b""#, "mqtt.host"),
        ("", r#""port": 1884"#, "mqtt.port"),
        (r#""port": 1"#, r#""port": 1, "tls": true"#, "mqtt.tls"),
        (r#""tls": true"#, r#""tls": {"insecure": true}"#, "mqtt.tls"),
        ("", login, LOGIN),
        (login, r#""username": "u", "password": "q""#, LOGIN),
        (login, r#""username": "v", "password": "p""#, LOGIN),
        (login, r#""username": "u""#, LOGIN),
        (login, r#""username": "u", "password_file": "p""#, LOGIN),
        (
            r#""username": "u", "password_file": "p""#,
            r#""username": "u", "password_file": "q""#,
            LOGIN,
        ),
        (
            r#""username": "u", "password_file": "P""#,
            r#""username": "u", "password_env": "P""#,
            LOGIN,
        ),
        (
            r#""username": "u", "password_env": "P""#,
            r#""username": "u", "password_env": "Q""#,
            LOGIN,
        ),
        ("", r#""client_id": "me""#, "mqtt.client_id"),
        ("", r#""will": {"topic": "a", "payload": "x"}"#, "mqtt.will"),
        (
            "",
            r#""birth": {"topic": "a", "payload": "x"}"#,
            "mqtt.birth",
        ),
        (
            r#""client_id": "me""#,
            r#""client_id": "me", "clean_session": false"#,
            "mqtt.clean_session",
        ),
        ("", r#""keepalive": 7"#, "mqtt.keepalive"),
        ("", r#""connect_timeout": 7"#, "mqtt.connect_timeout"),
        ("", r#""backoff": {"max": 9}"#, "mqtt.backoff"),
    ] {
        let file = |mqtt: &str| format!(r#"{{"mqtt": {{{mqtt}}}}}"#);
        assert_eq!(changes(&file(old), &file(new)), [named], "{new}");
    }
}

#[test]
fn the_same_login_is_no_change() {
    for login in [
        r#""username": "u""#,
        r#""username": "u", "password": "p""#,
        r#""username": "u", "password_file": "p""#,
    ] {
        let file = format!(r#"{{"mqtt": {{{login}}}}}"#);
        assert!(changes(&file, &file).is_empty(), "{login}");
    }
}

#[test]
fn of_the_remote_server_where_it_listens_is_fixed() {
    for (old, new, named) in [
        ("{}", r#"{"uds": "/run/x"}"#, LISTENS),
        (r#"{"port": 80}"#, r#"{"port": 81}"#, LISTENS),
        ("{}", r#"{"uds_mode": "0600"}"#, "remote_server.uds_mode"),
        (
            "{}",
            r#"{"metrics": {"port": 9000}}"#,
            "remote_server.metrics",
        ),
        (
            r#"{"port": 80}"#,
            r#"{"port": 80, "tls": {"cert_file": "c", "key_file": "k"}}"#,
            "remote_server.tls",
        ),
        ("null", "{}", "remote_server"),
    ] {
        let file = |server: &str| format!(r#"{{"remote_server": {server}}}"#);
        assert_eq!(changes(&file(old), &file(new)), [named], "{new}");
    }
}

#[test]
fn each_limit_is_named() {
    for limit in &LIMITS {
        let file = format!(r#"{{"limits": {{"{}": {}}}}}"#, limit.name, limit.min);
        // A profile takes these over, and changes with a reload.
        let is_fixed = !limit.name.starts_with("publishes_per_");
        let expected: Vec<_> = (limit.min != limit.default && is_fixed)
            .then(|| format!("limits.{}", limit.name))
            .into_iter()
            .collect();
        assert_eq!(changes("{}", &file), expected);
    }
}

#[test]
fn what_a_reload_can_change_is_not_named() {
    let new = r#"{
        "topics": [{"pattern": "a/#", "permissions": ["read"]}],
        "logging": {"level": "DEBUG"},
        "remote_server": {"api_key": "k", "allowed_hosts": ["a"], "allowed_origins": ["http://a"]}
    }"#;
    assert!(changes(r#"{"remote_server": {}}"#, new).is_empty());
}

#[test]
fn keys_are_the_same_when_they_let_the_same_in() {
    let key = |server: &str| {
        let file = format!(r#"{{"remote_server": {server}}}"#);
        config(&file).remote_server.unwrap().api_key
    };
    let hashed = |salt: &str| {
        let block = format!(
            r#"{{"salt": "{salt}", "hash": "D6BoFq6J2wF6jkL/wGZon1JG+JNFw9Z7Eg3KnFSxczo="}}"#
        );
        key(&format!(r#"{{"api_key_kdf": {block}}}"#))
    };
    let keys = [
        key("{}"),
        key(r#"{"api_key": "a"}"#),
        key(r#"{"api_key": "b"}"#),
        key(r#"{"api_key_kdf": {}}"#),
        hashed("AAECAwQFBgcICQoLDA0ODw=="),
        hashed("AQECAwQFBgcICQoLDA0ODw=="),
    ];
    assert!(matches!(
        keys,
        [
            ApiKey::None,
            ApiKey::Plain(_),
            ApiKey::Plain(_),
            ApiKey::Unusable(_),
            ApiKey::Hashed(_),
            ApiKey::Hashed(_)
        ]
    ));
    for (i, one) in keys.iter().enumerate() {
        for (j, other) in keys.iter().enumerate() {
            assert_eq!(one.is_same(other), i == j, "{i} {j}");
        }
    }
}

const LOGIN: &str = "mqtt.username and mqtt.password";
const LISTENS: &str = "remote_server.uds, host and port";

#[test]
fn the_record_takes_effect_at_a_restart() {
    for (old, new) in [
        ("{}", r#"{"audit": {"file": "/a"}}"#),
        (
            r#"{"audit": {"file": "/a"}}"#,
            r#"{"audit": {"file": "/b"}}"#,
        ),
        (
            r#"{"audit": {"file": "/a"}}"#,
            r#"{"audit": {"file": "/a", "sync": 1}}"#,
        ),
    ] {
        assert_eq!(changes(old, new), ["audit"], "{old} {new}");
    }
}
