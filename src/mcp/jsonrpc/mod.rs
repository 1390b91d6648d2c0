//! JSON-RPC 2.0: messages from bytes, responses to bytes. Nothing here knows MCP.

pub(in crate::mcp) mod line_separators;
pub mod message;
pub(in crate::mcp) mod response;
pub(in crate::mcp) mod strict;
