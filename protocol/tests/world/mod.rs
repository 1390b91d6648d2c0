//! A world in which everything is decided by a seed: clients, a broker, the network between them,
//! and time.
//!
//! A run has four parts: the clients connect and subscribe in peace; then they publish, listen and
//! leave while the network and the broker fail in every way they can; then the network heals, and
//! everything that is owed must come about; then everybody leaves.

pub(crate) mod broker;
pub(crate) mod ledger;
pub(crate) mod network;
pub(crate) mod random;
pub(crate) mod reference;
pub(crate) mod tap;

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use mcpmqtt_protocol::QoS;
use mcpmqtt_protocol::client::{BackoffOptions, Client, Event, Listen, Options, Output, Ticket};
use mcpmqtt_protocol::limits::Limits;
use mcpmqtt_protocol::message::Message;
use mcpmqtt_protocol::topic::{SubscribeFilter, TopicName};

use broker::Broker;
use ledger::{Entry, Ledger, Session, id_of};
use network::{Arrival, Link};
use random::Random;
use reference::Habits;
use tap::Tap;

/// What is fixed for a run.
#[derive(Debug, Clone)]
pub(crate) struct Plan {
    /// One client for each: is its session clean?
    pub(crate) clean: Vec<bool>,
    pub(crate) broker: WhichBroker,
    /// Publishes, listens and leaves under failures.
    pub(crate) actions: usize,
    /// Start with packet identifiers close to their wrap.
    pub(crate) wrap: bool,
}

#[derive(Debug, Clone, Copy)]
pub(crate) enum WhichBroker {
    BuiltIn,
    Reference(Habits),
}

/// What a run had, for a person to see that it was worth running.
#[derive(Debug, Default, Clone, PartialEq, Eq)]
pub(crate) struct Tally {
    pub(crate) messages: u64,
    pub(crate) received: u64,
    pub(crate) cuts: u64,
    pub(crate) black_holes: u64,
    pub(crate) stalls: u64,
    pub(crate) restarts: u64,
    pub(crate) resends: u64,
    pub(crate) connections: u64,
    pub(crate) virtual_seconds: u64,
}

impl Tally {
    pub(crate) fn add(&mut self, run: &Self) {
        self.messages += run.messages;
        self.received += run.received;
        self.cuts += run.cuts;
        self.black_holes += run.black_holes;
        self.stalls += run.stalls;
        self.restarts += run.restarts;
        self.resends += run.resends;
        self.connections += run.connections;
        self.virtual_seconds += run.virtual_seconds;
    }
}

pub(crate) struct World {
    random: Random,
    now: Instant,
    started: Instant,
    plan: Plan,
    keep_alive: Duration,
    nodes: Vec<Node>,
    links: BTreeMap<u64, Link>,
    next_link: u64,
    broker: Broker,
    ledger: Ledger,
    /// No transport can be opened until then.
    unreachable_until: Option<Instant>,
    tally: Tally,
}

struct Node {
    client: Client,
    wait: Option<Instant>,
    opening: Option<(Instant, bool)>,
    link: Option<u64>,
    tap: Tap,
    base: Option<Ticket>,
    outstanding: Vec<Ticket>,
    extra: Vec<Extra>,
}

/// A listener that comes and goes.
struct Extra {
    ticket: Ticket,
    filter: String,
    granted: bool,
    heard: usize,
}

impl World {
    pub(crate) fn new(seed: u64, plan: Plan) -> Self {
        let mut random = Random::new(seed);
        let now = Instant::now();
        let keep_alive = random.pick(&[2, 5, 30]);
        let inflight = random.pick(&[1, 3, 20]);
        // The shorter the waits, the more is under way when the next connection breaks.
        let longest_wait = Duration::from_millis(random.pick(&[10, 300, 8_000]));
        let nodes = plan.clean.iter().enumerate().map(|(n, clean)| {
            let options = Options {
                clean_session: *clean,
                keep_alive,
                backoff: BackoffOptions {
                    max: longest_wait,
                    ..BackoffOptions::default()
                },
                limits: Limits {
                    inflight,
                    publish_queue: 40,
                    publish_queue_bytes: QUEUE_BYTES,
                    ..Limits::default()
                },
                ..Options::new(format!("client{n}"))
            };
            Node {
                client: Client::new(options, random.next(), now),
                wait: Some(now),
                opening: None,
                link: None,
                tap: Tap::new(*clean),
                base: None,
                outstanding: Vec::new(),
                extra: Vec::new(),
            }
        });
        let nodes = nodes.collect();
        Self {
            random,
            now,
            started: now,
            keep_alive: Duration::from_secs(keep_alive.into()),
            nodes,
            links: BTreeMap::new(),
            next_link: 0,
            broker: match plan.broker {
                WhichBroker::BuiltIn => Broker::built_in(),
                WhichBroker::Reference(habits) => Broker::reference(habits),
            },
            ledger: Ledger::default(),
            unreachable_until: None,
            tally: Tally::default(),
            plan,
        }
    }

    /// The whole run. It panics when a property does not hold.
    pub(crate) fn run(mut self) -> Tally {
        self.subscribe_in_peace();
        self.live_dangerously();
        self.heal();
        self.part();
        self.tally.messages = self.ledger.messages.len() as u64;
        self.tally.received = self.ledger.received.values().map(|r| r.len() as u64).sum();
        self.tally.resends = self.nodes.iter().map(|node| node.tap.resends).sum();
        self.tally.virtual_seconds = (self.now - self.started).as_secs();
        self.tally
    }

    fn subscribe_in_peace(&mut self) {
        for n in 0..self.nodes.len() {
            self.listen(n, BASE, QoS::ExactlyOnce);
        }
        self.until(
            "everybody is subscribed",
            Duration::from_secs(30),
            |world| world.nodes.iter().all(Node::is_at_rest),
        );
        if self.plan.wrap {
            for node in &mut self.nodes {
                node.use_up_identifiers(self.now);
            }
        }
    }

    fn live_dangerously(&mut self) {
        let pace = self.random.pick(&[5, 50, 500]);
        let calm = self.random.pick(&[200, 1_000, 5_000]);
        let mut next_fault = self.now + self.random.millis(1, calm);
        for _ in 0..self.plan.actions {
            let until = self.now + self.random.millis(0, pace);
            while next_fault <= until {
                self.advance(next_fault);
                self.fail();
                next_fault = self.now + self.random.millis(1, calm);
            }
            self.advance(until);
            self.act();
        }
    }

    fn heal(&mut self) {
        self.unreachable_until = None;
        // Until the last stall is over and every dead connection is found.
        self.advance(self.now + LONGEST_STALL + 3 * self.keep_alive);
        self.until(
            "everything owed came about",
            Duration::from_secs(400),
            |world| {
                world.ledger.is_settled()
                    && world.broker.owed() == 0
                    && world.nodes.iter().all(Node::is_at_rest)
            },
        );
        let sessions: Vec<Session> = self.plan.clean.iter().map(|c| self.session(*c)).collect();
        self.ledger.check(&sessions, self.nodes.len());
        self.check_subscriptions();
        self.probe();
    }

    /// The broker has what is wanted, and what clients know that they could not take back.
    fn check_subscriptions(&self) {
        let usages = || self.nodes.iter().map(|node| node.client.usage());
        let wanted: usize = usages().map(|usage| usage.subscriptions).sum();
        let abandoned: u64 = usages().map(|usage| usage.abandoned).sum();
        let there = self.broker.subscriptions();
        let most = wanted + usize::try_from(abandoned).unwrap();
        assert!(
            (wanted..=most).contains(&there),
            "{there} of {wanted} to {most}"
        );
    }

    fn habits(&self) -> Habits {
        match self.plan.broker {
            WhichBroker::BuiltIn => Habits::default(),
            WhichBroker::Reference(habits) => habits,
        }
    }

    fn session(&self, clean: bool) -> Session {
        let habits = self.habits();
        if habits.forgets || habits.qos_1_only {
            Session::Odd
        } else if clean {
            Session::Clean
        } else {
            Session::Kept
        }
    }

    /// Every listener that stayed hears what is published now.
    fn probe(&mut self) {
        let topics: Vec<String> = EXTRA
            .iter()
            .map(|filter| filter.replace(['+', '#'], "x"))
            .collect();
        for node in &mut self.nodes {
            for extra in &mut node.extra {
                assert!(extra.granted, "{} was never granted", extra.filter);
                extra.heard = 0;
            }
        }
        for topic in &topics {
            self.publish(0, topic, QoS::AtLeastOnce, 0, None);
        }
        self.until("the probe arrived", Duration::from_secs(60), |world| {
            let mut extras = world.nodes.iter().flat_map(|node| &node.extra);
            extras.all(|extra| extra.heard > 0) && world.ledger.is_settled()
        });
    }

    fn part(&mut self) {
        for n in 0..self.nodes.len() {
            self.nodes[n].client.disconnect(self.now);
            self.settle(n);
        }
        self.until("everybody left", Duration::from_secs(2), |world| {
            world.nodes.iter().all(|node| node.client.is_closed())
        });
        for node in &self.nodes {
            let usage = node.client.usage();
            assert_eq!((usage.listeners, usage.live_packet_ids), (0, 0));
            assert_eq!((usage.publishes, usage.publish_bytes), (0, 0));
        }
    }

    // What the applications do.

    fn act(&mut self) {
        let n = self.random.below(self.nodes.len());
        match self.random.below(20) {
            0 => self.cancel(n),
            1 => {
                let filter = self.random.pick(&EXTRA);
                self.listen(n, filter, QoS::AtLeastOnce);
            }
            2 => self.leave(n),
            _ => {
                let qos = self
                    .random
                    .pick(&[QoS::AtMostOnce, QoS::AtLeastOnce, QoS::ExactlyOnce]);
                // One topic for each sender and QoS, so that order can be judged.
                let topic = format!("t/{n}/{}", qos as u8);
                let size = self.random.pick(&[0, 10, 10, 10, 300, 3_000, 80_000]);
                let deadline = self.random.percent(40).then(|| {
                    let patience = self.random.pick(&[20, 500, 20_000]);
                    self.now + self.random.millis(0, patience)
                });
                self.publish(n, &topic, qos, size, deadline);
            }
        }
    }

    fn publish(&mut self, n: usize, topic: &str, qos: QoS, size: usize, deadline: Option<Instant>) {
        let payload = self.ledger.payload(size);
        let entry = Entry {
            from: n,
            topic: topic.to_owned(),
            qos,
            size: payload.len(),
            deadline,
            cancelled: false,
            outcome: None,
            written: false,
            acknowledged: false,
        };
        let message = Message {
            topic: TopicName::parse(topic).unwrap(),
            payload: payload.into(),
            qos,
            retain: false,
        };
        let node = &mut self.nodes[n];
        if let Ok(ticket) = node.client.publish(self.now, message, deadline) {
            self.ledger.accepted(ticket, entry);
            node.outstanding.push(ticket);
        }
        self.settle(n);
    }

    fn cancel(&mut self, n: usize) {
        let outstanding = &mut self.nodes[n].outstanding;
        if outstanding.is_empty() {
            return;
        }
        let ticket = outstanding.swap_remove(self.random.below(outstanding.len()));
        self.nodes[n].client.cancel(self.now, ticket);
        self.ledger.cancelled(n, ticket);
        self.settle(n);
    }

    fn listen(&mut self, n: usize, filter: &str, qos: QoS) {
        let listen = Listen {
            filter: SubscribeFilter::parse(filter).unwrap(),
            qos,
            retained: self.random.percent(30),
        };
        let node = &mut self.nodes[n];
        if let Ok(ticket) = node.client.listen(self.now, listen) {
            if filter == BASE {
                node.base = Some(ticket);
            } else {
                node.extra.push(Extra {
                    ticket,
                    filter: filter.to_owned(),
                    granted: false,
                    heard: 0,
                });
            }
        }
        self.settle(n);
    }

    fn leave(&mut self, n: usize) {
        let extra = &mut self.nodes[n].extra;
        if extra.is_empty() {
            return;
        }
        let ticket = extra.swap_remove(self.random.below(extra.len())).ticket;
        self.nodes[n].client.leave(self.now, ticket);
        self.settle(n);
    }

    // What goes wrong.

    fn fail(&mut self) {
        let kind = self.random.below(20);
        if kind == 0 {
            self.tally.restarts += 1;
            return self.restart_broker();
        }
        if kind == 1 {
            self.unreachable_until = Some(self.now + self.random.millis(1, 3_000));
            return;
        }
        let open = self.links.iter().filter(|(_, link)| link.client_open);
        let open: Vec<u64> = open.map(|(id, _)| *id).collect();
        if open.is_empty() {
            return;
        }
        let id = self.random.pick(&open);
        let until = self.now + self.random.millis(1, LONGEST_STALL.as_millis() as u64);
        let (now, random) = (self.now, &mut self.random);
        let Some(link) = self.links.get_mut(&id) else {
            return;
        };
        match kind {
            2..=3 => {
                self.tally.black_holes += 1;
                link.swallow(now);
            }
            4..=6 => {
                self.tally.stalls += 1;
                link.up.stall(until);
            }
            7..=9 => {
                self.tally.stalls += 1;
                link.down.stall(until);
            }
            _ => {
                self.tally.cuts += 1;
                link.cut(now, random);
            }
        }
    }

    /// The broker starts again with the sessions it had.
    fn restart_broker(&mut self) {
        let now = self.now;
        for (id, link) in &mut self.links {
            if link.broker_open {
                link.broker_open = false;
                link.down.end(now);
                self.broker.closed(now, *id);
            }
        }
        self.answer();
    }

    // How time passes.

    fn until(&mut self, what: &str, limit: Duration, done: impl Fn(&Self) -> bool) {
        let end = self.now + limit;
        while !done(self) {
            let next = self.next_event().filter(|at| *at <= end);
            let Some(at) = next else {
                let usages: Vec<_> = self.nodes.iter().map(|node| node.client.usage()).collect();
                panic!("not within {limit:?}: {what}\n{usages:#?}");
            };
            self.step(at);
        }
    }

    fn advance(&mut self, until: Instant) {
        while let Some(at) = self.next_event().filter(|at| *at <= until) {
            self.step(at);
        }
        self.now = until;
    }

    fn next_event(&self) -> Option<Instant> {
        let nodes = self.nodes.iter().flat_map(|node| {
            let opening = node.opening.map(|(at, _)| at);
            [node.wait, opening]
        });
        let links = self
            .links
            .values()
            .flat_map(|link| [link.up.next_arrival(), link.down.next_arrival()]);
        nodes
            .chain(links)
            .chain([self.broker.next_event()])
            .flatten()
            .min()
    }

    /// Does all that is due at `at`.
    fn step(&mut self, at: Instant) {
        self.now = self.now.max(at);
        for n in 0..self.nodes.len() {
            self.step_node(n);
        }
        self.broker.timeout(self.now);
        let links: Vec<u64> = self.links.keys().copied().collect();
        for id in links {
            self.step_up(id);
            self.step_down(id);
        }
        self.answer();
        self.links
            .retain(|_, link| link.client_open || link.broker_open);
    }

    fn step_node(&mut self, n: usize) {
        let now = self.now;
        let node = &mut self.nodes[n];
        if let Some((_, reachable)) = node.opening.filter(|(at, _)| *at <= now) {
            node.opening = None;
            if reachable {
                self.open(n);
            } else {
                node.client.handle_connect_failed(now, "unreachable");
                self.settle(n);
            }
        }
        let node = &mut self.nodes[n];
        if node.wait.is_some_and(|at| at <= now) {
            node.client.handle_timeout(now);
            self.settle(n);
            let wait = self.nodes[n].wait;
            assert!(wait.is_none_or(|at| at > now), "client {n} spins");
        }
    }

    fn open(&mut self, n: usize) {
        let id = self.next_link;
        self.next_link += 1;
        self.tally.connections += 1;
        self.links.insert(id, Link::new(n, &mut self.random));
        self.broker.opened(self.now, id);
        let node = &mut self.nodes[n];
        node.link = Some(id);
        node.tap.connection();
        node.client.handle_connected(self.now);
        self.settle(n);
    }

    fn step_up(&mut self, id: u64) {
        let Some(link) = self.links.get_mut(&id) else {
            return;
        };
        let arrival = link.up.arrive(self.now, &mut self.random);
        let (node, broker_open) = (link.node, link.broker_open);
        match arrival {
            None => return,
            Some(Arrival::Bytes(bytes)) if broker_open => {
                self.broker.received(self.now, id, &bytes);
            }
            Some(Arrival::Bytes(_)) => {}
            Some(Arrival::End) => {
                link.broker_open = false;
                link.down.end(self.now);
                self.broker.closed(self.now, id);
            }
        }
        self.answer();
        // There is room in the socket now.
        self.settle(node);
    }

    fn step_down(&mut self, id: u64) {
        let Some(link) = self.links.get_mut(&id) else {
            return;
        };
        let n = link.node;
        let node = &mut self.nodes[n];
        let due = link.down.next_arrival().is_some_and(|at| at <= self.now);
        if due && link.client_open && !node.client.wants_bytes() && node.client.is_connected() {
            return link.down.postpone(self.now);
        }
        let arrival = link.down.arrive(self.now, &mut self.random);
        let is_open = link.client_open && node.link == Some(id);
        match arrival {
            None => return,
            Some(Arrival::Bytes(bytes)) if is_open => {
                node.tap.received(&bytes, &mut self.ledger);
                node.client.handle_bytes(self.now, &bytes);
            }
            Some(Arrival::End) if is_open => {
                link.client_open = false;
                link.up.end(self.now);
                node.link = None;
                node.client.handle_closed(self.now, "");
            }
            Some(_) => return,
        }
        self.settle(n);
    }

    /// Passes on what the broker has to say, as far as its sockets take it.
    fn answer(&mut self) {
        let now = self.now;
        for (id, link) in &mut self.links {
            if link.broker_open {
                self.broker
                    .write(now, *id, |bytes| link.down.write(now, bytes));
            }
        }
        for id in self.broker.closes() {
            if let Some(link) = self.links.get_mut(&id) {
                link.broker_open = false;
                link.down.end(now);
            }
        }
    }

    /// Does what the documentation of `Client` asks of its driver.
    fn settle(&mut self, n: usize) {
        loop {
            let output = self.nodes[n].client.poll(self.now);
            match output {
                Output::Connect => {
                    let reachable = self.unreachable_until.is_none_or(|until| until <= self.now);
                    let at = self.now + self.random.millis(0, 200);
                    self.nodes[n].opening = Some((at, reachable));
                }
                Output::Close => self.close(n),
                Output::Event(event) => self.hear(n, event),
                Output::Wait(at) => {
                    self.nodes[n].wait = at;
                    if self.write(n) == 0 {
                        break;
                    }
                }
            }
        }
        self.check_budgets(n);
    }

    fn write(&mut self, n: usize) -> usize {
        let node = &mut self.nodes[n];
        let Some(link) = node.link.and_then(|id| self.links.get_mut(&id)) else {
            return 0;
        };
        let pending = node.client.outgoing();
        if pending.is_empty() {
            return 0;
        }
        let taken = link.up.write(self.now, pending);
        node.tap.sent(&pending[..taken], &mut self.ledger);
        if taken > 0 {
            node.client.handle_written(self.now, taken);
        }
        taken
    }

    fn close(&mut self, n: usize) {
        let node = &mut self.nodes[n];
        node.opening = None;
        let Some(link) = node.link.take().and_then(|id| self.links.get_mut(&id)) else {
            return;
        };
        if let Some(dead_since) = link.dead_since {
            // The link took everything and gave nothing: the client must have noticed in time.
            let longest = (self.keep_alive * 3 / 2).max(Duration::from_secs(10));
            assert!(self.now - dead_since <= longest, "a dead link lived on");
        }
        link.client_open = false;
        link.up.end(self.now);
    }

    fn hear(&mut self, n: usize, event: Event) {
        match event {
            Event::Published { ticket, outcome } => {
                self.nodes[n].outstanding.retain(|held| *held != ticket);
                self.ledger.outcome(self.now, n, ticket, outcome);
            }
            Event::Message { ticket, message } => {
                let node = &mut self.nodes[n];
                if node.base == Some(ticket) {
                    self.ledger.received(n, id_of(&message.payload));
                } else if let Some(extra) = node.extra.iter_mut().find(|e| e.ticket == ticket) {
                    extra.heard += 1;
                }
            }
            Event::Listening { ticket, .. } => {
                let extra = self.nodes[n].extra.iter_mut().find(|e| e.ticket == ticket);
                if let Some(extra) = extra {
                    assert!(!extra.granted, "granted twice");
                    extra.granted = true;
                }
            }
            Event::ListenRefused { ticket, reason } => {
                // In a network that fails so often a filter can be blamed for it.
                let node = &mut self.nodes[n];
                node.extra.retain(|extra| extra.ticket != ticket);
                assert!(
                    node.base != Some(ticket) || node.client.is_closed(),
                    "{reason}"
                );
            }
            Event::Connected { .. }
            | Event::OldSession
            | Event::Disconnected { .. }
            | Event::TooLarge { .. } => {}
            // Nobody of this world observes or pings.
            Event::Observed { .. } | Event::Pong { .. } => unreachable!("{event:?}"),
        }
    }

    fn check_budgets(&self, n: usize) {
        let usage = self.nodes[n].client.usage();
        assert!(usage.publish_bytes <= QUEUE_BYTES, "{usage:?}");
        assert!(usage.publishes <= 40, "{usage:?}");
        assert!(usage.outgoing_bytes <= 256 * 1024 + 81_000, "{usage:?}");
        assert!(usage.incoming_bytes <= 2 * 100_000, "{usage:?}");
        assert!(usage.live_packet_ids <= 20 + 20, "{usage:?}");
    }
}

impl Node {
    /// Nothing is under way, here and on the wire.
    fn is_at_rest(&self) -> bool {
        let usage = self.client.usage();
        let under_way = usage.publishes
            + usage.publish_bytes
            + usage.live_packet_ids
            + usage.outgoing_bytes
            + usage.received_qos2;
        self.client.is_connected() && under_way == 0 && self.tap.is_idle()
    }

    /// Publishes and acknowledges, beside the network, until few identifiers are left before the
    /// wrap.
    fn use_up_identifiers(&mut self, now: Instant) {
        for _ in 0..65_500 {
            let message = Message {
                topic: TopicName::parse("t").unwrap(),
                payload: [][..].into(),
                qos: QoS::AtLeastOnce,
                retain: false,
            };
            self.client.publish(now, message, None).unwrap();
            while !matches!(self.client.poll(now), Output::Wait(_)) {}
            let written = self.client.outgoing();
            let puback = [0x40, 2, written[5], written[6]];
            let length = written.len();
            self.client.handle_written(now, length);
            self.client.handle_bytes(now, &puback);
            while !matches!(self.client.poll(now), Output::Wait(_)) {}
        }
    }
}

/// What every client listens to, and what is counted.
const BASE: &str = "t/#";

/// Filters of listeners that come and go; none matches what the base listeners count.
const EXTRA: [&str; 4] = ["c/1", "c/2", "d/+", "e/#"];

const LONGEST_STALL: Duration = Duration::from_secs(10);

const QUEUE_BYTES: usize = 400_000;
