//! The effects that have to show after a write.
//!
//! Promises: only a live message that came after the write shows an effect, and each one is judged as it arrives.

use std::cell::RefCell;
use std::rc::Rc;
use std::time::{Duration, Instant};

use mcpmqtt_config::{Effect, Expected};
use mcpmqtt_protocol::topic::TopicName;

use super::fact::Fact;
use crate::local::notify::Notify;
use crate::local::time;
use crate::observe::reading::Reading;

/// The effects of one write, until this is dropped.
#[derive(Debug, Default)]
pub(in crate::tools) struct Effects(Vec<Rc<Awaited>>);

/// One effect that is awaited.
#[derive(Debug)]
pub(in crate::tools) struct Awaited {
    /// The topic on which it shows; watched as long as it is awaited.
    fact: Rc<Fact>,
    expected: Expected,
    sent: Instant,
    within: Duration,
    /// Whether the caller may know the value.
    pub(in crate::tools) is_readable: bool,
    seen: RefCell<Seen>,
    changed: Notify,
}

/// What came on the state after the write.
#[derive(Clone, Debug, Default)]
pub(in crate::tools) struct Seen {
    /// Whether the effect showed.
    pub(in crate::tools) is_shown: bool,
    /// The value that showed it, or the last one, with its time.
    pub(in crate::tools) last: Option<(Reading, Instant)>,
    pub(in crate::tools) messages: u64,
}

impl Effects {
    pub(super) fn add(&mut self, awaited: Awaited) {
        let awaited = Rc::new(awaited);
        awaited.fact.shows(&awaited);
        self.0.push(awaited);
    }

    /// Waits until each effect has shown, or its time is over.
    pub(in crate::tools) async fn end(&self) {
        for awaited in &self.0 {
            awaited.end().await;
        }
    }

    pub(in crate::tools) fn iter(&self) -> impl ExactSizeIterator<Item = &Awaited> {
        self.0.iter().map(Rc::as_ref)
    }
}

impl Awaited {
    pub(super) fn new(
        fact: Rc<Fact>,
        effect: &Effect,
        expected: Expected,
        is_readable: bool,
        sent: Instant,
    ) -> Awaited {
        Awaited {
            fact,
            expected,
            sent,
            within: effect.within,
            is_readable,
            seen: RefCell::default(),
            changed: Notify::default(),
        }
    }

    /// Judges a live message of the topic. False when no more are needed.
    pub(super) fn take(&self, now: Instant, payload: &[u8]) -> bool {
        let mut seen = self.seen.borrow_mut();
        if seen.is_shown || now > self.until() {
            return false;
        }
        seen.messages += 1;
        if let Some((reading, shows)) = self.expected.judge(payload) {
            seen.last = Some((reading.kept(), now));
            seen.is_shown = shows;
        }
        if seen.is_shown {
            self.changed.notify();
        }
        !seen.is_shown
    }

    pub(in crate::tools) fn topic(&self) -> &TopicName {
        self.fact.topic()
    }

    pub(in crate::tools) fn seen(&self) -> Seen {
        self.seen.borrow().clone()
    }

    /// When the message was handed to the connection.
    pub(in crate::tools) fn sent(&self) -> Instant {
        self.sent
    }

    fn until(&self) -> Instant {
        self.sent + self.within
    }

    async fn end(&self) {
        let shown = self.changed.until(|| self.seen.borrow().is_shown);
        smol::future::or(shown, time::at(self.until())).await;
    }
}
