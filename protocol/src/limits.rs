//! The limits of the state machines: every queue has a limit in items and one in bytes.

use std::time::Duration;

/// The limits of a [`Client`](crate::client::Client).
#[derive(Debug, Clone)]
pub struct Limits {
    /// Largest inbound packet in bytes, its header included. Range 128 to 268,435,460; default
    /// 2 MiB. A larger PUBLISH is skipped, acknowledged and reported as lost
    /// ([`Event::TooLarge`](crate::client::Event)); another packet closes the connection as soon as its
    /// header is read.
    pub packet_bytes: usize,
    /// Publishes accepted and not finished. Range 1 to 65,535; default 1,000. At the limit a
    /// publish is refused with [`PublishError::QueueFull`](crate::client::PublishError).
    pub publish_queue: usize,
    /// Payload and topic bytes of those publishes. Range 1 KiB and up; default 8 MiB. At the limit
    /// a publish is refused; one publish alone may be larger than the limit.
    pub publish_queue_bytes: usize,
    /// Payload and topic bytes of one publish. Range 1 KiB to 256 MiB; default 4 MiB. A larger one is
    /// refused with [`PublishError::AboveLimit`](crate::client::PublishError): a broker may end the
    /// connection for it, and MQTT 3.1.1 does not tell what it takes.
    pub publish_bytes: usize,
    /// QoS 1 and 2 publishes sent and not acknowledged. Range 1 to 65,000; default 20, what brokers
    /// allow by default: mosquitto 2.0 (`max_inflight_messages`) ends the connection when QoS 1
    /// comes behind as many of QoS 2. At the limit later publishes wait in the queue.
    pub inflight: usize,
    /// Listeners at once. Range 1 to 131,070; default 256. At the limit a listen is refused.
    pub listeners: usize,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            packet_bytes: 2 * 1024 * 1024,
            publish_queue: 1000,
            publish_queue_bytes: 8 * 1024 * 1024,
            publish_bytes: 4 * 1024 * 1024,
            inflight: 20,
            listeners: 256,
        }
    }
}

/// The limits of a [`Broker`](crate::broker::Broker).
#[derive(Debug, Clone)]
pub struct BrokerLimits {
    /// Largest inbound packet in bytes, its header included. Range 128 to 268,435,460; default
    /// 2 MiB. A larger packet closes its connection as soon as its header is read.
    pub packet_bytes: usize,
    /// Connections. Range 1 and up; default 64. At the limit a new one is closed at once.
    pub connections: usize,
    /// Sessions, connected or kept for their return. Range 1 and up; default 256. At the limit a
    /// client that has none is refused as "server unavailable".
    pub sessions: usize,
    /// Subscriptions of one session. Range 1 and up; default 1,000. At the limit a filter is
    /// refused in its SUBACK.
    pub subscriptions: usize,
    /// Retained messages. Range 0 and up; default 10,000. At the limit a message on a new topic is
    /// delivered and not kept.
    pub retained: usize,
    /// Payload and topic bytes of the retained messages. Range 0 and up; default 8 MiB. At the
    /// limit a message is delivered and not kept, and what its topic had before is forgotten.
    pub retained_bytes: usize,
    /// QoS 1 and 2 messages sent to one client and not acknowledged. Range 1 to 65,535; default
    /// 100. At the limit later messages wait.
    pub inflight: usize,
    /// Messages waiting for one client, connected or away. Range 1 and up; default 4,096. At the
    /// limit a message is dropped for this client and counted.
    pub queue: usize,
    /// Payload and topic bytes waiting for one client or unacknowledged by it. Range 1 and up;
    /// default 4 MiB. At the limit a message is dropped for this client and counted; one message
    /// alone may be larger than the limit.
    pub queue_bytes: usize,
    /// Bytes for one connection that its socket has not taken. Keep it above `packet_bytes`;
    /// default 4 MiB. A client that goes on asking for answers without reading them is closed.
    pub output_bytes: usize,
}

impl Default for BrokerLimits {
    fn default() -> Self {
        Self {
            packet_bytes: 2 * 1024 * 1024,
            connections: 64,
            sessions: 256,
            subscriptions: 1000,
            retained: 10_000,
            retained_bytes: 8 * 1024 * 1024,
            inflight: 100,
            queue: 4096,
            queue_bytes: 4 * 1024 * 1024,
            output_bytes: 4 * 1024 * 1024,
        }
    }
}

/// Unwritten bytes above which no further publish is encoded: enough for one large write, and few enough that
/// acknowledgements and pings are not delayed.
pub(crate) const OUTBOX_HIGH_WATER: usize = 64 * 1024;

/// Unwritten bytes above which no further inbound packet is parsed: each packet may need an acknowledgement, and
/// acknowledgements must not pile up for a broker that does not read.
pub(crate) const OUTBOX_FULL: usize = 256 * 1024;

/// The time limit for a SUBACK or UNSUBACK; after it the connection counts as broken.
pub(crate) const SUBSCRIBE_ACK_TIMEOUT: Duration = Duration::from_secs(20);

/// How long a SUBSCRIBE waits for the UNSUBACK of the same filter.
pub(crate) const UNSUBACK_PATIENCE: Duration = Duration::from_secs(1);

/// The time limit for any acknowledgement of the publishes in flight. Nothing is sent again on a live connection, so
/// only a new connection frees a window that such a broker has filled.
pub(crate) const PUBLISH_ACK_TIMEOUT: Duration = Duration::from_secs(60);

/// How long the socket may refuse to take a single byte of what is to be sent.
pub(crate) const WRITE_STALL_TIMEOUT: Duration = Duration::from_secs(30);

/// The time limit for sending DISCONNECT.
pub(crate) const DISCONNECT_TIMEOUT: Duration = Duration::from_secs(1);

/// Bytes of filters in one SUBSCRIBE packet after a reconnect.
pub(crate) const SUBSCRIBE_BATCH_BYTES: usize = 16 * 1024;

/// Filters in one SUBSCRIBE packet after a reconnect: AWS IoT ends the connection at more.
pub(crate) const SUBSCRIBE_BATCH: usize = 8;

/// Topics a listener remembers so that a retained message reaches it once. Beyond it a retained
/// message may come twice when another caller subscribes.
pub(crate) const SEEN_TOPICS: usize = 4096;

/// A connection that the broker ends within this time of its CONNACK, twice in a row, suggests that two clients take
/// over one client identifier from each other.
pub(crate) const TAKEOVER_WINDOW: Duration = Duration::from_secs(5);

/// The number of consecutive resumptions that a broker may end before it acknowledges anything of what is sent again.
/// Then the session is given up: otherwise a message or a release that the broker cannot handle (rumqttd ends the
/// connection at a PUBREL that it has forgotten) would end connections for ever. The number is so large that a bad
/// network hardly ever reaches it.
pub(crate) const FAILED_RESUMPTIONS: u32 = 10;

/// The number of such resumptions before the unacknowledged messages are sent one at a time; with the connection loss
/// before the first resumption, two losses.
pub(crate) const TRUSTED_RESUMPTIONS: u32 = 1;

/// How long a connection has to live before the first of these messages is sent: a connection that a bad network ends
/// sooner says nothing about the message.
pub(crate) const TRIAL_QUIET: Duration = Duration::from_millis(500);

/// A connection that ends within this time of a message sent alone may have ended because of it.
pub(crate) const TRIAL_MOMENT: Duration = Duration::from_millis(500);

/// The number of consecutive losses after which the message counts as the cause.
pub(crate) const TRIAL_CUTS: u8 = 3;

/// A connection that ends within this time of a publish may have ended because of it.
pub(crate) const SENT_A_MOMENT_AGO: Duration = Duration::from_secs(1);

/// How long a filter is remembered that brought a packet for which the connection had to be closed.
pub(crate) const BLAME_MEMORY: Duration = Duration::from_secs(600);

/// The limit on remembered filters.
pub(crate) const BLAMED_FILTERS: usize = 64;

/// How long a filter that has done so twice is refused to every caller: each further attempt would cost all other
/// callers the connection.
pub(crate) const CONDEMNED_FOR: Duration = Duration::from_secs(60);

/// A packet within this time of a SUBACK may have been sent because of that subscription.
pub(crate) const FRESH_SUBSCRIPTION: Duration = Duration::from_secs(2);

/// The number of consecutive resumptions with a packet for which the connection had to be closed. Then the session is
/// ended, because the broker sends unacknowledged messages again.
pub(crate) const MALFORMED_RESUMPTIONS: u32 = 3;

/// How long the broker waits for the CONNECT of a new connection (MQTT 3.1.1 §3.1: a reasonable
/// time).
pub(crate) const CONNECT_WAIT: Duration = Duration::from_secs(10);

/// The time limit for the last bytes to a connection that the broker ends.
pub(crate) const LAST_WORDS_TIMEOUT: Duration = Duration::from_secs(1);
