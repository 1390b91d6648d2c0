//! Statistics over numbers as they come, without keeping them.

use std::cmp::Ordering;
use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use serde::{Serialize, Serializer};

use super::path::Path;
use super::reading::{Reading, Unreadable};
use super::room::Room;

/// The most topics in a [`StatisticsByTopic`].
pub const MAX_TOPICS: usize = 10_000;

/// 2⁵³: from here on an `f64` has not every whole number.
const WHOLE: f64 = 9_007_199_254_740_992.0;

/// What a topic's entry takes beside its name: the statistics, the name's pointer and its allocation, and the share of
/// a tree that may be half empty.
const ENTRY_BYTES: usize = 2 * (size_of::<Statistics>() + size_of::<Box<str>>()) + 16;

/// Count, range, mean and deviation of numbers.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Statistics {
    count: u64,
    sum: Sum,
    /// Welford's running mean, as the distance from the first number: the deviation of numbers far from zero would lose
    /// digits otherwise. The mean of numbers within 2⁵³ is more exact from the sum.
    running_mean: f64,
    /// The sum of the squares of the distances from the mean.
    squares: f64,
    range: Option<(Exact, Exact)>,
    ends: Option<(Sample, Sample)>,
    no_number: u64,
    no_field: u64,
}

/// A number with every digit that it came with, up to 64 bits: an `f64` rounds an id or a time in nanoseconds.
#[derive(Debug, Clone, Copy)]
pub struct Exact {
    nearest: f64,
    /// What a whole number beyond 2⁵³ has beside `nearest`: at most 1,024, up to 64 bits.
    rest: Option<i16>,
}

/// A number with the time of its arrival.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Sample {
    /// The number.
    pub value: Exact,
    /// When it came.
    pub at: Instant,
}

/// A sum with the part that its roundings lost (Neumaier).
#[derive(Debug, Clone, Default, PartialEq)]
struct Sum {
    sum: f64,
    lost: f64,
}

impl Statistics {
    /// Takes a message: its number, or the reason why it has none.
    pub fn add(&mut self, now: Instant, payload: &[u8], field: Option<&Path>) {
        match Reading::of(payload, field) {
            Ok(reading) => match Exact::of(&reading) {
                Some(number) => self.add_number(now, number),
                None => self.no_number += 1,
            },
            Err(Unreadable::NoJson | Unreadable::NoField) => self.no_field += 1,
        }
    }

    /// Takes a finite number.
    pub fn add_number(&mut self, now: Instant, value: impl Into<Exact>) {
        let value = value.into();
        self.count += 1;
        self.sum.add(value.nearest);
        let (min, max) = self.range.unwrap_or((value, value));
        self.range = Some((min.min(value), max.max(value)));
        let sample = Sample { value, at: now };
        let (first, _) = self.ends.unwrap_or((sample, sample));
        self.ends = Some((first, sample));
        let shifted = value.minus(first.value);
        let distance = shifted - self.running_mean;
        self.running_mean += distance / self.count as f64;
        self.squares += distance * (shifted - self.running_mean);
    }

    /// How many numbers came.
    pub fn count(&self) -> u64 {
        self.count
    }

    /// How many messages came: with a number or without.
    pub fn messages(&self) -> u64 {
        self.count + self.no_number + self.no_field
    }

    /// How many messages have no number: other texts, bytes, null.
    pub fn no_number(&self) -> u64 {
        self.no_number
    }

    /// How many messages do not have the field, or are no JSON where a field is asked for.
    pub fn no_field(&self) -> u64 {
        self.no_field
    }

    /// The smallest number.
    pub fn min(&self) -> Option<Exact> {
        self.range.map(|(min, _)| min)
    }

    /// The largest number.
    pub fn max(&self) -> Option<Exact> {
        self.range.map(|(_, max)| max)
    }

    /// The mean. Nothing without numbers, or if their sum is too large for a number.
    pub fn mean(&self) -> Option<Exact> {
        let ((min, max), (first, _)) = (self.range?, self.ends?);
        let mean = match first.value.plus(self.running_mean) {
            Some(mean) => mean,
            None => Exact::from(self.sum.total() / self.count as f64),
        };
        // A rounding may lead past equal numbers.
        Some(mean)
            .filter(|it| it.nearest.is_finite())
            .map(|it| it.clamp(min, max))
    }

    /// The standard deviation of a sample (the divisor is n − 1). Nothing for fewer than two numbers.
    pub fn standard_deviation(&self) -> Option<f64> {
        let divisor = self.count.checked_sub(1).filter(|it| *it > 0)?;
        let deviation = (self.squares / divisor as f64).sqrt();
        Some(deviation).filter(|it| it.is_finite())
    }

    /// The first number.
    pub fn first(&self) -> Option<Sample> {
        self.ends.map(|(first, _)| first)
    }

    /// The last number.
    pub fn last(&self) -> Option<Sample> {
        self.ends.map(|(_, last)| last)
    }

    /// Messages per second over the time in which they were counted.
    pub fn rate(&self, watched: Duration) -> Option<f64> {
        let rate = self.messages() as f64 / watched.as_secs_f64();
        Some(rate).filter(|it| it.is_finite())
    }
}

impl Exact {
    /// The number that a reading is.
    fn of(reading: &Reading) -> Option<Self> {
        let nearest = reading.number()?;
        let whole = (nearest.abs() >= WHOLE).then(|| reading.whole_number());
        let exact = whole.flatten().and_then(Self::of_whole);
        Some(exact.unwrap_or(nearest.into()))
    }

    /// A whole number beyond 2⁵³, of 64 bits.
    fn of_whole(whole: i128) -> Option<Self> {
        let has_64_bits = i64::try_from(whole).is_ok() || u64::try_from(whole).is_ok();
        let nearest = whole as f64;
        let rest = i16::try_from(whole - nearest as i128).ok()?;
        has_64_bits.then_some(Self {
            nearest,
            rest: Some(rest),
        })
    }

    /// The nearest `f64`.
    pub fn nearest(self) -> f64 {
        self.nearest
    }

    /// The number, if it is a whole one beyond 2⁵³.
    pub fn whole(self) -> Option<i128> {
        Some(self.nearest as i128 + i128::from(self.rest?))
    }

    /// The whole number that is `distance` away from a whole one; nothing for others, and for distances with rounded digits.
    fn plus(self, distance: f64) -> Option<Self> {
        let whole = self.whole().filter(|_| distance.abs() < WHOLE)?;
        Self::of_whole(whole + distance.round() as i128)
    }

    /// The order of two numbers.
    pub fn compare(&self, other: &Self) -> Ordering {
        let rest = |it: &Self| it.rest.unwrap_or_default();
        let by_nearest = self.nearest.total_cmp(&other.nearest);
        by_nearest.then_with(|| rest(self).cmp(&rest(other)))
    }

    fn min(self, other: Self) -> Self {
        std::cmp::min_by(self, other, Self::compare)
    }

    fn max(self, other: Self) -> Self {
        std::cmp::max_by(self, other, Self::compare)
    }

    /// The number within these limits.
    pub fn clamp(self, min: Self, max: Self) -> Self {
        self.max(min).min(max)
    }

    fn minus(self, other: Self) -> f64 {
        let rest = |it: Self| f64::from(it.rest.unwrap_or_default());
        (self.nearest - other.nearest) + (rest(self) - rest(other))
    }
}

impl From<f64> for Exact {
    fn from(nearest: f64) -> Self {
        let rest = None;
        Self { nearest, rest }
    }
}

impl PartialEq for Exact {
    fn eq(&self, other: &Self) -> bool {
        self.compare(other).is_eq()
    }
}

/// A number of JSON: a whole number beyond 2⁵³ with all its digits.
impl Serialize for Exact {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self
            .whole()
            .map(|whole| (i64::try_from(whole), u64::try_from(whole)))
        {
            Some((Ok(whole), _)) => serializer.serialize_i64(whole),
            Some((_, Ok(whole))) => serializer.serialize_u64(whole),
            _ => serializer.serialize_f64(self.nearest),
        }
    }
}

impl Sum {
    fn add(&mut self, value: f64) {
        let sum = self.sum + value;
        self.lost += if self.sum.abs() >= value.abs() {
            (self.sum - sum) + value
        } else {
            (value - sum) + self.sum
        };
        self.sum = sum;
    }

    fn total(&self) -> f64 {
        self.sum + self.lost
    }
}

/// [`Statistics`] of each topic, in bounded memory.
#[derive(Debug)]
pub struct StatisticsByTopic {
    field: Option<Path>,
    topics: BTreeMap<Box<str>, Statistics>,
    room: Room,
    left_out: u64,
}

impl StatisticsByTopic {
    /// No statistics yet, of the whole payloads or of a field; they take `room`.
    pub fn new(field: Option<Path>, room: Room) -> Self {
        Self {
            field,
            topics: BTreeMap::new(),
            room,
            left_out: 0,
        }
    }

    /// Forgets what came.
    pub fn clear(&mut self) {
        self.topics.clear();
        self.room.clear();
        self.left_out = 0;
    }

    /// Takes a message.
    pub fn message(&mut self, now: Instant, topic: &str, payload: &[u8]) {
        if let Some(statistics) = self.topics.get_mut(topic) {
            statistics.add(now, payload, self.field.as_ref());
            return;
        }
        let bytes = topic.len() + ENTRY_BYTES;
        if self.topics.len() >= MAX_TOPICS || !self.room.take(bytes) {
            self.left_out += 1;
            return;
        }
        let mut statistics = Statistics::default();
        statistics.add(now, payload, self.field.as_ref());
        self.topics.insert(topic.into(), statistics);
    }

    /// The statistics of each topic, in the order of the topics.
    pub fn iter(&self) -> impl Iterator<Item = (&str, &Statistics)> {
        let topics = self.topics.iter();
        topics.map(|(topic, statistics)| (&**topic, statistics))
    }

    /// How many topics there are.
    pub fn len(&self) -> usize {
        self.topics.len()
    }

    /// Whether nothing came.
    pub fn is_empty(&self) -> bool {
        self.topics.is_empty()
    }

    /// How many messages came on topics that found no room.
    pub fn left_out(&self) -> u64 {
        self.left_out
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::observe::room::{CALL_BYTES, Rooms};

    fn of(numbers: &[f64]) -> Statistics {
        let now = Instant::now();
        let mut statistics = Statistics::default();
        for number in numbers {
            statistics.add_number(now, *number);
        }
        statistics
    }

    fn range(statistics: &Statistics) -> (Option<f64>, Option<f64>) {
        (
            statistics.min().map(Exact::nearest),
            statistics.max().map(Exact::nearest),
        )
    }

    fn mean(statistics: &Statistics) -> Option<f64> {
        statistics.mean().map(Exact::nearest)
    }

    /// Two passes over the distances from the first number, which are exact.
    fn two_passes(numbers: &[f64]) -> (f64, f64) {
        let count = numbers.len() as f64;
        let origin = numbers[0];
        let distances: Vec<f64> = numbers.iter().map(|it| it - origin).collect();
        let mean = distances.iter().sum::<f64>() / count;
        let squares: f64 = distances.iter().map(|it| (it - mean) * (it - mean)).sum();
        (origin + mean, (squares / (count - 1.0)).sqrt())
    }

    fn assert_close(found: Option<f64>, expected: f64, within: f64) {
        let found = found.expect("a number");
        let scale = expected.abs().max(f64::MIN_POSITIVE);
        assert!(
            (found - expected).abs() <= within * scale,
            "{found} is not {expected}"
        );
    }

    #[test]
    fn known_numbers() {
        let statistics = of(&[2.0, 4.0, 4.0, 4.0, 5.0, 5.0, 7.0, 9.0]);
        assert_eq!(statistics.count(), 8);
        assert_eq!(mean(&statistics), Some(5.0));
        assert_close(
            statistics.standard_deviation(),
            (32.0_f64 / 7.0).sqrt(),
            1e-15,
        );
        assert_eq!(range(&statistics), (Some(2.0), Some(9.0)));
        let hundred: Vec<f64> = (1..=100).map(f64::from).collect();
        assert_eq!(mean(&of(&hundred)), Some(50.5));
        let tenths = vec![0.1; 1000];
        assert_eq!(mean(&of(&tenths)), Some(0.1));
        assert_eq!(of(&tenths).standard_deviation(), Some(0.0));
    }

    #[test]
    fn nothing_and_one() {
        let none = Statistics::default();
        assert_eq!(range(&none), (None, None));
        assert_eq!((mean(&none), none.standard_deviation()), (None, None));
        assert_eq!((none.first(), none.last(), none.count()), (None, None, 0));
        let one = of(&[-3.5]);
        assert_eq!(range(&one), (Some(-3.5), Some(-3.5)));
        assert_eq!((mean(&one), one.standard_deviation()), (Some(-3.5), None));
    }

    #[test]
    fn as_exact_as_two_passes() {
        let mut random = fastrand::Rng::with_seed(3);
        // The last cases have a small spread far from zero, where sums of squares lose every digit.
        for (origin, spread) in [
            (0.0, 1.0),
            (20.0, 0.5),
            (-1e6, 1e3),
            (1e9, 1e-2),
            (1e12, 1.0),
        ] {
            for count in [2, 3, 10, 1_000, 20_000] {
                let numbers: Vec<f64> =
                    (0..count).map(|_| origin + spread * random.f64()).collect();
                let (mean, deviation) = two_passes(&numbers);
                let statistics = of(&numbers);
                assert_close(self::mean(&statistics), mean, 1e-13);
                assert_close(statistics.standard_deviation(), deviation, 1e-12);
            }
        }
    }

    #[test]
    fn the_mean_is_exact() {
        let mut random = fastrand::Rng::with_seed(4);
        for count in [3_u32, 100, 20_000] {
            let parts: Vec<i64> = (0..count).map(|_| random.i64(-1 << 40..1 << 40)).collect();
            let numbers: Vec<f64> = parts.iter().map(|part| *part as f64 / 1024.0).collect();
            let sum = parts.iter().sum::<i64>() as f64 / 1024.0;
            assert_eq!(mean(&of(&numbers)), Some(sum / f64::from(count)));
        }
    }

    #[test]
    fn huge_numbers_give_nothing_rather_than_a_wrong_number() {
        let statistics = of(&[f64::MAX, f64::MAX, -f64::MAX]);
        assert_eq!(range(&statistics), (Some(-f64::MAX), Some(f64::MAX)));
        assert_eq!(mean(&statistics), None);
        assert_eq!(statistics.standard_deviation(), None);
    }

    #[test]
    fn whole_numbers_keep_every_digit_up_to_64_bits() {
        let shown = |payloads: &[&str]| {
            let mut statistics = Statistics::default();
            for payload in payloads {
                statistics.add(Instant::now(), payload.as_bytes(), None);
            }
            let json = |exact: Option<Exact>| serde_json::to_string(&exact).unwrap_or_default();
            let ends = [statistics.first(), statistics.last()];
            let [first, last] = ends.map(|end| json(end.map(|end| end.value)));
            let range = [statistics.min(), statistics.max()].map(json);
            let middle = (json(statistics.mean()), statistics.standard_deviation());
            (
                range.into_iter().chain([first, last]).collect::<Vec<_>>(),
                middle,
            )
        };
        // Nanoseconds; the nearest `f64` of all three is the same.
        let times = [
            "1764403201000000002",
            "1764403201000000001",
            "1764403201000000003",
        ];
        let [b, a, c] = times.map(String::from);
        let middle = (b.clone(), Some(1.0));
        assert_eq!(shown(&times), (vec![a, c.clone(), b, c], middle));
        let ends = ["18446744073709551615", "-9223372036854775808"];
        let [most, least] = ends.map(String::from);
        let expected = vec![least.clone(), most.clone(), most, least];
        assert_eq!(shown(&ends).0, expected);
        // A text that is a number is one, too.
        let (texts, _) = shown(&["\"9007199254740993\"", "9007199254740992"]);
        assert_eq!(texts[1], "9007199254740993");
        // Beyond 64 bits, and with a fraction, it is the nearest number.
        let (beyond, _) = shown(&["18446744073709551617", "1.5"]);
        assert_eq!(beyond[1], "1.8446744073709552e+19");
        assert_eq!(beyond[3], "1.5");
    }

    #[test]
    fn messages_without_a_number_are_counted() {
        let now = Instant::now();
        let later = now + Duration::from_secs(2);
        let field = Path::parse("t").ok();
        let mut statistics = Statistics::default();
        statistics.add(now, b"{\"t\":1}", field.as_ref());
        statistics.add(later, b"{\"t\":\"+3\"}", field.as_ref());
        for payload in [
            b"{\"t\":null}".as_slice(),
            b"{\"t\":\"NaN\"}",
            b"{\"u\":1}",
            b"1",
            b"off",
            b"\xff",
        ] {
            statistics.add(later, payload, field.as_ref());
        }
        assert_eq!(
            (
                statistics.count(),
                statistics.no_number(),
                statistics.no_field()
            ),
            (2, 2, 4)
        );
        assert_eq!(statistics.messages(), 8);
        assert_eq!(mean(&statistics), Some(2.0));
        assert_eq!(
            statistics.first(),
            Some(Sample {
                value: 1.0.into(),
                at: now
            })
        );
        assert_eq!(
            statistics.last(),
            Some(Sample {
                value: 3.0.into(),
                at: later
            })
        );
        assert_eq!(statistics.rate(Duration::from_secs(4)), Some(2.0));
        assert_eq!(statistics.rate(Duration::ZERO), None);
    }

    #[test]
    fn topics_are_kept_apart_up_to_the_limit() {
        let now = Instant::now();
        let mut all = StatisticsByTopic::new(None, Rooms::default().of("a"));
        for round in 0..3 {
            for topic in 0..MAX_TOPICS + 5 {
                all.message(
                    now,
                    &format!("node/{topic:05}"),
                    round.to_string().as_bytes(),
                );
            }
        }
        assert_eq!((all.len(), all.left_out()), (MAX_TOPICS, 15));
        assert!(
            all.iter()
                .all(|(_, it)| it.count() == 3 && mean(it) == Some(1.0))
        );
        let topics: Vec<&str> = all.iter().map(|(topic, _)| topic).collect();
        assert!(topics.is_sorted());
        assert_eq!(topics.first(), Some(&"node/00000"));
    }

    #[test]
    fn long_topics_are_bounded_in_bytes() {
        let now = Instant::now();
        let mut all = StatisticsByTopic::new(None, Rooms::default().of("a"));
        for topic in 0..100 {
            all.message(now, &format!("{topic}/{}", "x".repeat(60_000)), b"1");
        }
        assert!(all.len() < 70 && all.len() * 60_000 <= CALL_BYTES);
        assert_eq!(all.left_out(), 100 - all.len() as u64);
    }
}
