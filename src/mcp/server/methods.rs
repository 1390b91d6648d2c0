//! The methods that a client can call, each from its parameters to its response.
//!
//! Promises: an invalid catalog is refused at the start, with its mistake named; the handler of a call runs only when
//! the call runs.
//! Does not: know messages, batches or the rules of sessions (see `admission`, `engine`).

use std::collections::HashSet;
use std::fmt;
use std::rc::Rc;

use serde_json::{Map, Value, json};

use super::admission::{AdmittedRequest, Method};
use super::call::Part;
use super::mrtr::Round;
use super::request_state::RequestStateCodec;
use crate::mcp::catalog::capabilities::Capabilities;
use crate::mcp::catalog::results::Results;
use crate::mcp::catalog::{
    Catalog, PromptCall, ReadCall, ReadError, ResourceReader, ServerInfo, ToolCall, ToolResult,
    Watcher,
};
use crate::mcp::client::caller::ClientInfo;
use crate::mcp::client::sink::AnswerRoom;
use crate::mcp::client::subscriptions::Lists;
use crate::mcp::jsonrpc::message::{INTERNAL_ERROR, INVALID_PARAMS, Params, RpcError};
use crate::mcp::jsonrpc::response;
use crate::mcp::jsonrpc::strict::cut;
use crate::mcp::schema::rule::REPEATED;
use crate::mcp::schema::{Schema, SchemaError};
use crate::mcp::version::Version;
use crate::mcp::version::handshake;
use crate::mcp::version::log_level::Level;
use crate::mcp::version::question::Abilities;

/// A validated catalog.
#[derive(Debug)]
pub(in crate::mcp) struct Methods {
    pub(in crate::mcp) catalog: Catalog,
    schemas: Vec<Option<Schema>>,
    /// Of each tool, the arguments that a header field repeats, with the end of its name.
    repeated: Vec<Vec<(String, String)>>,
    pub(in crate::mcp) results: Results,
    pub(in crate::mcp) capabilities: Capabilities,
    pub(in crate::mcp) request_state: RequestStateCodec,
}

/// Why a catalog cannot be served: a defect of the program, found at its start.
#[derive(Debug)]
pub enum CatalogError {
    /// Two tools, resources or prompts have the same name.
    Twice(String),
    /// A tool's name is too long or has characters that the protocol does not allow.
    Name(String),
    /// A tool's input schema uses a keyword that [`Schema`] does not implement.
    Schema(String, SchemaError),
}

impl Methods {
    pub(in crate::mcp) fn new(catalog: Catalog, info: ServerInfo) -> Result<Methods, CatalogError> {
        unique(catalog.tools.iter().map(|tool| &tool.name))?;
        unique(catalog.resources.iter().map(|resource| &resource.uri))?;
        unique(catalog.prompts.iter().map(|prompt| &prompt.name))?;
        let (mut schemas, mut repeated) = (Vec::new(), Vec::new());
        for tool in &catalog.tools {
            let legal = |c: char| c.is_ascii_alphanumeric() || "_.-".contains(c);
            if !(1..=64).contains(&tool.name.len()) || !tool.name.chars().all(legal) {
                return Err(CatalogError::Name(tool.name.clone()));
            }
            let input_schema = tool.input_schema.value();
            repeated.push(repeated_arguments(&input_schema));
            let schema = Schema::compile(&input_schema)
                .map_err(|why| CatalogError::Schema(tool.name.clone(), why));
            schemas.push(match schema {
                Err(_) if tool.judges_itself => None,
                schema => Some(schema?),
            });
        }
        let capabilities = Capabilities::of(&catalog);
        Ok(Methods {
            catalog,
            schemas,
            repeated,
            results: Results::new(info, capabilities),
            capabilities,
            request_state: RequestStateCodec::new(),
        })
    }

    pub(in crate::mcp) fn repeated_arguments(&self, tool: &str) -> &[(String, String)] {
        let mut tools = self.catalog.tools.iter().zip(&self.repeated);
        let found = tools.find(|(it, _)| it.name == tool);
        found.map_or(&[], |(_, repeated)| repeated)
    }

    /// Takes an admitted request to its response, or to the call that yields the response.
    ///
    /// # Errors
    /// The request was admitted, but its parameters are wrong.
    pub(in crate::mcp) fn dispatch(
        self: &Rc<Self>,
        request: AdmittedRequest<'_>,
        mut params: Params,
    ) -> Result<Part, RpcError> {
        let id = &request.id;
        let text = match request.method {
            Method::Discover => response::success(id, &self.results.discover(&request.caller)),
            Method::Initialize => {
                let version = handshake::negotiate(&params)?;
                self.begin(&request, version, &params);
                let caller = &request.session.caller(None);
                response::success(id, &self.results.initialize(version, caller))
            }
            Method::Ping => response::success(id, &json!({})),
            Method::List(which) => {
                first_page(&params)?;
                let (catalog, by) = (&self.catalog, &request.caller);
                self.results.list(id, which, request.version, catalog, by)
            }
            Method::CallTool => return self.call_tool(request, params),
            Method::ReadResource => return self.read_resource(request, params),
            Method::GetPrompt => return self.get_prompt(request, params),
            Method::Complete => self.complete(&request, params)?,
            Method::Listen => return self.listen(request, params),
            Method::Subscribe => return self.subscribe(request, params),
            Method::Unsubscribe => {
                request
                    .session
                    .subscriber()
                    .forget(&take_text(&mut params, "uri")?);
                response::success(id, &json!({}))
            }
            Method::SetLogLevel => {
                let level = Level::from_name(&take_text(&mut params, "level")?);
                let wrong = || RpcError::new(INVALID_PARAMS, "`params.level` is not a log level");
                request.session.set_log_level(level.ok_or_else(wrong)?);
                response::success(id, &json!({}))
            }
        };
        Ok(Part::Done(text))
    }

    /// Starts a session with a handshake, or restarts it.
    fn begin(&self, request: &AdmittedRequest<'_>, version: Version, params: &Params) {
        let session = request.session;
        session.negotiate(version);
        session.set_abilities(Abilities::read(params.get("capabilities")));
        let client = params.get("clientInfo").and_then(Value::as_object);
        session.set_client(ClientInfo::read(client));
        let changes = self.capabilities.lists_change;
        session.subscriber().set_lists(Lists {
            tools: changes,
            prompts: changes,
            resources: changes,
        });
        self.catalog.notifier.add(session.subscriber());
    }

    fn call_tool(
        self: &Rc<Self>,
        request: AdmittedRequest<'_>,
        mut params: Params,
    ) -> Result<Part, RpcError> {
        let round = Round::take(self, &request, "tools/call", &mut params)?;
        let name = take_text(&mut params, "name")?;
        let Some((index, tool)) = self.catalog.tool(&request.caller, &name) else {
            return Err(unknown("tool", &name));
        };
        let schema = self.schemas.get(index).and_then(Option::as_ref);
        let mut arguments = take_arguments(&mut params)?;
        if let Some(schema) = schema {
            // MCP 2025-11-25 (SEP-1303): wrong arguments are a tool error, because the model can correct them.
            arguments = match schema.check(arguments, &tool.name, &tool.renamed, &tool.scalars) {
                Ok(arguments) => arguments,
                Err(faults) => {
                    let faults = ToolResult::Error(faults);
                    let text = self.results.tool(&request.id, request.version, &faults);
                    return Ok(Part::Done(text));
                }
            };
        }
        let (methods, id, version) = (self.clone(), request.id.clone(), request.version);
        let call = ToolCall {
            arguments,
            progress: request.progress.clone(),
            room: AnswerRoom::of(&request.sink, &request.id),
            client: request.client(round.client),
        };
        let (rest, handler) = (round.rest, Rc::clone(&tool.handler));
        Ok(request.wait(async move {
            match rest.run(handler(call)).await {
                Ok(result) => Ok(methods.results.tool(&id, version, &result)),
                Err(demand) => methods.demand(&id, rest, demand),
            }
        }))
    }

    fn read_resource(
        self: &Rc<Self>,
        request: AdmittedRequest<'_>,
        mut params: Params,
    ) -> Result<Part, RpcError> {
        let round = Round::take(self, &request, "resources/read", &mut params)?;
        let uri = take_text(&mut params, "uri")?;
        let Some((reader, _)) = self.source(&uri) else {
            return Err(no_resource(request.version, &uri));
        };
        let (methods, id, version) = (self.clone(), request.id.clone(), request.version);
        let call = ReadCall {
            uri: uri.clone(),
            progress: request.progress.clone(),
            client: request.client(round.client),
        };
        let (rest, reader) = (round.rest, Rc::clone(reader));
        Ok(request.wait(async move {
            match rest.run(reader(call)).await {
                Ok(Ok(contents)) => Ok(methods.results.read(&id, version, contents)),
                Ok(Err(error)) => Err(read_error(version, &uri, error)),
                Err(demand) => methods.demand(&id, rest, demand),
            }
        }))
    }

    fn get_prompt(
        self: &Rc<Self>,
        request: AdmittedRequest<'_>,
        mut params: Params,
    ) -> Result<Part, RpcError> {
        let round = Round::take(self, &request, "prompts/get", &mut params)?;
        let name = take_text(&mut params, "name")?;
        let arguments = take_arguments(&mut params)?;
        let mut prompts = self.catalog.prompts.iter();
        let Some(prompt) = prompts.find(|prompt| prompt.name == name) else {
            return Err(unknown("prompt", &name));
        };
        for argument in prompt.arguments.iter().filter(|argument| argument.required) {
            if !arguments.get(&argument.name).is_some_and(Value::is_string) {
                let text = format!("prompt argument `{}` must be a string", argument.name);
                return Err(RpcError::new(INVALID_PARAMS, text));
            }
        }
        let (methods, id, version) = (self.clone(), request.id.clone(), request.version);
        let client = request.client(round.client);
        let call = PromptCall { arguments, client };
        let (rest, handler) = (round.rest, Rc::clone(&prompt.handler));
        Ok(request.wait(async move {
            match rest.run(handler(call)).await {
                Ok(Ok(messages)) => Ok(methods.results.prompt(&id, version, messages)),
                Ok(Err(why)) => Err(RpcError::new(INVALID_PARAMS, why)),
                Err(demand) => methods.demand(&id, rest, demand),
            }
        }))
    }

    /// The reader and watcher of the resource with this URI; a fixed resource comes before a template.
    pub(in crate::mcp) fn source(&self, uri: &str) -> Option<(&ResourceReader, Option<&Watcher>)> {
        let fixed = self.catalog.resources.iter().find(|it| it.uri == uri);
        if let Some(fixed) = fixed {
            return Some((&fixed.reader, fixed.watcher.as_ref()));
        }
        let templates = self.catalog.templates.iter();
        let family = templates.into_iter().find(|it| (it.accepts)(uri))?;
        Some((&family.reader, family.watcher.as_ref()))
    }
}

pub(in crate::mcp) fn take_text(params: &mut Params, key: &str) -> Result<String, RpcError> {
    match params.remove(key) {
        Some(Value::String(text)) => Ok(text),
        _ => Err(RpcError::new(
            INVALID_PARAMS,
            format!("`params.{key}` must be a string"),
        )),
    }
}

pub(in crate::mcp) fn take_object(params: &mut Params, key: &str) -> Result<Params, RpcError> {
    match params.remove(key) {
        Some(Value::Object(members)) => Ok(members),
        _ => Err(RpcError::new(
            INVALID_PARAMS,
            format!("`params.{key}` must be an object"),
        )),
    }
}

/// Absent or null arguments count as an empty object.
fn take_arguments(params: &mut Params) -> Result<Map<String, Value>, RpcError> {
    match params.remove("arguments") {
        None | Some(Value::Null) => Ok(Map::new()),
        Some(Value::Object(arguments)) => Ok(arguments),
        Some(_) => Err(RpcError::new(
            INVALID_PARAMS,
            "`params.arguments` must be an object",
        )),
    }
}

/// Every list has one page, so no cursor was ever given out; the empty string is a cursor too.
fn first_page(params: &Params) -> Result<(), RpcError> {
    match params.get("cursor") {
        None | Some(Value::Null) => Ok(()),
        Some(_) => Err(RpcError::new(
            INVALID_PARAMS,
            "unknown `cursor`: the list has one page",
        )),
    }
}

pub(in crate::mcp) fn unknown(kind: &str, name: &str) -> RpcError {
    let name = cut(name, 64);
    RpcError::new(INVALID_PARAMS, format!("unknown {kind} `{name}`"))
}

pub(in crate::mcp) fn no_resource(version: Version, uri: &str) -> RpcError {
    read_error(version, uri, ReadError::NotFound)
}

pub(in crate::mcp) fn read_error(version: Version, uri: &str, error: ReadError) -> RpcError {
    let missing = version.shape().missing_resource;
    let (code, text) = match error {
        ReadError::NotFound => (missing, format!("no resource `{}`", cut(uri, 200))),
        ReadError::Absent(why) => (missing, why),
        ReadError::Refused(why) => (INVALID_PARAMS, why),
        ReadError::Failed(why) => return RpcError::new(INTERNAL_ERROR, why),
    };
    RpcError::new(code, text).with(json!({"uri": cut(uri, 2000)}))
}

fn unique<'a>(names: impl Iterator<Item = &'a String>) -> Result<(), CatalogError> {
    let mut seen = HashSet::new();
    for name in names {
        if !seen.insert(name) {
            return Err(CatalogError::Twice(name.clone()));
        }
    }
    Ok(())
}

impl fmt::Display for CatalogError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            CatalogError::Twice(name) => write!(f, "`{name}` is in the catalog twice"),
            CatalogError::Name(name) => write!(f, "`{name}` is no name for a tool"),
            CatalogError::Schema(tool, why) => write!(f, "input schema of `{tool}`: {why}"),
        }
    }
}

impl std::error::Error for CatalogError {}

fn repeated_arguments(input_schema: &Value) -> Vec<(String, String)> {
    let properties = input_schema.get("properties").and_then(Value::as_object);
    let properties = properties.into_iter().flatten();
    let repeated = properties.filter_map(|(name, schema)| {
        let field = schema.get(REPEATED)?.as_str()?;
        Some((name.clone(), field.to_owned()))
    });
    repeated.collect()
}
