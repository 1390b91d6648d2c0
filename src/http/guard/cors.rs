//! The CORS fields of answers, by which the pages of allowed origins can read them (Fetch Standard, CORS protocol).
//!
//! Promises: an answer names the origin that asked, if that is allowed, and never `*`; a preflight is answered from its
//! head alone, without a key, since browsers send none with it.
//! Does not: judge origins (see `routes`), or allow cookies: the key is sent by the page.

use std::fmt::Write as _;

use http_types::{Response, StatusCode};

use crate::http::h1::head::Head;

/// Who reads an answer, as far as its request says.
#[derive(Debug, Default)]
pub(in crate::http) enum AnswerReader {
    /// No page: the request has no `Origin`.
    #[default]
    Program,
    /// A page of this origin, which is allowed.
    Page(String),
    /// A page of another origin.
    Foreign,
}

impl AnswerReader {
    /// Adds the CORS fields for this reader.
    pub(in crate::http) fn mark(self, response: &mut Response) {
        match self {
            AnswerReader::Program => return,
            AnswerReader::Page(origin) => {
                response.insert_header("access-control-allow-origin", origin);
                response.insert_header("access-control-expose-headers", EXPOSED);
            }
            AnswerReader::Foreign => {}
        }
        // RFC 9110 §12.5.5: what is kept for one origin is not for another.
        response.insert_header("vary", "origin");
    }
}

/// Whether a head is a preflight request.
pub(in crate::http) fn is_preflight(head: &Head) -> bool {
    head.method == http_types::Method::Options
        && head.origin.is_some()
        && head.requested_method.is_some()
}

/// The answer to a preflight, which permits the methods `allow`.
pub(in crate::http) fn leave(head: &Head, allow: &str) -> Response {
    let mut fields = FIELDS.to_owned();
    let requested = head.requested_fields.as_deref().unwrap_or_default();
    for name in requested.split(',').map(str::trim) {
        if is_parameter(name) {
            // Writing into memory cannot fail.
            let _ = write!(fields, ", {name}");
        }
    }
    let mut response = Response::new(StatusCode::NoContent);
    response.insert_header("access-control-allow-methods", allow);
    response.insert_header("access-control-allow-headers", fields);
    response.insert_header("access-control-max-age", MAX_AGE);
    response
}

/// Whether a name is of the kind that repeats arguments, and nothing but a field's name.
fn is_parameter(name: &str) -> bool {
    let rest = name
        .get(..PARAMETERS.len())
        .filter(|start| start.eq_ignore_ascii_case(PARAMETERS))
        .and_then(|_| name.get(PARAMETERS.len()..));
    let is_token = |byte: u8| byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&byte);
    rest.is_some_and(|rest| !rest.is_empty() && rest.bytes().all(is_token))
}

/// What MCP clients send. `authorization` has to be named: `*` would not cover it.
const FIELDS: &str = "authorization, x-api-key, content-type, accept, mcp-protocol-version, mcp-session-id, mcp-method, \
                      mcp-name, last-event-id";
/// How the names of the fields begin that repeat a call's arguments.
const PARAMETERS: &str = "mcp-param-";
/// What clients read beside what browsers always show.
const EXPOSED: &str = "mcp-session-id, www-authenticate, retry-after";
/// How long the leave holds, in seconds. An origin that is no longer allowed is refused at its next request all the same.
const MAX_AGE: &str = "7200";
