//! Notifications to the service manager (systemd, sd_notify(3)).
//!
//! Promises: outside a service, or when the manager does not take a message in time, nothing happens; a
//! message is one datagram and its text one line.
//! Does not: know what is worth telling (see [`serve`](super::serve)).

use std::env;
use std::ffi::OsStr;
use std::fmt::Write as _;
use std::io;
use std::os::linux::net::SocketAddrExt as _;
use std::os::unix::ffi::OsStrExt as _;
use std::os::unix::net::{SocketAddr, UnixDatagram};
use std::time::Duration;

use async_io::{Async, Timer};
use smol::future;

use crate::logger;

/// The service manager that started this program, if one did.
#[derive(Debug, Default)]
pub struct Service {
    manager: Option<Manager>,
    /// The watchdog's interval, if the manager has one.
    watchdog: Option<Duration>,
}

#[derive(Debug)]
struct Manager {
    socket: Async<UnixDatagram>,
    address: SocketAddr,
}

impl Service {
    /// The manager that the environment names: `NOTIFY_SOCKET`, `WATCHDOG_USEC` and `WATCHDOG_PID`.
    #[must_use]
    pub fn from_environment() -> Service {
        let named = env::var_os("NOTIFY_SOCKET").filter(|name| !name.is_empty());
        let Some(name) = named else {
            return Service::default();
        };
        match Manager::at(&name) {
            Ok(manager) => Service {
                manager: Some(manager),
                watchdog: watchdog(
                    env::var_os("WATCHDOG_USEC").as_deref(),
                    env::var_os("WATCHDOG_PID").as_deref(),
                ),
            },
            Err(error) => {
                logger::warning(format_args!(
                    "the service manager cannot be told anything at {name:?}: {error}"
                ));
                Service::default()
            }
        }
    }

    /// Notifies that the program serves (`READY=1`).
    pub async fn ready(&self) {
        self.tell("READY=1").await;
    }

    /// Notifies that the program is about to end (`STOPPING=1`).
    pub async fn stopping(&self) {
        self.tell("STOPPING=1\nSTATUS=stopping").await;
    }

    /// Notifies that the program reloads its configuration; [`Service::ready`] must follow.
    pub async fn reloading(&self) {
        let now = rustix::time::clock_gettime(rustix::time::ClockId::Monotonic);
        let micros = i128::from(now.tv_sec) * 1_000_000 + i128::from(now.tv_nsec) / 1000;
        self.tell(&format!("RELOADING=1\nMONOTONIC_USEC={micros}"))
            .await;
    }

    /// Sends the line of status that people see (`STATUS=`).
    pub async fn status(&self, text: &str) {
        let mut message = String::from("STATUS=");
        for char in text.chars() {
            let _ = match char.is_control() {
                true => write!(message, "{}", char.escape_default()),
                false => message.write_char(char),
            };
        }
        self.tell(&message).await;
    }

    /// Whether a service manager listens.
    #[must_use]
    pub fn is_managed(&self) -> bool {
        self.manager.is_some()
    }

    /// Gives signs of life for as long as it is polled, if the manager wants any. Run it on the executor that does
    /// the work: one that is stuck gives none.
    pub async fn live(&self) {
        let Some(patience) = self.watchdog else {
            return;
        };
        loop {
            self.tell("WATCHDOG=1").await;
            // sd_watchdog_enabled(3): every half of it.
            Timer::after(patience / 2).await;
        }
    }

    async fn tell(&self, message: &str) {
        let Some(manager) = &self.manager else {
            return;
        };
        let late = async {
            Timer::after(PATIENCE).await;
            Err(io::ErrorKind::TimedOut.into())
        };
        if let Err(error) = future::or(manager.send(message.as_bytes()), late).await {
            logger::debug(format_args!(
                "the service manager did not take a message: {error}"
            ));
        }
    }
}

impl Manager {
    fn at(name: &OsStr) -> io::Result<Manager> {
        let address = match name.as_bytes().split_first() {
            Some((b'@', name)) => SocketAddr::from_abstract_name(name)?,
            Some((b'/', _)) => SocketAddr::from_pathname(name)?,
            _ => return Err(io::Error::other("neither a path nor an abstract name")),
        };
        let socket = UnixDatagram::unbound()?;
        // Connected: only then does the system say when there is room for a message.
        socket.connect_addr(&address)?;
        let socket = Async::new(socket)?;
        Ok(Manager { socket, address })
    }

    async fn send(&self, message: &[u8]) -> io::Result<()> {
        let sent = self.socket.send(message).await;
        match sent {
            Err(error) if error.kind() == io::ErrorKind::ConnectionRefused => {
                // The manager has a new socket of the old name.
                self.socket.get_ref().connect_addr(&self.address)?;
                self.socket.send(message).await
            }
            sent => sent,
        }
        .map(drop)
    }
}

/// sd_watchdog_enabled(3): a watchdog that is meant for another process is not ours.
fn watchdog(micros: Option<&OsStr>, pid: Option<&OsStr>) -> Option<Duration> {
    let number = |text: &OsStr| text.to_str()?.parse::<u64>().ok();
    if pid.is_some_and(|pid| number(pid) != Some(std::process::id().into())) {
        return None;
    }
    let micros = micros.and_then(number).filter(|micros| *micros > 0)?;
    Some(Duration::from_micros(micros))
}

/// The longest wait for the manager to take one message.
const PATIENCE: Duration = Duration::from_secs(1);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_watchdog_is_ours_when_it_names_this_process_or_none() {
        let own = std::process::id().to_string();
        let second = Some(Duration::from_secs(1));
        for (micros, pid, expected) in [
            (Some("1000000"), None, second),
            (Some("1000000"), Some(own.as_str()), second),
            (Some("1000000"), Some("1"), None),
            (Some("1000000"), Some("x"), None),
            (Some("0"), None, None),
            (Some("-1"), None, None),
            (Some("soon"), None, None),
            (None, None, None),
        ] {
            let found = watchdog(micros.map(OsStr::new), pid.map(OsStr::new));
            assert_eq!(found, expected, "{micros:?} {pid:?}");
        }
    }
}
