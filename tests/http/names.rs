//! Clients of one name, however many sessions they begin, leave room for those of the next name.

use std::ops::Range;

use mcpmqtt::http::Limits;
use mcpmqtt_config::ApiKey;
use serde_json::{Value, json};

use crate::common::http_client::Client;
use crate::common::http_server::{Server, Wanted, named};
use crate::common::messages::request;
use crate::common::requests::{
    BOTH, initialize_post, modern_post, post_as, session_get, session_post,
};
use crate::common::waiting::eventually;
use crate::streams;

/// A server for two keys, and their texts.
fn server(limits: Limits) -> (Server, Vec<String>) {
    let (callers, keys) = named(2);
    let server = Server::with(Wanted {
        key: ApiKey::None,
        callers,
        limits,
        catalog: streams::catalog,
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

/// Opens a connection for each number, shows the key on it and leaves it idle.
fn idle(key: &str, numbers: Range<u32>, connect: impl Fn(u32) -> Client) -> Vec<Client> {
    let open = |number| {
        let mut client = connect(number);
        client.send(&note(key));
        assert_eq!(client.answer().status, 202);
        client
    };
    numbers.map(open).collect()
}

/// Lets the list of tools change; the answer's status.
fn change(client: &mut Client, key: &str, session: &str) -> u16 {
    let params = json!({"name": "change", "arguments": {}});
    client.send(&session_post(
        key,
        session,
        &request(9, "tools/call", params),
    ));
    client.answer().status
}

#[test]
fn connections_that_one_name_opens_without_end_replace_its_own() {
    for elsewhere in [false, true] {
        let (server, keys) = server(Limits {
            connections: 16,
            ..Limits::default()
        });
        let [greedy, calm] = [&keys[0], &keys[1]];
        let mut kept = server.connect();
        let session = begin(&mut kept, calm);
        let mut own = server.connect();
        own.send(&session_get(calm, &session, ""));
        assert_eq!(own.head().status, 200);
        let mut listener = server.connect();
        let wishes = json!({"notifications": {"toolsListChanged": true}});
        listener.send(&modern_post(calm, BOTH, "subscriptions/listen", wishes));
        let acknowledged = "notifications/subscriptions/acknowledged";
        assert_eq!(listener.head().status, 200);
        assert_eq!(listener.event()["method"], acknowledged);
        let _idle = idle(greedy, 0..40, |number| match elsewhere {
            true => server.connect_from(number),
            false => server.connect(),
        });
        assert_eq!(change(&mut kept, calm, &session), 200);
        for stream in [&mut own, &mut listener] {
            assert_eq!(stream.event()["method"], "notifications/tools/list_changed");
        }
    }
}

#[test]
fn connections_of_a_name_whose_calls_hold_most_leave_before_those_of_the_next() {
    let (server, keys) = server(Limits {
        connections: 16,
        ..Limits::default()
    });
    let [greedy, calm] = [&keys[0], &keys[1]];
    let mut kept = idle(calm, 0..4, |_| server.connect());
    let wait = request(1, "tools/call", json!({"name": "wait", "arguments": {}}));
    let before = server.gate.receiver_count();
    // Of 12 that can wait for the end of a call, these have as many as one name gets.
    let waiting: Vec<_> = (0..11)
        .map(|_| {
            let mut client = server.connect();
            let session = begin(&mut client, greedy);
            client.send(&session_post(greedy, &session, &wait));
            client
        })
        .collect();
    eventually("the calls are at work", || {
        server.gate.receiver_count() == before + waiting.len()
    });
    drop(idle(greedy, 0..8, |_| server.connect()));
    for client in &mut kept {
        client.send(&note(calm));
        assert_eq!(client.answer().status, 202);
    }
    // The server does not wait for them at its end.
    for _ in &waiting {
        server.gate.send_blocking(()).unwrap();
    }
}

#[test]
fn of_one_name_an_idle_connection_leaves_before_a_stream() {
    let (server, keys) = server(Limits {
        connections: 16,
        ..Limits::default()
    });
    let key = &keys[0];
    let session = begin(&mut server.connect(), key);
    let mut own = server.connect();
    own.send(&session_get(key, &session, ""));
    assert_eq!(own.head().status, 200);
    let mut idle = idle(key, 0..40, |_| server.connect());
    let newest = idle.last_mut().unwrap();
    assert_eq!(change(newest, key, &session), 200);
    assert_eq!(own.event()["method"], "notifications/tools/list_changed");
}

/// Begins the call `slow` in a session, which tells something before it waits for the gate; the connection, and the id
/// of that event.
fn slow(server: &Server, key: &str, session: &str, id: i64) -> (Client, String) {
    let mut client = server.connect();
    let params = json!({"name": "slow", "arguments": {}, "_meta": {"progressToken": id}});
    client.send(&session_post(
        key,
        session,
        &request(id, "tools/call", params),
    ));
    assert_eq!(client.head().status, 200);
    loop {
        let frame = client.frame().unwrap();
        if frame.message.is_some() {
            return (client, frame.id.unwrap());
        }
    }
}

/// What comes next after this event.
fn resumed(server: &Server, key: &str, session: &str, after: &str) -> Value {
    let mut client = server.connect();
    client.send(&session_get(
        key,
        session,
        &format!("last-event-id: {after}\r\n"),
    ));
    assert_eq!(client.head().status, 200);
    client.event()
}

#[test]
fn calls_whose_clients_left_in_the_sessions_of_one_name_end_before_those_of_the_next() {
    let (server, keys) = server(Limits::default());
    let [greedy, calm] = [&keys[0], &keys[1]];
    let before = server.gate.receiver_count();
    let mut client = server.connect();
    let session = begin(&mut client, calm);
    let left = [1, 2].map(|id| slow(&server, calm, &session, id).1);
    for _ in 0..LEFT {
        let session = begin(&mut client, greedy);
        drop(slow(&server, greedy, &session, 1));
    }
    eventually("the calls that are too many have ended", || {
        server.gate.receiver_count() == before + LEFT
    });
    for _ in 0..LEFT {
        server.gate.send_blocking(()).unwrap();
    }
    for event in left {
        let answer = resumed(&server, calm, &session, &event);
        assert_eq!(answer["result"]["structuredContent"]["waited"], true);
    }
}

/// As many calls go on whose clients left.
const LEFT: usize = 128;

#[test]
fn events_of_one_name_are_forgotten_before_those_of_the_next() {
    let (server, keys) = server(Limits {
        replay_bytes: 3000,
        ..Limits::default()
    });
    let [greedy, calm] = [&keys[0], &keys[1]];
    let before = server.gate.receiver_count();
    let mut client = server.connect();
    let session = begin(&mut client, calm);
    let (lost, event) = slow(&server, calm, &session, 1);
    drop(lost);
    server.gate.send_blocking(()).unwrap();
    eventually("the answer is there", || {
        server.gate.receiver_count() == before
    });
    for _ in 0..6 {
        let session = begin(&mut client, greedy);
        for id in 0..3 {
            let (mut client, _) = slow(&server, greedy, &session, id);
            server.gate.send_blocking(()).unwrap();
            assert_eq!(client.event()["id"], id);
        }
    }
    let answer = resumed(&server, calm, &session, &event);
    assert_eq!(answer["result"]["structuredContent"]["waited"], true);
}
