//! Finds the filters for which the broker sends packets that violate the protocol.
//!
//! A PUBLISH that violates the protocol ends the connection for every listener. Often a subscription brings it: the
//! broker has the message retained and sends it again after each reconnect. The topic in it identifies the filters. The
//! second time these filters are given up, so that the other listeners keep their connection.
//!
//! Promises: bounded; old events do not count. Does not: know the listeners.

use std::collections::VecDeque;
use std::time::Instant;

use super::event::Reason;
use crate::frame::FrameError;
use crate::limits::{BLAME_MEMORY, BLAMED_FILTERS, CONDEMNED_FOR};
use crate::topic::SubscribeFilter;

/// A packet that ended the connection.
pub(super) struct Malformed {
    pub(super) error: FrameError,
    /// The topic of a PUBLISH, with U+FFFD for invalid UTF-8: a level with such a character matches only a wildcard
    /// level of a filter, as it should.
    pub(super) topic: Option<String>,
}

#[derive(Default)]
pub(super) struct Blame {
    /// The filters for which a connection ended, and when.
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
    /// Records that a connection ended because of `malformed`, which one of `filters` brought. Returns the filters that
    /// have done so before, and those that no call needs.
    pub(super) fn ended_by(
        &mut self,
        now: Instant,
        malformed: &Malformed,
        filters: Vec<SubscribeFilter>,
        is_needed: impl Fn(&SubscribeFilter) -> bool,
    ) -> Vec<SubscribeFilter> {
        self.ended
            .retain(|(_, at)| now.saturating_duration_since(*at) < BLAME_MEMORY);
        let mut again = Vec::new();
        for filter in filters {
            let has_before = self.ended.iter().any(|(before, _)| *before == filter);
            if has_before || !is_needed(&filter) {
                let reason = Reason::BringsMalformed(malformed.error);
                self.condemn(now, &filter, malformed.topic.clone(), reason);
                again.push(filter.clone());
            }
            push(&mut self.ended, (filter, now));
        }
        again
    }

    /// Refuses this filter, and every other that matches `topic`, for a while.
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

    /// Why the filter must not be requested now.
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
