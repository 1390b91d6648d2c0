//! Ports of loopback.

use std::net::{Ipv4Addr, TcpStream};
use std::sync::atomic::{AtomicU32, Ordering};

/// A port of loopback where nobody listens, below those that the system gives to outgoing connections: one of them
/// would take it before the program does.
///
/// It is found out by a connection that is refused, not by listening there: a child that another thread starts just
/// then would have the listener, too, until it runs its own program, and keep the port from who is to have it.
pub fn free_port() -> u16 {
    static NUMBER: AtomicU32 = AtomicU32::new(0);
    loop {
        let number = std::process::id() * 97 + NUMBER.fetch_add(1, Ordering::Relaxed);
        let port = 10_000 + u16::try_from(number % 20_000).unwrap();
        if TcpStream::connect((Ipv4Addr::LOCALHOST, port)).is_err() {
            return port;
        }
    }
}
