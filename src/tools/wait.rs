//! `mqtt_wait`: waits until a condition holds on the messages of a filter. It changes nothing.

mod also;

use std::rc::Rc;
use std::time::{Duration, Instant};

use mcpmqtt_protocol::topic::SubscribeFilter;
use serde::Serialize;
use smol::future;

use self::also::{AlsoFilter, AlsoRow, AlsoValues};
use super::Context;
use super::access::{Access, Denied, Follow, Wording};
use super::arguments::Arguments;
use super::condition_wait::{ConditionWait, WaitEnd};
use super::deadline::Deadline;
use super::sighting::{Sighting, seconds};
use crate::local::time;
use crate::mcp::catalog::{ToolCall, ToolResult};
use crate::observe::watcher::{ConditionWatch, Live, Met};

#[derive(Default, Serialize)]
struct WaitResult {
    met: bool,
    /// The condition held when the call began, by a retained value.
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
    #[serde(skip_serializing_if = "Vec::is_empty")]
    also: Vec<AlsoRow>,
    #[serde(skip_serializing_if = "is_zero")]
    also_left_out: u64,
    #[serde(skip_serializing_if = "Option::is_none")]
    ended_by: Option<&'static str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    reason: Option<String>,
}

/// What was not judged, and why: messages that came and say nothing on the condition.
#[derive(Default, Serialize)]
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

pub(super) async fn call(context: Rc<Context>, call: ToolCall) -> Result<ToolResult, String> {
    let mut arguments = Arguments::new(call.arguments);
    let deadline = Deadline::new(arguments.timeout()?, call.progress, &call.client);
    let topic = arguments.filter("topic")?;
    let condition = arguments.condition()?;
    let also = also_filters(arguments.texts("also")?, &topic)?;
    let in_words = |denied: Denied| denied.tell(&NOT_WAITED);
    let access = &context.access;
    let values = Rc::new(AlsoValues::default());
    let _others = follow_also(access, &deadline, &also, &values).await?;
    let start = time::now();
    let until = deadline.until();
    let watch = ConditionWatch::new(condition, Live::NotRequired, start, until);
    let marking = Rc::clone(&values);
    let on_met = move |at| marking.mark(at);
    let begun = ConditionWait::begin(access, &deadline, topic.clone(), watch, on_met).await;
    let waiting = begun.map_err(in_words)?;
    let end = waiting.end(&deadline).await.map_err(in_words)?;
    let mut result = told(&waiting, &end, start);
    if let (WaitEnd::Met(met), false) = (&end, also.is_empty()) {
        let complete = values.complete(&also, &topic, &met.topic);
        future::or(complete, async {
            time::after(AFTERWARDS).await;
        })
        .await;
        (result.also, result.also_left_out) = values.rows(&also, &topic, &met.topic);
    }
    Ok(ToolResult::structured(&result))
}

fn also_filters(texts: Vec<String>, topic: &SubscribeFilter) -> Result<Vec<AlsoFilter>, String> {
    if texts.len() > MOST_ALSO {
        return Err(format!(
            "`also` has {} items; at most {MOST_ALSO}",
            texts.len()
        ));
    }
    let filters = texts.iter().enumerate().map(|(n, text)| {
        AlsoFilter::parse(text, topic).map_err(|why| format!("`also[{n}]`: {why}"))
    });
    filters.collect()
}

async fn follow_also(
    access: &Access,
    deadline: &Deadline,
    also: &[AlsoFilter],
    values: &Rc<AlsoValues>,
) -> Result<Vec<Follow>, String> {
    let mut followed = Vec::new();
    for (n, filter) in also.iter().enumerate() {
        let following = deadline.follow(access, filter.subscribed().clone(), values.tap());
        let following = following.await;
        let following =
            following.map_err(|denied| format!("`also[{n}]`: {}", denied.tell(&NOT_WAITED)))?;
        followed.push(following);
    }
    Ok(followed)
}

fn told(waiting: &ConditionWait, end: &WaitEnd, start: Instant) -> WaitResult {
    let watch = waiting.watch();
    let mut result = WaitResult {
        waited_s: seconds(time::now().saturating_duration_since(start)),
        messages: watch.counts().messages,
        unjudged: Unjudged::of(waiting),
        ..WaitResult::default()
    };
    match end {
        WaitEnd::Met(met) => {
            result.met = true;
            result.already = met.already;
            result.topic = Some(met.topic.clone());
            result.value = Some(Sighting::new(&met.reading, met.at, met.retained));
            result.before = before(met);
            result.held_s = (!met.held.is_zero()).then(|| seconds(met.held));
        }
        WaitEnd::NotMet | WaitEnd::Lost(_) => {
            result.ended_by = Some("timeout");
            if let Some((topic, last)) = watch.last() {
                result.topic = Some(topic.to_owned());
                result.value = Some(Sighting::new(&last.reading, last.at, last.retained));
            }
        }
    }
    if let WaitEnd::Lost(reason) = end {
        result.ended_by = Some("subscription_lost");
        result.reason = Some(reason.clone());
    }
    result
}

pub(super) fn before(met: &Met) -> Option<Sighting> {
    let before = met.before.as_ref()?;
    Some(Sighting::new(&before.reading, before.at, before.retained))
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

pub(super) fn is_zero(count: &u64) -> bool {
    *count == 0
}

const NOT_WAITED: Wording = Wording {
    not_done: "not waited",
    meaning: "",
    withdrawn: "Nothing more is reported.",
};

/// The most other filters of one call.
const MOST_ALSO: usize = 5;

/// How long the values after the event are waited for.
const AFTERWARDS: Duration = Duration::from_secs(2);
