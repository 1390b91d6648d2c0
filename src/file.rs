//! Reads files that the configuration or the command line names, which others may have replaced by something else.
//!
//! Promises: no system call here waits for anybody. Opening a named pipe waits for its writer, and opening some devices
//! for whatever they like, so only regular files are opened. A pipe that was handed to this process, such as that of
//! `--config <(...)`, is read for ten seconds at most.

use std::fs::{self, File, Metadata, OpenOptions};
use std::io::{self, Read as _};
use std::os::unix::fs::{FileTypeExt as _, OpenOptionsExt as _};
use std::path::Path;
use std::time::{Duration, Instant};

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::fs::OFlags;

/// What is in the file at `path`, but not more than `limit` bytes of it.
///
/// # Errors
/// The path names no readable file, or the system refuses.
pub(crate) fn read(path: &Path, limit: usize) -> io::Result<Vec<u8>> {
    let may_be_pipe = is_handed_over(path);
    // Looked at before it is opened, since opening a device may set it in motion, and after, since it may have changed.
    judge(&fs::metadata(path)?, may_be_pipe)?;
    let file = OpenOptions::new()
        .read(true)
        .custom_flags((OFlags::NONBLOCK | OFlags::NOCTTY).bits() as i32)
        .open(path)?;
    let found = file.metadata()?;
    judge(&found, may_be_pipe)?;
    let mut bytes = Vec::new();
    if found.file_type().is_fifo() {
        read_pipe(&file, limit, &mut bytes)?;
    } else {
        file.take(limit as u64).read_to_end(&mut bytes)?;
    }
    Ok(bytes)
}

/// Whether the path names a descriptor that this process was started with.
fn is_handed_over(path: &Path) -> bool {
    path == Path::new("/dev/stdin")
        || path.starts_with("/dev/fd")
        || path.starts_with("/proc/self/fd")
}

fn judge(found: &Metadata, may_be_pipe: bool) -> io::Result<()> {
    let kind = found.file_type();
    let what = if kind.is_file() || (may_be_pipe && kind.is_fifo()) {
        return Ok(());
    } else if kind.is_dir() {
        return Err(io::ErrorKind::IsADirectory.into());
    } else if kind.is_fifo() {
        "a named pipe"
    } else if kind.is_socket() {
        "a socket"
    } else {
        "a device"
    };
    Err(io::Error::other(format!(
        "it is {what}, not a regular file"
    )))
}

fn read_pipe(pipe: &File, limit: usize, bytes: &mut Vec<u8>) -> io::Result<()> {
    let end = Instant::now() + PIPE_PATIENCE;
    let mut chunk = [0; 4096];
    while bytes.len() < limit {
        let left = end.saturating_duration_since(Instant::now());
        let left = Timespec::try_from(left).map_err(io::Error::other)?;
        match poll(&mut [PollFd::new(pipe, PollFlags::IN)], Some(&left)) {
            Ok(0) => return Err(io::Error::other("the pipe does not end")),
            Ok(_) | Err(rustix::io::Errno::INTR) => {}
            Err(error) => return Err(error.into()),
        }
        let room = chunk.len().min(limit - bytes.len());
        match (&*pipe).read(chunk.get_mut(..room).unwrap_or_default()) {
            Ok(0) if bytes.is_empty() => {
                return Err(io::Error::other(
                    "the pipe is empty; it can be read only once",
                ));
            }
            Ok(0) => break,
            Ok(count) => bytes.extend_from_slice(chunk.get(..count).unwrap_or_default()),
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
            Err(error) => return Err(error),
        }
    }
    Ok(())
}

const PIPE_PATIENCE: Duration = Duration::from_secs(10);
