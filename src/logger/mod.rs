//! The log: one line per record, to standard error or to a file.
//!
//! Promises: logging never blocks the program, not even when nobody reads standard error; what
//! is lost by that is counted and the count is logged (see `outlet`). One record is one line,
//! whatever is in it. A level that is off costs one load.
//!
//! Does not rotate files, and does not know what a secret is: callers log neither payloads,
//! passwords nor keys.

use std::fmt;
use std::path::Path;
use std::sync::LazyLock;
use std::sync::atomic::{AtomicU8, Ordering};
use std::time::{Duration, SystemTime};

use mcpmqtt_config::LogLevel;
use mcpmqtt_protocol::topic::ShownPath;
use outlet::{Log, Sink};

mod outlet;
mod record;

/// Sets the level and, where one is named, the file to append to instead of standard error. A file that cannot be opened costs a warning, not the program.
pub fn start(level: LogLevel, logfile: Option<&Path>) {
    set_level(level);
    let Some(path) = logfile else { return };
    match Sink::append_to(path) {
        Ok(sink) => LOG.redirect(sink),
        Err(error) => warning(format_args!("{}", not_opened(path, &error))),
    }
}

/// Sets the level again, and reopens the log file, which may have been moved away or renamed in the configuration. A
/// file that cannot be opened costs a warning, and the log keeps its old destination.
pub fn restart(level: LogLevel, logfile: Option<&Path>) {
    set_level(level);
    let Some(path) = logfile else {
        return LOG.redirect(Sink::standard_error());
    };
    match Sink::append_to(path) {
        Ok(sink) => LOG.redirect(sink),
        Err(error) => warning(format_args!(
            "cannot open log file {}: {error}; logging where it was",
            ShownPath(path)
        )),
    }
}

/// The warning that [`start`] would log of this file. Nothing is made or written.
#[must_use]
pub fn doubt(logfile: &Path) -> Option<String> {
    let error = Sink::could_append_to(logfile).err()?;
    Some(not_opened(logfile, &error))
}

fn not_opened(path: &Path, error: &str) -> String {
    format!(
        "cannot open log file {}: {error}; logging to standard error",
        ShownPath(path)
    )
}

/// Ends the start of the program, during which warnings and worse go to standard error too when the log goes to a file:
/// a person who starts the program by hand must see why it does not work.
pub fn started() {
    LOG.end_start();
}

/// Changes the level from now on.
pub fn set_level(level: LogLevel) {
    LEVEL.store(level as u8, Ordering::Relaxed);
}

/// Whether records of this level are logged; to be asked before costly preparations only.
pub fn enabled(level: LogLevel) -> bool {
    level as u8 >= LEVEL.load(Ordering::Relaxed)
}

/// Logs at DEBUG: what the program does, step by step.
pub fn debug(message: fmt::Arguments<'_>) {
    log(LogLevel::Debug, message);
}

/// Logs at INFO: what an operator may like to know.
pub fn info(message: fmt::Arguments<'_>) {
    log(LogLevel::Info, message);
}

/// Logs at WARNING: what an operator should look at.
pub fn warning(message: fmt::Arguments<'_>) {
    log(LogLevel::Warning, message);
}

/// Logs at ERROR: what failed, while the program goes on.
pub fn error(message: fmt::Arguments<'_>) {
    log(LogLevel::Error, message);
}

/// Logs at CRITICAL: why the program ends.
pub fn critical(message: fmt::Arguments<'_>) {
    log(LogLevel::Critical, message);
}

/// Writes out what is buffered, as far as the reader takes it within 100 ms. For the end of the
/// program.
pub fn flush() {
    LOG.flush(FLUSH_LIMIT);
}

fn log(level: LogLevel, message: fmt::Arguments<'_>) {
    if enabled(level) {
        LOG.record(SystemTime::now(), level, message);
    }
}

static LEVEL: AtomicU8 = AtomicU8::new(LogLevel::Info as u8);
static LOG: LazyLock<Log> = LazyLock::new(|| Log::new(Sink::standard_error()));

const FLUSH_LIMIT: Duration = Duration::from_millis(100);
