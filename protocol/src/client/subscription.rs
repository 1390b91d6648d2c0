//! How one filter stands with the broker.

use std::time::Instant;

use mqttrs::QoS;

use super::questions::Ask;

/// One entry of the desired subscriptions.
pub(super) struct Subscription {
    pub(super) qos: QoS,
    pub(super) listeners: usize,
    pub(super) granted: Option<QoS>,
    /// When it was granted last.
    pub(super) granted_at: Option<Instant>,
    /// It was granted once, so that much must speak against it before it counts as forbidden: on a
    /// bad network a clean session asks for it again and again.
    pub(super) was_granted: bool,
    /// A SUBSCRIBE for it went out, so the broker may know it.
    pub(super) asked: bool,
    pub(super) first_ask: Ask,
    pub(super) last_ask: Ask,
    /// The last ask that was answered; until it is `last_ask`, somebody waits.
    pub(super) answered: Ask,
    pub(super) suspicion: Suspicion,
}

/// How a filter stands to the connections that ended while it was being asked for.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Suspicion {
    None,
    /// One ended while it was asked for among others.
    Present,
    /// So many ended while it alone was asked for.
    Alone(u8),
}

impl Subscription {
    /// For its first listener.
    pub(super) fn new(qos: QoS, first_ask: Ask) -> Self {
        Self {
            qos,
            listeners: 1,
            granted: None,
            granted_at: None,
            was_granted: false,
            asked: false,
            first_ask,
            last_ask: first_ask,
            answered: 0,
            suspicion: Suspicion::None,
        }
    }

    /// Whether an answer is still to come.
    pub(super) fn is_open(&self) -> bool {
        self.answered < self.last_ask
    }

    /// The broker answered a SUBSCRIBE for it.
    pub(super) fn answered(&mut self, ask: Ask) {
        self.suspicion = Suspicion::None;
        self.answered = self.answered.max(ask);
    }

    /// The broker ended a connection while this filter, `alone` or among others, was being asked for.
    /// True when asking again would only do it once more.
    pub(super) fn ended_a_connection(&mut self, alone: bool) -> bool {
        self.suspicion = match self.suspicion {
            Suspicion::Alone(times) if alone => Suspicion::Alone(times.saturating_add(1)),
            _ if alone => Suspicion::Alone(1),
            before => before.max(Suspicion::Present),
        };
        matches!(self.suspicion, Suspicion::Alone(times) if times >= self.patience())
            && self.granted.is_none()
    }

    /// How many connections may end for it. Of sixty thousand simulated networks one cuts the link five times in a row
    /// at this moment.
    pub(super) fn patience(&self) -> u8 {
        if self.was_granted { 10 } else { 2 }
    }
}
