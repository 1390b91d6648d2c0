//! What becomes of the calls that are in flight when the input ends: each is answered, and what it says is true.

use std::collections::HashMap;
use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::{TcpListener, TcpStream};
use std::process::{Child, ChildStdout, Command, Stdio};
use std::time::{Duration, Instant};

use serde_json::{Value, json};

use crate::common::config::open_config;
use crate::common::messages::initialize;
use crate::common::mosquitto::Mosquitto;
use crate::common::program::PROGRAM;
use crate::common::scratch::Scratch;
use crate::common::waiting::PATIENCE;

/// The program with an input that can be ended.
struct Pipeline {
    child: Child,
    input: Option<std::process::ChildStdin>,
    output: BufReader<ChildStdout>,
    _folder: Scratch,
}

impl Pipeline {
    fn start(config: &Value, args: &[&str]) -> Pipeline {
        let folder = Scratch::new();
        let config = folder.file("config.json", &config.to_string());
        let mut child = Command::new(PROGRAM)
            .args(["--config", config.to_str().unwrap()])
            .args(args)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        let input = child.stdin.take();
        let output = BufReader::new(child.stdout.take().unwrap());
        let mut pipeline = Pipeline {
            child,
            input,
            output,
            _folder: folder,
        };
        pipeline.say(0, "initialize", initialize("2025-11-25"));
        assert_eq!(pipeline.hear()["id"], 0);
        pipeline
    }

    fn say(&mut self, id: u64, method: &str, params: Value) {
        let message = json!({"jsonrpc": "2.0", "id": id, "method": method, "params": params});
        writeln!(self.input.as_mut().unwrap(), "{message}").unwrap();
    }

    fn call(&mut self, id: u64, tool: &str, arguments: Value) {
        self.say(
            id,
            "tools/call",
            json!({"name": tool, "arguments": arguments}),
        );
    }

    fn hear(&mut self) -> Value {
        let mut line = String::new();
        assert!(
            self.output.read_line(&mut line).unwrap() > 0,
            "the output has ended"
        );
        serde_json::from_str(&line).unwrap()
    }

    /// Ends the input.
    fn hang_up(&mut self) {
        self.input.take();
    }

    /// The rest of its answers by their ids, and how long that took.
    fn rest(mut self) -> (HashMap<u64, Value>, Duration) {
        self.hang_up();
        let start = Instant::now();
        let mut text = String::new();
        self.output.read_to_string(&mut text).unwrap();
        assert!(self.child.wait().unwrap().success());
        let messages = text.lines().map(|line| serde_json::from_str(line).unwrap());
        // How often a call that waits tells its progress hangs on how long this takes.
        let answers = messages.filter(|it: &Value| it["method"] != "notifications/progress");
        let answers: Vec<_> = answers
            .map(|answer| (answer["id"].as_u64().unwrap(), answer))
            .collect();
        let count = answers.len();
        let answers: HashMap<_, _> = answers.into_iter().collect();
        assert_eq!(answers.len(), count, "one answer each: {text}");
        (answers, start.elapsed())
    }
}

impl Drop for Pipeline {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn words(answer: &Value) -> &str {
    let result = &answer["result"];
    assert_eq!(result["isError"], true, "{answer}");
    result["content"][0]["text"].as_str().unwrap()
}

/// One short packet.
fn packet(socket: &mut TcpStream) -> Option<(u8, Vec<u8>)> {
    let mut head = [0; 2];
    socket.read_exact(&mut head).ok()?;
    let mut body = vec![0; usize::from(head[1])];
    socket.read_exact(&mut body).ok()?;
    Some((head[0], body))
}

#[test]
fn a_write_that_was_not_sent_is_dropped_and_says_so_and_a_read_is_answered() {
    let broker = TcpListener::bind("127.0.0.1:0").unwrap();
    // It takes the connection and never answers.
    let mut pipeline = Pipeline::start(&open_config(broker.local_addr().unwrap().port()), &[]);
    let (mut socket, _) = broker.accept().unwrap();
    assert_eq!(packet(&mut socket).unwrap().0 >> 4, 1);
    let slow = json!({"topic": "t/a", "payload": "x", "qos": 1, "timeout": 300});
    pipeline.call(1, "mqtt_publish", slow);
    pipeline.call(2, "mqtt_read", json!({"topic": "t/b", "timeout": 300}));
    let query = json!({
        "request_topic": "t/q", "response_topic": "t/r", "payload": "x", "timeout": 300,
    });
    pipeline.call(3, "mqtt_query", query.clone());
    // Waits for the one before it.
    pipeline.call(4, "mqtt_query", query);
    pipeline.say(5, "resources/read", json!({"uri": "mqtt://topic/t/b"}));
    let (answers, _) = pipeline.rest();
    assert_eq!(answers.len(), 5, "{answers:?}");
    let said = words(&answers[&1]);
    assert!(said.starts_with("not published: "), "{said}");
    assert!(
        said.ends_with("The message did not reach the broker."),
        "{said}"
    );
    assert!(words(&answers[&2]).starts_with("not read: "), "{answers:?}");
    for id in [3, 4] {
        assert!(
            words(&answers[&id]).ends_with("Nothing was sent."),
            "{answers:?}"
        );
    }
    assert!(
        answers[&5]["error"]["message"]
            .as_str()
            .unwrap()
            .starts_with("not read: ")
    );
    // It never was: the connection ends without a publish.
    while let Some((first, _)) = packet(&mut socket) {
        assert_ne!(first >> 4, 3, "a publish");
    }
}

#[test]
fn a_write_that_was_sent_and_not_acknowledged_has_an_unknown_outcome() {
    let broker = TcpListener::bind("127.0.0.1:0").unwrap();
    let mut pipeline = Pipeline::start(&open_config(broker.local_addr().unwrap().port()), &[]);
    let (mut socket, _) = broker.accept().unwrap();
    socket.set_read_timeout(Some(PATIENCE)).unwrap();
    assert_eq!(packet(&mut socket).unwrap().0 >> 4, 1);
    socket.write_all(&[0x20, 2, 0, 0]).unwrap();
    let slow = json!({"topic": "t/a", "payload": "x", "qos": 1, "timeout": 300});
    pipeline.call(1, "mqtt_publish", slow);
    assert_eq!(packet(&mut socket).unwrap().0 >> 4, 3);
    let (answers, _) = pipeline.rest();
    let said = words(&answers[&1]);
    assert!(said.starts_with("outcome unknown: "), "{said}");
}

#[test]
fn what_was_collected_is_answered_and_the_time_for_it_can_be_chosen() {
    let broker = Mosquitto::start();
    let config = open_config(broker.port);
    let collect = json!({"topic": "t/x", "timeout": 300, "max_messages": 9});
    let mut cut = Pipeline::start(&config, &["--drain", "0"]);
    let mut drained = Pipeline::start(&config, &["--drain=60"]);
    for pipeline in [&mut cut, &mut drained] {
        let params =
            json!({"name": "mqtt_subscribe", "arguments": collect, "_meta": {"progressToken": 1}});
        pipeline.say(1, "tools/call", params);
        assert_eq!(pipeline.hear()["method"], "notifications/progress");
        pipeline.hang_up();
    }
    let (answers, took) = cut.rest();
    let result = &answers[&1]["result"]["structuredContent"];
    assert_eq!(result["ended_by"], "subscription_lost", "{answers:?}");
    assert!(result["reason"].as_str().unwrap().contains("shutting down"));
    // More than the second that is usual.
    std::thread::sleep(Duration::from_millis(1500));
    let lines: String = (0..9).map(|n| format!("{n}\n")).collect();
    broker.publish_lines("t/x", &lines);
    let (answers, _) = drained.rest();
    let result = &answers[&1]["result"]["structuredContent"];
    assert_eq!(result["messages_received"], 9, "{answers:?}");
    assert!(took < PATIENCE);
}
