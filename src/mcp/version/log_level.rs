//! The severity of a log message to the client (RFC 5424 §6.2.1).

/// The eight severities, the least severe first.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Level {
    /// Information for debugging.
    Debug,
    /// Normal operation.
    Info,
    /// Normal but significant events.
    Notice,
    /// A condition that may become an error.
    Warning,
    /// An operation failed.
    Error,
    /// A component failed.
    Critical,
    /// A person has to act immediately.
    Alert,
    /// The system is unusable.
    Emergency,
}

impl Level {
    /// The level with this name in MCP messages.
    #[must_use]
    pub fn from_name(name: &str) -> Option<Level> {
        let found = NAMES.iter().find(|(_, known)| *known == name);
        found.map(|(level, _)| *level)
    }

    /// The name in MCP messages.
    #[must_use]
    pub fn name(self) -> &'static str {
        let found = NAMES.iter().find(|(level, _)| *level == self);
        found.map_or("debug", |(_, name)| name)
    }
}

const NAMES: [(Level, &str); 8] = [
    (Level::Debug, "debug"),
    (Level::Info, "info"),
    (Level::Notice, "notice"),
    (Level::Warning, "warning"),
    (Level::Error, "error"),
    (Level::Critical, "critical"),
    (Level::Alert, "alert"),
    (Level::Emergency, "emergency"),
];
