//! MCP's streamable HTTP: from an admitted request to the engine and back, sessions, event streams and their resumption.

pub(super) mod endpoint;
pub(super) mod event_store;
mod headers;
pub(super) mod response;
pub(super) mod resume;
pub(super) mod sessions;
pub(super) mod sse;
