//! The connection from the first attempt to the last: states, deadlines, and what is lost when one
//! ends.
//!
//! It promises that every way out of a connection passes `fail` or `finish`, so that nobody who waits
//! is forgotten. It does not know what the packets mean; `packets` does.

use std::collections::VecDeque;
use std::time::{Duration, Instant};

use super::backoff::Backoff;
use super::event::{Event, Output, Reason, Ticket};
use super::keepalive::{Due, KeepAlive};
use super::listeners::{Listen, Listeners};
use super::options::Options;
use super::publishes::Publishes;
use super::subscriptions::Subscriptions;
use crate::encode;
use crate::ids::{IdSet, PacketIds};
use crate::limits::{DISCONNECT_TIMEOUT, TAKEOVER_WINDOW};
use crate::outbox::Outbox;
use crate::topic::SubscribeFilter;

/// Everything but the received bytes, so that a packet borrowed from those can be handled.
pub(super) struct Core {
    pub(super) options: Options,
    pub(super) state: State,
    /// Why there is no connection, or was none before this one.
    pub(super) last_reason: Reason,
    pub(super) outbox: Outbox,
    pub(super) ids: PacketIds,
    pub(super) publishes: Publishes,
    /// Inbound QoS 2 identifiers between PUBLISH and PUBREL ([MQTT-4.3.3-2]).
    pub(super) received: IdSet,
    pub(super) subscriptions: Subscriptions,
    pub(super) listeners: Listeners,
    pub(super) backoff: Backoff,
    pub(super) outputs: VecDeque<Output>,
    pub(super) next_ticket: u64,
    /// Connections in a row that the broker ended soon after CONNACK.
    pub(super) short_lives: u32,
    pub(super) unmatched: u64,
}

pub(super) enum State {
    /// No transport until then.
    Down {
        retry_at: Instant,
    },
    /// The driver is opening a transport.
    Opening {
        deadline: Instant,
    },
    /// CONNECT is sent, and nothing else ([MQTT-3.1.0-1]).
    Handshake {
        deadline: Instant,
    },
    Up {
        since: Instant,
        keep: KeepAlive,
    },
    /// DISCONNECT is the last packet in the outbox.
    Closing {
        deadline: Instant,
    },
    Closed,
}

impl Core {
    pub(super) fn new(options: Options, seed: u64, now: Instant) -> Self {
        Self {
            state: State::Down { retry_at: now },
            last_reason: Reason::NeverConnected,
            outbox: Outbox::default(),
            ids: PacketIds::new(),
            publishes: Publishes::new(),
            received: IdSet::new(),
            subscriptions: Subscriptions::new(),
            listeners: Listeners::new(),
            backoff: Backoff::new(options.backoff.clone(), seed),
            outputs: VecDeque::new(),
            next_ticket: 0,
            short_lives: 0,
            unmatched: 0,
            options,
        }
    }

    /// After DISCONNECT nothing may be sent ([MQTT-3.14.4-2]), so nothing is answered either.
    pub(super) fn is_reading(&self) -> bool {
        matches!(self.state, State::Handshake { .. } | State::Up { .. })
    }

    /// A call made while the first connection (or the first after a good one) is being set up may
    /// wait for it. Once attempts fail, waiting would only hide the reason.
    pub(super) fn accepting(&self) -> Result<(), Reason> {
        match self.state {
            State::Up { .. } => Ok(()),
            State::Closing { .. } | State::Closed => Err(Reason::ShuttingDown),
            _ if self.backoff.failures() == 0 => Ok(()),
            _ => Err(self.last_reason.clone()),
        }
    }

    pub(super) fn ticket(&mut self) -> Ticket {
        self.next_ticket += 1;
        Ticket(self.next_ticket)
    }

    pub(super) fn listen(&mut self, listen: Listen) -> Ticket {
        let ticket = self.ticket();
        let joined = self
            .subscriptions
            .join(&listen.filter, listen.qos, listen.retained);
        if let Err(granted) = joined {
            let listening = Event::Listening { ticket, granted };
            self.outputs.push_back(Output::Event(listening));
        }
        self.listeners.add(ticket, listen, joined.ok());
        ticket
    }

    pub(super) fn send_connect(&mut self) {
        let Self {
            options, outbox, ..
        } = self;
        let will = options.will.as_ref().map(|will| encode::Will {
            topic: will.topic.as_str(),
            payload: &will.payload,
            qos: will.qos,
            retain: will.retain,
        });
        let connect = encode::Connect {
            client_id: &options.client_id,
            clean_session: options.clean_session,
            keep_alive: options.keep_alive,
            username: options.username.as_deref(),
            password: options.password.as_deref(),
            will,
        };
        // Options that cannot be encoded leave the outbox empty and end in the connect timeout;
        // `config` refuses them long before.
        let encoded = encode::connect(outbox.buffer(), &connect);
        debug_assert!(encoded.is_ok());
    }

    pub(super) fn handle_written(&mut self, now: Instant, n: usize) {
        self.outbox.advance(n);
        let more = !self.outbox.pending().is_empty();
        if let State::Up { keep, .. } = &mut self.state {
            keep.sent(now, more);
        }
        let outputs = &mut self.outputs;
        self.publishes.written(self.outbox.written(), &mut |event| {
            outputs.push_back(Output::Event(event));
        });
        if matches!(self.state, State::Closing { .. }) && !more {
            self.finish();
        }
    }

    pub(super) fn handle_closed(&mut self, now: Instant, words: String) {
        let reason = match &self.state {
            State::Handshake { .. } => Reason::ClosedBeforeConnack,
            State::Up { since, .. } => {
                let short = now.saturating_duration_since(*since) < TAKEOVER_WINDOW;
                self.short_lives = if short { self.short_lives + 1 } else { 0 };
                if self.short_lives >= 2 {
                    Reason::Takeover
                } else {
                    Reason::Closed(words)
                }
            }
            State::Closing { .. } => return self.finish(),
            State::Opening { .. } => Reason::Transport(words),
            State::Down { .. } | State::Closed => return,
        };
        self.fail(now, reason, false);
    }

    pub(super) fn handle_timeout(&mut self, now: Instant) {
        match &self.state {
            State::Down { retry_at } if now >= *retry_at => {
                let deadline = now + self.options.connect_timeout;
                self.state = State::Opening { deadline };
                self.outputs.push_back(Output::Connect);
            }
            State::Opening { deadline } | State::Handshake { deadline } if now >= *deadline => {
                let reason = Reason::ConnectTimeout(self.options.connect_timeout);
                self.fail(now, reason, true);
            }
            State::Closing { deadline } if now >= *deadline => self.finish(),
            State::Up { .. } => self.check_life(now),
            _ => {}
        }
        let why = (!matches!(self.state, State::Up { .. })).then_some(&self.last_reason);
        let outputs = &mut self.outputs;
        self.publishes.expire(now, why, &mut |event| {
            outputs.push_back(Output::Event(event));
        });
    }

    fn check_life(&mut self, now: Instant) {
        if self
            .subscriptions
            .next_deadline()
            .is_some_and(|at| now >= at)
        {
            return self.fail(now, Reason::NoSubscribeAck, true);
        }
        let State::Up { keep, .. } = &mut self.state else {
            return;
        };
        match keep.due(now) {
            Due::Nothing => {}
            Due::Ping => {
                keep.pinged(now);
                encode::pingreq(self.outbox.buffer());
            }
            Due::Dead => self.fail(now, Reason::KeepAlive, true),
            Due::Stalled => self.fail(now, Reason::WriteStalled, true),
        }
    }

    /// Nothing but CONNECT goes out before CONNACK ([MQTT-3.1.0-1]).
    pub(super) fn pump(&mut self, now: Instant) {
        let State::Up { keep, .. } = &mut self.state else {
            return;
        };
        self.subscriptions
            .pump(now, &mut self.outbox, &mut self.ids);
        self.publishes
            .pump(&mut self.outbox, &mut self.ids, &self.options.limits);
        if !self.outbox.pending().is_empty() {
            keep.waiting_to_send(now);
        }
    }

    /// The connection, or the attempt, is over. `close` when the transport is still there.
    pub(super) fn fail(&mut self, now: Instant, reason: Reason, close: bool) {
        if close {
            self.outputs.push_back(Output::Close);
        }
        let lived = match &self.state {
            State::Up { since, .. } => now.saturating_duration_since(*since),
            _ => Duration::ZERO,
        };
        let wait = if reason.is_configuration() {
            self.backoff.after_refusal()
        } else {
            self.backoff.after_failure(lived)
        };
        self.outbox.reset();
        self.lose_connection(&reason);
        self.outputs.push_back(Output::Event(Event::Disconnected {
            reason: reason.clone(),
            retry_in: Some(wait),
        }));
        self.last_reason = reason;
        self.state = State::Down {
            retry_at: now + wait,
        };
    }

    fn lose_connection(&mut self, reason: &Reason) {
        let clean = self.options.clean_session;
        self.publishes.disconnected(&mut self.ids);
        for filter in self.subscriptions.disconnected(clean, &mut self.ids) {
            self.refuse_listeners(&filter, &Reason::FilterCutsConnection);
        }
        if clean {
            self.lose_session(reason);
        }
    }

    /// [MQTT-3.1.2-6]: nothing of a session that ended is used again.
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
                encode::disconnect(self.outbox.buffer());
                let deadline = now + DISCONNECT_TIMEOUT;
                self.state = State::Closing { deadline };
            }
            _ => self.finish(),
        }
    }

    fn finish(&mut self) {
        if !matches!(self.state, State::Down { .. }) {
            self.outputs.push_back(Output::Close);
        }
        let outputs = &mut self.outputs;
        self.publishes
            .close(&Reason::ShuttingDown, &mut self.ids, &mut |event| {
                outputs.push_back(Output::Event(event));
            });
        self.outbox.reset();
        self.state = State::Closed;
        self.outputs.push_back(Output::Event(Event::Disconnected {
            reason: Reason::ShuttingDown,
            retry_in: None,
        }));
    }

    pub(super) fn next_deadline(&self) -> Option<Instant> {
        let own = match &self.state {
            State::Down { retry_at } => Some(*retry_at),
            State::Opening { deadline }
            | State::Handshake { deadline }
            | State::Closing { deadline } => Some(*deadline),
            State::Up { keep, .. } => [keep.next(), self.subscriptions.next_deadline()]
                .into_iter()
                .flatten()
                .min(),
            State::Closed => None,
        };
        [own, self.publishes.next_deadline()]
            .into_iter()
            .flatten()
            .min()
    }
}
