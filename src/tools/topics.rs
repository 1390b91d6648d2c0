//! `mqtt_topics`: what is there. It changes nothing.
//!
//! Promises: a caller sees, counts and groups only what it may read; an answer has at most 2,000 tokens, says how long it
//! looked, and counts what it leaves out.

mod row;

use std::cmp::Ordering;
use std::rc::Rc;
use std::time::{Duration, Instant};

use mcpmqtt_config::Policy;
use mcpmqtt_protocol::topic::{Shown, SubscribeFilter, TopicFilter};
use serde::Serialize;

use self::row::{GroupRow, TopicRow, description};
use super::Context;
use super::arguments::Arguments;
use super::deadline::Deadline;
use super::sighting::seconds;
use crate::local::time;
use crate::mcp::catalog::{ToolCall, ToolResult};
use crate::observe::groups;
use crate::observe::kind::Kind;
use crate::observe::record::Row;
use crate::observe::rhythm::Silence;
use crate::observe::table::{LeftOut, Table};
use mcpmqtt_protocol::sort::sort_by;

#[derive(Serialize)]
struct Overview {
    topic: String,
    /// Since when all of it was watched, in seconds.
    looked_s: f64,
    /// The topics that came and match the call.
    topics: usize,
    #[serde(skip_serializing_if = "Option::is_none")]
    groups: Option<Vec<GroupRow>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    rows: Option<Vec<TopicRow>>,
    /// Topics that are not in the rows; a narrower `topic` reaches them.
    #[serde(skip_serializing_if = "super::stats::is_none")]
    left_out: usize,
    notes: Vec<String>,
}

/// What the caller asked for.
struct Request {
    filter: TopicFilter,
    length: Duration,
    search: Option<String>,
    detail: Detail,
    sort: Sort,
    limit: usize,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Detail {
    Groups,
    Topics,
    Silent,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Sort {
    Topic,
    Rate,
    Count,
    Age,
    Value,
}

pub(super) async fn call(context: Rc<Context>, call: ToolCall) -> Result<ToolResult, String> {
    let request = Request::parse(Arguments::new(call.arguments))?;
    let deadline = Deadline::new(SUBSCRIBING, call.progress, &call.client);
    let observation = &context.observation;
    let caller = call.client.caller();
    let mut watching = observation.watch(caller, &request.filter, &deadline).await;
    if let Some(since) = watching.since {
        let looking = deadline.part(request.length);
        let end = since + request.length;
        looking
            .with_reports(
                async {
                    time::at(end).await;
                },
                || "looking".into(),
            )
            .await;
    }
    // Dropped after the table: from then on what was watched for this call is idle.
    let _look = watching.look.take();
    let policy = context.access.policy(caller);
    let table = observation.table();
    let now = time::now();
    let looked = watching
        .since
        .map(|since| now.saturating_duration_since(since));
    watching.notes.extend(observation.gap(watching.since));
    watching.notes.extend(notes(&request, looked, &table));
    watching
        .notes
        .extend(observation.too_large(|topic| request.is_seen(topic, &policy)));
    watching.notes.extend(observation.stopped());
    let rows = request.select(&table, &policy, now);
    watching
        .notes
        .extend(request.undecided(&table, &policy, now));
    if rows.iter().any(Row::is_upper_bound) {
        watching.notes.push(UPPER_BOUNDS.into());
    }
    let overview = request.overview(rows, &policy, now, looked, watching.notes);
    Ok(ToolResult::structured(&overview))
}

/// What the answer cannot know.
fn notes(request: &Request, looked: Option<Duration>, table: &Table) -> Vec<String> {
    let mut notes = Vec::new();
    match looked {
        None => notes.push("nothing below this filter may be read, or none of it could be watched".into()),
        Some(looked) if request.detail == Detail::Silent => notes.push(format!(
            "`age_s: unknown` is only retained: it did not come in the {:.1} s watched, so look for longer than its period; \
             others came several times in a rhythm of their own and then no more",
            looked.as_secs_f64()
        )),
        Some(looked) => notes.push(format!(
            "topics that are not retained and did not come within {:.1} s are not here",
            looked.as_secs_f64()
        )),
    }
    if let Some(LeftOut {
        topics_at_least, ..
    }) = table.left_out()
    {
        notes.push(format!(
            "at least {topics_at_least} topics found no room (`observe.topics`, `observe.bytes`); ask for a narrower topic"
        ));
    }
    notes
}

impl Request {
    fn parse(mut arguments: Arguments) -> Result<Request, String> {
        let filter = arguments.text("topic")?;
        let filter = TopicFilter::parse(&filter).map_err(|error| format!("`topic`: {error}"))?;
        if filter.as_str().starts_with("$share/") {
            return Err("`topic`: a shared subscription takes messages away from others".into());
        }
        let detail = match (
            arguments.text("detail")?.as_str(),
            arguments.flag("silent")?,
        ) {
            (_, true) => Detail::Silent,
            ("topics", false) => Detail::Topics,
            _ => Detail::Groups,
        };
        let search = arguments.optional_text("search")?;
        Ok(Request {
            filter,
            length: arguments.seconds("seconds")?.unwrap_or(LENGTH),
            search: search
                .map(|text| text.to_lowercase())
                .filter(|text| !text.is_empty()),
            detail,
            sort: match arguments.text("sort")?.as_str() {
                "rate" => Sort::Rate,
                "count" => Sort::Count,
                "age" => Sort::Age,
                "value" => Sort::Value,
                _ => Sort::Topic,
            },
            limit: arguments.count("limit")?,
        })
    }

    /// The rows that the caller may see and asked for, in the order of the topics.
    fn select<'t>(&self, table: &'t Table, policy: &Policy, now: Instant) -> Vec<Row<'t>> {
        let mut rows: Vec<_> = table
            .rows()
            .filter(|row| self.is_seen(row.topic(), policy))
            .filter(|row| self.finds(row, policy))
            .filter(|row| self.detail != Detail::Silent || is_silent(row, now))
            .collect();
        sort_by(&mut rows, |a, b| a.topic().cmp(b.topic()));
        rows
    }

    /// Whether the caller asked for the topic, and may read it.
    fn is_seen(&self, topic: &str, policy: &Policy) -> bool {
        self.filter.matches(topic) && policy.may_receive(topic)
    }

    /// How many topics sent too little to say whether they stopped.
    fn undecided(&self, table: &Table, policy: &Policy, now: Instant) -> Option<String> {
        let rows = table.rows();
        let asked = rows.filter(|row| self.is_seen(row.topic(), policy) && self.finds(row, policy));
        let undecided = asked.filter(|row| row.silence(now) == Silence::Unknown);
        let count = undecided.count();
        let is_told = self.detail == Detail::Silent && count > 0;
        is_told.then(|| {
            format!(
                "of {count} topics too few messages came to tell whether they stopped; ask again later, or see \
                 `detail: topics, sort: age`"
            )
        })
    }

    fn finds(&self, row: &Row<'_>, policy: &Policy) -> bool {
        let Some(search) = &self.search else {
            return true;
        };
        let contains = |text: &str| text.to_lowercase().contains(search.as_str());
        let in_fields = || match row.kind() {
            Kind::Json(shape) => shape.fields().any(|(name, _)| contains(name)),
            _ => false,
        };
        contains(row.topic())
            || in_fields()
            || description(policy, row.topic()).is_some_and(contains)
    }

    fn overview(
        &self,
        mut rows: Vec<Row<'_>>,
        policy: &Policy,
        now: Instant,
        looked: Option<Duration>,
        notes: Vec<String>,
    ) -> Overview {
        let mut overview = Overview {
            topic: self.filter.as_str().to_owned(),
            looked_s: seconds(looked.unwrap_or_default()),
            topics: rows.len(),
            groups: None,
            rows: None,
            left_out: 0,
            notes,
        };
        if self.detail == Detail::Groups {
            let (groups, left_out) = self.groups(&rows, policy, now);
            overview.notes.extend(beyond(&groups, policy));
            overview.groups = Some(groups);
            overview.left_out = left_out;
            return overview;
        }
        sort_by(&mut rows, |a, b| self.order(a, b, now));
        let shown = rows
            .iter()
            .take(self.limit)
            .map(|row| TopicRow::new(row, policy, now));
        let shown = within_budget(shown);
        overview.left_out = rows.len() - shown.len();
        overview.rows = Some(shown);
        overview
    }

    /// As many groups as fit, and how many topics are in none.
    fn groups(&self, rows: &[Row<'_>], policy: &Policy, now: Instant) -> (Vec<GroupRow>, usize) {
        let topics: Vec<_> = rows
            .iter()
            .map(|row| (row.topic(), row.kind().word()))
            .collect();
        let mut most = self.limit;
        loop {
            let grouped = groups::group(&topics, most);
            let mut told: Vec<_> = grouped
                .groups
                .iter()
                .map(|group| GroupRow::new(group, rows, policy, now))
                .collect();
            sort_by(&mut told, |a, b| a.order(b, self.sort));
            GroupRow::tell_once(&mut told);
            let bytes: usize = told.iter().map(size).sum();
            if bytes <= BUDGET || most <= 1 {
                return (told, grouped.left_out);
            }
            most = (told.len().min(most) * BUDGET / bytes).clamp(1, most - 1);
        }
    }

    fn order(&self, a: &Row<'_>, b: &Row<'_>, now: Instant) -> Ordering {
        let key = |row: &Row<'_>| match self.sort {
            Sort::Topic => None,
            Sort::Rate => row.rate(now),
            Sort::Count => Some(row.count() as f64),
            Sort::Age => row
                .last_live()
                .map(|at| now.saturating_duration_since(at).as_secs_f64()),
            Sort::Value => row::number(row),
        };
        self.sort
            .largest_first(key(a), key(b))
            .then_with(|| a.topic().cmp(b.topic()))
    }
}

impl Sort {
    /// Largest first. What has no value comes last; but an unknown age is longer than what was watched.
    fn largest_first(self, a: Option<f64>, b: Option<f64>) -> Ordering {
        match (a, b) {
            (Some(a), Some(b)) => b.total_cmp(&a),
            (a, b) if self == Sort::Age => a.is_some().cmp(&b.is_some()),
            (a, b) => b.is_some().cmp(&a.is_some()),
        }
    }
}

/// Which filters of groups match more than the caller may read, so that the other tools refuse them.
fn beyond(groups: &[GroupRow], policy: &Policy) -> Option<String> {
    let is_refused = |filter: &&str| match SubscribeFilter::parse(filter) {
        Ok(filter) => policy.may_subscribe(&filter).is_err(),
        Err(_) => true,
    };
    let refused: Vec<_> = groups
        .iter()
        .map(GroupRow::filter)
        .filter(is_refused)
        .collect();
    let shown = refused
        .iter()
        .take(MOST_BEYOND)
        .map(|it| Shown(it).to_string());
    let shown = shown.collect::<Vec<_>>().join(", ");
    let more = match refused.len().saturating_sub(MOST_BEYOND) {
        0 => String::new(),
        more => format!(" and {more} more"),
    };
    (!refused.is_empty()).then(|| {
        format!("may not be read as a whole, so that only mqtt_topics takes it; name single topics elsewhere: {shown}{more}")
    })
}

fn is_silent(row: &Row<'_>, now: Instant) -> bool {
    let silence = row.silence(now);
    matches!(silence, Silence::Stopped { .. } | Silence::OnlyRetained)
}

fn within_budget<T: Serialize>(rows: impl Iterator<Item = T>) -> Vec<T> {
    let mut left = BUDGET;
    // A row that is too long by itself, since its topic is, hides none of the others.
    rows.filter(|row| size(row) <= BUDGET)
        .take_while(|row| {
            let size = size(row);
            let fits = size <= left;
            left = left.saturating_sub(size);
            fits
        })
        .collect()
}

fn size(row: &impl Serialize) -> usize {
    serde_json::to_string(row).map_or(0, |text| text.len() + 1)
}

const UPPER_BOUNDS: &str = "another subscription matched some of these topics too, and equal messages came: if the broker \
                            sent one twice, counts and rates are too high";

/// The most filters that are named.
const MOST_BEYOND: usize = 3;

/// The bytes of rows in an answer: with the rest, 2,000 tokens of four bytes.
const BUDGET: usize = 7300;

/// How long is looked when the caller does not say.
const LENGTH: Duration = Duration::from_secs(2);

/// How long the broker has for the subscriptions.
const SUBSCRIBING: Duration = Duration::from_secs(10);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_row_that_never_fits_hides_no_other() {
        let rows = ["x".repeat(BUDGET), "a".to_owned(), "b".to_owned()];
        assert_eq!(within_budget(rows.iter()), ["a", "b"]);
        let half = "x".repeat(BUDGET / 2);
        assert_eq!(within_budget([&half, &half, &half].into_iter()).len(), 1);
    }
}
