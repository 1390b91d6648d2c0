//! The operator's topics, for a caller that may do everything: on no path is there anything of them, and nothing of them is
//! lost. The broker is a real mosquitto.

use rustix::process::Signal;
use serde_json::{Value, json};

use crate::calls::{JSON, call_post};
use crate::common::agent::Agent;
use crate::common::http_client::Client;
use crate::common::messages;
use crate::common::mosquitto::Mosquitto;
use crate::common::program::Program;
use crate::common::scratch::Scratch;
use crate::common::waiting::eventually;

const EVERYTHING: [&str; 4] = ["read", "write", "retain", "share"];

fn config(port: u16) -> Value {
    json!({
        "mqtt": {"host": "127.0.0.1", "port": port},
        "topics": [
            {"pattern": "#", "permissions": EVERYTHING, "description": "All there is."},
            {"pattern": "plant/op/halt", "permissions": EVERYTHING, "description": "A grant in vain."},
        ],
        "operator": {"topic": "plant/op"},
        // So small that one message of the operator's would show as lost.
        "limits": {"inbox_messages": 2},
    })
}

fn start() -> (Mosquitto, Agent) {
    let broker = Mosquitto::start();
    let mut agent = Agent::start(&config(broker.port));
    let up = json!({"topic": "up", "payload": "", "qos": 1});
    agent.tool("mqtt_publish", up).structured();
    (broker, agent)
}

/// What the operator's side says, beside one message of the plant.
fn say(broker: &Mosquitto) {
    for (topic, retain) in [
        ("plant/op", false),
        ("plant/op/ask/1", false),
        ("plant/op/note", true),
        ("plant/op/a/b/c", false),
    ] {
        let mut args = vec!["-t", topic, "-m", "of the operator"];
        if retain {
            args.push("-r");
        }
        broker.publish(&args);
    }
    broker.publish(&["-t", "plant/opera", "-m", "of the plant"]);
}

fn is_silent(what: &Value) -> bool {
    let text = what.to_string();
    !text.contains("plant/op\"") && !text.contains("plant/op/") && !text.contains("of the operator")
}

#[test]
fn a_subscription_to_everything_brings_nothing_of_them_and_loses_nothing() {
    let (broker, mut agent) = start();
    for filter in ["#", "plant/#", "+/+/#", "$share/g/#"] {
        let wanted = json!({"topic": filter, "max_messages": 1, "timeout": 10});
        let listening = agent.listening("mqtt_subscribe", wanted);
        say(&broker);
        let heard = listening.structured();
        assert!(is_silent(&heard), "{heard}");
        assert_eq!(heard["messages"][0]["topic"], "plant/opera", "{heard}");
        assert_eq!(
            (&heard["messages_received"], &heard["lost"]),
            (&json!(1), &json!(0))
        );
    }
    let read = json!({"topic": "plant/#", "timeout": 0.5, "max_messages": 10});
    let retained = agent.tool("mqtt_subscribe", read).structured();
    assert!(is_silent(&retained), "{retained}");
}

#[test]
fn what_is_wholly_theirs_is_refused_in_words_on_every_path() {
    let (broker, mut agent) = start();
    broker.publish(&["-r", "-t", "plant/op/note", "-m", "of the operator"]);
    let theirs = "is kept for the operator; no agent may read or write there";
    let state = json!({"topic": "plant/op/note", "op": "changed"});
    for (tool, arguments) in [
        (
            "mqtt_publish",
            json!({"topic": "plant/op/halt", "payload": "x"}),
        ),
        (
            "mqtt_publish",
            json!({"topic": "plant/op/halt", "payload": "", "retain": true}),
        ),
        ("mqtt_publish", json!({"topic": "plant/op", "payload": "x"})),
        (
            "mqtt_publish",
            json!({"topic": "a", "payload": "x", "confirm": {"topic": "plant/op/note"}}),
        ),
        (
            "mqtt_publish",
            json!({"topic": "a", "payload": "x", "when": state}),
        ),
        (
            "mqtt_publish",
            json!({"topic": "plant/op/halt", "payload": "x", "dry_run": true}),
        ),
        ("mqtt_subscribe", json!({"topic": "plant/op/#"})),
        ("mqtt_subscribe", json!({"topic": "plant/op/+/x"})),
        ("mqtt_subscribe", json!({"topic": "$share/g/plant/op/#"})),
        ("mqtt_read", json!({"topic": "plant/op/note"})),
        (
            "mqtt_query",
            json!({"request_topic": "a", "payload": "x", "response_topic": "plant/op/answer/1"}),
        ),
        (
            "mqtt_query",
            json!({"request_topic": "plant/op/ask/1", "payload": "x", "response_topic": "a"}),
        ),
        (
            "mqtt_wait",
            json!({"topic": "plant/op/note", "op": "changed"}),
        ),
        (
            "mqtt_wait",
            json!({"topic": "b", "op": "changed", "also": ["plant/op/note"]}),
        ),
        ("mqtt_topics", json!({"topic": "plant/op/#", "seconds": 0})),
        ("mqtt_stats", json!({"topic": "plant/op/#", "seconds": 0.1})),
    ] {
        let answer = agent.tool(tool, arguments.clone()).wait();
        let said = answer.to_string();
        assert!(said.contains(theirs), "{tool} {arguments}: {answer}");
    }
    let uri = "mqtt://topic/plant/op/note";
    for method in ["resources/read", "resources/subscribe"] {
        let answer = agent.request(method, json!({"uri": uri})).wait();
        let said = answer["error"]["message"].as_str().unwrap_or_default();
        assert!(said.contains(theirs), "{method}: {answer}");
    }
    let wishes = json!({"notifications": {"resourceSubscriptions": [uri, "mqtt://topic/a"]}});
    let _stream = agent.modern("subscriptions/listen", wishes);
    let first = agent.others.recv().unwrap();
    assert_eq!(
        first["params"]["notifications"]["resourceSubscriptions"],
        json!(["mqtt://topic/a"]),
        "{first}"
    );
}

#[test]
fn no_list_no_count_and_no_description_names_them() {
    let (broker, mut agent) = start();
    let observing = json!({"topic": "plant/#", "detail": "topics", "seconds": 0});
    agent.tool("mqtt_topics", observing.clone()).structured();
    say(&broker);
    let mut seen = Value::Null;
    eventually("the plant's message is seen", || {
        seen = agent.tool("mqtt_topics", observing.clone()).structured();
        seen.to_string().contains("plant/opera")
    });
    assert!(is_silent(&seen), "{seen}");
    assert_eq!(seen["topics"], 1, "{seen}");
    let groups = agent.tool("mqtt_topics", json!({"seconds": 0}));
    let groups = groups.structured();
    assert!(is_silent(&groups), "{groups}");

    let counting = json!({"topic": "plant/#", "seconds": 2});
    let counting = agent.listening("mqtt_stats", counting);
    say(&broker);
    let counted = counting.structured();
    assert!(is_silent(&counted), "{counted}");
    assert_eq!(counted["no_number"], 1, "{counted}");

    for value in ["", "plant/", "plant/op/"] {
        let asked = json!({
            "ref": {"type": "ref/resource", "uri": "mqtt://topic/{+topic}"},
            "argument": {"name": "topic", "value": value},
        });
        let completed = agent.request("completion/complete", asked).wait();
        assert!(
            is_silent(&completed["result"]["completion"]["values"]),
            "{completed}"
        );
    }
    for (method, params) in [
        ("initialize", messages::initialize("2025-11-25")),
        ("tools/list", json!({})),
        ("resources/list", json!({})),
        ("resources/templates/list", json!({})),
        ("resources/read", json!({"uri": "mcpmqtt://topics/allowed"})),
        (
            "resources/read",
            json!({"uri": "mcpmqtt://topics/examples"}),
        ),
    ] {
        let answer = agent.request(method, params).wait();
        assert!(is_silent(&answer), "{method}: {answer}");
        assert!(answer.get("error").is_none(), "{method}: {answer}");
    }
}

#[test]
fn a_reload_takes_them_from_everybody() {
    let broker = Mosquitto::start();
    let folder = Scratch::new();
    let mut config = config(broker.port);
    config["remote_server"] = json!({"uds": folder.path("socket"), "api_key": "k"});
    let operator = config.as_object_mut().unwrap().remove("operator");
    let path = folder.file("config.json", &config.to_string());
    let mut program = Program::over(&path);
    program.until("connected to the broker");
    let call = |tool: &str, arguments: Value| {
        let mut client = Client::unix(&folder.path("socket"));
        assert!(client.send(&call_post("k", JSON, tool, arguments)));
        client.answer().json()
    };
    let listed = json!({"topic": "plant/#", "detail": "topics", "seconds": 1});
    broker.publish(&["-r", "-t", "plant/op/note", "-m", "of the operator"]);
    broker.publish(&["-r", "-t", "plant/opera", "-m", "of the plant"]);
    let before = call("mqtt_topics", listed.clone());
    assert!(before.to_string().contains("plant/op/note"), "{before}");
    let mut waiting = Client::unix(&folder.path("socket"));
    // What is retained there would end the call before the reload comes.
    let arguments = json!({"topic": "plant/op/#", "timeout": 60, "retained": "none"});
    waiting.send(&call_post("k", JSON, "mqtt_subscribe", arguments));

    config["operator"] = operator.unwrap();
    folder.file("config.json", &config.to_string());
    program.signal(Signal::HUP);
    program.until("configuration reloaded from");
    let after = call("mqtt_topics", listed);
    assert!(is_silent(&after), "{after}");
    assert!(after.to_string().contains("plant/opera"), "{after}");
    let ended = waiting.answer().json().to_string();
    assert!(ended.contains("is kept for the operator"), "{ended}");
}
