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
mod simulation;
mod when;

use std::rc::Rc;
use std::sync::Arc;
use std::time::{Duration, Instant};

use mcpmqtt_config::Policy;
use mcpmqtt_protocol::message::Message;
use serde::Serialize;

use self::confirm::{Confirm, Confirmation};
use self::when::{Reaction, When, WhenResult};
use super::Context;
use super::access::{Denied, Wording, may_publish};
use super::arguments::Arguments;
use super::deadline::Deadline;
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
    let publication = Publication {
        context: &context,
        client: &call.client,
        message,
        timeout,
        deadline: Deadline::new(timeout, call.progress, &call.client),
    };
    match (when, confirm) {
        (None, None) => publication.at_once().await,
        // Boxed, because a plain publish must not pay for what the others need.
        (when, confirm) => Box::pin(publication.with_conditions(when, confirm)).await,
    }
}

impl Publication<'_> {
    async fn at_once(&self) -> Result<ToolResult, String> {
        let (outcome, sent) = self.publish().await.map_err(in_words)?;
        Ok(self.told(outcome, Some(sent), None, None))
    }

    /// Publishes when the condition is met, and waits for the confirmation.
    async fn with_conditions(
        &self,
        when: Option<When>,
        confirm: Option<Confirm>,
    ) -> Result<ToolResult, String> {
        // What is forbidden fails before the wait.
        let access = &self.context.access;
        let permitted = |policy: &Policy| may_publish(policy, &self.message);
        let waiting = async {
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
            Ok::<_, String>((confirming, reaction))
        };
        let caller = self.client.caller();
        let ended = access.while_permitted(caller, permitted, waiting).await;
        let (confirming, reaction) = ended.map_err(|denied| {
            access.refused(caller, TOOL, &self.message, &denied);
            denied.tell(&NOT_YET)
        })??;
        if let Some(Reaction::NotMet(result)) = reaction {
            return Ok(self.told("not_sent", None, Some(result), None));
        }
        if let Some(confirming) = &confirming {
            confirming.begin_anew();
        }
        let (outcome, sent) = self.publish().await.map_err(in_words)?;
        let when = reaction.map(|reaction| reaction.fired(sent));
        let confirmation = match &confirming {
            Some(confirming) => Some(confirming.end(&self.deadline, sent).await?),
            None => None,
        };
        Ok(self.told(outcome, Some(sent), when, confirmation))
    }

    async fn publish(&self) -> Result<(&'static str, Instant), Denied> {
        let access = &self.context.access;
        let admitted = access.admit(self.client.caller(), TOOL, &self.message)?;
        let sent = time::now();
        let published = admitted.publish(sent + self.timeout).await?;
        Ok((published.name(), sent))
    }

    fn told(
        &self,
        outcome: &'static str,
        sent: Option<Instant>,
        when: Option<WhenResult>,
        confirmation: Option<Confirmation>,
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
