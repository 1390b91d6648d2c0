//! The methods a client can ask for, each from its parameters to its answer.
//!
//! Promises: a catalog that cannot be served is refused at the start, with its mistake named; the
//! handler of a call runs only when the call does.
//! Does not: know messages, sessions' rules or batches (see `admission`, `engine`).

use std::collections::HashSet;
use std::fmt;
use std::rc::Rc;

use serde_json::{Map, Value, json};

use super::admission::{Caller, Method};
use super::call::Part;
use super::catalog::{Catalog, ReadCall, ReadError, ServerInfo, ToolCall, ToolResult};
use super::json::cut;
use super::results::Results;
use super::rpc::{INTERNAL_ERROR, INVALID_PARAMS, Params, RpcError};
use super::schema::{Schema, SchemaError};
use super::version::Version;
use super::{answer, legacy};

/// A catalog ready to be asked.
#[derive(Debug)]
pub(super) struct Methods {
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

impl Methods {
    pub(super) fn new(catalog: Catalog, info: ServerInfo) -> Result<Methods, CatalogError> {
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
        Ok(Methods {
            catalog,
            schemas,
            results,
        })
    }

    /// From an admitted request to its answer or the work that yields it.
    ///
    /// # Errors
    /// The request was admitted, but its parameters are wrong.
    pub(super) fn dispatch(
        self: &Rc<Self>,
        caller: Caller<'_>,
        params: Params,
    ) -> Result<Part, RpcError> {
        let id = &caller.id;
        let text = match caller.method {
            Method::Discover => answer::success(id, &self.results.discover()),
            Method::Initialize => {
                let version = legacy::negotiate(&params)?;
                caller.session.negotiate(version);
                answer::success(id, &self.results.initialize(version))
            }
            Method::Ping => answer::success(id, &json!({})),
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
        let mut tools = self.catalog.tools.iter().zip(&self.schemas).enumerate();
        let Some((index, (tool, schema))) = tools.find(|(_, (tool, _))| tool.name == name) else {
            return Err(unknown("tool", &name));
        };
        let arguments = take_arguments(&mut params)?;
        // MCP 2025-11-25 (SEP-1303): the model can repair wrong arguments, so it gets to see them.
        let arguments = match schema.check(arguments, &tool.name, &tool.renamed) {
            Ok(arguments) => arguments,
            Err(faults) => {
                let faults = ToolResult::Error(faults);
                let text = self.results.tool(&caller.id, caller.version, &faults);
                return Ok(Part::Done(text));
            }
        };
        let methods = self.clone();
        Ok(caller.wait(move |id, version, progress| async move {
            let call = ToolCall {
                arguments,
                progress,
                version,
            };
            let result = match methods.catalog.tools.get(index) {
                Some(tool) => (tool.handler)(call).await,
                None => return Err(RpcError::new(INTERNAL_ERROR, "the tool is gone")),
            };
            Ok(methods.results.tool(&id, version, &result))
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
        let methods = self.clone();
        Ok(caller.wait(move |id, version, progress| async move {
            let call = ReadCall {
                uri: uri.clone(),
                progress,
            };
            let resource = methods
                .catalog
                .resources
                .iter()
                .find(|resource| resource.uri == uri);
            let template = methods
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
                Ok(contents) => Ok(methods.results.read(&id, version, contents)),
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
        let mut prompts = self.catalog.prompts.iter().enumerate();
        let Some((index, prompt)) = prompts.find(|(_, prompt)| prompt.name == name) else {
            return Err(unknown("prompt", &name));
        };
        for argument in prompt.arguments.iter().filter(|argument| argument.required) {
            if !arguments.get(&argument.name).is_some_and(Value::is_string) {
                let text = format!("prompt argument `{}` must be a string", argument.name);
                return Err(RpcError::new(INVALID_PARAMS, text));
            }
        }
        let methods = self.clone();
        Ok(caller.wait(move |id, version, _| async move {
            let Some(prompt) = methods.catalog.prompts.get(index) else {
                return Err(RpcError::new(INTERNAL_ERROR, "the prompt is gone"));
            };
            match (prompt.handler)(arguments).await {
                Ok(messages) => Ok(methods.results.prompt(&id, version, messages)),
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

fn unknown(kind: &str, name: &str) -> RpcError {
    let name = cut(name, 64);
    RpcError::new(INVALID_PARAMS, format!("unknown {kind} `{name}`"))
}

fn no_resource(version: Version, uri: &str) -> RpcError {
    let text = format!("no resource `{}`", cut(uri, 200));
    RpcError::new(version.shape().missing_resource, text).with(json!({"uri": cut(uri, 2000)}))
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
