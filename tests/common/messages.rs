//! JSON-RPC messages of a client.

use serde_json::{Value, json};

/// A request without `_meta`.
pub fn request(id: impl Into<Value>, method: &str, params: Value) -> Value {
    json!({"jsonrpc": "2.0", "id": id.into(), "method": method, "params": params})
}

/// A request of 2026-07-28.
pub fn modern(id: impl Into<Value>, method: &str, mut params: Value) -> Value {
    let meta = params
        .as_object_mut()
        .unwrap()
        .entry("_meta")
        .or_insert_with(|| json!({}));
    meta["io.modelcontextprotocol/protocolVersion"] = "2026-07-28".into();
    meta["io.modelcontextprotocol/clientCapabilities"] = json!({});
    request(id, method, params)
}

/// The params of `initialize`.
pub fn initialize(version: &str) -> Value {
    let client = json!({"name": "tests", "version": "0"});
    json!({"protocolVersion": version, "capabilities": {}, "clientInfo": client})
}
