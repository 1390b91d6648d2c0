//! The chapters on tools say what the program does: calls, answers, and a whole conversation.

use std::collections::BTreeSet;
use std::ffi::OsString;
use std::fs;
use std::io::Write as _;
use std::process::{Command, Stdio};

use mcpmqtt::app::cli;
use serde_json::{Value, json};

use crate::documents::{blocks, json_blocks, quoted, root, table};

/// The tools as the program lists them.
fn tools() -> Vec<Value> {
    let initialize = json!({"protocolVersion": "2025-06-18", "capabilities": {},
        "clientInfo": {"name": "manual", "version": "1"}});
    let requests = [
        json!({"jsonrpc": "2.0", "id": 1, "method": "initialize", "params": initialize}),
        json!({"jsonrpc": "2.0", "method": "notifications/initialized"}),
        json!({"jsonrpc": "2.0", "id": 2, "method": "tools/list"}),
    ];
    let lines: String = requests
        .iter()
        .map(|request| format!("{request}\n"))
        .collect();
    let mut program = Command::new(env!("CARGO_BIN_EXE_mcpmqtt"))
        .arg("--config")
        .arg(root().join("config/examples/example_config.json"))
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    program
        .stdin
        .take()
        .unwrap()
        .write_all(lines.as_bytes())
        .unwrap();
    let output = program.wait_with_output().unwrap();
    let answers = String::from_utf8(output.stdout).unwrap();
    let answers = answers
        .lines()
        .map(|line| serde_json::from_str::<Value>(line).unwrap());
    let listed = answers
        .into_iter()
        .find(|answer| answer["id"] == 2)
        .unwrap();
    listed["result"]["tools"].as_array().unwrap().clone()
}

#[test]
fn the_example_calls_and_answers_fit_their_schemas() {
    let tools = tools();
    let blocks = json_blocks();
    let mut called = BTreeSet::new();
    for (call, answer) in blocks.iter().zip(blocks.iter().skip(1)) {
        let (Some(name), Some(arguments)) = (call.get("name"), call.get("arguments")) else {
            continue;
        };
        let tool = tools.iter().find(|tool| tool["name"] == *name).unwrap();
        for (schema, value) in [("inputSchema", arguments), ("outputSchema", answer)] {
            let validator = jsonschema::validator_for(&tool[schema]).unwrap();
            if let Err(error) = validator.validate(value) {
                panic!("{schema} of {name}: {error}");
            }
        }
        let known = tool["outputSchema"]["properties"].as_object().unwrap();
        for key in answer.as_object().unwrap().keys() {
            assert!(known.contains_key(key), "{name} answers no `{key}`");
        }
        called.insert(name.as_str().unwrap().to_owned());
    }
    let names: BTreeSet<_> = tools
        .iter()
        .map(|tool| tool["name"].as_str().unwrap().to_owned())
        .collect();
    assert_eq!(called, names);
}

/// `scripts/demo` says what the manual and the picture have, apart from numbers, which differ from run to run.
#[test]
fn the_conversation_is_the_one_that_the_demo_holds() {
    let output = Command::new("python3")
        .arg(root().join("scripts/demo"))
        .arg(env!("CARGO_BIN_EXE_mcpmqtt"))
        .output()
        .unwrap();
    let words = String::from_utf8(output.stderr).unwrap();
    assert!(output.status.success(), "{words}");
    let printed = String::from_utf8(output.stdout).unwrap();
    let (conversation, next) = printed.split_once("\nEvery answer").unwrap();
    told_what_is_next(next);
    let drawn = drawn(conversation);
    let picture = fs::read_to_string(root().join("src/demo/conversation.svg")).unwrap();
    assert!(
        without_numbers(&drawn) == without_numbers(&picture),
        "scripts/picture draws\n{drawn}"
    );
    let conversation = without_numbers(conversation);
    let shown = blocks("text");
    let shown = shown.iter().map(|block| without_numbers(block));
    assert!(
        shown.into_iter().any(|block| block == conversation),
        "the manual should have\n{printed}"
    );
}

/// The end of the demo: commands of ours with this program, and an entry that a client takes as it is.
fn told_what_is_next(text: &str) {
    let program = env!("CARGO_BIN_EXE_mcpmqtt");
    let commands = text.lines().filter_map(|line| line.strip_prefix("  /"));
    let commands: Vec<_> = commands.collect();
    assert_eq!(commands.len(), 2, "{text}");
    for command in commands {
        let arguments = format!("/{command}");
        let arguments = arguments.strip_prefix(program).unwrap().split_whitespace();
        cli::parse(arguments.map(OsString::from)).unwrap();
    }
    let (begin, end) = (text.find("\n{").unwrap(), text.rfind("\n}").unwrap());
    let entry: Value = serde_json::from_str(&text[begin..end + 2]).unwrap();
    let entry = &entry["mcpServers"]["mqtt"];
    assert_eq!(entry["command"], program);
    let arguments = entry["args"].as_array().unwrap().iter();
    cli::parse(arguments.map(|it| it.as_str().unwrap().into())).unwrap();
}

/// Each number replaced by one digit.
fn without_numbers(text: &str) -> String {
    // The sensor may send at the moment at which its value is read.
    let text = text.replace(" (kept by the broker)", "");
    let mut short = String::new();
    for character in text.trim().chars() {
        let digit = character.is_ascii_digit() || character == '.';
        match (digit, short.ends_with('0')) {
            (false, _) => short.push(character),
            (true, false) => short.push('0'),
            (true, true) => {}
        }
    }
    short
}

/// What `scripts/picture` makes of a conversation.
fn drawn(conversation: &str) -> String {
    let mut picture = Command::new("python3")
        .arg(root().join("scripts/picture"))
        .arg("-")
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut input = picture.stdin.take().unwrap();
    input.write_all(conversation.as_bytes()).unwrap();
    drop(input);
    let output = picture.wait_with_output().unwrap();
    assert!(output.status.success());
    String::from_utf8(output.stdout).unwrap()
}

/// The examples of the first page name every tool, with arguments that it takes and all that it must have.
#[test]
fn the_examples_of_the_first_page_are_calls_that_can_be_made() {
    let tools = tools();
    let rows = table("| tool |");
    for row in &rows {
        let example = quoted(&row[2])[0];
        let mut words = example.split(' ');
        let name = words.next().unwrap();
        assert_eq!(row[0], format!("`{name}`"));
        let tool = tools.iter().find(|tool| tool["name"] == name).unwrap();
        let given: BTreeSet<_> = words
            .map(|word| word.split_once('=').unwrap().0.to_owned())
            .collect();
        let schema = &tool["inputSchema"];
        for argument in &given {
            assert!(schema["properties"].get(argument).is_some(), "{example}");
        }
        for needed in schema["required"].as_array().into_iter().flatten() {
            assert!(given.contains(needed.as_str().unwrap()), "{example}");
        }
    }
    assert_eq!(rows.len(), tools.len());
}
