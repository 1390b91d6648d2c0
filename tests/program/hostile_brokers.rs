//! Brokers that break the protocol: each ends its connection with a reason, never the program.

use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};

use serde_json::{Value, json};

use crate::common::agent::Agent;
use crate::common::config::open_config;
use crate::common::scratch::Scratch;
use crate::common::waiting::{PATIENCE, eventually};

const ACCEPTED: &[u8] = &[0x20, 2, 0, 0];

/// What the broker says behind CONNACK 0 (or instead of it, where the bytes begin the connection),
/// and words of the reason in the log.
fn cases() -> Vec<(Vec<u8>, &'static str)> {
    let after = |bytes: &[u8]| [ACCEPTED, bytes].concat();
    let mut cases = vec![
        (vec![0x20, 2, 0, 1], "does not speak MQTT 3.1.1"),
        (vec![0x20, 2, 0, 2], "refused the client id"),
        (vec![0x20, 2, 0, 3], "unavailable"),
        (vec![0x20, 2, 0, 4], "refused the user name or password"),
        (vec![0x20, 2, 0, 5], "does not authorize"),
        (vec![0x20, 2, 0, 6], "broke the protocol"),
        (vec![0x20, 2, 1, 0], "claims a session"),
        (vec![0x20, 2, 1, 5], "broke the protocol"),
        (vec![0x20, 2, 2, 0], "broke the protocol"),
        (vec![0x20, 0], "broke the protocol"),
        (vec![0x20, 3, 0, 0, 0], "broke the protocol"),
        (vec![0x21, 2, 0, 0], "broke the protocol"),
        (vec![0xD0, 0], "first packet was not CONNACK"),
        (
            vec![0x30, 4, 0, 1, b'a', b'x'],
            "first packet was not CONNACK",
        ),
        (
            b"HTTP/1.1 400 Bad Request\r\n\r\n".to_vec(),
            "an HTTP server answers",
        ),
        (b"SSH-2.0-OpenSSH_9.2\r\n".to_vec(), "an SSH server answers"),
        (vec![0x15, 3, 1, 0, 2, 2, 0x46], "speaks TLS"),
        (vec![0x20, 3, 0, 0x84, 0], "MQTT 5"),
        (vec![], "without an answer to CONNECT"),
        (after(ACCEPTED), "second CONNACK"),
        (after(&[0x90, 3, 0, 9, 0]), "packet id"),
        (after(&[0xB0, 2, 0, 9]), "packet id"),
    ];
    let malformed: &[&[u8]] = &[
        &[0x40, 0],
        &[0x40, 2, 0, 0],
        &[0x41, 2, 0, 1],
        &[0x40, 3, 0, 1, 0],
        &[0x50, 0],
        &[0x60, 2, 0, 1],
        &[0x62, 0],
        &[0x70, 1, 0],
        &[0x90, 0],
        &[0x90, 2, 0, 1],
        &[0x90, 3, 0, 1, 3],
        &[0x90, 3, 0, 1, 0x81],
        &[0xB0, 0],
        &[0xD0, 1, 0],
        &[0xD1, 0],
        &[0x30, 0],
        &[0x30, 2, 0, 0],
        &[0x30, 3, 0, 0, 1],
        &[0x30, 4, 0, 9, b'a', b'x'],
        &[0x30, 4, 0, 1, 0, b'x'],
        &[0x30, 5, 0, 2, b'a', b'#', b'x'],
        &[0x30, 5, 0, 2, b'+', b'/', b'x'],
        &[0x30, 3, 0, 1, 0xFF],
        &[0x30, 5, 0, 3, 0xED, 0xA0, 0x80],
        &[0x32, 5, 0, 1, b'a', 0, 0],
        &[0x32, 2, 0, 0],
        &[0x36, 6, 0, 1, b'a', 0, 1, b'x'],
        &[0x38, 4, 0, 1, b'a', b'x'],
        &[0x30, 0xFF, 0xFF, 0xFF, 0xFF],
        &[0x90, 0xFF, 0xFF, 0xFF, 0x7F],
        &[0x00, 0xFF, 0xFF, 0xFF, 0x7F],
        &[0xF0, 0],
        &[0x10, 0],
        &[0x82, 0],
        &[0xA2, 0],
        &[0xC0, 0],
        &[0xE0, 0],
    ];
    cases.extend(
        malformed
            .iter()
            .map(|bytes| (after(bytes), "broke the protocol")),
    );
    cases
}

/// Reads the CONNECT and says `bytes`, then reads until the client has closed.
fn serve(stream: &mut TcpStream, bytes: &[u8]) {
    stream.set_read_timeout(Some(PATIENCE)).unwrap();
    read_packet(stream).expect("CONNECT");
    stream.write_all(bytes).unwrap();
    if bytes.is_empty() {
        return;
    }
    let mut rest = Vec::new();
    let closed = stream.read_to_end(&mut rest);
    assert!(
        closed.is_ok() || rest.is_empty(),
        "the client does not close on {bytes:02x?}"
    );
}

fn read_packet(stream: &mut TcpStream) -> Option<Vec<u8>> {
    let mut head = [0; 2];
    stream.read_exact(&mut head).ok()?;
    assert!(head[1] < 0x80, "packets of this test are short");
    let mut body = vec![0; head[1].into()];
    stream.read_exact(&mut body).ok()?;
    Some([&head[..], &body].concat())
}

#[test]
fn a_broker_that_breaks_the_protocol_loses_the_connection_and_nothing_else() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let mut config = open_config(listener.local_addr().unwrap().port());
    config["mqtt"]["backoff"] = json!({
        "initial": 0.01, "max": 0.02, "refused_initial": 0.01, "refused_max": 0.02,
    });
    config["logging"] = json!({"level": "DEBUG"});
    config["mqtt"]["username"] = json!("u");
    let mut agent = Agent::start(&config);
    let cases = cases();
    assert!(cases.len() > 50);
    for (bytes, _) in &cases {
        let (mut stream, _) = listener.accept().unwrap();
        serve(&mut stream, bytes);
    }
    // The next broker is a decent one.
    let (mut stream, _) = listener.accept().unwrap();
    read_packet(&mut stream).expect("CONNECT");
    stream.write_all(ACCEPTED).unwrap();
    let publish = loop {
        // Until it is connected, calls tell the last reason.
        let call = agent.tool(
            "mqtt_publish",
            json!({"topic": "t/a", "payload": "x", "qos": 1, "timeout": 60}),
        );
        stream
            .set_read_timeout(Some(std::time::Duration::from_millis(200)))
            .unwrap();
        if let Some(packet) = read_packet(&mut stream) {
            assert_eq!(packet[0], 0x32);
            let id = &packet[packet.len() - 3..packet.len() - 1];
            stream.write_all(&[0x40, 2, id[0], id[1]]).unwrap();
            break call;
        }
        assert!(call.error().contains("not connected"));
    };
    assert_eq!(publish.structured()["outcome"], "delivered");
    let (code, log) = agent.finish();
    assert_eq!(code, Some(0));
    let reasons: Vec<&str> = log
        .lines()
        .filter(|line| line.contains("next attempt in"))
        .collect();
    assert_eq!(reasons.len(), cases.len(), "{log}");
    for ((bytes, words), reason) in cases.iter().zip(reasons) {
        assert!(reason.contains(words), "{bytes:02x?}: {reason}");
    }
}

/// The next connection, with its CONNECT read and accepted.
fn accept(listener: &TcpListener) -> TcpStream {
    let (mut stream, _) = listener.accept().unwrap();
    stream.set_read_timeout(Some(PATIENCE)).unwrap();
    let connect = read_packet(&mut stream).expect("CONNECT");
    assert_eq!(connect[0], 0x10);
    stream.write_all(ACCEPTED).unwrap();
    stream
}

/// Reads the next SUBSCRIBE and answers it with this code, if any.
fn subscribed(stream: &mut TcpStream, code: Option<u8>) {
    let subscribe = read_packet(stream).expect("SUBSCRIBE");
    assert_eq!(subscribe[0], 0x82);
    if let Some(code) = code {
        let suback = [0x90, 3, subscribe[2], subscribe[3], code];
        stream.write_all(&suback).unwrap();
    }
}

/// An agent and the broker that it is connected to.
fn connected(listener: &TcpListener, change: impl FnOnce(&mut Value)) -> (Agent, TcpStream) {
    let mut config = open_config(listener.local_addr().unwrap().port());
    config["mqtt"]["keepalive"] = json!(600);
    config["mqtt"]["backoff"] = json!({"initial": 0.01, "max": 0.02});
    change(&mut config);
    let mut agent = Agent::start(&config);
    let stream = accept(listener);
    // Connected is what it is once a message goes out.
    let call = json!({"topic": "t/first", "payload": "x"});
    eventually("it is connected", || {
        let answer = agent.tool("mqtt_publish", call.clone()).wait();
        answer["result"]["isError"] != true
    });
    let mut first = stream.try_clone().unwrap();
    assert_eq!(read_packet(&mut first).unwrap()[0], 0x30);
    (agent, stream)
}

#[test]
fn a_subscription_that_is_never_acknowledged_is_told_so() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let (mut agent, mut stream) = connected(&listener, |_| {});
    let call = agent.tool("mqtt_subscribe", json!({"topic": "t/a", "timeout": 1}));
    subscribed(&mut stream, None);
    assert_eq!(
        call.error(),
        "not subscribed: the broker did not acknowledge the subscription within 1 s. Nothing was received."
    );
}

#[test]
fn a_connection_that_is_lost_before_the_acknowledgement_and_not_found_again_is_told_with_the_cause()
{
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let (mut agent, mut stream) = connected(&listener, |_| {});
    let call = agent.tool("mqtt_subscribe", json!({"topic": "t/a", "timeout": 1}));
    subscribed(&mut stream, None);
    drop(listener);
    drop(stream);
    let said = call.error();
    assert!(
        said.contains("connection refused") || said.contains("closed"),
        "{said}"
    );
}

#[test]
fn one_call_too_many_that_waits_is_refused_at_once_and_the_others_go_on() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let one = |config: &mut Value| config["limits"] = json!({"listeners": 1});
    let (mut agent, mut stream) = connected(&listener, one);
    let first = agent.tool("mqtt_subscribe", json!({"topic": "t/a", "timeout": 60}));
    subscribed(&mut stream, Some(0));
    let second = agent.tool("mqtt_subscribe", json!({"topic": "t/b", "timeout": 60}));
    let said = second.error();
    assert!(
        said.contains("(`limits.listeners`), 1 of 1 are in use"),
        "{said}"
    );
    stream.write_all(b"\x30\x06\0\x03t/ax").unwrap();
    assert_eq!(first.structured()["messages_received"], 1);
}

#[test]
fn a_subscription_that_is_not_granted_again_after_an_outage_ends_the_wait_with_the_reason() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let (mut agent, mut stream) = connected(&listener, |_| {});
    let call = agent.tool("mqtt_read", json!({"topic": "t/a", "timeout": 60}));
    subscribed(&mut stream, Some(0));
    drop(stream);
    let mut stream = accept(&listener);
    subscribed(&mut stream, Some(0x80));
    let said = call.error();
    assert!(said.contains("refused"), "{said}");
}

#[test]
fn whoever_waits_long_hears_that_the_call_goes_on() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let (mut agent, mut stream) = connected(&listener, |_| {});
    let broker = std::thread::spawn(move || {
        subscribed(&mut stream, Some(0));
        stream
    });
    let call = agent.listening("mqtt_subscribe", json!({"topic": "t/a", "timeout": 60}));
    let mut stream = broker.join().unwrap();
    let again = agent.others.recv_timeout(PATIENCE).unwrap();
    assert_eq!(again["method"], "notifications/progress");
    assert_eq!(again["params"]["total"], 60.0);
    let elapsed = again["params"]["progress"].as_f64().unwrap();
    assert!((2.0..60.0).contains(&elapsed), "{again}");
    stream.write_all(b"\x30\x06\0\x03t/ax").unwrap();
    assert_eq!(call.structured()["messages_received"], 1);
}

/// A broker that takes every connection and grants every filter. Behind the SUBACK for a filter that
/// contains `trigger` it sends `stored`. The number of connections it took is in `taken`.
fn storing(
    listener: TcpListener,
    trigger: &'static str,
    stored: &'static [u8],
    taken: std::sync::Arc<std::sync::atomic::AtomicUsize>,
) {
    std::thread::spawn(move || {
        for stream in listener.incoming() {
            let mut stream = stream.unwrap();
            taken.fetch_add(1, std::sync::atomic::Ordering::SeqCst);
            while let Some(packet) = read_packet(&mut stream) {
                let answer = match packet[0] {
                    0x10 => ACCEPTED.to_vec(),
                    0x82 => {
                        let text = String::from_utf8_lossy(&packet);
                        let filters = text.matches("t/").count();
                        let mut suback = vec![0x90, u8::try_from(2 + filters).unwrap()];
                        suback.extend([packet[2], packet[3]]);
                        suback.extend(vec![0; filters]);
                        if text.contains(trigger) {
                            suback.extend(stored);
                        }
                        suback
                    }
                    0xA2 => vec![0xB0, 2, packet[2], packet[3]],
                    0xC0 => vec![0xD0, 0],
                    0x32 => vec![0x40, 2, packet[packet.len() - 3], packet[packet.len() - 2]],
                    _ => Vec::new(),
                };
                if stream.write_all(&answer).is_err() {
                    break;
                }
            }
        }
    });
}

/// Retained messages that no client can take: the read that asks for them ends, at the cost of two
/// connections and no more however often it is asked again, and the other calls go on.
#[test]
fn what_cannot_be_taken_ends_the_call_that_brings_it_and_no_other() {
    let cases: [(&str, &[u8], &str); 4] = [
        (
            "t/+",
            &[0x31, 6, 0, 3, b't', b'/', 0xFF, b'x'],
            "is not UTF-8",
        ),
        (
            "t/#",
            &[0x31, 6, 0, 3, b't', b'/', 0, b'x'],
            "contains U+0000",
        ),
        (
            "t/bad",
            &[0x33, 10, 0, 5, b't', b'/', b'b', b'a', b'd', 0, 0, b'x'],
            "packet id 0",
        ),
        (
            "t/bad",
            &[0x39, 8, 0, 5, b't', b'/', b'b', b'a', b'd', b'x'],
            "DUP flag",
        ),
    ];
    for (filter, stored, words) in cases {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let port = listener.local_addr().unwrap().port();
        let taken = std::sync::Arc::new(std::sync::atomic::AtomicUsize::new(0));
        storing(listener, filter, stored, std::sync::Arc::clone(&taken));
        let mut config = open_config(port);
        config["mqtt"]["backoff"] = json!({"initial": 0.01, "max": 0.02});
        let mut agent = Agent::start(&config);
        let first = json!({"topic": "t/first", "payload": "x", "qos": 1});
        agent.tool("mqtt_publish", first).structured();
        let other = json!({"topic": "t/good", "timeout": 300});
        let other = agent.listening("mqtt_subscribe", other);
        for _ in 0..5 {
            let read = agent.tool("mqtt_read", json!({"topic": filter, "timeout": 60}));
            let said = read.error();
            assert!(said.contains(words) && said.contains("given up"), "{said}");
        }
        eventually("it is connected", || {
            let call = json!({"topic": "t/last", "payload": "x", "qos": 1});
            agent.tool("mqtt_publish", call).wait()["result"]["isError"] != true
        });
        let connections = taken.load(std::sync::atomic::Ordering::SeqCst);
        assert_eq!(connections, 3, "{words}");
        assert!(other.is_pending(), "{words}");
        let (_, log) = agent.finish();
        assert_eq!(log.matches("next attempt in").count(), 2, "{log}");
    }
}

/// The same for a watch.
#[test]
fn what_cannot_be_taken_ends_the_watch_that_brings_it() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    let taken = std::sync::Arc::new(std::sync::atomic::AtomicUsize::new(0));
    storing(
        listener,
        "t/bad",
        &[0x33, 10, 0, 5, b't', b'/', b'b', b'a', b'd', 0, 0, b'x'],
        std::sync::Arc::clone(&taken),
    );
    let mut config = open_config(port);
    config["mqtt"]["backoff"] = json!({"initial": 0.01, "max": 0.02});
    let scratch = Scratch::new();
    let log = scratch.path("log");
    config["logging"] = json!({"logfile": log});
    let mut agent = Agent::start(&config);
    let watch = json!({"uri": "mqtt://topic/t/bad"});
    let watched = agent.request("resources/subscribe", watch).wait();
    eventually("a read is refused", || {
        let read = agent.tool("mqtt_read", json!({"topic": "t/bad", "timeout": 60}));
        read.error().contains("given up")
    });
    // The watch ends with the reason, before it is granted or after; nothing more is asked of the broker.
    eventually("the watch has ended", || {
        let log = std::fs::read_to_string(&log).unwrap_or_default();
        watched.to_string().contains("cannot be watched") || log.contains("cannot be watched")
    });
    // What made the watch end was a cut: the connection comes back by itself.
    eventually("a publish of others", || {
        let publish = json!({"topic": "t/first", "payload": "x", "qos": 1});
        let published = agent.tool("mqtt_publish", publish).wait();
        published["result"]["structuredContent"]["outcome"] == "delivered"
    });
    assert_eq!(taken.load(std::sync::atomic::Ordering::SeqCst), 3);
}

/// A broker that takes the connection and says nothing: a call that waits for the first connection hears
/// so when the attempt is over, not at the end of its own time.
#[test]
fn a_call_that_waits_for_the_first_connection_hears_that_the_attempt_timed_out() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let mut config = open_config(listener.local_addr().unwrap().port());
    config["mqtt"]["connect_timeout"] = json!(1);
    let mut agent = Agent::start(&config);
    let calls = [
        agent.tool("mqtt_subscribe", json!({"topic": "t/a", "timeout": 300})),
        agent.tool("mqtt_read", json!({"topic": "t/a", "timeout": 300})),
        agent.tool("mqtt_publish", json!({"topic": "t/a", "payload": "x", "timeout": 300})),
        agent.tool(
            "mqtt_query",
            json!({"request_topic": "t/a", "response_topic": "t/b", "payload": "x", "timeout": 300}),
        ),
    ];
    for call in calls {
        let said = call.error();
        assert!(
            said.contains("no answer within the connect timeout of 1 s"),
            "{said}"
        );
    }
}

/// Messages that a broker kept for us from before the start are of no use, but the operator hears that they
/// are gone.
#[test]
fn a_session_from_before_the_start_is_ended_and_the_log_says_so() {
    let broker = crate::common::mosquitto::Mosquitto::start();
    let mut config = open_config(broker.port);
    config["mqtt"]["client_id"] = json!("me");
    config["mqtt"]["clean_session"] = json!(false);
    for run in 0..2 {
        let mut agent = Agent::start(&config);
        eventually("it is connected", || {
            let call = json!({"topic": "t/a", "payload": "x", "qos": 2});
            agent.tool("mqtt_publish", call).wait()["result"]["isError"] != true
        });
        let (_, log) = agent.finish();
        let told = "still had a session of this client id from before this start; it is ended";
        assert_eq!(log.matches(told).count(), run, "{log}");
    }
}

/// mosquitto answers a wrong password as it answers a client that may not connect.
#[test]
fn a_wrong_password_is_told_by_its_name() {
    let scratch = Scratch::new();
    let passwords = scratch.path("passwords");
    let made = std::process::Command::new("mosquitto_passwd")
        .args(["-b", "-c", passwords.to_str().unwrap(), "me", "right"])
        .status();
    assert!(made.unwrap().success());
    let readable = std::process::Command::new("chmod")
        .args(["a+r", passwords.to_str().unwrap()])
        .status();
    assert!(readable.unwrap().success());
    let options = format!("password_file {}\n", passwords.display());
    let broker = crate::common::mosquitto::Mosquitto::with(&options, &[]);
    let mut config = open_config(broker.port);
    config["mqtt"]["username"] = json!("me");
    config["mqtt"]["password"] = json!("wrong");
    let said = crate::common::agent::refusal(&config);
    assert!(said.contains("`mqtt.username`, `mqtt.password`"), "{said}");
}

/// Each line of the log names the broker once.
#[test]
fn the_log_names_the_broker_once() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let closing = listener.local_addr().unwrap().port();
    std::thread::spawn(move || listener.incoming().for_each(drop));
    for port in [crate::common::ports::free_port(), closing] {
        let config = open_config(port);
        let mut agent = Agent::start(&config);
        eventually("an attempt fails", || {
            let call = json!({"topic": "t/a", "payload": "x", "timeout": 0.2});
            agent
                .tool("mqtt_publish", call)
                .error()
                .contains("not connected")
        });
        let (_, log) = agent.finish();
        let failed = |line: &&str| line.contains("next attempt in");
        let lines: Vec<&str> = log.lines().filter(failed).collect();
        assert!(!lines.is_empty(), "{log}");
        for line in lines {
            let named = line.matches(&format!("127.0.0.1:{port}")).count();
            assert_eq!(named, 1, "{line}");
        }
    }
}
