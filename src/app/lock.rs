//! The lock that a command holds on a file from before it reads it until it has replaced it.
//!
//! Promises: no wait is longer than its caller allows. Where the file system has no locks there is no wait either.

use std::fs::File;
use std::io;
use std::thread;
use std::time::{Duration, Instant};

use rustix::fs::{FlockOperation, flock};
use rustix::io::Errno;

/// Waits until no other process holds the lock of this file or folder, and takes it; it is held until `file` is closed.
///
/// # Errors
/// Another process holds it for longer than `patience`.
pub(super) fn wait(file: &File, patience: Duration) -> io::Result<()> {
    let until = Instant::now() + patience;
    loop {
        match flock(file, FlockOperation::NonBlockingLockExclusive) {
            Err(Errno::WOULDBLOCK) if Instant::now() < until => thread::sleep(PAUSE),
            Err(Errno::WOULDBLOCK) => {
                let why = format!(
                    "another process has kept it locked for {} seconds (`lslocks` names it); end that process, or try again",
                    patience.as_secs()
                );
                return Err(io::Error::other(why));
            }
            Err(Errno::INTR) => {}
            // Some network file systems have no locks. A change made meanwhile is found before the file is replaced.
            Ok(()) | Err(_) => return Ok(()),
        }
    }
}

const PAUSE: Duration = Duration::from_millis(20);

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn a_lock_is_waited_for_no_longer_than_is_allowed() {
        let folder = std::env::temp_dir().join(format!("mcpmqtt-lock-{}", std::process::id()));
        std::fs::create_dir(&folder).unwrap();
        let [first, second] = [(); 2].map(|()| File::open(&folder).unwrap());
        wait(&first, Duration::ZERO).unwrap();
        let late = wait(&second, Duration::ZERO).unwrap_err();
        assert!(late.to_string().contains("for 0 seconds"), "{late}");
        let waiting = thread::spawn(move || wait(&second, Duration::from_secs(60)));
        drop(first);
        waiting.join().unwrap().unwrap();
        std::fs::remove_dir(&folder).unwrap();
    }
}
