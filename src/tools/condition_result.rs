//! What a wait for a condition came to, as `mqtt_wait` and `when` of `mqtt_publish` say it.

use std::time::Instant;

use serde::Serialize;

use super::condition_wait::{ConditionWait, WaitEnd};
use super::sighting::{Sighting, is_zero, seconds};
use crate::local::time;

/// The result of a wait for a condition.
#[derive(Serialize)]
pub(super) struct ConditionResult {
    met: bool,
    /// The value that met the condition came as a retained message.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    already: bool,
    /// The topic of the message that met the condition, or of the last one.
    #[serde(skip_serializing_if = "Option::is_none")]
    topic: Option<String>,
    /// The value that met the condition, or the last one.
    #[serde(flatten)]
    value: Option<Sighting>,
    #[serde(skip_serializing_if = "Option::is_none")]
    before: Option<Sighting>,
    #[serde(skip_serializing_if = "Option::is_none")]
    held_s: Option<f64>,
    waited_s: f64,
    messages: u64,
    #[serde(flatten)]
    unjudged: Unjudged,
}

/// What was not judged, and why: messages that came and say nothing on the condition.
#[derive(Serialize)]
pub(super) struct Unjudged {
    #[serde(skip_serializing_if = "is_zero")]
    without_field: u64,
    #[serde(skip_serializing_if = "is_zero")]
    no_number: u64,
    #[serde(skip_serializing_if = "is_zero")]
    lost: u64,
    /// The connection was lost meanwhile, so messages may be missing.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    interrupted: bool,
}

impl ConditionResult {
    /// The result of a wait that began at `since` and ended now.
    pub(super) fn of(waiting: &ConditionWait, end: &WaitEnd, since: Instant) -> ConditionResult {
        let watch = waiting.watch();
        let result = ConditionResult {
            met: false,
            already: false,
            topic: None,
            value: None,
            before: None,
            held_s: None,
            waited_s: seconds(time::now().saturating_duration_since(since)),
            messages: watch.counts().messages,
            unjudged: Unjudged::of(waiting),
        };
        match end {
            WaitEnd::Met(met) => ConditionResult {
                met: true,
                already: met.already,
                topic: Some(met.topic.clone()),
                value: Some(Sighting::new(&met.reading, met.at, met.retained)),
                before: met.before.as_ref().map(Sighting::of),
                held_s: (!met.held.is_zero()).then(|| seconds(met.held)),
                ..result
            },
            WaitEnd::NotMet | WaitEnd::Lost(_) => ConditionResult {
                topic: watch.last().map(|(topic, _)| topic.to_owned()),
                value: watch.last().map(|(_, last)| Sighting::of(last)),
                ..result
            },
        }
    }
}

impl Unjudged {
    pub(super) fn of(waiting: &ConditionWait) -> Unjudged {
        let watch = waiting.watch();
        let counts = watch.counts();
        Unjudged {
            without_field: counts.no_json + counts.no_field,
            no_number: counts.no_number + counts.wrong_kind,
            lost: waiting.too_large() + counts.no_room,
            interrupted: waiting.interruptions() > 0,
        }
    }
}
