//! Measures mcpmqtt over HTTP beside the Python original and a minimal hyper server, in one run.
//!
//! usage: http ROUNDS SECONDS CONFIG KEY OURS ORIGINAL SCRATCH
//!
//! CONFIG must permit to publish on `bench/#` and nothing else, on a broker that runs, and KEY must be its key. SECONDS
//! is the length of one load. Rounds are interleaved, so that a machine that is busy for a while is so for everyone.

mod client;
mod hostile;
mod load;
mod memory;
mod report;
mod server;

use std::collections::HashMap;
use std::time::{Duration, Instant};

use mcpmqtt_bench::histogram::Histogram;
use serde_json::json;

use client::{Connection, Manner, STATUS};
use hostile::{Crowd, Harm};
use load::Outcome;
use server::{Programs, Server, Transport, Who};

/// What is called.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Kind {
    /// `mqtt_publish` at QoS 0: it reaches the broker.
    Publish,
    /// The same on a topic that is not permitted: nothing but HTTP and MCP.
    Refused,
    /// That in the version without sessions, 2026-07-28.
    Stateless,
}

pub type Loads = HashMap<(Transport, usize, Who, Kind), Vec<Outcome>>;

/// Resident bytes.
#[derive(Default)]
pub struct Memories {
    pub rest: f64,
    pub private: f64,
    pub connection: HashMap<Who, f64>,
    pub session: HashMap<Who, f64>,
    pub stream: HashMap<Who, f64>,
    pub listen: f64,
}

/// What strangers do to a client with the right key.
#[derive(Default)]
pub struct Strangers {
    pub undisturbed: Histogram,
    pub disturbed: Histogram,
    /// Until the right key is let in for the first time among them.
    pub let_in: Duration,
    pub peak: f64,
}

/// Latencies of `/status` on a connection of its own.
#[derive(Default)]
pub struct Hostile {
    pub quiet: Histogram,
    pub loud: Histogram,
}

fn main() {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .expect("tokio");
    let arguments: Vec<_> = std::env::args().skip(1).collect();
    match arguments
        .iter()
        .map(String::as_str)
        .collect::<Vec<_>>()
        .as_slice()
    {
        ["crowd", harm, address, key] => {
            runtime.block_on(hostile::run(
                harm,
                address.parse().expect("an address"),
                key,
            ));
        }
        [rounds, seconds, config, key, ours, original, scratch] => {
            let text = std::fs::read_to_string(config).expect("the configuration");
            let programs = Programs {
                ours: (*ours).to_owned(),
                original: (*original).to_owned(),
                hyper: std::env::current_exe()
                    .expect("this program")
                    .with_file_name("hyper")
                    .display()
                    .to_string(),
                config: serde_json::from_str(&text).expect("JSON"),
                key: (*key).to_owned(),
                scratch: (*scratch).to_owned(),
            };
            let length = Duration::from_secs_f64(seconds.parse().expect("seconds"));
            runtime.block_on(measure(
                &programs,
                rounds.parse().expect("a number"),
                length,
            ));
        }
        _ => panic!("usage: http ROUNDS SECONDS CONFIG KEY OURS ORIGINAL SCRATCH"),
    }
}

async fn measure(programs: &Programs, rounds: usize, length: Duration) {
    let loads = loads(programs, rounds, length).await;
    eprintln!("HTTP: memory");
    let memories = memories(programs).await;
    eprintln!("HTTP: strangers");
    let mut crowds = vec![(
        "at one address",
        strangers(programs, Harm::Keys, rounds, length).await,
    )];
    if rounds > 1 {
        // Takes a while: there are 250 hashes before they are slowed down.
        let everywhere = strangers(programs, Harm::KeysFromEverywhere, rounds, length).await;
        crowds.push(("each at its own address", everywhere));
    }
    eprintln!("HTTP: mutations");
    let hostile = mutations(programs, rounds, length).await;
    report::print(&loads, &memories, &crowds, &hostile);
}

/// All loads on all servers, which run throughout.
async fn loads(programs: &Programs, rounds: usize, length: Duration) -> Loads {
    let mut subjects = Vec::new();
    for transport in [Transport::Tcp, Transport::Unix] {
        let ours = programs.start(Who::Ours, transport).await;
        let manner = ours
            .initialized(&mut Connection::open(&ours.place).await.expect("a connection"))
            .await;
        keep_answers(programs, &ours, &manner).await;
        subjects.push((Who::Ours, transport, ours, manner));
        let hyper = programs.start(Who::Hyper, transport).await;
        let manner = Manner {
            session: Some("of-no-meaning-here-and-as-long".into()),
            ..hyper.manner.clone()
        };
        subjects.push((Who::Hyper, transport, hyper, manner));
        let original = programs.start(Who::Original, transport).await;
        let manner = original
            .initialized(
                &mut Connection::open(&original.place)
                    .await
                    .expect("a connection"),
            )
            .await;
        subjects.push((Who::Original, transport, original, manner));
    }
    let mut loads = Loads::new();
    for round in 1..=rounds {
        eprintln!("HTTP: round {round} of {rounds}");
        for connections in CONNECTIONS {
            for kind in [Kind::Publish, Kind::Refused, Kind::Stateless] {
                for (who, transport, server, manner) in &subjects {
                    // It needs a fifth of a second for each answer, so that its figures need no second round.
                    let waived =
                        kind != Kind::Publish || round > 1 || (rounds == 1 && connections > 8);
                    if *who == Who::Original && waived {
                        continue;
                    }
                    let requests = (1..=connections)
                        .map(|id| request(manner, kind, id))
                        .collect();
                    let outcome = load::run(server, requests, length).await;
                    loads
                        .entry((*transport, connections, *who, kind))
                        .or_default()
                        .push(outcome);
                }
            }
        }
    }
    loads
}

fn request(manner: &Manner, kind: Kind, id: usize) -> Vec<u8> {
    match kind {
        Kind::Publish => manner.call(id, PERMITTED),
        Kind::Refused => manner.call(id, DENIED),
        Kind::Stateless => Manner {
            session: None,
            ..manner.clone()
        }
        .stateless_call(id, DENIED),
    }
}

/// Keeps our own answers for hyper to give, after a look at them.
async fn keep_answers(programs: &Programs, ours: &Server, manner: &Manner) {
    let mut connection = Connection::open(&ours.place).await.expect("a connection");
    let mut answers = serde_json::Map::new();
    for (topic, fails) in [(PERMITTED, false), (DENIED, true)] {
        connection
            .exchange(&manner.call(1, topic))
            .await
            .expect("an answer");
        let answer = connection.answer().json();
        assert_eq!(answer["result"]["isError"], json!(fails), "{answer}");
        answers.insert(topic.to_owned(), answer["result"].clone());
    }
    let file = format!("{}/answers.json", programs.scratch);
    std::fs::write(file, json!(answers).to_string()).expect("a place for the answers");
}

async fn memories(programs: &Programs) -> Memories {
    let mut memories = Memories::default();
    let ours = programs.start(Who::Ours, Transport::Tcp).await;
    let call = ours.manner.stateless_call(1, PERMITTED);
    Connection::open(&ours.place)
        .await
        .expect("a connection")
        .exchange(&call)
        .await
        .expect("an answer");
    drop(ours);
    let ours = programs.start(Who::Ours, Transport::Tcp).await;
    tokio::time::sleep(memory::SETTLE).await;
    memories.rest = ours.process.resident();
    memories.private = ours.process.private();
    let connections = memory::connections(&ours, MANY, &call).await;
    memories.connection.insert(Who::Ours, connections);
    drop(ours);
    for who in [Who::Hyper, Who::Original] {
        let server = programs.start(who, Transport::Tcp).await;
        // The original would need an hour for so many keys.
        let connections = memory::connections(&server, MANY, STATUS).await;
        memories.connection.insert(who, connections);
    }
    for (who, count) in [(Who::Ours, MANY), (Who::Original, FEW)] {
        let server = programs.start(who, Transport::Tcp).await;
        let (session, stream) = memory::sessions_and_streams(&server, count).await;
        memories.session.insert(who, session);
        memories.stream.insert(who, stream);
    }
    let ours = programs.start(Who::Ours, Transport::Tcp).await;
    memories.listen = memory::listens(&ours, MANY, READABLE).await;
    memories
}

async fn strangers(programs: &Programs, harm: Harm, rounds: usize, length: Duration) -> Strangers {
    let mut found = Strangers::default();
    let ours = programs.start(Who::Ours, Transport::Tcp).await;
    let crowd = Crowd::start(harm, &ours);
    tokio::time::sleep(Duration::from_millis(500)).await;
    let start = Instant::now();
    let request = ours.manner.stateless_call(1, DENIED);
    let mut connection = Connection::open(&ours.place).await.expect("a connection");
    assert_eq!(
        connection.exchange(&request).await.expect("an answer"),
        200,
        "the right key is not let in"
    );
    found.let_in = start.elapsed();
    drop(crowd);
    for _ in 0..rounds.max(2) {
        let outcome = load::run(&ours, vec![request.clone()], length).await;
        found.undisturbed.merge(&outcome.latencies);
        let crowd = Crowd::start(harm, &ours);
        tokio::time::sleep(Duration::from_millis(200)).await;
        let outcome = load::run(&ours, vec![request.clone()], length * 2).await;
        found.disturbed.merge(&outcome.latencies);
        drop(crowd);
    }
    found.peak = ours.process.peak();
    found
}

async fn mutations(programs: &Programs, rounds: usize, length: Duration) -> Hostile {
    let mut found = Hostile::default();
    let ours = programs.start(Who::Ours, Transport::Tcp).await;
    for _ in 0..rounds.max(2) {
        ask_for_status(&ours, length, &mut found.quiet).await;
        let crowd = Crowd::start(Harm::Mutations, &ours);
        tokio::time::sleep(Duration::from_millis(200)).await;
        ask_for_status(&ours, length * 2, &mut found.loud).await;
        drop(crowd);
    }
    found
}

async fn ask_for_status(server: &Server, length: Duration, latencies: &mut Histogram) {
    let start = Instant::now();
    while start.elapsed() < length {
        let asked = Instant::now();
        let mut connection = Connection::open(&server.place).await.expect("a connection");
        assert_eq!(connection.exchange(STATUS).await.expect("an answer"), 200);
        latencies.add(asked.elapsed());
    }
}

const CONNECTIONS: [usize; 3] = [1, 8, 64];
const PERMITTED: &str = "bench/publish";
const READABLE: &str = "bench/read";
const DENIED: &str = "elsewhere";
/// Idle things of each kind, and sessions of the original, which makes a thread and an MQTT connection for each.
const MANY: usize = 1000;
const FEW: usize = 20;
