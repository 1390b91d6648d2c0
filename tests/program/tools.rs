//! The seven tools and two resources as an agent sees them: their descriptions, and what they say to
//! arguments that are wrong. The broker is the one inside the program.

use serde_json::{Value, json};

use crate::common::agent::Agent;
use crate::common::process::status_kb;

fn demo() -> Agent {
    let mut agent = Agent::with_args(&["--demo"]);
    agent.initialize();
    agent
}

fn list(agent: &mut Agent) -> Value {
    agent.request("tools/list", json!({})).wait()["result"].clone()
}

/// What every conversation carries, word for word: a change is seen in review.
/// `UPDATE_SNAPSHOTS=1 cargo test --test tools` writes it anew.
#[test]
fn the_descriptions_are_those_committed_and_short_enough_for_every_conversation() {
    let result = list(&mut demo());
    let tools = result["tools"].as_array().unwrap();
    let bytes = |members: &[&str]| {
        let described = tools.iter().map(|tool| {
            let read = members
                .iter()
                .map(|member| (*member, tool[*member].clone()));
            let read: serde_json::Map<_, _> =
                read.map(|(member, it)| (member.into(), it)).collect();
            Value::from(read).to_string().len()
        });
        described.sum::<usize>()
    };
    let inputs = bytes(&["name", "description", "inputSchema"]);
    assert!((500 * 4..=2800 * 4).contains(&inputs), "{inputs} bytes");
    let all = bytes(&["name", "description", "inputSchema", "outputSchema"]);
    assert!(all <= 3600 * 4, "{all} bytes");
    assert_eq!(tools.len(), 7, "a model's attention is short");
    for tool in tools {
        assert!(
            tool["description"].as_str().unwrap().len() <= 1000,
            "{tool}"
        );
    }
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/data/tools_list.json");
    let now = format!("{result:#}\n");
    if std::env::var_os("UPDATE_SNAPSHOTS").is_some() {
        std::fs::write(path, &now).unwrap();
    }
    let committed = std::fs::read_to_string(path).unwrap();
    assert_eq!(committed, now, "see the comment above this test");
}

/// Some clients cut instructions at 2 kB: what matters most comes first.
#[test]
fn the_instructions_begin_with_what_matters_most_and_have_an_end() {
    let topics: Vec<_> = (0..60)
        .map(|n| {
            let permission = if n % 6 == 5 { "write" } else { "read" };
            json!({
                "pattern": format!("plant/line{n}/+/value"), "permissions": [permission],
                "description": format!("{n}: rpm from 300 to 3000; {}", "more than that destroys the motor. ".repeat(9)),
            })
        })
        .collect();
    let mut agent = Agent::start(&json!({"mqtt": {"port": 1}, "topics": topics}));
    let discovered = agent.modern("server/discover", json!({})).wait();
    let text = discovered["result"]["instructions"].as_str().unwrap();
    assert!(text.len() <= 4096, "{}", text.len());
    assert!(
        text.contains("more: resource mcpmqtt://topics/allowed"),
        "{text}"
    );
    let first = text.get(..1900).unwrap();
    for words in [
        "never instructions",
        "mqtt_topics",
        "mqtt_wait",
        "mqtt_stats",
        "`when`",
        "`confirm`",
    ] {
        assert!(first.contains(words), "{words}: {first}");
    }
    for n in [5, 11, 17] {
        let line = format!("`plant/line{n}/+/value` (write): {n}: rpm from 300 to 3000");
        assert!(first.contains(&line), "{line}: {first}");
    }
}

/// What the APIs of OpenAI (strict), Google and Anthropic all take: Google's refuses a request with any other word.
/// `scripts/converters` holds what their own SDKs make of it.
#[test]
fn schemas_say_nothing_that_an_api_of_a_model_refuses() {
    const WORDS: [&str; 10] = [
        "type",
        "properties",
        "required",
        "items",
        "enum",
        "description",
        "default",
        "minimum",
        "maximum",
        "title",
    ];
    fn walk(place: &str, schema: &Value, seen: &mut usize) {
        *seen += 1;
        let members = schema.as_object().unwrap();
        for word in members.keys() {
            assert!(WORDS.contains(&word.as_str()), "{place}: `{word}`");
        }
        let kind = schema["type"].as_str();
        // A value that devices send may be of any type; models are not given the output schemas by their APIs.
        let any = place.contains(" output") && schema["description"].is_string();
        assert!(kind.is_some() || any, "{place}: one type, by name");
        assert_eq!(
            kind == Some("object"),
            members.contains_key("properties"),
            "{place}"
        );
        assert_eq!(
            kind == Some("array"),
            members.contains_key("items"),
            "{place}"
        );
        let properties = schema["properties"].as_object();
        for (name, property) in properties.into_iter().flatten() {
            walk(&format!("{place}.{name}"), property, seen);
        }
        if let Some(items) = schema.get("items") {
            walk(&format!("{place}[]"), items, seen);
        }
    }
    let (result, mut seen) = (list(&mut demo()), 0);
    for tool in result["tools"].as_array().unwrap() {
        let name = tool["name"].as_str().unwrap();
        walk(&format!("{name} input"), &tool["inputSchema"], &mut seen);
        walk(&format!("{name} output"), &tool["outputSchema"], &mut seen);
        for (argument, schema) in tool["inputSchema"]["properties"].as_object().unwrap() {
            let description = schema["description"].as_str().unwrap_or_default();
            assert!(
                (5..=100).contains(&description.len()),
                "{name}.{argument}: {description}"
            );
            if let Some(default) = schema.get("default") {
                let words = format!("default {default}").replace('"', "");
                assert!(
                    description.ends_with(&words),
                    "{name}.{argument}: {description}"
                );
            }
            if argument == "timeout" {
                assert!(description.starts_with("Seconds"), "{name}: {description}");
            }
        }
    }
    assert!(seen > 50, "only {seen}");
}

#[test]
fn results_keep_to_the_schemas_that_are_published() {
    let mut agent = demo();
    let result = list(&mut agent);
    let calls = [
        json!({"topic": "actuators/lights/exampleroom1/on", "payload": "1", "qos": 2}),
        json!({"topic": "sensors/+/temperature", "max_messages": 2}),
        json!({"topic": "status/system"}),
        json!({
            "request_topic": "commands/exampleroom1/request",
            "response_topic": "commands/exampleroom1/response",
            "payload": "ping",
        }),
        json!({"seconds": 0.2}),
        json!({"topic": "sensors/+/temperature", "op": "<", "value": "1000"}),
        json!({"topic": "sensors/+/temperature", "seconds": 0.2}),
    ];
    let tools = result["tools"].as_array().unwrap();
    assert_eq!(tools.len(), calls.len());
    for (tool, arguments) in tools.iter().zip(calls) {
        let name = tool["name"].as_str().unwrap();
        let input = jsonschema::validator_for(&tool["inputSchema"]).unwrap();
        assert!(input.is_valid(&arguments), "{name}");
        let structured = agent.tool(name, arguments).structured();
        let output = jsonschema::validator_for(&tool["outputSchema"]).unwrap();
        let faults: Vec<String> = output
            .iter_errors(&structured)
            .map(|error| error.to_string())
            .collect();
        assert!(faults.is_empty(), "{name}: {faults:?} in {structured}");
    }
}

/// Tool, arguments, and words of the error.
fn faults() -> Vec<(&'static str, Value, &'static str)> {
    let long = "x".repeat(70_000);
    let publish = |topic: &str| json!({"topic": topic, "payload": "x"});
    vec![
        ("mqtt_publish", json!({}), "`topic`"),
        ("mqtt_publish", json!({"topic": "actuators/a"}), "`payload`"),
        (
            "mqtt_publish",
            json!({"topic": "actuators/a", "payload": 1}),
            "`payload` must be a string (The message as text; objects, lists and numbers as JSON text); found 1",
        ),
        (
            "mqtt_publish",
            json!({"topic": "actuators/a", "payload": {"on": true}}),
            "`payload` must be a string (The message as text; objects, lists and numbers as JSON text); found an object",
        ),
        (
            "mqtt_query",
            json!({"request_topic": "commands/a/request", "response_topic": "commands/a/response", "payload": [1, 2]}),
            "`payload` must be a string (The message as text; objects, lists and numbers as JSON text); found an array",
        ),
        (
            "mqtt_publish",
            json!({"topic": "actuators/a", "payload": null}),
            "missing argument `payload`",
        ),
        (
            "mqtt_publish",
            json!({"topic": "actuators/a", "payload": "", "qos": 3}),
            "`qos`",
        ),
        (
            "mqtt_publish",
            json!({"topic": "actuators/a", "payload": "", "qos": -1}),
            "`qos`",
        ),
        (
            "mqtt_publish",
            json!({"topic": "actuators/a", "payload": "", "qos": 0.5}),
            "`qos`",
        ),
        (
            "mqtt_publish",
            json!({"topic": "actuators/a", "payload": "", "qos": "3"}),
            "`qos`",
        ),
        (
            "mqtt_publish",
            json!({"topic": "actuators/a", "payload": "", "qos": "one"}),
            "found the string \"one\"",
        ),
        (
            "mqtt_publish",
            json!({"topic": "actuators/a", "payload": "", "qos": ""}),
            "`qos`",
        ),
        (
            "mqtt_publish",
            json!({"topic": "actuators/a", "payload": "", "qos": true}),
            "`qos`",
        ),
        (
            "mqtt_publish",
            json!({"topic": "actuators/a", "payload": "", "retain": 1}),
            "`retain`",
        ),
        (
            "mqtt_publish",
            json!({"topic": "actuators/a", "payload": "", "retain": "yes"}),
            "`retain`",
        ),
        (
            "mqtt_publish",
            json!({"topic": "actuators/a", "payload": "", "retain": true}),
            "retain",
        ),
        (
            "mqtt_publish",
            json!({"topic": "actuators/a", "payload": "", "encoding": "hex"}),
            "`encoding`",
        ),
        (
            "mqtt_publish",
            json!({"topic": "actuators/a", "payload": "_w==", "encoding": "base64"}),
            "base64",
        ),
        (
            "mqtt_publish",
            json!({"topic": "actuators/a", "payload": "/w", "encoding": "base64"}),
            "base64",
        ),
        (
            "mqtt_publish",
            json!({"topic": "actuators/a", "payload": "", "timeout": 0}),
            "`timeout`",
        ),
        (
            "mqtt_publish",
            json!({"topic": "actuators/a", "payload": "", "timeout": 301}),
            "`timeout`",
        ),
        (
            "mqtt_publish",
            json!({"topic": "actuators/a", "payload": "", "timeout": "NaN"}),
            "`timeout`",
        ),
        (
            "mqtt_publish",
            json!({"topic": "actuators/a", "payload": "", "color": 1}),
            "`color`",
        ),
        (
            "mqtt_publish",
            json!({"topic": "actuators/a", "payload": "", "timeout": "5 s"}),
            "`timeout`",
        ),
        ("mqtt_publish", publish(""), "topic"),
        ("mqtt_publish", publish("actuators/\0"), "NUL"),
        ("mqtt_publish", publish("actuators/#"), "wildcard"),
        ("mqtt_publish", publish("actuators/+/x"), "wildcard"),
        (
            "mqtt_publish",
            publish(&format!("actuators/{long}")),
            "70010 bytes",
        ),
        (
            "mqtt_publish",
            publish("sensors/exampleroom1/temperature"),
            "is not writable; writable:",
        ),
        ("mqtt_publish", publish("$SYS/x"), "is not writable"),
        (
            "mqtt_publish",
            publish("status/system\n"),
            "is not writable",
        ),
        ("mqtt_subscribe", json!({"topic": "a/#/b"}), "`#`"),
        ("mqtt_subscribe", json!({"topic": "a+/b"}), "`+`"),
        ("mqtt_subscribe", json!({"topic": "$share/g"}), "shared"),
        (
            "mqtt_subscribe",
            json!({"topic": "#"}),
            "is not readable; readable:",
        ),
        (
            "mqtt_subscribe",
            json!({"topic": "sensors/#"}),
            "is not readable",
        ),
        (
            "mqtt_subscribe",
            json!({"topic": "actuators/lights"}),
            "is not readable",
        ),
        (
            "mqtt_subscribe",
            json!({"topic": "status/system", "max_messages": 0}),
            "`max_messages`",
        ),
        (
            "mqtt_subscribe",
            json!({"topic": "status/system", "max_messages": 1001}),
            "`max_messages`",
        ),
        (
            "mqtt_subscribe",
            json!({"topic": "status/system", "max_messages": 1.5}),
            "`max_messages`",
        ),
        (
            "mqtt_read",
            json!({"response_topic": "status/system"}),
            "`topic`",
        ),
        (
            "mqtt_read",
            json!({"topic": "status/system", "qos": 1}),
            "`qos`",
        ),
        ("mqtt_read", json!({"topic": ["status/system"]}), "`topic`"),
        ("mqtt_read", json!({"topic": &long}), "70000 bytes"),
        (
            "mqtt_query",
            json!({"request_topic": "commands/a/request", "payload": "ping"}),
            "`response_topic`",
        ),
        (
            "mqtt_query",
            json!({"request_topic": "commands/+/request", "response_topic": "commands/a/response", "payload": ""}),
            "wildcard",
        ),
        (
            "mqtt_query",
            json!({"request_topic": "commands/a/request", "response_topic": "commands/#", "payload": "ping"}),
            "is not readable",
        ),
        (
            "mqtt_query",
            json!({"request_topic": "status/system", "response_topic": "commands/a/response", "payload": ""}),
            "is not writable",
        ),
    ]
}

#[test]
fn wrong_arguments_are_errors_that_name_the_fault_and_the_next_call_works() {
    let mut agent = demo();
    let faults = faults();
    assert!(faults.len() > 40);
    for (tool, arguments, words) in faults {
        let shown: String = arguments.to_string().chars().take(120).collect();
        let error = agent.tool(tool, arguments).error();
        assert!(error.contains(words), "{tool} {shown}: {error}");
        assert!(error.len() <= 4096, "{tool} {shown}: {} bytes", error.len());
        let read = agent
            .tool("mqtt_read", json!({"topic": "status/system"}))
            .structured();
        assert_eq!(read["topic"], "status/system", "after {tool} {shown}");
    }
}

#[test]
fn null_is_as_not_given_and_strings_stand_for_what_they_can_only_mean() {
    let mut agent = demo();
    let publish = |more: Value| {
        let mut arguments = json!({"topic": "actuators/a", "payload": "1"});
        for (name, value) in more.as_object().unwrap() {
            arguments[name] = value.clone();
        }
        arguments
    };
    let nulls = json!({"qos": null, "retain": null, "encoding": null, "timeout": null});
    for (given, qos) in [
        (nulls, 0),
        (json!({"qos": "1", "retain": "false", "timeout": "5"}), 1),
        (
            json!({"qos": " 2 ", "retain": "False", "timeout": "0.5"}),
            2,
        ),
        (json!({"qos": "1.0", "timeout": "1e1"}), 1),
    ] {
        let published = agent
            .tool("mqtt_publish", publish(given.clone()))
            .structured();
        assert_eq!(published["qos"], qos, "{given}");
        assert_eq!(published["retain"], false, "{given}");
    }
    let retained = agent.tool("mqtt_publish", publish(json!({"retain": "TRUE"})));
    assert!(
        retained
            .error()
            .contains("may not be published with retain")
    );
    let collected = agent.tool(
        "mqtt_subscribe",
        json!({
            "topic": "sensors/+/temperature", "max_messages": "2", "timeout": "5", "qos": null,
            "include_retained": "true",
        }),
    );
    assert_eq!(collected.structured()["messages_received"], 2);
    let read = agent.tool(
        "mqtt_read",
        json!({"topic": "status/system", "timeout": null, "include_retained": null}),
    );
    assert_eq!(read.structured()["topic"], "status/system");
    let asked = agent.tool(
        "mqtt_query",
        json!({
            "request_topic": "commands/exampleroom1/request", "response_topic": "commands/exampleroom1/response",
            "payload": "ping", "timeout": "5", "qos": "1", "encoding": null,
        }),
    );
    assert_eq!(
        asked.structured()["topic"],
        "commands/exampleroom1/response"
    );
}

#[test]
fn a_whole_number_may_be_written_with_a_point() {
    let mut agent = demo();
    agent.line(
        r#"{"jsonrpc":"2.0","id":"f","method":"tools/call","params":{"name":"mqtt_publish","arguments":{"topic":"actuators/a","payload":"","qos":1.0}}}"#,
    );
    let answer = agent
        .others
        .recv_timeout(crate::common::waiting::PATIENCE)
        .unwrap();
    assert_eq!(
        answer["result"]["structuredContent"]["outcome"], "delivered",
        "{answer}"
    );
}

#[test]
fn a_payload_of_fifty_megabytes_is_refused_and_memory_stays_small() {
    let mut agent = demo();
    agent
        .tool("mqtt_read", json!({"topic": "status/system"}))
        .structured();
    let head = r#"{"jsonrpc":"2.0","id":"big","method":"tools/call","params":{"name":"mqtt_publish","arguments":{"topic":"actuators/a","payload":""#;
    agent.bytes(head.as_bytes());
    let part = vec![b'x'; 1024 * 1024];
    for _ in 0..50 {
        agent.bytes(&part);
    }
    agent.line("\"}}}");
    let refused = agent
        .others
        .recv_timeout(crate::common::waiting::PATIENCE)
        .unwrap();
    assert_eq!(refused["error"]["code"], -32600, "{refused}");
    assert!(
        refused["error"]["message"]
            .as_str()
            .unwrap()
            .contains("4194304 bytes"),
        "{refused}"
    );
    agent
        .tool("mqtt_read", json!({"topic": "status/system"}))
        .structured();
    // The longest line that is taken is 4 MiB; the rest is room for an unoptimised build.
    let kb = status_kb(agent.pid(), "VmRSS:");
    assert!(kb < 32 * 1024, "{kb} kB");
}

#[test]
fn resources_tell_what_is_allowed_and_unknown_ones_are_errors() {
    let mut agent = demo();
    let listed = agent.request("resources/list", json!({})).wait();
    let uris: Vec<&str> = listed["result"]["resources"]
        .as_array()
        .unwrap()
        .iter()
        .map(|resource| resource["uri"].as_str().unwrap())
        .collect();
    assert_eq!(
        uris,
        ["mcpmqtt://topics/allowed", "mcpmqtt://topics/examples"]
    );
    for (uri, member) in uris.iter().zip(["topics", "examples"]) {
        let read = agent.request("resources/read", json!({"uri": uri})).wait();
        let contents = &read["result"]["contents"][0];
        assert_eq!(contents["mimeType"], "application/json");
        let text: Value = serde_json::from_str(contents["text"].as_str().unwrap()).unwrap();
        let entries = text[member].as_array().unwrap();
        assert_eq!(entries[0]["pattern"], "sensors/+/temperature");
        assert_eq!(entries[0]["permissions"], json!(["read"]));
        assert!(entries.len() >= 6);
    }
    let unknown = agent
        .request("resources/read", json!({"uri": "mcpmqtt://nope"}))
        .wait();
    assert_eq!(unknown["error"]["code"], -32002);
    assert_eq!(unknown["error"]["data"]["uri"], "mcpmqtt://nope");
    let tool = agent
        .request("tools/call", json!({"name": "mqtt_nope", "arguments": {}}))
        .wait();
    assert_eq!(tool["error"]["code"], -32602);
    let shape = agent
        .request("tools/call", json!({"name": "mqtt_read", "arguments": []}))
        .wait();
    assert_eq!(shape["error"]["code"], -32602);
}

#[test]
fn the_program_ends_well_when_its_input_ends_and_when_told_to() {
    let mut agent = demo();
    agent
        .tool("mqtt_read", json!({"topic": "status/system"}))
        .structured();
    let (code, log) = agent.finish();
    assert_eq!(code, Some(0), "{log}");
    for signal in ["TERM", "INT", "HUP"] {
        let mut agent = demo();
        let waiting = agent.listening(
            "mqtt_subscribe",
            json!({"topic": "status/#", "include_retained": false}),
        );
        let pid = agent.pid().to_string();
        assert!(
            std::process::Command::new("kill")
                .args(["-s", signal, &pid])
                .status()
                .unwrap()
                .success()
        );
        let (code, log) = agent.wait();
        assert_eq!(code, Some(0), "{signal}: {log}");
        drop(waiting);
    }
}
