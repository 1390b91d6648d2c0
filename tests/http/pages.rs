//! What a browser needs so that pages of allowed origins can read answers (CORS), in every form that an answer has.

use serde_json::json;

use crate::common::http_client::{Answer, Client};
use crate::common::http_server::{Server, Wanted};
use crate::common::messages::{initialize, modern, request};
use crate::common::requests::{KEY, post, session_get};

const ORIGIN: &str = "https://app.example";

fn server() -> Server {
    Server::with(Wanted {
        origins: &[ORIGIN],
        ..Wanted::default()
    })
}

fn from(origin: &str, more: &str) -> String {
    format!("origin: {origin}\r\n{more}")
}

fn assert_readable(answer: &Answer) {
    assert_eq!(answer.field("access-control-allow-origin"), Some(ORIGIN));
    let exposed = answer.field("access-control-expose-headers").unwrap();
    for name in ["mcp-session-id", "www-authenticate"] {
        assert!(exposed.split(", ").any(|it| it == name), "{exposed}");
    }
    assert_eq!(answer.field("vary"), Some("origin"));
    assert_eq!(answer.field("access-control-allow-credentials"), None);
}

/// Begins a session for a page.
fn begin(client: &mut Client) -> String {
    let hello = request(0, "initialize", initialize("2025-11-25")).to_string();
    client.send(&post(&from(ORIGIN, ""), &hello));
    let answer = client.answer();
    assert_eq!(answer.status, 200);
    assert_readable(&answer);
    answer.field("mcp-session-id").unwrap().to_owned()
}

#[test]
fn a_page_reads_sessions_streams_refusals_and_errors() {
    let server = server();
    let mut client = server.connect();
    let id = begin(&mut client);

    // A stream that is open until its session ends.
    let mut stream = server.connect();
    stream.send(&session_get(KEY, &id, &from(ORIGIN, "")));
    let head = stream.head();
    assert_eq!(head.field("content-type"), Some("text/event-stream"));
    assert_readable(&head);

    // A call that is answered by a stream.
    let call = modern(
        "a",
        "tools/call",
        json!({"name": "echo", "arguments": {"text": "hi"}}),
    );
    let fields = "mcp-protocol-version: 2026-07-28\r\nmcp-method: tools/call\r\nmcp-name: echo\r\n";
    let call = String::from_utf8(post(&from(ORIGIN, fields), &call.to_string())).unwrap();
    client.send(call.replace("application/json, text", "text").as_bytes());
    let answer = client.answer();
    assert_eq!(answer.field("content-type"), Some("text/event-stream"));
    assert_readable(&answer);

    for (fields, body, status) in [
        (String::new(), "{", 400),
        (
            "mcp-session-id: nonsense\r\n".into(),
            r#"{"jsonrpc":"2.0","id":1,"method":"ping"}"#,
            404,
        ),
        (
            format!("mcp-session-id: {id}\r\n"),
            r#"{"jsonrpc":"2.0","method":"notifications/initialized"}"#,
            202,
        ),
    ] {
        client.send(&post(&from(ORIGIN, &fields), body));
        let answer = client.answer();
        assert_eq!(answer.status, status);
        assert_readable(&answer);
    }
    let wrong = format!(
        "GET /mcp HTTP/1.1\r\nhost: localhost\r\norigin: {ORIGIN}\r\nx-api-key: wrong\r\n\r\n"
    );
    client.send(wrong.as_bytes());
    let answer = client.answer();
    assert_eq!(answer.status, 401);
    assert!(
        answer
            .field("www-authenticate")
            .unwrap()
            .contains("invalid_token")
    );
    assert_readable(&answer);
}

#[test]
fn other_pages_read_nothing_and_programs_are_told_nothing_of_pages() {
    let server = server();
    let mut client = server.connect();
    for (origin, status, varies) in [
        ("origin: https://evil.example\r\n", 403, true),
        ("origin: null\r\n", 403, true),
        ("origin: https://app.example.evil.example\r\n", 403, true),
        ("", 200, false),
    ] {
        let list = modern(1, "tools/list", json!({})).to_string();
        let fields =
            format!("mcp-protocol-version: 2026-07-28\r\nmcp-method: tools/list\r\n{origin}");
        // A refusal ends the connection, since its body is not read.
        let answer = server.ask(&post(&fields, &list));
        assert_eq!(answer.status, status, "{origin}");
        assert!(!answer.head.contains("access-control-"), "{}", answer.head);
        assert_eq!(answer.field("vary").is_some(), varies);
        let preflight = format!(
            "OPTIONS /mcp HTTP/1.1\r\nhost: localhost\r\n{origin}access-control-request-method: POST\r\n\r\n"
        );
        client.send(preflight.as_bytes());
        let answer = client.answer();
        assert_eq!(answer.status, if origin.is_empty() { 405 } else { 403 });
        assert!(!answer.head.contains("access-control-"), "{}", answer.head);
    }
}
