//! The message that may have ended a connection: the last one sent, or one that ends every connection.

use std::time::Instant;

use mqttrs::Pid;

use super::Publishes;
use crate::client::event::{Event, LastSent, Outcome, Reason};
use crate::client::inflight::Step;
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
    /// Handles the loss of the connection; `by_the_broker` when there is no other explanation. Ends the message that
    /// has ended every connection, and returns the reason.
    pub(in crate::client) fn convict(
        &mut self,
        now: Instant,
        by_the_broker: bool,
        ids: &mut PacketIds,
        events: &mut impl FnMut(Event),
    ) -> Option<Reason> {
        let (pid, flow) = self.inflight.convict(now, by_the_broker)?;
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

    /// The unacknowledged message sent a moment before the loss, which may be its cause. One loss may have any cause,
    /// such as the network, so the result also says whether the loss before followed the same message.
    pub(in crate::client) fn cut_after(&mut self, now: Instant) -> Option<LastSent> {
        let again = self.inflight.last_resent();
        let again = again.map(|(message, at)| (at, &message.topic, message.size()));
        let first = self.last_sent.as_ref();
        let first = first.map(|last| (last.at, &last.topic, last.bytes));
        let recent = |(at, ..): &(Instant, _, _)| is_recent(*at, now);
        let sent = first.or(again).filter(recent);
        let sent = sent.map(|(_, topic, bytes)| (topic.clone(), bytes));
        let again = sent.is_some() && self.cut_after == sent;
        self.cut_after.clone_from(&sent);
        let (topic, bytes) = sent?;
        Some(LastSent::Publish {
            topic,
            bytes,
            again,
        })
    }

    /// Records that the broker has acknowledged the message, which is therefore not at fault.
    pub(super) fn took_last(&mut self, pid: Pid) {
        let is_last = |last: &mut Last| last.pid == Some(pid);
        if let Some(last) = self.last_sent.take_if(is_last) {
            self.acquit(&last);
        }
    }

    /// Records that another message is sent. A connection that has outlived the last message shows that the message is
    /// not at fault; at QoS 0 there is no other sign.
    pub(super) fn survived(&mut self, now: Instant) {
        let is_past = |last: &mut Last| !is_recent(last.at, now);
        if let Some(last) = self.last_sent.take_if(is_past) {
            self.acquit(&last);
        }
    }

    fn acquit(&mut self, last: &Last) {
        let is_same =
            |(topic, bytes): &mut (TopicName, usize)| *topic == last.topic && *bytes == last.bytes;
        self.cut_after.take_if(is_same);
    }
}

fn is_recent(at: Instant, now: Instant) -> bool {
    now.saturating_duration_since(at) < SENT_A_MOMENT_AGO
}
