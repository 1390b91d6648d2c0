//! Is the other side still there: pings, their deadline, and writes that stall.

use std::time::{Duration, Instant};

use crate::limits::WRITE_STALL_TIMEOUT;

/// Times of one connection. A ping is due when *either* direction was silent for three quarters of
/// the keep alive, so that a client that only publishes QoS 0 notices a dead link as well.
#[derive(Debug)]
pub(super) struct KeepAlive {
    interval: Option<Duration>,
    last_sent: Instant,
    last_received: Instant,
    ping_sent: Option<Instant>,
    stalled_since: Option<Instant>,
}

/// What [`KeepAlive::due`] asks for.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Due {
    Nothing,
    Ping,
    /// The broker did not answer in time.
    Dead,
    /// The socket takes nothing.
    Stalled,
}

impl KeepAlive {
    pub(super) fn new(seconds: u16, now: Instant) -> Self {
        Self {
            interval: (seconds > 0).then(|| Duration::from_secs(seconds.into())),
            last_sent: now,
            last_received: now,
            ping_sent: None,
            stalled_since: None,
        }
    }

    pub(super) fn received(&mut self, now: Instant) {
        self.last_received = now;
    }

    /// The socket took bytes; `more` is whether some are still waiting.
    pub(super) fn sent(&mut self, now: Instant, more: bool) {
        self.last_sent = now;
        self.stalled_since = more.then_some(now);
    }

    /// Bytes are waiting for the socket.
    pub(super) fn waiting_to_send(&mut self, now: Instant) {
        self.stalled_since.get_or_insert(now);
    }

    pub(super) fn pinged(&mut self, now: Instant) {
        self.ping_sent = Some(now);
    }

    pub(super) fn pong(&mut self) {
        self.ping_sent = None;
    }

    /// What is due at `now`.
    pub(super) fn due(&self, now: Instant) -> Due {
        if self.stall_deadline().is_some_and(|at| now >= at) {
            return Due::Stalled;
        }
        match (self.reply_deadline(), self.ping_at()) {
            (Some(at), _) if now >= at => Due::Dead,
            (None, Some(at)) if now >= at => Due::Ping,
            _ => Due::Nothing,
        }
    }

    /// When to ask again.
    pub(super) fn next(&self) -> Option<Instant> {
        let ping = self.reply_deadline().or_else(|| self.ping_at());
        [ping, self.stall_deadline()].into_iter().flatten().min()
    }

    /// [MQTT-3.1.2-23]: no longer silence from us than the keep alive.
    fn ping_at(&self) -> Option<Instant> {
        let interval = self.interval?;
        Some(self.last_sent.min(self.last_received) + interval * 3 / 4)
    }

    /// Any inbound byte shows life and moves the deadline, up to a point: the ping itself must be
    /// answered too.
    fn reply_deadline(&self) -> Option<Instant> {
        let (interval, pinged) = (self.interval?, self.ping_sent?);
        let life = self.last_received.max(pinged) + interval / 2;
        Some(life.min(pinged + interval * 2))
    }

    fn stall_deadline(&self) -> Option<Instant> {
        let limit = match self.interval {
            Some(interval) => (interval * 5 / 4).min(WRITE_STALL_TIMEOUT),
            None => WRITE_STALL_TIMEOUT,
        };
        Some(self.stalled_since? + limit)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn seconds(n: f64) -> Duration {
        Duration::from_secs_f64(n)
    }

    #[test]
    fn a_link_that_only_sends_is_pinged_and_found_dead_within_one_and_a_half_keep_alives() {
        let start = Instant::now();
        let mut keep = KeepAlive::new(4, start);
        for tenth in 1..30 {
            let now = start + seconds(f64::from(tenth) / 10.0);
            keep.sent(now, false);
            assert_eq!(keep.due(now), Due::Nothing, "{tenth}");
        }
        let ping = start + seconds(3.0);
        assert_eq!(keep.due(ping), Due::Ping);
        keep.pinged(ping);
        keep.sent(ping + seconds(1.9), false);
        assert_eq!(keep.due(ping + seconds(1.9)), Due::Nothing);
        assert_eq!(keep.due(ping + seconds(2.0)), Due::Dead);
        assert!(ping + seconds(2.0) <= start + seconds(6.0));
    }

    #[test]
    fn bytes_show_life_but_the_ping_must_be_answered_too() {
        let start = Instant::now();
        let mut keep = KeepAlive::new(4, start);
        keep.pinged(start);
        for second in 1..8 {
            keep.received(start + seconds(f64::from(second)));
            assert_eq!(
                keep.due(start + seconds(f64::from(second) + 0.5)),
                Due::Nothing
            );
        }
        assert_eq!(keep.due(start + seconds(8.0)), Due::Dead);
    }

    #[test]
    fn without_a_keep_alive_only_a_stalled_write_ends_the_connection() {
        let start = Instant::now();
        let mut keep = KeepAlive::new(0, start);
        assert_eq!(keep.next(), None);
        keep.waiting_to_send(start);
        assert_eq!(keep.next(), Some(start + WRITE_STALL_TIMEOUT));
        keep.sent(start + seconds(5.0), true);
        assert_eq!(keep.due(start + WRITE_STALL_TIMEOUT), Due::Nothing);
        assert_eq!(
            keep.due(start + WRITE_STALL_TIMEOUT + seconds(5.0)),
            Due::Stalled
        );
        keep.sent(start + seconds(6.0), false);
        assert_eq!(keep.next(), None);
    }
}
