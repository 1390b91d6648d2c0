//! Calls that wait only so long, and calls that are given up.

use mcpmqtt_protocol::QoS::{AtLeastOnce, AtMostOnce, ExactlyOnce};
use mcpmqtt_protocol::client::{Options, Outcome, Reason};
use mcpmqtt_protocol::limits::Limits;

use crate::rig::packets::*;
use crate::rig::{Rig, clean, message, resuming, seconds};

fn timeout() -> Reason {
    Reason::Timeout(None)
}

/// What was never written when its time is over is not sent, and never will be.
#[test]
fn a_publish_that_was_not_written_in_time_is_not_sent() {
    let mut rig = Rig::new(clean());
    let ticket = rig.publish_within(seconds(2.0), "t", AtLeastOnce);
    rig.advance(seconds(1.999));
    rig.no_outcome(ticket);
    rig.advance(seconds(0.001));
    let Outcome::NotSent(reason) = rig.outcome(ticket) else {
        panic!("it was not sent");
    };
    assert!(reason.to_string().contains("not connected yet"), "{reason}");
    rig.open();
    rig.expect_connect();
    rig.accept();
    rig.silence();
    rig.nothing_left();
}

/// What was written may have arrived. Its identifier stays taken until the broker answers, and the
/// caller hears nothing more.
#[test]
fn a_publish_that_was_written_is_unknown_when_its_time_is_over() {
    for qos in [AtLeastOnce, ExactlyOnce] {
        let mut rig = Rig::up();
        let ticket = rig.publish_within(seconds(2.0), "t", qos);
        rig.advance(seconds(2.0));
        assert_eq!(rig.outcome(ticket), Outcome::Unknown(timeout()));
        assert_eq!(rig.usage().live_packet_ids, 1);
        match qos {
            ExactlyOnce => rig.send([pubrec(1), pubcomp(1)].concat()),
            _ => rig.send(puback(1)),
        }
        rig.no_outcome(ticket);
        rig.nothing_left();
    }
}

/// On its way out, partly written: it may still arrive when the socket goes on. If the connection
/// ends first, it is not sent again.
#[test]
fn a_publish_on_its_way_is_unknown_and_not_sent_again() {
    let mut rig = Rig::with(resuming());
    rig.room(3);
    let ticket = rig.publish_within(seconds(2.0), "t", AtLeastOnce);
    rig.advance(seconds(2.0));
    assert_eq!(rig.outcome(ticket), Outcome::Unknown(timeout()));
    rig.cut();
    rig.ended();
    rig.room(usize::MAX);
    rig.reconnect();
    rig.accept();
    rig.silence();
    rig.nothing_left();
}

/// The answer that comes in time takes the deadline with it.
#[test]
fn an_outcome_in_time_is_the_only_one() {
    let mut rig = Rig::up();
    let qos0 = rig.publish_within(seconds(2.0), "t", AtMostOnce);
    let qos1 = rig.publish_within(seconds(2.0), "t", AtLeastOnce);
    assert_eq!(rig.outcome(qos0), Outcome::Sent);
    rig.send(puback(1));
    assert_eq!(rig.outcome(qos1), Outcome::Delivered);
    rig.advance(seconds(3.0));
    rig.no_outcome(qos0);
    rig.no_outcome(qos1);
}

/// A time that is over already: nothing is sent, even if the driver says so only later.
#[test]
fn a_publish_whose_time_is_over_is_never_sent() {
    let mut rig = Rig::up();
    let deadline = Some(rig.now);
    let ticket = rig
        .try_publish(message("t", "x", AtLeastOnce), deadline)
        .unwrap();
    rig.silence();
    assert_eq!(rig.outcome(ticket), Outcome::NotSent(timeout()));
    // Suspended between CONNECT and CONNACK; the socket is read before the clock is looked at.
    let mut rig = Rig::new(clean());
    let ticket = rig.publish_within(seconds(1.0), "t", AtLeastOnce);
    rig.open();
    rig.expect_connect();
    rig.now += seconds(2.0);
    rig.accept();
    rig.silence();
    assert!(matches!(rig.outcome(ticket), Outcome::NotSent(_)));
}

/// Deadlines pass while there is no connection, and say why there was none.
#[test]
fn a_deadline_passes_while_we_are_backing_off() {
    let mut rig = Rig::new(clean());
    let ticket = rig.publish_within(seconds(20.0), "t", AtLeastOnce);
    while rig.elapsed() < seconds(21.0) {
        if rig.wants_transport() {
            rig.refuse_transport("no route to host");
            rig.ended();
        }
        rig.advance(seconds(0.1));
    }
    let Outcome::NotSent(reason) = rig.outcome(ticket) else {
        panic!("it was not sent");
    };
    assert!(reason.to_string().contains("no route to host"), "{reason}");
}

/// In a resumed session a call whose time is over hears of it, and the flow goes on without it.
#[test]
fn a_flow_goes_on_over_a_resumption_without_its_caller() {
    let mut rig = Rig::with(resuming());
    let ticket = rig.publish_within(seconds(5.0), "t", ExactlyOnce);
    rig.written();
    rig.send(pubrec(1));
    rig.cut_and_reconnect();
    rig.advance(seconds(5.0));
    assert!(matches!(rig.outcome(ticket), Outcome::Unknown(_)));
    rig.accept_back();
    rig.expect(pubrel(1));
    rig.send(pubcomp(1));
    rig.no_outcome(ticket);
    rig.nothing_left();
}

/// A publish that is given up is not sent, gives no outcome and leaves nothing behind; one that is
/// on its way is acknowledged as the protocol demands.
#[test]
fn a_cancelled_publish_leaves_nothing_behind() {
    let limits = Limits {
        inflight: 1,
        ..Limits::default()
    };
    let mut rig = Rig::with(Options { limits, ..clean() });
    let flying = rig.publish_within(seconds(2.0), "t", ExactlyOnce);
    let queued = rig.publish_within(seconds(2.0), "t", AtLeastOnce);
    let last = rig.publish("t", "last", AtLeastOnce);
    rig.expect(publish2(1, "t", "x"));
    rig.cancel(queued);
    rig.cancel(flying);
    rig.send(pubrec(1));
    rig.expect(pubrel(1));
    rig.send(pubcomp(1));
    rig.expect(publish1(2, "t", "last"));
    rig.advance(seconds(3.0));
    rig.no_outcome(flying);
    rig.no_outcome(queued);
    rig.send(puback(2));
    rig.outcome(last);
    rig.nothing_left();
}

/// What was not sent can be taken back, also after a lost connection has brought it back to the queue; what may have been
/// sent goes on as if nothing had been asked.
#[test]
fn only_what_was_not_sent_is_taken_back() {
    let limits = Limits {
        inflight: 1,
        ..Limits::default()
    };
    let mut rig = Rig::with(Options { limits, ..clean() });
    let flying = rig.publish_within(seconds(2.0), "t", AtLeastOnce);
    let queued = rig.publish_within(seconds(2.0), "t", AtLeastOnce);
    let last = rig.publish("t", "last", AtLeastOnce);
    rig.expect(publish1(1, "t", "x"));
    assert!(!rig.take_back(flying));
    assert!(rig.take_back(queued));
    assert!(!rig.take_back(queued));
    rig.send(puback(1));
    assert_eq!(rig.outcome(flying), Outcome::Delivered);
    assert!(!rig.take_back(flying));
    rig.expect(publish1(2, "t", "last"));
    rig.advance(seconds(3.0));
    rig.no_outcome(queued);
    rig.send(puback(2));
    rig.outcome(last);
    // The socket takes nothing: the message is encoded, and queued again when the connection is lost.
    rig.room(0);
    let cut = rig.publish("t", "cut", AtMostOnce);
    assert!(!rig.take_back(cut));
    rig.cut();
    assert!(rig.take_back(cut));
    rig.nothing_left();
}
