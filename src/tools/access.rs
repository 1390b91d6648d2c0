//! Access to the broker: every publish and every subscription of a caller passes through this module.
//!
//! Promises: the policy is checked when a request begins, while it runs and, for a subscription, at every message. A
//! request without permission does not reach the broker, and a message without permission reaches no caller.
//! Does not: expose the MQTT client. Further rules for every caller (an audit record) belong here.

mod admitted;
mod consent;
mod denied;
mod follow;
mod halted;
mod live_policy;
mod prepare;
mod quota;
mod rate;
mod reader;
mod recent_topics;
mod rules;
mod share;
mod write_record;

use std::cell::Cell;
use std::future::Future;
use std::rc::{Rc, Weak};

use mcpmqtt_config::{Attempt, Permit, Policy, Profiles, Refusal};
use mcpmqtt_protocol::client::{Listen, ListenError, Reason};
use mcpmqtt_protocol::message::Message;
use mcpmqtt_protocol::topic::SubscribeFilter;
use smol::LocalExecutor;

pub(super) use self::admitted::{Admitted, Begun};
use self::consent::Consents;
pub(super) use self::consent::{Agreed, OPEN_FOR, Request};
pub(super) use self::denied::{Denied, Published, Wording};
pub(super) use self::follow::Follow;
use self::live_policy::{CallerPolicy, LivePolicy};
use self::quota::Quotas;
use self::rate::Rates;
pub(super) use self::reader::Reader;
use self::recent_topics::RecentTopics;
use self::rules::WriteRules;
pub(super) use self::rules::{Awaited, Effects, MOST_FACTS, Needed, RuleReport};
use self::write_record::WriteRecord;
use crate::audit::Audit;
use crate::mcp::{Caller, Places};
use crate::metrics::Metrics;
use crate::mqtt::{self, ListenFailure, Observing, Tap, Tapped};
use crate::operator::Operator;

/// Access to the broker under the policy of each caller. Cheap to clone; clones share their state.
#[derive(Clone, Debug)]
pub(super) struct Access {
    client: mqtt::Client,
    policy: LivePolicy,
    rates: Rates,
    quotas: Quotas,
    metrics: Metrics,
    listeners: Places,
    recent_topics: RecentTopics,
    rules: WriteRules,
    operator: Operator,
    audit: Option<Audit>,
    consents: Consents,
}

/// Why a filter is not observed.
pub(super) struct NotObserved {
    pub(super) why: String,
    /// The connection ends with the filter: another attempt would end another connection.
    pub(super) is_final: bool,
}

impl Access {
    /// Creates the access over `client` under `profiles`; `listeners` are the places of calls that wait for messages.
    /// Publishes are counted in `metrics` and recorded in `audit`; `operator` may halt them; `executor` ends what rules on
    /// writes no longer need.
    pub(super) fn new(
        client: mqtt::Client,
        profiles: Profiles,
        listeners: Places,
        metrics: &Metrics,
        operator: Operator,
        audit: Option<Audit>,
        executor: Weak<LocalExecutor<'static>>,
    ) -> Access {
        reserve(&client, &profiles);
        let policy = LivePolicy::new(profiles);
        let looking = policy.clone();
        let consents = Consents::new(&client, &operator, metrics, executor.clone());
        consents.judge_at_changes(&operator, &policy);
        operator.on_change(move || looking.look_again());
        consents.replace_profiles(&policy.profiles());
        consents.prepare(&client, &policy.profiles());
        Access {
            client,
            consents,
            policy,
            rates: Rates::default(),
            quotas: Quotas::default(),
            metrics: metrics.clone(),
            listeners,
            recent_topics: RecentTopics::default(),
            rules: WriteRules::new(executor),
            operator,
            audit,
        }
    }

    /// Begins the attempt of a caller's tool to publish a message, with the agreement to it. What comes of it is
    /// recorded, whatever becomes of the call.
    pub(super) fn begin<'a>(
        &'a self,
        caller: &'a Caller,
        tool: &'static str,
        message: &'a Message,
        agreed: Agreed,
    ) -> Begun<'a> {
        let policy = self.policy.of(caller);
        let current = policy.current();
        let record = self.audit.as_ref().map(|audit| (audit, &*current));
        let record = WriteRecord::begin(&self.metrics, record, caller, tool, message);
        Begun {
            access: self,
            caller,
            record: record.with_consent(agreed.by()),
            policy,
            message,
            agreed,
            halts: self.client.halts(),
        }
    }

    /// Whether a person at a client may have to be asked, as the profiles in force say.
    pub(super) fn asks_clients(&self) -> Rc<Cell<bool>> {
        self.consents.asks_clients()
    }

    /// Whether the caller is offered the tool with this name.
    pub(super) fn offers(&self, caller: &Caller, tool: &str) -> bool {
        let profiles = self.policy.profiles();
        let profile = profiles.get(caller.profile());
        profile.is_some_and(|profile| profile.tools.offers(tool))
    }

    /// Subscribes for a caller; when this returns, the broker has granted the subscription.
    ///
    /// # Errors
    /// [`Denied::Policy`], [`Denied::Withdrawn`], [`Denied::Listeners`] or [`Denied::Broker`].
    pub(super) async fn subscribe(
        &self,
        caller: &Caller,
        listen: Listen,
    ) -> Result<Reader, Denied> {
        let may_subscribe = |policy: &Policy| policy.may_subscribe(&listen.filter);
        let subscribing = async {
            let place = self.listeners.enter(caller.id());
            let place = place.map_err(Denied::Listeners)?;
            let inbox = self.client.listen(listen.clone()).await;
            let inbox = inbox.map_err(|failure| Denied::subscribe(&failure))?;
            Ok((place, inbox))
        };
        let policy = self.policy.of(caller);
        let subscribed = policy.while_permitted(may_subscribe, subscribing).await;
        let subscribed = subscribed.and_then(|subscribed| subscribed);
        self.tell_read(caller, listen.filter.as_str(), subscribed.as_ref().err());
        let (place, inbox) = subscribed?;
        Ok(self.reader(&policy, listen, inbox).with_place(place))
    }

    /// Subscribes for a watch that callers with permission share; without a connection this waits for one.
    ///
    /// # Errors
    /// [`Denied::Policy`], [`Denied::Withdrawn`] or [`Denied::Broker`].
    pub(super) async fn watch(&self, listen: Listen) -> Result<Reader, Denied> {
        let may_subscribe = |policy: &Policy| policy.may_subscribe(&listen.filter);
        let listening = async {
            let mut states = self.client.changes();
            loop {
                match self.client.listen(listen.clone()).await {
                    Err(failure) if self.is_offline(&failure) && states.connected().await => {}
                    ended => return ended,
                }
            }
        };
        // Each subscriber is judged on its own: see `resources`.
        let policy = self.policy.of_anyone();
        let inbox = policy.while_permitted(may_subscribe, listening).await?;
        let inbox = inbox.map_err(|failure| Denied::Broker(failure.to_string()))?;
        Ok(self.reader(&policy, listen, inbox))
    }

    /// Calls `tap` for a caller with each message of `filter` that the policy permits, as it arrives; when this returns,
    /// the broker has granted the subscription.
    ///
    /// # Errors
    /// [`Denied::Policy`], [`Denied::Withdrawn`], [`Denied::Listeners`] or [`Denied::Broker`].
    pub(super) async fn follow(
        &self,
        caller: &Caller,
        filter: SubscribeFilter,
        tap: Tap,
    ) -> Result<Follow, Denied> {
        let policy = self.policy.of(caller);
        let may_subscribe = |policy: &Policy| policy.may_subscribe(&filter);
        let subscribing = async {
            let place = self.listeners.enter(caller.id());
            let place = place.map_err(Denied::Listeners)?;
            let tap = permitted(policy.clone(), tap);
            let observing = self.client.observe(filter.clone(), true, tap).await;
            let observing = observing.map_err(|failure| Denied::subscribe(&failure))?;
            Ok((place, observing))
        };
        let subscribed = policy.while_permitted(may_subscribe, subscribing).await;
        let subscribed = subscribed.and_then(|subscribed| subscribed);
        self.tell_read(caller, filter.as_str(), subscribed.as_ref().err());
        let (place, observing) = subscribed?;
        Ok(Follow::new(filter, observing, &policy, place))
    }

    /// Calls `tap` for all callers with each message of `filter`, permitted or not. It takes no place of a caller, and
    /// risks the connection once at most.
    ///
    /// # Errors
    /// Why the filter is not observed.
    pub(super) async fn observe(
        &self,
        filter: SubscribeFilter,
        tap: Tap,
    ) -> Result<Observing, NotObserved> {
        let may_subscribe = |policy: &Policy| policy.may_subscribe(&filter);
        let subscribing = self.client.observe(filter.clone(), false, tap);
        let policy = self.policy.of_anyone();
        let subscribed = policy.while_permitted(may_subscribe, subscribing);
        let subscribed = subscribed.await.map_err(|denied| NotObserved {
            why: denied.to_string(),
            is_final: false,
        })?;
        subscribed.map_err(|failure| NotObserved {
            why: Denied::subscribe(&failure).to_string(),
            is_final: cuts_connection(&failure),
        })
    }

    /// Waits for a connection. False when there will be none.
    pub(super) async fn connected(&self) -> bool {
        self.client.changes().connected().await
    }

    /// Waits until the broker has answered a ping: what it had sent before has arrived. False when the connection ended.
    pub(super) async fn ping(&self) -> bool {
        self.client.ping().await
    }

    /// Runs `work` as long as the caller's policy permits it: work that waits in a queue ends when its permission is withdrawn.
    ///
    /// # Errors
    /// [`Denied::Policy`] or [`Denied::Withdrawn`].
    pub(super) async fn while_permitted<T>(
        &self,
        caller: &Caller,
        permitted: impl Fn(&Policy) -> Result<(), Refusal>,
        work: impl Future<Output = T>,
    ) -> Result<T, Denied> {
        self.policy
            .of(caller)
            .while_permitted(permitted, work)
            .await
    }

    /// Records that a caller begins to read, or is denied it, where reads are recorded.
    pub(super) fn tell_read(&self, caller: &Caller, filter: &str, denied: Option<&Denied>) {
        if let Some(audit) = &self.audit {
            audit.read(caller, filter, denied.map(Denied::to_string).as_deref());
        }
    }

    /// The caller's policy at this moment, for descriptions.
    pub(super) fn policy(&self, caller: &Caller) -> Rc<Policy> {
        self.policy.of(caller).current()
    }

    /// What any profile permits at this moment, for work that is done for all callers together.
    pub(super) fn policy_of_anyone(&self) -> Rc<Policy> {
        self.policy.of_anyone().current()
    }

    /// The profiles at this moment.
    pub(super) fn profiles(&self) -> Rc<Profiles> {
        self.policy.profiles()
    }

    /// Replaces the profiles in force.
    pub(super) fn replace_profiles(&self, profiles: Profiles) {
        reserve(&self.client, &profiles);
        self.consents.replace_profiles(&profiles);
        self.policy.replace(profiles);
        self.consents.judge(&self.policy);
    }

    /// Ends what is kept between the calls of these callers, who are not let in any more.
    pub(super) fn dismiss(&self, whose: &dyn Fn(&Caller) -> bool) {
        self.consents.dismiss(whose);
    }

    /// Waits until no work continues that the policy in force does not permit.
    pub(super) async fn settled(&self) {
        self.policy.settled().await;
    }

    pub(super) fn is_connected(&self) -> bool {
        self.client.is_connected()
    }

    pub(super) fn last_reason(&self) -> Reason {
        self.client.last_reason()
    }

    /// The topics of recent messages with this beginning.
    pub(super) fn recent_topics(&self, beginning: &str) -> Vec<String> {
        self.recent_topics.beginning_with(beginning)
    }

    /// Whether a request failed for want of a connection.
    fn is_offline(&self, failure: &ListenFailure) -> bool {
        match failure {
            ListenFailure::Refused(ListenError::NotConnected(_)) => true,
            ListenFailure::Broker(_) => !self.client.is_connected() && !cuts_connection(failure),
            ListenFailure::Refused(_) | ListenFailure::Ended => false,
        }
    }

    fn reader(&self, policy: &CallerPolicy, listen: Listen, inbox: mqtt::Inbox) -> Reader {
        let recent_topics = self.recent_topics.clone();
        Reader::new(listen.filter, inbox, policy, recent_topics)
    }
}

/// What is the operator's reaches no inbox, no table and no count: a caller that subscribes to `#` is not told that there
/// was anything, nor that it was lost.
fn reserve(client: &mqtt::Client, profiles: &Profiles) {
    let policy = &profiles.default_profile().policy;
    client.reserve(policy.reserved().cloned());
}

/// A broker may send messages that were not subscribed to; the permission applies to the topic of the message.
fn permitted(policy: CallerPolicy, tap: Tap) -> Tap {
    Rc::new(move |now, tapped| {
        let topic = match &tapped {
            Tapped::Message { message, .. } => Some(&message.topic),
            Tapped::TooLarge(large) => Some(&large.topic),
            Tapped::Interrupted | Tapped::Ended(_) => None,
        };
        if topic.is_none_or(|topic| policy.current().may_receive(topic.as_str())) {
            tap(now, tapped);
        }
    })
}

/// Whether the policy permits the message, its payload included.
pub(super) fn may_publish(policy: &Policy, message: &Message) -> Result<(), Refusal> {
    judged(policy, message).map(drop)
}

fn judged<'a>(policy: &'a Policy, message: &'a Message) -> Result<Permit<'a>, Refusal> {
    policy.judge(&Attempt {
        topic: &message.topic,
        payload: &message.payload,
        retain: message.retain,
    })
}

fn cuts_connection(failure: &ListenFailure) -> bool {
    let (ListenFailure::Broker(reason) | ListenFailure::Refused(ListenError::GivenUp(reason))) =
        failure
    else {
        return false;
    };
    matches!(
        reason,
        Reason::FilterCutsConnection | Reason::FilterEndsConnection(_) | Reason::BringsMalformed(_)
    )
}
