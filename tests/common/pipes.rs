//! Pipes that no child has which another test starts meanwhile: it would keep their ends open.

use std::os::fd::OwnedFd;

use rustix::pipe::{PipeFlags, pipe_with};

/// Where to read and where to write.
pub fn pipe() -> (OwnedFd, OwnedFd) {
    pipe_with(PipeFlags::CLOEXEC).unwrap()
}
