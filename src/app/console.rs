//! Standard output and standard error, as people and scripts read them.
//!
//! Promises: what is written holds no control character of a file's or a peer's.

use std::io::{self, Write as _};
use std::process::ExitCode;

use mcpmqtt_protocol::topic::Printable;

/// `mcpmqtt --help | head -1` is no failure.
pub(super) fn print(text: &str) -> Result<(), String> {
    // What came from the file has been escaped where it was put in; nothing gets by that was not.
    match write!(io::stdout(), "{}", Printable(text)) {
        Err(error) if error.kind() != io::ErrorKind::BrokenPipe => {
            Err(format!("cannot write to standard output: {error}"))
        }
        _ => Ok(()),
    }
}

pub(super) fn complain(message: &str, code: u8) -> ExitCode {
    // A closed standard error cannot be reported anywhere.
    let _ = writeln!(io::stderr(), "mcpmqtt: {}", Printable(message));
    ExitCode::from(code)
}
