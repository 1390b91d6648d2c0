//! The operator's rules on writes in the real program: every tool, era and transport, and the manual's example.

use serde_json::{Value, json};

use crate::common::agent::Agent;
use crate::common::device::Responder;
use crate::common::messages::modern;
use crate::common::mosquitto::Mosquitto;
use crate::common::program::{Program, ask, unix};
use crate::common::requests::post_with;
use crate::common::scratch::Scratch;
use crate::common::waiting::eventually;

/// The example of the manual, at this broker.
fn example(broker: &Mosquitto) -> Value {
    let manual = include_str!("../../config/README.md");
    let chapter = manual.split("\n## Rules on writes").nth(1).unwrap();
    let block = chapter.split("```json\n").nth(1).unwrap();
    let mut config: Value = serde_json::from_str(block.split("```").next().unwrap()).unwrap();
    config["mqtt"]["port"] = broker.port.into();
    config
}

/// An agent that plays the plant.
fn plant(broker: &Mosquitto) -> Agent {
    Agent::start(&json!({
        "mqtt": {"host": "127.0.0.1", "port": broker.port},
        "topics": [{"pattern": "#", "permissions": ["read", "write", "retain"]}],
    }))
}

fn send(plant: &mut Agent, topic: &str, payload: &str, retain: bool) {
    let message = json!({"topic": topic, "payload": payload, "qos": 1, "retain": retain});
    let sent = plant.tool("mqtt_publish", message).structured();
    assert_eq!(sent["outcome"], "delivered");
}

#[test]
fn the_example_of_the_manual_does_what_the_manual_says() {
    let broker = Mosquitto::start();
    let (mut agent, mut plant) = (Agent::start(&example(&broker)), plant(&broker));
    send(&mut plant, "site/line3/motor1/mode", "local", true);
    let write =
        |rpm: u32| json!({"topic": "site/line3/motor1/cmd/rpm", "payload": rpm.to_string()});
    let words = "only while `site/{1}/{2}/mode` = \"remote\"; at most 200 away from `site/{1}/{2}/rpm`; once in 5 s; 6 \
                 times in a minute; the effect shows on `site/{1}/{2}/rpm` within 8 s";
    let discovered = agent.modern("server/discover", json!({})).wait();
    let instructions = discovered["result"]["instructions"].as_str().unwrap();
    assert!(
        instructions.contains(&format!("line and motor. [{words}]\n")),
        "{instructions}"
    );
    let allowed = json!({"uri": "mcpmqtt://topics/allowed"});
    let allowed = agent.request("resources/read", allowed).wait();
    let text = allowed["result"]["contents"][0]["text"].as_str().unwrap();
    let allowed: Value = serde_json::from_str(text).unwrap();
    assert_eq!(allowed["topics"][0]["write"], json!([words]), "{allowed}");
    assert!(allowed["topics"][1].get("write").is_none());
    // The first write waits for the state, which it has watched.
    let rpm = json!({"topic": "site/line3/motor1/rpm", "payload": "1200"});
    let waiting = agent.tool("mqtt_publish", write(1300));
    eventually("the state is known", || {
        plant.tool("mqtt_publish", rpm.clone()).structured();
        !waiting.is_pending()
    });
    assert_eq!(
        waiting.error(),
        "not published: `site/line3/motor1/mode` is `local` (retained); to write here needs `site/line3/motor1/mode` = \
         \"remote\". Nothing was sent."
    );
    let mode = agent.listening(
        "mqtt_wait",
        json!({"topic": "site/line3/motor1/mode", "value": "remote"}),
    );
    send(&mut plant, "site/line3/motor1/mode", "remote", true);
    assert_eq!(mode.structured()["met"], true);
    let refused = agent.tool("mqtt_publish", write(1500)).error();
    assert!(refused.starts_with(
        "not published: 1500 is 300 away from `site/line3/motor1/rpm`, which is 1200 ("
    ));
    assert!(refused.ends_with(
        " s ago); one write may change it by 200 at most, so 1000 to 1400 now. Nothing was sent."
    ));
    // The motor obeys, within the tolerance.
    let command = plant.listening("mqtt_wait", json!({"topic": "site/line3/motor1/cmd/rpm"}));
    let writing = agent.tool("mqtt_publish", write(1400));
    assert_eq!(command.structured()["value"], 1400);
    send(&mut plant, "site/line3/motor1/rpm", "1310", false);
    send(&mut plant, "site/line3/motor1/rpm", "1385", false);
    let written = writing.structured();
    assert_eq!(
        (&written["outcome"], &written["confirmed"]),
        (&json!("sent"), &json!(true)),
        "{written}"
    );
    assert_eq!(written["effects"][0]["after"]["value"], 1385);
    let soon = agent.tool("mqtt_publish", write(1390)).error();
    assert!(
        soon.contains(", and one write is permitted in 5 s; try again in "),
        "{soon}"
    );
    let mut dry = write(1390);
    dry["dry_run"] = true.into();
    let dry = agent.tool("mqtt_publish", dry).structured();
    assert_eq!(dry["outcome"], "would_refuse", "{dry}");
    assert_eq!(dry["rules"][0]["rule"], "topics[0].write");
}

#[test]
fn a_rule_holds_for_every_tool_in_every_era_over_every_transport() {
    let broker = Mosquitto::start();
    let folder = Scratch::new();
    let socket = folder.path("socket");
    let config = json!({
        "mqtt": {"host": "127.0.0.1", "port": broker.port},
        "topics": [
            {"pattern": "cmd/#", "permissions": ["write"], "description": "d", "write": {
                "requires": [{"topic": "mode", "value": "remote", "retained": true}],
            }},
            {"pattern": "reply/#", "permissions": ["read"]},
            {"pattern": "mode", "permissions": ["read"]},
        ],
        "remote_server": {"uds": socket, "api_key": "k"},
    });
    let mut plant = plant(&broker);
    send(&mut plant, "mode", "local", true);
    let stray = plant.listening("mqtt_wait", json!({"topic": "cmd/#", "timeout": 300}));
    let mut agent = Agent::start(&config);
    let query = json!({
        "name": "mqtt_query",
        "arguments": {"request_topic": "cmd/ask", "response_topic": "reply/ask", "payload": "?"},
    });
    let publish = json!({"name": "mqtt_publish", "arguments": {"topic": "cmd/x", "payload": "1"}});
    let words =
        "`mode` is `local` (retained); to write here needs `mode` = \"remote\". Nothing was sent.";
    eventually("the broker is connected", || {
        let answer = agent.request("tools/call", publish.clone()).outcome();
        !answer.unwrap_err().contains("not connected")
    });
    for call in [&publish, &query] {
        for answer in [
            agent.request("tools/call", call.clone()),
            agent.modern("tools/call", call.clone()),
        ] {
            let said = answer.error();
            assert!(said.ends_with(words), "{said}");
        }
    }
    // The condition is met with a message of the same topic.
    let mut met = publish.clone();
    met["arguments"]["when"] = json!({"topic": "mode", "timeout": 60});
    let reacting = agent.listening("mqtt_publish", met["arguments"].clone());
    send(&mut plant, "mode", "local", true);
    let said = reacting.error();
    assert!(
        said.contains("`mode` is `local`") && said.ends_with("Nothing was sent."),
        "{said}"
    );

    let path = folder.file("config.json", &config.to_string());
    let mut server = Program::over(&path);
    server.until("serving MCP over HTTP on");
    for call in [&publish, &query] {
        let name = call["name"].as_str().unwrap();
        let fields = format!(
            "connection: close\r\nauthorization: Bearer k\r\nmcp-protocol-version: 2026-07-28\r\nmcp-method: tools/call\r\n\
             mcp-name: {name}\r\n"
        );
        let body = modern(1, "tools/call", call.clone()).to_string();
        let post = String::from_utf8(post_with(&fields, &body)).unwrap();
        eventually("the server is connected", || {
            let said = ask(unix(&socket), &post);
            let said = said.replace("\\\"", "\"");
            assert!(!said.contains("\"isError\":false"), "{said}");
            said.contains("`mode` is `local` (retained); to write here needs `mode` = ")
        });
    }
    assert!(stray.is_pending(), "something was sent");

    // And where it holds, a query is answered, with the effect of its request.
    send(&mut plant, "mode", "remote", true);
    let _device = Responder::start(broker.port, "cmd/ask", "reply/ask");
    let mut config = config;
    config["topics"][0]["write"]["state"] = json!({"topic": "reply/ask"});
    config["topics"][0]["write"]["confirm"] = json!({"op": "contains", "value": "re:"});
    let mut agent = Agent::start(&config);
    let mut reply = Value::Null;
    eventually("the broker is connected", || {
        let answer = agent.request("tools/call", query.clone()).outcome();
        reply = answer.clone().unwrap_or_default();
        answer.is_ok()
    });
    assert_eq!(
        (&reply["payload"], &reply["confirmed"]),
        (&json!("re:?"), &json!(true)),
        "{reply}"
    );
    assert_eq!(reply["effects"][0]["topic"], "reply/ask");
}

/// An agent that tries again and again what the plant's state forbids has a quota like any other.
#[test]
fn a_write_that_a_rule_refuses_counts_for_the_quota_and_one_that_its_payload_refuses_does_not() {
    let broker = Mosquitto::start();
    let mut agent = Agent::start(&json!({
        "mqtt": {"host": "127.0.0.1", "port": broker.port},
        "topics": [{
            "pattern": "cmd", "permissions": ["write"], "description": "d",
            "payload": {"type": "integer", "max": 9},
            "write": {"requires": [{"topic": "mode", "value": "remote", "retained": true}]},
        }],
        "profiles": {"default": {"limits": {"publishes_per_minute": 2}}},
    }));
    let mut plant = plant(&broker);
    send(&mut plant, "mode", "local", true);
    let mut write = |payload: &str| {
        let message = json!({"topic": "cmd", "payload": payload});
        agent.tool("mqtt_publish", message).error()
    };
    for _ in 0..3 {
        assert!(write("10").contains("10 is above 9"));
    }
    for _ in 0..2 {
        let words = write("5");
        assert!(
            words.contains("does not have the required value"),
            "{words}"
        );
    }
    let words = write("5");
    assert!(
        words.contains("more than 2 publishes in a minute"),
        "{words}"
    );
}
