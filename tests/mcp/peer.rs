//! A client that talks to an engine without a transport.

use std::cell::RefCell;
use std::rc::Rc;

use mcpmqtt::mcp::{Engine, Outlet, Received, Reply, Session};
use serde_json::{Value, json};
use smol::future::block_on;

use crate::common::engine::engine_with;
use crate::common::messages::{initialize, request};

/// One client of an engine, without a transport.
pub struct Peer {
    pub engine: Engine,
    pub session: Rc<Session>,
    /// The tool `wait` has an end of it.
    pub _gate: async_channel::Sender<()>,
    pub outlet: Outlet,
    pub notes: Rc<RefCell<Vec<Value>>>,
}

impl Peer {
    /// A client that has said nothing yet.
    pub fn new() -> Peer {
        Peer::of(engine_with(|_| {}))
    }

    /// A client of this engine that has said nothing yet.
    pub fn of((engine, gate): (Engine, async_channel::Sender<()>)) -> Peer {
        let notes = Rc::<RefCell<Vec<Value>>>::default();
        let sink = notes.clone();
        let outlet = Outlet::new(move |text| {
            is_one_line(&text);
            sink.borrow_mut()
                .push(serde_json::from_slice(&text).unwrap());
            true
        });
        Peer {
            engine,
            session: Session::new(),
            _gate: gate,
            outlet,
            notes,
        }
    }

    /// A client that has initialized with this version.
    pub fn legacy(version: &str) -> Peer {
        let peer = Peer::new();
        peer.shake_hands(version, json!({}));
        peer
    }

    /// Initializes with this version and these capabilities.
    pub fn shake_hands(&self, version: &str, capabilities: Value) -> Value {
        let mut params = initialize(version);
        params["capabilities"] = capabilities;
        let answer = self.ask(&request(0, "initialize", params));
        assert_eq!(answer["result"]["protocolVersion"], version);
        answer["result"].clone()
    }

    /// What it was told since it was last asked for.
    pub fn heard(&self) -> Vec<Value> {
        self.notes.take()
    }

    /// What the engine makes of these bytes.
    pub fn receive(&self, bytes: &[u8]) -> Received {
        self.engine.receive(&self.session, bytes, &self.outlet)
    }

    /// The answer to these bytes, the call run to its end.
    pub fn answer(&self, bytes: &[u8]) -> Option<Value> {
        let reply: Option<Reply> = match self.receive(bytes) {
            Received::Nothing => None,
            Received::Answer(reply) => Some(reply),
            Received::Call(call) => block_on(call.run()),
        };
        reply.map(|reply| {
            is_one_line(&reply.text);
            serde_json::from_slice(&reply.text).unwrap()
        })
    }

    /// The answer to a request that must have one.
    pub fn ask(&self, request: &Value) -> Value {
        let answer = self.answer(request.to_string().as_bytes());
        answer.unwrap_or_else(|| panic!("no answer to {request}"))
    }
}

/// For every reader, also for those that take more than a newline for the end of one.
fn is_one_line(message: &[u8]) {
    let text = std::str::from_utf8(message).unwrap();
    let ends = ['\n', '\u{85}', '\u{2028}', '\u{2029}'];
    assert!(!text.contains(ends), "one line: {text:?}");
}
