//! An application message, cheap to hand to several listeners.

use std::fmt;
use std::sync::Arc;

use mqttrs::QoS;

use crate::topic::TopicName;

/// A message as it is published or delivered. Clones share topic and payload.
#[derive(Clone, PartialEq, Eq)]
pub struct Message {
    /// Where it goes, or came on.
    pub topic: TopicName,
    /// What it says; any bytes.
    pub payload: Arc<[u8]>,
    /// How it is delivered on this hop.
    pub qos: QoS,
    /// Published: stays as the topic's retained message. Delivered: it *is* the stored message,
    /// sent because of a new subscription ([MQTT-3.3.1-8]).
    pub retain: bool,
}

impl Message {
    /// Bytes of topic and payload, the measure of every byte budget.
    #[must_use]
    pub fn size(&self) -> usize {
        self.topic.as_str().len() + self.payload.len()
    }
}

/// The topic and the size: payloads may be secret.
impl fmt::Debug for Message {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (topic, len) = (&self.topic, self.payload.len());
        write!(
            f,
            "Message({topic}, {len} bytes, {:?}, retain {})",
            self.qos, self.retain
        )
    }
}
