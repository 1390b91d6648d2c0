//! What has come and gone, for metrics.

use mqttrs::QoS;

/// Messages since the start, by QoS from 0 to 2.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Traffic {
    /// From the broker; a QoS 2 message that it repeats counts once.
    pub received: [Count; 3],
    /// Taken whole by the socket; a message that is sent again counts once.
    pub sent: [Count; 3],
}

/// Messages, and their topics and payloads together.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Count {
    /// How many.
    pub messages: u64,
    /// How large.
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
