//! The session of one client identifier, with or without a connection (MQTT 3.1.1 §3.1.2.4).

use std::collections::BTreeMap;
use std::sync::Arc;

use mqttrs::QoS;

use super::ConnId;
use super::deliveries::Deliveries;
use crate::ids::IdSet;
use crate::topic::SubscribeFilter;

/// A client identifier, shared by every reference to the session.
pub(super) type ClientId = Arc<str>;

pub(super) struct Session {
    /// The session ends with its connection ([MQTT-3.1.2-6]).
    pub(super) clean: bool,
    pub(super) connection: Option<ConnId>,
    /// The subscriptions by the exact string of the filter, which UNSUBSCRIBE names ([MQTT-3.10.4-1]).
    pub(super) filters: BTreeMap<SubscribeFilter, QoS>,
    /// Inbound QoS 2 identifiers between PUBLISH and PUBREL ([MQTT-4.3.3-2]).
    pub(super) received: IdSet,
    pub(super) deliveries: Deliveries,
}

impl Session {
    pub(super) fn new(clean: bool) -> Self {
        Self {
            clean,
            connection: None,
            filters: BTreeMap::new(),
            received: IdSet::new(),
            deliveries: Deliveries::new(),
        }
    }
}
