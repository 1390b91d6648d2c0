//! A build without the feature `tls` refuses to send in the clear what was meant to be encrypted.

use serde_json::json;

use crate::common::agent::Agent;
use crate::common::config::open_config;
use crate::common::mosquitto::Mosquitto;
use crate::common::program::PROGRAM;
use crate::common::scratch::Scratch;

#[test]
fn a_configuration_that_asks_for_tls_ends_the_start_with_the_remedy() {
    let scratch = Scratch::new();
    for mqtt in [
        json!({"tls": true}),
        json!({"tls": {}}),
        json!({"port": 8883}),
    ] {
        let config = json!({"mqtt": mqtt, "topics": []}).to_string();
        let file = scratch.file("config.json", &config);
        let agent = Agent::with_args(&["--config", file.to_str().unwrap()]);
        let (code, log) = agent.finish();
        assert_eq!(code, Some(1), "{log}");
        let words = "mqtt.tls: this program was built without TLS; build it with the feature `tls`";
        assert!(log.contains(words), "{log}");
    }
}

#[test]
fn without_tls_it_works() {
    let broker = Mosquitto::start();
    let mut config = open_config(broker.port);
    config["mqtt"]["tls"] = json!(false);
    let mut agent = Agent::start(&config);
    let message = json!({"topic": "t/a", "payload": "x", "qos": 1});
    agent.tool("mqtt_publish", message).structured();
}

#[test]
fn https_is_refused_with_the_remedy() {
    let scratch = Scratch::new();
    let text = r#"{"remote_server": {"port": 1, "host": "127.0.0.1", "api_key": "k", "tls": {"cert_file": "c", "key_file": "k"}}}"#;
    let config = scratch.file("config.json", text);
    let output = std::process::Command::new(PROGRAM)
        .args(["--transport", "remotehttp", "--config"])
        .arg(&config)
        .output()
        .unwrap();
    let log = String::from_utf8_lossy(&output.stderr).into_owned();
    assert_eq!(output.status.code(), Some(1), "{log}");
    assert!(
        log.contains("remote_server.tls: this program was built without TLS"),
        "{log}"
    );
}
