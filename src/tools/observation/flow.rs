//! The rate of the bytes that come.

use std::time::Instant;

/// Measures the bytes that come, with room for the retained messages of a new subscription.
#[derive(Debug)]
pub(super) struct Flow {
    /// Bytes a second.
    rate: f64,
    allowed: f64,
    last: Instant,
}

impl Flow {
    pub(super) fn new(bytes_per_second: usize, now: Instant) -> Flow {
        let rate = bytes_per_second as f64;
        Flow {
            rate,
            allowed: rate * BURST_SECONDS,
            last: now,
        }
    }

    /// Takes bytes; false when they are too many.
    pub(super) fn take(&mut self, now: Instant, bytes: usize) -> bool {
        let passed = now.saturating_duration_since(self.last).as_secs_f64();
        let most = self.rate * BURST_SECONDS;
        self.last = now;
        self.allowed = (self.allowed + passed * self.rate).min(most) - bytes as f64;
        if self.allowed < 0.0 {
            self.allowed = most;
            return false;
        }
        true
    }
}

/// The time over which the rate is measured.
const BURST_SECONDS: f64 = 10.0;
