//! Which filters make the broker send what no client can take.
//!
//! A PUBLISH that breaks the protocol ends the connection for everybody. Often a subscription brings it:
//! the broker has it retained, and sends it anew after each reconnect. The topic in it says which filters
//! those are. The second time they are given up, so that the others have their connection.
//!
//! Promises: bounded; what is long ago does not count. It does not know who listens.

use std::collections::VecDeque;
use std::time::Instant;

use super::event::Reason;
use crate::frame::FrameError;
use crate::limits::{BLAME_MEMORY, BLAMED_FILTERS, CONDEMNED_FOR};
use crate::topic::SubscribeFilter;

/// A packet that ended the connection.
pub(super) struct Malformed {
    pub(super) error: FrameError,
    /// The topic of a PUBLISH, with U+FFFD for what is no UTF-8: a level that has some matches no level of
    /// a filter but a wildcard, as it should.
    pub(super) topic: Option<String>,
}

#[derive(Default)]
pub(super) struct Blame {
    /// A connection each ended for, and when.
    ended: VecDeque<(SubscribeFilter, Instant)>,
    condemned: VecDeque<Condemned>,
}

struct Condemned {
    filter: SubscribeFilter,
    topic: Option<String>,
    reason: Reason,
    until: Instant,
}

impl Blame {
    /// A connection ended because of `malformed`, which one of `filters` brought. Returns those that have
    /// done so before.
    pub(super) fn ended_by(
        &mut self,
        now: Instant,
        malformed: &Malformed,
        filters: Vec<SubscribeFilter>,
    ) -> Vec<SubscribeFilter> {
        self.ended
            .retain(|(_, at)| now.saturating_duration_since(*at) < BLAME_MEMORY);
        let mut again = Vec::new();
        for filter in filters {
            if self.ended.iter().any(|(before, _)| *before == filter) {
                let reason = Reason::BringsMalformed(malformed.error);
                self.condemn(now, &filter, malformed.topic.clone(), reason);
                again.push(filter.clone());
            }
            push(&mut self.ended, (filter, now));
        }
        again
    }

    /// Has this filter, and every other that gets messages on `topic`, refused for a while.
    pub(super) fn condemn(
        &mut self,
        now: Instant,
        filter: &SubscribeFilter,
        topic: Option<String>,
        reason: Reason,
    ) {
        let condemned = Condemned {
            filter: filter.clone(),
            topic,
            reason,
            until: now + CONDEMNED_FOR,
        };
        push(&mut self.condemned, condemned);
    }

    /// Why this filter must not be asked for now.
    pub(super) fn condemns(&self, now: Instant, filter: &SubscribeFilter) -> Option<Reason> {
        let brings = |condemned: &&Condemned| {
            let topic = condemned.topic.as_deref();
            condemned.filter == *filter || topic.is_some_and(|t| filter.filter().matches(t))
        };
        let in_force = self.condemned.iter().filter(|c| c.until > now);
        let condemned = in_force.rev().find(brings)?;
        Some(condemned.reason.clone())
    }
}

fn push<T>(queue: &mut VecDeque<T>, new: T) {
    if queue.len() == BLAMED_FILTERS {
        queue.pop_front();
    }
    queue.push_back(new);
}
