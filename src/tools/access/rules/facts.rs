//! The topics that rules on writes name, as long as they are needed.
//!
//! Promises: nothing is watched before a write needs it; a topic is watched on for some time after its last use, so that
//! the next write knows its value; the table is bounded. What the callers of one name need leaves room for that of the next.

use std::cell::{Cell, RefCell};
use std::cmp::Reverse;
use std::collections::HashMap;
use std::rc::{Rc, Weak};
use std::time::{Duration, Instant};

use mcpmqtt_protocol::topic::TopicName;
use smol::LocalExecutor;

use super::fact::Fact;
use crate::local::time;

#[derive(Debug)]
pub(super) struct Facts {
    topics: RefCell<HashMap<TopicName, Entry>>,
    is_tended: Cell<bool>,
    executor: Weak<LocalExecutor<'static>>,
}

#[derive(Debug)]
struct Entry {
    fact: Rc<Fact>,
    /// The name of the callers who needed it first.
    name: Box<str>,
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
        let topics = self.topics.borrow();
        topics.get(topic).map(|entry| Rc::clone(&entry.fact))
    }

    /// The fact of a topic, for a use of it now by a caller with this name; it stays at least `for_at_least` longer. None when
    /// the table, or the share of the name, is full of facts in use.
    pub(super) fn enter(
        self: &Rc<Self>,
        name: &str,
        topic: &TopicName,
        now: Instant,
        for_at_least: Duration,
    ) -> Option<Rc<Fact>> {
        let mut topics = self.topics.borrow_mut();
        let known = topics.get(topic).map(|entry| Rc::clone(&entry.fact));
        let fact = match known {
            Some(fact) => fact,
            None => {
                make_room(&mut topics, name)?;
                let fact = Fact::new(topic.clone(), now);
                let entry = Entry {
                    fact: Rc::clone(&fact),
                    name: name.into(),
                };
                topics.insert(topic.clone(), entry);
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
        topics.values().map(|it| it.fact.until.get()).min()
    }

    fn end_unused(&self, now: Instant) {
        let mut ended = Vec::new();
        let mut topics = self.topics.borrow_mut();
        topics.retain(|_, Entry { fact, .. }| {
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

/// Where the table is full, the first to end makes room, of the name that has most; where the share of the newcomer's name is,
/// the first of that.
fn make_room(topics: &mut HashMap<TopicName, Entry>, newcomer: &str) -> Option<()> {
    let mut counts: HashMap<&str, usize> = HashMap::new();
    for entry in topics.values() {
        *counts.entry(&entry.name).or_default() += 1;
    }
    let has_its_share = counts
        .get(newcomer)
        .is_some_and(|own| *own >= SHARE_OF_NAME);
    if topics.len() < MOST_TOPICS && !has_its_share {
        return Some(());
    }
    let unused = topics.values().filter(|it| !is_in_use(&it.fact));
    let unused = unused.filter(|it| !has_its_share || *it.name == *newcomer);
    let first = unused.max_by_key(|it| (counts.get(&*it.name), Reverse(it.fact.until.get())))?;
    let topic = first.fact.topic().clone();
    topics.remove(&topic);
    Some(())
}

/// How long a topic is watched after its last use.
pub(super) const KEPT: Duration = Duration::from_secs(600);

/// The most topics that are watched for rules.
pub(in crate::tools) const MOST_TOPICS: usize = 500;

/// The most of them for callers of one name.
const SHARE_OF_NAME: usize = MOST_TOPICS * 15 / 16;

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn one_name_leaves_room_and_makes_room_among_its_own() {
        let facts = Facts::new(Weak::new());
        let now = Instant::now();
        let topic = |n: usize| TopicName::parse(&format!("t/{n}")).unwrap();
        let enter = |name, n| facts.enter(name, &topic(n), now, Duration::ZERO);
        let calm = enter("calm", 0).unwrap();
        let mut held: Vec<_> = (1..=SHARE_OF_NAME).filter_map(|n| enter("a", n)).collect();
        assert_eq!(held.len(), SHARE_OF_NAME);
        assert!(enter("a", MOST_TOPICS).is_none(), "its share is in use");
        let mut others: Vec<_> = (600..700).map_while(|n| enter("b", n)).collect();
        assert_eq!(others.len(), MOST_TOPICS - SHARE_OF_NAME - 1);
        others.clear();
        held.clear();
        drop(calm);
        for n in 700..2000 {
            enter("a", n).unwrap();
        }
        enter("c", 2000).unwrap();
        assert!(facts.find(&topic(0)).is_some(), "it was first");
        assert!(facts.find(&topic(600)).is_some());
    }

    #[test]
    fn of_too_many_topics_the_first_to_end_makes_room_and_none_in_use() {
        let facts = Facts::new(Weak::new());
        let start = Instant::now();
        let topic = |n: usize| TopicName::parse(&format!("t/{n}")).unwrap();
        let enter = |n: usize, age: u64| {
            let at = start + Duration::from_secs(n as u64);
            let name = if n < MOST_TOPICS / 2 { "a" } else { "b" };
            facts.enter(name, &topic(n), at, Duration::from_secs(age))
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
