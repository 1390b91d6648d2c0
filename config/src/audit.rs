//! The `audit` section: the record of what agents attempted to write.

use std::fmt;
use std::path::PathBuf;
use std::time::Duration;

use mcpmqtt_protocol::topic::ShownPath;

use crate::finding::Report;
use crate::logging::{LogLevel, Logging};
use crate::operator::Operator;
use crate::section::Section;

/// The record of attempts to write: where it is, what it holds, and what happens without it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Audit {
    /// The file that lines are added to. Full files lie beside it.
    pub file: PathBuf,
    /// What is recorded of a payload.
    pub payload: AuditPayload,
    /// The bytes after which a file is full; a longer line has a file of its own.
    pub max_bytes: u64,
    /// The number of full files that are kept.
    pub keep: usize,
    /// When lines are on the disk for certain.
    pub sync: AuditSync,
    /// Whether a write is refused that cannot be recorded.
    pub required: bool,
    /// Whether reads are recorded, too.
    pub reads: bool,
    /// The lines as messages below the operator's topic.
    pub feed: Option<AuditFeed>,
}

/// What of the record is published below `operator.topic`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct AuditFeed {
    /// Whether payloads are published, as they are recorded.
    pub payload: bool,
    /// The most messages a second; what is more is counted.
    pub per_second: u32,
}

/// What is recorded of a payload, beside its length.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AuditPayload {
    /// All of it.
    Full,
    /// A keyed hash, by which whoever has the key knows a payload again.
    Hash,
    /// Nothing.
    None,
}

/// When lines are on the disk for certain.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AuditSync {
    /// At once.
    Always,
    /// Within this time.
    Within(Duration),
    /// When the system decides so.
    Never,
}

impl Audit {
    /// A section without a file is a fault.
    pub(crate) fn read(section: Section<'_>) -> Option<Self> {
        let file = section.path("file");
        let names_file = file.as_ref().is_none_or(|it| it.file_name().is_some());
        if file.is_none() {
            let why = "missing; the path of the record, as in `\"/var/lib/mcpmqtt/audit.jsonl\"`";
            section.problem("file", why);
        } else if !names_file {
            section.problem("file", "names a directory; allowed: the path of a file");
        }
        let audit = Self {
            file: file.unwrap_or_default(),
            payload: AuditPayload::read(&section),
            max_bytes: section.whole("max_bytes", 65_536..=1 << 30, 4 << 20),
            keep: section.whole("keep", 1..=1000, 8),
            sync: AuditSync::read(&section),
            required: section.flag("required", false),
            reads: section.flag("reads", false),
            feed: section
                .value("feed")
                .map(|_| AuditFeed::read(section.section("feed"))),
        };
        if audit.required && audit.sync == AuditSync::Never {
            section.warn(
                "sync",
                "`never` beside `required`: a write goes out before its line is on the disk, and a power failure may take \
                 the line; `always` is what holds",
            );
        }
        let feeds_payloads = audit.feed.as_ref().is_some_and(|feed| feed.payload);
        if feeds_payloads && audit.payload == AuditPayload::None {
            let why = "has no effect, since `audit.payload` is `none`";
            section.report().warning("audit.feed.payload", why);
        }
        section.finish_strictly();
        Some(audit)
    }
}

impl AuditFeed {
    fn read(section: Section<'_>) -> Self {
        let feed = Self {
            payload: section.flag("payload", false),
            per_second: section.whole("per_second", 1..=1000, 10),
        };
        section.finish_strictly();
        feed
    }
}

impl Audit {
    /// Looks at what of the rest of the file the record needs, and what of the log would harm it.
    pub(crate) fn beside(&self, logging: &Logging, operator: &Operator, report: &Report) {
        if self.feed.is_some() && operator.topic.is_none() {
            let why = "is published below `operator.topic`, which is missing";
            report.problem("audit.feed", why);
        }
        if logging.logfile.as_ref() == Some(&self.file) {
            let why = "is the file of the log, too; the record needs one of its own";
            report.problem("audit.file", why);
        }
        if logging.level > LogLevel::Info {
            report.warning(
                "logging.level",
                "the anchors of the record (`audit`) are logged at INFO, which this level leaves out",
            );
        }
    }
}

/// A line of the description.
impl fmt::Display for Audit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let reads = if self.reads { " and reads" } else { "" };
        let payload = match self.payload {
            AuditPayload::Full => "payloads whole",
            AuditPayload::Hash => "payloads as keyed hashes",
            AuditPayload::None => "no payloads",
        };
        let file = ShownPath(&self.file);
        write!(f, "record: writes{reads} in {file}, {payload}; ")?;
        let (bytes, keep) = (self.max_bytes, self.keep);
        write!(f, "files of {bytes} bytes, {keep} kept beside it; ")?;
        match self.sync {
            AuditSync::Always => f.write_str("on the disk at once; ")?,
            AuditSync::Within(period) => {
                write!(f, "on the disk within {} s; ", period.as_secs_f64())?;
            }
            AuditSync::Never => f.write_str("on the disk when the system decides so; ")?,
        }
        f.write_str(match self.required {
            true => "what cannot be recorded is refused",
            false => "what cannot be recorded is permitted",
        })?;
        let Some(feed) = &self.feed else {
            return Ok(());
        };
        let has_payloads = feed.payload && self.payload != AuditPayload::None;
        let payload = if has_payloads { "with" } else { "without" };
        let most = feed.per_second;
        write!(
            f,
            "; published {payload} payloads, at most {most} lines a second"
        )
    }
}

impl AuditPayload {
    const NAMES: [(&'static str, Self); 3] = [
        ("full", Self::Full),
        ("hash", Self::Hash),
        ("none", Self::None),
    ];

    fn read(section: &Section<'_>) -> Self {
        let Some(value) = section.value("payload") else {
            return Self::Full;
        };
        let name = value.as_str();
        let known = Self::NAMES.iter().find(|(known, _)| Some(*known) == name);
        if known.is_none() {
            section.refuse("payload", value, "`full`, `hash` or `none`");
        }
        known.map_or(Self::None, |(_, payload)| *payload)
    }

    /// The name in the configuration.
    #[must_use]
    pub fn name(self) -> &'static str {
        let names = Self::NAMES.iter();
        let mut names = names.filter(|(_, payload)| *payload == self);
        names.next().map_or("", |(name, _)| name)
    }
}

impl AuditSync {
    fn read(section: &Section<'_>) -> Self {
        let Some(value) = section.value("sync") else {
            return Self::Within(DEFAULT_SYNC);
        };
        match value.as_str() {
            Some("always") => Self::Always,
            Some("never") => Self::Never,
            Some(_) => {
                let allowed = "`always`, `never` or a number of seconds from 0.1 to 3600";
                section.refuse("sync", value, allowed);
                Self::Never
            }
            None => Self::Within(section.seconds("sync", 0.1..=3600.0, 0.1)),
        }
    }
}

impl fmt::Display for AuditSync {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Always => f.write_str("always"),
            Self::Within(period) => write!(f, "{}", period.as_secs_f64()),
            Self::Never => f.write_str("never"),
        }
    }
}

/// Each sync makes a card of flash memory write whole blocks.
const DEFAULT_SYNC: Duration = Duration::from_secs(10);
