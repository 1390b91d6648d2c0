//! Answers, from what was decided to the bytes that async-h1 encodes.
//!
//! Promises: names and values of fields are our own words, never a client's; every answer without a stream has a
//! length.

use http_types::{Body, Response, StatusCode};
use serde_json::json;

use super::refusal::Refusal;
use crate::mcp::rpc::INVALID_REQUEST;

/// JSON text with a status.
pub(super) fn json(status: StatusCode, text: Vec<u8>) -> Response {
    let mut response = Response::new(status);
    response.insert_header("content-type", "application/json");
    response.replace_body(Body::from_bytes(text));
    response
}

/// A status without a body.
pub(super) fn empty(status: StatusCode) -> Response {
    Response::new(status)
}

/// A refusal as an MCP client understands it: a JSON-RPC error that belongs to no request.
pub(super) fn refusal(refusal: &Refusal) -> Response {
    let error = json!({"code": INVALID_REQUEST, "message": refusal.sentence});
    let text = json!({"jsonrpc": "2.0", "error": error}).to_string();
    let mut response = json(refusal.status, text.into_bytes());
    if let Some((name, value)) = &refusal.header {
        response.insert_header(*name, value.as_ref());
    }
    response
}
