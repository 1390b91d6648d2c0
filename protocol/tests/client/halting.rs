//! The halt: from one moment on nothing is sent that is not exempt, in every state of a message.

use std::collections::BTreeMap;

use mcpmqtt_protocol::QoS::{self, AtLeastOnce, AtMostOnce, ExactlyOnce};
use mcpmqtt_protocol::client::{Options, Outcome, PublishError, Reason, Sending, Ticket};
use mcpmqtt_protocol::limits::Limits;
use mcpmqtt_protocol::topic::SubscribeFilter;

use crate::rig::packets::*;
use crate::rig::{Rig, clean, message, resuming, seconds};

const WORDS: &str = "halted";

fn halt(rig: &mut Rig) {
    rig.set_sending(Sending::Halted(WORDS.into()));
}

fn not_sent() -> Outcome {
    Outcome::NotSent(Reason::Halted(WORDS.into()))
}

fn unknown() -> Outcome {
    Outcome::Unknown(Reason::Halted(WORDS.into()))
}

fn narrow() -> Options {
    let limits = Limits {
        inflight: 1,
        ..Limits::default()
    };
    Options { limits, ..clean() }
}

#[test]
fn what_waits_ends_and_what_comes_is_refused_until_the_halt_is_lifted() {
    let mut rig = Rig::with(narrow());
    let first = rig.publish("t", "1", AtLeastOnce);
    let second = rig.publish("t", "2", AtLeastOnce);
    rig.expect(publish1(1, "t", "1"));
    halt(&mut rig);
    assert_eq!(rig.outcome(first), unknown());
    assert_eq!(rig.outcome(second), not_sent());
    let refused = rig.try_publish(message("t", "3", AtMostOnce), None);
    assert_eq!(refused, Err(PublishError::Halted(WORDS.into())));
    rig.advance(seconds(1.0));
    rig.send(puback(1));
    rig.nothing_left();
    rig.set_sending(Sending::Allowed);
    rig.still_connected();
    let fourth = rig.publish("t", "4", AtMostOnce);
    rig.expect(publish0("t", "4"));
    assert_eq!(rig.outcome(fourth), Outcome::Sent);
    rig.nothing_left();
}

#[test]
fn a_broker_that_acknowledges_nothing_is_not_lost_for_it() {
    let mut rig = Rig::up();
    let ticket = rig.publish("t", "x", AtLeastOnce);
    halt(&mut rig);
    assert_eq!(rig.outcome(ticket), unknown());
    for _ in 0..20 {
        rig.advance(seconds(30.0));
        rig.send([0xD0, 0]);
    }
    rig.still_connected();
}

#[test]
fn what_the_socket_has_not_taken_is_taken_out_of_the_stream() {
    let mut rig = Rig::up();
    rig.room(0);
    let gone = rig.publish("t", "1", AtMostOnce);
    let kept = rig.publish_exempt("t", "safe", AtLeastOnce);
    let listener = rig.listen("f", AtMostOnce);
    let also_gone = rig.publish("t", "2", ExactlyOnce);
    halt(&mut rig);
    assert_eq!(rig.outcome(gone), not_sent());
    assert_eq!(rig.outcome(also_gone), not_sent());
    rig.no_outcome(kept);
    rig.room(usize::MAX);
    rig.expect(publish1(1, "t", "safe"));
    let written = rig.written();
    assert_eq!(written[0], 0x82, "SUBSCRIBE, and nothing beside it");
    assert_eq!(written.len(), subscribe(2, &[("f", AtMostOnce)]).len());
    rig.send(puback(1));
    assert_eq!(rig.outcome(kept), Outcome::Delivered);
    rig.send(suback(u16::from(written[3]), &[0]));
    assert_eq!(rig.granted(listener), Some(AtMostOnce));
    rig.leave(listener);
    rig.written();
    rig.still_connected();
}

#[test]
fn half_a_packet_ends_with_its_connection() {
    for exempt_first in [false, true] {
        let mut rig = Rig::up();
        rig.room(3);
        let kept = exempt_first.then(|| rig.publish_exempt("t", "safe", AtLeastOnce));
        let ticket = rig.publish("t", "1", AtMostOnce);
        halt(&mut rig);
        assert_eq!(rig.outcome(ticket), not_sent());
        if kept.is_some() {
            rig.room(usize::MAX);
            rig.expect(publish1(1, "t", "safe"));
            rig.silence();
            rig.still_connected();
        } else {
            let (reason, retry) = rig.ended();
            assert_eq!(reason, Reason::Halted(WORDS.into()));
            assert!(retry.is_some());
            rig.room(usize::MAX);
            rig.reconnect();
            rig.accept();
            rig.silence();
        }
    }
}

/// Some brokers pass a QoS 2 message on when PUBREL comes.
#[test]
fn after_a_halt_no_pubrel_is_sent() {
    let mut rig = Rig::up();
    let first = rig.publish("t", "1", ExactlyOnce);
    let second = rig.publish("t", "2", ExactlyOnce);
    rig.written();
    rig.send(pubrec(1));
    rig.expect(pubrel(1));
    halt(&mut rig);
    assert_eq!(rig.outcome(first), unknown());
    assert_eq!(rig.outcome(second), unknown());
    rig.send(pubrec(2));
    rig.silence();
    rig.send(pubcomp(1));
    rig.set_sending(Sending::Allowed);
    rig.send(pubrec(2));
    rig.silence();
    assert_eq!(rig.usage().live_packet_ids, 1, "the other is in use");
    rig.cut_and_reconnect();
    rig.accept();
    rig.silence();
    rig.nothing_left();
}

#[test]
fn a_pubrel_that_the_socket_has_not_taken_ends_with_its_connection() {
    let mut rig = Rig::up();
    rig.publish("t", "1", ExactlyOnce);
    rig.written();
    rig.room(0);
    rig.send(pubrec(1));
    halt(&mut rig);
    assert_eq!(rig.ended().0, Reason::Halted(WORDS.into()));
    rig.room(usize::MAX);
    rig.reconnect();
    rig.accept();
    rig.silence();
}

/// [MQTT-4.4.0-1] would have it sent again in the session that the broker kept; so that session ends.
#[test]
fn what_was_halted_is_not_sent_again_in_a_kept_session() {
    for lifted in [false, true] {
        let mut rig = Rig::with(resuming());
        let ticket = rig.publish("t", "x", AtLeastOnce);
        rig.expect(publish1(1, "t", "x"));
        halt(&mut rig);
        assert_eq!(rig.outcome(ticket), unknown());
        if lifted {
            rig.set_sending(Sending::Allowed);
        }
        rig.cut();
        rig.ended();
        rig.advance_to_connect();
        rig.open();
        let connect = rig.written();
        assert_eq!(connect[9] & 0x02, 0x02, "a clean session");
        // As after a foreign session, the next connection begins the kept one anew.
        rig.send(connack(false));
        rig.expect([0xE0, 0]);
        rig.advance(seconds(1.0));
        rig.open();
        rig.expect_connect();
        rig.accept();
        rig.silence();
        rig.nothing_left();
    }
}

#[test]
fn what_is_resent_and_not_taken_yet_ends_with_its_connection() {
    let mut rig = Rig::with(resuming());
    let ticket = rig.publish("t", "x", AtLeastOnce);
    rig.written();
    rig.cut_and_reconnect();
    rig.room(0);
    rig.accept_back();
    halt(&mut rig);
    assert_eq!(rig.outcome(ticket), unknown());
    assert_eq!(rig.ended().0, Reason::Halted(WORDS.into()));
}

#[test]
fn what_is_held_waits_in_its_order_and_not_beyond_its_deadline() {
    let mut rig = Rig::up();
    rig.set_sending(Sending::Held);
    let first = rig.publish("t", "1", AtMostOnce);
    let late = rig.publish_within(seconds(1.0), "t", AtMostOnce);
    let second = rig.publish("t", "2", AtMostOnce);
    let safe = rig.publish_exempt("t", "safe", AtMostOnce);
    rig.expect(publish0("t", "safe"));
    assert_eq!(rig.outcome(safe), Outcome::Sent);
    rig.silence();
    rig.advance(seconds(2.0));
    assert_eq!(rig.outcome(late), Outcome::NotSent(Reason::Timeout(None)));
    rig.set_sending(Sending::Allowed);
    rig.expect(publish0("t", "1"));
    rig.expect(publish0("t", "2"));
    assert_eq!(rig.outcome(first), Outcome::Sent);
    assert_eq!(rig.outcome(second), Outcome::Sent);
    rig.nothing_left();
}

#[test]
fn a_kept_session_goes_on_when_it_is_held_no_more() {
    let mut rig = Rig::with(resuming());
    let ticket = rig.publish("t", "x", AtLeastOnce);
    rig.written();
    rig.cut();
    rig.ended();
    rig.set_sending(Sending::Held);
    rig.reconnect();
    rig.accept_back();
    rig.silence();
    for _ in 0..20 {
        rig.advance(seconds(30.0));
        rig.send([0xD0, 0]);
    }
    rig.still_connected();
    rig.written();
    rig.set_sending(Sending::Allowed);
    rig.expect(dup(publish1(1, "t", "x")));
    rig.send(puback(1));
    assert_eq!(rig.outcome(ticket), Outcome::Delivered);
    rig.nothing_left();
}

/// The broker's view of the stream: its packets, and whether writing was allowed when each began.
#[derive(Default)]
struct Wire {
    bytes: Vec<u8>,
    began: Option<bool>,
}

impl Wire {
    /// The packets that are whole now, with the state in which their first byte came.
    fn take(&mut self, bytes: &[u8], is_allowed: bool) -> Vec<(Vec<u8>, bool)> {
        let mut whole = Vec::new();
        for byte in bytes {
            self.began.get_or_insert(is_allowed);
            self.bytes.push(*byte);
            let Some(length) = self.length() else {
                continue;
            };
            if self.bytes.len() == length {
                let packet = std::mem::take(&mut self.bytes);
                whole.push((packet, self.began.take().unwrap()));
            }
        }
        whole
    }

    /// Two bytes of length are enough here.
    fn length(&self) -> Option<usize> {
        match self.bytes.get(1)? {
            short @ 0..=127 => Some(2 + usize::from(*short)),
            low => {
                let high = usize::from(*self.bytes.get(2)?);
                Some(3 + usize::from(low & 127) + 128 * high)
            }
        }
    }
}

/// A small generator, so that a seed names a schedule.
struct Dice(u64);

impl Dice {
    fn throw(&mut self, sides: u64) -> u64 {
        self.0 = self
            .0
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 33) % sides
    }
}

/// Thousands of schedules of messages, halts, acknowledgements, narrow sockets and lost connections: no packet of a message
/// that is not exempt begins or goes on while writing is halted, none that a halt ended is sent later, and each
/// message has one outcome.
#[test]
fn nothing_begins_or_goes_on_while_writing_is_halted() {
    let mut halted_under_way = 0;
    for seed in 0..3_000 {
        halted_under_way += run(seed);
    }
    assert!(halted_under_way > 1_000, "{halted_under_way}");
}

fn run(seed: u64) -> u32 {
    let mut dice = Dice(seed);
    for _ in 0..4 {
        dice.throw(2);
    }
    let options = if dice.throw(2) == 0 {
        clean()
    } else {
        resuming()
    };
    let limits = Limits {
        inflight: [1, 3, 20][dice.throw(3) as usize],
        ..Limits::default()
    };
    let mut rig = Rig::with(Options { limits, ..options });
    let mut wire = Wire::default();
    let mut sending = Sending::Allowed;
    // The messages by their payloads: `n7` is the seventh and not exempt.
    let mut open: BTreeMap<Ticket, String> = BTreeMap::new();
    let mut ended_by_halt: Vec<String> = Vec::new();
    // The identifiers that messages were sent with on this connection.
    let mut payload_of: BTreeMap<u16, String> = BTreeMap::new();
    let mut unacknowledged: Vec<(u16, u8)> = Vec::new();
    let mut under_way = 0;
    // The broker has just ended the session.
    let mut is_wiped = false;
    for step in 0..60 {
        let context = format!("seed {seed} step {step}");
        match dice.throw(12) {
            0..=3 => {
                let exempt = dice.throw(4) == 0;
                let qos = [AtMostOnce, AtLeastOnce, ExactlyOnce][dice.throw(3) as usize];
                let padding = "x".repeat([0, 5, 200][dice.throw(3) as usize]);
                let name = if exempt { "e" } else { "n" };
                let payload = format!("{name}{step} {padding}");
                if exempt {
                    let ticket = rig.publish_exempt("t", &payload, qos);
                    open.insert(ticket, payload);
                } else if let Ok(ticket) = rig.try_publish(message("t", &payload, qos), None) {
                    assert!(!matches!(sending, Sending::Halted(_)), "{context}");
                    open.insert(ticket, payload);
                }
            }
            4 | 5 => rig.room([0, 1, 7, 40, usize::MAX][dice.throw(5) as usize]),
            6 | 7 => {
                let place = dice.throw(unacknowledged.len().max(1) as u64) as usize;
                if rig.is_open() && place < unacknowledged.len() {
                    let (id, kind) = unacknowledged.remove(place);
                    match kind {
                        1 => rig.send(puback(id)),
                        2 => rig.send(pubrec(id)),
                        _ => rig.send(pubcomp(id)),
                    }
                }
            }
            8..=10 => {
                sending = match dice.throw(4) {
                    0 => Sending::Held,
                    1 | 2 => Sending::Halted(WORDS.into()),
                    _ => Sending::Allowed,
                };
                rig.set_sending(sending.clone());
            }
            _ if rig.is_open() => {
                rig.cut();
            }
            _ => {}
        }
        // What was encoded before it was held may go on.
        let is_allowed = !matches!(sending, Sending::Halted(_));
        loop {
            for (packet, began_allowed) in wire.take(&rig.written(), is_allowed) {
                match packet[0] >> 4 {
                    3 => {
                        let qos = packet[0] >> 1 & 3;
                        let header = if packet[1] > 127 { 3 } else { 2 };
                        let id = u16::from_be_bytes([packet[header + 3], packet[header + 4]]);
                        let from = header + 3 + if qos > 0 { 2 } else { 0 };
                        let payload = String::from_utf8(packet[from..].to_vec()).unwrap();
                        if payload.starts_with('n') {
                            assert!(began_allowed, "{context}: {payload} began");
                            let goes_on = matches!(sending, Sending::Halted(_));
                            assert!(!goes_on, "{context}: {payload} went on");
                            let is_ended = ended_by_halt.contains(&payload);
                            assert!(!is_ended, "{context}: {payload} came after its end");
                        }
                        if qos > 0 {
                            payload_of.insert(id, payload);
                            unacknowledged.push((id, qos));
                        }
                    }
                    6 => {
                        let id = u16::from_be_bytes([packet[2], packet[3]]);
                        if let Some(payload) = payload_of.get(&id).filter(|it| it.starts_with('n'))
                        {
                            assert!(
                                began_allowed || sending == Sending::Held,
                                "{context}: {payload} released"
                            );
                            assert!(
                                !ended_by_halt.contains(payload),
                                "{context}: {payload} released"
                            );
                        }
                        unacknowledged.push((id, 3));
                    }
                    _ => {}
                }
            }
            for (ticket, payload) in open.clone() {
                let outcomes = rig.outcomes(ticket);
                assert!(outcomes.len() <= 1, "{context}: {payload} {outcomes:?}");
                if let Some(outcome) = outcomes.first() {
                    open.remove(&ticket);
                    if *outcome == not_sent() || *outcome == unknown() {
                        // One that is exempt may end with its connection.
                        let is_exempt = payload.starts_with('e');
                        assert!(!is_exempt || *outcome == unknown(), "{context}: {payload}");
                        under_way += u32::from(!is_exempt);
                        ended_by_halt.push(payload);
                    }
                }
            }
            if matches!(sending, Sending::Halted(_)) {
                let left: Vec<_> = open.values().filter(|it| it.starts_with('n')).collect();
                assert!(left.is_empty(), "{context}: {left:?} go on");
            }
            if rig.is_open() {
                break;
            }
            // The next connection, and one more where the session has to end first.
            rig.take_ends();
            wire = Wire::default();
            unacknowledged.clear();
            rig.room(usize::MAX);
            rig.advance_to_connect();
            rig.open();
            let connect = rig.written();
            let is_clean = connect[9] & 0x02 != 0;
            let is_kept = !is_clean && !is_wiped && dice.throw(4) > 0;
            rig.send(connack(is_kept));
            is_wiped = !rig.client.is_connected();
            if is_wiped {
                rig.expect([0xE0, 0]);
                continue;
            }
            rig.connected();
        }
    }
    under_way
}

/// A broker may leave out messages at QoS 0 when it has much to send, the one that halts as well.
#[test]
fn what_halts_is_subscribed_to_at_qos_1() {
    let mut rig = Rig::up();
    let filter = SubscribeFilter::parse("op/halt").unwrap();
    let ticket = rig.client.observe_at_least_once(rig.now, filter).unwrap();
    rig.settle();
    rig.expect(subscribe(1, &[("op/halt", AtLeastOnce)]));
    rig.send(suback(1, &[1]));
    assert_eq!(rig.granted(ticket), Some(AtLeastOnce));
    rig.send(publish1(7, "op/halt", "fire"));
    rig.expect(puback(7));
    assert_eq!(rig.observed(ticket), ["op/halt=fire"]);
}

#[test]
fn every_qos_is_refused() {
    for qos in [AtMostOnce, AtLeastOnce, ExactlyOnce] as [QoS; 3] {
        let mut rig = Rig::up();
        halt(&mut rig);
        let refused = rig.try_publish(message("t", "x", qos), None);
        assert_eq!(refused, Err(PublishError::Halted(WORDS.into())));
        rig.silence();
    }
}
