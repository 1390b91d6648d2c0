//! A value with the time when it was seen, as JSON.

use std::time::{Instant, SystemTime};

use serde::Serialize;
use serde_json::Value;

use crate::clock;
use crate::observe::reading::Reading;
use crate::observe::watcher::Seen;

/// A value of a topic, as it was seen.
#[derive(Debug, Serialize)]
pub(super) struct Sighting {
    /// The value; the beginning of its text when it is long; null for bytes that are not text.
    value: Value,
    /// The size of the whole value in bytes, set only when `value` does not show all of it.
    #[serde(skip_serializing_if = "Option::is_none")]
    value_bytes: Option<usize>,
    /// The time of arrival. A retained value has none: its publisher sent it at an unknown time before.
    #[serde(skip_serializing_if = "Option::is_none")]
    at: Option<String>,
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    retained: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    age: Option<&'static str>,
}

impl Sighting {
    pub(super) fn of(seen: &Seen) -> Sighting {
        Sighting::new(&seen.reading, seen.at, seen.retained)
    }

    pub(super) fn new(reading: &Reading, at: Instant, retained: bool) -> Sighting {
        let shown = reading.to_json(VALUE_BYTES);
        Sighting {
            value: shown.value,
            value_bytes: shown.whole_bytes,
            at: (!retained).then(|| time_of_day(at)),
            retained,
            age: retained.then_some("unknown"),
        }
    }
}

/// The time of day of a moment, RFC 3339 in UTC.
pub(super) fn time_of_day(at: Instant) -> String {
    let (now, time) = (Instant::now(), SystemTime::now());
    let then = match at.checked_duration_since(now) {
        Some(ahead) => time.checked_add(ahead),
        None => time.checked_sub(now.saturating_duration_since(at)),
    };
    clock::rfc3339(then.unwrap_or(time))
}

/// Seconds to the millisecond, for results.
pub(super) fn seconds(duration: std::time::Duration) -> f64 {
    (duration.as_secs_f64() * 1000.0).round() / 1000.0
}

/// Milliseconds to the microsecond, for results.
pub(super) fn milliseconds(duration: std::time::Duration) -> f64 {
    (duration.as_secs_f64() * 1e6).round() / 1e3
}

/// For members of a result that are left out at zero.
pub(super) fn is_zero(count: &u64) -> bool {
    *count == 0
}

/// The most bytes of a text in a sighting.
const VALUE_BYTES: usize = 200;
