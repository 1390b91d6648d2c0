//! The effects that the operator's rules require after a write, as a result tells them.

use serde::{Serialize, Serializer};

use super::access::{Awaited, Effects};
use super::deadline::Deadline;
use super::sighting::{Sighting, milliseconds};

/// Whether an effect showed. The least of several is that of all together.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Confirmed {
    No,
    NothingCame,
    Yes,
}

/// One effect of the operator's rules.
#[derive(Debug, Serialize)]
pub(super) struct EffectRow {
    /// Absent where the caller may not read it.
    #[serde(skip_serializing_if = "Option::is_none")]
    topic: Option<String>,
    confirmed: Confirmed,
    /// The value that showed the effect, or the last one that came. Absent where the caller may not read it.
    #[serde(skip_serializing_if = "Option::is_none")]
    after: Option<Sighting>,
    /// From the publish until the value came.
    #[serde(skip_serializing_if = "Option::is_none")]
    after_ms: Option<f64>,
    messages: u64,
}

/// The effects of a write, when each has shown or its time is over.
#[derive(Debug, Default)]
pub(super) struct EffectsShown(pub(super) Vec<EffectRow>);

impl EffectsShown {
    /// Waits for the effects, which no caller can do without.
    pub(super) async fn wait(effects: &Effects, call: &Deadline) -> EffectsShown {
        if effects.iter().len() == 0 {
            return EffectsShown::default();
        }
        let status = || "waiting for the effect".to_owned();
        // Boxed, because a publish without such rules must not pay for it.
        Box::pin(call.with_reports(effects.end(), status)).await;
        EffectsShown(effects.iter().map(EffectRow::new).collect())
    }

    /// Whether all of them showed; None without any.
    pub(super) fn confirmed(&self) -> Option<Confirmed> {
        self.0.iter().map(|row| row.confirmed).min()
    }
}

impl EffectRow {
    fn new(awaited: &Awaited) -> EffectRow {
        let seen = awaited.seen();
        let confirmed = match (seen.is_shown, seen.messages) {
            (true, _) => Confirmed::Yes,
            (false, 0) => Confirmed::NothingCame,
            (false, _) => Confirmed::No,
        };
        let last = seen.last.as_ref();
        let value = last.filter(|_| awaited.is_readable);
        let shown = last.filter(|_| seen.is_shown);
        EffectRow {
            topic: awaited
                .is_readable
                .then(|| awaited.topic().as_str().to_owned()),
            confirmed,
            after: value.map(|(reading, at)| Sighting::new(reading, *at, false)),
            after_ms: shown
                .map(|(_, at)| milliseconds(at.saturating_duration_since(awaited.sent()))),
            messages: seen.messages,
        }
    }
}

/// True, false, or `nothing_came`.
impl Serialize for Confirmed {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self {
            Confirmed::Yes => serializer.serialize_bool(true),
            Confirmed::No => serializer.serialize_bool(false),
            Confirmed::NothingCame => serializer.serialize_str("nothing_came"),
        }
    }
}
