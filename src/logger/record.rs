//! One record as one line of text.
//!
//! Promises: no character that is not seen or could forge another record, but the final newline; at most [`RECORD_BYTES`].
//! Does not write anywhere.

use std::fmt::{self, Write};
use std::time::SystemTime;

use mcpmqtt_config::LogLevel;
use mcpmqtt_protocol::topic::disturbs;

use crate::clock;

/// How a record begins.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Stamp {
    Time,
    /// With the level as journald reads it (sd-daemon(3)); it knows the time itself.
    Journal,
}

/// The whole line, newline included.
pub(super) fn line(
    stamp: Stamp,
    now: SystemTime,
    level: LogLevel,
    message: fmt::Arguments<'_>,
) -> String {
    let mut line = Line {
        text: String::with_capacity(128),
        cut: 0,
    };
    // `Line` takes everything, and a `Display` that fails is its own loss.
    let _ = match stamp {
        Stamp::Time => write!(line, "{} {} {message}", clock::rfc3339(now), level),
        Stamp::Journal => write!(line, "<{}>{message}", priority(level)),
    };
    if line.cut > 0 {
        let _ = write!(line.text, " … {} bytes cut", line.cut);
    }
    line.text.push('\n');
    line.text
}

/// What syslog(3) calls the level.
fn priority(level: LogLevel) -> u8 {
    match level {
        LogLevel::Debug => 7,
        LogLevel::Info => 6,
        LogLevel::Warning => 4,
        LogLevel::Error => 3,
        LogLevel::Critical => 2,
    }
}

/// Text with its control and invisible characters escaped and its end cut off.
struct Line {
    text: String,
    cut: usize,
}

impl Write for Line {
    fn write_str(&mut self, part: &str) -> fmt::Result {
        for char in part.chars() {
            if self.cut > 0 || self.text.len() > RECORD_BYTES - CUT_NOTE_BYTES {
                self.cut += char.len_utf8();
            } else if disturbs(char) {
                self.text.extend(char.escape_default());
            } else {
                self.text.push(char);
            }
        }
        Ok(())
    }
}

/// The most a line may have, its newline included: PIPE_BUF of Linux (pipe(7)). A line not
/// longer is written to a pipe whole, between the lines of other processes, and without blocking
/// once the pipe is known to be writable.
pub(super) const RECORD_BYTES: usize = 4096;

/// Room for the longest escape (`\u{10ffff}`), the note on what was cut, and the newline.
const CUT_NOTE_BYTES: usize = 64;

#[cfg(test)]
mod tests {
    use std::time::{Duration, UNIX_EPOCH};

    use super::*;

    fn plain(message: fmt::Arguments<'_>) -> String {
        line(
            Stamp::Time,
            UNIX_EPOCH + Duration::from_millis(1500),
            LogLevel::Warning,
            message,
        )
    }

    #[test]
    fn a_line_has_time_level_and_message() {
        assert_eq!(
            plain(format_args!("x = {}", 3)),
            "1970-01-01T00:00:01.500Z WARNING x = 3\n"
        );
    }

    #[test]
    fn journald_gets_the_priority_and_no_time() {
        let line = line(
            Stamp::Journal,
            UNIX_EPOCH,
            LogLevel::Error,
            format_args!("no broker"),
        );
        assert_eq!(line, "<3>no broker\n");
    }

    #[test]
    fn control_characters_cannot_forge_a_second_record() {
        let line = plain(format_args!("a\nb\r\0\u{1b}[31m\u{85}é"));
        assert!(
            line.ends_with(" a\\nb\\r\\u{0}\\u{1b}[31m\\u{85}é\n"),
            "{line:?}"
        );
    }

    #[test]
    fn a_long_message_is_cut_and_says_by_how_much() {
        for (char, escaped) in [("x", 1), ("é", 2), ("\u{85}", 6), ("😀", 4)] {
            let message = char.repeat(10_000);
            let line = plain(format_args!("{message}"));
            assert!(line.len() <= RECORD_BYTES, "{} for {char:?}", line.len());
            assert!(line.len() > RECORD_BYTES - CUT_NOTE_BYTES);
            let note = line
                .trim_end()
                .rsplit_once(" … ")
                .map(|(_, note)| note.to_string());
            let kept = line.len()
                - plain(format_args!("")).len()
                - 5
                - note.as_ref().map_or(0, String::len);
            let cut = (10_000 - kept / escaped) * char.len();
            assert_eq!(note, Some(format!("{cut} bytes cut")));
        }
    }
}
