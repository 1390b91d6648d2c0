//! The program from its arguments to its exit code.
//!
//! Promises: what goes wrong is said on standard error, and the exit code is 0 (done), 1 (failed)
//! or 2 (wrong arguments).

use std::ffi::OsString;
use std::io::{self, Write};
use std::process::ExitCode;

use crate::cli::{self, Command};

/// Runs the program with the arguments after its name.
pub fn run(args: impl IntoIterator<Item = OsString>) -> ExitCode {
    match cli::parse(args) {
        Ok(Command::Help) => print(cli::HELP),
        Ok(Command::Version) => print(concat!("mcpmqtt ", env!("CARGO_PKG_VERSION"), "\n")),
        Ok(_) => complain("not there yet", FAILED),
        Err(error) => complain(&error.to_string(), WRONG_ARGUMENTS),
    }
}

fn print(text: &str) -> ExitCode {
    match io::stdout().write_all(text.as_bytes()) {
        // `mcpmqtt --help | head -1` is no failure.
        Err(error) if error.kind() != io::ErrorKind::BrokenPipe => {
            complain(&format!("cannot write to standard output: {error}"), FAILED)
        }
        _ => ExitCode::SUCCESS,
    }
}

fn complain(message: &str, code: u8) -> ExitCode {
    // Nobody is left to be told that standard error is closed.
    let _ = writeln!(io::stderr(), "mcpmqtt: {message}");
    ExitCode::from(code)
}

const FAILED: u8 = 1;
const WRONG_ARGUMENTS: u8 = 2;
