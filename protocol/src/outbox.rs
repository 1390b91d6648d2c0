//! The encoded bytes for the socket, and the position of each packet in the stream.

/// Encoded packets that the socket has not taken yet. Positions count bytes since the connection began, so that "was
/// this packet written?" is a comparison.
#[derive(Debug, Default)]
pub(super) struct Outbox {
    bytes: Vec<u8>,
    taken: usize,
    taken_before: u64,
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
    pub(super) fn advance(&mut self, n: usize) {
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
        self.taken_before + self.bytes.len() as u64
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
mod tests {
    use super::*;

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
