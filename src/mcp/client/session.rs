//! The state of one stdio connection or HTTP session: the negotiated version, the calls in flight, the open questions
//! to the client, and its resource subscriptions.
//!
//! Promises: an id is in flight from the moment its request is accepted until its [`Ticket`] is dropped, which the
//! transport does after the response is written; a cancelled call yields no response.
//! Does not: serve requests of the stateless era, which use only the table of cancellable calls.

use std::cell::{Cell, RefCell};
use std::collections::HashMap;
use std::fmt;
use std::future::poll_fn;
use std::rc::Rc;
use std::task::{Poll, Waker};

use async_channel::{Receiver, Sender};
use serde_json::Value;

use super::caller::{Caller, CallerId, ClientInfo, Principal};
use super::sink::ClientSink;
use super::subscriptions::Subscriber;
use crate::mcp::jsonrpc::message::{Id, Response};
use crate::mcp::version::Version;
use crate::mcp::version::log_level::Level;
use crate::mcp::version::question::Abilities;

/// The state of one client.
#[derive(Debug, Default)]
pub struct Session {
    negotiated: Cell<Option<Version>>,
    calls: RefCell<HashMap<Id, Rc<Cancel>>>,
    principal: Rc<Principal>,
    caller: CallerId,
    /// The client's name and version from its handshake.
    client: RefCell<Option<Rc<ClientInfo>>>,
    abilities: Cell<Abilities>,
    /// The lowest level that the client wants logged; `None` until it sets one.
    log_level: Cell<Option<Level>>,
    /// The server's requests that the client has not answered yet, by number.
    asked: RefCell<HashMap<u64, Sender<Answer>>>,
    last_asked: Cell<u64>,
    subscriber: Rc<Subscriber>,
}

/// A client's answer: a result or an error object.
type Answer = Result<Value, Value>;

/// An open request of the server; dropping it discards the answer.
pub(in crate::mcp) struct Asked {
    session: Rc<Session>,
    id: u64,
    answer: Receiver<Answer>,
}

/// Marks a call as in flight until dropped.
pub(in crate::mcp) struct Ticket {
    session: Rc<Session>,
    id: Id,
    cancel: Rc<Cancel>,
}

/// Ends a call from outside.
#[derive(Debug, Default)]
pub(in crate::mcp) struct Cancel {
    end: Cell<Option<End>>,
    waker: RefCell<Option<Waker>>,
    has_left: Cell<bool>,
    /// The handler, while it waits for the client to leave.
    departure: RefCell<Option<Waker>>,
}

/// Why a call ends before its work is done.
#[derive(Clone, Copy, Debug)]
pub(in crate::mcp) enum End {
    /// The client cancelled the call and gets no response.
    Cancelled,
    /// The call exceeded its time limit.
    Late,
    /// The program stops.
    Ending,
    /// The session was ended.
    SessionEnded,
    /// The client has disconnected, and so have those of many other calls.
    Crowded,
}

impl Session {
    /// A session whose client has not initialized yet.
    #[must_use]
    pub fn new() -> Rc<Session> {
        Rc::default()
    }

    /// A session whose version is known without a handshake.
    #[must_use]
    pub fn assuming(version: Version) -> Rc<Session> {
        let session = Session::new();
        session.negotiate(version);
        session
    }

    /// A session of an authenticated client. State that the client stores between two requests (`requestState`) is
    /// valid only for the same principal.
    #[must_use]
    pub fn of(principal: Rc<Principal>) -> Rc<Session> {
        Rc::new(Session {
            caller: CallerId::session(&principal),
            principal,
            ..Session::default()
        })
    }

    /// A session for one request of the stateless era from `peer`: all requests with the same key from the same peer
    /// count as one caller's.
    #[must_use]
    pub fn for_request(principal: Rc<Principal>, peer: &[u8]) -> Rc<Session> {
        Rc::new(Session {
            caller: CallerId::at(&principal, peer),
            principal,
            ..Session::default()
        })
    }

    /// The caller whose share of the limits the session's requests use.
    #[must_use]
    pub fn caller_id(&self) -> &CallerId {
        &self.caller
    }

    /// The caller of a request in this session; `client` is the request's own `clientInfo`, where the version has it.
    pub(in crate::mcp) fn caller(&self, client: Option<Rc<ClientInfo>>) -> Caller {
        let client = client.or_else(|| self.client.borrow().clone());
        Caller::new(Rc::clone(&self.principal), self.caller.clone(), client)
    }

    pub(in crate::mcp) fn set_client(&self, client: Option<Rc<ClientInfo>>) {
        self.client.replace(client);
    }

    /// Sets the sink for messages that belong to no request; it replaces the previous one. Without a sink such messages
    /// are dropped.
    pub fn attach(&self, sink: ClientSink) {
        self.subscriber.set_sink(sink);
    }

    /// The version that `initialize` negotiated; `None` before that.
    #[must_use]
    pub fn version(&self) -> Option<Version> {
        self.negotiated.get()
    }

    /// Ends every call in flight, because the session is over.
    pub fn end_calls(&self) {
        let calls: Vec<_> = self.calls.borrow().values().cloned().collect();
        for cancel in calls {
            cancel.end(End::SessionEnded);
        }
    }

    /// The number of calls in flight.
    #[must_use]
    pub fn in_flight(&self) -> usize {
        self.calls.borrow().len()
    }

    pub(in crate::mcp) fn negotiate(&self, version: Version) {
        self.negotiated.set(Some(version));
    }

    pub(in crate::mcp) fn principal(&self) -> &Rc<Principal> {
        &self.principal
    }

    pub(in crate::mcp) fn abilities(&self) -> Abilities {
        self.abilities.get()
    }

    pub(in crate::mcp) fn set_abilities(&self, abilities: Abilities) {
        self.abilities.set(abilities);
    }

    pub(in crate::mcp) fn log_level(&self) -> Option<Level> {
        self.log_level.get()
    }

    pub(in crate::mcp) fn set_log_level(&self, level: Level) {
        self.log_level.set(Some(level));
    }

    pub(in crate::mcp) fn subscriber(&self) -> &Rc<Subscriber> {
        &self.subscriber
    }

    pub(in crate::mcp) fn sink(&self) -> ClientSink {
        self.subscriber.sink()
    }

    /// Registers a request of the server; `None` when too many are open.
    pub(in crate::mcp) fn ask(self: &Rc<Self>) -> Option<Asked> {
        let mut asked = self.asked.borrow_mut();
        if asked.len() >= MAX_ASKED {
            return None;
        }
        let id = self.last_asked.get() + 1;
        self.last_asked.set(id);
        let (answered, answer) = async_channel::bounded(1);
        asked.insert(id, answered);
        let session = self.clone();
        Some(Asked {
            session,
            id,
            answer,
        })
    }

    /// Delivers a client's response to the call that asked. A response to no open request is ignored.
    pub(in crate::mcp) fn answered(&self, response: Response) {
        let Ok(id) = response.id.as_json().parse() else {
            return;
        };
        let asked = self.asked.borrow_mut().remove(&id);
        if let Some(asked) = asked {
            let _ = asked.try_send(response.outcome);
        }
    }

    pub(in crate::mcp) fn is_in_flight(&self, id: &Id) -> bool {
        self.calls.borrow().contains_key(id)
    }

    /// Marks the id as in flight; the caller has checked that it is not in flight already.
    pub(in crate::mcp) fn open(self: &Rc<Self>, id: Id, cancel: Rc<Cancel>) -> Ticket {
        self.calls.borrow_mut().insert(id.clone(), cancel.clone());
        let session = self.clone();
        Ticket {
            session,
            id,
            cancel,
        }
    }

    /// Cancels a call. An unknown or finished id is ignored, as the protocol requires.
    pub(in crate::mcp) fn cancel(&self, id: &Id) {
        let found = self.calls.borrow().get(id).cloned();
        if let Some(cancel) = found {
            cancel.end(End::Cancelled);
        }
    }
}

impl Cancel {
    /// Ends the call; the first reason counts.
    pub(in crate::mcp) fn end(&self, why: End) {
        self.end.set(self.end.get().or(Some(why)));
        if let Some(waker) = self.waker.take() {
            waker.wake();
        }
    }

    /// The client has left; the call goes on.
    pub(in crate::mcp) fn client_left(&self) {
        self.has_left.set(true);
        if let Some(waker) = self.departure.take() {
            waker.wake();
        }
    }

    pub(in crate::mcp) fn has_left(&self) -> bool {
        self.has_left.get()
    }

    /// Waits until the client has left.
    pub(in crate::mcp) async fn left(&self) {
        poll_fn(|context| {
            if self.has_left() {
                return Poll::Ready(());
            }
            self.departure.replace(Some(context.waker().clone()));
            Poll::Pending
        })
        .await;
    }
}

impl End {
    /// The error message for the client.
    pub(in crate::mcp) fn tell(self) -> &'static str {
        match self {
            End::Cancelled => "the call was cancelled",
            End::Late => "the call took too long and was given up",
            End::Ending => {
                "not done: the input ended or a signal came before, and the program ends"
            }
            End::SessionEnded => "the session was ended, and its calls with it",
            End::Crowded => {
                "the client left before the answer, and too many calls go on whose clients left"
            }
        }
    }
}

impl Asked {
    pub(in crate::mcp) fn id(&self) -> u64 {
        self.id
    }

    pub(in crate::mcp) async fn answer(&self) -> Answer {
        match self.answer.recv().await {
            Ok(answer) => answer,
            // The session, which this value keeps alive, holds the sender.
            Err(_) => std::future::pending().await,
        }
    }
}

impl Drop for Asked {
    fn drop(&mut self) {
        self.session.asked.borrow_mut().remove(&self.id);
    }
}

impl Ticket {
    pub(in crate::mcp) async fn ended(&self) -> End {
        poll_fn(|context| {
            if let Some(end) = self.cancel.end.get() {
                return Poll::Ready(end);
            }
            self.cancel.waker.replace(Some(context.waker().clone()));
            Poll::Pending
        })
        .await
    }

    pub(in crate::mcp) fn cancel(&self) -> &Rc<Cancel> {
        &self.cancel
    }

    pub(in crate::mcp) fn id(&self) -> &Id {
        &self.id
    }
}

impl Drop for Ticket {
    fn drop(&mut self) {
        self.session.calls.borrow_mut().remove(&self.id);
    }
}

impl fmt::Debug for Ticket {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Ticket({})", self.id.as_json())
    }
}

/// The limit on open questions to one client.
const MAX_ASKED: usize = 64;
