//! State that the client stores and sends back unchanged (`requestState`).
//!
//! Promises: a state opens only when this process signed it, for the same caller and the same request, at most ten
//! minutes ago.
//! Does not: encrypt; the state contains only what the client itself has sent.

use std::cell::OnceCell;
use std::fmt;
use std::rc::Rc;
use std::time::{Duration, Instant};

use base64::Engine as _;
use base64::prelude::BASE64_URL_SAFE_NO_PAD as BASE64;
use blake2::Blake2bMac;
use blake2::digest::consts::U32;
use blake2::digest::{KeyInit, Mac};
use serde_json::{Map, Value};

use crate::mcp::client::caller::Principal;
use crate::mcp::jsonrpc::message::{INTERNAL_ERROR, INVALID_PARAMS, RpcError};

/// Signs states with a key that is generated at the first use and never leaves the process.
pub(in crate::mcp) struct RequestStateCodec {
    key: OnceCell<[u8; 64]>,
    start: Instant,
}

/// What a signed state is bound to: a caller and a request.
#[derive(Clone, Debug)]
pub(in crate::mcp) struct Binding {
    pub(in crate::mcp) principal: Rc<Principal>,
    /// The method and its parameters in canonical form: the order of members does not matter.
    pub(in crate::mcp) request: String,
}

type Tagger = Blake2bMac<U32>;

impl RequestStateCodec {
    pub(in crate::mcp) fn new() -> RequestStateCodec {
        RequestStateCodec {
            key: OnceCell::new(),
            start: Instant::now(),
        }
    }

    /// # Errors
    /// -32603 when no random numbers are available, or when the state exceeds its size limit.
    pub(in crate::mcp) fn close(
        &self,
        to: &Binding,
        answers: &Map<String, Value>,
    ) -> Result<String, RpcError> {
        let expires = (self.start.elapsed() + LIFETIME).as_secs();
        let answers = Value::Object(answers.clone()).to_string();
        let state = format!("{expires} {answers}");
        if state.len() > MAX_STATE_BYTES {
            let text = "the answers so far are too large to be carried on";
            return Err(RpcError::new(INTERNAL_ERROR, text));
        }
        let tag = self.tagger(to, &state)?.finalize().into_bytes();
        Ok(format!("{}.{}", BASE64.encode(state), BASE64.encode(tag)))
    }

    /// # Errors
    /// -32602 when the state was not signed by this process for this caller and request, or has expired.
    pub(in crate::mcp) fn open(
        &self,
        to: &Binding,
        sealed: &str,
    ) -> Result<Map<String, Value>, RpcError> {
        let bad = || {
            RpcError::new(
                INVALID_PARAMS,
                "`requestState` is not valid for this request",
            )
        };
        let (state, tag) = sealed.split_once('.').ok_or_else(bad)?;
        let state = BASE64.decode(state).map_err(|_| bad())?;
        let state = String::from_utf8(state).map_err(|_| bad())?;
        let tag = BASE64.decode(tag).map_err(|_| bad())?;
        // `verify_slice` compares in constant time.
        let judged = self.tagger(to, &state)?.verify_slice(&tag);
        judged.map_err(|_| bad())?;
        let (expires, answers) = state.split_once(' ').ok_or_else(bad)?;
        let expires: u64 = expires.parse().map_err(|_| bad())?;
        if self.start.elapsed().as_secs() > expires {
            let text = "`requestState` has expired; start again without it";
            return Err(RpcError::new(INVALID_PARAMS, text));
        }
        serde_json::from_str(answers).map_err(|_| bad())
    }

    fn tagger(&self, to: &Binding, state: &str) -> Result<Tagger, RpcError> {
        let failed = |_| RpcError::new(INTERNAL_ERROR, "no random numbers to seal the state with");
        let key = match self.key.get() {
            Some(key) => key,
            None => {
                let mut key = [0; 64];
                getrandom::fill(&mut key).map_err(failed)?;
                self.key.get_or_init(|| key)
            }
        };
        let mut tagger = Tagger::new(key.into());
        let Principal {
            name,
            profile,
            proof,
        } = &*to.principal;
        for part in [
            name.as_bytes(),
            profile.as_bytes(),
            proof,
            to.request.as_bytes(),
            state.as_bytes(),
        ] {
            // The length before each part keeps two adjacent parts from being read as another pair.
            tagger.update(&(part.len() as u64).to_le_bytes());
            tagger.update(part);
        }
        Ok(tagger)
    }
}

impl Binding {
    /// Binds a request by the parameters that stay the same in every round trip.
    pub(in crate::mcp) fn new(
        principal: &Rc<Principal>,
        method: &str,
        params: &Map<String, Value>,
    ) -> Binding {
        let mut request = format!("{method} ");
        write_sorted(params, &mut request);
        Binding {
            principal: Rc::clone(principal),
            request,
        }
    }
}

impl fmt::Debug for RequestStateCodec {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("RequestStateCodec")
    }
}

/// Writes JSON whose members are sorted by name.
fn write_sorted(members: &Map<String, Value>, text: &mut String) {
    let mut sorted: Vec<_> = members.iter().collect();
    mcpmqtt_protocol::sort::sort_by_key(&mut sorted, |(name, _)| *name);
    text.push('{');
    for (name, value) in sorted {
        text.push_str(&Value::from(name.as_str()).to_string());
        write_value(value, text);
    }
    text.push('}');
}

fn write_value(value: &Value, text: &mut String) {
    match value {
        Value::Object(members) => write_sorted(members, text),
        Value::Array(items) => {
            text.push('[');
            for item in items {
                write_value(item, text);
                text.push(',');
            }
            text.push(']');
        }
        other => text.push_str(&other.to_string()),
    }
}

/// How long a state is valid: time enough for a person to answer.
const LIFETIME: Duration = Duration::from_secs(600);
/// The size limit of a state: larger than any form. The client sends the state back in every round trip.
const MAX_STATE_BYTES: usize = 256 << 10;
