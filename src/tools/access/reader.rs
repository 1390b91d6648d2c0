//! The messages of one subscription, as far as its caller may have them.

use mcpmqtt_config::Policy;
use mcpmqtt_protocol::topic::SubscribeFilter;

use super::denied::Denied;
use super::live_policy::{Hold, LivePolicy};
use super::recent_topics::RecentTopics;
use crate::mcp::Place;
use crate::mqtt::{Arrival, Inbox};

/// Reads what comes. Dropping it ends the subscription.
pub(in crate::tools) struct Reader {
    // Dropped before the hold: whoever waits for that to go finds nothing of the subscription left.
    inbox: Inbox,
    filter: SubscribeFilter,
    hold: Hold,
    policy: LivePolicy,
    recent_topics: RecentTopics,
    /// Among those who listen.
    _place: Option<Place>,
}

impl Reader {
    pub(super) fn new(
        filter: SubscribeFilter,
        inbox: Inbox,
        policy: &LivePolicy,
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

    /// The next message that the policy lets through, or why there will be none. Waits as long as it takes.
    ///
    /// # Errors
    /// [`Denied::Withdrawn`] when the subscription is not permitted any more.
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
            // A broker may send what nobody asked for; the permission is on the topic it came on.
            if self.policy.current().may_receive(topic.as_str()) {
                if let Arrival::Message(message) = &arrival {
                    self.recent_topics.note(&message.topic);
                }
                return Ok(arrival);
            }
        }
    }

    /// What came and waits, what was lost, how often the connection was: see [`Inbox`].
    pub(in crate::tools) fn inbox(&self) -> &Inbox {
        &self.inbox
    }

    /// Throws away what has come so far.
    pub(in crate::tools) fn clear(&mut self) {
        self.inbox.clear();
    }

    /// Counts `bytes` of messages taken out as waiting still, until this is dropped.
    pub(in crate::tools) fn hold_bytes(&mut self, bytes: usize) {
        self.inbox.hold(bytes);
    }
}
