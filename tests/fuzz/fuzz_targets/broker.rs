//! A broker under three connections of any bytes, in any order and at any time: it sends MQTT, ends
//! what breaks the protocol, and what it holds is bounded.
//!
//! Input: operations of a byte and its arguments.
#![no_main]

use std::time::{Duration, Instant};

use libfuzzer_sys::fuzz_target;
use mcpmqtt_protocol::broker::{Broker, ConnId, Output};
use mcpmqtt_protocol::frame::{FrameBuffer, Receiver};
use mcpmqtt_protocol::limits::BrokerLimits;
use mcpmqtt_protocol::message::Message;
use mcpmqtt_protocol::topic::{TopicFilter, TopicName};
use mcpmqtt_protocol::QoS;

const QUEUE_BYTES: usize = 4096;

struct World {
    broker: Broker,
    now: Instant,
    connections: [Option<(ConnId, FrameBuffer)>; 3],
}

fuzz_target!(|input: &[u8]| {
    let mut input = input.iter().copied();
    let mut world = World {
        broker: Broker::new(BrokerLimits {
            packet_bytes: 4096,
            sessions: 4,
            subscriptions: 10,
            retained: 10,
            retained_bytes: 2048,
            inflight: 3,
            queue: 20,
            queue_bytes: QUEUE_BYTES,
            output_bytes: 16 * 1024,
            ..BrokerLimits::default()
        }),
        now: Instant::now(),
        connections: [None, None, None],
    };
    world.broker.subscribe_local(&TopicFilter::parse("a/#").unwrap());
    while let Some(operation) = input.next() {
        world.operate(operation, &mut input);
        world.drain();
    }
});

impl World {
    fn operate(&mut self, operation: u8, input: &mut impl Iterator<Item = u8>) {
        let mut argument = || input.next().unwrap_or(0);
        let place = usize::from(operation >> 5) % 3;
        let now = self.now;
        if operation & 31 == 0 {
            self.now += Duration::from_millis(u64::from(argument()) * 97);
            return self.broker.handle_timeout(self.now);
        }
        if operation & 31 == 1 {
            let message = Message {
                topic: TopicName::parse("a/b").unwrap(),
                payload: vec![b'x'; usize::from(argument())].into(),
                qos: QoS::ExactlyOnce,
                retain: argument() & 1 == 1,
            };
            return self.broker.publish_local(now, message);
        }
        let Some((conn, heard)) = &mut self.connections[place] else {
            let conn = self.broker.open(now);
            self.connections[place] = Some((conn, FrameBuffer::new(Receiver::Client, 1 << 20)));
            if operation & 1 == 0 {
                let clean = if operation & 2 == 0 { 2 } else { 0 };
                let id = b'a' + operation % 4;
                self.broker
                    .handle_bytes(now, conn, &[0x10, 13, 0, 4, b'M', b'Q', b'T', b'T', 4, clean, 0, argument(), 0, 1, id]);
            }
            return;
        };
        let conn = *conn;
        match operation & 15 {
            2 => {
                self.broker.handle_closed(now, conn);
                self.connections[place] = None;
            }
            3 | 4 => {
                let n = usize::from(argument()).min(self.broker.output(conn).len());
                heard.extend(&self.broker.output(conn)[..n]);
                while heard.next_packet().expect("the broker sends MQTT").is_some() {}
                self.broker.wrote(now, conn, n);
            }
            5 => self.broker.handle_bytes(now, conn, &[0x82, 6, 0, 1, 0, 1, b'#', argument() % 3]),
            6 => self.broker.handle_bytes(now, conn, &[0x82, 8, 0, 2, 0, 3, b'a', b'/', b'+', argument() % 3]),
            7 | 8 => {
                let (kind, id) = (argument(), argument());
                let mut bytes = vec![0x30 | kind & 0x0F];
                if kind & 0x06 == 0 {
                    bytes.extend([6, 0, 3, b'a', b'/', b'b', id]);
                } else {
                    bytes.extend([8, 0, 3, b'a', b'/', b'b', 0, id, kind]);
                }
                self.broker.handle_bytes(now, conn, &bytes);
            }
            9 | 10 => {
                let (kind, id) = (argument(), argument());
                let first = [0x40, 0x50, 0x62, 0x70][usize::from(kind) % 4];
                self.broker.handle_bytes(now, conn, &[first, 2, 0, id]);
            }
            _ => {
                let n = argument();
                let bytes: Vec<u8> = (0..n).map(|_| argument()).collect();
                self.broker.handle_bytes(now, conn, &bytes);
            }
        }
    }

    fn drain(&mut self) {
        for _ in 0..10_000 {
            match self.broker.poll(self.now) {
                Output::Close(conn, _) => {
                    for place in &mut self.connections {
                        if place.as_ref().is_some_and(|(open, _)| *open == conn) {
                            *place = None;
                        }
                    }
                }
                Output::Local(message) => assert!(message.topic.as_str().starts_with('a')),
                Output::Wait(_) => {
                    let usage = self.broker.usage();
                    assert!(usage.connections <= 3 && usage.sessions <= 4 && usage.retained <= 10, "{usage:?}");
                    // One message alone may exceed a byte budget; four sessions.
                    assert!(usage.queued_bytes <= 4 * (QUEUE_BYTES + 4096), "{usage:?}");
                    return;
                }
            }
        }
        panic!("it never waits");
    }
}
