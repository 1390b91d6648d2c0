//! Both eras, every version: shapes, negotiation, errors.

use mcpmqtt::mcp::Received;
use serde_json::{Value, json};

use crate::common::messages::{initialize, modern, request};
use crate::common::schema::{VERSIONS, check_answer, check_notification};
use crate::peer::Peer;

type Write = fn(u64, &str, Value) -> Value;

/// A client of that version and its way to write a request.
fn peer(version: &str) -> (Peer, Write) {
    if version == "2026-07-28" {
        return (Peer::new(), |id, method, params| modern(id, method, params));
    }
    (Peer::legacy(version), |id, method, params| {
        request(id, method, params)
    })
}

/// One of everything that is answered in every version.
fn conversation() -> Vec<(&'static str, Value)> {
    let call = |name: &str, arguments: Value| json!({"name": name, "arguments": arguments});
    vec![
        ("tools/list", json!({})),
        ("resources/list", json!({})),
        ("resources/templates/list", json!({})),
        ("prompts/list", json!({})),
        (
            "tools/call",
            call("echo", json!({"text": "hi \u{1F980} \u{2028} \"quoted\""})),
        ),
        ("tools/call", call("echo", json!({"text": 3, "nope": 1}))),
        ("tools/call", call("fail", json!({}))),
        ("tools/call", call("blocks", json!({}))),
        ("tools/call", json!({"name": "fail"})),
        ("tools/call", json!({"name": "fail", "arguments": null})),
        ("tools/call", call("nope", json!({}))),
        ("resources/read", json!({"uri": "test://text"})),
        ("resources/read", json!({"uri": "test://bytes"})),
        ("resources/read", json!({"uri": "test://broken"})),
        ("resources/read", json!({"uri": "test://item/7"})),
        ("resources/read", json!({"uri": "test://item/none"})),
        ("resources/read", json!({"uri": "test://nope"})),
        (
            "prompts/get",
            json!({"name": "greet", "arguments": {"whom": "you"}}),
        ),
        ("prompts/get", json!({"name": "greet"})),
        ("tools/list", json!({"cursor": ""})),
        ("no/such/method", json!({})),
    ]
}

#[test]
fn every_answer_obeys_the_official_schema_of_its_version() {
    for version in VERSIONS {
        let (peer, request) = peer(version);
        for (id, (method, params)) in conversation().into_iter().enumerate() {
            let answer = peer.ask(&request(id as u64, method, params));
            assert_eq!(answer["id"], id, "{version} {method}");
            check_answer(version, method, &answer);
        }
    }
}

#[test]
fn a_result_has_no_member_its_version_does_not_know() {
    let echo = json!({"name": "echo", "arguments": {"text": "x"}});
    for version in VERSIONS {
        let (peer, request) = peer(version);
        let list = peer.ask(&request(1, "tools/list", json!({})));
        let tool = list["result"]["tools"][0].as_object().unwrap();
        let call = peer.ask(&request(2, "tools/call", echo.clone()));
        let call = call["result"].as_object().unwrap();
        for (member, since) in [("annotations", 1), ("title", 2), ("outputSchema", 2)] {
            let known = version >= VERSIONS[since];
            assert_eq!(tool.contains_key(member), known, "{version} {member}");
        }
        assert_eq!(
            call.contains_key("structuredContent"),
            version >= VERSIONS[2]
        );
        for member in ["resultType", "_meta"] {
            assert_eq!(
                call.contains_key(member),
                version == VERSIONS[4],
                "{version} {member}"
            );
        }
        assert_eq!(
            call["content"],
            json!([{"type": "text", "text": r#"{"text":"x","times":1}"#}])
        );
        assert_eq!(call["isError"], false);
    }
}

#[test]
fn discover_needs_nothing_before_it() {
    let answer = Peer::new().ask(&modern("first", "server/discover", json!({})));
    check_answer("2026-07-28", "server/discover", &answer);
    let result = &answer["result"];
    assert_eq!(result["supportedVersions"], json!(["2026-07-28"]));
    assert_eq!(
        result["capabilities"],
        json!({"tools": {}, "resources": {}, "prompts": {}})
    );
    assert_eq!(result["resultType"], "complete");
    assert_eq!(result["instructions"], "Call `echo`.");
    let identity = &result["_meta"]["io.modelcontextprotocol/serverInfo"];
    assert_eq!(identity["version"], "1.2.3");
}

#[test]
fn initialize_agrees_on_a_version_whatever_is_asked() {
    let table = [
        ("2024-11-05", "2024-11-05"),
        ("2025-03-26", "2025-03-26"),
        ("2025-06-18", "2025-06-18"),
        ("2025-11-25", "2025-11-25"),
        ("2026-07-28", "2025-11-25"),
        ("bogus", "2025-11-25"),
        ("", "2025-11-25"),
    ];
    for (asked, agreed) in table {
        let answer = Peer::new().ask(&request(0, "initialize", initialize(asked)));
        check_answer(agreed, "initialize", &answer);
        assert_eq!(
            answer["result"]["protocolVersion"], agreed,
            "asked for {asked:?}"
        );
        assert!(answer["result"].get("resultType").is_none());
    }
}

#[test]
fn initialize_may_come_again_after_a_discover() {
    let peer = Peer::new();
    peer.ask(&modern(1, "server/discover", json!({})));
    for version in ["2025-06-18", "2025-11-25"] {
        let answer = peer.ask(&request(2, "initialize", initialize(version)));
        assert_eq!(answer["result"]["protocolVersion"], version);
    }
    assert!(
        peer.answer(br#"{"jsonrpc":"2.0","method":"notifications/initialized"}"#)
            .is_none()
    );
    assert!(peer.ask(&request(3, "tools/list", json!({})))["result"]["tools"].is_array());
    // And the modern era still works beside it.
    let modern = peer.ask(&modern(4, "tools/list", json!({})));
    assert_eq!(modern["result"]["resultType"], "complete");
}

#[test]
fn before_initialize_only_ping_is_served_and_nothing_ends() {
    let peer = Peer::new();
    assert_eq!(
        peer.ask(&request(1, "ping", json!({})))["result"],
        json!({})
    );
    let early = peer.ask(&request(2, "tools/list", json!({})));
    assert_eq!(early["error"]["code"], -32600);
    let unknown = peer.ask(&request(3, "no/such", json!({})));
    assert_eq!(unknown["error"]["code"], -32601);
    peer.ask(&request(4, "initialize", initialize("2025-06-18")));
    assert!(peer.ask(&request(5, "tools/list", json!({})))["result"].is_object());
}

#[test]
fn removed_methods_are_unknown_to_the_stateless_era() {
    let peer = Peer::legacy("2025-11-25");
    let removed = [
        "initialize",
        "ping",
        "logging/setLevel",
        "resources/subscribe",
        "resources/unsubscribe",
        "tasks/list",
        "tasks/result",
    ];
    for method in removed {
        let answer = peer.ask(&modern(1, method, json!({})));
        assert_eq!(answer["error"]["code"], -32601, "{method}");
    }
    let discover = peer.ask(&request(1, "server/discover", json!({})));
    assert_eq!(discover["error"]["code"], -32602, "`_meta` is missing");
}

#[test]
fn a_version_that_is_not_served_is_refused_with_the_ones_that_are() {
    for requested in ["2025-11-25", "2030-01-01", ""] {
        let mut ask = modern(1, "tools/list", json!({}));
        ask["params"]["_meta"]["io.modelcontextprotocol/protocolVersion"] = requested.into();
        let answer = Peer::new().ask(&ask);
        assert_eq!(answer["error"]["code"], -32022);
        let data = json!({"supported": ["2026-07-28"], "requested": requested});
        assert_eq!(answer["error"]["data"], data);
        crate::common::schema::check("2026-07-28", "UnsupportedProtocolVersionError", &answer);
    }
}

#[test]
fn a_missing_resource_has_the_code_of_its_version() {
    for version in VERSIONS {
        let (peer, request) = peer(version);
        for uri in ["test://nope", "test://item/none"] {
            let answer = peer.ask(&request(1, "resources/read", json!({"uri": uri})));
            let code = if version == "2026-07-28" {
                -32602
            } else {
                -32002
            };
            assert_eq!(answer["error"]["code"], code, "{version}");
            assert_eq!(answer["error"]["data"], json!({"uri": uri}));
        }
    }
}

#[test]
fn progress_rises_and_carries_the_token_as_it_came() {
    for version in VERSIONS {
        for token in [json!(0), json!("0"), json!(9_007_199_254_740_993_u64)] {
            let (peer, request) = peer(version);
            let params = json!({"name": "count", "_meta": {"progressToken": token}});
            let answer = peer.ask(&request(1, "tools/call", params));
            check_answer(version, "tools/call", &answer);
            let notes = peer.notes.borrow();
            assert_eq!(
                notes.len(),
                3,
                "the report that did not rise is dropped: {notes:?}"
            );
            for (note, done) in notes.iter().zip([1.0, 2.0, 3.0]) {
                check_notification(version, note);
                assert_eq!(note["params"]["progress"], done);
                assert_eq!(note["params"]["progressToken"], token);
                let message = note["params"].get("message").is_some();
                assert_eq!(message, version > "2024-11-05");
            }
        }
    }
}

#[test]
fn without_a_token_there_is_no_progress() {
    let peer = Peer::legacy("2025-11-25");
    peer.ask(&request(1, "tools/call", json!({"name": "count"})));
    assert!(peer.notes.borrow().is_empty());
}

/// Where there is no room for a batch, each of its requests is told so; what needed no room is answered as ever.
#[test]
fn a_batch_without_room_has_each_of_its_requests_answered() {
    let peer = Peer::legacy("2025-03-26");
    let echo = json!({"name": "echo", "arguments": {"text": "x"}});
    let batch = json!([
        request(1, "tools/call", echo.clone()),
        request(2, "no/such", json!({})),
        {"jsonrpc": "2.0", "method": "notifications/none"},
        request(3, "ping", json!({})),
        request(4, "tools/call", echo),
    ]);
    let Received::Call(call) = peer.receive(batch.to_string().as_bytes()) else {
        panic!("calls are to be run");
    };
    assert_eq!(call.requests(), 4);
    let reply = call.refuse("there is no room");
    let answers: Vec<Value> = serde_json::from_slice(&reply.text).unwrap();
    assert_eq!(answers.len(), 4, "{answers:?}");
    for answer in &answers {
        let error = &answer["error"];
        match answer["id"].as_u64().unwrap() {
            1 | 4 => assert_eq!(
                (&error["code"], &error["message"]),
                (&json!(-32603), &json!("there is no room"))
            ),
            2 => assert_eq!(error["code"], -32601),
            3 => assert_eq!(answer["result"], json!({})),
            id => panic!("{id}"),
        }
    }
    // Their ids are taken until the answer is written.
    assert_eq!(peer.session.in_flight(), 2);
    drop(reply);
    assert_eq!(peer.session.in_flight(), 0);
}
