//! The wait before the next connection attempt: full jitter under a doubling bound.

use std::time::Duration;

use super::options::BackoffOptions;

/// Counts failures and draws waits. The random numbers come from a seed, so that a run can be replayed.
#[derive(Debug)]
pub(super) struct Backoff {
    options: BackoffOptions,
    failures: u32,
    random: u64,
}

impl Backoff {
    pub(super) fn new(options: BackoffOptions, seed: u64) -> Self {
        Self {
            options,
            failures: 0,
            random: seed,
        }
    }

    /// The attempts that failed since the last stable connection.
    pub(super) fn failures(&self) -> u32 {
        self.failures
    }

    /// The wait after a connection that lived for `lived` (zero when none was made).
    ///
    /// A connection lost shortly after CONNACK counts as a failure: otherwise two clients that take over one identifier
    /// from each other would reconnect as fast as the network allows.
    pub(super) fn after_failure(&mut self, lived: Duration) -> Duration {
        let bound = if lived >= self.options.stable {
            self.failures = 0;
            self.options.initial
        } else {
            let bound = self.bound(self.options.initial, self.options.max);
            self.failures = self.failures.saturating_add(1);
            bound
        };
        self.jitter(Duration::ZERO, bound)
    }

    /// The wait after the broker refused this client's identity: an earlier attempt cannot help.
    pub(super) fn after_refusal(&mut self) -> Duration {
        let bound = self.bound(self.options.refused_initial, self.options.refused_max);
        self.failures = self.failures.saturating_add(1);
        self.jitter(self.options.refused_initial, bound)
    }

    fn bound(&self, initial: Duration, max: Duration) -> Duration {
        let doublings = self.failures.min(16);
        initial.saturating_mul(1 << doublings).min(max)
    }

    fn jitter(&mut self, from: Duration, to: Duration) -> Duration {
        let span = to.saturating_sub(from);
        let micros = u64::try_from(span.as_micros()).unwrap_or(u64::MAX);
        let drawn = if micros == 0 {
            0
        } else {
            self.next_random() % (micros + 1)
        };
        from.min(to) + Duration::from_micros(drawn)
    }

    /// SplitMix64: a full-period generator of one word, enough to spread reconnects.
    fn next_random(&mut self) -> u64 {
        self.random = self.random.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut z = self.random;
        z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        z ^ (z >> 31)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bounds_double_to_the_cap_and_start_over_after_a_stable_connection() {
        let mut backoff = Backoff::new(BackoffOptions::default(), 1);
        let mut longest = [Duration::ZERO; 8];
        for _ in 0..500 {
            for slot in &mut longest {
                *slot = (*slot).max(backoff.after_failure(Duration::ZERO));
            }
            backoff.after_failure(Duration::from_secs(10));
            assert_eq!(backoff.failures(), 0);
        }
        for (n, seen) in longest.iter().enumerate() {
            let bound = Duration::from_millis(250 << n).min(Duration::from_secs(8));
            assert!(
                *seen <= bound && *seen > bound * 9 / 10,
                "{n}: {seen:?} of {bound:?}"
            );
        }
    }

    #[test]
    fn a_refusal_waits_at_least_its_first_wait_and_at_most_its_cap() {
        let mut backoff = Backoff::new(BackoffOptions::default(), 7);
        assert_eq!(backoff.after_refusal(), Duration::from_secs(5));
        for _ in 0..40 {
            let wait = backoff.after_refusal();
            assert!(wait >= Duration::from_secs(5) && wait <= Duration::from_secs(60));
        }
    }
}
