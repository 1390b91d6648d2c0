//! Writes one JSON-RPC 2.0 response into the buffer that is sent.
//!
//! Promises: compact JSON on one line, also for readers that end lines at Unicode separators; never both a result and
//! an error.
//! Does not: end the line; framing belongs to the transport.

use serde::Serialize;
use serde_json::{Map, Value};

use super::line_separators;
use super::message::{self, INTERNAL_ERROR, Id, RpcError};

/// The response to a request that succeeded, as JSON text without a line end.
pub(in crate::mcp) fn success(id: &Id, result: &impl Serialize) -> Vec<u8> {
    let mut text = opening(id);
    text.extend_from_slice(br#""result":"#);
    let start = text.len();
    if let Err(why) = serde_json::to_writer(&mut text, result) {
        text.truncate(start);
        let error = RpcError::new(INTERNAL_ERROR, format!("the result is not JSON: {why}"));
        return failure(Some(id), &error, false);
    }
    text.push(b'}');
    line_separators::escaped(text)
}

/// Like [`success`], from a result that is JSON text already.
pub(in crate::mcp) fn success_text(id: &Id, result: &[u8]) -> Vec<u8> {
    let mut text = opening(id);
    text.extend_from_slice(br#""result":"#);
    text.extend_from_slice(result);
    text.push(b'}');
    line_separators::escaped(text)
}

/// The response to a request that failed. Without an id, the member `id` is `null` if `null_id`, and otherwise left
/// out.
pub(in crate::mcp) fn failure(id: Option<&Id>, error: &RpcError, null_id: bool) -> Vec<u8> {
    let mut text = match id {
        Some(id) => opening(id),
        None if null_id => br#"{"jsonrpc":"2.0","id":null,"#.to_vec(),
        None => br#"{"jsonrpc":"2.0","#.to_vec(),
    };
    text.extend_from_slice(br#""error":"#);
    text.extend_from_slice(error_member(error).to_string().as_bytes());
    text.push(b'}');
    line_separators::escaped(text)
}

/// Returns the response, or an error in its place when the response is longer than `most` bytes.
pub(in crate::mcp) fn within(most: usize, answer: Vec<u8>) -> Vec<u8> {
    if answer.len() <= most {
        return answer;
    }
    let text = format!(
        "the answer has {} bytes, and an event at most {most}: ask for less, or accept only `application/json`",
        answer.len()
    );
    let id = message::id_of(&answer);
    failure(id.as_ref(), &RpcError::new(INTERNAL_ERROR, text), false)
}

fn error_member(from: &RpcError) -> Value {
    let mut error = Map::new();
    error.insert("code".into(), from.code.into());
    error.insert("message".into(), from.message.as_str().into());
    if let Some(data) = &from.data {
        error.insert("data".into(), data.clone());
    }
    Value::Object(error)
}

fn opening(id: &Id) -> Vec<u8> {
    let mut text = Vec::with_capacity(512);
    text.extend_from_slice(br#"{"jsonrpc":"2.0","id":"#);
    text.extend_from_slice(id.as_json().as_bytes());
    text.push(b',');
    text
}
