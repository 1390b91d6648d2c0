//! The policies in force, one for each profile, which an operator may replace while calls are in progress.
//!
//! Promises: work under a policy ([`CallerPolicy::while_permitted`], [`Hold`]) ends, before its next step, when the
//! policy changes and no longer permits the work; a caller whose profile is gone is permitted nothing; when [`LivePolicy::settled`] returns, all such work has ended.

use std::cell::{Cell, RefCell};
use std::collections::BTreeMap;
use std::future::{Future, poll_fn};
use std::pin::pin;
use std::rc::Rc;
use std::task::Poll;

use mcpmqtt_config::{Policy, Profiles, Refusal};

use super::denied::Denied;
use crate::local::notify::Notify;
use crate::mcp::Caller;

/// The policies in force. Cheap to clone; clones share it.
#[derive(Debug, Clone)]
pub(super) struct LivePolicy(Rc<PolicyState>);

#[derive(Debug)]
struct PolicyState {
    profiles: RefCell<Rc<Profiles>>,
    /// What any profile permits.
    anyone: RefCell<Rc<Policy>>,
    /// The number of replacements.
    version: Cell<u64>,
    last_hold: Cell<u64>,
    holds: RefCell<BTreeMap<u64, Rc<Seen>>>,
    /// Notified when a hold has seen the policy in force, or is dropped.
    seen: Notify,
}

/// The policy version that one hold has seen.
#[derive(Debug)]
struct Seen {
    version: Cell<u64>,
    replaced: Notify,
}

/// The policy of one caller, or of work that is done for all callers together. Cheap to clone.
#[derive(Clone, Debug)]
pub(super) struct CallerPolicy {
    shared: Rc<PolicyState>,
    whose: Whose,
}

#[derive(Clone, Debug)]
enum Whose {
    /// Of the callers with this profile.
    Profile(Rc<str>),
    /// Of all callers: what any profile permits.
    Anyone,
}

/// Marks one piece of work under a policy, until dropped.
#[derive(Debug)]
pub(super) struct Hold {
    policy: CallerPolicy,
    number: u64,
    seen: Rc<Seen>,
}

impl LivePolicy {
    pub(super) fn new(profiles: Profiles) -> LivePolicy {
        LivePolicy(Rc::new(PolicyState {
            anyone: RefCell::new(profiles.anyone()),
            profiles: RefCell::new(Rc::new(profiles)),
            version: Cell::new(0),
            last_hold: Cell::new(0),
            holds: RefCell::default(),
            seen: Notify::default(),
        }))
    }

    /// The policy of a caller.
    pub(super) fn of(&self, caller: &Caller) -> CallerPolicy {
        self.by(Whose::Profile(Rc::clone(caller.profile())))
    }

    /// The policy of work that is done for all callers together; what comes of it is judged again for each.
    pub(super) fn of_anyone(&self) -> CallerPolicy {
        self.by(Whose::Anyone)
    }

    fn by(&self, whose: Whose) -> CallerPolicy {
        let shared = Rc::clone(&self.0);
        CallerPolicy { shared, whose }
    }

    /// The profiles at this moment.
    pub(super) fn profiles(&self) -> Rc<Profiles> {
        Rc::clone(&self.0.profiles.borrow())
    }

    /// Replaces the policies in force.
    pub(super) fn replace(&self, profiles: Profiles) {
        self.0.anyone.replace(profiles.anyone());
        self.0.profiles.replace(Rc::new(profiles));
        self.look_again();
    }

    /// Has all work judged again, as after a change of the policy: something else changed by which it is judged.
    pub(super) fn look_again(&self) {
        self.0.version.set(self.0.version.get() + 1);
        for seen in self.0.holds.borrow().values() {
            seen.replaced.notify();
        }
    }

    /// Waits until all work that began under an earlier policy has been checked against the one in force, and has ended
    /// if it is not permitted.
    pub(super) async fn settled(&self) {
        let shared = &self.0;
        let is_settled = || {
            let version = shared.version.get();
            let holds = shared.holds.borrow();
            holds.values().all(|seen| seen.version.get() == version)
        };
        shared.seen.until(is_settled).await;
    }
}

impl CallerPolicy {
    /// The policy at this moment. Callers ask again after every await.
    pub(super) fn current(&self) -> Rc<Policy> {
        match &self.whose {
            Whose::Anyone => Rc::clone(&self.shared.anyone.borrow()),
            Whose::Profile(name) => {
                let profiles = self.shared.profiles.borrow();
                let profile = profiles.get(name);
                profile.map_or_else(Rc::default, |profile| Rc::clone(&profile.policy))
            }
        }
    }

    /// Registers work under the policy in force.
    pub(super) fn hold(&self) -> Hold {
        let shared = &self.shared;
        let number = shared.last_hold.get() + 1;
        shared.last_hold.set(number);
        let seen = Rc::new(Seen {
            version: Cell::new(shared.version.get()),
            replaced: Notify::default(),
        });
        shared.holds.borrow_mut().insert(number, Rc::clone(&seen));
        Hold {
            policy: self.clone(),
            number,
            seen,
        }
    }

    /// Runs `work` as long as the policy permits it.
    ///
    /// # Errors
    /// When the policy does not permit the work, from the start or after a change; a change drops the work.
    pub(super) async fn while_permitted<T>(
        &self,
        permitted: impl Fn(&Policy) -> Result<(), Refusal>,
        work: impl Future<Output = T>,
    ) -> Result<T, Denied> {
        permitted(&self.current()).map_err(Denied::Policy)?;
        // Dropped after the work: when the hold is gone, the work has ended already.
        let hold = self.hold();
        hold.run(permitted, work).await
    }
}

impl Hold {
    /// Runs `work` as long as the policy permits it.
    ///
    /// # Errors
    /// When a new policy does not permit the work; the work is dropped.
    pub(super) async fn run<T>(
        &self,
        permitted: impl Fn(&Policy) -> Result<(), Refusal>,
        work: impl Future<Output = T>,
    ) -> Result<T, Denied> {
        let mut work = pin!(work);
        poll_fn(|context| {
            if let Err(refusal) = self.judge(&permitted) {
                return Poll::Ready(Err(Denied::Withdrawn(refusal)));
            }
            let ended = work.as_mut().poll(context);
            if ended.is_pending() {
                self.seen.replaced.register(context);
            }
            ended.map(Ok)
        })
        .await
    }

    fn judge(&self, permitted: impl Fn(&Policy) -> Result<(), Refusal>) -> Result<(), Refusal> {
        let shared = &self.policy.shared;
        let version = shared.version.get();
        if self.seen.version.get() != version {
            permitted(&self.policy.current())?;
            self.seen.version.set(version);
            shared.seen.notify();
        }
        Ok(())
    }
}

impl Drop for Hold {
    fn drop(&mut self) {
        let shared = &self.policy.shared;
        shared.holds.borrow_mut().remove(&self.number);
        shared.seen.notify();
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use mcpmqtt_config::Config;
    use mcpmqtt_protocol::topic::TopicName;
    use smol::future::{block_on, pending, poll_once};

    use super::*;

    fn profiles(pattern: &str) -> Profiles {
        let text =
            format!(r#"{{"topics": [{{"pattern": "{pattern}", "permissions": ["write"]}}]}}"#);
        Config::parse(&text).unwrap().0.profiles
    }

    fn may_write(topic: &str) -> impl Fn(&Policy) -> Result<(), Refusal> + use<> {
        let topic = TopicName::parse(topic).unwrap();
        move |policy| policy.may_publish(&topic, false)
    }

    #[test]
    fn work_goes_on_under_new_rules_that_permit_it_and_ends_under_others() {
        let live = LivePolicy::new(profiles("a/+"));
        let own = live.of_anyone();
        let mut kept = pin!(own.while_permitted(may_write("a/1"), pending::<()>()));
        let mut lost = pin!(own.while_permitted(may_write("a/2"), pending::<()>()));
        assert!(block_on(poll_once(&mut kept)).is_none());
        assert!(block_on(poll_once(&mut lost)).is_none());
        assert!(block_on(poll_once(live.settled())).is_some());
        live.replace(profiles("a/1"));
        assert!(block_on(poll_once(live.settled())).is_none());
        assert!(block_on(poll_once(&mut kept)).is_none());
        assert!(
            block_on(poll_once(live.settled())).is_none(),
            "one has not read"
        );
        let ended = block_on(&mut lost);
        assert!(matches!(ended, Err(Denied::Withdrawn(_))), "{ended:?}");
    }

    #[test]
    fn it_is_settled_when_what_had_to_end_is_gone() {
        let live = LivePolicy::new(profiles("a"));
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
        let own = live.of_anyone();
        let task =
            executor.spawn(async move { own.while_permitted(may_write("a"), work).await.is_err() });
        block_on(executor.run(async {
            smol::future::yield_now().await;
            live.replace(profiles("b"));
            assert!(!dropped.get());
            live.settled().await;
            assert!(dropped.get());
            assert!(task.await);
        }));
        assert!(live.0.holds.borrow().is_empty());
    }

    #[test]
    fn what_is_not_permitted_is_not_begun() {
        let live = LivePolicy::new(profiles("a")).of_anyone();
        let work = async { unreachable!() };
        let ended: Result<(), _> = block_on(live.while_permitted(may_write("b"), work));
        assert!(matches!(ended, Err(Denied::Policy(_))));
    }
}
