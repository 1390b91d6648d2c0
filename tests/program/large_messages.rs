//! Messages above `limits.packet_bytes`: read past, told as lost, and no harm to anybody else.
//!
//! With `MCPMQTT_TEST_FULL` set the scripted broker streams 200 MB instead of 8.

use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};

use serde_json::{Value, json};

use crate::common::agent::Agent;
use crate::common::config::open_config;
use crate::common::mosquitto::Mosquitto;
use crate::common::process::status_kb;
use crate::common::scratch::Scratch;
use crate::common::size::full_size;
use crate::common::waiting::PATIENCE;

/// A picture above the default limit of 2 MiB.
const PICTURE_BYTES: usize = 3 * 1024 * 1024;

/// mosquitto with a picture retained on `t/cam/1`.
fn with_picture() -> Mosquitto {
    let broker = Mosquitto::start();
    let scratch = Scratch::new();
    let picture = scratch.file("picture", &"p".repeat(PICTURE_BYTES));
    let picture = picture.display().to_string();
    broker.publish(&["-t", "t/cam/1", "-r", "-q", "1", "-f", &picture]);
    broker
}

/// Publishes on the connection that everybody shares until `done`; returns how many calls failed.
fn bystander(agent: &mut Agent, mut done: impl FnMut() -> bool) -> (usize, usize) {
    let (mut calls, mut failed) = (0, 0);
    while !done() {
        let call = json!({"topic": "t/other", "payload": "x", "qos": 1, "timeout": 5});
        let answer = agent.tool("mqtt_publish", call).wait();
        calls += 1;
        failed += usize::from(answer["result"]["isError"] == true);
    }
    (calls, failed)
}

#[test]
fn a_retained_picture_above_the_limit_is_named_and_the_other_calls_go_on() {
    let broker = with_picture();
    let mut agent = Agent::start(&open_config(broker.port));
    // Connected before anything is counted.
    agent
        .tool(
            "mqtt_publish",
            json!({"topic": "t/first", "payload": "x", "qos": 1}),
        )
        .structured();
    let mut calls = 0;
    for round in 0..3 {
        let read = agent.tool("mqtt_read", json!({"topic": "t/cam/1", "timeout": 20}));
        let (made, failed) = bystander(&mut agent, || !read.is_pending());
        assert_eq!(failed, 0, "of {made} calls beside reading {round}");
        calls += made;
        assert_eq!(
            read.error(),
            "not read: the message on `t/cam/1` has 3,145,728 bytes, above `limits.packet_bytes` \
             of 2,097,152; it was not kept"
        );
    }
    assert!(calls > 0);
    let under_wildcard = agent.tool("mqtt_read", json!({"topic": "t/cam/+", "timeout": 1}));
    let said = under_wildcard.error();
    assert!(said.contains("`t/cam/1` has 3,145,728 bytes"), "{said}");
    broker.publish(&["-t", "t/cam/2", "-r", "-m", "small"]);
    let small = agent
        .tool("mqtt_read", json!({"topic": "t/cam/+", "timeout": 20}))
        .structured();
    assert_eq!(small["payload"], "small");
    let uri = json!({"uri": "mqtt://topic/t/cam/1"});
    let read = agent.request("resources/read", uri).wait();
    assert!(read.to_string().contains("3,145,728 bytes"), "{read}");
    let (_, log) = agent.finish();
    assert!(!log.contains("next attempt"), "{log}");
}

#[test]
fn frames_above_the_limit_are_counted_and_those_behind_them_arrive() {
    let broker = Mosquitto::start();
    let mut agent = Agent::start(&open_config(broker.port));
    let wanted = json!({"topic": "t/cam/#", "max_messages": 2, "timeout": 60, "qos": 1});
    let frames = agent.listening("mqtt_subscribe", wanted);
    let scratch = Scratch::new();
    let large = scratch.file("large", &"p".repeat(2_200_000));
    let large = large.display().to_string();
    for _ in 0..2 {
        broker.publish(&["-t", "t/cam/1", "-q", "1", "-f", &large]);
        broker.publish(&["-t", "t/cam/1", "-q", "1", "-m", "small"]);
    }
    let collected = frames.structured();
    assert_eq!(collected["messages_received"], 2);
    assert_eq!(collected["lost"], 2);
    let lost = json!({"topic": "t/cam/1", "payload_bytes": 2_200_000});
    assert_eq!(collected["too_large"], json!([lost, lost]));
    assert_eq!(collected["interrupted"], false);
    let answer = json!({
        "request_topic": "t/ask", "response_topic": "t/cam/1", "payload": "x", "timeout": 60,
    });
    let asked = agent.tool("mqtt_query", answer);
    // It is subscribed when the request comes out; until then the picture would be none of its business.
    while asked.is_pending() {
        broker.publish(&["-t", "t/cam/1", "-q", "1", "-f", &large]);
    }
    let said = asked.error();
    assert!(
        said.starts_with("no reply: the message on `t/cam/1` has 2,200,000 bytes"),
        "{said}"
    );
    assert!(said.ends_with("; the request was sent"), "{said}");
}

fn read_packet(stream: &mut TcpStream) -> Vec<u8> {
    let mut head = [0; 2];
    stream.read_exact(&mut head).unwrap();
    assert!(head[1] < 0x80, "packets of this test are short");
    let mut body = vec![0; head[1].into()];
    stream.read_exact(&mut body).unwrap();
    [&head[..], &body].concat()
}

/// The fixed header of a PUBLISH with a body of so many bytes.
fn header(first: u8, mut body: usize) -> Vec<u8> {
    let mut bytes = vec![first];
    loop {
        let more = if body > 127 { 0x80 } else { 0 };
        bytes.push(u8::try_from(body % 128).unwrap() | more);
        body /= 128;
        if body == 0 {
            return bytes;
        }
    }
}

#[test]
fn memory_does_not_grow_with_the_size_of_a_message() {
    let megabytes = if full_size() { 200 } else { 8 };
    let payload = megabytes * 1_000_000;
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let mut agent = Agent::start(&open_config(listener.local_addr().unwrap().port()));
    let read = agent.tool("mqtt_read", json!({"topic": "t/a", "timeout": 120}));
    let (mut stream, _) = listener.accept().unwrap();
    stream.set_read_timeout(Some(PATIENCE)).unwrap();
    assert_eq!(read_packet(&mut stream)[0], 0x10);
    stream.write_all(&[0x20, 2, 0, 0]).unwrap();
    let subscribe = read_packet(&mut stream);
    stream
        .write_all(&[0x90, 3, subscribe[2], subscribe[3], 1])
        .unwrap();
    // A first one, so that whatever is needed once is there.
    let send = |stream: &mut TcpStream, payload: usize, id: u8| {
        stream
            .write_all(&header(0x32, 2 + 3 + 2 + payload))
            .unwrap();
        stream.write_all(&[0, 3, b't', b'/', b'b', 0, id]).unwrap();
        let part = vec![b'p'; 1_000_000];
        for _ in 0..payload / part.len() {
            stream.write_all(&part).unwrap();
        }
        loop {
            let packet = read_packet(stream);
            match packet[0] {
                0xC0 => stream.write_all(&[0xD0, 0]).unwrap(),
                0x40 => break assert_eq!(packet, [0x40, 2, 0, id]),
                other => panic!("{other:02x}"),
            }
        }
    };
    send(&mut stream, 3_000_000, 1);
    let before = status_kb(agent.pid(), "VmRSS:");
    send(&mut stream, payload, 2);
    let grown = status_kb(agent.pid(), "VmRSS:").saturating_sub(before);
    assert!(grown < 512, "{megabytes} MB took {grown} KiB");
    stream.write_all(b"\x30\x06\0\x03t/ax").unwrap();
    let message: Value = read.structured();
    assert_eq!(message["payload"], "x");
}
