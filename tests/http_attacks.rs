//! Clients that hold what others need: an undisturbed agent with the right key loses no call by them, over TCP and
//! over the Unix socket.
//!
//! With `MCPMQTT_TEST_FULL` set each attack has the size at which it was first seen.
#![allow(clippy::unwrap_used, clippy::print_stdout)]

mod harness;
mod support;

use std::time::Duration;

use harness::{Scratch, full_size};
use mcpmqtt::http::{Deadlines, Limits};
use support::bystander::{Bystander, Place};
use support::http::{Client, KEY, Server, Wanted};

/// Attacks a server over TCP and one over the Unix socket while a bystander calls.
fn under_attack(limits: Limits, attack: impl Fn(&Server, &Bystander)) {
    let folder = Scratch::new();
    for file in [None, Some(folder.path("socket"))] {
        let place = file.clone();
        let server = Server::with(Wanted {
            limits,
            file,
            // As it is in the field; a deadline that comes soon must not be what helps.
            deadlines: Deadlines::default(),
            ..Wanted::default()
        });
        let place = place.map_or_else(|| Place::Tcp(server.port()), Place::Unix);
        println!("{place:?}");
        let bystander = Bystander::start(place, KEY);
        bystander.after(5);
        attack(&server, &bystander);
        bystander.stop().assert_undisturbed(20);
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

/// Sends `request` on 284 new connections a second, keeps the newest `held` of them open and reads nothing.
fn flood(server: &Server, held: usize, request: &[u8]) {
    let mut open = std::collections::VecDeque::<Client>::new();
    for _ in 0..284 * seconds() {
        let mut client = server.connect();
        client.send(request);
        open.push_back(client);
        if open.len() > held {
            open.pop_front();
        }
        std::thread::sleep(Duration::from_micros(3500));
    }
}

#[test]
fn whoever_has_its_last_answer_and_does_not_close_holds_no_place() {
    let limits = limits();
    under_attack(limits, |server, _| {
        let request = b"GET /status HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\n\r\n";
        flood(server, limits.connections + 44, request);
    });
}

#[test]
fn whoever_is_refused_with_a_body_unread_holds_no_place() {
    let limits = limits();
    under_attack(limits, |server, _| {
        let request = b"POST /mcp HTTP/1.1\r\nhost: localhost\r\nx-api-key: \r\n\
                        content-type: application/json\r\ncontent-length: 100000\r\n\r\n{";
        flood(server, limits.connections + 44, request);
    });
}

#[test]
fn whoever_sends_half_a_head_holds_no_place() {
    let limits = limits();
    under_attack(limits, |server, _| {
        flood(
            server,
            limits.connections + 44,
            b"GET /status HTTP/1.1\r\nhost: ",
        );
    });
}

#[test]
fn whoever_reads_none_of_its_answers_holds_no_place() {
    let limits = limits();
    under_attack(limits, |server, bystander| {
        let requests = b"GET /status HTTP/1.1\r\nhost: localhost\r\n\r\n".repeat(500);
        let mut open = Vec::new();
        for _ in 0..limits.connections {
            let mut client = server.connect();
            client.write_some(&requests);
            open.push(client);
        }
        bystander.after(if full_size() { 200 } else { 30 });
    });
}
