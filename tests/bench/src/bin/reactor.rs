//! A reaction on a blocking socket: publishes on `bench/valve` as soon as a message comes on `bench/bare`, until the broker
//! closes the connection.
//!
//! usage: reactor PORT

use std::io::{Read, Write};

use mcpmqtt_bench::bare::{connect, read};

fn main() {
    let port = std::env::args().nth(1).and_then(|port| port.parse().ok());
    let mut socket = connect(port.expect("usage: reactor PORT"), b"act");
    socket.set_read_timeout(None).expect("a TCP socket");
    socket
        .write_all(b"\x82\x0f\x00\x01\x00\x0abench/bare\x00")
        .expect("a broker that reads");
    assert_eq!(read::<5>(&mut socket), *b"\x90\x03\x00\x01\x00");
    println!("ready");
    // Messages come one at a time, each in one segment.
    let mut bytes = [0; 256];
    while socket.read(&mut bytes).expect("a broker") > 0 {
        socket
            .write_all(b"\x30\x12\x00\x0bbench/valveclose")
            .expect("a broker that reads");
    }
}
