//! Ends a connection, and the requests in progress on it.
//!
//! Promises: every end of a connection passes `fail`, `part` or `finish`, so that no waiting call is forgotten.

use std::time::{Duration, Instant};

use mqttrs::{QoS, QosPid};

use super::core::{Core, Session, State};
use super::event::{Event, Output, Reason};
use super::inflight;
use crate::encode;
use crate::limits::{DISCONNECT_TIMEOUT, FAILED_RESUMPTIONS, MALFORMED_RESUMPTIONS};
use crate::topic::SubscribeFilter;

impl Core {
    /// Ends the connection or the attempt; `close` when the transport still exists.
    pub(super) fn fail(&mut self, now: Instant, reason: Reason, close: bool) {
        if close {
            self.outputs.push_back(Output::Close);
        }
        let lived = match &self.state {
            State::Up { since, .. } => now.saturating_duration_since(*since),
            _ => Duration::ZERO,
        };
        let was_up = matches!(self.state, State::Up { .. });
        let wait = if reason.is_configuration() {
            self.backoff.after_refusal()
        } else {
            self.backoff.after_failure(lived)
        };
        self.end_malformed_session();
        let reason = self.failed_to_resume(now, reason);
        self.lose_connection(now, &reason);
        // A call that comes after the first failed attempt is refused, so that one that came before it waits no longer.
        let is_first = matches!(self.last_reason, Reason::NeverConnected) && !was_up;
        if reason.is_to_stay() || is_first {
            self.end_waiting(&reason);
        }
        self.outbox.reset();
        self.outputs.push_back(Output::Event(Event::Disconnected {
            reason: reason.clone(),
            retry_in: Some(wait),
        }));
        self.last_reason = reason;
        self.state = State::Down {
            retry_at: now + wait,
        };
    }

    /// A kept session with which the broker ends one connection after another is given up: the next connection ends it,
    /// like a foreign session.
    fn failed_to_resume(&mut self, now: Instant, reason: Reason) -> Reason {
        if !matches!(self.state, State::Up { .. }) {
            return reason;
        }
        let by_the_broker = reason.is_by_the_broker();
        let by_a_message = by_the_broker && self.subscriptions.asked_for().is_none();
        let outputs = &mut self.outputs;
        let convicted = self
            .publishes
            .convict(now, by_a_message, &mut self.ids, &mut |event| {
                outputs.push_back(Output::Event(event));
            });
        if let Some(reason) = convicted {
            self.failed_resumptions = 0;
            self.session = Session::Foreign;
            return reason;
        }
        if !self.publishes.is_unanswered() {
            self.failed_resumptions = 0;
        } else if by_the_broker && self.publishes.has_sent_again() {
            self.failed_resumptions += 1;
        }
        if self.failed_resumptions < FAILED_RESUMPTIONS {
            return reason;
        }
        self.failed_resumptions = 0;
        self.session = Session::Foreign;
        Reason::SessionGivenUp
    }

    /// Ends a session whose unacknowledged message violates the protocol: a kept session would deliver it again, with
    /// or without listeners.
    fn end_malformed_session(&mut self) {
        let resumed = matches!(self.state, State::Up { resumed: true, .. });
        if !resumed || self.malformed.is_none() {
            if matches!(self.state, State::Up { .. }) {
                self.malformed_resumptions = 0;
            }
            return;
        }
        self.malformed_resumptions += 1;
        if self.malformed_resumptions >= MALFORMED_RESUMPTIONS {
            self.malformed_resumptions = 0;
            self.session = Session::Foreign;
        }
    }

    /// Gives up the subscriptions that brought the packet for which this connection ends, when they have done so
    /// before. False when no subscription is the cause.
    fn blame_filters(&mut self, now: Instant) -> bool {
        let Some(malformed) = self.malformed.take() else {
            return false;
        };
        let filters = match &malformed.topic {
            Some(topic) => self.listeners.filters_of(topic),
            None => self.subscriptions.only_fresh(now).into_iter().collect(),
        };
        let is_known = !filters.is_empty();
        let subscriptions = &self.subscriptions;
        let is_needed = |filter: &SubscribeFilter| subscriptions.is_needed(filter);
        for filter in self.blame.ended_by(now, &malformed, filters, is_needed) {
            self.subscriptions.end(&filter);
            self.refuse_listeners(&filter, &Reason::BringsMalformed(malformed.error));
        }
        is_known
    }

    fn lose_connection(&mut self, now: Instant, reason: &Reason) {
        let clean = self.options.clean_session;
        let is_explained = self.blame_filters(now);
        self.publishes.disconnected(&mut self.ids);
        if self.publishes.withholds() {
            // The next connection ends the session, as it would a foreign one.
            self.session = Session::Foreign;
        }
        // A filter is not to blame for a network failure, nor a request that was not written.
        let heard = match reason {
            _ if is_explained => 0,
            Reason::NoSubscribeAck | Reason::SessionGivenUp => self.outbox.written(),
            reason if reason.is_by_the_broker() => self.outbox.written(),
            _ => 0,
        };
        let forbidden = self.subscriptions.disconnected(clean, heard, &mut self.ids);
        for filter in forbidden {
            let reason = match reason {
                // This client closed the connection.
                Reason::NoSubscribeAck | Reason::Protocol(_) => {
                    Reason::FilterEndsConnection(Box::new(reason.clone()))
                }
                _ => Reason::FilterCutsConnection,
            };
            self.refuse_listeners(&filter, &reason);
            self.blame.condemn(now, &filter, None, reason);
        }
        if clean {
            self.lose_session(reason);
        }
    }

    /// Ends the requests that wait for a connection, with the reason why there is none. Granted listeners and sent
    /// messages continue on the next connection.
    fn end_waiting(&mut self, reason: &Reason) {
        let outputs = &mut self.outputs;
        self.publishes.drop_queue(reason, &mut |event| {
            outputs.push_back(Output::Event(event));
        });
        for ticket in self.listeners.never_granted() {
            if let Some(filter) = self.listeners.remove(ticket) {
                self.subscriptions.leave(&filter);
            }
            let reason = reason.clone();
            self.outputs
                .push_back(Output::Event(Event::ListenRefused { ticket, reason }));
        }
    }

    /// [MQTT-3.1.2-6]: the state of an ended session is not used again.
    pub(super) fn lose_session(&mut self, reason: &Reason) {
        self.received.clear();
        let outputs = &mut self.outputs;
        self.publishes
            .session_lost(reason, &mut self.ids, &mut |event| {
                outputs.push_back(Output::Event(event));
            });
    }

    pub(super) fn refuse_listeners(&mut self, filter: &SubscribeFilter, reason: &Reason) {
        for ticket in self.listeners.of(filter) {
            self.listeners.remove(ticket);
            let reason = reason.clone();
            self.outputs
                .push_back(Output::Event(Event::ListenRefused { ticket, reason }));
        }
    }

    pub(super) fn disconnect(&mut self, now: Instant) {
        let outputs = &mut self.outputs;
        let events = &mut |event| outputs.push_back(Output::Event(event));
        match self.state {
            State::Closed | State::Closing { .. } => {}
            State::Up { .. } => {
                self.publishes.drop_queue(&Reason::ShuttingDown, events);
                self.publish_will();
                encode::disconnect(self.outbox.buffer());
                let deadline = now + DISCONNECT_TIMEOUT;
                self.state = State::Closing { deadline };
            }
            State::Down { .. } => self.finish(false),
            _ => self.finish(true),
        }
    }

    /// Publishes the will, because the broker drops it at DISCONNECT ([MQTT-3.14.4-3]) while its subscribers want to
    /// know of every end. QoS 1 at most, because no PUBREC can be answered any more.
    fn publish_will(&mut self) {
        let Some(will) = &self.options.will else {
            return;
        };
        let pid = match will.qos {
            QoS::AtMostOnce => None,
            _ => self.ids.allocate(),
        };
        let qospid = pid.map_or(QosPid::AtMostOnce, QosPid::AtLeastOnce);
        inflight::write(&mut self.outbox, false, qospid, will);
        if let Some(pid) = pid {
            self.ids.release(pid);
        }
    }

    /// Ends the client; `close` when the transport still exists.
    pub(super) fn finish(&mut self, close: bool) {
        if close {
            self.outputs.push_back(Output::Close);
        }
        let outputs = &mut self.outputs;
        let reason = Reason::ShuttingDown;
        self.publishes.close(&reason, &mut self.ids, &mut |event| {
            outputs.push_back(Output::Event(event));
        });
        for filter in self.subscriptions.close(&mut self.ids) {
            self.refuse_listeners(&filter, &reason);
        }
        self.received.clear();
        self.outbox.reset();
        self.state = State::Closed;
        self.outputs.push_back(Output::Event(Event::Disconnected {
            reason,
            retry_in: None,
        }));
    }

    /// Disconnects from a broker with a foreign session, and reconnects at once.
    pub(super) fn part(&mut self, now: Instant) {
        encode::disconnect(self.outbox.buffer());
        let deadline = now + DISCONNECT_TIMEOUT;
        self.state = State::Disconnecting { deadline };
    }

    pub(super) fn parted(&mut self, now: Instant, close: bool) {
        if close {
            self.outputs.push_back(Output::Close);
        }
        self.outbox.reset();
        self.state = State::Down { retry_at: now };
    }
}
