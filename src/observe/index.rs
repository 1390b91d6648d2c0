//! Where the row of a topic is in a table: a hash index of eight bytes a slot.
//!
//! A `HashMap` with the topics as its keys would take 25 bytes a slot and a second allocation a row; at ten thousand topics
//! that is a tenth of what the table may hold. The rows stay where they are, in the order in which they came.

use std::hash::{BuildHasher, RandomState};

/// Hashes of topics, each with the number of a row. Rows only leave by [`Index::rebuild`].
#[derive(Debug, Default)]
pub(super) struct Index {
    /// Keyed, since others choose the topics.
    keys: RandomState,
    /// Each 0 when empty, else the hash's tag in the upper half and the row's number, plus one, in the lower. At most three
    /// quarters are full, so that every search finds an empty one. Their number is a power of two.
    slots: Vec<u64>,
    used: usize,
}

/// The hash of a topic.
#[derive(Clone, Copy, Debug)]
pub(super) struct Hash(u64);

impl Hash {
    /// A number below 2^14 that is another for most other topics.
    pub(super) fn bucket(self) -> usize {
        usize::try_from(self.0 & 0x3fff).unwrap_or(0)
    }

    fn tag(self) -> u64 {
        self.0 >> 32
    }
}

impl Index {
    pub(super) fn hash(&self, topic: &str) -> Hash {
        Hash(self.keys.hash_one(topic))
    }

    /// The row that `is_it` accepts among those with this hash.
    pub(super) fn find(&self, hash: Hash, mut is_it: impl FnMut(usize) -> bool) -> Option<usize> {
        self.probe(hash.tag())
            .map_while(|at| self.slots.get(at).filter(|slot| **slot != 0))
            .filter(|slot| **slot >> 32 == hash.tag())
            .map(|slot| row_of(*slot))
            .find(|row| is_it(*row))
    }

    /// Adds a row, which must not be in the index. The table's limit keeps the number far below 2^32.
    pub(super) fn insert(&mut self, hash: Hash, row: usize) {
        if self.must_grow() {
            let slots = vec![0; self.grown()];
            for slot in std::mem::replace(&mut self.slots, slots) {
                if slot != 0 {
                    self.put(slot);
                }
            }
        }
        self.used += 1;
        self.put(hash.tag() << 32 | (row as u64 + 1) & 0xffff_ffff);
    }

    /// Forgets all rows and takes these, numbered from 0.
    pub(super) fn rebuild<'a>(&mut self, topics: impl ExactSizeIterator<Item = &'a str>) {
        self.slots = Vec::new();
        self.used = 0;
        for (row, topic) in topics.enumerate() {
            self.insert(self.hash(topic), row);
        }
    }

    /// The bytes on the heap.
    pub(super) fn bytes(&self) -> usize {
        self.slots.capacity() * size_of::<u64>()
    }

    /// The bytes that one more row would take.
    pub(super) fn growth(&self) -> usize {
        if self.must_grow() {
            (self.grown() - self.slots.len()) * size_of::<u64>()
        } else {
            0
        }
    }

    fn must_grow(&self) -> bool {
        (self.used + 1) * 4 > self.slots.len() * 3
    }

    fn grown(&self) -> usize {
        (self.slots.len() * 2).max(16)
    }

    fn put(&mut self, slot: u64) {
        let mut places = self.probe(slot >> 32);
        let empty = places.find(|at| self.slots.get(*at) == Some(&0));
        if let Some(place) = empty.and_then(|at| self.slots.get_mut(at)) {
            *place = slot;
        }
    }

    /// All places from that of the tag on.
    fn probe(&self, tag: u64) -> impl Iterator<Item = usize> + use<> {
        let mask = self.slots.len().wrapping_sub(1);
        let first = tag as usize;
        (0..self.slots.len()).map(move |step| first.wrapping_add(step) & mask)
    }
}

fn row_of(slot: u64) -> usize {
    ((slot & 0xffff_ffff) as usize).wrapping_sub(1)
}

#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::indexing_slicing)]
mod tests {
    use super::*;

    #[test]
    fn rows_are_found_among_others_with_the_same_hash() {
        // Three hashes only, and their last one at the end of the slots.
        let hash = |row: usize| Hash([7 << 32, 8 << 32, 0xffff_ffff << 32][row % 3] | row as u64);
        let mut index = Index::default();
        for row in 0..500 {
            let growth = index.growth();
            let before = index.bytes();
            index.insert(hash(row), row);
            assert_eq!(index.bytes(), before + growth);
            for known in (0..=row).step_by(17) {
                assert_eq!(index.find(hash(known), |it| it == known), Some(known));
            }
            assert_eq!(index.find(hash(row + 1), |it| it == row + 1), None);
            assert_eq!(index.find(Hash(9 << 32), |_| true), None);
        }
    }

    #[test]
    fn a_rebuilt_index_knows_the_rows_by_their_new_numbers() {
        let mut index = Index::default();
        let topics = ["a", "b", "c"];
        for (row, topic) in topics.iter().enumerate() {
            index.insert(index.hash(topic), row);
        }
        index.rebuild(["c"].into_iter());
        assert_eq!(index.find(index.hash("c"), |_| true), Some(0));
        assert_eq!(index.find(index.hash("a"), |_| true), None);
        index.rebuild([].into_iter());
        assert_eq!(index.bytes(), 0);
        assert_eq!(index.find(index.hash("c"), |_| true), None);
    }
}
