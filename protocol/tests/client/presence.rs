//! The will and the birth message: others see us come and go.

use mcpmqtt_protocol::QoS::{self, AtLeastOnce, AtMostOnce, ExactlyOnce};
use mcpmqtt_protocol::client::{Options, Outcome, Reason};

use crate::rig::packets::*;
use crate::rig::{Rig, clean, message, resuming};

fn born(options: Options, qos: QoS) -> Options {
    Options {
        birth: Some(message("me", "on", qos)),
        ..options
    }
}

fn mortal(qos: QoS) -> Options {
    Options {
        will: Some(message("me", "off", qos)),
        ..clean()
    }
}

/// [MQTT-3.1.0-1] The birth message is the first after CONNACK on every connection, ahead of what
/// waited for it.
#[test]
fn the_birth_message_is_the_first_on_every_connection() {
    let mut rig = Rig::new(born(clean(), AtMostOnce));
    rig.listen("f", AtMostOnce);
    let early = rig.publish("t", "early", AtMostOnce);
    rig.open();
    rig.expect_connect();
    rig.silence();
    rig.accept();
    rig.expect(publish0("me", "on"));
    rig.expect(subscribe(1, &[("f", AtMostOnce)]));
    rig.expect(publish0("t", "early"));
    assert_eq!(rig.outcome(early), Outcome::Sent);
    rig.cut_and_reconnect();
    rig.accept();
    rig.expect(publish0("me", "on"));
    rig.expect(subscribe(2, &[("f", AtMostOnce)]));
    rig.silence();
}

#[test]
fn a_birth_message_is_acknowledged_like_any_other_and_holds_nothing_then() {
    let mut rig = Rig::with(born(clean(), AtLeastOnce));
    rig.expect(publish1(1, "me", "on"));
    assert_eq!(rig.usage().publishes, 1);
    rig.send(puback(1));
    rig.nothing_left();

    let mut rig = Rig::with(born(clean(), ExactlyOnce));
    rig.expect(publish2(1, "me", "on"));
    rig.send(pubrec(1));
    rig.expect(pubrel(1));
    rig.send(pubcomp(1));
    rig.nothing_left();
}

/// A clean session forgets the birth in flight, a kept one sends it again: never two in one breath,
/// and none is kept for the next time.
#[test]
fn a_birth_message_in_flight_when_the_connection_breaks_goes_out_once_on_the_next() {
    let mut rig = Rig::with(born(clean(), AtLeastOnce));
    rig.expect(publish1(1, "me", "on"));
    rig.cut_and_reconnect();
    rig.accept();
    let id = rig.written();
    assert_eq!(
        id[id.len() - 3..],
        *b"\x02on",
        "a new identifier, and no DUP"
    );
    assert_eq!(id[0], 0x32);
    assert_eq!(rig.usage().publishes, 1);

    let mut rig = Rig::with(born(resuming(), AtLeastOnce));
    rig.expect(publish1(1, "me", "on"));
    rig.cut_and_reconnect();
    rig.accept_back();
    rig.expect(dup(publish1(1, "me", "on")));
    rig.silence();
    rig.send(puback(1));
    rig.cut_and_reconnect();
    rig.accept_back();
    rig.expect(publish1(2, "me", "on"));
    rig.silence();
}

#[test]
fn a_birth_message_that_was_not_written_is_not_kept_beside_the_next() {
    let mut rig = Rig::new(born(clean(), AtLeastOnce));
    rig.open();
    rig.expect_connect();
    rig.room(3);
    rig.accept();
    rig.written();
    rig.cut();
    rig.ended();
    rig.room(usize::MAX);
    rig.reconnect();
    rig.accept();
    assert_eq!(rig.written().len(), publish1(1, "me", "on").len());
    assert_eq!(rig.usage().publishes, 1);
}

/// [MQTT-3.14.4-3] The broker drops the will at DISCONNECT, so it goes out ahead of it.
#[test]
fn an_orderly_end_says_what_the_will_would_have_said() {
    let mut rig = Rig::with(mortal(AtMostOnce));
    rig.silence();
    rig.disconnect();
    rig.expect(publish0("me", "off"));
    rig.expect([0xE0, 0]);
    assert_eq!(rig.ended().0, Reason::ShuttingDown);
}

/// Nobody is here any more to answer PUBREC, and a broker may hold a QoS 2 message back until PUBREL.
#[test]
fn the_farewell_goes_with_qos_1_at_most() {
    for qos in [AtLeastOnce, ExactlyOnce] {
        let mut rig = Rig::with(mortal(qos));
        rig.disconnect();
        rig.expect(publish1(1, "me", "off"));
        rig.expect([0xE0, 0]);
        rig.silence();
        rig.nothing_left();
    }
}

/// The connections that settle whose session it is are nobody's coming or going.
#[test]
fn parting_from_a_foreign_session_says_nothing() {
    let mut rig = Rig::new(Options {
        will: Some(message("me", "off", AtMostOnce)),
        ..born(resuming(), AtMostOnce)
    });
    rig.open();
    rig.written();
    rig.send(connack(true));
    rig.expect([0xE0, 0]);
    rig.silence();
}
