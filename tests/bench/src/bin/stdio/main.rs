//! Measures mcpmqtt over stdio beside the Python original, with the floor of the same run.
//!
//! usage: stdio PORT ROUNDS OURS CONFIG ORIGINAL
//!
//! A broker must be listening on PORT of loopback, and CONFIG must permit `bench/#`. Rounds are
//! interleaved, so that a machine that is busy for a while is so for everyone.

mod floor;
mod report;
mod server;

use mcpmqtt_bench::histogram::Histogram;
use mcpmqtt_bench::micros;
use serde_json::{Value, json};

use server::Server;

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
    pub first_answer: Histogram,
    pub resident_listed: Vec<f64>,
    pub resident_worked: Vec<f64>,
    pub peak: Vec<f64>,
    pub publish_qos0: Histogram,
    pub publish_qos1: Histogram,
    pub query: Histogram,
    pub read: Histogram,
    pub pipelined: Vec<f64>,
    pub cpu_per_call: Vec<f64>,
    pub waits_per_call: Vec<f64>,
}

/// What nothing in between would cost.
#[derive(Default)]
pub struct Floor {
    pub echo: Histogram,
    pub acknowledgement: Histogram,
    pub round_trip: Histogram,
    pub rumqttc_acknowledgement: Histogram,
    pub rumqttc_throughput: Vec<f64>,
}

fn main() {
    let arguments: Vec<_> = std::env::args().skip(1).collect();
    let [port, rounds, ours, config, original] = arguments.as_slice() else {
        panic!("usage: stdio PORT ROUNDS OURS CONFIG ORIGINAL");
    };
    let port = port.parse().expect("a port");
    let command = |program: &String| vec![program.clone(), "--config".to_owned(), config.clone()];

    floor::start_responder(port);
    let mut floor = Floor::default();
    let (mut we, mut they) = (Measured::default(), Measured::default());
    for round in 1..=rounds.parse().expect("a number of rounds") {
        eprintln!("stdio: round {round} of {rounds}");
        measure_floor(port, &mut floor);
        we.run(&command(ours), OURS);
        they.run(&command(original), ORIGINAL);
    }
    report::print(&we, &they, &floor);
}

fn measure_floor(port: u16, floor: &mut Floor) {
    let call = json!({"jsonrpc": "2.0", "id": 10_000, "method": "tools/call",
        "params": {"name": "mqtt_publish", "arguments": publish(0)}});
    floor
        .echo
        .merge(&floor::pipe_echo(5000, &format!("{call}\n")));
    floor
        .acknowledgement
        .merge(&floor::socket_acknowledgement(port, 3000));
    floor
        .round_trip
        .merge(&floor::socket_round_trip(port, 3000));
    floor
        .rumqttc_acknowledgement
        .merge(&floor::rumqttc_acknowledgement(port, 3000));
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
        self.resident_listed.push(server.process.resident());

        // The first call waits for the connection to the broker.
        server.call("mqtt_publish", publish(1));
        let before = server.process.spent();
        self.publish_qos0.merge(&server.call_repeatedly(
            load.publishes,
            "mqtt_publish",
            &publish(0),
        ));
        let spent = server.process.spent() - before;
        let calls = load.publishes as f64;
        self.cpu_per_call.push(micros(spent.cpu) / calls);
        self.waits_per_call.push(spent.waits as f64 / calls);
        self.resident_worked.push(server.process.resident());

        self.publish_qos1.merge(&server.call_repeatedly(
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
            .merge(&server.call_repeatedly(load.queries, "mqtt_query", &query()));
        let retained = json!({"topic": "bench/retained", "timeout": 5});
        self.read
            .merge(&server.call_repeatedly(load.reads, "mqtt_read", &retained));
        self.peak.push(server.process.peak());
        server.end();
    }
}

fn publish(qos: u8) -> Value {
    json!({"topic": "bench/publish", "payload": "21.5", "qos": qos})
}

fn query() -> Value {
    json!({"request_topic": "bench/request", "response_topic": "bench/response", "payload": "get", "timeout": 5})
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
