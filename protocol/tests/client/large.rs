//! Messages larger than the client keeps: they pass, are acknowledged and told as lost.

use mcpmqtt_protocol::QoS::{AtLeastOnce, AtMostOnce, ExactlyOnce};
use mcpmqtt_protocol::client::{Options, ProtocolError, Reason};
use mcpmqtt_protocol::limits::Limits;

use crate::rig::packets::*;
use crate::rig::{Rig, clean, resuming, seconds};

const CAP: usize = 1000;

fn small_packets(options: Options) -> Options {
    let limits = Limits {
        packet_bytes: CAP,
        ..Limits::default()
    };
    Options { limits, ..options }
}

/// A client that takes packets of 1,000 bytes, with one listener.
fn listening(filter: &str) -> (Rig, mcpmqtt_protocol::client::Ticket) {
    let mut rig = Rig::with(small_packets(clean()));
    let listener = rig.listen_retained(filter, ExactlyOnce);
    rig.expect(subscribe(1, &[(filter, ExactlyOnce)]));
    rig.send(suback(1, &[2]));
    (rig, listener)
}

fn payload() -> String {
    "x".repeat(5000)
}

/// [MQTT-3.3.4-1] [MQTT-4.5.0-2] [MQTT-4.3.3-2] It is answered by its QoS, whoever listens is told, what
/// stands behind it arrives, and a QoS 2 message that is repeated is told once.
#[test]
fn a_message_above_the_cap_is_acknowledged_and_told_as_lost_and_the_connection_goes_on() {
    let (mut rig, listener) = listening("cam/+");
    let other = rig.listen("x", AtMostOnce);
    rig.expect(subscribe(2, &[("x", AtMostOnce)]));
    rig.send(suback(2, &[0]));
    rig.send(
        [
            retained(publish0("cam/1", &payload())),
            publish0("cam/2", "s"),
        ]
        .concat(),
    );
    rig.silence();
    assert_eq!(rig.too_large(listener), ["cam/1:5000"]);
    assert_eq!(rig.heard(listener), ["cam/2=s"]);
    rig.send(publish1(7, "cam/1", &payload()));
    rig.expect(puback(7));
    rig.send(publish2(8, "cam/1", &payload()));
    rig.expect(pubrec(8));
    rig.send(dup(publish2(8, "cam/1", &payload())));
    rig.expect(pubrec(8));
    rig.send(pubrel(8));
    rig.expect(pubcomp(8));
    assert_eq!(rig.too_large(listener), ["cam/1:5000", "cam/1:5000"]);
    assert!(rig.too_large(other).is_empty());
    assert_eq!(rig.usage().unmatched, 0);
    rig.still_connected();
    rig.nothing_left();
}

/// As with other retained messages, who knows the topic's state is not told of it again.
#[test]
fn a_retained_message_above_the_cap_is_told_once_to_each_listener() {
    let (mut rig, first) = listening("cam/1");
    let big = retained(publish0("cam/1", &payload()));
    rig.send(&big);
    assert_eq!(rig.too_large(first), ["cam/1:5000"]);
    let second = rig.listen_retained("cam/1", ExactlyOnce);
    let deaf = rig.listen("cam/#", AtMostOnce);
    rig.written();
    rig.send([suback(2, &[2]), big].concat());
    assert!(rig.too_large(first).is_empty());
    assert_eq!(rig.too_large(second), ["cam/1:5000"]);
    assert!(rig.too_large(deaf).is_empty(), "it wants no retained ones");
}

/// [MQTT-7.1.2-1] It is acknowledged when its last byte has come, however it is cut, and nothing of it
/// is kept meanwhile.
#[test]
fn a_message_above_the_cap_is_kept_nowhere_however_it_arrives() {
    let packet = publish1(9, "cam/1", &payload());
    for size in [1, 7, 999, 4096] {
        let (mut rig, listener) = listening("cam/1");
        let (last, before) = packet.split_last().unwrap();
        for part in before.chunks(size) {
            rig.send(part);
            // No more than what the topic and the identifier take.
            assert!(rig.usage().incoming_bytes <= 16, "{:?}", rig.usage());
            rig.silence();
        }
        rig.send([*last]);
        rig.expect(puback(9));
        assert_eq!(rig.too_large(listener), ["cam/1:5000"]);
        rig.nothing_left();
    }
}

/// [MQTT-1.5.3-1] [MQTT-3.3.2-2] [MQTT-2.3.1-1] Its topic and its identifier are judged as any other's,
/// before the payload has come.
#[test]
fn a_malformed_message_above_the_cap_ends_the_connection() {
    for head in [
        "30 88 27 00 01 FF",
        "30 88 27 00 01 00",
        "30 88 27 00 01 23",
        "30 88 27 00 00",
        "32 88 27 00 01 61 00 00",
        "38 88 27",
        "36 88 27",
    ] {
        let (mut rig, _) = listening("#");
        rig.send(hex(head));
        let reason = rig.ended().0;
        let broken = matches!(reason, Reason::Protocol(ProtocolError::Frame(_)));
        assert!(broken, "{head}: {reason:?}");
    }
    let mut rig = Rig::new(small_packets(clean()));
    rig.open();
    rig.send(publish0("cam/1", &payload()));
    let reason = rig.ended().0;
    assert_eq!(reason, Reason::Protocol(ProtocolError::NotConnack));
}

/// A connection that ends in the middle of it leaves nothing behind; a kept session brings it again.
#[test]
fn a_message_above_the_cap_that_is_cut_off_is_neither_told_nor_acknowledged() {
    let mut rig = Rig::with(small_packets(resuming()));
    let listener = rig.listen("cam/1", AtLeastOnce);
    rig.expect(subscribe(1, &[("cam/1", AtLeastOnce)]));
    rig.send(suback(1, &[1]));
    let packet = publish1(9, "cam/1", &payload());
    rig.send(&packet[..2000]);
    rig.cut_and_reconnect();
    assert!(rig.too_large(listener).is_empty());
    rig.accept_back();
    rig.silence();
    rig.send(dup(packet));
    rig.expect(puback(9));
    assert_eq!(rig.too_large(listener), ["cam/1:5000"]);
}

/// While it comes in the broker can say nothing else: what it owes us is not late. When it stops in the
/// middle, the ping that is not answered ends the connection.
#[test]
fn what_is_owed_behind_a_long_message_is_not_late_and_a_broker_that_stops_in_it_is_found() {
    let options = Options {
        keep_alive: 60,
        ..small_packets(clean())
    };
    let mut rig = Rig::with(options);
    let listener = rig.listen("a", AtMostOnce);
    rig.expect(subscribe(1, &[("a", AtMostOnce)]));
    let packet = publish0("cam/1", &payload());
    for part in packet.chunks(50) {
        rig.send(part);
        rig.advance(seconds(1.0));
    }
    rig.still_connected();
    rig.send(suback(1, &[0]));
    assert_eq!(rig.granted(listener), Some(AtMostOnce));
    rig.send(PINGRESP);
    rig.send(&packet[..100]);
    for _ in 0..90 {
        if rig.client.is_connected() {
            rig.advance(seconds(1.0));
        }
    }
    assert_eq!(rig.ended().0, Reason::KeepAlive);
}
