//! The same event of many peers, summed up in few log lines.
//!
//! Promises: the first event is logged at once, and the rest of [`WINDOW`] in one line; memory is bounded.
//! Does not: read the clock, wait or log.

use std::collections::HashSet;
use std::fmt;
use std::time::{Duration, Instant};

use crate::http::net::remote_addr::RemoteAddr;

/// What has happened since the last line.
#[derive(Debug, Default)]
pub(in crate::http) struct Repeats {
    /// Since when the rest is held back.
    since: Option<Instant>,
    first: Option<RemoteAddr>,
    count: u64,
    peers: HashSet<RemoteAddr>,
}

/// What was held back, as the end of a sentence: `10.0.0.7, and 1,234 more from 250 peers in the last 10 s`.
#[derive(Debug, PartialEq, Eq)]
pub(in crate::http) struct Sum {
    first: RemoteAddr,
    count: u64,
    peers: usize,
    span: Duration,
}

impl Repeats {
    /// Counts one event; true if it is to be logged now and by itself.
    pub(in crate::http) fn note(&mut self, peer: RemoteAddr, now: Instant) -> bool {
        let is_over = self.ends().is_none_or(|end| now >= end);
        if is_over && self.count == 0 {
            self.since = Some(now);
            return true;
        }
        self.first.get_or_insert(peer);
        self.count += 1;
        if self.peers.len() < PEERS {
            self.peers.insert(peer);
        }
        false
    }

    /// When the events held back are due in the log.
    pub(in crate::http) fn ends(&self) -> Option<Instant> {
        self.since.map(|since| since + WINDOW)
    }

    /// Takes the sum of the events held back until now. If there were any, the next event is held back, too.
    pub(in crate::http) fn sum_up(&mut self, now: Instant) -> Option<Sum> {
        let before = std::mem::take(self);
        let (first, since) = (before.first?, before.since?);
        self.since = Some(now);
        Some(Sum {
            first,
            count: before.count,
            peers: before.peers.len(),
            span: now.saturating_duration_since(since),
        })
    }
}

impl fmt::Display for Sum {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.first)?;
        if self.count > 1 {
            let more = Grouped(self.count - 1);
            let (at_least, plural) = match self.peers {
                PEERS => ("at least ", "s"),
                1 => ("", ""),
                _ => ("", "s"),
            };
            let peers = Grouped(self.peers as u64);
            write!(f, ", and {more} more from {at_least}{peers} peer{plural}")?;
        }
        let seconds = self.span.as_secs_f64().ceil();
        write!(f, " in the last {seconds} s")
    }
}

/// A number with its thousands apart.
struct Grouped(u64);

impl fmt::Display for Grouped {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {
            0..1000 => write!(f, "{}", self.0),
            _ => write!(f, "{},{:03}", Grouped(self.0 / 1000), self.0 % 1000),
        }
    }
}

/// How long what follows a line is held back.
const WINDOW: Duration = Duration::from_secs(10);
/// The most peers that are counted apart.
const PEERS: usize = 1000;

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use std::net::Ipv4Addr;

    use super::*;

    fn peer(number: u32) -> RemoteAddr {
        RemoteAddr::at(Ipv4Addr::from_bits(0x0a00_0000 + number).into())
    }

    fn after(start: Instant, seconds: u64) -> Instant {
        start + Duration::from_secs(seconds)
    }

    #[test]
    fn the_first_is_told_at_once_and_the_rest_in_one_line_for_each_window() {
        let (mut repeats, start) = (Repeats::default(), Instant::now());
        let mut lines = Vec::new();
        for second in 0..30 {
            let now = after(start, second);
            if repeats.ends().is_some_and(|end| now >= end) {
                lines.extend(repeats.sum_up(now).map(|sum| sum.to_string()));
            }
            for number in 0..12_400 {
                if repeats.note(peer(number % 250), now) {
                    lines.push("one".to_owned());
                }
            }
        }
        assert_eq!(lines[0], "one");
        let line = "10.0.0.1, and 123,998 more from 250 peers in the last 10 s";
        assert_eq!(lines[1], line);
        let line = "10.0.0.0, and 123,999 more from 250 peers in the last 10 s";
        assert_eq!(lines[2], line);
        assert_eq!(lines.len(), 3, "{lines:?}");
    }

    #[test]
    fn after_a_silence_one_is_told_at_once_again() {
        let (mut repeats, start) = (Repeats::default(), Instant::now());
        assert!(repeats.note(peer(1), start));
        assert_eq!(repeats.sum_up(after(start, 10)), None);
        assert_eq!(repeats.ends(), None, "there is nothing to wait for");
        assert!(repeats.note(peer(1), after(start, 11)));
        assert!(!repeats.note(peer(2), after(start, 12)));
        let sum = repeats.sum_up(after(start, 21)).unwrap();
        assert_eq!(sum.to_string(), "10.0.0.2 in the last 10 s");
        assert!(!repeats.note(peer(2), after(start, 22)));
        assert!(!repeats.note(peer(2), after(start, 23)));
        let sum = repeats.sum_up(after(start, 31)).unwrap();
        let line = "10.0.0.2, and 1 more from 1 peer in the last 10 s";
        assert_eq!(sum.to_string(), line);
        assert_eq!(repeats.sum_up(after(start, 41)), None);
        assert!(repeats.note(peer(3), after(start, 41)));
        // The next window is over, and nobody has asked.
        assert!(repeats.note(peer(3), after(start, 55)));
    }

    #[test]
    fn peers_are_told_apart_up_to_a_bound() {
        let (mut repeats, start) = (Repeats::default(), Instant::now());
        for number in 0..5000 {
            repeats.note(peer(number), start);
        }
        assert_eq!(repeats.peers.len(), PEERS);
        let sum = repeats.sum_up(after(start, 10)).unwrap();
        let line = "10.0.0.1, and 4,998 more from at least 1,000 peers in the last 10 s";
        assert_eq!(sum.to_string(), line);
    }
}
