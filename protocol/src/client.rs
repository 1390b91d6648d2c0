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
mod blame;
mod core;
mod ending;
mod event;
mod flows;
mod keepalive;
mod listeners;
mod options;
mod packets;
mod publishes;
mod questions;
mod stranger;
mod subscription;
mod subscriptions;
mod traffic;
mod trial;

use std::time::Instant;

pub use self::event::{
    Event, LastSent, ListenError, Outcome, Output, ProtocolError, PublishError, Reason, Refusal,
    Stranger, Ticket,
};
pub use self::listeners::Listen;
pub use self::options::{BackoffOptions, Options};
pub use self::traffic::{Count, Traffic};

use self::blame::Malformed;
use self::core::{Core, State};
use self::stranger::Greeting;
use crate::frame::{Frame, FrameBuffer, Receiver};
use crate::limits::OUTBOX_FULL;
use crate::message::Message;

/// One client, one broker. See the [module documentation](self) for how to drive it.
pub struct Client {
    frames: FrameBuffer,
    core: Core,
}

impl Client {
    /// A client that wants to connect at once. `seed` spreads reconnects; equal seeds behave alike.
    #[must_use]
    pub fn new(options: Options, seed: u64, now: Instant) -> Self {
        Self {
            frames: FrameBuffer::new(Receiver::Client, options.limits.packet_bytes),
            core: Core::new(options, seed, now),
        }
    }

    /// The transport that `Output::Connect` asked for is open.
    pub fn handle_connected(&mut self, now: Instant) {
        if let State::Opening { deadline } = self.core.state {
            self.frames.clear();
            self.core.connect(now, deadline);
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
            if self.frames.is_skipping() {
                self.core.postpone(now);
            }
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
    pub fn listen(&mut self, now: Instant, listen: Listen) -> Result<Ticket, ListenError> {
        if let Some(reason) = self.core.blame.condemns(now, &listen.filter) {
            return Err(ListenError::GivenUp(reason));
        }
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

    /// Sends the will, if there is one, and DISCONNECT behind what is encoded already, then closes. What was not sent ends as
    /// `NotSent`, what is unacknowledged as `Unknown`, and each listener as `ListenRefused`.
    pub fn disconnect(&mut self, now: Instant) {
        self.core.disconnect(now);
    }

    /// The next thing to do. `Wait` is the last one; until it comes, keep calling.
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

    /// Handles the next packet that is complete; false when there is none, or none is wanted now.
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

    /// What has come and gone since the start.
    #[must_use]
    pub fn traffic(&self) -> Traffic {
        Traffic {
            received: self.core.received_messages,
            sent: self.core.publishes.sent,
        }
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
            abandoned: self.core.subscriptions.abandoned(),
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
    /// UNSUBSCRIBEs given up since the start, because connections kept ending while they were under
    /// way: a kept session may still have those subscriptions.
    pub abandoned: u64,
}

impl std::fmt::Debug for Client {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Client")
            .field("usage", &self.usage())
            .finish_non_exhaustive()
    }
}
