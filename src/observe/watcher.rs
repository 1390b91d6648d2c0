//! Waiting for a condition: the state machine behind `mqtt_wait` and a publish with `when`.
//!
//! Promises: it answers [`Step::Met`] or [`Step::TimedOut`] once, and [`Step::Ended`] after that. Where live messages
//! are required, a retained one never meets the condition. Nothing is met after the deadline. The memory is bounded.
//!
//! A hold is judged by what was received: it ends when no message of its topic said otherwise, and begins anew after a
//! gap in what was received ([`ConditionWatch::interrupted`]). Each message comes with the time of its arrival, so a
//! hold that ended before a message is met even if nobody asked in between.

mod holds;

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use self::holds::Holds;
use super::condition::{Condition, Judged, Op, Verdict};
use super::reading::{KEPT_BYTES, Reading};

/// The most topics whose last value is remembered, and the most topics in a hold, for one condition. What finds no room
/// is counted in [`Counts::no_room`].
pub const MAX_TOPICS: usize = 1_000;

/// The most bytes of the remembered values, and of the holds, of one condition.
pub const MAX_TOPIC_BYTES: usize = 1 << 20;

/// Whether only live messages can meet a condition.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Live {
    /// A retained message is only the value before: nobody knows how old it is.
    Required,
    /// A retained message can meet the condition, except `changed` and `any`: the condition held already.
    NotRequired,
    /// Only live messages count, and of a topic only after a live one that does not meet the condition: a level that is
    /// reached, not one that is exceeded from the start.
    AfterNotMet,
}

/// Waits until a condition is met by a message of any topic.
#[derive(Debug)]
pub struct ConditionWatch {
    condition: Condition,
    live: Live,
    deadline: Instant,
    state: State,
    known: BTreeMap<Box<str>, Known>,
    known_bytes: usize,
    holds: Holds,
    last: Option<(String, Seen)>,
    /// The last value before a prepared watch was started. A retained value is one, whenever it comes.
    earlier: Option<(String, Seen)>,
    was_prepared: bool,
    /// When a prepared watch was started; and the value of before on the topic of the last message since.
    started: Option<Instant>,
    before_last: Option<Seen>,
    counts: Counts,
}

#[derive(Debug)]
enum State {
    /// Nothing can meet the condition yet; values are remembered as those before.
    Prepared,
    Watching,
    /// Decided and not yet answered.
    Decided(Step),
    Ended,
}

/// The answer to [`ConditionWatch::poll`].
#[derive(Debug, Clone, PartialEq)]
pub enum Step {
    /// Nothing will happen before this time unless a message comes.
    Wait(Instant),
    /// The condition is met.
    Met(Box<Met>),
    /// The watch has not started.
    Prepared,
    /// The deadline has passed.
    TimedOut,
    /// The answer was given.
    Ended,
}

/// How a condition was met.
#[derive(Debug, Clone, PartialEq)]
pub struct Met {
    /// The topic of the message.
    pub topic: String,
    /// The value that met the condition; after a hold the last of them, in bounded memory ([`Reading::kept`]).
    pub reading: Reading,
    /// When the condition was met: the arrival of the message, or the end of the hold.
    pub at: Instant,
    /// The value of this topic before the first that met the condition.
    pub before: Option<Seen>,
    /// Whether that value had been retained: how long before its arrival it was published is unknown.
    pub retained: bool,
    /// Whether the condition held already when the watch began: the first value of this topic met it and was retained,
    /// and there was no gap before it.
    pub already: bool,
    /// For how long it held: the `hold` of the condition.
    pub held: Duration,
}

/// A value that came.
#[derive(Debug, Clone, PartialEq)]
pub struct Seen {
    /// The value, in bounded memory ([`Reading::kept`]).
    pub reading: Reading,
    /// When it arrived.
    pub at: Instant,
    /// Whether the broker had retained it: its arrival says nothing about its age.
    pub retained: bool,
}

/// What came while a condition was watched.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Counts {
    /// All messages.
    pub messages: u64,
    /// Those of them that were retained.
    pub retained: u64,
    /// Messages that are no JSON where a field is asked for.
    pub no_json: u64,
    /// Messages without the field.
    pub no_field: u64,
    /// Messages without a number where one is compared.
    pub no_number: u64,
    /// Messages with a value of another kind than the compared one.
    pub wrong_kind: u64,
    /// Messages that could not be judged because their topic found no room: it could begin no hold, or had no value
    /// before to compare with or to be another than.
    pub no_room: u64,
    /// How often the watch was interrupted.
    pub interruptions: u64,
}

/// What is remembered of a topic.
#[derive(Debug)]
struct Known {
    last: Seen,
    /// The value that `changed` compares with: the first, or the last retained one. It stays while values come that are
    /// within the tolerance, so that a slow drift is a change too.
    reference: Option<Reading>,
    /// A live message came that does not meet the condition.
    was_not_met: bool,
}

impl ConditionWatch {
    /// A watch until `deadline`.
    pub fn new(condition: Condition, live: Live, now: Instant, deadline: Instant) -> Self {
        Self {
            condition,
            live,
            deadline: deadline.max(now),
            state: State::Watching,
            known: BTreeMap::new(),
            known_bytes: 0,
            holds: Holds::default(),
            last: None,
            earlier: None,
            was_prepared: false,
            started: None,
            before_last: None,
            counts: Counts::default(),
        }
    }

    /// A watch that has not started: messages are only remembered as the values before. See [`start`](Self::start).
    pub fn prepared(condition: Condition, live: Live, now: Instant) -> Self {
        Self {
            state: State::Prepared,
            was_prepared: true,
            ..Self::new(condition, live, now, now)
        }
    }

    /// Starts a prepared watch until `deadline`: from now on a message can meet the condition. What came so far is no
    /// longer counted.
    pub fn start(&mut self, now: Instant, deadline: Instant) {
        self.deadline = deadline.max(now);
        self.state = State::Watching;
        self.counts = Counts::default();
        self.started = Some(now);
        self.earlier = self.last.take().or_else(|| self.earlier.take());
    }

    /// The value before a prepared watch was started on the topic of the last one since, where it is known.
    pub fn before_last(&self) -> Option<&Seen> {
        let earlier = self.earlier().zip(self.last());
        let of_same = earlier.filter(|((topic, _), (last, _))| topic == last);
        self.before_last
            .as_ref()
            .or(of_same.map(|((_, seen), _)| seen))
    }

    /// The last value that came before a prepared watch was started, and its topic.
    pub fn earlier(&self) -> Option<(&str, &Seen)> {
        let (topic, seen) = self.earlier.as_ref()?;
        Some((topic, seen))
    }

    /// Takes a message that arrived at `now`.
    pub fn message(&mut self, now: Instant, topic: &str, payload: &[u8], retained: bool) {
        self.settle(now);
        if self.is_watching() && now > self.deadline {
            self.state = State::Decided(Step::TimedOut);
        }
        if matches!(self.state, State::Decided(_) | State::Ended) {
            return;
        }
        let before = self.known.get(topic);
        let reference = before.and_then(|known| known.reference.as_ref());
        let Judged { reading, verdict } = self.condition.judge(payload, reference);
        self.count(verdict, retained);
        if let Some(reading) = reading {
            let seen = Seen {
                reading,
                at: now,
                retained,
            };
            self.seen(topic, seen, verdict);
        } else if verdict == Verdict::NoJson {
            self.holds.remove(topic);
        }
        // A document without the field says nothing of it: a hold goes on.
    }

    /// Notes a message that came and could not be read: it may have said that the condition does not hold.
    pub fn unread(&mut self, now: Instant, topic: &str) {
        self.settle(now);
        self.holds.remove(topic);
    }

    /// Notes a gap: messages may have been missed before `now`. Every hold begins anew with the next message.
    pub fn interrupted(&mut self, now: Instant) {
        self.settle(now);
        if self.is_watching() {
            self.counts.interruptions += 1;
            self.holds = Holds::default();
        }
    }

    /// What is to be done at `now`.
    pub fn poll(&mut self, now: Instant) -> Step {
        self.settle(now);
        match std::mem::replace(&mut self.state, State::Ended) {
            State::Decided(step) => step,
            State::Ended => Step::Ended,
            State::Prepared => {
                self.state = State::Prepared;
                Step::Prepared
            }
            State::Watching if now >= self.deadline => Step::TimedOut,
            State::Watching => {
                self.state = State::Watching;
                let end = self.holds.first_end(self.condition.hold());
                Step::Wait(end.unwrap_or(self.deadline).min(self.deadline))
            }
        }
    }

    /// The condition.
    pub fn condition(&self) -> &Condition {
        &self.condition
    }

    /// The last value that came, and its topic.
    pub fn last(&self) -> Option<(&str, &Seen)> {
        let (topic, seen) = self.last.as_ref()?;
        Some((topic, seen))
    }

    /// What came so far.
    pub fn counts(&self) -> Counts {
        self.counts
    }

    fn is_watching(&self) -> bool {
        matches!(self.state, State::Watching)
    }

    /// Meets the condition if a hold has ended by `now`. A hold that ends with the deadline is in time.
    fn settle(&mut self, now: Instant) {
        let hold = self.condition.hold();
        let end = self.holds.first_end(hold);
        let Some(at) = end.filter(|end| *end <= now.min(self.deadline)) else {
            return;
        };
        if !self.is_watching() {
            return;
        }
        if let Some((topic, hold_of_topic)) = self.holds.take_first() {
            self.met(Met {
                topic: topic.into(),
                reading: hold_of_topic.reading,
                retained: hold_of_topic.retained,
                at,
                before: hold_of_topic.before,
                already: hold_of_topic.already,
                held: hold,
            });
        }
    }

    fn met(&mut self, met: Met) {
        self.state = State::Decided(Step::Met(Box::new(met)));
        self.holds = Holds::default();
    }

    fn count(&mut self, verdict: Verdict, retained: bool) {
        let counts = &mut self.counts;
        counts.messages += 1;
        counts.retained += u64::from(retained);
        match verdict {
            Verdict::Met | Verdict::NotMet => {}
            Verdict::NoJson => counts.no_json += 1,
            Verdict::NoField => counts.no_field += 1,
            Verdict::NoNumber => counts.no_number += 1,
            Verdict::WrongKind => counts.wrong_kind += 1,
        }
    }

    /// Takes a readable value.
    fn seen(&mut self, topic: &str, seen: Seen, verdict: Verdict) {
        let compares = matches!(self.condition.op(), Op::Changed | Op::Any);
        if seen.retained && compares {
            // It is the value before and nothing else.
            self.holds.remove(topic);
        } else if verdict != Verdict::Met {
            self.holds.remove(topic);
        } else if self.is_watching() && self.counts_as_met(topic, &seen) {
            self.meets(topic, &seen);
        }
        let seen = Seen {
            reading: seen.reading.kept(),
            ..seen
        };
        if self.started.is_some() && !seen.retained {
            self.note_before(topic);
        }
        self.remember(topic, &seen, verdict);
        let place = match self.was_prepared && seen.retained {
            true => &mut self.earlier,
            false => &mut self.last,
        };
        match place {
            Some((last_topic, last)) => {
                last_topic.clear();
                last_topic.push_str(topic);
                *last = seen;
            }
            None => *place = Some((topic.into(), seen)),
        }
    }

    /// Keeps what the topic of this message said before the start; while it goes on, what is kept stays.
    fn note_before(&mut self, topic: &str) {
        let known = self.known.get(topic).map(|known| &known.last);
        let is_before = |seen: &&Seen| seen.retained || self.started.is_some_and(|at| seen.at < at);
        match known.filter(is_before) {
            Some(before) => self.before_last = Some(before.clone()),
            None if self.last().is_some_and(|(last, _)| last == topic) => {}
            None => self.before_last = None,
        }
    }

    fn counts_as_met(&self, topic: &str, seen: &Seen) -> bool {
        match self.live {
            Live::NotRequired => true,
            Live::Required => !seen.retained,
            Live::AfterNotMet => {
                let known = self.known.get(topic);
                !seen.retained && known.is_some_and(|known| known.was_not_met)
            }
        }
    }

    /// Takes a value that meets the condition: ends the watch, or begins or continues a hold.
    fn meets(&mut self, topic: &str, seen: &Seen) {
        let before = self.known.get(topic).map(|known| &known.last);
        let already = seen.retained && before.is_none() && self.counts.interruptions == 0;
        if self.condition.hold().is_zero() {
            self.met(Met {
                topic: topic.into(),
                reading: seen.reading.clone(),
                at: seen.at,
                retained: seen.retained,
                before: before.cloned(),
                already,
                held: Duration::ZERO,
            });
        } else if !self.holds.put(topic, seen, before, already) {
            self.counts.no_room += 1;
        }
    }

    /// Remembers the value as the one before the next, if the topic has or finds room.
    fn remember(&mut self, topic: &str, seen: &Seen, verdict: Verdict) {
        let op = self.condition.op();
        let comparable = op == Op::Changed && matches!(verdict, Verdict::Met | Verdict::NotMet);
        if let Some(known) = self.known.get_mut(topic) {
            known.last.clone_from(seen);
            known.was_not_met |= verdict == Verdict::NotMet && !seen.retained;
            let is_before = matches!(self.state, State::Prepared);
            if comparable && (is_before || seen.retained || known.reference.is_none()) {
                known.reference = Some(seen.reading.clone());
            }
            return;
        }
        let bytes = room(topic);
        if self.known.len() < MAX_TOPICS && self.known_bytes + bytes <= MAX_TOPIC_BYTES {
            self.known_bytes += bytes;
            let known = Known {
                last: seen.clone(),
                reference: comparable.then(|| seen.reading.clone()),
                was_not_met: verdict == Verdict::NotMet && !seen.retained,
            };
            self.known.insert(topic.into(), known);
        } else if op == Op::Changed || self.live == Live::AfterNotMet {
            self.counts.no_room += 1;
        }
    }
}

/// The bytes that a topic is counted with: its name twice, two kept values, and what the containers take.
fn room(topic: &str) -> usize {
    2 * topic.len() + 2 * KEPT_BYTES + 256
}

#[cfg(test)]
mod tests;
