//! Pings, dead links, and writes that stall.

use mcpmqtt_protocol::QoS::{AtLeastOnce, AtMostOnce};
use mcpmqtt_protocol::client::{Options, Outcome, Reason};
use mcpmqtt_protocol::limits::Limits;

use crate::rig::packets::*;
use crate::rig::{Rig, clean, seconds};

fn keep_alive(seconds: u16) -> Options {
    Options {
        keep_alive: seconds,
        ..clean()
    }
}

/// [MQTT-3.1.2-23] [MQTT-3.12.4-1] [MQTT-3.1.2-24] The silence between two packets of ours is never
/// longer than the keep alive, down to one second, so that no broker has reason to end the
/// connection; an answered ping keeps the link.
#[test]
fn a_silent_link_is_pinged_within_the_keep_alive() {
    for k in [1, 2, 60, 65_535] {
        let mut rig = Rig::with(keep_alive(k));
        let moment = seconds(0.001);
        for _ in 0..20 {
            rig.advance(seconds(f64::from(k) * 0.75) - moment);
            rig.silence();
            rig.advance(moment);
            rig.expect(PINGREQ);
            rig.send(PINGRESP);
        }
        rig.still_connected();
    }
}

/// [MQTT-3.1.2-23] A keep alive of 0 turns pings off.
#[test]
fn without_a_keep_alive_nothing_is_pinged() {
    let mut rig = Rig::with(keep_alive(0));
    rig.advance(seconds(1_000_000.0));
    rig.silence();
    rig.still_connected();
}

/// Traffic in both directions needs no pings.
#[test]
fn traffic_both_ways_postpones_the_ping() {
    let mut rig = Rig::with(keep_alive(4));
    for id in 1..=50 {
        rig.publish("t", "x", AtLeastOnce);
        rig.expect(publish1(id, "t", "x"));
        rig.send(puback(id));
        rig.advance(seconds(2.9));
        rig.silence();
    }
}

/// Pitfall 11: a broker that vanished is found within one and a half keep alives, also when we only
/// publish QoS 0 and every write succeeds.
#[test]
fn a_dead_link_is_found_while_only_qos_0_is_published() {
    let mut rig = Rig::with(keep_alive(4));
    let gone = rig.elapsed();
    while rig.client.is_connected() {
        rig.publish("t", "x", AtMostOnce);
        rig.advance(seconds(0.1));
        assert!(rig.elapsed() - gone <= seconds(6.0));
    }
    assert_eq!(rig.ended().0, Reason::KeepAlive);
}

/// Pitfall 11: the same when we are silent.
#[test]
fn a_dead_link_is_found_while_nothing_is_said() {
    let mut rig = Rig::with(keep_alive(4));
    rig.advance(seconds(3.0));
    rig.expect(PINGREQ);
    rig.advance(seconds(1.9));
    rig.still_connected();
    rig.advance(seconds(0.1));
    assert_eq!(rig.ended().0, Reason::KeepAlive);
}

/// Pitfall 11: and when the network takes only what its buffers hold: whenever it stalls, the end is
/// known within one and a half keep alives of the last sign of life.
#[test]
fn a_stalled_link_is_found_in_time_however_much_it_still_took() {
    for tenths in 0..40 {
        let mut rig = Rig::with(keep_alive(4));
        let gone = rig.elapsed();
        for tenth in 0..60 {
            if tenth == tenths {
                rig.room(0);
            }
            if rig.client.is_connected() {
                rig.publish("t", "x", AtMostOnce);
            }
            rig.advance(seconds(0.1));
        }
        assert!(!rig.client.is_connected(), "stalled after {tenths} tenths");
        assert!(rig.elapsed() - gone <= seconds(6.001));
    }
}

/// A broker that does not read is found by the stall of our writes, without a keep alive too.
#[test]
fn a_write_that_stalls_ends_the_connection() {
    let mut rig = Rig::with(keep_alive(0));
    rig.room(3);
    let ticket = rig.publish("t", "x", AtMostOnce);
    rig.advance(seconds(29.9));
    rig.room(1);
    rig.advance(seconds(29.9));
    rig.still_connected();
    rig.advance(seconds(0.1));
    assert_eq!(rig.ended().0, Reason::WriteStalled);
    rig.no_outcome(ticket);
    rig.room(usize::MAX);
    rig.reconnect();
    rig.accept();
    rig.expect(publish0("t", "x"));
    assert_eq!(rig.outcome(ticket), Outcome::Sent);
}

/// A ping that nobody sent is answered by nobody.
#[test]
fn an_unsolicited_pingresp_is_ignored() {
    let mut rig = Rig::up();
    rig.send(PINGRESP);
    rig.silence();
    rig.still_connected();
}

/// Pitfall 12: a message that takes minutes to upload is progress, although the ping stands behind
/// it and the broker, which has nothing to say, is silent.
#[test]
fn a_long_upload_is_not_mistaken_for_a_dead_link() {
    let limits = Limits {
        publish_queue_bytes: 1 << 24,
        ..Limits::default()
    };
    let mut rig = Rig::with(Options {
        limits,
        ..keep_alive(4)
    });
    rig.room(0);
    let payload = "x".repeat(3_000_000);
    let ticket = rig.publish("t", &payload, AtLeastOnce);
    for _ in 0..30 {
        rig.room(100_000);
        rig.advance(seconds(1.0));
    }
    rig.still_connected();
    rig.room(1000);
    let written = rig.written();
    let whole = publish1(1, "t", &payload);
    assert!(written[..whole.len()] == whole);
    assert_eq!(written[whole.len()..], PINGREQ, "one ping waited behind it");
    rig.send([puback(1), PINGRESP.to_vec()].concat());
    assert_eq!(rig.outcome(ticket), Outcome::Delivered);
    rig.still_connected();
}

/// Pitfall 12: a long download is life as well; but the broker must hear from us meanwhile
/// [MQTT-3.1.2-23], though its answer to our ping stands behind what it sends.
#[test]
fn while_a_flood_delays_the_answer_pings_still_go_out() {
    let mut rig = Rig::with(keep_alive(4));
    let mut silent = 0;
    for _ in 0..70 {
        rig.send(publish0("flood", "x"));
        rig.advance(seconds(0.1));
        silent = if rig.written().is_empty() {
            silent + 1
        } else {
            0
        };
        assert!(silent < 40, "silent for the whole keep alive");
    }
    rig.still_connected();
    rig.send(PINGRESP);
    rig.advance(seconds(3.0));
    rig.still_connected();
}

/// A broker that sends and never answers a ping is broken: it does not hear us.
#[test]
fn a_ping_must_be_answered_in_the_end_whatever_else_comes() {
    let mut rig = Rig::with(keep_alive(4));
    let started = rig.elapsed();
    while rig.client.is_connected() {
        rig.send(publish0("flood", "x"));
        rig.advance(seconds(0.1));
        assert!(rig.elapsed() - started < seconds(25.0));
    }
    assert_eq!(rig.ended().0, Reason::KeepAlive);
}
