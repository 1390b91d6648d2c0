//! Cut, frozen and swallowing links, and a broker that is killed, under the MQTT client as a Rust
//! program uses it: nothing is lost, nothing comes twice at QoS 2, every publish has its outcome.
//!
//! With `MCPMQTT_TEST_FULL` set it carries ten times as much over five times as many faults.

#![allow(clippy::unwrap_used, clippy::print_stdout)]

#[path = "common"]
#[allow(dead_code, unreachable_pub)]
mod common {
    pub mod mosquitto;
    pub mod ports;
    pub mod proxy;
    pub mod scratch;
    pub mod size;
    pub mod waiting;
}

use std::cell::Cell;
use std::rc::Rc;
use std::sync::{Arc, Mutex, MutexGuard};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use mcpmqtt::broker::{Arrival, Broker, InboxLimits, Status};
use mcpmqtt::link;
use mcpmqtt::protocol::QoS;
use mcpmqtt::protocol::client::{BackoffOptions, Listen, Options, Outcome, PublishError, Reason};
use mcpmqtt::protocol::message::Message;
use mcpmqtt::protocol::topic::{SubscribeFilter, TopicName};
use mcpmqtt::transport::Target;

use common::mosquitto::Mosquitto;
use common::proxy::{Flow, Proxy};
use common::size::full_size;
use common::waiting::{PATIENCE, eventually};

/// Publishes of one direction under way at once.
const WINDOW: usize = 64;

/// What happened to the messages of one direction, each known by its number. Even ones go at QoS 1,
/// odd ones at QoS 2.
#[derive(Default)]
struct Ledger {
    outcomes: Vec<Option<Outcome>>,
    received: Vec<usize>,
    interruptions: u64,
    lost: u64,
}

/// Two clients with kept sessions, each publishing what the other receives.
struct Pair {
    ledgers: [Arc<Mutex<Ledger>>; 2],
    orders: [async_channel::Sender<usize>; 2],
    thread: Option<JoinHandle<()>>,
    ordered: usize,
}

impl Pair {
    /// Through one proxy each; returns when both are subscribed.
    fn start(ports: [u16; 2]) -> Self {
        let ledgers: [Arc<Mutex<Ledger>>; 2] = Default::default();
        let (a_orders, a_work) = async_channel::unbounded();
        let (b_orders, b_work) = async_channel::unbounded();
        let (ready, is_ready) = std::sync::mpsc::channel();
        let shared = ledgers.clone();
        let thread = std::thread::spawn(move || {
            let executor = Rc::new(smol::LocalExecutor::new());
            let [there, back] = shared;
            let a = Party::new("a", ports[0], &executor, a_work, [&there, &back]);
            let b = Party::new("b", ports[1], &executor, b_work, [&back, &there]);
            smol::block_on(executor.run(async {
                let (a_inbox, b_inbox) = (a.listen("to/a").await, b.listen("to/b").await);
                ready.send(()).unwrap();
                let working = [a.work("to/b", a_inbox), b.work("to/a", b_inbox)];
                for done in working {
                    done.await;
                }
            }));
        });
        is_ready.recv_timeout(PATIENCE).expect("both subscribe");
        Self {
            ledgers,
            orders: [a_orders, b_orders],
            thread: Some(thread),
            ordered: 0,
        }
    }

    /// Has each publish so many more.
    fn order(&mut self, count: usize) {
        for number in self.ordered..self.ordered + count {
            for (ledger, orders) in self.ledgers.iter().zip(&self.orders) {
                let mut ledger = ledger.lock().unwrap();
                ledger.outcomes.push(None);
                ledger.received.push(0);
                drop(ledger);
                orders.try_send(number).unwrap();
            }
        }
        self.ordered += count;
    }

    fn ledgers(&self) -> [MutexGuard<'_, Ledger>; 2] {
        self.ledgers.each_ref().map(|ledger| ledger.lock().unwrap())
    }

    /// How many publishes have an outcome, both ways together.
    fn finished(&self) -> usize {
        let ledgers = self.ledgers();
        let outcomes = ledgers.iter().flat_map(|ledger| &ledger.outcomes);
        outcomes.filter(|outcome| outcome.is_some()).count()
    }

    /// A last message of QoS 2 each way: whatever was to come twice has come before it.
    fn finish(mut self) -> [Ledger; 2] {
        eventually("all outcomes", || self.finished() == 2 * self.ordered);
        // An odd number is QoS 2.
        self.order(2 - self.ordered % 2);
        eventually("the last messages", || {
            let arrived = |ledger: &MutexGuard<'_, Ledger>| *ledger.received.last().unwrap() > 0;
            self.finished() == 2 * self.ordered && self.ledgers().iter().all(arrived)
        });
        for orders in &self.orders {
            orders.close();
        }
        self.thread.take().unwrap().join().unwrap();
        let ledgers = std::mem::take(&mut self.ledgers);
        ledgers.map(|ledger| Arc::into_inner(ledger).unwrap().into_inner().unwrap())
    }
}

struct Party {
    broker: Broker,
    executor: Rc<smol::LocalExecutor<'static>>,
    pump: smol::Task<()>,
    orders: async_channel::Receiver<usize>,
    sent: Arc<Mutex<Ledger>>,
    received: Arc<Mutex<Ledger>>,
}

impl Party {
    fn new(
        name: &str,
        port: u16,
        executor: &Rc<smol::LocalExecutor<'static>>,
        orders: async_channel::Receiver<usize>,
        [sent, received]: [&Arc<Mutex<Ledger>>; 2],
    ) -> Self {
        let (broker, pump) = open(name, port, 60);
        Self {
            broker,
            executor: Rc::clone(executor),
            pump: executor.spawn(pump),
            orders,
            sent: Arc::clone(sent),
            received: Arc::clone(received),
        }
    }

    async fn listen(&self, filter: &str) -> mcpmqtt::broker::Inbox {
        let listen = Listen {
            filter: SubscribeFilter::parse(filter).unwrap(),
            qos: QoS::ExactlyOnce,
            retained: false,
        };
        self.broker.listen(listen).await.unwrap()
    }

    /// Publishes what is ordered and receives, until there are no more orders.
    fn work(self, topic: &str, mut inbox: mcpmqtt::broker::Inbox) -> smol::Task<()> {
        let topic = TopicName::parse(topic).unwrap();
        let received = Arc::clone(&self.received);
        let receiving = self.executor.spawn(async move {
            while let Arrival::Message(message) = inbox.next().await {
                let number = std::str::from_utf8(&message.payload).unwrap();
                let number: usize = number.parse().unwrap();
                let mut ledger = received.lock().unwrap();
                ledger.received[number] += 1;
                ledger.interruptions = inbox.interruptions();
                ledger.lost = inbox.lost();
            }
        });
        let workers: Vec<_> = (0..WINDOW)
            .map(|_| {
                let (broker, orders) = (self.broker.clone(), self.orders.clone());
                let (sent, topic) = (Arc::clone(&self.sent), topic.clone());
                self.executor.spawn(async move {
                    while let Ok(number) = orders.recv().await {
                        let outcome = publish(&broker, &topic, number).await;
                        sent.lock().unwrap().outcomes[number] = Some(outcome);
                    }
                })
            })
            .collect();
        let executor = Rc::clone(&self.executor);
        executor.spawn(async move {
            for worker in workers {
                worker.await;
            }
            self.broker.shut_down();
            self.pump.await;
            receiving.await;
        })
    }
}

fn open(name: &str, port: u16, keep_alive: u16) -> (Broker, impl Future<Output = ()> + use<>) {
    let options = Options {
        clean_session: false,
        keep_alive,
        backoff: BackoffOptions {
            initial: Duration::from_millis(10),
            max: Duration::from_millis(50),
            ..BackoffOptions::default()
        },
        ..Options::new(name)
    };
    let limits = InboxLimits {
        messages: 100_000,
        ..InboxLimits::default()
    };
    let target = Target {
        user_timeout: Duration::ZERO,
        ..Target::new("127.0.0.1", port)
    };
    link::open(options, target, limits, 7)
}

/// Publishes one message; while there is no connection, nothing is accepted, and it waits for one.
async fn publish(broker: &Broker, topic: &TopicName, number: usize) -> Outcome {
    loop {
        let message = Message {
            topic: topic.clone(),
            payload: number.to_string().into_bytes().into(),
            qos: if is_qos2(number) {
                QoS::ExactlyOnce
            } else {
                QoS::AtLeastOnce
            },
            retain: false,
        };
        match broker.publish(message, Instant::now() + PATIENCE).await {
            Ok(outcome) => return outcome,
            Err(PublishError::NotConnected(_)) => assert!(broker.changes().connected().await),
            Err(error) => panic!("{error}"),
        }
    }
}

fn is_qos2(number: usize) -> bool {
    number % 2 == 1
}

/// Cut positions that look like chance and are the same each time.
fn bytes_until_cut(fault: usize) -> usize {
    fault * 7919 % 577
}

#[test]
fn nothing_is_lost_and_nothing_comes_twice_over_cut_links_and_a_broker_that_is_killed() {
    let (messages, cuts, kills) = if full_size() {
        (20_000, 50, 20)
    } else {
        (2_000, 10, 4)
    };
    let faults = cuts + kills;
    let start = Instant::now();
    let mut broker = Mosquitto::persistent();
    let proxies = [Proxy::start(broker.port), Proxy::start(broker.port)];
    let mut pair = Pair::start([proxies[0].port, proxies[1].port]);
    let step = messages / (faults + 1);
    let mut killed = 0;
    pair.order(step);
    for fault in 0..faults {
        let reached = 2 * step * fault + step / 2;
        eventually("the middle of the traffic", || pair.finished() >= reached);
        if killed < kills * (fault + 1) / faults {
            killed += 1;
            for proxy in &proxies {
                proxy.set(Flow::Frozen, Flow::Frozen);
            }
            broker.save();
            broker.kill();
            broker.restart();
            for proxy in &proxies {
                proxy.cut();
                proxy.set(Flow::Open, Flow::Open);
            }
            pair.order(step);
        } else {
            let proxy = &proxies[fault % 2];
            proxy.cut_after(bytes_until_cut(fault));
            pair.order(step);
            proxy.await_cut();
        }
    }
    pair.order(messages - pair.ordered);
    let ledgers = pair.finish();
    assert_eq!(killed, kills);
    let mut repeated = 0;
    for ledger in &ledgers {
        assert!(ledger.outcomes.len() > messages);
        assert_eq!(ledger.lost, 0);
        assert!(ledger.interruptions >= u64::try_from(cuts / 2).unwrap());
        for (number, (outcome, received)) in
            ledger.outcomes.iter().zip(&ledger.received).enumerate()
        {
            assert_eq!(*outcome, Some(Outcome::Delivered), "message {number}");
            if is_qos2(number) {
                assert_eq!(*received, 1, "message {number}, QoS 2");
            } else {
                assert!(*received >= 1, "message {number}, QoS 1");
                repeated += *received - 1;
            }
        }
    }
    println!(
        "{messages} messages each way over {cuts} cuts and {kills} kills: 0 lost, 0 QoS 2 twice, \
         {repeated} QoS 1 repeated, in {:.1} s",
        start.elapsed().as_secs_f64()
    );
}

#[test]
fn a_broker_killed_at_any_moment_leaves_a_definite_outcome_for_every_publish() {
    let (messages, kills) = if full_size() {
        (20_000, 20)
    } else {
        (2_000, 4)
    };
    let mut broker = Mosquitto::persistent();
    let proxies = [Proxy::start(broker.port), Proxy::start(broker.port)];
    let mut pair = Pair::start([proxies[0].port, proxies[1].port]);
    let step = messages / (kills + 1);
    pair.order(step);
    for kill in 0..kills {
        let reached = 2 * step * kill + step / 2;
        eventually("the middle of the traffic", || pair.finished() >= reached);
        if kill % 2 == 1 {
            // From here on it forgets, but not everything.
            broker.save();
        }
        pair.order(step);
        broker.kill();
        broker.restart();
    }
    let ledgers = pair.finish();
    let (mut delivered, mut unknown, mut forgotten, mut repeated) = (0, 0, 0, 0);
    for ledger in &ledgers {
        for (number, (outcome, received)) in
            ledger.outcomes.iter().zip(&ledger.received).enumerate()
        {
            match outcome.as_ref().unwrap() {
                Outcome::Delivered => {
                    delivered += 1;
                    forgotten += usize::from(*received == 0);
                }
                Outcome::Unknown(_) => unknown += 1,
                Outcome::NotSent(reason) => panic!("message {number}: {reason}"),
                Outcome::Sent => panic!("message {number} is not QoS 0"),
            }
            repeated += usize::from(is_qos2(number) && *received > 1);
        }
    }
    println!(
        "{kills} kills at any moment: {delivered} delivered, {unknown} unknown; the broker forgot \
         {forgotten} that it had acknowledged and repeated {repeated} at QoS 2"
    );
    assert!(delivered > messages, "most of the traffic is undisturbed");
}

/// What a link does when it dies without a word.
const DEATHS: [(&str, Flow, Flow); 4] = [
    ("both ways swallowed", Flow::Swallowed, Flow::Swallowed),
    ("what we send swallowed", Flow::Swallowed, Flow::Open),
    ("what we hear swallowed", Flow::Open, Flow::Swallowed),
    ("both ways frozen", Flow::Frozen, Flow::Frozen),
];

/// Seconds.
const KEEP_ALIVE: u16 = 4;

#[test]
fn a_link_that_dies_silently_is_noticed_within_one_and_a_half_keep_alives() {
    let broker = Mosquitto::start();
    let port = broker.port;
    std::thread::scope(|scope| {
        for talking in [false, true] {
            for (name, to_broker, to_client) in DEATHS {
                scope.spawn(move || {
                    let noticed = time_to_notice(port, talking, to_broker, to_client);
                    let limit = Duration::from_secs(KEEP_ALIVE.into()) * 3 / 2;
                    assert!(
                        noticed <= limit,
                        "{name}, publishing: {talking}: {noticed:?}"
                    );
                });
            }
        }
    });
}

/// From the moment the link dies to the moment the client says so. Meanwhile it publishes QoS 0, or
/// is silent.
fn time_to_notice(port: u16, talking: bool, to_broker: Flow, to_client: Flow) -> Duration {
    let proxy = Proxy::start(port);
    let name = format!("{talking}{to_broker:?}{to_client:?}").to_lowercase();
    let (broker, pump) = open(&name, proxy.port, KEEP_ALIVE);
    let executor = smol::LocalExecutor::new();
    smol::block_on(executor.run(async {
        let _pump = executor.spawn(pump);
        let mut changes = broker.changes();
        assert!(changes.connected().await);
        let talk = broker.clone();
        let said = Rc::new(Cell::new(0));
        let counting = Rc::clone(&said);
        let _talking = executor.spawn(async move {
            if !talking {
                return;
            }
            loop {
                let message = Message {
                    topic: TopicName::parse("news").unwrap(),
                    payload: Arc::from(b"x".as_slice()),
                    qos: QoS::AtMostOnce,
                    retain: false,
                };
                let _ = talk.publish(message, Instant::now() + PATIENCE).await;
                counting.set(counting.get() + 1);
                async_io::Timer::after(Duration::from_millis(100)).await;
            }
        });
        proxy.set(to_broker, to_client);
        let died = Instant::now();
        let Status::Disconnected { reason, .. } = changes.next().await else {
            panic!("it was connected already");
        };
        assert_eq!(reason, Reason::KeepAlive);
        assert!(!talking || said.get() > 10, "it talked all the time");
        died.elapsed()
    }))
}

#[test]
fn a_listener_hears_that_the_link_was_shut_down() {
    let broker = Mosquitto::start();
    let (handle, pump) = open("leaving", broker.port, 60);
    let executor = smol::LocalExecutor::new();
    let arrival = smol::block_on(executor.run(async {
        let pump = executor.spawn(pump);
        let listen = Listen {
            filter: SubscribeFilter::parse("news").unwrap(),
            qos: QoS::AtMostOnce,
            retained: false,
        };
        let mut inbox = handle.listen(listen).await.unwrap();
        handle.shut_down();
        pump.await;
        smol::future::or(inbox.next(), async {
            async_io::Timer::after(PATIENCE).await;
            panic!("it hears nothing");
        })
        .await
    }));
    assert_eq!(arrival, Arrival::Ended(Reason::ShuttingDown));
}
