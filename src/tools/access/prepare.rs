//! What a message needs before it is sent where rules on writes name other topics, and what they would say of it.

use std::rc::Rc;
use std::time::Instant;

use mcpmqtt_config::Policy;
use mcpmqtt_protocol::client::Reason;
use mcpmqtt_protocol::message::Message;
use mcpmqtt_protocol::topic::{SubscribeFilter, TopicName};

use super::rules::{Fact, Needed, RuleReport};
use super::{Access, Denied, cuts_connection, may_publish};
use crate::local::time;
use crate::mcp::Caller;
use crate::operator::Verdict;

impl Access {
    /// Has the topics watched that rules on writes to `topic` need, until `until` at the latest. What is not known when a
    /// message is sent is refused; [`Needed::known`] waits for it.
    pub(in crate::tools) async fn prepare(
        &self,
        caller: &Caller,
        topic: &TopicName,
        until: Instant,
    ) -> Needed {
        let needed = self
            .rules
            .needed(caller.name(), &self.policy(caller), topic);
        if !needed.is_empty() {
            // Boxed, because a publish without rules must not pay for it.
            Box::pin(self.watch_needed(&needed, until)).await;
        }
        needed
    }

    /// As [`prepare`](Self::prepare) for the topic of `message`, until all is known, or until a halt or a withdrawn permission
    /// ends the wait.
    pub(in crate::tools) async fn prepare_known(
        &self,
        caller: &Caller,
        message: &Message,
        until: Instant,
    ) -> Needed {
        let policy = self.policy(caller);
        let needed = self.rules.needed(caller.name(), &policy, &message.topic);
        if !needed.is_empty() {
            let knowing = async {
                self.watch_needed(&needed, until).await;
                needed.known(until).await;
            };
            let permitted = |policy: &Policy| may_publish(policy, message);
            let knowing = self.unless_halted(message, knowing);
            // Boxed as above. Whoever hands the message over is told what ended the wait.
            let _ = Box::pin(self.while_permitted(caller, permitted, knowing)).await;
        }
        needed
    }

    async fn watch_needed(&self, needed: &Needed, until: Instant) {
        let watching = async {
            for fact in needed.facts().filter(|fact| fact.is_to_be_watched()) {
                self.watch_fact(fact).await;
            }
        };
        smol::future::or(watching, time::at(until)).await;
    }

    /// The operator's rule names the topic, so callers need no permission for it; the connection is risked once at most.
    async fn watch_fact(&self, fact: &Rc<Fact>) {
        let Ok(filter) = SubscribeFilter::parse(fact.topic().as_str()) else {
            return fact.refused("it cannot be subscribed to".into(), true);
        };
        let _asking = fact.asks();
        match self.client.observe(filter, false, fact.tap()).await {
            Ok(observing) => fact.granted(time::now(), observing),
            Err(failure) => {
                let why = Denied::subscribe(&failure).to_string();
                fact.refused(why, cuts_connection(&failure));
            }
        }
    }

    /// What the rules on writes say of a message now.
    pub(in crate::tools) fn rule_report(
        &self,
        caller: &Caller,
        message: &Message,
    ) -> Vec<RuleReport> {
        self.rules.report(&self.policy(caller), message)
    }

    /// Whether a message would be permitted now; nothing is counted.
    ///
    /// # Errors
    /// [`Denied::Policy`], [`Denied::Halted`] or [`Denied::Rule`].
    pub(in crate::tools) fn would_permit(
        &self,
        caller: &Caller,
        message: &Message,
    ) -> Result<(), Denied> {
        self.would_begin(caller, message)?;
        let policy = self.policy(caller);
        let judged = self.rules.judge_all(&policy, message, time::now());
        judged.map_err(Denied::Rule)
    }

    /// Whether a message would be permitted whatever the rules on writes say.
    ///
    /// # Errors
    /// [`Denied::Policy`] or [`Denied::Halted`].
    pub(in crate::tools) fn would_begin(
        &self,
        caller: &Caller,
        message: &Message,
    ) -> Result<(), Denied> {
        may_publish(&self.policy(caller), message).map_err(Denied::Policy)?;
        self.may_write_now(message)
    }

    /// Whether a message that is permitted and agreed to would be admitted, recorded and taken by the connection; nothing is
    /// counted or recorded. One that is not sent `now` has its share of the rate later.
    ///
    /// # Errors
    /// [`Denied::Quota`], [`Denied::Rate`], [`Denied::Unrecorded`] or [`Denied::Broker`].
    pub(in crate::tools) fn would_admit(
        &self,
        caller: &Caller,
        message: &Message,
        now: bool,
    ) -> Result<(), Denied> {
        if now {
            self.has_share(caller)?;
        }
        if let Some(audit) = &self.audit {
            audit.would_record().map_err(Denied::Unrecorded)?;
        }
        let taken = self.client.would_publish(message);
        taken.map_err(|error| Denied::publish(&error))
    }

    /// Waits, as a publish does, for the first attempt to connect and for the word that nobody has halted writing, until
    /// `until` at the latest.
    pub(in crate::tools) async fn ready(&self, until: Instant) {
        let ready = async {
            let mut changes = self.client.changes();
            while matches!(self.last_reason(), Reason::NeverConnected) && !self.is_connected() {
                changes.next().await;
            }
            if !self.is_connected() {
                return;
            }
            let verdicts = self.operator.changes();
            verdicts.until(|verdict| *verdict != Verdict::Waiting).await;
        };
        smol::future::or(ready, time::at(until)).await;
    }
}
