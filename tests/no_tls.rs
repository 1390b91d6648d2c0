//! A build without the feature `tls` refuses to send in the clear what was meant to be encrypted.

#![allow(clippy::unwrap_used)]
#![cfg(not(feature = "tls"))]

mod harness;

use harness::agent::Agent;
use harness::mosquitto::Mosquitto;
use harness::{Scratch, open_config};
use serde_json::json;

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
