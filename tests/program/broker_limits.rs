//! What brokers do not take: refused before it is sent where that is known, told to its caller where it
//! is not, and never at the cost of the other calls for long.

use serde_json::{Value, json};

use crate::common::agent::Agent;
use crate::common::config::open_config;
use crate::common::mosquitto::Mosquitto;
use crate::common::waiting::eventually;

fn publish(agent: &mut Agent, topic: &str, payload: &str, qos: u8) -> Value {
    let call = json!({"topic": topic, "payload": payload, "qos": qos, "timeout": 30});
    agent.tool("mqtt_publish", call).wait()["result"].clone()
}

/// Publishes at QoS 1 until it is acknowledged: the connection is up.
fn await_connection(agent: &mut Agent) {
    eventually("it is connected", || {
        publish(agent, "t/first", "x", 1)["isError"] != true
    });
}

fn text(result: &Value) -> &str {
    result["content"][0]["text"].as_str().unwrap()
}

/// mosquitto ends the connection at each of these. Nobody notices anything.
#[test]
fn topics_that_brokers_end_connections_for_are_refused_before_they_are_sent() {
    let broker = Mosquitto::start();
    let mut agent = Agent::start(&open_config(broker.port));
    await_connection(&mut agent);
    let deep = format!("t/{}", vec!["l"; 201].join("/"));
    let cases = [
        ("t/\u{1}", "U+0001 at byte 2"),
        ("t/a\u{7f}", "U+007F at byte 3"),
        ("t/\u{9f}", "U+009F at byte 2"),
        ("t/\u{fdd0}", "U+FDD0 at byte 2"),
        ("t/\u{ffff}", "U+FFFF at byte 2"),
        ("t/\u{1fffe}", "U+1FFFE at byte 2"),
        (deep.as_str(), "more than 128 levels"),
    ];
    for (topic, words) in cases {
        let refused = publish(&mut agent, topic, "x", 0);
        assert_eq!(refused["isError"], true, "{topic:?}");
        assert!(text(&refused).contains(words), "{refused}");
        for tool in ["mqtt_read", "mqtt_subscribe"] {
            let said = agent
                .tool(tool, json!({"topic": topic, "timeout": 5}))
                .error();
            assert!(said.contains(words), "{said}");
        }
        assert_ne!(publish(&mut agent, "t/other", "x", 1)["isError"], true);
    }
    let (_, log) = agent.finish();
    assert!(!log.contains("next attempt"), "{log}");
}

/// A message may come on such a topic, though: from a broker that takes it.
#[test]
fn a_publish_above_the_configured_size_is_refused() {
    let broker = Mosquitto::start();
    let mut config = open_config(broker.port);
    config["limits"] = json!({"publish_bytes": 2000});
    let mut agent = Agent::start(&config);
    await_connection(&mut agent);
    let refused = publish(&mut agent, "t/a", &"x".repeat(1998), 0);
    assert_eq!(
        text(&refused),
        "not published: topic and payload have 2001 bytes, above `limits.publish_bytes` of 2000. \
         The message did not reach the broker."
    );
    assert_ne!(
        publish(&mut agent, "t/a", &"x".repeat(1997), 0)["isError"],
        true
    );
}

/// MQTT 3.1.1 does not tell how large a message the broker takes.
#[test]
fn whoever_sends_what_the_broker_does_not_take_hears_it_and_no_client_is_blamed() {
    let broker = Mosquitto::with("max_packet_size 5000\n", &[]);
    let mut config = open_config(broker.port);
    config["mqtt"]["client_id"] = json!("me");
    config["mqtt"]["backoff"] = json!({"initial": 0.01, "max": 0.02});
    let mut agent = Agent::start(&config);
    let once = "outcome unknown: the broker closed the connection soon after a message of 6007 bytes on `t/large`";
    let again = "outcome unknown: the broker closed the connection again right after a message of 6007 bytes \
                 on `t/large`; it may not accept it (topic, size)";
    for words in [once, again, again, again] {
        await_connection(&mut agent);
        let unknown = publish(&mut agent, "t/large", &"x".repeat(6000), 1);
        assert_eq!(unknown["isError"], true);
        let said = text(&unknown);
        assert!(said.starts_with(words), "{said}");
    }
    await_connection(&mut agent);
    let (_, log) = agent.finish();
    assert!(!log.contains("client id"), "{log}");
    assert!(
        log.contains("right after a message of 6007 bytes on `t/large`"),
        "{log}"
    );
}

/// On a kept session it has to be sent again and again ([MQTT-4.4.0-1]), until it is known for what it is.
#[test]
fn a_kept_session_is_not_cut_for_ever_for_one_message() {
    let broker = Mosquitto::with("max_packet_size 5000\n", &[]);
    let mut config = open_config(broker.port);
    config["mqtt"]["client_id"] = json!("me");
    config["mqtt"]["clean_session"] = json!(false);
    config["mqtt"]["backoff"] = json!({"initial": 0.01, "max": 0.02});
    let mut agent = Agent::start(&config);
    await_connection(&mut agent);
    let said = publish(&mut agent, "t/large", &"x".repeat(6000), 1);
    assert_eq!(said["isError"], true);
    assert!(
        text(&said).contains("each time it is sent the message of 6007 bytes on `t/large`"),
        "{said}"
    );
    await_connection(&mut agent);
    let (_, log) = agent.finish();
    let cuts = log
        .lines()
        .filter(|line| line.contains("next attempt in"))
        .count();
    // As far as the log is not for those who debug; five at most in all.
    assert!((1..=5).contains(&cuts), "{log}");
    assert!(!log.contains("another client"), "{log}");
}
