//! Brokers that break the protocol: the connection ends with a reason, the client goes on.

use mcpmqtt_protocol::QoS::{AtLeastOnce, AtMostOnce, ExactlyOnce};
use mcpmqtt_protocol::client::{Options, ProtocolError, Reason};
use mcpmqtt_protocol::limits::Limits;

use crate::rig::packets::*;
use crate::rig::{Rig, clean, resuming, seconds, wanting};

/// Packets no client can take, each complete up to the byte that condemns it.
const MALFORMED: [&str; 53] = [
    // Types that do not exist or never flow this way [MQTT-4.8.0-1].
    "00",
    "F0",
    "10",
    "82",
    "A2",
    "C0 00",
    "E0 00",
    // Remaining lengths: endless, or not those of the type.
    "30 FF FF FF FF",
    "40 80 80 80 80",
    "40 00",
    "50 00",
    "62 00",
    "70 00",
    "90 00",
    "B0 00",
    "20 00",
    "40 03 00 01 00",
    "D0 01 00",
    "B0 03 00 01 00",
    "90 02 00 01",
    "30 00",
    "32 04 00 02",
    // QoS 3, DUP at QoS 0.
    "36",
    "3E",
    "38",
    "39",
    // Topics: empty, NUL, wildcards, not UTF-8, surrogate, longer than the packet.
    "30 03 00 00 78",
    "30 04 00 01 00 78",
    "30 03 00 01 23",
    "30 03 00 01 2B",
    "30 05 00 03 61 2F 23",
    "30 03 00 01 FF",
    "30 05 00 03 ED A0 80",
    "30 04 00 02 C3 28",
    "30 03 00 02 61",
    "30 03 FF FF 61",
    // Identifier 0, or none.
    "32 05 00 01 61 00 00",
    "34 05 00 01 61 00 00",
    "32 05 00 02 61 62 00",
    "40 02 00 00",
    "50 02 00 00",
    "62 02 00 00",
    "70 02 00 00",
    "90 03 00 00 00",
    "B0 02 00 00",
    // SUBACK codes of no meaning.
    "90 03 00 01 03",
    "90 03 00 01 7F",
    "90 03 00 01 81",
    "90 04 00 01 00 FF",
    // CONNACK again, legal or not.
    "20 02 00 00",
    "20 02 01 00",
    "20 02 00 06",
    "20 02 02 00",
];

/// [MQTT-4.8.0-1] [MQTT-1.5.3-1] [MQTT-1.5.3-2] [MQTT-2.3.1-1] [MQTT-3.3.1-2] [MQTT-3.3.1-4]
/// [MQTT-3.3.2-1] [MQTT-3.3.2-2] [MQTT-4.7.1-1] [MQTT-4.7.3-1] [MQTT-4.7.3-2] [MQTT-3.9.3-2] Each
/// ends the connection with a reason, gets no acknowledgement, and the next connection is good.
#[test]
fn every_malformed_packet_ends_the_connection_and_the_next_one_is_good() {
    for digits in MALFORMED {
        let mut rig = Rig::up();
        let listener = rig.listen("#", ExactlyOnce);
        rig.expect(subscribe(1, &[("#", ExactlyOnce)]));
        rig.send(hex(digits));
        let (reason, wait) = rig.ended();
        assert!(
            matches!(reason, Reason::Protocol(_)),
            "{digits}: {reason:?}"
        );
        let words = reason.to_string();
        assert!(
            words.starts_with("the broker broke the protocol: "),
            "{words}"
        );
        assert!(wait.is_some());
        rig.silence();
        assert!(rig.heard(listener).is_empty(), "{digits}");
        rig.reconnect();
        rig.accept();
    }
}

/// [MQTT-2.2.2-2] [MQTT-3.6.1-1] Reserved flags are judged when their byte arrives, not when the
/// packet is complete.
#[test]
fn every_wrong_flag_nibble_ends_the_connection_at_the_first_byte() {
    let kinds = [0x20, 0x40, 0x50, 0x62, 0x70, 0x90, 0xB0, 0xD0];
    let mut cases = 0;
    for right in kinds {
        for nibble in (0..16).filter(|nibble| *nibble != right & 0x0F) {
            let mut rig = Rig::up();
            rig.send([right & 0xF0 | nibble]);
            assert!(matches!(
                rig.ended().0,
                Reason::Protocol(ProtocolError::Frame(_))
            ));
            cases += 1;
        }
    }
    assert_eq!(cases, 120);
}

/// Legal, if odd: a remaining length in more bytes than it needs (3.1.1 does not forbid it), and
/// U+FEFF in a topic [MQTT-1.5.3-3].
#[test]
fn legal_oddities_are_taken() {
    let mut rig = Rig::up();
    let ticket = rig.publish("t", "x", AtLeastOnce);
    rig.expect(publish1(1, "t", "x"));
    rig.send(hex("40 82 00 00 01"));
    rig.outcome(ticket);
    rig.still_connected();
}

/// [MQTT-1.5.3-3] U+FEFF is a character like any other, in both directions.
#[test]
fn a_byte_order_mark_is_part_of_the_topic() {
    let mut rig = Rig::up();
    let marked = rig.listen("\u{FEFF}a", AtMostOnce);
    let plain = rig.listen("a", AtMostOnce);
    rig.written();
    rig.send(hex("30 07 00 04 EF BB BF 61 78"));
    assert_eq!(rig.heard(marked), ["\u{FEFF}a=x"]);
    assert!(rig.heard(plain).is_empty());
    rig.publish("\u{FEFF}a", "x", AtMostOnce);
    rig.expect(hex("30 07 00 04 EF BB BF 61 78"));
}

/// [MQTT-4.8.0-1] Pitfall 18: a broker that breaks the protocol each time is tried again ever more
/// slowly.
#[test]
fn a_hundred_violations_in_a_row_do_not_spin() {
    let mut rig = Rig::new(clean());
    for _ in 0..100 {
        rig.advance_to_connect();
        rig.open();
        rig.accept();
        rig.send(hex("36"));
        rig.ended();
    }
    assert!(rig.elapsed() > seconds(200.0), "{:?}", rig.elapsed());
    rig.nothing_left();
    rig.reconnect();
    rig.accept();
    rig.publish("t", "x", AtMostOnce);
    rig.expect(publish0("t", "x"));
}

/// Pitfall 16: a packet above the cap that is no PUBLISH ends the connection when its header is read;
/// nothing is allocated for what it announces.
#[test]
fn a_packet_above_the_cap_ends_the_connection_at_its_header() {
    let limits = Limits {
        packet_bytes: 1024,
        ..Limits::default()
    };
    let mut rig = Rig::with(Options { limits, ..clean() });
    rig.send(hex("90 80 08"));
    let (reason, _) = rig.ended();
    assert!(reason.to_string().contains("1024"), "{reason}");
    assert_eq!(rig.usage().incoming_bytes, 0);
}

/// [MQTT-2.3.1-7] [MQTT-4.3.3-1] Acknowledgements for a packet that is not waiting for them end the
/// connection when they would end another's wait.
#[test]
fn an_acknowledgement_of_the_wrong_kind_ends_the_connection() {
    // On the wire: SUBSCRIBE 1, UNSUBSCRIBE 2, PUBLISH 3 at QoS 1, PUBLISH 4 at QoS 2, PUBLISH 5 at
    // QoS 2 with PUBREL.
    let wrong = [
        suback(2, &[0]),
        suback(3, &[0]),
        suback(4, &[0]),
        suback(9, &[0]),
        unsuback(1),
        unsuback(3),
        unsuback(9),
        pubrec(3),
        pubcomp(3),
        pubcomp(4),
        puback(5),
    ];
    for packet in wrong {
        let mut rig = Rig::up();
        let listener = rig.listen("f", AtMostOnce);
        rig.leave(listener);
        rig.publish("t", "1", AtLeastOnce);
        rig.publish("t", "2", ExactlyOnce);
        rig.publish("t", "3", ExactlyOnce);
        rig.send(pubrec(5));
        assert!(rig.written().ends_with(&pubrel(5)));
        rig.send(&packet);
        let (reason, _) = rig.ended();
        let unexpected = matches!(reason, Reason::Protocol(ProtocolError::UnexpectedAck(_)));
        assert!(unexpected, "{packet:02X?}: {reason:?}");
    }
}

/// [MQTT-3.8.4-4] [MQTT-3.8.4-5] [MQTT-3.9.3-1] One code for each filter.
#[test]
fn a_suback_with_too_few_or_too_many_codes_ends_the_connection() {
    for codes in [&[0u8][..], &[0, 0, 0]] {
        let mut rig = Rig::new(clean());
        rig.listen("a", AtMostOnce);
        rig.listen("b", AtMostOnce);
        rig.open();
        rig.expect_connect();
        rig.accept();
        rig.expect(subscribe(1, &[("a", AtMostOnce), ("b", AtMostOnce)]));
        rig.send(suback(1, codes));
        assert_eq!(rig.ended().0, Reason::Protocol(ProtocolError::SubackCount));
    }
}

/// [MQTT-7.1.2-1] The stream has no seams: cut into single bytes or in one piece, a connection's
/// worth of packets does the same.
#[test]
fn every_way_to_cut_the_stream_does_the_same() {
    let stream = [
        suback(1, &[2]),
        publish0("f/a", "one"),
        publish1(7, "f/b", "two"),
        publish2(8, "f/c", "three"),
        dup(publish2(8, "f/c", "three")),
        pubrel(8),
        PINGRESP.to_vec(),
        publish0("f/long", &"x".repeat(300)),
    ]
    .concat();
    let run = |parts: &mut dyn Iterator<Item = &[u8]>| {
        let mut rig = Rig::new(clean());
        let listener = rig.listen("f/#", ExactlyOnce);
        rig.open();
        rig.accept();
        for part in parts {
            rig.send(part);
        }
        rig.still_connected();
        assert_eq!(rig.granted(listener), Some(ExactlyOnce));
        (rig.heard(listener), rig.written())
    };
    let whole = run(&mut [&stream[..]].into_iter());
    assert_eq!(whole.0.len(), 4);
    assert_eq!(run(&mut stream.chunks(1)), whole);
    for at in 1..stream.len() {
        let (head, tail) = stream.split_at(at);
        assert_eq!(run(&mut [head, tail].into_iter()), whole, "cut at {at}");
    }
}

/// Whatever comes, the client neither panics nor spins, and a good broker finds it well afterwards.
#[test]
fn random_bytes_never_do_more_than_end_the_connection() {
    let mut random = 0x2545_F491_4F6C_DD1D_u64;
    let mut next = move || {
        random ^= random << 13;
        random ^= random >> 7;
        random ^= random << 17;
        random
    };
    let starts = [
        0x20, 0x30, 0x31, 0x32, 0x34, 0x3A, 0x40, 0x50, 0x62, 0x70, 0x90, 0xB0, 0xD0,
    ];
    let mut rig = Rig::new(resuming());
    let mut ends = 0;
    for round in 0..3000 {
        if !rig.client.is_connected() {
            rig.advance_to_connect();
            rig.open();
            rig.accept();
            // Refused for a while, when what was sent for it broke the protocol.
            let _ = rig.try_listen(wanting("#", AtLeastOnce, false));
            rig.publish("t", "x", ExactlyOnce);
        }
        let mut packet = vec![starts[next() as usize % starts.len()], (next() % 12) as u8];
        packet.extend((0..packet[1]).map(|_| (next() % 4) as u8));
        rig.client.handle_bytes(rig.now, &packet);
        rig.settle();
        rig.written();
        if round % 10 == 0 {
            rig.advance(seconds(0.1));
        }
        if !rig.client.is_connected() {
            ends += 1;
            rig.take_ends();
        }
    }
    assert!(ends > 100);
}
