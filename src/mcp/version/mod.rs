//! The five protocol versions this server speaks and the table of what differs between them.
//!
//! Promises: every difference of *shape* between versions is a column of one table here; the rest
//! of the engine asks the table and never compares versions itself.
//! Does not: negotiate (see `handshake`) or judge the envelope of the stateless era (see `stateless`).

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

/// What a version's messages look like: one row of the table.
#[derive(Debug)]
pub struct Shape {
    /// The version's name on the wire.
    pub name: &'static str,
    /// A JSON array of messages is a legal message.
    pub batches: bool,
    /// Tools carry `annotations`; content may be `audio`; progress carries `message`; the
    /// capability `completions` exists.
    pub annotations: bool,
    /// `title`, `outputSchema`, `structuredContent`, `resource_link` and elicitation exist.
    pub titles: bool,
    /// An error whose request id could not be read leaves `id` out; earlier schemas demand the
    /// member, and JSON-RPC 2.0 then wants `null`.
    pub omits_unknown_id: bool,
    /// Event streams over HTTP begin with an event that has an id and no message; clients of
    /// earlier versions take that for a broken message.
    pub primes: bool,
    /// Results carry `resultType`, `_meta` with the server's identity, and cache hints.
    pub stateless: bool,
    /// The error code for a resource that does not exist.
    pub missing_resource: i64,
}

impl Version {
    /// The newest version that begins with `initialize`: the counter-offer to an unknown one.
    pub const NEWEST_LEGACY: Version = Version::V2025_11_25;
    /// The stateless version, the only one a request's `_meta` may name.
    pub const MODERN: Version = Version::V2026_07_28;

    /// The version of that name, when we speak it.
    #[must_use]
    pub fn from_name(name: &str) -> Option<Version> {
        ALL.into_iter().find(|version| version.name() == name)
    }

    /// The name on the wire, a date.
    #[must_use]
    pub fn name(self) -> &'static str {
        self.shape().name
    }

    /// What messages of this version look like.
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
