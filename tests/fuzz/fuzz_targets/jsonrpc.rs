//! Any bytes as a message to the server of both eras: whatever comes back is one line of JSON-RPC.
//!
//! Input: messages, one a line.
#![no_main]

use std::cell::RefCell;
use std::rc::Rc;
use std::task::{Context, Poll, Waker};

use libfuzzer_sys::fuzz_target;
use mcpmqtt::mcp::{ClientSink, Engine, Received, Session};
use mcpmqtt::mqtt::Target;
use mcpmqtt::mqtt::{self, InboxLimits};
use mcpmqtt::operator::Operator;
use mcpmqtt::protocol::client::Options;
use mcpmqtt::tools::{self, BrokerInfo, Context as Tools, ToolLimits};
use mcpmqtt_config::Config;
use serde_json::Value;

fuzz_target!(|input: &[u8]| {
    let executor = Rc::new(smol::LocalExecutor::new());
    let profiles = Config::without_file().profiles;
    // The driver is never polled: what is asked of the broker stays unanswered.
    let target = Target::new("127.0.0.1", 1);
    let (broker, _driver) = mqtt::connect(Options::new("fuzz"), target, InboxLimits::default(), 1);
    let info = BrokerInfo {
        host: "localhost".into(),
        port: 1883,
        requires_auth: false,
    };
    let metrics = mcpmqtt::metrics::Metrics::default();
    let limits = ToolLimits::default();
    let operator = Operator::none(broker.clone(), &executor);
    let tools = Tools::new(
        broker, profiles, limits, &metrics, operator, None, &executor,
    );
    let engine = Engine::new(tools::catalog(&tools, info), tools::server_info(&tools)).unwrap();
    let session = Rc::new(Session::default());
    let told = Rc::new(RefCell::new(Vec::new()));
    let outlet = {
        let told = Rc::clone(&told);
        ClientSink::shared(move |text| {
            told.borrow_mut().push(text);
            true
        })
    };
    let mut running = Vec::new();
    for line in input.split(|byte| *byte == b'\n').take(20) {
        match engine.receive(&session, line, &outlet) {
            Received::Nothing => {}
            Received::Answer(reply) => check(&reply.text),
            Received::Call(call) => running.push(Box::pin(call.run())),
        }
        let mut cx = Context::from_waker(Waker::noop());
        running.retain_mut(|call| match call.as_mut().poll(&mut cx) {
            Poll::Ready(reply) => {
                reply.iter().for_each(|reply| check(&reply.text));
                false
            }
            Poll::Pending => true,
        });
        told.take().iter().for_each(|text| check(text));
    }
});

fn check(text: &[u8]) {
    assert!(!text.contains(&b'\n'));
    let value: Value = serde_json::from_slice(text).expect("JSON");
    let parts = match &value {
        Value::Array(parts) => parts.as_slice(),
        one => std::slice::from_ref(one),
    };
    assert!(!parts.is_empty());
    for part in parts {
        assert_eq!(part["jsonrpc"], "2.0");
        assert!(
            part.get("method").is_some()
                || part.get("result").is_some() != part.get("error").is_some()
        );
    }
}
