//! The broker of a run: the one inside the program, or the reference with its habits.

use std::collections::BTreeMap;
use std::time::Instant;

use mcpmqtt_protocol::broker::{self, ConnId};
use mcpmqtt_protocol::limits::BrokerLimits;

use super::reference::{Habits, Reference};

pub(crate) enum Broker {
    Reference(Reference),
    BuiltIn(Box<BuiltIn>),
}

pub(crate) struct BuiltIn {
    broker: broker::Broker,
    links: BTreeMap<u64, ConnId>,
    closes: Vec<u64>,
    wait: Option<Instant>,
}

impl Broker {
    pub(crate) fn reference(habits: Habits) -> Self {
        Self::Reference(Reference::new(habits))
    }

    pub(crate) fn built_in() -> Self {
        Self::BuiltIn(Box::new(BuiltIn {
            broker: broker::Broker::new(BrokerLimits::default()),
            links: BTreeMap::new(),
            closes: Vec::new(),
            wait: None,
        }))
    }

    pub(crate) fn opened(&mut self, now: Instant, link: u64) {
        match self {
            Self::Reference(reference) => reference.opened(link),
            Self::BuiltIn(built_in) => {
                let conn = built_in.broker.open(now);
                built_in.links.insert(link, conn);
                built_in.poll(now);
            }
        }
    }

    pub(crate) fn received(&mut self, now: Instant, link: u64, bytes: &[u8]) {
        match self {
            Self::Reference(reference) => reference.received(link, bytes),
            Self::BuiltIn(built_in) => {
                if let Some(conn) = built_in.links.get(&link) {
                    built_in.broker.handle_bytes(now, *conn, bytes);
                    built_in.poll(now);
                }
            }
        }
    }

    pub(crate) fn closed(&mut self, now: Instant, link: u64) {
        match self {
            Self::Reference(reference) => reference.closed(link),
            Self::BuiltIn(built_in) => {
                if let Some(conn) = built_in.links.remove(&link) {
                    built_in.broker.handle_closed(now, conn);
                    built_in.poll(now);
                }
            }
        }
    }

    /// When it wants to be called.
    pub(crate) fn next_event(&self) -> Option<Instant> {
        match self {
            Self::Reference(_) => None,
            Self::BuiltIn(built_in) => built_in.wait,
        }
    }

    pub(crate) fn timeout(&mut self, now: Instant) {
        if let Self::BuiltIn(built_in) = self {
            if built_in.wait.is_some_and(|at| at <= now) {
                built_in.broker.handle_timeout(now);
                built_in.poll(now);
                assert!(built_in.wait.is_none_or(|at| at > now), "the broker spins");
            }
        }
    }

    /// Hands its socket what the broker has to say; `take` says how much of it the socket took.
    pub(crate) fn write(&mut self, now: Instant, link: u64, take: impl FnOnce(&[u8]) -> usize) {
        match self {
            Self::Reference(reference) => reference.write(link, take),
            Self::BuiltIn(built_in) => {
                let Some(conn) = built_in.links.get(&link) else {
                    return;
                };
                let output = built_in.broker.output(*conn);
                let taken = if output.is_empty() { 0 } else { take(output) };
                if taken > 0 {
                    built_in.broker.wrote(now, *conn, taken);
                    built_in.poll(now);
                }
            }
        }
    }

    /// The connections it wants closed.
    pub(crate) fn closes(&mut self) -> Vec<u64> {
        match self {
            Self::Reference(reference) => reference.closes(),
            Self::BuiltIn(built_in) => std::mem::take(&mut built_in.closes),
        }
    }

    /// What its clients are subscribed to.
    pub(crate) fn subscriptions(&self) -> usize {
        match self {
            Self::Reference(reference) => reference.subscriptions(),
            Self::BuiltIn(built_in) => built_in.broker.usage().subscriptions,
        }
    }

    /// Messages that clients have not acknowledged.
    pub(crate) fn owed(&self) -> usize {
        match self {
            Self::Reference(reference) => reference.owed(),
            Self::BuiltIn(built_in) => built_in.broker.usage().queued,
        }
    }
}

impl BuiltIn {
    fn poll(&mut self, now: Instant) {
        loop {
            match self.broker.poll(now) {
                broker::Output::Close(conn, reason) => {
                    let link = self.links.iter().find(|(_, held)| **held == conn);
                    if let Some((link, _)) = link.map(|(link, conn)| (*link, *conn)) {
                        self.links.remove(&link);
                        self.closes.push(link);
                    }
                    let fault = matches!(
                        reason,
                        broker::CloseReason::Frame(_)
                            | broker::CloseReason::UnexpectedAck(_)
                            | broker::CloseReason::BrokerPacket
                            | broker::CloseReason::Topic(_)
                            | broker::CloseReason::SecondConnect
                            | broker::CloseReason::NotConnect
                    );
                    assert!(!fault, "the broker found fault with a client: {reason}");
                }
                broker::Output::Local(_) => {}
                broker::Output::Wait(at) => {
                    self.wait = at;
                    return;
                }
            }
        }
    }
}
