//! What came on the topics that are watched, a row for each.
//!
//! Others choose the topics and the payloads, so the table has bounds in rows and in bytes. As it fills up, less is kept of
//! each payload: that a topic exists says more than the second half of a long value. What does not fit at all is counted.

use std::time::Instant;

use super::index::Index;
use super::record::{Allowance, Message, Moment, Record, Row};

/// The bounds of a table.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// The most topics.
    pub topics: usize,
    /// The most bytes, all told; a table of less than 64 KiB holds next to nothing.
    pub bytes: usize,
}

/// What did not fit.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LeftOut {
    /// The number of topics is this or more.
    pub topics_at_least: usize,
    /// The messages of those topics.
    pub messages: u64,
    /// The limit that the last one met.
    pub limit: Limit,
}

/// A bound that a table met.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Limit {
    /// [`Limits::topics`].
    Topics,
    /// [`Limits::bytes`].
    Bytes,
}

/// A table of what came, by topic.
#[derive(Debug)]
pub struct Table {
    limits: Limits,
    /// From which moments count; the first thing that was told.
    base: Option<Instant>,
    /// Since when every message arrives; `None` in a gap.
    listening_since: Option<Moment>,
    rows: Vec<Record>,
    index: Index,
    /// What the rows have on the heap.
    heap: usize,
    left_out: Option<Rejected>,
}

/// What [`LeftOut`] is counted from.
#[derive(Debug)]
struct Rejected {
    messages: u64,
    limit: Limit,
    /// A bit for each topic, shared by few: the set ones are a lower bound of their number.
    topics: Box<[u64]>,
}

/// 16,384 bits.
const REJECTED_WORDS: usize = 256;
/// More than one message can add to the table, and the bits of the rejected.
const RESERVE: usize = 8 * 1024;

impl Table {
    /// An empty table.
    pub fn new(limits: Limits) -> Self {
        Self {
            limits,
            base: None,
            listening_since: None,
            rows: Vec::new(),
            index: Index::default(),
            heap: 0,
            left_out: None,
        }
    }

    /// Takes a message. A message also ends a gap.
    ///
    /// `may_be_copy`: another subscription can have brought the same message (see [`Cover`](super::cover::Cover)).
    pub fn message(
        &mut self,
        now: Instant,
        topic: &str,
        payload: &[u8],
        retained: bool,
        may_be_copy: bool,
    ) {
        let at = self.moment(now);
        let message = Message {
            at,
            payload,
            retained,
            may_be_copy,
            listening_since: *self.listening_since.get_or_insert(at),
        };
        let allowance = self.allowance();
        let hash = self.index.hash(topic);
        let rows = &self.rows;
        let is_it = |row: usize| rows.get(row).is_some_and(|it| it.topic() == topic);
        let known = self.index.find(hash, is_it);
        if let Some(record) = known.and_then(|row| self.rows.get_mut(row)) {
            let before = record.heap();
            record.message(message, allowance);
            self.heap = (self.heap + record.heap()).saturating_sub(before);
        } else if let Some(limit) = self.limit_of(topic) {
            self.reject(hash.bucket(), limit);
        } else {
            let record = Record::new(topic, message, allowance);
            self.heap += record.heap();
            self.index.insert(hash, self.rows.len());
            if self.rows.len() == self.rows.capacity() {
                self.rows.reserve_exact(self.growth());
            }
            self.rows.push(record);
        }
    }

    /// From now on messages can be missed: the connection is lost, or a subscription is not in force.
    pub fn interrupted(&mut self, now: Instant) {
        let now = self.moment(now);
        if let Some(since) = self.listening_since.take() {
            for record in &mut self.rows {
                record.interrupted(now, since);
            }
        }
    }

    /// From now on every message arrives again. The next message says so, too; but if none comes at all, only this lets a
    /// silence begin.
    pub fn resumed(&mut self, now: Instant) {
        let now = self.moment(now);
        self.listening_since.get_or_insert(now);
    }

    /// Keeps the rows of these topics. When none stays, what was left out is forgotten, too.
    pub fn retain(&mut self, mut keep: impl FnMut(&str) -> bool) {
        let before = self.rows.len();
        self.rows.retain(|record| keep(record.topic()));
        if self.rows.len() == before {
            return;
        }
        self.rows.shrink_to_fit();
        self.index.rebuild(self.rows.iter().map(Record::topic));
        self.heap = self.rows.iter().map(Record::heap).sum();
        if self.rows.is_empty() {
            self.left_out = None;
        }
    }

    /// The rows, in the order in which their topics came first.
    pub fn rows(&self) -> impl Iterator<Item = Row<'_>> {
        // Without a first moment there are no rows.
        let base = self.base.into_iter();
        base.flat_map(move |base| {
            self.rows
                .iter()
                .map(move |record| self.row_of(base, record))
        })
    }

    /// The row of a topic.
    pub fn row(&self, topic: &str) -> Option<Row<'_>> {
        let is_it = |row: usize| self.rows.get(row).is_some_and(|it| it.topic() == topic);
        let row = self.index.find(self.index.hash(topic), is_it)?;
        Some(self.row_of(self.base?, self.rows.get(row)?))
    }

    /// How many topics have a row.
    pub fn len(&self) -> usize {
        self.rows.len()
    }

    /// Whether no topic has a row.
    pub fn is_empty(&self) -> bool {
        self.rows.is_empty()
    }

    /// The bytes that the table takes: what its containers hold room for, and the allocator's share.
    pub fn bytes(&self) -> usize {
        let rejected = match &self.left_out {
            Some(rejected) => size_of_val(&*rejected.topics),
            None => 0,
        };
        size_of::<Record>() * self.rows.capacity() + self.index.bytes() + self.heap + rejected
    }

    /// What did not fit since the table was last empty; `None` if everything did.
    pub fn left_out(&self) -> Option<LeftOut> {
        let rejected = self.left_out.as_ref()?;
        let set = rejected
            .topics
            .iter()
            .map(|word| word.count_ones() as usize);
        Some(LeftOut {
            topics_at_least: set.sum(),
            messages: rejected.messages,
            limit: rejected.limit,
        })
    }

    /// Begins to count anew what does not fit.
    pub fn forget_left_out(&mut self) {
        self.left_out = None;
    }

    fn row_of<'a>(&self, base: Instant, record: &'a Record) -> Row<'a> {
        Row {
            record,
            base,
            listening_since: self.listening_since,
        }
    }

    fn moment(&mut self, now: Instant) -> Moment {
        Moment::new(*self.base.get_or_insert(now), now)
    }

    /// What a record may take as full as the table is.
    fn allowance(&self) -> Allowance {
        let (bytes, limit) = (self.bytes(), self.limits.bytes);
        if bytes < limit / 2 {
            return Allowance::ALL;
        }
        let (payload, fields) = if bytes < limit / 4 * 3 {
            (256, 8)
        } else {
            (64, 4)
        };
        Allowance {
            payload,
            fields,
            full: bytes + RESERVE > limit,
        }
    }

    /// The limit that a new topic would break.
    fn limit_of(&self, topic: &str) -> Option<Limit> {
        let rows = if self.rows.len() == self.rows.capacity() {
            self.growth() * size_of::<Record>()
        } else {
            0
        };
        let more = topic.len() + rows + self.index.growth() + RESERVE;
        if self.rows.len() >= self.limits.topics {
            Some(Limit::Topics)
        } else if self.bytes() + more > self.limits.bytes {
            Some(Limit::Bytes)
        } else {
            None
        }
    }

    /// How many rows room is made for at a time: a sixteenth, since doubling would leave half of the bytes unused.
    fn growth(&self) -> usize {
        (self.rows.len() / 16).max(16)
    }

    fn reject(&mut self, bucket: usize, limit: Limit) {
        let rejected = self.left_out.get_or_insert_with(|| Rejected {
            messages: 0,
            limit,
            topics: vec![0; REJECTED_WORDS].into(),
        });
        rejected.messages += 1;
        rejected.limit = limit;
        if let Some(word) = rejected.topics.get_mut(bucket / 64) {
            *word |= 1 << (bucket % 64);
        }
    }
}

#[cfg(test)]
mod tests;
