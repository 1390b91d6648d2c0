//! MCP over HTTP: both eras, their statuses, sessions, streams, and what a client's leaving means.

use std::time::Duration;

use mcpmqtt::http::Limits;
use serde_json::{Value, json};

use crate::common::http_client::{Answer, Client};
use crate::common::http_server::{Server, Wanted};
use crate::common::messages::{initialize, modern, request};
use crate::common::requests::{
    KEY, initialize_post, post, session_delete, session_get, session_post,
};
use crate::common::schema::{VERSIONS, check, check_answer, check_notification};

/// A POST of a request of 2026-07-28 with the fields that repeat it.
fn stateless(message: &Value, more: &str) -> Vec<u8> {
    let method = message["method"].as_str().unwrap();
    let subject = ["name", "uri"]
        .iter()
        .find_map(|key| message["params"][key].as_str());
    let name = subject.map(|name| format!("mcp-name: {name}\r\n"));
    let fields = format!(
        "mcp-protocol-version: 2026-07-28\r\nmcp-method: {method}\r\n{}{more}",
        name.unwrap_or_default()
    );
    post(&fields, &message.to_string())
}

fn in_session(id: &str, message: &Value) -> Vec<u8> {
    session_post(KEY, id, message)
}

fn get(id: &str) -> Vec<u8> {
    session_get(KEY, id, "")
}

fn delete(id: &str) -> Vec<u8> {
    session_delete(KEY, id)
}

fn call(id: impl Into<Value>, tool: &str) -> Value {
    modern(id, "tools/call", json!({"name": tool, "arguments": {}}))
}

/// Begins a session.
fn begin(client: &mut Client, version: &str) -> String {
    client.send(&initialize_post(KEY, version));
    let answer = client.answer();
    assert_eq!(answer.status, 200, "{}", answer.head);
    answer.field("mcp-session-id").unwrap().to_owned()
}

/// Nothing comes but the id to resume by.
fn assert_ends(stream: &mut Client) {
    assert!(stream.frame().unwrap().message.is_none());
    assert!(stream.frame().is_none());
}

fn assert_refused(answer: &Answer, status: u16, code: i64) {
    assert_eq!(answer.status, status, "{:?}", answer.json());
    assert_eq!(answer.json()["error"]["code"], code);
}

#[test]
fn every_method_of_the_stateless_era_is_answered_by_its_schema() {
    let server = Server::start();
    let mut client = server.connect();
    for (method, params) in [
        ("server/discover", json!({})),
        ("tools/list", json!({})),
        (
            "tools/call",
            json!({"name": "echo", "arguments": {"text": "hi"}}),
        ),
        ("resources/list", json!({})),
        ("resources/templates/list", json!({})),
        ("resources/read", json!({"uri": "test://text"})),
        ("prompts/list", json!({})),
        (
            "prompts/get",
            json!({"name": "greet", "arguments": {"whom": "you"}}),
        ),
    ] {
        client.send(&stateless(&modern("a", method, params), ""));
        let answer = client.answer();
        assert_eq!(answer.status, 200, "{method}");
        assert_eq!(answer.field("content-type"), Some("application/json"));
        assert_eq!(answer.field("mcp-session-id"), None);
        check_answer("2026-07-28", method, &answer.json());
    }
}

/// MCP 2026-07-28 basic (`_meta`) and basic/transports/streamable-http.
#[test]
fn params_that_are_no_object_are_a_malformed_envelope_in_the_stateless_era_and_an_error_in_a_session()
 {
    let server = Server::start();
    let mut client = server.connect();
    let id = begin(&mut client, "2025-11-25");
    for params in [json!([1]), json!("x"), json!(7), json!(true)] {
        let message = json!({"jsonrpc": "2.0", "id": 1, "method": "tools/list", "params": params});
        let fields = "mcp-protocol-version: 2026-07-28\r\nmcp-method: tools/list\r\n";
        client.send(&post(fields, &message.to_string()));
        let answer = client.answer();
        assert_refused(&answer, 400, -32602);
        assert_eq!(answer.json()["id"], 1, "{params}");
        client.send(&in_session(&id, &message));
        assert_refused(&client.answer(), 200, -32602);
    }
}

#[test]
fn every_version_with_a_handshake_has_a_session() {
    let server = Server::start();
    let older: Vec<_> = VERSIONS.iter().filter(|it| **it < "2026").collect();
    assert_eq!(older.len(), 4);
    for version in older {
        let mut client = server.connect();
        let id = begin(&mut client, version);
        assert!(id.len() >= 22 && id.bytes().all(|byte| (0x21..=0x7e).contains(&byte)));
        let ready = json!({"jsonrpc": "2.0", "method": "notifications/initialized"});
        client.send(&in_session(&id, &ready));
        let answer = client.answer();
        assert_eq!((answer.status, answer.body.len()), (202, 0));
        for (method, params) in [
            ("ping", json!({})),
            ("tools/list", json!({})),
            (
                "tools/call",
                json!({"name": "echo", "arguments": {"text": "hi"}}),
            ),
        ] {
            client.send(&in_session(&id, &request(1, method, params)));
            let answer = client.answer();
            assert_eq!(answer.status, 200, "{version} {method}");
            check_answer(version, method, &answer.json());
        }
        client.send(&delete(&id));
        assert_eq!(client.answer().status, 200);
        client.send(&in_session(&id, &request(2, "ping", json!({}))));
        assert_eq!(client.answer().status, 404);
    }
}

#[test]
fn a_session_that_was_never_begun_is_asked_for() {
    let server = Server::start();
    let message = request(1, "tools/list", json!({}));
    let answer = server.ask(&post("", &message.to_string()));
    assert_eq!(answer.status, 400);
    check("2025-11-25", "JSONRPCErrorResponse", &answer.json());
    assert_eq!(server.ask(&in_session("nonsense", &message)).status, 404);
    assert_eq!(server.ask(&get("nonsense")).status, 404);
    assert_eq!(server.ask(&delete("nonsense")).status, 404);
}

#[test]
fn a_second_initialize_needs_a_session_of_its_own() {
    let server = Server::start();
    let mut client = server.connect();
    let first = begin(&mut client, "2025-06-18");
    let second = begin(&mut client, "2025-06-18");
    assert_ne!(first, second);
    client.send(&in_session(
        &first,
        &request(1, "initialize", initialize("2025-06-18")),
    ));
    assert_refused(&client.answer(), 400, -32600);
}

#[test]
fn initialize_with_the_stateless_version_is_offered_the_newest_with_a_handshake() {
    let server = Server::start();
    let hello = request(0, "initialize", initialize("2026-07-28"));
    let answer = server.ask(&post("", &hello.to_string()));
    assert_eq!(answer.json()["result"]["protocolVersion"], "2025-11-25");
}

#[test]
fn a_version_in_the_header_of_a_session_has_to_be_one_that_is_spoken() {
    let server = Server::start();
    let mut client = server.connect();
    let id = begin(&mut client, "2025-11-25");
    let ping = request(1, "ping", json!({})).to_string();
    for (version, status) in [
        ("2025-11-25", 200),
        ("2025-03-26", 200),
        ("1999-01-01", 400),
    ] {
        let fields = format!("mcp-session-id: {id}\r\nmcp-protocol-version: {version}\r\n");
        client.send(&post(&fields, &ping));
        assert_eq!(client.answer().status, status, "{version}");
    }
}

#[test]
fn only_2025_03_26_has_batches() {
    let server = Server::start();
    for (version, status) in [("2025-03-26", 200), ("2025-06-18", 400)] {
        let mut client = server.connect();
        let id = begin(&mut client, version);
        let batch = json!([request(1, "ping", json!({})), request(2, "ping", json!({}))]);
        client.send(&in_session(&id, &batch));
        let answer = client.answer();
        assert_eq!(answer.status, status, "{version}");
        if status == 200 {
            assert_eq!(answer.json().as_array().unwrap().len(), 2);
        }
        let notes = json!([{"jsonrpc": "2.0", "method": "x"}]);
        client.send(&in_session(&id, &notes));
        let answer = client.answer();
        assert_eq!(answer.status == 202, version == "2025-03-26");
    }
    let batch = json!([modern(1, "tools/list", json!({}))]).to_string();
    let answer = server.ask(&post("mcp-protocol-version: 2026-07-28\r\n", &batch));
    assert_eq!(answer.status, 400);
}

#[test]
fn what_is_no_message_is_told_so() {
    let server = Server::start();
    for (body, code) in [
        ("{", -32700),
        ("", -32700),
        ("\u{feff}{}", -32700),
        (
            r#"{"jsonrpc": "2.0", "id": 1, "method": "ping", "method": "x"}"#,
            -32600,
        ),
        ("[]", -32600),
        ("7", -32600),
        (r#"{"jsonrpc": "1.0", "id": 1, "method": "ping"}"#, -32600),
        (
            r#"{"jsonrpc": "2.0", "id": null, "method": "ping"}"#,
            -32600,
        ),
        (r#"{"jsonrpc": "2.0", "id": 1.5, "method": "ping"}"#, -32600),
    ] {
        let answer = server.ask(&post("", body));
        assert_eq!(answer.status, 400, "{body}");
        assert_eq!(answer.json()["error"]["code"], code, "{body}");
        check("2025-11-25", "JSONRPCErrorResponse", &answer.json());
        assert!(!answer.closes(), "{body}");
    }
}

#[test]
fn header_fields_of_the_stateless_era_have_to_agree_with_the_body() {
    let server = Server::start();
    let list = modern(7, "tools/list", json!({}));
    let echo = modern(
        7,
        "tools/call",
        json!({"name": "echo", "arguments": {"text": "x"}}),
    );
    let read = modern(7, "resources/read", json!({"uri": "test://text"}));
    let v = "mcp-protocol-version: 2026-07-28\r\n";
    let cases = [
        (
            &list,
            "mcp-method: tools/list\r\n".into(),
            400,
            Some(-32020),
        ),
        (
            &list,
            "mcp-protocol-version: 2025-11-25\r\nmcp-method: tools/list\r\n".into(),
            400,
            Some(-32020),
        ),
        (&list, v.to_owned(), 400, Some(-32020)),
        (
            &list,
            format!("{v}mcp-method: tools/call\r\n"),
            400,
            Some(-32020),
        ),
        (
            &list,
            format!("{v}mcp-method: TOOLS/LIST\r\n"),
            400,
            Some(-32020),
        ),
        (
            &list,
            format!("{v}Mcp-Method:  tools/list  \r\n"),
            200,
            None,
        ),
        (
            &list,
            format!("{v}mcp-method: tools/list\r\nmcp-session-id: x\r\nlast-event-id: 9\r\n"),
            200,
            None,
        ),
        (
            &echo,
            format!("{v}mcp-method: tools/call\r\n"),
            400,
            Some(-32020),
        ),
        (
            &echo,
            format!("{v}mcp-method: tools/call\r\nmcp-name: wait\r\n"),
            400,
            Some(-32020),
        ),
        (
            &echo,
            format!("{v}mcp-method: tools/call\r\nmcp-name: Echo\r\n"),
            400,
            Some(-32020),
        ),
        (
            &echo,
            format!("{v}mcp-method: tools/call\r\nmcp-name: echo\r\n"),
            200,
            None,
        ),
        (
            &echo,
            format!("{v}mcp-method: tools/call\r\nmcp-name: =?base64?ZWNobw==?=\r\n"),
            200,
            None,
        ),
        (
            &echo,
            format!("{v}mcp-method: tools/call\r\nmcp-name: =?BASE64?ZWNobw==?=\r\n"),
            400,
            Some(-32020),
        ),
        (
            &echo,
            format!("{v}mcp-method: tools/call\r\nmcp-name: =?base64?ZWNobw?=\r\n"),
            400,
            Some(-32020),
        ),
        (
            &echo,
            format!("{v}mcp-method: tools/call\r\nmcp-name: =?base64?/w==?=\r\n"),
            400,
            Some(-32020),
        ),
        (
            &read,
            format!("{v}mcp-method: resources/read\r\nmcp-name: test://text\r\n"),
            200,
            None,
        ),
        (
            &read,
            format!("{v}mcp-method: resources/read\r\nmcp-name: test://bytes\r\n"),
            400,
            Some(-32020),
        ),
    ];
    for (message, fields, status, code) in cases {
        let answer = server.ask(&post(&fields, &message.to_string()));
        assert_eq!(answer.status, status, "{fields}");
        assert_eq!(answer.json()["error"]["code"].as_i64(), code, "{fields}");
        assert_eq!(answer.json()["id"], 7, "{fields}");
        check_answer(
            "2026-07-28",
            message["method"].as_str().unwrap(),
            &answer.json(),
        );
    }
}

#[test]
fn faults_of_the_stateless_era_come_in_its_order() {
    let server = Server::start();
    let field = |version: &str, method: &str| {
        format!("mcp-protocol-version: {version}\r\nmcp-method: {method}\r\n")
    };
    let with = |version: &str, method: &str| {
        let meta = json!({
            "io.modelcontextprotocol/protocolVersion": version,
            "io.modelcontextprotocol/clientCapabilities": {},
        });
        request(3, method, json!({"_meta": meta}))
    };
    let bare = request(3, "tools/list", json!({}));
    let half = request(
        3,
        "tools/list",
        json!({"_meta": {"io.modelcontextprotocol/protocolVersion": "2026-07-28"}}),
    );
    for (message, fields, status, code) in [
        // The envelope before the header.
        (&half, field("2099-01-01", "x"), 400, -32602),
        (&bare, field("2026-07-28", "tools/list"), 400, -32602),
        (
            &request(3, "initialize", initialize("2025-11-25")),
            field("2026-07-28", "initialize"),
            400,
            -32602,
        ),
        (
            &request(3, "server/discover", json!({})),
            field("2026-07-28", "server/discover"),
            400,
            -32602,
        ),
        // The header before the version.
        (
            &with("2099-01-01", "tools/list"),
            field("2026-07-28", "tools/list"),
            400,
            -32020,
        ),
        // The version before the method.
        (
            &with("2099-01-01", "nonsense"),
            field("2099-01-01", "nonsense"),
            400,
            -32022,
        ),
        (
            &with("2025-11-25", "tools/list"),
            field("2025-11-25", "tools/list"),
            400,
            -32022,
        ),
        // The method.
        (
            &with("2026-07-28", "nonsense"),
            field("2026-07-28", "nonsense"),
            404,
            -32601,
        ),
        (
            &with("2026-07-28", "initialize"),
            field("2026-07-28", "initialize"),
            404,
            -32601,
        ),
        (
            &with("2026-07-28", "ping"),
            field("2026-07-28", "ping"),
            404,
            -32601,
        ),
        (
            &with("2026-07-28", "resources/subscribe"),
            field("2026-07-28", "resources/subscribe"),
            404,
            -32601,
        ),
    ] {
        let answer = server.ask(&post(&fields, &message.to_string()));
        assert_refused(&answer, status, code);
        assert_eq!(answer.json()["id"], 3);
    }
}

#[test]
fn what_a_handler_says_is_no_http_error() {
    let server = Server::start();
    let unknown = modern(1, "tools/call", json!({"name": "nothing"}));
    let answer = server.ask(&stateless(&unknown, ""));
    assert_refused(&answer, 200, -32602);
    let answer = server.ask(&stateless(&call(1, "fail"), ""));
    assert_eq!(answer.status, 200);
    assert_eq!(answer.json()["result"]["isError"], true);
    let mut client = server.connect();
    let id = begin(&mut client, "2025-11-25");
    client.send(&in_session(&id, &request(1, "nonsense", json!({}))));
    assert_refused(&client.answer(), 200, -32601);
}

#[test]
fn messages_that_want_no_answer_are_accepted_or_refused_by_their_era() {
    let server = Server::start();
    let cancel =
        json!({"jsonrpc": "2.0", "method": "notifications/cancelled", "params": {"requestId": 1}});
    let reply = json!({"jsonrpc": "2.0", "id": 1, "result": {}});
    let field = "mcp-protocol-version: 2026-07-28\r\n";
    assert_eq!(server.ask(&post(field, &cancel.to_string())).status, 202);
    assert_eq!(server.ask(&post(field, &reply.to_string())).status, 400);
    assert_eq!(server.ask(&post("", &cancel.to_string())).status, 400);
    let mut client = server.connect();
    let id = begin(&mut client, "2025-06-18");
    for message in [cancel, reply] {
        client.send(&in_session(&id, &message));
        assert_eq!(client.answer().status, 202);
    }
}

#[test]
fn progress_makes_a_stream_and_nothing_else_does() {
    let server = Server::start();
    let mut client = server.connect();
    client.send(&stateless(&call(1, "count"), ""));
    assert_eq!(
        client.answer().field("content-type"),
        Some("application/json")
    );
    let mut params = json!({"name": "count", "arguments": {}, "_meta": {"progressToken": 0}});
    client.send(&stateless(&modern("x", "tools/call", params.clone()), ""));
    let head = client.head();
    assert_eq!(head.status, 200);
    assert_eq!(head.field("content-type"), Some("text/event-stream"));
    assert_eq!(head.field("cache-control"), Some("no-cache, no-transform"));
    let mut last = 0.0;
    let answer = loop {
        let event = client.event();
        if event.get("method").is_none() {
            break event;
        }
        check_notification("2026-07-28", &event);
        assert_eq!(event["params"]["progressToken"], 0);
        let progress = event["params"]["progress"].as_f64().unwrap();
        assert!(progress > last);
        last = progress;
    };
    assert!(last >= 1.0, "no progress was told");
    check_answer("2026-07-28", "tools/call", &answer);
    assert_eq!(client.chunk(), None);
    // The connection goes on.
    assert!(client.is_served());
    // A client that takes no stream gets the answer alone.
    params["_meta"]["progressToken"] = "t".into();
    let message = modern(2, "tools/call", params);
    let bytes = String::from_utf8(stateless(&message, "")).unwrap();
    client.send(
        bytes
            .replace("application/json, text/event-stream", "application/json")
            .as_bytes(),
    );
    assert_eq!(client.answer().json()["id"], 2);
}

#[test]
fn a_client_that_takes_only_streams_gets_one() {
    let server = Server::start();
    let bytes = String::from_utf8(stateless(&call(5, "count"), "")).unwrap();
    let mut client = server.connect();
    client.send(
        bytes
            .replace("application/json, text/event-stream", "text/event-stream")
            .as_bytes(),
    );
    assert_eq!(
        client.head().field("content-type"),
        Some("text/event-stream")
    );
    assert_eq!(client.event()["id"], 5);
    assert_eq!(client.chunk(), None);
}

#[test]
fn http_1_0_gets_the_answer_without_a_stream() {
    let server = Server::start();
    let params = json!({"name": "count", "arguments": {}, "_meta": {"progressToken": 1}});
    let bytes = String::from_utf8(stateless(&modern(5, "tools/call", params), "")).unwrap();
    let answer = server.ask(bytes.replace("HTTP/1.1", "HTTP/1.0").as_bytes());
    assert_eq!(answer.json()["id"], 5);
    assert!(answer.closes());
}

#[test]
fn leaving_cancels_a_stateless_call_and_no_other() {
    let server = Server::start();
    // The gate lets one call through for each message, whoever waits longest first.
    let mut leaver = server.connect();
    leaver.send(&stateless(&call(1, "wait"), ""));
    // Served behind it on the same thread: the call is at work.
    assert!(server.connect().is_served());
    drop(leaver);
    assert!(server.connect().is_served());
    let mut stayer = server.connect();
    stayer.send(&stateless(&call(1, "wait"), ""));
    assert!(server.connect().is_served());
    server.gate.send_blocking(()).unwrap();
    assert_eq!(
        stayer.answer().json()["result"]["structuredContent"]["waited"],
        true
    );

    let mut client = server.connect();
    let id = begin(&mut client, "2025-11-25");
    let wait = request(1, "tools/call", json!({"name": "wait", "arguments": {}}));
    client.send(&in_session(&id, &wait));
    assert!(server.connect().is_served());
    drop(client);
    assert!(server.connect().is_served());
    // It is still in flight: its id cannot be used again.
    let again = server.ask(&in_session(&id, &wait));
    assert_refused(&again, 400, -32600);
    server.gate.send_blocking(()).unwrap();
}

#[test]
fn a_client_that_only_stops_sending_still_gets_the_answer_of_its_session() {
    let server = Server::start();
    let mut client = server.connect();
    let id = begin(&mut client, "2025-11-25");
    client.send(&in_session(&id, &request(1, "ping", json!({}))));
    client.finish();
    assert_eq!(client.answer().status, 200);
    assert!(client.rest().is_empty());
}

#[test]
fn a_session_call_can_be_cancelled_from_another_connection() {
    let server = Server::start();
    let mut client = server.connect();
    let id = begin(&mut client, "2025-11-25");
    client.send(&in_session(
        &id,
        &request("c", "tools/call", json!({"name": "wait", "arguments": {}})),
    ));
    assert!(server.connect().is_served());
    let cancel = json!({"jsonrpc": "2.0", "method": "notifications/cancelled", "params": {"requestId": "c"}});
    assert_eq!(server.ask(&in_session(&id, &cancel)).status, 202);
    let answer = client.answer();
    assert_eq!((answer.status, answer.body.as_slice()), (200, &b""[..]));
    assert!(client.is_served());
}

#[test]
fn two_clients_may_use_the_same_id_at_the_same_time() {
    let server = Server::start();
    let mut clients: Vec<_> = (0..2).map(|_| server.connect()).collect();
    for client in &mut clients {
        client.send(&stateless(&call(1, "wait"), ""));
    }
    for _ in &clients {
        server.gate.send_blocking(()).unwrap();
    }
    for client in &mut clients {
        assert_eq!(
            client.answer().json()["result"]["structuredContent"]["waited"],
            true
        );
    }
}

#[test]
fn a_session_has_one_stream_and_the_newest_wins() {
    let server = Server::start();
    let mut client = server.connect();
    let id = begin(&mut client, "2025-11-25");
    let mut first = server.connect();
    first.send(&get(&id));
    assert_eq!(
        first.head().field("content-type"),
        Some("text/event-stream")
    );
    let mut second = server.connect();
    second.send(&get(&id));
    assert_eq!(second.head().status, 200);
    assert_ends(&mut first);
    client.send(&delete(&id));
    assert_eq!(client.answer().status, 200);
    assert_ends(&mut second);
}

#[test]
fn the_table_of_sessions_is_bounded_and_forgets_the_oldest() {
    let limits = Limits {
        sessions: 2,
        ..Limits::default()
    };
    let server = Server::with(Wanted {
        limits,
        ..Wanted::default()
    });
    let mut client = server.connect();
    let ids: Vec<_> = (0..3).map(|_| begin(&mut client, "2025-11-25")).collect();
    for (id, status) in ids.iter().zip([404, 200, 200]) {
        client.send(&in_session(id, &request(1, "ping", json!({}))));
        assert_eq!(client.answer().status, status);
    }
    // Sessions with a stream are in use.
    let mut streams: Vec<_> = Vec::new();
    for id in &ids[1..] {
        let mut stream = server.connect();
        stream.send(&get(id));
        assert_eq!(stream.head().status, 200);
        streams.push(stream);
    }
    let hello = request(0, "initialize", initialize("2025-11-25"));
    client.send(&post("", &hello.to_string()));
    let answer = client.answer();
    assert_eq!(answer.status, 503);
    assert_eq!(answer.field("retry-after"), Some("1"));
}

#[test]
fn large_answers_arrive_whole() {
    let server = Server::start();
    let mut client = server.connect();
    for _ in 0..3 {
        client.send(&stateless(&call(1, "large"), ""));
        let answer = client.answer();
        assert!(answer.body.len() > 2 << 20);
        check_answer("2026-07-28", "tools/call", &answer.json());
    }
}

#[test]
fn stopping_ends_streams_and_lets_calls_finish() {
    let mut server = Server::start();
    let mut client = server.connect();
    let id = begin(&mut client, "2025-11-25");
    let mut stream = server.connect();
    stream.send(&get(&id));
    assert_eq!(stream.head().status, 200);
    let mut caller = server.connect();
    caller.send(&stateless(&call(1, "wait"), ""));
    assert!(server.connect().is_served());
    server.ask_to_stop();
    assert_ends(&mut stream);
    assert!(client.rest().is_empty());
    server.gate.send_blocking(()).unwrap();
    let answer = caller.answer();
    assert_eq!(answer.json()["result"]["structuredContent"]["waited"], true);
    drop(caller);
    drop(stream);
    server.stop();
}

#[test]
fn stopping_does_not_wait_for_ever() {
    let mut wanted = Wanted::default();
    wanted.deadlines.grace = Duration::from_millis(50);
    let mut server = Server::with(wanted);
    let mut caller = server.connect();
    caller.send(&stateless(&call(1, "wait"), ""));
    assert!(server.connect().is_served());
    server.stop();
    assert!(caller.rest().is_empty());
}
