//! When the socket is read while much is coming.
//!
//! To be woken for each packet costs the process more system time than the packet costs all of it. So
//! while packets stream in, a short pause after each reading lets some gather; the reading after it
//! takes them all.
//!
//! It promises that nothing waits that somebody waits for alone: there is no pause unless many
//! exchanges of acknowledgements are open, or message after message comes that no publish of ours was
//! followed by.

use std::future::Future as _;
use std::pin::Pin;
use std::task::Context;
use std::time::{Duration, Instant};

use async_io::Timer;

pub(super) struct ReadCoalescer {
    last_reading: Option<Instant>,
    /// Readings in a row that were part of a stream.
    streak: u32,
    /// Messages and outcomes since the last reading.
    arrivals: u32,
    pause: Timer,
    is_pausing: bool,
}

impl ReadCoalescer {
    pub(super) fn new() -> Self {
        Self {
            last_reading: None,
            streak: 0,
            arrivals: 0,
            pause: Timer::never(),
            is_pausing: false,
        }
    }

    /// Whether the socket has to wait for the end of the pause; that end wakes the task.
    pub(super) fn holds(&mut self, cx: &mut Context<'_>) -> bool {
        if self.is_pausing && Pin::new(&mut self.pause).poll(cx).is_ready() {
            self.is_pausing = false;
        }
        self.is_pausing
    }

    /// Something came for somebody.
    pub(super) fn arrived(&mut self) {
        self.arrivals += 1;
    }

    /// Somebody published: what comes next may be the reply.
    pub(super) fn asked(&mut self) {
        self.streak = 0;
    }

    /// The socket was read; before that, so many publishes and messages were not acknowledged to the end.
    pub(super) fn has_read(&mut self, now: Instant, in_flight: usize) {
        let several = std::mem::take(&mut self.arrivals) > 1;
        let last = self.last_reading.replace(now);
        let soon = last.is_some_and(|last| now.saturating_duration_since(last) < SOON);
        self.streak = if several || soon {
            (self.streak + 1).min(2 * STREAM)
        } else {
            self.streak / 2
        };
        let pause = if in_flight >= MANY_IN_FLIGHT {
            PAUSE.min(SHARE * u32::try_from(in_flight).unwrap_or(u32::MAX))
        } else if self.streak >= STREAM {
            STREAM_PAUSE
        } else {
            return;
        };
        self.pause.set_after(pause);
        self.is_pausing = true;
    }
}

/// Between acknowledgements, at most: long enough to gather dozens of a fast broker.
const PAUSE: Duration = Duration::from_micros(400);

/// What each open exchange adds to that: a small window must not run dry meanwhile.
const SHARE: Duration = Duration::from_micros(10);

/// Readings that are closer are part of a stream.
const SOON: Duration = Duration::from_micros(200);

/// Between messages, which wait in the socket's buffer meanwhile.
const STREAM_PAUSE: Duration = Duration::from_micros(500);

/// Open exchanges whose acknowledgements count as a stream.
const MANY_IN_FLIGHT: usize = 8;

/// Readings in a row that make a stream.
const STREAM: u32 = 16;

#[cfg(test)]
mod tests {
    use super::*;

    const AT_ONCE: Duration = Duration::from_micros(20);

    #[test]
    fn request_and_reply_in_turn_never_pause() {
        let (mut pace, mut now) = (ReadCoalescer::new(), Instant::now());
        for _ in 0..100 {
            pace.asked();
            now += AT_ONCE;
            pace.has_read(now, 1);
            pace.arrived();
            assert!(!pace.is_pausing);
        }
    }

    #[test]
    fn messages_now_and_then_never_pause() {
        let (mut pace, mut now) = (ReadCoalescer::new(), Instant::now());
        for _ in 0..100 {
            now += SOON;
            pace.has_read(now, 0);
            pace.arrived();
            assert!(!pace.is_pausing);
        }
    }

    #[test]
    fn a_stream_of_messages_is_gathered_until_it_thins_out() {
        let (mut pace, mut now) = (ReadCoalescer::new(), Instant::now());
        for _ in 0..20 {
            now += AT_ONCE;
            pace.has_read(now, 0);
            pace.arrived();
        }
        assert!(pace.is_pausing);
        for _ in 0..3 {
            pace.is_pausing = false;
            now += SOON;
            pace.arrived();
            pace.arrived();
            pace.has_read(now, 0);
            assert!(pace.is_pausing, "several came in the pause");
        }
        pace.is_pausing = false;
        now += SOON;
        pace.arrived();
        pace.has_read(now, 0);
        assert!(!pace.is_pausing, "one came in the pause");
    }

    #[test]
    fn acknowledgements_of_many_publishes_are_gathered() {
        let mut pace = ReadCoalescer::new();
        pace.asked();
        pace.has_read(Instant::now(), MANY_IN_FLIGHT);
        assert!(pace.is_pausing);
    }
}
