//! Listeners that observe, and pings that a call waits for.

use mcpmqtt_protocol::QoS::{AtLeastOnce, AtMostOnce};
use mcpmqtt_protocol::client::{Options, Reason};

use crate::rig::packets::*;
use crate::rig::{Rig, clean, seconds};

/// An observer is told of everything that comes, retained messages as often as they come: it keeps no memory of topics.
#[test]
fn an_observer_gets_every_message_as_the_broker_sends_it() {
    let mut rig = Rig::up();
    let observer = rig.observe("a/#");
    rig.expect(subscribe(1, &[("a/#", AtMostOnce)]));
    rig.send([suback(1, &[0]), retained(publish0("a/b", "1"))].concat());
    assert_eq!(rig.granted(observer), Some(AtMostOnce));
    rig.send(retained(publish0("a/b", "1")));
    rig.send(publish0("a/b", "1"));
    rig.send(publish0("c", "1"));
    assert_eq!(rig.observed(observer), ["a/b=1*", "a/b=1*", "a/b=1"]);
    rig.leave(observer);
    rig.expect(unsubscribe(2, "a/#"));
}

/// MQTT 3.1.1 §3.3.5: a broker may send a message once for each filter that matches. Two listeners of one filter are one
/// subscription.
#[test]
fn a_message_that_two_subscriptions_match_may_be_a_copy() {
    let mut rig = Rig::up();
    let observer = rig.observe("a/#");
    let twin = rig.listen("a/#", AtMostOnce);
    rig.send(suback(1, &[0]));
    rig.send(publish0("a/b", "1"));
    assert_eq!(rig.observed(observer), ["a/b=1"]);
    let other = rig.listen("a/+", AtMostOnce);
    rig.send(suback(2, &[0]));
    rig.send([publish0("a/b", "2"), publish0("a/b", "2")].concat());
    rig.send(publish0("a/b/c", "3"));
    assert_eq!(rig.observed(observer), ["a/b=2", "a/b=2?", "a/b/c=3"]);
    assert_eq!(rig.heard(twin).len(), 4);
    // A broker that sends each message once shows that by different messages, and copies need not be neighbours.
    rig.send([publish0("a/b", "4"), publish0("a/b", "5")].concat());
    rig.send(
        [
            publish0("a/c", "6"),
            publish0("a/d", "7"),
            publish0("a/c", "6"),
        ]
        .concat(),
    );
    let seen = ["a/b=4", "a/b=5", "a/c=6", "a/d=7", "a/c=6?"];
    assert_eq!(rig.observed(observer), seen);
    rig.leave(other);
    rig.send(unsuback(3));
    rig.send(publish0("a/b", "4"));
    assert_eq!(rig.observed(observer), ["a/b=4"]);
}

/// A broker that ends the connection for a filter that is only observed is asked once; for a call it is asked twice.
#[test]
fn an_observed_filter_ends_one_connection_at_most() {
    for (depends, ends) in [(false, 1), (true, 2)] {
        let mut rig = Rig::up();
        let observer = rig.observe("#");
        if depends {
            rig.listen("#", AtMostOnce);
        }
        for end in 1..=ends {
            assert_eq!(rig.refused(observer), None, "{end} of {ends}");
            rig.cut();
            rig.take_ends();
            if end < ends {
                rig.reconnect();
                rig.accept();
            }
        }
        assert_eq!(rig.refused(observer), Some(Reason::FilterCutsConnection));
        rig.reconnect();
        rig.accept();
        rig.silence();
    }
}

/// The same where this client has to end the connection, for what the broker sends for the filter.
#[test]
fn an_observed_filter_that_brings_what_is_malformed_is_given_up_at_once() {
    for (depends, ends) in [(false, 1), (true, 2)] {
        let mut rig = Rig::up();
        let observer = rig.observe("#");
        if depends {
            rig.listen("#", AtMostOnce);
        }
        for end in 1..=ends {
            assert_eq!(rig.refused(observer), None, "{end} of {ends}");
            // A SUBACK with a reserved return code [MQTT-3.9.3-2].
            let id = if end == 1 { 1 } else { 2 };
            rig.send(suback(id, &[0x8f]));
            rig.take_ends();
            rig.reconnect();
            rig.accept();
        }
        assert!(rig.refused(observer).is_some(), "{ends}");
        rig.silence();
    }
}

/// A filter that was granted is not given up when a connection ends later.
#[test]
fn an_observer_goes_on_after_a_reconnect() {
    let mut rig = Rig::up();
    let observer = rig.observe("a");
    rig.expect(subscribe(1, &[("a", AtMostOnce)]));
    rig.send(suback(1, &[0]));
    for _ in 0..3 {
        rig.cut();
        rig.reconnect();
        rig.accept();
        assert!(shown(&rig.written()).contains("Subscribe"));
    }
    rig.send(suback(4, &[0]));
    assert_eq!(rig.refused(observer), None);
    rig.send(publish0("a", "1"));
    assert_eq!(rig.observed(observer), ["a=1"]);
}

/// PINGRESP names no ping: the answers come in the order of the pings, those of the keep alive among them.
#[test]
fn each_ping_is_answered_in_its_order() {
    let mut rig = Rig::with(Options {
        keep_alive: 4,
        ..clean()
    });
    rig.advance(seconds(3.0));
    rig.expect(PINGREQ);
    let (first, second) = (rig.ping().unwrap(), rig.ping().unwrap());
    rig.expect(PINGREQ);
    rig.expect(PINGREQ);
    rig.send(PINGRESP);
    assert!(!rig.ponged(first), "this was the answer to the keep alive");
    rig.send(PINGRESP);
    assert!(rig.ponged(first) && !rig.ponged(second));
    rig.send(PINGRESP);
    assert!(rig.ponged(second));
    // One too many harms nothing.
    rig.send(PINGRESP);
    let third = rig.ping().unwrap();
    rig.send(PINGRESP);
    assert!(rig.ponged(third));
}

/// An answer on the next connection is none to a ping of the one before.
#[test]
fn a_ping_ends_with_its_connection() {
    let mut rig = Rig::up();
    let ping = rig.ping().unwrap();
    rig.expect(PINGREQ);
    rig.cut();
    assert!(rig.ping().is_err(), "there is no connection");
    rig.reconnect();
    rig.accept();
    rig.send(PINGRESP);
    assert!(!rig.ponged(ping));
    rig.publish("t", "x", AtLeastOnce);
    rig.still_connected();
}
