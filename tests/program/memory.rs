//! What clients can make the program hold: messages of many values, batches of large answers, answers that nobody reads,
//! all at once. An undisturbed agent is served meanwhile, and afterwards the memory is given back.
//!
//! With `MCPMQTT_TEST_FULL` set the limits are those of a program without a configuration. To the bound comes then what
//! one hash of a key takes, 64 MiB.

use std::io::{BufRead as _, BufReader, Write as _};
use std::path::PathBuf;
use std::process::{Command, Stdio};
use std::thread::JoinHandle;

use serde_json::{Value, json};

use crate::calls::JSON;
use crate::common::config::open_config;
use crate::common::http_client::Client;
use crate::common::messages::{initialize, request};
use crate::common::mosquitto::Mosquitto;
use crate::common::process::{status_kb, ticks};
use crate::common::program::PROGRAM;
use crate::common::requests::{initialize_post, post_with};
use crate::common::scratch::Scratch;
use crate::common::size::full_size;
use crate::common::waiting::eventually;
use crate::house::{House, KEY};

/// Where the program listens.
#[derive(Clone)]
struct Place(PathBuf);

impl Place {
    fn connect(&self) -> Client {
        Client::unix(&self.0)
    }

    /// Begins a session with this key.
    fn session(&self, key: &str, version: &str) -> (Client, String) {
        let mut client = self.connect();
        assert!(client.send(&initialize_post(key, version)));
        let id = client.answer().field("mcp-session-id").unwrap().to_owned();
        (client, format!("mcp-session-id: {id}\r\n"))
    }
}

/// For an answer in one piece.
fn post(key: &str, fields: &str, body: &str) -> Vec<u8> {
    let usual = format!("x-api-key: {key}\r\naccept: {JSON}\r\n");
    post_with(&format!("{usual}{fields}"), body)
}

fn read(id: u64, topic: &str, timeout: u64) -> Value {
    let params = json!({"name": "mqtt_read", "arguments": {"topic": topic, "timeout": timeout}});
    request(id, "tools/call", params)
}

/// A message of so many bytes that means nothing and is costly to keep.
fn many_values(bytes: usize) -> String {
    let values = r#"{"a":0},"#.repeat(bytes / 8);
    format!(
        r#"{{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{{"name":"mqtt_read","arguments":{{"topic":[{values}0]}}}}}}"#
    )
}

fn in_background<T: Send + 'static>(work: impl FnOnce() -> T + Send + 'static) -> JoinHandle<T> {
    std::thread::spawn(work)
}

/// Keeps `payload` on a topic.
fn retain(broker: &Mosquitto, topic: &str, bytes: usize) {
    let folder = Scratch::new();
    let path = folder.file("payload", &"x".repeat(bytes));
    broker.publish(&["-r", "-t", topic, "-f", path.to_str().unwrap()]);
}

#[test]
fn nothing_that_clients_of_http_do_at_once_makes_the_program_hold_much() {
    let broker = Mosquitto::start();
    let (readers, payload, limits, values_bytes, most) = match full_size() {
        true => (220, 512 << 10, json!({}), 4_100_000, 128 << 10),
        false => (
            48,
            256 << 10,
            json!({"answers_bytes": 8 << 20}),
            1_000_000,
            40 << 10,
        ),
    };
    retain(&broker, "t/large", payload);
    retain(&broker, "t/batch", payload / 4);
    broker.publish(&["-r", "-t", "t/calm", "-m", "21.5"]);
    let house = House::new(&broker, limits);
    let key = house.other_key.as_str();
    let (mut calm, session) = Place(house.socket()).session(key, "2025-11-25");
    let mut calmly = |id: u64| {
        assert!(calm.send(&post(key, &session, &read(id, "t/calm", 20).to_string())));
        let answer = calm.answer().json();
        assert_eq!(
            answer["result"]["structuredContent"]["payload"], "21.5",
            "{answer}"
        );
    };
    calmly(0);
    let before = house.kb("VmRSS:");

    // Each has a session of its own: as many callers.
    let place = Place(house.socket());
    let unread = in_background(move || {
        let sessions = (0..readers).map(|_| place.session(KEY, "2025-11-25"));
        let mut clients: Vec<_> = sessions.collect();
        for (client, session) in &mut clients {
            client.send(&post(KEY, session, &read(1, "t/large", 20).to_string()));
        }
        clients
    });
    let place = Place(house.socket());
    let values = in_background(move || {
        let mut client = place.connect();
        let body = many_values(values_bytes);
        (0..2).for_each(|_| {
            assert!(client.send(&post(KEY, "", &body)));
            let answer = client.answer();
            let said = answer.sentence();
            assert!(said.contains("more than 20000 JSON values"), "{said}");
        });
    });
    // Its calls have room beside those of another name.
    let (place, key) = (Place(house.socket()), house.other_key.clone());
    let batch = in_background(move || {
        let (mut client, session) = place.session(&key, "2025-03-26");
        let batch: Vec<_> = (0..100).map(|id| read(id, "t/batch", 2)).collect();
        assert!(client.send(&post(&key, &session, &Value::from(batch).to_string())));
        let answer = client.answer().json();
        let answers = answer.as_array().unwrap();
        assert_eq!(answers.len(), 100);
        let told = |answer: &&Value| {
            let error = answer["error"]["message"].as_str().unwrap_or_default();
            error.contains("the answers of one batch have at most 4194304 bytes; send it alone")
        };
        // Those that found no room to wait in say so.
        let given = answers
            .iter()
            .filter(|answer| answer.get("result").is_some())
            .count();
        assert_eq!(given + answers.iter().filter(told).count(), 100);
        assert!(given >= 3, "{given}");
    });
    for id in 1.. {
        calmly(id);
        if unread.is_finished() && values.is_finished() && batch.is_finished() {
            break;
        }
    }
    values.join().unwrap();
    batch.join().unwrap();
    let clients = unread.join().unwrap();
    calmly(u64::MAX);
    let peak = house.kb("VmHWM:");
    drop(clients);
    let mut after = 0;
    eventually("the memory is given back", || {
        after = house.kb("VmRSS:");
        after < before + (8 << 10)
    });
    println!("{before} kB before, {peak} kB at most, {after} kB afterwards");
    assert!(peak < most, "{peak} kB");
}

#[test]
fn answers_that_a_client_of_stdio_does_not_read_are_not_made() {
    let broker = Mosquitto::start();
    // Fewer than can wait for a reader, unless at full size.
    let calls = if full_size() { 250 } else { 30 };
    retain(&broker, "t/large", 512 << 10);
    let folder = Scratch::new();
    let config = folder.file("config.json", &open_config(broker.port).to_string());
    let mut child = Command::new(PROGRAM)
        .args(["--config", config.to_str().unwrap()])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    let mut input = child.stdin.take().unwrap();
    let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
    let hello = request(0, "initialize", initialize("2025-11-25"));
    writeln!(input, "{hello}").unwrap();
    lines.next().unwrap().unwrap();
    for id in 0..calls {
        writeln!(input, "{}", read(id, "t/large", 3)).unwrap();
    }
    // It does what it can without a reader.
    let (mut last, mut idle) = (0, 0);
    eventually("it waits for its reader", || {
        let ticks = ticks(child.id());
        idle = if ticks == std::mem::replace(&mut last, ticks) {
            idle + 1
        } else {
            0
        };
        idle > 20
    });
    let peak = status_kb(child.id(), "VmHWM:");
    let mut refused = 0;
    let answers = lines.by_ref().take(calls as usize).map(|line| {
        let answer: Value = serde_json::from_str(&line.unwrap()).unwrap();
        // What waits for its reader is bounded, too; who gets nothing is told why.
        match answer["result"]["structuredContent"]["topic"].as_str() {
            Some(topic) => assert_eq!(topic, "t/large"),
            None => {
                let why = answer["result"]["content"][0]["text"].as_str().unwrap();
                assert!(why.contains("found no room"), "{why}");
                refused += 1;
            }
        }
        answer["id"].as_u64().unwrap()
    });
    let mut answers: Vec<_> = answers.collect();
    answers.sort_unstable();
    assert_eq!(answers, (0..calls).collect::<Vec<_>>());
    drop(input);
    assert!(child.wait().unwrap().success());
    println!("{peak} kB at most, {refused} of {calls} refused");
    assert!(refused == 0 || full_size(), "{refused}");
    assert!(peak < 30 << 10, "{peak} kB");
}
