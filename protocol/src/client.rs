//! The MQTT 3.1.1 client as a state machine: its inputs are bytes, time and requests; its outputs are bytes, events and
//! a deadline.
//!
//! Promises: every publish ends in exactly one [`Outcome`]; every listener gets an event when it is granted or refused;
//! the session outlives the socket; no call blocks, and no input from a broker has a worse effect than to end the
//! connection with a [`Reason`].
//!
//! > After every call that changes a `Client`, call [`Client::poll`] until it returns
//! > [`Output::Wait`], write what [`Client::outgoing`] holds as far as the socket takes it, and only
//! > then wait: for bytes, for room to write, for a request, or for the time that `Wait` named.
//!
//! Does not: open a socket, read a clock or draw a random number; the driver does.

mod backoff;
mod blame;
mod core;
mod disconnect;
mod event;
mod inflight;
mod keepalive;
mod listeners;
mod options;
mod packets;
mod pending;
mod publishes;
mod stranger;
mod subscription;
mod subscriptions;
mod traffic;
mod trial;

use std::time::Instant;

use mqttrs::QoS;

pub use self::event::{
    Event, LastSent, ListenError, Outcome, Output, ProtocolError, PublishError, Reason, Refusal,
    Stranger, Ticket,
};
pub use self::listeners::Listen;
pub use self::options::{BackoffOptions, Options};
pub use self::publishes::Sending;
pub use self::traffic::{Count, Traffic};

use self::blame::Malformed;
use self::core::{Core, Observing, State};
use self::stranger::Greeting;
use crate::frame::{Frame, FrameBuffer, Receiver};
use crate::limits::OUTBOX_FULL;
use crate::message::Message;
use crate::topic::SubscribeFilter;

/// A client of one broker. See the [module documentation](self) for how to drive it.
pub struct Client {
    frames: FrameBuffer,
    core: Core,
}

impl Client {
    /// Creates a client that connects at once. `seed` spreads reconnects over time; equal seeds behave alike.
    #[must_use]
    pub fn new(options: Options, seed: u64, now: Instant) -> Self {
        Self {
            frames: FrameBuffer::new(Receiver::Client, options.limits.packet_bytes),
            core: Core::new(options, seed, now),
        }
    }

    /// Reports that the transport requested by `Output::Connect` is open.
    pub fn handle_connected(&mut self, now: Instant) {
        if let State::Opening { deadline } = self.core.state {
            self.frames.clear();
            self.core.connect(now, deadline);
        }
    }

    /// Reports that the transport requested by `Output::Connect` could not be opened; `words` is the error message.
    pub fn handle_connect_failed(&mut self, now: Instant, words: impl Into<String>) {
        if matches!(self.core.state, State::Opening { .. }) {
            self.core.fail(now, Reason::Transport(words.into()), false);
        }
    }

    /// Handles received bytes.
    pub fn handle_bytes(&mut self, now: Instant, bytes: &[u8]) {
        if self.core.is_reading() {
            if let State::Up { keep, .. } = &mut self.core.state {
                keep.received(now);
            }
            self.frames.extend(bytes);
            if self.frames.is_skipping() {
                self.core.postpone(now);
            }
        }
    }

    /// Reports that the socket took the first `n` bytes of [`outgoing`](Self::outgoing).
    pub fn handle_written(&mut self, now: Instant, n: usize) {
        self.core.handle_written(now, n);
    }

    /// Reports that the transport ended. `words` is the error message, empty for an orderly end.
    pub fn handle_closed(&mut self, now: Instant, words: impl Into<String>) {
        self.core.handle_closed(now, words.into());
    }

    /// Reports that the time named by `Output::Wait` has come (earlier calls do no harm).
    pub fn handle_timeout(&mut self, now: Instant) {
        self.core.handle_timeout(now);
    }

    /// Publishes `message`. Its outcome comes as [`Event::Published`], at `deadline` at the latest.
    ///
    /// # Errors
    /// When the message is refused at once; then nothing was or will be sent.
    pub fn publish(
        &mut self,
        now: Instant,
        message: Message,
        deadline: Option<Instant>,
    ) -> Result<Ticket, PublishError> {
        self.accept(now, message, deadline, false)
    }

    /// As [`publish`](Self::publish), for a message that is sent whatever [`set_sending`](Self::set_sending) says.
    ///
    /// # Errors
    /// When the message is refused at once; then nothing was or will be sent.
    pub fn publish_exempt(
        &mut self,
        now: Instant,
        message: Message,
        deadline: Option<Instant>,
    ) -> Result<Ticket, PublishError> {
        self.accept(now, message, deadline, true)
    }

    fn accept(
        &mut self,
        _now: Instant,
        message: Message,
        deadline: Option<Instant>,
        is_exempt: bool,
    ) -> Result<Ticket, PublishError> {
        self.core.accepting().map_err(PublishError::NotConnected)?;
        let ticket = self.core.ticket();
        self.core.publishes.accept(
            ticket,
            message,
            deadline,
            is_exempt,
            &self.core.options.limits,
        )?;
        Ok(ticket)
    }

    /// Allows, holds or halts what is sent. After a halt no further byte of a message leaves that is not exempt: what was
    /// not sent ends as `NotSent`, what was sent and not acknowledged as `Unknown`, and neither is sent again, also not in
    /// a session that the broker keeps: the next connection ends such a session. Only where the socket has taken a part of
    /// a packet, or where a packet that is sent again waits for it, the connection ends.
    pub fn set_sending(&mut self, now: Instant, sending: Sending) {
        self.core.set_sending(now, sending);
    }

    /// Cancels a publish: if it was not sent yet, it will not be. No outcome follows.
    pub fn cancel(&mut self, _now: Instant, ticket: Ticket) {
        self.core.publishes.cancel(ticket);
    }

    /// Takes a publish back that was not sent: then it will not be, and no outcome follows. False when it may have been
    /// sent; then nothing changes.
    pub fn take_back(&mut self, ticket: Ticket) -> bool {
        self.core.publishes.take_back(ticket)
    }

    /// Registers a listener. [`Event::Listening`] or [`Event::ListenRefused`] follows when the broker answers; messages
    /// may come before that.
    ///
    /// # Errors
    /// When the listener is refused at once.
    pub fn listen(&mut self, now: Instant, listen: Listen) -> Result<Ticket, ListenError> {
        self.register(now, listen, None)
    }

    /// Registers a listener that observes: every message of the filter comes as [`Event::Observed`], at QoS 0, and
    /// retained messages as often as the broker sends them. [`Event::Listening`] or [`Event::ListenRefused`] follows as
    /// for [`listen`](Self::listen).
    ///
    /// `is_needed` says whether a call depends on the filter. If none does, and the broker ends a connection after the
    /// filter alone was requested, the filter is given up at once: no connection is risked twice for an overview.
    ///
    /// # Errors
    /// When the listener is refused at once.
    pub fn observe(
        &mut self,
        now: Instant,
        filter: SubscribeFilter,
        is_needed: bool,
    ) -> Result<Ticket, ListenError> {
        let listen = Listen {
            filter,
            qos: QoS::AtMostOnce,
            retained: true,
        };
        self.register(now, listen, Some(Observing { is_needed }))
    }

    /// As [`observe`](Self::observe), at QoS 1: for messages that a broker with much to send must not leave out.
    ///
    /// # Errors
    /// When the listener is refused at once.
    pub fn observe_at_least_once(
        &mut self,
        now: Instant,
        filter: SubscribeFilter,
    ) -> Result<Ticket, ListenError> {
        let listen = Listen {
            filter,
            qos: QoS::AtLeastOnce,
            retained: true,
        };
        self.register(now, listen, Some(Observing { is_needed: true }))
    }

    fn register(
        &mut self,
        now: Instant,
        listen: Listen,
        observing: Option<Observing>,
    ) -> Result<Ticket, ListenError> {
        if let Some(reason) = self.core.blame.condemns(now, &listen.filter) {
            return Err(ListenError::GivenUp(reason));
        }
        self.core.accepting().map_err(ListenError::NotConnected)?;
        let limit = self.core.options.limits.listeners;
        if self.core.listeners.len() >= limit {
            return Err(ListenError::TooMany(limit));
        }
        Ok(self.core.listen(listen, observing))
    }

    /// Removes a listener; the last listener of a filter ends its subscription.
    pub fn leave(&mut self, _now: Instant, ticket: Ticket) {
        if let Some(filter) = self.core.listeners.remove(ticket) {
            self.core.subscriptions.leave(&filter);
        }
    }

    /// Sends PINGREQ now. [`Event::Pong`] follows when the broker answers; nothing follows when the connection ends
    /// before.
    ///
    /// # Errors
    /// The reason why there is no connection.
    pub fn ping(&mut self, _now: Instant) -> Result<Ticket, Reason> {
        let ticket = self.core.ticket();
        self.core.ping(ticket)?;
        Ok(ticket)
    }

    /// Sends the will, if there is one, and DISCONNECT after the bytes already encoded, then closes. Unsent publishes
    /// end as `NotSent`, unacknowledged ones as `Unknown`, and each listener as `ListenRefused`.
    pub fn disconnect(&mut self, now: Instant) {
        self.core.disconnect(now);
    }

    /// The next output. Call until it returns `Wait`.
    pub fn poll(&mut self, now: Instant) -> Output {
        loop {
            if let Some(output) = self.core.outputs.pop_front() {
                return output;
            }
            if self.read_packet(now) {
                continue;
            }
            self.core.expire(now);
            self.core.pump(now);
            if self.core.outputs.is_empty() {
                return Output::Wait(self.core.next_deadline());
            }
        }
    }

    /// Handles the next complete packet; false when there is none, or none is to be read now.
    fn read_packet(&mut self, now: Instant) -> bool {
        if !self.core.is_reading() {
            self.frames.clear();
        }
        if !self.wants_bytes() {
            return false;
        }
        if matches!(self.core.state, State::Handshake { .. }) {
            match stranger::recognise(self.frames.unread()) {
                Greeting::Unknown => {}
                Greeting::Incomplete => return false,
                Greeting::Stranger(stranger) => {
                    self.core.fail(now, Reason::Stranger(stranger), true);
                    return true;
                }
            }
        }
        let ended = match self.frames.next_frame() {
            Ok(None) => return false,
            Ok(Some(Frame::Packet(packet))) => self.core.handle_packet(now, packet).err(),
            Ok(Some(Frame::TooLarge(publish))) => self.core.handle_too_large(&publish).err(),
            Err(error) => {
                let topic = self.frames.refused_topic();
                self.core.malformed = Some(Malformed { error, topic });
                Some(Reason::Protocol(ProtocolError::Frame(error)))
            }
        };
        if let Some(reason) = ended {
            self.core.fail(now, reason, true);
        }
        true
    }

    /// The bytes for the socket, oldest first.
    #[must_use]
    pub fn outgoing(&self) -> &[u8] {
        self.core.outbox.pending()
    }

    /// Whether the driver should read: false while the acknowledgements of earlier packets cannot be sent.
    #[must_use]
    pub fn wants_bytes(&self) -> bool {
        self.core.is_reading() && self.core.outbox.pending().len() < OUTBOX_FULL
    }

    /// Whether the broker has accepted the connection and it is still up.
    #[must_use]
    pub fn is_connected(&self) -> bool {
        matches!(self.core.state, State::Up { .. })
    }

    /// Whether the client has ended.
    #[must_use]
    pub fn is_closed(&self) -> bool {
        matches!(self.core.state, State::Closed)
    }

    /// The messages received and sent since the start.
    #[must_use]
    pub fn traffic(&self) -> Traffic {
        Traffic {
            received: self.core.received_messages,
            sent: self.core.publishes.sent,
        }
    }

    /// What the client holds now, for limits and metrics.
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
            abandoned: self.core.subscriptions.abandoned(),
        }
    }
}

/// The items and bytes that a client holds at one moment.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Usage {
    /// Publishes that have no outcome or acknowledgement yet.
    pub publishes: usize,
    /// Topic and payload bytes of these publishes.
    pub publish_bytes: usize,
    /// Registered listeners.
    pub listeners: usize,
    /// Distinct filters of the listeners.
    pub subscriptions: usize,
    /// Packet identifiers in use.
    pub live_packet_ids: usize,
    /// Inbound QoS 2 messages that were delivered and not released.
    pub received_qos2: usize,
    /// Bytes that the socket has not taken.
    pub outgoing_bytes: usize,
    /// Bytes received and not parsed yet.
    pub incoming_bytes: usize,
    /// Messages received without a listener, since the start.
    pub unmatched: u64,
    /// UNSUBSCRIBEs given up since the start, because connections kept ending before the UNSUBACK: a kept session may
    /// still have these subscriptions.
    pub abandoned: u64,
}

impl std::fmt::Debug for Client {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Client")
            .field("usage", &self.usage())
            .finish_non_exhaustive()
    }
}
