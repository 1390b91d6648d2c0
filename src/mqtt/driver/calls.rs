//! The calls in progress: the protocol ticket of each request, and the receiver of its events.

use std::collections::HashMap;
use std::rc::Rc;
use std::time::Instant;

use mcpmqtt_protocol::client::{Client, ListenError, Outcome, PublishError, Reason, Ticket};
use mcpmqtt_protocol::message::Message;
use mcpmqtt_protocol::topic::TopicName;

use crate::local::oneshot;
use crate::mqtt::client::{CallId, ClientRequest, Shared};
use crate::mqtt::failure::ListenFailure;
use crate::mqtt::inbox::InboxSender;
use crate::mqtt::tap::{Tap, Tapped};
use crate::mqtt::too_large::TooLarge;

/// Calls by their protocol tickets. Cancelling a call is rare, so it searches by the caller's number.
#[derive(Default)]
pub(super) struct Calls {
    publishes: HashMap<Ticket, (CallId, oneshot::Sender<Result<Outcome, PublishError>>)>,
    listeners: HashMap<Ticket, OpenListener>,
    pings: HashMap<Ticket, oneshot::Sender<()>>,
}

struct OpenListener {
    id: CallId,
    receiver: Receiver,
    /// Present until the broker has granted the filter.
    reply: Option<oneshot::Sender<Result<(), ListenFailure>>>,
}

/// Where the messages of a listener go.
enum Receiver {
    Inbox(Rc<InboxSender>),
    Tap(Tap),
    /// One that hears of reserved topics, too.
    ReservedTap(Tap),
}

impl Calls {
    /// Whether any call listens for messages.
    pub(super) fn listening(&self) -> bool {
        !self.listeners.is_empty()
    }

    /// Passes a request to the client. A request whose caller is gone is dropped.
    pub(super) fn take(
        &mut self,
        client: &mut Client,
        now: Instant,
        request: ClientRequest,
        shared: &Shared,
    ) {
        match request {
            ClientRequest::Publish { reply, .. } if reply.is_closed() => {}
            ClientRequest::Listen { reply, .. } if reply.is_closed() => {}
            ClientRequest::Observe { reply, .. } if reply.is_closed() => {}
            ClientRequest::Ping { reply } if reply.is_closed() => {}
            ClientRequest::Publish {
                id,
                message,
                deadline,
                is_exempt,
                halts,
                reply,
            } => {
                let accepted = match shared.sending.halted_since(halts) {
                    _ if is_exempt => client.publish_exempt(now, message, Some(deadline)),
                    Some(words) => Err(PublishError::Halted(words)),
                    None => client.publish(now, message, Some(deadline)),
                };
                match accepted {
                    Ok(ticket) => {
                        self.publishes.insert(ticket, (id, reply));
                    }
                    Err(error) => reply.send(Err(error)),
                }
            }
            // The driver looks in every turn.
            ClientRequest::Sending => {}
            ClientRequest::TakeBack { id } => self.take_back(client, id),
            ClientRequest::Listen {
                id,
                listen,
                inbox,
                reply,
            } => {
                let listening = client.listen(now, listen);
                self.listen(id, listening, Receiver::Inbox(inbox), reply);
            }
            ClientRequest::Observe {
                id,
                filter,
                is_needed,
                tap,
                hears_reserved,
                reply,
            } => {
                let (observing, receiver) = match hears_reserved {
                    true => (
                        client.observe_at_least_once(now, filter),
                        Receiver::ReservedTap(tap),
                    ),
                    false => (client.observe(now, filter, is_needed), Receiver::Tap(tap)),
                };
                self.listen(id, observing, receiver, reply);
            }
            ClientRequest::Ping { reply } => {
                if let Ok(ticket) = client.ping(now) {
                    self.pings.insert(ticket, reply);
                }
            }
        }
    }

    fn listen(
        &mut self,
        id: CallId,
        listening: Result<Ticket, ListenError>,
        receiver: Receiver,
        reply: oneshot::Sender<Result<(), ListenFailure>>,
    ) {
        let listener = OpenListener {
            id,
            receiver,
            reply: Some(reply),
        };
        match listening {
            Ok(ticket) => {
                self.listeners.insert(ticket, listener);
            }
            Err(error) => {
                if let Some(reply) = listener.reply {
                    reply.send(Err(ListenFailure::Refused(error)));
                }
            }
        }
    }

    /// Ends a publish whose message was not sent yet.
    fn take_back(&mut self, client: &mut Client, id: CallId) {
        let publish = self.publishes.iter().find(|(_, (call, _))| *call == id);
        let Some(ticket) = publish.map(|(ticket, _)| *ticket) else {
            return;
        };
        if client.take_back(ticket) {
            if let Some((_, reply)) = self.publishes.remove(&ticket) {
                reply.send(Err(PublishError::TakenBack));
            }
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
        if let Some(Receiver::Inbox(inbox)) = self.receiver(ticket, &message.topic, shared) {
            inbox.put(message, shared);
        }
    }

    pub(super) fn observed(
        &self,
        now: Instant,
        ticket: Ticket,
        message: &Message,
        may_be_copy: bool,
        shared: &Shared,
    ) {
        let receiver = self.receiver(ticket, &message.topic, shared);
        if let Some(Receiver::Tap(tap) | Receiver::ReservedTap(tap)) = receiver {
            let message = Tapped::Message {
                message,
                may_be_copy,
            };
            tap(now, message);
        }
    }

    pub(super) fn too_large(&self, now: Instant, ticket: Ticket, large: TooLarge, shared: &Shared) {
        match self.receiver(ticket, &large.topic, shared) {
            Some(Receiver::Inbox(inbox)) => inbox.put_too_large(large, shared),
            Some(Receiver::Tap(tap) | Receiver::ReservedTap(tap)) => {
                tap(now, Tapped::TooLarge(&large));
            }
            None => {}
        }
    }

    /// Who receives what came on this topic. What is reserved is dropped here, before any inbox, table or count.
    fn receiver(&self, ticket: Ticket, topic: &TopicName, shared: &Shared) -> Option<&Receiver> {
        let receiver = &self.listeners.get(&ticket)?.receiver;
        match receiver {
            Receiver::ReservedTap(_) => Some(receiver),
            _ => (!shared.is_reserved(topic.as_str())).then_some(receiver),
        }
    }

    pub(super) fn answered(&mut self, ticket: Ticket) {
        if let Some(reply) = self.pings.remove(&ticket) {
            reply.send(());
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

    pub(super) fn refused(&mut self, now: Instant, ticket: Ticket, reason: Reason) {
        if let Some(listener) = self.listeners.remove(&ticket) {
            match listener.reply {
                Some(reply) => reply.send(Err(ListenFailure::Broker(reason))),
                None => listener.receiver.end(now, &reason),
            }
        }
    }

    /// Marks the listeners' subscriptions as interrupted: messages sent while the connection is down may be missed. Pings
    /// that were not answered will not be.
    pub(super) fn interrupted(&mut self, now: Instant) {
        self.pings.clear();
        for listener in self.listeners.values() {
            match &listener.receiver {
                Receiver::Inbox(inbox) => inbox.interrupt(),
                Receiver::Tap(tap) | Receiver::ReservedTap(tap) => tap(now, Tapped::Interrupted),
            }
        }
    }

    /// Ends all listeners, because there will be no further connection.
    pub(super) fn ended(&self, now: Instant, reason: &Reason) {
        for listener in self.listeners.values() {
            listener.receiver.end(now, reason);
        }
    }
}

impl Receiver {
    fn end(&self, now: Instant, reason: &Reason) {
        match self {
            Self::Inbox(inbox) => inbox.end(reason.clone()),
            Self::Tap(tap) | Self::ReservedTap(tap) => tap(now, Tapped::Ended(reason)),
        }
    }
}
