//! The subscriptions that the broker should have, and the requests in progress for them.
//!
//! Promises: each request is sent and answered, over any number of connections; an answer only counts for a request
//! sent before it; a filter whose SUBSCRIBE ends connections is identified without harm to the others. Does not: know
//! the listeners; `listeners` does.

mod renewal;

use std::collections::{HashMap, VecDeque};
use std::time::Instant;

use mqttrs::{Pid, QoS, SubscribeReturnCodes};

use super::event::ProtocolError;
use super::pending::{Leaving, PendingRequests, SubscribeSeq, SubscriptionPacket};
use super::subscription::{Subscription, Suspicion};
use crate::encode;
use crate::ids::PacketIds;
use crate::limits::{
    FRESH_SUBSCRIPTION, OUTBOX_HIGH_WATER, SUBSCRIBE_BATCH, SUBSCRIBE_BATCH_BYTES,
};
use crate::outbox::Outbox;
use crate::sort::sort;
use crate::topic::SubscribeFilter;

/// The desired subscriptions by exact filter string ([MQTT-3.10.4-1]), recorded when they are requested and kept over
/// reconnects.
#[derive(Default)]
pub(super) struct Subscriptions {
    table: HashMap<SubscribeFilter, Subscription>,
    /// The packets to be sent, in order: an UNSUBSCRIBE must not overtake a later SUBSCRIBE.
    queue: VecDeque<QueuedRequest>,
    pending: PendingRequests,
    last_ask: SubscribeSeq,
    abandoned: u64,
}

enum QueuedRequest {
    Subscribe(SubscribeSeq, SubscribeFilter),
    Unsubscribe(Leaving),
}

/// An answer for the listeners of one filter.
pub(super) enum Answer {
    /// For the listeners that wait for this ask or an earlier one.
    Granted(SubscribeFilter, SubscribeSeq, QoS),
    /// For all listeners; the subscription is removed.
    Refused(SubscribeFilter),
}

impl Subscriptions {
    /// Adds a listener. `Err(granted)` when the filter is active already and a SUBSCRIBE would add nothing; otherwise
    /// the ask whose answer the listener waits for. A listener for retained messages always needs a SUBSCRIBE, because
    /// only that makes the broker send them ([MQTT-3.8.4-3]).
    pub(super) fn join(
        &mut self,
        filter: &SubscribeFilter,
        qos: QoS,
        retained: bool,
    ) -> Result<SubscribeSeq, QoS> {
        let Some(entry) = self.table.get_mut(filter) else {
            let entry = Subscription::new(qos, self.last_ask + 1);
            self.table.insert(filter.clone(), entry);
            return Ok(self.ask(filter));
        };
        entry.listeners += 1;
        if level(qos) > level(entry.qos) {
            entry.qos = qos;
        } else if !retained {
            return match entry.granted {
                Some(granted) if !entry.is_open() || level(qos) <= level(granted) => Err(granted),
                _ => Ok(entry.last_ask),
            };
        }
        Ok(self.ask(filter))
    }

    /// Records that a listener depends on the filter, unless it only observes.
    pub(super) fn depend(&mut self, filter: &SubscribeFilter, is_needed: bool) {
        if let Some(entry) = self.table.get_mut(filter) {
            entry.is_needed |= is_needed;
        }
    }

    /// Whether a call depends on the filter.
    pub(super) fn is_needed(&self, filter: &SubscribeFilter) -> bool {
        self.table.get(filter).is_none_or(|entry| entry.is_needed)
    }

    /// Removes a listener; the last one removes the subscription.
    pub(super) fn leave(&mut self, filter: &SubscribeFilter) {
        let Some(entry) = self.table.get_mut(filter) else {
            return;
        };
        entry.listeners = entry.listeners.saturating_sub(1);
        if entry.listeners > 0 {
            return;
        }
        self.end(filter);
    }

    /// The only filter that is being requested, or was granted a moment ago, on this connection.
    pub(super) fn only_fresh(&self, now: Instant) -> Option<SubscribeFilter> {
        let is_fresh = |entry: &Subscription| {
            let since = entry.granted_at.filter(|_| entry.granted.is_some());
            since.is_some_and(|at| now.saturating_duration_since(at) < FRESH_SUBSCRIPTION)
        };
        let granted = self.table.iter().filter(|(_, entry)| is_fresh(entry));
        let mut fresh = granted
            .map(|(filter, _)| filter)
            .chain(self.pending.filters());
        let only = fresh.next()?;
        fresh.all(|other| other == only).then(|| only.clone())
    }

    /// Ends a subscription without listeners, at the broker too.
    pub(super) fn end(&mut self, filter: &SubscribeFilter) {
        self.queue.retain(|wish| !wish.subscribes(filter));
        if let Some(entry) = self.table.remove(filter).filter(|entry| entry.asked) {
            self.queue.push_back(QueuedRequest::Unsubscribe(Leaving {
                filter: filter.clone(),
                patience: entry.patience(),
            }));
        }
    }

    /// Encodes the packets that may be sent now.
    pub(super) fn pump(&mut self, now: Instant, out: &mut Outbox, ids: &mut PacketIds) {
        if !self.queue.is_empty() {
            self.pending.let_go(now);
        }
        while !self.queue.is_empty() && !self.must_wait() && out.pending().len() < OUTBOX_HIGH_WATER
        {
            let Some(pid) = ids.allocate() else { return };
            let batch = self.next_batch();
            let sent = if batch.is_empty() {
                self.send_unsubscribe(pid, out)
            } else {
                let filters: Vec<(&str, QoS)> = batch
                    .iter()
                    .map(|(_, filter)| (filter.as_str(), self.qos(filter)))
                    .collect();
                let encoded = encode::subscribe(out.buffer(), pid, &filters);
                debug_assert!(encoded.is_ok());
                Some(SubscriptionPacket::Subscribe(batch))
            };
            let Some(wish) = sent else {
                return ids.release(pid);
            };
            self.pending.ask(pid, wish, out.end());
        }
    }

    /// A filter under suspicion is requested alone: then it affects no other filter, and is identified when the
    /// connection ends. And a filter with an open UNSUBSCRIBE is not requested again before the UNSUBACK: brokers that
    /// handle both at a time (aedes 1.2) would end the new subscription. The wait is short, because other brokers never
    /// send that UNSUBACK (rumqttd on a kept session).
    fn must_wait(&self) -> bool {
        match self.queue.front() {
            Some(QueuedRequest::Subscribe(_, filter)) if self.is_suspect(filter) => {
                !self.pending.is_empty()
            }
            Some(QueuedRequest::Subscribe(_, filter)) if self.is_leaving(filter) => true,
            _ => self.pending.filters().any(|filter| self.is_suspect(filter)),
        }
    }

    fn is_suspect(&self, filter: &SubscribeFilter) -> bool {
        let entry = self.table.get(filter);
        entry.is_some_and(|entry| entry.suspicion != Suspicion::None)
    }

    /// Whether an UNSUBSCRIBE for this filter is open and still waited for.
    pub(super) fn is_leaving(&self, filter: &SubscribeFilter) -> bool {
        self.pending.is_leaving(filter)
    }

    /// A filter with an open request.
    pub(super) fn asked_for(&self) -> Option<&SubscribeFilter> {
        self.pending.filters().next()
    }

    /// The SUBSCRIBE requests at the head of the queue that fit into one packet.
    fn next_batch(&mut self) -> Vec<(SubscribeSeq, SubscribeFilter)> {
        let mut batch = Vec::new();
        let mut bytes = 0;
        while let Some(QueuedRequest::Subscribe(_, filter)) = self.queue.front() {
            let alone = self.is_suspect(filter);
            bytes += filter.as_str().len();
            let full = batch.len() == SUBSCRIBE_BATCH || bytes > SUBSCRIBE_BATCH_BYTES;
            if !batch.is_empty() && (alone || full || self.is_leaving(filter)) {
                break;
            }
            if let Some(QueuedRequest::Subscribe(ask, filter)) = self.queue.pop_front() {
                if let Some(entry) = self.table.get_mut(&filter) {
                    entry.asked = true;
                }
                batch.push((ask, filter));
            }
            if alone {
                break;
            }
        }
        batch
    }

    fn send_unsubscribe(&mut self, pid: Pid, out: &mut Outbox) -> Option<SubscriptionPacket> {
        let Some(QueuedRequest::Unsubscribe(leaving)) = self.queue.pop_front() else {
            return None;
        };
        let encoded = encode::unsubscribe(out.buffer(), pid, &[leaving.filter.as_str()]);
        debug_assert!(encoded.is_ok());
        Some(SubscriptionPacket::Unsubscribe(leaving))
    }

    /// Records that the socket took the stream up to `written`.
    pub(super) fn written(&mut self, now: Instant, written: u64) {
        self.pending.written(now, written);
    }

    /// Records that the broker could not answer until `now`.
    pub(super) fn postpone(&mut self, now: Instant) {
        self.pending.postpone(now);
    }

    /// Handles SUBACK ([MQTT-3.8.4-5]: one code for each filter, in order).
    pub(super) fn suback(
        &mut self,
        now: Instant,
        pid: Pid,
        codes: &[SubscribeReturnCodes],
        ids: &mut PacketIds,
    ) -> Result<Vec<Answer>, ProtocolError> {
        let asked = self.pending.suback(pid, codes.len())?;
        ids.release(pid);
        let answers = asked.into_iter().zip(codes);
        Ok(answers
            .filter_map(|((ask, filter), code)| self.answer(now, ask, filter, *code))
            .collect())
    }

    fn answer(
        &mut self,
        now: Instant,
        ask: SubscribeSeq,
        filter: SubscribeFilter,
        code: SubscribeReturnCodes,
    ) -> Option<Answer> {
        // The answer belongs to a subscription that was ended, even if it was requested again since.
        let entry = self
            .table
            .get_mut(&filter)
            .filter(|entry| ask >= entry.first_ask)?;
        entry.answered(ask);
        match code {
            SubscribeReturnCodes::Success(granted) => {
                entry.granted = Some(granted);
                entry.granted_at = Some(now);
                entry.was_granted = true;
                Some(Answer::Granted(filter, ask, granted))
            }
            SubscribeReturnCodes::Failure => {
                // The broker may have granted the filter before, or grant it later.
                entry.asked = entry.granted.is_some() || entry.is_open();
                self.end(&filter);
                Some(Answer::Refused(filter))
            }
        }
    }

    /// UNSUBACK.
    pub(super) fn unsuback(&mut self, pid: Pid, ids: &mut PacketIds) -> Result<(), ProtocolError> {
        self.pending.unsuback(pid)?;
        ids.release(pid);
        Ok(())
    }

    fn ask(&mut self, filter: &SubscribeFilter) -> SubscribeSeq {
        let queued = self.queue.iter().find_map(|wish| match wish {
            QueuedRequest::Subscribe(ask, queued) if queued == filter => Some(*ask),
            _ => None,
        });
        if let Some(ask) = queued {
            return ask;
        }
        self.last_ask += 1;
        if let Some(entry) = self.table.get_mut(filter) {
            entry.last_ask = self.last_ask;
        }
        let wish = QueuedRequest::Subscribe(self.last_ask, filter.clone());
        self.queue.push_back(wish);
        self.last_ask
    }

    /// Ends all subscriptions. Returns the requested filters.
    pub(super) fn close(&mut self, ids: &mut PacketIds) -> Vec<SubscribeFilter> {
        self.pending.drain(ids);
        self.queue.clear();
        let mut filters: Vec<_> = self.table.drain().map(|(filter, _)| filter).collect();
        sort(&mut filters);
        filters
    }

    fn qos(&self, filter: &SubscribeFilter) -> QoS {
        self.table
            .get(filter)
            .map_or(QoS::AtMostOnce, |entry| entry.qos)
    }

    /// When the oldest unanswered packet counts as lost.
    pub(super) fn next_deadline(&self) -> Option<Instant> {
        self.pending.next_deadline()
    }

    /// When a SUBSCRIBE stops waiting for an UNSUBACK.
    pub(super) fn next_turn(&self) -> Option<Instant> {
        let waits = !self.queue.is_empty();
        self.pending.next_let_go().filter(|_| waits)
    }

    /// The number of UNSUBSCRIBEs given up.
    pub(super) fn abandoned(&self) -> u64 {
        self.abandoned
    }

    /// The number of requested filters.
    pub(super) fn len(&self) -> usize {
        self.table.len()
    }
}

impl QueuedRequest {
    fn subscribes(&self, filter: &SubscribeFilter) -> bool {
        matches!(self, Self::Subscribe(_, wished) if wished == filter)
    }
}

fn level(qos: QoS) -> u8 {
    qos as u8
}
