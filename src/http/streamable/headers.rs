//! The header fields with which MCP 2026-07-28 repeats parts of a request, and which must agree with it.
//!
//! Promises: the body decides what a request is; fields only confirm it.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Map, Value};

use crate::http::h1::head::mcp_fields::{self, McpFields};
use crate::mcp::jsonrpc::message::{HEADER_MISMATCH, INVALID_PARAMS, Request, RpcError};
use crate::mcp::{CLIENT_CAPABILITIES, Engine, PROTOCOL_VERSION, Version, claims};

/// Whether a request is of the stateless era: by its `_meta`, or by its header field alone.
pub(in crate::http) fn is_modern(fields: &McpFields, request: &Request) -> bool {
    claims(&request.method, meta(request)) || names_modern(fields)
}

/// Whether the header field names the stateless version.
pub(in crate::http) fn names_modern(fields: &McpFields) -> bool {
    fields.version.as_deref() == Some(Version::MODERN.name())
}

/// Compares the fields with the request. A request whose own envelope is broken is left to the engine, whose error
/// comes first (MCP 2026-07-28 basic/transports/streamable-http).
///
/// # Errors
/// -32020 where they differ; -32602 when only the field says that it is a request of this era.
pub(in crate::http) fn agree(
    fields: &McpFields,
    request: &Request,
    engine: &Engine,
) -> Result<(), RpcError> {
    if !claims(&request.method, meta(request)) {
        let text = format!("`params._meta[\"{PROTOCOL_VERSION}\"]` must be a string");
        return Err(RpcError::new(INVALID_PARAMS, text));
    }
    let Some(version) = whole_envelope(request) else {
        return Ok(());
    };
    compare(mcp_fields::VERSION, fields.version.as_deref(), version)?;
    compare(
        mcp_fields::METHOD,
        fields.method.as_deref(),
        &request.method,
    )?;
    if let Some(name) = subject(request) {
        let found = fields.name.as_deref();
        let decoded = found
            .map(|found| plain(found, mcp_fields::NAME))
            .transpose()?;
        compare(mcp_fields::NAME, decoded.as_deref(), name)?;
        if request.method == "tools/call" {
            return arguments_agree(fields, request, engine.repeated_arguments(name));
        }
    }
    Ok(())
}

/// Compares the fields that repeat arguments; others of the kind mean nothing.
fn arguments_agree(
    fields: &McpFields,
    request: &Request,
    repeated: &[(String, String)],
) -> Result<(), RpcError> {
    let arguments = request.params.get("arguments").and_then(Value::as_object);
    for (argument, name) in repeated {
        let value = arguments
            .and_then(|all| all.get(argument))
            .filter(|it| !it.is_null());
        let name = format!("{}{name}", mcp_fields::PARAMETERS).to_ascii_lowercase();
        let agree = match (fields.parameter(&name), value) {
            (Ok(None), None) => true,
            (Ok(Some(found)), Some(value)) => repeats(&plain(found, &name)?, value),
            _ => false,
        };
        if !agree {
            return Err(mismatch(format!(
                "the `{name}` field and the argument differ"
            )));
        }
    }
    Ok(())
}

fn repeats(text: &str, value: &Value) -> bool {
    match value {
        Value::String(value) => text == value,
        Value::Bool(value) => text == if *value { "true" } else { "false" },
        Value::Number(value) => match (text.parse::<i64>(), value.as_i64()) {
            (Ok(text), Some(value)) => text == value,
            // `7` and `7.0` are the same number.
            _ => text.parse().ok() == value.as_f64(),
        },
        _ => false,
    }
}

fn meta(request: &Request) -> Option<&Map<String, Value>> {
    request.params.get("_meta").and_then(Value::as_object)
}

fn whole_envelope(request: &Request) -> Option<&str> {
    let meta = meta(request)?;
    meta.get(CLIENT_CAPABILITIES)
        .filter(|value| value.is_object())?;
    meta.get(PROTOCOL_VERSION).and_then(Value::as_str)
}

/// What `Mcp-Name` repeats.
fn subject(request: &Request) -> Option<&str> {
    let key = match request.method.as_str() {
        "tools/call" | "prompts/get" => "name",
        "resources/read" => "uri",
        _ => return None,
    };
    request.params.get(key).and_then(Value::as_str)
}

fn compare(name: &str, found: Option<&str>, expected: &str) -> Result<(), RpcError> {
    match found {
        Some(found) if found == expected => Ok(()),
        Some(_) => Err(mismatch(format!("the `{name}` field and the body differ"))),
        None => Err(mismatch(format!("the `{name}` field is missing"))),
    }
}

/// A value that does not fit into a field comes as `=?base64?…?=`, marks in small letters.
fn plain(value: &str, name: &str) -> Result<String, RpcError> {
    let inner = value
        .strip_prefix("=?base64?")
        .and_then(|rest| rest.strip_suffix("?="));
    let Some(inner) = inner else {
        return Ok(value.to_owned());
    };
    STANDARD
        .decode(inner)
        .ok()
        .and_then(|bytes| String::from_utf8(bytes).ok())
        .ok_or_else(|| mismatch(format!("the `{name}` field is not base64 of UTF-8 text")))
}

fn mismatch(text: String) -> RpcError {
    RpcError::new(HEADER_MISMATCH, text)
}
