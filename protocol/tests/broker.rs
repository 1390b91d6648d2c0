//! Dialogues with the broker: packets in, packets out, under a clock of our own.

#![allow(clippy::unwrap_used)]

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use mcpmqtt_protocol::broker::{Broker, BrokerUsage, CloseReason, ConnId, Output};
use mcpmqtt_protocol::client::{self, Client, Event, Listen, Options, Outcome};
use mcpmqtt_protocol::encode::{self, Connect, Will};
use mcpmqtt_protocol::frame::{FrameBuffer, FrameError, Receiver};
use mcpmqtt_protocol::limits::BrokerLimits;
use mcpmqtt_protocol::message::Message;
use mcpmqtt_protocol::topic::{SubscribeFilter, TopicFilter, TopicName};
use mcpmqtt_protocol::{Packet, Pid, Publish, QoS, QosPid, SubscribeReturnCodes};

/// A broker, its clock, and what it told its driver.
struct World {
    broker: Broker,
    now: Instant,
    wait: Option<Instant>,
    closed: BTreeMap<ConnId, CloseReason>,
    local: Vec<String>,
}

impl World {
    fn new() -> Self {
        Self::with(|_| {})
    }

    fn with(change: impl FnOnce(&mut BrokerLimits)) -> Self {
        let mut limits = BrokerLimits::default();
        change(&mut limits);
        Self {
            broker: Broker::new(limits),
            now: Instant::now(),
            wait: None,
            closed: BTreeMap::new(),
            local: Vec::new(),
        }
    }

    fn drain(&mut self) {
        loop {
            match self.broker.poll(self.now) {
                Output::Close(conn, reason) => {
                    assert!(self.closed.insert(conn, reason).is_none(), "closed twice");
                }
                Output::Local(message) => self.local.push(shown(&message)),
                Output::Wait(wait) => break self.wait = wait,
            }
        }
    }

    fn open(&mut self) -> ConnId {
        let conn = self.broker.open(self.now);
        self.drain();
        conn
    }

    /// Sends bytes and drains.
    fn send(&mut self, conn: ConnId, bytes: &[u8]) {
        self.broker.handle_bytes(self.now, conn, bytes);
        self.drain();
    }

    /// A client that has been accepted.
    fn join(&mut self, id: &str, clean: bool) -> ConnId {
        let conn = self.open();
        self.send(conn, &connect(id, clean));
        let heard = self.hear(conn);
        assert!(heard[0].starts_with("CONNACK 0"), "{heard:?}");
        conn
    }

    /// Takes everything the broker has for a client off its hands, in words.
    fn hear(&mut self, conn: ConnId) -> Vec<String> {
        let mut frames = FrameBuffer::new(Receiver::Client, 10_000_000);
        let mut heard = Vec::new();
        while !self.broker.output(conn).is_empty() {
            let bytes = self.broker.output(conn).to_vec();
            frames.extend(&bytes);
            while let Some(packet) = frames.next_packet().unwrap() {
                heard.push(words(&packet));
            }
            self.broker.wrote(self.now, conn, bytes.len());
            self.drain();
        }
        assert_eq!(frames.buffered(), 0, "the broker cut a packet");
        heard
    }

    fn subscribe(&mut self, conn: ConnId, filter: &str, qos: QoS) -> Vec<String> {
        self.send(conn, &subscribe(1, &[(filter, qos)]));
        self.hear(conn)
    }

    fn pass(&mut self, seconds: f64) {
        self.now += Duration::from_secs_f64(seconds);
        self.broker.handle_timeout(self.now);
        self.drain();
    }

    fn usage(&self) -> BrokerUsage {
        self.broker.usage()
    }
}

const Q0: QoS = QoS::AtMostOnce;
const Q1: QoS = QoS::AtLeastOnce;
const Q2: QoS = QoS::ExactlyOnce;
const QOS: [QoS; 3] = [Q0, Q1, Q2];

fn pid(id: u16) -> Pid {
    Pid::try_from(id).unwrap()
}

fn bytes(encode: impl FnOnce(&mut Vec<u8>)) -> Vec<u8> {
    let mut out = Vec::new();
    encode(&mut out);
    out
}

fn connect(id: &str, clean: bool) -> Vec<u8> {
    connect_with(id, clean, 0, None)
}

fn connect_with(id: &str, clean: bool, keep_alive: u16, will: Option<Will<'_>>) -> Vec<u8> {
    let connect = Connect {
        client_id: id,
        clean_session: clean,
        keep_alive,
        username: None,
        password: None,
        will,
    };
    bytes(|out| encode::connect(out, &connect).unwrap())
}

fn will(topic: &str, retain: bool) -> Option<Will<'_>> {
    Some(Will {
        topic,
        payload: b"gone",
        qos: Q1,
        retain,
    })
}

fn subscribe(id: u16, filters: &[(&str, QoS)]) -> Vec<u8> {
    bytes(|out| encode::subscribe(out, pid(id), filters).unwrap())
}

fn unsubscribe(id: u16, filter: &str) -> Vec<u8> {
    bytes(|out| encode::unsubscribe(out, pid(id), &[filter]).unwrap())
}

fn qospid(qos: QoS, id: u16) -> QosPid {
    match qos {
        QoS::AtMostOnce => QosPid::AtMostOnce,
        QoS::AtLeastOnce => QosPid::AtLeastOnce(pid(id)),
        QoS::ExactlyOnce => QosPid::ExactlyOnce(pid(id)),
    }
}

fn publish(topic: &str, payload: &str, qos: QoS, id: u16) -> Vec<u8> {
    let payload = payload.as_bytes();
    bytes(|out| encode::publish(out, false, qospid(qos, id), false, topic, payload).unwrap())
}

fn retain(topic: &str, payload: &str, qos: QoS) -> Vec<u8> {
    let payload = payload.as_bytes();
    bytes(|out| encode::publish(out, false, qospid(qos, 9), true, topic, payload).unwrap())
}

fn puback(id: u16) -> Vec<u8> {
    bytes(|out| encode::puback(out, pid(id)))
}

fn pubrec(id: u16) -> Vec<u8> {
    bytes(|out| encode::pubrec(out, pid(id)))
}

fn pubrel(id: u16) -> Vec<u8> {
    bytes(|out| encode::pubrel(out, pid(id)))
}

fn pubcomp(id: u16) -> Vec<u8> {
    bytes(|out| encode::pubcomp(out, pid(id)))
}

const PINGREQ: [u8; 2] = [0xC0, 0x00];
const DISCONNECT: [u8; 2] = [0xE0, 0x00];

/// A packet from the broker as a person would say it.
fn words(packet: &Packet<'_>) -> String {
    match packet {
        Packet::Connack(c) if c.session_present => format!("CONNACK {} session", c.code as u8),
        Packet::Connack(c) => format!("CONNACK {}", c.code as u8),
        Packet::Publish(p) => publish_words(p),
        Packet::Puback(p) => format!("PUBACK #{}", p.get()),
        Packet::Pubrec(p) => format!("PUBREC #{}", p.get()),
        Packet::Pubrel(p) => format!("PUBREL #{}", p.get()),
        Packet::Pubcomp(p) => format!("PUBCOMP #{}", p.get()),
        Packet::Unsuback(p) => format!("UNSUBACK #{}", p.get()),
        Packet::Pingresp => "PINGRESP".into(),
        Packet::Suback(s) => {
            let codes = s.return_codes.iter().map(|code| match code {
                SubscribeReturnCodes::Success(qos) => format!(" {}", *qos as u8),
                SubscribeReturnCodes::Failure => " refused".into(),
            });
            format!("SUBACK #{}{}", s.pid.get(), codes.collect::<String>())
        }
        other => panic!("a broker does not send {other:?}"),
    }
}

fn publish_words(p: &Publish<'_>) -> String {
    let id = match p.qospid {
        QosPid::AtMostOnce => "q0".into(),
        QosPid::AtLeastOnce(id) => format!("q1 #{}", id.get()),
        QosPid::ExactlyOnce(id) => format!("q2 #{}", id.get()),
    };
    let dup = if p.dup { " dup" } else { "" };
    let retain = if p.retain { " retained" } else { "" };
    let payload = String::from_utf8_lossy(p.payload);
    format!("{}={payload} {id}{dup}{retain}", p.topic_name)
}

fn shown(message: &Message) -> String {
    let payload = String::from_utf8_lossy(&message.payload);
    format!("{}={payload}", message.topic)
}

fn message(topic: &str, payload: &str, qos: QoS, retain: bool) -> Message {
    Message {
        topic: TopicName::parse(topic).unwrap(),
        payload: payload.as_bytes().into(),
        qos,
        retain,
    }
}

/// The PUBLISHes among what was heard, without their ids.
fn payloads(heard: &[String]) -> Vec<&str> {
    let publishes = heard.iter().filter(|line| line.contains('='));
    publishes.map(|l| l.split(' ').next().unwrap()).collect()
}

const NOTHING: [&str; 0] = [];

// Connecting

#[test]
fn the_first_packet_must_be_connect_and_the_only_one() {
    let mut world = World::new();
    for (first, reason) in [
        (PINGREQ.to_vec(), CloseReason::NotConnect),
        (publish("a", "x", Q0, 0), CloseReason::NotConnect),
        (DISCONNECT.to_vec(), CloseReason::NotConnect),
    ] {
        let conn = world.open();
        world.send(conn, &first);
        assert_eq!(world.hear(conn), NOTHING);
        assert_eq!(world.closed[&conn], reason);
    }
    let conn = world.join("c", true);
    world.send(conn, &connect("c", true));
    assert_eq!(world.closed[&conn], CloseReason::SecondConnect);
}

#[test]
fn another_protocol_level_is_answered_and_another_protocol_is_not() {
    let mut world = World::new();
    let mut v5 = connect("c", true);
    v5[8] = 5;
    let conn = world.open();
    world.send(conn, &v5);
    assert!(world.closed.is_empty(), "the answer has not left");
    assert_eq!(world.hear(conn), ["CONNACK 1"]);
    let level = CloseReason::Frame(FrameError::ProtocolLevel(5));
    assert_eq!(world.closed[&conn], level);

    let mut other = connect("c", true);
    other[4] = b'X';
    let conn = world.open();
    world.send(conn, &other);
    assert_eq!(world.hear(conn), NOTHING);
    assert!(world.closed.contains_key(&conn));
}

#[test]
fn an_empty_client_id_gets_a_name_with_a_clean_session_only() {
    let mut world = World::new();
    let (one, two) = (world.join("", true), world.join("", true));
    world.subscribe(one, "a", Q0);
    world.subscribe(two, "a", Q0);
    assert_eq!(world.usage().sessions, 2);
    let mut bytes = connect("", true);
    bytes[9] &= !0b10;
    let conn = world.open();
    world.send(conn, &bytes);
    assert_eq!(world.hear(conn), ["CONNACK 2"]);
    assert_eq!(world.closed[&conn], CloseReason::EmptyClientId);
}

#[test]
fn a_connection_without_connect_is_closed_in_time() {
    let mut world = World::new();
    let conn = world.open();
    assert_eq!(world.wait, Some(world.now + Duration::from_secs(10)));
    world.pass(9.9);
    assert!(world.closed.is_empty());
    world.pass(0.1);
    assert_eq!(world.closed[&conn], CloseReason::NoConnect);
    assert_eq!(world.wait, None);
}

#[test]
fn a_client_silent_for_one_and_a_half_keep_alives_is_closed_and_its_will_published() {
    let mut world = World::new();
    let watcher = world.join("watcher", true);
    world.subscribe(watcher, "will", Q0);
    let conn = world.open();
    world.send(conn, &connect_with("c", true, 4, will("will", false)));
    assert_eq!(world.hear(conn), ["CONNACK 0"]);
    for _ in 0..3 {
        world.pass(5.9);
        world.send(conn, &PINGREQ);
        assert_eq!(world.hear(conn), ["PINGRESP"]);
    }
    assert_eq!(world.wait, Some(world.now + Duration::from_secs(6)));
    world.pass(6.0);
    assert_eq!(world.closed[&conn], CloseReason::KeepAlive);
    assert_eq!(world.hear(watcher), ["will=gone q0"]);
}

#[test]
fn a_new_connection_takes_the_client_id_over() {
    let mut world = World::new();
    let watcher = world.join("watcher", true);
    world.subscribe(watcher, "will", Q0);
    let old = world.open();
    world.send(old, &connect_with("c", true, 0, will("will", false)));
    world.hear(old);
    world.subscribe(old, "a", Q0);
    let new = world.join("c", true);
    assert_eq!(world.closed[&old], CloseReason::Takeover);
    assert_eq!(world.hear(watcher), ["will=gone q0"]);
    world.send(watcher, &publish("a", "x", Q0, 0));
    assert_eq!(world.hear(new), NOTHING, "the clean session is a new one");
}

// Wills

#[test]
fn a_will_is_published_when_the_connection_breaks_and_not_after_disconnect() {
    let mut world = World::new();
    let watcher = world.join("watcher", true);
    world.subscribe(watcher, "will", Q2);

    let conn = world.open();
    world.send(conn, &connect_with("c", true, 0, will("will", true)));
    world.hear(conn);
    world.broker.handle_closed(world.now, conn);
    world.drain();
    assert_eq!(world.hear(watcher), ["will=gone q1 #1"]);
    let late = world.join("late", true);
    assert_eq!(
        world.subscribe(late, "will", Q0),
        ["SUBACK #1 0", "will=gone q0 retained"]
    );

    let conn = world.open();
    world.send(conn, &connect_with("c", true, 0, will("will", false)));
    world.hear(conn);
    world.send(conn, &DISCONNECT);
    assert_eq!(world.closed[&conn], CloseReason::Disconnect);
    assert_eq!(world.hear(watcher), NOTHING);

    let conn = world.open();
    world.send(conn, &connect_with("c", true, 0, will("will", false)));
    world.hear(conn);
    world.send(conn, &[0x00]);
    assert!(matches!(world.closed[&conn], CloseReason::Frame(_)));
    assert_eq!(world.hear(watcher), ["will=gone q1 #2"]);
}

// Delivery

#[test]
fn each_qos_is_acknowledged_as_it_demands_and_delivered_at_the_lower_of_both() {
    for sent in QOS {
        for asked in QOS {
            let mut world = World::new();
            let (from, to) = (world.join("from", true), world.join("to", true));
            let suback = format!("SUBACK #1 {}", asked as u8);
            assert_eq!(world.subscribe(to, "a/+", asked), [suback]);
            world.send(from, &publish("a/b", "x", sent, 7));
            let answer: &[&str] = match sent {
                QoS::AtMostOnce => &[],
                QoS::AtLeastOnce => &["PUBACK #7"],
                QoS::ExactlyOnce => &["PUBREC #7"],
            };
            assert_eq!(world.hear(from), answer);
            let got = match (sent as u8).min(asked as u8) {
                0 => "a/b=x q0",
                1 => "a/b=x q1 #1",
                _ => "a/b=x q2 #1",
            };
            assert_eq!(world.hear(to), [got]);
        }
    }
}

#[test]
fn qos_2_is_delivered_once_however_often_it_is_sent_until_it_is_released() {
    let mut world = World::new();
    let (from, to) = (world.join("from", true), world.join("to", true));
    world.subscribe(to, "a", Q0);
    for _ in 0..3 {
        world.send(from, &publish("a", "x", Q2, 7));
        assert_eq!(world.hear(from), ["PUBREC #7"]);
    }
    assert_eq!(world.hear(to), ["a=x q0"]);
    for _ in 0..2 {
        world.send(from, &pubrel(7));
        assert_eq!(world.hear(from), ["PUBCOMP #7"], "also for an unknown id");
    }
    world.send(from, &publish("a", "y", Q2, 7));
    assert_eq!(world.hear(to), ["a=y q0"]);
}

#[test]
fn the_brokers_own_qos_2_goes_through_its_four_steps() {
    let mut world = World::new();
    let to = world.join("to", true);
    world.subscribe(to, "a", Q2);
    let local = message("a", "x", Q2, false);
    world.broker.publish_local(world.now, local);
    world.drain();
    assert_eq!(world.hear(to), ["a=x q2 #1"]);
    for _ in 0..2 {
        world.send(to, &pubrec(1));
        assert_eq!(world.hear(to), ["PUBREL #1"]);
    }
    assert_eq!(world.usage().queued_bytes, 0);
    world.send(to, &pubcomp(1));
    world.send(to, &pubcomp(1));
    assert_eq!(world.usage().queued, 0);
    assert!(world.closed.is_empty());
}

#[test]
fn an_acknowledgement_of_the_wrong_kind_ends_the_connection_and_a_late_one_does_not() {
    for (qos, acks) in [(Q1, [pubrec(1), pubcomp(1)]), (Q2, [puback(1), pubcomp(1)])] {
        for ack in acks {
            let mut world = World::new();
            let to = world.join("to", true);
            world.subscribe(to, "a", qos);
            world.send(to, &publish("a", "x", qos, 3));
            world.hear(to);
            for late in [puback(40), pubcomp(40)] {
                world.send(to, &late);
                assert!(world.closed.is_empty());
            }
            world.send(to, &ack);
            world.hear(to);
            assert!(matches!(world.closed[&to], CloseReason::UnexpectedAck(_)));
        }
    }
}

#[test]
fn overlapping_filters_give_one_copy_at_the_highest_qos_in_the_order_of_publication() {
    let mut world = World::new();
    let to = world.join("to", true);
    world.send(to, &subscribe(1, &[("#", Q0), ("a/+", Q1), ("a/b", Q0)]));
    assert_eq!(world.hear(to), ["SUBACK #1 0 1 0"]);
    let from = world.join("from", true);
    let mut burst = Vec::new();
    for n in 0..300 {
        let topic = if n % 3 == 0 { "a/b" } else { "z" };
        burst.extend(publish(topic, &n.to_string(), QOS[n % 2], 1 + n as u16));
    }
    world.send(from, &burst);
    let mut all = Vec::new();
    loop {
        let heard = world.hear(to);
        if heard.is_empty() {
            break;
        }
        for line in heard {
            if let Some((_, id)) = line.split_once('#') {
                world.send(to, &puback(id.parse().unwrap()));
            }
            let payload = line.split(['=', ' ']).nth(1).unwrap();
            all.push(payload.parse::<usize>().unwrap());
        }
    }
    assert_eq!(all, (0..300).collect::<Vec<_>>());
}

#[test]
fn at_most_a_window_is_in_flight_and_acknowledgements_make_room() {
    let mut world = World::with(|limits| limits.inflight = 2);
    let to = world.join("to", true);
    world.subscribe(to, "a", Q1);
    for n in 0..4 {
        let local = message("a", &n.to_string(), Q1, false);
        world.broker.publish_local(world.now, local);
    }
    world.drain();
    assert_eq!(world.hear(to), ["a=0 q1 #1", "a=1 q1 #2"]);
    world.send(to, &puback(2));
    assert_eq!(world.hear(to), ["a=2 q1 #3"]);
    world.send(to, &puback(1));
    world.send(to, &puback(3));
    assert_eq!(world.hear(to), ["a=3 q1 #4"]);
    world.send(to, &puback(4));
    let usage = world.usage();
    assert_eq!((usage.queued, usage.queued_bytes), (0, 0));
}

#[test]
fn connections_have_different_names_in_a_log() {
    let mut world = World::new();
    let names = [world.open().to_string(), world.open().to_string()];
    assert_eq!(names, ["connection 1", "connection 2"]);
}

#[test]
fn a_broker_that_is_logged_shows_its_load_and_no_message() {
    let mut world = World::new();
    let from = world.join("from", true);
    world.send(from, &retain("the/topic", "the payload", Q0));
    let shown = format!("{:?} {:#?}", world.broker, world.broker);
    assert!(shown.contains("sessions: 1"), "{shown}");
    assert!(
        !shown.contains("payload") && !shown.contains("the/topic"),
        "{shown}"
    );
}

#[test]
fn the_brokers_packet_ids_go_round_and_are_used_again() {
    let mut world = World::with(|limits| limits.inflight = 1);
    let to = world.join("to", true);
    world.subscribe(to, "a", Q1);
    for n in 0..70_000_u32 {
        let id = n % 65_535 + 1;
        let local = message("a", "x", Q1, false);
        world.broker.publish_local(world.now, local);
        world.drain();
        assert_eq!(world.hear(to), [format!("a=x q1 #{id}")]);
        world.send(to, &puback(id as u16));
    }
}

#[test]
fn overlapping_filters_deliver_at_the_highest_qos_in_whatever_order_they_came() {
    let filters = ["#", "a/+", "a/b"];
    for highest in 0..3 {
        for reversed in [false, true] {
            let mut world = World::new();
            let to = world.join("to", true);
            let qos = |n| if n == highest { Q2 } else { Q0 };
            let mut asked: Vec<_> = (0..3).map(|n| (filters[n], qos(n))).collect();
            if reversed {
                asked.reverse();
            }
            world.send(to, &subscribe(1, &asked));
            world.hear(to);
            world.send(to, &publish("a/b", "x", Q2, 1));
            assert_eq!(world.hear(to), ["a/b=x q2 #1", "PUBREC #1"]);
        }
    }
}

#[test]
fn qos_0_that_waits_dies_with_the_connection_and_the_rest_does_not() {
    let mut world = World::with(|limits| limits.inflight = 1);
    let conn = world.join("c", false);
    world.subscribe(conn, "a", Q1);
    for (n, qos) in [Q1, Q1, Q0, Q1].into_iter().enumerate() {
        let local = message("a", &n.to_string(), qos, false);
        world.broker.publish_local(world.now, local);
    }
    world.drain();
    assert_eq!(world.hear(conn), ["a=0 q1 #1"]);
    world.broker.handle_closed(world.now, conn);
    world.drain();
    let conn = world.open();
    world.send(conn, &connect("c", false));
    world.send(conn, &puback(1));
    world.send(conn, &puback(2));
    assert_eq!(
        world.hear(conn),
        [
            "CONNACK 0 session",
            "a=0 q1 #1 dup",
            "a=1 q1 #2",
            "a=3 q1 #3"
        ]
    );
}

#[test]
fn dollar_topics_are_the_servers_own() {
    let mut world = World::new();
    let to = world.join("to", true);
    world.send(to, &subscribe(1, &[("#", Q0), ("$SYS/#", Q0), ("+/x", Q0)]));
    world.hear(to);
    world.send(to, &publish("$SYS/x", "forged", Q1, 1));
    assert_eq!(world.hear(to), ["PUBACK #1"]);
    let own = message("$SYS/x", "true", Q0, false);
    world.broker.publish_local(world.now, own);
    world.drain();
    assert_eq!(world.hear(to), ["$SYS/x=true q0"]);
}

// Subscriptions

#[test]
fn a_suback_answers_filter_by_filter_and_a_bad_filter_ends_the_connection() {
    let mut world = World::with(|limits| limits.subscriptions = 3);
    let conn = world.join("c", true);
    let deep = "a/".repeat(200);
    let asked = [
        ("a", Q2),
        (deep.as_str(), Q0),
        ("$share//a", Q0),
        ("b/#", Q1),
        ("c", Q0),
        ("d", Q0),
        ("a", Q0),
    ];
    world.send(conn, &subscribe(5, &asked));
    assert_eq!(
        world.hear(conn),
        ["SUBACK #5 2 refused refused 1 0 refused 0"]
    );
    assert_eq!(world.usage().subscriptions, 3);
    for filter in ["a/#/b", "a+", "#a"] {
        let conn = world.join("d", true);
        world.send(conn, &subscribe(5, &[(filter, Q0)]));
        assert_eq!(world.hear(conn), NOTHING);
        assert!(matches!(world.closed[&conn], CloseReason::Topic(_)));
    }
}

#[test]
fn an_equal_filter_is_replaced_and_unsubscribe_goes_by_the_exact_string() {
    let mut world = World::new();
    let conn = world.join("c", true);
    world.subscribe(conn, "#", Q1);
    world.subscribe(conn, "#", Q0);
    world.send(conn, &unsubscribe(6, "+/#"));
    assert_eq!(world.hear(conn), ["UNSUBACK #6"]);
    world.send(conn, &publish("a", "x", Q1, 2));
    assert_eq!(world.hear(conn), ["a=x q0", "PUBACK #2"]);
    world.send(conn, &unsubscribe(7, "#"));
    world.send(conn, &publish("a", "x", Q0, 0));
    assert_eq!(world.hear(conn), ["UNSUBACK #7"]);
    assert_eq!(world.usage().subscriptions, 0);
}

#[test]
fn the_members_of_a_group_take_turns_and_the_absent_are_passed_over() {
    let mut world = World::new();
    let members: Vec<ConnId> = ["m0", "m1", "m2"]
        .iter()
        .map(|id| world.join(id, false))
        .collect();
    world.send(members[0], &retain("a/old", "r", Q0));
    for member in &members {
        assert_eq!(
            world.subscribe(*member, "$share/g/a/#", Q1),
            ["SUBACK #1 1"],
            "no retained messages"
        );
    }
    let from = world.join("from", true);
    for n in 0..6 {
        world.send(from, &publish("a/b", &n.to_string(), Q0, 0));
    }
    for (n, member) in members.iter().enumerate() {
        let expected = [format!("a/b={n} q0"), format!("a/b={} q0", n + 3)];
        assert_eq!(world.hear(*member), expected);
    }
    world.send(members[0], &DISCONNECT);
    for n in 6..9 {
        world.send(from, &publish("a/b", &n.to_string(), Q0, 0));
    }
    let heard = world.hear(members[1]).len() + world.hear(members[2]).len();
    assert_eq!(heard, 3);
    world.send(members[1], &unsubscribe(2, "$share/g/a/#"));
    world.send(members[2], &DISCONNECT);
    world.send(from, &publish("a/b", "kept", Q1, 1));
    let back = ["m0", "m2"].map(|id| {
        let conn = world.open();
        world.send(conn, &connect(id, false));
        world.hear(conn)
    });
    let all = back.concat();
    assert_eq!(payloads(&all), ["a/b=kept"], "one of them kept it");
}

// Retained messages

/// [MQTT-3.3.1-5], [MQTT-3.3.1-10], [MQTT-3.3.1-11]: kept, and deleted by an empty one, which is not
/// kept itself. [MQTT-3.3.1-7]: QoS 0 replaces too. [MQTT-3.3.1-12]: what is not retained replaces
/// nothing.
#[test]
fn a_retained_message_is_sent_at_every_subscribe_until_an_empty_one_deletes_it() {
    let mut world = World::new();
    let (from, to) = (world.join("from", true), world.join("to", true));
    world.subscribe(to, "room/+/t", Q0);
    world.send(from, &retain("room/1/t", "20", Q1));
    world.send(from, &retain("room/2/t", "21", Q0));
    assert_eq!(
        world.hear(to),
        ["room/1/t=20 q0", "room/2/t=21 q0"],
        "an old subscription sees a new message"
    );
    world.send(from, &retain("room/1/t", "22", Q1));
    world.send(from, &retain("room/2/t", "23", Q0));
    world.send(from, &publish("room/2/t", "24", Q0, 1));
    world.hear(to);
    for id in 1..=2 {
        let expected = [
            "SUBACK #1 2".to_owned(),
            format!("room/1/t=22 q1 #{id} retained"),
            "room/2/t=23 q0 retained".to_owned(),
        ];
        assert_eq!(world.subscribe(to, "room/#", Q2), expected);
        world.send(to, &puback(id));
    }
    world.send(from, &retain("room/1/t", "", Q0));
    assert_eq!(world.hear(to), ["room/1/t= q0"], "the empty one is heard");
    assert_eq!(
        world.subscribe(to, "room/#", Q0),
        ["SUBACK #1 0", "room/2/t=23 q0 retained"]
    );
    assert_eq!(world.usage().retained, 1);
}

#[test]
fn retained_messages_are_bounded_in_number_and_bytes_and_still_delivered() {
    let mut world = World::with(|limits| {
        limits.retained = 3;
        limits.retained_bytes = 100;
    });
    let conn = world.join("c", true);
    world.subscribe(conn, "#", Q0);
    for topic in ["a", "b", "c", "d", "e"] {
        world.send(conn, &retain(topic, "x", Q0));
    }
    assert_eq!(world.hear(conn).len(), 5);
    assert_eq!((world.usage().retained, world.usage().not_retained), (3, 2));
    world.send(conn, &retain("a", &"y".repeat(100), Q0));
    let usage = world.usage();
    assert_eq!((usage.retained, usage.retained_bytes), (2, 4));
}

// Sessions

/// [MQTT-3.1.2-5].
#[test]
fn a_kept_session_keeps_filters_and_qos_1_and_2_while_its_client_is_away() {
    let mut world = World::new();
    let conn = world.join("c", false);
    world.subscribe(conn, "a", Q2);
    world.send(conn, &DISCONNECT);
    let from = world.join("from", true);
    for (n, qos) in QOS.into_iter().enumerate() {
        world.send(from, &publish("a", &n.to_string(), qos, 1));
    }
    let conn = world.open();
    world.send(conn, &connect("c", false));
    assert_eq!(
        world.hear(conn),
        ["CONNACK 0 session", "a=1 q1 #1", "a=2 q2 #2"]
    );
    let conn = world.open();
    world.send(conn, &connect("c", true));
    assert_eq!(world.hear(conn), ["CONNACK 0"]);
    world.send(conn, &DISCONNECT);
    let conn = world.open();
    world.send(conn, &connect("c", false));
    assert_eq!(world.hear(conn), ["CONNACK 0"], "the clean one ended it");
}

#[test]
fn a_resumed_session_sends_what_it_owes_again_in_order_and_marked() {
    let mut world = World::new();
    let conn = world.join("c", false);
    world.subscribe(conn, "a", Q2);
    for (n, qos) in [Q1, Q2, Q2, Q1, Q0].into_iter().enumerate() {
        let local = message("a", &n.to_string(), qos, false);
        world.broker.publish_local(world.now, local);
    }
    world.drain();
    assert_eq!(world.hear(conn).len(), 5);
    world.send(conn, &pubrec(2));
    world.send(conn, &puback(4));
    for _ in 0..2 {
        let again = world.open();
        world.send(again, &connect("c", false));
        assert_eq!(
            world.hear(again),
            [
                "CONNACK 0 session",
                "a=0 q1 #1 dup",
                "PUBREL #2",
                "a=2 q2 #3 dup"
            ]
        );
    }
}

#[test]
fn inbound_qos_2_is_not_delivered_twice_over_a_resumed_session() {
    let mut world = World::new();
    let to = world.join("to", true);
    world.subscribe(to, "a", Q0);
    let conn = world.join("c", false);
    world.send(conn, &publish("a", "x", Q2, 7));
    let conn = world.open();
    world.send(conn, &connect("c", false));
    world.send(conn, &publish("a", "x", Q2, 7));
    world.send(conn, &pubrel(7));
    assert_eq!(
        world.hear(conn),
        ["CONNACK 0 session", "PUBREC #7", "PUBCOMP #7"]
    );
    assert_eq!(world.hear(to), ["a=x q0"]);
}

// Bounds

#[test]
fn a_queue_is_bounded_in_messages_and_bytes_and_what_is_dropped_is_counted() {
    let mut world = World::with(|limits| {
        limits.queue = 5;
        limits.queue_bytes = 1000;
    });
    let conn = world.join("c", false);
    world.subscribe(conn, "#", Q1);
    world.send(conn, &DISCONNECT);
    let from = world.join("from", true);
    for n in 0..8 {
        world.send(from, &publish("a", &n.to_string(), Q1, 1));
    }
    let usage = world.usage();
    assert_eq!((usage.queued, usage.dropped), (5, 3));
    let conn = world.open();
    world.send(conn, &connect("c", false));
    let heard = world.hear(conn);
    assert_eq!(payloads(&heard), ["a=0", "a=1", "a=2", "a=3", "a=4"]);
    for n in 0..5 {
        world.send(conn, &publish("b", &"z".repeat(400), Q1, 10 + n));
    }
    assert!(world.usage().queued_bytes <= 1000);
    assert_eq!(world.usage().dropped, 6);
}

#[test]
fn a_slow_reader_loses_qos_0_and_never_makes_the_broker_hold_more() {
    let mut world = World::with(|limits| limits.queue = 100);
    let (slow, from) = (world.join("slow", true), world.join("from", true));
    world.subscribe(slow, "#", Q0);
    let payload = "p".repeat(1000);
    for _ in 0..10_000 {
        world.send(from, &publish("a", &payload, Q0, 0));
        let usage = world.usage();
        assert!(usage.output_bytes < 67_000 && usage.queued <= 100);
    }
    let dropped = world.usage().dropped;
    assert!(dropped > 9_700);
    assert_eq!(world.hear(slow).len() as u64 + dropped, 10_000);
    world.send(from, &publish("a", "after", Q0, 0));
    assert_eq!(world.hear(slow), ["a=after q0"]);
}

#[test]
fn who_asks_and_never_reads_the_answers_is_closed() {
    let mut world = World::with(|limits| limits.output_bytes = 10_000);
    let conn = world.join("c", true);
    for _ in 0..6_000 {
        world.send(conn, &PINGREQ);
        assert!(world.broker.output(conn).len() <= 10_002);
    }
    assert!(world.closed.is_empty(), "its last words may still leave");
    world.pass(1.0);
    assert_eq!(world.closed[&conn], CloseReason::OutputFull(10_000));
    assert_eq!(world.usage().output_bytes, 0);
}

#[test]
fn connections_and_sessions_are_bounded() {
    let mut world = World::with(|limits| {
        limits.connections = 2;
        limits.sessions = 3;
    });
    let one = world.join("1", false);
    let two = world.join("2", false);
    let third = world.open();
    assert_eq!(world.closed[&third], CloseReason::TooManyConnections(2));
    world.send(one, &DISCONNECT);
    world.send(two, &DISCONNECT);
    let three = world.join("3", false);
    let four = world.open();
    world.send(four, &connect("4", true));
    assert_eq!(world.hear(four), ["CONNACK 3"]);
    assert_eq!(world.closed[&four], CloseReason::TooManySessions(3));
    world.send(three, &DISCONNECT);
    world.join("1", false);
    assert_eq!(world.usage().sessions, 3);
}

// The program's own face

#[test]
fn the_program_hears_each_message_once_and_publishes_like_a_client() {
    let mut world = World::new();
    for filter in ["commands/+/request", "commands/#"] {
        world
            .broker
            .subscribe_local(&TopicFilter::parse(filter).unwrap());
    }
    let conn = world.join("c", true);
    world.subscribe(conn, "commands/r/response", Q0);
    world.send(conn, &publish("commands/r/request", "ping", Q1, 1));
    assert_eq!(world.hear(conn), ["PUBACK #1"]);
    assert_eq!(world.local, ["commands/r/request=ping"]);
    let answer = message("commands/r/response", "pong", Q0, true);
    world.broker.publish_local(world.now, answer);
    world.drain();
    assert_eq!(world.hear(conn), ["commands/r/response=pong q0"]);
    assert_eq!(world.usage().retained, 1);
}

// Hostile bytes

#[test]
fn every_short_packet_is_answered_or_ends_its_own_connection_only() {
    let mut world = World::new();
    let good = world.join("good", true);
    world.subscribe(good, "good", Q0);
    let mut cases = 0;
    for first in 0..=255u8 {
        for body in [
            &[][..],
            &[0],
            &[0, 0],
            &[0, 1],
            &[0, 1, 0],
            &[0, 1, b'a'],
            &[0, 1, 0, 1, b'#', 3],
            &[255, 255, 255, 255],
        ] {
            for joined in [false, true] {
                let conn = if joined {
                    world.join("bad", true)
                } else {
                    world.open()
                };
                world.send(conn, &[&[first, body.len() as u8], body].concat());
                world.hear(conn);
                world.broker.handle_closed(world.now, conn);
                world.drain();
                cases += 1;
            }
        }
    }
    assert_eq!(cases, 256 * 8 * 2);
    world.send(good, &publish("good", "unharmed", Q0, 0));
    assert_eq!(payloads(&world.hear(good)), ["good=unharmed"]);
    let usage = world.usage();
    assert_eq!((usage.connections, usage.sessions), (1, 1));
}

#[test]
fn random_damage_to_good_traffic_never_panics_and_never_outgrows_the_limits() {
    let mut random = Random(42);
    let mut ended = 0;
    for _ in 0..3_000 {
        let mut world = World::with(|limits| {
            limits.queue = 10;
            limits.connections = 4;
        });
        for _ in 0..6 {
            let conn = world.open();
            let mut talk = good_talk(&mut random);
            for _ in 0..random.below(4) {
                let at = random.below(talk.len());
                match random.below(3) {
                    0 => talk[at] = random.next() as u8,
                    1 => drop(talk.remove(at)),
                    _ => talk.insert(at, random.next() as u8),
                }
            }
            for part in talk.chunks(1 + random.below(40)) {
                world.send(conn, part);
            }
            if random.below(2) == 0 {
                world.hear(conn);
            }
            world.pass(random.below(5) as f64);
        }
        ended += world.closed.len();
        let usage = world.usage();
        assert!(usage.connections <= 5 && usage.sessions <= 6);
        assert!(usage.queued <= 6 * 110, "{usage:?}");
    }
    assert!(ended > 1_000, "{ended}");
}

/// CONNECT and some packets after it, all legal.
fn good_talk(random: &mut Random) -> Vec<u8> {
    let id = ["a", "b", "c"][random.below(3)];
    let will = (random.below(2) == 0).then(|| will("a/will", true).unwrap());
    let mut talk = connect_with(id, random.below(2) == 0, 3, will);
    for _ in 0..10 {
        let qos = QOS[random.below(3)];
        let id = 1 + random.below(4) as u16;
        let filter = ["#", "a/+", "$share/g/a/#", "+/will"][random.below(4)];
        talk.extend(match random.below(10) {
            0 => subscribe(id, &[(filter, qos), ("b", qos)]),
            1 => unsubscribe(id, filter),
            2 => retain("a/kept", "x", Q0),
            3 => puback(id),
            4 => pubrec(id),
            5 => pubrel(id),
            6 => pubcomp(id),
            7 => PINGREQ.to_vec(),
            _ => publish("a/b", "payload", qos, id),
        });
    }
    talk
}

/// SplitMix64.
struct Random(u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        z ^ (z >> 31)
    }

    fn below(&mut self, bound: usize) -> usize {
        (self.next() % bound as u64) as usize
    }
}

// Our own client

/// A client of this crate, connected to the world's broker by a wire that loses nothing.
struct Pair {
    world: World,
    client: Client,
    conn: Option<ConnId>,
    events: Vec<Event>,
}

impl Pair {
    fn new() -> Self {
        let world = World::new();
        let client = Client::new(Options::new("pair"), 1, world.now);
        Self {
            world,
            client,
            conn: None,
            events: Vec::new(),
        }
    }

    /// Carries bytes both ways until nobody has anything to say.
    fn settle(&mut self) {
        loop {
            let now = self.world.now;
            self.client.handle_timeout(now);
            let mut moved = self.take_client_outputs();
            let Some(conn) = self.conn else { continue };
            let up = self.client.outgoing().to_vec();
            if !up.is_empty() {
                self.world.send(conn, &up);
                self.client.handle_written(now, up.len());
                moved = true;
            }
            let down = self.world.broker.output(conn).to_vec();
            if !down.is_empty() {
                self.client.handle_bytes(now, &down);
                self.world.broker.wrote(now, conn, down.len());
                self.world.drain();
                moved = true;
            }
            if !moved {
                return;
            }
        }
    }

    fn take_client_outputs(&mut self) -> bool {
        let mut moved = false;
        loop {
            match self.client.poll(self.world.now) {
                client::Output::Connect => {
                    self.conn = Some(self.world.open());
                    self.client.handle_connected(self.world.now);
                }
                client::Output::Close => panic!("the client ends the connection"),
                client::Output::Event(event) => self.events.push(event),
                client::Output::Wait(_) => return moved,
            }
            moved = true;
        }
    }

    fn listen(&mut self, filter: &str, qos: QoS) {
        let listen = Listen {
            filter: SubscribeFilter::parse(filter).unwrap(),
            qos,
            retained: true,
        };
        self.client.listen(self.world.now, listen).unwrap();
        self.settle();
    }

    fn heard(&self) -> Vec<String> {
        let messages = self.events.iter().filter_map(|event| match event {
            Event::Message { message, .. } => Some(shown(message)),
            _ => None,
        });
        messages.collect()
    }
}

#[test]
fn our_client_and_this_broker_agree_at_every_qos() {
    for qos in QOS {
        let mut pair = Pair::new();
        pair.settle();
        pair.listen("a/+", qos);
        let payloads: Vec<String> = (0..500).map(|n| n.to_string()).collect();
        for payload in &payloads {
            pair.client
                .publish(pair.world.now, message("a/b", payload, qos, false), None)
                .unwrap();
        }
        pair.settle();
        let expected: Vec<String> = payloads.iter().map(|p| format!("a/b={p}")).collect();
        assert_eq!(pair.heard(), expected);
        let done = match qos {
            QoS::AtMostOnce => Outcome::Sent,
            _ => Outcome::Delivered,
        };
        let outcomes = pair.events.iter().filter_map(|event| match event {
            Event::Published { outcome, .. } => Some(outcome),
            _ => None,
        });
        assert_eq!(outcomes.filter(|outcome| **outcome == done).count(), 500);
        assert_eq!(pair.world.usage().queued, 0);
        assert_eq!(pair.client.usage().live_packet_ids, 0);
        assert_eq!(pair.client.usage().received_qos2, 0);
    }
}

#[test]
fn our_client_reads_what_was_retained_before_it_came() {
    let mut pair = Pair::new();
    let kept = message("status/system", "fine", Q1, true);
    pair.world.broker.publish_local(pair.world.now, kept);
    pair.settle();
    pair.listen("status/#", Q1);
    assert_eq!(pair.heard(), ["status/system=fine"]);
}
