//! Calls of tools over HTTP.

use serde_json::{Value, json};

use crate::common::requests::modern_post;

/// An answer in one piece.
pub const JSON: &str = "application/json";

/// A call of a tool, which is to tell its progress where the answer may be a stream.
pub fn call_post(key: &str, accept: &str, tool: &str, arguments: Value) -> Vec<u8> {
    let params = json!({"name": tool, "arguments": arguments, "_meta": {"progressToken": 7}});
    modern_post(key, accept, "tools/call", params)
}
