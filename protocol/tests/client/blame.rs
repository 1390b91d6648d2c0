//! Subscriptions that bring what no client can take: they end, the others go on.

use mcpmqtt_protocol::QoS::{AtLeastOnce, AtMostOnce};
use mcpmqtt_protocol::client::{ListenError, ProtocolError, Reason};

use crate::rig::packets::*;
use crate::rig::{Rig, clean, resuming, seconds, wanting};

/// What a broker may have stored, and a filter that gets it.
const STORED: [(&str, &str); 8] = [
    // Topics: not UTF-8, a surrogate, U+0000, wildcards.
    ("31 07 00 05 62 61 64 2F FF", "bad/+"),
    ("31 0A 00 07 62 61 64 2F ED A0 80 78", "bad/#"),
    ("31 08 00 05 62 61 64 2F 00 78", "bad/#"),
    ("31 08 00 05 62 61 64 2F 23 78", "bad/+"),
    ("31 08 00 05 62 61 64 2F 2B 78", "+/+"),
    // Packet identifier 0.
    ("33 0A 00 05 62 61 64 2F 78 00 00 78", "bad/x"),
    // DUP at QoS 0, and QoS 3.
    ("39 08 00 05 62 61 64 2F 78 78", "bad/x"),
    ("37 0A 00 05 62 61 64 2F 78 00 01 78", "bad/x"),
];

fn is_malformed(reason: &Reason) -> bool {
    matches!(reason, Reason::Protocol(ProtocolError::Frame(_)))
}

/// Answers each SUBSCRIBE of the client, and sends `stored` behind it if `filter` is in it. True when it
/// was.
fn answer(rig: &mut Rig, filter: &str, stored: &[u8]) -> bool {
    let written = rig.written();
    let mut rest = &written[..];
    while let [first, length, id_high, id_low, ..] = *rest {
        let (packet, behind) = rest.split_at(2 + usize::from(length));
        rest = behind;
        if first != 0x82 {
            continue;
        }
        let mut filters = 0;
        let mut body = &packet[4..];
        while let [high, low, ..] = *body {
            body = &body[2 + usize::from(u16::from_be_bytes([high, low])) + 1..];
            filters += 1;
        }
        rig.send(
            [
                &[0x90, 2 + filters, id_high, id_low][..],
                &vec![0; filters.into()],
            ]
            .concat(),
        );
        let text = String::from_utf8_lossy(packet);
        if text.contains(filter) {
            rig.send(stored);
            return true;
        }
    }
    false
}

/// [MQTT-4.8.0-1] [MQTT-1.5.3-1] [MQTT-1.5.3-2] [MQTT-3.3.2-2] [MQTT-2.3.1-1] [MQTT-3.3.1-2] The connection
/// ends twice; then only what brought it is gone.
#[test]
fn the_second_time_what_brought_it_ends_and_the_rest_lives() {
    for (stored, filter) in STORED {
        let stored = hex(stored);
        let mut rig = Rig::up();
        let good = rig.listen("good/+", AtMostOnce);
        let watch = rig.listen_retained("other", AtMostOnce);
        answer(&mut rig, filter, &stored);
        let culprit = rig.listen_retained(filter, AtLeastOnce);
        let mut ends = 0;
        while answer(&mut rig, filter, &stored) {
            ends += 1;
            assert!(ends <= 2, "{filter}: it goes on");
            assert!(is_malformed(&rig.ended().0), "{filter}");
            rig.reconnect();
            rig.accept();
        }
        assert_eq!(ends, 2, "{filter}");
        let reason = rig.refused(culprit).expect("it is told");
        let words = reason.to_string();
        assert!(matches!(reason, Reason::BringsMalformed(_)), "{words}");
        for listener in [good, watch] {
            assert_eq!(rig.refused(listener), None, "{filter}");
        }
        rig.send(publish0("good/1", "x"));
        assert_eq!(rig.heard(good), ["good/1=x"]);
        rig.still_connected();
        // Whoever asks again costs nobody anything, for a while.
        let again = rig.try_listen(wanting(filter, AtMostOnce, true));
        assert_eq!(again, Err(ListenError::GivenUp(reason)));
        rig.silence();
        for _ in 0..61 {
            rig.send(PINGRESP);
            rig.advance(seconds(1.0));
        }
        answer(&mut rig, filter, &stored);
        let later = rig.listen_retained(filter, AtMostOnce);
        assert!(answer(&mut rig, filter, &stored));
        assert!(rig.refused(later).is_some(), "once more is enough");
    }
}

/// Every filter that gets the message brings it anew when the others are gone.
#[test]
fn all_filters_that_match_are_to_blame() {
    let stored = hex(STORED[0].0);
    let mut rig = Rig::new(clean());
    let listeners = ["bad/+", "#", "+/+"].map(|filter| rig.listen_retained(filter, AtMostOnce));
    let good = rig.listen_retained("bad/x", AtMostOnce);
    rig.open();
    rig.accept();
    for _ in 0..2 {
        rig.send(&stored);
        rig.ended();
        rig.reconnect();
        rig.accept();
    }
    for listener in listeners {
        assert!(rig.refused(listener).is_some());
    }
    rig.expect(subscribe(3, &[("bad/x", AtMostOnce)]));
    rig.silence();
    assert_eq!(rig.refused(good), None);
}

/// A live message now and then is no reason to end a watch.
#[test]
fn what_is_long_ago_does_not_count() {
    let mut rig = Rig::up();
    let watch = rig.listen("bad/#", AtMostOnce);
    rig.send(suback(1, &[0]));
    for _ in 0..5 {
        rig.send(hex("30 07 00 05 62 61 64 2F FF"));
        rig.ended();
        rig.reconnect();
        rig.accept();
        answer(&mut rig, "nothing", &[]);
        for _ in 0..610 {
            rig.send(PINGRESP);
            rig.advance(seconds(1.0));
        }
        rig.still_connected();
        rig.written();
        assert_eq!(rig.refused(watch), None);
    }
}

/// When the packet names no topic, only a filter that alone is new can have brought it.
#[test]
fn without_a_topic_only_a_single_new_filter_is_to_blame() {
    for garbage in ["00", "39", "30 03 00 00 78", "30 03 FF FF 61", "D0 01 00"] {
        let mut rig = Rig::up();
        let culprit = rig.listen_retained("bad", AtMostOnce);
        for id in [1, 2] {
            rig.expect(subscribe(id, &[("bad", AtMostOnce)]));
            rig.send([suback(id, &[0]), hex(garbage)].concat());
            rig.ended();
            rig.reconnect();
            rig.accept();
        }
        let refused = rig.refused(culprit);
        assert!(
            matches!(refused, Some(Reason::BringsMalformed(_))),
            "{garbage}"
        );

        let mut rig = Rig::up();
        let listeners = ["a", "b"].map(|filter| rig.listen_retained(filter, AtMostOnce));
        for round in 0..20 {
            let ids = if round == 0 {
                vec![1, 2]
            } else {
                vec![round + 2]
            };
            let codes: &[u8] = if round == 0 { &[0] } else { &[0, 0] };
            for id in ids {
                rig.send(suback(id, codes));
            }
            rig.send(hex(garbage));
            assert!(is_malformed(&rig.ended().0));
            for listener in listeners {
                assert_eq!(rig.refused(listener), None, "{garbage}");
            }
            rig.reconnect();
            rig.accept();
        }
    }
}

/// [MQTT-4.4.0-1] binds the broker, too: a kept session brings it again when its filter is gone. That
/// session is ended.
#[test]
fn a_kept_session_that_brings_it_again_is_ended() {
    let mut rig = Rig::with(resuming());
    let watch = rig.listen("bad/#", AtLeastOnce);
    let good = rig.listen("good", AtLeastOnce);
    rig.send([suback(1, &[1]), suback(2, &[1])].concat());
    let stored = hex("32 09 00 05 62 61 64 2F FF 00 07");
    let mut ends = 0;
    loop {
        rig.send(&stored);
        assert!(is_malformed(&rig.ended().0));
        ends += 1;
        assert!(ends <= 5, "it goes on");
        rig.advance_to_connect();
        rig.open();
        let connect = rig.written();
        // The connect flags: a clean session ends the kept one.
        if connect[9] & 0b10 != 0 {
            break;
        }
        rig.accept_back();
    }
    assert_eq!(ends, 4);
    assert!(rig.refused(watch).is_some());
    assert_eq!(rig.refused(good), None);
}
