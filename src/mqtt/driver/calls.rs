//! The calls in progress: the protocol ticket of each request, and the receiver of its events.

use std::collections::HashMap;
use std::rc::Rc;
use std::time::Instant;

use mcpmqtt_protocol::client::{Client, Outcome, PublishError, Reason, Ticket};
use mcpmqtt_protocol::message::Message;

use crate::local::oneshot;
use crate::mqtt::client::{CallId, ClientRequest, Shared};
use crate::mqtt::failure::ListenFailure;
use crate::mqtt::inbox::InboxSender;
use crate::mqtt::too_large::TooLarge;

/// Calls by their protocol tickets. Cancelling a call is rare, so it searches by the caller's number.
#[derive(Default)]
pub(super) struct Calls {
    publishes: HashMap<Ticket, (CallId, oneshot::Sender<Result<Outcome, PublishError>>)>,
    listeners: HashMap<Ticket, OpenListener>,
}

struct OpenListener {
    id: CallId,
    inbox: Rc<InboxSender>,
    /// Present until the broker has granted the filter.
    reply: Option<oneshot::Sender<Result<(), ListenFailure>>>,
}

impl Calls {
    /// Whether any call listens for messages.
    pub(super) fn listening(&self) -> bool {
        !self.listeners.is_empty()
    }

    /// Passes a request to the client. A request whose caller is gone is dropped.
    pub(super) fn take(&mut self, client: &mut Client, now: Instant, request: ClientRequest) {
        match request {
            ClientRequest::Publish { reply, .. } if reply.is_closed() => {}
            ClientRequest::Listen { reply, .. } if reply.is_closed() => {}
            ClientRequest::Publish {
                id,
                message,
                deadline,
                reply,
            } => match client.publish(now, message, Some(deadline)) {
                Ok(ticket) => {
                    self.publishes.insert(ticket, (id, reply));
                }
                Err(error) => reply.send(Err(error)),
            },
            ClientRequest::Listen {
                id,
                listen,
                inbox,
                reply,
            } => match client.listen(now, listen) {
                Ok(ticket) => {
                    let reply = Some(reply);
                    self.listeners
                        .insert(ticket, OpenListener { id, inbox, reply });
                }
                Err(error) => reply.send(Err(ListenFailure::Refused(error))),
            },
        }
    }

    /// Cancels a call whose caller is gone. False when the call had ended already.
    pub(super) fn cancel(&mut self, client: &mut Client, now: Instant, id: CallId) -> bool {
        let publish = self.publishes.iter().find(|(_, (call, _))| *call == id);
        if let Some(ticket) = publish.map(|(ticket, _)| *ticket) {
            self.publishes.remove(&ticket);
            client.cancel(now, ticket);
            return true;
        }
        let listener = self.listeners.iter().find(|(_, call)| call.id == id);
        if let Some(ticket) = listener.map(|(ticket, _)| *ticket) {
            self.listeners.remove(&ticket);
            client.leave(now, ticket);
            return true;
        }
        false
    }

    pub(super) fn message(&self, ticket: Ticket, message: Message, shared: &Shared) {
        if let Some(listener) = self.listeners.get(&ticket) {
            listener.inbox.put(message, shared);
        }
    }

    pub(super) fn too_large(&self, ticket: Ticket, large: TooLarge, shared: &Shared) {
        if let Some(listener) = self.listeners.get(&ticket) {
            listener.inbox.put_too_large(large, shared);
        }
    }

    pub(super) fn published(&mut self, ticket: Ticket, outcome: Outcome) {
        if let Some((_, reply)) = self.publishes.remove(&ticket) {
            reply.send(Ok(outcome));
        }
    }

    pub(super) fn listening_now(&mut self, ticket: Ticket) {
        let listener = self.listeners.get_mut(&ticket);
        if let Some(reply) = listener.and_then(|listener| listener.reply.take()) {
            reply.send(Ok(()));
        }
    }

    pub(super) fn refused(&mut self, ticket: Ticket, reason: Reason) {
        if let Some(listener) = self.listeners.remove(&ticket) {
            match listener.reply {
                Some(reply) => reply.send(Err(ListenFailure::Broker(reason))),
                None => listener.inbox.end(reason),
            }
        }
    }

    /// Marks the listeners' subscriptions as interrupted: messages sent while the connection is down may be missed.
    pub(super) fn interrupted(&self) {
        for listener in self.listeners.values() {
            listener.inbox.interrupt();
        }
    }

    /// Ends all listeners, because there will be no further connection.
    pub(super) fn ended(&self, reason: &Reason) {
        for listener in self.listeners.values() {
            listener.inbox.end(reason.clone());
        }
    }
}
