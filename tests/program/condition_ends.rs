//! When a wait or a reaction must end without an effect: its permission, its session or its client is gone. And the new
//! arguments in every version of MCP, held against the official schemas.

use std::process::Command;

use rustix::process::Signal;
use serde_json::{Value, json};

use crate::calls::call_post;
use crate::common::http_client::Client;
use crate::common::messages::{modern, request};
use crate::common::mosquitto::Mosquitto;
use crate::common::program::{PROGRAM, Program};
use crate::common::requests::{BOTH, initialize_post, modern_post, session_delete, session_post};
use crate::common::schema::check_answer;
use crate::common::scratch::Scratch;
use crate::common::waiting::eventually;

const KEY: &str = "first";

/// The program over HTTP and a broker.
struct House {
    folder: Scratch,
    config: Value,
    broker: Mosquitto,
    program: Program,
}

impl House {
    fn new() -> House {
        let (folder, broker) = (Scratch::new(), Mosquitto::start());
        let config = json!({
            "mqtt": {"host": "127.0.0.1", "port": broker.port},
            "topics": [
                {"pattern": "t/#", "permissions": ["read"]},
                {"pattern": "in/#", "permissions": ["read", "write"]},
            ],
            "remote_server": {"uds": folder.path("socket"), "api_key": KEY},
        });
        let path = folder.file("config.json", &config.to_string());
        let mut program = Program::over(&path);
        program.until("connected to the broker");
        House {
            folder,
            config,
            broker,
            program,
        }
    }

    fn client(&self) -> Client {
        Client::unix(&self.folder.path("socket"))
    }

    fn permit(&mut self, topics: Value) {
        self.config["topics"] = topics;
        self.folder.file("config.json", &self.config.to_string());
        self.program.signal(Signal::HUP);
        self.program.until("configuration reloaded from");
    }

    /// A session of a version with a handshake.
    fn session(&self, version: &str) -> String {
        let mut client = self.client();
        client.send(&initialize_post(KEY, version));
        let answer = client.answer();
        answer.field("mcp-session-id").unwrap().to_owned()
    }

    /// What comes on a topic after `act`, up to the message `end` that ends it.
    fn came_on(&self, topic: &str, act: impl FnOnce()) -> Vec<String> {
        let seen = self.broker.subscribe(&["-t", topic, "-C", "1"], || {
            act();
            self.broker.publish(&["-t", topic, "-m", "end"]);
        });
        seen.lines().map(str::to_owned).collect()
    }
}

fn reaction() -> Value {
    json!({
        "topic": "in/valve", "payload": "open",
        "when": {"topic": "t/level", "op": ">", "value": 80, "timeout": 120},
    })
}

/// A call that waits; its subscription is in place when this returns.
fn waiting(house: &House, tool: &str, arguments: Value) -> Client {
    let mut client = house.client();
    client.send(&call_post(KEY, BOTH, tool, arguments));
    assert_eq!(client.head().status, 200);
    assert_eq!(client.event()["method"], "notifications/progress");
    client
}

fn error(event: &Value) -> String {
    assert_eq!(event["result"]["isError"], true, "{event}");
    event["result"]["content"][0]["text"]
        .as_str()
        .unwrap()
        .into()
}

#[test]
fn what_is_withdrawn_ends_waits_and_reactions_before_they_act() {
    // Without the topic that is watched, and without the one that is written to.
    for (left, words) in [
        (
            json!([{"pattern": "in/#", "permissions": ["write"]}]),
            "`t/level` is not readable",
        ),
        (
            json!([{"pattern": "t/#", "permissions": ["read"]}]),
            "`in/valve` is not writable",
        ),
    ] {
        let mut house = House::new();
        let mut reacting = waiting(&house, "mqtt_publish", reaction());
        house.permit(left);
        let why = error(&reacting.event());
        assert!(
            why.contains("withdrew the permission") && why.contains(words),
            "{why}"
        );
        assert!(why.ends_with("Nothing was sent."), "{why}");
        let came = house.came_on("in/valve", || {
            house.broker.publish(&["-t", "t/level", "-m", "90"]);
        });
        assert_eq!(came, ["end"]);
    }
    let mut house = House::new();
    let wait = json!({"topic": "t/#", "value": "x", "also": ["in/+"], "timeout": 120});
    let calls = [
        ("mqtt_wait", wait),
        ("mqtt_stats", json!({"topic": "t/#", "seconds": 120})),
    ];
    let mut clients: Vec<_> = calls
        .into_iter()
        .map(|(tool, arguments)| waiting(&house, tool, arguments))
        .collect();
    house.permit(json!([{"pattern": "t/one", "permissions": ["read"]}]));
    for client in &mut clients {
        let why = error(&client.event());
        assert!(why.contains("`t/#` is not readable"), "{why}");
    }
}

/// The overview of a filter of which a part is withdrawn shows no more than the rest.
#[test]
fn an_overview_forgets_what_is_withdrawn() {
    let mut house = House::new();
    let overview = json!({"detail": "topics", "seconds": 0});
    let ask = |house: &House| {
        let mut client = house.client();
        client.send(&call_post(
            KEY,
            "application/json",
            "mqtt_topics",
            overview.clone(),
        ));
        client.answer().json()["result"]["structuredContent"].clone()
    };
    ask(&house);
    for topic in ["t/a", "t/b", "in/c"] {
        house.broker.publish(&["-t", topic, "-m", "1"]);
    }
    eventually("all came", || ask(&house)["topics"] == 3);
    house.permit(json!([{"pattern": "t/a", "permissions": ["read"]}]));
    let seen = ask(&house);
    assert!(seen["topics"].as_u64().unwrap() <= 1, "{seen}");
    assert!(
        !seen.to_string().contains("t/b") && !seen.to_string().contains("in/c"),
        "{seen}"
    );
}

/// Before 2026-07-28 a call goes on when its client leaves; a reaction must not.
#[test]
fn a_reaction_ends_with_its_client_in_every_version() {
    for version in ["2025-03-26", "2025-11-25"] {
        let house = House::new();
        let session = house.session(version);
        let params =
            json!({"name": "mqtt_publish", "arguments": reaction(), "_meta": {"progressToken": 1}});
        let mut leaving = house.client();
        leaving.send(&session_post(
            KEY,
            &session,
            &request(1, "tools/call", params.clone()),
        ));
        assert_eq!(leaving.head().status, 200);
        while leaving.event()["method"] != "notifications/progress" {}
        drop(leaving);
        let came = house.came_on("in/valve", || {
            // Whether the server has noticed shows in its listeners' places, which nobody sees: it is a matter of
            // its next turn.
            house.broker.publish(&["-t", "t/other", "-m", "1"]);
            house.broker.publish(&["-t", "t/level", "-m", "90"]);
        });
        assert_eq!(came, ["end"], "{version}");
        // The same with a session that its client ends.
        let mut ended = house.client();
        ended.send(&session_post(
            KEY,
            &session,
            &request(2, "tools/call", params),
        ));
        assert_eq!(ended.head().status, 200);
        while ended.event()["method"] != "notifications/progress" {}
        let mut other = house.client();
        other.send(&session_delete(KEY, &session));
        assert!(other.answer().status < 300);
        let came = house.came_on("in/valve", || {
            house.broker.publish(&["-t", "t/level", "-m", "90"]);
        });
        assert_eq!(came, ["end"], "{version}");
    }
    let house = House::new();
    drop(waiting(&house, "mqtt_publish", reaction()));
    let came = house.came_on("in/valve", || {
        house.broker.publish(&["-t", "t/level", "-m", "90"]);
    });
    assert_eq!(came, ["end"], "2026-07-28");
}

/// `--drain` gives calls in flight more time after the end of the input. A reaction gets none.
#[test]
fn a_reaction_ends_with_the_input() {
    let broker = Mosquitto::start();
    let folder = Scratch::new();
    let config = json!({
        "mqtt": {"host": "127.0.0.1", "port": broker.port},
        "topics": [{"pattern": "#", "permissions": ["read", "write"]}],
    });
    let path = folder.file("config.json", &config.to_string());
    let arguments =
        json!({"name": "mqtt_publish", "arguments": reaction(), "_meta": {"progressToken": 1}});
    let wait = json!({"name": "mqtt_wait", "arguments": {"topic": "t/level", "op": ">", "value": 80, "timeout": 120}});
    let lines = [
        modern(1, "tools/call", arguments).to_string(),
        modern(2, "tools/call", wait).to_string(),
    ];
    let input = folder.file("input", &(lines.join("\n") + "\n"));
    let mut command = Command::new(PROGRAM);
    command
        .args(["--drain", "20", "--config"])
        .arg(&path)
        .stdin(std::fs::File::open(input).unwrap())
        .stdout(std::process::Stdio::piped())
        .stderr(std::process::Stdio::null());
    let came = broker.subscribe(&["-t", "in/valve", "-C", "1"], || {
        let mut child = command.spawn().unwrap();
        let mut output = std::io::BufReader::new(child.stdout.take().unwrap());
        let mut answers = Vec::new();
        let mut read = |output: &mut std::io::BufReader<_>| {
            let mut line = String::new();
            std::io::BufRead::read_line(output, &mut line).unwrap();
            let message: Value = serde_json::from_str(&line).unwrap();
            if message.get("id").is_some() {
                answers.push(message);
            }
            answers.len()
        };
        // The reaction is over at once; the wait goes on, and changes nothing.
        while read(&mut output) < 1 {}
        broker.publish(&["-t", "t/level", "-m", "90"]);
        while read(&mut output) < 2 {}
        assert!(child.wait().unwrap().success());
        assert_eq!(answers[0]["id"], 1, "{answers:?}");
        assert!(
            error(&answers[0]).contains("the client has left"),
            "{answers:?}"
        );
        assert_eq!(
            answers[1]["result"]["structuredContent"]["met"], true,
            "{answers:?}"
        );
        broker.publish(&["-t", "in/valve", "-m", "end"]);
    });
    assert_eq!(came, "end\n");
}

/// Every new argument, in a session and without, with answers that the official schemas allow.
#[test]
fn the_new_arguments_work_in_every_version() {
    let house = House::new();
    house
        .broker
        .publish(&["-r", "-t", "t/kept", "-m", r#"{"level": 81, "on": true}"#]);
    let level = json!({"topic": "t/kept", "field": "level"});
    let with = |more: Value| {
        let mut arguments = level.clone();
        for (name, value) in more.as_object().unwrap() {
            arguments[name] = value.clone();
        }
        arguments
    };
    let calls = [
        (
            "mqtt_wait",
            with(json!({"op": ">", "value": 80, "also": ["t/+"], "timeout": 5})),
            "met",
        ),
        (
            "mqtt_wait",
            with(json!({"op": "within", "value": "80", "tolerance": 2, "hold_s": 0.1})),
            "held_s",
        ),
        (
            "mqtt_publish",
            json!({
                "topic": "in/x", "payload": "1", "qos": 1,
                "when": with(json!({"op": ">", "value": 80, "already": "act"})),
                "confirm": {"topic": "in/x", "value": 1},
            }),
            "confirmed",
        ),
        (
            "mqtt_stats",
            with(json!({"seconds": 0.1, "group_by": "topic", "sort": "max", "top": 3})),
            "rows",
        ),
        (
            "mqtt_subscribe",
            json!({
                "topic": "t/+", "retained": "only", "format": "latest", "fields": ["level"],
                "where": {"field": "on", "value": true}, "max_payload_bytes": 100,
            }),
            "rows",
        ),
        (
            "mqtt_topics",
            json!({"topic": "#", "seconds": 0.1, "search": "level", "detail": "groups", "sort": "rate", "limit": 3}),
            "groups",
        ),
    ];
    for (tool, arguments, member) in calls {
        for version in ["2025-03-26", "2025-06-18", "2025-11-25", "2026-07-28"] {
            let params = json!({"name": tool, "arguments": arguments});
            let mut client = house.client();
            if version == "2026-07-28" {
                client.send(&modern_post(KEY, "application/json", "tools/call", params));
            } else {
                let session = house.session(version);
                let call = request(1, "tools/call", params);
                client.send(&session_post(KEY, &session, &call));
            }
            let answer = client.answer();
            let answer = match answer.field("content-type") {
                Some("text/event-stream") => panic!("{version}: {tool} is answered at once"),
                _ => answer.json(),
            };
            check_answer(version, "tools/call", &answer);
            let result = &answer["result"];
            assert_eq!(result["isError"], false, "{version}: {answer}");
            let text: Value =
                serde_json::from_str(result["content"][0]["text"].as_str().unwrap()).unwrap();
            assert!(text.get(member).is_some(), "{version}: {text}");
        }
    }
}
