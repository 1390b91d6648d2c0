//! Publishing: identifiers, the two flows, the window, the budgets.

use mcpmqtt_protocol::QoS::{AtLeastOnce, AtMostOnce, ExactlyOnce};
use mcpmqtt_protocol::client::{Options, Outcome, PublishError, Reason};
use mcpmqtt_protocol::limits::Limits;
use mcpmqtt_protocol::message::Message;
use mcpmqtt_protocol::topic::TopicName;

use crate::rig::packets::*;
use crate::rig::{Rig, clean, message, seconds};

/// [MQTT-4.3.1-1] [MQTT-2.3.1-5] [MQTT-3.3.1-2] QoS 0: once, without an identifier, without DUP;
/// `Sent` when the socket has taken all of it.
#[test]
fn qos_0_is_written_once_without_an_identifier() {
    let mut rig = Rig::up();
    rig.room(4);
    let ticket = rig.publish("t", "x", AtMostOnce);
    rig.expect(&publish0("t", "x")[..4]);
    rig.no_outcome(ticket);
    rig.room(usize::MAX);
    rig.expect(&publish0("t", "x")[4..]);
    assert_eq!(rig.outcome(ticket), Outcome::Sent);
    rig.advance(seconds(20.0));
    rig.silence();
    rig.nothing_left();
}

/// [MQTT-4.3.2-1] [MQTT-2.3.1-1] QoS 1: a fresh identifier above 0, no DUP, held until PUBACK.
#[test]
fn qos_1_is_delivered_when_puback_comes() {
    let mut rig = Rig::up();
    let ticket = rig.publish("t", "x", AtLeastOnce);
    rig.expect(publish1(1, "t", "x"));
    rig.advance(seconds(20.0));
    rig.silence();
    rig.no_outcome(ticket);
    rig.send(puback(1));
    assert_eq!(rig.outcome(ticket), Outcome::Delivered);
    rig.nothing_left();
}

/// [MQTT-4.3.3-1] [MQTT-2.3.1-6] [MQTT-3.6.1-1] QoS 2: PUBLISH, PUBREC, PUBREL, PUBCOMP, all with
/// one identifier; the payload is let go at PUBREC.
#[test]
fn qos_2_is_delivered_when_pubcomp_comes() {
    let mut rig = Rig::up();
    let ticket = rig.publish("t", "x", ExactlyOnce);
    rig.expect(publish2(1, "t", "x"));
    assert_eq!(rig.usage().publish_bytes, 2);
    rig.send(pubrec(1));
    rig.expect([0x62, 2, 0, 1]);
    rig.no_outcome(ticket);
    assert_eq!(rig.usage().publish_bytes, 0);
    rig.send(pubcomp(1));
    assert_eq!(rig.outcome(ticket), Outcome::Delivered);
    rig.silence();
    rig.nothing_left();
}

/// [MQTT-2.2.2-1] [MQTT-3.8.1-1] [MQTT-3.10.1-1] [MQTT-3.14.1-1] The first byte of everything a
/// client can say.
#[test]
fn every_packet_starts_with_the_byte_of_its_type() {
    let mut rig = Rig::new(clean());
    rig.open();
    let mut firsts = vec![rig.written()[0]];
    rig.accept();
    let mut say = |rig: &mut Rig| {
        let written = rig.written();
        assert!(!written.is_empty());
        firsts.push(written[0]);
    };
    let listener = rig.listen("f", AtMostOnce);
    say(&mut rig);
    rig.send(suback(1, &[0]));
    rig.leave(listener);
    say(&mut rig);
    rig.send(unsuback(2));
    rig.publish("t", "x", ExactlyOnce);
    say(&mut rig);
    rig.send(pubrec(3));
    say(&mut rig);
    rig.send(publish1(1, "t", "x"));
    say(&mut rig);
    rig.send(publish2(2, "t", "x"));
    say(&mut rig);
    rig.send(pubrel(2));
    say(&mut rig);
    rig.advance(seconds(45.0));
    rig.disconnect();
    let last = rig.written();
    assert_eq!(last, [PINGREQ, DISCONNECT].concat());
    assert_eq!(firsts, [0x10, 0x82, 0xA2, 0x34, 0x62, 0x40, 0x50, 0x70]);
}

/// [MQTT-2.3.1-3] An identifier stays taken between PUBREC and PUBCOMP.
#[test]
fn the_identifier_of_qos_2_is_free_only_after_pubcomp() {
    let mut rig = Rig::up();
    rig.publish("t", "x", ExactlyOnce);
    rig.send(pubrec(1));
    assert_eq!(rig.usage().live_packet_ids, 1);
    for id in 2..=65_535 {
        let ticket = rig.publish("t", "x", AtLeastOnce);
        rig.send(puback(id));
        rig.outcome(ticket);
    }
    rig.written();
    rig.publish("t", "x", AtLeastOnce);
    rig.expect(publish1(2, "t", "x"));
    rig.send(pubcomp(1));
    rig.send(puback(2));
    rig.nothing_left();
}

/// [MQTT-2.3.1-2] Pitfall 6: PUBLISH, SUBSCRIBE and UNSUBSCRIBE share one space of identifiers, and
/// one that is live is stepped over, round after round.
#[test]
fn one_space_of_identifiers_never_gives_a_live_one_again() {
    let mut rig = Rig::up();
    let subscribed = rig.listen("f", AtMostOnce);
    rig.expect(subscribe(1, &[("f", AtMostOnce)]));
    rig.send(suback(1, &[0]));
    rig.publish("held", "x", AtLeastOnce);
    rig.expect(publish1(2, "held", "x"));
    rig.leave(subscribed);
    rig.expect(unsubscribe(3, "f"));
    // Neither PUBLISH 2 nor UNSUBSCRIBE 3 is answered.
    let mut id = 3;
    for _ in 0..140_000 {
        id = match id {
            65_535 => 1,
            1 => 4,
            other => other + 1,
        };
        let ticket = rig.publish("t", "x", AtLeastOnce);
        rig.expect(publish1(id, "t", "x"));
        rig.send(puback(id));
        rig.outcome(ticket);
    }
    rig.send(puback(2));
    rig.send(unsuback(3));
    rig.nothing_left();
}

/// Pitfalls 7 and 9: acknowledgements are taken in any order, and the window is what is live:
/// nothing drifts over ten thousand messages.
#[test]
fn the_window_is_full_at_its_limit_and_acknowledgements_come_in_any_order() {
    let limits = Limits {
        inflight: 3,
        ..Limits::default()
    };
    let mut rig = Rig::with(Options { limits, ..clean() });
    let tickets: Vec<_> = (0..5).map(|_| rig.publish("t", "x", AtLeastOnce)).collect();
    for id in 1..=3 {
        rig.expect(publish1(id, "t", "x"));
    }
    rig.silence();
    rig.send(puback(3));
    assert_eq!(rig.outcome(tickets[2]), Outcome::Delivered);
    rig.expect(publish1(4, "t", "x"));
    rig.send([puback(4), puback(1), puback(2)].concat());
    rig.expect(publish1(5, "t", "x"));
    rig.send(puback(5));
    for (n, ticket) in tickets.into_iter().enumerate().filter(|(n, _)| *n != 2) {
        assert_eq!(rig.outcome(ticket), Outcome::Delivered, "{n}");
    }
    for id in 6..=10_000 {
        let ticket = rig.publish("t", "x", AtLeastOnce);
        rig.expect(publish1(id, "t", "x"));
        rig.send([puback(id), puback(id)].concat());
        rig.outcome(ticket);
    }
    rig.nothing_left();
}

/// QoS 0 needs no place in the window, but keeps its place in line.
#[test]
fn messages_leave_in_the_order_they_were_published() {
    let limits = Limits {
        inflight: 1,
        ..Limits::default()
    };
    let mut rig = Rig::with(Options { limits, ..clean() });
    rig.publish("t", "1", AtLeastOnce);
    rig.publish("t", "2", AtMostOnce);
    rig.publish("t", "3", ExactlyOnce);
    rig.publish("t", "4", AtMostOnce);
    rig.expect(publish1(1, "t", "1"));
    rig.expect(publish0("t", "2"));
    rig.silence();
    rig.send(puback(1));
    rig.expect(publish2(2, "t", "3"));
    rig.expect(publish0("t", "4"));
}

/// Pitfall 4: a second PUBREC is answered by PUBREL, never by PUBLISH.
#[test]
fn a_second_pubrec_gets_a_second_pubrel() {
    let mut rig = Rig::up();
    let ticket = rig.publish("t", "x", ExactlyOnce);
    rig.expect(publish2(1, "t", "x"));
    for _ in 0..3 {
        rig.send(pubrec(1));
        rig.expect(pubrel(1));
        rig.silence();
    }
    rig.send(pubcomp(1));
    rig.outcome(ticket);
    rig.nothing_left();
}

/// RabbitMQ answers QoS 2 with PUBACK: the message is the broker's, the identifier is free.
#[test]
fn a_puback_for_qos_2_counts_as_delivered() {
    let mut rig = Rig::up();
    let ticket = rig.publish("t", "x", ExactlyOnce);
    rig.send(puback(1));
    assert_eq!(rig.outcome(ticket), Outcome::Delivered);
    rig.nothing_left();
    rig.still_connected();
}

/// [MQTT-3.3.5-2] A broker that does not allow a PUBLISH acknowledges it all the same, which proves
/// nothing, or closes: then the outcome is `Unknown`, and the message is not tried again.
#[test]
fn a_publish_that_makes_the_broker_close_is_unknown_and_not_tried_again() {
    let mut rig = Rig::up();
    let ticket = rig.publish("forbidden", "x", AtLeastOnce);
    rig.expect(publish1(1, "forbidden", "x"));
    rig.cut();
    let (reason, _) = rig.ended();
    assert_eq!(
        reason.to_string(),
        "the broker closed the connection soon after a message of 10 bytes on `forbidden`"
    );
    assert_eq!(rig.outcome(ticket), Outcome::Unknown(reason));
    rig.reconnect();
    rig.accept();
    rig.silence();
}

/// Pitfall 7: late duplicates of acknowledgements are legal after a resumption. PUBREC is answered,
/// or the broker would wait for ever.
#[test]
fn acknowledgements_nobody_waits_for_do_no_harm() {
    let mut rig = Rig::up();
    rig.send([puback(9), pubcomp(9)].concat());
    rig.silence();
    rig.send(pubrec(9));
    rig.expect(pubrel(9));
    rig.send(pubcomp(9));
    rig.silence();
    rig.still_connected();
    rig.nothing_left();
}

/// [MQTT-3.3.2-2] [MQTT-4.7.1-1] [MQTT-4.7.3-1] [MQTT-4.7.3-2] [MQTT-4.7.3-3] [MQTT-1.5.3-2] What is
/// no topic name is no `TopicName`, so it cannot be published; the longest one can.
#[test]
fn only_topic_names_can_be_published() {
    for wrong in ["", "a/#", "+", "a\0b", &"x".repeat(65_536)] {
        assert!(TopicName::parse(wrong).is_err());
    }
    let mut rig = Rig::up();
    let longest = "x".repeat(65_535);
    let ticket = rig.publish(&longest, "", AtMostOnce);
    assert_eq!(rig.outcome(ticket), Outcome::Sent);
    rig.expect(publish0(&longest, ""));
}

/// [MQTT-3.3.1-8] [MQTT-3.3.1-9] RETAIN goes out as it was asked for.
#[test]
fn retain_is_sent_as_asked() {
    let mut rig = Rig::up();
    let retain = Message {
        retain: true,
        ..message("t", "x", AtLeastOnce)
    };
    rig.try_publish(retain, None).unwrap();
    rig.expect(retained(publish1(1, "t", "x")));
}

/// Pitfall 15: what waits is bounded in number and in bytes; a refusal leaves nothing behind, and a
/// single message larger than the budget is still possible.
#[test]
fn the_line_is_bounded_in_number_and_in_bytes() {
    let limits = Limits {
        publish_queue: 3,
        publish_queue_bytes: 100,
        ..Limits::default()
    };
    let mut rig = Rig::with(Options { limits, ..clean() });
    rig.room(0);
    let big = "x".repeat(200);
    let first = rig.publish("t", &big, AtLeastOnce);
    let refused = rig.try_publish(message("t", "x", AtLeastOnce), None);
    assert_eq!(refused, Err(PublishError::QueueBytesFull(100)));
    rig.room(usize::MAX);
    rig.send(puback(1));
    assert_eq!(rig.outcome(first), Outcome::Delivered);
    for _ in 0..3 {
        rig.publish("t", "x", AtLeastOnce);
    }
    let refused = rig.try_publish(message("t", "x", AtLeastOnce), None);
    assert_eq!(refused, Err(PublishError::QueueFull(3)));
    rig.send([puback(2), puback(3), puback(4)].concat());
    rig.nothing_left();
}

/// Pitfall 20: all that may go is in one buffer, so that the driver needs one write.
#[test]
fn publishes_that_are_ready_leave_in_one_write() {
    let mut rig = Rig::up();
    rig.room(0);
    for _ in 0..20 {
        rig.publish("t", "x", AtLeastOnce);
    }
    let all: Vec<u8> = (1..=20).flat_map(|id| publish1(id, "t", "x")).collect();
    assert_eq!(rig.client.outgoing(), all);
}

/// Pitfall 17: what was written is kept in the client and not in a call that may be dropped: whatever
/// pieces the socket takes, and whatever is said in between, the stream is whole.
#[test]
fn a_stream_written_in_pieces_is_whole() {
    let mut rig = Rig::up();
    let mut expected = Vec::new();
    // As many as may be in flight.
    for id in 1..=20 {
        rig.room(usize::from(id) % 7);
        rig.publish("t", "x", AtLeastOnce);
        expected.extend(publish1(id, "t", "x"));
    }
    rig.room(usize::MAX);
    assert_eq!(rig.written(), expected);
}

/// Pitfall 14: acknowledgements and pings never wait behind a long line of messages.
#[test]
fn what_is_encoded_ahead_is_little() {
    let mut rig = Rig::up();
    rig.room(0);
    for _ in 0..100 {
        rig.publish("t", &"x".repeat(10_000), AtMostOnce);
    }
    assert!(rig.usage().outgoing_bytes < 64 * 1024 + 11_000);
    rig.room(usize::MAX);
    assert_eq!(
        rig.written().len(),
        100 * publish0("t", &"x".repeat(10_000)).len()
    );
    rig.nothing_left();
}

/// Pitfall 9: a broker that never acknowledges does not block the window for ever: after a minute
/// without any acknowledgement the connection ends and the callers hear it.
#[test]
fn a_broker_that_never_acknowledges_loses_the_connection() {
    let mut rig = Rig::up();
    let first = rig.publish("t", "1", AtLeastOnce);
    rig.advance(seconds(40.0));
    let second = rig.publish("t", "2", ExactlyOnce);
    rig.advance(seconds(19.9));
    rig.send(PINGRESP);
    rig.still_connected();
    rig.advance(seconds(0.1));
    assert_eq!(rig.ended().0, Reason::NoPublishAck);
    assert_eq!(rig.outcome(first), Outcome::Unknown(Reason::NoPublishAck));
    assert_eq!(rig.outcome(second), Outcome::Unknown(Reason::NoPublishAck));
    rig.nothing_left();
}

/// Any acknowledgement is progress: a slow broker is not a dead one, and a link without messages in
/// flight owes none.
#[test]
fn a_broker_that_acknowledges_slowly_keeps_its_connection() {
    let mut rig = Rig::up();
    for _ in 0..5 {
        rig.publish("t", "x", ExactlyOnce);
    }
    for id in 1..=5 {
        for packet in [pubrec(id), pubcomp(id)] {
            for _ in 0..2 {
                rig.advance(seconds(29.0));
                rig.send(PINGRESP);
            }
            rig.send(packet);
            rig.still_connected();
        }
    }
    rig.nothing_left();
    for _ in 0..10 {
        rig.advance(seconds(46.0));
        rig.send(PINGRESP);
    }
    rig.still_connected();
}

/// What brokers end connections for is refused before anything is sent, and the connection goes on.
#[test]
fn a_topic_or_a_size_that_brokers_do_not_take_is_refused_at_once() {
    let limits = Limits {
        publish_bytes: 1000,
        ..Limits::default()
    };
    let mut rig = Rig::with(Options { limits, ..clean() });
    let deep = vec!["l"; 129].join("/");
    for topic in ["a\u{1}", "a\u{9f}", "\u{FFFF}", &deep] {
        let refused = rig.try_publish(message(topic, "x", AtLeastOnce), None);
        assert!(matches!(refused, Err(PublishError::Topic(_))), "{topic:?}");
    }
    let whole = message("t", &"x".repeat(999), AtMostOnce);
    let refused = rig.try_publish(message("t", &"x".repeat(1000), AtMostOnce), None);
    let above = PublishError::AboveLimit {
        bytes: 1001,
        limit: 1000,
    };
    assert_eq!(refused, Err(above));
    rig.silence();
    rig.try_publish(whole, None).unwrap();
    assert!(!rig.written().is_empty());
    // What comes is taken all the same [MQTT-1.5.3-3].
    let listener = rig.listen("+", AtMostOnce);
    rig.send(publish0("a\u{1}", "x"));
    assert_eq!(rig.heard(listener), ["a\u{1}=x"]);
    rig.still_connected();
}

/// One cut may have any cause; the second in a row after the same message makes it suspect, unless the broker
/// has taken such a message in between.
#[test]
fn a_message_is_suspected_from_the_second_cut_in_a_row_on() {
    let mut rig = Rig::up();
    let mut cut_after = |topic: &str, is_taken_before: bool| {
        if is_taken_before {
            rig.publish(topic, "x", AtLeastOnce);
            // The lower byte of the packet identifier.
            let pid = rig.written()[6];
            rig.send(puback(pid.into()));
        }
        rig.publish(topic, "x", AtLeastOnce);
        rig.written();
        rig.cut();
        let words = rig.ended().0.to_string();
        rig.reconnect();
        rig.accept();
        words
    };
    let once = "the broker closed the connection soon after a message of 2 bytes on `t`";
    let again = "the broker closed the connection again right after a message of 2 bytes on `t`; it may \
                 not accept it (topic, size)";
    assert_eq!(cut_after("t", false), once);
    assert_eq!(cut_after("t", false), again);
    assert_eq!(cut_after("t", false), again);
    cut_after("u", false);
    assert_eq!(cut_after("t", false), once);
    assert_eq!(cut_after("t", false), again);
    // One like it was acknowledged.
    assert_eq!(cut_after("t", true), once);
}

/// A message that the broker has acknowledged, or that was sent long before, is not named.
#[test]
fn only_a_message_sent_a_moment_ago_and_not_acknowledged_is_named_for_a_cut() {
    for (seconds_between, acknowledged) in [(0.0, true), (1.5, false)] {
        let mut rig = Rig::up();
        rig.publish("t", "x", AtLeastOnce);
        if acknowledged {
            rig.send(puback(1));
        }
        rig.advance(seconds(seconds_between));
        rig.cut();
        assert_eq!(rig.ended().0, Reason::Closed(String::new()));
    }
    let mut rig = Rig::up();
    rig.publish("t", "x", AtMostOnce);
    rig.cut_saying("connection reset by the peer");
    let words = rig.ended().0.to_string();
    assert!(
        words
            .starts_with("the broker closed the connection soon after a message of 2 bytes on `t`")
    );
    assert!(words.ends_with("connection reset by the peer"), "{words}");
    // And nobody else is blamed, however often it happens.
    for _ in 0..5 {
        rig.reconnect();
        rig.accept();
        rig.publish("t", "x", AtMostOnce);
        rig.cut();
        assert!(matches!(rig.ended().0, Reason::ClosedAfter(..)));
    }
}
