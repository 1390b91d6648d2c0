//! MQTT over a blocking socket, byte by byte: what a client can cost at least.

use std::io::{Read, Write};
use std::net::TcpStream;
use std::time::Duration;

/// A connection whose client identifier is `id`.
pub fn connect(port: u16, id: &[u8; 3]) -> TcpStream {
    let mut socket = TcpStream::connect(("127.0.0.1", port)).expect("a broker");
    socket.set_nodelay(true).expect("a TCP socket");
    socket
        .set_read_timeout(Some(Duration::from_secs(10)))
        .expect("a TCP socket");
    let connect = [
        b"\x10\x0f\x00\x04MQTT\x04\x02\x00\x3c\x00\x03".as_slice(),
        id,
    ]
    .concat();
    socket.write_all(&connect).expect("a broker that reads");
    assert_eq!(read::<4>(&mut socket), *b"\x20\x02\x00\x00");
    socket
}

/// The next bytes.
pub fn read<const N: usize>(socket: &mut TcpStream) -> [u8; N] {
    let mut bytes = [0; N];
    socket.read_exact(&mut bytes).expect("an answer");
    bytes
}
