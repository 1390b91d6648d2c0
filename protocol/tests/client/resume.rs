//! Sessions: what outlives a connection, what is sent again and how, what ends as unknown.

use mcpmqtt_protocol::QoS::{AtLeastOnce, AtMostOnce, ExactlyOnce};
use mcpmqtt_protocol::client::{Options, Outcome, ProtocolError, Reason};
use mcpmqtt_protocol::limits::Limits;

use crate::rig::packets::*;
use crate::rig::{Rig, clean, resuming, seconds};

fn closed() -> Reason {
    Reason::Closed(String::new())
}

/// [MQTT-4.4.0-1] [MQTT-3.3.1-1] [MQTT-3.1.2-4] [MQTT-3.2.2-2] [MQTT-3.2.2-3] [MQTT-4.1.0-1]
/// Pitfall 5: on a session that the broker kept, each unacknowledged PUBLISH goes out again with its
/// identifier and DUP, nothing else changed.
#[test]
fn a_kept_session_gets_unacknowledged_publishes_again_with_dup() {
    let mut rig = Rig::with(resuming());
    let one = rig.publish("t", "1", AtLeastOnce);
    let two = rig.publish("t", "2", ExactlyOnce);
    rig.expect(publish1(1, "t", "1"));
    rig.expect(publish2(2, "t", "2"));
    rig.cut_and_reconnect();
    rig.silence();
    rig.accept_back();
    rig.expect(dup(publish1(1, "t", "1")));
    rig.expect(dup(publish2(2, "t", "2")));
    rig.silence();
    rig.no_outcome(one);
    rig.send([puback(1), pubrec(2)].concat());
    rig.expect(pubrel(2));
    rig.send(pubcomp(2));
    assert_eq!(rig.outcome(one), Outcome::Delivered);
    assert_eq!(rig.outcome(two), Outcome::Delivered);
    rig.nothing_left();
}

/// [MQTT-4.3.3-1] [MQTT-4.4.0-1] Pitfall 4: after PUBREC only PUBREL is sent again.
#[test]
fn after_pubrec_a_kept_session_gets_pubrel_again_and_never_publish() {
    let mut rig = Rig::with(resuming());
    let ticket = rig.publish("t", "x", ExactlyOnce);
    rig.expect(publish2(1, "t", "x"));
    rig.send(pubrec(1));
    rig.expect(pubrel(1));
    rig.cut_and_reconnect();
    rig.accept_back();
    rig.expect(pubrel(1));
    // The broker, too, says again what it had said.
    rig.send(pubrec(1));
    rig.expect(pubrel(1));
    rig.send([pubcomp(1), pubcomp(1)].concat());
    assert_eq!(rig.outcome(ticket), Outcome::Delivered);
    rig.silence();
    rig.nothing_left();
}

/// [MQTT-4.4.0-1] A broker that says PUBREC again by itself on resumption gets one PUBREL, and the
/// PUBLISH is not sent again after it.
#[test]
fn a_pubrec_that_comes_before_we_sent_again_is_answered_once() {
    let mut rig = Rig::with(resuming());
    let unreceived = rig.publish("t", "1", ExactlyOnce);
    let received = rig.publish("t", "2", ExactlyOnce);
    rig.send(pubrec(2));
    rig.cut_and_reconnect();
    rig.send([connack(true), pubrec(1), pubrec(2)].concat());
    rig.expect(pubrel(1));
    rig.expect(pubrel(2));
    rig.silence();
    rig.send([pubcomp(1), pubcomp(2)].concat());
    assert_eq!(rig.outcome(unreceived), Outcome::Delivered);
    assert_eq!(rig.outcome(received), Outcome::Delivered);
}

/// [MQTT-4.4.0-1] On a live connection nothing is ever sent again.
#[test]
fn time_alone_never_sends_anything_again() {
    let mut rig = Rig::with(resuming());
    rig.publish("t", "x", AtLeastOnce);
    rig.expect(publish1(1, "t", "x"));
    rig.advance(seconds(44.0));
    rig.silence();
    rig.still_connected();
}

/// [MQTT-4.6.0-1] Pitfall 8: what is sent again keeps its order, over the wrap of identifiers too,
/// and new messages stand behind it.
#[test]
fn what_is_sent_again_keeps_its_order_over_the_wrap() {
    let mut rig = Rig::with(resuming());
    for id in 1..=65_530 {
        let ticket = rig.publish("t", "x", AtLeastOnce);
        rig.send(puback(id));
        rig.outcome(ticket);
    }
    rig.written();
    let ids: Vec<u16> = (65_531..=65_535).chain(1..=15).collect();
    for _ in &ids {
        rig.publish("t", "x", AtLeastOnce);
    }
    rig.send(puback(3));
    rig.cut_and_reconnect();
    rig.accept_back();
    for id in ids.into_iter().filter(|id| *id != 3) {
        rig.expect(dup(publish1(id, "t", "x")));
    }
    rig.silence();
    rig.publish("t", "new", AtLeastOnce);
    rig.expect(publish1(16, "t", "new"));
}

/// [MQTT-4.6.0-4] PUBREL goes again in the order in which PUBREC had come.
#[test]
fn releases_are_sent_again_in_the_order_of_their_pubrec() {
    let mut rig = Rig::with(resuming());
    for _ in 0..3 {
        rig.publish("t", "x", ExactlyOnce);
    }
    rig.send([pubrec(3), pubrec(1)].concat());
    rig.cut_and_reconnect();
    rig.accept_back();
    rig.expect(pubrel(3));
    rig.expect(pubrel(1));
    rig.expect(dup(publish2(2, "t", "x")));
}

/// Pitfall 8: the window holds on resumption as well; what waited in line stays behind it.
#[test]
fn the_window_holds_on_resumption() {
    let limits = Limits {
        inflight: 2,
        ..Limits::default()
    };
    let mut rig = Rig::with(Options {
        limits,
        ..resuming()
    });
    for payload in ["1", "2", "3", "4"] {
        rig.publish("t", payload, AtLeastOnce);
    }
    rig.cut_and_reconnect();
    rig.accept_back();
    rig.expect(dup(publish1(1, "t", "1")));
    rig.expect(dup(publish1(2, "t", "2")));
    rig.silence();
    rig.send(puback(2));
    rig.expect(publish1(3, "t", "3"));
    rig.silence();
}

/// Pitfall 1: a broker that lost the session can never acknowledge: the caller hears `Unknown`, and
/// the message is not published as a new one.
#[test]
fn a_lost_session_ends_what_was_sent_as_unknown() {
    let mut rig = Rig::with(resuming());
    let one = rig.publish("t", "1", AtLeastOnce);
    let two = rig.publish("t", "2", ExactlyOnce);
    rig.send(pubrec(2));
    rig.cut_and_reconnect();
    rig.no_outcome(one);
    rig.accept();
    assert_eq!(rig.outcome(one), Outcome::Unknown(closed()));
    assert_eq!(rig.outcome(two), Outcome::Unknown(closed()));
    rig.silence();
    rig.nothing_left();
}

/// [MQTT-3.1.2-6] Pitfall 1: with a clean session what was written and is not acknowledged ends as
/// unknown when the connection does, and nothing of it goes out again.
#[test]
fn a_clean_session_ends_what_was_sent_as_unknown_at_the_cut() {
    let mut rig = Rig::up();
    let one = rig.publish("t", "1", AtLeastOnce);
    let two = rig.publish("t", "2", ExactlyOnce);
    let three = rig.publish("t", "3", ExactlyOnce);
    rig.send(pubrec(3));
    rig.cut();
    for ticket in [one, two, three] {
        assert_eq!(rig.outcome(ticket), Outcome::Unknown(closed()));
    }
    rig.nothing_left();
    rig.ended();
    rig.reconnect();
    rig.accept();
    rig.advance(seconds(5.0));
    rig.silence();
}

/// Pitfall 1: what the socket did not take whole cannot have reached the broker: it goes back in
/// line, keeps its place, and is sent as the first time, in a clean session too.
#[test]
fn what_was_not_wholly_written_is_sent_on_the_next_connection_as_new() {
    for options in [clean(), resuming()] {
        for taken in 0..=9 {
            let mut rig = Rig::with(options.clone());
            let whole = rig.publish("t", "0", AtMostOnce);
            rig.written();
            assert_eq!(rig.outcome(whole), Outcome::Sent);
            // 7 bytes each, and 6.
            rig.room(taken);
            let one = rig.publish("t", "1", AtLeastOnce);
            let two = rig.publish("t", "2", ExactlyOnce);
            let three = rig.publish("t", "3", AtMostOnce);
            rig.cut();
            rig.ended();
            let one_was_sent = taken >= publish1(1, "t", "1").len();
            rig.room(usize::MAX);
            rig.reconnect();
            rig.accept();
            let outcomes = rig.outcomes(one);
            if one_was_sent {
                assert!(
                    matches!(outcomes[..], [Outcome::Unknown(Reason::ClosedAfter(..))]),
                    "{outcomes:?}"
                );
            } else {
                assert_eq!(outcomes, []);
                let first = rig.written();
                let id = u16::from_be_bytes([first[5], first[6]]);
                assert!(first.starts_with(&publish1(id, "t", "1")), "{taken}");
                rig.send(puback(id));
                assert_eq!(rig.outcome(one), Outcome::Delivered);
                assert!(first.ends_with(&publish0("t", "3")));
            }
            assert_eq!(rig.outcome(three), Outcome::Sent);
            rig.no_outcome(two);
            assert_eq!(rig.usage().publishes, 1);
        }
    }
}

/// What waits in line when there is no connection is sent on the next one, in its order.
#[test]
fn what_was_never_sent_waits_for_the_next_connection() {
    let mut rig = Rig::with(resuming());
    rig.advance(seconds(11.0));
    rig.cut();
    rig.ended();
    for payload in ["1", "2", "3"] {
        rig.publish("t", payload, AtLeastOnce);
    }
    rig.reconnect();
    rig.accept_back();
    for (id, payload) in (1..).zip(["1", "2", "3"]) {
        rig.expect(publish1(id, "t", payload));
    }
}

/// [MQTT-4.3.3-2] [MQTT-4.1.0-2] Pitfalls 2 and 3: inbound QoS 2 identifiers are part of the session:
/// a message that comes again after a resumption is not delivered again, its PUBREL is answered.
#[test]
fn inbound_qos_2_is_delivered_once_over_a_resumption() {
    let mut rig = Rig::with(resuming());
    let listener = rig.listen("t", ExactlyOnce);
    rig.send(suback(1, &[2]));
    rig.send([publish2(8, "t", "x"), publish2(9, "t", "y")].concat());
    assert_eq!(rig.heard(listener), ["t=x", "t=y"]);
    rig.cut_and_reconnect();
    rig.accept_back();
    rig.send(dup(publish2(8, "t", "x")));
    rig.expect(pubrec(8));
    rig.send(publish2(8, "t", "x"));
    rig.expect(pubrec(8));
    rig.send([pubrel(8), pubrel(9)].concat());
    rig.expect(pubcomp(8));
    rig.expect(pubcomp(9));
    assert!(rig.heard(listener).is_empty());
    rig.nothing_left();
}

/// [MQTT-3.1.2-6] A session that ended takes its inbound identifiers with it: the same identifier is
/// a new message.
#[test]
fn inbound_qos_2_identifiers_end_with_their_session() {
    for options in [clean(), resuming()] {
        let mut rig = Rig::with(options);
        let listener = rig.listen("t", ExactlyOnce);
        rig.send(suback(1, &[2]));
        rig.send(publish2(8, "t", "x"));
        rig.cut_and_reconnect();
        rig.accept();
        rig.send(publish2(8, "t", "y"));
        assert_eq!(rig.heard(listener), ["t=x", "t=y"]);
    }
}

/// [MQTT-2.3.1-4] Resumption tells the two directions apart.
#[test]
fn the_same_identifier_in_both_directions_resumes_as_two_flows() {
    let mut rig = Rig::with(resuming());
    let listener = rig.listen("t", ExactlyOnce);
    rig.send(suback(1, &[2]));
    let ticket = rig.publish("out", "x", ExactlyOnce);
    rig.send(publish2(2, "t", "in"));
    rig.cut_and_reconnect();
    rig.accept_back();
    rig.expect(dup(publish2(2, "out", "x")));
    rig.send([dup(publish2(2, "t", "in")), pubrec(2)].concat());
    rig.expect(pubrec(2));
    rig.expect(pubrel(2));
    rig.send(pubcomp(2));
    assert_eq!(rig.outcome(ticket), Outcome::Delivered);
    assert_eq!(rig.heard(listener), ["t=in"]);
}

/// A cut in the middle of sending again loses nothing: all goes again on the next connection.
#[test]
fn a_cut_while_sending_again_loses_nothing() {
    let mut rig = Rig::with(resuming());
    for payload in ["1", "2", "3"] {
        rig.publish("t", payload, AtLeastOnce);
    }
    let connect = 16;
    for room in [7, 10, 20] {
        rig.cut();
        rig.ended();
        rig.advance_to_connect();
        rig.room(connect + room);
        rig.open();
        rig.accept_back();
    }
    rig.cut();
    rig.ended();
    rig.room(usize::MAX);
    rig.reconnect();
    rig.accept_back();
    // By now one of them may be what the broker does not take: they go one at a time.
    rig.silence();
    rig.advance(seconds(0.5));
    for (id, payload) in (1..).zip(["1", "2", "3"]) {
        rig.expect(dup(publish1(id, "t", payload)));
        rig.silence();
        rig.send(puback(id));
    }
    rig.publish("t", "new", AtLeastOnce);
    rig.expect(publish1(4, "t", "new"));
}

/// [MQTT-4.1.0-1] The session is kept in memory. A broker that still has one from before this
/// process began would take our first QoS 2 identifiers for old ones and swallow the messages, so
/// that session is ended by a clean connection before anything is said on it.
#[test]
fn a_session_from_before_the_process_began_is_wiped_first() {
    let mut rig = Rig::new(resuming());
    let ticket = rig.publish("t", "x", ExactlyOnce);
    rig.open();
    rig.expect(hex("10 0E 0004 4D515454 04 00 003C 0002 6D65"));
    rig.send(connack(true));
    assert_eq!(rig.old_sessions(), 1);
    rig.expect(DISCONNECT);
    rig.silence();
    rig.advance_to_connect();
    rig.open();
    rig.expect(hex("10 0E 0004 4D515454 04 02 003C 0002 6D65"));
    rig.send(connack(false));
    rig.expect(DISCONNECT);
    rig.silence();
    rig.advance_to_connect();
    rig.open();
    rig.expect(hex("10 0E 0004 4D515454 04 00 003C 0002 6D65"));
    assert!(rig.elapsed() < seconds(0.1), "none of this is a failure");
    rig.accept();
    rig.expect(publish2(1, "t", "x"));
    rig.cut();
    rig.ended();
    rig.reconnect();
    rig.accept_back();
    rig.expect(dup(publish2(1, "t", "x")));
    rig.no_outcome(ticket);
}

/// A broker whose sessions survive a clean start is broken, and trying again is not done fast.
#[test]
fn a_session_that_cannot_be_wiped_is_a_protocol_error() {
    let mut rig = Rig::new(resuming());
    rig.open();
    rig.send(connack(true));
    rig.advance_to_connect();
    rig.open();
    rig.send(connack(true));
    let (reason, _) = rig.ended();
    assert_eq!(reason, Reason::Protocol(ProtocolError::SessionPresent));
}

/// rumqttd (iotcore 0.4.0) keeps the session, forgets that it had received a message, and ends the
/// connection at its PUBREL; a broker that refuses a large or forbidden PUBLISH ends the connection at
/// that: without an end to it the client would come and go for ever. After two cuts it goes alone, on a
/// connection that has lived for a moment; three more convict it.
#[test]
fn what_the_broker_never_takes_is_found_and_its_session_given_up() {
    for released in [true, false] {
        let mut rig = Rig::with(resuming());
        let ticket = rig.publish("t", "x", ExactlyOnce);
        rig.expect(publish2(1, "t", "x"));
        let mut again = dup(publish2(1, "t", "x"));
        let behind = rig.publish("u", "y", ExactlyOnce);
        rig.expect(publish2(2, "u", "y"));
        if released {
            rig.send(pubrec(1));
            rig.expect(pubrel(1));
            again = pubrel(1);
        }
        rig.cut();
        rig.ended();
        for round in 1..=4 {
            rig.no_outcome(ticket);
            rig.reconnect();
            rig.accept_back();
            if round > 1 {
                rig.silence();
                rig.advance(seconds(0.5));
            }
            rig.expect(again.clone());
            if round == 1 {
                rig.expect(dup(publish2(2, "u", "y")));
            }
            rig.silence();
            rig.cut();
            let (reason, _) = rig.ended();
            let convicted = match reason {
                Reason::SessionGivenUp => released,
                Reason::MessageCutsConnection { bytes: 2, .. } => !released,
                _ => false,
            };
            assert_eq!(convicted, round == 4, "{reason:?}");
        }
        assert!(matches!(rig.outcome(ticket), Outcome::Unknown(_)));
        expect_a_new_session(&mut rig);
        assert!(matches!(rig.outcome(behind), Outcome::Unknown(_)));
        rig.nothing_left();
        let next = rig.publish("t", "y", AtLeastOnce);
        rig.expect(publish1(3, "t", "y"));
        rig.send(puback(3));
        assert_eq!(rig.outcome(next), Outcome::Delivered);
    }
}

/// The kept session is ended by a clean connection, and a new one begun.
fn expect_a_new_session(rig: &mut Rig) {
    rig.advance_to_connect();
    rig.open();
    rig.expect(hex("10 0E 0004 4D515454 04 02 003C 0002 6D65"));
    rig.send(connack(false));
    rig.expect(DISCONNECT);
    rig.advance_to_connect();
    rig.open();
    rig.expect(hex("10 0E 0004 4D515454 04 00 003C 0002 6D65"));
    rig.accept();
}

/// Those in front of it and behind it are the broker's as soon as it takes them alone, in their order; only
/// what is cut off is unknown.
#[test]
fn messages_beside_the_one_that_is_not_taken_are_delivered() {
    let mut rig = Rig::with(resuming());
    let first = rig.publish("a", "1", AtLeastOnce);
    let bad = rig.publish("bad", "2", AtLeastOnce);
    rig.cut_and_reconnect();
    rig.accept_back();
    rig.written();
    rig.cut_and_reconnect();
    rig.accept_back();
    rig.advance(seconds(0.5));
    rig.expect(dup(publish1(1, "a", "1")));
    rig.silence();
    rig.send(puback(1));
    assert_eq!(rig.outcome(first), Outcome::Delivered);
    rig.expect(dup(publish1(2, "bad", "2")));
    let later = rig.publish("later", "3", AtLeastOnce);
    rig.silence();
    for _ in 0..2 {
        rig.cut_and_reconnect();
        rig.accept_back();
        rig.advance(seconds(0.5));
        rig.expect(dup(publish1(2, "bad", "2")));
        rig.silence();
    }
    rig.cut();
    let (reason, _) = rig.ended();
    assert_eq!(rig.outcome(bad), Outcome::Unknown(reason));
    expect_a_new_session(&mut rig);
    rig.expect(publish1(3, "later", "3"));
    rig.send(puback(3));
    assert_eq!(rig.outcome(later), Outcome::Delivered);
}

/// What cuts say of a message: nothing when they come before it was sent, long after it, or with another
/// cause; and one that has been acknowledged between them has proved itself.
#[test]
fn a_cut_with_another_cause_convicts_no_message() {
    for cause in ["too early", "too late", "a filter", "the network"] {
        let mut rig = Rig::with(resuming());
        let ticket = rig.publish("t", "x", AtLeastOnce);
        rig.cut_and_reconnect();
        rig.accept_back();
        rig.cut_and_reconnect();
        rig.accept_back();
        for round in 0..6 {
            match cause {
                "too early" => rig.advance(seconds(0.4)),
                "too late" => {
                    rig.advance(seconds(0.5));
                    rig.advance(seconds(0.6));
                }
                "a filter" => {
                    rig.advance(seconds(0.5));
                    rig.listen(&format!("f{round}"), AtMostOnce);
                }
                _ => {
                    rig.advance(seconds(61.0));
                    rig.take_ends();
                }
            }
            rig.written();
            if rig.client.is_connected() {
                rig.cut();
                let reason = rig.ended().0;
                let convicted = matches!(reason, Reason::MessageCutsConnection { .. });
                assert!(!convicted, "{cause}");
            }
            rig.no_outcome(ticket);
            rig.reconnect();
            rig.accept_back();
        }
    }
}

/// When the broker takes its time, it takes ten cuts until the session is given up.
#[test]
fn a_session_that_the_broker_never_lets_go_on_is_given_up() {
    let mut rig = Rig::with(resuming());
    let ticket = rig.publish("t", "x", AtLeastOnce);
    rig.cut();
    rig.ended();
    for round in 1..=10 {
        rig.no_outcome(ticket);
        rig.reconnect();
        rig.accept_back();
        rig.advance(seconds(2.0));
        rig.expect(dup(publish1(1, "t", "x")));
        rig.cut();
        let (reason, _) = rig.ended();
        assert_eq!(reason == Reason::SessionGivenUp, round == 10, "{reason:?}");
    }
    expect_a_new_session(&mut rig);
    let unknown = Outcome::Unknown(Reason::SessionGivenUp);
    assert_eq!(rig.outcome(ticket), unknown);
    rig.nothing_left();
}

/// One acknowledgement between the cuts speaks for the session.
#[test]
fn a_session_that_goes_on_now_and_then_is_kept() {
    let mut rig = Rig::with(resuming());
    let ids = 1..=50;
    let tickets: Vec<_> = ids
        .clone()
        .map(|_| rig.publish("t", "x", AtLeastOnce))
        .collect();
    for (id, ticket) in ids.zip(tickets) {
        for _ in 0..9 {
            // By then even one that goes alone is written.
            rig.advance(seconds(2.0));
            rig.written();
            rig.cut();
            assert_ne!(rig.ended().0, Reason::SessionGivenUp);
            rig.reconnect();
            rig.accept_back();
        }
        rig.advance(seconds(2.0));
        rig.send(puback(id));
        assert_eq!(rig.outcome(ticket), Outcome::Delivered);
    }
    rig.nothing_left();
}
