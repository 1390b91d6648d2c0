//! Cuts the byte stream of one connection into MQTT packets.
//!
//! It promises: a packet comes out only when it is well-formed and may come from this peer, so that
//! nothing that gets past it makes `mqttrs` panic or read into the next packet; what can be judged
//! early is (the first byte when it arrives, the length before the body is kept); the memory
//! follows what arrived, never what a length field announces; after an error the same error comes
//! again until [`FrameBuffer::clear`].
//!
//! It does not look at the order of packets, at packet ids in use, or at the grammar of topic
//! filters: those belong to the state machines behind it.

mod body;
mod error;
mod header;

use mqttrs::Packet;

pub use error::{Field, FrameError};

/// Who reads the stream: decides which packet types are legal in it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Receiver {
    /// A client, which hears a broker.
    Client,
    /// A broker, which hears a client.
    Broker,
}

/// The bytes received on one connection and not yet parsed.
#[derive(Debug)]
pub struct FrameBuffer {
    receiver: Receiver,
    max_packet_bytes: usize,
    bytes: Vec<u8>,
    /// Where the first packet not yet handed out starts in `bytes`.
    start: usize,
}

impl FrameBuffer {
    /// An empty buffer that refuses packets of more than `max_packet_bytes`, fixed header included.
    pub fn new(receiver: Receiver, max_packet_bytes: usize) -> Self {
        Self {
            receiver,
            max_packet_bytes,
            bytes: Vec::new(),
            start: 0,
        }
    }

    /// Appends bytes as they came from the socket.
    ///
    /// Drain [`next_packet`](Self::next_packet) after each call: the buffer then never holds more
    /// than one packet's cap and the bytes of one call.
    pub fn extend(&mut self, bytes: &[u8]) {
        self.make_room(bytes.len());
        self.bytes.extend_from_slice(bytes);
    }

    /// The next complete packet, `None` when more bytes are needed.
    ///
    /// # Errors
    ///
    /// The peer broke the protocol or the cap: nothing more can be read from this connection.
    pub fn next_packet(&mut self) -> Result<Option<Packet<'_>>, FrameError> {
        let unread = self.bytes.get(self.start..).unwrap_or_default();
        let Some(header) = header::judge(self.receiver, unread, self.max_packet_bytes)? else {
            return Ok(None);
        };
        let Some(frame) = unread.get(..header.packet_bytes()) else {
            return Ok(None);
        };
        let body = frame.get(header.header_bytes..).unwrap_or_default();
        body::judge(&header, body)?;
        match mqttrs::decode_slice(frame) {
            Ok(Some(packet)) => {
                self.start += header.packet_bytes();
                Ok(Some(packet))
            }
            // Unreachable as far as tests and fuzzing know; a refusal is the safe answer if not.
            _ => Err(FrameError::Codec(header.kind)),
        }
    }

    /// How many bytes wait to be parsed.
    pub fn buffered(&self) -> usize {
        self.bytes.len() - self.start
    }

    /// Forgets everything, for the next connection.
    pub fn clear(&mut self) {
        self.bytes = Vec::new();
        self.start = 0;
    }

    /// Drops what was parsed when that is free or cheaper than growing.
    fn make_room(&mut self, incoming: usize) {
        if self.start == self.bytes.len() {
            self.start = 0;
            self.bytes.clear();
            if self.bytes.capacity() > KEPT_BYTES {
                self.bytes = Vec::with_capacity(incoming);
            }
        } else if self.bytes.len() + incoming > self.bytes.capacity()
            && self.start >= self.buffered()
        {
            // At most as many bytes move as were parsed since the last time: O(1) for each byte.
            self.bytes.drain(..self.start);
            self.start = 0;
        }
    }
}

/// Capacity kept once all is parsed; what one large packet needed beyond it goes back (64 KiB: one
/// read of the socket).
const KEPT_BYTES: usize = 64 * 1024;

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::*;
    use crate::{QosPid, encode};

    fn read_all(buffer: &mut FrameBuffer) -> usize {
        let mut packets = 0;
        while buffer.next_packet().unwrap().is_some() {
            packets += 1;
        }
        packets
    }

    #[test]
    fn memory_follows_what_arrived_and_is_given_back() {
        let mut packet = Vec::new();
        let payload = vec![0; 1024 * 1024];
        encode::publish(&mut packet, false, QosPid::AtMostOnce, false, "t", &payload).unwrap();
        let mut buffer = FrameBuffer::new(Receiver::Client, 2 * packet.len());
        let (head, tail) = packet.split_at(1000);
        buffer.extend(head);
        assert_eq!(read_all(&mut buffer), 0);
        assert!(buffer.bytes.capacity() < 2 * head.len());
        buffer.extend(tail);
        assert_eq!(read_all(&mut buffer), 1);
        buffer.extend(&[0xD0]);
        assert!(buffer.bytes.capacity() <= KEPT_BYTES);
    }

    #[test]
    fn a_stream_of_small_packets_does_not_let_the_buffer_grow() {
        let mut buffer = FrameBuffer::new(Receiver::Client, 1024);
        // Three bytes at a time: a packet of two is always cut somewhere.
        let stream = [0xD0, 0x00].repeat(30_000);
        let mut packets = 0;
        for part in stream.chunks(3) {
            buffer.extend(part);
            packets += read_all(&mut buffer);
        }
        assert_eq!(packets, 30_000);
        assert!(buffer.bytes.capacity() <= 64);
    }
}
