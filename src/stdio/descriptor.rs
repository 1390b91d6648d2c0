//! Reads and writes a descriptor that must stay in blocking mode.
//!
//! `O_NONBLOCK` belongs to the open file, not to the descriptor: it is shared with the parent and
//! with whoever else has the terminal or the socket, and it would outlive us. So it is never set;
//! instead a system call is made only when the system says that it will not block.
//! Promises: no thread, where the system can tell readiness. Where it cannot (regular files,
//! `/dev/null`), a thread of the blocking pool does it.
//! Does not: know lines.

use std::fs::File;
use std::io;
use std::os::fd::{BorrowedFd, OwnedFd};

use async_io::Async;
use rustix::buffer::spare_capacity;
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use smol::Unblock;
use smol::io::{AsyncReadExt as _, AsyncWriteExt as _};

/// The end that is read.
pub(super) enum Source {
    Ready(Async<OwnedFd>),
    Blocking(Unblock<File>),
}

/// The end that is written.
pub(super) enum Sink {
    Ready(Async<OwnedFd>),
    Blocking(Unblock<File>),
}

impl Source {
    pub(super) fn open(descriptor: BorrowedFd<'_>) -> io::Result<Source> {
        Ok(match register(descriptor)? {
            Some(ready) => Source::Ready(ready),
            None => Source::Blocking(unblock(descriptor)?),
        })
    }

    /// Appends what is there, at most the spare capacity of `to`; waits until there is something.
    /// Zero is the end.
    pub(super) async fn read(&mut self, to: &mut Vec<u8>) -> io::Result<usize> {
        match self {
            Source::Ready(descriptor) => loop {
                if !is_ready(descriptor, PollFlags::IN)? {
                    descriptor.readable().await?;
                    continue;
                }
                match rustix::io::read(&*descriptor, spare_capacity(to)) {
                    Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                    read => return Ok(read?),
                }
            },
            Source::Blocking(file) => {
                let old = to.len();
                to.resize(to.capacity().min(old + FILE_CHUNK), 0);
                let read = file.read(to.get_mut(old..).unwrap_or_default()).await;
                to.truncate(old + *read.as_ref().unwrap_or(&0));
                read
            }
        }
    }
}

impl Sink {
    pub(super) fn open(descriptor: BorrowedFd<'_>) -> io::Result<Sink> {
        Ok(match register(descriptor)? {
            Some(ready) => Sink::Ready(ready),
            None => Sink::Blocking(unblock(descriptor)?),
        })
    }

    /// Writes a part of `bytes` and says how much; waits until it can.
    pub(super) async fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        match self {
            Sink::Ready(descriptor) => loop {
                if !is_ready(descriptor, PollFlags::OUT)? {
                    descriptor.writable().await?;
                    continue;
                }
                let part = bytes.get(..PIPE_BUF).unwrap_or(bytes);
                match rustix::io::write(&*descriptor, part) {
                    Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                    written => return Ok(written?),
                }
            },
            Sink::Blocking(file) => {
                file.write_all(bytes).await?;
                // Without this the bytes may still lie in a buffer when the program exits.
                file.flush().await?;
                Ok(bytes.len())
            }
        }
    }
}

/// `None` where the system cannot tell readiness.
fn register(descriptor: BorrowedFd<'_>) -> io::Result<Option<Async<OwnedFd>>> {
    match Async::new_nonblocking(descriptor.try_clone_to_owned()?) {
        Ok(ready) => Ok(Some(ready)),
        // epoll(7): EPERM for files that do not support it.
        Err(error) if error.kind() == io::ErrorKind::PermissionDenied => Ok(None),
        Err(error) => Err(error),
    }
}

fn unblock(descriptor: BorrowedFd<'_>) -> io::Result<Unblock<File>> {
    let file = File::from(descriptor.try_clone_to_owned()?);
    Ok(Unblock::with_capacity(FILE_CHUNK, file))
}

/// Asks the system directly, which is cheaper than a round through the reactor, and certain: a
/// wake-up alone is no proof, when others have the same file open.
fn is_ready(descriptor: &Async<OwnedFd>, wanted: PollFlags) -> io::Result<bool> {
    let mut asked = [PollFd::new(descriptor, wanted)];
    match poll(&mut asked, Some(&Timespec::default())) {
        Err(error) if error.kind() == io::ErrorKind::Interrupted => Ok(false),
        // Also ready after a hang-up or an error: the call will say which, without blocking.
        ready => Ok(ready? > 0),
    }
}

/// A pipe that is ready takes this much without blocking (poll(2), pipe(7): `PIPE_BUF`).
const PIPE_BUF: usize = 4096;
const FILE_CHUNK: usize = 64 << 10;
