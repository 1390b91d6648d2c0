//! What the tests of the real program share: the program over real pipes, and a real mosquitto.

#![allow(
    dead_code,
    missing_docs,
    missing_debug_implementations,
    unreachable_pub
)]

pub mod agent;
pub mod mosquitto;
pub mod peer;
pub mod program;
pub mod proxy;

use std::net::TcpListener;
use std::path::PathBuf;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

/// Longer than anything that goes well takes on a busy machine; only a hang reaches it.
pub const PATIENCE: Duration = Duration::from_secs(60);

/// Whether the long tests run at their full size: when `MCPMQTT_TEST_FULL` is set.
pub fn full_size() -> bool {
    std::env::var_os("MCPMQTT_TEST_FULL").is_some_and(|value| !value.is_empty())
}

/// A port of loopback where nobody listens, below those that the system gives to outgoing connections: one of them
/// would take it before the program does.
pub fn free_port() -> u16 {
    static NUMBER: AtomicU32 = AtomicU32::new(0);
    loop {
        let number = std::process::id() * 97 + NUMBER.fetch_add(1, Ordering::Relaxed);
        let port = 10_000 + u16::try_from(number % 20_000).unwrap();
        if TcpListener::bind(("0.0.0.0", port)).is_ok() {
            return port;
        }
    }
}

/// A directory of this test's own, removed when dropped.
pub struct Scratch(PathBuf);

impl Scratch {
    pub fn new() -> Self {
        static NUMBER: AtomicU32 = AtomicU32::new(0);
        let number = NUMBER.fetch_add(1, Ordering::Relaxed);
        let path =
            std::env::temp_dir().join(format!("mcpmqtt-test-{}-{number}", std::process::id()));
        std::fs::create_dir_all(&path).unwrap();
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

/// A configuration for the broker at `port` that allows `t/#` and more of it to be read and written.
pub fn open_config(port: u16) -> serde_json::Value {
    serde_json::json!({
        "mqtt": {"host": "127.0.0.1", "port": port, "keepalive": 5},
        "topics": [
            {"pattern": "t/#", "permissions": ["read", "write", "retain"]},
            {"pattern": "in/#", "permissions": ["write"]},
            {"pattern": "out/#", "permissions": ["read"]},
        ],
    })
}
