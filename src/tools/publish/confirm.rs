//! `confirm`: the condition that shows the effect of a message.

use std::time::{Duration, Instant};

use mcpmqtt_protocol::topic::SubscribeFilter;
use serde::Serialize;

use super::confirm_each::{ConfirmingEach, SeenEach};
use super::{NOT_YET, WORDING};
use crate::local::time;
use crate::observe::condition::{Condition, Op};
use crate::observe::watcher::{ConditionWatch, Live};
use crate::tools::access::Access;
use crate::tools::arguments::Arguments;
use crate::tools::condition_result::Unjudged;
use crate::tools::condition_wait::{ConditionWait, WaitEnd};
use crate::tools::deadline::Deadline;
use crate::tools::effects::{Confirmed, EffectsShown};
use crate::tools::sighting::{Sighting, milliseconds};

pub(super) struct Confirm {
    filter: SubscribeFilter,
    condition: Condition,
    timeout: Duration,
    /// Every topic of the filter has to show the effect, not the first only.
    each: bool,
}

/// A confirmation that is being waited for.
pub(super) enum Confirming {
    First(ConfirmingFirst),
    Each(ConfirmingEach),
}

/// A confirmation by the first message that shows the effect.
pub(super) struct ConfirmingFirst {
    waiting: ConditionWait,
    timeout: Duration,
}

/// The confirmation's part of the result.
#[derive(Serialize)]
pub(super) struct Confirmation {
    confirmed: Confirmed,
    /// Absent where only the operator asks for it.
    #[serde(skip_serializing_if = "Option::is_none")]
    confirmation: Option<SeenOf>,
}

#[derive(Serialize)]
#[serde(untagged)]
enum SeenOf {
    First(Box<Seen>),
    Each(Box<SeenEach>),
}

#[derive(Serialize)]
struct Seen {
    /// The topic of the message that confirmed it, or of the last one.
    #[serde(skip_serializing_if = "Option::is_none")]
    topic: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    before: Option<Sighting>,
    /// The value that confirmed it, or the last one that came.
    #[serde(skip_serializing_if = "Option::is_none")]
    after: Option<Sighting>,
    /// From the publish until the value came.
    #[serde(skip_serializing_if = "Option::is_none")]
    after_ms: Option<f64>,
    messages: u64,
    #[serde(flatten)]
    unjudged: Unjudged,
    #[serde(skip_serializing_if = "Option::is_none")]
    reason: Option<String>,
}

impl Confirm {
    pub(super) fn parse(mut arguments: Arguments) -> Result<Confirm, String> {
        let in_place = |why: String| format!("`confirm`: {why}");
        let mut parsed = || {
            let each = arguments.flag("each")?;
            let confirm = Confirm {
                filter: arguments.filter("topic")?,
                timeout: arguments.timeout()?,
                condition: arguments.condition()?,
                each,
            };
            if each && !confirm.condition.hold().is_zero() {
                return Err("`hold_s` is not for `each`".into());
            }
            if each && confirm.condition.op() == Op::Changed {
                return Err("`changed` is not for `each`; use another op".into());
            }
            Ok(confirm)
        };
        parsed().map_err(in_place)
    }

    pub(super) fn filter(&self) -> &SubscribeFilter {
        &self.filter
    }

    /// Subscribes, so that no message after the publish is missed.
    pub(super) async fn begin(
        &self,
        access: &Access,
        call: &Deadline,
    ) -> Result<Confirming, String> {
        if self.each {
            let (filter, condition) = (self.filter.clone(), self.condition.clone());
            let begun = ConfirmingEach::begin(access, call, filter, condition, self.timeout);
            return Ok(Confirming::Each(begun.await?));
        }
        let deadline = call.part(self.timeout);
        let watch = ConditionWatch::prepared(self.condition.clone(), Live::Required, time::now());
        let filter = self.filter.clone();
        let begun = ConditionWait::begin(access, &deadline, filter, watch, |_| {}).await;
        let waiting = begun.map_err(|denied| format!("`confirm`: {}", denied.tell(&NOT_YET)))?;
        Ok(Confirming::First(ConfirmingFirst {
            waiting,
            timeout: self.timeout,
        }))
    }
}

impl Confirmation {
    pub(super) fn of_each(confirmed: Confirmed, seen: SeenEach) -> Confirmation {
        Confirmation {
            confirmed,
            confirmation: Some(SeenOf::Each(Box::new(seen))),
        }
    }

    /// With the effects that the operator asks for: the caller's own condition does not replace them.
    pub(super) fn with(own: Option<Confirmation>, effects: &EffectsShown) -> Option<Confirmation> {
        let required = effects.confirmed();
        let (confirmed, confirmation) = match (own, required) {
            (None, required) => (required?, None),
            (Some(own), None) => (own.confirmed, own.confirmation),
            (Some(own), Some(required)) => (own.confirmed.min(required), own.confirmation),
        };
        Some(Confirmation {
            confirmed,
            confirmation,
        })
    }
}

impl Confirming {
    /// The message is published now: what came before is no confirmation.
    pub(super) fn begin_anew(&self) {
        match self {
            Confirming::First(first) => first.waiting.start(first.timeout),
            Confirming::Each(each) => each.begin_anew(),
        }
    }

    /// Waits for the confirmation.
    pub(super) async fn end(&self, call: &Deadline, sent: Instant) -> Result<Confirmation, String> {
        match self {
            Confirming::First(first) => first.end(call, sent).await,
            Confirming::Each(each) => each.end(call, sent).await,
        }
    }
}

impl ConfirmingFirst {
    async fn end(&self, call: &Deadline, sent: Instant) -> Result<Confirmation, String> {
        let deadline = call.part(self.timeout);
        let end = self.waiting.end(&deadline).await;
        let end = end.map_err(|denied| denied.tell(&WORDING))?;
        let watch = self.waiting.watch();
        let counts = watch.counts();
        let live = counts.messages - counts.retained;
        let mut seen = Seen {
            topic: None,
            before: None,
            after: None,
            after_ms: None,
            messages: live,
            unjudged: Unjudged::of(&self.waiting),
            reason: None,
        };
        let confirmed = match end {
            WaitEnd::Met(met) => {
                seen.topic = Some(met.topic.clone());
                let before = met.before.as_ref().or(watch.before_last());
                seen.before = before.map(Sighting::of);
                seen.after = Some(Sighting::new(&met.reading, met.at, false));
                let after = met.at.saturating_duration_since(sent);
                seen.after_ms = Some(milliseconds(after));
                Confirmed::Yes
            }
            WaitEnd::NotMet | WaitEnd::Lost(_) => {
                if let WaitEnd::Lost(reason) = end {
                    seen.reason = Some(reason);
                }
                if let Some((topic, last)) = watch.last() {
                    seen.topic = Some(topic.to_owned());
                    seen.before = watch.before_last().map(Sighting::of);
                    seen.after = Some(Sighting::of(last));
                } else if let (Some((topic, before)), 0) = (watch.earlier(), live) {
                    seen.topic = Some(topic.to_owned());
                    seen.before = Some(Sighting::of(before));
                }
                match live {
                    0 => Confirmed::NothingCame,
                    _ => Confirmed::No,
                }
            }
        };
        Ok(Confirmation {
            confirmed,
            confirmation: Some(SeenOf::First(Box::new(seen))),
        })
    }
}
