//! `mqtt_wait`, and `when` and `confirm` of `mqtt_publish`: what they return, when they act, and when they must not.

use serde_json::{Value, json};

use crate::common::agent::{Agent, Answer};
use crate::common::mosquitto::Mosquitto;
use crate::common::waiting::eventually;

/// An agent, and another one that plays the plant.
struct Site {
    agent: Agent,
    plant: Agent,
    broker: Mosquitto,
}

impl Site {
    fn new() -> Site {
        let broker = Mosquitto::start();
        let config = json!({
            "mqtt": {"host": "127.0.0.1", "port": broker.port, "backoff": {"initial": 0.05, "max": 0.1}},
            "topics": [
                {"pattern": "t/#", "permissions": ["read", "write", "retain"]},
                {"pattern": "in/#", "permissions": ["write"]},
                {"pattern": "out/#", "permissions": ["read"]},
            ],
        });
        Site {
            agent: Agent::start(&config),
            plant: Agent::start(&json!({
                "mqtt": {"host": "127.0.0.1", "port": broker.port},
                "topics": [{"pattern": "#", "permissions": ["read", "write", "retain"]}],
            })),
            broker,
        }
    }

    /// The plant sends a message; when this returns, the broker has it.
    fn send(&mut self, topic: &str, payload: &str) {
        self.publish(topic, payload, false);
    }

    fn retain(&mut self, topic: &str, payload: &str) {
        self.publish(topic, payload, true);
    }

    fn publish(&mut self, topic: &str, payload: &str, retain: bool) {
        let message = json!({"topic": topic, "payload": payload, "qos": 1, "retain": retain});
        let sent = self.plant.tool("mqtt_publish", message).structured();
        assert_eq!(sent["outcome"], "delivered");
    }

    /// Calls a tool, and returns when its subscription is in place.
    fn listening(&mut self, tool: &str, arguments: Value) -> Answer {
        self.agent.listening(tool, arguments)
    }
}

#[test]
fn a_wait_returns_when_a_message_meets_the_condition() {
    let mut site = Site::new();
    let level = json!({"topic": "t/tank/level", "op": ">", "value": 80, "timeout": 30});
    let waiting = site.listening("mqtt_wait", level);
    site.send("t/tank/level", "79.5");
    site.send("t/tank/level", "full");
    site.send("t/tank/level", "80.5");
    let met = waiting.structured();
    assert_eq!(met["met"], true, "{met}");
    assert_eq!(met["value"], 80.5, "{met}");
    assert_eq!(met["topic"], "t/tank/level");
    assert_eq!(met["before"]["value"], "full");
    assert_eq!(met["messages"], 3);
    assert_eq!(met["no_number"], 1);
    // Times are milliseconds; on a busy machine both messages are read in one.
    assert!(met["at"].as_str() >= met["before"]["at"].as_str());
    for absent in [
        "already",
        "interrupted",
        "lost",
        "also",
        "ended_by",
        "held_s",
    ] {
        assert!(met.get(absent).is_none(), "{absent}: {met}");
    }
}

#[test]
fn a_retained_value_that_meets_it_held_already_and_has_no_age() {
    let mut site = Site::new();
    site.retain("t/door", r#"{"state": {"open": true}}"#);
    let door = json!({"topic": "t/+", "field": "state.open", "value": true});
    let met = site.agent.tool("mqtt_wait", door).structured();
    assert_eq!((&met["met"], &met["already"]), (&json!(true), &json!(true)));
    assert_eq!(met["age"], "unknown", "{met}");
    assert_eq!(met["retained"], true);
    assert!(met.get("at").is_none(), "{met}");
    // For a change it is only the value before.
    let changed =
        json!({"topic": "t/door", "field": "/state/open", "op": "changed", "timeout": 30});
    let waiting = site.listening("mqtt_wait", changed);
    site.send("t/door", r#"{"state": {"open": true}}"#);
    site.send("t/door", r#"{"state": {"open": false}}"#);
    let met = waiting.structured();
    assert_eq!(met["value"], false, "{met}");
    assert_eq!(met["messages"], 3);
}

#[test]
fn not_met_is_no_error_and_tells_the_last_value() {
    let mut site = Site::new();
    site.retain("t/level", "50");
    let level = json!({"topic": "t/level", "op": ">=", "value": "80", "timeout": 0.3});
    let met = site.agent.tool("mqtt_wait", level).structured();
    assert_eq!(met["met"], false);
    assert_eq!(met["ended_by"], "timeout");
    assert_eq!(
        (&met["value"], &met["age"]),
        (&json!(50), &json!("unknown"))
    );
    let silent = site
        .agent
        .tool("mqtt_wait", json!({"topic": "t/silent", "timeout": 0.2}));
    let silent = silent.structured();
    assert_eq!(
        (&silent["met"], &silent["messages"]),
        (&json!(false), &json!(0))
    );
    assert!(silent.get("value").is_none(), "{silent}");
}

#[test]
fn a_hold_begins_anew_with_a_contrary_value_and_with_a_gap() {
    let mut site = Site::new();
    let settled = json!({
        "topic": "t/rpm", "op": "within", "value": 1000, "tolerance": 20, "hold_s": 0.4, "timeout": 30,
    });
    let waiting = site.listening("mqtt_wait", settled.clone());
    site.send("t/rpm", "990");
    site.send("t/rpm", "1100");
    site.send("t/rpm", "1010");
    let met = waiting.structured();
    assert_eq!(met["met"], true, "{met}");
    assert_eq!((&met["value"], &met["held_s"]), (&json!(1010), &json!(0.4)));
    assert_eq!(met["before"]["value"], 1100);
    assert!(met["waited_s"].as_f64().unwrap() >= 0.4, "{met}");
    let long = json!({
        "topic": "t/rpm", "op": "<", "value": 2000, "hold_s": 3, "timeout": 30,
    });
    let waiting = site.listening("mqtt_wait", long);
    site.send("t/rpm", "1");
    site.broker.kill();
    site.broker.restart();
    eventually("both are connected again", || {
        let call = json!({"topic": "t/other", "payload": "x", "qos": 1, "timeout": 0.2});
        let here = site
            .agent
            .tool("mqtt_publish", call.clone())
            .outcome()
            .is_ok();
        here && site.plant.tool("mqtt_publish", call).outcome().is_ok()
    });
    site.send("t/rpm", "2");
    let met = waiting.structured();
    assert_eq!(met["interrupted"], true, "{met}");
    assert_eq!((&met["met"], &met["value"]), (&json!(true), &json!(2)));
}

/// The current at the alarm: the last before it and the first after it, of the machine whose alarm it is.
#[test]
fn values_of_other_topics_are_told_around_the_event() {
    let mut site = Site::new();
    let alarm = json!({
        "topic": "t/+/alarm", "op": "contains", "value": "over", "also": ["t/{1}/+/current", "t/mode"],
        "timeout": 30,
    });
    site.retain("t/mode", "auto");
    let waiting = site.listening("mqtt_wait", alarm);
    for (topic, payload) in [
        ("t/line1/m1/current", "3.1"),
        ("t/line2/m1/current", "3.2"),
        ("t/line2/m2/current", "9.0"),
        ("t/line2/m1/current", "3.3"),
        ("t/line2/alarm", "ok"),
        ("t/line2/alarm", "overload"),
        ("t/line2/m1/current", "7.7"),
        ("t/line2/m1/current", "8.8"),
        ("t/line1/m1/current", "4.1"),
    ] {
        site.send(topic, payload);
    }
    let met = waiting.structured();
    assert_eq!(met["topic"], "t/line2/alarm", "{met}");
    let also = met["also"].as_array().unwrap();
    let row = |topic: &str| also.iter().find(|row| row["topic"] == topic);
    assert!(row("t/line1/m1/current").is_none(), "{met}");
    let m1 = row("t/line2/m1/current").unwrap();
    assert_eq!(
        (&m1["before"]["value"], &m1["after"]["value"]),
        (&json!(3.3), &json!(7.7))
    );
    let m2 = row("t/line2/m2/current").unwrap();
    assert_eq!(m2["before"]["value"], 9);
    assert!(m2.get("after").is_none(), "nothing came after it: {met}");
    assert_eq!(row("t/mode").unwrap()["before"]["age"], "unknown");
}

#[test]
fn a_reaction_is_published_at_the_moment_and_says_what_it_saw() {
    let mut site = Site::new();
    site.retain("t/level", "95");
    let collect = json!({"topic": "in/valve", "timeout": 30});
    let valve = site.plant.listening("mqtt_subscribe", collect);
    let react = json!({
        "topic": "in/valve", "payload": "close", "qos": 1,
        "when": {"topic": "t/level", "op": ">=", "value": 80, "timeout": 30},
    });
    let reacting = site.listening("mqtt_publish", react);
    site.send("t/level", "79");
    site.send("t/level", "80");
    let done = reacting.structured();
    assert_eq!(done["outcome"], "delivered", "{done}");
    let when = &done["when"];
    assert_eq!((&when["met"], &when["value"]), (&json!(true), &json!(80)));
    assert_eq!(when["before"]["value"], 79);
    assert!(
        when.get("already").is_none(),
        "the retained 95 moved nothing: {done}"
    );
    assert!(when["reaction_ms"].as_f64().unwrap() < 1000.0, "{done}");
    assert!(done["sent_at"].as_str() >= when["at"].as_str(), "{done}");
    assert_eq!(valve.structured()["messages"][0]["payload"], "close");
}

#[test]
fn a_reaction_whose_time_is_over_or_that_may_not_be_sends_nothing() {
    let mut site = Site::new();
    site.retain("t/level", "95");
    let react = |timeout: f64| {
        json!({
            "topic": "in/valve", "payload": "close",
            "when": {"topic": "t/level", "op": ">=", "value": 80, "timeout": timeout},
        })
    };
    let done = site.agent.tool("mqtt_publish", react(0.3)).structured();
    assert_eq!(done["outcome"], "not_sent", "{done}");
    assert_eq!(
        (&done["when"]["met"], &done["when"]["value"]),
        (&json!(false), &json!(95))
    );
    assert!(done.get("sent_at").is_none());
    let mut act = react(30.0);
    act["when"]["already"] = "act".into();
    let done = site.agent.tool("mqtt_publish", act).structured();
    assert_eq!(
        (&done["outcome"], &done["when"]["already"]),
        (&json!("sent"), &json!(true))
    );
    // What is forbidden fails before the wait.
    for (topic, watched, words) in [
        ("out/valve", "t/level", "out/valve` is not writable"),
        ("in/valve", "secret", "secret` is not readable"),
    ] {
        let call = json!({
            "topic": topic, "payload": "x", "when": {"topic": watched, "value": 1, "timeout": 300},
        });
        let why = site.agent.tool("mqtt_publish", call).error();
        assert!(why.contains(words), "{why}");
    }
}

#[test]
fn a_reaction_whose_call_is_cancelled_never_fires() {
    let mut site = Site::new();
    let collect = json!({"topic": "in/valve", "timeout": 30});
    let valve = site.plant.listening("mqtt_subscribe", collect);
    let react = json!({
        "topic": "in/valve", "payload": "never",
        "when": {"topic": "t/level", "op": ">=", "value": 80, "timeout": 30},
    });
    let _cancelled = site.listening("mqtt_publish", react);
    let id = site.agent.last_id();
    site.agent
        .notify("notifications/cancelled", json!({"requestId": id}));
    // The next answer comes after the cancellation was taken.
    site.agent.request("ping", json!({})).wait();
    site.send("t/level", "99");
    let call = json!({"topic": "in/valve", "payload": "the only one", "qos": 1});
    site.agent.tool("mqtt_publish", call).structured();
    assert_eq!(valve.structured()["messages"][0]["payload"], "the only one");
}

#[test]
fn a_confirmation_counts_only_what_came_after_the_publish() {
    let mut site = Site::new();
    site.retain("t/lamp/state", "ON");
    let switch = |payload: &str, timeout: f64| {
        json!({
            "topic": "t/lamp/set", "payload": payload,
            "confirm": {"topic": "t/lamp/state", "value": "ON", "timeout": timeout},
        })
    };
    // Nothing comes: the retained value proves nothing.
    let done = site
        .agent
        .tool("mqtt_publish", switch("ON", 0.3))
        .structured();
    assert_eq!(done["outcome"], "sent");
    assert_eq!(done["confirmed"], "nothing_came", "{done}");
    assert_eq!(done["confirmation"]["before"]["value"], "ON");
    // The device answers with another state.
    let collect = json!({"topic": "t/lamp/set", "timeout": 30});
    let commands = site.plant.listening("mqtt_subscribe", collect.clone());
    let proving = site.agent.tool("mqtt_publish", switch("ON", 1.0));
    commands.structured();
    site.send("t/lamp/state", "OFF");
    let done = proving.structured();
    assert_eq!(done["confirmed"], false, "{done}");
    assert_eq!(done["confirmation"]["after"]["value"], "OFF");
    // It obeys.
    let commands = site.plant.listening("mqtt_subscribe", collect);
    let proving = site.agent.tool("mqtt_publish", switch("ON", 30.0));
    commands.structured();
    site.send("t/lamp/state", "ON");
    let done = proving.structured();
    assert_eq!(done["confirmed"], true, "{done}");
    let seen = &done["confirmation"];
    assert_eq!(
        (&seen["before"]["value"], &seen["after"]["value"]),
        (&json!("ON"), &json!("ON"))
    );
    assert_eq!(seen["before"]["retained"], true);
    assert!(seen["after"].get("retained").is_none(), "{done}");
    assert!(seen["after_ms"].as_f64().unwrap() >= 0.0);
}

/// MQTT 3.1.1 tells nobody that an access list dropped a message; the own message shows it.
#[test]
fn the_published_topic_shows_whether_the_broker_passed_it_on() {
    let mut site = Site::new();
    let call = json!({"topic": "t/a", "payload": "7", "confirm": {"topic": "t/a", "value": 7}});
    let done = site.agent.tool("mqtt_publish", call).structured();
    assert_eq!(done["confirmed"], true, "{done}");
}

#[test]
fn arguments_of_conditions_that_mean_nothing_are_refused_with_their_place() {
    let mut site = Site::new();
    let table = [
        (
            "mqtt_wait",
            json!({"topic": "t/a", "op": "above", "value": 1}),
            "`op`",
        ),
        ("mqtt_wait", json!({"topic": "t/a", "op": ">"}), "`value`"),
        (
            "mqtt_wait",
            json!({"topic": "t/a", "op": ">", "value": "high"}),
            "`value`",
        ),
        (
            "mqtt_wait",
            json!({"topic": "t/a", "op": "within", "value": 1}),
            "`tolerance`",
        ),
        (
            "mqtt_wait",
            json!({"topic": "t/a", "field": "a..b"}),
            "`field`",
        ),
        (
            "mqtt_wait",
            json!({"topic": "t/a", "hold_s": 301, "value": 1}),
            "`hold_s`",
        ),
        (
            "mqtt_wait",
            json!({"topic": "t/a", "also": ["t/{1}"]}),
            "`also[0]`",
        ),
        (
            "mqtt_wait",
            json!({"topic": "t/+", "also": ["t/b", "x/{1}"]}),
            "`also[1]`",
        ),
        (
            "mqtt_wait",
            json!({"topic": "t/+", "also": ["a", "b", "c", "d", "e", "f"]}),
            "at most 5",
        ),
        (
            "mqtt_publish",
            json!({"topic": "t/a", "payload": "", "when": {}}),
            "`when.topic`",
        ),
        (
            "mqtt_publish",
            json!({"topic": "t/a", "payload": "", "when": {"topic": "t/#/b"}}),
            "`when`: `topic`",
        ),
        (
            "mqtt_publish",
            json!({"topic": "t/a", "payload": "", "confirm": {"topic": "t/b", "op": "<"}}),
            "`confirm`: `value`",
        ),
        (
            "mqtt_publish",
            json!({"topic": "t/a", "payload": "", "confirm": {"topic": "t/+", "value": 1, "each": true, "hold_s": 1}}),
            "`confirm`: `hold_s` is not for `each`",
        ),
        (
            "mqtt_publish",
            json!({"topic": "t/a", "payload": "", "confirm": {"topic": "t/+", "op": "changed", "each": true}}),
            "`confirm`: `changed` is not for `each`",
        ),
        (
            "mqtt_publish",
            json!({"topic": "t/a", "payload": "", "when": "now"}),
            "`when` must be an object",
        ),
    ];
    for (tool, arguments, words) in table {
        let why = site.agent.tool(tool, arguments.clone()).error();
        assert!(why.contains(words), "{arguments}: {why}");
    }
}

/// A level that is exceeded from the start is not one that is reached.
#[test]
fn a_reaction_may_ask_for_a_level_to_be_crossed() {
    let mut site = Site::new();
    let react = json!({
        "topic": "in/valve", "payload": "open",
        "when": {"topic": "t/level", "op": ">=", "value": 80, "already": "cross", "timeout": 30},
    });
    site.retain("t/level", "10");
    let reacting = site.listening("mqtt_publish", react);
    for level in ["95", "90", "5", "79", "81"] {
        site.send("t/level", level);
    }
    let done = reacting.structured();
    assert_eq!(done["when"]["value"], 81, "{done}");
    assert_eq!(done["when"]["before"]["value"], 79);
}

/// Set a speed, and know when it has settled.
#[test]
fn a_confirmation_may_have_to_hold() {
    let mut site = Site::new();
    let collect = json!({"topic": "t/motor/set", "timeout": 30});
    let commands = site.plant.listening("mqtt_subscribe", collect);
    let set = json!({
        "topic": "t/motor/set", "payload": "1000",
        "confirm": {
            "topic": "t/motor/rpm", "op": "within", "value": 1000, "tolerance": 10, "hold_s": 0.4, "timeout": 30,
        },
    });
    let setting = site.agent.tool("mqtt_publish", set);
    commands.structured();
    for rpm in ["400", "1005", "1100", "995"] {
        site.send("t/motor/rpm", rpm);
    }
    let done = setting.structured();
    assert_eq!(done["confirmed"], true, "{done}");
    let seen = &done["confirmation"];
    assert_eq!(seen["after"]["value"], 995, "{done}");
    assert!(seen["after_ms"].as_f64().unwrap() >= 400.0, "{done}");
}

/// A group's own state says nothing of its members.
#[test]
fn each_topic_of_a_filter_may_have_to_confirm() {
    let mut site = Site::new();
    for (lamp, state) in [("a", "OFF"), ("b", "OFF"), ("c", "ON")] {
        site.retain(
            &format!("t/{lamp}/lamp"),
            &format!(r#"{{"state":"{state}"}}"#),
        );
    }
    site.retain("t/bridge/lamp", r#"{"version":1}"#);
    let collect = json!({"topic": "t/set", "timeout": 30});
    let switch = |timeout: f64| {
        json!({
            "topic": "t/set", "payload": "ON", "qos": 1,
            "confirm": {"topic": "t/+/lamp", "field": "state", "value": "ON", "each": true, "timeout": timeout},
        })
    };
    let done = site.agent.tool("mqtt_publish", switch(0.5)).structured();
    assert_eq!(done["confirmed"], "nothing_came", "{done}");
    // One of them does not obey.
    let commands = site.plant.listening("mqtt_subscribe", collect.clone());
    let proving = site.agent.tool("mqtt_publish", switch(3.0));
    commands.structured();
    site.send("t/a/lamp", r#"{"state":"ON"}"#);
    let done = proving.structured();
    assert_eq!(done["outcome"], "delivered");
    assert_eq!(done["confirmed"], false, "{done}");
    let seen = &done["confirmation"];
    assert_eq!((&seen["met"], &seen["met_before"]), (&json!(1), &json!(1)));
    let left = json!([{"topic": "t/b/lamp", "value": "OFF"}]);
    assert_eq!(seen["not_met"], left, "{done}");
    // All obey: the answer does not wait for the end of the time.
    let commands = site.plant.listening("mqtt_subscribe", collect);
    let proving = site.agent.tool("mqtt_publish", switch(60.0));
    commands.structured();
    for lamp in ["a", "b"] {
        site.send(&format!("t/{lamp}/lamp"), r#"{"state":"ON"}"#);
    }
    let done = proving.structured();
    assert_eq!(done["confirmed"], true, "{done}");
    assert_eq!(done["confirmation"]["met"], 2);
    assert!(done["confirmation"].get("not_met").is_none());
}

#[test]
fn the_value_before_is_one_of_the_same_topic() {
    let mut site = Site::new();
    site.retain("t/lamp/a", "off");
    let publish = |timeout: u64| {
        json!({
            "topic": "in/set", "payload": "on",
            "confirm": {"topic": "t/lamp/+", "value": "on", "timeout": timeout},
        })
    };
    for (timeout, value, confirmed) in [(30, "on", true), (3, "dim", false)] {
        let waiting = site.listening("mqtt_publish", publish(timeout));
        site.send("t/lamp/b", value);
        let done = waiting.structured();
        assert_eq!(done["confirmed"], confirmed, "{done}");
        let seen = &done["confirmation"];
        assert_eq!(seen["topic"], "t/lamp/b", "{done}");
        assert_ne!(seen["before"]["value"], "off", "{done}");
    }
}
