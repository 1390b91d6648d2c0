//! Listens on the wire of one client and knows the rules.
//!
//! It sees what the client's socket took and what was handed to the client, and judges every packet
//! by a model of its own, which shares nothing with the client but the codec.

use std::collections::{HashMap, HashSet, VecDeque};

use mcpmqtt_protocol::frame::{FrameBuffer, Receiver};
use mcpmqtt_protocol::{ConnectReturnCode, Packet, PacketType, Pid, Publish};

use super::ledger::{Ledger, id_of};

pub(crate) struct Tap {
    up: FrameBuffer,
    down: FrameBuffer,
    clean: bool,
    phase: Phase,
    session_present: bool,
    /// Our PUBLISH identifiers in use.
    live: HashMap<u16, Live>,
    /// Our SUBSCRIBE and UNSUBSCRIBE identifiers in use.
    asking: HashSet<u16>,
    /// Answers that the client owes on this connection, in order.
    owed: VecDeque<(PacketType, u16)>,
    /// Identifiers that were sent again on this connection.
    again: HashSet<u16>,
    last_again: u64,
    sent_new: bool,
    sent_in_all: u64,
    pub(crate) resends: u64,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Phase {
    None,
    Connecting,
    Up,
    Done,
}

struct Live {
    message: u32,
    order: u64,
    step: Step,
    /// PUBREL was sent.
    released: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Step {
    Puback,
    Pubrec,
    Pubcomp,
}

impl Tap {
    pub(crate) fn new(clean: bool) -> Self {
        Self {
            up: FrameBuffer::new(Receiver::Broker, 1 << 24),
            down: FrameBuffer::new(Receiver::Client, 1 << 24),
            clean,
            phase: Phase::None,
            session_present: false,
            live: HashMap::new(),
            asking: HashSet::new(),
            owed: VecDeque::new(),
            again: HashSet::new(),
            last_again: 0,
            sent_new: false,
            sent_in_all: 0,
            resends: 0,
        }
    }

    /// A new connection begins; the last one is over for the client.
    pub(crate) fn connection(&mut self) {
        self.up.clear();
        self.down.clear();
        self.phase = Phase::None;
        self.asking.clear();
        self.owed.clear();
        self.again.clear();
        self.last_again = 0;
        self.sent_new = false;
        if self.clean {
            self.live.clear();
        }
    }

    /// Nothing is under way: for the end of a run.
    pub(crate) fn is_idle(&self) -> bool {
        self.live.is_empty() && self.asking.is_empty() && self.owed.is_empty()
    }

    /// The client's socket took these bytes.
    pub(crate) fn sent(&mut self, bytes: &[u8], ledger: &mut Ledger) {
        let mut up = std::mem::replace(&mut self.up, FrameBuffer::new(Receiver::Broker, 0));
        up.extend(bytes);
        while let Some(packet) = up.next_packet().expect("a legal packet from the client") {
            self.judge(packet, ledger);
        }
        self.up = up;
    }

    fn judge(&mut self, packet: Packet<'_>, ledger: &mut Ledger) {
        match (self.phase, packet.get_type()) {
            (Phase::None, PacketType::Connect) => {
                self.phase = Phase::Connecting;
                return;
            }
            (Phase::Up, kind) => assert_ne!(kind, PacketType::Connect, "[MQTT-3.1.0-2]"),
            (phase, kind) => panic!("{kind:?} while {phase:?} [MQTT-3.1.0-1] [MQTT-3.14.4-2]"),
        }
        match packet {
            Packet::Publish(publish) => self.judge_publish(&publish, ledger),
            Packet::Puback(id) => self.judge_answer(PacketType::Puback, id.get()),
            Packet::Pubrec(id) => self.judge_answer(PacketType::Pubrec, id.get()),
            Packet::Pubcomp(id) => self.judge_answer(PacketType::Pubcomp, id.get()),
            Packet::Pubrel(id) => self.judge_release(id.get()),
            Packet::Subscribe(subscribe) => self.judge_question(subscribe.pid.get()),
            Packet::Unsubscribe(unsubscribe) => self.judge_question(unsubscribe.pid.get()),
            Packet::Disconnect => self.phase = Phase::Done,
            Packet::Pingreq => {}
            other => panic!("a client sent {other:?}"),
        }
    }

    fn judge_publish(&mut self, publish: &Publish<'_>, ledger: &mut Ledger) {
        let message = id_of(publish.payload);
        ledger.check_content(message, publish);
        let Some(id) = publish.qospid.pid().map(Pid::get) else {
            assert!(!publish.dup, "[MQTT-3.3.1-2]");
            ledger.written(message);
            return;
        };
        if publish.dup {
            return self.judge_again(id, message);
        }
        assert!(
            !self.live.contains_key(&id),
            "id {id} is live [MQTT-2.3.1-2]"
        );
        assert!(!self.asking.contains(&id), "id {id} is live [MQTT-2.3.1-2]");
        let waiting = self.live.keys().filter(|id| !self.again.contains(*id));
        assert_eq!(waiting.count(), 0, "new before what is sent again");
        ledger.written(message);
        self.sent_new = true;
        self.again.insert(id);
        self.sent_in_all += 1;
        let step = match publish.qospid.qos() as u8 {
            1 => Step::Puback,
            _ => Step::Pubrec,
        };
        let order = self.sent_in_all;
        self.live.insert(
            id,
            Live {
                message,
                order,
                step,
                released: false,
            },
        );
    }

    fn judge_again(&mut self, id: u16, message: u32) {
        let live = self.live.get(&id).expect("DUP on what was never sent");
        assert_eq!(live.message, message, "another message under id {id}");
        // It may have been on its way to the socket when PUBREC came.
        assert!(!live.released, "PUBLISH after PUBREL [MQTT-4.3.3-1]");
        assert!(self.session_present, "sent again on a new session");
        assert!(!self.sent_new, "new before what is sent again");
        assert!(
            self.again.insert(id),
            "sent twice on one connection [MQTT-4.4.0-1]"
        );
        assert!(live.order > self.last_again, "out of order [MQTT-4.6.0-1]");
        self.last_again = live.order;
        self.resends += 1;
    }

    fn judge_answer(&mut self, kind: PacketType, id: u16) {
        assert_eq!(self.owed.pop_front(), Some((kind, id)), "[MQTT-4.6.0-2]");
    }

    fn judge_release(&mut self, id: u16) {
        if let Some(live) = self.live.get_mut(&id) {
            live.released = true;
        }
        if self.owed.front() == Some(&(PacketType::Pubrel, id)) {
            self.owed.pop_front();
            self.again.insert(id);
            return;
        }
        let step = self.live.get(&id).map(|live| live.step);
        assert_eq!(step, Some(Step::Pubcomp), "PUBREL {id} without PUBREC");
        assert!(self.session_present, "sent again on a new session");
        assert!(self.again.insert(id), "PUBREL {id} twice on one connection");
    }

    fn judge_question(&mut self, id: u16) {
        assert!(
            !self.live.contains_key(&id),
            "id {id} is live [MQTT-2.3.1-2]"
        );
        assert!(self.asking.insert(id), "id {id} is live [MQTT-2.3.1-2]");
    }

    /// These bytes are handed to the client.
    pub(crate) fn received(&mut self, bytes: &[u8], ledger: &mut Ledger) {
        let mut down = std::mem::replace(&mut self.down, FrameBuffer::new(Receiver::Client, 0));
        down.extend(bytes);
        while let Some(packet) = down.next_packet().expect("a legal broker") {
            self.note(packet, ledger);
        }
        self.down = down;
    }

    fn note(&mut self, packet: Packet<'_>, ledger: &mut Ledger) {
        match packet {
            Packet::Connack(connack) => {
                assert_eq!(connack.code, ConnectReturnCode::Accepted);
                self.phase = Phase::Up;
                self.session_present = connack.session_present;
                if !connack.session_present {
                    self.live.clear();
                }
            }
            Packet::Publish(publish) => match (publish.qospid.pid(), publish.qospid.qos() as u8) {
                (Some(id), 1) => self.owed.push_back((PacketType::Puback, id.get())),
                (Some(id), _) => self.owed.push_back((PacketType::Pubrec, id.get())),
                _ => {}
            },
            Packet::Pubrel(id) => self.owed.push_back((PacketType::Pubcomp, id.get())),
            Packet::Pubrec(id) => {
                self.owed.push_back((PacketType::Pubrel, id.get()));
                if let Some(live) = self.live.get_mut(&id.get()) {
                    live.step = Step::Pubcomp;
                }
            }
            Packet::Puback(id) | Packet::Pubcomp(id) => {
                if let Some(live) = self.live.remove(&id.get()) {
                    ledger.acknowledged(live.message);
                }
            }
            Packet::Suback(suback) => {
                self.asking.remove(&suback.pid.get());
            }
            Packet::Unsuback(id) => {
                self.asking.remove(&id.get());
            }
            _ => {}
        }
    }
}
