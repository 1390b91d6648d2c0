//! The demonstration over real TCP, watched and worked with mosquitto's clients.

use std::io::{Read, Write};
use std::net::TcpStream;
use std::thread::JoinHandle;

use mcpmqtt::demo;
use serde_json::Value;

use crate::common::mosquitto::Clients;
use crate::common::waiting::PATIENCE;

/// A demonstration on a thread of its own, stopped when dropped.
struct Running {
    clients: Clients,
    stop: Option<async_channel::Sender<()>>,
    thread: Option<JoinHandle<()>>,
}

impl Running {
    fn start() -> Self {
        let (started, port) = std::sync::mpsc::channel();
        let (stop, stopped) = async_channel::bounded::<()>(1);
        let thread = std::thread::spawn(move || {
            let executor = smol::LocalExecutor::new();
            async_io::block_on(executor.run(async {
                let demo = demo::start(&executor).await.unwrap();
                started.send(demo.port()).unwrap();
                let _ = stopped.recv().await;
            }));
        });
        Self {
            clients: Clients(port.recv().unwrap()),
            stop: Some(stop),
            thread: Some(thread),
        }
    }

    fn connect(&self) -> TcpStream {
        let stream = TcpStream::connect(("127.0.0.1", self.clients.0)).unwrap();
        stream.set_read_timeout(Some(PATIENCE)).unwrap();
        stream
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        self.stop.take();
        let ended = self.thread.take().unwrap().join();
        assert!(ended.is_ok() || std::thread::panicking());
    }
}

/// What `mosquitto_sub` prints of one topic's next `count` messages, `then` done once it listens.
fn next(demo: &Running, count: u32, topic: &str, then: impl FnOnce()) -> String {
    let count = count.to_string();
    let args = [
        "-t", topic, "-C", &count, "-F", "%t %r %p", "-q", "2", "-W", "60",
    ];
    demo.clients.subscribe(&args, then)
}

#[test]
fn the_plants_state_is_there_for_who_comes_and_goes_on() {
    let demo = Running::start();
    // Two values of each of six rooms, and then of the five whose sensors live.
    let seen = next(&demo, 12 + 10, "sensors/#", || {});
    let lines: Vec<&str> = seen.lines().collect();
    assert_eq!(lines.len(), 22, "{seen}");
    let (kept, fresh) = lines.split_at(12);
    for line in kept {
        let parts: Vec<&str> = line.split(' ').collect();
        let [topic, "1", value] = parts[..] else {
            panic!("not retained: {line}")
        };
        let value: f64 = value.parse().unwrap();
        assert!((10.0..=80.0).contains(&value), "{topic} {value}");
    }
    for line in fresh {
        assert!(line.split(' ').nth(1) == Some("0"), "not fresh: {line}");
        assert!(!line.contains("exampleroom5"), "it died: {line}");
    }
    let system = next(&demo, 1, "status/system", || {});
    let system = system.strip_prefix("status/system 1 ").unwrap();
    let system: Value = serde_json::from_str(system).unwrap();
    assert_eq!(system["lights_on"], 0);
}

#[test]
fn a_light_is_switched_and_reports_it() {
    let demo = Running::start();
    let topic = "status/lights/exampleroom1";
    for (state, kept) in [("on", "off"), ("on", "on"), ("off", "on")] {
        let actuator = format!("actuators/lights/exampleroom1/{state}");
        let seen = next(&demo, 2, topic, || {
            demo.clients
                .publish(&["-t", &actuator, "-m", "x", "-q", "1"]);
        });
        assert_eq!(seen, format!("{topic} 1 {kept}\n{topic} 0 {state}\n"));
    }
}

#[test]
fn each_command_is_answered_by_the_state_that_holds_then() {
    let demo = Running::start();
    for (command, payload, topic, kept, state) in [
        (
            "line/motor4/set",
            "1200",
            "line/motor4/setpoint",
            "0",
            "1200",
        ),
        (
            "line/motor4/set",
            "9000",
            "line/motor4/setpoint",
            "1200",
            "1200",
        ),
        (
            "tank/valve/set",
            "open",
            "tank/valve/state",
            "closed",
            "open",
        ),
        (
            "actuators/lights/exampleroom2/set",
            "on",
            "status/lights/exampleroom2",
            "off",
            "on",
        ),
        // The light that does not obey.
        (
            "actuators/lights/exampleroom3/set",
            "on",
            "status/lights/exampleroom3",
            "off",
            "off",
        ),
    ] {
        let seen = next(&demo, 2, topic, || {
            demo.clients
                .publish(&["-t", command, "-m", payload, "-q", "1"]);
        });
        assert_eq!(seen, format!("{topic} 1 {kept}\n{topic} 0 {state}\n"));
    }
}

#[test]
fn a_device_answers_its_requests() {
    let demo = Running::start();
    let topic = "commands/exampleroom2/response";
    for (request, answer) in [
        ("ping", "pong"),
        ("get_status", "{\"room\":\"exampleroom2\","),
        ("jump", "{\"error\":\"unknown command `jump`\""),
    ] {
        let seen = next(&demo, 1, topic, || {
            let to = "commands/exampleroom2/request";
            demo.clients.publish(&["-t", to, "-m", request, "-q", "2"]);
        });
        assert!(seen.starts_with(&format!("{topic} 0 {answer}")), "{seen}");
    }
}

#[test]
fn bursts_at_each_qos_arrive_whole_and_in_order() {
    let demo = Running::start();
    let lines: Vec<String> = (0..3000).map(|n| format!("message {n}")).collect();
    let lines = lines.join("\n") + "\n";
    for qos in ["0", "1", "2"] {
        let topic = format!("burst/{qos}");
        let args = ["-t", &topic, "-C", "3000", "-q", qos, "-W", "60"];
        let seen = demo.clients.subscribe(&args, || {
            demo.clients
                .publish_lines(&["-t", &topic, "-q", qos], &lines);
        });
        assert!(
            seen == lines,
            "QoS {qos}: {} of 3000 lines, or out of order",
            seen.lines().count()
        );
    }
}

#[test]
fn a_kept_session_gets_what_came_while_it_was_away() {
    let demo = Running::start();
    let session = ["-i", "keeper", "-c", "-t", "kept/#", "-q", "1"];
    demo.clients
        .subscribe(&[&session[..], &["-E"]].concat(), || {});
    for payload in ["one", "two"] {
        demo.clients
            .publish(&["-t", "kept/x", "-m", payload, "-q", "1"]);
    }
    let back = [&session[..], &["-C", "2", "-W", "60"]].concat();
    assert_eq!(demo.clients.subscribe(&back, || {}), "one\ntwo\n");
}

#[test]
fn a_client_that_vanishes_leaves_its_will() {
    let demo = Running::start();
    let seen = next(&demo, 1, "wills/me", || {
        let mut stream = demo.connect();
        stream
            .write_all(&connect(Some(("wills/me", "gone"))))
            .unwrap();
        assert_eq!(read(&mut stream, 4), [0x20, 2, 0, 0]);
    });
    assert_eq!(seen, "wills/me 0 gone\n");
}

#[test]
fn hostile_bytes_end_their_own_connection_only() {
    let demo = Running::start();
    let mut good = demo.connect();
    good.write_all(&connect(None)).unwrap();
    assert_eq!(read(&mut good, 4), [0x20, 2, 0, 0]);
    for bytes in [
        &b"GET / HTTP/1.1\r\n\r\n"[..],
        &[0x00],
        &[0xC0, 0x00],
        &[0x10, 0xFF, 0xFF, 0xFF, 0xFF],
        &[
            0x10, 0x0C, 0, 4, b'M', b'Q', b'T', b'T', 4, 0xFF, 0, 0, 0, 0,
        ],
    ] {
        let mut stream = demo.connect();
        stream.write_all(bytes).unwrap();
        let mut rest = Vec::new();
        // Closed, whether orderly or with what it had not read thrown away.
        match stream.read_to_end(&mut rest) {
            Ok(_) => {}
            Err(error) => assert_eq!(error.kind(), std::io::ErrorKind::ConnectionReset),
        }
        assert!(rest.is_empty(), "{bytes:?} was answered: {rest:?}");
    }
    good.write_all(&[0xC0, 0x00]).unwrap();
    assert_eq!(read(&mut good, 2), [0xD0, 0x00]);
}

#[test]
fn a_client_that_never_reads_does_not_hold_up_the_others() {
    let demo = Running::start();
    let mut lazy = demo.connect();
    lazy.write_all(&connect(None)).unwrap();
    assert_eq!(read(&mut lazy, 4), [0x20, 2, 0, 0]);
    lazy.write_all(&[0x82, 10, 0, 1, 0, 5, b'b', b'u', b'l', b'k', b'/', 0])
        .unwrap();
    lazy.write_all(&[0x82, 11, 0, 2, 0, 6, b'b', b'u', b'l', b'k', b'/', b'#', 0])
        .unwrap();
    assert_eq!(read(&mut lazy, 10), [0x90, 3, 0, 1, 0, 0x90, 3, 0, 2, 0]);
    // 20 MB: more than the sockets' buffers and the client's queue hold together. The publisher ends
    // only when each message is acknowledged.
    let lines = ("x".repeat(4000) + "\n").repeat(5000);
    demo.clients
        .publish_lines(&["-t", "bulk/x", "-q", "1"], &lines);
    let seen = next(&demo, 1, "bulk/last", || {
        demo.clients.publish(&["-t", "bulk/last", "-m", "x"]);
    });
    assert_eq!(seen, "bulk/last 0 x\n");
}

/// CONNECT of a client without a name, with a will or not.
fn connect(will: Option<(&str, &str)>) -> Vec<u8> {
    let mut packet = Vec::new();
    let connect = mcpmqtt_protocol::encode::Connect {
        client_id: "",
        clean_session: true,
        keep_alive: 0,
        username: None,
        password: None,
        will: will.map(|(topic, payload)| mcpmqtt_protocol::encode::Will {
            topic,
            payload: payload.as_bytes(),
            qos: mcpmqtt_protocol::QoS::AtLeastOnce,
            retain: false,
        }),
    };
    mcpmqtt_protocol::encode::connect(&mut packet, &connect).unwrap();
    packet
}

fn read(stream: &mut TcpStream, bytes: usize) -> Vec<u8> {
    let mut buffer = vec![0; bytes];
    stream.read_exact(&mut buffer).unwrap();
    buffer
}
