//! SUBSCRIBE and UNSUBSCRIBE packets that wait for their acknowledgement.
//!
//! Promises: each packet is acknowledged once or taken back; the time limit counts from when the packet was written.
//! Does not: interpret acknowledgements.

use std::collections::{BTreeMap, VecDeque};
use std::time::Instant;

use mqttrs::Pid;

use super::event::ProtocolError;
use crate::ids::PacketIds;
use crate::limits::{SUBSCRIBE_ACK_TIMEOUT, UNSUBACK_PATIENCE};
use crate::topic::SubscribeFilter;

/// Numbers the SUBSCRIBE requests in order, so that a SUBACK only counts for requests sent before it.
pub(super) type SubscribeSeq = u64;

#[derive(Default)]
pub(super) struct PendingRequests {
    by_pid: BTreeMap<u16, Question>,
    /// The packets that the socket has not taken whole, and their end positions in the stream.
    writing: VecDeque<(u64, u16)>,
}

struct Question {
    end: u64,
    /// When the socket had taken the packet whole.
    written: Option<Instant>,
    wish: SubscriptionPacket,
    /// A SUBSCRIBE for the filter of this UNSUBSCRIBE waits for the UNSUBACK.
    holds_back: bool,
}

pub(super) enum SubscriptionPacket {
    Subscribe(Vec<(SubscribeSeq, SubscribeFilter)>),
    Unsubscribe(Leaving),
}

/// A subscription that is being ended.
pub(super) struct Leaving {
    pub(super) filter: SubscribeFilter,
    /// The number of connections that may still end while the UNSUBSCRIBE is open: a broker that fails on a filter may
    /// fail on its UNSUBSCRIBE too.
    pub(super) patience: u8,
}

impl PendingRequests {
    /// Records an encoded packet; it ends at `end` in the stream.
    pub(super) fn ask(&mut self, pid: Pid, wish: SubscriptionPacket, end: u64) {
        let question = Question {
            end,
            written: None,
            holds_back: matches!(wish, SubscriptionPacket::Unsubscribe(_)),
            wish,
        };
        self.writing.push_back((end, pid.get()));
        self.by_pid.insert(pid.get(), question);
    }

    /// Records that the socket took the stream up to `written`: the time limit of these packets begins.
    pub(super) fn written(&mut self, now: Instant, written: u64) {
        while let Some((end, pid)) = self.writing.front() {
            if *end > written {
                return;
            }
            if let Some(question) = self.by_pid.get_mut(pid) {
                question.written = Some(now);
            }
            self.writing.pop_front();
        }
    }

    /// Records that the broker could not answer until `now`.
    pub(super) fn postpone(&mut self, now: Instant) {
        for question in self.by_pid.values_mut() {
            question.written = question.written.map(|_| now);
        }
    }

    /// Handles a SUBACK with so many codes. Returns the requests that it answers, in the order of the codes.
    pub(super) fn suback(
        &mut self,
        pid: Pid,
        codes: usize,
    ) -> Result<Vec<(SubscribeSeq, SubscribeFilter)>, ProtocolError> {
        match self.by_pid.get(&pid.get()).map(|asked| &asked.wish) {
            Some(SubscriptionPacket::Subscribe(filters)) if filters.len() == codes => {}
            Some(SubscriptionPacket::Subscribe(_)) => return Err(ProtocolError::SubackCount),
            // [MQTT-2.3.1-7]
            _ => return Err(ProtocolError::UnexpectedAck("SUBACK")),
        }
        match self.by_pid.remove(&pid.get()).map(|asked| asked.wish) {
            Some(SubscriptionPacket::Subscribe(filters)) => Ok(filters),
            _ => Ok(Vec::new()),
        }
    }

    /// UNSUBACK.
    pub(super) fn unsuback(&mut self, pid: Pid) -> Result<(), ProtocolError> {
        match self.by_pid.get(&pid.get()).map(|asked| &asked.wish) {
            Some(SubscriptionPacket::Unsubscribe(_)) => {
                self.by_pid.remove(&pid.get());
                Ok(())
            }
            _ => Err(ProtocolError::UnexpectedAck("UNSUBACK")),
        }
    }

    /// Handles the loss of the connection: no answer can come. Returns the open requests and their end positions in the
    /// stream.
    pub(super) fn drain(&mut self, ids: &mut PacketIds) -> Vec<(u64, SubscriptionPacket)> {
        self.writing.clear();
        let pending = std::mem::take(&mut self.by_pid).into_iter();
        pending
            .map(|(pid, question)| {
                if let Ok(pid) = Pid::try_from(pid) {
                    ids.release(pid);
                }
                (question.end, question.wish)
            })
            .collect()
    }

    /// Whether no request is open.
    pub(super) fn is_empty(&self) -> bool {
        self.by_pid.is_empty()
    }

    /// The filters that are being requested.
    pub(super) fn filters(&self) -> impl Iterator<Item = &SubscribeFilter> {
        self.by_pid
            .values()
            .flat_map(|question| match &question.wish {
                SubscriptionPacket::Subscribe(filters) => filters.as_slice(),
                SubscriptionPacket::Unsubscribe(_) => &[],
            })
            .map(|(_, filter)| filter)
    }

    /// Whether an UNSUBSCRIBE for this filter is open and still waited for.
    pub(super) fn is_leaving(&self, filter: &SubscribeFilter) -> bool {
        self.by_pid.values().any(|question| match &question.wish {
            SubscriptionPacket::Unsubscribe(leaving) => {
                question.holds_back && leaving.filter == *filter
            }
            SubscriptionPacket::Subscribe(_) => false,
        })
    }

    /// Stops holding back SUBSCRIBEs for UNSUBACKs that are overdue.
    pub(super) fn let_go(&mut self, now: Instant) {
        for question in self.by_pid.values_mut() {
            question.holds_back &= question.holds_until().is_none_or(|until| now < until);
        }
    }

    /// When the next of these waits ends.
    pub(super) fn next_let_go(&self) -> Option<Instant> {
        let pending = self.by_pid.values();
        let holding = pending.filter(|question| question.holds_back);
        holding.filter_map(Question::holds_until).min()
    }

    /// When the oldest unanswered packet counts as lost.
    pub(super) fn next_deadline(&self) -> Option<Instant> {
        let pending = self.by_pid.values();
        let written = pending.filter_map(|question| question.written).min();
        written.map(|at| at + SUBSCRIBE_ACK_TIMEOUT)
    }
}

impl Question {
    fn holds_until(&self) -> Option<Instant> {
        self.written.map(|at| at + UNSUBACK_PATIENCE)
    }
}
