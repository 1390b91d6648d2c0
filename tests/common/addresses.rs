//! Addresses of loopback, which has a whole network of them.

use std::net::{Ipv4Addr, SocketAddrV4, TcpStream};

use rustix::net::{AddressFamily, SocketFlags, SocketType, bind, connect, socket_with};

use super::waiting::PATIENCE;

/// One address of many that this machine has.
pub fn another_address(number: u32) -> Ipv4Addr {
    Ipv4Addr::from_bits(0x7f01_0000 + number)
}

/// A connection from this address to a port of loopback.
pub fn connect_from(address: Ipv4Addr, port: u16) -> TcpStream {
    let made = socket_with(
        AddressFamily::INET,
        SocketType::STREAM,
        SocketFlags::CLOEXEC,
        None,
    );
    let made = made.unwrap();
    bind(&made, &SocketAddrV4::new(address, 0)).unwrap();
    connect(&made, &SocketAddrV4::new(Ipv4Addr::LOCALHOST, port)).unwrap();
    let stream = TcpStream::from(made);
    stream.set_read_timeout(Some(PATIENCE)).unwrap();
    stream
}
