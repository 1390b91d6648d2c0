//! A driver without a broker, for simulations: it does with each request what the test says, when the test says it.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::{Duration, Instant};

use mcpmqtt_protocol::QoS;
use mcpmqtt_protocol::client::{ListenError, Outcome, PublishError, Reason, Sending};
use mcpmqtt_protocol::limits::Limits;
use mcpmqtt_protocol::message::Message;
use mcpmqtt_protocol::topic::SubscribeFilter;

use super::client::{CallId, Client, ClientRequest, DriverEnd};
use super::failure::ListenFailure;
use super::inbox::InboxLimits;
use super::state::Status;
use super::tap::{Tap, Tapped};
use crate::local::{oneshot, time};

/// The driver's side of a [`Client`].
pub(crate) struct SimulatedDriver {
    end: DriverEnd,
    /// Taken from the channel, and not handled yet.
    taken: VecDeque<ClientRequest>,
    observers: Vec<Observer>,
    sending: Sending,
    /// Taken in, and held.
    held: Vec<Publish>,
    /// Sent, and not acknowledged yet.
    unacknowledged: Vec<Publish>,
}

struct Publish {
    id: CallId,
    message: Message,
    deadline: Instant,
    is_exempt: bool,
    reply: oneshot::Sender<Result<Outcome, PublishError>>,
}

struct Observer {
    id: CallId,
    filter: SubscribeFilter,
    tap: Tap,
    hears_reserved: bool,
    /// Present until the broker has granted the filter.
    reply: Option<oneshot::Sender<Result<(), ListenFailure>>>,
}

impl SimulatedDriver {
    /// A client that is not connected, and its driver.
    pub(crate) fn pair() -> (Client, SimulatedDriver) {
        let (client, end) = Client::pair(InboxLimits::default(), Limits::default());
        let driver = SimulatedDriver {
            end,
            taken: VecDeque::new(),
            observers: Vec::new(),
            sending: Sending::Allowed,
            held: Vec::new(),
            unacknowledged: Vec::new(),
        };
        (client, driver)
    }

    pub(crate) fn connect(&self) {
        let session_present = false;
        self.end
            .shared
            .state
            .set(Status::Connected { session_present });
    }

    pub(crate) fn is_connected(&self) -> bool {
        self.end.shared.state.is_connected()
    }

    pub(crate) fn disconnect(&mut self, now: Instant) {
        if !self.end.shared.state.is_connected() {
            return;
        }
        self.end.shared.state.set(Status::Disconnected {
            reason: Reason::NeverConnected,
            retry_in: Some(Duration::ZERO),
        });
        for publish in self.unacknowledged.drain(..) {
            let unknown = Outcome::Unknown(Reason::NeverConnected);
            publish.reply.send(Ok(unknown));
        }
        for publish in self.held.drain(..) {
            let not_sent = Outcome::NotSent(Reason::NeverConnected);
            publish.reply.send(Ok(not_sent));
        }
        for observer in &self.observers {
            (observer.tap)(now, Tapped::Interrupted);
        }
        self.take_sending();
    }

    /// Allows, holds or halts what is sent, as the driver does before it writes again.
    fn take_sending(&mut self) {
        while let Some(sending) = self.end.shared.sending.hear() {
            self.sending = sending;
            self.end_what_is_halted();
        }
    }

    /// Why writing is halted, if it is.
    fn halted(&self) -> Option<Arc<str>> {
        match &self.sending {
            Sending::Halted(words) => Some(Arc::clone(words)),
            _ => None,
        }
    }

    fn end_what_is_halted(&mut self) {
        let Some(words) = self.halted() else {
            return;
        };
        let reason = Reason::Halted(words);
        for (held, outcome) in [
            (&mut self.held, Outcome::NotSent(reason.clone())),
            (&mut self.unacknowledged, Outcome::Unknown(reason)),
        ] {
            let (exempt, ended): (_, Vec<Publish>) = held.drain(..).partition(|it| it.is_exempt);
            *held = exempt;
            for publish in ended {
                publish.reply.send(Ok(outcome.clone()));
            }
        }
    }

    /// Handles all requests, then all cancellations, as the driver does in one turn. Returns the messages that went out.
    pub(crate) fn turn(&mut self) -> Vec<Message> {
        self.take_sending();
        let connected = self.end.shared.state.is_connected();
        let mut sending = std::mem::take(&mut self.held);
        self.take_requests();
        while let Some(request) = self.taken.pop_front() {
            match request {
                ClientRequest::Publish {
                    id,
                    message,
                    deadline,
                    is_exempt,
                    halts,
                    reply,
                } if !reply.is_closed() => {
                    let halted = self.end.shared.sending.halted_since(halts);
                    let halted = halted.or_else(|| self.halted().filter(|_| connected));
                    let halted = halted.filter(|_| !is_exempt);
                    let permitted = self.end.shared.publish_limits.permits(&message);
                    match halted {
                        _ if permitted.is_err() => reply.send(permitted.map(|()| Outcome::Sent)),
                        Some(words) => reply.send(Err(PublishError::Halted(words))),
                        None if !connected => {
                            reply.send(Err(PublishError::NotConnected(Reason::NeverConnected)));
                        }
                        None => sending.push(Publish {
                            id,
                            message,
                            deadline,
                            is_exempt,
                            reply,
                        }),
                    }
                }
                ClientRequest::TakeBack { id } => {
                    if let Some(held) = sending.iter().position(|held| held.id == id) {
                        let taken = sending.remove(held);
                        taken.reply.send(Err(PublishError::TakenBack));
                    }
                }
                ClientRequest::Observe {
                    id,
                    filter,
                    tap,
                    hears_reserved,
                    reply,
                    ..
                } if !reply.is_closed() => match connected {
                    true => self.observers.push(Observer {
                        id,
                        filter,
                        tap,
                        hears_reserved,
                        reply: Some(reply),
                    }),
                    false => {
                        let refused = ListenError::NotConnected(Reason::NeverConnected);
                        reply.send(Err(ListenFailure::Refused(refused)));
                    }
                },
                ClientRequest::Ping { reply } if connected => reply.send(()),
                _ => {}
            }
        }
        while let Ok(cancelled) = self.end.cancelled.try_recv() {
            sending.retain(|held| held.id != cancelled);
            self.unacknowledged.retain(|held| held.id != cancelled);
            self.observers.retain(|observer| observer.id != cancelled);
        }
        let mut sent = Vec::new();
        for publish in sending {
            let is_held = self.sending == Sending::Held && !publish.is_exempt;
            if is_held && publish.deadline <= time::now() {
                let late = Outcome::NotSent(Reason::Timeout(None));
                publish.reply.send(Ok(late));
            } else if is_held {
                self.held.push(publish);
            } else {
                sent.push(publish.message.clone());
                match publish.message.qos {
                    QoS::AtMostOnce => publish.reply.send(Ok(Outcome::Sent)),
                    _ => self.unacknowledged.push(publish),
                }
            }
        }
        sent
    }

    /// The broker grants all filters that it has not granted yet.
    pub(crate) fn grant(&mut self) {
        let connected = self.end.shared.state.is_connected();
        for observer in self.observers.iter_mut().filter(|_| connected) {
            if let Some(reply) = observer.reply.take() {
                reply.send(Ok(()));
            }
        }
    }

    /// The broker acknowledges all messages.
    pub(crate) fn acknowledge(&mut self) {
        for publish in self.unacknowledged.drain(..) {
            publish.reply.send(Ok(Outcome::Delivered));
        }
    }

    /// A message arrives at the observers whose filter matches. False when there is no connection.
    pub(crate) fn deliver(&mut self, now: Instant, message: &Message) -> bool {
        if !self.end.shared.state.is_connected() {
            return false;
        }
        for observer in &self.observers {
            if observer.filter.filter().matches(message.topic.as_str()) {
                let may_be_copy = false;
                (observer.tap)(
                    now,
                    Tapped::Message {
                        message,
                        may_be_copy,
                    },
                );
            }
        }
        self.take_sending();
        true
    }

    /// The number of filters that are observed, but for the operator's.
    pub(crate) fn observed(&self) -> usize {
        let all = self.observers.iter();
        all.filter(|it| !it.hears_reserved).count()
    }

    /// The number of those that the broker has granted.
    pub(crate) fn granted(&self) -> usize {
        let all = self.observers.iter().filter(|it| !it.hears_reserved);
        all.filter(|it| it.reply.is_none()).count()
    }

    /// Whether the operator's topic is asked for, and not granted yet.
    pub(crate) fn asks_for_reserved(&self) -> bool {
        let mut all = self.observers.iter();
        all.any(|it| it.hears_reserved && it.reply.is_some())
    }

    /// Whether the client may still have something for the driver to do, or the driver holds a message.
    pub(crate) fn has_requests(&self) -> bool {
        !self.end.requests.is_empty() || !self.taken.is_empty() || !self.held.is_empty()
    }

    /// Whether a message was handed to the driver that it has not sent yet.
    pub(crate) fn has_messages(&mut self) -> bool {
        self.take_requests();
        let mut taken = self.taken.iter();
        let is_message = |it: &ClientRequest| matches!(it, ClientRequest::Publish { .. });
        taken.any(is_message) || !self.held.is_empty()
    }

    fn take_requests(&mut self) {
        while let Ok(request) = self.end.requests.try_recv() {
            self.taken.push_back(request);
        }
    }
}
