//! What every request goes through before a handler sees it, and the one table of methods.
//!
//! Promises: the checks come in one order, so that the same mistake has the same error everywhere;
//! the era is chosen for each message alone.
//! Does not: run handlers.

use std::rc::Rc;

use serde_json::{Map, Value};

use super::call::{Part, Pending};
use super::json::cut;
use super::progress::{Outlet, Progress};
use super::results::List;
use super::rpc::{INVALID_PARAMS, Id, METHOD_NOT_FOUND, Params, RpcError};
use super::session::Session;
use super::version::Version;
use super::{answer, legacy, modern};

/// A request that passed every check before its handler.
pub(super) struct Caller<'a> {
    pub(super) session: &'a Rc<Session>,
    pub(super) id: Id,
    pub(super) method: Method,
    pub(super) version: Version,
    progress: Progress,
}

impl<'a> Caller<'a> {
    /// Judges a request as far as no handler is needed: envelope, version, method, in this order.
    ///
    /// # Errors
    /// What to answer; the request goes no further.
    pub(super) fn admit(
        session: &'a Rc<Session>,
        id: &Id,
        method: &str,
        params: &mut Params,
        outlet: &Outlet,
    ) -> Result<Caller<'a>, RpcError> {
        let meta = take_meta(params)?;
        let (method, version) = if modern::claims(method, meta.as_ref()) {
            let version = modern::envelope(meta.as_ref())?;
            (find_method(method, Era::Modern)?, version)
        } else {
            let method = find_method(method, Era::Legacy)?;
            (method, legacy_version(session, method)?)
        };
        let token = progress_token(meta.as_ref())?;
        let progress = Progress::new(token, outlet, version);
        Ok(Caller {
            session,
            id: id.clone(),
            method,
            version,
            progress,
        })
    }

    /// Opens the call: from here on it is in flight and can be cancelled.
    pub(super) fn wait<F>(self, work: impl FnOnce(Id, Version, Progress) -> F) -> Part
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
                .unwrap_or_else(|error| answer::failure(Some(&id), &error, false))
        });
        Part::Wait(Pending::new(ticket, progress, work))
    }
}

#[derive(Clone, Copy, Debug)]
pub(super) enum Method {
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

fn legacy_version(session: &Session, method: Method) -> Result<Version, RpcError> {
    let early = matches!(method, Method::Initialize | Method::Ping);
    match session.version() {
        Some(version) => Ok(version),
        None if early => Ok(Version::NEWEST_LEGACY),
        None => Err(legacy::not_initialized()),
    }
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

fn progress_token(meta: Option<&Map<String, Value>>) -> Result<Option<Id>, RpcError> {
    let Some(token) = meta.and_then(|meta| meta.get("progressToken")) else {
        return Ok(None);
    };
    let text = "`progressToken` must be a string or an integer of at most 64 bits";
    let wrong = || RpcError::new(INVALID_PARAMS, text);
    Id::from_value(token).map(Some).ok_or_else(wrong)
}

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
