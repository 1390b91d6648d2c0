//! The keys `mqtt.will` and `mqtt.birth`: messages that announce that this client is gone, or connected.

use mcpmqtt_protocol::QoS;
use mcpmqtt_protocol::message::Message;
use mcpmqtt_protocol::topic::TopicName;

use crate::section::Section;

/// Reads the message under `key`, if there is one.
pub(crate) fn read(mqtt: &Section<'_>, key: &'static str) -> Option<Message> {
    let is_object = mqtt.value(key)?.is_object();
    let section = mqtt.section(key);
    if !is_object {
        return None;
    }
    let topic = topic(&section);
    let payload = section.text("payload").unwrap_or_default();
    if payload.len() > MAX_PAYLOAD_BYTES {
        section.problem(
            "payload",
            format!("is too long; allowed: at most {MAX_PAYLOAD_BYTES} bytes"),
        );
    }
    let qos = match section.whole("qos", 0..=2, 0) {
        2 => QoS::ExactlyOnce,
        1 => QoS::AtLeastOnce,
        _ => QoS::AtMostOnce,
    };
    let retain = section.flag("retain", false);
    section.finish();
    Some(Message {
        topic: topic?,
        payload: payload.as_bytes().into(),
        qos,
        retain,
    })
}

fn topic(section: &Section<'_>) -> Option<TopicName> {
    let Some(text) = section.text("topic") else {
        if section.value("topic").is_none() {
            section.problem("topic", "is missing; allowed: a topic without wildcards");
        }
        return None;
    };
    match TopicName::parse(text) {
        Ok(topic) => match topic.sendable() {
            Ok(()) => Some(topic),
            Err(error) => {
                section.warn("topic", format!("{error}; the message is not sent"));
                None
            }
        },
        Err(error) => {
            section.problem("topic", error.to_string());
            None
        }
    }
}

/// The limit of the will's 16-bit length (MQTT 3.1.1 §3.1.3.3).
const MAX_PAYLOAD_BYTES: usize = 65_535;
