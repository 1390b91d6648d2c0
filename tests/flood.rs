//! A broker that sends as fast as the connection takes it: memory stays flat, pings and other calls
//! get through, and what a slow reader missed is counted exactly.
//!
//! Three seconds each; sixty with `MCPMQTT_TEST_FULL` set.

#![allow(clippy::unwrap_used, clippy::print_stdout)]

#[path = "common"]
#[allow(dead_code, unreachable_pub)]
mod common {
    pub mod agent;
    pub mod config;
    pub mod messages;
    pub mod mosquitto;
    pub mod ports;
    pub mod process;
    pub mod scratch;
    pub mod size;
    pub mod waiting;
}

use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use mcpmqtt::mqtt::{self, Arrival, Client, Inbox, InboxLimits, Target};
use mcpmqtt::protocol::client::{Listen, Options, Outcome};
use mcpmqtt::protocol::frame::{FrameBuffer, Receiver};
use mcpmqtt::protocol::message::Message;
use mcpmqtt::protocol::topic::{SubscribeFilter, TopicName};
use mcpmqtt::protocol::{Packet, QoS, QosPid, SubscribeReturnCodes, encode};
use rustix::process::{Pid, Signal, kill_process};
use serde_json::{Value, json};

use common::agent::Agent;
use common::config::open_config;
use common::mosquitto::Mosquitto;
use common::process::status_kb;
use common::size::full_size;
use common::waiting::PATIENCE;

/// One flood at a time: each alone fills the processors, and two would judge the machine.
fn turn() -> MutexGuard<'static, ()> {
    static TURN: Mutex<()> = Mutex::new(());
    TURN.lock().unwrap_or_else(PoisonError::into_inner)
}

fn duration() -> Duration {
    Duration::from_secs(if full_size() { 60 } else { 3 })
}

/// What the program may need beside its own code, in kB. Of its code, that of a release takes 5 MB at most,
/// and that of the unoptimised program which tests start takes 10: to hold all of that against 12 MB would
/// judge the compiler.
const MOST_DATA_KB: u64 = 7 * 1024;

/// The topic of the flood; each QoS 1 publish to the broker comes back on `ECHO`.
const FLOOD: &str = "t/flood/x";
const ECHO: &str = "t/echo";

/// A broker for one client that floods it without pause while its socket takes it.
struct Flooder {
    port: u16,
    state: Arc<State>,
}

#[derive(Default)]
struct State {
    flooding: AtomicBool,
    /// Messages of the flood that the socket took.
    sent: AtomicU64,
    pings: AtomicU64,
    connections: AtomicU64,
    /// Whether CONNACK is under way: nothing may come before it.
    greeted: AtomicBool,
    /// Packets that go out before the next of the flood.
    replies: Mutex<Vec<u8>>,
    /// Whether they wait.
    holding: AtomicBool,
    /// Whether the writer has nothing left.
    quiet: AtomicBool,
}

impl Flooder {
    fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let port = listener.local_addr().unwrap().port();
        let state = Arc::new(State::default());
        let shared = Arc::clone(&state);
        std::thread::spawn(move || {
            for stream in listener.incoming() {
                let stream = stream.unwrap();
                stream.set_nodelay(true).unwrap();
                shared.connections.fetch_add(1, Ordering::SeqCst);
                let (state, reading) = (Arc::clone(&shared), stream.try_clone().unwrap());
                std::thread::spawn(move || state.write(stream));
                let state = Arc::clone(&shared);
                std::thread::spawn(move || state.read(reading));
            }
        });
        Self { port, state }
    }

    /// Begins when somebody has connected.
    fn flood(&self) {
        wait_until("a client connects", || {
            self.state.greeted.load(Ordering::SeqCst)
        });
        self.state.flooding.store(true, Ordering::SeqCst);
    }

    fn stop(&self) {
        self.state.quiet.store(false, Ordering::SeqCst);
        self.state.flooding.store(false, Ordering::SeqCst);
    }

    /// How many messages the flood had, once the socket has taken all of them.
    fn sent(&self) -> Option<u64> {
        let quiet = self.state.quiet.load(Ordering::SeqCst);
        quiet.then(|| self.state.sent.load(Ordering::SeqCst))
    }

    /// Sends a message on the echo topic, behind all of the flood.
    fn say(&self, payload: &[u8]) {
        publish(&mut self.state.replies.lock().unwrap(), ECHO, payload);
    }

    fn pings(&self) -> u64 {
        self.state.pings.load(Ordering::SeqCst)
    }
}

impl State {
    fn write(&self, mut stream: TcpStream) {
        let mut batch = Vec::new();
        let messages = 50;
        for _ in 0..messages {
            publish(&mut batch, FLOOD, &[b'x'; 64]);
        }
        loop {
            // Before the replies, so that CONNACK is among them when the flood begins.
            let flooding = self.flooding.load(Ordering::SeqCst);
            let replies = if self.holding.load(Ordering::SeqCst) {
                Vec::new()
            } else {
                std::mem::take(&mut *self.replies.lock().unwrap())
            };
            if stream.write_all(&replies).is_err() {
                return;
            }
            if flooding {
                if stream.write_all(&batch).is_err() {
                    return;
                }
                self.sent.fetch_add(messages, Ordering::SeqCst);
            } else {
                // Read once more: the flood may have begun meanwhile.
                let quiet = !self.flooding.load(Ordering::SeqCst);
                self.quiet.store(quiet, Ordering::SeqCst);
                std::thread::park_timeout(Duration::from_millis(1));
            }
        }
    }

    fn read(&self, mut stream: TcpStream) {
        let mut frames = FrameBuffer::new(Receiver::Broker, 1 << 20);
        let mut buffer = [0; 4096];
        while let Ok(n @ 1..) = stream.read(&mut buffer) {
            frames.extend(&buffer[..n]);
            while let Some(packet) = frames.next_packet().unwrap() {
                self.answer(&packet, &mut self.replies.lock().unwrap());
            }
        }
    }

    fn answer(&self, packet: &Packet<'_>, out: &mut Vec<u8>) {
        match packet {
            Packet::Connect(_) => {
                out.extend([0x20, 2, 0, 0]);
                self.greeted.store(true, Ordering::SeqCst);
            }
            Packet::Subscribe(subscribe) => {
                let codes: Vec<_> = subscribe
                    .topics
                    .iter()
                    .map(|topic| SubscribeReturnCodes::Success(topic.qos))
                    .collect();
                encode::suback(out, subscribe.pid, &codes).unwrap();
            }
            Packet::Unsubscribe(unsubscribe) => encode::unsuback(out, unsubscribe.pid),
            Packet::Pingreq => {
                self.pings.fetch_add(1, Ordering::SeqCst);
                out.extend([0xD0, 0]);
            }
            Packet::Publish(sent) => {
                if let Some(pid) = sent.qospid.pid() {
                    publish(out, ECHO, sent.payload);
                    encode::puback(out, pid);
                }
            }
            _ => {}
        }
    }
}

fn publish(out: &mut Vec<u8>, topic: &str, payload: &[u8]) {
    encode::publish(out, false, QosPid::AtMostOnce, false, topic, payload).unwrap();
}

/// What of the resident memory of a program is not its own file, in kB.
fn data_kb(pid: u32) -> u64 {
    status_kb(pid, "VmRSS:") - status_kb(pid, "RssFile:")
}

fn signal(agent: &Agent, signal: Signal) {
    let pid = Pid::from_raw(agent.pid().try_into().unwrap()).unwrap();
    kill_process(pid, signal).unwrap();
}

fn wait_until(what: &str, is_so: impl FnMut() -> bool) {
    common::waiting::eventually(what, is_so);
}

async fn listen(broker: &Client, filter: &str) -> Inbox {
    let listen = Listen {
        filter: SubscribeFilter::parse(filter).unwrap(),
        qos: QoS::AtMostOnce,
        retained: false,
    };
    broker.listen(listen).await.unwrap()
}

async fn next(inbox: &mut Inbox) -> Message {
    let arrival = smol::future::or(inbox.next(), async {
        async_io::Timer::after(PATIENCE).await;
        panic!("nothing comes");
    });
    match arrival.await {
        Arrival::Message(message) => message,
        Arrival::TooLarge(large) => panic!("{large}"),
        Arrival::Ended(reason) => panic!("{reason}"),
    }
}

#[test]
fn a_reader_that_does_not_read_costs_no_memory_and_nobody_else_and_its_loss_is_counted_exactly() {
    let _turn = turn();
    let flooder = Flooder::start();
    let options = Options {
        keep_alive: 1,
        ..Options::new("flooded")
    };
    let limits = InboxLimits {
        messages: 500,
        ..InboxLimits::default()
    };
    let target = Target::new("127.0.0.1", flooder.port);
    let (broker, pump) = mqtt::connect(options, target, limits, 1);
    let executor = smol::LocalExecutor::new();
    smol::block_on(executor.run(async {
        let _pump = executor.spawn(pump);
        let mut slow = listen(&broker, "t/flood/#").await;
        let mut echo = listen(&broker, ECHO).await;
        flooder.flood();
        let start = Instant::now();
        let (mut calls, mut slowest) = (0, Duration::ZERO);
        while start.elapsed() < duration() {
            for _ in 0..20 {
                let asked = Instant::now();
                let message = Message {
                    topic: TopicName::parse("t/command").unwrap(),
                    payload: Arc::from(b"now".as_slice()),
                    qos: QoS::AtLeastOnce,
                    retain: false,
                };
                let outcome = broker.publish(message, asked + PATIENCE).await;
                assert_eq!(outcome, Ok(Outcome::Delivered));
                assert_eq!(*next(&mut echo).await.payload, *b"now");
                slowest = slowest.max(asked.elapsed());
                calls += 1;
            }
            drop(listen(&broker, "t/other").await);
            // Silence on our side, until a ping breaks it and is answered.
            let before = flooder.pings();
            while flooder.pings() == before {
                async_io::Timer::after(Duration::from_millis(10)).await;
            }
        }
        flooder.stop();
        let sent = loop {
            // The pump is on this thread: it must go on.
            async_io::Timer::after(Duration::from_millis(1)).await;
            if let Some(sent) = flooder.sent() {
                break sent;
            }
        };
        flooder.say(b"end");
        while *next(&mut echo).await.payload != *b"end" {}
        let received = u64::try_from(slow.waiting()).unwrap();
        println!(
            "{sent} messages in {:.1} s to a reader that does not read: {received} kept, {} counted \
             as lost; {calls} other calls, the slowest {slowest:?}; {} pings",
            start.elapsed().as_secs_f64(),
            slow.lost(),
            flooder.pings()
        );
        assert!(sent > 10_000, "{sent} are no flood");
        assert_eq!(received + slow.lost(), sent);
        assert_eq!(received, 500);
        assert_eq!(*next(&mut slow).await.payload, [b'x'; 64]);
        assert_eq!((slow.interruptions(), echo.interruptions()), (0, 0));
        assert_eq!(flooder.state.connections.load(Ordering::SeqCst), 1);
    }));
}

/// What the program holds beside its code while it is flooded, at most, in kB, and how many rounds it served.
fn serve_under_flood(agent: &mut Agent, command: &Value, mut pinged: impl FnMut()) -> (u64, u64) {
    let start = Instant::now();
    let (mut data, mut rounds) = (0, 0);
    while start.elapsed() < duration() {
        let quiet = json!({"topic": ECHO, "max_messages": 1, "timeout": 60});
        let quiet = agent.listening("mqtt_subscribe", quiet);
        let flooded = json!({"topic": "t/flood/#", "max_messages": 1000, "timeout": 60});
        let flooded = agent.tool("mqtt_subscribe", flooded);
        let delivered = agent.tool("mqtt_publish", command.clone());
        assert_eq!(delivered.structured()["outcome"], "delivered");
        assert_eq!(quiet.structured()["messages_received"], 1);
        assert_eq!(flooded.structured()["messages_received"], 1000);
        pinged();
        data = data.max(data_kb(agent.pid()));
        rounds += 1;
    }
    (data, rounds)
}

#[test]
fn the_program_under_a_flood_stays_small_and_serves_its_calls() {
    let _turn = turn();
    let flooder = Flooder::start();
    let mut config = open_config(flooder.port);
    config["mqtt"]["keepalive"] = json!(2);
    let mut agent = Agent::start(&config);
    flooder.flood();
    let command = json!({"topic": "t/command", "payload": "now", "qos": 1});
    let (data, rounds) = serve_under_flood(&mut agent, &command, || {
        let before = flooder.pings();
        wait_until("a ping under the flood", || flooder.pings() > before);
    });
    flooder.stop();
    wait_until("the flood ends", || flooder.sent().is_some());
    let sent = flooder.sent().unwrap();
    println!(
        "{sent} messages, {rounds} rounds of calls, at most {data} kB beside its code, {} in all",
        status_kb(agent.pid(), "VmRSS:")
    );
    assert!(sent > 10_000 && rounds > 1);
    assert!(data <= MOST_DATA_KB, "{data} kB");
    assert_eq!(flooder.state.connections.load(Ordering::SeqCst), 1);
}

/// Pitfall 12: a machine that was asleep has not lost its broker.
#[test]
fn a_program_that_was_held_up_does_not_take_its_own_delay_for_the_brokers() {
    let _turn = turn();
    let flooder = Flooder::start();
    let mut config = open_config(flooder.port);
    config["mqtt"]["keepalive"] = json!(1);
    let mut agent = Agent::start(&config);
    let command = json!({"topic": "t/command", "payload": "now", "qos": 1});
    agent.tool("mqtt_publish", command.clone()).structured();
    let connections = || flooder.state.connections.load(Ordering::SeqCst);
    // A busy machine may hold up this test between the ping and the stop; then the broker was late indeed.
    let mut fair = 0;
    for _ in 0..20 {
        let connected = connections();
        flooder.state.holding.store(true, Ordering::SeqCst);
        let before = flooder.pings();
        wait_until("a ping", || flooder.pings() > before);
        let pinged = Instant::now();
        signal(&agent, Signal::STOP);
        let is_fair = pinged.elapsed() < Duration::from_millis(200);
        flooder.state.holding.store(false, Ordering::SeqCst);
        // Longer than an answer may take.
        std::thread::sleep(Duration::from_millis(900));
        signal(&agent, Signal::CONT);
        let mut publish = || agent.tool("mqtt_publish", command.clone()).outcome();
        if !is_fair {
            wait_until("a connection, since the broker was late", || {
                publish().is_ok()
            });
            continue;
        }
        publish().unwrap();
        assert_eq!(connections(), connected);
        fair += 1;
        if fair == 3 {
            return;
        }
    }
    panic!("the machine is too busy: only {fair} rounds were fair");
}

#[test]
fn the_program_behind_a_flooded_mosquitto_stays_small_and_serves_its_calls() {
    let _turn = turn();
    let broker = Mosquitto::start();
    let mut config = open_config(broker.port);
    config["mqtt"]["keepalive"] = json!(2);
    let mut agent = Agent::start(&config);
    let stop = Arc::new(AtomicBool::new(false));
    let (ended, port) = (Arc::clone(&stop), broker.port);
    let flood = std::thread::spawn(move || {
        let mut stream = TcpStream::connect(("127.0.0.1", port)).unwrap();
        let connect = encode::Connect {
            client_id: "flood",
            clean_session: true,
            keep_alive: 0,
            username: None,
            password: None,
            will: None,
        };
        let mut bytes = Vec::new();
        encode::connect(&mut bytes, &connect).unwrap();
        stream.write_all(&bytes).unwrap();
        stream.read_exact(&mut [0; 4]).unwrap();
        bytes.clear();
        for _ in 0..50 {
            publish(&mut bytes, FLOOD, &[b'x'; 64]);
        }
        let mut sent = 0_u64;
        while !ended.load(Ordering::SeqCst) {
            stream.write_all(&bytes).unwrap();
            sent += 50;
        }
        sent
    });
    let command = json!({"topic": ECHO, "payload": "now", "qos": 1});
    let (data, rounds) = serve_under_flood(&mut agent, &command, || {});
    stop.store(true, Ordering::SeqCst);
    let sent = flood.join().unwrap();
    println!(
        "{sent} messages to mosquitto, {rounds} rounds of calls, at most {data} kB beside its code, {} in all",
        status_kb(agent.pid(), "VmRSS:")
    );
    assert!(sent > 10_000 && rounds > 1);
    assert!(data <= MOST_DATA_KB, "{data} kB");
    let (_, log) = agent.finish();
    assert!(!log.contains("next attempt"), "{log}");
}
