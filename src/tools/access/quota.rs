//! The quota of each caller: at most so many publishes in any 60 seconds.
//!
//! Promises: a quota holds for all clients of one name together, in any 60 seconds and not only from one full minute to
//! the next; a refused publish is not counted; memory is bounded by the quota and the number of names.
//! Does not: read the clock. It is per process: several processes have a quota each.

use std::cell::RefCell;
use std::collections::{HashMap, VecDeque};
use std::fmt;
use std::rc::Rc;
use std::time::{Duration, Instant};

/// The publishes of the last minute by the caller's name. Cheap to clone; clones share them.
#[derive(Clone, Debug, Default)]
pub(super) struct Quotas(Rc<RefCell<HashMap<Rc<str>, VecDeque<Instant>>>>);

/// The error for a caller that has used up its quota; it says when to retry.
#[derive(Debug, PartialEq, Eq)]
pub(in crate::tools) struct Exhausted {
    per_minute: usize,
    wait: Duration,
}

impl Quotas {
    /// Whether the caller with this name may publish; 0 stands for no quota.
    ///
    /// # Errors
    /// When the last minute has used the quota up.
    pub(super) fn check(
        &self,
        name: &str,
        per_minute: usize,
        now: Instant,
    ) -> Result<(), Exhausted> {
        let mut publishes = self.0.borrow_mut();
        let Some(own) = publishes.get_mut(name).filter(|_| per_minute > 0) else {
            return Ok(());
        };
        while own.front().is_some_and(|at| *at + MINUTE <= now) {
            own.pop_front();
        }
        // The quota may be lower than when these were counted: the last of those within it counts.
        let Some(over) = own.len().checked_sub(per_minute) else {
            return Ok(());
        };
        let frees = own.get(over).map_or(now, |at| *at + MINUTE);
        Err(Exhausted {
            per_minute,
            wait: frees.saturating_duration_since(now),
        })
    }

    /// Counts one publish.
    pub(super) fn take(&self, name: &str, per_minute: usize, now: Instant) {
        if per_minute == 0 {
            return;
        }
        let mut publishes = self.0.borrow_mut();
        if !publishes.contains_key(name) && publishes.len() >= NAMES {
            // Names that publish nothing are the same as absent ones.
            publishes.retain(|_, own| own.back().is_some_and(|at| *at + MINUTE > now));
        }
        publishes.entry(name.into()).or_default().push_back(now);
    }
}

impl Exhausted {
    pub(super) fn per_minute(&self) -> usize {
        self.per_minute
    }

    /// When to try again, in seconds.
    pub(super) fn seconds(&self) -> u128 {
        // Rounded up, so that a caller that retries after this time is admitted.
        self.wait.as_millis().div_ceil(1000).max(1)
    }
}

impl fmt::Display for Exhausted {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (most, seconds) = (self.per_minute(), self.seconds());
        write!(
            f,
            "more than {most} publishes in a minute; try again in {seconds} s"
        )
    }
}

const MINUTE: Duration = Duration::from_secs(60);
/// From so many names on, those without a publish in the last minute are forgotten.
const NAMES: usize = 1024;

#[cfg(test)]
mod tests {
    use super::*;

    fn publish(
        quotas: &Quotas,
        name: &str,
        per_minute: usize,
        now: Instant,
    ) -> Result<(), Exhausted> {
        quotas.check(name, per_minute, now)?;
        quotas.take(name, per_minute, now);
        Ok(())
    }

    #[test]
    fn no_minute_has_more_than_the_quota_wherever_it_begins() {
        let (quotas, start) = (Quotas::default(), Instant::now());
        let mut through = Vec::new();
        for tenth in 0..3000_u64 {
            let now = start + Duration::from_millis(tenth * 100);
            if publish(&quotas, "a", 7, now).is_ok() {
                through.push(tenth);
            }
        }
        assert_eq!(through.len(), 35, "five minutes: {through:?}");
        for window in through.windows(8) {
            assert!(window.last() >= window.first().map(|it| it + 600).as_ref());
        }
    }

    #[test]
    fn the_refusal_says_when_to_come_back_and_that_is_true() {
        let (quotas, start) = (Quotas::default(), Instant::now());
        let at = |ms: u64| start + Duration::from_millis(ms);
        assert_eq!(publish(&quotas, "a", 2, at(0)), Ok(()));
        assert_eq!(publish(&quotas, "a", 2, at(10_500)), Ok(()));
        let refused = publish(&quotas, "a", 2, at(20_000)).map_err(|why| why.to_string());
        let words = "more than 2 publishes in a minute; try again in 40 s";
        assert_eq!(refused, Err(words.to_owned()));
        assert!(publish(&quotas, "a", 2, at(59_999)).is_err());
        assert_eq!(publish(&quotas, "a", 2, at(60_000)), Ok(()));
        let refused = publish(&quotas, "a", 2, at(60_000)).map_err(|why| why.to_string());
        let words = "more than 2 publishes in a minute; try again in 11 s";
        assert_eq!(refused, Err(words.to_owned()), "rounded up");
        assert_eq!(publish(&quotas, "a", 2, at(71_000)), Ok(()));
    }

    #[test]
    fn names_do_not_take_from_each_other_and_zero_is_no_quota() {
        let (quotas, now) = (Quotas::default(), Instant::now());
        for _ in 0..5 {
            let _ = publish(&quotas, "greedy", 3, now);
            assert_eq!(publish(&quotas, "free", 0, now), Ok(()));
        }
        assert!(publish(&quotas, "greedy", 3, now).is_err());
        assert_eq!(publish(&quotas, "other", 3, now), Ok(()));
        assert!(!quotas.0.borrow().contains_key("free"), "nothing is kept");
    }

    #[test]
    fn a_lower_quota_counts_what_was_published_before() {
        let (quotas, start) = (Quotas::default(), Instant::now());
        for second in 0..5 {
            let now = start + Duration::from_secs(second);
            assert_eq!(publish(&quotas, "a", 5, now), Ok(()));
        }
        let now = start + Duration::from_secs(10);
        let refused = publish(&quotas, "a", 2, now).map_err(|why| why.to_string());
        // Until one of the last two is a minute old.
        let words = "more than 2 publishes in a minute; try again in 53 s";
        assert_eq!(refused, Err(words.to_owned()));
    }

    #[test]
    fn names_that_are_silent_are_forgotten() {
        let (quotas, start) = (Quotas::default(), Instant::now());
        for name in 0..NAMES {
            assert_eq!(publish(&quotas, &name.to_string(), 1, start), Ok(()));
        }
        assert_eq!(publish(&quotas, "new", 1, start + MINUTE), Ok(()));
        assert_eq!(quotas.0.borrow().len(), 1);
    }
}
