//! `mqtt_stats`: statistics over the numbers that come within a time. It changes nothing.
//!
//! Promises: exact over what came; no message is kept. Retained messages do not count, because they are not of this time,
//! but where values are counted: what devices hold is asked for there.

use std::cell::{Cell, RefCell};
use std::cmp::Ordering;
use std::rc::Rc;
use std::time::{Duration, Instant};

use async_io::Timer;
use serde::Serialize;

use super::Context;
use super::access::{Denied, Wording};
use super::arguments::Arguments;
use super::deadline::Deadline;
use super::sighting::{is_zero, seconds, time_of_day};
use crate::local::notify::Notify;
use crate::mcp::catalog::{ToolCall, ToolResult};
use crate::mqtt::{Tap, Tapped};
use crate::observe::distribution::Distribution;
use crate::observe::path::Path;
use crate::observe::room::Room;
use crate::observe::statistics::{Exact, Sample, Statistics, StatisticsByTopic};
use mcpmqtt_protocol::sort::sort_by;

#[derive(Serialize)]
struct StatsResult<'a> {
    topic: &'a str,
    /// How long was counted.
    seconds: f64,
    #[serde(flatten)]
    whole: Option<Row<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    topics: Option<usize>,
    #[serde(skip_serializing_if = "Option::is_none")]
    rows: Option<Vec<Row<'a>>>,
    /// The distinct values, the most frequent first.
    #[serde(skip_serializing_if = "Option::is_none")]
    values: Option<Vec<ValueRow<'a>>>,
    /// Topics beyond `top`.
    #[serde(skip_serializing_if = "is_none")]
    rows_left_out: usize,
    /// Messages without the value that is counted.
    #[serde(skip_serializing_if = "is_zero")]
    without_field: u64,
    #[serde(skip_serializing_if = "is_zero")]
    lost: u64,
    /// Another subscription matches the topics too, so the broker may have sent copies: counts are upper bounds.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    upper_bounds: bool,
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    interrupted: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    reason: Option<String>,
}

/// The statistics of a topic, or of all.
#[derive(Serialize)]
struct Row<'a> {
    #[serde(skip_serializing_if = "Option::is_none")]
    topic: Option<&'a str>,
    /// The numbers; absent where something came and none was a number.
    #[serde(skip_serializing_if = "Option::is_none")]
    n: Option<u64>,
    /// Messages a second.
    rate: f64,
    #[serde(skip_serializing_if = "Option::is_none")]
    min: Option<Exact>,
    #[serde(skip_serializing_if = "Option::is_none")]
    max: Option<Exact>,
    #[serde(skip_serializing_if = "Option::is_none")]
    mean: Option<Exact>,
    #[serde(skip_serializing_if = "Option::is_none")]
    sd: Option<f64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    first: Option<End>,
    #[serde(skip_serializing_if = "Option::is_none")]
    last: Option<End>,
    /// Messages that are no numbers.
    #[serde(skip_serializing_if = "is_zero")]
    no_number: u64,
    #[serde(skip_serializing_if = "is_zero")]
    without_field: u64,
}

/// How often a value came.
#[derive(Serialize)]
struct ValueRow<'a> {
    value: &'a str,
    n: u64,
    /// One topic with the value.
    topic: &'a str,
}

#[derive(Serialize)]
struct End {
    value: Exact,
    at: String,
}

/// What is counted.
struct Counting {
    field: Option<Path>,
    /// The statistics of all topics together, or of each.
    grouped: Option<RefCell<StatisticsByTopic>>,
    whole: RefCell<Statistics>,
    /// The distinct values, instead of statistics.
    values: Option<RefCell<Distribution>>,
    lost: Cell<u64>,
    may_be_copies: Cell<bool>,
    interrupted: Cell<bool>,
    ended: RefCell<Option<String>>,
    changed: Notify,
}

pub(super) async fn call(context: Rc<Context>, call: ToolCall) -> Result<ToolResult, String> {
    let mut arguments = Arguments::new(call.arguments);
    let length = arguments.seconds("seconds")?.unwrap_or(DEFAULT_LENGTH);
    let filter = arguments.filter("topic")?;
    let field = Path::parse_optional(arguments.optional_text("field")?.as_deref());
    let field = field.map_err(|why| format!("`field`: {why}"))?;
    let group_by = arguments.text("group_by")?;
    let sort = arguments.text("sort")?;
    let top = arguments.count("top")?;
    let room = context.statistics_rooms.of(call.client.caller().name());
    let counting = Rc::new(Counting::new(field, &group_by, room));
    let in_words = |denied: Denied| denied.tell(&NOT_COUNTED);
    let deadline = Deadline::new(SUBSCRIBING, call.progress, &call.client);
    let following = deadline.follow(&context.access, filter.clone(), counting.tap());
    let following = following.await.map_err(in_words)?;
    // The time of the subscription does not count.
    let begin = Instant::now();
    counting.begin();
    let deadline = deadline.part(length);
    let counted = deadline.with_reports(counting.until(deadline.until()), || counting.status());
    following.run(counted).await.map_err(in_words)?;
    let length = begin.elapsed();
    let grouped = counting.grouped.as_ref().map(RefCell::borrow);
    let whole = counting.whole.borrow();
    let mut rows: Option<Vec<Row<'_>>> = grouped.as_ref().map(|grouped| {
        let rows = grouped.iter();
        rows.map(|(topic, of_topic)| Row::new(Some(topic), of_topic, length))
            .collect()
    });
    let topics = rows.as_ref().map(Vec::len);
    if let Some(rows) = &mut rows {
        sort_by(rows, |a, b| a.compare(b, &sort));
        rows.truncate(top);
    }
    let shown = rows.as_ref().map_or(0, Vec::len);
    let distribution = counting.values.as_ref().map(RefCell::borrow);
    let values = distribution.as_ref().map(|it| value_rows(it, top));
    let all_values = distribution.as_ref().map_or(0, |it| it.len());
    let shown_values = values.as_ref().map_or(0, Vec::len);
    let left_out = grouped.as_ref().map_or(0, |grouped| grouped.left_out())
        + distribution.as_ref().map_or(0, |it| it.left_out());
    Ok(ToolResult::structured(&StatsResult {
        topic: filter.as_str(),
        seconds: seconds(length),
        whole: (grouped.is_none() && values.is_none()).then(|| Row::new(None, &whole, length)),
        topics,
        rows,
        values,
        rows_left_out: topics.unwrap_or(0) - shown + all_values - shown_values,
        without_field: distribution.as_ref().map_or(0, |it| it.without_field()),
        lost: counting.lost.get() + left_out,
        upper_bounds: counting.may_be_copies.get(),
        interrupted: counting.interrupted.get(),
        reason: counting.ended.take(),
    }))
}

/// The most frequent values.
fn value_rows(values: &Distribution, top: usize) -> Vec<ValueRow<'_>> {
    let mut rows: Vec<_> = values
        .iter()
        .map(|(value, it)| ValueRow {
            value,
            n: it.count,
            topic: &it.topic,
        })
        .collect();
    sort_by(&mut rows, |a, b| b.n.cmp(&a.n).then(a.value.cmp(b.value)));
    rows.truncate(top);
    rows
}

impl Counting {
    fn new(field: Option<Path>, group_by: &str, room: Room) -> Counting {
        Counting {
            values: (group_by == "value").then(|| RefCell::new(Distribution::new(field.clone()))),
            grouped: (group_by == "topic")
                .then(|| RefCell::new(StatisticsByTopic::new(field.clone(), room))),
            field,
            whole: RefCell::default(),
            lost: Cell::new(0),
            may_be_copies: Cell::new(false),
            interrupted: Cell::new(false),
            ended: RefCell::default(),
            changed: Notify::default(),
        }
    }

    fn begin(&self) {
        self.whole.take();
        if let Some(grouped) = &self.grouped {
            grouped.borrow_mut().clear();
        }
    }

    fn tap(self: &Rc<Self>) -> Tap {
        let counting = Rc::clone(self);
        Rc::new(move |now, tapped| counting.take(now, tapped))
    }

    fn take(&self, now: Instant, tapped: Tapped<'_>) {
        match tapped {
            Tapped::Message { message, .. } if message.retain && self.values.is_none() => {}
            Tapped::Message {
                message,
                may_be_copy,
            } => {
                let topic = message.topic.as_str();
                if let Some(values) = &self.values {
                    let mut values = values.borrow_mut();
                    values.message(topic, &message.payload, message.retain);
                    let is_unsure = values.may_be_copies() || (may_be_copy && !message.retain);
                    self.may_be_copies
                        .set(self.may_be_copies.get() || is_unsure);
                    return;
                }
                if may_be_copy {
                    self.may_be_copies.set(true);
                }
                match &self.grouped {
                    Some(grouped) => {
                        grouped.borrow_mut().message(now, topic, &message.payload);
                    }
                    None => {
                        let mut whole = self.whole.borrow_mut();
                        whole.add(now, &message.payload, self.field.as_ref());
                    }
                }
            }
            Tapped::TooLarge(large) => {
                let counts = !large.retain || self.values.is_some();
                self.lost.set(self.lost.get() + u64::from(counts));
            }
            Tapped::Interrupted => self.interrupted.set(true),
            Tapped::Ended(reason) => {
                self.ended.replace(Some(reason.to_string()));
                self.changed.notify();
            }
        }
    }

    /// Counts until this time, or until no more messages will come.
    async fn until(&self, time: Instant) {
        let ended = self.changed.until(|| self.ended.borrow().is_some());
        smol::future::or(ended, async {
            Timer::at(time).await;
        })
        .await;
    }

    fn status(&self) -> String {
        if let Some(values) = &self.values {
            return format!("{} distinct values", values.borrow().len());
        }
        let messages = match &self.grouped {
            Some(grouped) => grouped.borrow().iter().map(|(_, it)| it.messages()).sum(),
            None => self.whole.borrow().messages(),
        };
        format!("{messages} messages")
    }
}

impl<'a> Row<'a> {
    fn new(topic: Option<&'a str>, of: &Statistics, length: Duration) -> Row<'a> {
        let end = |sample: Sample| End {
            value: sample.value,
            at: time_of_day(sample.at),
        };
        Row {
            topic,
            n: (of.count() > 0 || of.messages() == 0).then(|| of.count()),
            rate: round(of.rate(length).unwrap_or_default(), 1000.0),
            min: of.min(),
            max: of.max(),
            mean: mean(of),
            sd: of.standard_deviation().map(|sd| significant(sd, DIGITS)),
            first: of.first().map(end),
            last: of.last().map(end),
            no_number: of.no_number(),
            without_field: of.no_field(),
        }
    }

    /// The order of rows: the largest first; what has no number comes last.
    fn compare(&self, other: &Row<'_>, by: &str) -> Ordering {
        let key = |row: &Row<'_>| match by {
            "rate" | "n" => Some(row.rate.into()),
            "min" => row.min,
            "max" => row.max,
            "mean" => row.mean,
            "sd" => row.sd.map(Exact::from),
            "last" => row.last.as_ref().map(|last| last.value),
            _ => None,
        };
        let (mine, theirs) = (key(self), key(other));
        let by_key = match (mine, theirs) {
            (Some(mine), Some(theirs)) => theirs.compare(&mine),
            (mine, theirs) => theirs.is_some().cmp(&mine.is_some()),
        };
        by_key.then_with(|| self.topic.cmp(&other.topic))
    }
}

fn round(value: f64, parts: f64) -> f64 {
    (value * parts).round() / parts
}

/// The mean to as many digits as tell it from the smallest and the largest number: counters and times of day differ in
/// their last digits only.
fn mean(of: &Statistics) -> Option<Exact> {
    let (mean, min, max) = (of.mean()?, of.min()?, of.max()?);
    if mean.whole().is_some() {
        return Some(mean);
    }
    let mean = mean.nearest();
    let mut rounded = (DIGITS..EXACT_DIGITS).map(|digits| significant(mean, digits));
    let close = (max.nearest() - min.nearest()) * 1e-5;
    let is_close = |rounded: &f64| (rounded - mean).abs() <= close;
    let shown = rounded.find(is_close).unwrap_or(mean);
    Some(Exact::from(shown).clamp(min, max))
}

/// A number to this many significant digits.
fn significant(value: f64, digits: usize) -> f64 {
    let text = format!("{value:.*e}", digits - 1);
    text.parse().unwrap_or(value)
}

pub(super) fn is_none(count: &usize) -> bool {
    *count == 0
}

const NOT_COUNTED: Wording = Wording {
    not_done: "nothing counted",
    meaning: "",
    withdrawn: "Nothing more is reported.",
};

/// How many significant digits are shown: more are noise for a reader.
const DIGITS: usize = 7;

/// So many tell any two numbers apart.
const EXACT_DIGITS: usize = 17;

/// How long is counted when the caller does not say.
const DEFAULT_LENGTH: Duration = Duration::from_secs(10);

/// How long the broker has for the subscription.
const SUBSCRIBING: Duration = Duration::from_secs(10);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_mean_has_as_many_digits_as_tell_it_from_the_ends() {
        for (numbers, expected) in [
            (vec![12_345_678.0, 12_345_678.0], 12_345_678.0),
            (vec![1_764_403_201.0, 1_764_403_202.0], 1_764_403_201.5),
            (vec![123_456_789.5, 123_456_789.7], 123_456_789.6),
            (vec![21.0, 22.0, 22.0], 21.66667),
            (vec![0.0, 1e9], 5e8),
        ] {
            let mut statistics = Statistics::default();
            for number in numbers {
                statistics.add_number(Instant::now(), number);
            }
            assert_eq!(mean(&statistics), Some(Exact::from(expected)));
        }
        let mut equal = Statistics::default();
        for _ in 0..3 {
            equal.add(Instant::now(), b"9007199254740993", None);
        }
        let shown = serde_json::to_string(&mean(&equal)).unwrap_or_default();
        assert_eq!(shown, "9007199254740993", "not below the smallest");
    }
}
