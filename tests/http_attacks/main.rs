//! Clients that hold what others need: an undisturbed agent with the right key loses no call by them, over TCP and
//! over the Unix socket.
//!
//! With `MCPMQTT_TEST_FULL` set each attack has the size at which it was first seen.
//!
//! A binary of its own: the attackers, the server and who is to be served share the processors of the machine, and other
//! tests beside them would be a further attack.

#![allow(clippy::unwrap_used, clippy::print_stdout, unreachable_pub)]

mod bystander;
#[path = "../common"]
#[allow(dead_code)]
mod common {
    pub mod addresses;
    pub mod engine;
    pub mod http_client;
    pub mod http_server;
    pub mod messages;
    pub mod requests;
    pub mod scratch;
    pub mod size;
    pub mod waiting;
}

use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use mcpmqtt::http::{Deadlines, Limits};
use mcpmqtt::mcp::catalog::{Catalog, ToolCall};
use mcpmqtt_config::ApiKey;
use serde_json::json;

use bystander::{Bystander, Place};
use common::engine::{nothing, tool};
use common::http_client::Client;
use common::http_server::{Server, Wanted, generated, hashed};
use common::messages::{modern, request};
use common::requests::{KEY, initialize_post, post, session_delete, session_get};
use common::scratch::Scratch;
use common::size::full_size;
use common::waiting::eventually;

/// What the bystander gets through during an attack at least, of each kind of call.
const CALLS: usize = 20;

/// Attacks a server over TCP and one over the Unix socket while a bystander calls.
fn under_attack(limits: Limits, attack: impl Fn(&Server, &Bystander)) {
    let folder = Scratch::new();
    for file in [None, Some(folder.path("socket"))] {
        let place = file.clone();
        let server = Server::with(Wanted {
            limits,
            file,
            catalog: |catalog| catalog.lists_change = true,
            // As it is in the field; a deadline that comes soon must not be what helps.
            deadlines: Deadlines::default(),
            ..Wanted::default()
        });
        let place = place.map_or_else(|| Place::Tcp(server.port()), Place::Unix);
        println!("{place:?}");
        let bystander = Bystander::start(place, KEY);
        bystander.after(5);
        attack(&server, &bystander);
        bystander.stop().assert_undisturbed(CALLS);
    }
}

/// Of the seats and of the attackers; the size of the field with `MCPMQTT_TEST_FULL`.
fn limits() -> Limits {
    Limits {
        connections: if full_size() { 256 } else { 32 },
        ..Limits::default()
    }
}

fn seconds() -> u64 {
    if full_size() { 20 } else { 2 }
}

/// Sends `request` on 284 new connections a second, keeps the newest `held` of them open and reads nothing. It goes on
/// until the bystander has made its calls, however long they take on this machine.
fn flood(server: &Server, bystander: &Bystander, held: usize, request: &[u8]) {
    let mut open = std::collections::VecDeque::<Client>::new();
    let least = 284 * seconds();
    let enough = (0..least * 100).find(|number| {
        let mut client = server.connect();
        client.write_some(request);
        open.push_back(client);
        if open.len() > held {
            open.pop_front();
        }
        std::thread::sleep(Duration::from_micros(3500));
        *number >= least && bystander.has_made(CALLS)
    });
    assert!(enough.is_some(), "{:?}", bystander.report());
}

#[test]
fn whoever_has_its_last_answer_and_does_not_close_holds_no_place() {
    let limits = limits();
    under_attack(limits, |server, bystander| {
        let request = b"GET /status HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\n\r\n";
        flood(server, bystander, limits.connections + 44, request);
    });
}

#[test]
fn whoever_is_refused_with_a_body_unread_holds_no_place() {
    let limits = limits();
    under_attack(limits, |server, bystander| {
        let request = b"POST /mcp HTTP/1.1\r\nhost: localhost\r\nx-y: z\r\n\
                        content-type: application/json\r\ncontent-length: 100000\r\n\r\n{";
        flood(server, bystander, limits.connections + 44, request);
    });
}

#[test]
fn whoever_sends_half_a_head_holds_no_place() {
    let limits = limits();
    under_attack(limits, |server, bystander| {
        flood(
            server,
            bystander,
            limits.connections + 44,
            b"GET /status HTTP/1.1\r\nhost: ",
        );
    });
}

#[test]
fn whoever_reads_none_of_its_answers_holds_no_place() {
    let limits = limits();
    under_attack(limits, |server, bystander| {
        let requests = b"GET /status HTTP/1.1\r\nhost: localhost\r\n\r\n".repeat(5000);
        flood(server, bystander, limits.connections + 44, &requests);
    });
}

/// An id of a session of 2025-11-25.
fn session(server: &Server) -> String {
    let answer = server.ask(&initialize_post(KEY, "2025-11-25"));
    answer.field("mcp-session-id").unwrap().to_owned()
}

fn wait_call(id: usize, session: &str, fields: &str) -> Vec<u8> {
    let params = json!({"name": "wait", "arguments": {}});
    let body = request(id, "tools/call", params).to_string();
    post(&format!("mcp-session-id: {session}\r\n{fields}"), &body)
}

/// How many calls of the tool `wait` there are, as every one of them has an end of the gate's channel.
fn waiting(server: &Server, idle: usize) -> usize {
    server.gate.receiver_count() - idle
}

#[test]
fn calls_whose_clients_left_hold_no_connection_and_end_with_their_session() {
    let limits = limits();
    under_attack(limits, |server, bystander| {
        let idle = server.gate.receiver_count();
        let (crowd, other) = (session(server), session(server));
        let begin = |id: usize, session: &str| {
            let before = waiting(server, idle);
            let mut client = server.connect();
            client.send(&wait_call(id, session, ""));
            (client, before)
        };
        let (kept, _) = begin(0, &other);
        eventually("the other session's call runs", || {
            waiting(server, idle) == 1
        });
        drop(kept);
        let count = limits.connections + 44;
        let mut most = 0;
        for id in 0..count {
            let (client, before) = begin(id, &crowd);
            // At the bound an older one goes as this one leaves.
            if before < LEFT_OF_SESSION {
                eventually("the call runs", || waiting(server, idle) > before);
            } else {
                bystander.after(1);
            }
            drop(client);
            most = most.max(waiting(server, idle));
        }
        println!("{count} calls left, at most {most} went on");
        assert!(
            (LEFT_OF_SESSION..=LEFT_OF_SESSION + 3).contains(&most),
            "{most}"
        );
        bystander.after(10);
        // The call of the other session is none of those that made room.
        server.ask(&end(&crowd));
        eventually("the session's calls end", || waiting(server, idle) == 1);
        server.ask(&end(&other));
        eventually("the last call ends", || waiting(server, idle) == 0);
    });
}

fn end(session: &str) -> Vec<u8> {
    session_delete(KEY, session)
}

/// Steps of the tool `loud`, and whether it has ended.
static STEPS: AtomicUsize = AtomicUsize::new(0);
static ENDED: AtomicBool = AtomicBool::new(false);

/// Tells more than a socket takes, without end.
fn loud(catalog: &mut Catalog) {
    struct End;
    impl Drop for End {
        fn drop(&mut self) {
            ENDED.store(true, Ordering::Relaxed);
        }
    }
    let loud = tool("loud", nothing(), |call: ToolCall| {
        Box::pin(async move {
            let _end = End;
            let text = "x".repeat(900_000);
            loop {
                let step = STEPS.fetch_add(1, Ordering::Relaxed);
                call.progress.report(step as f64, None, &text);
                async_io::Timer::after(Duration::from_millis(101)).await;
            }
        })
    });
    catalog.tools.push(loud);
}

#[test]
fn a_call_goes_on_and_ends_with_its_session_though_its_client_reads_nothing() {
    let folder = Scratch::new();
    let mut wanted = Wanted {
        catalog: loud,
        file: Some(folder.path("socket")),
        ..Wanted::default()
    };
    // It must not be what ends the call.
    wanted.deadlines.write = Duration::from_secs(600);
    let server = Server::with(wanted);
    let session = session(&server);
    let params = json!({"name": "loud", "arguments": {}, "_meta": {"progressToken": 1}});
    let body = request(1, "tools/call", params).to_string();
    let mut client = server.connect();
    client.send(&post(&format!("mcp-session-id: {session}\r\n"), &body));
    // The socket takes less than one event, and a few more wait behind it.
    eventually("the call goes on", || STEPS.load(Ordering::Relaxed) > 12);
    assert!(!ENDED.load(Ordering::Relaxed));
    server.ask(&end(&session));
    eventually("the call ends", || ENDED.load(Ordering::Relaxed));
    drop(client);
}

#[test]
fn streams_that_one_agent_opens_on_every_place_make_room_for_others() {
    let limits = limits();
    under_attack(limits, |server, bystander| {
        let wishes = json!({"notifications": {"toolsListChanged": true}});
        let body = modern(1, "subscriptions/listen", wishes).to_string();
        let fields = "mcp-protocol-version: 2026-07-28\r\nmcp-method: subscriptions/listen\r\n";
        let mut open = Vec::new();
        for number in 0..limits.connections + 44 {
            let mut client = server.connect();
            if number % 2 == 0 {
                client.send(&post(fields, &body));
            } else {
                let id = session(server);
                client.send(&session_get(KEY, &id, ""));
            }
            assert_eq!(client.head().status, 200);
            open.push(client);
        }
        bystander.after(20);
    });
}

#[test]
fn calls_that_are_waited_for_on_every_connection_leave_connections_for_others() {
    let limits = limits();
    under_attack(limits, |server, bystander| {
        let idle = server.gate.receiver_count();
        let most = limits.connections - limits.connections / 4;
        // All callers of one name together get no more when they have fifteen times as many as are free.
        let of_name = (0..).find(|held| *held >= 15 * (most - held)).unwrap();
        let mut at_work = Vec::new();
        // Each session is a caller, so that one agent with several has more than one share.
        for _ in 0..12 {
            let id = session(server);
            for number in 0.. {
                let before = at_work.len();
                let mut client = server.connect();
                client.send(&wait_call(number, &id, ""));
                // A caller gets no more when it has as many as are free.
                if number < most - before && before < of_name {
                    eventually("one more call is at work", || {
                        waiting(server, idle) == before + 1
                    });
                    at_work.push(client);
                    continue;
                }
                let told = client.answer();
                let why = told.json()["error"]["message"].to_string();
                assert!(why.contains("`limits.connections`"), "{why}");
                break;
            }
        }
        assert_eq!(at_work.len(), of_name, "all that can be had were had");
        bystander.after(20);
        assert_eq!(waiting(server, idle), of_name, "what is waited for goes on");
    });
}

/// As many calls go on of one session whose clients left.
const LEFT_OF_SESSION: usize = 32;

// ---- wrong keys

/// From so many addresses, or on so many connections to the Unix socket.
fn addresses() -> u32 {
    if full_size() { 250 } else { 40 }
}

/// Servers on both kinds of place, with this key.
fn on_both_places(key: &ApiKey, test: impl Fn(&Server, Place)) {
    let folder = Scratch::new();
    for file in [None, Some(folder.path("socket"))] {
        let server = Server::with(Wanted {
            limits: limits(),
            file: file.clone(),
            key: key.clone(),
            deadlines: Deadlines::default(),
            ..Wanted::default()
        });
        test(
            &server,
            file.map_or_else(|| Place::Tcp(server.port()), Place::Unix),
        );
    }
}

fn with_key(key: &str) -> Vec<u8> {
    format!("GET /mcp HTTP/1.1\r\nhost: localhost\r\nx-api-key: {key}\r\n\r\n").into_bytes()
}

/// Tries another wrong key from each of so many addresses, again and again, while `meanwhile` goes on.
fn while_wrong_keys_come<T>(server: &Server, addresses: u32, meanwhile: impl FnOnce() -> T) -> T {
    let done = AtomicBool::new(false);
    let tried = AtomicUsize::new(0);
    std::thread::scope(|scope| {
        for number in 0..addresses {
            let (done, tried) = (&done, &tried);
            scope.spawn(move || {
                for attempt in 0.. {
                    if done.load(Ordering::Relaxed) {
                        break;
                    }
                    let mut client = server.connect_from(number);
                    // Whoever has to make room is not answered.
                    client.write_some(&with_key(&format!("guess-{number}-{attempt}")));
                    client.status();
                    tried.fetch_add(1, Ordering::Relaxed);
                }
            });
        }
        eventually("strangers have tried", || {
            tried.load(Ordering::Relaxed) >= addresses as usize / 4
        });
        let result = meanwhile();
        done.store(true, Ordering::Relaxed);
        result
    })
}

/// Before any key was proven: the server has just started.
#[test]
fn wrong_keys_from_many_addresses_cost_a_generated_key_nothing() {
    let (record, key) = generated(64 * 1024);
    on_both_places(&record, |server, place| {
        let report = while_wrong_keys_come(server, addresses(), || {
            let bystander = Bystander::start(place, &key);
            std::thread::sleep(Duration::from_secs(seconds()));
            bystander.after(CALLS);
            bystander.stop()
        });
        println!("{report:?}");
        report.assert_undisturbed(CALLS);
        assert_eq!(server.key_hashes(&key), 0);
    });
}

#[test]
fn wrong_keys_from_many_addresses_cost_a_proven_key_nothing() {
    let (record, key) = hashed(64);
    on_both_places(&record, |server, place| {
        // No request that is served, but the key is right.
        let proven = server.ask(&with_key(&key)).status;
        assert!(![401, 429, 503].contains(&proven), "{proven}");
        let report = while_wrong_keys_come(server, addresses(), || {
            let bystander = Bystander::start(place, &key);
            std::thread::sleep(Duration::from_secs(seconds()));
            bystander.after(CALLS);
            bystander.stop()
        });
        report.assert_undisturbed(CALLS);
        assert_eq!(server.key_hashes(&key), 1);
    });
}

/// A record without a digest costs hashes until the right key is in. When that is depends on how many wrong ones a machine
/// can judge meanwhile; a peer that has shown none comes before those that have.
#[test]
fn an_older_key_comes_in_while_wrong_ones_come_from_many_addresses() {
    let (record, key) = hashed(8 * 1024);
    // As in the field, no more than there are connections for: with more of them, when the key is in hangs on who is
    // quicker on this machine, the hash of the key or those that take its connection away.
    let addresses = addresses().min(limits().connections as u32 - 2);
    on_both_places(&record, |server, place| {
        let (tries, took) = while_wrong_keys_come(server, addresses, || {
            let start = Instant::now();
            let tries = (1..1000).find(|_| {
                let mut client = server.connect_from(1000);
                client.write_some(&with_key(&key));
                let status = client.status();
                status.is_some_and(|status| ![401, 429, 503].contains(&status))
            });
            (tries.expect("it comes in"), start.elapsed())
        });
        let hashes = server.key_hashes(&key);
        println!("{place:?}: in at the attempt {tries}, after {took:?} and {hashes} hashes");
    });
}
