//! Multi round-trip requests (MCP 2026-07-28 basic/utilities/mrtr): what the client sends with each round trip of a
//! call whose handler asks it, and how the round trip ends.
//!
//! Promises: a handler that asks is dropped, and the call is answered with its questions; the answers of earlier round
//! trips come back only in a `requestState` that this process signed.
//! Does not: apply to versions with a handshake, where a handler waits for the answer.

use std::future::Future;

use async_channel::Receiver;
use serde_json::{Map, Value};
use smol::future;

use super::admission::AdmittedRequest;
use super::methods::Methods;
use super::request_state::Binding;
use crate::mcp::client::peer::{InputRequest, InputRounds};
use crate::mcp::jsonrpc::message::{
    INVALID_PARAMS, Id, MISSING_CLIENT_CAPABILITY, Params, RpcError,
};

/// The start of a round trip.
pub(in crate::mcp) struct Round {
    /// The earlier answers, for the handler's view of the client.
    pub(in crate::mcp) client: Option<InputRounds>,
    /// The engine's part of the round trip.
    pub(in crate::mcp) rest: Rest,
}

/// The engine's part of a round trip; empty in versions with a handshake, and where no handler asks.
pub(in crate::mcp) struct Rest(Option<(Receiver<InputRequest>, Binding)>);

impl Round {
    /// Takes the members of the round trip out of the parameters; the rest is the request itself.
    ///
    /// # Errors
    /// -32602 when one of these members is invalid.
    pub(in crate::mcp) fn take(
        methods: &Methods,
        request: &AdmittedRequest<'_>,
        method: &str,
        params: &mut Params,
    ) -> Result<Round, RpcError> {
        let has_share = params.contains_key(RESPONSES) || params.contains_key(STATE);
        if !request.version.shape().stateless || !(methods.catalog.asks.get() || has_share) {
            return Ok(Round {
                client: None,
                rest: Rest(None),
            });
        }
        let given = match params.remove(RESPONSES) {
            None => Map::new(),
            Some(Value::Object(given)) if count(&given) > MAX_GIVEN => {
                let text = format!("`params.inputResponses` has more than {MAX_GIVEN} values");
                return Err(wrong(&text));
            }
            Some(Value::Object(given)) => given,
            Some(_) => return Err(wrong("`params.inputResponses` must be an object")),
        };
        let state = params.remove(STATE);
        let purpose = Binding::new(request.session.principal(), method, params);
        let settled = match state {
            None => Map::new(),
            Some(Value::String(state)) => methods.request_state.open(&purpose, &state)?,
            Some(_) => return Err(wrong("`params.requestState` must be a string")),
        };
        let (client, demands) = InputRounds::new(settled, given);
        Ok(Round {
            client: Some(client),
            rest: Rest(Some((demands, purpose))),
        })
    }
}

impl Rest {
    /// Runs a handler until it returns or asks.
    pub(in crate::mcp) async fn run<T>(
        &self,
        handler: impl Future<Output = T>,
    ) -> Result<T, InputRequest> {
        let Some((demands, _)) = &self.0 else {
            return Ok(handler.await);
        };
        let asked = async {
            match demands.recv().await {
                Ok(demand) => Err(demand),
                // The handler has dropped its client, so it cannot ask any more.
                Err(_) => future::pending().await,
            }
        };
        future::or(asked, async { Ok(handler.await) }).await
    }
}

impl Methods {
    /// The response of a round trip whose handler asked.
    ///
    /// # Errors
    /// -32021 when the client did not declare the capability to answer.
    pub(in crate::mcp) fn demand(
        &self,
        id: &Id,
        rest: Rest,
        demand: InputRequest,
    ) -> Result<Vec<u8>, RpcError> {
        match (demand, rest.0) {
            (InputRequest::Input(questions, settled), Some((_, purpose))) => {
                let state = self.request_state.close(&purpose, &settled)?;
                Ok(self.results.input_required(id, questions, &state))
            }
            (InputRequest::Input(..), None) => Err(wrong("this version has no rounds")),
            (InputRequest::Capability(missing), _) => {
                let names: Vec<_> = missing.iter().map(|kind| kind.capability()).collect();
                let needed = missing.iter().map(|kind| {
                    let none = Value::Object(Map::new());
                    (kind.capability().to_owned(), none)
                });
                let mut data = Map::new();
                data.insert(
                    "requiredCapabilities".into(),
                    Value::Object(needed.collect()),
                );
                let text = format!("the client has to declare: {}", names.join(", "));
                let error = RpcError::new(MISSING_CLIENT_CAPABILITY, text);
                Err(error.with(Value::Object(data)))
            }
        }
    }
}

/// Counts the values in `members` at every depth.
fn count(members: &Map<String, Value>) -> usize {
    members.values().map(count_in).sum()
}

fn count_in(value: &Value) -> usize {
    match value {
        Value::Array(items) => 1 + items.iter().map(count_in).sum::<usize>(),
        Value::Object(members) => 1 + count(members),
        _ => 1,
    }
}

fn wrong(text: &str) -> RpcError {
    RpcError::new(INVALID_PARAMS, text)
}

/// The members of a request that belong to its round trip.
const RESPONSES: &str = "inputResponses";
const STATE: &str = "requestState";
/// The limit on the values of all answers in one request: they stay in memory for the whole call.
const MAX_GIVEN: usize = 1000;
