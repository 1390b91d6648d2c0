//! The four tools against a real mosquitto, over real pipes.

use std::time::Instant;

use serde_json::{Value, json};

use crate::common::agent::Agent;
use crate::common::config::open_config;
use crate::common::device::Responder;
use crate::common::mosquitto::Mosquitto;
use crate::common::waiting::eventually;

fn start() -> (Mosquitto, Agent) {
    let broker = Mosquitto::start();
    let agent = Agent::start(&open_config(broker.port));
    (broker, agent)
}

fn payloads(collected: &Value) -> Vec<&str> {
    let messages = collected["messages"].as_array().unwrap();
    messages
        .iter()
        .map(|message| message["payload"].as_str().unwrap())
        .collect()
}

/// [MQTT-7.0.0-2]: nothing but MQTT 3.1.1 is needed.
#[test]
fn a_publish_at_each_qos_arrives_and_says_how_it_ended() {
    let (broker, mut agent) = start();
    for (qos, outcome) in [(0, "sent"), (1, "delivered"), (2, "delivered")] {
        let seen = broker.subscribe(&["-t", "t/x", "-q", "2", "-C", "1", "-F", "%t %q %r %p"], || {
            let arguments = json!({"topic": "t/x", "payload": "héllo", "qos": qos});
            let mut published = agent.tool("mqtt_publish", arguments).structured();
            let sent_at = published.as_object_mut().unwrap().shift_remove("sent_at");
            assert!(sent_at.unwrap().as_str().unwrap().ends_with('Z'));
            let expected = json!({"topic": "t/x", "qos": qos, "retain": false, "bytes": 6, "outcome": outcome});
            assert_eq!(published, expected);
        });
        assert_eq!(seen, format!("t/x {qos} 0 héllo\n"));
    }
    let binary =
        json!({"topic": "t/x", "payload": "AP/+", "encoding": "base64", "retain": true, "qos": 1});
    assert_eq!(agent.tool("mqtt_publish", binary).structured()["bytes"], 3);
    let seen = broker.subscribe(&["-t", "t/x", "-C", "1", "-F", "%r %x"], || {});
    assert_eq!(seen, "1 00fffe\n");
}

/// A loop in one agent; the others get through, and the broker is not flooded.
#[test]
fn a_caller_publishes_no_more_in_a_second_than_it_may_and_is_told_when_to_come_back() {
    let broker = Mosquitto::start();
    let mut config = open_config(broker.port);
    config["limits"] = json!({"publishes_per_second": 20});
    let mut agent = Agent::start(&config);
    let start = Instant::now();
    let burst: Vec<_> = (0..200)
        .map(|_| agent.tool("mqtt_publish", json!({"topic": "t/flood", "payload": "x"})))
        .collect();
    let mut sent = 0;
    for answer in burst {
        match answer.outcome() {
            Ok(_) => sent += 1,
            Err(refused) => {
                let words = "not published: more than 20 publishes in a second; try again in ";
                assert!(refused.starts_with(words), "{refused}");
                assert!(
                    refused.ends_with(" s. The message did not reach the broker."),
                    "{refused}"
                );
            }
        }
    }
    // What flowed in while the burst was worked on.
    let most = 21.0 + 20.0 * start.elapsed().as_secs_f64();
    assert!(
        (20.0..=most).contains(&f64::from(sent)),
        "{sent} of at most {most}"
    );
    let query =
        json!({"request_topic": "in/x", "response_topic": "out/x", "payload": "", "timeout": 0.1});
    eventually("a request counts, too", || {
        // At once: one after the other they would not be many in a second everywhere.
        let burst: Vec<_> = (0..40)
            .map(|_| agent.tool("mqtt_publish", json!({"topic": "t/flood", "payload": "x"})))
            .collect();
        let refused = agent.tool("mqtt_query", query.clone()).error();
        burst.into_iter().for_each(|answer| drop(answer.wait()));
        refused.starts_with("no query: more than 20 publishes in a second")
    });
    let denied = agent.tool("mqtt_publish", json!({"topic": "other", "payload": ""}));
    assert!(
        denied.error().contains("is not writable"),
        "a refusal costs nothing"
    );
    eventually("the caller may publish again", || {
        let again = agent.tool("mqtt_publish", json!({"topic": "t/flood", "payload": "x"}));
        again.outcome().is_ok()
    });
}

/// mosquitto as it comes lets 20 messages be in flight, and closes the connection when a QoS 1 message
/// comes behind so many of QoS 2.
#[test]
fn hundreds_of_publishes_of_every_qos_at_once_are_all_delivered() {
    let (_broker, mut agent) = start();
    let sent: Vec<_> = (0..500)
        .map(|n| {
            let message = json!({"topic": "t/mixed", "payload": "x", "qos": n % 3});
            agent.tool("mqtt_publish", message)
        })
        .collect();
    for answer in sent {
        answer.structured();
    }
}

#[test]
fn two_hundred_queries_to_an_instant_responder_all_get_their_reply() {
    let (broker, mut agent) = start();
    let _device = Responder::start(broker.port, "in/+", "out/reply");
    for n in 0..200 {
        let arguments = json!({"request_topic": "in/a", "response_topic": "out/reply", "payload": format!("q{n}")});
        let reply = agent.tool("mqtt_query", arguments).structured();
        assert_eq!(reply["payload"], format!("re:q{n}"));
        assert_eq!(reply["topic"], "out/reply");
        assert!(reply["latency_ms"].as_f64().unwrap() > 0.0);
    }
}

#[test]
fn queries_at_once_on_one_pair_of_topics_each_get_their_own_reply() {
    let (broker, mut agent) = start();
    let _device = Responder::start(broker.port, "in/+", "out/reply");
    let filters = ["out/reply", "out/+", "out/#", "out/reply"];
    let queries: Vec<_> = (0..8)
        .map(|n| {
            let arguments = json!({
                "request_topic": "in/a", "response_topic": filters[n % 4],
                "payload": format!("q{n}"), "timeout": 30, "qos": n % 3,
            });
            agent.tool("mqtt_query", arguments)
        })
        .collect();
    for (n, query) in queries.into_iter().enumerate() {
        assert_eq!(query.structured()["payload"], format!("re:q{n}"));
    }
}

#[test]
fn a_query_whose_turn_never_came_says_that_nothing_was_sent() {
    let (_broker, mut agent) = start();
    let ask = |timeout: f64| json!({"request_topic": "in/a", "response_topic": "out/reply", "payload": "", "timeout": timeout});
    let first = agent.tool("mqtt_query", ask(3.0));
    let second = agent.tool("mqtt_query", ask(0.2)).error();
    assert!(second.contains("nothing was sent"), "{second}");
    let first = first.error();
    assert!(
        first.contains("no reply on `out/reply` within 3 s; the request was sent"),
        "{first}"
    );
}

#[test]
fn a_retained_message_is_not_a_reply() {
    let (broker, mut agent) = start();
    broker.publish(&["-t", "out/reply", "-r", "-m", "old"]);
    let arguments = json!({"request_topic": "in/a", "response_topic": "out/reply", "payload": "", "timeout": 0.3});
    let error = agent.tool("mqtt_query", arguments).error();
    assert!(error.starts_with("no reply"), "{error}");
}

#[test]
fn a_burst_of_a_thousand_messages_is_received_in_order() {
    let (broker, mut agent) = start();
    let arguments = json!({"topic": "t/burst", "max_messages": 1000, "timeout": 60});
    let collecting = agent.listening("mqtt_subscribe", arguments);
    let lines: String = (0..1000).map(|n| format!("{n}\n")).collect();
    broker.publish_lines("t/burst", &lines);
    let collected = collecting.structured();
    assert_eq!(collected["messages_received"], 1000);
    assert_eq!(collected["ended_by"], "max_messages");
    assert_eq!(
        (
            &collected["lost"],
            &collected["interrupted"],
            &collected["truncated"]
        ),
        (&json!(0), &json!(false), &json!(false))
    );
    let expected: Vec<String> = (0..1000).map(|n| n.to_string()).collect();
    assert_eq!(payloads(&collected), expected);
}

#[test]
fn a_retained_value_is_read_three_hundred_times_of_three_hundred() {
    let (broker, mut agent) = start();
    broker.publish(&["-t", "t/kept", "-r", "-m", "21.5", "-q", "1"]);
    for _ in 0..300 {
        let read = agent
            .tool("mqtt_read", json!({"topic": "t/kept"}))
            .structured();
        assert_eq!(
            (&read["payload"], &read["retain"]),
            (&json!("21.5"), &json!(true))
        );
    }
    let reads: Vec<_> = (0..50)
        .map(|_| agent.tool("mqtt_read", json!({"topic": "t/kept"})))
        .collect();
    for read in reads {
        assert_eq!(read.structured()["payload"], "21.5");
    }
    let without = json!({"topic": "t/kept", "timeout": 0.2, "include_retained": false});
    assert!(
        agent
            .tool("mqtt_read", without)
            .error()
            .starts_with("no message on `t/kept` within 0.2 s")
    );
}

#[test]
fn what_is_said_of_a_topic_is_what_was_seen_of_it() {
    let scratch = crate::common::scratch::Scratch::new();
    let acl = scratch.path("acl");
    std::fs::write(
        &acl,
        "topic write t/hidden\ntopic read t/sealed\ntopic readwrite t/kept\n",
    )
    .unwrap();
    let broker = Mosquitto::with(&format!("acl_file {}", acl.display()), &[]);
    let mut config = open_config(broker.port);
    config["limits"] = json!({"waiting_bytes": 1024});
    let mut agent = Agent::start(&config);
    for topic in ["t/hidden", "t/kept"] {
        broker.publish(&["-t", topic, "-r", "-m", "21.5", "-q", "1"]);
    }
    let mut read = |arguments: Value| agent.tool("mqtt_read", arguments).error();
    // It is retained there; nobody looked.
    let error = read(json!({"topic": "t/kept", "timeout": 0.2, "include_retained": false}));
    assert!(
        error.contains("retained messages were not asked for"),
        "{error}"
    );
    // It is retained there, too; the broker keeps it to itself.
    let error = read(json!({"topic": "t/hidden", "timeout": 0.2}));
    assert!(
        error.contains("the broker sent no retained message, and no new one came. "),
        "{error}"
    );
    assert!(error.contains("access list may hide it"), "{error}");
    broker.publish(&["-t", "t/kept", "-r", "-m", &"x".repeat(2000), "-q", "1"]);
    let error = read(json!({"topic": "t/kept", "timeout": 0.2}));
    assert!(error.contains("found no room here: 1"), "{error}");
    assert!(!error.contains("no retained message"), "{error}");
    let uri = json!({"uri": "mqtt://topic/t/hidden"});
    let absent = agent.request("resources/read", uri).wait();
    let words = absent["error"]["message"].as_str().unwrap();
    assert!(
        words.contains("neither a retained one nor a new one"),
        "{absent}"
    );
    // mosquitto acknowledges what its access list throws away, and the description says that some do.
    let sealed = json!({"topic": "t/sealed", "payload": "1", "qos": 1});
    let published = agent.tool("mqtt_publish", sealed).structured();
    assert_eq!(published["outcome"], "delivered");
    let listed = agent.request("tools/list", json!({})).wait();
    let description = listed["result"]["tools"][0]["description"]
        .as_str()
        .unwrap();
    assert!(
        description.contains("nor that the broker's own access list let it through"),
        "{description}"
    );
}

#[test]
fn fifty_subscribes_at_once_get_their_own_messages() {
    let (broker, mut agent) = start();
    let waiting: Vec<_> = (0..50)
        .map(|n| {
            agent.listening(
                "mqtt_subscribe",
                json!({"topic": format!("t/many/{n}"), "max_messages": 2}),
            )
        })
        .collect();
    for round in 0..2 {
        for n in 0..50 {
            let arguments =
                json!({"topic": format!("t/many/{n}"), "payload": format!("{n}:{round}")});
            agent.tool("mqtt_publish", arguments).structured();
        }
    }
    for (n, answer) in waiting.into_iter().enumerate() {
        let collected = answer.structured();
        assert_eq!(payloads(&collected), [format!("{n}:0"), format!("{n}:1")]);
    }
    drop(broker);
}

#[test]
fn three_waiters_on_one_topic_are_all_served_and_a_wildcard_delivers() {
    let (broker, mut agent) = start();
    let filters = ["t/one", "t/one", "t/one", "t/+", "t/#"];
    let waiting = filters.map(|filter| {
        agent.listening(
            "mqtt_subscribe",
            json!({"topic": filter, "max_messages": 1}),
        )
    });
    broker.publish(&["-t", "t/one", "-m", "x"]);
    for answer in waiting {
        let collected = answer.structured();
        assert_eq!(payloads(&collected), ["x"]);
        assert_eq!(collected["messages"][0]["topic"], "t/one");
    }
}

#[test]
fn a_subscribe_waits_its_whole_time_and_gives_what_came() {
    let (broker, mut agent) = start();
    let collecting = agent.listening(
        "mqtt_subscribe",
        json!({"topic": "t/slow", "max_messages": 9, "timeout": 2.5}),
    );
    // Silence for longer than the original waited.
    std::thread::park_timeout(std::time::Duration::from_millis(1500));
    broker.publish(&["-t", "t/slow", "-m", "late"]);
    let collected = collecting.structured();
    assert_eq!(
        (payloads(&collected), &collected["ended_by"]),
        (vec!["late"], &json!("timeout"))
    );
}

#[test]
fn binary_payloads_come_as_base64_and_large_ones_whole_or_cut_and_said_so() {
    let (broker, mut agent) = start();
    broker.publish(&["-t", "t/bin", "-r", "-f", "/proc/self/exe"]);
    let scratch = crate::common::scratch::Scratch::new();
    let exact = scratch.path("exact");
    std::fs::write(
        &exact,
        [&b"\xFF"[..], &vec![b'x'; 1024 * 1024 - 64]].concat(),
    )
    .unwrap();
    broker.publish(&["-t", "t/bin", "-r", "-f", exact.to_str().unwrap()]);
    let read = agent
        .tool("mqtt_read", json!({"topic": "t/bin"}))
        .structured();
    assert_eq!(read["encoding"], "base64");
    assert!(read.get("truncated").is_none());
    std::fs::write(&exact, vec![b'y'; 1024 * 1024 + 1]).unwrap();
    broker.publish(&["-t", "t/bin", "-r", "-f", exact.to_str().unwrap()]);
    let read = agent
        .tool("mqtt_read", json!({"topic": "t/bin"}))
        .structured();
    assert_eq!(
        (&read["truncated"], &read["payload_bytes"]),
        (&json!(true), &json!(1024 * 1024 + 1))
    );
    let many = json!({"topic": "t/bin", "max_messages": 3, "timeout": 1});
    let collected = agent.tool("mqtt_subscribe", many).structured();
    assert_eq!(
        (&collected["truncated"], &collected["messages_received"]),
        (&json!(true), &json!(1))
    );
}

#[test]
fn a_shared_subscription_is_delivered_within_its_inner_filter() {
    let broker = Mosquitto::start();
    let mut config = open_config(broker.port);
    config["topics"][0]["permissions"] = json!(["read", "share"]);
    let mut agent = Agent::start(&config);
    let waiting = agent.listening(
        "mqtt_subscribe",
        json!({"topic": "$share/g/t/+", "max_messages": 1}),
    );
    broker.publish(&["-t", "t/shared", "-m", "x"]);
    assert_eq!(payloads(&waiting.structured()), ["x"]);
    let refused = agent
        .tool("mqtt_read", json!({"topic": "$share/g/other/#"}))
        .error();
    assert!(refused.contains("not readable"), "{refused}");
}

/// A consumer of the plant shares its work with nobody who may only read.
#[test]
fn without_the_permission_to_share_nothing_is_taken_away_from_a_group() {
    let (broker, mut agent) = start();
    let shared = "$share/plant/t/orders";
    let orders = broker.subscribe(&["-t", shared, "-C", "100", "-W", "20"], || {
        let calls = [
            ("mqtt_subscribe", json!({"topic": shared, "timeout": 300, "max_messages": 100})),
            ("mqtt_read", json!({"topic": shared, "timeout": 300})),
            ("mqtt_query", json!({"request_topic": "in/x", "response_topic": shared, "payload": "", "timeout": 300})),
        ];
        for (tool, arguments) in calls {
            let refused = agent.tool(tool, arguments).error();
            assert!(refused.contains("needs the permission `share` beside `read`"), "{refused}");
        }
        for method in ["resources/read", "resources/subscribe"] {
            let uri = json!({"uri": "mqtt://topic/$share/plant/t/orders"});
            let refused = agent.request(method, uri).wait();
            let words = refused["error"]["message"].as_str().unwrap();
            assert!(words.contains("is a shared subscription"), "{method}: {refused}");
        }
        let lines: String = (0..100).map(|n| format!("{n}\n")).collect();
        broker.publish_lines("t/orders", &lines);
    });
    assert_eq!(orders.lines().count(), 100);
}

#[test]
fn calls_cancelled_in_the_same_breath_leave_nothing_behind() {
    let (broker, mut agent) = start();
    // More than may listen at once, so that any that stayed would be in the way.
    let mut lines = String::new();
    for id in 1000..1600 {
        let call = json!({"jsonrpc": "2.0", "id": id, "method": "tools/call", "params": {
            "name": "mqtt_subscribe", "arguments": {"topic": format!("t/{id}"), "timeout": 300},
        }});
        let cancel = json!({"jsonrpc": "2.0", "method": "notifications/cancelled", "params": {"requestId": id}});
        lines += &format!("{call}\n{cancel}\n");
    }
    agent.bytes(lines.as_bytes());
    let waiting: Vec<_> = (0..200)
        .map(|n| {
            let arguments = json!({"topic": format!("t/after/{n}"), "max_messages": 1});
            agent.listening("mqtt_subscribe", arguments)
        })
        .collect();
    for (n, answer) in waiting.into_iter().enumerate() {
        let arguments = json!({"topic": format!("t/after/{n}"), "payload": "x"});
        agent.tool("mqtt_publish", arguments).structured();
        assert_eq!(answer.structured()["messages_received"], 1);
    }
    drop(broker);
}
