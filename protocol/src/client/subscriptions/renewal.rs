//! Subscriptions over the end of a connection: who is suspected of it, and what is asked for again.

use super::{Subscriptions, Wish};
use crate::client::questions::{Ask, AskedFor};
use crate::client::subscription::Suspicion;
use crate::ids::PacketIds;
use crate::topic::SubscribeFilter;

impl Subscriptions {
    /// The connection is gone; if the broker ended it, it had heard the stream up to `heard`.
    /// Returns filters that ended connections whenever they alone were asked for: asking again would
    /// only do it once more.
    pub(in crate::client) fn disconnected(
        &mut self,
        clean_session: bool,
        heard: u64,
        ids: &mut PacketIds,
    ) -> Vec<SubscribeFilter> {
        let mut questions = 0;
        let mut asked = Vec::new();
        let mut leaving = Vec::new();
        for (end, wish) in self.questions.drain(ids) {
            let was_heard = end <= heard;
            questions += usize::from(was_heard);
            match wish {
                AskedFor::Subscribe(filters) if was_heard => asked.extend(filters),
                AskedFor::Subscribe(_) => {}
                AskedFor::Unsubscribe(mut leave) => {
                    leave.patience -= u8::from(was_heard && leave.patience > 0);
                    leaving.push(leave);
                }
            }
        }
        let alone = questions == 1 && asked.len() == 1;
        let forbidden = self.suspect(asked, alone);
        for filter in &forbidden {
            self.end(filter);
        }
        if clean_session {
            self.queue
                .retain(|wish| !matches!(wish, Wish::Unsubscribe(_)));
        } else {
            for leave in leaving {
                if leave.patience > 0 {
                    self.queue.push_front(Wish::Unsubscribe(leave));
                } else {
                    self.abandoned += 1;
                }
            }
        }
        forbidden
    }

    /// These were being asked for when the broker ended the connection. Returns those that have done
    /// it too often.
    fn suspect(&mut self, asked: Vec<(Ask, SubscribeFilter)>, alone: bool) -> Vec<SubscribeFilter> {
        let filters = asked.into_iter().map(|(_, filter)| filter);
        filters
            .filter(|filter| {
                let entry = self.table.get_mut(filter);
                entry.is_some_and(|entry| entry.ended_a_connection(alone))
            })
            .collect()
    }

    /// A new session: the broker knows none of our filters.
    pub(in crate::client) fn restart(&mut self) {
        self.queue.clear();
        for entry in self.table.values_mut() {
            entry.granted = None;
            entry.asked = false;
        }
        self.ask_missing();
    }

    /// The broker kept our session: only what it did not acknowledge is asked for again, so that
    /// retained messages do not come a second time.
    pub(in crate::client) fn resume(&mut self) {
        self.queue
            .retain(|wish| matches!(wish, Wish::Unsubscribe(_)));
        self.ask_missing();
    }

    fn ask_missing(&mut self) {
        let mut missing: Vec<(Suspicion, Ask, SubscribeFilter)> = self
            .table
            .iter()
            .filter(|(_, entry)| entry.granted.is_none() || entry.is_open())
            .map(|(filter, entry)| (entry.suspicion, entry.last_ask, filter.clone()))
            .collect();
        // Those under suspicion last, the others in the order they were wished for.
        missing.sort_unstable();
        for (.., filter) in missing {
            self.ask(&filter);
        }
    }
}
