//! A driver without a broker, for simulations: it does with each request what the test says, when the test says it.

use std::time::{Duration, Instant};

use mcpmqtt_protocol::QoS;
use mcpmqtt_protocol::client::{ListenError, Outcome, PublishError, Reason};
use mcpmqtt_protocol::message::Message;
use mcpmqtt_protocol::topic::SubscribeFilter;

use super::client::{CallId, Client, ClientRequest, DriverEnd};
use super::failure::ListenFailure;
use super::inbox::InboxLimits;
use super::state::Status;
use super::tap::{Tap, Tapped};
use crate::local::oneshot;

/// The driver's side of a [`Client`].
pub(crate) struct SimulatedDriver {
    end: DriverEnd,
    observers: Vec<Observer>,
    /// Sent, and not acknowledged yet.
    unacknowledged: Vec<(CallId, oneshot::Sender<Result<Outcome, PublishError>>)>,
}

struct Observer {
    id: CallId,
    filter: SubscribeFilter,
    tap: Tap,
    /// Present until the broker has granted the filter.
    reply: Option<oneshot::Sender<Result<(), ListenFailure>>>,
}

impl SimulatedDriver {
    /// A client that is not connected, and its driver.
    pub(crate) fn pair() -> (Client, SimulatedDriver) {
        let (client, end) = Client::pair(InboxLimits::default());
        let driver = SimulatedDriver {
            end,
            observers: Vec::new(),
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

    pub(crate) fn disconnect(&mut self, now: Instant) {
        if !self.end.shared.state.is_connected() {
            return;
        }
        self.end.shared.state.set(Status::Disconnected {
            reason: Reason::NeverConnected,
            retry_in: Some(Duration::ZERO),
        });
        for (_, reply) in self.unacknowledged.drain(..) {
            reply.send(Ok(Outcome::Unknown(Reason::NeverConnected)));
        }
        for observer in &self.observers {
            (observer.tap)(now, Tapped::Interrupted);
        }
    }

    /// Handles all requests, then all cancellations, as the driver does in one turn. Returns the messages that went out.
    pub(crate) fn turn(&mut self) -> Vec<Message> {
        let connected = self.end.shared.state.is_connected();
        let mut sending = Vec::new();
        while let Ok(request) = self.end.requests.try_recv() {
            match request {
                ClientRequest::Publish {
                    id, message, reply, ..
                } if !reply.is_closed() => match connected {
                    true => sending.push((id, message, reply)),
                    false => reply.send(Err(PublishError::NotConnected(Reason::NeverConnected))),
                },
                ClientRequest::TakeBack { id } => {
                    if let Some(held) = sending.iter().position(|(held, ..)| *held == id) {
                        let (_, _, reply) = sending.remove(held);
                        reply.send(Err(PublishError::TakenBack));
                    }
                }
                ClientRequest::Observe {
                    id,
                    filter,
                    tap,
                    reply,
                    ..
                } if !reply.is_closed() => match connected {
                    true => self.observers.push(Observer {
                        id,
                        filter,
                        tap,
                        reply: Some(reply),
                    }),
                    false => {
                        let refused = ListenError::NotConnected(Reason::NeverConnected);
                        reply.send(Err(ListenFailure::Refused(refused)));
                    }
                },
                _ => {}
            }
        }
        while let Ok(cancelled) = self.end.cancelled.try_recv() {
            sending.retain(|(id, ..)| *id != cancelled);
            self.unacknowledged.retain(|(id, _)| *id != cancelled);
            self.observers.retain(|observer| observer.id != cancelled);
        }
        let sent = sending.into_iter().map(|(id, message, reply)| {
            match message.qos {
                QoS::AtMostOnce => reply.send(Ok(Outcome::Sent)),
                _ => self.unacknowledged.push((id, reply)),
            }
            message
        });
        sent.collect()
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
        for (_, reply) in self.unacknowledged.drain(..) {
            reply.send(Ok(Outcome::Delivered));
        }
    }

    /// A message arrives at the observers whose filter matches. False when there is no connection.
    pub(crate) fn deliver(&self, now: Instant, message: &Message) -> bool {
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
        true
    }

    /// The number of filters that are observed.
    pub(crate) fn observed(&self) -> usize {
        self.observers.len()
    }

    /// The number of those that the broker has granted.
    pub(crate) fn granted(&self) -> usize {
        let granted = self.observers.iter().filter(|it| it.reply.is_none());
        granted.count()
    }

    /// Whether the client may still have something for the driver to do.
    pub(crate) fn has_requests(&self) -> bool {
        !self.end.requests.is_empty()
    }
}
