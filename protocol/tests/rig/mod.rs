//! A client, a script in the place of its broker, and a clock that moves when it is told to.
//!
//! The verbs of the script are those of a dialogue: what the client writes is `expect`ed, packet by
//! packet and byte for byte; what the broker says is `send`. Every verb drives the client as the
//! documentation of `Client` demands, so nothing is ever left to do when a verb returns.

#![allow(dead_code)] // Each test program uses its own part of the verbs.

pub(crate) mod packets;

use std::time::{Duration, Instant};

use mcpmqtt_protocol::QoS;
use mcpmqtt_protocol::client::{
    Client, Event, Listen, ListenError, Options, Outcome, Output, PublishError, Reason, Sending,
    Ticket, Usage,
};
use mcpmqtt_protocol::message::Message;
use mcpmqtt_protocol::topic::{SubscribeFilter, TopicName};

use packets::{connack, shown};

pub(crate) struct Rig {
    pub(crate) client: Client,
    pub(crate) now: Instant,
    started: Instant,
    link: Link,
    /// How many more bytes the socket takes.
    room: usize,
    /// What the client wrote and the script did not expect yet.
    wire: Vec<u8>,
    events: Vec<Event>,
    wait: Option<Instant>,
    closes: usize,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Link {
    None,
    Wanted,
    Open,
}

/// A client of a clean session.
pub(crate) fn clean() -> Options {
    Options::new("me")
}

/// A client whose session outlives its connections.
pub(crate) fn resuming() -> Options {
    Options {
        clean_session: false,
        ..clean()
    }
}

pub(crate) fn seconds(seconds: f64) -> Duration {
    Duration::from_secs_f64(seconds)
}

pub(crate) fn message(topic: &str, payload: &str, qos: QoS) -> Message {
    Message {
        topic: TopicName::parse(topic).unwrap(),
        payload: payload.as_bytes().into(),
        qos,
        retain: false,
    }
}

pub(crate) fn wanting(filter: &str, qos: QoS, retained: bool) -> Listen {
    Listen {
        filter: SubscribeFilter::parse(filter).unwrap(),
        qos,
        retained,
    }
}

impl Rig {
    /// A client that asks for its first connection.
    pub(crate) fn new(options: Options) -> Self {
        let now = Instant::now();
        let mut rig = Self {
            client: Client::new(options, 7, now),
            now,
            started: now,
            link: Link::None,
            room: usize::MAX,
            wire: Vec::new(),
            events: Vec::new(),
            wait: None,
            closes: 0,
        };
        rig.settle();
        rig.advance(Duration::ZERO);
        rig
    }

    /// A client of a clean session, connected.
    pub(crate) fn up() -> Self {
        Self::with(clean())
    }

    /// A client with these options, connected to a broker that did not know it.
    pub(crate) fn with(options: Options) -> Self {
        let mut rig = Self::new(options);
        rig.open();
        rig.expect_connect();
        rig.accept();
        rig
    }

    // What the network does.

    /// The transport that the client asked for is there.
    pub(crate) fn open(&mut self) {
        assert_eq!(self.link, Link::Wanted, "the client asked for no transport");
        self.link = Link::Open;
        self.wire.clear();
        self.client.handle_connected(self.now);
        self.settle();
    }

    /// The transport could not be opened.
    pub(crate) fn refuse_transport(&mut self, words: &str) {
        assert_eq!(self.link, Link::Wanted);
        self.link = Link::None;
        self.client.handle_connect_failed(self.now, words);
        self.settle();
    }

    /// The transport ends in order.
    pub(crate) fn cut(&mut self) {
        self.cut_saying("");
    }

    /// The connection ends, and the driver knows why.
    pub(crate) fn cut_saying(&mut self, words: &str) {
        assert_eq!(self.link, Link::Open, "there is no connection to cut");
        self.link = Link::None;
        self.client.handle_closed(self.now, words);
        self.settle();
    }

    /// The connection ends and the next one is up to its CONNECT.
    pub(crate) fn cut_and_reconnect(&mut self) {
        self.cut();
        self.ended();
        self.reconnect();
    }

    /// The socket takes `bytes` more and then nothing.
    pub(crate) fn room(&mut self, bytes: usize) {
        self.room = bytes;
        self.settle();
    }

    // What the broker does.

    pub(crate) fn send(&mut self, bytes: impl AsRef<[u8]>) {
        assert_eq!(self.link, Link::Open, "there is no connection to send on");
        self.client.handle_bytes(self.now, bytes.as_ref());
        self.settle();
    }

    /// CONNACK: welcome, I do not know you.
    pub(crate) fn accept(&mut self) {
        self.send(connack(false));
        assert!(!self.connected(), "session present");
    }

    /// CONNACK: welcome back.
    pub(crate) fn accept_back(&mut self) {
        self.send(connack(true));
        assert!(self.connected(), "session not present");
    }

    /// The client connects again, up to its CONNECT; the broker has not answered yet.
    pub(crate) fn reconnect(&mut self) {
        self.advance_to_connect();
        self.open();
        self.expect_connect();
    }

    // What the client wrote.

    /// The next packet from the client is this one.
    pub(crate) fn expect(&mut self, packet: impl AsRef<[u8]>) {
        let packet = packet.as_ref();
        assert!(
            self.wire.starts_with(packet),
            "expected\n  {}\ngot\n  {}",
            shown(packet),
            shown(&self.wire)
        );
        self.wire.drain(..packet.len());
    }

    pub(crate) fn expect_connect(&mut self) {
        assert!(self.wire.first() == Some(&0x10), "{}", shown(&self.wire));
        let length = usize::from(self.wire[1]);
        assert!(
            length < 128 && self.wire.len() == 2 + length,
            "CONNECT is all"
        );
        self.wire.clear();
    }

    /// The client writes nothing more by itself.
    pub(crate) fn silence(&mut self) {
        assert!(self.wire.is_empty(), "got\n  {}", shown(&self.wire));
    }

    /// All that the client wrote and nobody expected yet.
    pub(crate) fn written(&mut self) -> Vec<u8> {
        std::mem::take(&mut self.wire)
    }

    // What the application does.

    pub(crate) fn publish(&mut self, topic: &str, payload: &str, qos: QoS) -> Ticket {
        self.try_publish(message(topic, payload, qos), None)
            .unwrap()
    }

    /// A publish whose caller waits so long.
    pub(crate) fn publish_within(&mut self, time: Duration, topic: &str, qos: QoS) -> Ticket {
        let deadline = Some(self.now + time);
        self.try_publish(message(topic, "x", qos), deadline)
            .unwrap()
    }

    pub(crate) fn try_publish(
        &mut self,
        message: Message,
        deadline: Option<Instant>,
    ) -> Result<Ticket, PublishError> {
        let ticket = self.client.publish(self.now, message, deadline);
        self.settle();
        ticket
    }

    /// A message that a halt leaves alone.
    pub(crate) fn publish_exempt(&mut self, topic: &str, payload: &str, qos: QoS) -> Ticket {
        let message = message(topic, payload, qos);
        let ticket = self.client.publish_exempt(self.now, message, None);
        self.settle();
        ticket.unwrap()
    }

    pub(crate) fn set_sending(&mut self, sending: Sending) {
        self.client.set_sending(self.now, sending);
        self.settle();
    }

    /// Whether there is a transport.
    pub(crate) fn is_open(&self) -> bool {
        self.link == Link::Open
    }

    pub(crate) fn cancel(&mut self, ticket: Ticket) {
        self.client.cancel(self.now, ticket);
        self.settle();
    }

    pub(crate) fn take_back(&mut self, ticket: Ticket) -> bool {
        let is_taken_back = self.client.take_back(ticket);
        self.settle();
        is_taken_back
    }

    /// A listener that wants no retained messages.
    pub(crate) fn listen(&mut self, filter: &str, qos: QoS) -> Ticket {
        self.try_listen(wanting(filter, qos, false)).unwrap()
    }

    /// A listener that wants retained messages first.
    pub(crate) fn listen_retained(&mut self, filter: &str, qos: QoS) -> Ticket {
        self.try_listen(wanting(filter, qos, true)).unwrap()
    }

    pub(crate) fn try_listen(&mut self, listen: Listen) -> Result<Ticket, ListenError> {
        let ticket = self.client.listen(self.now, listen);
        self.settle();
        ticket
    }

    /// A listener that observes.
    pub(crate) fn observe(&mut self, filter: &str) -> Ticket {
        let filter = SubscribeFilter::parse(filter).unwrap();
        let ticket = self.client.observe(self.now, filter, false).unwrap();
        self.settle();
        ticket
    }

    pub(crate) fn ping(&mut self) -> Result<Ticket, Reason> {
        let ticket = self.client.ping(self.now);
        self.settle();
        ticket
    }

    pub(crate) fn leave(&mut self, ticket: Ticket) {
        self.client.leave(self.now, ticket);
        self.settle();
    }

    pub(crate) fn disconnect(&mut self) {
        self.client.disconnect(self.now);
        self.settle();
    }

    // What the application hears. Each is heard once.

    /// How a publish ended.
    pub(crate) fn outcome(&mut self, of: Ticket) -> Outcome {
        let outcomes = self.outcomes(of);
        assert_eq!(outcomes.len(), 1, "one outcome: {outcomes:?}");
        outcomes.into_iter().next().unwrap()
    }

    pub(crate) fn outcomes(&mut self, of: Ticket) -> Vec<Outcome> {
        self.take(|event| match event {
            Event::Published { ticket, outcome } if *ticket == of => Some(outcome.clone()),
            _ => None,
        })
    }

    pub(crate) fn no_outcome(&mut self, of: Ticket) {
        assert_eq!(self.outcomes(of), []);
    }

    /// The QoS granted to a listener.
    pub(crate) fn granted(&mut self, of: Ticket) -> Option<QoS> {
        let granted = self.take(|event| match event {
            Event::Listening { ticket, granted } if *ticket == of => Some(*granted),
            _ => None,
        });
        assert!(granted.len() <= 1, "a listener is told once");
        granted.into_iter().next()
    }

    /// Why a listener was refused.
    pub(crate) fn refused(&mut self, of: Ticket) -> Option<Reason> {
        let reasons = self.take(|event| match event {
            Event::ListenRefused { ticket, reason } if *ticket == of => Some(reason.clone()),
            _ => None,
        });
        assert!(reasons.len() <= 1, "a listener is refused once");
        reasons.into_iter().next()
    }

    /// The messages a listener got, as `topic=payload`, with a `*` when they came as retained.
    pub(crate) fn heard(&mut self, of: Ticket) -> Vec<String> {
        self.take(|event| match event {
            Event::Message { ticket, message } if *ticket == of => {
                let star = if message.retain { "*" } else { "" };
                let payload = String::from_utf8_lossy(&message.payload);
                Some(format!("{}={payload}{star}", message.topic))
            }
            _ => None,
        })
    }

    /// The messages an observer got, like those of a listener, with a `?` when they may be copies.
    pub(crate) fn observed(&mut self, of: Ticket) -> Vec<String> {
        self.take(|event| match event {
            Event::Observed {
                ticket,
                message,
                may_be_copy,
            } if *ticket == of => {
                let star = if message.retain { "*" } else { "" };
                let copy = if *may_be_copy { "?" } else { "" };
                let payload = String::from_utf8_lossy(&message.payload);
                Some(format!("{}={payload}{star}{copy}", message.topic))
            }
            _ => None,
        })
    }

    /// Whether the broker answered a ping.
    pub(crate) fn ponged(&mut self, of: Ticket) -> bool {
        let pongs = self.take(|event| match event {
            Event::Pong { ticket } if *ticket == of => Some(()),
            _ => None,
        });
        assert!(pongs.len() <= 1, "a ping is answered once");
        !pongs.is_empty()
    }

    /// The messages a listener lost because they were too large, as `topic:bytes`.
    pub(crate) fn too_large(&mut self, of: Ticket) -> Vec<String> {
        self.take(|event| match event {
            Event::TooLarge {
                ticket,
                topic,
                payload_bytes,
                ..
            } if *ticket == of => Some(format!("{topic}:{payload_bytes}")),
            _ => None,
        })
    }

    /// The client says that it is connected, and whether to an old session.
    pub(crate) fn connected(&mut self) -> bool {
        let connected = self.take(|event| match event {
            Event::Connected { session_present } => Some(*session_present),
            _ => None,
        });
        assert_eq!(connected.len(), 1, "connected once");
        connected[0]
    }

    /// Why the connection, or the attempt, ended, and how long the client waits to try again.
    pub(crate) fn ended(&mut self) -> (Reason, Option<Duration>) {
        let ends = self.take(|event| match event {
            Event::Disconnected { reason, retry_in } => Some((reason.clone(), *retry_in)),
            _ => None,
        });
        assert_eq!(ends.len(), 1, "ended once: {ends:?}");
        assert_eq!(self.link, Link::None, "the transport was not closed");
        ends.into_iter().next().unwrap()
    }

    /// How often a session from before the beginning was found.
    pub(crate) fn old_sessions(&mut self) -> usize {
        let found = self.take(|event| matches!(event, Event::OldSession).then_some(()));
        found.len()
    }

    /// Forgets the ends told so far.
    pub(crate) fn take_ends(&mut self) {
        self.take(|event| matches!(event, Event::Disconnected { .. }).then_some(()));
    }

    /// The connection is up and nobody said it ended.
    pub(crate) fn still_connected(&mut self) {
        assert!(self.client.is_connected(), "{:?}", self.events);
    }

    /// How often the client itself closed its transport.
    pub(crate) fn closes(&self) -> usize {
        self.closes
    }

    /// Nothing is held for any publish, and no identifier is taken.
    pub(crate) fn nothing_left(&self) {
        let usage = self.usage();
        let held = [
            usage.publishes,
            usage.publish_bytes,
            usage.live_packet_ids,
            usage.received_qos2,
            usage.outgoing_bytes,
            usage.incoming_bytes,
        ];
        assert_eq!(held, [0; 6], "{usage:?}");
    }

    pub(crate) fn usage(&self) -> Usage {
        self.client.usage()
    }

    // Time.

    /// The time since the beginning.
    pub(crate) fn elapsed(&self) -> Duration {
        self.now - self.started
    }

    /// Time passes; the client is called at each moment it asked for.
    pub(crate) fn advance(&mut self, time: Duration) {
        let until = self.now + time;
        let mut calls_at_one_moment = 0;
        while let Some(at) = self.wait.filter(|at| *at <= until) {
            calls_at_one_moment = if at > self.now {
                0
            } else {
                calls_at_one_moment + 1
            };
            assert!(calls_at_one_moment < 10, "the client spins");
            self.now = self.now.max(at);
            self.client.handle_timeout(self.now);
            self.settle();
        }
        self.now = until;
    }

    /// Time passes until the client wants a transport.
    pub(crate) fn advance_to_connect(&mut self) {
        for _ in 0..10 {
            if self.link == Link::Wanted {
                return;
            }
            let at = self.wait.expect("the client waits for something");
            self.advance(at.saturating_duration_since(self.now));
        }
        panic!("the client does not connect: {:?}", self.events);
    }

    /// Whether the client asks for a transport now.
    pub(crate) fn wants_transport(&self) -> bool {
        self.link == Link::Wanted
    }

    /// Does all that the client wants done now.
    pub(crate) fn settle(&mut self) {
        loop {
            match self.client.poll(self.now) {
                Output::Connect => self.link = Link::Wanted,
                Output::Close => {
                    assert_ne!(self.link, Link::None, "there is nothing to close");
                    self.link = Link::None;
                    self.closes += 1;
                }
                Output::Event(event) => self.events.push(event),
                Output::Wait(at) => {
                    self.wait = at;
                    let pending = self.client.outgoing();
                    let taken = pending.len().min(self.room);
                    if self.link != Link::Open || taken == 0 {
                        return;
                    }
                    self.wire.extend_from_slice(&pending[..taken]);
                    self.room -= taken;
                    self.client.handle_written(self.now, taken);
                }
            }
        }
    }

    fn take<T>(&mut self, mut pick: impl FnMut(&Event) -> Option<T>) -> Vec<T> {
        let mut picked = Vec::new();
        self.events.retain(|event| match pick(event) {
            Some(value) => {
                picked.push(value);
                false
            }
            None => true,
        });
        picked
    }
}
