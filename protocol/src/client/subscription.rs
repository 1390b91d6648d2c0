//! How one filter stands with the broker.

use mqttrs::QoS;

use super::questions::Ask;

/// One entry of the desired subscriptions.
pub(super) struct Subscription {
    pub(super) qos: QoS,
    pub(super) listeners: usize,
    pub(super) granted: Option<QoS>,
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
    /// One ended while it alone was asked for.
    Alone,
}

impl Subscription {
    /// For its first listener.
    pub(super) fn new(qos: QoS, first_ask: Ask) -> Self {
        Self {
            qos,
            listeners: 1,
            granted: None,
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

    /// The broker ended a connection while this filter, `alone` or among others, was being asked for.
    /// True when asking again would only do it a third time.
    pub(super) fn ended_a_connection(&mut self, alone: bool) -> bool {
        let before = self.suspicion;
        self.suspicion = before.max(if alone {
            Suspicion::Alone
        } else {
            Suspicion::Present
        });
        alone && before == Suspicion::Alone && self.granted.is_none()
    }
}
