//! Connections and sessions from beginning to end, and the routing of messages.
//!
//! Promises: every end of a connection passes `leave`, so that no will and no session is forgotten. Does not: interpret
//! packets; `packets` does.

use std::collections::{BTreeMap, VecDeque};
use std::time::Instant;

use mqttrs::QoS;

use super::connection::{ConnId, Connection, Phase, Up};
use super::output::{CloseReason, Output};
use super::retained::Retained;
use super::session::{ClientId, Session};
use super::subscriptions::Subscriptions;
use crate::limits::{BrokerLimits, CONNECT_WAIT, LAST_WORDS_TIMEOUT};
use crate::message::Message;
use crate::topic::TopicFilter;

/// The broker's state without the received bytes.
pub(super) struct Core {
    pub(super) limits: BrokerLimits,
    pub(super) connections: BTreeMap<ConnId, Connection>,
    pub(super) sessions: BTreeMap<ClientId, Session>,
    pub(super) subscriptions: Subscriptions,
    pub(super) retained: Retained,
    pub(super) dropped: u64,
    outputs: VecDeque<Output>,
    last_connection: u64,
}

impl Core {
    pub(super) fn new(limits: BrokerLimits) -> Self {
        Self {
            limits,
            connections: BTreeMap::new(),
            sessions: BTreeMap::new(),
            subscriptions: Subscriptions::default(),
            retained: Retained::default(),
            dropped: 0,
            outputs: VecDeque::new(),
            last_connection: 0,
        }
    }

    pub(super) fn open(&mut self, now: Instant) -> ConnId {
        self.last_connection += 1;
        let conn = ConnId(self.last_connection);
        let limit = self.limits.connections;
        let phase = if self.connections.len() < limit {
            let deadline = now + CONNECT_WAIT;
            Phase::New { deadline }
        } else {
            let reason = CloseReason::TooManyConnections(limit);
            let deadline = now;
            Phase::Ending { reason, deadline }
        };
        self.connections.insert(conn, Connection::new(phase));
        conn
    }

    pub(super) fn is_reading(&self, conn: ConnId) -> bool {
        self.connections
            .get(&conn)
            .is_some_and(|connection| !matches!(connection.phase, Phase::Ending { .. }))
    }

    pub(super) fn output(&self, conn: ConnId) -> &[u8] {
        self.connections
            .get(&conn)
            .map_or(&[], |connection| connection.outbox.pending())
    }

    pub(super) fn output_bytes(&self) -> usize {
        let outboxes = self.connections.values().map(|c| &c.outbox);
        outboxes.map(|outbox| outbox.pending().len()).sum()
    }

    pub(super) fn wrote(&mut self, conn: ConnId, n: usize) {
        let Some(connection) = self.connections.get_mut(&conn) else {
            return;
        };
        connection.outbox.advance(n);
        if let Phase::Up(up) = &connection.phase {
            let client = up.client.clone();
            self.pump(&client);
        }
    }

    pub(super) fn handle_closed(&mut self, conn: ConnId) {
        let Some(connection) = self.connections.remove(&conn) else {
            return;
        };
        if let Phase::Up(up) = connection.phase {
            self.leave(up);
        }
    }

    /// Ends a connection from the broker's side; its outbox may still be sent.
    pub(super) fn end(&mut self, now: Instant, conn: ConnId, reason: CloseReason) {
        let Some(connection) = self.connections.get_mut(&conn) else {
            return;
        };
        if let Phase::Ending { .. } = connection.phase {
            return;
        }
        let deadline = now + LAST_WORDS_TIMEOUT;
        let ending = Phase::Ending { reason, deadline };
        if let Phase::Up(up) = std::mem::replace(&mut connection.phase, ending) {
            self.leave(up);
        }
    }

    /// Handles a client that lost its connection: the session ends or is kept, and the will is published
    /// ([MQTT-3.1.2-8]). The client itself does not get the will if its session has ended.
    fn leave(&mut self, up: Up) {
        if let Some(session) = self.sessions.get_mut(&up.client) {
            session.connection = None;
            session.deliveries.disconnected();
            if session.clean {
                self.forget(&up.client);
            }
        }
        if let Some(will) = up.will {
            self.route_from_client(will);
        }
    }

    /// Removes the session of a client ([MQTT-3.1.2-6]).
    pub(super) fn forget(&mut self, client: &ClientId) {
        let Some(session) = self.sessions.remove(client) else {
            return;
        };
        for filter in session.filters.keys() {
            self.subscriptions.remove(client, filter);
        }
    }

    pub(super) fn handle_timeout(&mut self, now: Instant) {
        let is_due = |c: &Connection| c.deadline().is_some_and(|at| now >= at);
        let due = self.connections.iter().filter(|(_, c)| is_due(c));
        let due: Vec<ConnId> = due.map(|(conn, _)| *conn).collect();
        for conn in due {
            let Some(connection) = self.connections.get_mut(&conn) else {
                continue;
            };
            match connection.phase {
                Phase::New { .. } => self.end(now, conn, CloseReason::NoConnect),
                // [MQTT-3.1.2-24]
                Phase::Up(_) => self.end(now, conn, CloseReason::KeepAlive),
                Phase::Ending { .. } => connection.outbox.reset(),
            }
        }
    }

    pub(super) fn poll(&mut self) -> Output {
        if let Some(output) = self.outputs.pop_front() {
            return output;
        }
        let mut ended = self
            .connections
            .iter()
            .filter_map(|(conn, c)| Some((*conn, c.ended()?)));
        if let Some((conn, reason)) = ended.next() {
            self.connections.remove(&conn);
            return Output::Close(conn, reason);
        }
        let deadlines = self.connections.values().filter_map(Connection::deadline);
        Output::Wait(deadlines.min())
    }

    /// Publishes a client's message. Topics that begin with `$` are reserved for the server (MQTT 3.1.1 §4.7.2): like
    /// any publish that is not allowed, such a message is acknowledged and dropped ([MQTT-3.3.5-2]).
    pub(super) fn route_from_client(&mut self, message: Message) {
        if !message.topic.as_str().starts_with('$') {
            self.route(message);
        }
    }

    /// Stores a retained message, and queues the message for every subscriber.
    pub(super) fn route(&mut self, message: Message) {
        if message.retain {
            self.retained.store(&message, &self.limits);
        }
        let sessions = &self.sessions;
        let is_connected = |client: &ClientId| {
            let session = sessions.get(client);
            session.is_some_and(|session| session.connection.is_some())
        };
        let topic = message.topic.as_str();
        let recipients = self.subscriptions.recipients(topic, is_connected);
        for (client, granted) in recipients.clients {
            let copy = Message {
                qos: lower(message.qos, granted),
                // [MQTT-3.3.1-9]: RETAIN is 0 for a subscription that existed before the message.
                retain: false,
                ..message.clone()
            };
            self.deliver(&client, copy);
        }
        if recipients.local {
            self.outputs.push_back(Output::Local(message));
        }
    }

    /// Sends a client the retained messages of a new subscription ([MQTT-3.3.1-6]).
    pub(super) fn deliver_retained(
        &mut self,
        client: &ClientId,
        filter: &TopicFilter,
        granted: QoS,
    ) {
        let stored: Vec<Message> = self.retained.matching(filter).cloned().collect();
        for message in stored {
            let copy = Message {
                qos: lower(message.qos, granted),
                // [MQTT-3.3.1-8]
                retain: true,
                ..message
            };
            self.deliver(client, copy);
        }
    }

    fn deliver(&mut self, client: &ClientId, message: Message) {
        let Some(session) = self.sessions.get_mut(client) else {
            return;
        };
        if session.connection.is_none() && message.qos == QoS::AtMostOnce {
            // [MQTT-3.1.2-5] requires QoS 1 and 2 messages to be kept for a disconnected client, and no others.
            return;
        }
        if session.deliveries.accept(message, &self.limits) {
            self.pump(client);
        } else {
            self.dropped += 1;
        }
    }

    /// Encodes the messages that may be sent to `client` now.
    pub(super) fn pump(&mut self, client: &ClientId) {
        let Some(session) = self.sessions.get_mut(client) else {
            return;
        };
        let conn = session.connection;
        if let Some(connection) = conn.and_then(|conn| self.connections.get_mut(&conn)) {
            session
                .deliveries
                .pump(&mut connection.outbox, self.limits.inflight);
        }
    }
}

fn lower(a: QoS, b: QoS) -> QoS {
    if (a as u8) < (b as u8) { a } else { b }
}
