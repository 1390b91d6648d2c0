//! Whether every topic of a filter meets a condition after something was done: the state machine behind `each` of a
//! confirmation.
//!
//! Promises: only a live message after [`EachTopic::start`] meets the condition, and of several on a topic the last
//! counts. A topic that met the condition before, and says nothing new, holds nothing up. The memory is bounded.
//! Does not: know of topics that have sent nothing, retained or live.

use std::collections::BTreeMap;

use super::condition::{Condition, Verdict};
use super::reading::Reading;

/// The most topics that are told apart.
pub const MAX_TOPICS: usize = 1_000;

/// The most bytes of their names.
pub const MAX_TOPIC_BYTES: usize = 1 << 20;

/// The topics of a filter, and whether each meets a condition.
#[derive(Debug)]
pub struct EachTopic {
    condition: Condition,
    is_started: bool,
    topics: BTreeMap<Box<str>, Topic>,
    topic_bytes: usize,
    /// Live messages since the start.
    messages: u64,
    no_room: u64,
}

#[derive(Debug)]
struct Topic {
    /// The last value, in bounded memory.
    last: Reading,
    state: TopicState,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum TopicState {
    /// The value from before the start, and whether it met the condition.
    Before { met: bool },
    /// The last live message after the start, and whether it met the condition.
    After { met: bool },
}

impl EachTopic {
    /// No topics yet. `changed` is no condition for this: it would have to be told since when.
    pub fn new(condition: Condition) -> Self {
        Self {
            condition,
            is_started: false,
            topics: BTreeMap::new(),
            topic_bytes: 0,
            messages: 0,
            no_room: 0,
        }
    }

    /// From now on a live message can meet the condition.
    pub fn start(&mut self) {
        self.is_started = true;
    }

    /// Takes a message. One without the field says nothing of its topic.
    pub fn message(&mut self, topic: &str, payload: &[u8], retained: bool) {
        let is_new = self.is_started && !retained;
        self.messages += u64::from(is_new);
        let judged = self.condition.judge(payload, None);
        let Some(reading) = judged.reading else {
            return;
        };
        let met = judged.verdict == Verdict::Met;
        let state = match is_new {
            true => TopicState::After { met },
            false => TopicState::Before { met },
        };
        let has_room = self.has_room(topic);
        match self.topics.get_mut(topic) {
            // Some brokers send retained messages late; one of a known topic proves nothing.
            Some(_) if self.is_started && retained => {}
            Some(known) => {
                known.last = reading.kept();
                known.state = state;
            }
            None if has_room => {
                self.topic_bytes += topic.len();
                let last = reading.kept();
                self.topics.insert(topic.into(), Topic { last, state });
            }
            None => self.no_room += 1,
        }
    }

    /// Whether a topic has met the condition since the start, and every other one has, or did before.
    pub fn is_complete(&self) -> bool {
        self.met() > 0 && self.no_room == 0 && self.not_met().next().is_none()
    }

    /// The number of topics whose last live message since the start meets the condition.
    pub fn met(&self) -> usize {
        self.count(TopicState::After { met: true })
    }

    /// The number of topics that met the condition before the start and have said nothing since.
    pub fn met_before(&self) -> usize {
        self.count(TopicState::Before { met: true })
    }

    /// The topics that do not meet the condition, each with its last value.
    pub fn not_met(&self) -> impl Iterator<Item = (&str, &Reading)> {
        let not_met = self.topics.iter().filter(|(_, it)| {
            let (TopicState::Before { met } | TopicState::After { met }) = it.state;
            !met
        });
        not_met.map(|(topic, it)| (&**topic, &it.last))
    }

    /// The live messages since the start.
    pub fn messages(&self) -> u64 {
        self.messages
    }

    /// The messages on topics that found no room.
    pub fn no_room(&self) -> u64 {
        self.no_room
    }

    fn has_room(&self, topic: &str) -> bool {
        self.topics.len() < MAX_TOPICS && self.topic_bytes + topic.len() <= MAX_TOPIC_BYTES
    }

    fn count(&self, state: TopicState) -> usize {
        let like = self.topics.values().filter(|it| it.state == state);
        like.count()
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::observe::condition::RawCondition;

    fn is_on() -> EachTopic {
        let condition = Condition::parse(RawCondition {
            field: Some("state".into()),
            op: None,
            value: Some(json!("ON")),
            tolerance: None,
            hold_s: None,
        });
        EachTopic::new(condition.unwrap())
    }

    fn state(it: &mut EachTopic, topic: &str, state: &str, retained: bool) {
        let payload = format!(r#"{{"state":"{state}"}}"#);
        it.message(topic, payload.as_bytes(), retained);
    }

    fn not_met(it: &EachTopic) -> Vec<&str> {
        it.not_met().map(|(topic, _)| topic).collect()
    }

    #[test]
    fn each_topic_that_was_not_so_before_has_to_meet_it_live() {
        let mut lamps = is_on();
        state(&mut lamps, "a", "OFF", true);
        state(&mut lamps, "b", "OFF", true);
        state(&mut lamps, "c", "ON", true);
        lamps.message("bridge", b"online", true);
        lamps.start();
        assert!(!lamps.is_complete());
        state(&mut lamps, "a", "ON", false);
        assert_eq!(not_met(&lamps), ["b"]);
        assert_eq!(
            (lamps.met(), lamps.met_before(), lamps.messages()),
            (1, 1, 1)
        );
        state(&mut lamps, "b", "ON", true);
        assert_eq!(not_met(&lamps), ["b"], "a retained message proves nothing");
        assert!(!lamps.is_complete());
        state(&mut lamps, "b", "ON", false);
        assert!(lamps.is_complete());
        state(&mut lamps, "a", "OFF", false);
        assert_eq!(not_met(&lamps), ["a"], "the last value counts");
        state(&mut lamps, "d", "OFF", true);
        assert_eq!(not_met(&lamps), ["a", "d"], "some brokers send it late");
    }

    #[test]
    fn nothing_that_was_so_before_is_a_confirmation() {
        let mut lamps = is_on();
        state(&mut lamps, "a", "ON", true);
        state(&mut lamps, "b", "ON", false);
        lamps.start();
        assert!(!lamps.is_complete(), "nothing new came");
        state(&mut lamps, "c", "ON", false);
        assert!(lamps.is_complete());
        assert_eq!((lamps.met(), lamps.met_before()), (1, 2));
    }

    #[test]
    fn topics_are_bounded_and_those_without_room_forbid_a_confirmation() {
        let mut lamps = is_on();
        lamps.start();
        for n in 0..=MAX_TOPICS {
            state(&mut lamps, &format!("t/{n}"), "ON", false);
        }
        assert_eq!((lamps.met(), lamps.no_room()), (MAX_TOPICS, 1));
        assert!(!lamps.is_complete());
    }
}
