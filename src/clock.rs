//! Times of day as text.
//!
//! Promises: UTC, RFC 3339, milliseconds, for any `SystemTime` there is.
//! Does not read the clock.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

/// `time` as `2026-11-23T10:00:00.123Z`, cut to the millisecond before it.
pub fn rfc3339(time: SystemTime) -> String {
    let (days, millis) = match time.duration_since(UNIX_EPOCH) {
        Ok(after) => split_days(after),
        Err(before) => {
            let (days, millis) = split_days(round_up_to_millis(before.duration()));
            if millis == 0 {
                (-days, 0)
            } else {
                (-days - 1, DAY_MILLIS - millis)
            }
        }
    };
    let (year, month, day) = civil(days);
    let (seconds, millis) = (millis / 1000, millis % 1000);
    let (hour, minute, second) = (seconds / 3600, seconds / 60 % 60, seconds % 60);
    format!("{year:04}-{month:02}-{day:02}T{hour:02}:{minute:02}:{second:02}.{millis:03}Z")
}

/// Whole days and the milliseconds of the day begun.
fn split_days(since: Duration) -> (i64, u64) {
    let days = i64::try_from(since.as_secs() / DAY_SECONDS).unwrap_or(i64::MAX);
    let millis = since.as_secs() % DAY_SECONDS * 1000 + u64::from(since.subsec_millis());
    (days, millis)
}

fn round_up_to_millis(duration: Duration) -> Duration {
    match duration.subsec_nanos() % 1_000_000 {
        0 => duration,
        over => duration.saturating_add(Duration::from_nanos(u64::from(1_000_000 - over))),
    }
}

/// Year, month and day of the `days`th day after 1970-01-01, in the Gregorian calendar without
/// end. Counts years from the 1st of March, so that the leap day comes last: day `n` of such a
/// year is in month `(5n + 2) / 153`, since every five months from March on have 153 days.
fn civil(days: i64) -> (i64, i64, i64) {
    let days = days + DAYS_FROM_0000_03_01_TO_1970;
    let (era, day_of_era) = (days.div_euclid(ERA_DAYS), days.rem_euclid(ERA_DAYS));
    let leap_days = day_of_era / 1460 - day_of_era / 36_524 + day_of_era / 146_096;
    let year_of_era = (day_of_era - leap_days) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let months_from_march = (5 * day_of_year + 2) / 153;
    let day = day_of_year - (153 * months_from_march + 2) / 5 + 1;
    let month = if months_from_march < 10 {
        months_from_march + 3
    } else {
        months_from_march - 9
    };
    let year = era * 400 + year_of_era + i64::from(month <= 2);
    (year, month, day)
}

const DAY_SECONDS: u64 = 86_400;
const DAY_MILLIS: u64 = 86_400_000;
const DAYS_FROM_0000_03_01_TO_1970: i64 = 719_468;
/// The calendar repeats after 400 years.
const ERA_DAYS: i64 = 146_097;

#[cfg(test)]
mod tests {
    use super::*;

    fn at(seconds: u64, millis: u64) -> String {
        rfc3339(UNIX_EPOCH + Duration::from_secs(seconds) + Duration::from_millis(millis))
    }

    #[test]
    fn known_moments_read_as_the_calendar_has_them() {
        assert_eq!(at(0, 0), "1970-01-01T00:00:00.000Z");
        assert_eq!(at(951_782_399, 999), "2000-02-28T23:59:59.999Z");
        assert_eq!(at(951_782_400, 0), "2000-02-29T00:00:00.000Z");
        assert_eq!(at(1_234_567_890, 5), "2009-02-13T23:31:30.005Z");
        assert_eq!(at(4_107_542_399, 0), "2100-02-28T23:59:59.000Z");
        assert_eq!(at(4_107_542_400, 0), "2100-03-01T00:00:00.000Z");
    }

    #[test]
    fn days_follow_one_another_for_eight_hundred_years() {
        let (mut year, mut month, mut day) = (1970, 1, 1);
        for days in 0..800 * 366 {
            assert_eq!(civil(days), (year, month, day));
            let leap = year % 4 == 0 && (year % 100 != 0 || year % 400 == 0);
            let length = match month {
                2 if leap => 29,
                2 => 28,
                4 | 6 | 9 | 11 => 30,
                _ => 31,
            };
            day += 1;
            if day > length {
                (day, month) = (1, month + 1);
            }
            if month > 12 {
                (month, year) = (1, year + 1);
            }
        }
    }

    #[test]
    fn a_moment_before_1970_is_cut_backwards() {
        let before = |nanos| rfc3339(UNIX_EPOCH - Duration::from_nanos(nanos));
        assert_eq!(before(1), "1969-12-31T23:59:59.999Z");
        assert_eq!(before(1_000_000), "1969-12-31T23:59:59.999Z");
        assert_eq!(before(86_400_000_000_000), "1969-12-31T00:00:00.000Z");
    }
}
