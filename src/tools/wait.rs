//! `mqtt_wait`: waits until a condition holds on the messages of a filter. It changes nothing.

mod also;

use std::rc::Rc;
use std::time::Duration;

use mcpmqtt_protocol::topic::SubscribeFilter;
use serde::Serialize;
use smol::future;

use self::also::{AlsoFilter, AlsoRow, AlsoValues};
use super::Context;
use super::access::{Access, Denied, Follow, Wording};
use super::arguments::Arguments;
use super::condition_result::ConditionResult;
use super::condition_wait::{ConditionWait, WaitEnd};
use super::deadline::Deadline;
use super::sighting::is_zero;
use crate::local::time;
use crate::mcp::catalog::{ToolCall, ToolResult};
use crate::observe::watcher::{ConditionWatch, Live};

#[derive(Serialize)]
struct WaitResult {
    #[serde(flatten)]
    condition: ConditionResult,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    also: Vec<AlsoRow>,
    #[serde(skip_serializing_if = "is_zero")]
    also_left_out: u64,
    #[serde(skip_serializing_if = "Option::is_none")]
    ended_by: Option<&'static str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    reason: Option<String>,
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
    let condition = ConditionResult::of(&waiting, &end, start);
    let (mut also_rows, mut also_left_out) = (Vec::new(), 0);
    if let (WaitEnd::Met(met), false) = (&end, also.is_empty()) {
        let complete = values.complete(&also, &topic, &met.topic);
        future::or(complete, async {
            time::after(AFTERWARDS).await;
        })
        .await;
        (also_rows, also_left_out) = values.rows(&also, &topic, &met.topic);
    }
    let (ended_by, reason) = match end {
        WaitEnd::Met(_) => (None, None),
        WaitEnd::NotMet => (Some("timeout"), None),
        WaitEnd::Lost(reason) => (Some("subscription_lost"), Some(reason)),
    };
    let result = WaitResult {
        condition,
        also: also_rows,
        also_left_out,
        ended_by,
        reason,
    };
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

const NOT_WAITED: Wording = Wording {
    not_done: "not waited",
    meaning: "",
    withdrawn: "Nothing more is reported.",
};

/// The most other filters of one call.
const MOST_ALSO: usize = 5;

/// How long the values after the event are waited for.
const AFTERWARDS: Duration = Duration::from_secs(2);
