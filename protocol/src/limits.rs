//! The bounds of the protocol machines: every queue has one in items and one in bytes.

use std::time::Duration;

/// What a [`Client`](crate::client::Client) may hold at once.
#[derive(Debug, Clone)]
pub struct Limits {
    /// Largest inbound packet in bytes, its header included. Range 128 to 268,435,460; default
    /// 2 MiB. A larger PUBLISH is read past, acknowledged and told as lost
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

/// What a [`Broker`](crate::broker::Broker) may hold at once.
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

/// Unwritten bytes above which no further publish is encoded: enough for one large write, little
/// enough that acknowledgements and pings never stand far behind.
pub(crate) const OUTBOX_HIGH_WATER: usize = 64 * 1024;

/// Unwritten bytes above which no further inbound packet is parsed: each may ask for an
/// acknowledgement, and a broker that does not read must not make them pile up.
pub(crate) const OUTBOX_FULL: usize = 256 * 1024;

/// How long a SUBACK or UNSUBACK may take. After it the connection counts as broken.
pub(crate) const SUBSCRIBE_ACK_TIMEOUT: Duration = Duration::from_secs(20);

/// How long a SUBSCRIBE waits for the UNSUBACK of the same filter.
pub(crate) const UNSUBACK_PATIENCE: Duration = Duration::from_secs(1);

/// How long a broker may acknowledge none of the publishes in flight. Nothing is ever sent again on a
/// live connection, so only ending it lets a window move that such a broker has filled.
pub(crate) const PUBLISH_ACK_TIMEOUT: Duration = Duration::from_secs(60);

/// How long the socket may refuse to take a single byte of what is to be sent.
pub(crate) const WRITE_STALL_TIMEOUT: Duration = Duration::from_secs(30);

/// How long a DISCONNECT may take to leave.
pub(crate) const DISCONNECT_TIMEOUT: Duration = Duration::from_secs(1);

/// Bytes of filters in one SUBSCRIBE packet after a reconnect.
pub(crate) const SUBSCRIBE_BATCH_BYTES: usize = 16 * 1024;

/// Filters in one SUBSCRIBE packet after a reconnect: AWS IoT ends the connection at more.
pub(crate) const SUBSCRIBE_BATCH: usize = 8;

/// Topics a listener remembers so that a retained message reaches it once. Beyond it a retained
/// message may come twice when another caller subscribes.
pub(crate) const SEEN_TOPICS: usize = 4096;

/// A connection that the broker ends within this time of its CONNACK, twice running, looks like
/// two clients taking one client identifier from each other.
pub(crate) const TAKEOVER_WINDOW: Duration = Duration::from_secs(5);

/// Resumptions in a row that a broker may end before it acknowledges anything of what is sent again.
/// Then the session is given up: without that, a message or a release that the broker cannot bear
/// (rumqttd ends the connection at a PUBREL that it has forgotten) would end connections for ever. So
/// many that a bad network hardly ever looks like it.
pub(crate) const VAIN_RESUMPTIONS: u32 = 10;

/// Resumptions in a row that a broker may end so before what is sent again goes one at a time: with the cut
/// before the first of them, two cuts.
pub(crate) const TRUSTED_RESUMPTIONS: u32 = 1;

/// How long a connection has to live before the first of those is sent: one that a bad network ends sooner
/// says nothing of the message.
pub(crate) const TRIAL_QUIET: Duration = Duration::from_millis(500);

/// A connection that ends within this time of a message that is alone under way may end because of it.
pub(crate) const TRIAL_MOMENT: Duration = Duration::from_millis(500);

/// So many in a row convict the message: the broker does not take it.
pub(crate) const TRIAL_CUTS: u8 = 3;

/// A connection that ends within this time of a publish may end because of it.
pub(crate) const SENT_A_MOMENT_AGO: Duration = Duration::from_secs(1);

/// How long it counts that a filter brought a packet for which the connection had to be closed.
pub(crate) const BLAME_MEMORY: Duration = Duration::from_secs(600);

/// How many of these are remembered.
pub(crate) const BLAMED_FILTERS: usize = 64;

/// How long a filter that has done so twice is refused to everybody: whoever asks again and again would
/// cost all others the connection each time.
pub(crate) const CONDEMNED_FOR: Duration = Duration::from_secs(60);

/// A packet so soon after a SUBACK may be there because of it.
pub(crate) const FRESH_SUBSCRIPTION: Duration = Duration::from_secs(2);

/// Kept sessions in a row that brought a packet for which the connection had to be closed, before the
/// session is ended: the broker sends again what was not acknowledged.
pub(crate) const MALFORMED_RESUMPTIONS: u32 = 3;

/// How long the broker waits for the CONNECT of a new connection (MQTT 3.1.1 §3.1: a reasonable
/// time).
pub(crate) const CONNECT_WAIT: Duration = Duration::from_secs(10);

/// How long the last bytes for a connection that the broker ends may take to leave.
pub(crate) const LAST_WORDS_TIMEOUT: Duration = Duration::from_secs(1);
