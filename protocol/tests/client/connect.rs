//! CONNECT, CONNACK, and when to try again.

use std::sync::Arc;
use std::time::Duration;

use mcpmqtt_protocol::QoS::{AtLeastOnce, AtMostOnce, ExactlyOnce};
use mcpmqtt_protocol::client::{
    ListenError, Options, Outcome, ProtocolError, PublishError, Reason, Refusal,
};
use mcpmqtt_protocol::message::Message;
use mcpmqtt_protocol::topic::TopicName;

use crate::rig::packets::*;
use crate::rig::{Rig, clean, message, resuming, seconds, wanting};

/// [MQTT-3.1.0-1] [MQTT-3.1.0-2] [MQTT-3.1.4-5] CONNECT comes first, once, and nothing goes out
/// before the answer, whatever the application wants meanwhile.
#[test]
fn nothing_but_one_connect_goes_out_before_connack() {
    let mut rig = Rig::new(clean());
    let early = rig.publish("t", "early", AtLeastOnce);
    rig.open();
    rig.expect_connect();
    rig.listen("f", AtMostOnce);
    rig.publish("t", "late", AtMostOnce);
    rig.advance(seconds(5.0));
    rig.silence();
    rig.accept();
    rig.expect(subscribe(1, &[("f", AtMostOnce)]));
    rig.expect(publish1(2, "t", "early"));
    rig.expect(publish0("t", "late"));
    rig.silence();
    rig.no_outcome(early);
}

/// [MQTT-3.1.2-1] [MQTT-3.1.2-2] [MQTT-3.1.2-3] [MQTT-3.1.3-1] [MQTT-3.1.3-3] The bytes of the
/// smallest CONNECT: name `MQTT`, level 4, reserved bit 0, the client identifier.
#[test]
fn the_smallest_connect_is_the_bytes_of_the_standard() {
    let mut rig = Rig::new(clean());
    rig.open();
    rig.expect(hex("10 0E 0004 4D515454 04 02 003C 0002 6D65"));
    rig.silence();
}

/// [MQTT-3.1.2-9] [MQTT-3.1.2-11] [MQTT-3.1.2-13] [MQTT-3.1.2-14] [MQTT-3.1.2-15] [MQTT-3.1.2-18]
/// [MQTT-3.1.2-19] [MQTT-3.1.2-20] [MQTT-3.1.2-21] [MQTT-3.1.2-22] [MQTT-3.1.3-1] [MQTT-3.1.3-4]
/// [MQTT-3.1.3-10] [MQTT-3.1.3-11] In every combination of options a flag is set if and only if its
/// field is there, in the order of the standard; read here by a decoder of its own.
#[test]
fn connect_flags_and_fields_agree_in_every_combination() {
    let mut combinations = 0;
    for clean_session in [false, true] {
        for will in [
            None,
            Some((AtMostOnce, false)),
            Some((AtLeastOnce, true)),
            Some((ExactlyOnce, false)),
        ] {
            for (user, password) in [(false, false), (true, false), (true, true)] {
                let options = Options {
                    clean_session,
                    will: will.map(|(qos, retain)| Message {
                        topic: TopicName::parse("wï/ll").unwrap(),
                        payload: Arc::from([0, 0xFF]),
                        qos,
                        retain,
                    }),
                    username: user.then(|| "jö".to_owned()),
                    password: password.then(|| vec![0, 0x80]),
                    ..Options::new("id")
                };
                check_connect(options);
                combinations += 1;
            }
        }
    }
    assert_eq!(combinations, 24);
}

fn check_connect(options: Options) {
    let mut flags = u8::from(options.clean_session) << 1;
    let mut fields: Vec<Vec<u8>> = vec![options.client_id.clone().into_bytes()];
    if let Some(will) = &options.will {
        flags |= 0b100 | (will.qos as u8) << 3 | u8::from(will.retain) << 5;
        fields.push(will.topic.as_str().as_bytes().to_vec());
        fields.push(will.payload.to_vec());
    }
    if let Some(username) = &options.username {
        flags |= 0x80;
        fields.push(username.clone().into_bytes());
    }
    if let Some(password) = &options.password {
        flags |= 0x40;
        fields.push(password.clone());
    }
    let mut rig = Rig::new(options);
    rig.open();
    let written = rig.written();
    assert_eq!(written[9], flags);
    let mut rest = &written[12..];
    for field in fields {
        let length = usize::from(u16::from_be_bytes([rest[0], rest[1]]));
        assert_eq!(rest[2..2 + length], field);
        rest = &rest[2 + length..];
    }
    assert!(rest.is_empty());
}

/// [MQTT-3.1.2-22] [MQTT-3.1.3-6] [MQTT-3.1.3-7] [MQTT-3.1.3-8] [MQTT-1.5.3-2] Options the protocol
/// cannot express end each attempt in words, and nothing is written.
#[test]
fn options_that_make_no_connect_end_in_words_and_nothing_is_written() {
    let password_alone = Options {
        password: Some(b"secret".to_vec()),
        ..clean()
    };
    let nul = Options::new("a\0b");
    let nameless = Options {
        clean_session: false,
        ..Options::new("")
    };
    for options in [password_alone, nul, nameless] {
        let mut rig = Rig::new(options);
        rig.open();
        rig.silence();
        let (reason, wait) = rig.ended();
        assert!(matches!(reason, Reason::BadOptions(_)), "{reason:?}");
        assert!(!reason.to_string().contains("secret"));
        assert!(wait.unwrap() >= seconds(5.0), "trying sooner cannot help");
    }
    // An empty identifier is the broker's to choose, with a clean session.
    let mut rig = Rig::new(Options::new(""));
    rig.open();
    rig.expect(hex("10 0C 0004 4D515454 04 02 003C 0000"));
}

/// [MQTT-3.1.3-2] The session's key is the same on each connection.
#[test]
fn the_client_identifier_is_the_same_over_reconnects() {
    let mut rig = Rig::new(resuming());
    rig.open();
    let first = rig.written();
    for _ in 0..5 {
        rig.accept();
        rig.cut();
        rig.ended();
        rig.advance_to_connect();
        rig.open();
        rig.expect(&first);
        rig.silence();
    }
}

/// [MQTT-3.2.2-5] [MQTT-3.1.3-9] [MQTT-3.1.2-2] A refusal ends the attempt and is told in words;
/// one that time will not cure is not retried fast.
#[test]
fn each_refusal_is_told_and_only_unavailable_is_retried_soon() {
    let refusals = [
        Refusal::ProtocolVersion,
        Refusal::ClientId,
        Refusal::Unavailable,
        Refusal::Credentials,
        Refusal::NotAuthorized,
    ];
    let nameless = [(4, Refusal::NoUserName), (5, Refusal::NoUserName)];
    let named = (1..)
        .zip(refusals)
        .map(|(code, refusal)| (code, refusal, Some("u".to_owned())));
    let nameless = nameless.map(|(code, refusal)| (code, refusal, None));
    for (code, refusal, username) in named.chain(nameless) {
        let mut rig = Rig::new(Options {
            username,
            ..clean()
        });
        rig.open();
        rig.send([0x20, 2, 0, code]);
        let (reason, wait) = rig.ended();
        assert_eq!(reason, Reason::Refused(refusal));
        assert!(!reason.to_string().is_empty());
        let patient = wait.unwrap() >= seconds(5.0);
        assert_eq!(patient, refusal != Refusal::Unavailable, "{refusal:?}");
        rig.reconnect();
        rig.accept();
    }
}

/// [MQTT-3.2.0-1] The broker's first packet is CONNACK.
#[test]
fn any_packet_before_connack_ends_the_connection() {
    let firsts = [
        publish0("t", "x"),
        publish1(1, "t", "x"),
        suback(1, &[0]),
        PINGRESP.to_vec(),
        puback(1),
        pubrel(1),
    ];
    for first in firsts {
        let mut rig = Rig::new(clean());
        rig.open();
        rig.expect_connect();
        rig.send(&first);
        let (reason, _) = rig.ended();
        assert_eq!(reason, Reason::Protocol(ProtocolError::NotConnack));
        rig.silence();
    }
}

/// [MQTT-3.2.0-1] There is exactly one CONNACK on a connection.
#[test]
fn a_second_connack_ends_the_connection() {
    let mut rig = Rig::up();
    rig.send(connack(false));
    let (reason, _) = rig.ended();
    assert_eq!(reason, Reason::Protocol(ProtocolError::SecondConnack));
}

/// [MQTT-3.2.2-1] A broker cannot have kept the session that a clean start just ended.
#[test]
fn a_session_present_after_a_clean_start_ends_the_connection() {
    let mut rig = Rig::new(clean());
    rig.open();
    rig.send(connack(true));
    let (reason, _) = rig.ended();
    assert_eq!(reason, Reason::Protocol(ProtocolError::SessionPresent));
}

/// [MQTT-3.2.2-4] [MQTT-3.2.2-6] Refusals that claim a session, reserved bits, codes of no meaning.
#[test]
fn a_malformed_connack_ends_the_connection() {
    for body in ["01 01", "01 05", "00 06", "00 FF", "02 00", "80 00"] {
        let mut rig = Rig::new(clean());
        rig.open();
        rig.send(hex(&format!("20 02 {body}")));
        let (reason, wait) = rig.ended();
        assert!(matches!(reason, Reason::Protocol(_)), "{body}: {reason:?}");
        assert!(wait.is_some(), "and is tried again");
    }
}

/// [MQTT-3.2.2-6] A broker that closes without an answer is tried again.
#[test]
fn a_close_instead_of_connack_is_told_and_retried() {
    let mut rig = Rig::new(clean());
    rig.open();
    rig.cut();
    assert_eq!(rig.ended().0, Reason::ClosedBeforeConnack(String::new()));
    rig.reconnect();
    rig.cut_saying("it wants more");
    let (reason, _) = rig.ended();
    assert_eq!(
        reason.to_string(),
        "the broker closed the connection without an answer to CONNECT; check whether this port wants TLS \
         (`mqtt.tls`) and MQTT 3.1.1: it wants more"
    );
    rig.reconnect();
    rig.accept();
}

/// Pitfall 19: one deadline covers the transport and CONNACK; a broker that accepts the transport
/// late has only the rest of it.
#[test]
fn one_deadline_covers_transport_and_connack() {
    let mut rig = Rig::new(clean());
    rig.advance(seconds(6.0));
    rig.open();
    rig.advance(seconds(3.999));
    assert_eq!(rig.closes(), 0);
    rig.advance(seconds(0.001));
    assert_eq!(rig.ended().0, Reason::ConnectTimeout(seconds(10.0)));
    assert_eq!(rig.closes(), 1);
    rig.advance_to_connect();
    rig.advance(seconds(10.0));
    assert_eq!(
        rig.ended().0,
        Reason::ConnectTimeout(seconds(10.0)),
        "also while opening"
    );
}

/// A call made while the first connection is being set up waits for that attempt; once attempts fail, calls are told why
/// at once; when the broker is back they are taken again.
#[test]
fn calls_wait_for_the_first_attempt_and_then_hear_the_reason_at_once() {
    let mut rig = Rig::new(clean());
    let waiting = rig.publish("t", "x", AtMostOnce);
    let listener = rig.listen("f", AtMostOnce);
    rig.refuse_transport("connection refused");
    let reason = Reason::Transport("connection refused".into());
    assert_eq!(rig.ended().0, reason);
    // One that comes now would be refused, so that those before do not wait any longer.
    assert_eq!(rig.outcome(waiting), Outcome::NotSent(reason.clone()));
    assert_eq!(rig.refused(listener), Some(reason.clone()));
    for _ in 0..2 {
        let refused = rig.try_publish(message("t", "y", AtMostOnce), None);
        assert_eq!(refused, Err(PublishError::NotConnected(reason.clone())));
        let refused = rig.try_listen(wanting("f", AtMostOnce, false));
        assert_eq!(refused, Err(ListenError::NotConnected(reason.clone())));
        rig.advance_to_connect();
    }
    rig.open();
    rig.expect_connect();
    rig.accept();
    rig.silence();
    rig.publish("t", "y", AtMostOnce);
    rig.expect(publish0("t", "y"));
}

/// A connection that was good for long and breaks is being set up again: calls wait for it.
#[test]
fn calls_wait_for_the_first_attempt_after_a_good_connection() {
    let mut rig = Rig::up();
    rig.advance(seconds(11.0));
    rig.cut();
    rig.ended();
    let waiting = rig.publish("t", "x", AtMostOnce);
    rig.reconnect();
    rig.accept();
    rig.expect(publish0("t", "x"));
    rig.outcome(waiting);
}

/// Pitfall 18: the bound doubles from 250 ms to 8 s and only a connection that lived starts it over;
/// one that is cut right after CONNACK is a failure like any other.
#[test]
fn waits_grow_until_a_connection_has_lived() {
    let mut rig = Rig::new(clean());
    let mut longest = Duration::ZERO;
    for round in 0..40 {
        rig.advance_to_connect();
        rig.open();
        rig.accept();
        rig.advance(seconds(if round % 2 == 0 { 0.0 } else { 9.9 }));
        rig.cut();
        let wait = rig.ended().1.unwrap();
        let bound = Duration::from_millis(250 << round.min(5));
        assert!(wait <= bound, "{wait:?} of {bound:?}");
        longest = longest.max(wait);
    }
    assert!(longest > seconds(4.0), "{longest:?}");
    rig.reconnect();
    rig.accept();
    rig.advance(seconds(10.0));
    rig.cut();
    assert!(rig.ended().1.unwrap() <= seconds(0.25));
}

/// Pitfall 18: two clients that take one identifier from each other are recognised and told.
#[test]
fn connections_that_keep_ending_soon_after_connack_look_like_a_takeover() {
    let mut rig = Rig::up();
    rig.advance(seconds(1.0));
    rig.cut();
    assert_eq!(
        rig.ended().0,
        Reason::Closed(String::new()),
        "once is chance"
    );
    rig.reconnect();
    rig.accept();
    rig.advance(seconds(1.0));
    rig.cut();
    let (reason, _) = rig.ended();
    assert_eq!(reason, Reason::Takeover);
    assert!(reason.to_string().contains("another client"));
    rig.reconnect();
    rig.accept();
    rig.advance(seconds(5.0));
    rig.cut();
    assert_eq!(rig.ended().0, Reason::Closed(String::new()));
}

/// Such a broker would end every connection: none is made, and the reason says which character it is.
#[test]
fn a_name_that_brokers_do_not_take_is_not_sent() {
    let will = message("w\u{7f}", "gone", AtMostOnce);
    let wrong = [
        (Options::new("me\u{2}"), "the client id contains U+0002"),
        (
            Options {
                username: Some("\u{FFFE}".into()),
                ..clean()
            },
            "the user name contains U+FFFE",
        ),
        (
            Options {
                will: Some(will),
                ..clean()
            },
            "the will topic contains U+007F",
        ),
    ];
    for (options, words) in wrong {
        let mut rig = Rig::new(options);
        rig.open();
        let (reason, wait) = rig.ended();
        assert!(reason.to_string().contains(words), "{reason}");
        assert!(wait.unwrap() >= seconds(5.0));
        assert!(rig.written().is_empty());
    }
}

/// A call that waits for the first connection hears why there is none, when the attempt took all its time
/// or failed in a way that the next will hardly cure. What was granted before goes on.
#[test]
fn calls_that_wait_hear_the_reason_when_an_attempt_times_out_or_is_refused() {
    for refused in [false, true] {
        let mut rig = Rig::new(clean());
        let publish = rig.publish_within(seconds(300.0), "t", AtLeastOnce);
        let listener = rig.listen("f", AtMostOnce);
        rig.open();
        if refused {
            rig.send(hex("20 02 00 05"));
        } else {
            rig.advance(seconds(9.9));
            rig.no_outcome(publish);
            rig.advance(seconds(0.1));
        }
        let (reason, _) = rig.ended();
        assert_eq!(rig.outcome(publish), Outcome::NotSent(reason.clone()));
        assert_eq!(rig.refused(listener), Some(reason.clone()));
        assert_eq!(rig.usage().listeners, 0);
        rig.nothing_left();
        rig.advance_to_connect();
        rig.open();
        rig.accept();
        assert!(
            rig.written().ends_with(&hex("3C 00 02 6D 65")),
            "only CONNECT"
        );
    }
    let mut rig = Rig::up();
    let granted = rig.listen("f", AtMostOnce);
    rig.send(suback(1, &[0]));
    rig.advance(seconds(11.0));
    rig.cut();
    rig.ended();
    let waiting = rig.listen("g", AtMostOnce);
    rig.advance_to_connect();
    rig.advance(seconds(10.0));
    let (reason, _) = rig.ended();
    assert_eq!(rig.refused(waiting), Some(reason));
    assert_eq!(rig.refused(granted), None);
    rig.reconnect();
    rig.accept();
    rig.expect(subscribe(2, &[("f", AtMostOnce)]));
    rig.silence();
}

/// What answers in the place of a broker is named, and tried again as slowly as a broker that refuses us.
#[test]
fn a_stranger_at_the_port_is_named() {
    let strangers = [
        ("48 54 54 50 2F 31 2E 31 20 34 30 30", "an HTTP server"),
        ("53 53 48 2D 32 2E 30 2D", "an SSH server"),
        ("41 4D 51 50 00 00 09 01", "an AMQP server"),
        ("32 32 30 20 68 69 0D 0A", "a mail or FTP server"),
        ("15 03 01 00 02 02 46", "speaks TLS; set `mqtt.tls`"),
        ("20 03 00 84 00", "MQTT 5 (reason code 0x84)"),
    ];
    for (bytes, words) in strangers {
        for step in [1, 100] {
            let mut rig = Rig::new(clean());
            rig.open();
            for part in hex(bytes).chunks(step) {
                if rig.closes() == 0 {
                    rig.send(part);
                }
            }
            let (reason, wait) = rig.ended();
            assert!(reason.to_string().contains(words), "{reason}");
            assert!(wait.unwrap() >= seconds(5.0), "{reason}");
        }
    }
}

/// Nobody else can have an identifier that was made by chance.
#[test]
fn an_identifier_made_by_chance_is_not_blamed() {
    let mut rig = Rig::with(Options {
        is_client_id_generated: true,
        ..clean()
    });
    for _ in 0..5 {
        rig.advance(seconds(1.0));
        rig.cut();
        let words = rig.ended().0.to_string();
        assert!(!words.contains("client id"), "{words}");
        rig.reconnect();
        rig.accept();
    }
}
