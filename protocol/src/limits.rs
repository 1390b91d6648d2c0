//! The bounds of the protocol machines: every queue has one in items and one in bytes.

use std::time::Duration;

/// What a [`Client`](crate::client::Client) may hold at once.
#[derive(Debug, Clone)]
pub struct Limits {
    /// Largest inbound packet in bytes, its header included. Range 128 to 268,435,460; default
    /// 2 MiB. A larger packet closes the connection as soon as its header is read.
    pub packet_bytes: usize,
    /// Publishes accepted and not finished. Range 1 to 65,535; default 1,000. At the limit a
    /// publish is refused with [`PublishError::QueueFull`](crate::client::PublishError).
    pub publish_queue: usize,
    /// Payload and topic bytes of those publishes. Range 1 KiB and up; default 8 MiB. At the limit
    /// a publish is refused; one publish alone may be larger than the limit.
    pub publish_queue_bytes: usize,
    /// QoS 1 and 2 publishes sent and not acknowledged. Range 1 to 65,000; default 100. At the
    /// limit later publishes wait in the queue.
    pub inflight: usize,
    /// Listeners at once. Range 1 to 65,535; default 256. At the limit a listen is refused.
    pub listeners: usize,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            packet_bytes: 2 * 1024 * 1024,
            publish_queue: 1000,
            publish_queue_bytes: 8 * 1024 * 1024,
            inflight: 100,
            listeners: 256,
        }
    }
}

/// Unwritten bytes above which no further publish is encoded: enough for one large write, little
/// enough that acknowledgements and pings never stand far behind.
pub(crate) const OUTBOX_HIGH_WATER: usize = 64 * 1024;

/// Unwritten bytes above which no further inbound packet is parsed: each may ask for an
/// acknowledgement, and a broker that does not read must not make them pile up.
pub(crate) const OUTBOX_FULL: usize = 256 * 1024;

/// How long a SUBACK or UNSUBACK may take. After it the connection counts as broken.
pub(crate) const SUBSCRIBE_ACK_TIMEOUT: Duration = Duration::from_secs(20);

/// How long a broker may acknowledge none of the publishes in flight. Nothing is ever sent again on a
/// live connection, so only ending it lets a window move that such a broker has filled.
pub(crate) const PUBLISH_ACK_TIMEOUT: Duration = Duration::from_secs(60);

/// How long the socket may refuse to take a single byte of what is to be sent.
pub(crate) const WRITE_STALL_TIMEOUT: Duration = Duration::from_secs(30);

/// How long a DISCONNECT may take to leave.
pub(crate) const DISCONNECT_TIMEOUT: Duration = Duration::from_secs(1);

/// Bytes of filters in one SUBSCRIBE packet after a reconnect.
pub(crate) const SUBSCRIBE_BATCH_BYTES: usize = 16 * 1024;

/// Filters in one SUBSCRIBE packet after a reconnect; small brokers refuse long ones.
pub(crate) const SUBSCRIBE_BATCH: usize = 32;

/// Topics a listener remembers so that a retained message reaches it once. Beyond it a retained
/// message may come twice when another caller subscribes.
pub(crate) const SEEN_TOPICS: usize = 4096;

/// A connection that the broker ends within this time of its CONNACK, twice running, looks like
/// two clients taking one client identifier from each other.
pub(crate) const TAKEOVER_WINDOW: Duration = Duration::from_secs(5);
