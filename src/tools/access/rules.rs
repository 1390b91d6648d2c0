//! The operator's rules on writes (`topics[].write`): how much, how often, under which condition.
//!
//! Promises: a message is judged in the step in which it is handed to the connection, by the rules and the values of that
//! moment; all rules of all grants that match hold; what is not known is refused, unless the operator says otherwise.
//! Does not: hold the MQTT client, or know the caller.

mod broken;
mod effects;
mod fact;
mod facts;
mod pending;
mod report;
mod writes;

use std::cell::RefCell;
use std::future::poll_fn;
use std::rc::{Rc, Weak};
use std::task::Poll;
use std::time::{Duration, Instant};

use mcpmqtt_config::{
    Counts, Effect, MaxChange, Policy, Requirement, TopicTemplate, WriteLimit, WriteRule,
    is_ambiguous_at,
};
use mcpmqtt_protocol::message::Message;
use mcpmqtt_protocol::topic::TopicName;
use smol::LocalExecutor;

pub(in crate::tools) use self::broken::Broken;
use self::broken::{Named, Present};
pub(in crate::tools) use self::effects::{Awaited, Effects};
pub(super) use self::fact::Fact;
use self::fact::{Known, Unknown};
use self::facts::Facts;
pub(in crate::tools) use self::facts::MOST_TOPICS as MOST_FACTS;
pub(super) use self::pending::Pending;
pub(in crate::tools) use self::report::RuleReport;
use self::writes::{MINUTE, UnderWay, Writes};
use crate::local::time;
use crate::observe::condition::Verdict;
use crate::observe::reading::Reading;

/// What the rules need to know. Cheap to clone; clones share it.
#[derive(Clone, Debug)]
pub(super) struct WriteRules {
    facts: Rc<Facts>,
    writes: Rc<RefCell<Writes>>,
}

/// The topics that a write needs, watched until this is dropped.
#[derive(Debug, Default)]
pub(in crate::tools) struct Needed(Vec<NeededFact>);

#[derive(Debug)]
struct NeededFact {
    fact: Rc<Fact>,
    /// The values that count; None where only later ones do.
    counts: Option<Counts>,
}

/// A write that the rules permit at the moment of sending. It counts as under way until this is dropped.
#[derive(Debug, Default)]
pub(super) struct Begun {
    pub(super) effects: Effects,
    under_way: Option<UnderWay>,
}

/// A write that is judged.
#[derive(Clone, Copy)]
struct Write<'a> {
    policy: &'a Policy,
    message: &'a Message,
    now: Instant,
}

impl WriteRules {
    pub(super) fn new(executor: Weak<LocalExecutor<'static>>) -> WriteRules {
        WriteRules {
            facts: Facts::new(executor),
            writes: Rc::default(),
        }
    }

    /// The topics that a write to `topic` needs, for a caller with this name.
    pub(super) fn needed(&self, name: &str, policy: &Policy, topic: &TopicName) -> Needed {
        let rules = policy.write_rules(topic);
        let mut needed = Needed::default();
        for limit in rules.iter().flat_map(|rule| &rule.limits) {
            let (template, counts) = match limit {
                WriteLimit::Requires(it) => (&it.source.topic, Some(it.source.counts)),
                WriteLimit::MaxChange(it) => (&it.state.topic, Some(it.state.counts)),
                WriteLimit::Confirm(it) => (&it.state, None),
                WriteLimit::MinInterval(_) | WriteLimit::MaxPerMinute(_) => continue,
            };
            let for_at_least = match counts {
                Some(Counts::Live(age)) => age,
                _ => Duration::ZERO,
            };
            let named = template.fill(topic);
            let fact = named.and_then(|it| self.facts.enter(name, &it, time::now(), for_at_least));
            // What finds no room is unknown when the write is judged.
            needed
                .0
                .extend(fact.map(|fact| NeededFact { fact, counts }));
        }
        needed
    }

    /// Judges a write that is sent now for a caller with this name, and counts it.
    pub(super) fn begin(
        &self,
        name: &str,
        policy: &Policy,
        message: &Message,
        now: Instant,
    ) -> Result<Begun, Broken> {
        let rules = policy.write_rules(&message.topic);
        if rules.is_empty() {
            return Ok(Begun::default());
        }
        let write = Write {
            policy,
            message,
            now,
        };
        self.judge_all(policy, message, now)?;
        let mut begun = Begun::default();
        for limit in rules.iter().flat_map(|rule| &rule.limits) {
            if let WriteLimit::Confirm(effect) = limit {
                begun.effects.add(self.awaited(effect, write)?);
            }
        }
        if let Some(counted_for) = counted_for(&rules) {
            let under_way = Writes::begin(&self.writes, name, &message.topic, counted_for, now);
            begun.under_way = Some(under_way.ok_or(Broken::NoRoom)?);
        }
        Ok(begun)
    }

    /// Judges a write that is sent now, and counts nothing.
    pub(super) fn judge_all(
        &self,
        policy: &Policy,
        message: &Message,
        now: Instant,
    ) -> Result<(), Broken> {
        let write = Write {
            policy,
            message,
            now,
        };
        let rules = policy.write_rules(&message.topic);
        let mut limits = rules.iter().flat_map(|rule| &rule.limits);
        limits.try_for_each(|limit| self.judge(limit, write))
    }

    fn judge(&self, limit: &WriteLimit, write: Write<'_>) -> Result<(), Broken> {
        let topic = &write.message.topic;
        let writes = self.writes.borrow();
        match limit {
            WriteLimit::Requires(requirement) => self.judge_requirement(requirement, write),
            WriteLimit::MaxChange(change) => self.judge_change(change, write),
            WriteLimit::MinInterval(least) => {
                let after = writes.after(topic, *least, write.now);
                after.map_err(|soon| Broken::Interval {
                    least: *least,
                    soon,
                })
            }
            WriteLimit::MaxPerMinute(most) => {
                let within = writes.within(topic, *most, write.now);
                within.map_err(|soon| Broken::Rate { most: *most, soon })
            }
            WriteLimit::Confirm(effect) => self.awaited(effect, write).map(drop),
        }
    }

    fn judge_requirement(&self, it: &Requirement, write: Write<'_>) -> Result<(), Broken> {
        let topic = filled(&it.source.topic, write)?;
        let known = self.known(&topic, it.source.counts, write.now);
        let known = known.and_then(|known| known.at(it.condition.field()));
        let known = known.map_err(|why| {
            let named = Named::new(&topic, write.policy);
            Broken::requires_unknown(it, named, why)
        })?;
        let judged = it.condition.judge(&known.payload, None);
        if judged.verdict == Verdict::Met {
            return Ok(());
        }
        let is_readable = write.policy.may_receive(topic.as_str());
        let present = Present::new(judged.reading.as_ref(), &known, is_readable);
        Err(Broken::requires(
            it,
            Named::new(&topic, write.policy),
            present,
        ))
    }

    fn judge_change(&self, it: &MaxChange, write: Write<'_>) -> Result<(), Broken> {
        let number = number_of(&write.message.payload, it)?;
        let topic = filled(&it.state.topic, write)?;
        let known = self.known(&topic, it.state.counts, write.now);
        let known = match known.and_then(|known| known.at(it.state_field.as_ref())) {
            Ok(known) => known,
            Err(_) if it.may_be_unknown => return Ok(()),
            Err(why) => {
                let named = Named::new(&topic, write.policy);
                return Err(Broken::change_unknown(it, named, why));
            }
        };
        let reading = Reading::of(&known.payload, it.state_field.as_ref()).ok();
        let Some(present) = reading.as_ref().and_then(Reading::number) else {
            return match it.may_be_unknown {
                true => Ok(()),
                false => Err(Broken::StateNoNumber {
                    topic: Named::new(&topic, write.policy),
                    most: it.most,
                }),
            };
        };
        if it.permits(number, present) {
            return Ok(());
        }
        let is_readable = write.policy.may_receive(topic.as_str());
        let said = Present::new(reading.as_ref(), &known, is_readable);
        Err(Broken::Change {
            number,
            most: it.most,
            topic: Named::new(&topic, write.policy),
            present: is_readable.then_some((present, said)),
        })
    }

    /// What to await of an effect after the write.
    fn awaited(&self, effect: &Effect, write: Write<'_>) -> Result<Awaited, Broken> {
        let topic = filled(&effect.state, write)?;
        let unseen = |why| Broken::EffectUnseen {
            topic: Named::new(&topic, write.policy),
            why,
        };
        let fact = self.facts.find(&topic);
        let fact = fact.ok_or_else(|| unseen(Unknown::NotWatched(None)))?;
        if !fact.is_watched() {
            let known = fact.known(Counts::Last, write.now);
            return Err(unseen(known.err().unwrap_or(Unknown::NotWatched(None))));
        }
        if is_ambiguous_at(&write.message.payload, effect.shows.field()) {
            return Err(Broken::Ambiguous);
        }
        let expected = effect.shows.expected(&write.message.payload);
        let expected = expected.ok_or_else(|| Broken::NoValue {
            field: effect.shows.field().map(ToString::to_string),
        })?;
        let is_readable = write.policy.may_receive(topic.as_str());
        Ok(Awaited::new(fact, effect, expected, is_readable, write.now))
    }

    fn known(&self, topic: &TopicName, counts: Counts, now: Instant) -> Result<Known, Unknown> {
        match self.facts.find(topic) {
            Some(fact) => fact.known(counts, now),
            None => Err(Unknown::NotWatched(None)),
        }
    }
}

impl Begun {
    /// The message was not sent and will not be, so that it does not count.
    pub(super) fn was_not_sent(self) {
        if let Some(under_way) = self.under_way {
            under_way.was_not_done();
        }
    }
}

impl Needed {
    pub(super) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    pub(super) fn facts(&self) -> impl Iterator<Item = &Rc<Fact>> {
        self.0.iter().map(|it| &it.fact)
    }

    /// Waits until each value is known, for a short time after its topic is watched: a device that sends regularly has
    /// sent by then, and a silent one is not waited for each time.
    pub(in crate::tools) async fn known(&self, until: Instant) {
        if !self.is_empty() {
            // Boxed, because a publish without rules must not pay for it.
            Box::pin(self.all_known(until)).await;
        }
    }

    async fn all_known(&self, until: Instant) {
        let ends = self.0.iter().map(|it| it.fact.since() + PATIENCE);
        let Some(end) = ends.max() else { return };
        let known = poll_fn(|context| {
            let now = time::now();
            if self.0.iter().all(|it| it.is_known(now)) {
                return Poll::Ready(());
            }
            self.0.iter().for_each(|it| it.fact.register(context));
            Poll::Pending
        });
        smol::future::or(known, time::at(end.min(until))).await;
    }
}

impl NeededFact {
    fn is_known(&self, now: Instant) -> bool {
        let known = |counts| self.fact.known(counts, now).is_ok();
        // What cannot be watched is not waited for.
        self.counts.is_none_or(known) || !self.fact.is_watched()
    }
}

fn filled(template: &TopicTemplate, write: Write<'_>) -> Result<TopicName, Broken> {
    let topic = template.fill(&write.message.topic);
    topic.ok_or_else(|| Broken::NoTopic {
        template: Named::template(template, write.policy),
    })
}

fn number_of(payload: &[u8], change: &MaxChange) -> Result<f64, Broken> {
    if is_ambiguous_at(payload, change.field.as_ref()) {
        return Err(Broken::Ambiguous);
    }
    let reading = Reading::of(payload, change.field.as_ref()).ok();
    let number = reading.as_ref().and_then(Reading::number);
    number.ok_or_else(|| Broken::NoNumber {
        field: change.field.as_ref().map(ToString::to_string),
    })
}

/// For how long the rules count a write; None where none does.
fn counted_for(rules: &[&WriteRule]) -> Option<Duration> {
    let limits = rules.iter().flat_map(|rule| &rule.limits);
    let counted = limits.filter_map(|limit| match limit {
        WriteLimit::MinInterval(least) => Some(*least),
        WriteLimit::MaxPerMinute(_) => Some(MINUTE),
        _ => None,
    });
    counted.max()
}

/// How long a value is waited for when its topic has just been watched.
const PATIENCE: Duration = Duration::from_secs(5);
