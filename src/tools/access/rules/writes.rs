//! When topics with limits on the rate of writes were written to.
//!
//! Promises: no write is forgotten that a limit still counts, and one that is under way counts as one of this moment:
//! messages that waited for the connection never leave sooner after each other than permitted. Memory is bounded.

use std::cell::RefCell;
use std::collections::{HashMap, VecDeque};
use std::rc::Rc;
use std::time::{Duration, Instant};

use mcpmqtt_protocol::topic::TopicName;

use crate::local::time;

#[derive(Debug, Default)]
pub(super) struct Writes {
    topics: HashMap<TopicName, Times>,
    /// All writes together.
    count: usize,
}

/// The writes to one topic.
#[derive(Debug)]
struct Times {
    /// The oldest first.
    times: VecDeque<Instant>,
    under_way: usize,
    /// For how long limits count a write.
    counted_for: Duration,
    /// The name of the caller who wrote to it first.
    name: Box<str>,
}

/// A write that is under way, until this is dropped. Then it counts as done at that moment, unless it is known not to be.
#[derive(Debug)]
pub(super) struct UnderWay {
    writes: Rc<RefCell<Writes>>,
    topic: TopicName,
    was_not_done: bool,
}

/// Why a topic may not be written to yet.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::tools) struct TooSoon {
    /// How long ago it was written to last.
    pub(super) last: Duration,
    /// When it may be written to.
    pub(super) wait: Duration,
}

impl Writes {
    /// Whether the last write is at least so long ago.
    pub(super) fn after(
        &self,
        topic: &TopicName,
        least: Duration,
        now: Instant,
    ) -> Result<(), TooSoon> {
        let Some(last) = self.last(topic, now) else {
            return Ok(());
        };
        match least.saturating_sub(last) {
            Duration::ZERO => Ok(()),
            wait => Err(TooSoon { last, wait }),
        }
    }

    /// Whether another write makes at most so many in a minute.
    pub(super) fn within(
        &self,
        topic: &TopicName,
        most: usize,
        now: Instant,
    ) -> Result<(), TooSoon> {
        let (Some(times), Some(last)) = (self.topics.get(topic), self.last(topic, now)) else {
            return Ok(());
        };
        let most_done = most.saturating_sub(times.under_way);
        if most_done == 0 {
            return Err(TooSoon { last, wait: MINUTE });
        }
        let nth_last = times.times.len().checked_sub(most_done);
        let Some(nth_last) = nth_last.and_then(|place| times.times.get(place)) else {
            return Ok(());
        };
        match MINUTE.saturating_sub(now.saturating_duration_since(*nth_last)) {
            Duration::ZERO => Ok(()),
            wait => Err(TooSoon { last, wait }),
        }
    }

    /// How long ago the topic was written to last.
    pub(super) fn last(&self, topic: &TopicName, now: Instant) -> Option<Duration> {
        let times = self.topics.get(topic)?;
        if times.under_way > 0 {
            return Some(Duration::ZERO);
        }
        Some(now.saturating_duration_since(*times.times.back()?))
    }

    /// The writes of the last minute.
    pub(super) fn in_a_minute(&self, topic: &TopicName, now: Instant) -> usize {
        let Some(times) = self.topics.get(topic) else {
            return 0;
        };
        let counted = |at: &&Instant| now.saturating_duration_since(**at) < MINUTE;
        times.under_way + times.times.iter().filter(counted).count()
    }

    /// Begins a write of a caller with this name, which limits count for so long. None when there is no room: then it must
    /// not be done.
    pub(super) fn begin(
        writes: &Rc<RefCell<Writes>>,
        name: &str,
        topic: &TopicName,
        counted_for: Duration,
        now: Instant,
    ) -> Option<UnderWay> {
        let mut own = writes.borrow_mut();
        if own.count >= MOST_WRITES || own.topics.len() >= MOST_TOPICS {
            own.forget_uncounted(now);
        }
        let is_full = !own.topics.contains_key(topic) && !own.has_room(name, now);
        if own.count >= MOST_WRITES || is_full {
            return None;
        }
        let times = own.topics.entry(topic.clone()).or_insert_with(|| Times {
            times: VecDeque::new(),
            under_way: 0,
            counted_for,
            name: name.into(),
        });
        times.counted_for = times.counted_for.max(counted_for);
        times.under_way += 1;
        own.count += 1;
        drop(own);
        Some(UnderWay {
            writes: Rc::clone(writes),
            topic: topic.clone(),
            was_not_done: false,
        })
    }

    /// Whether a topic more can be remembered for callers of this name, who leave some for the next name.
    fn has_room(&mut self, name: &str, now: Instant) -> bool {
        if self.topics.len() < SHARE_OF_NAME {
            return true;
        }
        self.forget_uncounted(now);
        let own = self.topics.values().filter(|times| *times.name == *name);
        self.topics.len() < MOST_TOPICS && own.count() < SHARE_OF_NAME
    }

    fn end(&mut self, topic: &TopicName, done: Option<Instant>) {
        let Some(times) = self.topics.get_mut(topic) else {
            return;
        };
        times.under_way -= 1;
        match done {
            Some(at) => {
                self.count -= times.forget_uncounted(at);
                times.times.push_back(at);
            }
            None => self.count -= 1,
        }
    }

    fn forget_uncounted(&mut self, now: Instant) {
        let mut forgotten = 0;
        self.topics.retain(|_, times| {
            forgotten += times.forget_uncounted(now);
            times.under_way > 0 || !times.times.is_empty()
        });
        self.count -= forgotten;
    }
}

impl Times {
    /// Forgets the times that no limit counts; returns how many.
    fn forget_uncounted(&mut self, now: Instant) -> usize {
        let before = self.times.len();
        let counted = |at: &Instant| now.saturating_duration_since(*at) < self.counted_for;
        let first = self.times.iter().position(counted).unwrap_or(before);
        self.times.drain(..first);
        before - self.times.len()
    }
}

impl UnderWay {
    /// The message was not sent and will not be.
    pub(super) fn was_not_done(mut self) {
        self.was_not_done = true;
    }
}

impl Drop for UnderWay {
    fn drop(&mut self) {
        let done = (!self.was_not_done).then(time::now);
        self.writes.borrow_mut().end(&self.topic, done);
    }
}

pub(super) const MINUTE: Duration = Duration::from_secs(60);

/// The most writes that are remembered.
const MOST_WRITES: usize = 100_000;

/// The most topics whose writes are remembered.
const MOST_TOPICS: usize = 10_000;

/// The most of them that callers of one name wrote to first.
const SHARE_OF_NAME: usize = MOST_TOPICS * 15 / 16;

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use crate::local::time::simulated;

    type Shared = Rc<RefCell<Writes>>;

    fn topic(name: &str) -> TopicName {
        TopicName::parse(name).unwrap()
    }

    fn ms(ms: u64) -> Duration {
        Duration::from_millis(ms)
    }

    /// A write that begins and ends at one moment. False when there is no room.
    fn write(writes: &Shared, topic: &TopicName, counted_for: Duration, now: Instant) -> bool {
        named_write(writes, "a", topic, counted_for, now)
    }

    fn named_write(
        writes: &Shared,
        name: &str,
        topic: &TopicName,
        counted_for: Duration,
        now: Instant,
    ) -> bool {
        simulated::set(now);
        Writes::begin(writes, name, topic, counted_for, now).is_some()
    }

    #[test]
    fn an_interval_and_a_rate_hold_to_the_millisecond() {
        let (a, b) = (topic("a"), topic("b"));
        let start = Instant::now();
        let writes = Shared::default();
        let after =
            |topic: &TopicName, least, at| writes.borrow().after(topic, ms(least), start + ms(at));
        let within = |most, at| writes.borrow().within(&a, most, start + ms(at));
        assert_eq!(after(&a, 5000, 0), Ok(()));
        assert!(write(&writes, &a, MINUTE, start));
        let too_soon = |last, wait| {
            Err(TooSoon {
                last: ms(last),
                wait: ms(wait),
            })
        };
        assert_eq!(after(&a, 5000, 0), too_soon(0, 5000));
        assert_eq!(after(&a, 5000, 4999), too_soon(4999, 1));
        assert_eq!(after(&a, 5000, 5000), Ok(()));
        assert_eq!(after(&b, 5000, 0), Ok(()));
        assert_eq!(within(1, 59_999), too_soon(59_999, 1));
        assert_eq!(within(1, 60_000), Ok(()));
        assert!(write(&writes, &a, MINUTE, start + ms(20_000)));
        assert_eq!(within(2, 30_000), too_soon(10_000, 30_000));
        assert_eq!(within(3, 30_000), Ok(()));
        assert_eq!(within(2, 60_000), Ok(()));
        let in_a_minute = |at| writes.borrow().in_a_minute(&a, start + ms(at));
        assert_eq!((in_a_minute(30_000), in_a_minute(60_000)), (2, 1));
    }

    #[test]
    fn a_write_under_way_counts_until_it_is_known_not_to_be_done() {
        let a = topic("a");
        let start = Instant::now();
        let writes = Shared::default();
        let first = Writes::begin(&writes, "a", &a, MINUTE, start).unwrap();
        let later = start + ms(100_000);
        let soon = |wait| {
            Err(TooSoon {
                last: Duration::ZERO,
                wait,
            })
        };
        assert_eq!(writes.borrow().after(&a, ms(5), later), soon(ms(5)));
        assert_eq!(writes.borrow().within(&a, 1, later), soon(MINUTE));
        assert_eq!(writes.borrow().within(&a, 2, later), Ok(()));
        assert_eq!(writes.borrow().in_a_minute(&a, later), 1);
        first.was_not_done();
        assert_eq!(writes.borrow().after(&a, MINUTE, start), Ok(()));
        assert_eq!(writes.borrow().count, 0);
        // It counts from when it was done, not from when it began.
        let second = Writes::begin(&writes, "a", &a, MINUTE, start);
        simulated::set(later);
        drop(second);
        let wait = writes.borrow().after(&a, ms(5), later + ms(2));
        assert_eq!(
            wait,
            Err(TooSoon {
                last: ms(2),
                wait: ms(3)
            })
        );
    }

    /// Against a judge that remembers everything.
    #[test]
    fn no_window_of_a_minute_has_more_writes_than_permitted() {
        let a = topic("a");
        let start = Instant::now();
        for seed in 0..20 {
            let mut random = fastrand::Rng::with_seed(seed);
            let most = random.usize(1..8);
            let least = ms(random.u64(0..20_000));
            let writes = Shared::default();
            let (mut done, mut now) = (Vec::<Instant>::new(), start);
            for _ in 0..500 {
                now += ms(random.u64(0..15_000));
                let in_window = |at: &&Instant| now.duration_since(**at) < MINUTE;
                let permitted = done.iter().filter(in_window).count() < most
                    && done
                        .last()
                        .is_none_or(|last| now.duration_since(*last) >= least);
                let (after, within) = {
                    let writes = writes.borrow();
                    (writes.after(&a, least, now), writes.within(&a, most, now))
                };
                assert_eq!(after.is_ok() && within.is_ok(), permitted, "seed {seed}");
                if permitted {
                    assert!(write(&writes, &a, MINUTE.max(least), now));
                    done.push(now);
                }
            }
            assert!(writes.borrow().count <= most + 1);
        }
    }

    #[test]
    fn what_finds_no_room_is_not_written() {
        let start = Instant::now();
        let writes = Shared::default();
        for n in 0..SHARE_OF_NAME {
            assert!(write(&writes, &topic(&n.to_string()), MINUTE, start));
        }
        assert!(!write(&writes, &topic("one more"), MINUTE, start));
        // The next name has room.
        for n in SHARE_OF_NAME..MOST_TOPICS {
            let topic = topic(&n.to_string());
            assert!(named_write(&writes, "b", &topic, MINUTE, start));
        }
        assert!(!named_write(&writes, "b", &topic("more"), MINUTE, start));
        assert!(write(&writes, &topic("7"), MINUTE, start));
        assert!(write(&writes, &topic("one more"), MINUTE, start + MINUTE));
        let writes = writes.borrow();
        assert_eq!((writes.topics.len(), writes.count), (1, 1));
    }
}
