//! Reads one JSON-RPC 2.0 message from bytes.
//!
//! Promises: whatever the bytes, [`parse`] returns a message or a fault with the error to send, and the fault carries
//! the request's id whenever the id can be read. An id is echoed with the same type and digits. A message that names a
//! key twice in one object is refused (-32600): two readers could take it for different messages, and topics drive
//! actuators.
//! Does not: know methods, versions or sessions, or write responses (see `response`).

use std::fmt;
use std::rc::Rc;

use serde::Deserialize;
use serde::de::{Deserializer, Error as _, IgnoredAny, SeqAccess, Visitor};
use serde_json::value::RawValue;
use serde_json::{Map, Value};

use super::strict::{cut, has_more_values, strict};

/// The code for bytes that are not JSON.
pub const PARSE_ERROR: i64 = -32700;
/// The code for JSON that is not a valid message, or not one that is allowed at this point.
pub const INVALID_REQUEST: i64 = -32600;
/// The code for a method that the protocol version does not have.
pub const METHOD_NOT_FOUND: i64 = -32601;
/// The code for wrong parameters.
pub const INVALID_PARAMS: i64 = -32602;
/// The code for a failure of the server.
pub const INTERNAL_ERROR: i64 = -32603;
/// The code for a resource that does not exist (versions with a handshake only).
pub const RESOURCE_NOT_FOUND: i64 = -32002;
/// The code for an HTTP header that contradicts the body (MCP 2026-07-28).
pub const HEADER_MISMATCH: i64 = -32020;
/// The code for a request that needs a capability its client did not declare (MCP 2026-07-28).
pub const MISSING_CLIENT_CAPABILITY: i64 = -32021;
/// The code for a version in `_meta` that the server does not support (MCP 2026-07-28).
pub const UNSUPPORTED_VERSION: i64 = -32022;

/// The parameters of a message: a JSON object, empty when the message has none.
pub type Params = Map<String, Value>;

/// A message from the client.
#[derive(Debug)]
pub enum Message<'a> {
    /// A request, which gets a response.
    Request(Request),
    /// A notification, which never gets a response.
    Notification(Notification),
    /// The client's response to a request of the server.
    Response(Response),
    /// A JSON array of messages, not yet parsed.
    Batch(Batch<'a>),
}

/// A request: a message with a method and an id.
#[derive(Debug)]
pub struct Request {
    /// The id that the client chose; the response echoes it.
    pub id: Id,
    /// The name of the method.
    pub method: String,
    /// The parameters of the method.
    pub params: Params,
}

/// A notification: a message with a method and no id.
#[derive(Debug)]
pub struct Notification {
    /// The name of the method.
    pub method: String,
    /// The parameters; `None` when `params` is not an object.
    pub params: Option<Params>,
}

/// A response: a message with an id and a result or an error.
#[derive(Debug)]
pub struct Response {
    /// The id of the server's request.
    pub id: Id,
    /// The value of `result`, or that of `error`, as received.
    pub outcome: Result<Value, Value>,
}

/// A request id or progress token: a string or an integer, kept as its JSON text, so that it is
/// echoed exactly (`1` is not `"1"`, and 2^70 keeps its digits) and compares by meaning.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Id(Rc<str>);

/// The JSON text of an array of messages.
#[derive(Debug)]
pub struct Batch<'a>(&'a str);

/// A JSON-RPC error object.
#[derive(Debug)]
pub struct RpcError {
    /// The error code, one of this module's constants.
    pub code: i64,
    /// The error message: one short sentence.
    pub message: String,
    /// Additional data for programs.
    pub data: Option<Value>,
}

/// An error in a message, with the id of the request that gets it.
#[derive(Debug)]
pub struct Fault {
    /// The id of the request, when it could be read.
    pub id: Option<Id>,
    /// The error to send.
    pub error: RpcError,
}

/// Parses one message.
///
/// -32700 when the bytes are not UTF-8 or not JSON (nesting deeper than 128 levels and unpaired surrogates included),
/// -32600 when they are JSON but not a message or contain too many values, -32602 when `params` of a request is not an
/// object.
pub fn parse(bytes: &[u8]) -> Result<Message<'_>, Fault> {
    let Ok(text) = std::str::from_utf8(bytes) else {
        return Err(invalid_utf8(bytes));
    };
    if has_more_values(text, MAX_VALUES) {
        return Err(too_many_values(text));
    }
    match text.trim_ascii_start().as_bytes().first() {
        Some(b'{') => parse_object(text),
        Some(b'[') => Ok(Message::Batch(Batch(text))),
        _ => Err(no_message(text)),
    }
}

impl Id {
    /// The id that a value stands for. An integer beyond 64 bits is not recognised here, because [`Value`] does not
    /// keep its digits.
    pub(in crate::mcp) fn from_value(value: &Value) -> Option<Id> {
        match value {
            Value::String(text) if text.len() > MAX_ID_BYTES => None,
            Value::String(_) => Some(Id(value.to_string().into())),
            Value::Number(number) if !number.is_f64() => Some(Id(value.to_string().into())),
            _ => None,
        }
    }

    /// The id as JSON text: digits, or a quoted string.
    #[must_use]
    pub fn as_json(&self) -> &str {
        &self.0
    }

    fn from_json(text: &str) -> Option<Id> {
        if text.len() > MAX_ID_BYTES {
            return None;
        }
        if !text.starts_with('"') {
            let digits = text.strip_prefix('-').unwrap_or(text);
            let integer = !digits.is_empty() && digits.bytes().all(|byte| byte.is_ascii_digit());
            return integer.then(|| Id(text.into()));
        }
        if !text.contains('\\') {
            return Some(Id(text.into()));
        }
        let plain: String = serde_json::from_str(text).ok()?;
        Some(Id(Value::String(plain).to_string().into()))
    }
}

impl<'a> Batch<'a> {
    /// The JSON texts of the messages, at most `max`.
    ///
    /// # Errors
    /// -32700 when the batch is not JSON, -32600 when it is empty or has more than `max` messages.
    pub(in crate::mcp) fn split(&self, max: usize) -> Result<Vec<&'a RawValue>, RpcError> {
        let mut from = serde_json::Deserializer::from_str(self.0);
        let items = from
            .deserialize_seq(Split { max })
            .and_then(|items| from.end().map(|()| items))
            .map_err(|why| json_error(&why))?;
        if items.is_empty() {
            return Err(RpcError::new(INVALID_REQUEST, "the batch is empty"));
        }
        Ok(items)
    }

    /// The error for a batch where batches are not allowed: -32600, or -32700 when the batch is not JSON.
    pub(in crate::mcp) fn refuse(&self, reason: &str) -> RpcError {
        match serde_json::from_str::<IgnoredAny>(self.0) {
            Ok(_) => RpcError::new(INVALID_REQUEST, reason),
            Err(why) => json_error(&why),
        }
    }
}

impl RpcError {
    /// Creates an error without data.
    pub fn new(code: i64, message: impl Into<String>) -> RpcError {
        RpcError {
            code,
            message: message.into(),
            data: None,
        }
    }

    /// Adds data for programs to the error.
    #[must_use]
    pub fn with(mut self, data: Value) -> RpcError {
        self.data = Some(data);
        self
    }

    /// Turns the error into the fault of the request with this id.
    pub(in crate::mcp) fn about(self, id: Option<Id>) -> Fault {
        Fault { id, error: self }
    }
}

/// The members of a message. Unknown members are ignored; a duplicate member is an error of serde.
#[derive(Deserialize)]
struct Members<'a> {
    #[serde(default)]
    jsonrpc: Option<String>,
    #[serde(default, borrow, deserialize_with = "present")]
    id: Option<&'a RawValue>,
    #[serde(default)]
    method: Option<String>,
    #[serde(default, deserialize_with = "strict")]
    params: Option<Value>,
    #[serde(default, deserialize_with = "strict")]
    result: Option<Value>,
    #[serde(default, deserialize_with = "strict")]
    error: Option<Value>,
}

/// The id alone, for a message that cannot be parsed completely.
#[derive(Deserialize)]
struct OnlyId<'a> {
    #[serde(default, borrow, deserialize_with = "present")]
    id: Option<&'a RawValue>,
}

struct Split {
    max: usize,
}

impl<'de> Visitor<'de> for Split {
    type Value = Vec<&'de RawValue>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an array of messages")
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<Self::Value, A::Error> {
        let mut items = Vec::new();
        while let Some(item) = seq.next_element()? {
            if items.len() == self.max {
                let max = self.max;
                return Err(A::Error::custom(format_args!(
                    "more than {max} messages in a batch"
                )));
            }
            items.push(item);
        }
        Ok(items)
    }
}

/// The id in a response of the server.
pub(in crate::mcp) fn id_of(answer: &[u8]) -> Option<Id> {
    readable_id(std::str::from_utf8(answer).ok()?)
}

/// The single responses in the response to a batch; `None` for a response that is not an array.
pub(in crate::mcp) fn batched(answer: &[u8]) -> Option<Vec<Vec<u8>>> {
    let items: Vec<&RawValue> = serde_json::from_slice(answer).ok()?;
    let texts = items.into_iter().map(|item| item.get().as_bytes().to_vec());
    Some(texts.collect())
}

/// Keeps a member that is `null` apart from an absent one.
fn present<'de, D: Deserializer<'de>>(from: D) -> Result<Option<&'de RawValue>, D::Error> {
    <&RawValue>::deserialize(from).map(Some)
}

fn parse_object(text: &str) -> Result<Message<'_>, Fault> {
    let members: Members<'_> = serde_json::from_str(text).map_err(|why| Fault {
        id: readable_id(text),
        error: json_error(&why),
    })?;
    let id = members.id.map(|raw| Id::from_json(raw.get()));
    let known = id.clone().flatten();
    if members.jsonrpc.as_deref() != Some("2.0") {
        return refuse(known, INVALID_REQUEST, "`jsonrpc` must be \"2.0\"");
    }
    if members.id.is_some_and(|raw| raw.get().len() > MAX_ID_BYTES) {
        let text = format!("`id` must have at most {MAX_ID_BYTES} bytes");
        return refuse(None, INVALID_REQUEST, &text);
    }
    if id.is_some() && known.is_none() {
        return refuse(None, INVALID_REQUEST, "`id` must be a string or an integer");
    }
    if members.method.is_some() && (members.result.is_some() || members.error.is_some()) {
        let text = "a message has a `method` or a `result`, not both";
        return refuse(known, INVALID_REQUEST, text);
    }
    match (members.method, known) {
        (Some(method), Some(id)) => match object(members.params) {
            Some(params) => Ok(Message::Request(Request { id, method, params })),
            None => refuse(Some(id), INVALID_PARAMS, "`params` must be an object"),
        },
        (Some(method), None) => {
            let params = object(members.params);
            Ok(Message::Notification(Notification { method, params }))
        }
        (None, id) => response(id, members.result, members.error),
    }
}

fn response(
    id: Option<Id>,
    result: Option<Value>,
    error: Option<Value>,
) -> Result<Message<'static>, Fault> {
    let (id, outcome) = match (id, result, error) {
        (Some(id), Some(result), None) => (id, Ok(result)),
        (Some(id), None, Some(error)) => (id, Err(error)),
        (id, ..) => {
            let text = "a message has a `method`, or an `id` and one of `result` and `error`";
            return refuse(id, INVALID_REQUEST, text);
        }
    };
    Ok(Message::Response(Response { id, outcome }))
}

fn refuse<T>(id: Option<Id>, code: i64, text: &str) -> Result<T, Fault> {
    Err(RpcError::new(code, text).about(id))
}

/// Turns absent or null `params` into an empty object.
fn object(params: Option<Value>) -> Option<Params> {
    match params {
        None | Some(Value::Null) => Some(Map::new()),
        Some(Value::Object(map)) => Some(map),
        Some(_) => None,
    }
}

fn invalid_utf8(bytes: &[u8]) -> Fault {
    let at = bytes
        .utf8_chunks()
        .next()
        .map_or(0, |chunk| chunk.valid().len());
    let id = readable_id(&String::from_utf8_lossy(bytes));
    Fault {
        // An id with invalid UTF-8 in it cannot be echoed.
        id: id.filter(|id| !id.as_json().contains(char::REPLACEMENT_CHARACTER)),
        error: RpcError::new(PARSE_ERROR, format!("invalid UTF-8 at byte {at}")),
    }
}

fn no_message(text: &str) -> Fault {
    let error = match serde_json::from_str::<IgnoredAny>(text) {
        Ok(_) => RpcError::new(INVALID_REQUEST, "a message is a JSON object"),
        Err(why) => json_error(&why),
    };
    Fault { id: None, error }
}

fn too_many_values(text: &str) -> Fault {
    let error = match serde_json::from_str::<IgnoredAny>(text) {
        Ok(_) => {
            let text = format!(
                "the message has more than {MAX_VALUES} JSON values; send what is large as one string"
            );
            RpcError::new(INVALID_REQUEST, text)
        }
        Err(why) => json_error(&why),
    };
    error.about(readable_id(text))
}

/// The id of a message that is well-formed JSON but has an unusable part, so that the client gets its error and does
/// not wait.
fn readable_id(text: &str) -> Option<Id> {
    let OnlyId { id } = serde_json::from_str(text).ok()?;
    id.and_then(|raw| Id::from_json(raw.get()))
}

fn json_error(why: &serde_json::Error) -> RpcError {
    let text = cut(&why.to_string(), 200);
    if why.is_data() {
        RpcError::new(INVALID_REQUEST, format!("invalid message: {text}"))
    } else {
        RpcError::new(PARSE_ERROR, format!("invalid JSON: {text}"))
    }
}

/// The size limit of an id or progress token: every response and notification about the request repeats it.
const MAX_ID_BYTES: usize = 1024;
/// The limit on values in one message or batch: values take memory that the byte count does not show, and a call has a
/// few dozen.
const MAX_VALUES: usize = 20_000;
