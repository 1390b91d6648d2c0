//! An application message that several listeners can share.

use std::fmt;
use std::sync::Arc;

use mqttrs::QoS;

use crate::topic::TopicName;

/// A message as it is published or delivered. Clones share topic and payload.
#[derive(Clone, PartialEq, Eq)]
pub struct Message {
    /// The topic that the message is published to or received on.
    pub topic: TopicName,
    /// The payload; any bytes.
    pub payload: Arc<[u8]>,
    /// The QoS of this hop.
    pub qos: QoS,
    /// Published: the broker stores the message as the topic's retained message. Delivered: the message *is* the
    /// retained message, sent because of a new subscription ([MQTT-3.3.1-8]).
    pub retain: bool,
}

impl Message {
    /// The bytes of topic and payload, which all byte limits count.
    #[must_use]
    pub fn size(&self) -> usize {
        self.topic.as_str().len() + self.payload.len()
    }
}

/// Shows the topic and the size, because payloads may be secret.
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
