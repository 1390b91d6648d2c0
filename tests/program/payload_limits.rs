//! Limits of payloads: no payload outside them reaches the broker, whichever tool, version, transport, batch or `when` it
//! comes through; and where agents read of them.

use std::process::{Command, Stdio};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Value, json};

use crate::calls::{JSON, call_post};
use crate::common::agent::Agent;
use crate::common::http_client::Client;
use crate::common::messages;
use crate::common::mosquitto::Mosquitto;
use crate::common::program::{PROGRAM, Program};
use crate::common::requests::{KEY, initialize_post, session_post};
use crate::common::scratch::Scratch;
use crate::common::waiting::PATIENCE;

/// Payloads for a topic that takes numbers from 0 to 2000, and whether they are within.
const NUMBERS: [(&str, bool); 12] = [
    ("0", true),
    ("1500.5", true),
    ("2000", true),
    ("2000.00000000000000000001", false),
    ("2600", false),
    ("-0.1", false),
    ("-0", false),
    ("1e3", false),
    ("1,5", false),
    ("NaN", false),
    (" 5", false),
    ("", false),
];

/// Payloads for a topic that takes objects of `rpm`, such a number, and `mode`.
const OBJECTS: [(&str, bool); 8] = [
    (r#"{"rpm":2000,"mode":"auto"}"#, true),
    (r#"{"rpm": 2e3}"#, true),
    (r#"{"rpm":2001}"#, false),
    (r#"{"rpm":1,"rpm":2}"#, false),
    (r#"{"rpm":"1"}"#, false),
    (r#"{"rpm":1,"speed":9999}"#, false),
    (r#"{"mode":"auto"}"#, false),
    (r#"{"rpm":1,"mode":"AUTO"}"#, false),
];

fn topics() -> Value {
    let number = json!({"type": "number", "min": 0, "max": 2000, "unit": "rpm", "example": "1500"});
    let mut in_object = number.clone();
    in_object["example"] = 1500.into();
    let object = json!({
        "type": "object", "required": ["rpm"],
        "fields": {"rpm": in_object, "mode": {"type": "enum", "values": ["auto", "manual"]}},
    });
    json!([
        {"pattern": "#", "permissions": ["read"], "description": "All."},
        {"pattern": "cmd/#", "permissions": ["write", "retain"], "description": "Commands."},
        {"pattern": "cmd/+/rpm", "permissions": ["write"], "description": "A speed.", "payload": number},
        {"pattern": "cmd/+/set", "permissions": ["write"], "description": "A motor.", "payload": object},
    ])
}

/// All attempts: topic, payload, whether it is within the limits.
fn attempts() -> Vec<(&'static str, &'static str, bool)> {
    let numbers = NUMBERS
        .iter()
        .map(|(payload, within)| ("cmd/m1/rpm", *payload, *within));
    let objects = OBJECTS
        .iter()
        .map(|(payload, within)| ("cmd/m1/set", *payload, *within));
    numbers.chain(objects).collect()
}

fn config(broker: &Mosquitto) -> Value {
    json!({"mqtt": {"host": "127.0.0.1", "port": broker.port}, "topics": topics()})
}

/// Runs all attempts, and holds what the broker passed on against what is within the limits. `attempt` publishes at QoS 1
/// and says whether it was refused.
fn exactly_what_is_within_passes(broker: &Mosquitto, attempt: impl FnMut(&str, &str) -> bool) {
    let mut attempt = attempt;
    all_at_once(broker, |attempts| {
        attempts
            .iter()
            .map(|(topic, payload, _)| attempt(topic, payload))
            .collect()
    });
}

fn all_at_once(broker: &Mosquitto, run: impl FnOnce(&[(&str, &str, bool)]) -> Vec<bool>) {
    let attempts = attempts();
    let within = attempts.iter().filter(|(_, _, within)| *within);
    let mut expected: Vec<_> = within
        .map(|(topic, payload, _)| format!("{topic} {payload}"))
        .collect();
    expected.push("cmd/last .".to_owned());
    let count = expected.len().to_string();
    let came = broker.subscribe(&["-t", "cmd/#", "-C", &count, "-F", "%t %p"], || {
        let refused = run(&attempts);
        assert_eq!(refused.len(), attempts.len());
        for ((topic, payload, within), refused) in attempts.iter().zip(refused) {
            assert_eq!(refused, !within, "{topic} {payload}");
        }
        broker.publish(&["-t", "cmd/last", "-m", ".", "-q", "1"]);
    });
    let mut came: Vec<_> = came.lines().collect();
    came.sort_unstable();
    expected.sort_unstable();
    assert_eq!(came, expected);
}

/// Whether a call was refused; then it says that nothing was sent.
fn is_refused(answer: &Value) -> bool {
    let result = &answer["result"];
    let is_error = result["isError"].as_bool().unwrap_or(false);
    let text = result["content"][0]["text"].as_str().unwrap_or_default();
    let is_refusal = text.contains("`cmd/+/") && text.ends_with("; nothing was sent");
    assert!(!is_error || is_refusal, "{answer}");
    is_error
}

fn message(topic: &str, payload: &str) -> Value {
    json!({"topic": topic, "payload": payload, "qos": 1})
}

#[test]
fn over_stdio_in_both_eras_and_as_base64() {
    let broker = Mosquitto::start();
    let mut agent = Agent::start(&config(&broker));
    exactly_what_is_within_passes(&broker, |topic, payload| {
        is_refused(&agent.tool("mqtt_publish", message(topic, payload)).wait())
    });
    exactly_what_is_within_passes(&broker, |topic, payload| {
        let call = json!({"name": "mqtt_publish", "arguments": message(topic, payload)});
        is_refused(&agent.modern("tools/call", call).wait())
    });
    exactly_what_is_within_passes(&broker, |topic, payload| {
        let mut message = message(topic, &STANDARD.encode(payload));
        message["encoding"] = "base64".into();
        is_refused(&agent.tool("mqtt_publish", message).wait())
    });
}

#[test]
fn in_a_batch() {
    let broker = Mosquitto::start();
    let folder = Scratch::new();
    let path = folder.file("config.json", &config(&broker).to_string());
    let mut agent = Agent::with_args(&["--config", path.to_str().unwrap()]);
    agent
        .request("initialize", messages::initialize("2025-03-26"))
        .wait();
    agent.notify("notifications/initialized", json!({}));
    all_at_once(&broker, |attempts| {
        let calls = attempts
            .iter()
            .enumerate()
            .map(|(id, (topic, payload, _))| {
                let call = json!({"name": "mqtt_publish", "arguments": message(topic, payload)});
                messages::request(1000 + id, "tools/call", call)
            });
        agent.line(&Value::from_iter(calls).to_string());
        let answers = agent.others.recv_timeout(PATIENCE).unwrap();
        let mut answers = answers.as_array().unwrap().clone();
        answers.sort_by_key(|answer| answer["id"].as_u64());
        answers.iter().map(is_refused).collect()
    });
}

#[test]
fn with_a_condition_and_with_a_confirmation() {
    let broker = Mosquitto::start();
    broker.publish(&["-r", "-t", "go", "-m", "1"]);
    let mut agent = Agent::start(&config(&broker));
    exactly_what_is_within_passes(&broker, |topic, payload| {
        let mut message = message(topic, payload);
        message["when"] = json!({"topic": "go", "value": "1", "already": "act", "timeout": 30});
        message["confirm"] = json!({"topic": topic, "timeout": 30});
        is_refused(&agent.tool("mqtt_publish", message).wait())
    });
    // What is outside is refused at once, not when the condition is met.
    let mut message = message("cmd/m1/rpm", "2600");
    message["when"] = json!({"topic": "never", "timeout": 300});
    let words = agent.tool("mqtt_publish", message).error();
    assert_eq!(
        words,
        "2600 is above 2000 rpm, the most that `cmd/+/rpm` takes; nothing was sent"
    );
}

#[test]
fn as_a_request_of_a_query() {
    let broker = Mosquitto::start();
    let mut agent = Agent::start(&config(&broker));
    exactly_what_is_within_passes(&broker, |topic, payload| {
        let query = json!({
            "request_topic": topic, "response_topic": topic, "payload": payload, "qos": 1, "timeout": 30,
        });
        is_refused(&agent.tool("mqtt_query", query).wait())
    });
}

#[test]
fn over_http_in_both_eras_and_from_the_command_line() {
    let broker = Mosquitto::start();
    let folder = Scratch::new();
    let mut config = config(&broker);
    config["remote_server"] = json!({"uds": folder.path("socket"), "api_key": KEY});
    let path = folder.file("config.json", &config.to_string());
    let mut program = Program::over(&path);
    program.until("connected to the broker");
    let mut client = Client::unix(&folder.path("socket"));
    exactly_what_is_within_passes(&broker, |topic, payload| {
        client.send(&call_post(
            KEY,
            JSON,
            "mqtt_publish",
            message(topic, payload),
        ));
        is_refused(&client.answer().json())
    });
    client.send(&initialize_post(KEY, "2025-06-18"));
    let answer = client.answer();
    let session = answer.field("mcp-session-id").unwrap().to_owned();
    exactly_what_is_within_passes(&broker, |topic, payload| {
        let call = json!({"name": "mqtt_publish", "arguments": message(topic, payload)});
        client.send(&session_post(
            KEY,
            &session,
            &messages::request(7, "tools/call", call),
        ));
        let answer = client.answer();
        let text = String::from_utf8_lossy(&answer.body).into_owned();
        let json = text
            .lines()
            .find_map(|line| line.strip_prefix("data: "))
            .unwrap_or(&text);
        is_refused(&serde_json::from_str(json).unwrap())
    });
    exactly_what_is_within_passes(&broker, |topic, payload| {
        let output = Command::new(PROGRAM)
            .args(["--call", "mqtt_publish", "--config", path.to_str().unwrap()])
            .arg(message(topic, payload).to_string())
            .env("MCPMQTT_KEY", KEY)
            .stdin(Stdio::null())
            .output()
            .unwrap();
        let error = String::from_utf8(output.stderr).unwrap();
        let refused = output.status.code() == Some(1);
        assert_eq!(refused, error.contains("; nothing was sent"), "{error}");
        refused
    });
}

#[test]
fn limits_are_told_wherever_topics_are() {
    let broker = Mosquitto::start();
    for topic in ["cmd/m1/rpm", "cmd/m2/rpm", "cmd/m1/set", "cmd/free"] {
        broker.publish(&["-r", "-t", topic, "-m", "0"]);
    }
    let mut agent = Agent::start(&config(&broker));
    let number = "a number from 0 to 2000 rpm, such as `1500`";
    let object = format!(
        "a JSON object of `rpm` ({number}) and `mode` (optional, `\"auto\"` or `\"manual\"`)"
    );
    let instructions = agent.initialize();
    let instructions = instructions["result"]["instructions"].as_str().unwrap();
    for line in [
        "- `cmd/#` (write, retain): Commands.".to_owned(),
        format!("- `cmd/+/rpm` (write; payload: {number}): A speed."),
        format!("- `cmd/+/set` (write; payload: {object}): A motor."),
    ] {
        assert!(
            instructions.lines().any(|it| it == line),
            "{line}\n{instructions}"
        );
    }

    let uri = json!({"uri": "mcpmqtt://topics/allowed"});
    let allowed = agent.request("resources/read", uri).wait();
    let allowed = allowed["result"]["contents"][0]["text"].as_str().unwrap();
    let allowed: Value = serde_json::from_str(allowed).unwrap();
    for (told, written) in allowed["topics"]
        .as_array()
        .unwrap()
        .iter()
        .zip(topics().as_array().unwrap())
    {
        assert_eq!(told.get("payload"), written.get("payload"));
    }

    let seen = agent
        .tool("mqtt_topics", json!({"topic": "cmd/#", "seconds": 0.3}))
        .structured();
    let groups = seen["groups"].as_array().unwrap();
    let of = |topic: &str| {
        let group = groups
            .iter()
            .find(|it| it["pattern"].as_str().unwrap().starts_with(topic));
        group.unwrap_or_else(|| panic!("{topic}: {seen}"))
    };
    assert_eq!(
        (&of("cmd/m{")["payload"], &of("cmd/m{")["write"]),
        (&json!(number), &json!(true))
    );
    assert_eq!(of("cmd/m1/set")["payload"], json!(object));
    assert_eq!(
        (of("cmd/free").get("payload"), &of("cmd/free")["write"]),
        (None, &json!(true))
    );
    let rows = agent
        .tool(
            "mqtt_topics",
            json!({"topic": "cmd/#", "seconds": 0, "detail": "topics"}),
        )
        .structured();
    let told: Vec<_> = rows["rows"]
        .as_array()
        .unwrap()
        .iter()
        .map(|row| row.get("payload").is_some())
        .collect();
    assert_eq!(told, [false, true, true, true], "{rows}");
}

/// The message that `--check --publish` sends is judged as any other.
#[test]
fn the_check_does_not_publish_outside_the_limits() {
    let broker = Mosquitto::start();
    let folder = Scratch::new();
    let path = folder.file("config.json", &config(&broker).to_string());
    let output = Command::new(PROGRAM)
        .args([
            "--check",
            "--connect",
            "--publish",
            "cmd/m1/rpm",
            "--config",
            path.to_str().unwrap(),
        ])
        .stdin(Stdio::null())
        .output()
        .unwrap();
    assert_eq!(output.status.code(), Some(1));
    let error = String::from_utf8(output.stderr).unwrap();
    let words = "`--publish`: `test message of mcpmqtt --check` is not a number; `cmd/+/rpm` takes a number from 0 to 2000 rpm";
    assert!(error.contains(words), "{error}");
}
