//! Thousands of schedules of calls, answers, reloads, ends and deadlines in every order, judged by rules that share no code
//! with the product: nothing is sent that was not permitted, consented to and recorded at the moment of sending, no consent
//! is used twice, and the record has one pair of lines for each attempt.

use std::path::PathBuf;

use fastrand::Rng;

use super::*;
use crate::operator::Source;
use crate::tools::publish::simulation::{folder, record_in};

/// What the file says at a moment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Rule {
    write: bool,
    consent: &'static str,
    /// Whether payloads of 2000 and more are forbidden.
    limited: bool,
}

/// What a client or an operator said, in the order in which it was said.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Said {
    ClientYes,
    ClientNo,
    ClientCloses,
    OperatorYes,
    OperatorNo,
    /// Nobody said it: the condition was met, on which the message waits.
    Fired,
}

/// One call as an observer knows it.
#[derive(Debug)]
struct Seen {
    /// One of its own, which a call that brings an answer shares with the one that asked.
    payload: String,
    /// The rules of the file from its beginning until it had its first turn.
    rules: Vec<Rule>,
    /// The call that asked, where this one brings the client's answer.
    answers: Option<u64>,
    /// When it had its first turn, at the latest.
    opened: Option<Instant>,
    /// When the operator was asked, at the latest.
    operator_asked: Option<Instant>,
    said: Vec<Said>,
    /// A request of the client's session was answered, and its first answer counts.
    has_answered: bool,
    /// Something ended it; and whether all tasks have had their turn since.
    ended: Option<bool>,
    /// What ended it was the client's departure.
    has_left: bool,
    /// It was not permitted, or its rule was another, when all tasks had their turn. A reaction that waits is judged by the
    /// rule of the moment alone.
    withdrawn: bool,
    is_forbidden: bool,
    /// The operator had said no to the question when this call had its first turn.
    was_denied: bool,
    /// A halt or a reload ended the question that this call ended with.
    is_void: bool,
    /// That was so when this call, which brings the answer, had its first turn.
    was_void: bool,
    /// Some tasks, perhaps this call's, have had a turn since it began.
    may_have_begun: bool,
    is_reaction: bool,
    /// It ended with a question to its client, and sends nothing.
    has_asked: bool,
    sent: bool,
}

struct Judge {
    rule: Rule,
    is_halted: bool,
    calls: BTreeMap<u64, Seen>,
    /// How often each payload was sent.
    sent: BTreeMap<String, usize>,
    /// How many of these an operator had agreed to.
    by_operator: usize,
    traces: bool,
}

/// An attempt in the record.
struct Recorded {
    payload: String,
    is_agreed: bool,
    outcome: Option<String>,
}

/// A schedule under way.
struct Schedule {
    world: World,
    judge: Judge,
    rng: Rng,
    /// How much of what the operator was told has been looked at.
    seen: usize,
    /// The questions to the operator: the number, and the call.
    asked: Vec<(String, u64)>,
    record: PathBuf,
}

const CONSENTS: [&str; 5] = ["", "client", "operator", "either", "both"];
const OPEN: Duration = Duration::from_secs(120);

impl Rule {
    fn profiles(self) -> Profiles {
        let permission = if self.write { "write" } else { "read" };
        let written = |pattern: &str, consent: &str| {
            let mut written =
                json!({"pattern": pattern, "permissions": [permission], "description": "d"});
            if !consent.is_empty() {
                written["consent"] = consent.into();
            }
            if self.limited {
                written["payload"] = json!({"type": "number", "max": 1999});
            }
            written
        };
        let topics = match self.consent {
            "both" => vec![
                written("site/valve/set", "client"),
                written("site/+/set", "operator"),
            ],
            consent => vec![written("site/valve/set", consent)],
        };
        let level = json!({"pattern": "site/level", "permissions": ["read"]});
        let topics: Vec<_> = topics.into_iter().chain([level]).collect();
        let file = json!({"topics": topics, "operator": {"topic": "operator"}});
        Config::parse(&file.to_string()).unwrap().0.profiles
    }

    fn permits(self, payload: &str) -> bool {
        self.write && !(self.limited && payload.parse::<u64>().unwrap() >= 2000)
    }

    /// Whether nothing of what was asked about has changed. Where nobody is asked, limits may.
    fn asks_as(self, other: Rule) -> bool {
        self.consent == other.consent && (self.consent.is_empty() || self.limited == other.limited)
    }
}

impl Seen {
    /// Whether the condition was met after the consent, if it waits for one.
    fn has_fired(&self) -> bool {
        let last = self.said.iter().rposition(|it| *it == Said::Fired);
        let yes = |it: &Said| matches!(it, Said::ClientYes | Said::OperatorYes);
        let agreed = self.said.iter().position(yes);
        !self.is_reaction || last.is_some() && last > agreed
    }

    /// Whether its end came before it could send by `rule`. A departure ends what waits; a write that nobody is asked about
    /// waits for nothing.
    fn is_over(&self, rule: Rule) -> bool {
        let waits = self.is_reaction || !rule.consent.is_empty();
        self.ended == Some(true) && (waits || !self.has_left)
    }

    /// Whether all who have to agree by `rule` have agreed to this call, which may bring the answer to `question`.
    fn is_agreed(&self, question: &Seen, rule: Rule) -> bool {
        let of_client =
            |it: &&Said| matches!(it, Said::ClientYes | Said::ClientNo | Said::ClientCloses);
        let client = self.said.iter().find(of_client);
        let operator = |said: &[Said]| {
            let mut said = said.iter();
            let operator = |it: &&Said| matches!(it, Said::OperatorYes | Said::OperatorNo);
            said.find(operator).copied()
        };
        let is_asked = |it: &Rule| it.asks_as(rule);
        match rule.consent {
            "" => true,
            "operator" => operator(&self.said) == Some(Said::OperatorYes),
            // A client's answer is to the rule that it was asked about, and is used once.
            _ if question.sent || self.was_void => false,
            _ if !question.rules.iter().any(is_asked) => false,
            "client" => client == Some(&Said::ClientYes),
            "both" => {
                client == Some(&Said::ClientYes) && operator(&self.said) == Some(Said::OperatorYes)
            }
            _ if self.answers.is_some() => match (client, operator(&question.said)) {
                (Some(Said::ClientYes), _) => !self.was_denied,
                (Some(Said::ClientCloses), said) => said == Some(Said::OperatorYes),
                _ => false,
            },
            _ => {
                let mut said = self.said.iter();
                let first = said.find(|it| !matches!(it, Said::ClientCloses | Said::Fired));
                matches!(first, Some(Said::ClientYes | Said::OperatorYes))
            }
        }
    }
}

impl Judge {
    /// Shows what happens when one schedule is run alone.
    fn trace(&self, what: &dyn std::fmt::Debug) {
        if self.traces {
            println!("{what:?}");
        }
    }

    fn question<'a>(&'a self, call: &'a Seen) -> &'a Seen {
        call.answers.map_or(call, |id| &self.calls[&id])
    }

    fn all_had_their_turn(&mut self, now: Instant) {
        let rule = self.rule;
        let denied = self.calls.iter().filter(|(_, call)| {
            let mut said = call.said.iter();
            let operator = |it: &&Said| matches!(it, Said::OperatorYes | Said::OperatorNo);
            said.find(operator) == Some(&Said::OperatorNo)
        });
        let denied: Vec<u64> = denied.map(|(id, _)| *id).collect();
        let void = self.calls.iter().filter(|(_, call)| call.is_void);
        let void: Vec<u64> = void.map(|(id, _)| *id).collect();
        for call in self.calls.values_mut() {
            let question = call.answers.filter(|_| call.opened.is_none());
            call.was_denied |= question.is_some_and(|id| denied.contains(&id));
            call.was_void |= !call.may_have_begun && question.is_some_and(|id| void.contains(&id));
            call.opened.get_or_insert(now);
            if let Some(settled) = &mut call.ended {
                *settled = true;
            }
            // A question without a session lasts from one call to the next: it is judged where it is used.
            let same = call.rules.iter().any(|it| it.asks_as(rule));
            let forbidden = !rule.permits(&call.payload) || self.is_halted;
            call.withdrawn = match call.is_reaction && same && !forbidden {
                true => call.is_forbidden,
                false => call.withdrawn || forbidden || !same,
            };
            call.is_forbidden |= forbidden;
        }
    }

    /// A halt or a reload ends the questions of calls that have ended with them, for good.
    fn ends_questions(&mut self, world: &World) {
        for (id, call) in &mut self.calls {
            let may_write = !self.is_halted && self.rule.permits(&call.payload);
            let may_still = may_write && call.rules.iter().any(|it| it.asks_as(self.rule));
            call.is_void |= !may_still && world.outcome(*id) == "input_required";
        }
    }

    fn sent(&mut self, payload: &str) {
        self.trace(&("sent", payload));
        assert!(
            !self.is_halted,
            "{payload} was sent although writing is halted"
        );
        *self.sent.entry(payload.to_owned()).or_default() += 1;
        let may = |call: &Seen| {
            let question = self.question(call);
            call.payload == payload
                && !call.sent
                && !call.has_asked
                && !call.withdrawn
                && call.has_fired()
                && call
                    .rules
                    .iter()
                    .any(|rule| call.is_agreed(question, *rule) && !call.is_over(*rule))
        };
        let mut calls = self.calls.iter();
        let id = calls.find(|(_, call)| may(call)).map(|(id, _)| *id);
        let id = id.unwrap_or_else(|| panic!("{payload} was sent without permission or consent"));
        let call = &self.calls[&id];
        let question = self.question(call);
        let heard = [&call.said, &question.said];
        let by_operator = heard.iter().any(|said| said.contains(&Said::OperatorYes));
        // A call that needs no answer of its client may bring one all the same.
        let uses = call.rules.iter().any(|rule| uses_answer(*rule));
        let question = call.answers.filter(|_| uses);
        self.by_operator += usize::from(by_operator);
        for id in [Some(id), question].into_iter().flatten() {
            self.calls.get_mut(&id).unwrap().sent = true;
        }
    }
}

/// Whether a send by this rule uses up the answer of a client.
fn uses_answer(rule: Rule) -> bool {
    ["client", "either", "both"].contains(&rule.consent)
}

impl Schedule {
    fn new(seed: u64) -> Schedule {
        let mut rng = Rng::with_seed(seed);
        let rule = Rule {
            write: true,
            consent: CONSENTS[1 + rng.usize(..4)],
            limited: rng.u8(..4) == 0,
        };
        let prepared = Rule {
            consent: "operator",
            ..rule
        };
        // The test of the account is over before anybody is asked.
        let record = folder().join("audit.jsonl");
        let setting = Setting {
            record: Some(record_in(record.clone())),
            ..Setting::default()
        };
        let mut world = World::new(prepared.profiles(), setting);
        world.settle();
        world.pass(10_000);
        world.context.access.replace_profiles(rule.profiles());
        world.settle();
        Schedule {
            seen: world.to_operator.len(),
            world,
            judge: Judge {
                rule,
                is_halted: false,
                calls: BTreeMap::new(),
                sent: BTreeMap::new(),
                by_operator: 0,
                traces: std::env::var_os("MCPMQTT_TEST_SEED").is_some(),
            },
            rng,
            asked: Vec::new(),
            record,
        }
    }

    fn run(&mut self) {
        self.world.run();
        self.judge.trace(&"run");
        self.judge.all_had_their_turn(self.world.now);
    }

    fn driver_turn(&mut self) {
        let before = self.world.sent.len();
        for (id, call) in &mut self.judge.calls {
            call.has_asked |= self.world.outcome(*id) == "input_required";
        }
        self.world.driver_turn();
        for payload in &self.world.sent[before..] {
            self.judge.sent(payload);
            let recorded = self.recorded();
            let attempts = recorded.values().filter(|it| it.payload == *payload);
            let attempts = attempts.count();
            let sent = self.judge.sent[payload];
            assert!(
                attempts >= sent,
                "{payload} was sent before its attempt was recorded"
            );
        }
        for (level, number, content) in &self.world.to_operator[self.seen..] {
            if level != "ask" {
                continue;
            }
            // The client's name in the question says which call it is.
            let text = content["question"].as_str().unwrap();
            let name = text.rsplit("call-").next().unwrap();
            let id: u64 = name.split(' ').next().unwrap().parse().unwrap();
            self.judge.trace(&("asked", id));
            self.asked.push((number.clone(), id));
            let call = self.judge.calls.get_mut(&id).unwrap();
            call.operator_asked = Some(self.world.now);
        }
        self.seen = self.world.to_operator.len();
    }

    fn call(&mut self) {
        let rng = &mut self.rng;
        let is_reaction = rng.u8(..5) == 0;
        let payload = (rng.u64(..3) * 1000 + self.world.last_id + 1).to_string();
        let version = if rng.bool() { MODERN } else { LEGACY };
        let qos = u8::from(rng.bool());
        let able = match rng.u8(..8) {
            0 => json!({}),
            _ => json!({"elicitation": {}}),
        };
        let mut arguments = json!({"topic": "site/valve/set", "payload": payload, "qos": qos});
        if is_reaction {
            arguments["when"] =
                json!({"topic": "site/level", "op": ">", "value": 90, "timeout": 300});
        }
        let id = self.world.call_with(version, arguments, able, json!({}));
        self.judge.trace(&("call", id, version, &payload));
        self.began(id, payload, is_reaction, None);
    }

    fn began(&mut self, id: u64, payload: String, is_reaction: bool, answers: Option<u64>) {
        let seen = Seen {
            payload,
            rules: vec![self.judge.rule],
            answers,
            opened: None,
            operator_asked: None,
            said: Vec::new(),
            has_answered: false,
            ended: None,
            has_left: false,
            withdrawn: false,
            is_forbidden: false,
            was_denied: false,
            is_void: false,
            was_void: false,
            may_have_begun: false,
            is_reaction,
            has_asked: false,
            sent: false,
        };
        self.judge.calls.insert(id, seen);
    }

    /// A client answers what it was asked, mostly of late and sometimes again.
    fn client_answers(&mut self) {
        let ids = self.judge.calls.keys().copied();
        let asked: Vec<u64> = ids
            .filter(|id| self.world.elicited(*id).is_some())
            .collect();
        let recent = asked.len().saturating_sub(2);
        let from = if self.rng.bool() { recent } else { 0 };
        let Some(&id) = self.rng.choice(&asked[from..]) else {
            return;
        };
        let (said, answer) = match self.rng.u8(..8) {
            0 => (Said::ClientNo, no()),
            1 => {
                let disagrees = json!({"action": "accept", "content": {"agree": false}});
                (Said::ClientNo, disagrees)
            }
            2 => (Said::ClientCloses, json!({"action": "cancel"})),
            _ => (Said::ClientYes, yes()),
        };
        let now = self.world.now;
        let opened = self.judge.calls[&id].opened;
        let in_time = opened.is_none_or(|opened| now < opened + OPEN);
        self.judge.trace(&("client", id, said, in_time));
        let answered = self.world.client_says(id, answer);
        if answered == id {
            let call = self.judge.calls.get_mut(&id).unwrap();
            if in_time && !std::mem::replace(&mut call.has_answered, true) {
                call.said.push(said);
            }
            return;
        }
        let asked = &self.judge.calls[&id];
        let (payload, is_reaction) = (asked.payload.clone(), asked.is_reaction);
        self.began(answered, payload, is_reaction, Some(id));
        if in_time {
            let call = self.judge.calls.get_mut(&answered).unwrap();
            call.said.push(said);
        }
    }

    /// The operator answers: mostly what was asked of late, sometimes again, late or retained, or what nobody asked.
    fn operator_answers(&mut self) {
        let recent = self.asked.len().saturating_sub(2);
        let asked = match self.rng.u8(..10) {
            0 => None,
            1..=3 => self.rng.choice(&self.asked).cloned(),
            _ => self.rng.choice(&self.asked[recent..]).cloned(),
        };
        let invented = format!("{:032x}", self.rng.u128(..));
        let (number, id) = asked.unwrap_or((invented, 0));
        let retained = self.rng.u8(..8) == 0;
        let (said, words) = match self.rng.u8(..14) {
            0 => (None, "perhaps"),
            1 | 2 => (Some(Said::OperatorNo), "deny by Bob"),
            _ => (Some(Said::OperatorYes), "allow by Ana"),
        };
        self.judge.trace(&("operator", id, said, retained));
        let topic = format!("operator/answer/{number}");
        self.world.deliver(&topic, words, retained);
        let (Some(said), Some(call)) = (said, self.judge.calls.get_mut(&id)) else {
            return;
        };
        // The second question of two is put after the client's answer.
        let is_second = call.rules.iter().any(|rule| rule.consent == "both");
        let opened = match is_second {
            true => call.operator_asked,
            false => call.opened,
        };
        let in_time = opened.is_some_and(|opened| self.world.now < opened + OPEN);
        if !retained && in_time {
            call.said.push(said);
        }
    }

    /// The condition is met, on which reactions wait.
    fn fire(&mut self) {
        self.judge.trace(&"fire");
        self.world.driver.grant();
        self.run();
        self.world.deliver("site/level", "95", false);
        for call in self.judge.calls.values_mut() {
            call.said.push(Said::Fired);
        }
    }

    fn reload(&mut self) {
        let mut rule = self.judge.rule;
        match self.rng.u8(..4) {
            // Where nothing may be written, nothing else is of interest.
            _ if !rule.write => rule.write = self.rng.u8(..4) > 0,
            0 => rule.write = false,
            1 => rule.limited = !rule.limited,
            2 => rule.consent = CONSENTS[self.rng.usize(..CONSENTS.len())],
            _ => {}
        }
        self.judge.trace(&rule);
        self.world.context.access.replace_profiles(rule.profiles());
        self.judge.rule = rule;
        let calls = self.judge.calls.values_mut();
        for call in calls.filter(|call| call.opened.is_none()) {
            call.rules.push(rule);
        }
        self.judge.ends_questions(&self.world);
    }

    fn halt(&mut self) {
        self.judge.is_halted = !self.judge.is_halted;
        self.judge.trace(&("halt", self.judge.is_halted));
        match self.judge.is_halted {
            true => self.world.operator.halt(Source::Signal, None, "a test"),
            false => self.world.operator.lift(Source::Signal),
        }
        self.judge.ends_questions(&self.world);
    }

    fn end(&mut self) {
        let ids: Vec<u64> = self.judge.calls.keys().copied().collect();
        let Some(&id) = self.rng.choice(&ids) else {
            return;
        };
        let Some(call) = self.world.calls.get(&id) else {
            return;
        };
        let way = self.rng.u8(..4);
        self.judge.trace(&("end", id, way));
        match way {
            0 => call.session.end_calls(),
            1 => call.ender.give_up(),
            2 => {
                let text = json!({
                    "jsonrpc": "2.0", "method": "notifications/cancelled", "params": {"requestId": id},
                });
                let text = text.to_string();
                let received =
                    self.world
                        .engine
                        .receive(&call.session, text.as_bytes(), &call.sink);
                drop(received);
            }
            _ => {
                call.ender.client_left();
                // What was handed to the connection before is sent.
                if self.world.driver.has_messages() {
                    return;
                }
            }
        }
        let call = self.judge.calls.get_mut(&id).unwrap();
        let is_departure = way == 3;
        if call.ended.is_none() || call.has_left && !is_departure {
            call.ended = Some(false);
            call.has_left = is_departure;
        }
    }

    /// Time passes: some of it, to the next moment that somebody waits for, or to the end of a question.
    fn advance(&mut self) {
        let now = self.world.now;
        let chance = now + Duration::from_millis(self.rng.u64(1..40_000));
        let next = simulated::next().unwrap_or(chance);
        let ends = self.judge.calls.values();
        let ends = ends.filter_map(|call| Some(call.operator_asked.or(call.opened)? + OPEN));
        let ends: Vec<_> = ends.filter(|end| *end > now).collect();
        let end = self.rng.choice(&ends).copied().unwrap_or(chance);
        let ms = Duration::from_millis(1);
        let moments = [chance, chance, next, next - ms, end, end - ms, end + ms];
        let to = moments[self.rng.usize(..moments.len())];
        self.world.advance(to);
        self.judge.trace(&("later", self.world.now - now));
    }

    fn step(&mut self) {
        match self.rng.u8(..40) {
            0..=5 => self.call(),
            6..=12 => self.client_answers(),
            13..=23 if !self.asked.is_empty() => self.operator_answers(),
            13..=27 => self.driver_turn(),
            28 => {
                self.world.driver.acknowledge();
                self.world.driver.grant();
            }
            29..=31 => self.advance(),
            32 if self.judge.rule.write => self.reload(),
            36..=38 if !self.judge.rule.write => self.reload(),
            33 if self.rng.bool() => self.end(),
            33 if self.rng.u8(..4) == 0 => self.halt(),
            36..=38 if self.judge.is_halted => self.halt(),
            34 if self.rng.u8(..4) == 0 => {
                self.world.driver.disconnect(self.world.now);
                self.run();
                self.world.driver.connect();
                // Nothing is written before the halt topic is known to be silent.
                self.run();
                self.driver_turn();
                self.world.driver.grant();
            }
            35 => {
                self.world.executor.try_tick();
                for call in self.judge.calls.values_mut() {
                    call.may_have_begun = true;
                }
            }
            39 => self.fire(),
            _ => self.run(),
        }
        if self.rng.u8(..4) > 0 {
            self.run();
            if self.rng.bool() {
                self.driver_turn();
            }
        }
    }

    /// The attempts in the record, by the call.
    fn recorded(&self) -> BTreeMap<u64, Recorded> {
        let text = std::fs::read_to_string(&self.record).unwrap();
        let lines = text.lines().map(|line| serde_json::from_str(line).unwrap());
        let (mut recorded, mut calls) = (BTreeMap::new(), BTreeMap::new());
        for line in lines {
            let line: Value = line;
            let id = line["id"].as_str().unwrap_or_default().to_owned();
            match line["event"].as_str().unwrap() {
                "attempt" => {
                    let name = line["client"]["name"].as_str().unwrap();
                    let call: u64 = name.strip_prefix("call-").unwrap().parse().unwrap();
                    let attempt = Recorded {
                        payload: line["payload"].as_str().unwrap().to_owned(),
                        is_agreed: line["consent"]["allowed"] == true,
                        outcome: None,
                    };
                    assert!(calls.insert(id, call).is_none(), "{line}");
                    assert!(recorded.insert(call, attempt).is_none(), "{line}");
                }
                "outcome" => {
                    let attempt = recorded.get_mut(&calls[&id]).unwrap();
                    let outcome = line["outcome"].as_str().unwrap().to_owned();
                    assert!(attempt.outcome.replace(outcome).is_none(), "{line}");
                }
                _ => {}
            }
        }
        recorded
    }

    /// Every attempt in the record has an outcome, and it is what its call answered.
    fn check_record(&self) {
        let recorded = self.recorded();
        for (id, call) in &self.judge.calls {
            let answer = self.world.outcome(*id);
            let Some(attempt) = recorded.get(id) else {
                assert!(
                    !["sent", "delivered"].contains(&answer.as_str()),
                    "call {id} left no line"
                );
                continue;
            };
            assert_eq!(attempt.payload, call.payload);
            let outcome = attempt
                .outcome
                .as_deref()
                .expect("every attempt has an outcome");
            if ["sent", "delivered"].contains(&outcome)
                && !call.rules.iter().any(|rule| rule.consent.is_empty())
            {
                assert!(
                    attempt.is_agreed,
                    "the record does not say who agreed to call {id}"
                );
            }
            match answer.as_str() {
                "sent" | "delivered" | "not_sent" => assert_eq!(outcome, answer, "call {id}"),
                "cancelled" => {}
                _ if answer.contains("may have reached") => {
                    assert_eq!(outcome, "unknown", "call {id}");
                }
                _ => assert!(
                    !["sent", "delivered"].contains(&outcome),
                    "call {id}: {outcome}: {answer}"
                ),
            }
        }
    }

    /// Lets all time pass, and compares what the calls answered with what was sent.
    fn finish(mut self) -> Judge {
        for _ in 0..200 {
            self.run();
            self.driver_turn();
            self.world.driver.grant();
            self.world.driver.acknowledge();
            self.run();
            if let Some(next) = simulated::next() {
                self.world.advance(next);
            }
        }
        self.driver_turn();
        self.check_record();
        let (mut told, mut unknown) = (BTreeMap::new(), BTreeMap::new());
        for (id, call) in &self.judge.calls {
            let outcome = self.world.outcome(*id);
            self.judge.trace(&(id, &outcome));
            assert_ne!(outcome, "pending", "call {id} has no end");
            let counts = match outcome.as_str() {
                "sent" | "delivered" => &mut told,
                "not_sent" => continue,
                _ if outcome.contains("may have reached") => &mut unknown,
                _ if outcome.to_lowercase().contains("nothing was sent") => continue,
                _ if outcome.contains("did not reach") || outcome == "input_required" => continue,
                _ if outcome.contains("is not writable") => continue,
                _ => &mut unknown,
            };
            *counts.entry(call.payload.clone()).or_insert(0) += 1;
        }
        let payloads = self.judge.calls.values().map(|call| &call.payload);
        for payload in payloads {
            let of = |counts: &BTreeMap<String, usize>| counts.get(payload).copied().unwrap_or(0);
            let (sent, told, unknown) = (of(&self.judge.sent), of(&told), of(&unknown));
            assert!(
                told <= sent && sent <= told + unknown,
                "{payload}: {sent} sent, {told} told, {unknown} unknown"
            );
        }
        self.judge
    }
}

/// One schedule: how many messages were sent, and how many of them with an operator's consent.
fn run(seed: u64) -> (usize, usize) {
    let mut schedule = Schedule::new(seed);
    schedule.judge.trace(&schedule.judge.rule);
    for _ in 0..schedule.rng.usize(20..90) {
        schedule.step();
    }
    let judge = schedule.finish();
    (judge.sent.values().sum(), judge.by_operator)
}

#[test]
fn nothing_is_sent_without_the_consent_of_that_moment_and_no_consent_is_used_twice() {
    if let Ok(seed) = std::env::var("MCPMQTT_TEST_SEED") {
        println!("{:?}", run(seed.parse().unwrap()));
        return;
    }
    let full = std::env::var_os("MCPMQTT_TEST_FULL").is_some();
    let schedules = if full { 30_000 } else { 1_000 };
    let (mut sending, mut with_operator) = (0, 0);
    for seed in 0..schedules {
        let ended = std::panic::catch_unwind(|| run(seed));
        let (sent, by_operator) = ended.unwrap_or_else(|_| panic!("MCPMQTT_TEST_SEED={seed}"));
        sending += u64::from(sent > 0);
        with_operator += u64::from(by_operator > 0);
    }
    println!(
        "{sending} sent something, {with_operator} with an operator's consent, of {schedules}"
    );
    assert!(sending * 5 > schedules * 2, "{sending} of {schedules}");
    assert!(
        with_operator > schedules / 4,
        "{with_operator} of {schedules}"
    );
}
