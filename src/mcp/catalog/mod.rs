//! What a server offers: tools, resources, templates and prompts, each a description and a
//! function.
//!
//! Promises: plain data; the engine adds nothing to it and serves it in the order given.
//! Does not: check anything (see [`Engine::new`](super::Engine::new)) or know MQTT.

pub(in crate::mcp) mod capabilities;
pub(in crate::mcp) mod items;
pub(in crate::mcp) mod results;

use std::fmt;
use std::rc::Rc;

use serde::Serialize;
use serde_json::value::{RawValue, to_raw_value};
use serde_json::{Map, Value};
use smol::future::BoxedLocal;

use super::client::caller::Caller;
use super::client::peer::Peer;
use super::client::progress::Progress;
use super::client::sink::AnswerRoom;
use super::client::subscriptions::Notifier;
pub use super::client::subscriptions::{ReadError, Watcher};

/// Everything the server offers. Lists may be empty; they are answered all the same.
#[derive(Default)]
pub struct Catalog {
    /// For `tools/list` and `tools/call`.
    pub tools: Vec<Tool>,
    /// For `resources/list` and `resources/read`.
    pub resources: Vec<Resource>,
    /// For `resources/templates/list`; asked in order for a URI that is no resource.
    pub templates: Vec<Template>,
    /// For `prompts/list` and `prompts/get`.
    pub prompts: Vec<Prompt>,
    /// Through a clone of this, handlers and watchers tell what changed.
    pub notifier: Notifier,
    /// Whether it is said that lists may change (`listChanged`), and told when they do.
    pub lists_change: bool,
    /// Whether handlers log to the client (`logging`).
    pub logging: bool,
    /// Whether handlers ask the client.
    pub asks: bool,
    /// Which tools each caller is offered, by name; `None`: all of them. A tool that is not offered is not there.
    pub offers: Option<Offers>,
}

/// Whether a caller is offered the tool of this name.
pub type Offers = Box<dyn Fn(&Caller, &str) -> bool>;

/// Advice to the model of one caller that no single tool's description can give; empty for none. Cheap to clone.
#[derive(Clone)]
pub struct Instructions(Rc<dyn Fn(&Caller) -> String>);

/// Who the server says it is.
#[derive(Clone, Debug)]
pub struct ServerInfo {
    /// The program's name.
    pub name: String,
    /// For people.
    pub title: String,
    /// The program's version.
    pub version: String,
    /// What a model should know before it reads anything else.
    pub instructions: Instructions,
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
    /// The schema goes beyond that subset: the engine does not hold arguments against it, the
    /// handler does.
    pub judges_itself: bool,
    /// What [`ToolResult::structured`] yields, of type `object`.
    pub output_schema: Option<Value>,
    /// Names that agents try, and the name to use instead.
    pub renamed: Vec<(&'static str, &'static str)>,
    /// The tool's function.
    pub handler: ToolHandler,
}

/// A tool's function. Its future is dropped when the client cancels.
pub type ToolHandler = Rc<dyn Fn(ToolCall) -> BoxedLocal<ToolResult>>;

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
    /// For a result that may be large.
    pub room: AnswerRoom,
    /// Who calls.
    pub client: Peer,
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
    pub reader: ResourceReader,
    /// Watches it for those who subscribe; `None` when it never changes.
    pub watcher: Option<Watcher>,
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
    /// Of the contents; empty when they differ in it.
    pub mime_type: String,
    /// Whether the URI belongs to the family.
    pub accepts: Box<dyn Fn(&str) -> bool>,
    /// Reads one of them.
    pub reader: ResourceReader,
    /// Watches one of them for those who subscribe; `None` when they never change.
    pub watcher: Option<Watcher>,
    /// Completes the template's variables.
    pub completer: Option<Completer>,
}

/// A resource's function.
pub type ResourceReader = Rc<dyn Fn(ReadCall) -> BoxedLocal<Result<Vec<Contents>, ReadError>>>;

/// Suggests values for an argument, best first; the engine sends the first hundred.
pub type Completer = Box<dyn Fn(&Completing) -> Vec<String>>;

/// A value half written.
#[derive(Debug)]
pub struct Completing {
    /// The name of the argument or variable.
    pub argument: String,
    /// What is there so far.
    pub value: String,
    /// Other arguments that are settled already.
    pub settled: Map<String, Value>,
    /// Who asks.
    pub caller: Caller,
}

/// One read of a resource.
#[derive(Debug)]
pub struct ReadCall {
    /// As the client wrote it.
    pub uri: String,
    /// For a read that takes its time.
    pub progress: Progress,
    /// Who reads.
    pub client: Peer,
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
    /// Completes its arguments.
    pub completer: Option<Completer>,
}

/// One request for a prompt.
#[derive(Debug)]
pub struct PromptCall {
    /// Those that are required are there and are strings.
    pub arguments: Map<String, Value>,
    /// Who asks.
    pub client: Peer,
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
pub type PromptHandler = Rc<dyn Fn(PromptCall) -> BoxedLocal<Result<Vec<Value>, String>>>;

impl ToolResult {
    /// Success with an object, in the shape of the tool's output schema.
    pub fn structured(value: &impl Serialize) -> ToolResult {
        match to_raw_value(value) {
            Ok(json) => ToolResult::Structured(json),
            Err(why) => ToolResult::Error(format!("the result cannot be written as JSON: {why}")),
        }
    }
}

impl Instructions {
    /// Advice that is made for each caller, when it is asked for.
    #[must_use]
    pub fn new(make: impl Fn(&Caller) -> String + 'static) -> Instructions {
        Instructions(Rc::new(make))
    }

    pub(in crate::mcp) fn of(&self, caller: &Caller) -> String {
        (self.0)(caller)
    }
}

/// The same for every caller.
impl From<&str> for Instructions {
    fn from(text: &str) -> Instructions {
        let text = text.to_owned();
        Instructions::new(move |_| text.clone())
    }
}

impl Catalog {
    /// The tool of this name, if this caller is offered it.
    pub(in crate::mcp) fn tool(&self, caller: &Caller, name: &str) -> Option<(usize, &Tool)> {
        let mut tools = self.tools.iter().enumerate();
        let found = tools.find(|(_, tool)| tool.name == name)?;
        let is_offered = |offers: &Offers| offers(caller, name);
        self.offers.as_ref().is_none_or(is_offered).then_some(found)
    }

    /// The tools that this caller is offered.
    pub(in crate::mcp) fn tools_for(&self, caller: &Caller) -> impl Iterator<Item = &Tool> {
        let is_offered = |tool: &&Tool| {
            let offers = self.offers.as_ref();
            offers.is_none_or(|offers| offers(caller, &tool.name))
        };
        self.tools.iter().filter(is_offered)
    }
}

impl fmt::Debug for Catalog {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Catalog")
            .field("tools", &self.tools)
            .field("resources", &self.resources)
            .field("templates", &self.templates)
            .field("prompts", &self.prompts)
            .finish_non_exhaustive()
    }
}

impl fmt::Debug for Instructions {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Instructions")
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
