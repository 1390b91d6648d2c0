//! How often a topic's live messages come, and whether it has gone silent.
//!
//! A topic's own intervals decide. To say that something stopped sends people to look, so little evidence never does: it
//! takes four intervals that are alike, or twelve that are not, and then a silence that those intervals make improbable.
//! Only intervals without a gap in the connection count, and only a silence that somebody listened to.

use std::time::{Duration, Instant};

/// Whether live messages still come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Silence {
    /// They come as they did before.
    Live,
    /// They came in a rhythm and have been missing for much longer than that.
    Stopped {
        /// When the last one came.
        since: Instant,
    },
    /// None has come, only retained values.
    OnlyRetained,
    /// There is too little evidence: too few messages, or too short a time of listening.
    Unknown,
}

/// The intervals between the live messages of one topic, in seconds.
///
/// Averages over about the last sixteen intervals. `f32` is enough for what is compared by factors, and ten thousand
/// topics have one.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Rhythm {
    mean: f32,
    /// The mean distance of an interval from the mean.
    deviation: f32,
    /// The longest interval. Each later one takes a twentieth off it, so that one long absence is forgotten after some
    /// hundred messages.
    longest: f32,
    intervals: u32,
    /// The time that the intervals took, all of them.
    total_micros: u64,
}

/// Messages can be late by this much for reasons of the network, whatever their rhythm is.
const FLOOR_SECONDS: f32 = 2.0;
/// The fewest intervals that make a rhythm if they are alike.
const FEW: u32 = 4;
/// From here on the intervals are well known.
const ENOUGH: u32 = 12;
/// The averages follow about this many intervals.
const AVERAGED: u32 = 16;

impl Rhythm {
    /// Takes the time between two live messages with no gap in the connection between them.
    pub(super) fn interval(&mut self, interval: Duration) {
        let seconds = interval.as_secs_f32();
        self.intervals = self.intervals.saturating_add(1);
        let micros = u64::try_from(interval.as_micros()).unwrap_or(u64::MAX);
        self.total_micros = self.total_micros.saturating_add(micros);
        let weight = 1.0 / self.intervals.min(AVERAGED) as f32;
        if self.intervals == 1 {
            self.mean = seconds;
        } else {
            self.deviation += ((seconds - self.mean).abs() - self.deviation) * weight;
            self.mean += (seconds - self.mean) * weight;
        }
        self.longest = seconds.max(self.longest * 0.95);
    }

    /// Messages a second, over the time between those that came without a gap between them; `None` for fewer than two. A
    /// silence since then counts, too, where it is longer than the mean interval: a burst is no rate.
    pub(super) fn rate(&self, silence: Duration) -> Option<f64> {
        if self.total_micros == 0 {
            return None;
        }
        let (seconds, intervals) = (self.total_micros as f64 / 1e6, f64::from(self.intervals));
        let silence = silence.as_secs_f64();
        let is_long = silence > seconds / intervals;
        Some(intervals / (seconds + if is_long { silence } else { 0.0 }))
    }

    /// The usual time between two messages; `None` for fewer than two.
    pub(super) fn usual_interval(&self) -> Option<Duration> {
        (self.intervals > 0)
            .then(|| Duration::try_from_secs_f32(self.mean).ok())
            .flatten()
    }

    /// Judges a silence of `listened`, in which somebody listened without a gap.
    pub(super) fn judge(&self, listened: Duration) -> Verdict {
        let silence = listened.as_secs_f32();
        match self.limit() {
            Some(limit) if silence > limit => Verdict::Stopped,
            Some(_) => Verdict::Live,
            None if self.intervals > 0 && silence <= self.expected() => Verdict::Live,
            None => Verdict::Unknown,
        }
    }

    /// The silence within which nobody would be surprised.
    fn expected(&self) -> f32 {
        (2.0 * self.longest).max(FLOOR_SECONDS)
    }

    /// The longest silence that can still be chance, if there is enough evidence for one.
    fn limit(&self) -> Option<f32> {
        let alike = self.deviation <= self.mean / 3.0;
        let (means, longest) = match (alike, self.intervals) {
            (true, ENOUGH..) => (3.0, 2.0),
            (true, FEW..) => (5.0, 3.0),
            // Events that come by chance, at a mean rate: a pause of ten means comes once in 20,000.
            (false, ENOUGH..) => (10.0, 4.0),
            _ => return None,
        };
        Some(
            (means * self.mean)
                .max(longest * self.longest)
                .max(FLOOR_SECONDS),
        )
    }
}

/// What a silence means.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Verdict {
    Live,
    Stopped,
    Unknown,
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    fn rhythm(intervals: &[f32]) -> Rhythm {
        let mut rhythm = Rhythm::default();
        for seconds in intervals {
            rhythm.interval(Duration::from_secs_f32(*seconds));
        }
        rhythm
    }

    #[test]
    fn a_silence_is_judged_by_the_topics_own_intervals() {
        use Verdict::{Live, Stopped, Unknown};
        let burst = [&[1.0; 5][..], &[3600.0], &[1.0; 5]].concat();
        let after_an_absence = [&[5.0; 20][..], &[3600.0], &[5.0; 20]].concat();
        let long_after = [&after_an_absence[..], &[5.0; 150]].concat();
        let pairs = [0.005, 9.995].repeat(10);
        for (name, intervals, silence, verdict) in [
            ("one message", &[][..], 0.1, Unknown),
            ("one message, long ago", &[], 1e6, Unknown),
            ("two messages, in time", &[5.0], 9.0, Live),
            ("two messages, late", &[5.0], 11.0, Unknown),
            ("two messages, long ago", &[5.0], 1e6, Unknown),
            ("four messages, long ago", &[5.0; 3], 1e6, Unknown),
            ("a young rhythm, in time", &[5.0; 4], 24.0, Live),
            ("a young rhythm, too late", &[5.0; 4], 26.0, Stopped),
            ("a rhythm, one missing", &[5.0; 20], 14.0, Live),
            ("a rhythm, three missing", &[5.0; 20], 16.0, Stopped),
            ("ten a second, a short pause", &[0.1; 100], 1.9, Live),
            ("ten a second, gone", &[0.1; 100], 2.1, Stopped),
            ("a report an hour, two hours", &[3600.0; 5], 7200.0, Live),
            (
                "a report an hour, gone",
                &[3600.0; 5],
                5.1 * 3600.0,
                Stopped,
            ),
            (
                "jitter, two missing",
                &[4.0, 6.0, 5.0, 7.0, 5.0, 4.0],
                20.0,
                Live,
            ),
            ("a few events", &[1.0, 300.0, 7.0, 40.0], 1e6, Unknown),
            (
                "a few events, recent",
                &[1.0, 300.0, 7.0, 40.0],
                100.0,
                Live,
            ),
            ("bursts of events", &burst, 600.0, Live),
            ("bursts of events, long ago", &burst, 1e6, Unknown),
            ("pairs, within the period", &pairs, 12.0, Live),
            ("pairs, gone", &pairs, 60.0, Stopped),
            (
                "was away for an hour before",
                &after_an_absence,
                1200.0,
                Live,
            ),
            ("was away, long ago", &long_after, 30.0, Stopped),
        ] {
            let found = rhythm(intervals).judge(Duration::from_secs_f32(silence));
            assert_eq!(found, verdict, "{name}");
        }
    }

    /// Events at a mean rate of one a second, by chance: the pauses among them are no end.
    #[test]
    fn events_by_chance_are_seldom_taken_for_stopped() {
        let mut random = fastrand::Rng::with_seed(3);
        let (mut wrong, mut judged) = (0_u32, 0_u32);
        for _ in 0..200 {
            let mut rhythm = Rhythm::default();
            for _ in 0..500 {
                let pause = Duration::from_secs_f64(-(1.0 - random.f64()).ln());
                judged += u32::from(rhythm.limit().is_some());
                wrong += u32::from(rhythm.judge(pause) == Verdict::Stopped);
                rhythm.interval(pause);
            }
        }
        assert!(judged > 90_000, "{judged}");
        assert!(wrong * 2_000 < judged, "{wrong} of {judged}");
    }

    #[test]
    fn the_rate_is_over_all_intervals_and_the_usual_interval_over_the_recent_ones() {
        assert_eq!(rhythm(&[]).rate(Duration::ZERO), None);
        assert_eq!(
            rhythm(&[0.0]).rate(Duration::ZERO),
            None,
            "no time has passed"
        );
        assert_eq!(rhythm(&[2.0, 6.0]).rate(Duration::ZERO), Some(0.25));
        let after = |seconds| rhythm(&[2.0, 6.0]).rate(Duration::from_secs(seconds));
        assert_eq!((after(4), after(12)), (Some(0.25), Some(0.1)));
        let slowed = rhythm(&[&[1.0; 50][..], &[10.0; 100]].concat());
        let usual = slowed.usual_interval().unwrap().as_secs_f32();
        assert!((9.9..10.0).contains(&usual), "{usual}");
        assert_eq!(rhythm(&[]).usual_interval(), None);
    }
}
