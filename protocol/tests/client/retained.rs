//! Retained messages: who gets them, and how often.
//!
//! A broker repeats retained messages to a client whenever any of its filters is subscribed, and
//! nothing in them says for whom of its listeners they are.

use mcpmqtt_protocol::QoS::AtMostOnce;
use mcpmqtt_protocol::client::Ticket;

use crate::rig::packets::*;
use crate::rig::{Rig, resuming};

/// A client with a listener on `a/#` that wants retained messages and has got `a/b=1`.
fn with_one_retained() -> (Rig, Ticket) {
    let mut rig = Rig::up();
    let listener = rig.listen_retained("a/#", AtMostOnce);
    rig.expect(subscribe(1, &[("a/#", AtMostOnce)]));
    rig.send([suback(1, &[0]), retained(publish0("a/b", "1"))].concat());
    assert_eq!(rig.heard(listener), ["a/b=1*"]);
    (rig, listener)
}

/// [MQTT-3.3.1-8] A listener that wants them gets each once, marked as retained.
#[test]
fn a_listener_gets_each_retained_topic_once() {
    let (mut rig, first) = with_one_retained();
    // Another subscribes to an overlapping filter: the broker sends it all again.
    let second = rig.listen_retained("a/b", AtMostOnce);
    rig.expect(subscribe(2, &[("a/b", AtMostOnce)]));
    rig.send([suback(2, &[0]), retained(publish0("a/b", "1"))].concat());
    assert_eq!(rig.heard(second), ["a/b=1*"]);
    assert!(rig.heard(first).is_empty());
    rig.send(retained(publish0("a/c", "1")));
    assert_eq!(rig.heard(first), ["a/c=1*"], "a topic it has not seen");
}

/// [MQTT-3.8.4-3] A second listener on a live filter gets them as well: it asks the broker again.
#[test]
fn a_second_listener_on_a_live_filter_gets_them_too() {
    let (mut rig, first) = with_one_retained();
    let second = rig.listen_retained("a/#", AtMostOnce);
    rig.expect(subscribe(2, &[("a/#", AtMostOnce)]));
    rig.send([retained(publish0("a/b", "1")), suback(2, &[0])].concat());
    assert_eq!(rig.heard(second), ["a/b=1*"], "also before SUBACK");
    assert!(rig.heard(first).is_empty());
    assert_eq!(rig.granted(second), Some(AtMostOnce));
}

/// A listener that does not want them never gets one, whoever they were sent for.
#[test]
fn a_listener_that_wants_none_gets_none() {
    let mut rig = Rig::up();
    let live_only = rig.listen("a/#", AtMostOnce);
    rig.send([suback(1, &[0]), retained(publish0("a/b", "0"))].concat());
    let wanting = rig.listen_retained("a/b", AtMostOnce);
    rig.send([suback(2, &[0]), retained(publish0("a/b", "1"))].concat());
    rig.send(publish0("a/b", "2"));
    assert_eq!(rig.heard(live_only), ["a/b=2"]);
    // The first retained copy came before it was there.
    assert_eq!(rig.heard(wanting), ["a/b=1*", "a/b=2"]);
}

/// Live messages are never swallowed, equal or not.
#[test]
fn live_messages_are_all_delivered() {
    let (mut rig, listener) = with_one_retained();
    for _ in 0..2 {
        rig.send(publish0("a/b", "1"));
    }
    assert_eq!(rig.heard(listener), ["a/b=1", "a/b=1"]);
}

/// Who has seen a topic live knows its state; the retained copy of it that another's subscription
/// brings is no news.
#[test]
fn a_topic_seen_live_is_not_repeated_as_retained() {
    let (mut rig, listener) = with_one_retained();
    rig.send(publish0("a/c", "2"));
    rig.send(
        [
            retained(publish0("a/c", "2")),
            retained(publish0("a/c", "1")),
        ]
        .concat(),
    );
    assert_eq!(rig.heard(listener), ["a/c=2"]);
}

/// A live message that passes while the listener's own question is still open does not stand for the
/// retained one, which may be another.
#[test]
fn a_live_message_before_the_grant_does_not_hide_the_retained_one() {
    let mut rig = Rig::up();
    rig.listen("a", AtMostOnce);
    rig.send(suback(1, &[0]));
    let late = rig.listen_retained("a", AtMostOnce);
    rig.send(publish0("a", "passing"));
    rig.send([retained(publish0("a", "state")), suback(2, &[0])].concat());
    assert_eq!(rig.heard(late), ["a=passing", "a=state*"]);
    rig.send(retained(publish0("a", "state")));
    assert!(rig.heard(late).is_empty());
    // When it is the same, it is known.
    let later = rig.listen_retained("a", AtMostOnce);
    rig.send([publish0("a", "state"), retained(publish0("a", "state"))].concat());
    assert_eq!(rig.heard(later), ["a=state"]);
}

/// After a reconnect the broker sends everything again: only what changed is news.
#[test]
fn after_a_reconnect_only_changed_ones_come_again() {
    let mut rig = Rig::with(resuming());
    let listener = rig.listen_retained("a/#", AtMostOnce);
    rig.send(suback(1, &[0]));
    for topic in ["a/same", "a/changed"] {
        rig.send(retained(publish0(topic, "1")));
    }
    rig.send([publish0("a/live", "1"), publish0("a/live", "2")].concat());
    assert_eq!(rig.heard(listener).len(), 4);
    rig.cut_and_reconnect();
    rig.accept();
    rig.expect(subscribe(2, &[("a/#", AtMostOnce)]));
    rig.send(suback(2, &[0]));
    for (topic, payload) in [
        ("a/same", "1"),
        ("a/changed", "2"),
        ("a/live", "2"),
        ("a/new", "1"),
    ] {
        rig.send(retained(publish0(topic, payload)));
    }
    assert_eq!(rig.heard(listener), ["a/changed=2*", "a/new=1*"]);
}

/// What a listener remembers is bounded; beyond the bound retained messages are rather repeated than
/// lost.
#[test]
fn what_is_remembered_is_bounded_and_nothing_is_lost_beyond_it() {
    let (mut rig, listener) = with_one_retained();
    let many: Vec<u8> = (0..5000)
        .flat_map(|n| retained(publish0(&format!("a/{n}"), "1")))
        .collect();
    rig.send(&many);
    assert_eq!(rig.heard(listener).len(), 5000);
    rig.send(&many);
    let again = rig.heard(listener).len();
    assert!(again > 800 && again < 1000, "{again}");
}
