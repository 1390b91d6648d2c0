//! The broker goes away under calls of every kind; each ends in the outcome that is true.

use serde_json::{Value, json};

use crate::common::agent::Agent;
use crate::common::config::open_config;
use crate::common::mosquitto::Mosquitto;
use crate::common::ports::free_port;
use crate::common::waiting::eventually;

fn impatient(port: u16) -> Value {
    let mut config = open_config(port);
    config["mqtt"]["backoff"] = json!({"initial": 0.02, "max": 0.1});
    config
}

#[test]
fn a_waiting_subscribe_survives_a_restart_and_reports_it() {
    let mut broker = Mosquitto::start();
    let mut agent = Agent::start(&impatient(broker.port));
    let waiting = agent.listening(
        "mqtt_subscribe",
        json!({"topic": "t/a", "max_messages": 1, "timeout": 60}),
    );
    broker.kill();
    broker.restart();
    // Not retained: only who is subscribed again gets it.
    eventually("the message", || {
        broker.publish(&["-t", "t/a", "-m", "after"]);
        !waiting.is_pending()
    });
    let collected = waiting.structured();
    assert_eq!(collected["messages"][0]["payload"], "after");
    assert_eq!(
        (&collected["interrupted"], &collected["lost"]),
        (&json!(true), &json!(0))
    );
}

#[test]
fn publishes_under_a_dying_broker_say_whether_they_may_have_arrived() {
    let mut broker = Mosquitto::start();
    let mut agent = Agent::start(&impatient(broker.port));
    agent
        .tool(
            "mqtt_publish",
            json!({"topic": "t/a", "payload": "x", "qos": 1}),
        )
        .structured();
    broker.freeze();
    let qos0 = agent
        .tool("mqtt_publish", json!({"topic": "t/a", "payload": "x"}))
        .structured();
    assert_eq!(qos0["outcome"], "sent", "written, and nobody will say more");
    let pending: Vec<_> = [1, 2]
        .map(|qos| {
            agent.tool(
                "mqtt_publish",
                json!({"topic": "t/a", "payload": "x", "qos": qos, "timeout": 60}),
            )
        })
        .into();
    let timely = json!({"topic": "t/a", "payload": "x", "qos": 1, "timeout": 0.2});
    let late = agent.tool("mqtt_publish", timely).error();
    assert!(
        late.starts_with("outcome unknown: the time limit was reached"),
        "{late}"
    );
    broker.kill();
    for answer in pending {
        let error = answer.error();
        assert!(error.starts_with("outcome unknown: the "), "{error}");
        assert!(error.contains("may have reached the broker"), "{error}");
    }
    broker.restart();
    eventually("a publish after the restart", || {
        let again = agent
            .tool(
                "mqtt_publish",
                json!({"topic": "t/a", "payload": "x", "qos": 2}),
            )
            .wait();
        again["result"]["structuredContent"]["outcome"] == "delivered"
    });
}

#[test]
fn a_query_across_an_outage_says_that_a_reply_may_have_been_missed() {
    let mut broker = Mosquitto::start();
    let mut agent = Agent::start(&impatient(broker.port));
    let mut waiting = None;
    broker.subscribe(&["-t", "in/a", "-C", "1"], || {
        let arguments = json!({"request_topic": "in/a", "response_topic": "out/a", "payload": "x", "timeout": 3});
        waiting = Some(agent.tool("mqtt_query", arguments));
    });
    // The request has been seen, so the query waits for its reply.
    broker.kill();
    broker.restart();
    let error = waiting.unwrap().error();
    assert!(
        error.starts_with("no reply on `out/a` within 3 s; the request was sent"),
        "{error}"
    );
    assert!(
        error.contains("the connection to the broker was lost meanwhile"),
        "{error}"
    );
}

#[test]
fn without_a_broker_the_program_answers_and_calls_fail_at_once_with_the_reason() {
    let mut agent = Agent::start(&impatient(free_port()));
    assert!(
        agent
            .request("ping", json!({}))
            .wait()
            .get("result")
            .is_some()
    );
    let calls = [
        (
            "mqtt_publish",
            json!({"topic": "t/a", "payload": "x", "timeout": 60}),
        ),
        ("mqtt_subscribe", json!({"topic": "t/a", "timeout": 60})),
        ("mqtt_read", json!({"topic": "t/a", "timeout": 60})),
        (
            "mqtt_query",
            json!({"request_topic": "t/a", "response_topic": "t/b", "payload": "", "timeout": 60}),
        ),
    ];
    for (tool, arguments) in calls {
        // Also a call that comes before the first attempt has failed.
        let error = agent.tool(tool, arguments).error();
        assert!(error.contains("connection refused"), "{tool}: {error}");
    }
}
