//! Files of a test's own.

use std::path::PathBuf;
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Mutex, PoisonError};

/// A directory of this test's own, removed when dropped.
pub struct Scratch(PathBuf);

impl Scratch {
    pub fn new() -> Self {
        static NUMBER: AtomicU32 = AtomicU32::new(0);
        let number = NUMBER.fetch_add(1, Ordering::Relaxed);
        let path =
            std::env::temp_dir().join(format!("mcpmqtt-test-{}-{number}", std::process::id()));
        under_one_umask(|| std::fs::create_dir_all(&path)).unwrap();
        Self(path)
    }

    /// Writes a file and says where.
    pub fn file(&self, name: &str, text: &str) -> PathBuf {
        let path = self.0.join(name);
        std::fs::write(&path, text).unwrap();
        path
    }

    pub fn path(&self, name: &str) -> PathBuf {
        self.0.join(name)
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

/// Does this while nothing else here changes the umask or depends on it: a listener sets that of the whole process while
/// it makes its socket file, and puts back what it found.
pub fn under_one_umask<T>(work: impl FnOnce() -> T) -> T {
    static UMASK: Mutex<()> = Mutex::new(());
    let _turn = UMASK.lock().unwrap_or_else(PoisonError::into_inner);
    work()
}
