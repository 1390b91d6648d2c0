//! What every request goes through before a handler sees it, and the one table of methods.
//!
//! Promises: the checks come in one order, so that the same mistake has the same error everywhere;
//! the era is chosen for each message alone.
//! Does not: run handlers.

use std::rc::Rc;

use serde_json::{Map, Value};

use super::call::{Outcome, Part, Pending};
use super::client::{Client, Inner, Rounds};
use super::json::cut;
use super::level::Level;
use super::offer::Offer;
use super::outlet::Outlet;
use super::progress::Progress;
use super::question::Abilities;
use super::results::List;
use super::rpc::{
    INVALID_PARAMS, Id, METHOD_NOT_FOUND, MISSING_CLIENT_CAPABILITY, Params, RpcError,
};
use super::session::Session;
use super::version::Version;
use super::{answer, legacy, modern};

/// A request that passed every check before its handler.
pub(super) struct Caller<'a> {
    pub(super) session: &'a Rc<Session>,
    pub(super) id: Id,
    pub(super) method: Method,
    pub(super) version: Version,
    pub(super) progress: Progress,
    pub(super) outlet: Outlet,
    abilities: Abilities,
    log_level: Option<Level>,
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
        offer: &Offer,
    ) -> Result<Caller<'a>, RpcError> {
        let meta = take_meta(params)?;
        let modern = modern::claims(method, meta.as_ref());
        let (method, version, abilities, log_level) = if modern {
            let envelope = modern::envelope(meta.as_ref())?;
            let method = find_method(method, Era::Modern, offer)?;
            let modern::Envelope {
                version,
                abilities,
                log_level,
            } = envelope;
            (method, version, abilities, log_level)
        } else {
            let method = find_method(method, Era::Legacy, offer)?;
            let version = legacy_version(session, method)?;
            let level = session.log_level().unwrap_or(legacy::DEFAULT_LOG_LEVEL);
            (method, version, session.abilities(), Some(level))
        };
        let token = progress_token(meta.as_ref())?;
        Ok(Caller {
            session,
            id: id.clone(),
            method,
            version,
            progress: Progress::new(token, outlet, version),
            outlet: outlet.clone(),
            abilities,
            log_level: log_level.filter(|_| offer.logging),
        })
    }

    /// The client as the handler sees it.
    pub(super) fn client(&self, rounds: Option<Rounds>) -> Client {
        Client::new(Inner {
            version: self.version,
            abilities: self.abilities,
            outlet: self.outlet.clone(),
            session: self.session.clone(),
            log_level: self.log_level,
            rounds,
        })
    }

    /// Opens the call: from here on it is in flight and can be cancelled.
    pub(super) fn wait<F, T>(self, work: F) -> Part
    where
        F: Future<Output = Result<T, RpcError>> + 'static,
        T: Into<Outcome>,
    {
        let Caller {
            session,
            id,
            progress,
            ..
        } = self;
        let ticket = session.open(id.clone());
        let work = Box::pin(async move {
            match work.await {
                Ok(outcome) => outcome.into(),
                Err(error) => Outcome {
                    text: answer::failure(Some(&id), &error, false),
                    // MCP 2026-07-28 basic: over HTTP its status is 400, whoever found it out.
                    refused: Some(error.code).filter(|code| *code == MISSING_CLIENT_CAPABILITY),
                    after: None,
                },
            }
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
    Complete,
    Listen,
    Subscribe,
    Unsubscribe,
    SetLogLevel,
}

impl Method {
    /// What the catalog has no use for is not there.
    fn is_offered(self, offer: &Offer) -> bool {
        match self {
            Method::Complete => offer.completions,
            Method::Listen => offer.subscribe || offer.lists_change,
            Method::Subscribe | Method::Unsubscribe => offer.subscribe,
            Method::SetLogLevel => offer.logging,
            _ => true,
        }
    }
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

fn find_method(name: &str, era: Era, offer: &Offer) -> Result<Method, RpcError> {
    let found = METHODS.iter().find(|(known, ..)| *known == name);
    match found {
        Some((_, eras, method))
            if (*eras == era || *eras == Era::Both) && method.is_offered(offer) =>
        {
            Ok(*method)
        }
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
    let text = match token {
        Value::String(_) => "`progressToken` must have at most 1024 bytes",
        _ => "`progressToken` must be a string or an integer of at most 64 bits",
    };
    let wrong = || RpcError::new(INVALID_PARAMS, text);
    Id::from_value(token).map(Some).ok_or_else(wrong)
}

/// The one table of methods. `notifications/…` are not here: they are never answered.
const METHODS: [(&str, Era, Method); 15] = [
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
    ("completion/complete", Era::Both, Method::Complete),
    ("subscriptions/listen", Era::Modern, Method::Listen),
    ("resources/subscribe", Era::Legacy, Method::Subscribe),
    ("resources/unsubscribe", Era::Legacy, Method::Unsubscribe),
    ("logging/setLevel", Era::Legacy, Method::SetLogLevel),
    ("ping", Era::Legacy, Method::Ping),
    ("initialize", Era::Legacy, Method::Initialize),
    ("server/discover", Era::Modern, Method::Discover),
];
