//! `mqtt_publish`: publishes a message; with `when`, at the moment a condition holds; with `confirm`, until a message
//! shows the effect.
//!
//! Promises: a message is published once at most. A reaction (`when`) is published only after a message that came after
//! the call began, unless the caller says otherwise, and never when its call, its time, its permission or its client is
//! gone. A confirmation counts only messages that came after the publish.

mod confirm;
mod confirm_each;
#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::indexing_slicing, clippy::print_stdout)]
mod consent;
mod dry_run;
#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::indexing_slicing, clippy::print_stdout)]
mod simulation;
mod when;
#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::indexing_slicing, clippy::print_stdout)]
mod write_rules;

use std::rc::Rc;
use std::sync::Arc;
use std::time::{Duration, Instant};

use mcpmqtt_config::Policy;
use mcpmqtt_protocol::message::Message;
use serde::Serialize;

use self::confirm::{Confirm, Confirmation};
use self::when::{Reaction, When, WhenResult};
use super::Context;
use super::access::{Agreed, Denied, Wording, may_publish};
use super::arguments::Arguments;
use super::consent::Attempt;
use super::deadline::Deadline;
use super::effects::{EffectRow, EffectsShown};
use super::sighting::time_of_day;
use crate::local::time;
use crate::mcp::Peer;
use crate::mcp::catalog::{ToolCall, ToolResult};

#[derive(Serialize)]
struct PublishResult<'a> {
    topic: &'a str,
    qos: u8,
    retain: bool,
    bytes: usize,
    outcome: &'static str,
    /// When the message was handed to the connection.
    #[serde(skip_serializing_if = "Option::is_none")]
    sent_at: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    when: Option<WhenResult>,
    #[serde(flatten)]
    confirmation: Option<Confirmation>,
    /// What the operator's rules ask to show.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    effects: Vec<EffectRow>,
}

/// One publish with all that belongs to it.
struct Publication<'a> {
    context: &'a Context,
    client: &'a Peer,
    message: Message,
    /// How long the broker has for its acknowledgement.
    timeout: Duration,
    deadline: Deadline,
}

pub(super) async fn call(context: Rc<Context>, call: ToolCall) -> Result<ToolResult, String> {
    let mut arguments = Arguments::new(call.arguments);
    let timeout = arguments.timeout()?;
    let message = Message {
        topic: arguments.topic("topic")?,
        qos: arguments.qos()?,
        retain: arguments.flag("retain")?,
        payload: Arc::from(arguments.payload()?),
    };
    let when = arguments.object("when")?.map(When::parse).transpose()?;
    let confirm = arguments.object("confirm")?.map(Confirm::parse);
    let confirm = confirm.transpose()?;
    let is_dry = arguments.flag("dry_run")?;
    let publication = Publication {
        context: &context,
        client: &call.client,
        message,
        timeout,
        deadline: Deadline::new(timeout, call.progress, &call.client),
    };
    if is_dry {
        let dry_run = publication.dry_run(when.as_ref(), confirm.as_ref());
        return Ok(Box::pin(dry_run).await);
    }
    match (when, confirm) {
        (None, None) => publication.at_once().await,
        // Boxed, because a plain publish must not pay for what the others need.
        (when, confirm) => Box::pin(publication.with_conditions(when, confirm)).await,
    }
}

impl Publication<'_> {
    /// Has whoever has to agree to the message asked, before anything else is done.
    async fn agreed(
        &mut self,
        when: Option<&When>,
        confirm: Option<&Confirm>,
    ) -> Result<Agreed, String> {
        let reads = [when.map(When::filter), confirm.map(Confirm::filter)];
        let attempt = Attempt {
            client: self.client,
            tool: TOOL,
            message: &self.message,
            when: when.map(When::in_words),
            reads: reads.into_iter().flatten().collect(),
        };
        let agreed = attempt.agreed(self.context, &mut self.deadline).await;
        agreed.map_err(in_words)
    }

    async fn at_once(mut self) -> Result<ToolResult, String> {
        let agreed = self.agreed(None, None).await?;
        let access = &self.context.access;
        let begun = access.begin(self.client.caller(), TOOL, &self.message, agreed);
        let admitted = begun.admit().map_err(in_words)?;
        let until = self.deadline.until();
        let _needed = access
            .prepare_known(self.client.caller(), &self.message, until)
            .await;
        let at = time::now();
        let sent = admitted.publish(at + self.timeout).await;
        // What came of it is recorded now, and not after the effects.
        drop(admitted);
        let sent = sent.map_err(in_words)?;
        let effects = EffectsShown::wait(&sent.effects, &self.deadline).await;
        let confirmation = Confirmation::with(None, &effects);
        let outcome = sent.published.name();
        Ok(self.told(outcome, Some(at), None, confirmation, effects))
    }

    /// Publishes when the condition is met, and waits for the confirmation.
    async fn with_conditions(
        mut self,
        when: Option<When>,
        confirm: Option<Confirm>,
    ) -> Result<ToolResult, String> {
        let agreed = self.agreed(when.as_ref(), confirm.as_ref()).await?;
        // What is forbidden fails before the wait.
        let access = &self.context.access;
        let begun = access.begin(self.client.caller(), TOOL, &self.message, agreed);
        let permitted = |policy: &Policy| may_publish(policy, &self.message);
        let waiting = async {
            let until = self.deadline.until();
            let needed = access
                .prepare(self.client.caller(), &self.message.topic, until)
                .await;
            if when.is_none() {
                needed.known(until).await;
            }
            // An attempt that waits for its moment is recorded when it begins to.
            if when.is_some() {
                begun.write().map_err(in_words)?;
            }
            // The subscription for the confirmation is in place before the condition is met, so that nothing delays the
            // publish then.
            let confirming = match &confirm {
                Some(confirm) => Some(confirm.begin(access, &self.deadline).await?),
                None => None,
            };
            let reaction = match &when {
                Some(when) => Some(when.run(access, &self.deadline, self.client).await?),
                None => None,
            };
            Ok::<_, String>((needed, confirming, reaction))
        };
        let caller = self.client.caller();
        let waiting = access.unless_halted(&self.message, waiting);
        let ended = access.while_permitted(caller, permitted, waiting).await;
        let (_needed, confirming, reaction) = match ended.and_then(|ended| ended) {
            Ok(Ok(ended)) => ended,
            Ok(Err(words)) => {
                begun.given_up("not sent: the call failed before");
                return Err(words);
            }
            Err(denied) => {
                let words = denied.tell(&NOT_YET);
                begun.refused(&denied);
                return Err(words);
            }
        };
        if let Some(Reaction::NotMet(result)) = reaction {
            begun.given_up("not sent: the condition was not met");
            let effects = EffectsShown::default();
            return Ok(self.told("not_sent", None, Some(result), None, effects));
        }
        if let Some(confirming) = &confirming {
            confirming.begin_anew();
        }
        let admitted = begun.admit().map_err(in_words)?;
        let at = time::now();
        let sent = admitted.publish(at + self.timeout).await;
        // What came of it is recorded now, and not after the confirmation.
        drop(admitted);
        let sent = sent.map_err(in_words)?;
        let when = reaction.map(|reaction| reaction.fired(at));
        let confirmation = match &confirming {
            Some(confirming) => Some(confirming.end(&self.deadline, at).await?),
            None => None,
        };
        let effects = EffectsShown::wait(&sent.effects, &self.deadline).await;
        let confirmation = Confirmation::with(confirmation, &effects);
        let outcome = sent.published.name();
        Ok(self.told(outcome, Some(at), when, confirmation, effects))
    }

    fn told(
        &self,
        outcome: &'static str,
        sent: Option<Instant>,
        when: Option<WhenResult>,
        confirmation: Option<Confirmation>,
        effects: EffectsShown,
    ) -> ToolResult {
        ToolResult::structured(&PublishResult {
            topic: self.message.topic.as_str(),
            qos: self.message.qos as u8,
            retain: self.message.retain,
            bytes: self.message.payload.len(),
            outcome,
            sent_at: sent.map(time_of_day),
            when,
            confirmation,
            effects: effects.0,
        })
    }
}

fn in_words(denied: Denied) -> String {
    denied.tell(&WORDING)
}

const TOOL: &str = "mqtt_publish";
const WORDING: Wording = Wording {
    not_done: "not published",
    meaning: "The message did not reach the broker.",
    withdrawn: "The message may have reached the broker; it is not sent again.",
};
/// While the condition is waited for.
const NOT_YET: Wording = Wording {
    not_done: "not published",
    meaning: "Nothing was sent.",
    withdrawn: "Nothing was sent.",
};
