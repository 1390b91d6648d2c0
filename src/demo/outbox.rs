//! The messages that the plant publishes in one step, in their order.

use std::fmt::{Arguments, Write as _};

use mcpmqtt_protocol::QoS;
use mcpmqtt_protocol::message::Message;
use mcpmqtt_protocol::topic::TopicName;

#[derive(Debug, Default)]
pub(super) struct Outbox {
    pub(super) messages: Vec<Message>,
}

impl Outbox {
    /// A measured value that comes again in a second, kept for those who come later.
    pub(super) fn value(&mut self, topic: Arguments<'_>, payload: Arguments<'_>) {
        self.push(topic, payload, QoS::AtMostOnce, true);
    }

    /// A state that is published when it changes.
    pub(super) fn state(&mut self, topic: Arguments<'_>, payload: Arguments<'_>) {
        self.push(topic, payload, QoS::AtLeastOnce, true);
    }

    /// Nothing is sent when there is no such topic: the answer to a request whose topic was as long as can be.
    pub(super) fn push(
        &mut self,
        topic: Arguments<'_>,
        payload: Arguments<'_>,
        qos: QoS,
        retain: bool,
    ) {
        let mut text = String::new();
        let written = text.write_fmt(topic);
        let (Ok(()), Ok(topic)) = (written, TopicName::parse(&text)) else {
            return;
        };
        text.clear();
        if text.write_fmt(payload).is_ok() {
            self.messages.push(Message {
                topic,
                payload: text.into_bytes().into(),
                qos,
                retain,
            });
        }
    }
}
