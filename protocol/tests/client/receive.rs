//! Receiving: who is answered what, and what is delivered how often.

use mcpmqtt_protocol::QoS::{AtLeastOnce, AtMostOnce, ExactlyOnce};

use crate::rig::packets::*;
use crate::rig::{Rig, seconds};

fn listening(filter: &str) -> (Rig, mcpmqtt_protocol::client::Ticket) {
    let mut rig = Rig::up();
    let listener = rig.listen(filter, ExactlyOnce);
    rig.expect(subscribe(1, &[(filter, ExactlyOnce)]));
    rig.send(suback(1, &[2]));
    (rig, listener)
}

/// [MQTT-3.3.4-1] [MQTT-2.3.1-6] Each QoS has its answer, with the identifier that came.
#[test]
fn each_qos_gets_its_answer() {
    let (mut rig, listener) = listening("t");
    rig.send(publish0("t", "0"));
    rig.silence();
    rig.send(publish1(7, "t", "1"));
    rig.expect(puback(7));
    rig.send(publish2(8, "t", "2"));
    rig.expect(pubrec(8));
    rig.send(pubrel(8));
    rig.expect(pubcomp(8));
    rig.silence();
    assert_eq!(rig.heard(listener), ["t=0", "t=1", "t=2"]);
    rig.nothing_left();
}

/// [MQTT-4.3.2-2] [MQTT-3.3.1-3] After PUBACK the identifier is new, whatever DUP says; and DUP on a
/// message never seen does not hide it.
#[test]
fn qos_1_is_delivered_each_time_it_comes() {
    let (mut rig, listener) = listening("t");
    rig.send(dup(publish1(7, "t", "a")));
    rig.send(publish1(7, "t", "b"));
    rig.send(dup(publish1(7, "t", "b")));
    assert_eq!(rig.heard(listener), ["t=a", "t=b", "t=b"]);
    for _ in 0..3 {
        rig.expect(puback(7));
    }
}

/// [MQTT-4.3.3-2] [MQTT-3.3.1-3] Pitfall 3: QoS 2 is delivered once for each identifier until
/// PUBREL, with DUP or without; then the identifier is new.
#[test]
fn qos_2_is_delivered_once_until_it_is_released() {
    let (mut rig, listener) = listening("t");
    for again in [
        publish2(8, "t", "a"),
        dup(publish2(8, "t", "a")),
        publish2(8, "t", "a"),
    ] {
        rig.send(again);
        rig.expect(pubrec(8));
    }
    assert_eq!(rig.heard(listener), ["t=a"]);
    rig.send(pubrel(8));
    rig.expect(pubcomp(8));
    rig.send(dup(publish2(8, "t", "b")));
    rig.expect(pubrec(8));
    assert_eq!(rig.heard(listener), ["t=b"]);
}

/// [MQTT-4.3.3-2] Pitfall 2: PUBREL is answered, for an unknown identifier too.
#[test]
fn every_pubrel_gets_a_pubcomp() {
    let mut rig = Rig::up();
    for _ in 0..2 {
        rig.send(pubrel(8));
        rig.expect(pubcomp(8));
    }
    rig.still_connected();
}

/// [MQTT-2.3.1-4] Our identifiers and the broker's are two spaces.
#[test]
fn the_same_identifier_in_both_directions_is_two_flows() {
    let (mut rig, listener) = listening("t");
    let ticket = rig.publish("out", "x", ExactlyOnce);
    rig.expect(publish2(2, "out", "x"));
    rig.send(publish2(2, "t", "in"));
    rig.expect(pubrec(2));
    rig.send(pubrec(2));
    rig.expect(pubrel(2));
    rig.send(pubrel(2));
    rig.expect(pubcomp(2));
    rig.no_outcome(ticket);
    rig.send(pubcomp(2));
    rig.outcome(ticket);
    assert_eq!(rig.heard(listener), ["t=in"]);
    rig.nothing_left();
}

/// [MQTT-4.6.0-2] [MQTT-4.6.0-3] [MQTT-4.6.0-4] Answers leave in the order of what they answer.
#[test]
fn answers_leave_in_the_order_of_what_came() {
    let (mut rig, _) = listening("t");
    rig.publish("o", "1", ExactlyOnce);
    rig.publish("o", "2", ExactlyOnce);
    rig.written();
    let stream = [
        publish1(9, "t", "x"),
        publish2(3, "t", "x"),
        publish1(4, "t", "x"),
        pubrec(3),
        publish2(2, "t", "x"),
        pubrec(2),
        publish1(1, "t", "x"),
    ];
    rig.send(stream.concat());
    for answer in [
        puback(9),
        pubrec(3),
        puback(4),
        pubrel(3),
        pubrec(2),
        pubrel(2),
        puback(1),
    ] {
        rig.expect(answer);
    }
    rig.silence();
}

/// [MQTT-4.5.0-2] [MQTT-3.3.2-3] A message nobody listens for is acknowledged and counted; the
/// broker may send what it likes.
#[test]
fn a_message_nobody_wants_is_acknowledged_and_counted() {
    let (mut rig, listener) = listening("t");
    rig.send(publish1(1, "other", "x"));
    rig.expect(puback(1));
    rig.send(publish2(2, "other", "x"));
    rig.expect(pubrec(2));
    rig.send(publish0("other", "x"));
    assert_eq!(rig.usage().unmatched, 3);
    assert!(rig.heard(listener).is_empty());
    rig.still_connected();
}

/// One message, several listeners: each gets it once, those that do not match do not.
#[test]
fn each_matching_listener_gets_a_message_once() {
    let mut rig = Rig::up();
    let exact = rig.listen("a/b", AtMostOnce);
    let plus = rig.listen("+/b", AtMostOnce);
    let all = rig.listen("#", AtMostOnce);
    let twin = rig.listen("a/b", AtMostOnce);
    let other = rig.listen("a/c", AtMostOnce);
    rig.send(publish0("a/b", "x"));
    for listener in [exact, plus, all, twin] {
        assert_eq!(rig.heard(listener), ["a/b=x"]);
    }
    assert!(rig.heard(other).is_empty());
    rig.leave(twin);
    rig.send(publish0("a/b", "y"));
    assert!(rig.heard(twin).is_empty());
    assert_eq!(rig.heard(exact), ["a/b=y"]);
}

/// [MQTT-3.3.5-1] A broker may send one copy for each overlapping filter; QoS 0 and 1 cannot be told
/// from two messages, so both are delivered.
#[test]
fn copies_for_overlapping_filters_are_not_swallowed() {
    let (mut rig, listener) = listening("a/#");
    rig.send([publish1(5, "a/b", "x"), publish1(6, "a/b", "x")].concat());
    assert_eq!(rig.heard(listener), ["a/b=x", "a/b=x"]);
}

/// [MQTT-4.7.2-1] [MQTT-4.7.3-4] A leading wildcard does not match `$` topics, and names match byte
/// for byte, whatever the broker sends.
#[test]
fn delivery_follows_the_rules_of_matching_and_not_the_broker() {
    let mut rig = Rig::up();
    let all = rig.listen("#", AtMostOnce);
    let system = rig.listen("$SYS/#", AtMostOnce);
    let composed = rig.listen("caf\u{E9}", AtMostOnce);
    rig.send(publish0("$SYS/uptime", "1"));
    rig.send(publish0("cafe\u{301}", "2"));
    assert_eq!(rig.heard(system), ["$SYS/uptime=1"]);
    assert_eq!(rig.heard(all), ["cafe\u{301}=2"]);
    assert!(rig.heard(composed).is_empty());
}

/// [MQTT-3.10.4-2] [MQTT-3.10.4-3] Deliveries that had begun are finished after the listener left.
#[test]
fn deliveries_under_way_are_finished_after_unsubscribe() {
    let (mut rig, listener) = listening("t");
    rig.send(publish2(8, "t", "x"));
    rig.expect(pubrec(8));
    rig.leave(listener);
    rig.expect(unsubscribe(2, "t"));
    rig.send(
        [
            publish1(9, "t", "y"),
            unsuback(2),
            pubrel(8),
            publish2(10, "t", "z"),
        ]
        .concat(),
    );
    rig.expect(puback(9));
    rig.expect(pubcomp(8));
    rig.expect(pubrec(10));
    assert_eq!(rig.heard(listener), ["t=x"]);
}

/// [MQTT-4.8.0-2] Pitfalls 13, 14 and 15: a broker that sends and does not read makes us stop
/// parsing, not grow; when it reads again everything is answered, in order, and nothing was lost.
#[test]
fn a_broker_that_does_not_read_stops_our_reading_and_loses_nothing() {
    let (mut rig, listener) = listening("t");
    rig.room(0);
    let hundred: Vec<u8> = (1..=100).flat_map(|id| publish1(id, "t", "x")).collect();
    let mut sent = 0;
    while rig.client.wants_bytes() {
        rig.send(&hundred);
        sent += 100;
        assert!(sent < 100_000, "it never stops reading");
    }
    assert!(rig.usage().outgoing_bytes <= 256 * 1024 + 4);
    // What one more read of the socket brings is kept unparsed.
    let delivered = rig.heard(listener).len();
    let before = rig.usage().incoming_bytes;
    rig.send(&hundred);
    assert_eq!(rig.usage().incoming_bytes, before + hundred.len());
    assert!(rig.heard(listener).is_empty());
    rig.advance(seconds(1.0));
    rig.room(usize::MAX);
    assert_eq!(delivered + rig.heard(listener).len(), sent + 100);
    let answers: Vec<u8> = (1..=100).flat_map(puback).collect();
    assert!(rig.written() == answers.repeat(sent / 100 + 1));
    assert!(rig.client.wants_bytes());
    rig.nothing_left();
}

/// A broker may deliver at a higher QoS than was granted (amqtt, rumqttd do): the answer goes by
/// what came.
#[test]
fn a_raised_qos_is_answered_as_it_came() {
    let mut rig = Rig::up();
    let listener = rig.listen("t", AtMostOnce);
    rig.expect(subscribe(1, &[("t", AtMostOnce)]));
    rig.send([suback(1, &[0]), publish2(4, "t", "x")].concat());
    rig.expect(pubrec(4));
    assert_eq!(rig.heard(listener), ["t=x"]);
    rig.send(pubrel(4));
    rig.expect(pubcomp(4));
    rig.listen("u", AtLeastOnce);
}
