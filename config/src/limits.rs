//! The runtime limits an operator may change: one table drives reading, `--check` and the manual.

use crate::section::Section;

/// The description of one limit.
#[derive(Debug)]
pub struct Limit {
    /// The key under `limits`.
    pub name: &'static str,
    /// The value when the key is absent.
    pub default: usize,
    /// The lowest allowed value.
    pub min: usize,
    /// The highest allowed value.
    pub max: usize,
    /// The unit of the value, such as bytes.
    pub unit: &'static str,
    /// What the limit bounds.
    pub meaning: &'static str,
    /// What happens when the limit is reached.
    pub at_limit: &'static str,
    field: fn(&mut Limits) -> &mut usize,
}

/// The limits in force. Each field is described by its entry in [`LIMITS`].
#[derive(Clone, Debug, PartialEq, Eq)]
#[allow(missing_docs)]
pub struct Limits {
    pub line_bytes: usize,
    pub packet_bytes: usize,
    pub publish_queue: usize,
    pub publish_queue_bytes: usize,
    pub publish_bytes: usize,
    pub inflight: usize,
    pub publishes_per_second: usize,
    pub publishes_per_minute: usize,
    pub listeners: usize,
    pub watches: usize,
    pub inbox_messages: usize,
    pub inbox_bytes: usize,
    pub waiting_bytes: usize,
    pub result_bytes: usize,
    pub requests: usize,
    pub request_bytes: usize,
    pub connections: usize,
    pub body_bytes: usize,
    pub bodies_bytes: usize,
    pub answers_bytes: usize,
    pub sessions: usize,
}

impl Limits {
    /// The limits with their names, in the order of [`LIMITS`].
    pub fn iter(&self) -> impl Iterator<Item = (&'static Limit, usize)> {
        let mut copy = self.clone();
        LIMITS
            .iter()
            .map(move |limit| (limit, *(limit.field)(&mut copy)))
    }

    pub(crate) fn read(section: Section<'_>) -> Self {
        let mut limits = Self::default();
        for limit in &LIMITS {
            *(limit.field)(&mut limits) =
                section.whole(limit.name, limit.min..=limit.max, limit.default);
        }
        section.finish();
        limits
    }
}

impl Default for Limits {
    fn default() -> Self {
        let mut limits = Self {
            line_bytes: 0,
            packet_bytes: 0,
            publish_queue: 0,
            publish_queue_bytes: 0,
            publish_bytes: 0,
            inflight: 0,
            publishes_per_second: 0,
            publishes_per_minute: 0,
            listeners: 0,
            watches: 0,
            inbox_messages: 0,
            inbox_bytes: 0,
            waiting_bytes: 0,
            result_bytes: 0,
            requests: 0,
            request_bytes: 0,
            connections: 0,
            body_bytes: 0,
            bodies_bytes: 0,
            answers_bytes: 0,
            sessions: 0,
        };
        for limit in &LIMITS {
            *(limit.field)(&mut limits) = limit.default;
        }
        limits
    }
}

/// Reads one limit in another section than `limits`, with a default of its own.
pub(crate) fn read_one(section: &Section<'_>, name: &'static str, default: usize) -> usize {
    match LIMITS.iter().find(|limit| limit.name == name) {
        Some(limit) => section.whole(name, limit.min..=limit.max, default),
        None => default,
    }
}

/// Every limit, in the order of the manual. Each maximum fits a 32-bit `usize`.
pub const LIMITS: [Limit; 21] = [
    Limit {
        name: "line_bytes",
        default: 4 * MIB,
        min: 4 * KIB,
        max: 256 * MIB,
        unit: "bytes",
        meaning: "the longest JSON-RPC line on stdio",
        at_limit: "the line is answered with an error and skipped",
        field: |limits| &mut limits.line_bytes,
    },
    Limit {
        name: "packet_bytes",
        default: 2 * MIB,
        min: KIB,
        max: 256 * MIB,
        unit: "bytes",
        meaning: "the largest packet of the broker that is kept",
        at_limit: "a larger message is skipped and reported as lost, with its topic and size; the \
        connection stays",
        field: |limits| &mut limits.packet_bytes,
    },
    Limit {
        name: "publish_queue",
        default: 1000,
        min: 1,
        max: 65_535,
        unit: "messages",
        meaning: "publishes that wait or are not yet acknowledged",
        at_limit: "the publish is refused at once",
        field: |limits| &mut limits.publish_queue,
    },
    Limit {
        name: "publish_queue_bytes",
        default: 8 * MIB,
        min: KIB,
        max: GIB,
        unit: "bytes",
        meaning: "topics and payloads of those publishes together",
        at_limit: "the publish is refused at once",
        field: |limits| &mut limits.publish_queue_bytes,
    },
    Limit {
        name: "publish_bytes",
        default: 4 * MIB,
        min: KIB,
        max: 256 * MIB,
        unit: "bytes",
        meaning: "topic and payload of one publish",
        at_limit: "the publish is refused at once; set it to what the broker takes, if that is less",
        field: |limits| &mut limits.publish_bytes,
    },
    Limit {
        name: "inflight",
        default: 20,
        min: 1,
        max: 65_535,
        unit: "messages",
        meaning: "QoS 1 and 2 publishes sent and not yet acknowledged",
        at_limit: "further publishes wait in the publish queue",
        field: |limits| &mut limits.inflight,
    },
    Limit {
        name: "publishes_per_second",
        default: 1000,
        min: 0,
        max: 1_000_000,
        unit: "messages",
        meaning: "publishes of one caller in a second, requests of `mqtt_query` included, and as many at once after a pause; 0 is off",
        at_limit: "the publish is refused, with the time to wait",
        field: |limits| &mut limits.publishes_per_second,
    },
    Limit {
        name: "publishes_per_minute",
        default: 0,
        min: 0,
        max: 10_000,
        unit: "messages",
        meaning: "publishes of one key, user or process in any 60 seconds, whatever the number of its clients; 0 is off",
        at_limit: "the publish is refused, with the time to wait",
        field: |limits| &mut limits.publishes_per_minute,
    },
    Limit {
        name: "listeners",
        default: 256,
        min: 1,
        max: 65_535,
        unit: "calls",
        meaning: "calls that wait for messages at the same time",
        at_limit: "the call is refused at once; over HTTP a client that has as many as are still \
        free gets no more, and all clients of one name together get at most fifteen sixteenths",
        field: |limits| &mut limits.listeners,
    },
    Limit {
        name: "watches",
        default: 1024,
        min: 1,
        max: 65_535,
        unit: "topics",
        meaning: "topics watched for clients that subscribed to them as resources",
        at_limit: "the subscription is refused, or left out of several; over HTTP as for `listeners`",
        field: |limits| &mut limits.watches,
    },
    Limit {
        name: "inbox_messages",
        default: 1000,
        min: 1,
        max: 1_000_000,
        unit: "messages",
        meaning: "messages received for one waiting call and not yet taken by it",
        at_limit: "further messages are dropped for that call and counted as lost",
        field: |limits| &mut limits.inbox_messages,
    },
    Limit {
        name: "inbox_bytes",
        default: 2 * MIB,
        min: KIB,
        max: GIB,
        unit: "bytes",
        meaning: "those messages of one waiting call together",
        at_limit: "further messages are dropped for that call and counted as lost",
        field: |limits| &mut limits.inbox_bytes,
    },
    Limit {
        name: "waiting_bytes",
        default: 16 * MIB,
        min: KIB,
        max: GIB,
        unit: "bytes",
        meaning: "those messages of all waiting calls together",
        at_limit: "further messages are dropped and counted as lost",
        field: |limits| &mut limits.waiting_bytes,
    },
    Limit {
        name: "result_bytes",
        default: MIB,
        min: KIB,
        max: 256 * MIB,
        unit: "bytes",
        meaning: "payloads in the result of one tool call",
        at_limit: "the result is cut and says so (`truncated`)",
        field: |limits| &mut limits.result_bytes,
    },
    Limit {
        name: "requests",
        default: 1024,
        min: 1,
        max: 65_535,
        unit: "requests",
        meaning: "requests in progress for one client connection",
        at_limit: "reading pauses for 250 ms; if there is no room then, tool calls are answered with an error until there is",
        field: |limits| &mut limits.requests,
    },
    Limit {
        name: "request_bytes",
        default: 16 * MIB,
        min: 4 * KIB,
        max: GIB,
        unit: "bytes",
        meaning: "those requests of one client connection together",
        at_limit: "as `requests`; one request alone may be larger",
        field: |limits| &mut limits.request_bytes,
    },
    Limit {
        name: "connections",
        default: 256,
        min: 1,
        max: 65_535,
        unit: "connections",
        meaning: "HTTP connections at the same time",
        at_limit: "a new connection replaces one that waits for no answer: one that has its last \
        answer or reads none, then one without a key, then, of the name that has most connections, \
        the one idle for longest, before one with a stream while streams take up to three quarters; \
        if there is none, the new one is answered 503. Three quarters of the connections can wait for the end \
        of a call; a caller whose calls hold as many of those as are free gets no more, and \
        all callers of one name together get at most fifteen sixteenths",
        field: |limits| &mut limits.connections,
    },
    Limit {
        name: "body_bytes",
        default: 4 * MIB,
        min: 4 * KIB,
        max: 256 * MIB,
        unit: "bytes",
        meaning: "the body of one HTTP request",
        at_limit: "the request is answered 413",
        field: |limits| &mut limits.body_bytes,
    },
    Limit {
        name: "bodies_bytes",
        default: 32 * MIB,
        min: 4 * KIB,
        max: GIB,
        unit: "bytes",
        meaning: "the bodies of all HTTP requests in progress together",
        at_limit: "the request is answered 503; all callers of one name together get at most \
        fifteen sixteenths",
        field: |limits| &mut limits.bodies_bytes,
    },
    Limit {
        name: "answers_bytes",
        default: 32 * MIB,
        min: 64 * KIB,
        max: GIB,
        unit: "bytes",
        meaning: "the answers to calls that HTTP clients have not read yet, together",
        at_limit: "the connection that has read nothing for longest is closed",
        field: |limits| &mut limits.answers_bytes,
    },
    Limit {
        name: "sessions",
        default: 256,
        min: 1,
        max: 65_535,
        unit: "sessions",
        meaning: "HTTP sessions of protocol versions before 2026-07-28",
        at_limit: "a new session replaces, of the name that has most, the one unused for longest, and \
        also one in use of another name that has more than half; if there is none, the request is answered 503",
        field: |limits| &mut limits.sessions,
    },
];

const KIB: usize = 1024;
const MIB: usize = 1024 * KIB;
const GIB: usize = 1024 * MIB;
