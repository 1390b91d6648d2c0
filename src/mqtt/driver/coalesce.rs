//! Decides when to read the socket while many packets arrive.
//!
//! A wake-up for each packet costs more system time than handling the packet. So while packets stream in, a short pause
//! after each read lets several gather, and the next read takes all of them.
//!
//! Promises: a single exchange is never delayed. There is no pause unless many acknowledgements are outstanding, or
//! messages keep arriving that followed no publish of this client.

use std::future::Future as _;
use std::pin::Pin;
use std::task::Context;
use std::time::{Duration, Instant};

use async_io::Timer;

pub(super) struct ReadCoalescer {
    last_reading: Option<Instant>,
    /// The number of consecutive reads in a stream.
    streak: u32,
    /// The messages and outcomes since the last read.
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

    /// Whether the read has to wait for the end of the pause, which wakes the task.
    pub(super) fn holds(&mut self, cx: &mut Context<'_>) -> bool {
        if self.is_pausing && Pin::new(&mut self.pause).poll(cx).is_ready() {
            self.is_pausing = false;
        }
        self.is_pausing
    }

    /// Records a message or an outcome.
    pub(super) fn arrived(&mut self) {
        self.arrivals += 1;
    }

    /// Records a publish: the next message may be the reply to it.
    pub(super) fn asked(&mut self) {
        self.streak = 0;
    }

    /// Records a read; `in_flight` is the number of publishes and messages that were not fully acknowledged before the
    /// read.
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

/// The longest pause between acknowledgements: long enough to gather dozens from a fast broker.
const PAUSE: Duration = Duration::from_micros(400);

/// The pause per open exchange: a small window must not run empty meanwhile.
const SHARE: Duration = Duration::from_micros(10);

/// Reads with a shorter interval belong to one stream.
const SOON: Duration = Duration::from_micros(200);

/// The pause between messages, which wait in the socket's buffer meanwhile.
const STREAM_PAUSE: Duration = Duration::from_micros(500);

/// The number of open exchanges whose acknowledgements count as a stream.
const MANY_IN_FLIGHT: usize = 8;

/// The number of consecutive reads that make a stream.
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
