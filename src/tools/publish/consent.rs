//! Consent under simulated time: the words of each outcome, and every order of events.

mod dry_run;
mod races;
mod words;

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::rc::Rc;
use std::sync::Arc;
use std::time::{Duration, Instant};

use mcpmqtt_config::{Audit, Config, Operator as Settings, OperatorTopic, Profiles};
use mcpmqtt_protocol::QoS;
use mcpmqtt_protocol::message::Message;
use mcpmqtt_protocol::topic::TopicName;
use serde_json::{Value, json};
use smol::LocalExecutor;

use crate::local::time::simulated;
use crate::mcp::{ClientSink, Ender, Engine, Received, Session};
use crate::metrics::Metrics;
use crate::mqtt::simulated::SimulatedDriver;
use crate::operator::{Kept, Operator, Secret};
use crate::tools::publish::simulation::started;
use crate::tools::{BrokerInfo, Context, ToolLimits, catalog, server_info};

/// An agent with a person beside it, an operator, and a broker that does what the test says.
struct World {
    executor: Rc<LocalExecutor<'static>>,
    operator: Operator,
    context: Rc<Context>,
    engine: Engine,
    driver: SimulatedDriver,
    answers: Rc<RefCell<BTreeMap<u64, Option<Value>>>>,
    calls: BTreeMap<u64, Call>,
    last_id: u64,
    now: Instant,
    /// The payloads that went out to other topics than the operator's.
    sent: Vec<String>,
    /// What went out to the operator: the first level, the number, and the content.
    to_operator: Vec<(String, String, Value)>,
    /// The broker lets this program's account write answers.
    own_account_answers: bool,
}

/// One call, in a session of its own.
struct Call {
    session: Rc<Session>,
    sink: ClientSink,
    /// What the server sends to the client beside the answer.
    told: Rc<RefCell<Vec<Value>>>,
    ender: Ender,
    arguments: Value,
    version: &'static str,
}

/// How the world differs from the usual one.
#[derive(Default)]
struct Setting {
    secret: Option<&'static str>,
    unprotected: bool,
    without_operator: bool,
    /// Where every attempt is recorded.
    record: Option<Audit>,
}

const MODERN: &str = "2026-07-28";
const LEGACY: &str = "2025-11-25";

/// A file in which `site/valve/set` needs this consent, with `more` in its entry.
fn profiles(consent: &str, more: &Value) -> Profiles {
    let mut written =
        json!({"pattern": "site/valve/set", "permissions": ["write"], "description": "d"});
    if !consent.is_empty() {
        written["consent"] = consent.into();
    }
    for (name, value) in more.as_object().unwrap() {
        written[name] = value.clone();
    }
    let readable = json!({"pattern": "site/#", "permissions": ["read"]});
    let config = json!({"topics": [written, readable], "operator": {"topic": "operator"}});
    Config::parse(&config.to_string()).unwrap().0.profiles
}

impl World {
    fn new(profiles: Profiles, setting: Setting) -> World {
        let now = Instant::now();
        simulated::set(now);
        let (client, driver) = SimulatedDriver::pair();
        driver.connect();
        let executor = Rc::new(LocalExecutor::new());
        let settings = Settings {
            topic: (!setting.without_operator).then(|| OperatorTopic::parse("operator").unwrap()),
            unprotected: setting.unprotected,
            ..Settings::default()
        };
        let secret = setting
            .secret
            .map(|text| Secret::of_file(text.as_bytes()).unwrap());
        let operator = Operator::new(client.clone(), settings, secret, Kept::default(), &executor);
        let (limits, metrics) = (ToolLimits::default(), Metrics::default());
        let record = setting.record.map(|it| started(it, &metrics, &executor));
        let context = Context::new(
            client,
            profiles,
            limits,
            &metrics,
            operator.clone(),
            record,
            &executor,
        );
        let broker = BrokerInfo {
            host: "simulated".into(),
            port: 1,
            requires_auth: false,
        };
        let engine = Engine::new(catalog(&context, broker), server_info(&context)).unwrap();
        World {
            executor,
            operator,
            context,
            engine,
            driver,
            answers: Rc::default(),
            calls: BTreeMap::new(),
            last_id: 0,
            now,
            sent: Vec::new(),
            to_operator: Vec::new(),
            own_account_answers: false,
        }
    }

    /// A world in which this consent is needed, and whatever can be prepared is.
    fn with_consent(consent: &str) -> World {
        let mut world = World::new(profiles(consent, &json!({})), Setting::default());
        world.settle();
        world.pass(10_000);
        world.to_operator.clear();
        world
    }

    /// Calls `mqtt_publish` in a session of its own, and gives nobody a turn.
    fn call(&mut self, version: &'static str, arguments: Value) -> u64 {
        self.call_with(version, arguments, json!({"elicitation": {}}), json!({}))
    }

    fn call_with(
        &mut self,
        version: &'static str,
        arguments: Value,
        able: Value,
        more: Value,
    ) -> u64 {
        self.last_id += 1;
        let id = self.last_id;
        let told: Rc<RefCell<Vec<Value>>> = Rc::default();
        let telling = Rc::clone(&told);
        let sink = ClientSink::new(move |text| {
            telling
                .borrow_mut()
                .push(serde_json::from_slice(&text).unwrap());
            true
        });
        let session = Session::new();
        let client = json!({"name": format!("call-{id}"), "version": "1"});
        let mut params = json!({"name": "mqtt_publish", "arguments": arguments});
        if version == MODERN {
            params["_meta"] = json!({
                "io.modelcontextprotocol/protocolVersion": MODERN,
                "io.modelcontextprotocol/clientCapabilities": able,
                "io.modelcontextprotocol/clientInfo": client,
            });
        } else {
            let hello = json!({"jsonrpc": "2.0", "id": 0, "method": "initialize", "params": {
                "protocolVersion": version, "capabilities": able, "clientInfo": client,
            }});
            drop(
                self.engine
                    .receive(&session, hello.to_string().as_bytes(), &sink),
            );
        }
        for (name, value) in more.as_object().unwrap() {
            params[name] = value.clone();
        }
        let call = json!({"jsonrpc": "2.0", "id": id, "method": "tools/call", "params": params});
        let received = self
            .engine
            .receive(&session, call.to_string().as_bytes(), &sink);
        let call = match received {
            Received::Call(call) => call,
            Received::Answer(reply) => {
                let reply = serde_json::from_slice(&reply.text).unwrap();
                self.answers.borrow_mut().insert(id, Some(reply));
                return id;
            }
            Received::Nothing => panic!("a call without an answer"),
        };
        let ender = call.ender();
        let answers = Rc::clone(&self.answers);
        let work = async move {
            let reply = call.run().await;
            let reply = reply.map(|reply| serde_json::from_slice(&reply.text).unwrap());
            answers.borrow_mut().insert(id, reply);
        };
        self.executor.spawn(work).detach();
        let call = Call {
            session,
            sink,
            told,
            ender,
            arguments,
            version,
        };
        self.calls.insert(id, call);
        id
    }

    /// Gives all tasks their turn, and none to the driver.
    fn run(&mut self) {
        while self.executor.try_tick() {}
    }

    fn driver_turn(&mut self) {
        for message in self.driver.turn() {
            let text = String::from_utf8(message.payload.to_vec()).unwrap();
            let Some(levels) = message.topic.as_str().strip_prefix("operator/") else {
                self.sent.push(text);
                continue;
            };
            assert!(!message.retain, "{levels}");
            let (level, number) = levels.split_once('/').unwrap();
            let (level, number) = match number.strip_suffix("/closed") {
                Some(number) => ("closed", number),
                None => (level, number),
            };
            if level == "answer" && self.own_account_answers {
                self.driver.deliver(self.now, &message);
            }
            let content = serde_json::from_str(&text).unwrap_or(Value::Null);
            self.to_operator
                .push((level.into(), number.into(), content));
        }
    }

    /// Everybody does what there is to do, without that time passes.
    fn settle(&mut self) {
        for _ in 0..6 {
            self.run();
            self.driver_turn();
            self.driver.grant();
            self.driver.acknowledge();
        }
        self.run();
    }

    fn advance(&mut self, to: Instant) {
        self.now = self.now.max(to);
        simulated::set(self.now);
    }

    fn pass(&mut self, ms: u64) {
        let end = self.now + Duration::from_millis(ms);
        while let Some(next) = simulated::next().filter(|next| *next < end) {
            self.advance(next);
            self.settle();
        }
        self.advance(end);
        self.settle();
    }

    /// A message arrives.
    fn deliver(&mut self, topic: &str, payload: &str, retain: bool) {
        let message = Message {
            topic: TopicName::parse(topic).unwrap(),
            payload: Arc::from(payload.as_bytes()),
            qos: QoS::AtLeastOnce,
            retain,
        };
        self.driver.deliver(self.now, &message);
    }

    /// The operator answers a question.
    fn operator_says(&mut self, number: &str, answer: &str) {
        self.deliver(&format!("operator/answer/{number}"), answer, false);
        self.settle();
    }

    /// The questions that the operator was asked, with what became of them.
    fn asked(&self) -> Vec<String> {
        let asked = self.to_operator.iter().filter(|(level, ..)| level == "ask");
        asked.map(|(_, number, _)| number.clone()).collect()
    }

    fn closed(&self, number: &str) -> Option<Value> {
        let mut all = self.to_operator.iter();
        let closed = all.find(|(level, own, _)| level == "closed" && own == number);
        closed.map(|(.., content)| content.clone())
    }

    /// The questions that the client of a call was asked: in sessions the request, else the key and the question.
    fn elicited(&self, id: u64) -> Option<(Value, Value)> {
        let call = self.calls.get(&id)?;
        if call.version == MODERN {
            let answers = self.answers.borrow();
            let result = &answers.get(&id)?.as_ref()?["result"];
            let (key, question) = result["inputRequests"].as_object()?.iter().next()?;
            return Some((key.as_str().into(), question["params"].clone()));
        }
        let told = call.told.borrow();
        let asked = told
            .iter()
            .find(|it| it["method"] == "elicitation/create")?;
        Some((asked["id"].clone(), asked["params"].clone()))
    }

    /// The client answers what it was asked in a call; the call that has the result then.
    fn client_says(&mut self, id: u64, answer: Value) -> u64 {
        let (key, _) = self.elicited(id).expect("the client is asked");
        let call = &self.calls[&id];
        if call.version == MODERN {
            let state =
                self.answers.borrow()[&id].as_ref().unwrap()["result"]["requestState"].clone();
            let more =
                json!({"inputResponses": {key.as_str().unwrap(): answer}, "requestState": state});
            let arguments = call.arguments.clone();
            return self.call_with(MODERN, arguments, json!({"elicitation": {}}), more);
        }
        let response = json!({"jsonrpc": "2.0", "id": key, "result": answer});
        let text = response.to_string();
        drop(
            self.engine
                .receive(&call.session, text.as_bytes(), &call.sink),
        );
        id
    }

    /// The outcome of a call, or the error.
    fn outcome(&self, id: u64) -> String {
        let answers = self.answers.borrow();
        let Some(answer) = answers.get(&id) else {
            return "pending".into();
        };
        let Some(answer) = answer else {
            return "cancelled".into();
        };
        let result = &answer["result"];
        let text = result["structuredContent"]["outcome"]
            .as_str()
            .or(result["content"][0]["text"].as_str())
            .or(result["resultType"].as_str());
        let text = text.map_or_else(|| answer.to_string(), str::to_owned);
        // The versions without structured results have it as text.
        let written: Option<Value> = serde_json::from_str(&text).ok();
        let outcome = written.as_ref().and_then(|it| it["outcome"].as_str());
        outcome.map_or(text.clone(), str::to_owned)
    }
}

fn yes() -> Value {
    json!({"action": "accept", "content": {"agree": true}})
}

fn no() -> Value {
    json!({"action": "decline"})
}

fn open() -> Value {
    json!({"topic": "site/valve/set", "payload": "open"})
}
