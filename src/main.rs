//! The mcpmqtt program.

use std::process::ExitCode;

fn main() -> ExitCode {
    mcpmqtt::app::run::run(std::env::args_os().skip(1))
}
