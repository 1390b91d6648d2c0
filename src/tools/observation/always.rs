//! What `observe.always` names: it is observed from the start, without a caller.

use std::rc::Rc;
use std::time::Duration;

use mcpmqtt_protocol::topic::{Shown, TopicFilter};

use super::look::Look;
use super::{Observation, ObservationState, readable};
use crate::local::time;
use crate::logger;

impl Observation {
    /// Begins, after this time, to watch what `observe.always` names and may be read, where it is not watched yet.
    pub(super) fn begin_always(&self, after: Duration) {
        if self.0.settings.always.is_empty() {
            return;
        }
        let observation = self.clone();
        if let Some(executor) = self.0.executor.upgrade() {
            let beginning = async move {
                if !after.is_zero() {
                    time::after(after).await;
                    observation.0.stopped.take();
                }
                observation.0.watch_always().await;
            };
            // Dropping the earlier one cancels it.
            self.0.beginning.replace(Some(executor.spawn(beginning)));
        }
    }
}

impl ObservationState {
    async fn watch_always(self: &Rc<Self>) {
        for filter in &self.settings.always {
            for filter in readable(&self.access.policy_of_anyone(), filter) {
                if let Err(why) = self.watch_for_good(&filter).await {
                    logger::warning(format_args!(
                        "observe.always: {} is not watched: {why}",
                        Shown(filter.as_str())
                    ));
                }
            }
        }
        Observation(Rc::clone(self)).tend();
    }

    /// Watches a filter of `observe.always`; tries again when the connection is lost before the broker has answered.
    async fn watch_for_good(self: &Rc<Self>, filter: &TopicFilter) -> Result<(), String> {
        loop {
            if !self.access.connected().await {
                return Ok(());
            }
            let look = Look::at(self, vec![filter.clone()]);
            let watched = self.watch(filter, None).await;
            drop(look);
            if watched.is_ok() || self.access.is_connected() || self.refusal(filter).is_some() {
                return watched;
            }
            time::after(AGAIN).await;
        }
    }
}

/// The most filters that are observed always.
pub(in crate::tools) const MOST_ALWAYS: usize = 1024;

/// So long nothing of `observe.always` is watched after more bytes came than are allowed.
pub(super) const STOPPED_FOR: Duration = Duration::from_secs(60);

/// The pause before `observe.always` is tried again.
const AGAIN: Duration = Duration::from_secs(1);
