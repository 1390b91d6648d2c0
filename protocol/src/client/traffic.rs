//! Counters of received and sent messages, for metrics.

use mqttrs::QoS;

/// Messages since the start, by QoS from 0 to 2.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Traffic {
    /// Messages from the broker; a repeated QoS 2 message counts once.
    pub received: [Count; 3],
    /// Messages that the socket took whole; a message that is sent again counts once.
    pub sent: [Count; 3],
}

/// A number of messages, and the bytes of their topics and payloads.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Count {
    /// The number of messages.
    pub messages: u64,
    /// The topic and payload bytes of these messages.
    pub bytes: u64,
}

impl Count {
    pub(super) fn add(by_qos: &mut [Count; 3], qos: QoS, bytes: usize) {
        let index = match qos {
            QoS::AtMostOnce => 0,
            QoS::AtLeastOnce => 1,
            QoS::ExactlyOnce => 2,
        };
        if let Some(count) = by_qos.get_mut(index) {
            count.messages += 1;
            count.bytes += bytes as u64;
        }
    }
}
