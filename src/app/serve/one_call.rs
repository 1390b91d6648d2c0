//! One call of a tool within this process.

use std::rc::Rc;

use mcpmqtt_config::Config;
use smol::LocalExecutor;
use smol::future::FutureExt as _;

use super::{App, Front};
use crate::app::execute::execute;
use crate::app::startup::Loaded;
use crate::mcp::{ClientSink, Places, Received, Session};

/// Connects to the broker, hands in one JSON-RPC message and returns the answer to it. The connection is another than
/// that of a server with the same configuration, which it must not throw out: it has a client id, a session and a life
/// of its own.
///
/// # Errors
/// The reason why the program could not start.
pub fn call_once(loaded: Loaded, message: &[u8]) -> Result<Vec<u8>, String> {
    let Loaded {
        mut config, origin, ..
    } = loaded;
    as_visitor(&mut config);
    let executor = Rc::new(LocalExecutor::new());
    let calling = async {
        let front = Front {
            transport: "call",
            places: Places::alone,
            origin: &origin,
        };
        let app = App::open(&mut config, &executor, &front)?;
        let answer = match app
            .engine
            .receive(&Session::new(), message, &ClientSink::closed())
        {
            Received::Nothing => None,
            Received::Answer(reply) => Some(reply.text),
            Received::Call(call) => call.run().await.map(|reply| reply.text),
        };
        app.close().await;
        answer.ok_or_else(|| "the call has no answer".to_owned())
    };
    execute(&executor, calling.boxed_local())
}

/// Changes the configuration into that of a second connection beside a running server's.
pub fn as_visitor(config: &mut Config) {
    config.mqtt.client_id = None;
    config.mqtt.clean_session = true;
    config.mqtt.will = None;
    config.mqtt.birth = None;
}
