//! Connections that delay, split, join, stall, break at any byte, or swallow everything.

use std::collections::VecDeque;
use std::io::Read;
use std::time::{Duration, Instant};

use super::random::Random;

/// One direction of a connection: a bounded buffer in which bytes travel.
pub(crate) struct Pipe {
    bytes: VecDeque<u8>,
    capacity: usize,
    delay: Duration,
    /// When the next part arrives.
    arrives: Option<Instant>,
    stalled_until: Option<Instant>,
    /// Nothing ever arrives again.
    black_hole: bool,
    /// Once empty, the receiver hears of the end.
    ending: bool,
    ended: bool,
}

/// What arrives at the far end of a pipe.
pub(crate) enum Arrival {
    Bytes(Vec<u8>),
    End,
}

impl Pipe {
    pub(crate) fn new(random: &mut Random) -> Self {
        // Small buffers only where they empty fast: some 20 KB/s at least.
        let (capacity, delay) = random.pick(&[
            (50, 1),
            (500, 0),
            (1_000, 20),
            (10_000, 1),
            (10_000, 300),
            (100_000, 0),
            (100_000, 20),
            (100_000, 300),
        ]);
        Self {
            bytes: VecDeque::new(),
            capacity,
            delay: Duration::from_millis(delay),
            arrives: None,
            stalled_until: None,
            black_hole: false,
            ending: false,
            ended: false,
        }
    }

    /// The sender's socket takes as much as there is room for.
    pub(crate) fn write(&mut self, now: Instant, bytes: &[u8]) -> usize {
        if self.ending {
            return 0;
        }
        let taken = bytes.len().min(self.capacity - self.bytes.len());
        self.bytes.extend(&bytes[..taken]);
        self.schedule(now);
        taken
    }

    fn schedule(&mut self, now: Instant) {
        let something = !self.bytes.is_empty() || (self.ending && !self.ended);
        if something && self.arrives.is_none() {
            let at = now + self.delay;
            self.arrives = Some(self.stalled_until.map_or(at, |until| until.max(at)));
        }
    }

    pub(crate) fn next_arrival(&self) -> Option<Instant> {
        self.arrives.filter(|_| !self.black_hole)
    }

    /// What arrives now: some of what travels, cut anywhere.
    pub(crate) fn arrive(&mut self, now: Instant, random: &mut Random) -> Option<Arrival> {
        if self.next_arrival().is_none_or(|at| at > now) {
            return None;
        }
        self.arrives = None;
        if self.bytes.is_empty() {
            self.ended = true;
            return Some(Arrival::End);
        }
        let all = self.bytes.len();
        let size = if random.percent(60) {
            all
        } else {
            1 + random.below(all)
        };
        let mut part = vec![0; size];
        self.bytes.read_exact(&mut part).unwrap();
        self.schedule(now);
        Some(Arrival::Bytes(part))
    }

    /// The receiver does not read now.
    pub(crate) fn postpone(&mut self, now: Instant) {
        self.arrives = Some(now + Duration::from_millis(10));
    }

    /// What travels beyond some byte is lost, then the receiver hears of the end.
    pub(crate) fn cut(&mut self, now: Instant, random: &mut Random) {
        let kept = random.below(self.bytes.len() + 1);
        self.bytes.truncate(kept);
        self.end(now);
    }

    /// What travels arrives, then the receiver hears of the end.
    pub(crate) fn end(&mut self, now: Instant) {
        self.ending = true;
        self.schedule(now);
    }

    pub(crate) fn stall(&mut self, until: Instant) {
        self.stalled_until = Some(until);
        self.arrives = self.arrives.map(|at| at.max(until));
    }

    pub(crate) fn swallow(&mut self) {
        self.black_hole = true;
    }
}

/// A connection between one client and the broker.
pub(crate) struct Link {
    pub(crate) node: usize,
    /// To the broker.
    pub(crate) up: Pipe,
    /// To the client.
    pub(crate) down: Pipe,
    pub(crate) client_open: bool,
    pub(crate) broker_open: bool,
    pub(crate) dead_since: Option<Instant>,
}

impl Link {
    pub(crate) fn new(node: usize, random: &mut Random) -> Self {
        Self {
            node,
            up: Pipe::new(random),
            down: Pipe::new(random),
            client_open: true,
            broker_open: true,
            dead_since: None,
        }
    }

    pub(crate) fn cut(&mut self, now: Instant, random: &mut Random) {
        self.up.cut(now, random);
        self.down.cut(now, random);
    }

    /// Both directions swallow everything; nobody hears of it.
    pub(crate) fn swallow(&mut self, now: Instant) {
        self.dead_since.get_or_insert(now);
        self.up.swallow();
        self.down.swallow();
    }
}
