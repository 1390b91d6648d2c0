//! What a catalog may publish, and how its arguments are judged.

use mcpmqtt::mcp::schema::Schema;
use mcpmqtt::mcp::{CatalogError, Engine};
use serde_json::{Value, json};

use crate::common::messages::modern;
use crate::peer::Peer;

fn object(properties: Value) -> Value {
    json!({"type": "object", "properties": properties, "additionalProperties": false})
}

fn check(schema: &Value, arguments: Value) -> Result<Value, String> {
    let Value::Object(arguments) = arguments else {
        panic!("no object")
    };
    let schema = Schema::compile(schema).unwrap();
    schema
        .check(arguments, "the_tool", &[], &["value"])
        .map(Value::Object)
}

#[test]
fn a_keyword_that_would_go_unchecked_does_not_compile() {
    let table = [
        (json!(true), "a schema must be an object"),
        (json!({}), "`type` is missing"),
        (
            json!({"type": "array"}),
            "keyword `type` is not implemented with \"array\"",
        ),
        (
            json!({"type": "object", "minProperties": 1}),
            "keyword `minProperties`",
        ),
        (
            json!({"type": "object", "additionalProperties": {}}),
            "keyword `additionalProperties`",
        ),
        (
            json!({"type": "object", "required": ["x"]}),
            "required `x` is no property",
        ),
        (
            object(json!({"x": true})),
            "`properties.x`: a schema must be an object",
        ),
        (
            object(json!({"x": {}})),
            "`properties.x`: `type` is missing",
        ),
        (
            object(json!({"x": {"type": ["string", "null"]}})),
            "`type` is missing or not",
        ),
        (
            object(json!({"x": {"type": "string", "pattern": "a"}})),
            "keyword `pattern`",
        ),
        (
            object(json!({"x": {"type": "string", "minimum": 1}})),
            "keyword `minimum`",
        ),
        (
            object(json!({"x": {"type": "string", "enum": "a"}})),
            "keyword `enum`",
        ),
        (
            object(json!({"x": {"type": "integer", "maximum": "9"}})),
            "keyword `maximum`",
        ),
        (
            object(json!({"x": {"type": "number", "multipleOf": 2}})),
            "keyword `multipleOf`",
        ),
        (
            object(json!({"x": {"type": "boolean", "enum": [true]}})),
            "keyword `enum`",
        ),
        (object(json!({"x": {"$ref": "#/y"}})), "`type` is missing"),
        (
            object(json!({"x": {"type": "integer", "default": "1"}})),
            "`default` must be an integer",
        ),
        (
            object(json!({"x": {"type": "object", "properties": {"y": {"type": "null"}}}})),
            "`properties.x.properties.y`: `type` is missing or not implemented",
        ),
    ];
    for (schema, expected) in table {
        let why = Schema::compile(&schema).unwrap_err().to_string();
        assert!(why.contains(expected), "{schema}: {why}");
    }
}

#[test]
fn defaults_are_filled_in_and_do_not_replace_what_was_given() {
    let schema = object(json!({
        "a": {"type": "integer", "default": 3},
        "b": {
            "type": "object",
            "properties": {"c": {"type": "boolean", "default": false}},
            "additionalProperties": true,
        },
    }));
    assert_eq!(check(&schema, json!({})).unwrap(), json!({"a": 3}));
    assert_eq!(
        check(&schema, json!({"a": 4, "b": {"free": 1}})).unwrap(),
        json!({"a": 4, "b": {"free": 1, "c": false}})
    );
}

#[test]
fn integers_are_integers_however_they_are_written() {
    let schema = object(json!({"n": {"type": "integer"}, "x": {"type": "number"}}));
    let given = check(&schema, json!({"n": -2.0, "x": 2.0})).unwrap();
    assert_eq!(given["n"].as_i64(), Some(-2));
    assert!(given["x"].is_f64());
    assert_eq!(
        check(&schema, json!({"n": u64::MAX})).unwrap()["n"],
        u64::MAX
    );
    assert_eq!(check(&schema, json!({"n": "-3"})).unwrap()["n"], -3);
    assert_eq!(check(&schema, json!({"x": "0.5"})).unwrap()["x"], 0.5);
    for wrong in [json!(0.5), json!(1e300), json!("1.5"), json!(true)] {
        assert!(check(&schema, json!({"n": wrong})).is_err());
    }
}

#[test]
fn a_list_holds_items_of_one_rule_and_one_item_needs_no_brackets() {
    let schema = object(json!({
        "names": {"type": "array", "items": {"type": "string"}, "maxItems": 2},
        "counts": {"type": "array", "items": {"type": "integer", "minimum": 1}, "default": [1]},
    }));
    let table = [
        (json!({}), Ok(json!({"counts": [1]}))),
        (
            json!({"names": ["a", "b"], "counts": [2.0, "3"]}),
            Ok(json!({"names": ["a", "b"], "counts": [2, 3]})),
        ),
        (
            json!({"names": "a", "counts": []}),
            Ok(json!({"names": ["a"], "counts": []})),
        ),
        (
            json!({"names": ["a", "b", "c"]}),
            Err("`names` must be an array of at most 2, each item a string; found an array"),
        ),
        (
            json!({"names": ["a", 1]}),
            Err("`names` must be an array of at most 2"),
        ),
        (
            json!({"names": {"a": 1}}),
            Err("`names` must be an array of at most 2, each item a string; found an object"),
        ),
        (
            json!({"counts": [0]}),
            Err("`counts` must be an array, each item an integer of at least 1"),
        ),
    ];
    for (given, expected) in table {
        let found = check(&schema, given.clone());
        match expected {
            Ok(arguments) => assert_eq!(found.unwrap(), arguments, "{given}"),
            Err(words) => {
                let why = found.unwrap_err();
                assert!(why.contains(words), "{given}: {why}");
            }
        }
    }
    for (wrong, expected) in [
        (
            json!({"type": "array"}),
            "`properties.x`: `items` is missing",
        ),
        (
            json!({"type": "array", "items": {"type": "object"}}),
            "`type` is missing or not implemented",
        ),
        (
            json!({"type": "array", "items": {"type": "string"}, "minItems": 1}),
            "keyword `minItems`",
        ),
    ] {
        let why = Schema::compile(&object(json!({"x": wrong}))).unwrap_err();
        assert!(why.to_string().contains(expected), "{why}");
    }
}

/// Several clients write a nested object as a string.
#[test]
fn an_object_may_be_written_in_a_string_and_a_scalar_where_it_is_told() {
    let when = json!({"type": "object", "properties": {
        "value": {"type": "string"}, "other": {"type": "string"}, "hold_s": {"type": "number"},
    }});
    let schema = object(json!({"when": when}));
    let check = |when: Value| check(&schema, json!({"when": when}));
    let written = check(json!(r#"{"value": 1.50, "hold_s": 2}"#)).unwrap();
    assert_eq!(written["when"], json!({"value": "1.5", "hold_s": 2}));
    let scalars = [
        (json!(80), "80"),
        (json!(true), "true"),
        (json!("on"), "on"),
    ];
    for (value, text) in scalars {
        assert_eq!(
            check(json!({"value": value})).unwrap()["when"]["value"],
            text
        );
    }
    assert!(check(json!({"other": 1})).is_err(), "only where it is told");
    assert!(check(json!({"value": [1]})).is_err());
    for no_object in ["[1]", "{", "1", ""] {
        let why = check(json!(no_object)).unwrap_err();
        assert!(why.contains("`when` must be an object"), "{why}");
    }
}

#[test]
fn lengths_count_characters_not_bytes() {
    let schema = object(json!({"t": {"type": "string", "minLength": 2, "maxLength": 3}}));
    for (text, good) in [
        ("", false),
        ("é", false),
        ("éé", true),
        ("🦀🦀🦀", true),
        ("abcd", false),
    ] {
        assert_eq!(check(&schema, json!({"t": text})).is_ok(), good, "{text}");
    }
}

#[test]
fn many_faults_and_many_names_are_told_in_few_words() {
    let properties: serde_json::Map<String, Value> = (0..40)
        .map(|n| (format!("p{n}"), json!({"type": "boolean"})))
        .collect();
    let arguments: serde_json::Map<String, Value> =
        (0..40).map(|n| (format!("p{n}"), n.into())).collect();
    let schema = object(Value::Object(properties));
    let why = check(&schema, Value::Object(arguments)).unwrap_err();
    assert!(why.ends_with("; and 32 more"), "{why}");
    let why = check(&schema, json!({"x": 1})).unwrap_err();
    assert!(why.contains("`p15` and 24 more"), "{why}");
}

#[test]
fn a_catalog_with_a_mistake_is_refused_at_the_start() {
    let info = || mcpmqtt::mcp::catalog::ServerInfo {
        name: "x".into(),
        title: String::new(),
        version: "0".into(),
        instructions: "".into(),
    };
    let broken = |change: fn(&mut mcpmqtt::mcp::catalog::Catalog)| {
        let (_gate, gate) = async_channel::unbounded();
        let mut catalog = crate::common::engine::catalog(gate);
        change(&mut catalog);
        Engine::new(catalog, info()).unwrap_err()
    };
    let twice = broken(|catalog| catalog.tools[1].name = "echo".into());
    assert!(matches!(twice, CatalogError::Twice(name) if name == "echo"));
    let named = broken(|catalog| catalog.tools[1].name = "a b".into());
    assert_eq!(named.to_string(), "`a b` is no name for a tool");
    let schema = broken(|catalog| catalog.tools[1].input_schema = json!({"type": "array"}).into());
    assert!(
        schema
            .to_string()
            .starts_with("input schema of `wait`: keyword `type`")
    );
}

#[test]
fn ids_come_back_digit_for_digit() {
    let peer = Peer::legacy("2025-11-25");
    for id in [
        "0",
        "-1",
        "18446744073709551616",
        "1180591620717411303424",
        r#""""#,
        r#""1""#,
    ] {
        let line = format!(r#"{{"jsonrpc":"2.0","id":{id},"method":"ping"}}"#);
        let mcpmqtt::mcp::Received::Answer(reply) = peer.receive(line.as_bytes()) else {
            panic!("no answer")
        };
        let expected = format!(r#"{{"jsonrpc":"2.0","id":{id},"result":{{}}}}"#);
        assert_eq!(String::from_utf8(reply.text).unwrap(), expected);
    }
}

#[test]
fn an_id_in_flight_compares_by_meaning() {
    let peer = Peer::new();
    let call = modern("A", "tools/call", json!({"name": "wait"}));
    let held = peer.receive(call.to_string().as_bytes());
    let again = br#"{"jsonrpc":"2.0","id":"\u0041","method":"ping"}"#;
    assert_eq!(peer.answer(again).unwrap()["error"]["code"], -32600);
    assert_eq!(peer.session.in_flight(), 1);
    drop(held);
    assert_eq!(peer.session.in_flight(), 0);
    assert_eq!(peer.answer(again).unwrap()["result"], json!({}));
}

#[test]
fn what_a_handler_said_no_to_is_told_apart_from_what_none_saw() {
    let peer = Peer::new();
    let table = [
        (modern(1, "no/such", json!({})), Some(-32601)),
        (modern(1, "tools/call", json!({"name": "nope"})), None),
        (modern(1, "resources/read", json!({"uri": "nope:"})), None),
        (
            json!({"jsonrpc": "2.0", "id": 1, "method": "tools/list"}),
            Some(-32600),
        ),
    ];
    for (request, code) in table {
        let mcpmqtt::mcp::Received::Answer(reply) = peer.receive(request.to_string().as_bytes())
        else {
            panic!("no answer to {request}")
        };
        assert_eq!(reply.refused, code, "{request}");
    }
}

/// Flips, drops, doubles and inserts bytes of valid messages. The seed is fixed: a failure repeats.
#[test]
fn no_mutation_of_a_valid_message_upsets_the_engine() {
    let seeds = [
        modern(
            1,
            "tools/call",
            json!({"name": "echo", "arguments": {"text": "é\u{1F980}\n"}}),
        ),
        modern("a", "tools/list", json!({"_meta": {"progressToken": 7}})),
        json!([{"jsonrpc": "2.0", "id": 2, "method": "ping"}, {"jsonrpc": "2.0", "method": "x"}]),
        crate::common::messages::request(
            3,
            "initialize",
            crate::common::messages::initialize("2025-03-26"),
        ),
        json!({"jsonrpc": "2.0", "method": "notifications/cancelled", "params": {"requestId": 1}}),
    ];
    let peer = Peer::legacy("2025-03-26");
    let mut random = fastrand::Rng::with_seed(20_260_728);
    let pieces: [&[u8]; 8] = [
        b"\"",
        b"{",
        b"}",
        b"[",
        b"\\ud800",
        b"null",
        b"\xff",
        b"\"id\":1,",
    ];
    let mut answers = 0;
    for _ in 0..20_000 {
        let mut bytes = seeds[random.usize(..seeds.len())].to_string().into_bytes();
        for _ in 0..random.usize(1..6) {
            let at = random.usize(..bytes.len());
            match random.u8(..4) {
                0 => bytes[at] = random.u8(..),
                1 => drop(bytes.remove(at)),
                2 => bytes.insert(at, bytes[at]),
                _ => drop(bytes.splice(at..at, pieces[random.usize(..pieces.len())].to_vec())),
            }
        }
        // A mutation may wait for nothing here: no seed calls `wait`.
        if let Some(answer) = peer.answer(&bytes) {
            answers += 1;
            for one in answer.as_array().unwrap_or(&vec![answer.clone()]) {
                assert_eq!(one["jsonrpc"], "2.0");
                assert!(
                    one.get("result").is_some() != one.get("error").is_some(),
                    "{one}"
                );
            }
        }
    }
    assert!(answers > 10_000, "{answers} answers");
    assert_eq!(peer.session.in_flight(), 0);
}

#[test]
fn a_catalog_that_is_logged_names_what_is_in_it() {
    let (_gate, gate) = async_channel::unbounded();
    let catalog = crate::common::engine::catalog(gate);
    let shown = format!("{catalog:?}");
    for words in [
        "Tool(echo)",
        "Resource(test://text)",
        "Template(test://item/{id})",
        "Prompt(greet)",
    ] {
        assert!(shown.contains(words), "no {words} in {shown}");
    }
}

/// Some parsers of event streams take these for the end of a line, and wait for the rest of a message for ever. The
/// test's client looks at the bytes.
#[test]
fn characters_that_end_a_line_for_some_readers_come_through_escaped() {
    let odd = "a\u{85}b\u{2028}c\u{2029}é";
    let peer = Peer::new();
    let call = |name: &str, arguments: Value| {
        let params = json!({"name": name, "arguments": arguments});
        let answer = peer.ask(&modern(odd, "tools/call", params));
        assert_eq!(answer["id"], odd);
        answer
    };
    let echoed = call("echo", json!({"text": odd}));
    assert_eq!(echoed["result"]["structuredContent"]["text"], odd);
    for arguments in [
        json!({"text": odd, "mode": odd}),
        json!({"text": odd, odd: 1}),
    ] {
        assert_eq!(call("echo", arguments)["result"]["isError"], true);
    }
    assert_eq!(call(odd, json!({}))["error"]["code"], -32602);
}
