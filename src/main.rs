//! The mcpmqtt program.

use std::process::ExitCode;

fn main() -> ExitCode {
    mcpmqtt::run::run(std::env::args_os().skip(1))
}
