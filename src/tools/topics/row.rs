//! The rows of an overview: one topic, or a group of topics that are alike.

use std::cmp::Ordering;
use std::time::Instant;

use mcpmqtt_config::{Grant, Policy};
use mcpmqtt_protocol::topic::TopicName;
use serde::Serialize;
use serde_json::{Map, Value, json};

use super::Sort;
use crate::observe::groups::Group;
use crate::observe::kind::{FieldKind, Kind, Range};
use crate::observe::reading::Reading;
use crate::observe::record::Row;
use crate::observe::rhythm::Silence;
use crate::tools::describe::cut;
use crate::tools::sighting::is_zero;

/// What came on one topic.
#[derive(Serialize)]
pub(super) struct TopicRow {
    topic: String,
    /// What may be published, in words, where that is limited.
    #[serde(skip_serializing_if = "Option::is_none")]
    payload: Option<String>,
    #[serde(flatten)]
    last: Last,
    /// Messages a second.
    #[serde(skip_serializing_if = "Option::is_none")]
    rate: Option<f64>,
    /// The messages that came live.
    #[serde(skip_serializing_if = "is_zero")]
    n: u64,
    /// It had a rhythm and came no more for so long.
    #[serde(skip_serializing_if = "Option::is_none")]
    stopped_s: Option<f64>,
}

/// A topic's last value.
#[derive(Serialize)]
struct Last {
    value: Value,
    #[serde(skip_serializing_if = "Option::is_none")]
    value_bytes: Option<usize>,
    /// Seconds since it last came live; `unknown` for a retained value that nobody saw live.
    #[serde(skip_serializing_if = "Option::is_none")]
    age_s: Option<Value>,
}

/// Topics that are alike.
#[derive(Serialize)]
pub(super) struct GroupRow {
    pattern: String,
    /// Matches every topic of the group; absent where the pattern is the filter.
    #[serde(skip_serializing_if = "Option::is_none")]
    filter: Option<String>,
    #[serde(skip_serializing_if = "is_one")]
    topics: usize,
    /// How many there are up to each level that varies.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    counts: Vec<usize>,
    /// The topics that came live; absent when all did.
    #[serde(skip_serializing_if = "Option::is_none")]
    live: Option<usize>,
    #[serde(skip_serializing_if = "crate::tools::stats::is_none")]
    stopped: usize,
    /// Messages a second, of all together.
    #[serde(skip_serializing_if = "Option::is_none")]
    rate: Option<f64>,
    kind: &'static str,
    /// A range of numbers, the words, or the fields of JSON objects with their ranges.
    #[serde(skip_serializing_if = "Value::is_null")]
    values: Value,
    /// Unlike topics are together for want of room.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    merged: bool,
    example: Example,
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    write: bool,
    /// What may be published, in words, where that is limited.
    #[serde(skip_serializing_if = "Option::is_none")]
    payload: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    about: Option<String>,
    #[serde(skip)]
    count: u64,
    #[serde(skip)]
    age: Option<f64>,
    #[serde(skip)]
    greatest: Option<f64>,
}

#[derive(Serialize)]
struct Example {
    /// Absent where the group is one topic.
    #[serde(skip_serializing_if = "Option::is_none")]
    topic: Option<String>,
    #[serde(flatten)]
    last: Last,
}

impl TopicRow {
    pub(super) fn new(row: &Row<'_>, policy: &Policy, now: Instant) -> TopicRow {
        TopicRow {
            topic: row.topic().to_owned(),
            payload: limits(policy, row.topic()),
            last: Last::of(row, now, VALUE_BYTES),
            rate: row.rate(now).map(rounded),
            n: row.count(),
            stopped_s: stopped(row, now),
        }
    }
}

impl Last {
    fn of(row: &Row<'_>, now: Instant, most: usize) -> Last {
        let whole = Reading::of(row.payload(), None);
        let (value, bytes) = match whole {
            Ok(reading) if !row.is_cut() => {
                let shown = reading.to_json(most);
                (shown.value, shown.whole_bytes)
            }
            Ok(reading) => (reading.to_json(most).value, Some(row.payload_length())),
            Err(_) => (Value::Null, Some(row.payload_length())),
        };
        let age = row
            .last_live()
            .map(|at| rounded(now.saturating_duration_since(at).as_secs_f64()));
        Last {
            value,
            value_bytes: bytes,
            age_s: Some(age.map_or(json!("unknown"), Value::from)),
        }
    }
}

impl GroupRow {
    pub(super) fn new(group: &Group, rows: &[Row<'_>], policy: &Policy, now: Instant) -> GroupRow {
        let members: Vec<&Row<'_>> = group.members.iter().filter_map(|n| rows.get(*n)).collect();
        // The one that came last shows best what comes.
        let example = members.iter().copied().max_by_key(|row| row.last_live());
        let live = members.iter().filter(|row| row.count() > 0).count();
        let rates: Vec<f64> = members.iter().filter_map(|row| row.rate(now)).collect();
        let filter = group.filter.as_str();
        let is_one = members.len() == 1;
        let writable = members
            .iter()
            .filter(|row| may_write(policy, row.topic()))
            .count();
        GroupRow {
            filter: (filter != group.pattern).then(|| filter.to_owned()),
            pattern: group.pattern.clone(),
            topics: members.len(),
            counts: group.counts.clone(),
            live: (live < members.len()).then_some(live),
            stopped: members
                .iter()
                .filter(|row| stopped(row, now).is_some())
                .count(),
            rate: (!rates.is_empty()).then(|| rounded(rates.iter().sum())),
            kind: match members.first() {
                Some(first) if members.iter().all(|row| word(row) == word(first)) => word(first),
                _ => "mixed",
            },
            values: match group.merged {
                // Unlike quantities have no range in common.
                true => Value::Null,
                false => values(&members),
            },
            merged: group.merged,
            example: Example {
                topic: example
                    .filter(|_| !is_one)
                    .map(|row| row.topic().to_owned()),
                last: match example {
                    Some(row) => Last::of(row, now, EXAMPLE_BYTES),
                    None => Last {
                        value: Value::Null,
                        value_bytes: None,
                        age_s: None,
                    },
                },
            },
            write: writable == members.len(),
            payload: match writable {
                0 => None,
                some if some < members.len() => Some(format!("{some} may be published to: {SEE}")),
                _ => limits_of_all(policy, &members),
            },
            about: description_of_all(policy, &members).map(|text| cut(text, ABOUT_BYTES)),
            count: members.iter().map(|row| row.count()).sum(),
            age: example
                .and_then(Row::last_live)
                .map(|at| now.saturating_duration_since(at).as_secs_f64()),
            greatest: members
                .iter()
                .filter_map(|row| number(row))
                .max_by(f64::total_cmp),
        }
    }

    /// Leaves the operator's description out where an earlier row has it.
    pub(super) fn tell_once(rows: &mut [GroupRow]) {
        let mut told: Vec<String> = Vec::new();
        for row in rows {
            match row.about.take() {
                Some(about) if told.contains(&about) => {}
                Some(about) => {
                    told.push(about.clone());
                    row.about = Some(about);
                }
                None => {}
            }
        }
    }

    /// The filter that matches every topic of the group.
    pub(super) fn filter(&self) -> &str {
        self.filter.as_deref().unwrap_or(&self.pattern)
    }

    pub(super) fn order(&self, other: &GroupRow, sort: Sort) -> Ordering {
        let key = |row: &GroupRow| match sort {
            Sort::Topic => None,
            Sort::Rate => row.rate,
            Sort::Count => Some(row.count as f64),
            Sort::Age => row.age,
            Sort::Value => row.greatest,
        };
        sort.largest_first(key(self), key(other))
    }
}

/// The operator's description of the first pattern that a topic may be read by.
pub(super) fn description<'p>(policy: &'p Policy, topic: &str) -> Option<&'p str> {
    let grants = policy.grants().filter(|grant| grant.permissions.read);
    let mut described = grants.filter(|grant| grant.pattern.matches(topic));
    described.find_map(|grant| grant.description.as_deref())
}

/// The topic's last value as a number.
pub(super) fn number(row: &Row<'_>) -> Option<f64> {
    Reading::of(row.payload(), None).ok()?.number()
}

fn may_write(policy: &Policy, topic: &str) -> bool {
    TopicName::parse(topic).is_ok_and(|topic| policy.may_publish(&topic, false).is_ok())
}

/// The limits of all grants for what is published to a topic, in words.
fn limits(policy: &Policy, topic: &str) -> Option<String> {
    let limits = policy.limits(topic).filter_map(Grant::writes);
    let words: Vec<_> = limits.map(ToString::to_string).collect();
    (!words.is_empty()).then(|| cut(&words.join("; and "), LIMIT_BYTES))
}

/// The same for a group of topics, where it is the same for all.
fn limits_of_all(policy: &Policy, members: &[&Row<'_>]) -> Option<String> {
    let mut each = members.iter().map(|row| limits(policy, row.topic()));
    let first = each.next()?;
    match each.all(|other| other == first) {
        true => first,
        false => Some(format!("differs: {SEE}")),
    }
}

/// The operator's description of the first pattern by which all members of a group may be read.
fn description_of_all<'p>(policy: &'p Policy, members: &[&Row<'_>]) -> Option<&'p str> {
    let grants = policy.grants().filter(|grant| grant.permissions.read);
    let described =
        grants.filter_map(|grant| Some((&grant.pattern, grant.description.as_deref()?)));
    let mut of_all = described.filter(|(pattern, _)| {
        let mut topics = members.iter().map(|row| row.topic());
        topics.all(|topic| pattern.matches(topic))
    });
    of_all.next().map(|(_, description)| description)
}

fn word(row: &Row<'_>) -> &'static str {
    match row.is_mixed() {
        true => "mixed",
        false => row.kind().word(),
    }
}

fn stopped(row: &Row<'_>, now: Instant) -> Option<f64> {
    match row.silence(now) {
        Silence::Stopped { since } => {
            Some(rounded(now.saturating_duration_since(since).as_secs_f64()))
        }
        _ => None,
    }
}

/// What the values of like topics are.
fn values(members: &[&Row<'_>]) -> Value {
    let mut range: Option<(f64, f64)> = None;
    let mut words: Vec<&str> = Vec::new();
    let mut fields = Fields::default();
    for row in members {
        match row.kind() {
            Kind::Number(of_row) => range = Some(joined(range, *of_row)),
            Kind::Words(of_row) => {
                for (word, _) in of_row.iter() {
                    if words.len() < MOST_WORDS && !words.contains(&word) {
                        words.push(word);
                    }
                }
            }
            Kind::Json(shape) => {
                for (name, kind) in shape.fields() {
                    fields.add(name, *kind);
                }
            }
            Kind::Image(format) => return format.media_type().into(),
            Kind::Empty | Kind::Text | Kind::Binary => {}
        }
    }
    match (range, words.is_empty()) {
        _ if !fields.0.is_empty() => fields.told(),
        (Some((min, max)), _) => json!([plain(min), plain(max)]),
        (None, false) => words.into(),
        (None, true) => Value::Null,
    }
}

/// The fields of JSON objects, each with its kind and, if it holds numbers, their range.
#[derive(Default)]
struct Fields<'a>(Vec<Field<'a>>);

type Field<'a> = (&'a str, FieldKind, Option<(f64, f64)>);

impl<'a> Fields<'a> {
    fn add(&mut self, name: &'a str, kind: FieldKind) {
        let known = self.0.iter_mut().find(|(known, ..)| *known == name);
        let range = match kind {
            FieldKind::Number(range) => Some(range),
            _ => None,
        };
        match (known, range) {
            (Some((.., known)), Some(range)) => *known = Some(joined(*known, range)),
            (Some(_), None) => {}
            (None, range) => self
                .0
                .push((name, kind, range.map(|range| joined(None, range)))),
        }
    }

    fn told(&self) -> Value {
        let mut told = Map::new();
        for (name, kind, range) in self.0.iter().take(MOST_FIELDS) {
            let value = match range {
                Some((min, max)) => json!([plain(*min), plain(*max)]),
                None => kind.word().into(),
            };
            told.insert((*name).to_owned(), value);
        }
        if self.0.len() > MOST_FIELDS {
            told.insert("…".into(), (self.0.len() - MOST_FIELDS).into());
        }
        told.into()
    }
}

fn joined(known: Option<(f64, f64)>, range: Range) -> (f64, f64) {
    let (min, max) = known.unwrap_or((range.min, range.max));
    (min.min(range.min), max.max(range.max))
}

/// A number without a fraction where it has none.
fn plain(value: f64) -> Value {
    Reading::Number(value).to_json(0).value
}

fn rounded(value: f64) -> f64 {
    (value * 100.0).round() / 100.0
}

fn is_one(count: &usize) -> bool {
    *count == 1
}

const SEE: &str = "see resource mcpmqtt://topics/allowed";

/// The most bytes of a value in a topic's row, and in a group's example.
const VALUE_BYTES: usize = 200;
const EXAMPLE_BYTES: usize = 80;
/// The most bytes of an operator's description in a group's row.
const ABOUT_BYTES: usize = 160;
/// The most bytes of the limits of a payload.
const LIMIT_BYTES: usize = 160;
const MOST_WORDS: usize = 6;
const MOST_FIELDS: usize = 12;
