//! What was published, what became of it, and who received it.

use std::collections::{BTreeMap, HashMap};
use std::time::Instant;

use mcpmqtt_protocol::client::{Outcome, Reason, Ticket};
use mcpmqtt_protocol::{Publish, QoS};

#[derive(Default)]
pub(crate) struct Ledger {
    pub(crate) messages: Vec<Entry>,
    by_ticket: HashMap<(usize, Ticket), u32>,
    /// For each receiver, the messages it got, in order.
    pub(crate) received: BTreeMap<usize, Vec<u32>>,
}

pub(crate) struct Entry {
    pub(crate) from: usize,
    pub(crate) topic: String,
    pub(crate) qos: QoS,
    pub(crate) size: usize,
    pub(crate) deadline: Option<Instant>,
    pub(crate) cancelled: bool,
    pub(crate) outcome: Option<Outcome>,
    /// The socket took all of it.
    pub(crate) written: bool,
    /// The last acknowledgement reached the client.
    pub(crate) acknowledged: bool,
}

/// A message carries its number.
pub(crate) fn id_of(payload: &[u8]) -> u32 {
    u32::from_be_bytes(payload[..4].try_into().unwrap())
}

impl Ledger {
    /// The payload of the next message.
    pub(crate) fn payload(&self, size: usize) -> Vec<u8> {
        let number = u32::try_from(self.messages.len()).unwrap();
        let mut payload = number.to_be_bytes().to_vec();
        payload.resize(4 + size, b'.');
        payload
    }

    pub(crate) fn accepted(&mut self, ticket: Ticket, entry: Entry) {
        let number = u32::try_from(self.messages.len()).unwrap();
        self.by_ticket.insert((entry.from, ticket), number);
        self.messages.push(entry);
    }

    fn entry(&mut self, message: u32) -> &mut Entry {
        &mut self.messages[message as usize]
    }

    pub(crate) fn check_content(&mut self, message: u32, publish: &Publish<'_>) {
        let entry = self.entry(message);
        assert_eq!(entry.topic, publish.topic_name);
        assert_eq!(entry.qos, publish.qospid.qos());
        assert_eq!(entry.size, publish.payload.len());
        assert!(!publish.retain);
    }

    pub(crate) fn written(&mut self, message: u32) {
        let entry = self.entry(message);
        assert!(!entry.written, "message {message} was published twice");
        entry.written = true;
    }

    pub(crate) fn acknowledged(&mut self, message: u32) {
        self.entry(message).acknowledged = true;
    }

    pub(crate) fn cancelled(&mut self, from: usize, ticket: Ticket) {
        let message = self.by_ticket[&(from, ticket)];
        let entry = self.entry(message);
        entry.cancelled = entry.outcome.is_none();
    }

    pub(crate) fn outcome(&mut self, now: Instant, from: usize, ticket: Ticket, outcome: Outcome) {
        let message = self.by_ticket[&(from, ticket)];
        let entry = self.entry(message);
        assert!(!entry.cancelled, "an outcome for what was given up");
        assert_eq!(entry.outcome, None, "a second outcome: {outcome:?}");
        let late = entry.deadline.is_some_and(|deadline| now > deadline);
        assert!(!late, "the outcome {outcome:?} came after the deadline");
        match &outcome {
            Outcome::Delivered => assert!(entry.acknowledged, "nobody acknowledged it"),
            Outcome::Sent => assert!(entry.written && entry.qos == QoS::AtMostOnce),
            Outcome::NotSent(_) => assert!(!entry.written, "it was sent: {outcome:?}"),
            Outcome::Unknown(Reason::Timeout(_)) => {}
            Outcome::Unknown(_) => assert!(entry.written, "it was not sent: {outcome:?}"),
        }
        entry.outcome = Some(outcome);
    }

    pub(crate) fn received(&mut self, receiver: usize, message: u32) {
        self.received.entry(receiver).or_default().push(message);
    }

    /// Whether everyone who waits was told.
    pub(crate) fn is_settled(&self) -> bool {
        let mut entries = self.messages.iter();
        entries.all(|entry| entry.outcome.is_some() || entry.cancelled)
    }

    /// What can be said of every run, once it is over.
    pub(crate) fn check(&self, sessions: &[Session], receivers: usize) {
        for (number, entry) in self.messages.iter().enumerate() {
            if let Some(Outcome::NotSent(reason)) = &entry.outcome {
                assert!(!entry.written, "message {number} was sent: {reason}");
            }
        }
        for receiver in 0..receivers {
            self.check_receiver(receiver, sessions);
        }
    }

    /// Whether a sender's session was ended for a message that seemed to cut each of its connections. In a network that
    /// fails so often, chance can look like that; then all that was on its way is told as unknown.
    fn ended_its_session(&self, sender: usize) -> bool {
        let mut sent = self.messages.iter().filter(|entry| entry.from == sender);
        sent.any(|entry| {
            matches!(
                entry.outcome,
                Some(Outcome::Unknown(
                    Reason::MessageCutsConnection { .. } | Reason::SessionGivenUp
                ))
            )
        })
    }

    fn check_receiver(&self, receiver: usize, sessions: &[Session]) {
        let nothing = Vec::new();
        let received = self.received.get(&receiver).unwrap_or(&nothing);
        let mut times: HashMap<u32, usize> = HashMap::new();
        let mut last: HashMap<&str, u32> = HashMap::new();
        for message in received {
            let count = times.entry(*message).or_default();
            *count += 1;
            // Who lost the first copy of a QoS 1 message with its session may get the second one late.
            let entry = &self.messages[*message as usize];
            let ordered = match sessions[receiver] {
                Session::Kept => true,
                Session::Clean => entry.qos != QoS::AtLeastOnce,
                Session::Odd => entry.qos == QoS::AtMostOnce,
            };
            if *count == 1 && ordered {
                let topic = self.messages[*message as usize].topic.as_str();
                let before = last.insert(topic, *message);
                assert!(
                    before < Some(*message),
                    "{topic}: {before:?}, then {message}"
                );
            }
        }
        for (number, entry) in self.messages.iter().enumerate() {
            let count = times.get(&(number as u32)).copied().unwrap_or(0);
            let kept = sessions[receiver] == Session::Kept;
            let sender_kept = sessions[entry.from] == Session::Kept;
            let what = || {
                let outcome = &entry.outcome;
                format!(
                    "message {number}, {:?}, {outcome:?}, received {count} times",
                    entry.qos
                )
            };
            if !entry.written {
                assert_eq!(count, 0, "{}", what());
            }
            if entry.qos == QoS::ExactlyOnce && sessions[receiver] != Session::Odd {
                assert!(count <= 1, "{}", what());
            }
            let delivered = entry.outcome == Some(Outcome::Delivered);
            // A session that is kept carries on even when nobody waits for the outcome any more, unless it had to be ended.
            let carries_on = sender_kept && !self.ended_its_session(entry.from);
            let owed = delivered || (carries_on && entry.written);
            if kept && entry.qos != QoS::AtMostOnce && owed {
                assert!(count >= 1, "{}", what());
            }
            if entry.qos == QoS::AtMostOnce {
                assert!(count <= 1, "{}", what());
            }
        }
    }
}

/// What can be promised to one client of a run.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Session {
    /// Its session outlives its connections, and the broker keeps it.
    Kept,
    /// It begins anew with each connection.
    Clean,
    /// The broker has habits that break promises.
    Odd,
}
