//! Access to the broker: every publish and every subscription of a caller passes through this module.
//!
//! Promises: the policy is checked when a request begins, while it runs and, for a subscription, at every message. A
//! request without permission does not reach the broker, and a message without permission reaches no caller.
//! Does not: expose the MQTT client. Further rules for every caller (limits, an audit record, a stop) belong here.

mod denied;
mod follow;
mod live_policy;
mod rate;
mod reader;
mod recent_topics;

use std::future::Future;
use std::rc::Rc;
use std::time::Instant;

use mcpmqtt_config::{Attempt, Policy, Refusal};
use mcpmqtt_protocol::client::{Listen, ListenError, Reason};
use mcpmqtt_protocol::message::Message;
use mcpmqtt_protocol::topic::SubscribeFilter;

pub(super) use self::denied::{Denied, Published, Wording};
pub(super) use self::follow::Follow;
use self::live_policy::LivePolicy;
use self::rate::Rates;
pub(super) use self::reader::Reader;
use self::recent_topics::RecentTopics;
use crate::local::time;
use crate::mcp::{Caller, Places};
use crate::mqtt::{self, ListenFailure, Observing, Tap, Tapped};

/// Access to the broker under the policy. Cheap to clone; clones share their state.
#[derive(Clone, Debug)]
pub(super) struct Access {
    client: mqtt::Client,
    policy: LivePolicy,
    rates: Rates,
    listeners: Places,
    recent_topics: RecentTopics,
}

/// Why a filter is not observed.
pub(super) struct NotObserved {
    pub(super) why: String,
    /// The connection ends with the filter: another attempt would end another connection.
    pub(super) is_final: bool,
}

/// A message that passed the checks of [`Access::admit`].
pub(super) struct Admitted<'a> {
    access: &'a Access,
    message: &'a Message,
}

impl Access {
    /// Creates the access over `client` and `policy`. Each caller may publish `publishes_per_second`, 0 for no limit;
    /// `listeners` are the places of calls that wait for messages.
    pub(super) fn new(
        client: mqtt::Client,
        policy: Policy,
        publishes_per_second: usize,
        listeners: Places,
    ) -> Access {
        Access {
            client,
            policy: LivePolicy::new(policy),
            rates: Rates::new(publishes_per_second),
            listeners,
            recent_topics: RecentTopics::default(),
        }
    }

    /// Checks a caller's message against the policy and the rate.
    ///
    /// # Errors
    /// [`Denied::Policy`], or [`Denied::Rate`]; a refused message is not counted.
    pub(super) fn admit<'a>(
        &'a self,
        caller: &Caller,
        message: &'a Message,
    ) -> Result<Admitted<'a>, Denied> {
        may_publish(&self.policy.current(), message).map_err(Denied::Policy)?;
        let counted = self.rates.take(caller.id(), time::now());
        counted.map_err(Denied::Rate)?;
        Ok(Admitted {
            access: self,
            message,
        })
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
        let subscribed = self.policy.while_permitted(may_subscribe, subscribing);
        let (place, inbox) = subscribed.await??;
        Ok(self.reader(listen, inbox).with_place(place))
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
        let inbox = self
            .policy
            .while_permitted(may_subscribe, listening)
            .await?;
        let inbox = inbox.map_err(|failure| Denied::Broker(failure.to_string()))?;
        Ok(self.reader(listen, inbox))
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
        let may_subscribe = |policy: &Policy| policy.may_subscribe(&filter);
        let subscribing = async {
            let place = self.listeners.enter(caller.id());
            let place = place.map_err(Denied::Listeners)?;
            let tap = self.permitted(tap);
            let observing = self.client.observe(filter.clone(), true, tap).await;
            let observing = observing.map_err(|failure| Denied::subscribe(&failure))?;
            Ok((place, observing))
        };
        let subscribed = self.policy.while_permitted(may_subscribe, subscribing);
        let (place, observing) = subscribed.await??;
        Ok(Follow::new(filter, observing, &self.policy, place))
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
        let subscribed = self.policy.while_permitted(may_subscribe, subscribing);
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

    /// A broker may send messages that were not subscribed to; the permission applies to the topic of the message.
    fn permitted(&self, tap: Tap) -> Tap {
        let policy = self.policy.clone();
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

    /// Runs `work` as long as the policy permits it: work that waits in a queue ends when its permission is withdrawn.
    ///
    /// # Errors
    /// [`Denied::Policy`] or [`Denied::Withdrawn`].
    pub(super) async fn while_permitted<T>(
        &self,
        permitted: impl Fn(&Policy) -> Result<(), Refusal>,
        work: impl Future<Output = T>,
    ) -> Result<T, Denied> {
        self.policy.while_permitted(permitted, work).await
    }

    /// The policy at this moment, for descriptions.
    pub(super) fn policy(&self) -> Rc<Policy> {
        self.policy.current()
    }

    /// Replaces the policy in force.
    pub(super) fn replace_policy(&self, policy: Policy) {
        self.policy.replace(policy);
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

    fn reader(&self, listen: Listen, inbox: mqtt::Inbox) -> Reader {
        let recent_topics = self.recent_topics.clone();
        Reader::new(listen.filter, inbox, &self.policy, recent_topics)
    }
}

impl Admitted<'_> {
    /// Publishes the message and waits for its outcome, until `deadline` at the latest. Dropping the future takes the
    /// message back if it was not sent yet.
    ///
    /// # Errors
    /// [`Denied::Withdrawn`]; [`Denied::Broker`] when nothing was sent; [`Denied::Unknown`] when it is not known
    /// whether the message was delivered.
    pub(super) async fn publish(&self, deadline: Instant) -> Result<Published, Denied> {
        let Admitted { access, message } = self;
        let permitted = |policy: &Policy| may_publish(policy, message);
        // Pinned here so that the future is not moved into each future around it: see the module docs of `http`.
        let sending = std::pin::pin!(access.client.publish((*message).clone(), deadline));
        let outcome = access.policy.while_permitted(permitted, sending).await?;
        Published::of(outcome.map_err(|error| Denied::publish(&error))?)
    }
}

fn may_publish(policy: &Policy, message: &Message) -> Result<(), Refusal> {
    let attempt = Attempt {
        topic: &message.topic,
        payload: &message.payload,
        retain: message.retain,
    };
    policy.judge(&attempt).map(drop)
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
