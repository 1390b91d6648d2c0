//! Reactions under simulated time: thousands of schedules of messages, connections, reloads, halts, cancellations, departures
//! and deadlines in every order, judged by rules that share no code with the product.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::path::PathBuf;
use std::rc::Rc;
use std::sync::Arc;
use std::time::{Duration, Instant};

use fastrand::Rng;
use mcpmqtt_config::{AuditPayload, AuditSync, Config, LogLevel, Operator as Settings, Profiles};
use mcpmqtt_protocol::QoS;
use mcpmqtt_protocol::message::Message;
use mcpmqtt_protocol::topic::TopicName;
use serde_json::{Value, json};
use smol::LocalExecutor;

use crate::audit::{self, Audit};
use crate::local::time::simulated;
use crate::mcp::{ClientSink, Ender, Engine, Received, Session};
use crate::metrics::Metrics;
use crate::mqtt::simulated::SimulatedDriver;
use crate::operator::{Kept, Operator, Source};
use crate::tools::{BrokerInfo, Context, ToolLimits, catalog, server_info};

/// What is written and read in the policy of a moment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Permitted {
    write: bool,
    read: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Already {
    Wait,
    Cross,
    Act,
}

/// The end of a call by its client or the server, before its work is done.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum EndedBy {
    Cancellation,
    Session,
    CallLimit,
    Departure,
}

/// The request: publish to `out` when a number on `tank/+` is above 90.
#[derive(Debug)]
struct Plan {
    modern: bool,
    already: Already,
    hold: Duration,
    timeout: Duration,
    qos: QoS,
    confirm: bool,
    /// Whether the operator has a topic: then nothing may be sent before it is known that it holds no halt.
    has_topic: bool,
    /// Whether the message is one that may be sent although writing is halted.
    is_safe: bool,
}

/// What an independent observer knows of one call.
struct Judge {
    plan: Plan,
    /// When the wait for the condition began: with a confirmation, when the subscription for that was granted.
    begin: Option<Instant>,
    permitted: Permitted,
    /// Since when the last live messages of a topic have been above 90, without a gap.
    above_since: BTreeMap<&'static str, Instant>,
    /// The topics that had a live value that does not meet the condition.
    was_below: Vec<&'static str>,
    /// The first moment at which the condition was met.
    met: Option<Instant>,
    /// What ended the call, and whether all tasks have had their turn since.
    ended: Option<(EndedBy, bool)>,
    was_cancelled: bool,
    /// The policy withdrew the permission, and all tasks have had their turn since.
    withdrawn: bool,
    /// The broker was unreachable at some moment of the call.
    was_offline: bool,
    /// The reload of another policy was in force at some moment of the call.
    was_forbidden: bool,
    /// SIGUSR1 came, and SIGUSR2 did not.
    signalled: bool,
    /// What the broker keeps on the operator's halt topic.
    halt_message: bool,
    /// The broker has granted that topic on this connection.
    topic_granted: bool,
    /// Writing was halted at some moment of the call.
    was_halted: bool,
    /// The program heard of a halt after the call had begun.
    halted_meanwhile: bool,
    sent: usize,
}

/// What the operator's record of a schedule is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Recording {
    Works,
    /// It is required and cannot be written.
    Fails,
}

struct World {
    audit: Audit,
    recording: Recording,
    folder: PathBuf,
    executor: Rc<LocalExecutor<'static>>,
    context: Rc<Context>,
    operator: Operator,
    engine: Engine,
    session: Rc<Session>,
    sink: ClientSink,
    driver: SimulatedDriver,
    ender: Option<Ender>,
    answer: Rc<RefCell<Option<Option<Value>>>>,
    now: Instant,
    judge: Judge,
}

const TOPICS: [&str; 2] = ["tank/1", "tank/2"];

impl Plan {
    fn random(rng: &mut Rng) -> Plan {
        let seconds = |seconds: u64| Duration::from_secs(seconds);
        Plan {
            modern: rng.bool(),
            already: [Already::Wait, Already::Wait, Already::Cross, Already::Act][rng.usize(..4)],
            hold: seconds([0, 0, 3][rng.usize(..3)]),
            timeout: seconds(rng.u64(2..12)),
            qos: [QoS::AtMostOnce, QoS::AtLeastOnce][rng.usize(..2)],
            confirm: rng.u8(..4) == 0,
            has_topic: rng.bool(),
            is_safe: rng.u8(..4) == 0,
        }
    }

    fn operator(&self) -> Settings {
        let mut operator = json!({});
        if self.has_topic {
            operator["topic"] = "op".into();
        }
        if self.is_safe {
            operator["safe"] = json!([{"topic": "out", "payload": "stop"}]);
        }
        let config = json!({"operator": operator}).to_string();
        Config::parse(&config).unwrap().0.operator
    }

    fn arguments(&self) -> Value {
        let already = match self.already {
            Already::Wait => "wait",
            Already::Cross => "cross",
            Already::Act => "act",
        };
        let mut arguments = json!({
            "topic": "out", "payload": "stop", "qos": self.qos as u8, "timeout": 5,
            "when": {
                "topic": "tank/+", "op": ">", "value": 90, "already": already,
                "hold_s": self.hold.as_secs_f64(), "timeout": self.timeout.as_secs_f64(),
            },
        });
        if self.confirm {
            arguments["confirm"] = json!({"topic": "tank/+", "op": "<", "value": 50, "timeout": 2});
        }
        arguments
    }
}

impl Judge {
    /// Shows what happens when one schedule is run alone.
    fn trace(&self, now: Instant, what: &dyn std::fmt::Debug) {
        if std::env::var_os("MCPMQTT_TEST_SEED").is_some() {
            println!("{:?} {what:?}", self.begin.map(|begin| now - begin));
        }
    }

    /// Records a moment at which the condition is met, if the call still waits for it.
    fn meet(&mut self, at: Instant) {
        self.trace(at, &"met");
        if self.deadline().is_some_and(|deadline| at <= deadline) {
            self.met.get_or_insert(at);
        }
    }

    fn deadline(&self) -> Option<Instant> {
        Some(self.begin? + self.plan.timeout)
    }

    /// The holds that are over by `now`.
    fn look_at_holds(&mut self, now: Instant) {
        if self.plan.hold.is_zero() {
            return;
        }
        let over = self
            .above_since
            .values()
            .map(|since| *since + self.plan.hold);
        if let Some(first) = over.filter(|over| *over <= now).min() {
            self.meet(first);
        }
    }

    fn message(&mut self, now: Instant, topic: &'static str, value: u32, retained: bool) {
        self.trace(now, &(topic, value, retained));
        self.look_at_holds(now);
        let counts = match self.plan.already {
            Already::Wait => !retained,
            Already::Act => true,
            Already::Cross => !retained && self.was_below.contains(&topic),
        };
        if value <= 90 {
            self.above_since.remove(topic);
            self.was_below.extend((!retained).then_some(topic));
        } else if counts {
            self.above_since.entry(topic).or_insert(now);
            if self.plan.hold.is_zero() {
                self.meet(now);
            }
        }
    }

    fn interrupted(&mut self, now: Instant) {
        self.trace(now, &"interrupted");
        self.look_at_holds(now);
        self.above_since.clear();
        self.was_offline = true;
    }

    fn all_had_their_turn(&mut self, now: Instant, has_messages: bool) {
        self.trace(now, &"run");
        if let Some((_, settled)) = &mut self.ended {
            *settled = true;
        }
        // A message that was handed to the connection needs the permission to write it and no other.
        let Permitted { write, read } = self.permitted;
        self.withdrawn |= !write || !(read || has_messages && self.met.is_some());
    }

    /// Whether an operator says that nothing be written, or may say so unheard.
    fn is_halted(&self) -> bool {
        let is_deaf = self.plan.has_topic && !self.topic_granted;
        self.signalled || self.halt_message || is_deaf
    }

    fn sent(&mut self, now: Instant) {
        self.look_at_holds(now);
        self.sent += 1;
        assert_eq!(self.sent, 1, "it fired twice");
        assert!(
            self.met.is_some(),
            "it fired, and the condition was not met"
        );
        assert!(!self.withdrawn, "it fired without permission");
        assert!(
            !self.is_halted() || self.plan.is_safe,
            "it fired while writing was halted"
        );
        assert!(
            !self.halted_meanwhile || self.plan.is_safe,
            "it fired after a halt, which was lifted"
        );
        if let Some((ended, true)) = self.ended {
            panic!("it fired after its end by {ended:?}");
        }
    }
}

impl Permitted {
    const ALL: Permitted = Permitted {
        write: true,
        read: true,
    };

    fn profiles(self) -> Profiles {
        let mut topics = vec![json!({"pattern": "else", "permissions": ["read"]})];
        if self.write {
            topics.push(json!({"pattern": "out", "permissions": ["write"]}));
        }
        if self.read {
            topics.push(json!({"pattern": "tank/#", "permissions": ["read"]}));
        }
        let config = json!({"topics": topics});
        Config::parse(&config.to_string()).unwrap().0.profiles
    }
}

impl World {
    fn new(plan: Plan, recording: Recording) -> World {
        let now = Instant::now();
        simulated::set(now);
        let (client, driver) = SimulatedDriver::pair();
        let executor = Rc::new(LocalExecutor::new());
        let (profiles, limits) = (Permitted::ALL.profiles(), ToolLimits::default());
        let settings = plan.operator();
        let kept = Kept::default();
        let operator = Operator::new(client.clone(), settings, None, kept, &executor);
        let held = operator.clone();
        let folder = folder();
        let file = match recording {
            Recording::Works => folder.join("audit.jsonl"),
            Recording::Fails => "/dev/full".into(),
        };
        let settings = mcpmqtt_config::Audit {
            required: recording == Recording::Fails,
            ..record_in(file)
        };
        let metrics = Metrics::default();
        let audit = started(settings, &metrics, &executor);
        let record = Some(audit.clone());
        let context = Context::new(client, profiles, limits, &metrics, held, record, &executor);
        let broker = BrokerInfo {
            host: "simulated".into(),
            port: 1,
            requires_auth: false,
        };
        let engine = Engine::new(catalog(&context, broker), server_info(&context)).unwrap();
        let session = Session::new();
        let sink = ClientSink::new(|_| true);
        if !plan.modern {
            let client = json!({"name": "simulation", "version": "0"});
            let hello = json!({
                "jsonrpc": "2.0", "id": 0, "method": "initialize",
                "params": {"protocolVersion": "2025-11-25", "capabilities": {}, "clientInfo": client},
            });
            drop(engine.receive(&session, hello.to_string().as_bytes(), &sink));
        }
        World {
            audit,
            recording,
            folder,
            executor,
            context,
            operator,
            engine,
            session,
            sink,
            driver,
            ender: None,
            answer: Rc::default(),
            now,
            judge: Judge {
                plan,
                begin: None,
                permitted: Permitted::ALL,
                above_since: BTreeMap::new(),
                was_below: Vec::new(),
                met: None,
                ended: None,
                was_cancelled: false,
                withdrawn: false,
                was_offline: false,
                was_forbidden: recording == Recording::Fails,
                signalled: false,
                halt_message: false,
                topic_granted: false,
                was_halted: false,
                halted_meanwhile: false,
                sent: 0,
            },
        }
    }

    /// The record has exactly one pair of lines, and its outcome is what happened.
    fn check_record(&self) {
        let sent = self.judge.sent;
        if self.recording == Recording::Fails {
            return assert_eq!(sent, 0, "it was sent without a record");
        }
        let text = std::fs::read_to_string(self.folder.join("audit.jsonl")).unwrap();
        let lines = text.lines().map(|line| serde_json::from_str(line).unwrap());
        let lines: Vec<Value> = lines.collect();
        let of = |event: &str| -> Vec<&Value> {
            let lines = lines.iter().enumerate();
            let found = lines.filter(|(_, line)| line["event"] == event);
            found.map(|(_, line)| line).collect()
        };
        let (attempts, outcomes) = (of("attempt"), of("outcome"));
        assert_eq!((attempts.len(), outcomes.len()), (1, 1), "{text}");
        assert_eq!(attempts[0]["id"], outcomes[0]["id"]);
        assert!(attempts[0]["n"].as_u64() < outcomes[0]["n"].as_u64());
        match outcomes[0]["outcome"].as_str().unwrap() {
            "sent" | "delivered" => assert_eq!(sent, 1, "{text}"),
            "refused" | "not_sent" => assert_eq!(sent, 0, "{text}"),
            other => assert_eq!(other, "unknown"),
        }
    }

    /// The program stops: calls are not ended, and nothing is sent any more.
    fn stop(self) -> Outcome {
        smol::block_on(self.audit.stop());
        self.check_record();
        // What ends now leaves no line.
        drop(self.executor);
        let text = std::fs::read_to_string(self.folder.join("audit.jsonl")).unwrap_or_default();
        let last = text.lines().last().unwrap_or("{\"event\":\"stop\"}");
        assert!(last.contains("\"event\":\"stop\""), "{text}");
        Outcome::Stopped
    }

    fn call(&mut self) {
        let mut params = json!({"name": "mqtt_publish", "arguments": self.judge.plan.arguments()});
        if self.judge.plan.modern {
            params["_meta"] = json!({
                "io.modelcontextprotocol/protocolVersion": "2026-07-28",
                "io.modelcontextprotocol/clientCapabilities": {},
            });
        }
        let call = json!({"jsonrpc": "2.0", "id": 1, "method": "tools/call", "params": params});
        let bytes = call.to_string();
        let Received::Call(call) = self
            .engine
            .receive(&self.session, bytes.as_bytes(), &self.sink)
        else {
            panic!("the call was not accepted");
        };
        self.ender = Some(call.ender());
        let answer = Rc::clone(&self.answer);
        let work = async move {
            let reply = call.run().await;
            let reply = reply.map(|reply| serde_json::from_slice(&reply.text).unwrap());
            *answer.borrow_mut() = Some(reply);
        };
        self.executor.spawn(work).detach();
        self.run();
    }

    /// Gives all tasks their turn.
    fn run(&mut self) {
        while self.executor.try_tick() {}
        self.look_whether_it_began();
        let has_messages = self.driver.has_messages();
        self.judge.all_had_their_turn(self.now, has_messages);
    }

    fn look_whether_it_began(&mut self) {
        if self.driver.granted() >= usize::from(self.judge.plan.confirm) {
            self.judge.begin.get_or_insert(self.now);
        }
    }

    fn driver_turn(&mut self) {
        for message in self.driver.turn() {
            assert_eq!(
                (message.topic.as_str(), &*message.payload),
                ("out", &b"stop"[..])
            );
            self.judge.sent(self.now);
        }
    }

    fn advance(&mut self, to: Instant) {
        self.now = self.now.max(to);
        simulated::set(self.now);
        self.judge.look_at_holds(self.now);
    }

    fn deliver(&mut self, rng: &mut Rng) {
        let topic = TOPICS[rng.usize(..TOPICS.len())];
        let (value, retain) = ([40, 89, 90, 91, 95, 99][rng.usize(..6)], rng.u8(..4) == 0);
        let message = Message {
            topic: TopicName::parse(topic).unwrap(),
            payload: Arc::from(value.to_string().into_bytes()),
            qos: QoS::AtMostOnce,
            retain,
        };
        // The subscription for the confirmation is made before that for the condition.
        let subscribed = self.driver.observed() > usize::from(self.judge.plan.confirm);
        let reaches = self.judge.permitted.read && subscribed;
        if self.driver.deliver(self.now, &message) && reaches {
            self.judge.message(self.now, topic, value, retain);
        }
    }

    /// The broker grants what was asked for; on the operator's topic it sends first what it keeps there.
    fn grant(&mut self) {
        if self.driver.asks_for_reserved() && self.driver.is_connected() {
            if self.judge.halt_message {
                self.say("halted", true);
            }
            self.judge.trace(self.now, &"topic granted");
            self.judge.topic_granted = true;
        }
        self.driver.grant();
    }

    /// Somebody publishes on the operator's halt topic, to be kept.
    fn publish_halt(&mut self, is_halted: bool) {
        self.judge.trace(self.now, &("halt topic", is_halted));
        self.judge.halt_message = is_halted;
        self.judge.was_halted |= is_halted;
        if self.judge.topic_granted {
            self.say(if is_halted { "halted" } else { "" }, false);
        }
    }

    fn say(&mut self, payload: &str, retain: bool) {
        let message = Message {
            topic: TopicName::parse("op/halt").unwrap(),
            payload: payload.as_bytes().into(),
            qos: QoS::AtMostOnce,
            retain,
        };
        let heard = self.driver.deliver(self.now, &message);
        self.judge.halted_meanwhile |= heard && !payload.is_empty() && self.judge.begin.is_some();
    }

    fn halt(&mut self, rng: &mut Rng) {
        let is_halted = rng.bool();
        self.say_halt(rng, is_halted);
        // Lifted before anything else has its turn.
        if is_halted && rng.u8(..4) == 0 {
            self.say_halt(rng, false);
        }
    }

    fn say_halt(&mut self, rng: &mut Rng, is_halted: bool) {
        if self.judge.plan.has_topic && rng.bool() {
            return self.publish_halt(is_halted);
        }
        self.judge.trace(self.now, &("signal", is_halted));
        self.judge.signalled = is_halted;
        self.judge.halted_meanwhile |= is_halted && self.judge.begin.is_some();
        self.judge.was_halted |= is_halted;
        match is_halted {
            true => self.operator.halt(Source::Signal, None, "SIGUSR1"),
            false => self.operator.lift(Source::Signal),
        }
    }

    fn end(&mut self, by: EndedBy) {
        let Some(ender) = &self.ender else { return };
        self.judge.trace(self.now, &by);
        let begun = self.driver.has_messages() && self.judge.met.is_some();
        match by {
            EndedBy::Cancellation => {
                self.judge.was_cancelled = true;
                let text = json!({
                    "jsonrpc": "2.0", "method": "notifications/cancelled", "params": {"requestId": 1},
                });
                let text = text.to_string();
                drop(
                    self.engine
                        .receive(&self.session, text.as_bytes(), &self.sink),
                );
            }
            EndedBy::Session => self.session.end_calls(),
            EndedBy::CallLimit => ender.give_up(),
            EndedBy::Departure => ender.client_left(),
        }
        // What was handed to the connection before the client left is sent.
        if by != EndedBy::Departure || !begun {
            self.judge.ended.get_or_insert((by, false));
        }
    }

    fn reload(&mut self, permitted: Permitted) {
        self.judge.trace(self.now, &permitted);
        self.context.access.replace_profiles(permitted.profiles());
        self.judge.permitted = permitted;
        self.judge.was_forbidden |= permitted != Permitted::ALL;
    }

    fn step(&mut self, rng: &mut Rng) {
        match rng.u8(..36) {
            0..=9 => self.deliver(rng),
            10..=13 => self.grant(),
            14..=17 => self.driver_turn(),
            18 => self.driver.acknowledge(),
            19..=23 => {
                let chance = self.now + Duration::from_millis(rng.u64(1..1500));
                let next = simulated::next().unwrap_or(chance);
                let moment = [chance, next, next - Duration::from_millis(1)][rng.usize(..3)];
                self.advance(moment);
            }
            24 => {
                self.driver.disconnect(self.now);
                self.judge.topic_granted = false;
                self.judge.interrupted(self.now);
            }
            25 | 34 => self.driver.connect(),
            26 | 27 => {
                let all = self.judge.permitted != Permitted::ALL && rng.u8(..4) > 0;
                let (write, read) = (all || rng.bool(), all || rng.bool());
                self.reload(Permitted { write, read });
            }
            28 if rng.bool() => {
                use EndedBy::{CallLimit, Cancellation, Departure, Session};
                self.end([Cancellation, Session, CallLimit, Departure][rng.usize(..4)]);
            }
            32 | 33 => self.halt(rng),
            29 => {
                self.executor.try_tick();
                self.look_whether_it_began();
            }
            _ => self.run(),
        }
        if rng.bool() {
            self.run();
        }
    }

    /// Lets the time of the call pass, and compares what it answered with what was sent.
    fn finish(mut self) -> Outcome {
        for _ in 0..40 {
            self.run();
            self.driver_turn();
            self.grant();
            self.driver.acknowledge();
            self.run();
            match simulated::next() {
                Some(next) => self.advance(next),
                None if self.driver.has_requests() => {}
                None => break,
            }
        }
        self.driver_turn();
        let answer = self.answer.borrow_mut().take();
        let answer = answer.expect("the call has an end");
        self.check_record();
        assert_eq!(self.driver.observed(), 0, "a subscription was left behind");
        let judge = &self.judge;
        let Some(answer) = answer else {
            assert!(judge.was_cancelled, "a call without an answer");
            return Outcome::of(judge);
        };
        let text = answer.to_string();
        let outcome = &answer["result"]["structuredContent"]["outcome"];
        match outcome.as_str() {
            Some("sent" | "delivered") => assert_eq!(judge.sent, 1, "{text}"),
            Some("not_sent") => assert_eq!(judge.sent, 0, "{text}"),
            Some(other) => panic!("an outcome `{other}`"),
            None if text.contains("Nothing was sent") || text.contains("did not reach") => {
                assert_eq!(judge.sent, 0, "{text}");
            }
            None => {}
        }
        if text.contains("did not acknowledge the subscription") {
            return Outcome::NotGranted;
        }
        if text.contains("halted writing") {
            assert!(judge.was_halted, "{text}");
            return Outcome::Halted;
        }
        let may_be_held = (judge.was_halted || judge.plan.has_topic) && !judge.plan.is_safe;
        let undisturbed =
            judge.ended.is_none() && !judge.was_offline && !judge.was_forbidden && !may_be_held;
        // What happens at the very deadline is in time or late.
        if undisturbed && judge.met.is_some_and(|at| Some(at) < judge.deadline()) {
            assert_eq!(judge.sent, 1, "the condition was met: {text}");
        }
        Outcome::of(judge)
    }
}

/// What a schedule came to, to see that the schedules are of all kinds.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Outcome {
    Fired,
    NotMet,
    EndedBefore,
    Withdrawn,
    Offline,
    NotGranted,
    Halted,
    Stopped,
}

/// A record in this file that has payloads and that every write needs.
pub(super) fn record_in(file: PathBuf) -> mcpmqtt_config::Audit {
    mcpmqtt_config::Audit {
        file,
        payload: AuditPayload::Full,
        max_bytes: 1 << 30,
        keep: 1,
        sync: AuditSync::Never,
        required: true,
        reads: false,
        feed: None,
    }
}

/// Begins to keep a record.
pub(super) fn started(
    settings: mcpmqtt_config::Audit,
    metrics: &Metrics,
    executor: &Rc<LocalExecutor<'static>>,
) -> Audit {
    let start = audit::Start {
        transport: "stdio",
        origin: String::new(),
        keys: Vec::new(),
    };
    Audit::start(settings, &start, None, metrics, executor).unwrap()
}

/// An empty folder of this thread's own.
pub(super) fn folder() -> PathBuf {
    let thread = format!("{:?}", std::thread::current().id());
    let name = format!("mcpmqtt-simulation-{}-{thread}", std::process::id());
    let folder = std::env::temp_dir().join(name);
    let _ = std::fs::remove_dir_all(&folder);
    std::fs::create_dir(&folder).unwrap();
    folder
}

impl Outcome {
    fn of(judge: &Judge) -> Outcome {
        if judge.sent == 1 {
            Outcome::Fired
        } else if judge.ended.is_some() {
            Outcome::EndedBefore
        } else if judge.withdrawn {
            Outcome::Withdrawn
        } else if judge.met.is_some() {
            Outcome::Offline
        } else {
            Outcome::NotMet
        }
    }
}

fn run(seed: u64) -> Outcome {
    let mut rng = Rng::with_seed(seed);
    let plan = Plan::random(&mut rng);
    let recording = match rng.u8(..16) {
        0 => Recording::Fails,
        _ => Recording::Works,
    };
    let mut world = World::new(plan, recording);
    world.judge.trace(world.now, &world.judge.plan);
    if rng.u8(..8) > 0 {
        world.driver.connect();
    } else {
        world.judge.was_offline = true;
    }
    world.call();
    if rng.u8(..4) > 0 {
        world.driver_turn();
        world.grant();
        world.run();
    }
    for _ in 0..rng.usize(5..40) {
        world.step(&mut rng);
    }
    match rng.u8(..8) {
        0 => world.stop(),
        _ => world.finish(),
    }
}

#[test]
fn a_reaction_fires_once_at_most_when_it_may_and_never_after_its_end() {
    if let Ok(seed) = std::env::var("MCPMQTT_TEST_SEED") {
        println!("{:?}", run(seed.parse().unwrap()));
        return;
    }
    // Each schedule logs anchors.
    crate::logger::set_level(LogLevel::Critical);
    let full = std::env::var_os("MCPMQTT_TEST_FULL").is_some();
    let schedules = if full { 30_000 } else { 1_000 };
    let mut outcomes = BTreeMap::<Outcome, u64>::new();
    for seed in 0..schedules {
        let ended = std::panic::catch_unwind(|| run(seed));
        let outcome = ended.unwrap_or_else(|_| panic!("MCPMQTT_TEST_SEED={seed}"));
        *outcomes.entry(outcome).or_default() += 1;
    }
    use Outcome::{EndedBefore, Fired, Halted, NotGranted, NotMet, Offline, Withdrawn};
    for kind in [
        Fired,
        NotMet,
        EndedBefore,
        Withdrawn,
        Offline,
        NotGranted,
        Halted,
    ] {
        let count = outcomes.get(&kind).copied().unwrap_or(0);
        assert!(count > schedules / 100, "{outcomes:?} of {schedules}");
    }
}
