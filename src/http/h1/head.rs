//! The head of one HTTP/1 request, from bytes.
//!
//! Promises: a head has exactly one reading. Whatever another HTTP program in front of us could read differently
//! (two lengths, a length beside a transfer coding, a bare line feed, a folded line, a second `Host`) is refused
//! with the status and sentence to answer. Bytes and fields are bounded.
//! Does not: read, wait, route, or judge a `Host` or `Origin` beyond its shape.

use std::str::FromStr;

use http_types::{Method, StatusCode};
use mcpmqtt_config::{Host, Secret};

use self::mcp_fields::PARAMETERS;
use super::refusal::Refusal;
use super::target::RequestTarget;

pub(in crate::http) use self::finder::Finder;
pub(in crate::http) use self::mcp_fields::McpFields;

mod finder;
pub(in crate::http) mod mcp_fields;

/// What the guard needs of a head, and what it lets through.
#[derive(Debug)]
pub(in crate::http) struct Head {
    pub(in crate::http) method: Method,
    /// As it came: nothing is decoded or normalised, so that no two parts of the program see two paths.
    pub(in crate::http) path: String,
    /// What follows `?`. A key may be in it.
    pub(in crate::http) query: Option<Secret>,
    pub(in crate::http) http_1_0: bool,
    pub(in crate::http) framing: Framing,
    pub(in crate::http) keep_alive: bool,
    pub(in crate::http) expects_continue: bool,
    /// The authority of an absolute target, or else the `Host` field.
    pub(in crate::http) host: Option<Host>,
    pub(in crate::http) origin: Option<String>,
    pub(in crate::http) authorization: Option<Secret>,
    pub(in crate::http) x_api_key: Option<Secret>,
    pub(in crate::http) content_type: Option<String>,
    /// All `accept` fields as the one list that they are (RFC 9110 §5.3).
    pub(in crate::http) accept: Option<String>,
    /// What a browser asks leave for: a method and fields.
    pub(in crate::http) requested_method: Option<String>,
    pub(in crate::http) requested_fields: Option<String>,
    pub(in crate::http) mcp: McpFields,
}

/// How long the body is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::http) enum Framing {
    None,
    Length(u64),
    Chunked,
}

impl Head {
    /// Reads a head that [`Finder`] has found.
    ///
    /// # Errors
    /// What to answer instead of serving it.
    pub(in crate::http) fn parse(bytes: &[u8]) -> Result<Head, Refusal> {
        let mut fields = [httparse::EMPTY_HEADER; HEAD_FIELDS];
        let mut request = httparse::Request::new(&mut fields);
        match request.parse(bytes) {
            Ok(status) if status.is_complete() => {}
            Ok(_) => return Err(Refusal::bad("the head is cut off")),
            Err(error) => return Err(refused_by_parser(error, bytes)),
        }
        let method = method(request.method.unwrap_or_default())?;
        let target = RequestTarget::parse(request.path.unwrap_or_default())?;
        let mut draft = Draft {
            http_1_0: request.version == Some(0),
            ..Draft::default()
        };
        let mut name = String::new();
        for field in request.headers.iter() {
            name.clear();
            name.push_str(field.name);
            name.make_ascii_lowercase();
            draft.field(&name, field.value)?;
        }
        let framing = draft.framing()?;
        let keep_alive = !draft.close && (!draft.http_1_0 || draft.keep_alive);
        let host = draft.host_meant(target.authority);
        Ok(Head {
            method,
            path: target.path,
            query: target.query,
            http_1_0: draft.http_1_0,
            framing,
            keep_alive,
            // RFC 9110 §10.1.1: an HTTP/1.0 client does not know of 100.
            expects_continue: draft.expects_continue && !draft.http_1_0,
            host,
            origin: draft.origin,
            authorization: draft.authorization,
            x_api_key: draft.x_api_key,
            content_type: draft.content_type,
            accept: draft.accept,
            requested_method: draft.requested_method,
            requested_fields: draft.requested_fields,
            mcp: draft.mcp,
        })
    }

    /// Whether bytes of a body follow, or may.
    pub(in crate::http) fn has_body(&self) -> bool {
        !matches!(self.framing, Framing::None | Framing::Length(0))
    }
}

/// A head while its fields are read.
#[derive(Default)]
struct Draft {
    http_1_0: bool,
    host: Option<Host>,
    length: Option<u64>,
    chunked: bool,
    close: bool,
    keep_alive: bool,
    expects_continue: bool,
    origin: Option<String>,
    authorization: Option<Secret>,
    x_api_key: Option<Secret>,
    content_type: Option<String>,
    accept: Option<String>,
    requested_method: Option<String>,
    requested_fields: Option<String>,
    mcp: McpFields,
}

impl Draft {
    /// RFC 9110 §5.5: bytes beyond ASCII are opaque in a field that is ignored, and refused in a field that is read.
    fn field(&mut self, name: &str, value: &[u8]) -> Result<(), Refusal> {
        if !READ.contains(&name) && !McpFields::has(name) {
            return Ok(());
        }
        match std::str::from_utf8(value) {
            Ok(text) if text.is_ascii() => self.read(name, text),
            _ => {
                // Of a parameter's name as much as the client did not choose.
                let known = match name.starts_with(PARAMETERS) {
                    true => PARAMETERS,
                    false => name,
                };
                Err(Refusal::bad(format!(
                    "a byte beyond ASCII in the `{known}` field"
                )))
            }
        }
    }

    fn read(&mut self, name: &str, value: &str) -> Result<(), Refusal> {
        match name {
            "host" => {
                let host = Host::parse(value)
                    .ok_or_else(|| Refusal::bad("the `host` field is not a host and port"))?;
                put(&mut self.host, host, "two `host` fields")
            }
            "content-length" => put(&mut self.length, length(value)?, "two content lengths"),
            "transfer-encoding" => self.transfer_encoding(value),
            "connection" => {
                self.connection(value);
                Ok(())
            }
            "expect" if value.eq_ignore_ascii_case("100-continue") => {
                self.expects_continue = true;
                Ok(())
            }
            "expect" => Err(Refusal::new(
                StatusCode::ExpectationFailed,
                "the only expectation that can be met is `100-continue`",
            )),
            "content-encoding" if !value.eq_ignore_ascii_case("identity") => Err(Refusal::new(
                StatusCode::UnsupportedMediaType,
                "a body with a `content-encoding` is not accepted; send it unencoded",
            )),
            "origin" => put(&mut self.origin, value.to_owned(), "two origins"),
            "authorization" => {
                let text = "two `authorization` fields";
                put(&mut self.authorization, Secret::new(value), text)
            }
            "x-api-key" => put(
                &mut self.x_api_key,
                Secret::new(value),
                "two `x-api-key` fields",
            ),
            "content-type" => {
                let text = "two `content-type` fields";
                put(&mut self.content_type, value.to_owned(), text)
            }
            "accept" => {
                extend(&mut self.accept, value);
                Ok(())
            }
            "access-control-request-headers" => {
                extend(&mut self.requested_fields, value);
                Ok(())
            }
            "access-control-request-method" => {
                let text = "two `access-control-request-method` fields";
                put(&mut self.requested_method, value.to_owned(), text)
            }
            _ if McpFields::has(name) => self.mcp.put(name, value),
            _ => Ok(()),
        }
    }

    /// RFC 9112 §6.1: a coding that is not understood is answered with 501; with HTTP/1.0 any is faulty.
    fn transfer_encoding(&mut self, value: &str) -> Result<(), Refusal> {
        if self.http_1_0 {
            return Err(Refusal::bad("HTTP/1.0 has no `transfer-encoding`"));
        }
        if self.chunked {
            return Err(Refusal::bad("two `transfer-encoding` fields"));
        }
        if !value.eq_ignore_ascii_case("chunked") {
            return Err(Refusal::new(
                StatusCode::NotImplemented,
                "the only `transfer-encoding` that is understood is `chunked`",
            ));
        }
        self.chunked = true;
        Ok(())
    }

    fn connection(&mut self, value: &str) {
        for option in value.split(',').map(str::trim) {
            self.close |= option.eq_ignore_ascii_case("close");
            self.keep_alive |= option.eq_ignore_ascii_case("keep-alive");
        }
    }

    /// RFC 9112 §3.2.2: an absolute target's authority counts instead of the field; §3.2: which has to be there all
    /// the same in HTTP/1.1.
    fn host_meant(&mut self, authority: Option<Host>) -> Option<Host> {
        let field = self.host.take();
        match field.is_some() || self.http_1_0 {
            true => authority.or(field),
            false => None,
        }
    }

    fn framing(&self) -> Result<Framing, Refusal> {
        match (self.length, self.chunked) {
            // RFC 9112 §6.1: the mark of request smuggling.
            (Some(_), true) => Err(Refusal::bad(
                "`content-length` beside `transfer-encoding`: send one of them",
            )),
            (Some(length), false) => Ok(Framing::Length(length)),
            (None, true) => Ok(Framing::Chunked),
            (None, false) => Ok(Framing::None),
        }
    }
}

/// RFC 9110 §5.3: several fields with a list are one list.
fn extend(list: &mut Option<String>, value: &str) {
    list.get_or_insert_default().extend([value, ","]);
}

fn put<T>(place: &mut Option<T>, value: T, twice: &'static str) -> Result<(), Refusal> {
    if place.replace(value).is_some() {
        return Err(Refusal::bad(twice));
    }
    Ok(())
}

/// RFC 9110 §8.6: digits and nothing else. More of them than fit are too large whatever they say.
fn length(value: &str) -> Result<u64, Refusal> {
    if value.is_empty() || !value.bytes().all(|byte| byte.is_ascii_digit()) {
        return Err(Refusal::bad("`content-length` must be a decimal number"));
    }
    Ok(value.parse().unwrap_or(u64::MAX))
}

/// RFC 9110 §9.1: methods are case-sensitive, so `get` is an unknown one.
fn method(name: &str) -> Result<Method, Refusal> {
    let upper = name
        .bytes()
        .all(|byte| byte.is_ascii_uppercase() || byte == b'-');
    match Method::from_str(name) {
        Ok(method) if upper => Ok(method),
        _ => Err(Refusal::new(
            StatusCode::NotImplemented,
            "unknown method; methods are in capitals",
        )),
    }
}

fn refused_by_parser(error: httparse::Error, bytes: &[u8]) -> Refusal {
    use httparse::Error;
    match error {
        Error::HeaderName => Refusal::bad(
            "a field name has a character it may not have, a folded line or a space before the colon",
        ),
        Error::HeaderValue => Refusal::bad("a field value has a character it may not have"),
        Error::TooManyHeaders => Refusal::new(
            StatusCode::RequestHeaderFieldsTooLarge,
            format!("more than {HEAD_FIELDS} fields"),
        ),
        Error::Version if names_a_version(bytes) => Refusal::new(
            StatusCode::HttpVersionNotSupported,
            "this server speaks HTTP/1.1 and HTTP/1.0",
        ),
        _ => Refusal::bad("the request line is malformed"),
    }
}

/// Whether the request line is one, but for a version that is not spoken: `HTTP/` digit `.` digit.
fn names_a_version(bytes: &[u8]) -> bool {
    let bytes = bytes.strip_prefix(b"\r\n").unwrap_or(bytes);
    let line = bytes
        .split(|byte| *byte == b'\r')
        .next()
        .unwrap_or_default();
    let mut words = line.split(|byte| *byte == b' ').skip(2);
    let (version, more) = (words.next().unwrap_or_default(), words.next());
    more.is_none()
        && matches!(version, [b'H', b'T', b'T', b'P', b'/', major, b'.', minor]
            if major.is_ascii_digit() && minor.is_ascii_digit())
}

/// Fields of a head. Real clients send about 15, and a row of proxies adds as many each.
const HEAD_FIELDS: usize = 100;

/// Fields that are read here; all others are ignored.
const READ: [&str; 13] = [
    "host",
    "content-length",
    "transfer-encoding",
    "connection",
    "expect",
    "content-encoding",
    "origin",
    "authorization",
    "x-api-key",
    "content-type",
    "accept",
    "access-control-request-headers",
    "access-control-request-method",
];
