//! The envelope of MCP 2026-07-28: every request states its protocol version and its client's capabilities in `_meta`.
//!
//! Promises: nothing is inferred from earlier requests or from the connection.
//! Does not: read HTTP headers, which only repeat the envelope.

use serde_json::{Map, Value, json};

use super::Version;
use super::log_level::Level;
use super::question::Abilities;
use crate::mcp::jsonrpc::message::{INVALID_PARAMS, RpcError, UNSUPPORTED_VERSION};

/// The `_meta` key of the server's identity in results.
pub(in crate::mcp) const SERVER_INFO: &str = "io.modelcontextprotocol/serverInfo";

/// The contents of a request's envelope.
#[derive(Debug)]
pub(in crate::mcp) struct Envelope {
    pub(in crate::mcp) version: Version,
    pub(in crate::mcp) abilities: Abilities,
    /// The lowest level to log at during this request.
    pub(in crate::mcp) log_level: Option<Level>,
}

/// Whether a request belongs to the stateless era: it carries one of the era's `_meta` keys, or its method exists in no
/// other era. Each message is classified alone.
pub(crate) fn claims(method: &str, meta: Option<&Map<String, Value>>) -> bool {
    let keys = [PROTOCOL_VERSION, CLIENT_CAPABILITIES];
    method == "server/discover"
        || meta.is_some_and(|meta| keys.iter().any(|key| meta.contains_key(*key)))
}

/// Validates the envelope: first its members, then the version, in the order that the specification gives the errors.
///
/// # Errors
/// -32602 when a required member is missing or wrong, -32022 when the server does not support the version.
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

/// The `_meta` key of a request's protocol version.
pub(crate) const PROTOCOL_VERSION: &str = "io.modelcontextprotocol/protocolVersion";
/// The `_meta` key of the client's capabilities.
pub(crate) const CLIENT_CAPABILITIES: &str = "io.modelcontextprotocol/clientCapabilities";
/// The `_meta` key of the client's name and version.
pub(in crate::mcp) const CLIENT_INFO: &str = "io.modelcontextprotocol/clientInfo";
const LOG_LEVEL: &str = "io.modelcontextprotocol/logLevel";
