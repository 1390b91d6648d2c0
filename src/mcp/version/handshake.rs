//! The versions with a handshake: the version that `initialize` negotiates, and the requests allowed before it.
//!
//! Promises: a handshake with any version string succeeds, as the protocol requires, and may be repeated; `ping` is
//! answered at any time.
//! Does not: wait for `notifications/initialized`, which some clients send late.

use super::Version;
use super::log_level::Level;
use crate::mcp::jsonrpc::message::{INVALID_PARAMS, INVALID_REQUEST, Params, RpcError};

/// The negotiated version: the requested one when it has a handshake and the server supports it, otherwise the newest
/// version with a handshake.
///
/// # Errors
/// -32602 when `protocolVersion` is missing or not a string.
pub(in crate::mcp) fn negotiate(params: &Params) -> Result<Version, RpcError> {
    let Some(asked) = params
        .get("protocolVersion")
        .and_then(|version| version.as_str())
    else {
        return Err(RpcError::new(
            INVALID_PARAMS,
            "`protocolVersion` must be a string",
        ));
    };
    let known = Version::from_name(asked).filter(|version| *version <= Version::NEWEST_LEGACY);
    Ok(known.unwrap_or(Version::NEWEST_LEGACY))
}

/// The error for a request that needs a handshake and arrives before it.
pub(in crate::mcp) fn not_initialized() -> RpcError {
    let text = "not initialized: send `initialize` first, or name the version in `params._meta`";
    RpcError::new(INVALID_REQUEST, text)
}

/// The limit on messages in one batch (MCP 2025-03-26).
pub(in crate::mcp) const MAX_BATCH: usize = 100;

/// The log level of a client that has not set one.
pub(in crate::mcp) const DEFAULT_LOG_LEVEL: Level = Level::Info;
