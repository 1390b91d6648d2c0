//! Dispatches received messages to listeners.

use std::collections::HashMap;
use std::collections::hash_map::{DefaultHasher, Entry};
use std::hash::{Hash, Hasher};
use std::sync::Arc;

use mqttrs::QoS;

use super::event::{Event, Ticket};
use super::pending::SubscribeSeq;
use crate::limits::SEEN_TOPICS;
use crate::message::Message;
use crate::sort::sort;
use crate::topic::{FilterTree, SubscribeFilter, TopicName};

/// A request to listen.
#[derive(Debug, Clone)]
pub struct Listen {
    /// The filter of the messages.
    pub filter: SubscribeFilter,
    /// The highest QoS of the messages.
    pub qos: QoS,
    /// Whether the filter's retained messages are delivered first, each once.
    pub retained: bool,
}

/// A PUBLISH from the broker.
pub(super) struct Inbound<'a> {
    pub(super) topic: &'a str,
    pub(super) content: Content<'a>,
    pub(super) qos: QoS,
    pub(super) retain: bool,
}

#[derive(Clone, Copy)]
pub(super) enum Content<'a> {
    Whole(&'a [u8]),
    /// The number of payload bytes, which were not kept.
    TooLarge(usize),
}

pub(super) struct Listeners {
    by_ticket: HashMap<Ticket, Listener>,
    by_filter: FilterTree<Ticket>,
    /// Counts connections, so that a listener can tell a retained message that changed during a disconnection from one
    /// it has received.
    connection: u64,
    recent: RecentOverlaps,
}

struct Listener {
    listen: Listen,
    /// Whether the messages come as [`Event::Observed`]; see [`Client::observe`](super::Client::observe).
    observes: bool,
    waiting_for: Option<SubscribeSeq>,
    seen: HashMap<u64, Seen>,
}

/// The last message of a topic that a listener received.
struct Seen {
    payload: u64,
    /// The connection on which the listener has received the topic's current state.
    known_on: Option<u64>,
}

impl Listeners {
    pub(super) fn new() -> Self {
        Self {
            by_ticket: HashMap::new(),
            by_filter: FilterTree::default(),
            connection: 0,
            recent: RecentOverlaps::default(),
        }
    }

    pub(super) fn add(
        &mut self,
        ticket: Ticket,
        listen: Listen,
        observes: bool,
        waiting_for: Option<SubscribeSeq>,
    ) {
        self.by_filter.insert(listen.filter.filter(), ticket);
        let seen = HashMap::new();
        self.by_ticket.insert(
            ticket,
            Listener {
                listen,
                observes,
                waiting_for,
                seen,
            },
        );
    }

    /// Removes a listener and returns its filter.
    pub(super) fn remove(&mut self, ticket: Ticket) -> Option<SubscribeFilter> {
        let filter = self.by_ticket.remove(&ticket)?.listen.filter;
        self.by_filter
            .remove(filter.filter(), |held| *held == ticket);
        Some(filter)
    }

    pub(super) fn len(&self) -> usize {
        self.by_ticket.len()
    }

    /// All listeners of exactly this filter.
    pub(super) fn of(&self, filter: &SubscribeFilter) -> Vec<Ticket> {
        let mut tickets: Vec<Ticket> = self
            .by_ticket
            .iter()
            .filter(|(_, listener)| listener.listen.filter == *filter)
            .map(|(ticket, _)| *ticket)
            .collect();
        sort(&mut tickets);
        tickets
    }

    /// The filters that match `topic`.
    pub(super) fn filters_of(&self, topic: &str) -> Vec<SubscribeFilter> {
        let mut filters = Vec::new();
        self.by_filter.for_each_match(topic, &mut |ticket| {
            let listener = self.by_ticket.get(ticket);
            filters.extend(listener.map(|listener| listener.listen.filter.clone()));
        });
        sort(&mut filters);
        filters.dedup();
        filters
    }

    /// Marks the listeners of this filter that waited for `ask` or an earlier one as granted, and returns them.
    pub(super) fn granted(&mut self, filter: &SubscribeFilter, ask: SubscribeSeq) -> Vec<Ticket> {
        let mut tickets = Vec::new();
        for (ticket, listener) in &mut self.by_ticket {
            let waited = listener.waiting_for.is_some_and(|waits| waits <= ask);
            if waited && listener.listen.filter == *filter {
                listener.waiting_for = None;
                tickets.push(*ticket);
            }
        }
        sort(&mut tickets);
        tickets
    }

    /// The listeners that were never granted.
    pub(super) fn never_granted(&self) -> Vec<Ticket> {
        let waiting = self.by_ticket.iter();
        let waiting = waiting.filter(|(_, listener)| listener.waiting_for.is_some());
        let mut tickets: Vec<Ticket> = waiting.map(|(ticket, _)| *ticket).collect();
        sort(&mut tickets);
        tickets
    }

    /// Starts a new connection, whose retained messages may be new to the listeners.
    pub(super) fn connected(&mut self) {
        self.connection += 1;
        self.recent = RecentOverlaps::default();
    }

    /// Dispatches one inbound message to every matching listener. Returns false when there is none.
    ///
    /// A listener that waits for its own SUBSCRIBE gets nothing from the earlier subscription that is being ended:
    /// after that end there would be an uncounted gap.
    pub(super) fn dispatch(
        &mut self,
        inbound: &Inbound<'_>,
        is_leaving: &impl Fn(&SubscribeFilter) -> bool,
        events: &mut impl FnMut(Event),
    ) -> bool {
        let Self {
            by_ticket,
            by_filter,
            connection,
            recent,
        } = self;
        let Inbound { topic, retain, .. } = *inbound;
        let mut heard: Option<Heard> = None;
        let mut hashes: Option<(u64, u64)> = None;
        let mut matched = false;
        let mut filters = MatchingFilters::None;
        let mut observers = Vec::new();
        by_filter.for_each_match(topic, &mut |ticket| {
            matched = true;
            let Some(listener) = by_ticket.get_mut(ticket) else {
                return;
            };
            if listener.waiting_for.is_some() && is_leaving(&listener.listen.filter) {
                return;
            }
            filters.add(&listener.listen.filter);
            if listener.observes {
                observers.push(*ticket);
                return;
            }
            if listener.listen.retained {
                let hashes = *hashes.get_or_insert_with(|| inbound.hashes());
                if !listener.is_news(hashes, retain, *connection) {
                    return;
                }
            } else if retain {
                return;
            }
            if heard.is_none() {
                heard = inbound.to_be_heard();
            }
            if let Some(heard) = &heard {
                events(heard.event(*ticket));
            }
        });
        if !observers.is_empty() {
            if heard.is_none() {
                heard = inbound.to_be_heard();
            }
            let overlaps = matches!(filters, MatchingFilters::Several);
            let may_be_copy =
                overlaps && recent.had(*hashes.get_or_insert_with(|| inbound.hashes()));
            for ticket in observers {
                if let Some(heard) = &heard {
                    events(heard.observed(ticket, may_be_copy));
                }
            }
        }
        matched
    }
}

/// The distinct filters that match one message. A broker may send a copy of the message for each of them
/// (MQTT 3.1.1 §3.3.5), and nothing in the copies tells them apart.
enum MatchingFilters {
    None,
    One(SubscribeFilter),
    Several,
}

impl MatchingFilters {
    fn add(&mut self, filter: &SubscribeFilter) {
        match self {
            Self::None => *self = Self::One(filter.clone()),
            Self::One(first) if first != filter => *self = Self::Several,
            Self::One(_) | Self::Several => {}
        }
    }
}

/// So many messages are looked back for a copy.
const RECENT_OVERLAPS: usize = 16;

/// The last messages that several subscriptions matched. A broker sends the copies of a message after one another, so that
/// a message without a twin among them is no copy.
#[derive(Debug, Default)]
struct RecentOverlaps {
    /// The hashes of topic and payload.
    hashes: [(u64, u64); RECENT_OVERLAPS],
    next: usize,
}

impl RecentOverlaps {
    /// Whether a message like this one was among them; it is from now on.
    fn had(&mut self, hashes: (u64, u64)) -> bool {
        let had = self.hashes.contains(&hashes);
        if let Some(oldest) = self.hashes.get_mut(self.next) {
            *oldest = hashes;
        }
        self.next = (self.next + 1) % RECENT_OVERLAPS;
        had
    }
}

/// The event of one PUBLISH in a form that listeners share.
enum Heard {
    Message(Message),
    TooLarge(TopicName, usize, bool),
}

impl Heard {
    fn event(&self, ticket: Ticket) -> Event {
        match self {
            Self::Message(message) => Event::Message {
                ticket,
                message: message.clone(),
            },
            Self::TooLarge(topic, bytes, retain) => Event::TooLarge {
                ticket,
                topic: topic.clone(),
                payload_bytes: *bytes,
                retain: *retain,
            },
        }
    }

    fn observed(&self, ticket: Ticket, may_be_copy: bool) -> Event {
        match self {
            Self::Message(message) => Event::Observed {
                ticket,
                message: message.clone(),
                may_be_copy,
            },
            Self::TooLarge(..) => self.event(ticket),
        }
    }
}

impl Inbound<'_> {
    fn to_be_heard(&self) -> Option<Heard> {
        let topic = TopicName::parse(self.topic).ok()?;
        Some(match self.content {
            Content::TooLarge(bytes) => Heard::TooLarge(topic, bytes, self.retain),
            Content::Whole(payload) => Heard::Message(Message {
                topic,
                payload: Arc::from(payload),
                qos: self.qos,
                retain: self.retain,
            }),
        })
    }

    /// The hashes of topic and payload. For a payload that was not kept, only its size is hashed.
    fn hashes(&self) -> (u64, u64) {
        let payload = match self.content {
            Content::Whole(payload) => hash(payload),
            Content::TooLarge(bytes) => hash(&bytes.to_be_bytes()),
        };
        (hash(self.topic.as_bytes()), payload)
    }
}

impl Content<'_> {
    pub(super) fn bytes(self) -> usize {
        match self {
            Self::Whole(payload) => payload.len(),
            Self::TooLarge(bytes) => bytes,
        }
    }
}

impl Listener {
    /// Whether this message is new to a listener of retained messages.
    ///
    /// The broker repeats retained messages to all of this client's subscriptions whenever a matching filter is
    /// subscribed, and nothing in them names the subscription. But a listener that has received a message of the topic
    /// on this connection knows the topic's state: the retained value was delivered to it, as a retained message or as
    /// a live one. There are two exceptions: after a reconnect, and after a live message that arrived before the SUBACK
    /// of the listener's own SUBSCRIBE. Then a retained message is new when it differs from the last one.
    fn is_news(&mut self, (topic, payload): (u64, u64), retain: bool, connection: u64) -> bool {
        let room = self.seen.len() < SEEN_TOPICS;
        let knows = retain || self.waiting_for.is_none();
        let now = Seen {
            payload,
            known_on: knows.then_some(connection),
        };
        match self.seen.entry(topic) {
            Entry::Vacant(place) => {
                if room {
                    place.insert(now);
                }
                true
            }
            Entry::Occupied(mut last) => {
                let seen = last.get_mut();
                let known = seen.known_on == Some(connection) || seen.payload == payload;
                seen.payload = payload;
                seen.known_on = now.known_on.or(seen.known_on);
                !(retain && known)
            }
        }
    }
}

fn hash(bytes: &[u8]) -> u64 {
    let mut hasher = DefaultHasher::new();
    bytes.hash(&mut hasher);
    hasher.finish()
}
