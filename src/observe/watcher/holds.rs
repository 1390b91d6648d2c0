//! The topics on which a condition holds, and since when.
//!
//! Promises: the memory is bounded; the hold that began first ends first.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use super::{MAX_TOPIC_BYTES, MAX_TOPICS, Seen, room};
use crate::observe::reading::Reading;

/// The topics in a hold, in the order in which the holds began. All holds last equally long, so the first in order
/// ends first.
#[derive(Debug, Default)]
pub(super) struct Holds {
    in_order: BTreeMap<u64, (Box<str>, Hold)>,
    pub(super) places: BTreeMap<Box<str>, u64>,
    next_place: u64,
    pub(super) bytes: usize,
}

/// A topic whose values meet the condition.
#[derive(Debug)]
pub(super) struct Hold {
    since: Instant,
    pub(super) reading: Reading,
    pub(super) retained: bool,
    pub(super) before: Option<Seen>,
    pub(super) already: bool,
}

impl Holds {
    /// Begins or continues the hold of a topic; returns false if there is no room for it.
    pub(super) fn put(
        &mut self,
        topic: &str,
        seen: &Seen,
        before: Option<&Seen>,
        already: bool,
    ) -> bool {
        let reading = seen.reading.clone().kept();
        let place = self.places.get(topic);
        if let Some((_, hold)) = place.and_then(|place| self.in_order.get_mut(place)) {
            hold.reading = reading;
            hold.retained = seen.retained;
            return true;
        }
        if self.places.len() >= MAX_TOPICS || self.bytes + room(topic) > MAX_TOPIC_BYTES {
            return false;
        }
        let hold = Hold {
            since: seen.at,
            reading,
            retained: seen.retained,
            before: before.cloned(),
            already,
        };
        self.bytes += room(topic);
        self.places.insert(topic.into(), self.next_place);
        self.in_order.insert(self.next_place, (topic.into(), hold));
        self.next_place += 1;
        true
    }

    pub(super) fn remove(&mut self, topic: &str) {
        if let Some(place) = self.places.remove(topic) {
            self.in_order.remove(&place);
            self.bytes -= room(topic);
        }
    }

    pub(super) fn first_end(&self, hold: Duration) -> Option<Instant> {
        let (_, (_, first)) = self.in_order.first_key_value()?;
        Some(first.since + hold)
    }

    pub(super) fn take_first(&mut self) -> Option<(Box<str>, Hold)> {
        let (_, (topic, hold)) = self.in_order.pop_first()?;
        self.places.remove(&topic);
        self.bytes -= room(&topic);
        Some((topic, hold))
    }
}
