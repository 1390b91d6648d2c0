//! The checks of every request before its handler runs, and the table of methods.
//!
//! Promises: the checks run in one order, so that the same mistake always gets the same error; the era is determined
//! for each message alone.
//! Does not: run handlers.

use std::rc::Rc;

use serde_json::{Map, Value};

use super::call::{Part, Pending, RequestOutcome};
use crate::mcp::catalog::capabilities::Capabilities;
use crate::mcp::catalog::results::List;
use crate::mcp::client::caller::{Caller, ClientInfo};
use crate::mcp::client::peer::{Inner, InputRounds, Peer};
use crate::mcp::client::progress::Progress;
use crate::mcp::client::session::{Cancel, Session};
use crate::mcp::client::sink::ClientSink;
use crate::mcp::jsonrpc::message::{
    INVALID_PARAMS, Id, METHOD_NOT_FOUND, MISSING_CLIENT_CAPABILITY, Params, RpcError,
};
use crate::mcp::jsonrpc::response;
use crate::mcp::jsonrpc::strict::cut;
use crate::mcp::version::Version;
use crate::mcp::version::log_level::Level;
use crate::mcp::version::question::Abilities;
use crate::mcp::version::stateless::CLIENT_INFO;
use crate::mcp::version::{handshake, stateless};

/// A request that passed every check before its handler.
pub(in crate::mcp) struct AdmittedRequest<'a> {
    pub(in crate::mcp) session: &'a Rc<Session>,
    pub(in crate::mcp) caller: Caller,
    pub(in crate::mcp) id: Id,
    pub(in crate::mcp) method: Method,
    pub(in crate::mcp) version: Version,
    pub(in crate::mcp) progress: Progress,
    pub(in crate::mcp) sink: ClientSink,
    cancel: Rc<Cancel>,
    abilities: Abilities,
    log_level: Option<Level>,
}

impl<'a> AdmittedRequest<'a> {
    /// Checks a request before its handler: envelope, version, method, in this order.
    ///
    /// # Errors
    /// The error to send; the request ends here.
    pub(in crate::mcp) fn admit(
        session: &'a Rc<Session>,
        id: &Id,
        method: &str,
        params: &mut Params,
        sink: &ClientSink,
        capabilities: &Capabilities,
    ) -> Result<AdmittedRequest<'a>, RpcError> {
        let meta = take_meta(params)?;
        let modern = stateless::claims(method, meta.as_ref());
        let mut client = None;
        let (method, version, abilities, log_level) = if modern {
            let envelope = stateless::envelope(meta.as_ref())?;
            client = ClientInfo::read(
                meta.as_ref()
                    .and_then(|meta| meta.get(CLIENT_INFO)?.as_object()),
            );
            let method = find_method(method, Eras::Modern, capabilities)?;
            let stateless::Envelope {
                version,
                abilities,
                log_level,
            } = envelope;
            (method, version, abilities, log_level)
        } else {
            let method = find_method(method, Eras::Legacy, capabilities)?;
            let version = legacy_version(session, method)?;
            let level = session.log_level().unwrap_or(handshake::DEFAULT_LOG_LEVEL);
            (method, version, session.abilities(), Some(level))
        };
        let token = progress_token(meta.as_ref())?;
        Ok(AdmittedRequest {
            session,
            caller: session.caller(client),
            id: id.clone(),
            method,
            version,
            progress: Progress::new(token, sink, version),
            sink: sink.clone(),
            cancel: Rc::default(),
            abilities,
            log_level: log_level.filter(|_| capabilities.logging),
        })
    }

    /// The client from the handler's view.
    pub(in crate::mcp) fn client(&self, rounds: Option<InputRounds>) -> Peer {
        Peer::new(Inner {
            version: self.version,
            caller: self.caller.clone(),
            abilities: self.abilities,
            sink: self.sink.clone(),
            session: self.session.clone(),
            log_level: self.log_level,
            rounds,
            cancel: Rc::clone(&self.cancel),
        })
    }

    /// Opens the call: from now on it is in flight and can be cancelled.
    pub(in crate::mcp) fn wait<F, T>(self, work: F) -> Part
    where
        F: Future<Output = Result<T, RpcError>> + 'static,
        T: Into<RequestOutcome>,
    {
        let AdmittedRequest {
            session,
            id,
            progress,
            cancel,
            ..
        } = self;
        let ticket = session.open(id.clone(), cancel);
        let work = Box::pin(async move {
            match work.await {
                Ok(outcome) => outcome.into(),
                Err(error) => RequestOutcome {
                    text: response::failure(Some(&id), &error, false),
                    // MCP 2026-07-28 basic: over HTTP the status is 400, also when a handler finds the missing
                    // capability.
                    refused: Some(error.code).filter(|code| *code == MISSING_CLIENT_CAPABILITY),
                    after: None,
                },
            }
        });
        Part::Wait(Pending::new(ticket, progress, work))
    }
}

#[derive(Clone, Copy, Debug)]
pub(in crate::mcp) enum Method {
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
    /// Whether the catalog supports the method; other methods are unknown to clients.
    fn is_offered(self, capabilities: &Capabilities) -> bool {
        match self {
            Method::Complete => capabilities.completions,
            Method::Listen => capabilities.subscribe || capabilities.lists_change,
            Method::Subscribe | Method::Unsubscribe => capabilities.subscribe,
            Method::SetLogLevel => capabilities.logging,
            _ => true,
        }
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Eras {
    Legacy,
    Modern,
    Both,
}

fn legacy_version(session: &Session, method: Method) -> Result<Version, RpcError> {
    let early = matches!(method, Method::Initialize | Method::Ping);
    match session.version() {
        Some(version) => Ok(version),
        None if early => Ok(Version::NEWEST_LEGACY),
        None => Err(handshake::not_initialized()),
    }
}

fn find_method(name: &str, era: Eras, capabilities: &Capabilities) -> Result<Method, RpcError> {
    let found = METHODS.iter().find(|(known, ..)| *known == name);
    match found {
        Some((_, eras, method))
            if (*eras == era || *eras == Eras::Both) && method.is_offered(capabilities) =>
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

/// The table of methods. `notifications/…` are not listed, because they get no response.
const METHODS: [(&str, Eras, Method); 15] = [
    ("tools/call", Eras::Both, Method::CallTool),
    ("tools/list", Eras::Both, Method::List(List::Tools)),
    ("resources/read", Eras::Both, Method::ReadResource),
    ("resources/list", Eras::Both, Method::List(List::Resources)),
    (
        "resources/templates/list",
        Eras::Both,
        Method::List(List::Templates),
    ),
    ("prompts/get", Eras::Both, Method::GetPrompt),
    ("prompts/list", Eras::Both, Method::List(List::Prompts)),
    ("completion/complete", Eras::Both, Method::Complete),
    ("subscriptions/listen", Eras::Modern, Method::Listen),
    ("resources/subscribe", Eras::Legacy, Method::Subscribe),
    ("resources/unsubscribe", Eras::Legacy, Method::Unsubscribe),
    ("logging/setLevel", Eras::Legacy, Method::SetLogLevel),
    ("ping", Eras::Legacy, Method::Ping),
    ("initialize", Eras::Legacy, Method::Initialize),
    ("server/discover", Eras::Modern, Method::Discover),
];
