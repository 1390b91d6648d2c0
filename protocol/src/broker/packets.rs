//! The handling of each packet from a client.

use std::time::Instant;

use mqttrs::{
    Connect, ConnectReturnCode, Packet, Pid, Publish, QosPid, Subscribe, SubscribeReturnCodes,
    SubscribeTopic, Unsubscribe,
};

use super::connection::{ConnId, Phase, Up, silence_allowed};
use super::core::Core;
use super::output::CloseReason;
use super::session::{ClientId, Session};
use crate::encode;
use crate::frame::FrameError;
use crate::message::Message;
use crate::topic::{SubscribeFilter, TopicFault, TopicName};

impl Core {
    /// Handles one packet of a connection that is being read.
    pub(super) fn handle_packet(&mut self, now: Instant, conn: ConnId, packet: Packet<'_>) {
        let handled = match self.speaker(now, conn) {
            Some(client) => self.handle_packet_of(now, conn, &client, packet),
            None => self.handle_first_packet(now, conn, packet),
        };
        if let Err(reason) = handled {
            // [MQTT-4.8.0-1]
            return self.end(now, conn, reason);
        }
        let limit = self.limits.output_bytes;
        if self.output(conn).len() >= limit {
            self.end(now, conn, CloseReason::OutputFull(limit));
        }
    }

    /// Ends a connection whose bytes are not a valid packet.
    pub(super) fn refuse_frame(&mut self, now: Instant, conn: ConnId, error: FrameError) {
        if let (FrameError::ProtocolLevel(_), None) = (error, self.speaker(now, conn)) {
            // [MQTT-3.1.2-2]
            self.connack(conn, false, ConnectReturnCode::RefusedProtocolVersion);
        }
        self.end(now, conn, CloseReason::Frame(error));
    }

    /// The accepted client of a connection; resets its keep-alive timer.
    fn speaker(&mut self, now: Instant, conn: ConnId) -> Option<ClientId> {
        match &mut self.connections.get_mut(&conn)?.phase {
            Phase::Up(up) => {
                up.last_packet = now;
                Some(up.client.clone())
            }
            _ => None,
        }
    }

    fn handle_first_packet(
        &mut self,
        now: Instant,
        conn: ConnId,
        packet: Packet<'_>,
    ) -> Result<(), CloseReason> {
        match packet {
            Packet::Connect(connect) => self.handle_connect(now, conn, &connect),
            // [MQTT-3.1.0-1]
            _ => Err(CloseReason::NotConnect),
        }
    }

    fn handle_packet_of(
        &mut self,
        now: Instant,
        conn: ConnId,
        client: &ClientId,
        packet: Packet<'_>,
    ) -> Result<(), CloseReason> {
        match packet {
            // [MQTT-3.1.0-2]
            Packet::Connect(_) => return Err(CloseReason::SecondConnect),
            Packet::Publish(publish) => self.handle_publish(conn, client, &publish)?,
            Packet::Puback(pid) => self.acknowledged(client, |s| s.deliveries.puback(pid))?,
            Packet::Pubrec(pid) => {
                self.acknowledged(client, |s| s.deliveries.pubrec(pid))?;
                self.answer(conn, |out| encode::pubrel(out, pid));
            }
            Packet::Pubrel(pid) => self.handle_pubrel(conn, client, pid),
            Packet::Pubcomp(pid) => self.acknowledged(client, |s| s.deliveries.pubcomp(pid))?,
            Packet::Subscribe(subscribe) => self.handle_subscribe(conn, client, &subscribe)?,
            Packet::Unsubscribe(list) => self.handle_unsubscribe(conn, client, &list)?,
            // [MQTT-3.12.4-1]
            Packet::Pingreq => self.answer(conn, encode::pingresp),
            Packet::Disconnect => self.handle_disconnect(now, conn),
            _ => return Err(CloseReason::BrokerPacket),
        }
        Ok(())
    }

    fn handle_connect(
        &mut self,
        now: Instant,
        conn: ConnId,
        connect: &Connect<'_>,
    ) -> Result<(), CloseReason> {
        let will = will(connect)?;
        let client = self.client_id(conn, connect)?;
        let session_present = self.attach(now, conn, &client, connect.clean_session);
        if let Some(connection) = self.connections.get_mut(&conn) {
            connection.phase = Phase::Up(Up {
                client: client.clone(),
                will,
                silence: silence_allowed(connect.keep_alive),
                last_packet: now,
            });
        }
        // [MQTT-3.2.0-1]: CONNACK comes before any other packet.
        self.connack(conn, session_present, ConnectReturnCode::Accepted);
        // [MQTT-4.4.0-1]
        self.pump(&client);
        Ok(())
    }

    /// The identifier of a client that may have a session.
    fn client_id(&mut self, conn: ConnId, connect: &Connect<'_>) -> Result<ClientId, CloseReason> {
        let client: ClientId = match connect.client_id {
            // [MQTT-3.1.3-6]: a client without an identifier gets a generated one.
            "" if connect.clean_session => self.free_client_id(conn),
            "" => {
                // [MQTT-3.1.3-8], [MQTT-3.1.3-9]
                self.connack(conn, false, ConnectReturnCode::RefusedIdentifierRejected);
                return Err(CloseReason::EmptyClientId);
            }
            name => name.into(),
        };
        let limit = self.limits.sessions;
        if self.sessions.len() >= limit && !self.sessions.contains_key(&client) {
            // [MQTT-3.2.2-5]
            self.connack(conn, false, ConnectReturnCode::ServerUnavailable);
            return Err(CloseReason::TooManySessions(limit));
        }
        Ok(client)
    }

    fn free_client_id(&self, conn: ConnId) -> ClientId {
        let names = (0..).map(|n: u64| match n {
            0 => format!("auto{}", conn.0),
            _ => format!("auto{}n{n}", conn.0),
        });
        let mut free = names.filter(|name| !self.sessions.contains_key(name.as_str()));
        free.next().unwrap_or_default().into()
    }

    /// Attaches a session to the connection; returns whether an earlier session is resumed.
    fn attach(&mut self, now: Instant, conn: ConnId, client: &ClientId, clean: bool) -> bool {
        let other = self.sessions.get(client).and_then(|s| s.connection);
        if let Some(other) = other {
            // [MQTT-3.1.4-2]
            self.end(now, other, CloseReason::Takeover);
        }
        if clean {
            // [MQTT-3.1.2-6], [MQTT-3.2.2-1]
            self.forget(client);
        }
        // [MQTT-3.1.2-4], [MQTT-3.2.2-2], [MQTT-3.2.2-3]
        let session_present = self.sessions.contains_key(client);
        self.sessions
            .entry(client.clone())
            .or_insert_with(|| Session::new(clean))
            .connection = Some(conn);
        session_present
    }

    /// [MQTT-3.14.4-3]: DISCONNECT discards the will.
    fn handle_disconnect(&mut self, now: Instant, conn: ConnId) {
        if let Some(connection) = self.connections.get_mut(&conn) {
            if let Phase::Up(up) = &mut connection.phase {
                up.will = None;
            }
        }
        self.end(now, conn, CloseReason::Disconnect);
    }

    /// [MQTT-3.3.4-1]: the acknowledgement comes last, because it says that the broker has taken over the message.
    fn handle_publish(
        &mut self,
        conn: ConnId,
        client: &ClientId,
        publish: &Publish<'_>,
    ) -> Result<(), CloseReason> {
        let topic =
            TopicName::parse(publish.topic_name).map_err(|e| CloseReason::Topic(e.fault))?;
        let message = Message {
            topic,
            payload: publish.payload.into(),
            qos: publish.qospid.qos(),
            retain: publish.retain,
        };
        match publish.qospid {
            QosPid::AtMostOnce => self.route_from_client(message),
            QosPid::AtLeastOnce(pid) => {
                // [MQTT-4.3.2-2]: a new message, with or without DUP.
                self.route_from_client(message);
                self.answer(conn, |out| encode::puback(out, pid));
            }
            QosPid::ExactlyOnce(pid) => {
                let session = self.sessions.get_mut(client);
                // [MQTT-4.3.3-2]: the identifier decides, not DUP.
                if session.is_some_and(|session| session.received.insert(pid.get())) {
                    self.route_from_client(message);
                }
                self.answer(conn, |out| encode::pubrec(out, pid));
            }
        }
        Ok(())
    }

    /// [MQTT-4.3.3-2]: PUBCOMP is always sent, because a client that lost one would repeat PUBREL for ever.
    fn handle_pubrel(&mut self, conn: ConnId, client: &ClientId, pid: Pid) {
        if let Some(session) = self.sessions.get_mut(client) {
            session.received.remove(pid.get());
        }
        self.answer(conn, |out| encode::pubcomp(out, pid));
    }

    /// Handles an acknowledgement, which makes room for queued messages.
    fn acknowledged(
        &mut self,
        client: &ClientId,
        note: impl FnOnce(&mut Session) -> Result<(), CloseReason>,
    ) -> Result<(), CloseReason> {
        if let Some(session) = self.sessions.get_mut(client) {
            note(session)?;
            self.pump(client);
        }
        Ok(())
    }

    /// [MQTT-3.8.4-4]: each filter is handled like a SUBSCRIBE of its own, with one SUBACK for all.
    fn handle_subscribe(
        &mut self,
        conn: ConnId,
        client: &ClientId,
        subscribe: &Subscribe,
    ) -> Result<(), CloseReason> {
        let mut codes = Vec::with_capacity(subscribe.topics.len());
        let mut granted = Vec::new();
        for asked in &subscribe.topics {
            let filter = parse(&asked.topic_path)?;
            match filter.filter(|filter| self.subscribe(client, filter, asked)) {
                Some(filter) => {
                    codes.push(SubscribeReturnCodes::Success(asked.qos));
                    granted.push((filter, asked.qos));
                }
                None => codes.push(SubscribeReturnCodes::Failure),
            }
        }
        // [MQTT-3.8.4-1], [MQTT-3.8.4-2], [MQTT-3.8.4-5]. A SUBSCRIBE has at least one filter.
        self.answer(conn, |out| {
            let _ = encode::suback(out, subscribe.pid, &codes);
        });
        for (filter, qos) in granted {
            // MQTT 5.0 §4.8.2: no retained messages for a shared subscription.
            if filter.group().is_none() {
                self.deliver_retained(client, filter.filter(), qos);
            }
        }
        Ok(())
    }

    /// Adds one subscription; false at the limit.
    fn subscribe(
        &mut self,
        client: &ClientId,
        filter: &SubscribeFilter,
        asked: &SubscribeTopic,
    ) -> bool {
        let Some(session) = self.sessions.get_mut(client) else {
            return false;
        };
        let is_new = !session.filters.contains_key(filter);
        if is_new && session.filters.len() >= self.limits.subscriptions {
            return false;
        }
        session.filters.insert(filter.clone(), asked.qos);
        if !is_new {
            // [MQTT-3.8.4-3]
            self.subscriptions.remove(client, filter);
        }
        self.subscriptions.add(client, filter, asked.qos);
        true
    }

    fn handle_unsubscribe(
        &mut self,
        conn: ConnId,
        client: &ClientId,
        unsubscribe: &Unsubscribe,
    ) -> Result<(), CloseReason> {
        for text in &unsubscribe.topics {
            let Some(filter) = parse(text)? else { continue };
            if let Some(session) = self.sessions.get_mut(client) {
                // [MQTT-3.10.4-1]
                session.filters.remove(&filter);
            }
            // [MQTT-3.10.4-2]; messages in flight continue ([MQTT-3.10.4-3]).
            self.subscriptions.remove(client, &filter);
        }
        // [MQTT-3.10.4-4], [MQTT-3.10.4-5]
        self.answer(conn, |out| encode::unsuback(out, unsubscribe.pid));
        Ok(())
    }

    fn connack(&mut self, conn: ConnId, session_present: bool, code: ConnectReturnCode) {
        self.answer(conn, |out| encode::connack(out, session_present, code));
    }

    fn answer(&mut self, conn: ConnId, encode: impl FnOnce(&mut Vec<u8>)) {
        if let Some(connection) = self.connections.get_mut(&conn) {
            encode(connection.outbox.buffer());
        }
    }
}

fn will(connect: &Connect<'_>) -> Result<Option<Message>, CloseReason> {
    let Some(will) = &connect.last_will else {
        return Ok(None);
    };
    let topic = TopicName::parse(will.topic).map_err(|e| CloseReason::Topic(e.fault))?;
    Ok(Some(Message {
        topic,
        payload: will.message.into(),
        // [MQTT-3.1.2-16], [MQTT-3.1.2-17]
        qos: will.qos,
        retain: will.retain,
    }))
}

/// Parses a filter; `None` for one that is legal in MQTT 3.1.1 and not supported here: too many levels, or a `$share/…`
/// without a group or a filter.
fn parse(text: &str) -> Result<Option<SubscribeFilter>, CloseReason> {
    match SubscribeFilter::parse(text) {
        Ok(filter) => Ok(Some(filter)),
        Err(error) => match error.fault {
            TopicFault::TooManyLevels { .. }
            | TopicFault::BadShareGroup
            | TopicFault::NoShareFilter => Ok(None),
            fault => Err(CloseReason::Topic(fault)),
        },
    }
}
