//! The dispatcher: one message in, one answer (or the work that yields it) out, for both eras.
//!
//! Promises: the checks come in one order for every request — message, envelope, version, method,
//! handler — so that the same mistake has the same error everywhere; modern requests touch no
//! state of earlier ones; nothing here waits.
//! Does not: read or write bytes, spawn, or know stdio, HTTP or MQTT.

use std::fmt;
use std::rc::Rc;

use serde_json::{Map, Value, json};

use super::call::{self, Call, Part, Pending, Received, Reply};
use super::catalog::{Catalog, ReadCall, ReadError, ServerInfo, ToolCall, ToolResult};
use super::json::cut;
use super::progress::{Outlet, Progress};
use super::results::{List, Results};
use super::rpc::{
    self, Batch, Fault, INTERNAL_ERROR, INVALID_PARAMS, INVALID_REQUEST, Id, METHOD_NOT_FOUND,
    Message, Notification, Params, Request, RpcError,
};
use super::schema::{Schema, SchemaError};
use super::session::Session;
use super::version::Version;
use super::{legacy, modern};

/// Serves one catalog to any number of sessions.
#[derive(Debug)]
pub struct Engine {
    catalog: Catalog,
    schemas: Vec<Schema>,
    results: Results,
}

/// Why a catalog cannot be served: a mistake in the program, found at its start.
#[derive(Debug)]
pub enum CatalogError {
    /// Two tools, resources or prompts of one name.
    Twice(String),
    /// A tool's name has other characters than the protocol allows, or too many.
    Name(String),
    /// A tool's input schema uses what [`Schema`] does not implement.
    Schema(String, SchemaError),
}

impl Engine {
    /// An engine for this catalog.
    ///
    /// # Errors
    /// See [`CatalogError`].
    pub fn new(catalog: Catalog, info: ServerInfo) -> Result<Rc<Engine>, CatalogError> {
        unique(catalog.tools.iter().map(|tool| &tool.name))?;
        unique(catalog.resources.iter().map(|resource| &resource.uri))?;
        unique(catalog.prompts.iter().map(|prompt| &prompt.name))?;
        let mut schemas = Vec::new();
        for tool in &catalog.tools {
            let legal = |c: char| c.is_ascii_alphanumeric() || "_.-".contains(c);
            if !(1..=64).contains(&tool.name.len()) || !tool.name.chars().all(legal) {
                return Err(CatalogError::Name(tool.name.clone()));
            }
            let schema = Schema::compile(&tool.input_schema)
                .map_err(|why| CatalogError::Schema(tool.name.clone(), why))?;
            schemas.push(schema);
        }
        let results = Results::new(info);
        Ok(Rc::new(Engine {
            catalog,
            schemas,
            results,
        }))
    }

    /// Takes the bytes of one message. Notifications that belong to a request go to `outlet`.
    pub fn receive(
        self: &Rc<Self>,
        session: &Rc<Session>,
        bytes: &[u8],
        outlet: &Outlet,
    ) -> Received {
        match rpc::parse(bytes) {
            Ok(message) => self.handle(session, message, outlet),
            Err(fault) => Received::Answer(refusal(session, &fault)),
        }
    }

    /// Takes one message that is already parsed.
    pub fn handle(
        self: &Rc<Self>,
        session: &Rc<Session>,
        message: Message<'_>,
        outlet: &Outlet,
    ) -> Received {
        match message {
            Message::Request(request) => match self.request(session, request, outlet) {
                Ok(Part::Done(text)) => Received::Answer(Reply::now(text)),
                Ok(Part::Wait(pending)) => Received::Call(Call::single(pending)),
                Err(fault) => Received::Answer(refusal(session, &fault)),
            },
            Message::Notification(notification) => {
                notify(session, &notification);
                Received::Nothing
            }
            // We have not asked the client anything, so this answers nothing.
            Message::Response(_) => Received::Nothing,
            Message::Batch(batch) => self.batch(session, &batch, outlet),
        }
    }

    fn batch(
        self: &Rc<Self>,
        session: &Rc<Session>,
        batch: &Batch<'_>,
        outlet: &Outlet,
    ) -> Received {
        let refuse = |error| Received::Answer(refusal(session, &Fault { id: None, error }));
        // MCP 2025-03-26 basic §Batching; every other version has single messages only.
        if !session
            .version()
            .is_some_and(|version| version.shape().batches)
        {
            return refuse(batch.refuse("batches are not part of the protocol version spoken"));
        }
        let items = match batch.split(legacy::MAX_BATCH) {
            Ok(items) => items,
            Err(error) => return refuse(error),
        };
        let mut parts = Vec::new();
        for item in items {
            let part = rpc::parse(item.get().as_bytes())
                .and_then(|message| self.batched(session, message, outlet));
            match part {
                Ok(part) => parts.extend(part),
                Err(fault) => parts.push(Part::Done(refusal(session, &fault).text)),
            }
        }
        call::batch(parts)
    }

    fn batched(
        self: &Rc<Self>,
        session: &Rc<Session>,
        message: Message<'_>,
        outlet: &Outlet,
    ) -> Result<Option<Part>, Fault> {
        let refuse = |id, text: &str| Err(RpcError::new(INVALID_REQUEST, text).about(id));
        match message {
            Message::Request(request) if request.method == "initialize" => {
                refuse(Some(request.id), "`initialize` must not be part of a batch")
            }
            Message::Request(request) => self.request(session, request, outlet).map(Some),
            Message::Notification(notification) => {
                notify(session, &notification);
                Ok(None)
            }
            Message::Response(_) => Ok(None),
            Message::Batch(_) => refuse(None, "a batch within a batch"),
        }
    }

    /// A request up to its handler. A fault means that no handler saw it.
    fn request(
        self: &Rc<Self>,
        session: &Rc<Session>,
        request: Request,
        outlet: &Outlet,
    ) -> Result<Part, Fault> {
        let Request {
            id,
            method,
            mut params,
        } = request;
        if session.is_in_flight(&id) {
            let text = "a request with this `id` is still in flight";
            return Err(RpcError::new(INVALID_REQUEST, text).about(Some(id)));
        }
        let admitted = admit(session, &method, &mut params, outlet);
        let caller = match admitted {
            Ok((method, version, progress)) => Caller {
                session,
                id,
                method,
                version,
                progress,
            },
            Err(error) => return Err(error.about(Some(id))),
        };
        let id = caller.id.clone();
        let failed = |error| Part::Done(rpc::failure(Some(&id), &error, false));
        Ok(self.dispatch(caller, params).unwrap_or_else(failed))
    }

    fn dispatch(self: &Rc<Self>, caller: Caller<'_>, params: Params) -> Result<Part, RpcError> {
        let id = &caller.id;
        let text = match caller.method {
            Method::Discover => rpc::success(id, &self.results.discover()),
            Method::Initialize => {
                let version = legacy::negotiate(&params)?;
                caller.session.negotiate(version);
                rpc::success(id, &self.results.initialize(version))
            }
            Method::Ping => rpc::success(id, &json!({})),
            Method::List(which) => {
                first_page(&params)?;
                self.results.list(id, which, caller.version, &self.catalog)
            }
            Method::CallTool => return self.call_tool(caller, params),
            Method::ReadResource => return self.read_resource(caller, params),
            Method::GetPrompt => return self.get_prompt(caller, params),
        };
        Ok(Part::Done(text))
    }

    fn call_tool(
        self: &Rc<Self>,
        caller: Caller<'_>,
        mut params: Params,
    ) -> Result<Part, RpcError> {
        let name = take_text(&mut params, "name")?;
        let tools = self.catalog.tools.iter().zip(&self.schemas).enumerate();
        let Some((index, (tool, schema))) = tools.into_iter().find(|(_, (it, _))| it.name == name)
        else {
            let name = cut(&name, 64);
            return Err(RpcError::new(
                INVALID_PARAMS,
                format!("unknown tool `{name}`"),
            ));
        };
        let arguments = take_arguments(&mut params)?;
        // MCP 2025-11-25 (SEP-1303): the model can repair wrong arguments, so it gets to see them.
        let arguments = match schema.check(arguments, &tool.name, &tool.renamed) {
            Ok(arguments) => arguments,
            Err(faults) => {
                let result = ToolResult::Error(faults);
                return Ok(Part::Done(self.results.tool(
                    &caller.id,
                    caller.version,
                    &result,
                )));
            }
        };
        let engine = self.clone();
        Ok(caller.wait(move |id, version, progress| async move {
            let call = ToolCall {
                arguments,
                progress,
                version,
            };
            let result = match engine.catalog.tools.get(index) {
                Some(tool) => (tool.handler)(call).await,
                None => return Err(RpcError::new(INTERNAL_ERROR, "the tool is gone")),
            };
            Ok(engine.results.tool(&id, version, &result))
        }))
    }

    fn read_resource(
        self: &Rc<Self>,
        caller: Caller<'_>,
        mut params: Params,
    ) -> Result<Part, RpcError> {
        let uri = take_text(&mut params, "uri")?;
        if !self.has_resource(&uri) {
            return Err(no_resource(caller.version, &uri));
        }
        let engine = self.clone();
        Ok(caller.wait(move |id, version, progress| async move {
            let call = ReadCall {
                uri: uri.clone(),
                progress,
            };
            let resource = engine
                .catalog
                .resources
                .iter()
                .find(|resource| resource.uri == uri);
            let template = engine
                .catalog
                .templates
                .iter()
                .find(|it| (it.accepts)(&uri));
            let reader = resource
                .map(|it| &it.reader)
                .or(template.map(|it| &it.reader));
            let contents = match reader {
                Some(reader) => reader(call).await,
                None => Err(ReadError::NotFound),
            };
            match contents {
                Ok(contents) => Ok(engine.results.read(&id, version, contents)),
                Err(ReadError::NotFound) => Err(no_resource(version, &uri)),
                Err(ReadError::Failed(why)) => Err(RpcError::new(INTERNAL_ERROR, why)),
            }
        }))
    }

    fn get_prompt(
        self: &Rc<Self>,
        caller: Caller<'_>,
        mut params: Params,
    ) -> Result<Part, RpcError> {
        let name = take_text(&mut params, "name")?;
        let arguments = take_arguments(&mut params)?;
        let Some(prompt) = self
            .catalog
            .prompts
            .iter()
            .find(|prompt| prompt.name == name)
        else {
            let name = cut(&name, 64);
            return Err(RpcError::new(
                INVALID_PARAMS,
                format!("unknown prompt `{name}`"),
            ));
        };
        for argument in prompt.arguments.iter().filter(|argument| argument.required) {
            if !arguments.get(&argument.name).is_some_and(Value::is_string) {
                let text = format!("prompt argument `{}` must be a string", argument.name);
                return Err(RpcError::new(INVALID_PARAMS, text));
            }
        }
        let messages = (prompt.handler)(arguments);
        let engine = self.clone();
        Ok(caller.wait(move |id, version, _| async move {
            match messages.await {
                Ok(messages) => Ok(engine.results.prompt(&id, version, messages)),
                Err(why) => Err(RpcError::new(INVALID_PARAMS, why)),
            }
        }))
    }

    fn has_resource(&self, uri: &str) -> bool {
        self.catalog
            .resources
            .iter()
            .any(|resource| resource.uri == uri)
            || self
                .catalog
                .templates
                .iter()
                .any(|template| (template.accepts)(uri))
    }
}

/// A request that passed every check before its handler.
struct Caller<'a> {
    session: &'a Rc<Session>,
    id: Id,
    method: Method,
    version: Version,
    progress: Progress,
}

impl Caller<'_> {
    /// Opens the call: from here on it is in flight and can be cancelled.
    fn wait<F>(self, work: impl FnOnce(Id, Version, Progress) -> F) -> Part
    where
        F: Future<Output = Result<Vec<u8>, RpcError>> + 'static,
    {
        let Caller {
            session,
            id,
            version,
            progress,
            ..
        } = self;
        let ticket = session.open(id.clone());
        let work = work(id.clone(), version, progress.clone());
        let work = Box::pin(async move {
            work.await
                .unwrap_or_else(|error| rpc::failure(Some(&id), &error, false))
        });
        Part::Wait(Pending::new(ticket, progress, work))
    }
}

#[derive(Clone, Copy, Debug)]
enum Method {
    Discover,
    Initialize,
    Ping,
    List(List),
    CallTool,
    ReadResource,
    GetPrompt,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Era {
    Legacy,
    Modern,
    Both,
}

/// Envelope, version, method: in this order.
fn admit(
    session: &Session,
    method: &str,
    params: &mut Params,
    outlet: &Outlet,
) -> Result<(Method, Version, Progress), RpcError> {
    let meta = take_meta(params)?;
    let (method, version) = if modern::claims(method, meta.as_ref()) {
        let version = modern::envelope(meta.as_ref())?;
        (find_method(method, Era::Modern)?, version)
    } else {
        let method = find_method(method, Era::Legacy)?;
        let early = matches!(method, Method::Initialize | Method::Ping);
        let version = match session.version() {
            Some(version) => version,
            None if early => Version::NEWEST_LEGACY,
            None => return Err(legacy::not_initialized()),
        };
        (method, version)
    };
    let token = match meta.as_ref().and_then(|meta| meta.get("progressToken")) {
        None => None,
        Some(token) => Some(Id::from_value(token).ok_or_else(|| {
            let text = "`progressToken` must be a string or an integer of at most 64 bits";
            RpcError::new(INVALID_PARAMS, text)
        })?),
    };
    Ok((method, version, Progress::new(token, outlet, version)))
}

fn find_method(name: &str, era: Era) -> Result<Method, RpcError> {
    let found = METHODS.iter().find(|(known, ..)| *known == name);
    match found {
        Some((_, eras, method)) if *eras == era || *eras == Era::Both => Ok(*method),
        _ => {
            let name = cut(name, 64);
            Err(RpcError::new(
                METHOD_NOT_FOUND,
                format!("no method `{name}` in this version"),
            ))
        }
    }
}

fn take_meta(params: &mut Params) -> Result<Option<Map<String, Value>>, RpcError> {
    match params.remove("_meta") {
        None | Some(Value::Null) => Ok(None),
        Some(Value::Object(meta)) => Ok(Some(meta)),
        Some(_) => Err(RpcError::new(
            INVALID_PARAMS,
            "`params._meta` must be an object",
        )),
    }
}

fn take_text(params: &mut Params, key: &str) -> Result<String, RpcError> {
    match params.remove(key) {
        Some(Value::String(text)) => Ok(text),
        _ => Err(RpcError::new(
            INVALID_PARAMS,
            format!("`params.{key}` must be a string"),
        )),
    }
}

/// Absent or null arguments are none.
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

/// Every list is one page, so no cursor was ever given out; the empty string is a cursor too.
fn first_page(params: &Params) -> Result<(), RpcError> {
    match params.get("cursor") {
        None | Some(Value::Null) => Ok(()),
        Some(_) => Err(RpcError::new(
            INVALID_PARAMS,
            "unknown `cursor`: the list has one page",
        )),
    }
}

fn no_resource(version: Version, uri: &str) -> RpcError {
    let text = format!("no resource `{}`", cut(uri, 200));
    RpcError::new(version.shape().missing_resource, text).with(json!({"uri": cut(uri, 2000)}))
}

fn notify(session: &Session, notification: &Notification) {
    if notification.method == "notifications/cancelled" {
        let params = notification.params.as_ref();
        let id = params
            .and_then(|params| params.get("requestId"))
            .and_then(Id::from_value);
        if let Some(id) = id {
            session.cancel(&id);
        }
    }
}

fn refusal(session: &Session, fault: &Fault) -> Reply {
    let null_id = session
        .version()
        .is_some_and(|version| !version.shape().omits_unknown_id);
    let text = rpc::failure(fault.id.as_ref(), &fault.error, null_id);
    Reply::refused(text, fault.error.code)
}

fn unique<'a>(names: impl Iterator<Item = &'a String>) -> Result<(), CatalogError> {
    let mut seen = std::collections::HashSet::new();
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

/// The one table of methods. `notifications/…` are not here: they are never answered.
const METHODS: [(&str, Era, Method); 10] = [
    ("tools/call", Era::Both, Method::CallTool),
    ("tools/list", Era::Both, Method::List(List::Tools)),
    ("resources/read", Era::Both, Method::ReadResource),
    ("resources/list", Era::Both, Method::List(List::Resources)),
    (
        "resources/templates/list",
        Era::Both,
        Method::List(List::Templates),
    ),
    ("prompts/get", Era::Both, Method::GetPrompt),
    ("prompts/list", Era::Both, Method::List(List::Prompts)),
    ("ping", Era::Legacy, Method::Ping),
    ("initialize", Era::Legacy, Method::Initialize),
    ("server/discover", Era::Modern, Method::Discover),
];
