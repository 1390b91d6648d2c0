//! The topics whose messages were too large to be kept, so that an overview can name what it does not show.
//!
//! Promises: the last of them, in bounded memory.

use mcpmqtt_protocol::topic::{Shown, TopicName};

/// The topics, the latest last.
#[derive(Debug, Default)]
pub(super) struct TooLargeTopics(Vec<TopicName>);

impl TooLargeTopics {
    /// Notes a message.
    pub(super) fn note(&mut self, topic: &TopicName) {
        self.0.retain(|known| known != topic);
        if self.0.len() >= MOST {
            self.0.remove(0);
        }
        self.0.push(topic.clone());
    }

    /// Keeps these topics.
    pub(super) fn retain(&mut self, keep: impl Fn(&str) -> bool) {
        self.0.retain(|topic| keep(topic.as_str()));
    }

    /// Names those for which `is_asked` holds, if there are any.
    pub(super) fn told(&self, is_asked: impl Fn(&str) -> bool) -> Option<String> {
        let asked = self.0.iter().filter(|topic| is_asked(topic.as_str()));
        let words: Vec<_> = asked
            .map(|topic| Shown(topic.as_str()).to_string())
            .collect();
        let shown = words.get(..words.len().min(MOST_NAMED))?;
        let more = match words.len() - shown.len() {
            0 => String::new(),
            more => format!(" and {more} more"),
        };
        (!shown.is_empty()).then(|| {
            let topics = shown.join(", ");
            format!("messages above `limits.packet_bytes` came and are not here: {topics}{more}")
        })
    }
}

/// The most topics that are remembered, and the most that are named.
const MOST: usize = 64;
const MOST_NAMED: usize = 5;

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn the_last_topics_are_known_and_the_first_of_those_asked_for_are_named() {
        let mut topics = TooLargeTopics::default();
        assert_eq!(topics.told(|_| true), None);
        for n in (0..MOST + 3).chain([70, 70]) {
            topics.note(&TopicName::parse(&format!("cam/{n}")).unwrap());
        }
        let is_late = |topic: &str| topic.len() == 6 && topic >= "cam/62";
        let told = topics.told(is_late).unwrap();
        let names = "`cam/62`, `cam/63`, `cam/64`, `cam/65`, `cam/66` and 1 more";
        assert!(told.ends_with(names), "{told}");
        assert_eq!(topics.told(|topic| topic == "cam/3"), None);
        topics.retain(|topic| topic == "cam/70");
        assert!(topics.told(|_| true).unwrap().ends_with("here: `cam/70`"));
    }
}
