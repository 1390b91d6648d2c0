//! A small MQTT 3.1.1 broker as a state machine, for demonstrations and tests: its inputs are bytes and time; its
//! outputs are bytes, closed connections and a deadline. Production needs a full broker.
//!
//! Promises: the server's side of the standard: QoS 0 to 2 in both directions, retained messages, wildcards, wills,
//! sessions that outlive their connection, takeover and keep alive; and shared subscriptions (`$share/group/filter`) as
//! MQTT 5 defines them. A client with overlapping filters gets one copy of a message, at the highest QoS of these
//! filters, in the order of publication. [`BrokerLimits`] bounds all memory, and no input from a client has a worse
//! effect than to end that client's connection with a [`CloseReason`].
//!
//! > After every call that changes a `Broker`, call [`Broker::poll`] until it returns
//! > [`Output::Wait`], write what [`Broker::output`] holds for each connection as far as its socket
//! > takes it, and only then wait: for bytes, for room to write, or for the time that `Wait` named.
//!
//! Does not: authenticate; every client is accepted, with any name and password. Sessions live as long as the process.
//! The broker opens no socket and reads no clock.

mod connection;
mod core;
mod deliveries;
mod output;
mod packets;
mod retained;
mod session;
mod subscriptions;

use std::collections::BTreeMap;
use std::time::Instant;

pub use self::connection::ConnId;
pub use self::output::{CloseReason, Output};

use self::core::Core;
use crate::frame::{FrameBuffer, Receiver};
use crate::limits::BrokerLimits;
use crate::message::Message;
use crate::topic::TopicFilter;

/// A broker for any number of clients. See the [module documentation](self) for how to drive it.
pub struct Broker {
    /// Separate from the core, so that the core can handle a packet borrowed from a buffer.
    frames: BTreeMap<ConnId, FrameBuffer>,
    core: Core,
}

impl Broker {
    /// Creates a broker without clients and messages.
    #[must_use]
    pub fn new(limits: BrokerLimits) -> Self {
        Self {
            frames: BTreeMap::new(),
            core: Core::new(limits),
        }
    }

    /// Registers a new transport. Its id is never used again.
    pub fn open(&mut self, now: Instant) -> ConnId {
        let conn = self.core.open(now);
        let packet_bytes = self.core.limits.packet_bytes;
        self.frames
            .insert(conn, FrameBuffer::new(Receiver::Broker, packet_bytes));
        conn
    }

    /// Handles bytes from a client. Bytes for an ending or unknown connection are ignored.
    pub fn handle_bytes(&mut self, now: Instant, conn: ConnId, bytes: &[u8]) {
        let Some(frames) = self.frames.get_mut(&conn) else {
            return;
        };
        if self.core.is_reading(conn) {
            frames.extend(bytes);
        }
        while self.core.is_reading(conn) {
            match frames.next_packet() {
                Ok(Some(packet)) => self.core.handle_packet(now, conn, packet),
                Ok(None) => break,
                Err(error) => self.core.refuse_frame(now, conn, error),
            }
        }
    }

    /// Reports that a transport ended that the broker had not asked to close. The client's will is published, unless
    /// the client had sent DISCONNECT.
    pub fn handle_closed(&mut self, _now: Instant, conn: ConnId) {
        self.frames.remove(&conn);
        self.core.handle_closed(conn);
    }

    /// Reports that the time named by [`Output::Wait`] has come (earlier calls do no harm).
    pub fn handle_timeout(&mut self, now: Instant) {
        self.core.handle_timeout(now);
    }

    /// The bytes for the client, oldest first.
    #[must_use]
    pub fn output(&self, conn: ConnId) -> &[u8] {
        self.core.output(conn)
    }

    /// Reports that the client's socket took the first `n` bytes of [`output`](Self::output).
    pub fn wrote(&mut self, _now: Instant, conn: ConnId, n: usize) {
        self.core.wrote(conn, n);
    }

    /// Publishes a message of the embedding program like a client's, but also to topics that begin with `$`.
    pub fn publish_local(&mut self, _now: Instant, message: Message) {
        self.core.route(message);
    }

    /// Outputs messages that match `filter` as [`Output::Local`] from now on, each once, as published. Retained
    /// messages are not sent again.
    pub fn subscribe_local(&mut self, filter: &TopicFilter) {
        self.core.subscriptions.add_local(filter);
    }

    /// The next output. Call until it returns `Wait`.
    pub fn poll(&mut self, _now: Instant) -> Output {
        let output = self.core.poll();
        if let Output::Close(conn, _) = output {
            self.frames.remove(&conn);
        }
        output
    }

    /// What the broker holds now, for limits and metrics.
    #[must_use]
    pub fn usage(&self) -> BrokerUsage {
        let core = &self.core;
        let queues = || core.sessions.values().map(|session| &session.deliveries);
        BrokerUsage {
            connections: core.connections.len(),
            sessions: core.sessions.len(),
            subscriptions: core.sessions.values().map(|s| s.filters.len()).sum(),
            retained: core.retained.len(),
            retained_bytes: core.retained.bytes(),
            queued: queues().map(deliveries::Deliveries::len).sum(),
            queued_bytes: queues().map(deliveries::Deliveries::bytes).sum(),
            incoming_bytes: self.frames.values().map(FrameBuffer::buffered).sum(),
            output_bytes: core.output_bytes(),
            dropped: core.dropped,
            not_retained: core.retained.refused(),
        }
    }
}

/// The items and bytes that a broker holds at one moment.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BrokerUsage {
    /// Transports that are open or being closed.
    pub connections: usize,
    /// Sessions, with and without a connection.
    pub sessions: usize,
    /// Subscriptions of all sessions.
    pub subscriptions: usize,
    /// Retained messages.
    pub retained: usize,
    /// Topic and payload bytes of the retained messages.
    pub retained_bytes: usize,
    /// Messages queued for clients or not acknowledged by them.
    pub queued: usize,
    /// Topic and payload bytes of these messages, counted once for each client.
    pub queued_bytes: usize,
    /// Bytes received and not parsed yet.
    pub incoming_bytes: usize,
    /// Bytes that the sockets have not taken.
    pub output_bytes: usize,
    /// Message copies dropped because a client's queue was full, since the start.
    pub dropped: u64,
    /// Retained messages delivered but not stored, since the start.
    pub not_retained: u64,
}

impl std::fmt::Debug for Broker {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Broker")
            .field("usage", &self.usage())
            .finish_non_exhaustive()
    }
}
