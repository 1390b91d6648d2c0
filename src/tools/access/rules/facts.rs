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

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn of_too_many_topics_the_first_to_end_makes_room_and_none_in_use() {
        let facts = Facts::new(Weak::new());
        let start = Instant::now();
        let topic = |n: usize| TopicName::parse(&format!("t/{n}")).unwrap();
        let enter = |n: usize, age: u64| {
            let at = start + Duration::from_secs(n as u64);
            facts.enter(&topic(n), at, Duration::from_secs(age))
        };
        let mut held: Vec<_> = (0..MOST_TOPICS).map(|n| enter(n, 0).unwrap()).collect();
        assert!(enter(MOST_TOPICS, 0).is_none());
        assert!(enter(7, 0).is_some(), "what is there stays");
        // The use of the first was longest ago, but it lasts longest.
        enter(0, 10_000).unwrap();
        held.clear();
        enter(MOST_TOPICS, 0).unwrap();
        assert!(facts.find(&topic(0)).is_some() && facts.find(&topic(1)).is_none());
        assert_eq!(facts.topics.borrow().len(), MOST_TOPICS);
        // What is in use when its time is over stays.
        let kept = facts.find(&topic(2));
        facts.end_unused(start + KEPT * 10);
        assert!(facts.find(&topic(3)).is_none());
        assert!(facts.find(&topic(2)).is_some(), "{kept:?}");
        drop(kept);
        facts.end_unused(start + KEPT * 100);
        assert!(facts.topics.borrow().is_empty());
    }
}
