//! A subscription whose messages a function takes as they arrive.

use std::future::Future;

use mcpmqtt_config::Policy;
use mcpmqtt_protocol::topic::SubscribeFilter;

use super::denied::Denied;
use super::live_policy::{CallerPolicy, Hold};
use crate::mcp::Place;
use crate::mqtt::Observing;

/// A subscription with a tap; dropping it ends the subscription.
pub(in crate::tools) struct Follow {
    // Dropped before the hold: when the hold is gone, the subscription has ended already.
    _observing: Observing,
    filter: SubscribeFilter,
    hold: Hold,
    /// The caller's place among the listeners.
    _place: Place,
}

impl Follow {
    pub(super) fn new(
        filter: SubscribeFilter,
        observing: Observing,
        policy: &CallerPolicy,
        place: Place,
    ) -> Follow {
        Follow {
            _observing: observing,
            filter,
            hold: policy.hold(),
            _place: place,
        }
    }

    /// Runs `work` as long as the policy permits the subscription.
    ///
    /// # Errors
    /// [`Denied::Withdrawn`]; the work is dropped.
    pub(in crate::tools) async fn run<T>(
        &self,
        work: impl Future<Output = T>,
    ) -> Result<T, Denied> {
        let permitted = |policy: &Policy| policy.may_subscribe(&self.filter);
        self.hold.run(permitted, work).await
    }
}
