//! What is known of one topic that a rule on writes names.
//!
//! Promises: a value counts only if it came while the topic was watched without a gap; a retained value never takes the
//! place of a live one; an empty message, with which a retained value is deleted, is no value. Reads no clock.

use std::cell::{Cell, RefCell};
use std::fmt;
use std::rc::{Rc, Weak};
use std::sync::Arc;
use std::task::Context;
use std::time::{Duration, Instant};

use mcpmqtt_config::path::Path;
use mcpmqtt_config::{Counts, is_ambiguous_at};
use mcpmqtt_protocol::topic::TopicName;

use super::broken::Named;
use super::effects::Awaited;
use crate::local::notify::NotifyAll;
use crate::mqtt::{Observing, Tap, Tapped};

/// A topic and its last value.
#[derive(Debug)]
pub(in crate::tools::access) struct Fact {
    topic: TopicName,
    watch: RefCell<Watch>,
    /// How many ask the broker for the topic.
    asking: Cell<usize>,
    /// Since when the topic is watched without a gap.
    since: Cell<Instant>,
    /// Until when it is watched, if nobody needs it meanwhile.
    pub(super) until: Cell<Instant>,
    value: RefCell<Result<Value, Missing>>,
    /// A live message came while the topic is watched without a gap; whatever it was, a retained one is older.
    came_live: Cell<bool>,
    effects: RefCell<Vec<Weak<Awaited>>>,
    changed: NotifyAll,
}

/// Somebody asks the broker for a topic, until this is dropped.
#[derive(Debug)]
pub(in crate::tools::access) struct Asking<'a>(&'a Fact);

#[derive(Debug)]
enum Watch {
    /// The broker has not answered yet.
    NotYet,
    Granted {
        _observing: Observing,
    },
    Refused {
        why: String,
        is_final: bool,
    },
}

#[derive(Clone, Debug)]
struct Value {
    payload: Arc<[u8]>,
    at: Instant,
    retained: bool,
}

/// Why there is no value.
#[derive(Clone, Copy, Debug)]
enum Missing {
    NothingCame,
    ConnectionLost,
    Empty,
    TooLarge(usize),
}

/// The present value of a topic.
#[derive(Clone, Debug)]
pub(in crate::tools::access) struct Known {
    pub(super) payload: Arc<[u8]>,
    /// None for a retained value.
    pub(super) age: Option<Duration>,
}

/// Why the present value of a topic is not known.
#[derive(Clone, Debug, PartialEq)]
pub(in crate::tools) enum Unknown {
    /// The topic is not watched; the reason, if the broker or the connection gave one.
    NotWatched(Option<String>),
    /// Nothing came in this time.
    NothingCame(Duration),
    /// The value is retained, and its age unknown.
    OnlyRetained,
    /// The last live value is older than what counts.
    TooOld { age: Duration, most: Duration },
    /// The connection was lost, and nothing came since it is there again.
    ConnectionLost,
    /// The last message was empty.
    Empty,
    /// The last message had so many bytes and was not kept.
    TooLarge(usize),
    /// Readers may find different values in the last message.
    Ambiguous,
}

impl Known {
    /// This value, if all who read it at `field` find the same.
    pub(super) fn at(self, field: Option<&Path>) -> Result<Known, Unknown> {
        match is_ambiguous_at(&self.payload, field) {
            true => Err(Unknown::Ambiguous),
            false => Ok(self),
        }
    }
}

impl Fact {
    pub(super) fn new(topic: TopicName, now: Instant) -> Rc<Fact> {
        Rc::new(Fact {
            topic,
            watch: RefCell::new(Watch::NotYet),
            asking: Cell::new(0),
            since: Cell::new(now),
            until: Cell::new(now),
            value: RefCell::new(Err(Missing::NothingCame)),
            came_live: Cell::new(false),
            effects: RefCell::default(),
            changed: NotifyAll::default(),
        })
    }

    pub(in crate::tools::access) fn topic(&self) -> &TopicName {
        &self.topic
    }

    /// Since when the topic is watched without a gap.
    pub(super) fn since(&self) -> Instant {
        self.since.get()
    }

    /// Whether the broker has to be asked to send the topic.
    pub(in crate::tools::access) fn is_to_be_watched(&self) -> bool {
        match &*self.watch.borrow() {
            Watch::NotYet => true,
            Watch::Granted { .. } => false,
            Watch::Refused { is_final, .. } => !is_final,
        }
    }

    pub(super) fn is_watched(&self) -> bool {
        matches!(&*self.watch.borrow(), Watch::Granted { .. })
    }

    /// Somebody asks the broker for the topic. When all have given up, what came meanwhile does not count: nobody would hear
    /// of a change.
    pub(in crate::tools::access) fn asks(&self) -> Asking<'_> {
        self.asking.set(self.asking.get() + 1);
        Asking(self)
    }

    /// The broker has granted the topic. Of two grants for callers that asked at once, the first stays.
    pub(in crate::tools::access) fn granted(&self, now: Instant, observing: Observing) {
        if !self.is_watched() {
            self.since.set(now);
            let granted = Watch::Granted {
                _observing: observing,
            };
            self.watch.replace(granted);
            self.changed.notify_all();
        }
    }

    /// The topic is not watched, for this reason; another attempt follows unless that is final.
    pub(in crate::tools::access) fn refused(&self, why: String, is_final: bool) {
        if !self.is_watched() {
            self.watch.replace(Watch::Refused { why, is_final });
            self.changed.notify_all();
        }
    }

    /// The function that takes what comes on the topic.
    pub(in crate::tools::access) fn tap(self: &Rc<Self>) -> Tap {
        let fact = Rc::downgrade(self);
        Rc::new(move |now, tapped| {
            if let Some(fact) = fact.upgrade() {
                fact.take(now, tapped);
            }
        })
    }

    pub(super) fn take(&self, now: Instant, tapped: Tapped<'_>) {
        match tapped {
            Tapped::Message { message, .. } => {
                self.message(now, &message.payload, message.retain);
            }
            Tapped::TooLarge(large) => {
                let value = || Err(Missing::TooLarge(large.payload_bytes));
                self.replace(large.retain, value);
            }
            Tapped::Interrupted => {
                self.since.set(now);
                self.forget(Missing::ConnectionLost);
            }
            Tapped::Ended(reason) => {
                let (why, is_final) = (reason.to_string(), true);
                self.forget(Missing::NothingCame);
                self.watch.replace(Watch::Refused { why, is_final });
            }
        }
        self.changed.notify_all();
    }

    fn message(&self, now: Instant, payload: &Arc<[u8]>, retained: bool) {
        self.replace(retained, || match payload.len() {
            0 => Err(Missing::Empty),
            1..=MOST_BYTES => Ok(Value {
                payload: Arc::clone(payload),
                at: now,
                retained,
            }),
            bytes => Err(Missing::TooLarge(bytes)),
        });
        if !retained {
            self.effects.borrow_mut().retain(|awaited| {
                let awaited = awaited.upgrade();
                awaited.is_some_and(|awaited| awaited.take(now, payload))
            });
        }
    }

    /// Takes the place of the last value, unless that came live and this one is retained: a retained value that comes again,
    /// for another subscription, is older.
    fn replace(&self, retained: bool, value: impl FnOnce() -> Result<Value, Missing>) {
        if retained && self.came_live.get() {
            return;
        }
        self.came_live.set(!retained);
        *self.value.borrow_mut() = value();
    }

    fn forget(&self, why: Missing) {
        self.came_live.set(false);
        *self.value.borrow_mut() = Err(why);
    }

    /// Judges each later message of the topic by an effect that is awaited.
    pub(super) fn shows(&self, awaited: &Rc<Awaited>) {
        let mut effects = self.effects.borrow_mut();
        effects.retain(|awaited| awaited.strong_count() > 0);
        effects.push(Rc::downgrade(awaited));
    }

    /// The present value, as far as it `counts`.
    pub(super) fn known(&self, counts: Counts, now: Instant) -> Result<Known, Unknown> {
        match &*self.watch.borrow() {
            Watch::NotYet => return Err(Unknown::NotWatched(None)),
            Watch::Refused { why, .. } => return Err(Unknown::NotWatched(Some(why.clone()))),
            Watch::Granted { .. } => {}
        }
        let value = self.value.borrow();
        let value = value.as_ref().map_err(|missing| match missing {
            Missing::NothingCame => {
                Unknown::NothingCame(now.saturating_duration_since(self.since.get()))
            }
            Missing::ConnectionLost => Unknown::ConnectionLost,
            Missing::Empty => Unknown::Empty,
            Missing::TooLarge(bytes) => Unknown::TooLarge(*bytes),
        })?;
        let age = now.saturating_duration_since(value.at);
        match counts {
            Counts::Live(_) if value.retained => return Err(Unknown::OnlyRetained),
            Counts::Live(most) if age > most => return Err(Unknown::TooOld { age, most }),
            Counts::Live(_) | Counts::Last => {}
        }
        Ok(Known {
            payload: Arc::clone(&value.payload),
            age: (!value.retained).then_some(age),
        })
    }

    /// Wakes the task of `context` at the next change.
    pub(super) fn register(&self, context: &Context<'_>) {
        self.changed.register(context);
    }
}

impl Drop for Asking<'_> {
    fn drop(&mut self) {
        let Asking(fact) = self;
        fact.asking.set(fact.asking.get() - 1);
        if fact.asking.get() == 0 && !fact.is_watched() {
            fact.forget(Missing::NothingCame);
        }
    }
}

/// Displays a sentence about the topic that `0` names.
pub(super) struct About<'a>(pub(super) &'a Named, pub(super) &'a Unknown);

impl fmt::Display for About<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let topic = self.0;
        match &self.1 {
            Unknown::NotWatched(None) => write!(f, "{topic} is not watched yet"),
            Unknown::NotWatched(Some(why)) => write!(f, "{topic} cannot be watched ({why})"),
            Unknown::NothingCame(since) => {
                let since = since.as_secs_f64();
                write!(
                    f,
                    "nothing came on {topic} in the {since:.1} s since it is watched"
                )
            }
            Unknown::OnlyRetained => {
                write!(
                    f,
                    "{topic} has sent no live value, only a retained one of unknown age"
                )
            }
            Unknown::TooOld { age, most } => {
                let (age, most) = (age.as_secs_f64(), most.as_secs_f64());
                write!(
                    f,
                    "the last value of {topic} is {age:.1} s old, and after {most} s it does not count"
                )
            }
            Unknown::ConnectionLost => {
                write!(
                    f,
                    "the connection to the broker was lost, and nothing came on {topic} since"
                )
            }
            Unknown::Ambiguous => write!(f, "the last message on {topic} can be read in two ways"),
            Unknown::Empty => write!(
                f,
                "the last message on {topic} was empty, which is no value"
            ),
            Unknown::TooLarge(bytes) => {
                write!(
                    f,
                    "the last message on {topic} was too large to be judged ({bytes} bytes)"
                )
            }
        }
    }
}

/// The most bytes of a value that is kept.
pub(super) const MOST_BYTES: usize = 8 << 10;
