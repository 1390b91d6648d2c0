//! A client under any order of calls, bytes and times: every publish has exactly one outcome, what
//! it sends is MQTT, and what it holds is bounded.
//!
//! Input: options, then operations of a byte and its arguments.
#![no_main]

use std::collections::HashMap;
use std::time::{Duration, Instant};

use libfuzzer_sys::fuzz_target;
use mcpmqtt_protocol::QoS;
use mcpmqtt_protocol::client::{Client, Event, Listen, Options, Output, Ticket};
use mcpmqtt_protocol::frame::{FrameBuffer, Receiver};
use mcpmqtt_protocol::message::Message;
use mcpmqtt_protocol::topic::{SubscribeFilter, TopicName};

const QOS: [QoS; 3] = [QoS::AtMostOnce, QoS::AtLeastOnce, QoS::ExactlyOnce];
const FILTERS: [&str; 5] = ["#", "a/+", "a/b", "$share/g/a/#", "c"];
const PACKET_CAP: usize = 4096;

struct World {
    client: Client,
    now: Instant,
    wait: Option<Instant>,
    /// Publishes that are owed an outcome.
    owed: HashMap<Ticket, bool>,
    listeners: Vec<Ticket>,
    /// SUBSCRIBEs and UNSUBSCRIBEs that may be unanswered: each takes an identifier.
    asked: usize,
    /// What the socket took on this connection, as the broker reads it.
    heard: FrameBuffer,
    opening: bool,
}

fuzz_target!(|input: &[u8]| {
    let [flags, rest @ ..] = input else { return };
    let mut input = rest.iter().copied();
    let mut options = Options::new("fuzz");
    options.clean_session = flags & 1 == 0;
    options.keep_alive = u16::from(flags >> 1 & 7) * 5;
    options.limits.packet_bytes = PACKET_CAP;
    options.limits.publish_queue = 50;
    options.limits.inflight = usize::from(flags >> 4 & 3) * 5 + 1;
    options.limits.listeners = 10;
    let now = Instant::now();
    let mut world = World {
        client: Client::new(options, u64::from(*flags), now),
        now,
        wait: None,
        owed: HashMap::new(),
        listeners: Vec::new(),
        asked: 0,
        heard: FrameBuffer::new(Receiver::Broker, 1 << 20),
        opening: false,
    };
    world.drain();
    while let Some(operation) = input.next() {
        world.operate(operation, &mut input);
        world.drain();
    }
    world.client.disconnect(world.now);
    for _ in 0..100 {
        world.drain();
        if world.client.is_closed() {
            break;
        }
        world.now += Duration::from_secs(1);
        world.client.handle_timeout(world.now);
    }
    assert!(world.client.is_closed());
    assert!(world.owed.values().all(|done| *done), "publishes without an outcome");
    let usage = world.client.usage();
    assert_eq!((usage.publishes, usage.publish_bytes, usage.listeners, usage.live_packet_ids), (0, 0, 0, 0));
});

impl World {
    fn operate(&mut self, operation: u8, input: &mut impl Iterator<Item = u8>) {
        let mut argument = || input.next().unwrap_or(0);
        match operation % 16 {
            0 => {
                let (kind, size) = (argument(), argument());
                let message = Message {
                    topic: TopicName::parse(["a/b", "c", "a/b/c"][usize::from(kind >> 2) % 3]).unwrap(),
                    payload: vec![b'x'; usize::from(size)].into(),
                    qos: QOS[usize::from(kind & 3) % 3],
                    retain: kind & 0x80 != 0,
                };
                let deadline = (kind & 0x40 != 0).then(|| self.now + Duration::from_millis(u64::from(size) * 50));
                if let Ok(ticket) = self.client.publish(self.now, message, deadline) {
                    assert!(self.owed.insert(ticket, false).is_none());
                }
            }
            1 => {
                self.asked += 2;
                let kind = argument();
                let listen = Listen {
                    filter: SubscribeFilter::parse(FILTERS[usize::from(kind) % 5]).unwrap(),
                    qos: QOS[usize::from(kind >> 3) % 3],
                    retained: kind & 0x80 != 0,
                };
                self.listeners.extend(self.client.listen(self.now, listen).ok());
            }
            2 if !self.listeners.is_empty() => {
                let at = usize::from(argument()) % self.listeners.len();
                let ticket = self.listeners.swap_remove(at);
                self.client.leave(self.now, ticket);
            }
            3 => {
                // The oldest that is open: a HashMap's order would not replay.
                if let Some(ticket) = self.owed.iter().filter(|(_, done)| !**done).map(|(t, _)| *t).min() {
                    self.client.cancel(self.now, ticket);
                    self.owed.remove(&ticket);
                }
            }
            4 => self.client.handle_closed(self.now, ""),
            5 => self.client.handle_closed(self.now, "reset"),
            6 if self.opening => {
                self.opening = false;
                self.client.handle_connect_failed(self.now, "refused");
            }
            7 | 8 => {
                self.now += Duration::from_millis(u64::from(argument()) * 97);
                self.client.handle_timeout(self.now);
            }
            9 => {
                let n = usize::from(argument()).min(self.client.outgoing().len());
                self.take(n);
            }
            10 => self.take(self.client.outgoing().len()),
            11 => {
                // Any bytes.
                let n = argument();
                let bytes: Vec<u8> = (0..n).map(|_| argument()).collect();
                self.client.handle_bytes(self.now, &bytes);
            }
            12 => self.connect(&[0x20, 2, argument() & 1, 0]),
            13 => {
                // An acknowledgement of some kind for a small identifier.
                let (kind, id) = (argument(), argument());
                let first = [0x40, 0x50, 0x62, 0x70, 0xB0][usize::from(kind) % 5];
                self.client.handle_bytes(self.now, &[first, 2, 0, id]);
            }
            14 => {
                let (id, code) = (argument(), argument());
                self.client.handle_bytes(self.now, &[0x90, 3, 0, id, [0, 1, 2, 0x80][usize::from(code) % 4]]);
            }
            _ => {
                let (kind, id) = (argument(), argument());
                let mut bytes = vec![0x30 | kind & 0x07];
                if kind & 0x06 == 0 {
                    bytes.extend([6, 0, 3, b'a', b'/', b'b', id]);
                } else {
                    bytes.extend([8, 0, 3, b'a', b'/', b'b', 0, id, kind]);
                }
                self.client.handle_bytes(self.now, &bytes);
            }
        }
    }

    /// Goes through a whole connection set-up, whatever comes of it.
    fn connect(&mut self, connack: &[u8]) {
        if let Some(wait) = self.wait.filter(|_| !self.opening && !self.client.is_connected()) {
            self.now = self.now.max(wait);
            self.client.handle_timeout(self.now);
            self.drain();
        }
        if self.opening {
            self.opening = false;
            self.heard.clear();
            self.client.handle_connected(self.now);
            self.drain();
            self.take(self.client.outgoing().len());
            self.client.handle_bytes(self.now, connack);
        }
    }

    fn take(&mut self, n: usize) {
        self.heard.extend(&self.client.outgoing()[..n]);
        while self.heard.next_packet().expect("the client sends MQTT").is_some() {}
        self.client.handle_written(self.now, n);
    }

    fn drain(&mut self) {
        for _ in 0..10_000 {
            match self.client.poll(self.now) {
                Output::Connect => self.opening = true,
                Output::Close => {
                    self.opening = false;
                    self.heard.clear();
                }
                Output::Event(Event::Published { ticket, .. }) => {
                    let done = self.owed.get_mut(&ticket).expect("an outcome for a publish");
                    assert!(!*done, "two outcomes");
                    *done = true;
                }
                Output::Event(Event::ListenRefused { ticket, .. }) => {
                    self.listeners.retain(|listener| *listener != ticket);
                }
                Output::Event(Event::Message { ticket, .. }) => assert!(self.listeners.contains(&ticket)),
                Output::Event(Event::Disconnected { .. }) => {
                    self.opening = false;
                    self.heard.clear();
                }
                Output::Event(_) => {}
                Output::Wait(wait) => {
                    self.wait = wait;
                    return self.check();
                }
            }
        }
        panic!("it never waits");
    }

    fn check(&self) {
        let usage = self.client.usage();
        assert!(usage.publishes <= 50 && usage.listeners <= 10, "{usage:?}");
        assert!(usage.live_packet_ids <= 50 + self.asked, "{usage:?}");
        assert!(usage.outgoing_bytes <= 300 * 1024 && usage.incoming_bytes <= PACKET_CAP + 300 * 1024, "{usage:?}");
    }
}
