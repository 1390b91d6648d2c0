//! The state of one filter at the broker.

use std::time::Instant;

use mqttrs::QoS;

use super::pending::SubscribeSeq;

/// An entry of the desired subscriptions.
pub(super) struct Subscription {
    pub(super) qos: QoS,
    pub(super) listeners: usize,
    pub(super) granted: Option<QoS>,
    /// The time of the last grant.
    pub(super) granted_at: Option<Instant>,
    /// The filter was granted before, so more failures are needed before it counts as forbidden: on a bad network a
    /// clean session requests it many times.
    pub(super) was_granted: bool,
    /// A SUBSCRIBE for the filter was sent, so the broker may have the subscription.
    pub(super) asked: bool,
    pub(super) first_ask: SubscribeSeq,
    pub(super) last_ask: SubscribeSeq,
    /// The last ask that was answered; while this differs from `last_ask`, a listener waits.
    pub(super) answered: SubscribeSeq,
    pub(super) suspicion: Suspicion,
    /// A call depends on the filter; false as long as it is only observed.
    pub(super) is_needed: bool,
}

/// Whether connections have ended while the filter was being requested.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Suspicion {
    None,
    /// A connection ended while the filter was requested among others.
    Present,
    /// So many connections ended while only this filter was requested.
    Alone(u8),
}

impl Subscription {
    /// Creates the entry for the first listener.
    pub(super) fn new(qos: QoS, first_ask: SubscribeSeq) -> Self {
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
            is_needed: false,
        }
    }

    /// Whether an answer is outstanding.
    pub(super) fn is_open(&self) -> bool {
        self.answered < self.last_ask
    }

    /// Records the answer to a SUBSCRIBE.
    pub(super) fn answered(&mut self, ask: SubscribeSeq) {
        self.suspicion = Suspicion::None;
        self.answered = self.answered.max(ask);
    }

    /// Records that the broker ended a connection while this filter, `alone` or among others, was being requested. True
    /// when a further request would only end another connection.
    pub(super) fn ended_a_connection(&mut self, alone: bool) -> bool {
        self.suspicion = match self.suspicion {
            Suspicion::Alone(times) if alone => Suspicion::Alone(times.saturating_add(1)),
            _ if alone => Suspicion::Alone(1),
            before => before.max(Suspicion::Present),
        };
        matches!(self.suspicion, Suspicion::Alone(times) if times >= self.patience())
            && self.granted.is_none()
    }

    /// The number of connections that may end because of the filter. Of sixty thousand simulated networks one cuts the
    /// link five times in a row at this moment.
    pub(super) fn patience(&self) -> u8 {
        match (self.was_granted, self.is_needed) {
            (true, _) => 10,
            (false, true) => 2,
            (false, false) => 1,
        }
    }
}
