//! Detects a dead connection: pings, their deadline, and stalled writes.

use std::time::{Duration, Instant};

use crate::limits::WRITE_STALL_TIMEOUT;

/// The times of one connection. A ping is due when *either* direction was silent for three quarters of the keep alive,
/// so that a client that only publishes at QoS 0 detects a dead link as well.
#[derive(Debug)]
pub(super) struct KeepAlive {
    interval: Option<Duration>,
    last_sent: Instant,
    last_received: Instant,
    /// The stream position where a ping ends that the socket has not taken yet.
    ping_queued: Option<u64>,
    /// Since when the oldest written ping waits for its response.
    ping_written: Option<Instant>,
    stalled_since: Option<Instant>,
}

/// The result of [`KeepAlive::due`].
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Due {
    Nothing,
    Ping,
    /// The broker did not respond in time.
    Dead,
    /// The socket takes no bytes.
    Stalled,
}

impl KeepAlive {
    pub(super) fn new(seconds: u16, now: Instant) -> Self {
        Self {
            interval: (seconds > 0).then(|| Duration::from_secs(seconds.into())),
            last_sent: now,
            last_received: now,
            ping_queued: None,
            ping_written: None,
            stalled_since: None,
        }
    }

    pub(super) fn received(&mut self, now: Instant) {
        self.last_received = now;
    }

    /// Records that the socket took the stream up to `written`; `more` says whether more bytes wait.
    pub(super) fn sent(&mut self, now: Instant, written: u64, more: bool) {
        self.last_sent = now;
        self.stalled_since = more.then_some(now);
        if self.ping_queued.is_some_and(|end| end <= written) {
            self.ping_queued = None;
            self.ping_written.get_or_insert(now);
        }
    }

    /// Records that bytes wait for the socket.
    pub(super) fn waiting_to_send(&mut self, now: Instant) {
        self.stalled_since.get_or_insert(now);
    }

    /// Records that nothing waits for the socket any more, although nothing was taken.
    pub(super) fn nothing_waits(&mut self) {
        self.stalled_since = None;
    }

    /// Records that a ping was encoded; it ends at `end` in the stream.
    pub(super) fn pinged(&mut self, end: u64) {
        self.ping_queued = Some(end);
    }

    pub(super) fn pong(&mut self) {
        self.ping_written = None;
    }

    /// The action that is due at `now`.
    pub(super) fn due(&self, now: Instant) -> Due {
        let over = |deadline: Option<Instant>| deadline.is_some_and(|at| now >= at);
        if over(self.stall_deadline()) {
            Due::Stalled
        } else if over(self.reply_deadline()) {
            Due::Dead
        } else if over(self.ping_at()) {
            Due::Ping
        } else {
            Due::Nothing
        }
    }

    /// The time of the next check.
    pub(super) fn next(&self) -> Option<Instant> {
        let times = [self.ping_at(), self.reply_deadline(), self.stall_deadline()];
        times.into_iter().flatten().min()
    }

    /// [MQTT-3.1.2-23]: this client's silence never exceeds the keep alive, also while a response is late because the
    /// broker sends much data first.
    fn ping_at(&self) -> Option<Instant> {
        let interval = self.interval?;
        if self.ping_queued.is_some() {
            return None;
        }
        let quiet_since = match self.ping_written {
            Some(_) => self.last_sent,
            None => self.last_sent.min(self.last_received),
        };
        Some(quiet_since + interval * 3 / 4)
    }

    /// Counted from when the ping was written: while the ping waits behind a long message, the write-stall timeout
    /// detects a dead link. Any inbound byte shows that the broker is alive and moves the deadline, up to a limit: the
    /// ping itself must be answered too. The limit is long, because a response may wait behind everything in the
    /// broker's buffers on a slow link, and a broker that receives nothing ends the connection itself after one and a
    /// half keep alives ([MQTT-3.1.2-24]).
    fn reply_deadline(&self) -> Option<Instant> {
        let (interval, pinged) = (self.interval?, self.ping_written?);
        let life = self.last_received.max(pinged) + interval / 2;
        Some(life.min(pinged + interval * ANSWER_INTERVALS))
    }

    /// As long as a ping would have waited to be sent: a link that takes no bytes is detected as soon as one that takes
    /// all of them.
    fn stall_deadline(&self) -> Option<Instant> {
        let limit = match self.interval {
            Some(interval) => (interval * 3 / 4).min(WRITE_STALL_TIMEOUT),
            None => WRITE_STALL_TIMEOUT,
        };
        Some(self.stalled_since? + limit)
    }
}

/// The number of keep alives within which a ping must be answered, whatever else arrives.
const ANSWER_INTERVALS: u32 = 5;

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
            keep.sent(now, 10, false);
            assert_eq!(keep.due(now), Due::Nothing, "{tenth}");
        }
        let ping = start + seconds(3.0);
        assert_eq!(keep.due(ping), Due::Ping);
        keep.pinged(12);
        keep.sent(ping, 12, false);
        keep.sent(ping + seconds(1.9), 20, false);
        assert_eq!(keep.due(ping + seconds(1.9)), Due::Nothing);
        assert_eq!(keep.due(ping + seconds(2.0)), Due::Dead);
        assert!(ping + seconds(2.0) <= start + seconds(6.0));
    }

    #[test]
    fn bytes_show_life_but_the_ping_must_be_answered_too() {
        let start = Instant::now();
        let mut keep = KeepAlive::new(4, start);
        keep.pinged(2);
        keep.sent(start, 2, false);
        for second in 1..20 {
            let now = start + seconds(f64::from(second));
            keep.received(now);
            keep.sent(now, 2, false);
            assert_eq!(keep.due(now + seconds(0.5)), Due::Nothing);
        }
        assert_eq!(keep.due(start + seconds(20.0)), Due::Dead);
    }

    #[test]
    fn a_ping_behind_other_bytes_is_not_late_and_not_repeated() {
        let start = Instant::now();
        let mut keep = KeepAlive::new(4, start);
        keep.pinged(1000);
        for second in 1..50 {
            let now = start + seconds(f64::from(second));
            keep.sent(now, 10, true);
            assert_eq!(keep.due(now + seconds(0.9)), Due::Nothing);
        }
    }

    #[test]
    fn without_a_keep_alive_only_a_stalled_write_ends_the_connection() {
        let start = Instant::now();
        let mut keep = KeepAlive::new(0, start);
        assert_eq!(keep.next(), None);
        keep.waiting_to_send(start);
        assert_eq!(keep.next(), Some(start + WRITE_STALL_TIMEOUT));
        keep.sent(start + seconds(5.0), 1, true);
        assert_eq!(keep.due(start + WRITE_STALL_TIMEOUT), Due::Nothing);
        assert_eq!(
            keep.due(start + WRITE_STALL_TIMEOUT + seconds(5.0)),
            Due::Stalled
        );
        keep.sent(start + seconds(6.0), 2, false);
        assert_eq!(keep.next(), None);
    }
}
