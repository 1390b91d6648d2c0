//! Subscriptions across the end of a connection: the suspected filters, and the filters to be requested again.

use super::{QueuedRequest, Subscriptions};
use crate::client::pending::{SubscribeSeq, SubscriptionPacket};
use crate::client::subscription::Suspicion;
use crate::ids::PacketIds;
use crate::sort::sort;
use crate::topic::SubscribeFilter;

impl Subscriptions {
    /// Handles the loss of the connection; if the broker ended it, the broker had received the stream up to `heard`.
    /// Returns the filters that ended every connection on which they alone were requested: a further request would only
    /// end another one.
    pub(in crate::client) fn disconnected(
        &mut self,
        clean_session: bool,
        heard: u64,
        ids: &mut PacketIds,
    ) -> Vec<SubscribeFilter> {
        let mut pending = 0;
        let mut asked = Vec::new();
        let mut leaving = Vec::new();
        for (end, wish) in self.pending.drain(ids) {
            let was_heard = end <= heard;
            pending += usize::from(was_heard);
            match wish {
                SubscriptionPacket::Subscribe(filters) if was_heard => asked.extend(filters),
                SubscriptionPacket::Subscribe(_) => {}
                SubscriptionPacket::Unsubscribe(mut leave) => {
                    leave.patience -= u8::from(was_heard && leave.patience > 0);
                    leaving.push(leave);
                }
            }
        }
        let alone = pending == 1 && asked.len() == 1;
        let forbidden = self.suspect(asked, alone);
        for filter in &forbidden {
            self.end(filter);
        }
        if clean_session {
            self.queue
                .retain(|wish| !matches!(wish, QueuedRequest::Unsubscribe(_)));
        } else {
            for leave in leaving {
                if leave.patience > 0 {
                    self.queue.push_front(QueuedRequest::Unsubscribe(leave));
                } else {
                    self.abandoned += 1;
                }
            }
        }
        forbidden
    }

    /// Suspects the filters that were being requested when the broker ended the connection. Returns those that have
    /// reached their limit.
    fn suspect(
        &mut self,
        asked: Vec<(SubscribeSeq, SubscribeFilter)>,
        alone: bool,
    ) -> Vec<SubscribeFilter> {
        let filters = asked.into_iter().map(|(_, filter)| filter);
        filters
            .filter(|filter| {
                let entry = self.table.get_mut(filter);
                entry.is_some_and(|entry| entry.ended_a_connection(alone))
            })
            .collect()
    }

    /// Starts a new session, in which the broker has no subscriptions.
    pub(in crate::client) fn restart(&mut self) {
        self.queue.clear();
        for entry in self.table.values_mut() {
            entry.granted = None;
            entry.asked = false;
        }
        self.ask_missing();
    }

    /// Resumes a kept session: only filters without an acknowledgement are requested again, so that retained messages
    /// do not come a second time.
    pub(in crate::client) fn resume(&mut self) {
        self.queue
            .retain(|wish| matches!(wish, QueuedRequest::Unsubscribe(_)));
        self.ask_missing();
    }

    fn ask_missing(&mut self) {
        let mut missing: Vec<(Suspicion, SubscribeSeq, SubscribeFilter)> = self
            .table
            .iter()
            .filter(|(_, entry)| entry.granted.is_none() || entry.is_open())
            .map(|(filter, entry)| (entry.suspicion, entry.last_ask, filter.clone()))
            .collect();
        // Suspected filters last, the others in the order of their requests.
        sort(&mut missing);
        for (.., filter) in missing {
            self.ask(&filter);
        }
    }
}
