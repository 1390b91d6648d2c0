//! The calls under way: whose request became which ticket, and who hears of what happens to it.

use std::collections::HashMap;
use std::rc::Rc;
use std::time::Instant;

use async_channel::Sender;
use mcpmqtt_protocol::client::{Client, Outcome, PublishError, Reason, Ticket};
use mcpmqtt_protocol::message::Message;

use crate::broker::{CallId, ListenFailure, Mailbox, Request, Shared};

/// Calls by the protocol's tickets and by the callers' numbers.
#[derive(Default)]
pub(super) struct Calls {
    tickets: HashMap<CallId, Ticket>,
    publishes: HashMap<Ticket, (CallId, Sender<Result<Outcome, PublishError>>)>,
    listeners: HashMap<Ticket, Listener>,
}

struct Listener {
    id: CallId,
    mailbox: Rc<Mailbox>,
    /// Until the broker has granted the filter.
    reply: Option<Sender<Result<(), ListenFailure>>>,
}

impl Calls {
    /// Whether somebody waits for messages.
    pub(super) fn listening(&self) -> bool {
        !self.listeners.is_empty()
    }

    /// Hands a request to the client. A caller that has left meanwhile wants nothing any more.
    pub(super) fn take(&mut self, client: &mut Client, now: Instant, request: Request) {
        match request {
            Request::Publish { reply, .. } if reply.is_closed() => {}
            Request::Listen { reply, .. } if reply.is_closed() => {}
            Request::Publish {
                id,
                message,
                deadline,
                reply,
            } => match client.publish(now, message, Some(deadline)) {
                Ok(ticket) => {
                    self.tickets.insert(id, ticket);
                    self.publishes.insert(ticket, (id, reply));
                }
                Err(error) => answer(&reply, Err(error)),
            },
            Request::Listen {
                id,
                listen,
                mailbox,
                reply,
            } => match client.listen(now, listen) {
                Ok(ticket) => {
                    let reply = Some(reply);
                    self.tickets.insert(id, ticket);
                    self.listeners
                        .insert(ticket, Listener { id, mailbox, reply });
                }
                Err(error) => answer(&reply, Err(ListenFailure::Refused(error))),
            },
        }
    }

    /// The caller is gone: takes back what it asked for. False when it was over already.
    pub(super) fn leave(&mut self, client: &mut Client, now: Instant, id: CallId) -> bool {
        let Some(ticket) = self.tickets.remove(&id) else {
            return false;
        };
        if self.publishes.remove(&ticket).is_some() {
            client.cancel(now, ticket);
        }
        if self.listeners.remove(&ticket).is_some() {
            client.leave(now, ticket);
        }
        true
    }

    pub(super) fn message(&self, ticket: Ticket, message: Message, shared: &Shared) {
        if let Some(listener) = self.listeners.get(&ticket) {
            listener.mailbox.put(message, shared);
        }
    }

    pub(super) fn published(&mut self, ticket: Ticket, outcome: Outcome) {
        if let Some((id, reply)) = self.publishes.remove(&ticket) {
            self.tickets.remove(&id);
            answer(&reply, Ok(outcome));
        }
    }

    pub(super) fn listening_now(&mut self, ticket: Ticket) {
        let listener = self.listeners.get_mut(&ticket);
        if let Some(reply) = listener.and_then(|listener| listener.reply.take()) {
            answer(&reply, Ok(()));
        }
    }

    pub(super) fn refused(&mut self, ticket: Ticket, reason: Reason) {
        if let Some(listener) = self.listeners.remove(&ticket) {
            self.tickets.remove(&listener.id);
            match listener.reply {
                Some(reply) => answer(&reply, Err(ListenFailure::Broker(reason))),
                None => listener.mailbox.end(reason),
            }
        }
    }

    /// The connection is lost: what is sent now will not be heard.
    pub(super) fn interrupted(&self) {
        for listener in self.listeners.values() {
            listener.mailbox.interrupt();
        }
    }

    /// There will be no connection any more.
    pub(super) fn ended(&self, reason: &Reason) {
        for listener in self.listeners.values() {
            listener.mailbox.end(reason.clone());
        }
    }
}

/// A caller that is gone needs no answer.
fn answer<T>(reply: &Sender<T>, value: T) {
    let _ = reply.try_send(value);
}
