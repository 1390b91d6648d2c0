//! What a server offers: tools, resources, templates and prompts, each a description and a
//! function.
//!
//! Promises: plain data; the engine adds nothing to it and serves it in the order given.
//! Does not: check anything (see [`Engine::new`](super::Engine::new)) or know MQTT.

pub(in crate::mcp) mod capabilities;
pub(in crate::mcp) mod items;
pub(in crate::mcp) mod results;
mod schema_text;

use std::cell::Cell;
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

pub use self::schema_text::SchemaText;

/// Everything the server offers. An empty list is valid and is served as an empty list.
#[derive(Default)]
pub struct Catalog {
    /// Served by `tools/list` and `tools/call`.
    pub tools: Vec<Tool>,
    /// Served by `resources/list` and `resources/read`.
    pub resources: Vec<Resource>,
    /// Served by `resources/templates/list`. A URI that is no fixed resource is matched against the templates in this
    /// order.
    pub templates: Vec<Template>,
    /// Served by `prompts/list` and `prompts/get`.
    pub prompts: Vec<Prompt>,
    /// Reports changes: handlers and watchers hold clones of this notifier.
    pub notifier: Notifier,
    /// Whether the server declares `listChanged` and notifies clients when a list changes.
    pub lists_change: bool,
    /// Whether the server declares `logging`: handlers send log messages to the client.
    pub logging: bool,
    /// Whether handlers may ask the client questions now (elicitation, sampling, roots); that may change.
    pub asks: Rc<Cell<bool>>,
    /// Decides by name which tools each caller is offered; `None` offers every tool. A tool that is not offered is
    /// unknown to that caller.
    pub offers: Option<Offers>,
    /// Ends what handlers keep between the calls of some callers.
    pub dismiss: Option<Dismiss>,
}

/// Whether the caller is offered the tool with this name.
pub type Offers = Box<dyn Fn(&Caller, &str) -> bool>;

/// Called when callers are not let in any more; its argument tells which.
pub type Dismiss = Box<dyn Fn(&dyn Fn(&Caller) -> bool)>;

/// Advice to the model that depends on the caller, where no single tool's description can give it; an empty text stands
/// for no advice. Cheap to clone.
#[derive(Clone)]
pub struct Instructions(Rc<dyn Fn(&Caller) -> String>);

/// The server's identity (`serverInfo`) and its instructions.
#[derive(Clone, Debug)]
pub struct ServerInfo {
    /// The program's name, for programs.
    pub name: String,
    /// The name that user interfaces show.
    pub title: String,
    /// The program's version.
    pub version: String,
    /// What a model should know before anything else (`instructions`).
    pub instructions: Instructions,
}

/// A tool: its description for `tools/list` and its function for `tools/call`.
pub struct Tool {
    /// 1 to 64 characters of `A-Z a-z 0-9 _ . -`.
    pub name: String,
    /// The name that user interfaces show.
    pub title: String,
    /// For the model: when to use it, what comes back, the units.
    pub description: String,
    /// Hints about the tool's effects, for the host.
    pub annotations: Annotations,
    /// The arguments: JSON Schema in the subset of [`super::schema`], of type `object`.
    pub input_schema: SchemaText,
    /// True when the input schema goes beyond that subset: then the handler validates the arguments, not the engine.
    pub judges_itself: bool,
    /// The JSON Schema of what [`ToolResult::structured`] carries, of type `object`.
    pub output_schema: Option<SchemaText>,
    /// Argument names that agents use by mistake, each with the right name.
    pub renamed: Vec<(&'static str, &'static str)>,
    /// The names of string arguments that also take a number or a boolean, as its JSON text.
    pub scalars: Vec<&'static str>,
    /// The function that serves `tools/call`.
    pub handler: ToolHandler,
}

/// A tool's function. Its future is dropped when the client cancels.
pub type ToolHandler = Rc<dyn Fn(ToolCall) -> BoxedLocal<ToolResult>>;

/// The four behaviour hints of MCP (`ToolAnnotations`). All four are always sent, because a missing hint means the most
/// dangerous value.
#[derive(Clone, Copy, Debug)]
pub struct Annotations {
    /// `readOnlyHint`: the tool changes nothing.
    pub read_only: bool,
    /// `destructiveHint`: the tool may undo or overwrite something.
    pub destructive: bool,
    /// `idempotentHint`: calling the tool again with the same arguments has no further effect.
    pub idempotent: bool,
    /// `openWorldHint`: the tool acts on things outside the server.
    pub open_world: bool,
}

/// One call of a tool.
#[derive(Debug)]
pub struct ToolCall {
    /// The arguments, validated against the tool's input schema; defaults are filled in and integers are JSON integers.
    pub arguments: Map<String, Value>,
    /// Reports the progress of a long call.
    pub progress: Progress,
    /// How many bytes the result may have.
    pub room: AnswerRoom,
    /// The client that made the call.
    pub client: Peer,
}

/// The outcome of a tool call.
#[derive(Debug)]
pub enum ToolResult {
    /// The result as one JSON object, sent as `structuredContent` and as the same JSON in a text block; see
    /// [`ToolResult::structured`].
    Structured(Box<RawValue>),
    /// An error message that the model can read and act on (`isError: true`).
    Error(String),
    /// MCP content blocks, sent unchanged.
    Content(Vec<Value>),
}

/// A resource with a fixed URI.
pub struct Resource {
    /// The absolute URI that identifies the resource.
    pub uri: String,
    /// The short identifier (`name` in MCP).
    pub name: String,
    /// The name that user interfaces show.
    pub title: String,
    /// The description for the model.
    pub description: String,
    /// The media type of the contents.
    pub mime_type: String,
    /// The function that serves `resources/read`.
    pub reader: ResourceReader,
    /// Watches the resource for subscribers; `None` for a resource that never changes.
    pub watcher: Option<Watcher>,
}

/// A family of resources whose URIs follow one template.
pub struct Template {
    /// The template of RFC 6570.
    pub uri_template: String,
    /// The short identifier (`name` in MCP).
    pub name: String,
    /// The name that user interfaces show.
    pub title: String,
    /// The description for the model.
    pub description: String,
    /// The media type of the contents; empty when the family's resources differ in it.
    pub mime_type: String,
    /// Whether a URI belongs to the family.
    pub accepts: Box<dyn Fn(&str) -> bool>,
    /// The function that serves `resources/read` for the family's URIs.
    pub reader: ResourceReader,
    /// Watches a resource of the family for subscribers; `None` for resources that never change.
    pub watcher: Option<Watcher>,
    /// Suggests values for the template's variables.
    pub completer: Option<Completer>,
}

/// The function that reads a resource.
pub type ResourceReader = Rc<dyn Fn(ReadCall) -> BoxedLocal<Result<Vec<Contents>, ReadError>>>;

/// Suggests values for an argument, best first; the engine sends the first hundred.
pub type Completer = Box<dyn Fn(&Completing) -> Vec<String>>;

/// The argument that a client asks completions for.
#[derive(Debug)]
pub struct Completing {
    /// The name of the argument or variable.
    pub argument: String,
    /// The part of the value that the user has typed.
    pub value: String,
    /// The other arguments, whose values are known already.
    pub settled: Map<String, Value>,
    /// The caller that asks.
    pub caller: Caller,
}

/// One read of a resource.
#[derive(Debug)]
pub struct ReadCall {
    /// The URI as the client wrote it.
    pub uri: String,
    /// Reports the progress of a long read.
    pub progress: Progress,
    /// The client that reads.
    pub client: Peer,
}

/// One part of a resource's contents.
#[derive(Debug)]
pub struct Contents {
    /// The URI of this part.
    pub uri: String,
    /// The media type of this part.
    pub mime_type: String,
    /// The text or bytes of this part.
    pub body: Body,
}

/// The body of a part: text or binary data.
#[derive(Debug)]
pub enum Body {
    /// Text in UTF-8.
    Text(String),
    /// Binary data, sent in base64.
    Blob(Vec<u8>),
}

/// A prompt template that users choose by name.
pub struct Prompt {
    /// The name, unique among the prompts.
    pub name: String,
    /// The name that user interfaces show.
    pub title: String,
    /// The description that user interfaces show.
    pub description: String,
    /// The arguments that the prompt takes.
    pub arguments: Vec<PromptArgument>,
    /// The function that builds the messages.
    pub handler: PromptHandler,
    /// Suggests values for the prompt's arguments.
    pub completer: Option<Completer>,
}

/// One request for a prompt.
#[derive(Debug)]
pub struct PromptCall {
    /// The arguments: every required argument is present, and every value is a string.
    pub arguments: Map<String, Value>,
    /// The client that asks for the prompt.
    pub client: Peer,
}

/// An argument of a prompt.
#[derive(Debug)]
pub struct PromptArgument {
    /// The name, unique within the prompt.
    pub name: String,
    /// The description that user interfaces show.
    pub description: String,
    /// A request without this argument is refused.
    pub required: bool,
}

/// A prompt's function: returns the messages, each `{role, content}`, or an error message.
pub type PromptHandler = Rc<dyn Fn(PromptCall) -> BoxedLocal<Result<Vec<Value>, String>>>;

impl ToolResult {
    /// A successful result; `value` has to match the tool's output schema.
    pub fn structured(value: &impl Serialize) -> ToolResult {
        match to_raw_value(value) {
            Ok(json) => ToolResult::Structured(json),
            Err(why) => ToolResult::Error(format!("the result cannot be written as JSON: {why}")),
        }
    }
}

impl Instructions {
    /// Advice that `make` writes for each caller at the time of the request.
    #[must_use]
    pub fn new(make: impl Fn(&Caller) -> String + 'static) -> Instructions {
        Instructions(Rc::new(make))
    }

    pub(in crate::mcp) fn of(&self, caller: &Caller) -> String {
        (self.0)(caller)
    }
}

/// The same advice for every caller.
impl From<&str> for Instructions {
    fn from(text: &str) -> Instructions {
        let text = text.to_owned();
        Instructions::new(move |_| text.clone())
    }
}

impl Catalog {
    /// The tool with this name, when the caller is offered it.
    pub(in crate::mcp) fn tool(&self, caller: &Caller, name: &str) -> Option<(usize, &Tool)> {
        let mut tools = self.tools.iter().enumerate();
        let found = tools.find(|(_, tool)| tool.name == name)?;
        let is_offered = |offers: &Offers| offers(caller, name);
        self.offers.as_ref().is_none_or(is_offered).then_some(found)
    }

    /// The tools that the caller is offered.
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
