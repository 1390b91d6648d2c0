//! How long things take, by classes.

use std::cell::Cell;
use std::time::Duration;

/// Times, each counted in the class that it falls in.
#[derive(Debug, Default)]
pub struct Histogram {
    classes: [Cell<u64>; BOUNDS.len() + 1],
    seconds: Cell<f64>,
}

impl Histogram {
    /// Counts `time` in the first class whose bound is not below it.
    pub fn observe(&self, time: Duration) {
        let seconds = time.as_secs_f64();
        let class = BOUNDS.iter().position(|bound| seconds <= *bound);
        if let Some(count) = self.classes.get(class.unwrap_or(BOUNDS.len())) {
            count.set(count.get() + 1);
        }
        self.seconds.set(self.seconds.get() + seconds);
    }

    /// The bound of each class but the last, with how many were no longer than it.
    pub(super) fn cumulative(&self) -> impl Iterator<Item = (f64, u64)> {
        let mut sum = 0;
        BOUNDS.iter().zip(&self.classes).map(move |(bound, count)| {
            sum += count.get();
            (*bound, sum)
        })
    }

    pub(super) fn count(&self) -> u64 {
        self.classes.iter().map(Cell::get).sum()
    }

    pub(super) fn sum(&self) -> f64 {
        self.seconds.get()
    }
}

/// Seconds. A publish takes fractions of a millisecond, and a subscription up to five minutes.
const BOUNDS: [f64; 16] = [
    0.000_25, 0.000_5, 0.001, 0.002_5, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 1.0, 5.0, 10.0, 30.0,
    60.0, 300.0,
];
