//! Dates and times of day in UTC, as RFC 3339 writes them.
//!
//! Promises: every text yields a moment or `None`; a day that no calendar has is none.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

/// When something expires: a moment, and the text of the file that names it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Expiry {
    at: SystemTime,
    text: String,
}

impl Expiry {
    /// Parses a date, which lasts until its end in UTC, or a moment in UTC.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        let seconds = match text.split_once(['T', 't']) {
            None => days(text)?.checked_add(1)? * DAY_SECONDS,
            Some((date, time)) => days(date)? * DAY_SECONDS + seconds_of_day(time)?,
        };
        Some(Self {
            at: UNIX_EPOCH.checked_add(Duration::from_secs(seconds))?,
            text: text.to_owned(),
        })
    }

    /// The first moment at which it is over.
    #[must_use]
    pub fn at(&self) -> SystemTime {
        self.at
    }

    /// Whether it is over at `now`.
    #[must_use]
    pub fn is_over(&self, now: SystemTime) -> bool {
        now >= self.at
    }

    /// The text as it was written.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.text
    }
}

/// Whether the text is a date, as in `2026-11-28`.
pub(crate) fn is_date(text: &str) -> bool {
    days(text).is_some()
}

/// The days from 1970-01-01 to a date from then on, as in `2026-11-28`.
fn days(text: &str) -> Option<u64> {
    let mut parts = text.split('-');
    let year = number(parts.next()?, 4)?;
    let (month, day) = (number(parts.next()?, 2)?, number(parts.next()?, 2)?);
    if parts.next().is_some() || year < 1970 {
        return None;
    }
    let is_leap = year % 4 == 0 && (year % 100 != 0 || year % 400 == 0);
    let february = if is_leap { 29 } else { 28 };
    let months = [31, february, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31];
    let before = usize::try_from(month.checked_sub(1)?).ok()?;
    if !(1..=*months.get(before)?).contains(&day) {
        return None;
    }
    // Leap days before this year, less those before 1970.
    let past = year - 1;
    let leap_days = past / 4 - past / 100 + past / 400 - 477;
    let months: u64 = months.iter().take(before).sum();
    Some((year - 1970) * 365 + leap_days + months + day - 1)
}

/// The seconds of `12:00:00Z`.
fn seconds_of_day(text: &str) -> Option<u64> {
    let mut parts = text.strip_suffix(['Z', 'z'])?.split(':');
    let (hour, minute) = (number(parts.next()?, 2)?, number(parts.next()?, 2)?);
    let second = number(parts.next()?, 2)?;
    let is_time = hour < 24 && minute < 60 && second < 60 && parts.next().is_none();
    is_time.then_some(hour * 3600 + minute * 60 + second)
}

fn number(text: &str, digits: usize) -> Option<u64> {
    let is_number = text.len() == digits && text.bytes().all(|byte| byte.is_ascii_digit());
    text.parse().ok().filter(|_| is_number)
}

const DAY_SECONDS: u64 = 86_400;

#[cfg(test)]
mod tests {
    use super::*;

    fn unix(text: &str) -> Option<u64> {
        let at = Expiry::parse(text)?.at();
        at.duration_since(UNIX_EPOCH)
            .ok()
            .map(|since| since.as_secs())
    }

    #[test]
    fn a_date_lasts_until_its_end_and_a_moment_until_it_comes() {
        for (text, expected) in [
            ("1970-01-01", Some(86_400)),
            ("1970-01-01T00:00:00Z", Some(0)),
            ("2000-02-29T12:30:05Z", Some(951_827_405)),
            ("2026-11-28t00:00:00z", Some(1_795_824_000)),
            ("2026-11-27", Some(1_795_824_000)),
            ("2100-03-01T00:00:00Z", Some(4_107_542_400)),
            ("9999-12-31T23:59:59Z", Some(253_402_300_799)),
            ("2100-02-29", None),
            ("2026-02-29", None),
            ("2026-13-01", None),
            ("2026-00-01", None),
            ("2026-01-00", None),
            ("2026-01-32", None),
            ("1969-12-31", None),
            ("2026-1-1", None),
            ("2026-01-01-01", None),
            ("2026-01-01T24:00:00Z", None),
            ("2026-01-01T12:00:60Z", None),
            ("2026-01-01T12:00Z", None),
            ("2026-01-01T12:00:00", None),
            ("2026-01-01T12:00:00+02:00", None),
            ("+026-01-01", None),
            ("tomorrow", None),
            ("", None),
        ] {
            assert_eq!(unix(text), expected, "{text}");
        }
    }
}
