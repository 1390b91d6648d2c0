//! SUBSCRIBE and UNSUBSCRIBE packets that are under way, until they are answered.
//!
//! It promises that each is answered once or taken back, and that the time for an answer counts from
//! when the question was written. It does not know what an answer means.

use std::collections::{BTreeMap, VecDeque};
use std::time::Instant;

use mqttrs::Pid;

use super::event::ProtocolError;
use crate::ids::PacketIds;
use crate::limits::{SUBSCRIBE_ACK_TIMEOUT, UNSUBACK_PATIENCE};
use crate::topic::SubscribeFilter;

/// Numbers each wish to SUBSCRIBE, in order, so that a SUBACK is only taken as the answer to
/// wishes that were spoken before it.
pub(super) type Ask = u64;

#[derive(Default)]
pub(super) struct Questions {
    by_pid: BTreeMap<u16, Question>,
    /// Those that the socket has not taken whole, and where they end in the stream.
    writing: VecDeque<(u64, u16)>,
}

struct Question {
    end: u64,
    /// When the socket had taken it whole.
    written: Option<Instant>,
    wish: AskedFor,
    /// A SUBSCRIBE for the filter of this UNSUBSCRIBE waits for its answer.
    holds_back: bool,
}

pub(super) enum AskedFor {
    Subscribe(Vec<(Ask, SubscribeFilter)>),
    Unsubscribe(Leaving),
}

/// A subscription to be ended.
pub(super) struct Leaving {
    pub(super) filter: SubscribeFilter,
    /// How many connections may still end while it is under way: a broker that cannot bear a filter
    /// may not bear its UNSUBSCRIBE either.
    pub(super) patience: u8,
}

impl Questions {
    /// A packet was encoded; it ends at `end` in the stream.
    pub(super) fn ask(&mut self, pid: Pid, wish: AskedFor, end: u64) {
        let question = Question {
            end,
            written: None,
            holds_back: matches!(wish, AskedFor::Unsubscribe(_)),
            wish,
        };
        self.writing.push_back((end, pid.get()));
        self.by_pid.insert(pid.get(), question);
    }

    /// The socket took the stream up to `written`: from now on an answer is owed.
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

    /// The broker cannot have answered until `now`.
    pub(super) fn postpone(&mut self, now: Instant) {
        for question in self.by_pid.values_mut() {
            question.written = question.written.map(|_| now);
        }
    }

    /// SUBACK with so many codes. Returns what it answers, in the order of the codes.
    pub(super) fn suback(
        &mut self,
        pid: Pid,
        codes: usize,
    ) -> Result<Vec<(Ask, SubscribeFilter)>, ProtocolError> {
        match self.by_pid.get(&pid.get()).map(|asked| &asked.wish) {
            Some(AskedFor::Subscribe(filters)) if filters.len() == codes => {}
            Some(AskedFor::Subscribe(_)) => return Err(ProtocolError::SubackCount),
            // [MQTT-2.3.1-7]
            _ => return Err(ProtocolError::UnexpectedAck("SUBACK")),
        }
        match self.by_pid.remove(&pid.get()).map(|asked| asked.wish) {
            Some(AskedFor::Subscribe(filters)) => Ok(filters),
            _ => Ok(Vec::new()),
        }
    }

    /// UNSUBACK.
    pub(super) fn unsuback(&mut self, pid: Pid) -> Result<(), ProtocolError> {
        match self.by_pid.get(&pid.get()).map(|asked| &asked.wish) {
            Some(AskedFor::Unsubscribe(_)) => {
                self.by_pid.remove(&pid.get());
                Ok(())
            }
            _ => Err(ProtocolError::UnexpectedAck("UNSUBACK")),
        }
    }

    /// The connection is gone, and with it every answer. Returns what was asked for and where in the
    /// stream each question ended.
    pub(super) fn drain(&mut self, ids: &mut PacketIds) -> Vec<(u64, AskedFor)> {
        self.writing.clear();
        let questions = std::mem::take(&mut self.by_pid).into_iter();
        questions
            .map(|(pid, question)| {
                if let Ok(pid) = Pid::try_from(pid) {
                    ids.release(pid);
                }
                (question.end, question.wish)
            })
            .collect()
    }

    /// Whether no question is open.
    pub(super) fn is_empty(&self) -> bool {
        self.by_pid.is_empty()
    }

    /// The filters being asked for.
    pub(super) fn filters(&self) -> impl Iterator<Item = &SubscribeFilter> {
        self.by_pid
            .values()
            .flat_map(|question| match &question.wish {
                AskedFor::Subscribe(filters) => filters.as_slice(),
                AskedFor::Unsubscribe(_) => &[],
            })
            .map(|(_, filter)| filter)
    }

    /// Whether an UNSUBSCRIBE for this filter is not acknowledged, and its answer still waited for.
    pub(super) fn is_leaving(&self, filter: &SubscribeFilter) -> bool {
        self.by_pid.values().any(|question| match &question.wish {
            AskedFor::Unsubscribe(leaving) => question.holds_back && leaving.filter == *filter,
            AskedFor::Subscribe(_) => false,
        })
    }

    /// Time passed: what was not answered for long holds nothing back any more.
    pub(super) fn let_go(&mut self, now: Instant) {
        for question in self.by_pid.values_mut() {
            question.holds_back &= question.holds_until().is_none_or(|until| now < until);
        }
    }

    /// When the next of them holds nothing back any more.
    pub(super) fn next_let_go(&self) -> Option<Instant> {
        let questions = self.by_pid.values();
        let holding = questions.filter(|question| question.holds_back);
        holding.filter_map(Question::holds_until).min()
    }

    /// When the oldest unanswered packet counts as lost.
    pub(super) fn next_deadline(&self) -> Option<Instant> {
        let questions = self.by_pid.values();
        let written = questions.filter_map(|question| question.written).min();
        written.map(|at| at + SUBSCRIBE_ACK_TIMEOUT)
    }
}

impl Question {
    fn holds_until(&self) -> Option<Instant> {
        self.written.map(|at| at + UNSUBACK_PATIENCE)
    }
}
