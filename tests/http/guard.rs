//! The HTTP door against time, numbers and strangers: deadlines, seats, budgets, keys, socket files.

use std::fs;
use std::io::{Read as _, Write as _};
use std::os::unix::fs::{FileTypeExt as _, MetadataExt as _, PermissionsExt as _};
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::Path;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use mcpmqtt::http::{Deadlines, Limits, ListenError, Listener};
use mcpmqtt_config::ApiKey;
use serde_json::json;

use crate::common::http_client::Answer;
use crate::common::http_server::{Server, Wanted, generated, hashed, listen, named};
use crate::common::requests::{BOTH, KEY, modern_post, post};
use crate::common::scratch::Scratch;
use crate::common::waiting::eventually;

const SHORT: Duration = Duration::from_millis(60);
const STATUS: &[u8] = b"GET /status HTTP/1.1\r\nhost: localhost\r\n\r\n";
const NOTE: &str = r#"{"jsonrpc":"2.0","method":"x"}"#;
const STATELESS: &str = "mcp-protocol-version: 2026-07-28\r\n";

fn hurried(change: impl FnOnce(&mut Deadlines)) -> Server {
    let mut wanted = Wanted::default();
    change(&mut wanted.deadlines);
    Server::with(wanted)
}

/// A note in the name of this key.
fn note(key: &str) -> Vec<u8> {
    String::from_utf8(post(STATELESS, NOTE))
        .unwrap()
        .replace(KEY, key)
        .into_bytes()
}

fn assert_refused(answer: &Answer, status: u16, sentence: &str) {
    assert_eq!(
        (answer.status, answer.sentence().as_str()),
        (status, sentence)
    );
}

// ---- time

#[test]
fn a_head_that_does_not_come_is_answered_408() {
    let server = hurried(|it| it.head = SHORT);
    let mut client = server.connect();
    client.send(b"GET /status HTTP/1.1\r\nhost: ");
    let answer = client.answer();
    assert_refused(&answer, 408, "the head of the request did not come in time");
    assert!(answer.closes());
    assert!(client.rest().is_empty());
}

#[test]
fn a_head_that_trickles_does_not_put_the_deadline_off() {
    let server = hurried(|it| it.head = Duration::from_millis(300));
    let mut client = server.connect();
    let start = Instant::now();
    // Each byte in time, all of them together not.
    let mut sent = 0;
    while start.elapsed() < Duration::from_millis(900)
        && client.is_silent(Duration::from_millis(20))
    {
        client.send(b"x");
        sent += 1;
    }
    assert!(sent > 3);
    assert_eq!(client.answer().status, 408);
}

#[test]
fn a_body_that_does_not_come_is_answered_408() {
    let server = hurried(|it| it.body = SHORT);
    let mut client = server.connect();
    let request = post(STATELESS, NOTE);
    client.send(&request[..request.len() - 1]);
    assert_refused(&client.answer(), 408, "the body did not come in time");
}

#[test]
fn an_idle_connection_is_closed_without_a_word() {
    let server = hurried(|it| it.idle = SHORT);
    let mut client = server.connect();
    assert!(client.rest().is_empty());
    // A busy machine may hold this test up for longer than that before it asks.
    let mut served = (0..100).filter_map(|_| {
        let mut client = server.connect();
        client.send(STATUS);
        client.status().is_some().then_some(client)
    });
    let mut client = served.next().expect("it asks in time");
    assert_eq!(client.answer().status, 200);
    assert!(client.rest().is_empty());
}

#[test]
fn a_client_that_never_reads_is_given_up() {
    let server = hurried(|it| it.write = SHORT);
    let mut client = server.connect();
    let large = json!({"name": "large", "arguments": {}});
    let request = modern_post(KEY, BOTH, "tools/call", large);
    for _ in 0..20 {
        client.send(&request);
    }
    // Others are served meanwhile.
    assert!(server.connect().is_served());
    // It blocks when the system keeps no more for the two of them, and fails when the server has closed.
    while client.send(&[b' '; 65536]) {}
    assert!(client.rest().len() < 20 * (2 << 20));
}

#[test]
fn a_call_that_takes_too_long_is_given_up() {
    let server = hurried(|it| it.handler = SHORT);
    let wait = json!({"name": "wait", "arguments": {}});
    let answer = server.ask(&modern_post(KEY, BOTH, "tools/call", wait));
    assert_refused(&answer, 503, "the call took too long and was given up");
}

#[test]
fn an_answer_that_refuses_an_upload_arrives_all_the_same() {
    let server = Server::start();
    let body = "x".repeat(4 << 20);
    for _ in 0..10 {
        let mut client = server.connect();
        let request = String::from_utf8(post(STATELESS, &body)).unwrap();
        client.send(request.replace(KEY, "wrong").as_bytes());
        // Before the upload is through, or after 256 KiB of it, the connection may break; the answer may not.
        let answer = client.answer();
        assert!([401, 429].contains(&answer.status), "{}", answer.status);
        assert!(answer.closes());
    }
}

// ---- numbers

#[test]
fn a_newcomer_takes_the_seat_of_whoever_waits_longest_strangers_first() {
    let limits = Limits {
        connections: 3,
        ..Limits::default()
    };
    let server = Server::with(Wanted {
        limits,
        ..Wanted::default()
    });
    let mut known = server.connect();
    known.send(&note(KEY));
    assert_eq!(known.answer().status, 202);
    let mut strangers: Vec<_> = (0..2).map(|_| server.connect()).collect();
    for stranger in &mut strangers {
        assert!(stranger.is_served());
    }
    let mut newcomer = server.connect();
    assert!(newcomer.is_served());
    assert!(strangers[0].rest().is_empty());
    assert!(strangers[1].is_served());
    assert!(known.is_served());
}

#[test]
fn when_everyone_is_being_served_a_newcomer_is_turned_away() {
    let limits = Limits {
        connections: 2,
        ..Limits::default()
    };
    let server = Server::with(Wanted {
        limits,
        ..Wanted::default()
    });
    let wait = json!({"name": "wait", "arguments": {}});
    let wait = modern_post(KEY, BOTH, "tools/call", wait);
    let mut callers = Vec::new();
    for number in 0..2 {
        // One alone has no more than its share.
        let mut caller = server.connect_from(number);
        // Its answer says that the server has begun with what follows it.
        caller.send(&[&note(KEY)[..], &wait].concat());
        assert_eq!(caller.answer().status, 202);
        callers.push(caller);
    }
    let answer = server.connect().answer();
    assert_eq!(
        (answer.status, answer.field("retry-after")),
        (503, Some("1"))
    );
    assert!(answer.closes());
    server.gate.send_blocking(()).unwrap();
    server.gate.send_blocking(()).unwrap();
    for caller in &mut callers {
        assert_eq!(caller.answer().status, 200);
    }
    assert!(server.connect().is_served());
}

#[test]
fn the_last_request_of_a_connection_is_told_to_be_it() {
    let limits = Limits {
        requests_per_connection: 3,
        ..Limits::default()
    };
    let server = Server::with(Wanted {
        limits,
        ..Wanted::default()
    });
    let mut client = server.connect();
    client.send(&STATUS.repeat(4));
    let closes: Vec<_> = (0..3).map(|_| client.answer().closes()).collect();
    assert_eq!(closes, [false, false, true]);
    assert!(client.rest().is_empty());
}

#[test]
fn all_bodies_together_are_bounded() {
    let limits = Limits {
        bodies_bytes: 100,
        ..Limits::default()
    };
    let server = Server::with(Wanted {
        limits,
        ..Wanted::default()
    });
    let mut first = server.connect();
    let request = post(STATELESS, &format!("{NOTE}{}", " ".repeat(60)));
    first.send(&request[..request.len() - 1]);
    let mut second = server.connect();
    // Not before the first one's bytes are there.
    let refused = loop {
        second.send(&request);
        let answer = second.answer();
        if answer.status != 202 {
            break answer;
        }
    };
    assert_eq!(
        (refused.status, refused.field("retry-after")),
        (503, Some("1"))
    );
    first.send(b" ");
    assert_eq!(first.answer().status, 202);
    assert_eq!(server.ask(&request).status, 202);
}

// ---- strangers

#[test]
fn who_shows_wrong_keys_has_to_wait_and_a_proven_key_has_not() {
    let server = Server::start();
    let mut client = server.connect();
    let mut statuses = Vec::new();
    for n in 0..6 {
        let answer = server.ask(&note(&format!("guess-{n}")));
        if answer.status == 429 {
            // Two seconds, less those that have passed.
            assert!(["1", "2"].contains(&answer.field("retry-after").unwrap()));
            assert!(!answer.sentence().is_empty());
        } else {
            let challenge = r#"Bearer realm="mcpmqtt", error="invalid_token""#;
            assert_eq!(answer.field("www-authenticate"), Some(challenge));
        }
        statuses.push(answer.status);
    }
    assert_eq!(statuses, [401, 401, 401, 401, 401, 429]);
    client.send(&note(KEY));
    assert_eq!(client.answer().status, 202);
    assert!(client.is_served());
}

#[test]
fn a_hashed_key_is_proven_once_for_all_who_come_with_it() {
    let (record, key) = hashed(64 * 1024);
    let server = Server::with(Wanted {
        key: record,
        ..Wanted::default()
    });
    assert_eq!(server.ask(&note("wrong")).status, 401);
    // Twenty at once, from a place where someone has just failed.
    let mut clients: Vec<_> = (0..20).map(|_| server.connect()).collect();
    for client in &mut clients {
        client.send(&note(&key));
    }
    for client in &mut clients {
        assert_eq!(client.answer().status, 202);
    }
    // That of the wrong key, and one for all.
    assert_eq!(server.key_hashes(&key), 2);
    for client in &mut clients {
        client.send(&note(&key));
        assert_eq!(client.answer().status, 202);
    }
    assert_eq!(server.key_hashes(&key), 2);
}

#[test]
fn a_generated_key_costs_no_slow_hash_and_nor_does_a_wrong_one() {
    let (record, key) = generated(64 * 1024);
    let server = Server::with(Wanted {
        key: record,
        ..Wanted::default()
    });
    for n in 0..5 {
        assert_eq!(server.ask(&note(&format!("guess-{n}"))).status, 401);
    }
    assert_eq!(server.ask(&note("guess-5")).status, 429);
    assert_eq!(server.ask(&note(&key)).status, 202);
    assert_eq!(server.key_hashes(&key), 0);
}

#[test]
fn a_hundred_named_keys_cost_no_slow_hash_and_an_unknown_key_never_more_than_one() {
    let (callers, texts) = named(100);
    let server = Server::with(Wanted {
        key: ApiKey::None,
        callers: callers.clone(),
        ..Wanted::default()
    });
    assert_eq!(server.ask(&note("unknown")).status, 401);
    for key in &texts {
        assert_eq!(server.ask(&note(key)).status, 202);
    }
    assert_eq!(server.key_hashes(&texts[0]), 0);
    // Beside a single key that only a slow hash can prove.
    let (record, single) = hashed(64);
    let server = Server::with(Wanted {
        key: record,
        callers,
        ..Wanted::default()
    });
    for key in &texts {
        assert_eq!(server.ask(&note(key)).status, 202);
    }
    assert_eq!(server.key_hashes(&texts[0]), 0);
    assert_eq!(server.ask(&note("unknown")).status, 401);
    assert_eq!(
        server.key_hashes(&texts[0]),
        1,
        "whatever the number of keys"
    );
    assert_eq!(server.ask(&note(&single)).status, 202);
    assert_eq!(server.ask(&note("another")).status, 401);
    assert_eq!(server.key_hashes(&single), 2);
}

#[test]
fn an_older_record_costs_a_hash_for_each_key_until_the_right_one_came() {
    let (record, key) = hashed(64);
    let server = Server::with(Wanted {
        key: record,
        ..Wanted::default()
    });
    // An agent with an old key tries it again and again.
    for _ in 0..3 {
        assert_eq!(server.ask(&note("old")).status, 401);
    }
    assert_eq!(server.ask(&note("other")).status, 401);
    assert_eq!(server.ask(&note(&key)).status, 202);
    assert_eq!(server.key_hashes(&key), 3);
    for n in 0..10 {
        assert!([401, 429].contains(&server.ask(&note(&format!("guess-{n}"))).status));
    }
    assert_eq!(server.ask(&note(&key)).status, 202);
    assert_eq!(server.key_hashes(&key), 3);
}

#[test]
fn strangers_who_hammer_do_not_keep_a_proven_key_waiting_nor_the_status() {
    let (record, key) = hashed(64 * 1024);
    let server = Server::with(Wanted {
        key: record,
        ..Wanted::default()
    });
    assert_eq!(server.ask(&note(&key)).status, 202);
    let start = Instant::now();
    let mut strangers: Vec<_> = (0..50).map(|_| server.connect()).collect();
    for (n, stranger) in strangers.iter_mut().enumerate() {
        stranger.send(&note(&format!("guess-{n}")));
    }
    let mut client = server.connect();
    for _ in 0..40 {
        client.send(&note(&key));
        assert_eq!(client.answer().status, 202);
        assert!(client.is_served());
    }
    let mut counts = [0, 0];
    for stranger in &mut strangers {
        match stranger.answer().status {
            401 => counts[0] += 1,
            429 => counts[1] += 1,
            other => panic!("{other}"),
        }
    }
    // Five at first, and one more for each two seconds.
    let most = 6 + start.elapsed().as_secs() / 2;
    assert!(counts[0] <= most, "{counts:?}");
    // That of the right key: there was none that anybody could have waited behind.
    assert_eq!(server.key_hashes(&key), 1);
}

#[test]
fn the_right_key_comes_in_for_the_first_time_while_wrong_ones_hammer_from_the_same_address() {
    let (record, key) = hashed(8 * 1024);
    let server = Server::with(Wanted {
        key: record,
        ..Wanted::default()
    });
    let done = AtomicBool::new(false);
    let refused = AtomicUsize::new(0);
    std::thread::scope(|scope| {
        for n in 0..50 {
            let (server, done, refused) = (&server, &done, &refused);
            scope.spawn(move || {
                for m in 0.. {
                    if done.load(Ordering::Relaxed) {
                        break;
                    }
                    let status = server.ask(&note(&format!("guess-{n}-{m}"))).status;
                    assert!([401, 429].contains(&status), "{status}");
                    refused.fetch_add(usize::from(status == 429), Ordering::Relaxed);
                }
            });
        }
        eventually("strangers are refused", || {
            refused.load(Ordering::Relaxed) >= 20
        });
        // Once, and without a second try.
        let answer = server.ask(&note(&key));
        let known = server.ask(&note(&key));
        done.store(true, Ordering::Relaxed);
        assert_eq!((answer.status, known.status), (202, 202));
    });
}

#[test]
fn the_line_of_those_who_fail_is_bounded_and_holds_nobody_who_left() {
    let (record, key) = hashed(64 * 1024);
    let server = Server::with(Wanted {
        key: record,
        ..Wanted::default()
    });
    for n in 0..5 {
        assert_eq!(server.ask(&note(&format!("guess-{n}"))).status, 401);
    }
    let mut waiting: Vec<_> = (0..80).map(|_| server.connect()).collect();
    for (n, client) in waiting.iter_mut().enumerate() {
        client.send(&note(&format!("again-{n}")));
    }
    // Those beyond the bound are told; the others have their turn, or leave.
    assert_eq!(waiting.pop().unwrap().answer().status, 429);
    let (mut told, mut judged) = (1, 0);
    waiting.retain_mut(|client| {
        let waits = client.is_silent(Duration::from_millis(2));
        if !waits {
            match client.answer().status {
                429 => told += 1,
                _ => judged += 1,
            }
        }
        waits
    });
    assert!((8..60).contains(&told), "{told}");
    waiting.retain_mut(|client| {
        client.is_silent(Duration::from_millis(1)) || {
            judged += 1;
            false
        }
    });
    let left = waiting.len() as u64;
    drop(waiting);
    assert_eq!(server.ask(&note(&key)).status, 202);
    // Its own, the five before, and those whose turn came before they left.
    let of_those_who_left = server.key_hashes(&key) - 6 - judged;
    assert!(
        of_those_who_left < left / 2,
        "{of_those_who_left} of {left}"
    );
}

#[test]
fn listed_hosts_and_origins_are_let_in_and_others_are_not() {
    let server = Server::with(Wanted {
        hosts: &["gateway.example", "10.0.0.7:8080"],
        origins: &["https://app.example"],
        host: "0.0.0.0",
        ..Wanted::default()
    });
    let ask = |host: &str, origin: &str| {
        let text = format!("GET /status HTTP/1.1\r\nhost: {host}\r\n{origin}\r\n");
        server.ask(text.as_bytes()).status
    };
    for (host, status) in [
        ("gateway.example", 200),
        ("GATEWAY.example:8443", 200),
        ("10.0.0.7:8080", 200),
        ("10.0.0.7", 421),
        ("localhost", 421),
        ("gateway.example.evil.example", 421),
    ] {
        assert_eq!(ask(host, ""), status, "{host}");
    }
    for (origin, status) in [
        ("https://app.example", 200),
        ("https://APP.example", 200),
        ("http://app.example", 403),
        ("https://app.example:8443", 403),
        ("http://localhost:3000", 403),
        ("null", 403),
    ] {
        let line = format!("origin: {origin}\r\n");
        assert_eq!(ask("gateway.example", &line), status, "{origin}");
    }
}

#[test]
fn a_network_port_without_a_list_takes_any_host_and_no_foreign_origin() {
    let server = Server::with(Wanted {
        host: "0.0.0.0",
        ..Wanted::default()
    });
    let ask = |fields: &str| {
        server
            .ask(format!("GET /status HTTP/1.1\r\n{fields}\r\n").as_bytes())
            .status
    };
    assert_eq!(ask("host: anything.example\r\n"), 200);
    assert_eq!(
        ask("host: evil.example\r\norigin: http://evil.example\r\n"),
        403
    );
    assert_eq!(ask(""), 400);
}

#[test]
fn the_status_is_true_at_every_moment() {
    let server = Server::start();
    let mut client = server.connect();
    for connected in [false, true, false] {
        server
            .mqtt_connected
            .store(connected, std::sync::atomic::Ordering::Relaxed);
        client.send(STATUS);
        let answer = client.answer();
        assert_eq!(
            answer.json(),
            json!({"running": true, "mqtt_connected": connected})
        );
    }
}

// ---- socket files

#[test]
fn a_socket_file_has_its_mode_serves_and_is_gone_afterwards() {
    let folder = Scratch::new();
    let path = folder.path("socket");
    for mode in [0o600, 0o660, 0o666] {
        let listener = listen(&path, mode).unwrap();
        assert_eq!(
            fs::metadata(&path).unwrap().permissions().mode() & 0o777,
            mode
        );
        drop(listener);
        assert!(!path.exists());
    }
    let mut server = Server::with(Wanted {
        file: Some(path.clone()),
        ..Wanted::default()
    });
    let mut client = server.connect();
    // No host is needed there, and any will do.
    client.send(b"GET /status HTTP/1.1\r\n\r\n");
    assert_eq!(client.answer().status, 200);
    client.send(b"GET /status HTTP/1.1\r\nhost:\r\n\r\n");
    assert_eq!(client.answer().status, 200);
    client.send(b"GET /status HTTP/1.1\r\nhost: evil.example\r\n\r\n");
    assert_eq!(client.answer().status, 200);
    client.send(&note(KEY));
    assert_eq!(client.answer().status, 202);
    assert_eq!(server.ask(&note("wrong")).status, 401);
    server.stop();
    assert!(!path.exists());
}

#[test]
fn a_stale_socket_is_replaced() {
    let folder = Scratch::new();
    let path = folder.path("socket");
    drop(UnixListener::bind(&path).unwrap());
    assert!(path.exists());
    let server = Server::with(Wanted {
        file: Some(path),
        ..Wanted::default()
    });
    assert!(server.connect().is_served());
}

#[test]
fn the_socket_of_a_live_server_is_left_alone() {
    let folder = Scratch::new();
    let path = folder.path("socket");
    let server = Server::with(Wanted {
        file: Some(path.clone()),
        ..Wanted::default()
    });
    let error = listen(&path, 0o600).unwrap_err();
    assert!(matches!(error, ListenError::Taken(_)), "{error:?}");
    let place = path.display();
    assert_eq!(
        error.to_string(),
        format!("another server listens on `{place}`; stop it or choose another place")
    );
    assert!(server.connect().is_served());
}

#[test]
fn what_is_no_socket_is_left_alone() {
    let folder = Scratch::new();
    let path = folder.file("plain", "precious");
    let error = listen(&path, 0o600).unwrap_err();
    assert!(matches!(error, ListenError::NotASocket(_)), "{error:?}");
    assert_eq!(fs::read_to_string(&path).unwrap(), "precious");
    let link = path.with_extension("link");
    std::os::unix::fs::symlink(&path, &link).unwrap();
    listen(&link, 0o600).unwrap_err();
    assert_eq!(fs::read_to_string(&path).unwrap(), "precious");
}

#[test]
fn a_file_that_someone_else_has_put_there_is_not_removed() {
    let folder = Scratch::new();
    let path = folder.path("socket");
    let listener = listen(&path, 0o600).unwrap();
    fs::remove_file(&path).unwrap();
    let theirs = UnixListener::bind(&path).unwrap();
    let inode = fs::metadata(&path).unwrap().ino();
    drop(listener);
    let left = fs::metadata(&path).unwrap();
    assert!(left.file_type().is_socket() && left.ino() == inode);
    drop(theirs);
}

#[test]
fn a_place_that_cannot_be_had_is_named() {
    let missing = Path::new("/nonexistent/folder/s");
    let error = listen(missing, 0o600).unwrap_err().to_string();
    assert!(error.contains("/nonexistent/folder/s"), "{error}");
    let taken = smol::block_on(Listener::tcp("127.0.0.1", 0)).unwrap();
    let port: u16 = taken.place().rsplit(':').next().unwrap().parse().unwrap();
    let error = smol::block_on(Listener::tcp("127.0.0.1", port)).unwrap_err();
    assert!(matches!(error, ListenError::Taken(_)), "{error:?}");
}

#[test]
fn nothing_reaches_a_server_that_has_stopped() {
    let folder = Scratch::new();
    let path = folder.path("socket");
    let mut server = Server::with(Wanted {
        file: Some(path.clone()),
        ..Wanted::default()
    });
    let mut waiting = UnixStream::connect(&path).unwrap();
    server.stop();
    let _ = waiting.write_all(STATUS);
    let mut rest = Vec::new();
    let _ = waiting.read_to_end(&mut rest);
    assert!(rest.is_empty());
    UnixStream::connect(&path).unwrap_err();
}

/// They are read once and written nowhere, so they may be as long as a head.
#[test]
fn the_fields_of_a_call_may_fill_the_whole_head() {
    let server = Server::with(Wanted {
        hosts: &["a"],
        ..Wanted::default()
    });
    let head = |name: usize| {
        let fields = "mcp-param-a:b\r\n".repeat(58);
        let name = "x".repeat(name);
        format!("GET /mcp HTTP/1.1\r\nhost:a\r\nx-api-key:{KEY}\r\n{fields}mcp-name:{name}\r\n\r\n")
    };
    let room = 32 * 1024 - head(0).len();
    let answer = server.ask(head(room).as_bytes());
    let reason = "`mcp-session-id` is missing; begin with `initialize`, or name the version in `params._meta`";
    assert_refused(&answer, 400, reason);
    let answer = server.ask(head(room + 1).as_bytes());
    assert_eq!(answer.status, 431);
}
