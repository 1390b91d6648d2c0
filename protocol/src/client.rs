//! The MQTT 3.1.1 client as a state machine: bytes, time and wishes in; bytes, events and a
//! deadline out.
//!
//! It promises: every publish ends in exactly one [`Outcome`]; every listener hears of its grant or
//! its refusal; the session outlives the socket; no call blocks, and no byte from a broker does more
//! than end the connection with a [`Reason`].
//!
//! > After every call that changes a `Client`, call [`Client::poll`] until it returns
//! > [`Output::Wait`], write what [`Client::outgoing`] holds as far as the socket takes it, and only
//! > then wait: for bytes, for room to write, for a wish, or for the time that `Wait` named.
//!
//! It opens no socket, reads no clock and draws no random number: those are the driver's.

mod backoff;
mod event;
mod ids;
mod keepalive;
mod listeners;
mod options;
mod outbox;
mod packets;
mod publishes;
mod subscriptions;

use std::collections::VecDeque;
use std::time::{Duration, Instant};

pub use self::event::{
    Event, ListenError, Outcome, Output, ProtocolError, PublishError, Reason, Refusal, Ticket,
};
pub use self::listeners::Listen;
pub use self::options::{BackoffOptions, LastWill, Options};

use self::backoff::Backoff;
use self::ids::{IdSet, PacketIds};
use self::keepalive::{Due, KeepAlive};
use self::listeners::Listeners;
use self::outbox::Outbox;
use self::publishes::Publishes;
use self::subscriptions::Subscriptions;
use crate::encode;
use crate::frame::{FrameBuffer, Receiver};
use crate::limits::{DISCONNECT_TIMEOUT, OUTBOX_FULL, TAKEOVER_WINDOW};
use crate::message::Message;

/// One client, one broker. See the [module documentation](self) for how to drive it.
pub struct Client {
    frames: FrameBuffer,
    core: Core,
}

/// Everything but the received bytes, so that a packet borrowed from those can be handled.
struct Core {
    options: Options,
    state: State,
    /// Why there is no connection, or was none before this one.
    last_reason: Reason,
    outbox: Outbox,
    ids: PacketIds,
    publishes: Publishes,
    /// Inbound QoS 2 identifiers between PUBLISH and PUBREL ([MQTT-4.3.3-2]).
    received: IdSet,
    subscriptions: Subscriptions,
    listeners: Listeners,
    backoff: Backoff,
    outputs: VecDeque<Output>,
    next_ticket: u64,
    /// Connections in a row that the broker ended soon after CONNACK.
    short_lives: u32,
    unmatched: u64,
}

enum State {
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

impl Client {
    /// A client that wants to connect at once. `seed` spreads reconnects; equal seeds behave alike.
    #[must_use]
    pub fn new(options: Options, seed: u64, now: Instant) -> Self {
        Self {
            frames: FrameBuffer::new(Receiver::Client, options.limits.packet_bytes),
            core: Core {
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
            },
        }
    }

    /// The transport that `Output::Connect` asked for is open.
    pub fn handle_connected(&mut self, _now: Instant) {
        if let State::Opening { deadline } = self.core.state {
            self.frames.clear();
            self.core.outbox.reset();
            self.core.send_connect();
            self.core.state = State::Handshake { deadline };
        }
    }

    /// The transport that `Output::Connect` asked for could not be opened; `words` say why.
    pub fn handle_connect_failed(&mut self, now: Instant, words: impl Into<String>) {
        if matches!(self.core.state, State::Opening { .. }) {
            self.core.fail(now, Reason::Transport(words.into()), false);
        }
    }

    /// Bytes arrived.
    pub fn handle_bytes(&mut self, now: Instant, bytes: &[u8]) {
        if self.core.is_reading() {
            if let State::Up { keep, .. } = &mut self.core.state {
                keep.received(now);
            }
            self.frames.extend(bytes);
        }
    }

    /// The socket took the first `n` bytes of [`outgoing`](Self::outgoing).
    pub fn handle_written(&mut self, now: Instant, n: usize) {
        self.core.handle_written(now, n);
    }

    /// The transport ended. `words` are empty for an orderly end, else they say what broke.
    pub fn handle_closed(&mut self, now: Instant, words: impl Into<String>) {
        self.core.handle_closed(now, words.into());
    }

    /// The time that `Output::Wait` named has come (earlier calls do no harm).
    pub fn handle_timeout(&mut self, now: Instant) {
        self.core.handle_timeout(now);
    }

    /// Publishes `message`. Its outcome comes as [`Event::Published`], at `deadline` at the latest.
    ///
    /// # Errors
    /// When it is refused at once; then nothing was or will be sent.
    pub fn publish(
        &mut self,
        _now: Instant,
        message: Message,
        deadline: Option<Instant>,
    ) -> Result<Ticket, PublishError> {
        self.core.accepting().map_err(PublishError::NotConnected)?;
        let ticket = self.core.ticket();
        self.core
            .publishes
            .accept(ticket, message, deadline, &self.core.options.limits)?;
        Ok(ticket)
    }

    /// Gives up on a publish: if it was not sent yet it will not be. No outcome comes for it.
    pub fn cancel(&mut self, _now: Instant, ticket: Ticket) {
        self.core.publishes.cancel(ticket);
    }

    /// Wants messages. [`Event::Listening`] or [`Event::ListenRefused`] comes when the broker
    /// answers; messages may come before that.
    ///
    /// # Errors
    /// When it is refused at once.
    pub fn listen(&mut self, _now: Instant, listen: Listen) -> Result<Ticket, ListenError> {
        self.core.accepting().map_err(ListenError::NotConnected)?;
        let limit = self.core.options.limits.listeners;
        if self.core.listeners.len() >= limit {
            return Err(ListenError::TooMany(limit));
        }
        Ok(self.core.listen(listen))
    }

    /// Wants no more messages; the last listener of a filter ends its subscription.
    pub fn leave(&mut self, _now: Instant, ticket: Ticket) {
        if let Some(filter) = self.core.listeners.remove(ticket) {
            self.core.subscriptions.leave(&filter);
        }
    }

    /// Sends DISCONNECT behind what is encoded already, then closes. What was not sent ends as
    /// `NotSent`, what is unacknowledged as `Unknown`.
    pub fn disconnect(&mut self, now: Instant) {
        self.core.disconnect(now);
    }

    /// The next thing to do. `Wait` is the last one; until it comes, keep calling.
    pub fn poll(&mut self, now: Instant) -> Output {
        loop {
            if let Some(output) = self.core.outputs.pop_front() {
                return output;
            }
            if !self.core.is_reading() || self.core.outbox.pending().len() >= OUTBOX_FULL {
                break;
            }
            match self.frames.next_packet() {
                Ok(Some(packet)) => {
                    if let Err(error) = self.core.handle_packet(now, packet) {
                        self.core.fail(now, error, true);
                    }
                }
                Ok(None) => break,
                Err(error) => {
                    let reason = Reason::Protocol(ProtocolError::Frame(error));
                    self.core.fail(now, reason, true);
                }
            }
        }
        self.core.pump(now);
        Output::Wait(self.core.next_deadline())
    }

    /// Bytes for the socket, oldest first.
    #[must_use]
    pub fn outgoing(&self) -> &[u8] {
        self.core.outbox.pending()
    }

    /// Whether the driver should read: not while answers to what came already cannot leave.
    #[must_use]
    pub fn wants_bytes(&self) -> bool {
        self.core.is_reading() && self.core.outbox.pending().len() < OUTBOX_FULL
    }

    /// Whether the broker has accepted us and the connection is up.
    #[must_use]
    pub fn is_connected(&self) -> bool {
        matches!(self.core.state, State::Up { .. })
    }

    /// Whether all is over.
    #[must_use]
    pub fn is_closed(&self) -> bool {
        matches!(self.core.state, State::Closed)
    }

    /// What is held, for budgets and metrics.
    #[must_use]
    pub fn usage(&self) -> Usage {
        Usage {
            publishes: self.core.publishes.unfinished(),
            publish_bytes: self.core.publishes.bytes(),
            listeners: self.core.listeners.len(),
            subscriptions: self.core.subscriptions.len(),
            live_packet_ids: self.core.ids.live(),
            received_qos2: self.core.received.len(),
            outgoing_bytes: self.core.outbox.pending().len(),
            incoming_bytes: self.frames.buffered(),
            unmatched: self.core.unmatched,
        }
    }
}

/// What a client holds at a moment.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Usage {
    /// Publishes without an outcome or an acknowledgement.
    pub publishes: usize,
    /// Their topic and payload bytes.
    pub publish_bytes: usize,
    /// Listeners.
    pub listeners: usize,
    /// Different filters they listen to.
    pub subscriptions: usize,
    /// Packet identifiers in use.
    pub live_packet_ids: usize,
    /// Inbound QoS 2 messages delivered and not released.
    pub received_qos2: usize,
    /// Bytes the socket has not taken.
    pub outgoing_bytes: usize,
    /// Bytes received and not parsed.
    pub incoming_bytes: usize,
    /// Messages that came and no listener wanted, since the start.
    pub unmatched: u64,
}

impl std::fmt::Debug for Client {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Client")
            .field("usage", &self.usage())
            .finish_non_exhaustive()
    }
}

impl Core {
    /// After DISCONNECT nothing may be sent ([MQTT-3.14.4-2]), so nothing is answered either.
    fn is_reading(&self) -> bool {
        matches!(self.state, State::Handshake { .. } | State::Up { .. })
    }

    /// A call made while the first connection (or the first after a good one) is being set up may
    /// wait for it. Once attempts fail, waiting would only hide the reason.
    fn accepting(&self) -> Result<(), Reason> {
        match self.state {
            State::Up { .. } => Ok(()),
            State::Closing { .. } | State::Closed => Err(Reason::ShuttingDown),
            _ if self.backoff.failures() == 0 => Ok(()),
            _ => Err(self.last_reason.clone()),
        }
    }

    fn ticket(&mut self) -> Ticket {
        self.next_ticket += 1;
        Ticket(self.next_ticket)
    }

    fn listen(&mut self, listen: Listen) -> Ticket {
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

    fn send_connect(&mut self) {
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

    fn handle_written(&mut self, now: Instant, n: usize) {
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

    fn handle_closed(&mut self, now: Instant, words: String) {
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

    fn handle_timeout(&mut self, now: Instant) {
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
    fn pump(&mut self, now: Instant) {
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
    fn fail(&mut self, now: Instant, reason: Reason, close: bool) {
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
    fn lose_session(&mut self, reason: &Reason) {
        self.received.clear();
        let outputs = &mut self.outputs;
        self.publishes
            .session_lost(reason, &mut self.ids, &mut |event| {
                outputs.push_back(Output::Event(event));
            });
    }

    fn refuse_listeners(&mut self, filter: &crate::topic::SubscribeFilter, reason: &Reason) {
        for ticket in self.listeners.of(filter) {
            self.listeners.remove(ticket);
            let reason = reason.clone();
            self.outputs
                .push_back(Output::Event(Event::ListenRefused { ticket, reason }));
        }
    }

    fn disconnect(&mut self, now: Instant) {
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

    fn next_deadline(&self) -> Option<Instant> {
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
