//! HTTP requests of a client.

use serde_json::Value;

use super::messages::{initialize, modern, request};

/// The right key of the servers that are given none of their own.
pub const KEY: &str = "the-right-key";

/// An answer in one piece, or as a stream.
pub const BOTH: &str = "application/json, text/event-stream";

/// A POST to `/mcp` with this body and these fields, each with its end.
pub fn post_with(fields: &str, body: &str) -> Vec<u8> {
    format!(
        "POST /mcp HTTP/1.1\r\nhost: localhost\r\n{fields}content-type: application/json\r\n\
         content-length: {}\r\n\r\n{body}",
        body.len()
    )
    .into_bytes()
}

/// With the right key, which takes both forms of an answer.
pub fn post(fields: &str, body: &str) -> Vec<u8> {
    let usual = format!("authorization: Bearer {KEY}\r\naccept: {BOTH}\r\n");
    post_with(&format!("{usual}{fields}"), body)
}

/// With this key, which takes these forms of an answer.
pub fn post_as(key: &str, accept: &str, fields: &str, body: &Value) -> Vec<u8> {
    let usual = format!("x-api-key: {key}\r\naccept: {accept}\r\n");
    post_with(&format!("{usual}{fields}"), &body.to_string())
}

/// A request of MCP 2026-07-28, whose fields say its method and its name once more.
pub fn modern_post(key: &str, accept: &str, method: &str, params: Value) -> Vec<u8> {
    let name = params.get("name").or_else(|| params.get("uri"));
    let name = name.map(|name| format!("mcp-name: {}\r\n", name.as_str().unwrap()));
    let fields = format!(
        "mcp-protocol-version: 2026-07-28\r\nmcp-method: {method}\r\n{}",
        name.unwrap_or_default()
    );
    post_as(key, accept, &fields, &modern(1, method, params))
}

/// Begins a session of this version.
pub fn initialize_post(key: &str, version: &str) -> Vec<u8> {
    let body = request(0, "initialize", initialize(version));
    post_as(key, BOTH, "", &body)
}

/// A message in a session.
pub fn session_post(key: &str, session: &str, body: &Value) -> Vec<u8> {
    let field = format!("mcp-session-id: {session}\r\n");
    post_as(key, BOTH, &field, body)
}

/// A request for the stream of a session, with these further fields.
pub fn session_get(key: &str, session: &str, fields: &str) -> Vec<u8> {
    format!(
        "GET /mcp HTTP/1.1\r\nhost: localhost\r\nx-api-key: {key}\r\n\
         accept: text/event-stream\r\nmcp-session-id: {session}\r\n{fields}\r\n"
    )
    .into_bytes()
}

/// Ends a session.
pub fn session_delete(key: &str, session: &str) -> Vec<u8> {
    format!(
        "DELETE /mcp HTTP/1.1\r\nhost: localhost\r\nx-api-key: {key}\r\nmcp-session-id: {session}\r\n\r\n"
    )
    .into_bytes()
}
