//! Values of other topics around an event: the last before it and the first after it.
//!
//! Promises: bounded in topics; only topics whose filter names the event's levels are told.

use std::cell::{Cell, RefCell};
use std::collections::BTreeMap;
use std::rc::Rc;
use std::time::Instant;

use mcpmqtt_protocol::topic::SubscribeFilter;
use serde::Serialize;

use crate::local::notify::Notify;
use crate::mqtt::{Tap, Tapped};
use crate::observe::reading::Reading;
use crate::tools::sighting::Sighting;

/// A filter in which levels of the event's topic may stand: `{1}` is what the first wildcard of the event's filter
/// matched.
#[derive(Debug)]
pub(super) struct AlsoFilter {
    text: String,
    /// The filter with a wildcard in the place of each level of the event's topic.
    subscribed: SubscribeFilter,
}

/// A topic's values around the event.
#[derive(Serialize)]
pub(super) struct AlsoRow {
    topic: String,
    /// The filter's permission or the broker may hide values: absent means that none was seen.
    #[serde(skip_serializing_if = "Option::is_none")]
    before: Option<Sighting>,
    #[serde(skip_serializing_if = "Option::is_none")]
    after: Option<Sighting>,
}

/// The values of the topics that a call asked for beside its own.
#[derive(Default)]
pub(super) struct AlsoValues {
    topics: RefCell<BTreeMap<String, Around>>,
    /// The topics that found no room.
    left_out: Cell<u64>,
    event: Cell<Option<Instant>>,
    changed: Notify,
}

#[derive(Default)]
struct Around {
    before: Option<Seen>,
    after: Option<Seen>,
}

struct Seen {
    reading: Reading,
    at: Instant,
    retained: bool,
}

impl AlsoFilter {
    /// Parses a filter beside an event on `event`.
    ///
    /// # Errors
    /// Why the text is no such filter.
    pub(super) fn parse(text: &str, event: &SubscribeFilter) -> Result<AlsoFilter, String> {
        let wildcards: Vec<&str> = wildcards(event).collect();
        let mut levels = Vec::new();
        for level in text.split('/') {
            levels.push(match place(level) {
                None => level,
                Some(n) => *wildcards.get(n).ok_or_else(|| {
                    format!(
                        "`{level}` stands for a wildcard of `topic`, which has {}",
                        wildcards.len()
                    )
                })?,
            });
        }
        let subscribed =
            SubscribeFilter::parse(&levels.join("/")).map_err(|error| error.to_string())?;
        if subscribed.group().is_some() {
            return Err("a shared subscription takes messages away from others".into());
        }
        Ok(AlsoFilter {
            text: text.to_owned(),
            subscribed,
        })
    }

    /// The filter to subscribe to, before the event's topic is known.
    pub(super) fn subscribed(&self) -> &SubscribeFilter {
        &self.subscribed
    }

    /// Whether `topic` belongs to an event on `event_topic`, which the result tells of itself.
    fn belongs(&self, topic: &str, event: &SubscribeFilter, event_topic: &str) -> bool {
        if topic == event_topic {
            return false;
        }
        let matched = matched(event, event_topic);
        let levels = self.text.split('/').map(|level| {
            let found = place(level).and_then(|n| matched.get(n));
            found.map_or(level, String::as_str)
        });
        let filter = SubscribeFilter::parse(&levels.collect::<Vec<_>>().join("/"));
        filter.is_ok_and(|filter| filter.filter().matches(topic))
    }
}

impl AlsoValues {
    /// The tap that notes the values of a filter.
    pub(super) fn tap(self: &Rc<Self>) -> Tap {
        let values = Rc::clone(self);
        Rc::new(move |now, tapped| {
            if let Tapped::Message { message, .. } = tapped {
                values.note(
                    now,
                    message.topic.as_str(),
                    &message.payload,
                    message.retain,
                );
            }
        })
    }

    fn note(&self, at: Instant, topic: &str, payload: &[u8], retained: bool) {
        let Ok(reading) = Reading::of(payload, None) else {
            return;
        };
        let seen = Seen {
            reading: reading.kept(),
            at,
            retained,
        };
        let mut topics = self.topics.borrow_mut();
        if !topics.contains_key(topic) && topics.len() >= MAX_TOPICS {
            self.left_out.set(self.left_out.get() + 1);
            return;
        }
        let around = topics.entry(topic.to_owned()).or_default();
        match self.event.get() {
            None => around.before = Some(seen),
            // A retained message is older than the event.
            Some(_) if retained => {}
            Some(_) => {
                around.after.get_or_insert(seen);
            }
        }
        drop(topics);
        self.changed.notify();
    }

    /// Marks the event: what comes from now on came after it.
    pub(super) fn mark(&self, at: Instant) {
        if self.event.get().is_none() {
            self.event.set(Some(at));
        }
    }

    /// Waits until every topic that belongs to the event has a value after it. Has no time limit.
    pub(super) async fn complete(
        &self,
        filters: &[AlsoFilter],
        event: &SubscribeFilter,
        event_topic: &str,
    ) {
        let is_complete = || {
            let topics = self.topics.borrow();
            let mut belonging = topics.iter().filter(|(topic, _)| {
                filters
                    .iter()
                    .any(|filter| filter.belongs(topic, event, event_topic))
            });
            belonging.all(|(_, around)| around.after.is_some())
        };
        self.changed.until(is_complete).await;
    }

    /// The values around the event, and how many topics are left out.
    pub(super) fn rows(
        &self,
        filters: &[AlsoFilter],
        event: &SubscribeFilter,
        event_topic: &str,
    ) -> (Vec<AlsoRow>, u64) {
        let topics = self.topics.borrow();
        let belongs = |topic: &str| {
            filters
                .iter()
                .any(|filter| filter.belongs(topic, event, event_topic))
        };
        let mut belonging = topics.iter().filter(|(topic, _)| belongs(topic));
        let rows = belonging.by_ref().take(MAX_ROWS).map(|(topic, around)| {
            let sighting = |seen: &Seen| Sighting::new(&seen.reading, seen.at, seen.retained);
            AlsoRow {
                topic: topic.clone(),
                before: around.before.as_ref().map(sighting),
                after: around.after.as_ref().map(sighting),
            }
        });
        let rows = rows.collect();
        (rows, self.left_out.get() + belonging.count() as u64)
    }
}

/// The number that `{n}` stands for, from 0.
fn place(level: &str) -> Option<usize> {
    let digits = level.strip_prefix('{')?.strip_suffix('}')?;
    let n: usize = digits.parse().ok()?;
    n.checked_sub(1)
}

fn wildcards(filter: &SubscribeFilter) -> impl Iterator<Item = &str> {
    let levels = filter.filter().as_str().split('/');
    levels.filter(|level| matches!(*level, "+" | "#"))
}

/// What each wildcard of `filter` matched in `topic`.
fn matched(filter: &SubscribeFilter, topic: &str) -> Vec<String> {
    let mut matched = Vec::new();
    let mut rest = Some(topic);
    for level in filter.filter().as_str().split('/') {
        if level == "#" {
            matched.push(rest.unwrap_or_default().to_owned());
            break;
        }
        let Some(text) = rest else { break };
        let (first, later) = match text.split_once('/') {
            Some((first, later)) => (first, Some(later)),
            None => (text, None),
        };
        if level == "+" {
            matched.push(first.to_owned());
        }
        rest = later;
    }
    matched
}

/// The most topics whose values are kept.
const MAX_TOPICS: usize = 1000;

/// The most topics in a result.
const MAX_ROWS: usize = 50;

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    fn filter(text: &str) -> SubscribeFilter {
        SubscribeFilter::parse(text).unwrap()
    }

    #[test]
    fn levels_of_the_event_stand_in_the_other_filters() {
        // The event's filter, its topic, the other filter; what is subscribed; a topic that belongs, one that does not.
        let table = [
            (
                "site/+/alarm",
                "site/line3/alarm",
                "site/{1}/+/current",
                "site/+/+/current",
                "site/line3/m1/current",
                "site/line4/m1/current",
            ),
            ("a/+/+/x", "a/b/c/x", "{2}/{1}", "+/+", "c/b", "b/c"),
            ("a/#", "a/b/c", "z/{1}", "z/#", "z/b/c", "z/b"),
            ("a/#", "a", "z/{1}/t", "z/#/t", "", ""),
            ("a", "a", "b/+", "b/+", "b/c", "a"),
            // The event itself is no value beside it.
            (
                "l/+/alarm",
                "l/1/alarm",
                "l/{1}/#",
                "l/+/#",
                "l/1/level",
                "l/1/alarm",
            ),
        ];
        for (event, topic, other, subscribed, yes, no) in table {
            let event = filter(event);
            let also = match AlsoFilter::parse(other, &event) {
                Ok(also) => also,
                Err(_) => {
                    assert!(subscribed.contains("#/"), "{other}");
                    continue;
                }
            };
            assert_eq!(also.subscribed().as_str(), subscribed);
            assert!(also.belongs(yes, &event, topic), "{yes}");
            assert!(!also.belongs(no, &event, topic), "{no}");
        }
        for (other, words) in [
            (
                "a/{2}",
                "`{2}` stands for a wildcard of `topic`, which has 1",
            ),
            ("$share/g/a", "takes messages away"),
            ("a/#/b", "#"),
        ] {
            let why = AlsoFilter::parse(other, &filter("x/+")).unwrap_err();
            assert!(why.contains(words), "{why}");
        }
    }
}
