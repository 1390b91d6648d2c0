//! What a server offers: tools, resources, templates and prompts, each a description and a
//! function.
//!
//! Promises: plain data; the engine adds nothing to it and serves it in the order given.
//! Does not: check anything (see [`Engine::new`](super::Engine::new)) or know MQTT.

use std::fmt;

use serde::Serialize;
use serde_json::value::{RawValue, to_raw_value};
use serde_json::{Map, Value};
use smol::future::BoxedLocal;

use super::progress::Progress;
use super::version::Version;

/// Everything the server offers. Lists may be empty; they are answered all the same.
#[derive(Debug, Default)]
pub struct Catalog {
    /// For `tools/list` and `tools/call`.
    pub tools: Vec<Tool>,
    /// For `resources/list` and `resources/read`.
    pub resources: Vec<Resource>,
    /// For `resources/templates/list`; asked in order for a URI that is no resource.
    pub templates: Vec<Template>,
    /// For `prompts/list` and `prompts/get`.
    pub prompts: Vec<Prompt>,
}

/// Who the server says it is.
#[derive(Clone, Debug)]
pub struct ServerInfo {
    /// The program's name.
    pub name: String,
    /// For people.
    pub title: String,
    /// The program's version.
    pub version: String,
    /// Advice to the model that no single tool's description can give; empty for none.
    pub instructions: String,
}

/// One tool.
pub struct Tool {
    /// 1 to 64 characters of `A-Z a-z 0-9 _ . -`.
    pub name: String,
    /// For people.
    pub title: String,
    /// For the model: when to use it, what comes back, the units.
    pub description: String,
    /// Hints for the host.
    pub annotations: Annotations,
    /// The arguments: JSON Schema in the subset of [`super::schema`], of type `object`.
    pub input_schema: Value,
    /// What [`ToolResult::structured`] yields, of type `object`.
    pub output_schema: Option<Value>,
    /// Names that agents try, and the name to use instead.
    pub renamed: Vec<(&'static str, &'static str)>,
    /// Does it.
    pub handler: ToolHandler,
}

/// A tool's function. Its future is dropped when the client cancels.
pub type ToolHandler = Box<dyn Fn(ToolCall) -> BoxedLocal<ToolResult>>;

/// The four hints, all of them said, since their defaults are alarming.
#[derive(Clone, Copy, Debug)]
pub struct Annotations {
    /// Changes nothing.
    pub read_only: bool,
    /// May undo or overwrite.
    pub destructive: bool,
    /// Twice is as once.
    pub idempotent: bool,
    /// Reaches things outside the server.
    pub open_world: bool,
}

/// One call of a tool.
#[derive(Debug)]
pub struct ToolCall {
    /// Validated against the tool's input schema, defaults filled in, integers as integers.
    pub arguments: Map<String, Value>,
    /// For a call that takes its time.
    pub progress: Progress,
    /// The version the caller speaks.
    pub version: Version,
    // Room: the caller's capabilities and its answers to what an earlier round asked
    // (`inputResponses`, `requestState`).
}

/// How a call of a tool ended.
#[derive(Debug)]
pub enum ToolResult {
    /// Goes out as `structuredContent` and as the same JSON in a text block; see
    /// [`ToolResult::structured`].
    Structured(Box<RawValue>),
    /// Something the model can read and act on (`isError: true`).
    Error(String),
    /// Content blocks as they are.
    Content(Vec<Value>),
    // Room: the call needs input from the client first (`resultType: "input_required"`).
}

/// A fixed resource.
pub struct Resource {
    /// Absolute.
    pub uri: String,
    /// A short identifier.
    pub name: String,
    /// For people.
    pub title: String,
    /// For the model.
    pub description: String,
    /// Of the contents.
    pub mime_type: String,
    /// Reads it.
    pub reader: Reader,
}

/// A family of resources.
pub struct Template {
    /// RFC 6570.
    pub uri_template: String,
    /// A short identifier.
    pub name: String,
    /// For people.
    pub title: String,
    /// For the model.
    pub description: String,
    /// Of the contents.
    pub mime_type: String,
    /// Whether the URI belongs to the family.
    pub accepts: Box<dyn Fn(&str) -> bool>,
    /// Reads one of them.
    pub reader: Reader,
}

/// A resource's function.
pub type Reader = Box<dyn Fn(ReadCall) -> BoxedLocal<Result<Vec<Contents>, ReadError>>>;

/// One read of a resource.
#[derive(Debug)]
pub struct ReadCall {
    /// As the client wrote it.
    pub uri: String,
    /// For a read that takes its time.
    pub progress: Progress,
}

/// One part of what a read yields.
#[derive(Debug)]
pub struct Contents {
    /// Of this part.
    pub uri: String,
    /// Of this part.
    pub mime_type: String,
    /// The bytes.
    pub body: Body,
}

/// Text or anything else.
#[derive(Debug)]
pub enum Body {
    /// UTF-8.
    Text(String),
    /// Sent as base64.
    Blob(Vec<u8>),
}

/// Why a resource was not read.
#[derive(Debug)]
pub enum ReadError {
    /// There is no such resource.
    NotFound,
    /// There is, but it could not be read now; one sentence.
    Failed(String),
}

/// A prompt.
pub struct Prompt {
    /// Unique.
    pub name: String,
    /// For people.
    pub title: String,
    /// For people.
    pub description: String,
    /// What can be filled in.
    pub arguments: Vec<PromptArgument>,
    /// Makes the messages.
    pub handler: PromptHandler,
}

/// One thing to fill in.
#[derive(Debug)]
pub struct PromptArgument {
    /// Unique in its prompt.
    pub name: String,
    /// For people.
    pub description: String,
    /// Missing is an error.
    pub required: bool,
}

/// A prompt's function: from its arguments, the messages, each `{role, content}`; or why not.
pub type PromptHandler = Box<dyn Fn(Map<String, Value>) -> BoxedLocal<Result<Vec<Value>, String>>>;

impl ToolResult {
    /// Success with an object, in the shape of the tool's output schema.
    pub fn structured(value: &impl Serialize) -> ToolResult {
        match to_raw_value(value) {
            Ok(json) => ToolResult::Structured(json),
            Err(why) => ToolResult::Error(format!("the result cannot be written as JSON: {why}")),
        }
    }
}

impl fmt::Debug for Tool {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Tool({})", self.name)
    }
}

impl fmt::Debug for Resource {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Resource({})", self.uri)
    }
}

impl fmt::Debug for Template {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Template({})", self.uri_template)
    }
}

impl fmt::Debug for Prompt {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Prompt({})", self.name)
    }
}
