//! Clients of one name, however many sessions they begin, leave room for those of the next name.

use mcpmqtt::http::Limits;
use mcpmqtt_config::ApiKey;
use serde_json::json;

use crate::common::http_client::Client;
use crate::common::http_server::{Server, Wanted, named};
use crate::common::messages::request;
use crate::common::requests::{BOTH, initialize_post, post_as, session_get, session_post};
use crate::common::waiting::eventually;

/// A server for two keys, and their texts.
fn server(limits: Limits) -> (Server, Vec<String>) {
    let (callers, keys) = named(2);
    let server = Server::with(Wanted {
        key: ApiKey::None,
        callers,
        limits,
        ..Wanted::default()
    });
    (server, keys)
}

/// Begins a session and returns its id.
fn begin(client: &mut Client, key: &str) -> String {
    client.send(&initialize_post(key, "2025-11-25"));
    let answer = client.answer();
    assert_eq!(answer.status, 200, "{}", answer.head);
    answer.field("mcp-session-id").unwrap().to_owned()
}

fn ping(client: &mut Client, key: &str, session: &str) -> u16 {
    client.send(&session_post(key, session, &request(1, "ping", json!({}))));
    client.answer().status
}

/// A note, which is answered with 202.
fn note(key: &str) -> Vec<u8> {
    let note = json!({"jsonrpc": "2.0", "method": "x"});
    post_as(key, BOTH, "mcp-protocol-version: 2026-07-28\r\n", &note)
}

#[test]
fn sessions_that_one_name_begins_without_end_replace_its_own() {
    let (server, keys) = server(Limits {
        sessions: 6,
        ..Limits::default()
    });
    let [greedy, calm] = [&keys[0], &keys[1]];
    let mut client = server.connect();
    let kept: Vec<_> = (0..2).map(|_| begin(&mut client, calm)).collect();
    let begun: Vec<_> = (0..20).map(|_| begin(&mut client, greedy)).collect();
    for session in &kept {
        assert_eq!(ping(&mut client, calm, session), 200);
    }
    for (number, session) in begun.iter().enumerate() {
        let status = if number < 16 { 404 } else { 200 };
        assert_eq!(ping(&mut client, greedy, session), status, "{number}");
    }
}

#[test]
fn busy_sessions_of_one_name_make_room_for_another_name_and_not_for_their_own() {
    let (server, keys) = server(Limits {
        sessions: 6,
        ..Limits::default()
    });
    let [greedy, calm] = [&keys[0], &keys[1]];
    let mut client = server.connect();
    let kept = begin(&mut client, calm);
    let mut streams = Vec::new();
    for _ in 0..5 {
        let session = begin(&mut client, greedy);
        let mut stream = server.connect();
        stream.send(&session_get(greedy, &session, ""));
        assert_eq!(stream.head().status, 200);
        streams.push(stream);
    }
    client.send(&initialize_post(greedy, "2025-11-25"));
    assert_eq!(client.answer().status, 503, "its own are in use");
    assert_eq!(ping(&mut client, calm, &kept), 200);
    let second = begin(&mut client, calm);
    for session in [&kept, &second] {
        assert_eq!(ping(&mut client, calm, session), 200);
    }
}

#[test]
fn calls_that_wait_in_the_sessions_of_one_name_leave_room_for_the_next() {
    let (server, keys) = server(Limits {
        connections: 64,
        ..Limits::default()
    });
    let [greedy, calm] = [&keys[0], &keys[1]];
    let wait = request(1, "tools/call", json!({"name": "wait", "arguments": {}}));
    let mut waiting = Vec::new();
    // Of 48 that can wait for the end of a call, as many as are fifteen sixteenths.
    for number in 0..46 {
        let mut client = server.connect();
        let session = begin(&mut client, greedy);
        client.send(&session_post(greedy, &session, &wait));
        if number < 45 {
            waiting.push(client);
            continue;
        }
        let told = client.answer().json();
        let words = told["error"]["message"].as_str().unwrap();
        assert!(
            words.contains("45 of 48 are in use, 45 of them by clients with this client's name"),
            "{told}"
        );
    }
    let mut client = server.connect();
    let session = begin(&mut client, calm);
    client.send(&session_post(calm, &session, &wait));
    assert!(server.connect().is_served());
    for _ in 0..=waiting.len() {
        server.gate.send_blocking(()).unwrap();
    }
    let told = client.answer().json();
    assert_eq!(told["result"]["structuredContent"]["waited"], true);
}

#[test]
fn bodies_that_one_name_never_finishes_leave_room_for_those_of_the_next() {
    let (server, keys) = server(Limits {
        bodies_bytes: 1600,
        ..Limits::default()
    });
    let [greedy, calm] = [&keys[0], &keys[1]];
    let half = format!(
        "POST /mcp HTTP/1.1\r\nhost: localhost\r\nx-api-key: {greedy}\r\naccept: {BOTH}\r\n\
         content-type: application/json\r\ncontent-length: 100\r\n\r\n{}",
        " ".repeat(99)
    );
    let open = |_| {
        let mut client = server.connect();
        client.send(half.as_bytes());
        client
    };
    let unfinished: Vec<_> = (0..16).map(open).collect();
    // Not before their bytes are there.
    let refused = loop {
        let answer = server.ask(&note(greedy));
        if answer.status != 202 {
            break answer;
        }
    };
    assert_eq!(
        (refused.status, refused.field("retry-after")),
        (503, Some("1"))
    );
    let whose = "by clients with this client's name or key";
    assert!(refused.sentence().contains(whose), "{}", refused.head);
    assert_eq!(server.ask(&note(calm)).status, 202);
    drop(unfinished);
    eventually("their bytes are free", || {
        server.ask(&note(greedy)).status == 202
    });
}
