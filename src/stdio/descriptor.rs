//! Standard input and output as the program was given them.
//!
//! Promises: pipes, sockets and terminals are read and written on the caller's own thread and only
//! when they are ready, and their O_NONBLOCK flag stays as it is, since it belongs to everyone who
//! shares the open file and outlives us. What cannot be polled (regular files, `/dev/null`) goes
//! through the blocking pool.
//! Does not: frame or buffer.

use std::fs::File;
use std::io;
use std::os::fd::{AsFd, OwnedFd};

use async_io::Async;
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::io::Errno;
use smol::Unblock;
use smol::io::{AsyncReadExt as _, AsyncWriteExt as _};

pub(super) struct Input(Descriptor);

pub(super) struct Output(Descriptor);

enum Descriptor {
    Ready(Async<OwnedFd>),
    Blocking(Unblock<File>),
}

impl Descriptor {
    fn new(fd: OwnedFd) -> io::Result<Descriptor> {
        let spare = fd.try_clone()?;
        match Async::new_nonblocking(fd) {
            Ok(ready) => Ok(Descriptor::Ready(ready)),
            // epoll refuses what is always ready.
            Err(why) if why.raw_os_error() == Some(Errno::PERM.raw_os_error()) => {
                Ok(Descriptor::Blocking(Unblock::new(File::from(spare))))
            }
            Err(why) => Err(why),
        }
    }
}

impl Input {
    pub(super) fn new(fd: OwnedFd) -> io::Result<Input> {
        Descriptor::new(fd).map(Input)
    }

    /// Reads what is there, waiting if nothing is; 0 at the end.
    pub(super) async fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        match &mut self.0 {
            Descriptor::Blocking(file) => file.read(buffer).await,
            Descriptor::Ready(fd) => loop {
                if is_ready(&fd, PollFlags::IN)? {
                    match rustix::io::read(&fd, &mut *buffer) {
                        Err(Errno::AGAIN | Errno::INTR) => {}
                        end => return end.map_err(io::Error::from),
                    }
                }
                fd.readable().await?;
            },
        }
    }
}

impl Output {
    pub(super) fn new(fd: OwnedFd) -> io::Result<Output> {
        Descriptor::new(fd).map(Output)
    }

    /// Most bytes to give to one [`write`](Output::write).
    pub(super) fn most(&self) -> usize {
        match self.0 {
            Descriptor::Ready(_) => PIPE_BUF,
            Descriptor::Blocking(_) => FILE_BYTES,
        }
    }

    /// Writes some of the bytes, at most [`most`](Output::most), waiting until there is room.
    pub(super) async fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        match &mut self.0 {
            Descriptor::Blocking(file) => {
                file.write_all(bytes).await?;
                // Without it the bytes stay in the pool's buffer.
                file.flush().await?;
                Ok(bytes.len())
            }
            Descriptor::Ready(fd) => loop {
                if is_ready(&fd, PollFlags::OUT)? {
                    match rustix::io::write(&fd, bytes) {
                        Err(Errno::AGAIN | Errno::INTR) => {}
                        end => return end.map_err(io::Error::from),
                    }
                }
                fd.writable().await?;
            },
        }
    }
}

/// Asks the kernel without waiting: cheaper than a round through the reactor, and true at this
/// moment, which a readiness event of a while ago is not.
fn is_ready(fd: &impl AsFd, what: PollFlags) -> io::Result<bool> {
    let mut fds = [PollFd::new(fd, what)];
    match poll(
        &mut fds,
        Some(&Timespec {
            tv_sec: 0,
            tv_nsec: 0,
        }),
    ) {
        Ok(count) => Ok(count > 0),
        Err(Errno::INTR) => Ok(false),
        Err(why) => Err(why.into()),
    }
}

/// A pipe that polls as writable takes this many bytes without blocking (POSIX, Linux `pipe(7)`).
const PIPE_BUF: usize = 4096;
const FILE_BYTES: usize = 64 << 10;
