//! A broker as small as the properties need it, with the habits of other people's brokers.
//!
//! It is strict: a client that breaks the protocol towards it fails the run.

use std::collections::{BTreeMap, BTreeSet};

use mcpmqtt_protocol::frame::{FrameBuffer, Receiver};
use mcpmqtt_protocol::topic::SubscribeFilter;
use mcpmqtt_protocol::{
    ConnectReturnCode, Packet, Pid, Publish, QoS, QosPid, SubscribeReturnCodes, encode,
};

/// Habits that clients have to live with.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Habits {
    /// Loses every session at every disconnect (amqtt).
    pub(crate) forgets: bool,
    /// Sends again without DUP (aedes, rumqttd).
    pub(crate) no_dup: bool,
    /// Acknowledges QoS 2 by PUBACK and grants at most 1 (RabbitMQ).
    pub(crate) qos_1_only: bool,
    /// Says PUBREC again on resumption, by itself.
    pub(crate) eager_pubrec: bool,
}

pub(crate) struct Reference {
    habits: Habits,
    sessions: BTreeMap<String, Session>,
    connections: BTreeMap<u64, Connection>,
    closes: Vec<u64>,
}

struct Connection {
    frames: FrameBuffer,
    client: Option<String>,
    output: Vec<u8>,
    /// How much of `output` the socket took.
    taken: usize,
}

#[derive(Default)]
struct Session {
    clean: bool,
    connection: Option<u64>,
    filters: Vec<(SubscribeFilter, u8)>,
    /// Messages on their way to the client, oldest first.
    out: Vec<Outbound>,
    last_id: u16,
    /// Inbound QoS 2 identifiers before PUBREL.
    received: BTreeSet<u16>,
}

struct Outbound {
    id: u16,
    topic: String,
    payload: Vec<u8>,
    qos: u8,
    sent: bool,
    released: bool,
}

impl Reference {
    pub(crate) fn new(habits: Habits) -> Self {
        Self {
            habits,
            sessions: BTreeMap::new(),
            connections: BTreeMap::new(),
            closes: Vec::new(),
        }
    }

    pub(crate) fn closes(&mut self) -> Vec<u64> {
        std::mem::take(&mut self.closes)
    }

    /// Hands out what the socket of a connection should take; `take` says how much it took.
    pub(crate) fn write(&mut self, connection: u64, take: impl FnOnce(&[u8]) -> usize) {
        if let Some(state) = self.connections.get_mut(&connection) {
            state.taken += take(&state.output[state.taken..]);
            if state.taken == state.output.len() {
                state.output.clear();
                state.taken = 0;
            }
        }
    }

    pub(crate) fn opened(&mut self, connection: u64) {
        let state = Connection {
            frames: FrameBuffer::new(Receiver::Broker, 1 << 24),
            client: None,
            output: Vec::new(),
            taken: 0,
        };
        self.connections.insert(connection, state);
    }

    pub(crate) fn closed(&mut self, connection: u64) {
        let Some(Connection {
            client: Some(client),
            ..
        }) = self.connections.remove(&connection)
        else {
            return;
        };
        let Some(session) = self.sessions.get_mut(&client) else {
            return;
        };
        if session.connection == Some(connection) {
            session.connection = None;
            if session.clean || self.habits.forgets {
                self.sessions.remove(&client);
            }
        }
    }

    pub(crate) fn received(&mut self, connection: u64, bytes: &[u8]) {
        let Some(state) = self.connections.get_mut(&connection) else {
            return;
        };
        // Out of the state, so that a packet borrowed from them can be handled.
        let mut frames =
            std::mem::replace(&mut state.frames, FrameBuffer::new(Receiver::Broker, 0));
        frames.extend(bytes);
        while let Some(packet) = frames.next_packet().expect("a legal client") {
            if !self.handle(connection, packet) {
                self.closes.push(connection);
                return self.closed(connection);
            }
        }
        if let Some(state) = self.connections.get_mut(&connection) {
            state.frames = frames;
        }
    }

    /// False when the client says that this is the end.
    fn handle(&mut self, connection: u64, packet: Packet<'_>) -> bool {
        let client = self
            .connections
            .get(&connection)
            .and_then(|state| state.client.clone());
        match (packet, client) {
            (Packet::Connect(connect), None) => {
                self.connect(connection, connect.client_id, connect.clean_session);
                true
            }
            (packet, Some(client)) => self.packet(connection, &client, packet),
            (packet, None) => panic!("{packet:?} before CONNECT"),
        }
    }

    fn say(&mut self, connection: u64, write: impl FnOnce(&mut Vec<u8>)) {
        if let Some(state) = self.connections.get_mut(&connection) {
            write(&mut state.output);
        }
    }

    fn connect(&mut self, connection: u64, client: &str, clean: bool) {
        let old = self.sessions.get(client).and_then(|s| s.connection);
        if let Some(old) = old {
            // [MQTT-3.1.4-2]
            self.closes.push(old);
            self.closed(old);
        }
        if clean {
            self.sessions.remove(client);
        }
        let present = self.sessions.contains_key(client);
        let session = self.sessions.entry(client.to_owned()).or_default();
        session.clean = clean;
        session.connection = Some(connection);
        let mut bytes = Vec::new();
        encode::connack(&mut bytes, present, ConnectReturnCode::Accepted);
        if self.habits.eager_pubrec {
            for id in &session.received {
                encode::pubrec(&mut bytes, pid(*id));
            }
        }
        for message in &mut session.out {
            message.write(&mut bytes, !self.habits.no_dup);
        }
        if let Some(state) = self.connections.get_mut(&connection) {
            state.client = Some(client.to_owned());
            state.output.extend_from_slice(&bytes);
        }
    }

    fn packet(&mut self, connection: u64, client: &str, packet: Packet<'_>) -> bool {
        match packet {
            Packet::Publish(publish) => self.publish(connection, client, &publish),
            Packet::Puback(id) => self.finish(client, id, 1),
            Packet::Pubrec(id) => {
                if let Some(message) = self.outbound(client, id) {
                    assert_eq!(message.qos, 2);
                    message.released = true;
                }
                self.say(connection, |out| encode::pubrel(out, id));
            }
            Packet::Pubcomp(id) => self.finish(client, id, 2),
            Packet::Pubrel(id) => {
                if let Some(session) = self.sessions.get_mut(client) {
                    session.received.remove(&id.get());
                }
                self.say(connection, |out| encode::pubcomp(out, id));
            }
            Packet::Subscribe(subscribe) => {
                let granted = subscribe
                    .topics
                    .iter()
                    .map(|topic| self.subscribe(client, &topic.topic_path, topic.qos))
                    .collect::<Vec<_>>();
                self.say(connection, |out| {
                    encode::suback(out, subscribe.pid, &granted).unwrap();
                });
            }
            Packet::Unsubscribe(unsubscribe) => {
                if let Some(session) = self.sessions.get_mut(client) {
                    let filters = &mut session.filters;
                    filters.retain(|(f, _)| unsubscribe.topics.iter().all(|t| t != f.as_str()));
                }
                self.say(connection, |out| encode::unsuback(out, unsubscribe.pid));
            }
            Packet::Pingreq => self.say(connection, encode::pingresp),
            Packet::Disconnect => return false,
            other => panic!("{other:?} is no packet of a client"),
        }
        true
    }

    fn subscribe(&mut self, client: &str, filter: &str, qos: QoS) -> SubscribeReturnCodes {
        if filter.starts_with("refused/") {
            return SubscribeReturnCodes::Failure;
        }
        let highest = if self.habits.qos_1_only { 1 } else { 2 };
        let qos = (qos as u8).min(highest);
        if let Some(session) = self.sessions.get_mut(client) {
            session.filters.retain(|(f, _)| f.as_str() != filter);
            let filter = SubscribeFilter::parse(filter).unwrap();
            session.filters.push((filter, qos));
        }
        SubscribeReturnCodes::Success(level(qos))
    }

    fn publish(&mut self, connection: u64, client: &str, publish: &Publish<'_>) {
        let is_new = match publish.qospid {
            QosPid::AtMostOnce => true,
            QosPid::AtLeastOnce(id) => {
                self.say(connection, |out| encode::puback(out, id));
                true
            }
            QosPid::ExactlyOnce(id) if self.habits.qos_1_only => {
                self.say(connection, |out| encode::puback(out, id));
                true
            }
            QosPid::ExactlyOnce(id) => {
                self.say(connection, |out| encode::pubrec(out, id));
                let session = self.sessions.get_mut(client).unwrap();
                session.received.insert(id.get())
            }
        };
        if is_new {
            let qos = publish.qospid.qos() as u8;
            self.spread(publish.topic_name, publish.payload, qos);
        }
    }

    /// One copy for each client, at the highest QoS granted.
    fn spread(&mut self, topic: &str, payload: &[u8], qos: u8) {
        for session in self.sessions.values_mut() {
            let matching = session.filters.iter();
            let granted = matching
                .filter(|(filter, _)| filter.filter().matches(topic))
                .map(|(_, granted)| *granted)
                .max();
            let Some(granted) = granted else { continue };
            let qos = qos.min(granted);
            if qos == 0 && session.connection.is_none() {
                continue;
            }
            let mut message = Outbound {
                id: session.next_id(),
                topic: topic.to_owned(),
                payload: payload.to_vec(),
                qos,
                sent: false,
                released: false,
            };
            let connection = session.connection;
            if let Some(state) = connection.and_then(|id| self.connections.get_mut(&id)) {
                message.write(&mut state.output, false);
            }
            if qos > 0 {
                session.out.push(message);
            }
        }
    }

    fn outbound(&mut self, client: &str, id: Pid) -> Option<&mut Outbound> {
        let out = &mut self.sessions.get_mut(client)?.out;
        out.iter_mut().find(|message| message.id == id.get())
    }

    fn finish(&mut self, client: &str, id: Pid, qos: u8) {
        if let Some(session) = self.sessions.get_mut(client) {
            session.out.retain(|message| {
                assert!(message.id != id.get() || message.qos == qos, "wrong kind");
                message.id != id.get()
            });
        }
    }

    /// What its clients are subscribed to.
    pub(crate) fn subscriptions(&self) -> usize {
        let sessions = self.sessions.values();
        sessions.map(|session| session.filters.len()).sum()
    }

    /// Messages that clients have not acknowledged.
    pub(crate) fn owed(&self) -> usize {
        self.sessions
            .values()
            .map(|session| session.out.len())
            .sum()
    }
}

impl Session {
    fn next_id(&mut self) -> u16 {
        loop {
            self.last_id = self.last_id.checked_add(1).unwrap_or(1);
            if self.out.iter().all(|message| message.id != self.last_id) {
                return self.last_id;
            }
        }
    }
}

impl Outbound {
    fn write(&mut self, out: &mut Vec<u8>, dup: bool) {
        if self.released {
            return encode::pubrel(out, pid(self.id));
        }
        let qospid = match self.qos {
            0 => QosPid::AtMostOnce,
            1 => QosPid::AtLeastOnce(pid(self.id)),
            _ => QosPid::ExactlyOnce(pid(self.id)),
        };
        let dup = dup && self.sent && self.qos > 0;
        encode::publish(out, dup, qospid, false, &self.topic, &self.payload).unwrap();
        self.sent = true;
    }
}

fn pid(id: u16) -> Pid {
    Pid::try_from(id).unwrap()
}

fn level(qos: u8) -> QoS {
    match qos {
        0 => QoS::AtMostOnce,
        1 => QoS::AtLeastOnce,
        _ => QoS::ExactlyOnce,
    }
}
