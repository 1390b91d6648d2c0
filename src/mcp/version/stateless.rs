//! The envelope of 2026-07-28: every request says in `_meta` which version it speaks and what its
//! client can do.
//!
//! Promises: nothing is inferred from earlier requests or from the connection.
//! Does not: look at HTTP headers, which only repeat what is here.

use serde_json::{Map, Value, json};

use super::Version;
use super::log_level::Level;
use super::question::Abilities;
use crate::mcp::jsonrpc::message::{INVALID_PARAMS, RpcError, UNSUPPORTED_VERSION};

/// The key under which results carry the server's identity.
pub(in crate::mcp) const SERVER_INFO: &str = "io.modelcontextprotocol/serverInfo";

/// What a request's envelope says.
#[derive(Debug)]
pub(in crate::mcp) struct Envelope {
    pub(in crate::mcp) version: Version,
    pub(in crate::mcp) abilities: Abilities,
    /// The least level to log at during this request.
    pub(in crate::mcp) log_level: Option<Level>,
}

/// Whether a request is of this era: it carries one of the era's own `_meta` keys, or asks for a
/// method that no other era has. The choice is made for each message alone.
pub(crate) fn claims(method: &str, meta: Option<&Map<String, Value>>) -> bool {
    let keys = [PROTOCOL_VERSION, CLIENT_CAPABILITIES];
    method == "server/discover"
        || meta.is_some_and(|meta| keys.iter().any(|key| meta.contains_key(*key)))
}

/// Checks the envelope: its members first, then the version, as the order of errors demands.
///
/// # Errors
/// -32602 when a required member is missing or wrong, -32022 when the version is not served here.
pub(in crate::mcp) fn envelope(meta: Option<&Map<String, Value>>) -> Result<Envelope, RpcError> {
    let member = |key: &str| meta.and_then(|meta| meta.get(key));
    let Some(version) = member(PROTOCOL_VERSION).and_then(Value::as_str) else {
        return Err(missing(PROTOCOL_VERSION, "a string"));
    };
    let Some(capabilities) = member(CLIENT_CAPABILITIES).filter(|it| it.is_object()) else {
        return Err(missing(CLIENT_CAPABILITIES, "an object"));
    };
    let log_level = match member(LOG_LEVEL) {
        None => None,
        Some(level) => match level.as_str().and_then(Level::from_name) {
            None => return Err(missing(LOG_LEVEL, "a log level")),
            found => found,
        },
    };
    match Version::from_name(version) {
        Some(Version::MODERN) => Ok(Envelope {
            version: Version::MODERN,
            abilities: Abilities::read(Some(capabilities)),
            log_level,
        }),
        _ => Err(unsupported(version)),
    }
}

fn missing(key: &str, kind: &str) -> RpcError {
    RpcError::new(
        INVALID_PARAMS,
        format!("`params._meta[\"{key}\"]` must be {kind}"),
    )
}

fn unsupported(requested: &str) -> RpcError {
    let text = "the protocol version is not supported in `_meta`; see `data.supported`";
    RpcError::new(UNSUPPORTED_VERSION, text)
        .with(json!({"supported": [Version::MODERN.name()], "requested": requested}))
}

/// The key of `_meta` that says which version a request speaks.
pub(crate) const PROTOCOL_VERSION: &str = "io.modelcontextprotocol/protocolVersion";
/// The key of `_meta` that says what a request's client can do.
pub(crate) const CLIENT_CAPABILITIES: &str = "io.modelcontextprotocol/clientCapabilities";
/// The key of `_meta` that says what a request's client is.
pub(in crate::mcp) const CLIENT_INFO: &str = "io.modelcontextprotocol/clientInfo";
const LOG_LEVEL: &str = "io.modelcontextprotocol/logLevel";
