//! The bytes on their way to the socket, and where in the stream each of them stands.

/// Encoded packets not yet taken by the socket. Positions count bytes since the connection began,
/// so that "was this packet written?" is a comparison.
#[derive(Debug, Default)]
pub(super) struct Outbox {
    bytes: Vec<u8>,
    taken: usize,
    taken_before: u64,
}

impl Outbox {
    /// What the socket should take next.
    pub(super) fn pending(&self) -> &[u8] {
        self.bytes.get(self.taken..).unwrap_or_default()
    }

    /// Where packets are appended.
    pub(super) fn buffer(&mut self) -> &mut Vec<u8> {
        &mut self.bytes
    }

    /// The socket took `n` bytes.
    pub(super) fn advance(&mut self, n: usize) {
        self.taken = (self.taken + n).min(self.bytes.len());
        // A socket that is never quite done must not let what it took pile up. At most as many
        // bytes move as were taken since the last time: O(1) for each byte.
        if self.taken >= self.pending().len() {
            self.bytes.drain(..self.taken);
            self.bytes.shrink_to(self.bytes.len().max(KEEP_BYTES));
            self.taken_before += self.taken as u64;
            self.taken = 0;
        }
    }

    /// The position behind the last byte appended.
    pub(super) fn end(&self) -> u64 {
        self.taken_before + self.bytes.len() as u64
    }

    /// The position behind the last byte the socket took.
    pub(super) fn written(&self) -> u64 {
        self.taken_before + self.taken as u64
    }

    /// A new connection starts with nothing.
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
    fn a_socket_that_is_never_quite_done_does_not_let_the_buffer_grow() {
        let mut outbox = Outbox::default();
        outbox.buffer().extend_from_slice(&[7; 10]);
        for round in 0..10_000u64 {
            outbox.buffer().extend_from_slice(&[7; 100]);
            outbox.advance(100);
            assert_eq!(outbox.pending().len(), 10);
            assert_eq!(outbox.end(), 10 + (round + 1) * 100);
            assert_eq!(outbox.written(), (round + 1) * 100);
        }
        assert!(outbox.bytes.capacity() <= 2 * KEEP_BYTES);
    }
}
