//! The publish rate of each caller: one token bucket per caller.
//!
//! Promises: a caller that stays below the rate is never refused, whatever other callers do; memory is bounded.
//! Does not: read the clock.

use std::cell::RefCell;
use std::collections::HashMap;
use std::rc::Rc;
use std::time::{Duration, Instant};

use crate::mcp::CallerId;

/// The buckets of all callers, each stored as the time when it will be full. Cheap to clone; clones share the buckets.
#[derive(Clone, Debug, Default)]
pub(super) struct Rates(Rc<RefCell<HashMap<CallerId, Instant>>>);

/// The error for a caller that exceeds its rate; it says when to retry.
#[derive(Debug, PartialEq, Eq)]
pub(in crate::tools) struct TooMany {
    per_second: u32,
    wait: Duration,
}

impl Rates {
    /// Takes one publish from the bucket of a caller that may publish `per_second` a second, and as many at once from a
    /// full bucket; 0 for no limit.
    ///
    /// # Errors
    /// When the bucket is empty; then nothing is taken.
    pub(super) fn take(
        &self,
        caller: &CallerId,
        per_second: usize,
        now: Instant,
    ) -> Result<(), TooMany> {
        let Some(full) = self.check(caller, per_second, now)? else {
            return Ok(());
        };
        let mut buckets = self.0.borrow_mut();
        if !buckets.contains_key(caller) {
            make_room(&mut buckets, now);
        }
        buckets.insert(caller.clone(), full);
        Ok(())
    }

    /// When the caller's bucket would be full again after one publish now; None without a limit. Nothing is taken.
    ///
    /// # Errors
    /// When the bucket is empty.
    pub(super) fn check(
        &self,
        caller: &CallerId,
        per_second: usize,
        now: Instant,
    ) -> Result<Option<Instant>, TooMany> {
        let per_second = u32::try_from(per_second).unwrap_or(u32::MAX);
        // The time in which a bucket regains the cost of one publish.
        let Some(cost) = Duration::from_secs(1).checked_div(per_second) else {
            return Ok(None);
        };
        let buckets = self.0.borrow();
        let full = buckets.get(caller).unwrap_or(&now);
        let missing = full.saturating_duration_since(now);
        // An empty bucket is full after one second.
        let wait = (missing + cost).saturating_sub(cost * per_second);
        if !wait.is_zero() {
            return Err(TooMany { per_second, wait });
        }
        Ok(Some(now + missing + cost))
    }
}

/// Removes full buckets, which are the same as absent ones; when every bucket is in use, removes the fullest.
fn make_room(buckets: &mut HashMap<CallerId, Instant>, now: Instant) {
    if buckets.len() < CALLERS {
        return;
    }
    buckets.retain(|_, full| *full > now);
    if buckets.len() < CALLERS {
        return;
    }
    let fullest = buckets.iter().min_by_key(|(_, full)| **full);
    if let Some(caller) = fullest.map(|(caller, _)| caller.clone()) {
        buckets.remove(&caller);
    }
}

impl std::fmt::Display for TooMany {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let TooMany { per_second, wait } = self;
        // Rounded up, so that a caller that retries after this time is admitted.
        let tenths = wait.as_millis().div_ceil(100).max(1);
        write!(
            f,
            "more than {per_second} publishes in a second; try again in {}.{} s",
            tenths / 10,
            tenths % 10
        )
    }
}

/// The limit on buckets: more than the default limits on sessions and connections together.
const CALLERS: usize = 1024;

#[cfg(test)]
mod tests {
    use super::*;

    /// Rates with one limit for every caller.
    struct Limited(Rates, usize);

    impl Limited {
        fn new(per_second: usize) -> Limited {
            Limited(Rates::default(), per_second)
        }

        fn take(&self, caller: &CallerId, now: Instant) -> Result<(), TooMany> {
            self.0.take(caller, self.1, now)
        }
    }

    /// How many of `tries` at `now` get through.
    fn tries(rates: &Limited, caller: &CallerId, tries: usize, now: Instant) -> usize {
        (0..tries)
            .filter(|_| rates.take(caller, now).is_ok())
            .count()
    }

    #[test]
    fn a_check_says_what_a_publish_would_hear_and_takes_nothing() {
        let (rates, caller, now) = (Limited::new(2), CallerId::default(), Instant::now());
        for _ in 0..4 {
            let checks: Vec<_> = (0..3).map(|_| rates.0.check(&caller, 2, now)).collect();
            let taken = rates.take(&caller, now);
            for check in checks {
                assert_eq!(check.map(drop), taken);
            }
        }
        assert_eq!(rates.0.check(&caller, 0, now), Ok(None), "no limit");
    }

    #[test]
    fn a_second_s_worth_goes_at_once_and_the_rate_from_then_on() {
        let (rates, caller, start) = (Limited::new(10), CallerId::default(), Instant::now());
        assert_eq!(tries(&rates, &caller, 100, start), 10);
        let at = |ms: u64| start + Duration::from_millis(ms);
        assert_eq!(tries(&rates, &caller, 5, at(99)), 0);
        assert_eq!(tries(&rates, &caller, 5, at(100)), 1);
        assert_eq!(tries(&rates, &caller, 5, at(450)), 3);
        assert_eq!(
            tries(&rates, &caller, 100, at(60_000)),
            10,
            "never more than full"
        );
        let (mut through, mut now) = (0, at(120_000));
        for _ in 0..6000 {
            through += tries(&rates, &caller, 1, now);
            now += Duration::from_millis(10);
        }
        assert!((600..=610).contains(&through), "{through} in a minute");
    }

    #[test]
    fn the_refusal_says_when_to_come_back_and_that_is_true() {
        let (rates, caller, start) = (Limited::new(4), CallerId::default(), Instant::now());
        assert_eq!(tries(&rates, &caller, 9, start), 4);
        let refused = rates.take(&caller, start);
        assert_eq!(
            refused.map_err(|why| why.to_string()),
            Err("more than 4 publishes in a second; try again in 0.3 s".to_owned())
        );
        assert_eq!(
            rates.take(&caller, start + Duration::from_millis(300)),
            Ok(())
        );
        let slow = Limited::new(1);
        assert_eq!(tries(&slow, &caller, 9, start), 1, "one is enough for one");
    }

    #[test]
    fn callers_do_not_take_from_each_other_and_zero_is_no_limit() {
        let (rates, start) = (Limited::new(1000), Instant::now());
        let (greedy, other) = (CallerId::default(), CallerId::default());
        assert_eq!(tries(&rates, &greedy, 50_000, start), 1000);
        assert_eq!(tries(&rates, &other, 1000, start), 1000);
        assert_eq!(tries(&Limited::new(0), &greedy, 50_000, start), 50_000);
    }

    #[test]
    fn memory_is_bounded_and_an_empty_bucket_stays_when_full_ones_can_go() {
        let (rates, start) = (Limited::new(10), Instant::now());
        let greedy = CallerId::default();
        assert_eq!(tries(&rates, &greedy, 20, start), 10);
        for n in 0..5000 {
            let now = start + Duration::from_micros(n);
            assert_eq!(rates.take(&CallerId::default(), now), Ok(()));
            assert_eq!(tries(&rates, &greedy, 1, now), 0);
        }
        assert_eq!(rates.0.0.borrow().len(), CALLERS);
    }
}
