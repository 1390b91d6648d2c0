//! The permissions in force, which an operator may replace while calls are under way.
//!
//! Promises: what goes on under the rules ([`Rules::within`]) ends, before it takes another step, when they change
//! and no longer permit it; when [`Rules::settled`] returns, all of that has ended.

use std::cell::{Cell, RefCell};
use std::collections::BTreeMap;
use std::fmt;
use std::future::{Future, poll_fn};
use std::pin::pin;
use std::rc::Rc;
use std::task::{Poll, Waker};

use mcpmqtt_config::{Policy, Refusal};

/// Cheap to clone; clones are the same rules.
#[derive(Debug, Clone)]
pub(super) struct Rules(Rc<Book>);

#[derive(Debug)]
struct Book {
    policy: RefCell<Rc<Policy>>,
    edition: Cell<u64>,
    last_reader: Cell<u64>,
    readers: RefCell<BTreeMap<u64, Rc<Seen>>>,
    /// Who waits until all readers have read.
    settling: RefCell<Option<Waker>>,
}

/// What one piece of work has seen of the rules.
#[derive(Debug)]
struct Seen {
    edition: Cell<u64>,
    waker: RefCell<Option<Waker>>,
}

/// Someone who acts by the rules, until dropped.
struct Reader<'a> {
    book: &'a Book,
    number: u64,
    seen: Rc<Seen>,
}

/// Why something is not done.
#[derive(Debug)]
pub(super) enum Stopped {
    /// It is not permitted; nothing was begun.
    Refused(Refusal),
    /// It was permitted when it began, and is not any more.
    Withdrawn(Refusal),
}

impl Rules {
    pub(super) fn new(policy: Policy) -> Rules {
        Rules(Rc::new(Book {
            policy: RefCell::new(Rc::new(policy)),
            edition: Cell::new(0),
            last_reader: Cell::new(0),
            readers: RefCell::default(),
            settling: RefCell::default(),
        }))
    }

    /// What is permitted at this moment: to be asked anew after every wait.
    pub(super) fn policy(&self) -> Rc<Policy> {
        Rc::clone(&self.0.policy.borrow())
    }

    /// From now on this is permitted and nothing else.
    pub(super) fn replace(&self, policy: Policy) {
        self.0.policy.replace(Rc::new(policy));
        self.0.edition.set(self.0.edition.get() + 1);
        for seen in self.0.readers.borrow().values() {
            if let Some(waker) = seen.waker.take() {
                waker.wake();
            }
        }
    }

    /// Waits until everything that went on under the rules before has been judged by those in force, and ended if
    /// it had to.
    pub(super) async fn settled(&self) {
        let book = &self.0;
        poll_fn(|context| {
            let edition = book.edition.get();
            let readers = book.readers.borrow();
            if readers.values().all(|seen| seen.edition.get() == edition) {
                return Poll::Ready(());
            }
            book.settling.replace(Some(context.waker().clone()));
            Poll::Pending
        })
        .await;
    }

    /// Does `work` as long as it is allowed.
    ///
    /// # Errors
    /// When it is not, from the start or by a change of the rules, which drops it.
    pub(super) async fn within<T>(
        &self,
        allowed: impl Fn(&Policy) -> Result<(), Refusal>,
        work: impl Future<Output = T>,
    ) -> Result<T, Stopped> {
        allowed(&self.0.policy.borrow()).map_err(Stopped::Refused)?;
        // Dropped after the work: whoever waits for the reader to go finds nothing of it left.
        let reader = self.0.reader();
        let mut work = pin!(work);
        poll_fn(|context| {
            if let Err(refusal) = reader.read(&allowed) {
                return Poll::Ready(Err(Stopped::Withdrawn(refusal)));
            }
            let ended = work.as_mut().poll(context);
            if ended.is_pending() {
                reader.wait(context.waker());
            }
            ended.map(Ok)
        })
        .await
    }
}

impl Book {
    fn reader(&self) -> Reader<'_> {
        let number = self.last_reader.get() + 1;
        self.last_reader.set(number);
        let seen = Rc::new(Seen {
            edition: Cell::new(self.edition.get()),
            waker: RefCell::default(),
        });
        self.readers.borrow_mut().insert(number, Rc::clone(&seen));
        Reader {
            book: self,
            number,
            seen,
        }
    }

    fn somebody_has_read(&self) {
        if let Some(waker) = self.settling.take() {
            waker.wake();
        }
    }
}

impl Reader<'_> {
    fn read(&self, allowed: impl Fn(&Policy) -> Result<(), Refusal>) -> Result<(), Refusal> {
        let edition = self.book.edition.get();
        if self.seen.edition.get() != edition {
            allowed(&self.book.policy.borrow())?;
            self.seen.edition.set(edition);
            self.book.somebody_has_read();
        }
        Ok(())
    }

    fn wait(&self, waker: &Waker) {
        let mut waiting = self.seen.waker.borrow_mut();
        if !waiting.as_ref().is_some_and(|known| known.will_wake(waker)) {
            *waiting = Some(waker.clone());
        }
    }
}

impl Drop for Reader<'_> {
    fn drop(&mut self) {
        self.book.readers.borrow_mut().remove(&self.number);
        self.book.somebody_has_read();
    }
}

impl Stopped {
    /// In words, with what that means for `done`: what was under way.
    pub(super) fn tell(&self, done: &str) -> String {
        match self {
            Stopped::Refused(refusal) => refusal.to_string(),
            Stopped::Withdrawn(refusal) => {
                format!("the operator withdrew the permission meanwhile: {refusal}. {done}")
            }
        }
    }
}

impl fmt::Display for Stopped {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.tell("Nothing is delivered any more."))
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use mcpmqtt_config::{Config, Policy};
    use mcpmqtt_protocol::topic::TopicName;
    use smol::future::{block_on, pending, poll_once};

    use super::*;

    fn policy(pattern: &str) -> Policy {
        let text =
            format!(r#"{{"topics": [{{"pattern": "{pattern}", "permissions": ["write"]}}]}}"#);
        Config::parse(&text).unwrap().0.policy
    }

    fn may_write(topic: &str) -> impl Fn(&Policy) -> Result<(), Refusal> + use<> {
        let topic = TopicName::parse(topic).unwrap();
        move |policy| policy.may_publish(&topic, false)
    }

    #[test]
    fn work_goes_on_under_new_rules_that_permit_it_and_ends_under_others() {
        let rules = Rules::new(policy("a/+"));
        let mut kept = pin!(rules.within(may_write("a/1"), pending::<()>()));
        let mut lost = pin!(rules.within(may_write("a/2"), pending::<()>()));
        assert!(block_on(poll_once(&mut kept)).is_none());
        assert!(block_on(poll_once(&mut lost)).is_none());
        assert!(block_on(poll_once(rules.settled())).is_some());
        rules.replace(policy("a/1"));
        assert!(block_on(poll_once(rules.settled())).is_none());
        assert!(block_on(poll_once(&mut kept)).is_none());
        assert!(
            block_on(poll_once(rules.settled())).is_none(),
            "one has not read"
        );
        let ended = block_on(&mut lost);
        assert!(matches!(ended, Err(Stopped::Withdrawn(_))), "{ended:?}");
    }

    #[test]
    fn it_is_settled_when_what_had_to_end_is_gone() {
        let rules = Rules::new(policy("a"));
        let dropped = Rc::new(Cell::new(false));
        struct Tell(Rc<Cell<bool>>);
        impl Drop for Tell {
            fn drop(&mut self) {
                self.0.set(true);
            }
        }
        let tell = Tell(Rc::clone(&dropped));
        let work = async move {
            let _tell = tell;
            pending::<()>().await;
        };
        let executor = smol::LocalExecutor::new();
        let own = rules.clone();
        let task = executor.spawn(async move { own.within(may_write("a"), work).await.is_err() });
        block_on(executor.run(async {
            smol::future::yield_now().await;
            rules.replace(policy("b"));
            assert!(!dropped.get());
            rules.settled().await;
            assert!(dropped.get());
            assert!(task.await);
        }));
        assert!(rules.0.readers.borrow().is_empty());
    }

    #[test]
    fn what_is_not_permitted_is_not_begun() {
        let rules = Rules::new(policy("a"));
        let work = async { unreachable!() };
        let ended: Result<(), _> = block_on(rules.within(may_write("b"), work));
        assert!(matches!(ended, Err(Stopped::Refused(_))));
    }
}
