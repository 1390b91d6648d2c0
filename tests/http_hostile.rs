//! Clients that mean harm, or are broken: whatever they send, the server goes on and gives back what it took.
#![allow(clippy::unwrap_used, clippy::print_stdout)]

#[path = "common"]
#[allow(dead_code, unreachable_pub)]
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
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use mcpmqtt::http::Limits;
use serde_json::json;

use common::http_server::{Server, Wanted};
use common::messages::{initialize, modern, request};
use common::requests::{KEY, post, session_delete};

const STATUS: &[u8] = b"GET /status HTTP/1.1\r\nhost: localhost\r\n\r\n";

/// One test at a time: they count the process's descriptors.
fn alone() -> MutexGuard<'static, ()> {
    static TURN: Mutex<()> = Mutex::new(());
    TURN.lock().unwrap_or_else(PoisonError::into_inner)
}

fn descriptors() -> usize {
    std::fs::read_dir("/proc/self/fd").unwrap().count()
}

/// Waits until no more descriptors are open than at the beginning.
fn settles(before: usize) {
    let start = Instant::now();
    while descriptors() > before {
        assert!(
            start.elapsed() < Duration::from_secs(30),
            "{} left open",
            descriptors() - before
        );
        std::thread::yield_now();
    }
}

fn valid_requests() -> Vec<Vec<u8>> {
    let stateless = |method: &str, name: &str, params| {
        let fields = format!(
            "mcp-protocol-version: 2026-07-28\r\nmcp-method: {method}\r\nmcp-name: {name}\r\n"
        );
        post(&fields, &modern(1, method, params).to_string())
    };
    let chunked = String::from_utf8(post("mcp-protocol-version: 2026-07-28\r\n", "")).unwrap();
    let chunked = chunked.replace("content-length: 0", "transfer-encoding: chunked")
        + "10\r\n{\"jsonrpc\":\"2.0\"\r\n0e;x=y\r\n,\"method\":\"x\"}\r\n0\r\nt: v\r\n\r\n";
    vec![
        STATUS.to_vec(),
        stateless("tools/list", "", json!({})),
        stateless(
            "tools/call",
            "echo",
            json!({"name": "echo", "arguments": {"text": "hi"}}),
        ),
        stateless(
            "subscriptions/listen",
            "",
            json!({"notifications": {"toolsListChanged": true}}),
        ),
        post(
            "",
            &request(0, "initialize", initialize("2025-11-25")).to_string(),
        ),
        chunked.into_bytes(),
        session_delete(KEY, "x"),
    ]
}

/// Some bytes changed, doubled, left out or exchanged, reproducibly.
fn mutate(random: &mut fastrand::Rng, from: &[Vec<u8>]) -> Vec<u8> {
    let mut bytes = random.choice(from).unwrap().clone();
    if random.u8(..4) == 0 {
        bytes.extend(random.choice(from).unwrap());
    }
    for _ in 0..random.usize(1..6) {
        let at = random.usize(..bytes.len());
        let until = (at + random.usize(1..20)).min(bytes.len());
        match random.u8(..6) {
            0 => bytes[at] = random.u8(..),
            1 => bytes[at] = *random.choice(b"\r\n\0 :,;{}\"0f").unwrap(),
            2 => drop(bytes.drain(at..until)),
            3 => {
                let part = bytes[at..until].to_vec();
                bytes.splice(at..at, part);
            }
            4 => {
                let word: &[u8] = random
                    .choice([
                        &b"\r\ncontent-length: 5\r\n"[..],
                        b"\r\ntransfer-encoding: chunked\r\n",
                        b"\r\n\r\n",
                        b"99999999999999999999",
                        b"\xff\xfe",
                        b"\r\nexpect: 100-continue\r\n",
                        b"\r\nconnection: close\r\n",
                    ])
                    .unwrap();
                bytes.splice(at..at, word.iter().copied());
            }
            _ => bytes.truncate(at.max(1)),
        }
        if bytes.is_empty() {
            bytes.push(b'x');
        }
    }
    bytes
}

/// Twenty seconds; two minutes with `MCPMQTT_TEST_FULL` set.
#[test]
fn mutated_requests_are_answered_or_closed_and_the_status_throughout() {
    let _turn = alone();
    let seconds = if common::size::full_size() { 120 } else { 20 };
    let seed = std::env::var("HTTP_MUTATION_SEED")
        .map_or_else(|_| fastrand::u64(..), |it| it.parse().unwrap());
    println!("HTTP_MUTATION_SEED={seed}");
    let server = Server::start();
    let before = descriptors();
    let valid = valid_requests();
    let (done, sent) = (AtomicBool::new(false), AtomicUsize::new(0));
    std::thread::scope(|scope| {
        for thread in 0..2 {
            let (server, valid, done, sent) = (&server, &valid, &done, &sent);
            scope.spawn(move || {
                let mut random = fastrand::Rng::with_seed(seed + thread);
                while !done.load(Ordering::Relaxed) {
                    let mut client = server.connect();
                    for _ in 0..random.usize(1..4) {
                        let bytes = mutate(&mut random, valid);
                        for piece in bytes.chunks(random.usize(1..2000)) {
                            client.send(piece);
                        }
                    }
                    sent.fetch_add(1, Ordering::Relaxed);
                    // Some leave at once, some wait for the end: with nothing more to come there always is one.
                    if random.u8(..4) > 0 {
                        client.finish();
                        client.rest();
                    }
                }
            });
        }
        let start = Instant::now();
        let mut waits = Vec::new();
        while start.elapsed() < Duration::from_secs(seconds) {
            let asked = Instant::now();
            assert!(server.connect().is_served());
            waits.push(asked.elapsed());
        }
        done.store(true, Ordering::Relaxed);
        waits.sort();
        let p99 = waits[waits.len() * 99 / 100];
        println!("{} asked for the status, p99 {p99:?}", waits.len());
        assert!(p99 < Duration::from_millis(500), "{p99:?}");
    });
    println!("{} mutated connections", sent.load(Ordering::Relaxed));
    assert!(sent.load(Ordering::Relaxed) > 100);
    settles(before);
}

#[test]
fn ten_thousand_connections_opened_and_dropped_leave_nothing() {
    let _turn = alone();
    let limits = Limits {
        connections: 64,
        ..Limits::default()
    };
    let server = Server::with(Wanted {
        limits,
        ..Wanted::default()
    });
    assert!(server.connect().is_served());
    let before = descriptors();
    for n in 0..10_000 {
        let mut client = server.connect();
        match n % 4 {
            0 => {}
            1 => drop(client.send(b"GET /sta")),
            2 => drop(client.send(STATUS)),
            _ => client.finish(),
        }
    }
    assert!(server.connect().is_served());
    settles(before);
}

#[test]
fn slow_heads_on_every_seat_do_not_keep_others_out() {
    let _turn = alone();
    let limits = Limits {
        connections: 32,
        ..Limits::default()
    };
    let server = Server::with(Wanted {
        limits,
        ..Wanted::default()
    });
    let mut slow: Vec<_> = (0..32).map(|_| server.connect()).collect();
    for client in &mut slow {
        client.send(b"GET /status HTTP/1.1\r\nhost: ");
    }
    for _ in 0..100 {
        assert!(server.connect().is_served());
    }
}
