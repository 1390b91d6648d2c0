//! One transport: its state, and the bytes for its socket.

use std::fmt;
use std::time::{Duration, Instant};

use super::CloseReason;
use super::session::ClientId;
use crate::message::Message;
use crate::outbox::Outbox;

/// Identifies one connection; never reused by the same broker.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ConnId(pub(super) u64);

pub(super) struct Connection {
    pub(super) outbox: Outbox,
    pub(super) phase: Phase,
}

pub(super) enum Phase {
    /// Only CONNECT is allowed ([MQTT-3.1.0-1]).
    New { deadline: Instant },
    /// Accepted.
    Up(Up),
    /// No more input is read; the outbox may still be sent.
    Ending {
        reason: CloseReason,
        deadline: Instant,
    },
}

pub(super) struct Up {
    pub(super) client: ClientId,
    /// Published unless the client sends DISCONNECT first ([MQTT-3.1.2-8], [MQTT-3.1.2-10]).
    pub(super) will: Option<Message>,
    /// The longest silence allowed; `None` when the client's keep alive is 0.
    pub(super) silence: Option<Duration>,
    pub(super) last_packet: Instant,
}

impl Connection {
    pub(super) fn new(phase: Phase) -> Self {
        let outbox = Outbox::default();
        Self { outbox, phase }
    }

    /// When the phase ends by itself.
    pub(super) fn deadline(&self) -> Option<Instant> {
        match &self.phase {
            Phase::New { deadline } | Phase::Ending { deadline, .. } => Some(*deadline),
            Phase::Up(up) => Some(up.last_packet + up.silence?),
        }
    }

    /// The reason of the end, once there is nothing left to send.
    pub(super) fn ended(&self) -> Option<CloseReason> {
        match self.phase {
            Phase::Ending { reason, .. } if self.outbox.pending().is_empty() => Some(reason),
            _ => None,
        }
    }
}

impl fmt::Display for ConnId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "connection {}", self.0)
    }
}

/// [MQTT-3.1.2-24]: one and a half times the keep alive.
pub(super) fn silence_allowed(keep_alive: u16) -> Option<Duration> {
    (keep_alive > 0).then(|| Duration::from_secs(keep_alive.into()) * 3 / 2)
}
