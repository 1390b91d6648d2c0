//! Which filters the broker should be sending us, and what is under way to make it so.

use std::collections::{BTreeMap, HashMap, VecDeque};
use std::time::Instant;

use mqttrs::{Pid, QoS, SubscribeReturnCodes};

use super::event::ProtocolError;
use crate::encode;
use crate::ids::PacketIds;
use crate::limits::{
    OUTBOX_HIGH_WATER, SUBSCRIBE_ACK_TIMEOUT, SUBSCRIBE_BATCH, SUBSCRIBE_BATCH_BYTES,
};
use crate::outbox::Outbox;
use crate::topic::SubscribeFilter;

/// Numbers each wish to SUBSCRIBE, in order, so that a SUBACK is only taken as the answer to
/// wishes that were spoken before it.
pub(super) type Ask = u64;

/// The desired subscriptions, keyed by the exact filter string ([MQTT-3.10.4-1]), recorded when
/// they are wished for and kept over reconnects.
pub(super) struct Subscriptions {
    table: HashMap<SubscribeFilter, Subscription>,
    /// Packets to be sent, in order: an UNSUBSCRIBE must not overtake a later SUBSCRIBE.
    queue: VecDeque<Wish>,
    waiting: BTreeMap<u16, Asked>,
    next_ask: Ask,
}

struct Subscription {
    qos: QoS,
    listeners: usize,
    granted: Option<QoS>,
    /// A SUBSCRIBE for it went out, so the broker may know it.
    asked: bool,
    first_ask: Ask,
    /// Connections that ended between the SUBSCRIBE for it and the SUBACK.
    cuts: u8,
}

enum Wish {
    Subscribe(Ask, SubscribeFilter),
    Unsubscribe(SubscribeFilter),
}

struct Asked {
    deadline: Instant,
    wish: AskedFor,
}

enum AskedFor {
    Subscribe(Vec<(Ask, SubscribeFilter)>),
    Unsubscribe(SubscribeFilter),
}

/// What is to be told to the listeners of one filter.
pub(super) enum Answer {
    /// To those that wait for this ask or an earlier one.
    Granted(SubscribeFilter, Ask, QoS),
    /// To all; the subscription is gone.
    Refused(SubscribeFilter),
}

impl Subscriptions {
    pub(super) fn new() -> Self {
        Self {
            table: HashMap::new(),
            queue: VecDeque::new(),
            waiting: BTreeMap::new(),
            next_ask: 1,
        }
    }

    /// A listener joins. `Err(granted)` when the filter is live already and nothing needs asking;
    /// a listener that wants retained messages always asks, because only a SUBSCRIBE makes the
    /// broker send them ([MQTT-3.8.4-3]).
    pub(super) fn join(
        &mut self,
        filter: &SubscribeFilter,
        qos: QoS,
        retained: bool,
    ) -> Result<Ask, QoS> {
        let next_ask = self.next_ask;
        let entry = self.table.entry(filter.clone()).or_insert(Subscription {
            qos,
            listeners: 0,
            granted: None,
            asked: false,
            first_ask: next_ask,
            cuts: 0,
        });
        entry.listeners += 1;
        if let Some(granted) = entry.granted {
            if !retained && level(qos) <= level(entry.qos) {
                return Err(granted);
            }
        }
        if level(qos) > level(entry.qos) {
            entry.qos = qos;
        }
        Ok(self.ask(filter))
    }

    /// A listener leaves; the last one takes the subscription with it.
    pub(super) fn leave(&mut self, filter: &SubscribeFilter) {
        let Some(entry) = self.table.get_mut(filter) else {
            return;
        };
        entry.listeners = entry.listeners.saturating_sub(1);
        if entry.listeners > 0 {
            return;
        }
        let asked = entry.asked;
        self.drop_filter(filter);
        if asked {
            self.queue.push_back(Wish::Unsubscribe(filter.clone()));
        }
    }

    /// Sends what may go out now.
    pub(super) fn pump(&mut self, now: Instant, out: &mut Outbox, ids: &mut PacketIds) {
        while !self.queue.is_empty() && !self.probing() && out.pending().len() < OUTBOX_HIGH_WATER {
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
                Some(AskedFor::Subscribe(batch))
            };
            match sent {
                Some(wish) => {
                    let deadline = now + SUBSCRIBE_ACK_TIMEOUT;
                    self.waiting.insert(pid.get(), Asked { deadline, wish });
                }
                None => ids.release(pid),
            }
        }
    }

    /// Whether a filter that was being asked for when a connection ended is asked for again. It is
    /// alone on its way, so that it can take no other with it and is known when it ends this one.
    fn probing(&self) -> bool {
        self.waiting.values().any(|asked| match &asked.wish {
            AskedFor::Subscribe(list) => list.iter().any(|(_, filter)| self.is_suspect(filter)),
            AskedFor::Unsubscribe(_) => false,
        })
    }

    fn is_suspect(&self, filter: &SubscribeFilter) -> bool {
        self.table.get(filter).is_some_and(|entry| entry.cuts > 0)
    }

    /// The SUBSCRIBE wishes at the head of the queue that fit one packet.
    fn next_batch(&mut self) -> Vec<(Ask, SubscribeFilter)> {
        let mut batch = Vec::new();
        let mut bytes = 0;
        while let Some(Wish::Subscribe(_, filter)) = self.queue.front() {
            let alone = self.is_suspect(filter);
            bytes += filter.as_str().len();
            let full = batch.len() == SUBSCRIBE_BATCH || bytes > SUBSCRIBE_BATCH_BYTES;
            if !batch.is_empty() && (alone || full) {
                break;
            }
            if let Some(Wish::Subscribe(ask, filter)) = self.queue.pop_front() {
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

    fn send_unsubscribe(&mut self, pid: Pid, out: &mut Outbox) -> Option<AskedFor> {
        let Some(Wish::Unsubscribe(filter)) = self.queue.pop_front() else {
            return None;
        };
        let encoded = encode::unsubscribe(out.buffer(), pid, &[filter.as_str()]);
        debug_assert!(encoded.is_ok());
        Some(AskedFor::Unsubscribe(filter))
    }

    /// SUBACK ([MQTT-3.8.4-5]: one code for each filter, in order).
    pub(super) fn suback(
        &mut self,
        pid: Pid,
        codes: &[SubscribeReturnCodes],
        ids: &mut PacketIds,
    ) -> Result<Vec<Answer>, ProtocolError> {
        match self.waiting.get(&pid.get()).map(|asked| &asked.wish) {
            Some(AskedFor::Subscribe(asked)) if asked.len() == codes.len() => {}
            Some(AskedFor::Subscribe(_)) => return Err(ProtocolError::SubackCount),
            // [MQTT-2.3.1-7]
            _ => return Err(ProtocolError::UnexpectedAck("SUBACK")),
        }
        let Some(AskedFor::Subscribe(asked)) =
            self.waiting.remove(&pid.get()).map(|asked| asked.wish)
        else {
            return Ok(Vec::new());
        };
        ids.release(pid);
        let answers = asked.into_iter().zip(codes);
        Ok(answers
            .filter_map(|((ask, filter), code)| self.answer(ask, filter, *code))
            .collect())
    }

    fn answer(
        &mut self,
        ask: Ask,
        filter: SubscribeFilter,
        code: SubscribeReturnCodes,
    ) -> Option<Answer> {
        // An answer to a subscription that was left, even if it was wished for again since.
        let entry = self
            .table
            .get_mut(&filter)
            .filter(|entry| ask >= entry.first_ask)?;
        entry.cuts = 0;
        match code {
            SubscribeReturnCodes::Success(granted) => {
                entry.granted = Some(granted);
                Some(Answer::Granted(filter, ask, granted))
            }
            SubscribeReturnCodes::Failure => {
                self.drop_filter(&filter);
                Some(Answer::Refused(filter))
            }
        }
    }

    /// UNSUBACK.
    pub(super) fn unsuback(&mut self, pid: Pid, ids: &mut PacketIds) -> Result<(), ProtocolError> {
        match self.waiting.get(&pid.get()).map(|asked| &asked.wish) {
            Some(AskedFor::Unsubscribe(_)) => {
                self.waiting.remove(&pid.get());
                ids.release(pid);
                Ok(())
            }
            _ => Err(ProtocolError::UnexpectedAck("UNSUBACK")),
        }
    }

    /// The connection is gone. Returns filters that ended it twice: asking again would only do it
    /// a third time.
    pub(super) fn disconnected(
        &mut self,
        clean_session: bool,
        ids: &mut PacketIds,
    ) -> Vec<SubscribeFilter> {
        let mut guilty = Vec::new();
        let mut unsubscribe = Vec::new();
        for (pid, asked) in std::mem::take(&mut self.waiting) {
            if let Ok(pid) = Pid::try_from(pid) {
                ids.release(pid);
            }
            match asked.wish {
                AskedFor::Unsubscribe(filter) => unsubscribe.push(Wish::Unsubscribe(filter)),
                AskedFor::Subscribe(asked) => {
                    let alone = asked.len() == 1;
                    for (_, filter) in asked {
                        let Some(entry) = self.table.get_mut(&filter) else {
                            continue;
                        };
                        entry.cuts = entry.cuts.saturating_add(1);
                        if alone && entry.cuts >= 2 && entry.granted.is_none() {
                            guilty.push(filter);
                        }
                    }
                }
            }
        }
        for filter in &guilty {
            self.drop_filter(filter);
        }
        if clean_session {
            self.queue
                .retain(|wish| !matches!(wish, Wish::Unsubscribe(_)));
        } else {
            for wish in unsubscribe {
                self.queue.push_front(wish);
            }
        }
        guilty
    }

    /// A new session: the broker knows none of our filters.
    pub(super) fn restart(&mut self) {
        self.queue.clear();
        for entry in self.table.values_mut() {
            entry.granted = None;
            entry.asked = false;
        }
        self.ask_missing();
    }

    /// The broker kept our session: only what it did not acknowledge is asked for again, so that
    /// retained messages do not come a second time.
    pub(super) fn resume(&mut self) {
        self.queue
            .retain(|wish| matches!(wish, Wish::Unsubscribe(_)));
        self.ask_missing();
    }

    fn ask_missing(&mut self) {
        let mut missing: Vec<(u8, Ask, SubscribeFilter)> = self
            .table
            .iter()
            .filter(|(_, entry)| entry.granted.is_none() || entry.cuts > 0)
            .map(|(filter, entry)| (entry.cuts, entry.first_ask, filter.clone()))
            .collect();
        // Those under suspicion last, the others in the order they were wished for.
        missing.sort_unstable_by_key(|(cuts, ask, _)| (*cuts, *ask));
        for (_, _, filter) in missing {
            self.ask(&filter);
        }
    }

    fn ask(&mut self, filter: &SubscribeFilter) -> Ask {
        for wish in &self.queue {
            match wish {
                Wish::Subscribe(ask, queued) if queued == filter => return *ask,
                _ => {}
            }
        }
        let ask = self.next_ask;
        self.next_ask += 1;
        self.queue.push_back(Wish::Subscribe(ask, filter.clone()));
        ask
    }

    fn drop_filter(&mut self, filter: &SubscribeFilter) {
        self.table.remove(filter);
        self.queue.retain(|wish| !wish.subscribes(filter));
    }

    fn qos(&self, filter: &SubscribeFilter) -> QoS {
        self.table
            .get(filter)
            .map_or(QoS::AtMostOnce, |entry| entry.qos)
    }

    /// When the oldest unanswered packet counts as lost.
    pub(super) fn next_deadline(&self) -> Option<Instant> {
        self.waiting.values().map(|asked| asked.deadline).min()
    }

    /// Filters wished for.
    pub(super) fn len(&self) -> usize {
        self.table.len()
    }
}

impl Wish {
    fn subscribes(&self, filter: &SubscribeFilter) -> bool {
        matches!(self, Self::Subscribe(_, wished) if wished == filter)
    }
}

fn level(qos: QoS) -> u8 {
    match qos {
        QoS::AtMostOnce => 0,
        QoS::AtLeastOnce => 1,
        QoS::ExactlyOnce => 2,
    }
}
