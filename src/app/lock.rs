//! The lock that a command holds on a file from before it reads it until it has replaced it.
//!
//! Promises: no wait is longer than its caller allows. Who may read the file can keep it locked, so that the lock is asked
//! for and not relied on: a change that another process made meanwhile is found before the file is replaced.

use std::fs::File;
use std::thread;
use std::time::{Duration, Instant};

use rustix::fs::{FlockOperation, flock};
use rustix::io::Errno;

/// Waits until no other process holds the lock of this file or folder, and takes it; it is held until `file` is closed.
/// After `until`, and where the file system has no locks, it is not taken.
pub(super) fn wait(file: &File, until: Instant) {
    loop {
        match flock(file, FlockOperation::NonBlockingLockExclusive) {
            Err(Errno::WOULDBLOCK) if Instant::now() < until => thread::sleep(PAUSE),
            Err(Errno::INTR) => {}
            Ok(()) | Err(_) => return,
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
        wait(&first, Instant::now());
        wait(&second, Instant::now());
        let is_free = || flock(&second, FlockOperation::NonBlockingLockExclusive).is_ok();
        assert!(!is_free());
        drop(first);
        wait(&second, Instant::now() + Duration::from_secs(60));
        assert!(is_free());
        std::fs::remove_dir(&folder).unwrap();
    }
}
