//! Subscriptions: asking, answers, leaving, asking again, and filters a broker cannot bear.

use mcpmqtt_protocol::QoS::{AtLeastOnce, AtMostOnce, ExactlyOnce};
use mcpmqtt_protocol::client::{ListenError, Options, Reason};
use mcpmqtt_protocol::limits::Limits;
use mcpmqtt_protocol::topic::SubscribeFilter;

use crate::rig::packets::*;
use crate::rig::{Rig, clean, resuming, seconds, wanting};

/// [MQTT-3.8.1-1] [MQTT-3-8.3-4] [MQTT-2.3.1-7] [MQTT-3.8.4-1] [MQTT-3.8.4-2] SUBSCRIBE asks for a
/// QoS, and the SUBACK with its identifier answers it.
#[test]
fn a_listener_hears_of_its_grant() {
    for (code, qos) in (0..).zip([AtMostOnce, AtLeastOnce, ExactlyOnce]) {
        let mut rig = Rig::up();
        let listener = rig.listen("a/+", qos);
        rig.expect(subscribe(1, &[("a/+", qos)]));
        assert_eq!(rig.granted(listener), None);
        rig.send(suback(1, &[code]));
        assert_eq!(rig.granted(listener), Some(qos));
        rig.silence();
        assert_eq!(rig.usage().live_packet_ids, 0);
    }
}

/// [MQTT-3.8.4-6] A broker may grant less (RabbitMQ grants 1 for 2): the listener hears what.
#[test]
fn a_lower_grant_is_told() {
    let mut rig = Rig::up();
    let listener = rig.listen("f", ExactlyOnce);
    rig.send(suback(1, &[1]));
    assert_eq!(rig.granted(listener), Some(AtLeastOnce));
}

/// [MQTT-3.8.4-5] [MQTT-3.9.3-1] [MQTT-3.9.3-2] [MQTT-3.8.3-2] Pitfall 10: each filter has its own
/// answer; a refusal goes to its listeners, is not asked again, and touches no other.
#[test]
fn a_refused_filter_is_told_to_its_listeners_and_not_asked_again() {
    let mut rig = Rig::new(clean());
    let good = rig.listen("good", AtLeastOnce);
    let bad = rig.listen("bad/#", AtMostOnce);
    let worse = rig.listen("bad/#", AtMostOnce);
    rig.open();
    rig.accept();
    let written = rig.written();
    let asked = subscribe(1, &[("good", AtLeastOnce), ("bad/#", AtMostOnce)]);
    assert!(written.ends_with(&asked));
    rig.send(suback(1, &[1, 0x80]));
    assert_eq!(rig.granted(good), Some(AtLeastOnce));
    for refused in [bad, worse] {
        assert_eq!(rig.refused(refused), Some(Reason::FilterRefused));
        assert_eq!(rig.granted(refused), None);
    }
    assert_eq!(rig.usage().listeners, 1);
    rig.cut_and_reconnect();
    rig.accept();
    rig.expect(subscribe(2, &[("good", AtLeastOnce)]));
    rig.silence();
}

/// [MQTT-3.8.3-1] [MQTT-3.8.3-3] [MQTT-3.10.3-1] [MQTT-3.10.3-2] [MQTT-4.7.1-2] [MQTT-4.7.1-3] What
/// is no filter is no `SubscribeFilter`, and no packet without a filter is ever written.
#[test]
fn only_filters_can_be_listened_for() {
    for wrong in ["", "a/#/b", "a#", "a+", "+a/b", "a\0", &"x".repeat(65_536)] {
        assert!(SubscribeFilter::parse(wrong).is_err(), "{wrong}");
    }
    let mut rig = Rig::up();
    rig.advance(seconds(1.0));
    rig.silence();
}

/// [MQTT-3.10.1-1] [MQTT-3.10.4-1] The last listener of exactly this filter ends the subscription.
#[test]
fn the_last_listener_ends_the_subscription() {
    let mut rig = Rig::up();
    let one = rig.listen("a/#", AtMostOnce);
    let other = rig.listen("a/b", AtMostOnce);
    let two = rig.listen("a/#", AtMostOnce);
    rig.written();
    rig.leave(one);
    rig.silence();
    rig.leave(two);
    rig.expect([&[0xA2, 7][..], &[0, 3, 0, 3], b"a/#"].concat());
    rig.silence();
    rig.leave(other);
    rig.expect(unsubscribe(4, "a/b"));
    assert_eq!(rig.usage().subscriptions, 0);
}

/// aedes 1.2 works on UNSUBSCRIBE and a SUBSCRIBE behind it at the same time: it would acknowledge the
/// new subscription first, and then end it.
#[test]
fn a_filter_is_asked_for_again_only_when_its_unsubscribe_was_acknowledged() {
    let mut rig = Rig::up();
    let old = rig.listen("f", AtMostOnce);
    rig.expect(subscribe(1, &[("f", AtMostOnce)]));
    rig.send(suback(1, &[0]));
    rig.leave(old);
    rig.expect(unsubscribe(2, "f"));
    let before = rig.listen("e", AtMostOnce);
    let again = rig.listen("f", AtMostOnce);
    let after = rig.listen("g", AtMostOnce);
    rig.expect(subscribe(3, &[("e", AtMostOnce)]));
    rig.silence();
    rig.send(suback(3, &[0]));
    assert_eq!(rig.granted(before), Some(AtMostOnce));
    rig.silence();
    rig.send(unsuback(2));
    rig.expect(subscribe(4, &[("f", AtMostOnce), ("g", AtMostOnce)]));
    rig.send(suback(4, &[0, 0]));
    assert_eq!(rig.granted(again), Some(AtMostOnce));
    assert_eq!(rig.granted(after), Some(AtMostOnce));
}

/// rumqttd (iotcore 0.4.0) acknowledges no UNSUBSCRIBE on a session that it has kept.
#[test]
fn a_filter_is_asked_for_again_soon_when_its_unsubscribe_is_never_acknowledged() {
    let mut rig = Rig::up();
    let old = rig.listen("f", AtMostOnce);
    rig.send(suback(1, &[0]));
    rig.leave(old);
    rig.advance(seconds(5.0));
    rig.written();
    let soon = rig.listen("f", AtMostOnce);
    rig.expect(subscribe(3, &[("f", AtMostOnce)]));
    rig.send(suback(3, &[0]));
    rig.leave(soon);
    rig.expect(unsubscribe(4, "f"));
    let again = rig.listen("f", AtMostOnce);
    rig.advance(seconds(0.9));
    rig.silence();
    rig.advance(seconds(0.2));
    rig.expect(subscribe(5, &[("f", AtMostOnce)]));
    rig.send(suback(5, &[0]));
    assert_eq!(rig.granted(again), Some(AtMostOnce));
    rig.still_connected();
}

/// What the broker still sends for the subscription that is left is not the beginning of the next one:
/// what comes between them would be missing, and nobody would know.
#[test]
fn a_stream_begins_behind_the_unsubscribe_of_the_one_before() {
    let mut rig = Rig::up();
    let old = rig.listen("f", AtMostOnce);
    rig.expect(subscribe(1, &[("f", AtMostOnce)]));
    rig.send(suback(1, &[0]));
    rig.leave(old);
    rig.expect(unsubscribe(2, "f"));
    let again = rig.listen("f", AtMostOnce);
    rig.send([publish0("f", "1"), unsuback(2)].concat());
    rig.send([publish0("f", "3"), suback(3, &[0]), publish0("f", "4")].concat());
    assert_eq!(rig.heard(again), ["f=3", "f=4"]);
}

/// Pitfall 10: a second listener does not subscribe again to what is subscribed or asked for
/// already; one that needs a higher QoS does.
#[test]
fn a_live_filter_is_asked_for_again_only_when_that_gives_more() {
    let mut rig = Rig::up();
    let first = rig.listen("f", AtLeastOnce);
    rig.expect(subscribe(1, &[("f", AtLeastOnce)]));
    let second = rig.listen("f", AtMostOnce);
    rig.silence();
    rig.send(suback(1, &[1]));
    assert_eq!(rig.granted(first), Some(AtLeastOnce));
    assert_eq!(rig.granted(second), Some(AtLeastOnce));
    let third = rig.listen("f", AtLeastOnce);
    assert_eq!(rig.granted(third), Some(AtLeastOnce));
    rig.silence();
    let higher = rig.listen("f", ExactlyOnce);
    rig.expect(subscribe(2, &[("f", ExactlyOnce)]));
    assert_eq!(rig.granted(higher), None);
    rig.send(suback(2, &[2]));
    assert_eq!(rig.granted(higher), Some(ExactlyOnce));
}

/// A broker that grants less than was asked is not asked again and again for more.
#[test]
fn a_lower_grant_is_not_asked_again_by_the_next_listener() {
    let mut rig = Rig::up();
    rig.listen("f", ExactlyOnce);
    rig.expect(subscribe(1, &[("f", ExactlyOnce)]));
    rig.send(suback(1, &[1]));
    let second = rig.listen("f", ExactlyOnce);
    rig.silence();
    assert_eq!(rig.granted(second), Some(AtLeastOnce));
}

/// Leave while SUBSCRIBE is under way, then listen again: the answer to the old question is not the
/// answer to the new one.
#[test]
fn an_answer_to_a_subscription_that_was_left_is_nobodys() {
    for old_answer in [0, 0x80] {
        let mut rig = Rig::up();
        let old = rig.listen("f", AtMostOnce);
        rig.leave(old);
        let new = rig.listen("f", AtMostOnce);
        rig.expect(subscribe(1, &[("f", AtMostOnce)]));
        rig.expect(unsubscribe(2, "f"));
        rig.send(suback(1, &[old_answer]));
        assert_eq!(rig.granted(new), None);
        assert_eq!(rig.refused(new), None);
        rig.send(unsuback(2));
        rig.expect(subscribe(3, &[("f", AtMostOnce)]));
        rig.send(suback(3, &[0]));
        assert_eq!(rig.granted(new), Some(AtMostOnce));
        assert_eq!(rig.granted(old), None);
        assert_eq!(rig.refused(old), None);
        rig.silence();
    }
}

/// A listener that leaves before anything was asked leaves nothing to say.
#[test]
fn a_listener_that_leaves_before_the_connection_says_nothing() {
    let mut rig = Rig::new(clean());
    let listener = rig.listen("f", AtMostOnce);
    rig.leave(listener);
    rig.open();
    rig.expect_connect();
    rig.accept();
    rig.silence();
    assert_eq!(rig.usage().subscriptions, 0);
}

/// A refusal of one question while another for the same filter is open: what the broker may still
/// grant is taken back.
#[test]
fn a_filter_refused_while_asked_again_is_unsubscribed() {
    let mut rig = Rig::up();
    rig.listen("f", AtMostOnce);
    rig.listen_retained("f", AtMostOnce);
    rig.expect(subscribe(1, &[("f", AtMostOnce)]));
    rig.expect(subscribe(2, &[("f", AtMostOnce)]));
    rig.send(suback(1, &[0x80]));
    rig.expect(unsubscribe(3, "f"));
    rig.send([suback(2, &[0]), unsuback(3)].concat());
    rig.still_connected();
    rig.silence();
    assert_eq!(rig.usage().listeners, 0);
}

/// [MQTT-3.2.2-3] Pitfall 10: a broker without our session is asked for everything, in few packets;
/// listeners that had been told are not told again.
#[test]
fn a_new_session_is_asked_for_everything_again() {
    for options in [clean(), resuming()] {
        let mut rig = Rig::with(options);
        let a = rig.listen("a", AtMostOnce);
        let b = rig.listen("b", ExactlyOnce);
        rig.send([suback(1, &[0]), suback(2, &[2])].concat());
        rig.granted(a);
        rig.granted(b);
        rig.cut_and_reconnect();
        rig.accept();
        rig.expect(subscribe(3, &[("a", AtMostOnce), ("b", ExactlyOnce)]));
        rig.silence();
        rig.send(suback(3, &[0, 2]));
        assert_eq!(rig.granted(a), None);
        rig.send(publish0("a", "x"));
        assert_eq!(rig.heard(a), ["a=x"]);
    }
}

/// Many filters go out in batches that small brokers take: AWS IoT ends the connection at more than eight.
#[test]
fn many_filters_are_asked_for_in_batches() {
    let mut rig = Rig::new(clean());
    let names: Vec<String> = (0..70).map(|n| format!("f/{n}")).collect();
    let listeners: Vec<_> = names
        .iter()
        .map(|name| rig.listen(name, AtMostOnce))
        .collect();
    rig.open();
    rig.expect_connect();
    rig.accept();
    let filters: Vec<_> = names
        .iter()
        .map(|name| (name.as_str(), AtMostOnce))
        .collect();
    for (id, batch) in (1..).zip(filters.chunks(8)) {
        rig.expect(subscribe(id, batch));
        rig.send(suback(id, &vec![0; batch.len()]));
    }
    for listener in listeners {
        assert_eq!(rig.granted(listener), Some(AtMostOnce));
    }
    rig.silence();
}

/// [MQTT-3.2.2-2] Pitfall 10: a broker that kept our session is asked only for what it did not
/// acknowledge, so that retained messages do not come twice.
#[test]
fn a_kept_session_is_asked_only_for_what_was_not_acknowledged() {
    let mut rig = Rig::with(resuming());
    rig.listen("a", AtMostOnce);
    rig.send(suback(1, &[0]));
    let b = rig.listen("b", AtMostOnce);
    rig.cut_and_reconnect();
    rig.accept_back();
    rig.expect(subscribe(3, &[("b", AtMostOnce)]));
    rig.silence();
    rig.send(suback(3, &[0]));
    assert_eq!(rig.granted(b), Some(AtMostOnce));
    rig.cut_and_reconnect();
    rig.accept_back();
    rig.silence();
}

/// A wish for more of a granted filter that the cut took away is spoken again on the kept session:
/// its listener must not wait for ever.
#[test]
fn a_kept_session_is_asked_again_for_what_a_late_listener_waits_for() {
    for unwritten in [false, true] {
        let mut rig = Rig::with(resuming());
        rig.listen("f", AtMostOnce);
        rig.send(suback(1, &[0]));
        rig.written();
        if unwritten {
            rig.room(0);
            rig.publish("t", &"x".repeat(70_000), AtMostOnce);
        }
        let higher = rig.listen("f", AtLeastOnce);
        let late = rig.listen_retained("f", AtMostOnce);
        rig.cut();
        rig.ended();
        rig.room(usize::MAX);
        rig.reconnect();
        rig.accept_back();
        let written = rig.written();
        let [high, low] = [written[2], written[3]];
        let id = u16::from_be_bytes([high, low]);
        assert!(written.starts_with(&subscribe(id, &[("f", AtLeastOnce)])));
        rig.send(suback(id, &[1]));
        assert_eq!(rig.granted(higher), Some(AtLeastOnce));
        assert_eq!(rig.granted(late), Some(AtLeastOnce));
    }
}

/// [MQTT-3.10.4-4] [MQTT-3.10.4-5] Pitfall 10: an UNSUBSCRIBE without its answer survives on a kept
/// session; on a new one there is nothing to end.
#[test]
fn a_pending_unsubscribe_survives_on_a_kept_session() {
    for kept in [true, false] {
        let mut rig = Rig::with(resuming());
        let listener = rig.listen("f", AtMostOnce);
        rig.send(suback(1, &[0]));
        rig.leave(listener);
        let again = rig.listen("f", AtLeastOnce);
        rig.written();
        rig.cut_and_reconnect();
        if kept {
            rig.accept_back();
            rig.expect(unsubscribe(3, "f"));
            rig.send(unsuback(3));
            rig.expect(subscribe(4, &[("f", AtLeastOnce)]));
            rig.send(suback(4, &[1]));
        } else {
            rig.accept();
            rig.expect(subscribe(3, &[("f", AtLeastOnce)]));
            rig.send(suback(3, &[1]));
        }
        rig.silence();
        assert_eq!(rig.granted(again), Some(AtLeastOnce));
    }
}

/// [MQTT-3.8.4-1] [MQTT-3.10.4-4] Pitfall 19: a broker that does not answer within 20 s loses the
/// connection.
#[test]
fn no_answer_to_subscribe_or_unsubscribe_ends_the_connection() {
    for leaves in [false, true] {
        let mut rig = Rig::up();
        let listener = rig.listen("f", AtMostOnce);
        if leaves {
            rig.send(suback(1, &[0]));
            rig.leave(listener);
        }
        rig.advance(seconds(19.9));
        rig.still_connected();
        rig.advance(seconds(0.1));
        assert_eq!(rig.ended().0, Reason::NoSubscribeAck);
        rig.reconnect();
        rig.accept();
        assert_eq!(rig.written().is_empty(), leaves);
    }
}

/// Pitfall 12: a question that stands behind a long upload is not overdue before it was asked.
#[test]
fn the_time_for_an_answer_counts_from_when_the_question_was_written() {
    let mut rig = Rig::up();
    rig.room(0);
    rig.publish("t", &"x".repeat(1_000_000), AtMostOnce);
    let listener = rig.listen("f", AtMostOnce);
    for _ in 0..25 {
        rig.room(40_000);
        rig.advance(seconds(1.0));
    }
    rig.room(usize::MAX);
    rig.advance(seconds(19.0));
    rig.send([PINGRESP.to_vec(), suback(1, &[0])].concat());
    assert_eq!(rig.granted(listener), Some(AtMostOnce));
}

/// A filter whose SUBSCRIBE, alone on its way, ends the connection twice is refused to its
/// listeners; then there is peace.
#[test]
fn a_filter_that_ends_the_connection_twice_is_refused() {
    let mut rig = Rig::up();
    let bad = rig.listen("$share/g/#", AtMostOnce);
    let twin = rig.listen("$share/g/#", AtMostOnce);
    rig.cut();
    assert_eq!(
        rig.ended().0.to_string(),
        "the broker closed the connection after a subscription to `$share/g/#`; it may not allow it"
    );
    assert_eq!(rig.refused(bad), None, "once is chance");
    rig.reconnect();
    rig.accept();
    rig.cut();
    let (reason, _) = rig.ended();
    assert_ne!(
        reason,
        Reason::Takeover,
        "it is the filter, not another client"
    );
    for listener in [bad, twin] {
        assert_eq!(rig.refused(listener), Some(Reason::FilterCutsConnection));
    }
    rig.reconnect();
    rig.accept();
    rig.silence();
    rig.still_connected();
}

/// A filter is given up for what was seen: it was not the broker who closed.
#[test]
fn a_filter_whose_answer_makes_us_close_is_not_said_to_be_forbidden_by_the_broker() {
    for is_silent in [true, false] {
        let mut rig = Rig::up();
        let bad = rig.listen("f", AtMostOnce);
        for _ in 0..2 {
            assert_eq!(rig.refused(bad), None);
            if is_silent {
                rig.advance(seconds(20.0));
            } else {
                rig.send(suback(0x7777, &[0]));
            }
            rig.ended();
            rig.reconnect();
            rig.accept();
        }
        let why = match is_silent {
            true => "the broker did not acknowledge a subscription",
            false => {
                "the broker broke the protocol: it sent SUBACK for a packet id not waiting for it"
            }
        };
        assert_eq!(
            rig.refused(bad).unwrap().to_string(),
            format!(
                "the connection has to be closed each time this filter is asked for ({why}); the \
                 subscription is given up"
            )
        );
    }
}

/// On a kept session the broker may have taken the filter before each cut, so it is told that nobody
/// wants it; and if it cannot bear that either, it is left in peace.
#[test]
fn a_refused_filter_is_taken_back_on_a_kept_session_but_not_for_ever() {
    for broker_bears_it in [true, false] {
        let mut rig = Rig::with(resuming());
        let bad = rig.listen("bad", AtMostOnce);
        for id in 1..=2 {
            rig.expect(subscribe(id, &[("bad", AtMostOnce)]));
            rig.cut_and_reconnect();
            rig.accept_back();
        }
        assert_eq!(rig.refused(bad), Some(Reason::FilterCutsConnection));
        rig.expect(unsubscribe(3, "bad"));
        if broker_bears_it {
            rig.send(unsuback(3));
        } else {
            rig.cut_and_reconnect();
            rig.accept_back();
            rig.expect(unsubscribe(4, "bad"));
            rig.cut_and_reconnect();
            rig.accept_back();
        }
        rig.silence();
        rig.nothing_left();
        assert_eq!(rig.usage().abandoned, u64::from(!broker_bears_it));
    }
}

/// An innocent filter is not condemned for an UNSUBSCRIBE beside which it was asked for.
#[test]
fn an_unsubscribe_that_ends_connections_takes_no_innocent_filter_with_it() {
    let mut rig = Rig::with(resuming());
    let bad = rig.listen("bad", AtMostOnce);
    rig.expect(subscribe(1, &[("bad", AtMostOnce)]));
    rig.leave(bad);
    rig.expect(unsubscribe(2, "bad"));
    let good = rig.listen("good", AtMostOnce);
    rig.expect(subscribe(3, &[("good", AtMostOnce)]));
    rig.cut_and_reconnect();
    rig.accept_back();
    rig.expect(unsubscribe(4, "bad"));
    rig.silence();
    rig.cut_and_reconnect();
    rig.accept_back();
    rig.expect(subscribe(5, &[("good", AtMostOnce)]));
    rig.send(suback(5, &[0]));
    assert_eq!(rig.granted(good), Some(AtMostOnce));
    assert_eq!(rig.refused(good), None);
}

/// A filter that was granted before has proved itself: a bad network must cut ten connections in a
/// row while it is asked for again.
#[test]
fn a_filter_that_was_granted_before_is_not_refused_so_soon() {
    let mut rig = Rig::up();
    let listener = rig.listen("f", AtMostOnce);
    rig.send(suback(1, &[0]));
    for _ in 0..10 {
        assert_eq!(rig.refused(listener), None);
        rig.cut_and_reconnect();
        rig.accept();
    }
    rig.cut();
    rig.ended();
    assert_eq!(rig.refused(listener), Some(Reason::FilterCutsConnection));
}

/// A broker that closes when it sees `bad`, whatever is with it: innocent filters are granted in the
/// end, `bad` alone is refused, wherever it stands.
#[test]
fn a_filter_that_ends_connections_takes_no_innocent_one_with_it() {
    for place in 0..4 {
        let mut rig = Rig::new(clean());
        let names: Vec<&str> = {
            let mut names = vec!["a", "b", "c"];
            names.insert(place, "bad");
            names
        };
        let listeners: Vec<_> = names
            .iter()
            .map(|name| rig.listen(name, AtMostOnce))
            .collect();
        let mut cuts = 0;
        rig.open();
        rig.expect_connect();
        rig.accept();
        loop {
            let written = rig.written();
            if written.windows(3).any(|three| three == b"bad") {
                cuts += 1;
                assert!(cuts <= 3, "it goes on");
                rig.cut_and_reconnect();
                rig.accept();
            } else if written.is_empty() {
                break;
            } else {
                answer_all(&mut rig, &written);
            }
        }
        for (name, listener) in names.into_iter().zip(listeners) {
            if name == "bad" {
                assert_eq!(rig.refused(listener), Some(Reason::FilterCutsConnection));
            } else {
                assert_eq!(rig.granted(listener), Some(AtMostOnce), "{name}");
                assert_eq!(rig.refused(listener), None);
            }
        }
    }
}

/// Grants every SUBSCRIBE in what the client wrote.
fn answer_all(rig: &mut Rig, written: &[u8]) {
    let mut rest = written;
    while let [first, length, high, low, ..] = *rest {
        let (packet, after) = rest.split_at(2 + usize::from(length));
        let id = u16::from_be_bytes([high, low]);
        if first == 0x82 {
            // Every filter of these tests has its length and its QoS in three bytes.
            let mut filters = &packet[4..];
            let mut count = 0;
            while let [_, length, ..] = *filters {
                filters = &filters[3 + usize::from(length)..];
                count += 1;
            }
            rig.send(suback(id, &vec![0; count]));
        }
        rest = after;
    }
}

/// An innocent filter under suspicion is not asked for beside another question.
#[test]
fn a_suspect_is_asked_for_only_when_no_other_question_is_open() {
    let mut rig = Rig::up();
    let suspect = rig.listen("suspect", AtMostOnce);
    rig.cut();
    rig.ended();
    rig.advance_to_connect();
    rig.open();
    rig.expect_connect();
    rig.accept();
    rig.expect(subscribe(2, &[("suspect", AtMostOnce)]));
    let bad = rig.listen("bad", AtMostOnce);
    rig.silence();
    rig.send(suback(2, &[0]));
    assert_eq!(rig.granted(suspect), Some(AtMostOnce));
    rig.expect(subscribe(3, &[("bad", AtMostOnce)]));
    rig.send(suback(3, &[0]));
    assert_eq!(rig.granted(bad), Some(AtMostOnce));
}

/// Cuts that have nothing to do with the filter do not condemn it: a SUBSCRIBE that was not written,
/// a network that died.
#[test]
fn a_filter_is_not_condemned_for_what_the_network_did() {
    let mut rig = Rig::with(Options {
        keep_alive: 4,
        ..clean()
    });
    rig.room(0);
    let listener = rig.listen("f", AtMostOnce);
    for _ in 0..3 {
        rig.cut();
        rig.ended();
        rig.advance_to_connect();
        rig.room(16);
        rig.open();
        rig.accept();
    }
    rig.cut();
    rig.ended();
    rig.room(usize::MAX);
    for id in 5..8 {
        rig.reconnect();
        rig.accept();
        rig.expect(subscribe(id, &[("f", AtMostOnce)]));
        while rig.client.is_connected() {
            rig.advance(seconds(0.01));
        }
        assert_eq!(rig.ended().0, Reason::KeepAlive);
    }
    rig.reconnect();
    rig.accept();
    rig.send(suback(8, &[0]));
    assert_eq!(rig.granted(listener), Some(AtMostOnce));
}

/// Listeners are bounded.
#[test]
fn listeners_are_bounded() {
    let limits = Limits {
        listeners: 2,
        ..Limits::default()
    };
    let mut rig = Rig::with(Options { limits, ..clean() });
    let first = rig.listen("a", AtMostOnce);
    rig.listen("a", AtMostOnce);
    let refused = rig.try_listen(wanting("a", AtMostOnce, false));
    assert_eq!(refused, Err(ListenError::TooMany(2)));
    rig.leave(first);
    rig.listen("a", AtMostOnce);
}
