//! The messages queued for one client.
//!
//! Promises: messages are sent in the order of arrival ([MQTT-4.6.0-6]); a resumed session sends its unacknowledged
//! messages first, in the old order and under the old identifiers ([MQTT-4.4.0-1], [MQTT-4.6.0-1]); a message is kept
//! until its QoS is satisfied or the session ends.

use std::collections::VecDeque;

use mqttrs::{Pid, QoS, QosPid};

use super::CloseReason;
use crate::encode;
use crate::ids::PacketIds;
use crate::limits::{BrokerLimits, OUTBOX_HIGH_WATER};
use crate::message::Message;
use crate::outbox::Outbox;

pub(super) struct Deliveries {
    /// In flight, oldest first. The window is the size of this queue.
    flights: VecDeque<Flight>,
    /// Not encoded yet.
    waiting: VecDeque<Message>,
    ids: PacketIds,
    bytes: usize,
}

/// A QoS 1 or 2 message that was sent and not fully acknowledged.
struct Flight {
    pid: Pid,
    awaiting: Awaiting,
    /// Sent on this connection; false when a new connection of the session has to send it again.
    sent: bool,
}

enum Awaiting {
    Puback(Message),
    Pubrec(Message),
    /// The client owns the message; it is never sent again ([MQTT-4.3.3-1]).
    Pubcomp,
}

impl Deliveries {
    pub(super) fn new() -> Self {
        Self {
            flights: VecDeque::new(),
            waiting: VecDeque::new(),
            ids: PacketIds::new(),
            bytes: 0,
        }
    }

    pub(super) fn len(&self) -> usize {
        self.flights.len() + self.waiting.len()
    }

    pub(super) fn bytes(&self) -> usize {
        self.bytes
    }

    /// Queues a message; false when there is no room.
    pub(super) fn accept(&mut self, message: Message, limits: &BrokerLimits) -> bool {
        let bytes = self.bytes + message.size();
        let full =
            self.waiting.len() >= limits.queue || (self.bytes > 0 && bytes > limits.queue_bytes);
        if !full {
            self.bytes = bytes;
            self.waiting.push_back(message);
        }
        !full
    }

    /// Encodes the messages that may be sent now: those of a resumed session, then the queued ones.
    pub(super) fn pump(&mut self, outbox: &mut Outbox, window: usize) {
        for flight in self.flights.iter_mut().filter(|flight| !flight.sent) {
            if outbox.pending().len() >= OUTBOX_HIGH_WATER {
                return;
            }
            flight.send(outbox, true);
        }
        while outbox.pending().len() < OUTBOX_HIGH_WATER {
            let Some(message) = self.waiting.pop_front() else {
                return;
            };
            if message.qos == QoS::AtMostOnce {
                self.bytes -= message.size();
                put(outbox, false, QosPid::AtMostOnce, &message);
                continue;
            }
            let Some(pid) = self.free_id(window) else {
                self.waiting.push_front(message);
                return;
            };
            let mut flight = Flight::new(pid, message);
            flight.send(outbox, false);
            self.flights.push_back(flight);
        }
    }

    fn free_id(&mut self, window: usize) -> Option<Pid> {
        if self.flights.len() >= window {
            return None;
        }
        self.ids.allocate()
    }

    /// Handles the loss of the connection. QoS 0 messages are dropped; the others are sent on the next connection.
    pub(super) fn disconnected(&mut self) {
        for flight in &mut self.flights {
            flight.sent = false;
        }
        let bytes = &mut self.bytes;
        self.waiting.retain(|message| {
            let keep = message.qos != QoS::AtMostOnce;
            if !keep {
                *bytes -= message.size();
            }
            keep
        });
    }

    /// Ends a QoS 1 message. An unknown identifier is a late duplicate and not an error.
    pub(super) fn puback(&mut self, pid: Pid) -> Result<(), CloseReason> {
        match self.awaiting(pid) {
            Some(Awaiting::Puback(_)) => self.finish(pid),
            Some(_) => return Err(CloseReason::UnexpectedAck("PUBACK")),
            None => {}
        }
        Ok(())
    }

    /// The client has taken over a QoS 2 message. PUBREL is always sent, in the order of the PUBRECs ([MQTT-4.6.0-4]):
    /// a client that lost the first PUBREL would wait for ever.
    pub(super) fn pubrec(&mut self, pid: Pid) -> Result<(), CloseReason> {
        let Some(flight) = self.flights.iter_mut().find(|f| f.pid == pid) else {
            return Ok(());
        };
        match &flight.awaiting {
            Awaiting::Puback(_) => return Err(CloseReason::UnexpectedAck("PUBREC")),
            Awaiting::Pubrec(message) => self.bytes -= message.size(),
            Awaiting::Pubcomp => {}
        }
        flight.awaiting = Awaiting::Pubcomp;
        flight.sent = true;
        Ok(())
    }

    /// Ends a QoS 2 message.
    pub(super) fn pubcomp(&mut self, pid: Pid) -> Result<(), CloseReason> {
        match self.awaiting(pid) {
            Some(Awaiting::Pubcomp) => self.finish(pid),
            Some(_) => return Err(CloseReason::UnexpectedAck("PUBCOMP")),
            None => {}
        }
        Ok(())
    }

    fn awaiting(&self, pid: Pid) -> Option<&Awaiting> {
        let flight = self.flights.iter().find(|flight| flight.pid == pid);
        flight.map(|flight| &flight.awaiting)
    }

    /// Removes a message; its identifier is free again ([MQTT-2.3.1-4]).
    fn finish(&mut self, pid: Pid) {
        let bytes = &mut self.bytes;
        self.flights.retain(|flight| {
            if flight.pid == pid {
                *bytes -= flight.message().map_or(0, Message::size);
            }
            flight.pid != pid
        });
        self.ids.release(pid);
    }
}

impl Flight {
    fn new(pid: Pid, message: Message) -> Self {
        let awaiting = match message.qos {
            QoS::ExactlyOnce => Awaiting::Pubrec(message),
            _ => Awaiting::Puback(message),
        };
        Self {
            pid,
            awaiting,
            sent: false,
        }
    }

    fn message(&self) -> Option<&Message> {
        match &self.awaiting {
            Awaiting::Puback(message) | Awaiting::Pubrec(message) => Some(message),
            Awaiting::Pubcomp => None,
        }
    }

    /// `again`: sets DUP on a PUBLISH that the client may have received before ([MQTT-3.3.1-1]).
    fn send(&mut self, outbox: &mut Outbox, again: bool) {
        match &self.awaiting {
            Awaiting::Puback(message) => {
                put(outbox, again, QosPid::AtLeastOnce(self.pid), message);
            }
            Awaiting::Pubrec(message) => {
                put(outbox, again, QosPid::ExactlyOnce(self.pid), message);
            }
            Awaiting::Pubcomp => encode::pubrel(outbox.buffer(), self.pid),
        }
        self.sent = true;
    }
}

fn put(outbox: &mut Outbox, dup: bool, qospid: QosPid, message: &Message) {
    let Message {
        topic,
        payload,
        retain,
        ..
    } = message;
    // Too large only if the program itself published more than the protocol's 256 MiB: such a message cannot be
    // encoded.
    let _ = encode::publish(
        outbox.buffer(),
        dup,
        qospid,
        *retain,
        topic.as_str(),
        payload,
    );
}
