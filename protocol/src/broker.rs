//! A small MQTT 3.1.1 broker as a state machine: bytes and time in; bytes, closes and a deadline
//! out. It is for demonstrations and tests; real use means a real broker.
//!
//! It promises the server's side of the standard: QoS 0 to 2 both ways, retained messages,
//! wildcards, wills, sessions that outlive their connection, takeover, keep-alive; and shared
//! subscriptions (`$share/group/filter`) as MQTT 5 defines them. A client whose filters overlap gets
//! one copy of a message, at the highest QoS of those filters, in the order of publication.
//! Everything held is bounded by [`BrokerLimits`], and no byte from a client does more than end that
//! client's connection with a [`CloseReason`].
//!
//! > After every call that changes a `Broker`, call [`Broker::poll`] until it returns
//! > [`Output::Wait`], write what [`Broker::output`] holds for each connection as far as its socket
//! > takes it, and only then wait: for bytes, for room to write, or for the time that `Wait` named.
//!
//! It knows no users: whoever connects is welcome, whatever name and password say. Sessions live as
//! long as the process. It opens no socket and reads no clock.

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

/// One broker, any number of clients. See the [module documentation](self) for how to drive it.
pub struct Broker {
    /// Apart from the core, so that a packet borrowed from them can be handled.
    frames: BTreeMap<ConnId, FrameBuffer>,
    core: Core,
}

impl Broker {
    /// A broker without clients and messages.
    #[must_use]
    pub fn new(limits: BrokerLimits) -> Self {
        Self {
            frames: BTreeMap::new(),
            core: Core::new(limits),
        }
    }

    /// A client has opened a transport. The id is never used again.
    pub fn open(&mut self, now: Instant) -> ConnId {
        let conn = self.core.open(now);
        let packet_bytes = self.core.limits.packet_bytes;
        self.frames
            .insert(conn, FrameBuffer::new(Receiver::Broker, packet_bytes));
        conn
    }

    /// Bytes came from a client. They are ignored when the connection is ending or unknown.
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

    /// A transport ended that the broker had not asked to close. Unless the client had said
    /// DISCONNECT, its will is published.
    pub fn handle_closed(&mut self, _now: Instant, conn: ConnId) {
        self.frames.remove(&conn);
        self.core.handle_closed(conn);
    }

    /// The time that [`Output::Wait`] named has come (earlier calls do no harm).
    pub fn handle_timeout(&mut self, now: Instant) {
        self.core.handle_timeout(now);
    }

    /// Bytes for the client, oldest first.
    #[must_use]
    pub fn output(&self, conn: ConnId) -> &[u8] {
        self.core.output(conn)
    }

    /// The client's socket took the first `n` bytes of [`output`](Self::output).
    pub fn wrote(&mut self, _now: Instant, conn: ConnId, n: usize) {
        self.core.wrote(conn, n);
    }

    /// Publishes a message of the program's own, as if a client had; topics that begin with `$` are
    /// allowed too.
    pub fn publish_local(&mut self, _now: Instant, message: Message) {
        self.core.route(message);
    }

    /// From now on messages that match `filter` come as [`Output::Local`], each once, as they were
    /// published. Retained ones are not sent again.
    pub fn subscribe_local(&mut self, filter: &TopicFilter) {
        self.core.subscriptions.add_local(filter);
    }

    /// The next thing to do. `Wait` is the last one; until it comes, keep calling.
    pub fn poll(&mut self, _now: Instant) -> Output {
        let output = self.core.poll();
        if let Output::Close(conn, _) = output {
            self.frames.remove(&conn);
        }
        output
    }

    /// What is held, for budgets and metrics.
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

/// What a broker holds at a moment.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BrokerUsage {
    /// Transports open or being closed.
    pub connections: usize,
    /// Sessions, with and without a connection.
    pub sessions: usize,
    /// Their subscriptions.
    pub subscriptions: usize,
    /// Retained messages.
    pub retained: usize,
    /// Their topic and payload bytes.
    pub retained_bytes: usize,
    /// Messages waiting for clients or unacknowledged by them.
    pub queued: usize,
    /// Their topic and payload bytes, counted once for each client.
    pub queued_bytes: usize,
    /// Bytes received and not parsed.
    pub incoming_bytes: usize,
    /// Bytes that sockets have not taken.
    pub output_bytes: usize,
    /// Copies of messages dropped because a client's queue was full, since the start.
    pub dropped: u64,
    /// Retained messages delivered and not kept, since the start.
    pub not_retained: u64,
}

impl std::fmt::Debug for Broker {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Broker")
            .field("usage", &self.usage())
            .finish_non_exhaustive()
    }
}
