//! Cuts the byte stream of one connection into MQTT packets.
//!
//! Promises: a packet is returned only when it is well-formed and allowed from this peer, so that it cannot make
//! `mqttrs` panic or read into the next packet; errors are detected early (the first byte when it arrives, the length
//! before the body is kept); memory follows the bytes received, never an announced length; skipping a PUBLISH above the
//! limit costs the memory of its topic; after an error the same error is returned until [`FrameBuffer::clear`].
//!
//! Does not: check the order of packets, the use of packet ids, or the grammar of topic filters; the state machines do.

mod body;
mod error;
mod header;

use mqttrs::{Packet, PacketType, QosPid};

use self::header::Header;
pub use error::{Field, FrameError};

/// The reader of the stream, which determines the legal packet types.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Receiver {
    /// A client, which reads from a broker.
    Client,
    /// A broker, which reads from a client.
    Broker,
}

/// The bytes received on one connection and not yet parsed.
#[derive(Debug)]
pub struct FrameBuffer {
    receiver: Receiver,
    max_packet_bytes: usize,
    bytes: Vec<u8>,
    /// Where the first packet not yet returned starts in `bytes`.
    start: usize,
    /// The packet that is being skipped.
    skipping: Option<Skipping>,
}

/// A result of [`FrameBuffer::next_frame`].
#[derive(Debug, PartialEq)]
pub enum Frame<'a> {
    /// A complete packet.
    Packet(Packet<'a>),
    /// A PUBLISH above the size limit, skipped.
    TooLarge(TooLarge),
}

/// A PUBLISH above the size limit, without its payload, which was not kept.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TooLarge {
    /// The DUP flag.
    pub dup: bool,
    /// The QoS, and the packet identifier above QoS 0.
    pub qospid: QosPid,
    /// The RETAIN flag.
    pub retain: bool,
    /// The topic, validated like that of any other PUBLISH.
    pub topic: Box<str>,
    /// The size of the payload in bytes.
    pub payload_bytes: usize,
}

#[derive(Debug)]
struct Skipping {
    publish: TooLarge,
    /// The number of its bytes that are still to come.
    left: usize,
}

impl FrameBuffer {
    /// An empty buffer that refuses packets of more than `max_packet_bytes`, fixed header included.
    pub fn new(receiver: Receiver, max_packet_bytes: usize) -> Self {
        Self {
            receiver,
            max_packet_bytes,
            bytes: Vec::new(),
            start: 0,
            skipping: None,
        }
    }

    /// Appends bytes from the socket.
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
    /// The peer violated the protocol or the size limit: nothing more can be read from this connection.
    pub fn next_packet(&mut self) -> Result<Option<Packet<'_>>, FrameError> {
        match self.judge()? {
            Some(header) if header.packet_bytes() > self.max_packet_bytes => {
                Err(self.above_the_cap(&header))
            }
            Some(header) => self.cut_out(&header),
            None => Ok(None),
        }
    }

    /// Like [`next_packet`](Self::next_packet), but skips a PUBLISH above the size limit: its topic is validated as
    /// early as any other, its payload is dropped as it arrives, and it is returned when its last byte has arrived.
    ///
    /// # Errors
    ///
    /// The peer violated the protocol, or sent another packet above the size limit: nothing more can be read from this
    /// connection.
    pub fn next_frame(&mut self) -> Result<Option<Frame<'_>>, FrameError> {
        if self.skipping.is_none() {
            match self.judge()? {
                None => return Ok(None),
                Some(header) if header.packet_bytes() <= self.max_packet_bytes => {
                    return Ok(self.cut_out(&header)?.map(Frame::Packet));
                }
                Some(header) if header.kind != PacketType::Publish => {
                    return Err(self.above_the_cap(&header));
                }
                Some(header) => self.begin_to_skip(&header)?,
            }
        }
        Ok(self.skip().map(Frame::TooLarge))
    }

    /// After an error: the topic of the refused PUBLISH, as far as it has arrived, with U+FFFD for invalid UTF-8.
    pub fn refused_topic(&self) -> Option<String> {
        let topic = header::publish_topic(self.unread())?;
        Some(String::from_utf8_lossy(topic).into_owned()).filter(|topic| !topic.is_empty())
    }

    /// Whether a packet above the size limit is being skipped.
    pub fn is_skipping(&self) -> bool {
        self.skipping.is_some()
    }

    /// The fixed header of the next packet, if it is complete.
    fn judge(&self) -> Result<Option<Header>, FrameError> {
        header::judge(self.receiver, self.unread())
    }

    /// The bytes that are not parsed yet.
    pub(crate) fn unread(&self) -> &[u8] {
        self.bytes.get(self.start..).unwrap_or_default()
    }

    fn above_the_cap(&self, header: &Header) -> FrameError {
        FrameError::TooLarge {
            kind: header.kind,
            bytes: header.packet_bytes(),
            max: self.max_packet_bytes,
        }
    }

    fn cut_out(&mut self, header: &Header) -> Result<Option<Packet<'_>>, FrameError> {
        let unread = self.bytes.get(self.start..).unwrap_or_default();
        let Some(frame) = unread.get(..header.packet_bytes()) else {
            return Ok(None);
        };
        let body = frame.get(header.header_bytes..).unwrap_or_default();
        body::judge(header, body)?;
        match mqttrs::decode_slice(frame) {
            Ok(Some(packet)) => {
                self.start += header.packet_bytes();
                Ok(Some(packet))
            }
            // Unreachable as far as tests and fuzzing show; otherwise the safe result is an error.
            _ => Err(FrameError::Codec(header.kind)),
        }
    }

    /// Takes topic and packet identifier of a PUBLISH that is not kept, as soon as they have arrived.
    fn begin_to_skip(&mut self, header: &Header) -> Result<(), FrameError> {
        let body = self.unread().get(header.header_bytes..).unwrap_or_default();
        let Some(head) = body::publish_head(header, body)? else {
            return Ok(());
        };
        let (head_bytes, qospid) = (head.bytes, head.qospid);
        let publish = TooLarge {
            dup: header.flags & 0b1000 != 0,
            qospid,
            retain: header.flags & 0b0001 != 0,
            topic: head.topic.into(),
            payload_bytes: header.body_bytes - head_bytes,
        };
        self.start += header.header_bytes + head_bytes;
        let left = publish.payload_bytes;
        self.skipping = Some(Skipping { publish, left });
        Ok(())
    }

    /// Drops the received bytes of the skipped packet; returns the packet with its last byte.
    fn skip(&mut self) -> Option<TooLarge> {
        let buffered = self.buffered();
        let skipping = self.skipping.as_mut()?;
        let passing = skipping.left.min(buffered);
        skipping.left -= passing;
        self.start += passing;
        if skipping.left > 0 {
            return None;
        }
        self.skipping.take().map(|skipping| skipping.publish)
    }

    /// The number of bytes that are not parsed yet.
    pub fn buffered(&self) -> usize {
        self.bytes.len() - self.start
    }

    /// Clears the buffer for the next connection.
    pub fn clear(&mut self) {
        self.bytes = Vec::new();
        self.start = 0;
        self.skipping = None;
    }

    /// Drops parsed bytes when that is free or cheaper than growing.
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

/// The capacity kept once all bytes are parsed; the extra memory of one large packet is freed (64 KiB: one read of the
/// socket).
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
