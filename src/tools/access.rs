//! The one way to the broker: everything that a caller publishes or subscribes to passes here.
//!
//! Promises: the policy judges each attempt when it begins, while it goes on and, of a subscription, every message that
//! comes; whatever is not permitted does not reach the broker, and what the broker sends without permission reaches
//! nobody.
//! Does not: hand out the MQTT client. What else is to hold for every caller (limits, a record, a stop) belongs here.

mod denied;
mod live_policy;
mod rate;
mod reader;
mod recent_topics;

use std::future::Future;
use std::rc::Rc;
use std::time::Instant;

use mcpmqtt_config::{Attempt, Policy, Refusal};
use mcpmqtt_protocol::client::{Listen, Reason};
use mcpmqtt_protocol::message::Message;

pub(super) use self::denied::{Denied, Published, Wording};
use self::live_policy::LivePolicy;
use self::rate::Rates;
pub(super) use self::reader::Reader;
use self::recent_topics::RecentTopics;
use crate::mcp::{Caller, Places};
use crate::mqtt::{self, ListenFailure};

/// Access to the broker within the policy. Cheap to clone; clones are the same access.
#[derive(Clone, Debug)]
pub(super) struct Access {
    client: mqtt::Client,
    policy: LivePolicy,
    rates: Rates,
    listeners: Places,
    recent_topics: RecentTopics,
}

/// A message that its caller may publish.
pub(super) struct Admitted<'a> {
    access: &'a Access,
    message: &'a Message,
}

impl Access {
    /// Access by `client` within `policy`. Each caller may publish `publishes_per_second`, 0 for any number; `listeners`
    /// are the places of those who wait for messages.
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

    /// Admits a message of this caller.
    ///
    /// # Errors
    /// [`Denied::Policy`], or [`Denied::Rate`]: then nothing is counted.
    pub(super) fn admit<'a>(
        &'a self,
        caller: &Caller,
        message: &'a Message,
    ) -> Result<Admitted<'a>, Denied> {
        may_publish(&self.policy.current(), message).map_err(Denied::Policy)?;
        let counted = self.rates.take(caller.id(), Instant::now());
        counted.map_err(Denied::Rate)?;
        Ok(Admitted {
            access: self,
            message,
        })
    }

    /// Subscribes for this caller; when this returns, the broker has granted it.
    ///
    /// # Errors
    /// [`Denied::Policy`], [`Denied::Withdrawn`], [`Denied::Listeners`] or [`Denied::Broker`].
    pub(super) async fn subscribe(
        &self,
        caller: &Caller,
        listen: Listen,
    ) -> Result<Reader, Denied> {
        let may_subscribe = |policy: &Policy| policy.may_subscribe(&listen.filter);
        may_subscribe(&self.policy.current()).map_err(Denied::Policy)?;
        let place = self
            .listeners
            .enter(caller.id())
            .map_err(Denied::Listeners)?;
        let listening = self.client.listen(listen.clone());
        let listening = self.policy.while_permitted(may_subscribe, listening);
        let inbox = listening.await?;
        let inbox = inbox.map_err(|failure| Denied::subscribe(&failure))?;
        Ok(self.reader(listen, inbox).with_place(place))
    }

    /// Subscribes to what is watched for whoever may read it; while there is no connection it waits for one.
    ///
    /// # Errors
    /// [`Denied::Policy`], [`Denied::Withdrawn`] or [`Denied::Broker`].
    pub(super) async fn watch(&self, listen: Listen) -> Result<Reader, Denied> {
        let may_subscribe = |policy: &Policy| policy.may_subscribe(&listen.filter);
        let listening = async {
            let mut states = self.client.changes();
            loop {
                match self.client.listen(listen.clone()).await {
                    Err(failure) if is_offline(&failure) && states.connected().await => {}
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

    /// Does `work` as long as the policy permits it: what waits its turn ends with its permission.
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

    /// The policy at this moment: for what is told of it.
    pub(super) fn policy(&self) -> Rc<Policy> {
        self.policy.current()
    }

    /// Puts another policy in force.
    pub(super) fn replace_policy(&self, policy: Policy) {
        self.policy.replace(policy);
    }

    /// Waits until nothing goes on that the policy in force does not permit.
    pub(super) async fn settled(&self) {
        self.policy.settled().await;
    }

    /// Whether there is a connection to the broker.
    pub(super) fn is_connected(&self) -> bool {
        self.client.is_connected()
    }

    /// Why there is no connection to the broker.
    pub(super) fn last_reason(&self) -> Reason {
        self.client.last_reason()
    }

    /// The topics that messages came on lately and that begin so.
    pub(super) fn recent_topics(&self, beginning: &str) -> Vec<String> {
        self.recent_topics.beginning_with(beginning)
    }

    fn reader(&self, listen: Listen, inbox: mqtt::Inbox) -> Reader {
        let recent_topics = self.recent_topics.clone();
        Reader::new(listen.filter, inbox, &self.policy, recent_topics)
    }
}

impl Admitted<'_> {
    /// Publishes the message and waits for its outcome, until `deadline` at the latest. To drop the future takes the
    /// message back if it was not sent yet.
    ///
    /// # Errors
    /// [`Denied::Withdrawn`], [`Denied::Broker`] when nothing was sent, [`Denied::Unknown`] when that is not known.
    pub(super) async fn publish(&self, deadline: Instant) -> Result<Published, Denied> {
        let Admitted { access, message } = self;
        let permitted = |policy: &Policy| may_publish(policy, message);
        // Pinned here: each future that it is handed through would have room for it.
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

fn is_offline(failure: &ListenFailure) -> bool {
    use mcpmqtt_protocol::client::ListenError::NotConnected;
    matches!(failure, ListenFailure::Refused(NotConnected(_)))
}
