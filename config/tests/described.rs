//! The configuration as JSON, for programs. Its words are held by the corpus.
#![allow(clippy::unwrap_used)]

use mcpmqtt_config::{Config, LIMITS};
use serde_json::{Value, json};

/// The description of this file, without its limits.
fn described(file: &Value) -> Value {
    let (config, warnings) = Config::parse(&file.to_string()).unwrap();
    let mut described = config.describe_json(&warnings);
    let limits = described.as_object_mut().unwrap().shift_remove("limits");
    assert_eq!(limits.unwrap().as_object().unwrap().len(), LIMITS.len());
    described
}

#[test]
fn without_a_setting_the_defaults_are_described() {
    assert_eq!(
        described(&json!({})),
        json!({
            "broker": {
                "host": "localhost", "port": 1883, "tls": null, "credentials": null, "client_id": null,
                "clean_session": true, "keepalive": 60, "connect_timeout": 10.0,
                "backoff": {"initial": 0.25, "max": 8.0, "refused_initial": 5.0, "refused_max": 60.0, "stable": 10.0},
                "will": null, "birth": null,
            },
            "topics": [],
            "logging": {"level": "INFO", "logfile": null},
            "remote_server": null,
            "observe": {
                "idle": 60.0, "always": [], "topics": 10_000, "bytes": 4_194_304, "bytes_per_second": 1_048_576,
            },
            "findings": [{
                "path": "topics", "severity": "warning",
                "text": "no topic is permitted; every publish and every subscription will be refused",
            }],
        })
    );
}

#[test]
fn every_setting_is_described_and_no_secret() {
    let file = json!({
        "mqtt": {
            "host": "broker.example", "port": 8884, "username": "ada", "password": "hunter2", "client_id": "gw",
            "tls": {
                "ca_file": "/ca.pem", "cert_file": "/c.pem", "key_file": "/k.pem", "server_name": "b.example",
            },
            "clean_session": false, "keepalive": 5, "connect_timeout": 2.5,
            "will": {"topic": "a", "payload": "hunter2", "qos": 2, "retain": true},
        },
        "topics": [
            {"pattern": "a/#", "permissions": ["read", "write", "retain"], "description": "All of a."},
            {"pattern": "b", "permissions": ["read"]},
        ],
        "logging": {"level": "debug", "logfile": "/x.log"},
        "remote_server": {
            "host": "127.0.0.1", "port": 8443, "api_key": "hunter2", "allowed_hosts": ["gw:8443"],
            "allowed_origins": ["https://app.example"], "metrics": {"port": 9464},
            "tls": {"cert_file": "/s.pem", "key_file": "/t.pem", "client_ca_file": "/u.pem"},
        },
        "observe": {"idle": 1.5, "always": ["a/+"], "topics": 10, "bytes": 5000, "bytes_per_second": 2000},
    });
    let described = described(&file);
    assert_eq!(
        described,
        json!({
            "broker": {
                "host": "broker.example", "port": 8884,
                "tls": {
                    "trust": "ca_file", "ca_file": "/ca.pem", "server_name": "b.example",
                    "identity": {"cert_file": "/c.pem", "key_file": "/k.pem"},
                },
                "credentials": {"username": "ada", "password_from": "password", "name": null},
                "client_id": "gw", "clean_session": false, "keepalive": 5, "connect_timeout": 2.5,
                "backoff": {"initial": 0.25, "max": 8.0, "refused_initial": 5.0, "refused_max": 60.0, "stable": 10.0},
                "will": {"topic": "a", "bytes": 7, "qos": 2, "retain": true}, "birth": null,
            },
            "topics": [
                {"pattern": "a/#", "permissions": ["read", "write", "retain"], "description": "All of a."},
                {"pattern": "b", "permissions": ["read"], "description": null},
            ],
            "logging": {"level": "DEBUG", "logfile": "/x.log"},
            "remote_server": {
                "listen": {"host": "127.0.0.1", "port": 8443}, "api_key": "plain", "api_key_fault": null,
                "allowed_hosts": ["gw:8443"], "allowed_origins": ["https://app.example"],
                "tls": {"identity": {"cert_file": "/s.pem", "key_file": "/t.pem"}, "client_ca_file": "/u.pem"},
                "metrics": {"host": "127.0.0.1", "port": 9464},
            },
            "observe": {
                "idle": 1.5, "always": ["a/+"], "topics": 10, "bytes": 5000, "bytes_per_second": 2000,
            },
            "findings": [{
                "path": "remote_server.api_key", "severity": "warning",
                "text": "the key is in plain text; replace it by a hash with `--genkey`",
            }],
        })
    );
    assert!(!described.to_string().contains("hunter2"));
}

#[test]
fn the_password_is_described_by_its_place() {
    for (key, value, name) in [
        ("password_file", "/etc/pw", json!("/etc/pw")),
        ("password_env", "MQTT_PASSWORD", json!("MQTT_PASSWORD")),
    ] {
        let described = described(&json!({"mqtt": {"username": "ada", key: value}}));
        let expected = json!({"username": "ada", "password_from": key, "name": name});
        assert_eq!(described["broker"]["credentials"], expected);
    }
    let alone = described(&json!({"mqtt": {"username": "ada"}}));
    assert_eq!(alone["broker"]["credentials"]["password_from"], "none");
}

#[test]
fn a_socket_and_an_unusable_key_are_described() {
    let server = json!({"uds": "/run/x", "uds_mode": "0600", "api_key_kdf": {"salt": "?"}});
    let described = described(&json!({"remote_server": server}));
    let server = &described["remote_server"];
    assert_eq!(
        server["listen"],
        json!({"uds": "/run/x", "uds_mode": "0600"})
    );
    assert_eq!(server["api_key"], "unusable");
    assert_eq!(server["api_key_fault"], "`salt` is not base64 with padding");
}

#[test]
fn each_limit_is_described_with_its_default() {
    let (config, _) = Config::parse(r#"{"limits": {"inflight": 7}}"#).unwrap();
    let described = config.describe_json(&[]);
    let inflight = json!({"value": 7, "default": 20, "unit": "messages"});
    assert_eq!(described["limits"]["inflight"], inflight);
    for limit in LIMITS.iter().filter(|limit| limit.name != "inflight") {
        assert_eq!(described["limits"][limit.name]["value"], limit.default);
    }
    assert_eq!(described["findings"], json!([]));
}

#[test]
fn what_is_refused_is_described_by_its_findings() {
    let refused = Config::parse(r#"{"mqtt": {"port": 0, "prot": 1}, "topics": []}"#).unwrap_err();
    assert_eq!(
        refused.describe_json(),
        json!({"findings": [
            {
                "path": "mqtt.port", "severity": "error",
                "text": "found `0`; allowed: a whole number from 1 to 65535",
            },
            {
                "path": "mqtt.prot", "severity": "warning",
                "text": "unknown key, ignored; did you mean `port`?",
            },
            {
                "path": "topics", "severity": "warning",
                "text": "no topic is permitted; every publish and every subscription will be refused",
            },
        ]})
    );
}

#[test]
fn what_the_operator_has_is_described_where_it_is_anything() {
    let file = json!({
        "topics": [{"pattern": "#", "permissions": ["write"], "description": "All."}],
        "operator": {"topic": "op", "safe": [{"topic": "a", "payload": "off"}]},
    });
    assert_eq!(
        described(&file)["operator"],
        json!({
            "topic": "op", "secret_file": null, "unprotected": false, "safe": [{"topic": "a", "payload": "off"}],
        })
    );
    assert!(described(&json!({})).get("operator").is_none());
}

#[test]
fn the_record_is_described_where_there_is_one() {
    let audit = |audit: Value| described(&json!({"audit": audit}))["audit"].clone();
    let usual = json!({
        "file": "/a", "payload": "full", "max_bytes": 4_194_304, "keep": 8, "sync": 10.0, "required": false,
        "reads": false, "feed": null,
    });
    assert_eq!(audit(json!({"file": "/a"})), usual);
    let every = json!({
        "file": "/a", "payload": "hash", "max_bytes": 65_536, "keep": 1, "sync": "always", "required": true,
        "reads": true, "feed": {"payload": true, "per_second": 3},
    });
    let file = json!({"audit": every, "operator": {"topic": "op"}});
    assert_eq!(described(&file)["audit"], every);
    assert!(described(&json!({})).get("audit").is_none());
}
