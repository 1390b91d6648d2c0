//! What a connection may have ended for: the message that was sent last, or that is cut off every time.

use std::time::Instant;

use mqttrs::Pid;

use super::Publishes;
use crate::client::event::{Event, LastSent, Outcome, Reason};
use crate::client::flows::Step;
use crate::ids::PacketIds;
use crate::limits::SENT_A_MOMENT_AGO;
use crate::message::Message;
use crate::topic::TopicName;

/// The last publish that the socket took, until it is acknowledged.
pub(super) struct Last {
    at: Instant,
    pid: Option<Pid>,
    topic: TopicName,
    bytes: usize,
}

impl Last {
    pub(super) fn new(at: Instant, message: &Message, pid: Option<Pid>) -> Self {
        Self {
            at,
            pid,
            topic: message.topic.clone(),
            bytes: message.size(),
        }
    }
}

impl Publishes {
    /// The connection is gone; `by_the_broker` when nothing else explains it. Ends the message that it ends
    /// for every time, and says why.
    pub(in crate::client) fn convict(
        &mut self,
        now: Instant,
        by_the_broker: bool,
        ids: &mut PacketIds,
        events: &mut impl FnMut(Event),
    ) -> Option<Reason> {
        let (pid, flow) = self.flows.convict(now, by_the_broker)?;
        let reason = match &flow.step {
            Step::Puback(message) | Step::Pubrec(message) => Reason::MessageCutsConnection {
                topic: message.topic.clone(),
                bytes: message.size(),
            },
            Step::Pubcomp => Reason::SessionGivenUp,
        };
        self.end_flow(pid, flow, Outcome::Unknown(reason.clone()), ids, events);
        Some(reason)
    }

    /// What was sent a moment ago and is not acknowledged: the connection may end because of it.
    pub(in crate::client) fn last_sent(&self, now: Instant) -> Option<LastSent> {
        let again = self.flows.last_resent();
        let again = again.map(|(message, at)| (at, &message.topic, message.size()));
        let first = self.last_sent.as_ref();
        let first = first.map(|last| (last.at, &last.topic, last.bytes));
        let (at, topic, bytes) = first.or(again)?;
        let age = now.saturating_duration_since(at);
        (age < SENT_A_MOMENT_AGO).then(|| LastSent::Publish {
            topic: topic.clone(),
            bytes,
        })
    }

    /// The broker has this message, so nothing is wrong with it.
    pub(super) fn took_last(&mut self, pid: Pid) {
        if self
            .last_sent
            .as_ref()
            .is_some_and(|last| last.pid == Some(pid))
        {
            self.last_sent = None;
        }
    }
}
