//! Answers, from what was decided to the bytes that async-h1 encodes.
//!
//! Promises: names and values of fields are our own words, never a client's; every answer without a stream has a
//! length.

use http_types::{Body, Response, StatusCode};
use serde_json::json;

use crate::http::h1::refusal::Refusal;
use crate::mcp::jsonrpc::message::{INVALID_REQUEST, METHOD_NOT_FOUND, PARSE_ERROR};

/// Which client an answer is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::http) enum Era {
    /// MCP 2026-07-28, without sessions.
    Stateless,
    /// The versions before 2026-07-28, with a handshake and a session.
    Handshake,
}

impl Era {
    /// The status of an answer whose error is `refused`, if it is one that no handler made.
    pub(in crate::http) fn status(self, refused: Option<i64>) -> StatusCode {
        match (refused, self) {
            (None, _) => StatusCode::Ok,
            (Some(METHOD_NOT_FOUND), Era::Stateless) => StatusCode::NotFound,
            (Some(_), Era::Stateless) => StatusCode::BadRequest,
            (Some(PARSE_ERROR | INVALID_REQUEST), Era::Handshake) => StatusCode::BadRequest,
            // 404 would mean that the session is gone.
            (Some(_), Era::Handshake) => StatusCode::Ok,
        }
    }
}

/// JSON text with a status.
pub(in crate::http) fn json(status: StatusCode, text: Vec<u8>) -> Response {
    let mut response = Response::new(status);
    response.insert_header("content-type", "application/json");
    response.replace_body(Body::from_bytes(text));
    response
}

/// The numbers, in Prometheus' text format 0.0.4.
pub(in crate::http) fn metrics(text: String) -> Response {
    let mut response = json(StatusCode::Ok, text.into_bytes());
    response.insert_header("content-type", "text/plain; version=0.0.4; charset=utf-8");
    response
}

/// A status without a body.
pub(in crate::http) fn empty(status: StatusCode) -> Response {
    Response::new(status)
}

/// A refusal as an MCP client understands it: a JSON-RPC error that belongs to no request.
pub(in crate::http) fn refusal(refusal: &Refusal) -> Response {
    let error = json!({"code": INVALID_REQUEST, "message": refusal.sentence});
    let text = json!({"jsonrpc": "2.0", "error": error}).to_string();
    let mut response = json(refusal.status, text.into_bytes());
    if let Some((name, value)) = &refusal.header {
        response.insert_header(*name, value.as_ref());
    }
    response
}
