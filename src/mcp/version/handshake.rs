//! The eras with a handshake: which version `initialize` settles on, and what may come before it.
//!
//! Promises: a handshake with any version string succeeds, as the protocol wants, and may be
//! repeated; `ping` is answered at any time.
//! Does not: wait for `notifications/initialized`, which some clients send late.

use super::Version;
use super::log_level::Level;
use crate::mcp::jsonrpc::message::{INVALID_PARAMS, INVALID_REQUEST, Params, RpcError};

/// The version to speak: the one asked for when it has a handshake and we know it, otherwise the
/// newest with one.
///
/// # Errors
/// -32602 when `protocolVersion` is missing or no string.
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

/// The error for a request that needs a handshake before there was one.
pub(in crate::mcp) fn not_initialized() -> RpcError {
    let text = "not initialized: send `initialize` first, or name the version in `params._meta`";
    RpcError::new(INVALID_REQUEST, text)
}

/// Most messages in one batch (2025-03-26).
pub(in crate::mcp) const MAX_BATCH: usize = 100;

/// What is logged to a client that never said what it wants.
pub(in crate::mcp) const DEFAULT_LOG_LEVEL: Level = Level::Info;
