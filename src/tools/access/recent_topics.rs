//! The topics of recent messages, for completion.
//!
//! Promises: bounded in topics and in bytes; the oldest topics are dropped first.

use std::cell::RefCell;
use std::collections::{HashSet, VecDeque};
use std::rc::Rc;

use mcpmqtt_protocol::topic::TopicName;

/// The recent topics. Cheap to clone; clones share them.
#[derive(Debug, Clone, Default)]
pub(super) struct RecentTopics(Rc<RefCell<Topics>>);

#[derive(Debug, Default)]
struct Topics {
    known: HashSet<String>,
    order: VecDeque<String>,
    bytes: usize,
}

impl RecentTopics {
    /// Records the topic of a message that the caller may receive.
    pub(super) fn note(&self, topic: &TopicName) {
        let mut topics = self.0.borrow_mut();
        let topic = topic.as_str();
        if topic.len() > MAX_BYTES || topics.known.contains(topic) {
            return;
        }
        topics.bytes += topic.len();
        topics.known.insert(topic.to_owned());
        topics.order.push_back(topic.to_owned());
        while topics.order.len() > MAX_TOPICS || topics.bytes > MAX_BYTES {
            let Some(oldest) = topics.order.pop_front() else {
                return;
            };
            topics.bytes -= oldest.len();
            topics.known.remove(&oldest);
        }
    }

    /// The recent topics with this beginning.
    pub(super) fn beginning_with(&self, beginning: &str) -> Vec<String> {
        let topics = self.0.borrow();
        let found = topics
            .order
            .iter()
            .filter(|topic| topic.starts_with(beginning));
        found.cloned().collect()
    }
}

const MAX_TOPICS: usize = 1000;
const MAX_BYTES: usize = 64 << 10;

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn the_oldest_make_room_and_bytes_are_bounded() {
        let recent = RecentTopics::default();
        for n in 0..1001 {
            let topic = TopicName::parse(&format!("t/{n}")).unwrap();
            recent.note(&topic);
            recent.note(&topic);
        }
        assert!(recent.beginning_with("t/0").is_empty());
        assert_eq!(recent.beginning_with("").len(), 1000);
        for n in 0..3 {
            let long = format!("{n}{}", "x".repeat(30_000));
            recent.note(&TopicName::parse(&long).unwrap());
        }
        assert_eq!(
            recent.beginning_with("").len(),
            2,
            "two of these fit 64 KiB"
        );
        assert!(recent.beginning_with("0").is_empty());
    }
}
