//! Topics as resources, against a real mosquitto: read, subscribe in both eras, complete.

use std::time::{Duration, Instant};

use serde_json::{Value, json};

use crate::common::agent::{Agent, Answer};
use crate::common::config::open_config;
use crate::common::mosquitto::Mosquitto;
use crate::common::waiting::PATIENCE;

fn start() -> (Mosquitto, Agent) {
    let broker = Mosquitto::start();
    let mut agent = Agent::start(&open_config(broker.port));
    // From here on the connection to the broker is up.
    agent
        .tool(
            "mqtt_publish",
            json!({"topic": "t/up", "payload": "", "qos": 1}),
        )
        .structured();
    (broker, agent)
}

fn read(agent: &mut Agent, uri: &str) -> Value {
    agent.request("resources/read", json!({"uri": uri})).wait()
}

fn subscribe(agent: &mut Agent, uri: &str) -> Value {
    agent
        .request("resources/subscribe", json!({"uri": uri}))
        .wait()
}

fn listen(agent: &mut Agent, uris: Value) -> (Answer, Value) {
    let wishes =
        json!({"notifications": {"toolsListChanged": true, "resourceSubscriptions": uris}});
    let stream = agent.modern("subscriptions/listen", wishes);
    let first = note(agent);
    assert_eq!(first["method"], "notifications/subscriptions/acknowledged");
    (stream, first["params"]["notifications"].clone())
}

fn note(agent: &Agent) -> Value {
    agent.others.recv_timeout(PATIENCE).unwrap()
}

#[test]
fn a_read_gives_what_is_retained_or_the_next_value() {
    let (broker, mut agent) = start();
    broker.publish(&["-r", "-t", "t/a b", "-m", "21.5"]);
    let answer = read(&mut agent, "mqtt://topic/t/a%20b");
    let contents = json!([{
        "uri": "mqtt://topic/t/a%20b", "mimeType": "text/plain", "text": "21.5",
    }]);
    assert_eq!(answer["result"]["contents"], contents);

    let bytes = json!({"topic": "t/bin", "payload": "AP/+", "encoding": "base64", "retain": true});
    agent.tool("mqtt_publish", bytes).structured();
    let answer = read(&mut agent, "mqtt://topic/t%2Fbin");
    assert_eq!(answer["result"]["contents"][0]["blob"], "AP/+");
    assert_eq!(
        answer["result"]["contents"][0]["mimeType"],
        "application/octet-stream"
    );

    let params = json!({"uri": "mqtt://topic/t/next", "_meta": {"progressToken": 0}});
    let waiting = agent.request("resources/read", params);
    assert_eq!(
        note(&agent)["method"],
        "notifications/progress",
        "the subscription is in place"
    );
    broker.publish(&["-t", "t/next", "-m", "now"]);
    assert_eq!(waiting.wait()["result"]["contents"][0]["text"], "now");
}

#[test]
fn what_may_not_be_read_or_is_not_there_is_told_in_words() {
    let (broker, mut agent) = start();
    broker.publish(&["-r", "-t", "in/secret", "-m", "x"]);
    let table = [
        (
            "mqtt://topic/in/secret",
            -32602,
            "in/secret` is not readable",
        ),
        (
            "mqtt://topic/in%2Fsecret",
            -32602,
            "in/secret` is not readable",
        ),
        ("mqtt://topic/t/%2B", -32602, "names no topic"),
        ("mqtt://topic/t/#", -32602, "percent-encoded"),
        ("mqtt://topic/t/%zz", -32602, "hexadecimal"),
        ("mqtt://topic/", -32602, "names no topic"),
        ("mqtt://other/t/x", -32002, "no resource"),
    ];
    for (uri, code, words) in table {
        for method in ["resources/read", "resources/subscribe"] {
            let answer = agent.request(method, json!({"uri": uri})).wait();
            assert_eq!(answer["error"]["code"], code, "{method} {uri}: {answer}");
            let message = answer["error"]["message"].as_str().unwrap();
            assert!(message.contains(words), "{method} {uri}: {message}");
        }
    }
    let start = Instant::now();
    let answer = read(&mut agent, "mqtt://topic/t/nothing");
    assert!(start.elapsed() >= Duration::from_secs(2));
    assert_eq!(answer["error"]["code"], -32002);
    let message = answer["error"]["message"].as_str().unwrap();
    assert!(
        message.contains("within 2 s, neither a retained one nor a new one"),
        "{message}"
    );
}

#[test]
fn a_session_hears_of_each_new_value_and_never_of_the_old_one() {
    let (broker, mut agent) = start();
    broker.publish(&["-r", "-t", "t/x", "-m", "old"]);
    let uri = "mqtt://topic/t/x";
    assert_eq!(subscribe(&mut agent, uri)["result"], json!({}));
    assert_eq!(subscribe(&mut agent, uri)["result"], json!({}));
    // Whatever was to be said about the old value would have been said before this answer.
    let value = read(&mut agent, uri);
    assert_eq!(value["result"]["contents"][0]["text"], "old");
    assert!(agent.others.try_recv().is_err());
    for payload in ["new", "newer"] {
        broker.publish(&["-r", "-t", "t/x", "-m", payload]);
        let heard = note(&agent);
        assert_eq!(heard["method"], "notifications/resources/updated");
        assert_eq!(heard["params"], json!({"uri": uri}));
        let value = read(&mut agent, uri);
        assert_eq!(value["result"]["contents"][0]["text"], payload);
    }
    agent
        .request("resources/unsubscribe", json!({"uri": uri}))
        .wait();
    broker.publish(&["-t", "t/x", "-m", "unheard"]);
    agent
        .tool("mqtt_read", json!({"topic": "t/x"}))
        .structured();
    assert!(agent.others.try_recv().is_err());
}

#[test]
fn a_stream_honours_only_what_may_be_read_and_tells_both_eras_once_each() {
    let (broker, mut agent) = start();
    let uri = "mqtt://topic/out/y";
    let uris = json!([
        uri,
        "mqtt://topic/in/secret",
        "mqtt://topic/%",
        "mcpmqtt://topics/allowed"
    ]);
    let (stream, honoured) = listen(&mut agent, uris);
    let mut granted = honoured["resourceSubscriptions"]
        .as_array()
        .unwrap()
        .clone();
    granted.sort_by_key(Value::to_string);
    assert_eq!(granted, [json!("mcpmqtt://topics/allowed"), json!(uri)]);
    assert_eq!(
        honoured.as_object().unwrap().len(),
        1,
        "the lists never change"
    );
    subscribe(&mut agent, uri);
    broker.publish(&["-t", "out/y", "-m", "1"]);
    let tags = [note(&agent), note(&agent)].map(|note| {
        assert_eq!(note["method"], "notifications/resources/updated");
        assert_eq!(note["params"]["uri"], uri);
        note["params"]["_meta"].is_object()
    });
    assert!(tags.contains(&true) && tags.contains(&false));
    assert!(stream.is_pending());
    // A modern read of the same, for its shape.
    broker.publish(&["-r", "-t", "out/y", "-m", "2"]);
    let value = agent.modern("resources/read", json!({"uri": uri})).wait();
    assert_eq!(value["result"]["ttlMs"], 0);
}

#[test]
fn a_flood_is_told_at_most_four_times_a_second_and_its_end_is_not_left_out() {
    let (broker, mut agent) = start();
    let (_stream, _) = listen(&mut agent, json!(["mqtt://topic/t/flood"]));
    let lines: String = (0..20_000).map(|n| format!("{n}\n")).collect();
    let start = Instant::now();
    broker.publish_lines("t/flood", &lines);
    broker.publish(&["-r", "-t", "t/flood", "-m", "last"]);
    let mut heard = 0;
    let last = loop {
        note(&agent);
        heard += 1;
        // The last notification is not earlier than the last value.
        let value = read(&mut agent, "mqtt://topic/t/flood");
        if value["result"]["contents"][0]["text"] == "last" {
            break start.elapsed();
        }
    };
    let most = 2 + last.as_millis() / 250;
    assert!(heard <= most, "{heard} in {last:?}");
}

#[test]
fn what_changed_while_the_broker_was_away_is_told_when_it_is_back() {
    let (mut broker, mut agent) = start();
    let uri = "mqtt://topic/t/z";
    subscribe(&mut agent, uri);
    broker.kill();
    // In time: a subscription is taken on while there is no broker, too.
    assert_eq!(
        subscribe(&mut agent, "mqtt://topic/t/w")["result"],
        json!({})
    );
    broker.restart();
    let mut due = vec![json!(uri), json!("mqtt://topic/t/w")];
    while !due.is_empty() {
        for topic in ["t/z", "t/w"] {
            broker.publish(&["-r", "-t", topic, "-m", "back"]);
        }
        if let Ok(note) = agent.others.recv_timeout(Duration::from_millis(300)) {
            due.retain(|uri| *uri != note["params"]["uri"]);
        }
    }
}

#[test]
fn completion_names_what_is_granted_and_what_was_seen() {
    let (broker, mut agent) = start();
    broker.publish(&["-r", "-t", "t/rooms/1/temperature", "-m", "20"]);
    broker.publish(&["-r", "-t", "t/rooms/2/temperature", "-m", "21"]);
    let watched = json!({"topic": "t/rooms/#", "max_messages": 2});
    agent.tool("mqtt_subscribe", watched).structured();
    let mut complete = |value: &str| {
        let params = json!({
            "ref": {"type": "ref/resource", "uri": "mqtt://topic/{+topic}"},
            "argument": {"name": "topic", "value": value},
        });
        let answer = agent.request("completion/complete", params).wait();
        answer["result"]["completion"]["values"].clone()
    };
    let rooms = json!(["t/rooms/1/temperature", "t/rooms/2/temperature"]);
    assert_eq!(complete("t/rooms/"), rooms);
    assert_eq!(complete("t/rooms/2"), json!(["t/rooms/2/temperature"]));
    assert_eq!(complete("o"), json!(["out/"]));
    assert_eq!(complete("in"), json!([]), "it may only be written");
    let all = complete("");
    assert!(all.as_array().unwrap().contains(&json!("t/")), "{all}");
}
