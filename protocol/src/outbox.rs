//! The encoded bytes for the socket, and the position of each packet in the stream.

use std::collections::VecDeque;

/// Encoded packets that the socket has not taken yet. Positions count bytes since the connection began, so that "was
/// this packet written?" is a comparison. A packet that was removed keeps its positions: they pass as if it had been taken.
#[derive(Debug, Default)]
pub(super) struct Outbox {
    bytes: Vec<u8>,
    taken: usize,
    taken_before: u64,
    /// The positions and lengths of the packets that were removed and not passed yet, in order.
    removed: VecDeque<(u64, usize)>,
}

impl Outbox {
    /// The bytes that the socket should take next.
    pub(super) fn pending(&self) -> &[u8] {
        self.bytes.get(self.taken..).unwrap_or_default()
    }

    /// The buffer that packets are appended to.
    pub(super) fn buffer(&mut self) -> &mut Vec<u8> {
        &mut self.bytes
    }

    /// Records that the socket took `n` bytes.
    pub(super) fn advance(&mut self, mut n: usize) {
        while let Some(&(start, _)) = self.removed.front() {
            let before = usize::try_from(start - self.written()).unwrap_or(usize::MAX);
            if n < before {
                break;
            }
            self.take(before);
            n -= before;
            self.pass_removed();
        }
        self.take(n);
    }

    /// Removes the packet from `start` to `end`, of which the socket has taken nothing.
    pub(super) fn remove(&mut self, start: u64, end: u64) {
        let earlier = self.removed.iter().take_while(|(at, _)| *at < start);
        let gone: usize = earlier.map(|(_, length)| length).sum();
        let from = usize::try_from(start - self.written()).unwrap_or(usize::MAX);
        let from = self.taken + from - gone;
        let length = usize::try_from(end - start).unwrap_or(usize::MAX);
        self.bytes.drain(from..from + length);
        let place = self.removed.partition_point(|(at, _)| *at < start);
        self.removed.insert(place, (start, length));
        self.pass_removed();
    }

    /// Passes what was removed right after the last byte taken.
    fn pass_removed(&mut self) {
        while let Some(&(start, length)) = self.removed.front() {
            if start != self.written() {
                break;
            }
            self.taken_before += length as u64;
            self.removed.pop_front();
        }
    }

    fn take(&mut self, n: usize) {
        self.taken = (self.taken + n).min(self.bytes.len());
        if self.taken == self.bytes.len() {
            self.taken_before += self.taken as u64;
            self.taken = 0;
            self.bytes.clear();
            self.bytes.shrink_to(KEEP_BYTES);
        } else if self.taken >= self.pending().len() {
            // A stream that never empties must not keep every byte that has passed; no more bytes are moved than were
            // taken.
            self.bytes.drain(..self.taken);
            self.taken_before += self.taken as u64;
            self.taken = 0;
        }
    }

    /// The position after the last byte appended.
    pub(super) fn end(&self) -> u64 {
        let removed: usize = self.removed.iter().map(|(_, length)| length).sum();
        self.taken_before + (self.bytes.len() + removed) as u64
    }

    /// The position after the last byte that the socket took.
    pub(super) fn written(&self) -> u64 {
        self.taken_before + self.taken as u64
    }

    /// Clears the buffer for a new connection.
    pub(super) fn reset(&mut self) {
        *self = Self::default();
    }
}

/// Capacity kept while idle: one full turn of small packets.
const KEEP_BYTES: usize = 16 * 1024;

#[cfg(test)]
#[allow(clippy::indexing_slicing)]
mod tests {
    use super::*;

    /// Ten packets of one to ten bytes, each of its own number; which are removed and how much is taken at a time varies.
    #[test]
    fn what_is_removed_is_not_taken_and_moves_no_position() {
        for removed in 0..1024_u32 {
            for step in [1, 3, 7, 60] {
                let mut out = Outbox::default();
                let mut ends = vec![0];
                for packet in 1..=10_u8 {
                    out.buffer().extend(vec![packet; packet.into()]);
                    ends.push(out.end());
                }
                // Part of the second packet is taken already.
                out.advance(2);
                let is_removed = |packet: u8| packet > 2 && removed & (1 << (packet - 1)) != 0;
                // The last first, so that the order does not matter.
                for packet in (1..=10_u8).rev().filter(|it| is_removed(*it)) {
                    let at = usize::from(packet);
                    out.remove(ends[at - 1], ends[at]);
                    assert_eq!(out.end(), 55);
                }
                let mut taken = vec![1, 2];
                while !out.pending().is_empty() {
                    let n = step.min(out.pending().len());
                    taken.extend_from_slice(&out.pending()[..n]);
                    out.advance(n);
                    let whole = (1..=10_u8).filter(|it| ends[usize::from(*it)] <= out.written());
                    for packet in whole {
                        let count = taken.iter().filter(|it| **it == packet).count();
                        let kept = if is_removed(packet) { 0 } else { packet };
                        assert_eq!(count, usize::from(kept));
                    }
                }
                assert_eq!((out.end(), out.written()), (55, 55));
                let kept: Vec<u8> = (1..=10)
                    .filter(|it| !is_removed(*it))
                    .flat_map(|it| vec![it; it.into()])
                    .collect();
                assert_eq!(taken, kept);
            }
        }
    }

    #[test]
    fn a_stream_that_never_runs_dry_keeps_its_positions_and_does_not_grow() {
        let mut out = Outbox::default();
        for round in 1..=10_000_u64 {
            out.buffer().extend_from_slice(&[7; 100]);
            out.advance(if round == 1 { 50 } else { 100 });
            assert_eq!(out.end(), round * 100);
            assert_eq!(out.written(), round * 100 - 50);
            assert_eq!(out.pending(), [7; 50]);
        }
        assert!(out.bytes.capacity() < 1000);
    }
}
