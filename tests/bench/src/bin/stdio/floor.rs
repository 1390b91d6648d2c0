//! The floor: what the same bytes cost with nothing in between, and what rumqttc makes of it.

use std::io::Write;
use std::time::Instant;

use mcpmqtt_bench::bare::{connect, read};
use mcpmqtt_bench::histogram::Histogram;
use rumqttc::{Client, Connection, Event, MqttOptions, NetworkOptions, Outgoing, Packet, QoS};

use crate::server::Server;

/// A line through `cat` and back: two pipes, two wake-ups.
pub fn pipe_echo(count: usize, line: &str) -> Histogram {
    let mut cat = Server::spawn(&["cat".to_owned()]);
    let mut latencies = Histogram::default();
    for _ in 0..count {
        let start = Instant::now();
        cat.echo(line);
        latencies.add(start.elapsed());
    }
    cat.end();
    latencies
}

/// A QoS 1 publish on a blocking socket until its PUBACK is there: the broker's own time.
pub fn socket_acknowledgement(port: u16, count: usize) -> Histogram {
    let mut socket = connect(port, b"ack");
    let mut latencies = Histogram::default();
    for id in 1..=count {
        let id = (id % 65_535 + 1) as u16;
        let publish = publish_qos1(id);
        let start = Instant::now();
        socket.write_all(&publish).expect("a broker that reads");
        assert_eq!(read::<4>(&mut socket), [0x40, 2, (id >> 8) as u8, id as u8]);
        latencies.add(start.elapsed());
    }
    latencies
}

/// A QoS 0 publish on a blocking socket to a topic that it is subscribed to, until it is back.
pub fn socket_round_trip(port: u16, count: usize) -> Histogram {
    let mut socket = connect(port, b"rtt");
    socket
        .write_all(b"\x82\x0f\x00\x01\x00\x0abench/loop\x00")
        .expect("a broker that reads");
    assert_eq!(read::<5>(&mut socket), *b"\x90\x03\x00\x01\x00");
    let publish = *b"\x30\x10\x00\x0abench/loop21.5";
    let mut latencies = Histogram::default();
    for _ in 0..count {
        let start = Instant::now();
        socket.write_all(&publish).expect("a broker that reads");
        assert_eq!(read::<18>(&mut socket), publish);
        latencies.add(start.elapsed());
    }
    latencies
}

/// rumqttc's own loop: a QoS 1 publish until its PUBACK is there.
pub fn rumqttc_acknowledgement(port: u16, count: usize) -> Histogram {
    let (client, mut connection) = rumqttc_client(port, "bench-rumqttc");
    let mut events = connection.iter();
    while !matches!(events.next(), Some(Ok(Event::Incoming(Packet::ConnAck(_))))) {}
    let mut latencies = Histogram::default();
    for _ in 0..count {
        let start = Instant::now();
        client
            .try_publish("bench/raw", QoS::AtLeastOnce, false, "21.5")
            .expect("room");
        while !matches!(events.next(), Some(Ok(Event::Incoming(Packet::PubAck(_))))) {}
        latencies.add(start.elapsed());
    }
    latencies
}

/// rumqttc's own loop: QoS 0 publishes as fast as it writes them; messages a second.
pub fn rumqttc_throughput(port: u16, count: usize) -> f64 {
    let (client, mut connection) = rumqttc_client(port, "bench-rumqttc");
    let mut events = connection.iter();
    while !matches!(events.next(), Some(Ok(Event::Incoming(Packet::ConnAck(_))))) {}
    let start = Instant::now();
    let (mut asked, mut written) = (0, 0);
    while written < count {
        while asked < count && asked - written < 256 {
            client
                .try_publish("bench/raw", QoS::AtMostOnce, false, "21.5")
                .expect("room");
            asked += 1;
        }
        if let Some(Ok(Event::Outgoing(Outgoing::Publish(_)))) = events.next() {
            written += 1;
        }
    }
    count as f64 / start.elapsed().as_secs_f64()
}

/// A value that the broker keeps, and a device that answers every message on `bench/request` at once on
/// `bench/response`. It runs until the program ends.
pub fn start_responder(port: u16) {
    let (client, mut connection) = rumqttc_client(port, "bench-responder");
    client
        .try_subscribe("bench/request", QoS::AtMostOnce)
        .expect("room");
    client
        .try_publish("bench/retained", QoS::AtLeastOnce, true, "21.5")
        .expect("room");
    let (ready, is_ready) = std::sync::mpsc::channel();
    std::thread::spawn(move || {
        for event in connection.iter() {
            match event.expect("a broker") {
                Event::Incoming(Packet::PubAck(_)) => ready.send(()).expect("a listener"),
                Event::Incoming(Packet::Publish(_)) => client
                    .try_publish("bench/response", QoS::AtMostOnce, false, "21.5")
                    .expect("room"),
                _ => {}
            }
        }
    });
    is_ready.recv().expect("a responder");
}

fn rumqttc_client(port: u16, id: &str) -> (Client, Connection) {
    let mut options = MqttOptions::new(id, "127.0.0.1", port);
    options.set_inflight(100);
    let (client, mut connection) = Client::new(options, 1000);
    let mut network = NetworkOptions::new();
    network.set_tcp_nodelay(true);
    connection.eventloop.set_network_options(network);
    (client, connection)
}

fn publish_qos1(id: u16) -> Vec<u8> {
    let id = id.to_be_bytes();
    [b"\x32\x11\x00\x09bench/raw".as_slice(), &id, b"21.5"].concat()
}
