//! A message that was handed to the connection and may still wait there, judged on by what it depends on.

use std::future::Future as _;
use std::pin::Pin;
use std::rc::Rc;
use std::task::Context;
use std::time::{Duration, Instant};

use mcpmqtt_config::{Counts, Policy, WriteLimit};
use mcpmqtt_protocol::message::Message;
use smol::future::BoxedLocal;

use super::{Broken, Fact, Write, WriteRules};
use crate::local::time;

/// Judges one message again whenever something changes that it depends on.
pub(in crate::tools::access) struct Pending {
    /// The policy by which it was permitted.
    policy: Rc<Policy>,
    /// When a value becomes too old, and the wait for that.
    expiry: Option<(Instant, BoxedLocal<()>)>,
    broken: Option<Broken>,
}

impl Pending {
    /// Of a message that was permitted by `policy`.
    pub(in crate::tools::access) fn new(policy: Rc<Policy>) -> Pending {
        Pending {
            policy,
            expiry: None,
            broken: None,
        }
    }

    /// Whether the rules permit the message now. Wakes the task of `context` when that may have changed.
    pub(in crate::tools::access) fn holds(
        &mut self,
        rules: &WriteRules,
        policy: &Rc<Policy>,
        message: &Message,
        context: &mut Context<'_>,
    ) -> bool {
        let topic = &message.topic;
        if !Rc::ptr_eq(&self.policy, policy) {
            // What was counted and is awaited was so by the earlier rules.
            if policy.asks_the_same(&self.policy, topic).is_err() {
                self.broken = Some(Broken::RulesChanged);
                return false;
            }
            self.policy = Rc::clone(policy);
        }
        let now = time::now();
        let write = Write {
            policy,
            message,
            now,
        };
        let ruled = policy.write_rules(topic);
        let mut expiry = None;
        for limit in ruled.iter().flat_map(|rule| &rule.limits) {
            let source = match limit {
                WriteLimit::Requires(it) => &it.source,
                WriteLimit::MaxChange(it) => &it.state,
                // These depend on what was written before this message.
                WriteLimit::MinInterval(_)
                | WriteLimit::MaxPerMinute(_)
                | WriteLimit::Confirm(_) => continue,
            };
            if let Err(broken) = rules.judge(limit, write) {
                self.broken = Some(broken);
                return false;
            }
            let fact = source.topic.fill(topic);
            let fact = fact.and_then(|topic| rules.facts.find(&topic));
            if let Some(fact) = fact {
                fact.register(context);
                expiry = [expiry, end_of(&fact, source.counts, now)]
                    .into_iter()
                    .flatten()
                    .min();
            }
        }
        self.wake_at(expiry, context);
        true
    }

    /// Why the message is not permitted any more.
    pub(in crate::tools::access) fn broken(self) -> Option<Broken> {
        self.broken
    }

    fn wake_at(&mut self, expiry: Option<Instant>, context: &mut Context<'_>) {
        if self.expiry.as_ref().map(|(at, _)| *at) != expiry {
            self.expiry = expiry.map(|at| (at, Box::pin(time::at(at)) as BoxedLocal<()>));
        }
        if let Some((_, waiting)) = &mut self.expiry {
            if Pin::new(waiting).poll(context).is_ready() {
                context.waker().wake_by_ref();
            }
        }
    }
}

/// The first moment at which the present value no longer counts, unless another comes.
fn end_of(fact: &Rc<Fact>, counts: Counts, now: Instant) -> Option<Instant> {
    let Counts::Live(most) = counts else {
        return None;
    };
    let age = fact.known(counts, now).ok()?.age?;
    Some(now + most.saturating_sub(age) + Duration::from_millis(1))
}
