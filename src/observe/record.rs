//! What a table keeps of one topic.

use std::num::NonZeroU64;
use std::time::{Duration, Instant};

use super::kind::{BLOCK, Found, Kind, MOST_FIELDS, SAMPLED_EVERY, looks_like_json};
use super::rhythm::{Rhythm, Silence, Verdict};

/// The most of a payload that is kept.
pub const MOST_OF_A_PAYLOAD: usize = 1024;
/// How many recent numbers are kept.
pub const RECENT_NUMBERS: usize = 16;
/// The kind changes when so many more payloads were of another kind than of it.
const CONTRARY: u8 = 3;
/// A message that can be a copy and is equal to one that came within this time before it most likely is one.
const COPIES_WITHIN: Duration = Duration::from_secs(1);

/// A moment in half the size of an [`Instant`]: microseconds since the beginning of a table, plus one.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Moment(NonZeroU64);

impl Moment {
    pub(super) fn new(base: Instant, now: Instant) -> Self {
        let micros = now.saturating_duration_since(base).as_micros();
        let micros = u64::try_from(micros).unwrap_or(u64::MAX);
        Self(NonZeroU64::MIN.saturating_add(micros))
    }

    fn since(self, earlier: Self) -> Duration {
        Duration::from_micros(self.0.get().saturating_sub(earlier.0.get()))
    }

    fn instant(self, base: Instant) -> Instant {
        let since = Duration::from_micros(self.0.get() - 1);
        base.checked_add(since).unwrap_or(base)
    }

    /// Milliseconds, as a number that begins anew after seven weeks and is never 0.
    fn wrapping_millis(self) -> u32 {
        ((self.0.get() / 1000) as u32).wrapping_add(1).max(1)
    }
}

/// One message, as a record takes it.
#[derive(Clone, Copy, Debug)]
pub(super) struct Message<'a> {
    pub(super) at: Moment,
    pub(super) payload: &'a [u8],
    pub(super) retained: bool,
    pub(super) may_be_copy: bool,
    /// Since when every message arrives.
    pub(super) listening_since: Moment,
}

/// How much a record may take up.
#[derive(Clone, Copy, Debug)]
pub(super) struct Allowance {
    /// Bytes of the payload that are kept.
    pub(super) payload: usize,
    /// Fields of JSON objects that are kept.
    pub(super) fields: usize,
    /// No record may grow at all.
    pub(super) full: bool,
}

impl Allowance {
    /// All that a record ever takes.
    pub(super) const ALL: Self = Self {
        payload: MOST_OF_A_PAYLOAD,
        fields: MOST_FIELDS,
        full: false,
    };
}

/// What came on one topic. Small: ten thousand have to fit.
#[derive(Debug)]
pub(super) struct Record {
    topic: Box<str>,
    /// The beginning of the last payload.
    payload: Box<[u8]>,
    /// A ring; from the first live number on.
    numbers: Option<Box<[f64; RECENT_NUMBERS]>>,
    kind: Kind,
    /// Live messages.
    count: u64,
    began: Moment,
    first_live: Option<Moment>,
    last_live: Option<Moment>,
    rhythm: Rhythm,
    /// The whole length of the last payload.
    length: u32,
    /// When a JSON text was parsed last, in wrapping milliseconds; 0: never.
    sampled: u32,
    numbers_held: u8,
    /// Where the next number goes.
    numbers_next: u8,
    /// How many more payloads were of another kind than of the kind, of late.
    contrary: u8,
    upper_bound: bool,
    retained_seen: bool,
    last_is_retained: bool,
    mixed: bool,
    /// It had stopped when the connection was interrupted.
    stopped: bool,
}

impl Record {
    /// A topic's first message.
    pub(super) fn new(topic: &str, message: Message<'_>, allowance: Allowance) -> Self {
        let mut record = Self {
            topic: topic.into(),
            payload: Box::default(),
            numbers: None,
            kind: Kind::Empty,
            count: 0,
            began: message.at,
            first_live: None,
            last_live: None,
            rhythm: Rhythm::default(),
            length: 0,
            sampled: 0,
            numbers_held: 0,
            numbers_next: 0,
            contrary: 0,
            upper_bound: false,
            retained_seen: false,
            last_is_retained: message.retained,
            mixed: false,
            stopped: false,
        };
        record.message(message, allowance);
        record
    }

    pub(super) fn topic(&self) -> &str {
        &self.topic
    }

    /// Takes one more message.
    pub(super) fn message(&mut self, message: Message<'_>, allowance: Allowance) {
        if message.retained {
            // The broker's copy of what came live is no news; anything else is of unknown age.
            let is_known = self.count > 0 || self.retained_seen;
            if is_known && self.holds_exactly(message.payload) {
                self.retained_seen = true;
                return;
            }
            self.retained_seen = true;
            self.last_is_retained = true;
        } else {
            self.live(message);
            self.last_is_retained = false;
        }
        self.learn(message, allowance);
        self.keep(message.payload, allowance);
    }

    fn live(&mut self, message: Message<'_>) {
        self.count += 1;
        self.upper_bound |= message.may_be_copy;
        self.stopped = false;
        self.first_live.get_or_insert(message.at);
        let Some(last) = self.last_live.replace(message.at) else {
            return;
        };
        let interval = message.at.since(last);
        let is_copy =
            message.may_be_copy && interval < COPIES_WITHIN && self.holds_exactly(message.payload);
        if last >= message.listening_since && !is_copy {
            self.rhythm.interval(interval);
        }
    }

    fn learn(&mut self, message: Message<'_>, allowance: Allowance) {
        let now = message.at.wrapping_millis();
        let due = u128::from(now.wrapping_sub(self.sampled)) >= SAMPLED_EVERY.as_millis();
        let sample = self.sampled == 0 || due;
        if sample && looks_like_json(message.payload) {
            self.sampled = now;
        }
        let Some(found) = Found::of(message.payload, sample) else {
            return;
        };
        let is_number = matches!(found, Found::Number { .. });
        if let (Found::Number { value, .. }, false) = (&found, message.retained) {
            self.number(*value, allowance);
        }
        if allowance.full && !(is_number && matches!(self.kind, Kind::Number(_))) {
            return;
        }
        if matches!(self.kind, Kind::Empty) {
            self.kind = Kind::first(&found, allowance.fields);
        } else if self.kind.add(&found, allowance.fields) {
            self.contrary = self.contrary.saturating_sub(1);
        } else {
            self.mixed = true;
            self.contrary += 1;
            if self.contrary >= CONTRARY {
                self.contrary = 0;
                self.kind = Kind::first(&found, allowance.fields);
            }
        }
    }

    fn number(&mut self, value: f64, allowance: Allowance) {
        if self.numbers.is_none() && allowance.full {
            return;
        }
        let ring = self.numbers.get_or_insert_default();
        if let Some(place) = ring.get_mut(usize::from(self.numbers_next)) {
            *place = value;
        }
        const RING: u8 = RECENT_NUMBERS as u8;
        self.numbers_next = (self.numbers_next + 1) % RING;
        self.numbers_held = (self.numbers_held + 1).min(RING);
    }

    fn keep(&mut self, payload: &[u8], allowance: Allowance) {
        self.length = u32::try_from(payload.len()).unwrap_or(u32::MAX);
        let most = if allowance.full {
            allowance.payload.min(self.payload.len())
        } else {
            allowance.payload
        };
        let kept = payload.get(..most).unwrap_or(payload);
        if self.payload.len() == kept.len() {
            self.payload.copy_from_slice(kept);
        } else {
            self.payload = kept.into();
        }
    }

    /// Whether the last payload was this one. False when too little of it was kept to tell.
    fn holds_exactly(&self, payload: &[u8]) -> bool {
        !self.is_cut() && *self.payload == *payload
    }

    fn is_cut(&self) -> bool {
        self.payload.len() < self.length as usize
    }

    /// Keeps what is known of a silence before nobody listens any more.
    pub(super) fn interrupted(&mut self, now: Moment, listening_since: Moment) {
        self.stopped = self.has_stopped(now, listening_since);
    }

    fn has_stopped(&self, now: Moment, listening_since: Moment) -> bool {
        self.stopped || self.verdict(now, listening_since) == Verdict::Stopped
    }

    fn verdict(&self, now: Moment, listening_since: Moment) -> Verdict {
        let Some(last) = self.last_live else {
            return Verdict::Unknown;
        };
        match self.rhythm.judge(now.since(last.max(listening_since))) {
            // Nothing has come since the gap, and in the gap anything may have happened.
            Verdict::Live if last < listening_since => Verdict::Unknown,
            verdict => verdict,
        }
    }

    /// The bytes on the heap.
    pub(super) fn heap(&self) -> usize {
        let payload = match self.payload.len() {
            0 => 0,
            length => length + BLOCK,
        };
        let numbers = match &self.numbers {
            Some(_) => size_of::<[f64; RECENT_NUMBERS]>() + BLOCK,
            None => 0,
        };
        self.topic.len() + BLOCK + payload + numbers + self.kind.heap()
    }
}

/// A row of a table: a topic and what came on it.
#[derive(Clone, Copy, Debug)]
pub struct Row<'a> {
    pub(super) record: &'a Record,
    pub(super) base: Instant,
    /// Since when every message arrives; `None` in a gap.
    pub(super) listening_since: Option<Moment>,
}

impl<'a> Row<'a> {
    /// The topic.
    pub fn topic(&self) -> &'a str {
        &self.record.topic
    }

    /// The beginning of the last payload: all of it, the first 1,024 bytes, or less in a full table.
    pub fn payload(&self) -> &'a [u8] {
        &self.record.payload
    }

    /// The whole length of the last payload.
    pub fn payload_length(&self) -> usize {
        self.record.length as usize
    }

    /// Whether [`Self::payload`] is not all of the last payload.
    pub fn is_cut(&self) -> bool {
        self.record.is_cut()
    }

    /// Whether the last payload is a retained value that was never seen live: its age is unknown.
    pub fn is_retained(&self) -> bool {
        self.record.last_is_retained
    }

    /// Whether the broker ever sent a retained value for the topic.
    pub fn retained_seen(&self) -> bool {
        self.record.retained_seen
    }

    /// How many live messages came.
    pub fn count(&self) -> u64 {
        self.record.count
    }

    /// Whether some of the counted messages can have been copies of others.
    pub fn is_upper_bound(&self) -> bool {
        self.record.upper_bound
    }

    /// What kind of values comes.
    pub fn kind(&self) -> &'a Kind {
        &self.record.kind
    }

    /// Whether payloads of other kinds came, too.
    pub fn is_mixed(&self) -> bool {
        self.record.mixed
    }

    /// The last 16 numbers that came live, the oldest first.
    pub fn numbers(&self) -> impl Iterator<Item = f64> + 'a {
        let (held, next) = (
            usize::from(self.record.numbers_held),
            usize::from(self.record.numbers_next),
        );
        let ring = self.record.numbers.as_deref();
        (0..held).filter_map(move |at| {
            let place = (next + RECENT_NUMBERS - held + at) % RECENT_NUMBERS;
            ring.and_then(|ring| ring.get(place)).copied()
        })
    }

    /// When the row's first message came, retained or live.
    pub fn began(&self) -> Instant {
        self.record.began.instant(self.base)
    }

    /// When the first live message came.
    pub fn first_live(&self) -> Option<Instant> {
        self.record.first_live.map(|it| it.instant(self.base))
    }

    /// When the last live message came.
    pub fn last_live(&self) -> Option<Instant> {
        self.record.last_live.map(|it| it.instant(self.base))
    }

    /// Live messages a second until `now`, over the times without gaps; `None` for fewer than two in one.
    pub fn rate(&self, now: Instant) -> Option<f64> {
        let since = self.listening_since.map(|since| since.instant(self.base));
        let since = since.max(since.and(self.last_live()));
        let silence = since.map_or(Duration::ZERO, |since| now.saturating_duration_since(since));
        self.record.rhythm.rate(silence)
    }

    /// The usual time between two live messages of late; `None` for fewer than two without a gap between them.
    pub fn usual_interval(&self) -> Option<Duration> {
        self.record.rhythm.usual_interval()
    }

    /// Whether live messages still come.
    pub fn silence(&self, now: Instant) -> Silence {
        let Some(last) = self.record.last_live else {
            return Silence::OnlyRetained;
        };
        let stopped = Silence::Stopped {
            since: last.instant(self.base),
        };
        if self.record.stopped {
            return stopped;
        }
        let Some(listening_since) = self.listening_since else {
            return Silence::Unknown;
        };
        match (self.record).verdict(Moment::new(self.base, now), listening_since) {
            Verdict::Live => Silence::Live,
            Verdict::Stopped => stopped,
            Verdict::Unknown => Silence::Unknown,
        }
    }
}
