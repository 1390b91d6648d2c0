//! The worked examples of `config/EXAMPLES.md`: each row of their tables against a real broker.

use std::collections::HashMap;

use serde_json::{Value, json};

use crate::common::agent::Agent;
use crate::common::mosquitto::Mosquitto;
use crate::common::scratch::Scratch;
use crate::common::waiting::eventually;

const CHAPTER: &str = include_str!("../../config/EXAMPLES.md");

/// A row of a table.
struct Row<'a> {
    profile: &'a str,
    before: Vec<Sending<'a>>,
    tool: &'a str,
    arguments: Value,
    meanwhile: Vec<Sending<'a>>,
    answer: &'a str,
}

/// What a device publishes.
struct Sending<'a> {
    topic: &'a str,
    payload: &'a str,
    is_kept: bool,
}

/// The texts between backticks, each with what follows it.
fn quoted(cell: &str) -> Vec<(&str, &str)> {
    let parts: Vec<&str> = cell.split('`').collect();
    let pairs = parts.get(1..).unwrap_or_default().chunks(2);
    pairs.map(|pair| (pair[0], pair[1])).collect()
}

fn sendings(cell: &str) -> Vec<Sending<'_>> {
    let texts = quoted(cell);
    let pairs = texts.chunks(2).map(|pair| Sending {
        topic: pair[0].0,
        payload: pair[1].0,
        is_kept: pair[1].1.contains("kept"),
    });
    pairs.collect()
}

fn row(line: &str) -> Row<'_> {
    let cells: Vec<&str> = line.trim_matches('|').split('|').collect();
    let [profile, before, call, meanwhile, answer] = cells[..] else {
        panic!("a row has five cells: {line}")
    };
    let call = quoted(call);
    Row {
        profile: quoted(profile)[0].0,
        before: sendings(before),
        tool: call[0].0,
        arguments: serde_json::from_str(call[1].0).unwrap(),
        meanwhile: sendings(meanwhile),
        answer: answer.trim(),
    }
}

impl Sending<'_> {
    fn by(&self, plant: &mut Agent) {
        let message = json!({
            "topic": self.topic, "payload": self.payload, "qos": 1, "retain": self.is_kept
        });
        assert_eq!(
            plant.tool("mqtt_publish", message).structured()["outcome"],
            "delivered"
        );
    }
}

/// What an agent reads of an answer.
fn words(answer: &Value) -> String {
    let result = &answer["result"];
    let text = match (result["structuredContent"].is_object(), answer.get("error")) {
        (true, _) => return result["structuredContent"].to_string(),
        (false, Some(error)) => &error["message"],
        (false, None) => &result["content"][0]["text"],
    };
    text.as_str().unwrap().to_owned()
}

/// Runs the rows of one example; the texts of those whose answer is another.
fn differences(example: &str) -> Vec<String> {
    let broker = Mosquitto::start();
    let block = example.split("```json\n").nth(1).unwrap();
    let mut config: Value = serde_json::from_str(block.split("```").next().unwrap()).unwrap();
    config["mqtt"] = json!({"host": "127.0.0.1", "port": broker.port});
    let folder = Scratch::new();
    let file = folder.file("config.json", &config.to_string());
    let mut plant = Agent::start(&json!({
        "mqtt": config["mqtt"],
        "topics": [{"pattern": "#", "permissions": ["read", "write", "retain"]}],
    }));
    let mut agents = HashMap::new();
    let mut different = Vec::new();
    let rows = example.lines().filter(|line| line.starts_with("| `"));
    for row in rows.map(row) {
        let agent = agents.entry(row.profile).or_insert_with(|| {
            let arguments = ["--config", file.to_str().unwrap(), "--profile", row.profile];
            let mut agent = Agent::with_args(&arguments);
            agent.initialize();
            agent
        });
        for sending in &row.before {
            sending.by(&mut plant);
        }
        let command = json!({"topic": row.arguments["topic"]});
        let command = (row.tool == "mqtt_publish").then(|| plant.listening("mqtt_wait", command));
        let call = agent.tool(row.tool, row.arguments.clone());
        let has_come = || {
            command
                .as_ref()
                .is_some_and(|command| !command.is_pending())
        };
        eventually("the call ends", || {
            let values = match has_come() && !row.meanwhile.is_empty() {
                true => &row.meanwhile,
                false => &row.before,
            };
            for sending in values {
                sending.by(&mut plant);
            }
            !call.is_pending()
        });
        let answer = words(&call.wait());
        // What was sent has reached the plant, and what was refused has not.
        let is_publish = row.tool == "mqtt_publish";
        let expected = match quoted(row.answer)[..] {
            // JSON or a value; a refusal is a sentence.
            [(whole, "")] if row.answer.starts_with('`') => whole,
            _ => row.answer,
        };
        if is_publish && expected != row.answer {
            eventually("the command comes", has_come);
        } else {
            assert!(!has_come(), "it was sent: {}", row.arguments);
        }
        if !answer.contains(expected) {
            different.push(format!("{}: {answer}", row.arguments));
        }
    }
    different
}

#[test]
fn each_row_of_the_worked_examples_is_true() {
    let examples: Vec<&str> = CHAPTER.split("\n## ").skip(1).collect();
    assert_eq!(examples.len(), 3);
    for example in examples {
        let different = differences(example);
        assert!(different.is_empty(), "{}", different.join("\n"));
    }
}
