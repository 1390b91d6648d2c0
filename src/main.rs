//! The mcpmqtt program.

use std::process::ExitCode;

/// musl's own costs a busy server half of its time: see Cargo.toml.
#[cfg(target_env = "musl")]
#[global_allocator]
static ALLOCATOR: dlmalloc::GlobalDlmalloc = dlmalloc::GlobalDlmalloc;

fn main() -> ExitCode {
    mcpmqtt::run::run(std::env::args_os().skip(1))
}
