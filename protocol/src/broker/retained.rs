//! The retained message of each topic.

use std::collections::BTreeMap;

use crate::limits::BrokerLimits;
use crate::message::Message;
use crate::topic::{TopicFilter, TopicName};

#[derive(Default)]
pub(super) struct Retained {
    messages: BTreeMap<TopicName, Message>,
    bytes: usize,
    refused: u64,
}

impl Retained {
    /// Replaces the topic's retained message ([MQTT-3.3.1-5]); an empty payload only deletes it ([MQTT-3.3.1-10],
    /// [MQTT-3.3.1-11]).
    pub(super) fn store(&mut self, message: &Message, limits: &BrokerLimits) {
        if let Some(old) = self.messages.remove(&message.topic) {
            self.bytes -= old.size();
        }
        if message.payload.is_empty() {
            return;
        }
        let bytes = self.bytes + message.size();
        if self.messages.len() >= limits.retained || bytes > limits.retained_bytes {
            self.refused += 1;
            return;
        }
        self.bytes = bytes;
        self.messages.insert(message.topic.clone(), message.clone());
    }

    /// The retained messages whose topics match `filter`, in the order of their topics.
    pub(super) fn matching(&self, filter: &TopicFilter) -> impl Iterator<Item = &Message> {
        self.messages
            .values()
            .filter(|message| filter.matches(message.topic.as_str()))
    }

    pub(super) fn len(&self) -> usize {
        self.messages.len()
    }

    pub(super) fn bytes(&self) -> usize {
        self.bytes
    }

    pub(super) fn refused(&self) -> u64 {
        self.refused
    }
}
