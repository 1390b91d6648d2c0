//! Measures mcpmqtt over stdio beside the Python original, with the floor of the same run.
//!
//! usage: mcpmqtt-bench PORT ROUNDS OURS CONFIG ORIGINAL
//!
//! A broker must be listening on PORT of loopback, and CONFIG must permit `bench/#`. Rounds are
//! interleaved, so that a machine that is busy for a while is so for everyone.

mod floor;
mod server;
mod stats;
mod table;

use std::time::Duration;

use serde_json::{Value, json};

use server::Server;
use stats::{Samples, median};

/// How much is asked of a server in one round.
#[derive(Clone, Copy)]
struct Load {
    starts: usize,
    publishes: usize,
    pipelined: usize,
    queries: usize,
    reads: usize,
}

/// What one server did, over all rounds.
#[derive(Default)]
pub struct Measured {
    pub first_answer: Samples,
    pub rss_listed: Vec<f64>,
    pub rss_worked: Vec<f64>,
    pub peak: Vec<f64>,
    pub publish_qos0: Samples,
    pub publish_qos1: Samples,
    pub query: Samples,
    pub read: Samples,
    pub pipelined: Vec<f64>,
    pub cpu_per_call: Vec<f64>,
    pub waits_per_call: Vec<f64>,
}

/// What nothing in between would cost.
#[derive(Default)]
pub struct Floor {
    pub echo: Samples,
    pub acknowledgement: Samples,
    pub round_trip: Samples,
    pub rumqttc_acknowledgement: Samples,
    pub rumqttc_throughput: Vec<f64>,
}

fn main() {
    let arguments: Vec<_> = std::env::args().skip(1).collect();
    let [port, rounds, ours, config, original] = arguments.as_slice() else {
        panic!("usage: mcpmqtt-bench PORT ROUNDS OURS CONFIG ORIGINAL");
    };
    let port = port.parse().expect("a port");
    let command = |program: &String| vec![program.clone(), "--config".to_owned(), config.clone()];

    floor::start_responder(port);
    let mut floor = Floor::default();
    let (mut we, mut they) = (Measured::default(), Measured::default());
    for round in 1..=rounds.parse().expect("a number of rounds") {
        eprintln!("round {round} of {rounds}");
        measure_floor(port, &mut floor);
        we.run(&command(ours), OURS);
        they.run(&command(original), ORIGINAL);
    }
    table::print(&we, &they, &floor);
}

fn measure_floor(port: u16, floor: &mut Floor) {
    let call = json!({"jsonrpc": "2.0", "id": 10_000, "method": "tools/call",
        "params": {"name": "mqtt_publish", "arguments": publish(0)}});
    floor
        .echo
        .extend(floor::pipe_echo(5000, &format!("{call}\n")));
    floor
        .acknowledgement
        .extend(floor::socket_acknowledgement(port, 3000));
    floor
        .round_trip
        .extend(floor::socket_round_trip(port, 3000));
    floor
        .rumqttc_acknowledgement
        .extend(floor::rumqttc_acknowledgement(port, 3000));
    floor
        .rumqttc_throughput
        .push(floor::rumqttc_throughput(port, 50_000));
}

impl Measured {
    fn run(&mut self, command: &[String], load: Load) {
        for _ in 1..load.starts {
            let (server, took) = Server::start(command);
            self.first_answer.add(took);
            server.end();
        }
        let (mut server, took) = Server::start(command);
        self.first_answer.add(took);
        server.request("tools/list", &json!({}));
        self.rss_listed.push(server.usage().rss_kib as f64);

        // The first call waits for the connection to the broker.
        server.call("mqtt_publish", publish(1));
        let before = server.usage();
        self.publish_qos0.extend(server.call_repeatedly(
            load.publishes,
            "mqtt_publish",
            &publish(0),
        ));
        let after = server.usage();
        let calls = load.publishes as f64;
        self.rss_worked.push(after.rss_kib as f64);
        self.cpu_per_call
            .push(micros(after.cpu - before.cpu) / calls);
        self.waits_per_call
            .push((after.waits - before.waits) as f64 / calls);

        self.publish_qos1.extend(server.call_repeatedly(
            load.publishes / 4,
            "mqtt_publish",
            &publish(1),
        ));
        let took = server.call_pipelined(load.pipelined, "mqtt_publish", &publish(0));
        self.pipelined
            .push(load.pipelined as f64 / took.as_secs_f64());

        // The original does not subscribe by itself.
        let response = json!({"topic": "bench/response", "timeout": 0.1, "max_messages": 1});
        server.call("mqtt_subscribe", response);
        self.query
            .extend(server.call_repeatedly(load.queries, "mqtt_query", &query()));
        let retained = json!({"topic": "bench/retained", "timeout": 5});
        self.read
            .extend(server.call_repeatedly(load.reads, "mqtt_read", &retained));
        self.peak.push(server.usage().peak_kib as f64);
        server.end();
    }
}

fn publish(qos: u8) -> Value {
    json!({"topic": "bench/publish", "payload": "21.5", "qos": qos})
}

fn query() -> Value {
    json!({"request_topic": "bench/request", "response_topic": "bench/response", "payload": "get", "timeout": 5})
}

fn micros(duration: Duration) -> f64 {
    duration.as_secs_f64() * 1e6
}

const OURS: Load = Load {
    starts: 20,
    publishes: 10_000,
    pipelined: 40_000,
    queries: 1000,
    reads: 200,
};

/// Fewer calls where they are slow, but as many before the look at the memory.
const ORIGINAL: Load = Load {
    starts: 3,
    publishes: 10_000,
    pipelined: 5000,
    queries: 20,
    // It loses some of them, and each would have to be told from a failure.
    reads: 0,
};
