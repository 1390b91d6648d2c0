//! The topics that rules on writes name, as long as they are needed.
//!
//! Promises: nothing is watched before a write needs it; a topic is watched on for some time after its last use, so that
//! the next write knows its value; the table is bounded.

use std::cell::{Cell, RefCell};
use std::collections::HashMap;
use std::rc::{Rc, Weak};
use std::time::{Duration, Instant};

use mcpmqtt_protocol::topic::TopicName;
use smol::LocalExecutor;

use super::fact::Fact;
use crate::local::time;

#[derive(Debug)]
pub(super) struct Facts {
    topics: RefCell<HashMap<TopicName, Rc<Fact>>>,
    is_tended: Cell<bool>,
    executor: Weak<LocalExecutor<'static>>,
}

impl Facts {
    pub(super) fn new(executor: Weak<LocalExecutor<'static>>) -> Rc<Facts> {
        Rc::new(Facts {
            topics: RefCell::default(),
            is_tended: Cell::new(false),
            executor,
        })
    }

    pub(super) fn find(&self, topic: &TopicName) -> Option<Rc<Fact>> {
        self.topics.borrow().get(topic).cloned()
    }

    /// The fact of a topic, for a use of it now; it stays at least `for_at_least` longer. None when the table is full of
    /// facts in use.
    pub(super) fn enter(
        self: &Rc<Self>,
        topic: &TopicName,
        now: Instant,
        for_at_least: Duration,
    ) -> Option<Rc<Fact>> {
        let mut topics = self.topics.borrow_mut();
        let known = topics.get(topic).cloned();
        let fact = match known {
            Some(fact) => fact,
            None => {
                make_room(&mut topics)?;
                let fact = Fact::new(topic.clone(), now);
                topics.insert(topic.clone(), Rc::clone(&fact));
                fact
            }
        };
        drop(topics);
        let until = now + KEPT.max(for_at_least);
        fact.until.set(fact.until.get().max(until));
        self.tend();
        Some(fact)
    }

    /// Starts the task that ends what is not needed any more, unless it runs.
    fn tend(self: &Rc<Self>) {
        if self.is_tended.replace(true) {
            return;
        }
        match self.executor.upgrade() {
            Some(executor) => {
                let facts = Rc::clone(self);
                let tending = async move {
                    while let Some(next) = facts.next_end() {
                        time::at(next).await;
                        facts.end_unused(time::now());
                    }
                    facts.is_tended.set(false);
                };
                executor.spawn(tending).detach();
            }
            None => self.is_tended.set(false),
        }
    }

    fn next_end(&self) -> Option<Instant> {
        let topics = self.topics.borrow();
        topics.values().map(|fact| fact.until.get()).min()
    }

    fn end_unused(&self, now: Instant) {
        let mut ended = Vec::new();
        let mut topics = self.topics.borrow_mut();
        topics.retain(|_, fact| {
            let is_over = fact.until.get() <= now;
            if is_over && is_in_use(fact) {
                fact.until.set(now + KEPT);
            } else if is_over {
                ended.push(Rc::clone(fact));
            }
            !is_over || fact.until.get() > now
        });
    }
}

/// Beside the table, whoever uses a fact holds it.
fn is_in_use(fact: &Rc<Fact>) -> bool {
    Rc::strong_count(fact) > 1
}

fn make_room(topics: &mut HashMap<TopicName, Rc<Fact>>) -> Option<()> {
    if topics.len() < MOST_TOPICS {
        return Some(());
    }
    let unused = topics.values().filter(|fact| !is_in_use(fact));
    let first = unused.min_by_key(|fact| fact.until.get())?;
    let topic = first.topic().clone();
    topics.remove(&topic);
    Some(())
}

/// How long a topic is watched after its last use.
pub(super) const KEPT: Duration = Duration::from_secs(600);

/// The most topics that are watched for rules.
pub(super) const MOST_TOPICS: usize = 500;
