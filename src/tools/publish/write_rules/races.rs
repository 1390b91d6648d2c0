//! Thousands of schedules of values, writes, reloads, connections and deadlines in every order, judged by rules that share
//! no code with the product: nothing goes out that is not permitted when it goes out.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use fastrand::Rng;
use mcpmqtt_config::Profiles;
use serde_json::{Value, json};

use super::{World, profiles};
use crate::local::time::simulated;
use crate::mcp::Received;

/// The rules in force at a moment.
#[derive(Clone, Debug, PartialEq)]
struct Rules {
    may_write: bool,
    mode: bool,
    change: bool,
    interval: Option<u64>,
    per_minute: Option<usize>,
    confirm: bool,
}

/// The last live value of a topic since the connection was lost last, and its time.
type Last<T> = Option<(T, Instant)>;

/// What an independent observer knows.
struct Judge {
    rules: Rules,
    mode: Last<bool>,
    rpm: Last<i32>,
    /// For each number, whether a write of it was permitted at some moment since all tasks had their turn last.
    permitted: BTreeMap<i32, bool>,
    /// When messages went out under the rules in force.
    sent: Vec<Instant>,
    /// The rules have changed since all tasks had their turn: what goes out may have been handed over before.
    just_changed: bool,
    refused: usize,
}

const NUMBERS: [i32; 5] = [0, 8, 10, 11, 20];

impl Rules {
    fn random(rng: &mut Rng) -> Rules {
        Rules {
            may_write: rng.u8(..6) > 0,
            mode: rng.bool(),
            change: rng.bool(),
            interval: rng.bool().then(|| rng.u64(1..4) * 500),
            per_minute: rng.bool().then(|| rng.usize(1..6)),
            confirm: rng.u8(..4) == 0,
        }
    }

    fn profiles(&self) -> Profiles {
        let mut write = json!({});
        if self.mode {
            let mode = json!({"topic": "site/{1}/mode", "value": "remote", "max_age": AGE});
            write["requires"] = json!([mode]);
        }
        if self.change || self.confirm {
            write["state"] = json!({"topic": "site/{1}/rpm", "max_age": AGE});
        }
        if self.change {
            write["max_change"] = json!(10);
        }
        if self.confirm {
            write["confirm"] = json!({"within": 1});
        }
        if let Some(ms) = self.interval {
            write["min_interval"] = json!(ms as f64 / 1000.0);
        }
        if let Some(most) = self.per_minute {
            write["max_per_minute"] = json!(most);
        }
        match self.may_write {
            true => profiles(&write),
            false => Profiles::default(),
        }
    }
}

impl Judge {
    fn permits(&self, number: i32, now: Instant) -> bool {
        let is_fresh = |at: Instant| now - at <= Duration::from_secs(AGE);
        let rules = &self.rules;
        let mode = self.mode.is_some_and(|(remote, at)| remote && is_fresh(at));
        let near = |(rpm, at): (i32, Instant)| (number - rpm).abs() <= 10 && is_fresh(at);
        let change = self.rpm.is_some_and(near);
        rules.may_write && (mode || !rules.mode) && (change || !rules.change)
    }

    /// Something has changed.
    fn look(&mut self, now: Instant) {
        for number in NUMBERS {
            let permitted = self.permits(number, now);
            *self.permitted.entry(number).or_default() |= permitted;
        }
    }

    /// All tasks have had their turn.
    fn all_had_their_turn(&mut self, now: Instant) {
        self.permitted.clear();
        self.just_changed = false;
        self.look(now);
    }

    fn sent(&mut self, number: i32, now: Instant) {
        self.look(now);
        assert!(
            self.permitted[&number],
            "{number} went out: {:?}",
            self.rules
        );
        if self.just_changed {
            return;
        }
        if let (Some(ms), Some(last)) = (self.rules.interval, self.sent.last()) {
            let least = Duration::from_millis(ms);
            assert!(now - *last >= least, "{:?} after the last", now - *last);
        }
        self.sent.push(now);
        if let Some(most) = self.rules.per_minute {
            let minute = Duration::from_secs(60);
            let in_window = self.sent.iter().filter(|at| now - **at < minute).count();
            assert!(in_window <= most, "{in_window} in a minute");
        }
    }
}

struct Race {
    world: World,
    judge: Judge,
    /// The calls, and whether the client has cancelled them.
    calls: BTreeMap<u64, bool>,
    is_traced: bool,
}

impl Race {
    fn new(rng: &mut Rng, is_traced: bool) -> Race {
        let rules = Rules::random(rng);
        Race {
            world: World::new(rules.profiles()),
            judge: Judge {
                rules,
                mode: None,
                rpm: None,
                permitted: BTreeMap::new(),
                sent: Vec::new(),
                just_changed: false,
                refused: 0,
            },
            calls: BTreeMap::new(),
            is_traced,
        }
    }

    fn trace(&self, what: &dyn std::fmt::Debug) {
        if self.is_traced {
            println!("{:?} {what:?}", self.world.now);
        }
    }

    fn run(&mut self) {
        self.trace(&"run");
        self.world.run();
        self.judge.all_had_their_turn(self.world.now);
    }

    fn driver_turn(&mut self) {
        self.trace(&"turn");
        let before = self.world.sent.len();
        self.world.driver_turn();
        let sent = self.world.sent.split_off(before);
        for payload in &sent {
            self.trace(&("sent", payload));
            self.judge.sent(payload.parse().unwrap(), self.world.now);
        }
        self.world.sent.extend(sent);
    }

    fn call(&mut self, rng: &mut Rng) {
        let number = NUMBERS[rng.usize(..NUMBERS.len())];
        let timeout = [0.5, 10.0][rng.usize(..2)];
        let mut arguments = json!({
            "topic": "site/m1/cmd", "payload": number.to_string(), "qos": rng.u8(..2), "timeout": timeout,
        });
        if rng.u8(..3) == 0 {
            arguments["when"] = json!({"topic": "site/m1/go", "timeout": 6});
        }
        self.trace(&arguments.to_string());
        let id = self.world.call(arguments);
        self.calls.insert(id, false);
    }

    fn deliver(&mut self, rng: &mut Rng) {
        let retained = rng.u8(..5) == 0;
        let remote = rng.u8(..4) > 0;
        let rpm = [0, 5, 10][rng.usize(..3)];
        let (topic, payload) = match rng.u8(..5) {
            0 => ("site/m1/go", "now".to_owned()),
            1 | 2 => (
                "site/m1/mode",
                if remote { "remote" } else { "local" }.to_owned(),
            ),
            _ => ("site/m1/rpm", rpm.to_string()),
        };
        self.trace(&(topic, &payload, retained));
        if self.judge_hears() && !retained {
            match topic {
                "site/m1/mode" => self.judge.mode = Some((remote, self.world.now)),
                "site/m1/rpm" => self.judge.rpm = Some((rpm, self.world.now)),
                _ => {}
            }
        }
        self.world.deliver(topic, &payload, retained);
        self.judge.look(self.world.now);
    }

    fn judge_hears(&self) -> bool {
        self.world.context.access.is_connected()
    }

    fn cancel(&mut self, rng: &mut Rng) {
        let calls: Vec<u64> = self.calls.keys().copied().collect();
        if calls.is_empty() {
            return;
        }
        let id = calls[rng.usize(..calls.len())];
        let params = json!({"requestId": id});
        let text = json!({"jsonrpc": "2.0", "method": "notifications/cancelled", "params": params});
        let World {
            engine,
            session,
            sink,
            ..
        } = &self.world;
        drop(engine.receive(session, text.to_string().as_bytes(), sink));
        self.calls.insert(id, true);
    }

    fn reload(&mut self, rng: &mut Rng) {
        let rules = Rules::random(rng);
        self.trace(&rules);
        self.world.context.access.replace_profiles(rules.profiles());
        // Writes under earlier rules may be too many for these, and only those that these count are remembered.
        self.judge.sent.clear();
        self.judge.just_changed = true;
        self.judge.rules = rules;
        self.judge.look(self.world.now);
    }

    fn advance(&mut self, rng: &mut Rng) {
        let chance = self.world.now + Duration::from_millis(rng.u64(1..2500));
        let next = simulated::next().unwrap_or(chance);
        // The end of what is watched is far away.
        let next = next.min(self.world.now + Duration::from_secs(5));
        let moment = [chance, next, next - Duration::from_millis(1)][rng.usize(..3)];
        self.world.now = self.world.now.max(moment);
        simulated::set(self.world.now);
        self.trace(&"time");
        self.judge.look(self.world.now);
    }

    fn step(&mut self, rng: &mut Rng) {
        match rng.u8(..40) {
            0..=11 => self.deliver(rng),
            12..=18 => self.call(rng),
            19..=21 => {
                self.trace(&"grant");
                self.world.driver.grant();
            }
            22..=25 => self.driver_turn(),
            26 | 27 => self.world.driver.acknowledge(),
            28..=32 => self.advance(rng),
            33 => {
                self.trace(&"disconnect");
                self.world.driver.disconnect(self.world.now);
                (self.judge.mode, self.judge.rpm) = (None, None);
            }
            34 | 35 => {
                self.trace(&"connect");
                self.world.driver.connect();
            }
            36 if rng.bool() => self.reload(rng),
            37 if rng.bool() => self.cancel(rng),
            38 => {
                self.trace(&"tick");
                self.world.executor.try_tick();
            }
            _ => self.run(),
        }
        if rng.bool() {
            self.run();
        }
    }

    /// Lets the time of all calls pass, and compares what they answered with what was sent.
    fn finish(mut self) -> Judge {
        for _ in 0..60 {
            self.run();
            self.driver_turn();
            self.world.driver.grant();
            self.world.driver.acknowledge();
            self.run();
            let next = simulated::next();
            let soon = self.world.now + Duration::from_secs(60);
            let Some(next) = next.filter(|next| *next < soon) else {
                break;
            };
            self.world.now = next.max(self.world.now);
            simulated::set(self.world.now);
        }
        let answers = self.world.answers.borrow();
        let (mut told, mut unknown) = (0, 0);
        for (id, was_cancelled) in &self.calls {
            let Some(answer) = answers.get(id) else {
                assert!(was_cancelled, "a call without an answer");
                unknown += 1;
                continue;
            };
            let text = answer.to_string();
            match answer["result"]["structuredContent"]["outcome"].as_str() {
                Some("sent" | "delivered") => told += 1,
                Some("not_sent") => {}
                Some(other) => panic!("an outcome `{other}`"),
                None if text.contains("othing was sent") || text.contains("did not reach") => {
                    let is_rule = ["written", "away from", "to write here", "has to show"];
                    let is_rule = is_rule.iter().any(|words| text.contains(words));
                    self.judge.refused += usize::from(is_rule);
                }
                None => unknown += 1,
            }
        }
        let sent = self.world.sent.len();
        assert!(
            (told..=told + unknown).contains(&sent),
            "{told} of {sent}, {unknown}"
        );
        drop(answers);
        self.judge
    }
}

/// How many went out, and how many a rule refused.
fn run(seed: u64, is_traced: bool) -> (usize, usize) {
    let mut rng = Rng::with_seed(seed);
    let mut race = Race::new(&mut rng, is_traced);
    race.trace(&race.judge.rules);
    for _ in 0..rng.usize(40..300) {
        race.step(&mut rng);
    }
    let sent = race.world.sent.len();
    (sent, race.finish().refused)
}

#[test]
fn nothing_goes_out_that_is_not_permitted_when_it_goes_out() {
    if let Ok(seed) = std::env::var("MCPMQTT_TEST_SEED") {
        println!("{:?}", run(seed.parse().unwrap(), true));
        return;
    }
    let full = std::env::var_os("MCPMQTT_TEST_FULL").is_some();
    let schedules = if full { 10_000 } else { 100 };
    let (mut sent, mut refused) = (0, 0);
    for seed in 0..schedules {
        let ended = std::panic::catch_unwind(|| run(seed, false));
        let (more, no) = ended.unwrap_or_else(|_| panic!("MCPMQTT_TEST_SEED={seed}"));
        sent += more as u64;
        refused += no as u64;
    }
    // The schedules are of both kinds.
    assert!(
        sent > schedules / 2 && refused > schedules,
        "{sent} sent, {refused} refused"
    );
}

/// The age after which a value does not count, in seconds.
const AGE: u64 = 3;

/// What the tests of a single order share: a rule with everything, its state known.
fn ready() -> World {
    let rule = json!({
        "requires": [{"topic": "site/{1}/mode", "value": "remote", "max_age": AGE}],
        "state": {"topic": "site/{1}/rpm", "max_age": AGE}, "max_change": 10,
    });
    let mut world = World::new(profiles(&rule));
    let id = world.call(json!({"topic": "site/m1/cmd", "payload": "1"}));
    world.settle();
    world.live("site/m1/mode", "remote");
    world.live("site/m1/rpm", "0");
    assert_eq!(world.outcome(id), "sent");
    world.sent.clear();
    world
}

/// The message was handed to the connection and did not leave yet.
#[test]
fn what_becomes_forbidden_before_it_leaves_is_taken_back() {
    type Change = (&'static str, fn(&mut World));
    let changes: [Change; 5] = [
        ("`site/m1/mode` is `local`", |world| {
            world.deliver("site/m1/mode", "local", false);
        }),
        ("5 is 95 away", |world| {
            world.deliver("site/m1/rpm", "100", false);
        }),
        ("s old", |world| {
            world.now += Duration::from_millis(3_001);
            simulated::set(world.now);
        }),
        ("the connection to the broker was lost", |world| {
            world.driver.disconnect(world.now);
            world.driver.connect();
        }),
        (
            "the operator changed the rules on writes to the topic meanwhile; try again",
            |world| {
                let rule = json!({"requires": [{"topic": "site/other/mode"}]});
                world.context.access.replace_profiles(profiles(&rule));
            },
        ),
    ];
    for qos in [0, 1] {
        for (words, change) in &changes {
            let mut world = ready();
            let id = world.call(json!({"topic": "site/m1/cmd", "payload": "5", "qos": qos}));
            world.run();
            assert!(world.driver.has_requests());
            change(&mut world);
            world.settle();
            let outcome = world.outcome(id);
            assert!(
                outcome.contains(words) && outcome.ends_with("Nothing was sent."),
                "{outcome}"
            );
            assert_eq!(world.sent, [""; 0]);
        }
    }
}

/// The state may change because of the write.
#[test]
fn what_has_left_is_not_taken_back() {
    let mut world = ready();
    let id = world.call(json!({"topic": "site/m1/cmd", "payload": "5", "qos": 1}));
    world.run();
    world.driver_turn();
    assert_eq!(world.sent, ["5"]);
    world.deliver("site/m1/mode", "local", false);
    world.run();
    world.driver_turn();
    assert_eq!(world.outcome(id), "pending");
    world.settle();
    assert_eq!(world.outcome(id), "delivered");
}

#[test]
fn a_reaction_is_judged_when_it_fires() {
    let when = json!({"topic": "site/m1/go", "timeout": 60});
    let reaction = json!({"topic": "site/m1/cmd", "payload": "5", "when": when});
    let fire = |world: &mut World, change: fn(&mut World)| -> String {
        let id = world.call(reaction.clone());
        world.settle();
        change(world);
        world.live("site/m1/go", "now");
        world.outcome(id)
    };
    let mut world = ready();
    let outcome = fire(&mut world, |_| {});
    assert_eq!(outcome, "sent");
    let outcome = fire(&mut world, |world| world.live("site/m1/mode", "local"));
    assert!(
        outcome.contains("`site/m1/mode` is `local` (0.0 s ago)"),
        "{outcome}"
    );
    // It waits with the state unknown, and is not held up by that when it fires.
    let outcome = fire(&mut world, |world| world.pass(5_000));
    assert!(outcome.contains("5.0 s old"), "{outcome}");
    world.live("site/m1/mode", "remote");
    world.live("site/m1/rpm", "5");
    let outcome = fire(&mut world, |world| {
        let rule = json!({"min_interval": 60});
        world.context.access.replace_profiles(profiles(&rule));
    });
    assert_eq!(outcome, "sent");
    let outcome = fire(&mut world, |_| {});
    assert!(
        outcome.contains("one write is permitted in 60 s"),
        "{outcome}"
    );
    assert_eq!(world.sent, ["5", "5"]);
}

/// Its condition may be met at once, and a reaction is never late.
#[test]
fn a_reaction_does_not_wait_for_the_state() {
    let rule = json!({"requires": [{"topic": "site/{1}/mode", "value": "remote"}]});
    let mut world = World::new(profiles(&rule));
    let when = json!({"topic": "site/m1/go"});
    let reaction = json!({"topic": "site/m1/cmd", "payload": "5", "when": when});
    let first = world.call(reaction.clone());
    world.settle();
    assert_eq!(world.driver.observed(), 2);
    world.live("site/m1/go", "now");
    let outcome = world.outcome(first);
    assert!(
        outcome.contains("nothing came on `site/m1/mode` in the 0.0 s"),
        "{outcome}"
    );
    let second = world.call(reaction);
    world.settle();
    world.live("site/m1/mode", "remote");
    world.live("site/m1/go", "now");
    assert_eq!(world.outcome(second), "sent");
}

#[test]
fn a_write_that_waits_is_judged_by_the_rules_that_are_in_force_when_it_goes_on() {
    let rule = |value: &Value| json!({"requires": [{"topic": "site/{1}/mode", "value": value}]});
    let mut world = World::new(profiles(&rule(&json!("remote"))));
    let id = world.call(json!({"topic": "site/m1/cmd", "payload": "1"}));
    world.settle();
    world
        .context
        .access
        .replace_profiles(profiles(&rule(&json!("service"))));
    world.live("site/m1/mode", "remote");
    let outcome = world.outcome(id);
    assert!(
        outcome.contains("is `remote`") && outcome.contains("= \"service\""),
        "{outcome}"
    );
    let id = world.call(json!({"topic": "site/m1/cmd", "payload": "1"}));
    world.context.access.replace_profiles(Profiles::default());
    world.settle();
    assert!(world.outcome(id).contains("not writable"));
    assert_eq!(world.sent, [""; 0]);
}

/// What comes before the broker has granted the topic counts once it has. When all who asked have given up before, nobody
/// hears of a change any more.
#[test]
fn a_value_of_a_subscription_that_was_given_up_does_not_count() {
    let rule = json!({"requires": [{"topic": "site/{1}/mode", "value": "remote"}]});
    for gives_up in [false, true] {
        let mut world = World::new(profiles(&rule));
        let first = world.call(json!({"topic": "site/m1/cmd", "payload": "1"}));
        world.run();
        world.driver_turn();
        world.deliver("site/m1/mode", "remote", false);
        if gives_up {
            let policy = &world.context.access;
            policy.replace_profiles(Profiles::default());
            world.run();
            let policy = &world.context.access;
            policy.replace_profiles(profiles(&rule));
            world.run();
            // The driver has not heard that it is over.
            world.deliver("site/m1/mode", "remote", false);
            world.settle();
            world.deliver("site/m1/mode", "local", false);
        }
        let second = world.call(json!({"topic": "site/m1/cmd", "payload": "2", "timeout": 1}));
        world.settle();
        world.pass(6_000);
        let outcomes = [world.outcome(first), world.outcome(second)];
        if gives_up {
            assert!(outcomes[0].contains("not writable"), "{outcomes:?}");
            assert!(
                outcomes[1].contains("nothing came on `site/m1/mode`"),
                "{outcomes:?}"
            );
        } else {
            assert_eq!(outcomes, ["sent", "sent"]);
        }
    }
}

/// A row of the overview must not go on after a gap that it does not know of.
#[test]
fn an_overview_that_was_given_up_before_the_broker_answered_leaves_no_row() {
    let mut world = World::new(profiles(&Value::Null));
    let params = json!({"name": "mqtt_topics", "arguments": {"topic": "site/#"}, "_meta": {
        "io.modelcontextprotocol/protocolVersion": "2026-07-28",
        "io.modelcontextprotocol/clientCapabilities": {},
    }});
    let call = json!({"jsonrpc": "2.0", "id": 1, "method": "tools/call", "params": params});
    let bytes = call.to_string();
    let received = world
        .engine
        .receive(&world.session, bytes.as_bytes(), &world.sink);
    let Received::Call(call) = received else {
        panic!("the call was not accepted");
    };
    let call = world.executor.spawn(call.run());
    world.run();
    world.driver_turn();
    world.deliver("site/m1/rpm", "5", true);
    let rows = |world: &World| {
        world
            .context
            .observation
            .table()
            .row("site/m1/rpm")
            .is_some()
    };
    assert!(rows(&world));
    drop(call);
    world.run();
    // The driver has not heard that it is over.
    world.deliver("site/m1/rpm", "6", false);
    assert!(!rows(&world));
    world.settle();
    assert_eq!(world.driver.observed(), 0);
}
