//! The table of malformed lines: each gets exactly the answer it deserves, and the connection goes
//! on. `tests/data/hostile_lines.json` says for each case the handshake before it (`session`, null
//! for none), the bytes (`line`, `hex`, or `repeat`: prefix, part, count, suffix, with `close`
//! repeated as often after the parts) and the answer, null for silence.

use std::collections::BTreeMap;

use serde_json::{Value, json};

use crate::common::messages::modern;
use crate::common::schema::check_answer;
use crate::wire::{Wire, dialogue, limits};

fn cases() -> Vec<Value> {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/data/hostile_lines.json");
    serde_json::from_slice(&std::fs::read(path).unwrap()).unwrap()
}

fn bytes(case: &Value) -> Vec<u8> {
    if let Some(line) = case["line"].as_str() {
        return line.into();
    }
    if let Some(hex) = case["hex"].as_str() {
        let byte = |at| u8::from_str_radix(&hex[at..at + 2], 16).unwrap();
        return (0..hex.len()).step_by(2).map(byte).collect();
    }
    let part = |at: usize| case["repeat"][at].as_str().unwrap();
    let count = case["repeat"][2].as_u64().unwrap() as usize;
    let close = case["close"].as_str().unwrap_or_default();
    format!(
        "{}{}{}{}",
        part(0),
        part(1).repeat(count),
        close.repeat(count),
        part(3)
    )
    .into()
}

#[test]
fn every_malformed_line_has_its_answer_and_the_next_request_works() {
    let mut sessions: BTreeMap<String, Vec<Value>> = BTreeMap::new();
    let cases = cases();
    assert!(cases.len() >= 60);
    for case in cases {
        sessions
            .entry(case["session"].to_string())
            .or_default()
            .push(case);
    }
    for cases in sessions.into_values() {
        dialogue(|executor| async move {
            let mut wire = Wire::open(&executor, limits());
            let version = cases[0]["session"].as_str();
            if let Some(version) = version {
                wire.initialize(version).await;
            }
            for (number, case) in cases.iter().enumerate() {
                let mut line = bytes(case);
                line.push(b'\n');
                let params = json!({"name": "echo", "arguments": {"text": "still here"}});
                let next = modern(format!("next {number}"), "tools/call", params);
                let (name, expected) = (&case["name"], &case["answer"]);
                wire.write(&line).await;
                wire.say(&next).await;
                if !expected.is_null() {
                    let answer = wire.hear().await;
                    assert_eq!(&answer, expected, "{name}: answered {answer}");
                    hold_against_schema(version, &answer);
                }
                let after = wire.hear().await;
                assert_eq!(after["id"], next["id"], "after {name}: {after}");
                assert_eq!(after["result"]["structuredContent"]["text"], "still here");
            }
        });
    }
}

/// Versions before 2025-11-25 have no valid form for an error without an id.
fn hold_against_schema(version: Option<&str>, answer: &Value) {
    let version = version.unwrap_or("2026-07-28");
    if answer.is_object() && answer.get("error").is_some() && !answer["id"].is_null() {
        check_answer(version, "", answer);
    }
    if answer["id"].is_null() {
        let null = answer.get("id").is_some();
        assert_eq!(
            null,
            answer.is_object() && version < "2025-11-25",
            "{answer}"
        );
    }
}
