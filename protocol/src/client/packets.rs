//! The handling of each packet from the broker.

use std::time::Instant;

use mqttrs::{Connack, ConnectReturnCode, Packet, Pid, Publish, QosPid, SubscribeReturnCodes};

use super::core::{Core, Session, State};
use super::event::{Event, Output, ProtocolError, Reason, Refusal};
use super::keepalive::KeepAlive;
use super::listeners::{Content, Inbound};
use super::subscriptions::Answer;
use super::traffic::Count;
use crate::encode;
use crate::frame::TooLarge;
use crate::limits::TRUSTED_RESUMPTIONS;

impl Core {
    /// Handles one packet; an error ends the connection.
    pub(super) fn handle_packet(&mut self, now: Instant, packet: Packet<'_>) -> Result<(), Reason> {
        if let State::Handshake { .. } = self.state {
            // [MQTT-3.2.0-1]
            return match packet {
                Packet::Connack(connack) => self.handle_connack(now, connack),
                _ => Err(Reason::Protocol(ProtocolError::NotConnack)),
            };
        }
        match packet {
            Packet::Publish(publish) => {
                self.handle_publish(&publish, Content::Whole(publish.payload));
            }
            Packet::Puback(pid) => self.handle_puback(now, pid)?,
            Packet::Pubrec(pid) => self.handle_pubrec(now, pid)?,
            Packet::Pubrel(pid) => self.handle_pubrel(pid),
            Packet::Pubcomp(pid) => self.handle_pubcomp(now, pid)?,
            Packet::Suback(suback) => self.handle_suback(now, suback.pid, &suback.return_codes)?,
            Packet::Unsuback(pid) => {
                self.subscriptions
                    .unsuback(pid, &mut self.ids)
                    .map_err(Reason::Protocol)?;
            }
            Packet::Pingresp => self.pong(),
            Packet::Connack(_) => return Err(Reason::Protocol(ProtocolError::SecondConnack)),
            _ => return Err(Reason::Protocol(ProtocolError::ClientPacket)),
        }
        Ok(())
    }

    /// Handles a PUBLISH whose payload was too large to be kept: the broker gets the usual acknowledgement.
    pub(super) fn handle_too_large(&mut self, passed: &TooLarge) -> Result<(), Reason> {
        if let State::Handshake { .. } = self.state {
            // [MQTT-3.2.0-1]
            return Err(Reason::Protocol(ProtocolError::NotConnack));
        }
        let publish = Publish {
            dup: passed.dup,
            qospid: passed.qospid,
            retain: passed.retain,
            topic_name: &passed.topic,
            payload: &[],
        };
        self.handle_publish(&publish, Content::TooLarge(passed.payload_bytes));
        Ok(())
    }

    /// Extends the deadlines while a long packet is arriving, because the broker cannot send its responses meanwhile.
    pub(super) fn postpone(&mut self, now: Instant) {
        self.subscriptions.postpone(now);
        self.publishes.postpone(now);
    }

    fn handle_connack(&mut self, now: Instant, connack: Connack) -> Result<(), Reason> {
        let is_nameless = self.options.username.is_none();
        let refusal = match connack.code {
            ConnectReturnCode::Accepted => None,
            ConnectReturnCode::RefusedProtocolVersion => Some(Refusal::ProtocolVersion),
            ConnectReturnCode::RefusedIdentifierRejected => Some(Refusal::ClientId),
            ConnectReturnCode::ServerUnavailable => Some(Refusal::Unavailable),
            ConnectReturnCode::BadUsernamePassword | ConnectReturnCode::NotAuthorized
                if is_nameless =>
            {
                Some(Refusal::NoUserName)
            }
            ConnectReturnCode::BadUsernamePassword => Some(Refusal::Credentials),
            ConnectReturnCode::NotAuthorized => Some(Refusal::NotAuthorized),
        };
        if let Some(refusal) = refusal {
            return Err(Reason::Refused(refusal));
        }
        let session_present = connack.session_present;
        if !self.options.clean_session && self.session != Session::Ours {
            return self.claim_session(now, session_present);
        }
        if session_present && self.options.clean_session {
            // [MQTT-3.2.2-1]
            return Err(Reason::Protocol(ProtocolError::SessionPresent));
        }
        self.begin(now, session_present);
        Ok(())
    }

    /// Makes sure that a kept session belongs to this client before anything is sent in it.
    fn claim_session(&mut self, now: Instant, session_present: bool) -> Result<(), Reason> {
        match (self.session, session_present) {
            (Session::Unknown | Session::Wiped, false) => {
                self.session = Session::Ours;
                self.begin(now, false);
            }
            (Session::Unknown, true) => {
                self.session = Session::Foreign;
                self.outputs.push_back(Output::Event(Event::OldSession));
                self.part(now);
            }
            (Session::Foreign, false) => {
                self.session = Session::Wiped;
                self.part(now);
            }
            _ => {
                self.session = Session::Unknown;
                return Err(Reason::Protocol(ProtocolError::SessionPresent));
            }
        }
        Ok(())
    }

    fn begin(&mut self, now: Instant, session_present: bool) {
        let keep = KeepAlive::new(self.options.keep_alive, now);
        self.state = State::Up {
            since: now,
            keep,
            resumed: session_present,
        };
        self.listeners.connected();
        self.outputs
            .push_back(Output::Event(Event::Connected { session_present }));
        if session_present {
            let is_doubted = self.failed_resumptions >= TRUSTED_RESUMPTIONS;
            self.publishes.resume(now, is_doubted);
            self.subscriptions.resume();
        } else {
            let reason = self.last_reason.clone();
            self.lose_session(&reason);
            self.subscriptions.restart();
        }
        if let Some(birth) = self.options.birth.clone() {
            self.publishes
                .announce(birth, &mut self.outbox, &mut self.ids);
        }
    }

    /// [MQTT-4.5.0-2]: every PUBLISH is acknowledged, with or without a listener. The acknowledgement follows the
    /// delivery: the events are emitted before the next packet is read.
    fn handle_publish(&mut self, publish: &Publish<'_>, content: Content<'_>) {
        match publish.qospid {
            QosPid::AtMostOnce => self.deliver(publish, content),
            QosPid::AtLeastOnce(pid) => {
                self.deliver(publish, content);
                // [MQTT-3.3.4-1]
                encode::puback(self.outbox.buffer(), pid);
            }
            QosPid::ExactlyOnce(pid) => {
                // DUP does not matter, because brokers resend without it. The identifier decides.
                if self.received.insert(pid.get()) {
                    self.deliver(publish, content);
                }
                encode::pubrec(self.outbox.buffer(), pid);
            }
        }
    }

    fn deliver(&mut self, publish: &Publish<'_>, content: Content<'_>) {
        let message = Inbound {
            topic: publish.topic_name,
            content,
            qos: publish.qospid.qos(),
            retain: publish.retain,
        };
        let bytes = message.topic.len() + content.bytes();
        Count::add(&mut self.received_messages, message.qos, bytes);
        let outputs = &mut self.outputs;
        let subscriptions = &self.subscriptions;
        let matched = self.listeners.dispatch(
            &message,
            &|filter| subscriptions.is_leaving(filter),
            &mut |event| outputs.push_back(Output::Event(event)),
        );
        if !matched {
            self.unmatched += 1;
        }
    }

    fn handle_puback(&mut self, now: Instant, pid: Pid) -> Result<(), Reason> {
        let Self {
            publishes,
            ids,
            outputs,
            ..
        } = self;
        let legal = publishes.puback(now, pid, ids, &mut |event| {
            outputs.push_back(Output::Event(event));
        });
        expected(legal, "PUBACK")
    }

    fn handle_pubrec(&mut self, now: Instant, pid: Pid) -> Result<(), Reason> {
        if self.publishes.is_withheld(pid) {
            return Ok(());
        }
        expected(self.publishes.pubrec(now, pid), "PUBREC")?;
        // Also for an unknown identifier, because the broker waits for PUBREL.
        encode::pubrel(self.outbox.buffer(), pid);
        self.publishes.releases(self.outbox.end());
        Ok(())
    }

    /// [MQTT-4.3.3-2]: PUBCOMP is always sent, because a broker that lost one would repeat PUBREL for ever.
    fn handle_pubrel(&mut self, pid: Pid) {
        self.received.remove(pid.get());
        encode::pubcomp(self.outbox.buffer(), pid);
    }

    fn handle_pubcomp(&mut self, now: Instant, pid: Pid) -> Result<(), Reason> {
        let Self {
            publishes,
            ids,
            outputs,
            ..
        } = self;
        let legal = publishes.pubcomp(now, pid, ids, &mut |event| {
            outputs.push_back(Output::Event(event));
        });
        expected(legal, "PUBCOMP")
    }

    fn handle_suback(
        &mut self,
        now: Instant,
        pid: Pid,
        codes: &[SubscribeReturnCodes],
    ) -> Result<(), Reason> {
        let answers = self
            .subscriptions
            .suback(now, pid, codes, &mut self.ids)
            .map_err(Reason::Protocol)?;
        for answer in answers {
            match answer {
                Answer::Refused(filter) => self.refuse_listeners(&filter, &Reason::FilterRefused),
                Answer::Granted(filter, ask, granted) => {
                    for ticket in self.listeners.granted(&filter, ask) {
                        let listening = Event::Listening { ticket, granted };
                        self.outputs.push_back(Output::Event(listening));
                    }
                }
            }
        }
        Ok(())
    }
}

fn expected(legal: bool, kind: &'static str) -> Result<(), Reason> {
    if legal {
        Ok(())
    } else {
        Err(Reason::Protocol(ProtocolError::UnexpectedAck(kind)))
    }
}
