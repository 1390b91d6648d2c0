//! The state of the connection from the first attempt to the last, and its deadlines.
//!
//! Promises: each state has a deadline. Does not: interpret packets (`packets` does) or decide what is lost when a
//! connection ends (`disconnect` does).

use std::collections::VecDeque;
use std::time::Instant;

use super::backoff::Backoff;
use super::blame::{Blame, Malformed};
use super::event::{Event, LastSent, Output, Reason, Ticket};
use super::keepalive::{Due, KeepAlive};
use super::listeners::{Listen, Listeners};
use super::options::Options;
use super::publishes::{Publishes, Sending};
use super::subscriptions::Subscriptions;
use super::traffic::Count;
use crate::encode::{self, EncodeError};
use crate::ids::{IdSet, PacketIds};
use crate::limits::TAKEOVER_WINDOW;
use crate::outbox::Outbox;

/// The client's state without the received bytes, so that a packet borrowed from them can be handled.
pub(super) struct Core {
    pub(super) options: Options,
    pub(super) state: State,
    pub(super) session: Session,
    /// Why there is no connection, or why there was none before this one.
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
    /// The unanswered pings of this connection, oldest first; `None` for those of the keep alive.
    pub(super) pings: VecDeque<Option<Ticket>>,
    /// The number of consecutive connections that the broker ended soon after CONNACK.
    pub(super) short_lives: u32,
    /// The number of consecutive resumptions that the broker ended before it had acknowledged anything.
    pub(super) failed_resumptions: u32,
    /// The number of consecutive resumptions with a packet that violates the protocol.
    pub(super) malformed_resumptions: u32,
    pub(super) blame: Blame,
    /// The packet for which this connection ends.
    pub(super) malformed: Option<Malformed>,
    pub(super) unmatched: u64,
    pub(super) received_messages: [Count; 3],
}

/// How a listener observes; see [`Client::observe`](super::Client::observe).
#[derive(Clone, Copy)]
pub(super) struct Observing {
    pub(super) is_needed: bool,
}

pub(super) enum State {
    /// There is no transport until this time.
    Down {
        retry_at: Instant,
    },
    /// The driver is opening a transport.
    Opening {
        deadline: Instant,
    },
    /// CONNECT is sent, and no other packet ([MQTT-3.1.0-1]).
    Handshake {
        deadline: Instant,
    },
    Up {
        since: Instant,
        keep: KeepAlive,
        resumed: bool,
    },
    /// DISCONNECT is the last packet in the outbox; the client reconnects at once.
    Disconnecting {
        deadline: Instant,
    },
    /// DISCONNECT is the last packet in the outbox; the client does not reconnect.
    Closing {
        deadline: Instant,
    },
    Closed,
}

/// The owner of the broker's session for this client identifier; used only when sessions are kept.
///
/// The session state is kept in memory ([MQTT-4.1.0-1]). A session from before this process began knows packet
/// identifiers that this process does not: its first QoS 2 messages would be taken for old ones and dropped. The queued
/// messages of such a session have no listener, and its subscriptions are not known. A connection with a clean session
/// ends it before anything is sent. The client's own session is ended in the same way when the broker cannot handle
/// what has to be sent again.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Session {
    /// The owner is not known yet.
    Unknown,
    /// The session belongs to another process. The next connection is clean.
    Foreign,
    /// There is no session: a clean connection has just ended it.
    Wiped,
    /// The session belongs to this client, or was lost since.
    Ours,
}

impl Core {
    pub(super) fn new(options: Options, seed: u64, now: Instant) -> Self {
        Self {
            state: State::Down { retry_at: now },
            session: Session::Unknown,
            last_reason: Reason::NeverConnected,
            outbox: Outbox::default(),
            ids: PacketIds::new(),
            publishes: Publishes::default(),
            received: IdSet::new(),
            subscriptions: Subscriptions::default(),
            listeners: Listeners::new(),
            backoff: Backoff::new(options.backoff.clone(), seed),
            outputs: VecDeque::new(),
            next_ticket: 0,
            pings: VecDeque::new(),
            short_lives: 0,
            failed_resumptions: 0,
            malformed_resumptions: 0,
            blame: Blame::default(),
            malformed: None,
            unmatched: 0,
            received_messages: Default::default(),
            options,
        }
    }

    /// After DISCONNECT nothing may be sent ([MQTT-3.14.4-2]), so no packet is read either.
    pub(super) fn is_reading(&self) -> bool {
        matches!(self.state, State::Handshake { .. } | State::Up { .. })
    }

    /// A call made during the first attempt (or the first after a stable connection) may wait for the connection. Once
    /// attempts fail, waiting would only hide the reason.
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

    pub(super) fn listen(&mut self, listen: Listen, observing: Option<Observing>) -> Ticket {
        let ticket = self.ticket();
        let joined = self
            .subscriptions
            .join(&listen.filter, listen.qos, listen.retained);
        let is_needed = observing.is_none_or(|observing| observing.is_needed);
        self.subscriptions.depend(&listen.filter, is_needed);
        let observes = observing.is_some();
        if let Err(granted) = joined {
            let listening = Event::Listening { ticket, granted };
            self.outputs.push_back(Output::Event(listening));
        }
        self.listeners.add(ticket, listen, observes, joined.ok());
        ticket
    }

    pub(super) fn ping(&mut self, ticket: Ticket) -> Result<(), Reason> {
        self.accepting()?;
        let State::Up { keep, .. } = &mut self.state else {
            return Err(self.last_reason.clone());
        };
        encode::pingreq(self.outbox.buffer());
        keep.pinged(self.outbox.end());
        self.pings.push_back(Some(ticket));
        Ok(())
    }

    /// Handles PINGRESP. Pings are answered in order ([MQTT-4.6.0] orders only PUBLISH, but a PINGRESP carries nothing
    /// that could tell it apart).
    pub(super) fn pong(&mut self) {
        if let State::Up { keep, .. } = &mut self.state {
            keep.pong();
        }
        if let Some(Some(ticket)) = self.pings.pop_front() {
            let pong = Event::Pong { ticket };
            self.outputs.push_back(Output::Event(pong));
        }
    }

    /// Sends CONNECT on the open transport, or fails with the reason why there is no valid CONNECT.
    pub(super) fn connect(&mut self, now: Instant, deadline: Instant) {
        self.outbox.reset();
        self.pings.clear();
        match self.send_connect() {
            Ok(()) => self.state = State::Handshake { deadline },
            Err(error) => self.fail(now, Reason::BadOptions(error), true),
        }
    }

    fn send_connect(&mut self) -> Result<(), EncodeError> {
        let options = &self.options;
        let will = options.will.as_ref().map(|will| encode::Will {
            topic: will.topic.as_str(),
            payload: &will.payload,
            qos: will.qos,
            retain: will.retain,
        });
        let connect = encode::Connect {
            client_id: &options.client_id,
            clean_session: options.clean_session || self.session == Session::Foreign,
            keep_alive: options.keep_alive,
            username: options.username.as_deref(),
            password: options.password.as_deref(),
            will,
        };
        encode::connect(self.outbox.buffer(), &connect)
    }

    pub(super) fn handle_written(&mut self, now: Instant, n: usize) {
        let before = self.outbox.written();
        self.outbox.advance(n);
        let written = self.outbox.written();
        let more = !self.outbox.pending().is_empty();
        self.subscriptions.written(now, written);
        if let State::Up { keep, .. } = &mut self.state {
            keep.sent(now, written, more);
        }
        let outputs = &mut self.outputs;
        self.publishes.written(now, before, written, &mut |event| {
            outputs.push_back(Output::Event(event));
        });
        match self.state {
            State::Closing { .. } if !more => self.finish(true),
            State::Disconnecting { .. } if !more => self.parted(now, true),
            _ => {}
        }
    }

    pub(super) fn handle_closed(&mut self, now: Instant, words: String) {
        let reason = match &self.state {
            State::Handshake { .. } => Reason::ClosedBeforeConnack(words),
            State::Up { since, .. } => {
                let short = now.saturating_duration_since(*since) < TAKEOVER_WINDOW;
                let last_sent = self.last_sent(now);
                self.short_lives = match last_sent {
                    None if short => self.short_lives + 1,
                    _ => 0,
                };
                match last_sent {
                    Some(sent) => Reason::ClosedAfter(sent, words),
                    None if self.short_lives < 2 => Reason::Closed(words),
                    None if self.options.is_client_id_generated => Reason::ShortLived,
                    None => Reason::Takeover,
                }
            }
            State::Closing { .. } => return self.finish(false),
            State::Disconnecting { .. } => return self.parted(now, false),
            State::Opening { .. } => Reason::Transport(words),
            State::Down { .. } | State::Closed => return,
        };
        self.fail(now, reason, false);
    }

    /// The packet that may have ended the connection: a SUBSCRIBE in progress, or a message sent a moment ago.
    fn last_sent(&mut self, now: Instant) -> Option<LastSent> {
        let filter = self.subscriptions.asked_for().cloned();
        let filter = filter.map(LastSent::Subscribe);
        filter.or_else(|| self.publishes.cut_after(now))
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
            State::Closing { deadline } if now >= *deadline => self.finish(true),
            State::Disconnecting { deadline } if now >= *deadline => self.parted(now, true),
            State::Up { .. } => self.check_life(now),
            _ => {}
        }
    }

    pub(super) fn set_sending(&mut self, now: Instant, sending: Sending) {
        let outputs = &mut self.outputs;
        let (out, ids) = (&mut self.outbox, &mut self.ids);
        let publishes = &mut self.publishes;
        let ended = publishes.set_sending(now, sending, out, ids, &mut |event| {
            outputs.push_back(Output::Event(event));
        });
        let State::Up { keep, .. } = &mut self.state else {
            return;
        };
        if self.outbox.pending().is_empty() {
            keep.nothing_waits();
        }
        if let Some(reason) = ended {
            self.fail(now, reason, true);
        }
    }

    /// Ends the publishes whose deadline has passed.
    pub(super) fn expire(&mut self, now: Instant) {
        let why = (!matches!(self.state, State::Up { .. })).then_some(&self.last_reason);
        let outputs = &mut self.outputs;
        self.publishes.expire(now, why, &mut |event| {
            outputs.push_back(Output::Event(event));
        });
    }

    fn check_life(&mut self, now: Instant) {
        let over = |deadline: Option<Instant>| deadline.is_some_and(|at| now >= at);
        if over(self.subscriptions.next_deadline()) {
            return self.fail(now, Reason::NoSubscribeAck, true);
        }
        if over(self.publishes.ack_deadline()) {
            return self.fail(now, Reason::NoPublishAck, true);
        }
        let State::Up { keep, .. } = &mut self.state else {
            return;
        };
        match keep.due(now) {
            Due::Nothing => {}
            Due::Ping => {
                encode::pingreq(self.outbox.buffer());
                keep.pinged(self.outbox.end());
                self.pings.push_back(None);
            }
            Due::Dead => self.fail(now, Reason::KeepAlive, true),
            Due::Stalled => self.fail(now, Reason::WriteStalled, true),
        }
    }

    /// Before CONNACK only CONNECT is sent ([MQTT-3.1.0-1]).
    pub(super) fn pump(&mut self, now: Instant) {
        let State::Up { keep, .. } = &mut self.state else {
            return;
        };
        self.subscriptions
            .pump(now, &mut self.outbox, &mut self.ids);
        self.publishes
            .pump(now, &mut self.outbox, &mut self.ids, &self.options.limits);
        if !self.outbox.pending().is_empty() {
            keep.waiting_to_send(now);
        }
    }

    pub(super) fn next_deadline(&self) -> Option<Instant> {
        let own = match &self.state {
            State::Down { retry_at } => Some(*retry_at),
            State::Opening { deadline }
            | State::Handshake { deadline }
            | State::Disconnecting { deadline }
            | State::Closing { deadline } => Some(*deadline),
            State::Up { keep, .. } => {
                let deadlines = [
                    self.subscriptions.next_deadline(),
                    self.subscriptions.next_turn(),
                    self.publishes.next_turn(),
                    self.publishes.ack_deadline(),
                ];
                deadlines.into_iter().chain([keep.next()]).flatten().min()
            }
            State::Closed => None,
        };
        [own, self.publishes.next_deadline()]
            .into_iter()
            .flatten()
            .min()
    }
}
