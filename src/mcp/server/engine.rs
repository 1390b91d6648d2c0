//! The engine: takes one message and returns its response, or the call that yields the response, in either era and for
//! any transport.
//!
//! Promises: whatever the bytes, the outcome is a response, or no response where the protocol requires none; no method
//! waits.
//! Does not: read or write bytes, spawn, or know stdio, HTTP or MQTT.

use std::rc::Rc;

use super::admission::AdmittedRequest;
use super::batch;
use super::call::{Call, Part, Received, Reply};
use super::methods::{CatalogError, Methods};
use crate::mcp::catalog::{Catalog, ServerInfo};
use crate::mcp::client::caller::Principal;
use crate::mcp::client::session::Session;
use crate::mcp::client::sink::ClientSink;
use crate::mcp::jsonrpc::message::{
    self, Batch, Fault, INVALID_REQUEST, Id, Message, Notification, Request, RpcError,
};
use crate::mcp::jsonrpc::response;
use crate::mcp::version::handshake;

/// Serves one catalog to any number of sessions. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Engine(Rc<Methods>);

impl Engine {
    /// Builds an engine for a catalog.
    ///
    /// # Errors
    /// See [`CatalogError`].
    pub fn new(catalog: Catalog, info: ServerInfo) -> Result<Engine, CatalogError> {
        Methods::new(catalog, info).map(|methods| Engine(Rc::new(methods)))
    }

    /// Handles the bytes of one message. Notifications that belong to the request go to `sink`.
    pub fn receive(&self, session: &Rc<Session>, bytes: &[u8], sink: &ClientSink) -> Received {
        match message::parse(bytes) {
            Ok(message) => self.handle(session, message, sink),
            Err(fault) => Received::Answer(refusal(session, &fault)),
        }
    }

    /// Handles one parsed message.
    pub fn handle(
        &self,
        session: &Rc<Session>,
        message: Message<'_>,
        sink: &ClientSink,
    ) -> Received {
        match message {
            Message::Request(request) => match self.request(session, request, sink) {
                Ok(Part::Done(text)) => Received::Answer(Reply::now(text)),
                Ok(Part::Wait(pending)) => Received::Call(Call::single(pending)),
                Err(fault) => Received::Answer(refusal(session, &fault)),
            },
            Message::Notification(notification) => {
                notify(session, &notification);
                Received::Nothing
            }
            Message::Response(response) => {
                session.answered(response);
                Received::Nothing
            }
            Message::Batch(batch) => self.batch(session, &batch, sink),
        }
    }

    /// The response to input that could not become a message, such as a message over the size limit.
    #[must_use]
    pub fn refuse(&self, session: &Session, error: RpcError) -> Reply {
        refusal(session, &error.about(None))
    }

    /// Ends every `subscriptions/listen` request with its result; called when the program stops.
    pub fn end_listening(&self) {
        self.0.catalog.notifier.close();
    }

    /// Ends what is kept between the calls of these principals, who are not let in any more.
    pub fn dismiss(&self, whose: impl Fn(&Principal) -> bool) {
        if let Some(dismiss) = &self.0.catalog.dismiss {
            dismiss(&|caller| whose(caller.principal()));
        }
    }

    /// The arguments of a tool that an HTTP client repeats in `Mcp-Param-…` header fields, each
    /// with the name of its field after the prefix (`x-mcp-header`, MCP 2026-07-28
    /// basic/transports/streamable-http).
    #[must_use]
    pub fn repeated_arguments(&self, tool: &str) -> &[(String, String)] {
        self.0.repeated_arguments(tool)
    }

    fn batch(&self, session: &Rc<Session>, batch: &Batch<'_>, sink: &ClientSink) -> Received {
        let refuse = |error| Received::Answer(refusal(session, &Fault { id: None, error }));
        // MCP 2025-03-26 basic §Batching; every other version has single messages only.
        if !session
            .version()
            .is_some_and(|version| version.shape().batches)
        {
            return refuse(batch.refuse("batches are not part of the protocol version spoken"));
        }
        let items = match batch.split(handshake::MAX_BATCH) {
            Ok(items) => items,
            Err(error) => return refuse(error),
        };
        let mut parts = Vec::new();
        for item in items {
            let part = message::parse(item.get().as_bytes())
                .and_then(|message| self.batched(session, message, sink));
            match part {
                Ok(part) => parts.extend(part),
                Err(fault) => parts.push(Part::Done(refusal(session, &fault).text)),
            }
        }
        batch::received(parts)
    }

    fn batched(
        &self,
        session: &Rc<Session>,
        message: Message<'_>,
        sink: &ClientSink,
    ) -> Result<Option<Part>, Fault> {
        let refuse = |id, text: &str| Err(RpcError::new(INVALID_REQUEST, text).about(id));
        match message {
            // `initialize` must come alone; `subscriptions/listen` would hold back the response to the whole batch.
            Message::Request(Request { id, method, .. })
                if ["initialize", "subscriptions/listen"].contains(&method.as_str()) =>
            {
                refuse(Some(id), &format!("`{method}` must not be part of a batch"))
            }
            Message::Request(request) => self.request(session, request, sink).map(Some),
            Message::Notification(notification) => {
                notify(session, &notification);
                Ok(None)
            }
            Message::Response(response) => {
                session.answered(response);
                Ok(None)
            }
            Message::Batch(_) => refuse(None, "a batch within a batch"),
        }
    }

    /// Handles a request up to its handler. After an error no handler has seen the request.
    fn request(
        &self,
        session: &Rc<Session>,
        request: Request,
        sink: &ClientSink,
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
        let admitted = match AdmittedRequest::admit(
            session,
            &id,
            &method,
            &mut params,
            sink,
            &self.0.capabilities,
        ) {
            Ok(admitted) => admitted,
            Err(error) => return Err(error.about(Some(id))),
        };
        let failed = |error| Part::Done(response::failure(Some(&id), &error, false));
        Ok(self.0.dispatch(admitted, params).unwrap_or_else(failed))
    }
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
    let text = response::failure(fault.id.as_ref(), &fault.error, null_id);
    Reply::refused(text, fault.error.code)
}
