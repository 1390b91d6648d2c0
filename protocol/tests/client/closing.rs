//! The end: DISCONNECT, what follows it, and what everybody is told.

use mcpmqtt_protocol::QoS::{AtLeastOnce, AtMostOnce, ExactlyOnce};
use mcpmqtt_protocol::client::{ListenError, Outcome, PublishError, Reason};

use crate::rig::packets::*;
use crate::rig::{Rig, clean, message, resuming, seconds, wanting};

/// [MQTT-3.14.1-1] [MQTT-3.14.4-1] [MQTT-3.14.4-2] [MQTT-3.14.4-3] What is encoded is written, then
/// DISCONNECT, then the transport is closed, so that the broker drops the will; nothing follows.
#[test]
fn disconnect_is_the_last_packet() {
    let mut rig = Rig::up();
    rig.room(3);
    let ticket = rig.publish("t", "x", AtMostOnce);
    rig.disconnect();
    rig.send(publish1(7, "t", "x"));
    rig.room(usize::MAX);
    rig.expect(publish0("t", "x"));
    rig.expect([0xE0, 0]);
    rig.silence();
    assert_eq!(rig.outcome(ticket), Outcome::Sent);
    assert_eq!(rig.ended(), (Reason::ShuttingDown, None));
    assert_eq!(rig.closes(), 1);
    assert!(rig.client.is_closed());
    rig.advance(seconds(1000.0));
    assert!(!rig.wants_transport());
    rig.disconnect();
    rig.nothing_left();
}

/// Whoever waits is told: what was not sent will not be, what was sent and is not acknowledged is
/// unknown, listeners have heard the last.
#[test]
fn everyone_who_waits_hears_of_the_end() {
    for options in [clean(), resuming()] {
        let mut rig = Rig::with(options);
        let listener = rig.listen("f", AtMostOnce);
        let granted = rig.listen("g", AtMostOnce);
        rig.send(suback(2, &[0]));
        let written = rig.publish("t", "1", AtLeastOnce);
        let released = rig.publish("t", "2", ExactlyOnce);
        rig.send(pubrec(4));
        rig.written();
        rig.room(0);
        let encoded = rig.publish("t", &"x".repeat(70_000), ExactlyOnce);
        let queued = rig.publish("t", "4", AtLeastOnce);
        rig.disconnect();
        let down = Reason::ShuttingDown;
        assert_eq!(rig.outcome(queued), Outcome::NotSent(down.clone()));
        let refused = rig.try_publish(message("t", "x", AtMostOnce), None);
        assert_eq!(refused, Err(PublishError::NotConnected(down.clone())));
        let refused = rig.try_listen(wanting("f", AtMostOnce, false));
        assert_eq!(refused, Err(ListenError::NotConnected(down.clone())));
        rig.advance(seconds(1.0));
        assert_eq!(rig.outcome(encoded), Outcome::NotSent(down.clone()));
        for ticket in [written, released] {
            assert_eq!(rig.outcome(ticket), Outcome::Unknown(down.clone()));
        }
        for listener in [listener, granted] {
            assert_eq!(rig.refused(listener), Some(down.clone()));
        }
        assert_eq!(rig.ended(), (down, None));
        rig.nothing_left();
        assert_eq!(rig.usage().listeners, 0);
    }
}

/// A disconnect never waits for a broker that does not read.
#[test]
fn a_disconnect_that_cannot_leave_ends_after_a_second() {
    let mut rig = Rig::up();
    rig.room(0);
    rig.disconnect();
    rig.advance(seconds(0.9));
    assert!(!rig.client.is_closed());
    rig.advance(seconds(0.1));
    assert!(rig.client.is_closed());
    assert_eq!(rig.closes(), 1);
    rig.ended();
}

/// A disconnect without a connection ends at once, at every stage, and tells what waits.
#[test]
fn a_disconnect_at_any_stage_ends_at_once() {
    for stage in 0..4 {
        let mut rig = Rig::new(clean());
        let ticket = rig.publish("t", "x", AtLeastOnce);
        match stage {
            0 => {}
            1 => rig.open(),
            2 => {
                rig.refuse_transport("no");
                rig.ended();
            }
            _ => {
                rig.open();
                rig.expect_connect();
                rig.room(0);
                rig.accept();
                rig.disconnect();
                rig.cut();
            }
        }
        rig.disconnect();
        assert!(rig.client.is_closed());
        assert_eq!(rig.ended(), (Reason::ShuttingDown, None));
        let outcome = rig.outcome(ticket);
        let reason = match stage {
            // The attempt that it waited for had failed before.
            2 => Reason::Transport("no".into()),
            _ => Reason::ShuttingDown,
        };
        assert_eq!(outcome, Outcome::NotSent(reason), "{stage}");
        rig.nothing_left();
    }
}
