//! How grave a log message for the client is (RFC 5424's eight severities).

/// Least grave first.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Level {
    /// For whoever looks for a fault.
    Debug,
    /// The ordinary course of things.
    Info,
    /// Ordinary but worth seeing.
    Notice,
    /// May become an error.
    Warning,
    /// An operation failed.
    Error,
    /// A part of the system failed.
    Critical,
    /// Somebody has to act at once.
    Alert,
    /// Nothing works.
    Emergency,
}

impl Level {
    /// The level of that name on the wire.
    #[must_use]
    pub fn from_name(name: &str) -> Option<Level> {
        let found = NAMES.iter().find(|(_, known)| *known == name);
        found.map(|(level, _)| *level)
    }

    /// The name on the wire.
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
