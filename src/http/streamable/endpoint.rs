//! `/mcp`: from an admitted request to the engine and back to an HTTP answer.
//!
//! Promises: the statuses of MCP 2026-07-28 and of the versions before it, each to its own clients; a request of
//! the stateless era is served from nothing but itself; an earlier one from its session.
//! Does not: do I/O, or know the connection.

use std::rc::Rc;
use std::time::Instant;

use http_types::{Method, Response, StatusCode};
use serde_json::json;

use super::event_store::SessionEvents;
use super::headers;
use super::response::{self, Era};
use super::resume::SseSource;
use super::sessions::{HttpSession, Sessions};
use super::sse::sink;
use super::sse::{self, Outgoing};
use crate::http::guard::accept::Accepts;

use crate::http::h1::head::Head;
use crate::http::h1::head::mcp_fields::{self, McpFields};
use crate::http::h1::refusal::Refusal;
use crate::http::net::remote_addr::RemoteAddr;
use crate::mcp::jsonrpc::message::{self, INVALID_REQUEST, Id, Message, Request, RpcError};
use crate::mcp::{
    Call, ClientSink, Engine, NoPlace, Place, Places, Principal, Received, Reply, Session, Version,
};

/// The engine and the sessions it serves.
#[derive(Debug)]
pub(in crate::http) struct Endpoint {
    engine: Engine,
    sessions: Sessions,
    /// Connections that wait for the end of a call, shared out among the callers.
    at_work: Places,
}

/// What the connection has to do for a request.
// Made and taken apart once per request: a box would cost more than the move.
#[allow(clippy::large_enum_variant)]
pub(in crate::http) enum Served {
    Answer(Response),
    /// A response to send that has no body and no length.
    Leave(Response),
    Refused(Refusal),
    /// A call to run, whose notifications and answer are to be sent.
    Call(RunningCall),
    /// An event stream to send until it ends.
    Stream(SseSource),
}

/// A call to run and answer.
#[derive(Debug)]
pub(in crate::http) struct RunningCall {
    pub(in crate::http) call: Call,
    /// The notifications that the call sends before its answer.
    pub(in crate::http) news: Outgoing,
    pub(in crate::http) accepts: Accepts,
    pub(in crate::http) era: Era,
    /// Where its stream is remembered, if it is to be.
    pub(in crate::http) memory: Option<Rc<SessionEvents>>,
    /// The name of its caller's principal.
    pub(in crate::http) name: Rc<str>,
    /// The session that it belongs to, by its number; 0 without one.
    pub(in crate::http) session: u64,
    /// Of its caller, among those who wait for the end of a call; a stream without end makes room by itself.
    pub(in crate::http) place: Option<Place>,
}

impl Endpoint {
    /// Of so many connections, three quarters can wait for the end of calls.
    pub(in crate::http) fn new(engine: Engine, sessions: Sessions, connections: usize) -> Endpoint {
        Endpoint {
            engine,
            sessions,
            // The rest can make room, however many callers there are: for a newcomer, or a look at `/healthz`.
            at_work: Places::shared(connections - connections / RESERVE),
        }
    }

    /// Ends all streams that have no other end.
    pub(in crate::http) fn close(&self) {
        self.engine.end_listening();
        self.sessions.end_streams();
    }

    /// Ends the sessions of these principals, and what is kept between their calls, because what they were opened with is no longer right.
    pub(in crate::http) fn end_sessions(&self, whose: impl Fn(&Principal) -> bool) {
        self.sessions.end_of(&whose);
        self.engine.dismiss(whose);
    }

    /// Serves a request whose head was admitted.
    pub(in crate::http) fn serve(
        &self,
        head: &Head,
        body: &[u8],
        principal: Rc<Principal>,
        peer: RemoteAddr,
        accepts: Accepts,
    ) -> Served {
        let visit = RequestContext {
            endpoint: self,
            fields: &head.mcp,
            principal,
            peer,
            accepts,
        };
        match head.method {
            Method::Post => visit.post(body),
            Method::Get => visit.get(),
            _ => visit.delete(),
        }
        .unwrap_or_else(Served::Refused)
    }
}

/// One request to the endpoint.
struct RequestContext<'a> {
    endpoint: &'a Endpoint,
    fields: &'a McpFields,
    principal: Rc<Principal>,
    peer: RemoteAddr,
    accepts: Accepts,
}

impl RequestContext<'_> {
    fn post(&self, body: &[u8]) -> Result<Served, Refusal> {
        let stateless = headers::names_modern(self.fields);
        match message::parse(body) {
            Ok(Message::Request(request)) => self.request(request),
            // What a client cancels by a number of its own choosing might be another's.
            Ok(Message::Notification(_)) if stateless => Ok(accepted()),
            Ok(Message::Response(_) | Message::Batch(_)) if stateless => {
                Err(Refusal::bad("a POST holds one request or one notification"))
            }
            // MCP 2026-07-28 basic: `params` without a `_meta` are malformed, whatever they are otherwise, and a malformed
            // envelope is answered with 400 (basic/transports/streamable-http).
            Err(_) if stateless => {
                let session = self.stranger();
                let received = self
                    .endpoint
                    .engine
                    .receive(&session, body, &ClientSink::closed());
                Ok(self.handled(&session, received, Era::Stateless, None))
            }
            Err(_) => {
                let session = self
                    .session()
                    .map_or_else(|_| self.stranger(), |it| it.session.clone());
                let received = self
                    .endpoint
                    .engine
                    .receive(&session, body, &ClientSink::closed());
                Ok(self.handled(&session, received, Era::Handshake, None))
            }
            Ok(message) => {
                let entry = self.session()?;
                self.speaks_a_known_version()?;
                Ok(self.hand_in_to(&entry, message))
            }
        }
    }

    fn request(&self, request: Request) -> Result<Served, Refusal> {
        if headers::is_modern(self.fields, &request) {
            if let Err(error) = headers::agree(self.fields, &request, &self.endpoint.engine) {
                return Ok(fault(&request.id, &error));
            }
            let message = Message::Request(request);
            return Ok(self.hand_in(&self.stranger(), message, Era::Stateless));
        }
        if request.method == "initialize" {
            return self.initialize(request);
        }
        let entry = self.session()?;
        self.speaks_a_known_version()?;
        Ok(self.hand_in_to(&entry, Message::Request(request)))
    }

    fn initialize(&self, request: Request) -> Result<Served, Refusal> {
        if self.session().is_ok() {
            let text = "this session is initialized; leave `mcp-session-id` out to begin another";
            return Ok(fault(&request.id, &RpcError::new(INVALID_REQUEST, text)));
        }
        // A caller of its own, from wherever its requests come.
        let session = Session::of(Rc::clone(&self.principal));
        let message = Message::Request(request);
        let mut served = self.hand_in(&session, message, Era::Handshake);
        if session.version().is_some() {
            if let Served::Answer(response) = &mut served {
                let id = self.endpoint.sessions.keep(
                    session,
                    Rc::clone(&self.principal),
                    Instant::now(),
                )?;
                response.insert_header(mcp_fields::SESSION, id);
            }
        }
        Ok(served)
    }

    fn get(&self) -> Result<Served, Refusal> {
        let entry = self.session()?;
        self.speaks_a_known_version()?;
        let last = self
            .fields
            .last_event_id
            .as_deref()
            .filter(|id| !id.is_empty());
        Ok(Served::Stream(match last {
            Some(id) => entry.resume(id)?,
            None => entry.open_stream(),
        }))
    }

    fn delete(&self) -> Result<Served, Refusal> {
        self.session()?;
        if let Some(id) = &self.fields.session {
            self.endpoint.sessions.end(id, "its client ended it");
        }
        Ok(Served::Answer(response::empty(StatusCode::Ok)))
    }

    /// A session for a client that is known only by its key and its address.
    fn stranger(&self) -> Rc<Session> {
        Session::for_request(Rc::clone(&self.principal), &self.peer.bytes())
    }

    /// The session that the request names.
    fn session(&self) -> Result<Rc<HttpSession>, Refusal> {
        let Some(id) = &self.fields.session else {
            return Err(Refusal::bad(
                "`mcp-session-id` is missing; begin with `initialize`, or name the version in `params._meta`",
            ));
        };
        let sessions = &self.endpoint.sessions;
        sessions
            .find(id, &self.principal, Instant::now())
            // A client that gets this status begins a new session (MCP 2025-11-25 basic/transports §Session
            // Management).
            .ok_or_else(|| {
                Refusal::new(
                    StatusCode::NotFound,
                    "no such session; begin with `initialize`",
                )
            })
    }

    /// MCP 2025-06-18 and later: a version in the header has to be one that is spoken.
    fn speaks_a_known_version(&self) -> Result<(), Refusal> {
        match self.fields.version.as_deref() {
            Some(name) if Version::from_name(name).is_none_or(|it| it == Version::MODERN) => Err(
                Refusal::bad("the `mcp-protocol-version` field names no version of a session"),
            ),
            _ => Ok(()),
        }
    }

    fn hand_in_to(&self, entry: &HttpSession, message: Message<'_>) -> Served {
        let mut served = self.hand_in(&entry.session, message, Era::Handshake);
        if let Served::Call(running) = &mut served {
            running.memory = Some(Rc::clone(&entry.memory));
            running.session = entry.number;
        }
        served
    }

    fn hand_in(&self, session: &Rc<Session>, message: Message<'_>, era: Era) -> Served {
        if !self.accepts.events {
            let received = self
                .endpoint
                .engine
                .handle(session, message, &ClientSink::closed());
            return self.handled(session, received, era, None);
        }
        let (sink, news) = sink();
        let received = self.endpoint.engine.handle(session, message, &sink);
        self.handled(session, received, era, Some(news))
    }

    fn handled(
        &self,
        session: &Session,
        received: Received,
        era: Era,
        news: Option<Outgoing>,
    ) -> Served {
        match received {
            Received::Nothing => accepted(),
            Received::Answer(reply) => told(era, reply),
            Received::Call(call) => {
                let place = match call.ender().is_empty() {
                    true => Ok(None),
                    false => self.endpoint.at_work.enter(session.caller_id()).map(Some),
                };
                match place {
                    Ok(place) => Served::Call(RunningCall {
                        call,
                        news: news.unwrap_or_else(sse::nothing),
                        accepts: self.accepts,
                        era,
                        memory: None,
                        name: Rc::clone(&self.principal.name),
                        session: 0,
                        place,
                    }),
                    Err(full) => {
                        let reply = call.refuse(&too_many(full));
                        let status = match era {
                            Era::Stateless => StatusCode::ServiceUnavailable,
                            Era::Handshake => era.status(reply.refused),
                        };
                        Served::Answer(response::json(status, reply.text))
                    }
                }
            }
        }
    }
}

fn told(era: Era, reply: Reply) -> Served {
    Served::Answer(response::json(era.status(reply.refused), reply.text))
}

fn too_many(full: NoPlace) -> String {
    format!(
        "of the connections that can wait for the end of a call at the same time (`limits.connections`), {full}; \
         try again when one of its calls has ended"
    )
}

/// A request that the header fields contradict.
fn fault(id: &Id, error: &RpcError) -> Served {
    let error = json!({"code": error.code, "message": error.message});
    let text = format!(
        r#"{{"jsonrpc":"2.0","id":{},"error":{error}}}"#,
        id.as_json()
    );
    let text = crate::mcp::escaped(text.into_bytes());
    Served::Answer(response::json(StatusCode::BadRequest, text))
}

fn accepted() -> Served {
    Served::Answer(response::empty(StatusCode::Accepted))
}

/// One connection in so many never waits for the end of a call.
const RESERVE: usize = 4;
