//! The messages of one subscription that its caller may receive.

use std::future::Future;

use mcpmqtt_config::Policy;
use mcpmqtt_protocol::topic::SubscribeFilter;

use super::denied::Denied;
use super::live_policy::{CallerPolicy, Hold};
use super::recent_topics::RecentTopics;
use crate::mcp::Place;
use crate::mqtt::{Arrival, Inbox};

/// Reads a subscription. Dropping the reader ends the subscription.
pub(in crate::tools) struct Reader {
    // Dropped before the hold: when the hold is gone, the subscription has ended already.
    inbox: Inbox,
    filter: SubscribeFilter,
    hold: Hold,
    policy: CallerPolicy,
    recent_topics: RecentTopics,
    /// The caller's place among the listeners.
    _place: Option<Place>,
}

impl Reader {
    pub(super) fn new(
        filter: SubscribeFilter,
        inbox: Inbox,
        policy: &CallerPolicy,
        recent_topics: RecentTopics,
    ) -> Reader {
        Reader {
            inbox,
            filter,
            hold: policy.hold(),
            policy: policy.clone(),
            recent_topics,
            _place: None,
        }
    }

    pub(super) fn with_place(self, place: Place) -> Reader {
        let _place = Some(place);
        Reader { _place, ..self }
    }

    /// Returns the next message that the policy permits, or the reason why there will be none. Has no time limit.
    ///
    /// # Errors
    /// [`Denied::Withdrawn`] when the subscription is no longer permitted.
    pub(in crate::tools) async fn next(&mut self) -> Result<Arrival, Denied> {
        let filter = &self.filter;
        let permitted = |policy: &Policy| policy.may_subscribe(filter);
        loop {
            let arrival = self.hold.run(permitted, self.inbox.next()).await?;
            let topic = match &arrival {
                Arrival::Message(message) => &message.topic,
                Arrival::TooLarge(large) => &large.topic,
                Arrival::Ended(_) => return Ok(arrival),
            };
            // A broker may send messages that were not subscribed to; the permission applies to the topic of the
            // message.
            if self.policy.current().may_receive(topic.as_str()) {
                if let Arrival::Message(message) = &arrival {
                    self.recent_topics.note(&message.topic);
                }
                return Ok(arrival);
            }
        }
    }

    /// Runs `work` as long as the policy permits the subscription.
    ///
    /// # Errors
    /// [`Denied::Withdrawn`]; the work is dropped.
    pub(in crate::tools) async fn while_permitted<T>(
        &self,
        work: impl Future<Output = T>,
    ) -> Result<T, Denied> {
        let permitted = |policy: &Policy| policy.may_subscribe(&self.filter);
        self.hold.run(permitted, work).await
    }

    /// The inbox, for its counters and the messages that wait: see [`Inbox`].
    pub(in crate::tools) fn inbox(&self) -> &Inbox {
        &self.inbox
    }

    /// Discards the messages that have arrived so far.
    pub(in crate::tools) fn clear(&mut self) {
        self.inbox.clear();
    }

    /// Counts `bytes` of removed messages as still waiting, until this reader is dropped.
    pub(in crate::tools) fn hold_bytes(&mut self, bytes: usize) {
        self.inbox.hold(bytes);
    }
}
