//! The `logging` section.

use std::fmt;
use std::path::PathBuf;

use crate::hint;
use crate::section::Section;

/// The log level and the log's destination.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Logging {
    /// Records of this level and above are written.
    pub level: LogLevel,
    /// The file to append to instead of standard error, as written in the configuration.
    pub logfile: Option<PathBuf>,
}

impl Logging {
    pub(crate) fn read(section: Section<'_>) -> Self {
        let mut level = LogLevel::default();
        if let Some(value) = section.value("level") {
            match value.as_str().and_then(LogLevel::parse) {
                Some(parsed) => level = parsed,
                None => {
                    let allowed = match value.as_str().and_then(LogLevel::meant_by) {
                        Some(meant) => format!("{}; did you mean `{meant}`?", LogLevel::ALLOWED),
                        None => LogLevel::ALLOWED.to_owned(),
                    };
                    section.refuse("level", value, &allowed);
                }
            }
        }
        // The original treats an empty string as "no file".
        let logfile = section.path("logfile");
        section.finish();
        Self { level, logfile }
    }
}

/// The level of a log record.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub enum LogLevel {
    /// Details of every step, for debugging.
    Debug,
    /// Events that an operator may want to follow.
    #[default]
    Info,
    /// A problem after which work continues.
    Warning,
    /// An operation failed.
    Error,
    /// The program cannot continue.
    Critical,
}

impl LogLevel {
    /// The names that [`parse`](Self::parse) accepts, for error messages.
    pub const ALLOWED: &str = "`DEBUG`, `INFO`, `WARNING`, `ERROR` or `CRITICAL`";

    /// The level with this name, in upper or lower case; `WARN` is `WARNING`.
    pub fn parse(name: &str) -> Option<Self> {
        let levels = [
            ("DEBUG", Self::Debug),
            ("INFO", Self::Info),
            ("WARNING", Self::Warning),
            ("WARN", Self::Warning),
            ("ERROR", Self::Error),
            ("CRITICAL", Self::Critical),
        ];
        levels
            .into_iter()
            .find(|(known, _)| known.eq_ignore_ascii_case(name))
            .map(|(_, level)| level)
    }

    /// The level that a name probably means which [`parse`](Self::parse) does not accept: a typing error, or a name
    /// from another program.
    pub fn meant_by(name: &str) -> Option<Self> {
        hint::of_level(name)
    }
}

impl fmt::Display for LogLevel {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Debug => "DEBUG",
            Self::Info => "INFO",
            Self::Warning => "WARNING",
            Self::Error => "ERROR",
            Self::Critical => "CRITICAL",
        })
    }
}
