//! The operator's rules on writes under simulated time: exact words at each edge, and every order of events.

mod races;
mod words;

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::rc::Rc;
use std::sync::Arc;
use std::time::{Duration, Instant};

use mcpmqtt_config::{Config, Profiles};
use mcpmqtt_protocol::QoS;
use mcpmqtt_protocol::message::Message;
use mcpmqtt_protocol::topic::TopicName;
use serde_json::{Value, json};
use smol::LocalExecutor;

use crate::local::time::simulated;
use crate::mcp::{ClientSink, Engine, Received, Session};
use crate::metrics::Metrics;
use crate::mqtt::simulated::SimulatedDriver;
use crate::operator::Operator;
use crate::tools::{BrokerInfo, Context, ToolLimits, catalog, server_info};

/// An agent, and a broker that does what the test says.
struct World {
    executor: Rc<LocalExecutor<'static>>,
    context: Rc<Context>,
    engine: Engine,
    session: Rc<Session>,
    sink: ClientSink,
    driver: SimulatedDriver,
    answers: Rc<RefCell<BTreeMap<u64, Value>>>,
    last_id: u64,
    now: Instant,
    /// The payloads that went out to the written topic.
    sent: Vec<String>,
}

/// The policy with this rule on writes; the states may be read.
fn profiles(write: &Value) -> Profiles {
    let mut written =
        json!({"pattern": "site/+/cmd", "permissions": ["write"], "description": "d"});
    if !write.is_null() {
        written["write"] = write.clone();
    }
    let readable = json!({"pattern": "site/+/+", "permissions": ["read"]});
    let config = json!({"topics": [written, readable]});
    Config::parse(&config.to_string()).unwrap().0.profiles
}

impl World {
    /// A world with a connection.
    fn new(profiles: Profiles) -> World {
        let now = Instant::now();
        simulated::set(now);
        let (client, driver) = SimulatedDriver::pair();
        driver.connect();
        let executor = Rc::new(LocalExecutor::new());
        let limits = ToolLimits::default();
        let operator = Operator::none(client.clone(), &executor);
        let metrics = Metrics::default();
        let context = Context::new(
            client, profiles, limits, &metrics, operator, None, &executor,
        );
        let broker = BrokerInfo {
            host: "simulated".into(),
            port: 1,
            requires_auth: false,
        };
        let engine = Engine::new(catalog(&context, broker), server_info(&context)).unwrap();
        World {
            executor,
            context,
            engine,
            session: Session::new(),
            sink: ClientSink::new(|_| true),
            driver,
            answers: Rc::default(),
            last_id: 0,
            now,
            sent: Vec::new(),
        }
    }

    /// Calls `mqtt_publish`, and gives nobody a turn. Returns the number of the call.
    fn call(&mut self, arguments: Value) -> u64 {
        self.last_id += 1;
        let id = self.last_id;
        let call = json!({"jsonrpc": "2.0", "id": id, "method": "tools/call", "params": {
            "name": "mqtt_publish", "arguments": arguments,
            "_meta": {
                "io.modelcontextprotocol/protocolVersion": "2026-07-28",
                "io.modelcontextprotocol/clientCapabilities": {},
            },
        }});
        let bytes = call.to_string();
        let received = self
            .engine
            .receive(&self.session, bytes.as_bytes(), &self.sink);
        let Received::Call(call) = received else {
            panic!("the call was not accepted");
        };
        let answers = Rc::clone(&self.answers);
        let work = async move {
            if let Some(reply) = call.run().await {
                let reply = serde_json::from_slice(&reply.text).unwrap();
                answers.borrow_mut().insert(id, reply);
            }
        };
        self.executor.spawn(work).detach();
        id
    }

    /// Gives all tasks their turn, and none to the driver.
    fn run(&mut self) {
        while self.executor.try_tick() {}
    }

    fn driver_turn(&mut self) {
        for message in self.driver.turn() {
            self.sent
                .push(String::from_utf8(message.payload.to_vec()).unwrap());
        }
    }

    /// Everybody does what there is to do, without that time passes.
    fn settle(&mut self) {
        for _ in 0..5 {
            self.run();
            self.driver_turn();
            self.driver.grant();
            self.driver.acknowledge();
        }
        self.run();
    }

    fn pass(&mut self, ms: u64) {
        let end = self.now + Duration::from_millis(ms);
        while let Some(next) = simulated::next().filter(|next| *next < end) {
            self.now = next.max(self.now);
            simulated::set(self.now);
            self.settle();
        }
        self.now = end;
        simulated::set(end);
        self.settle();
    }

    fn deliver(&mut self, topic: &str, payload: &str, retain: bool) {
        let message = Message {
            topic: TopicName::parse(topic).unwrap(),
            payload: Arc::from(payload.as_bytes()),
            qos: QoS::AtMostOnce,
            retain,
        };
        self.driver.deliver(self.now, &message);
    }

    fn live(&mut self, topic: &str, payload: &str) {
        self.deliver(topic, payload, false);
        self.settle();
    }

    fn retained(&mut self, topic: &str, payload: &str) {
        self.deliver(topic, payload, true);
        self.settle();
    }

    /// Publishes to `site/m1/cmd`; what came of it.
    fn publish(&mut self, payload: &str) -> String {
        let id = self.call(json!({"topic": "site/m1/cmd", "payload": payload}));
        self.settle();
        self.outcome(id)
    }

    /// The outcome of a call, or the error.
    fn outcome(&self, id: u64) -> String {
        let answers = self.answers.borrow();
        let Some(answer) = answers.get(&id) else {
            return "pending".into();
        };
        let result = &answer["result"];
        let text = match result["structuredContent"]["outcome"].as_str() {
            Some(outcome) => outcome,
            None => result["content"][0]["text"].as_str().unwrap(),
        };
        text.into()
    }

    fn result(&self, id: u64) -> Value {
        self.answers.borrow()[&id]["result"]["structuredContent"].clone()
    }
}
