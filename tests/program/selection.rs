//! What keeps results short: selected fields, filters, the latest value of each topic, retained values only; and replies
//! that are told apart by their content.

use serde_json::{Value, json};

use crate::common::agent::Agent;
use crate::common::mosquitto::Mosquitto;

fn agent(broker: &Mosquitto) -> Agent {
    Agent::start(&json!({
        "mqtt": {"host": "127.0.0.1", "port": broker.port},
        "topics": [{"pattern": "t/#", "permissions": ["read", "write", "retain"]}],
    }))
}

#[test]
fn retained_values_alone_end_when_no_more_come() {
    let broker = Mosquitto::start();
    let mut agent = agent(&broker);
    for n in 0..30 {
        broker.publish(&["-r", "-t", &format!("t/{n}"), "-m", &format!("{n}")]);
    }
    let only = json!({"topic": "t/#", "retained": "only", "timeout": 30});
    let collecting = agent.tool("mqtt_subscribe", only.clone());
    let seen = collecting.structured();
    assert_eq!(seen["ended_by"], "quiet", "{seen}");
    assert_eq!(seen["messages_received"], 30);
    let mut latest = only;
    latest["format"] = "latest".into();
    let seen = agent.tool("mqtt_subscribe", latest).structured();
    assert_eq!(seen["ended_by"], "quiet", "{seen}");
    let rows = seen["rows"].as_array().unwrap();
    assert_eq!(rows.len(), 30);
    assert!(
        ["at", "n", "retained"]
            .iter()
            .all(|name| rows[0].get(*name).is_none()),
        "{seen}"
    );
    let none = agent.tool(
        "mqtt_subscribe",
        json!({"topic": "t/none", "retained": "only"}),
    );
    let none = none.structured();
    assert_eq!(
        (&none["ended_by"], &none["messages"]),
        (&json!("quiet"), &json!([]))
    );
}

#[test]
fn retained_and_include_retained_may_not_contradict_each_other() {
    let broker = Mosquitto::start();
    let mut agent = agent(&broker);
    broker.publish(&["-r", "-t", "t/a", "-m", "1"]);
    for word in ["only", "also"] {
        let call = json!({"topic": "t/a", "retained": word, "include_retained": false});
        let why = agent.tool("mqtt_subscribe", call).error();
        assert!(why.contains("contradict") && why.contains(word), "{why}");
    }
    let none = json!({"topic": "t/a", "retained": "none", "timeout": 0.2});
    let seen = agent.tool("mqtt_subscribe", none).structured();
    assert_eq!(
        (&seen["ended_by"], &seen["messages_received"]),
        (&json!("timeout"), &json!(0))
    );
}

#[test]
fn fields_where_and_a_cut_keep_results_short() {
    let broker = Mosquitto::start();
    let mut agent = agent(&broker);
    let call = json!({
        "topic": "t/#", "max_messages": 2, "fields": ["state.on", "/list/1", "absent"], "timeout": 30,
        "where": {"field": "power", "op": ">", "value": 100},
    });
    let collecting = agent.listening("mqtt_subscribe", call);
    for power in [50, 150, 99, 101] {
        let payload = json!({"power": power, "state": {"on": true}, "list": [1, {"a": 2}]});
        broker.publish(&["-t", "t/plug", "-m", &payload.to_string()]);
    }
    let seen = collecting.structured();
    assert_eq!(seen["not_met"], 2, "{seen}");
    let row = &seen["rows"][0];
    assert_eq!(
        row["fields"],
        json!({"state.on": true, "/list/1": {"a": 2}}),
        "{seen}"
    );
    assert!(row["at"].is_string() && row.get("value").is_none());
    let call = json!({"topic": "t/#", "max_payload_bytes": 3, "timeout": 30});
    let collecting = agent.listening("mqtt_subscribe", call);
    broker.publish(&["-t", "t/text", "-m", "é1234"]);
    let message = &collecting.structured()["messages"][0];
    assert_eq!(
        (&message["payload"], &message["payload_bytes"]),
        (&json!("é1"), &json!(6))
    );
}

#[test]
fn the_latest_value_of_each_topic_is_one_row() {
    let broker = Mosquitto::start();
    let mut agent = agent(&broker);
    broker.publish(&["-r", "-t", "t/kept", "-m", "old"]);
    let call = json!({"topic": "t/#", "format": "latest", "timeout": 1});
    let collecting = agent.listening("mqtt_subscribe", call);
    for (topic, payload) in [("t/a", "1"), ("t/b", "on"), ("t/a", "2")] {
        broker.publish(&["-t", topic, "-m", payload]);
    }
    let seen = collecting.structured();
    let rows = seen["rows"].as_array().unwrap();
    let row = |topic: &str| rows.iter().find(|row| row["topic"] == topic).unwrap();
    assert_eq!(
        (&row("t/a")["value"], &row("t/a")["n"]),
        (&json!(2), &json!(2)),
        "{seen}"
    );
    assert_eq!(row("t/b")["value"], "on");
    assert_eq!(row("t/kept")["retained"], true);
    assert_eq!(seen["ended_by"], "timeout");
    assert!(
        seen.get("messages").is_none() && seen.get("lost").is_none(),
        "{seen}"
    );
}

#[test]
fn arguments_that_mean_nothing_are_refused() {
    let broker = Mosquitto::start();
    let mut agent = agent(&broker);
    let table = [
        (json!({"where": {"op": "changed"}}), "`where.op`"),
        (json!({"where": {"op": "<"}}), "`where`: `value`"),
        (json!({"fields": ["a", "b["]}), "`fields[1]`"),
        (json!({"fields": vec!["a"; 21]}), "at most 20"),
        (json!({"format": "table"}), "`format`"),
        (json!({"retained": "yes"}), "`retained`"),
        (json!({"max_payload_bytes": -1}), "`max_payload_bytes`"),
    ];
    for (mut arguments, words) in table {
        arguments["topic"] = "t/a".into();
        let why = agent.tool("mqtt_subscribe", arguments.clone()).error();
        assert!(why.contains(words), "{arguments}: {why}");
    }
}

/// Several callers share one response topic; each reply carries the id of its request.
#[test]
fn a_query_finds_its_own_reply_by_an_id_and_waits_for_no_other() {
    let broker = Mosquitto::start();
    let mut agent = agent(&broker);
    let query = |id: u64, timeout: f64| {
        json!({
            "request_topic": "t/request", "response_topic": "t/response", "payload": json!({"id": id}).to_string(),
            "field": "id", "value": id, "timeout": timeout,
        })
    };
    let first = agent.listening("mqtt_query", query(1, 30.0));
    // Without `value` it would wait for its turn.
    let second = agent.listening("mqtt_query", query(2, 30.0));
    for id in [3, 2, 1] {
        let reply: Value = json!({"id": id, "ok": true});
        broker.publish(&["-t", "t/response", "-m", &reply.to_string()]);
    }
    for (asked, id) in [(first, 1), (second, 2)] {
        let reply = asked.structured();
        let payload: Value = serde_json::from_str(reply["payload"].as_str().unwrap()).unwrap();
        assert_eq!(payload["id"], id);
    }
    let none = agent.listening("mqtt_query", query(4, 1.0));
    broker.publish(&["-t", "t/response", "-m", r#"{"id": 5}"#]);
    let why = none.error();
    assert!(why.contains("without the value asked for: 1"), "{why}");
    let call = json!({
        "request_topic": "t/request", "response_topic": "t/response", "payload": "", "field": "id",
    });
    let why = agent.tool("mqtt_query", call).error();
    assert!(why.contains("`field`") && why.contains("`value`"), "{why}");
}

/// Ids are compared digit for digit; neither the request itself nor a message that is too large is the reply.
#[test]
fn a_query_takes_nothing_else_for_its_own_reply() {
    let broker = Mosquitto::start();
    let mut agent = Agent::start(&json!({
        "mqtt": {"host": "127.0.0.1", "port": broker.port},
        "topics": [{"pattern": "t/#", "permissions": ["read", "write"]}],
        "limits": {"packet_bytes": 1024},
    }));
    let id = 1_764_403_200_123_456_789_u64;
    let query = json!({
        "request_topic": "t/request", "response_topic": "t/+", "payload": json!({"id": id}).to_string(),
        "field": "id", "value": id, "timeout": 30,
    });
    let asked = agent.listening("mqtt_query", query.clone());
    broker.publish(&["-t", "t/other", "-m", &json!({"id": id - 9}).to_string()]);
    broker.publish(&["-t", "t/other", "-m", &"x".repeat(2000)]);
    broker.publish(&["-t", "t/own", "-m", &json!({"id": id}).to_string()]);
    assert_eq!(asked.structured()["topic"], "t/own");
    // Another subscription may bring a copy of the request.
    let mut same = query.clone();
    same["response_topic"] = "t/request".into();
    let asked = agent.listening("mqtt_query", same);
    broker.publish(&["-t", "t/request", "-m", &json!({"id": id}).to_string()]);
    let reply = json!({"id": id, "ok": true}).to_string();
    broker.publish(&["-t", "t/request", "-m", &reply]);
    assert_eq!(asked.structured()["payload"], reply);
    let mut short = query;
    short["timeout"] = 3.into();
    let none = agent.listening("mqtt_query", short);
    broker.publish(&["-t", "t/other", "-m", &"x".repeat(2000)]);
    let why = none.error();
    assert!(
        why.contains("larger than `limits.packet_bytes`: 1"),
        "{why}"
    );
    let call =
        json!({"request_topic": "t/e", "response_topic": "t/+", "payload": "hello", "timeout": 30});
    let asked = agent.listening("mqtt_query", call);
    broker.publish(&["-t", "t/f", "-m", "hello"]);
    assert_eq!(asked.structured()["topic"], "t/f");
    // Asked for in so many words, it comes back: so the way to the broker is tried.
    let call = json!({"request_topic": "t/e", "response_topic": "t/e", "payload": "hello"});
    let echo = agent.tool("mqtt_query", call).structured();
    assert_eq!(
        (&echo["topic"], &echo["payload"]),
        (&json!("t/e"), &json!("hello"))
    );
}

#[test]
fn selected_fields_are_exact_or_say_that_they_are_cut() {
    let broker = Mosquitto::start();
    let mut agent = agent(&broker);
    let payload =
        r#"{"state": "offline-pending", "sn": 9007199254740993, "err": {"code": 7}, "ok": true}"#;
    broker.publish(&["-r", "-t", "t/a", "-m", payload]);
    let mut call =
        json!({"topic": "t/a", "fields": ["state", "sn", "err", "ok"], "retained": "only"});
    let row = agent.tool("mqtt_subscribe", call.clone()).structured()["rows"][0].clone();
    let whole = json!({"state": "offline-pending", "sn": 9_007_199_254_740_993_u64, "err": {"code": 7}, "ok": true});
    assert_eq!((&row["fields"], row.get("cut")), (&whole, None), "{row}");
    call["max_payload_bytes"] = 4.into();
    let row = agent.tool("mqtt_subscribe", call).structured()["rows"][0].clone();
    assert_eq!(row["fields"]["state"], "offl", "{row}");
    assert_eq!(row["fields"]["sn"], 9_007_199_254_740_993_u64, "{row}");
    assert_eq!(row["cut"], json!(["state", "err"]), "{row}");
}
