//! The five protocol versions that the server supports, and the table of their differences.
//!
//! Promises: every difference in the *shape* of messages is a column of one table here; the rest of the engine reads
//! the table and never compares versions.
//! Does not: negotiate (see `handshake`) or validate the envelope of the stateless era (see `stateless`).

pub(in crate::mcp) mod handshake;
pub(in crate::mcp) mod log_level;
pub(in crate::mcp) mod question;
pub(in crate::mcp) mod stateless;

/// A revision of the Model Context Protocol, oldest first.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Version {
    /// The first published revision.
    V2024_11_05,
    /// Adds tool annotations and JSON-RPC batches.
    V2025_03_26,
    /// Adds titles and structured output; removes batches.
    V2025_06_18,
    /// The last revision with an `initialize` handshake.
    V2025_11_25,
    /// The stateless revision: `server/discover` and per-request `_meta`.
    V2026_07_28,
}

/// The shape of a version's messages: one row of the table.
#[derive(Debug)]
pub struct Shape {
    /// The version's name in messages.
    pub name: &'static str,
    /// Whether a JSON array of messages is a valid message.
    pub batches: bool,
    /// Whether tools carry `annotations`, content may be `audio`, progress carries `message` and the capability
    /// `completions` exists.
    pub annotations: bool,
    /// Whether `title`, `outputSchema`, `structuredContent`, `resource_link` and elicitation exist.
    pub titles: bool,
    /// Whether an error without a readable request id leaves `id` out. The schemas of earlier versions require the
    /// member, which is then `null` (JSON-RPC 2.0 §5).
    pub omits_unknown_id: bool,
    /// Whether an event stream over HTTP begins with an event that has an id and no message. Clients of earlier
    /// versions take that event for a broken message.
    pub primes: bool,
    /// Whether results carry `resultType`, `_meta` with the server's identity, and cache hints.
    pub stateless: bool,
    /// The error code for a resource that does not exist.
    pub missing_resource: i64,
}

impl Version {
    /// The newest version with an `initialize` handshake: the server's reply to an unsupported version.
    pub const NEWEST_LEGACY: Version = Version::V2025_11_25;
    /// The stateless version, the only one that a request's `_meta` may name.
    pub const MODERN: Version = Version::V2026_07_28;

    /// The version with this name, when the server supports it.
    #[must_use]
    pub fn from_name(name: &str) -> Option<Version> {
        ALL.into_iter().find(|version| version.name() == name)
    }

    /// The version's name in messages, a date.
    #[must_use]
    pub fn name(self) -> &'static str {
        self.shape().name
    }

    /// The row of the table for this version.
    #[must_use]
    pub fn shape(self) -> &'static Shape {
        match self {
            Version::V2024_11_05 => &SHAPE_2024_11_05,
            Version::V2025_03_26 => &SHAPE_2025_03_26,
            Version::V2025_06_18 => &SHAPE_2025_06_18,
            Version::V2025_11_25 => &SHAPE_2025_11_25,
            Version::V2026_07_28 => &SHAPE_2026_07_28,
        }
    }
}

/// Every version, oldest first.
pub(super) const ALL: [Version; 5] = [
    Version::V2024_11_05,
    Version::V2025_03_26,
    Version::V2025_06_18,
    Version::V2025_11_25,
    Version::V2026_07_28,
];

const SHAPE_2024_11_05: Shape = Shape {
    name: "2024-11-05",
    batches: false,
    annotations: false,
    titles: false,
    omits_unknown_id: false,
    primes: false,
    stateless: false,
    missing_resource: super::jsonrpc::message::RESOURCE_NOT_FOUND,
};
const SHAPE_2025_03_26: Shape = Shape {
    name: "2025-03-26",
    batches: true,
    annotations: true,
    ..SHAPE_2024_11_05
};
const SHAPE_2025_06_18: Shape = Shape {
    name: "2025-06-18",
    batches: false,
    titles: true,
    ..SHAPE_2025_03_26
};
const SHAPE_2025_11_25: Shape = Shape {
    name: "2025-11-25",
    omits_unknown_id: true,
    primes: true,
    ..SHAPE_2025_06_18
};
const SHAPE_2026_07_28: Shape = Shape {
    name: "2026-07-28",
    primes: false,
    stateless: true,
    missing_resource: super::jsonrpc::message::INVALID_PARAMS,
    ..SHAPE_2025_11_25
};
