//! `mqtt_topics` and `mqtt_stats`: what is there, for whom, and what it costs when nobody asks.

use serde_json::{Value, json};

use crate::common::agent::Agent;
use crate::common::mosquitto::Mosquitto;
use crate::common::waiting::eventually;

fn config(broker: &Mosquitto, topics: Value) -> Value {
    json!({"mqtt": {"host": "127.0.0.1", "port": broker.port}, "topics": topics})
}

fn all() -> Value {
    json!([{"pattern": "#", "permissions": ["read", "write", "retain"]}])
}

/// A plant of three rooms, of which one has died, and a lamp.
fn plant(broker: &Mosquitto) {
    for room in ["hall", "kitchen", "office"] {
        broker.publish(&[
            "-r",
            "-t",
            &format!("site/{room}/temperature"),
            "-m",
            "21.5",
        ]);
        broker.publish(&["-r", "-t", &format!("site/{room}/humidity"), "-m", "40"]);
    }
    broker.publish(&["-r", "-t", "site/lamp", "-m", r#"{"state":"ON","level":7}"#]);
    broker.publish(&["-r", "-t", "secret/code", "-m", "1234"]);
}

#[test]
fn alike_topics_are_one_group_with_a_filter_that_works() {
    let broker = Mosquitto::start();
    plant(&broker);
    let topics = json!([
        {"pattern": "site/#", "permissions": ["read"], "description": "The site, °C and %"},
        {"pattern": "site/lamp", "permissions": ["write"]},
    ]);
    let mut agent = Agent::start(&config(&broker, topics));
    let seen = agent
        .tool("mqtt_topics", json!({"seconds": 0.5}))
        .structured();
    assert_eq!(seen["topics"], 7, "{seen}");
    let groups = seen["groups"].as_array().unwrap();
    assert_eq!(groups.len(), 3, "{seen}");
    let temperature = groups
        .iter()
        .find(|it| it["pattern"].as_str().unwrap().ends_with("temperature"))
        .unwrap();
    assert_eq!(temperature["topics"], 3, "{seen}");
    assert_eq!(temperature["filter"], "site/+/temperature");
    assert_eq!(
        (&temperature["kind"], &temperature["values"]),
        (&json!("number"), &json!([21.5, 21.5]))
    );
    // An operator's description is told once.
    let abouts: Vec<_> = groups.iter().filter_map(|it| it.get("about")).collect();
    assert_eq!(abouts, [&json!("The site, °C and %")], "{seen}");
    assert_eq!(temperature["example"]["age_s"], "unknown");
    assert!(temperature.get("write").is_none(), "{seen}");
    let lamp = groups
        .iter()
        .find(|it| it["pattern"] == "site/lamp")
        .unwrap();
    assert_eq!(lamp["write"], true, "{seen}");
    assert_eq!(lamp["values"], json!({"state": "boolean", "level": [7, 7]}));
    assert!(!seen.to_string().contains("secret"), "{seen}");
    assert!(
        seen["notes"][0].as_str().unwrap().contains("are not here"),
        "{seen}"
    );
    // The filter of a group is one that the other tools take.
    let filter = temperature["filter"].clone();
    let rows = agent.tool(
        "mqtt_topics",
        json!({"topic": filter, "detail": "topics", "seconds": 0}),
    );
    let rows = rows.structured();
    assert_eq!(rows["rows"].as_array().unwrap().len(), 3, "{rows}");
    let found = agent
        .tool("mqtt_topics", json!({"search": "LEVEL", "seconds": 0}))
        .structured();
    assert_eq!(found["groups"][0]["pattern"], "site/lamp", "{found}");
}

/// What may be read decides: of the asked filter only the part that a grant covers is subscribed to.
#[test]
fn a_caller_sees_and_counts_only_what_it_may_read() {
    let broker = Mosquitto::start();
    plant(&broker);
    let topics = json!([
        {"pattern": "site/+/temperature", "permissions": ["read"]},
        {"pattern": "site/hall/#", "permissions": ["read"]},
        {"pattern": "secret/#", "permissions": ["write"]},
    ]);
    let mut agent = Agent::start(&config(&broker, topics));
    let all = json!({"detail": "topics", "seconds": 0.5});
    let seen = agent.tool("mqtt_topics", all).structured();
    let topics: Vec<_> = seen["rows"]
        .as_array()
        .unwrap()
        .iter()
        .map(|row| &row["topic"])
        .collect();
    assert_eq!(
        topics,
        [
            "site/hall/humidity",
            "site/hall/temperature",
            "site/kitchen/temperature",
            "site/office/temperature"
        ],
        "{seen}"
    );
    assert_eq!(seen["topics"], 4);
    let nothing = agent.tool("mqtt_topics", json!({"topic": "secret/#", "seconds": 0}));
    let nothing = nothing.structured();
    assert_eq!(nothing["topics"], 0);
    let note = nothing["notes"][0].as_str().unwrap();
    assert!(note.contains("may be read"), "{note}");
    for (topic, words) in [("a/#/b", "`topic`"), ("$share/g/a", "shared subscription")] {
        let why = agent.tool("mqtt_topics", json!({"topic": topic})).error();
        assert!(why.contains(words), "{why}");
    }
}

/// A plant of any size fits 2,000 tokens, and what is left out is counted.
#[test]
fn an_overview_of_a_large_plant_stays_short() {
    let broker = Mosquitto::start();
    let mut config = config(&broker, all());
    // However long the thousand publishes take.
    config["observe"] = json!({"always": ["#"]});
    let mut agent = Agent::start(&config);
    let watching = agent.tool("mqtt_topics", json!({"seconds": 0}));
    watching.structured();
    for area in 0..40 {
        for device in 0..25 {
            let topic = format!(
                "area{area}/kind{}/dev{device}/some-long-name-{}",
                area % 7,
                device % 5
            );
            broker.publish(&["-t", &topic, "-m", &format!("{device}")]);
        }
    }
    let mut seen = Value::Null;
    eventually("all topics came", || {
        seen = agent
            .tool("mqtt_topics", json!({"seconds": 0}))
            .structured();
        seen["topics"] == 1000
    });
    assert!(seen.to_string().len() <= 8000, "{}", seen.to_string().len());
    let grouped: u64 = seen["groups"]
        .as_array()
        .unwrap()
        .iter()
        .map(|group| group["topics"].as_u64().unwrap_or(1))
        .sum();
    let left_out = seen["left_out"].as_u64().unwrap_or_default();
    assert_eq!(grouped + left_out, 1000, "{seen}");
    let rows = agent.tool(
        "mqtt_topics",
        json!({"detail": "topics", "limit": 200, "seconds": 0}),
    );
    let rows = rows.structured();
    assert!(rows.to_string().len() <= 8000);
    let shown = rows["rows"].as_array().unwrap().len() as u64;
    assert_eq!(shown + rows["left_out"].as_u64().unwrap(), 1000, "{rows}");
}

#[test]
fn silent_topics_are_those_that_never_came_live_or_stopped() {
    let broker = Mosquitto::start();
    plant(&broker);
    let mut agent = Agent::start(&config(&broker, all()));
    agent
        .tool("mqtt_topics", json!({"seconds": 0.2}))
        .structured();
    broker.publish(&["-t", "site/hall/temperature", "-m", "22"]);
    let mut silent = Value::Null;
    eventually("the hall came live", || {
        let call = json!({"topic": "site/#", "silent": true, "seconds": 0});
        silent = agent.tool("mqtt_topics", call).structured();
        silent["topics"] == 6
    });
    let rows = silent["rows"].as_array().unwrap();
    assert!(
        rows.iter()
            .all(|row| row["topic"] != "site/hall/temperature"),
        "{silent}"
    );
    assert!(rows.iter().all(|row| row["age_s"] == "unknown"), "{silent}");
}

/// Nothing is subscribed to until somebody asks, and nothing some time after the last use. The broker counts.
#[test]
fn what_nobody_asks_for_is_not_subscribed_to() {
    let broker = Mosquitto::with("sys_interval 1\n", &[]);
    let mut config = config(&broker, all());
    config["observe"] = json!({"idle": 4});
    let mut agent = Agent::start(&config);
    let count = "$SYS/broker/subscriptions/count";
    let mut auditor = Agent::start(&json!({
        "mqtt": {"host": "127.0.0.1", "port": broker.port},
        "topics": [{"pattern": "$SYS/#", "permissions": ["read"]}],
    }));
    let mut until = |subscriptions: u64| {
        let call = json!({"topic": count, "value": subscriptions, "timeout": 60});
        let met = auditor.tool("mqtt_wait", call).structured();
        assert_eq!(met["met"], true, "{subscriptions}: {met}");
    };
    agent
        .tool(
            "mqtt_publish",
            json!({"topic": "a", "payload": "1", "qos": 1}),
        )
        .structured();
    // The auditor's own.
    until(1);
    agent
        .tool("mqtt_topics", json!({"seconds": 0}))
        .structured();
    agent
        .tool("mqtt_topics", json!({"topic": "a/#", "seconds": 0}))
        .structured();
    until(2);
    until(1);
    let seen = agent
        .tool("mqtt_topics", json!({"seconds": 0}))
        .structured();
    assert_eq!(seen["topics"], 0, "what it had is gone: {seen}");
}

/// A look is a use as long as it lasts: one as long as the idle time came back empty.
#[test]
fn a_look_that_lasts_longer_than_the_idle_time_keeps_what_it_saw() {
    let broker = Mosquitto::start();
    broker.publish(&["-r", "-t", "a", "-m", "1"]);
    let mut config = config(&broker, all());
    config["observe"] = json!({"idle": 1});
    let mut agent = Agent::start(&config);
    let seen = agent
        .tool("mqtt_topics", json!({"seconds": 2.5, "silent": true}))
        .structured();
    assert_eq!(seen["topics"], 1, "{seen}");
}

/// What the operator has observed from the start is known when the first agent asks; what nobody may read is not observed.
#[test]
fn what_is_always_observed_is_known_before_anybody_asks() {
    let broker = Mosquitto::with("sys_interval 1\n", &[]);
    let topics = json!([{"pattern": "line/#", "permissions": ["read"]}]);
    let mut config = config(&broker, topics);
    config["observe"] = json!({"always": ["line/+", "secret/#"], "idle": 1});
    let mut agent = Agent::start(&config);
    let mut auditor = Agent::start(&json!({
        "mqtt": {"host": "127.0.0.1", "port": broker.port},
        "topics": [{"pattern": "$SYS/#", "permissions": ["read"]}],
    }));
    // One of them is the auditor's own.
    let two = json!({"topic": "$SYS/broker/subscriptions/count", "value": 2, "timeout": 60});
    assert_eq!(auditor.tool("mqtt_wait", two).structured()["met"], true);
    broker.publish(&["-t", "line/1", "-m", "7"]);
    broker.publish(&["-t", "secret/1", "-m", "8"]);
    let ask = json!({"seconds": 0, "detail": "topics"});
    eventually("the topic is known", || {
        let seen = agent.tool("mqtt_topics", ask.clone()).structured();
        let row = &seen["rows"][0];
        seen["topics"] == 1 && row["topic"] == "line/1" && row["age_s"].is_number()
    });
}

#[test]
fn statistics_are_exact_over_what_came() {
    let broker = Mosquitto::start();
    let mut agent = Agent::start(&config(&broker, all()));
    broker.publish(&["-r", "-t", "n/a", "-m", "1000"]);
    let counting = agent.listening("mqtt_stats", json!({"topic": "n/+", "seconds": 2}));
    let grouped = agent.listening(
        "mqtt_stats",
        json!({"topic": "n/+", "seconds": 2, "group_by": "topic", "sort": "mean", "top": 1}),
    );
    let fields = agent.listening(
        "mqtt_stats",
        json!({"topic": "n/+", "field": "v", "seconds": 2}),
    );
    for payload in ["2", "4", "4", "4", "5", "5", "7", "9", "off", r#"{"v": 3}"#] {
        broker.publish(&["-t", "n/a", "-m", payload]);
    }
    broker.publish(&["-t", "n/b", "-m", "100"]);
    let seen = counting.structured();
    assert_eq!(
        (&seen["n"], &seen["no_number"]),
        (&json!(9), &json!(2)),
        "{seen}"
    );
    assert_eq!(
        (&seen["min"], &seen["max"]),
        (&json!(2.0), &json!(100.0)),
        "{seen}"
    );
    assert_eq!(
        (&seen["first"]["value"], &seen["last"]["value"]),
        (&json!(2.0), &json!(100.0))
    );
    assert!(seen.get("lost").is_none());
    let seen = grouped.structured();
    assert_eq!(
        (&seen["topics"], &seen["rows_left_out"]),
        (&json!(2), &json!(1)),
        "{seen}"
    );
    assert_eq!(seen["rows"][0]["topic"], "n/b");
    let seen = fields.structured();
    assert_eq!(
        (&seen["n"], &seen["mean"]),
        (&json!(1), &json!(3.0)),
        "{seen}"
    );
    assert_eq!(seen["without_field"], 10);
}

/// One of many devices has another unit: what is held counts, too.
#[test]
fn values_are_counted_with_one_topic_of_each() {
    let broker = Mosquitto::start();
    let mut agent = Agent::start(&config(&broker, all()));
    for n in 0..6 {
        let unit = if n == 4 { "°F" } else { "°C" };
        let payload = json!({"unit": unit, "n": n}).to_string();
        broker.publish(&["-r", "-t", &format!("d/{n}/config"), "-m", &payload]);
    }
    broker.publish(&["-r", "-t", "d/6/config", "-m", "none"]);
    let call = json!({"topic": "d/+/config", "field": "unit", "group_by": "value", "seconds": 0.5});
    let seen = agent.tool("mqtt_stats", call.clone()).structured();
    let values = seen["values"].as_array().unwrap();
    assert_eq!(
        (&values[0]["value"], &values[0]["n"]),
        (&json!("°C"), &json!(5)),
        "{seen}"
    );
    assert_eq!(
        values[1],
        json!({"value": "°F", "n": 1, "topic": "d/4/config"}),
        "{seen}"
    );
    assert_eq!(seen["without_field"], 1);
    assert!(
        seen.get("n").is_none() && seen.get("rows").is_none(),
        "{seen}"
    );
    let mut top = call;
    top["top"] = 1.into();
    assert_eq!(
        agent.tool("mqtt_stats", top).structured()["rows_left_out"],
        1
    );
}

/// What the row of a group says holds for all its members.
#[test]
fn a_group_tells_what_holds_for_all_its_members() {
    let broker = Mosquitto::start();
    for topic in ["sp/0", "sp/1", "sp/2", "y/1/ok", "y/2/ok"] {
        broker.publish(&["-r", "-t", topic, "-m", "1"]);
    }
    let topics = json!([
        {"pattern": "sp/+", "permissions": ["read"], "description": "setpoints"},
        {"pattern": "sp/1", "permissions": ["write"]},
        {"pattern": "y/1/ok", "permissions": ["read"], "description": "the first"},
        {"pattern": "y/2/ok", "permissions": ["read"], "description": "the second"},
    ]);
    let mut agent = Agent::start(&config(&broker, topics));
    // Whichever came last is the example.
    for last in ["sp/1", "sp/2"] {
        broker.publish(&["-r", "-t", last, "-m", "2"]);
        let call = json!({"seconds": 0.5});
        let seen = agent.tool("mqtt_topics", call).structured();
        let groups = seen["groups"].as_array().unwrap();
        let group = |filter: &str| {
            let mut found = groups.iter().filter(|it| it["filter"] == filter);
            found.next().unwrap_or_else(|| panic!("{seen}"))
        };
        let setpoints = group("sp/+");
        assert_eq!(setpoints["about"], "setpoints", "{seen}");
        assert!(setpoints.get("write").is_none(), "{seen}");
        let payload = setpoints["payload"].as_str().unwrap();
        assert!(payload.starts_with("1 may be published to"), "{seen}");
        assert!(group("y/+/ok").get("about").is_none(), "{seen}");
        let notes = seen["notes"].to_string();
        assert!(
            notes.contains("only mqtt_topics takes it") && notes.contains("`y/+/ok`"),
            "{notes}"
        );
        assert!(!notes.contains("`sp/+`"), "{notes}");
    }
}

#[test]
fn what_was_too_large_to_be_kept_is_named() {
    let broker = Mosquitto::start();
    for topic in ["cam/1", "secret/cam"] {
        broker.publish(&["-r", "-t", topic, "-m", &"x".repeat(2000)]);
    }
    let topics = json!([{"pattern": "cam/#", "permissions": ["read"]}]);
    let mut config = config(&broker, topics);
    config["limits"] = json!({"packet_bytes": 1024});
    let mut agent = Agent::start(&config);
    let call = json!({"seconds": 0.5});
    let seen = agent.tool("mqtt_topics", call).structured();
    let notes = seen["notes"].to_string();
    assert!(notes.contains("came and are not here: `cam/1`"), "{seen}");
    assert!(!notes.contains("secret"), "{seen}");
}

/// A device's state counts once, however often the broker sends its retained copy.
#[test]
fn a_retained_value_is_counted_once() {
    let broker = Mosquitto::start();
    for n in 0..4 {
        let state = if n == 0 { "online" } else { "offline" };
        broker.publish(&["-r", "-t", &format!("d/{n}"), "-m", state]);
    }
    let mut agent = Agent::start(&config(&broker, all()));
    let call = json!({"topic": "d/+", "group_by": "value", "seconds": 2});
    let counting = agent.listening("mqtt_stats", call);
    for _ in 0..3 {
        agent
            .tool("mqtt_read", json!({"topic": "d/1"}))
            .structured();
    }
    let seen = counting.structured();
    assert_eq!(
        seen["values"][0],
        json!({"value": "offline", "n": 3, "topic": "d/1"}),
        "{seen}"
    );
}

#[test]
fn a_connection_lost_during_the_look_is_told() {
    let mut broker = Mosquitto::start();
    let mut config = config(&broker, all());
    config["mqtt"]["backoff"] = json!({"initial": 0.05, "max": 0.1});
    let mut agent = Agent::start(&config);
    let call = |seconds: u64| json!({"topic": "g/#", "seconds": seconds});
    // From now on it is watched.
    agent.tool("mqtt_topics", call(0)).structured();
    let looking = agent.listening("mqtt_topics", call(4));
    broker.kill();
    broker.restart();
    let seen = looking.structured();
    let notes = seen["notes"].to_string();
    assert!(
        notes.contains("the connection to the broker was lost"),
        "{seen}"
    );
}
