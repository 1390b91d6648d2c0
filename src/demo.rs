//! What `--demo` shows: a broker inside the program with a small simulated plant on it, and the
//! configuration that lets an agent work it.
//!
//! It promises: only this machine can reach it; it is a real broker on a real port, so that other
//! MQTT programs can watch; it ends when it is dropped. It does not print the port or serve agents:
//! the caller does.

mod line;
mod outbox;
mod plant;
mod room;
mod server;
mod settings;
mod tank;

use std::io;
use std::net::Ipv4Addr;

use async_net::TcpListener;
use smol::{LocalExecutor, Task};

pub use self::plant::Plant;
pub use self::settings::config_text;

/// A running demonstration. Dropping it closes the broker.
#[derive(Debug)]
pub struct Demo {
    port: u16,
    _tasks: [Task<()>; 2],
}

impl Demo {
    /// The TCP port on 127.0.0.1 where the broker listens.
    #[must_use]
    pub fn port(&self) -> u16 {
        self.port
    }
}

/// Starts the broker on a free port of the loopback interface, and the plant on it.
///
/// # Errors
/// When the port cannot be opened.
pub async fn start(executor: &LocalExecutor<'static>) -> io::Result<Demo> {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await?;
    let port = listener.local_addr()?.port();
    let plant = Plant::new(fastrand::u64(..), std::time::Instant::now());
    let (accepting, serving) = server::open(listener, plant);
    Ok(Demo {
        port,
        _tasks: [executor.spawn(accepting), executor.spawn(serving)],
    })
}
