//! `mqtt_publish`.

use std::pin::pin;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Instant;

use mcpmqtt_config::Policy;
use mcpmqtt_protocol::client::{Outcome, PublishError};
use mcpmqtt_protocol::message::Message;
use serde::Serialize;

use super::Access;
use super::arguments::Arguments;
use crate::mcp::catalog::{ToolCall, ToolResult};

#[derive(Serialize)]
struct Published<'a> {
    topic: &'a str,
    qos: u8,
    retain: bool,
    bytes: usize,
    outcome: &'static str,
}

pub(super) async fn call(access: Rc<Access>, call: ToolCall) -> Result<ToolResult, String> {
    let mut arguments = Arguments::new(call.arguments);
    let deadline = Instant::now() + arguments.timeout()?;
    let message = Message {
        topic: arguments.topic("topic")?,
        qos: arguments.qos()?,
        retain: arguments.flag("retain")?,
        payload: Arc::from(arguments.payload()?),
    };
    let allowed = |policy: &Policy| policy.may_publish(&message.topic, message.retain);
    // Pinned here: each future that it is handed through would have room for it.
    let publishing = pin!(async {
        let sent = access.broker.publish(message.clone(), deadline);
        match access.rates.take(call.client.caller(), Instant::now()) {
            Ok(()) => say(sent.await),
            Err(too_many) => Err(Failure::NotSent(too_many.to_string())),
        }
    });
    let ended = access.rules.within(allowed, publishing).await;
    let outcome = match ended.map_err(|stopped| stopped.tell(MAY_BE_OUT))? {
        Ok(outcome) => outcome,
        Err(failure) => return Err(failure.to_string()),
    };
    Ok(ToolResult::structured(&Published {
        topic: message.topic.as_str(),
        qos: message.qos as u8,
        retain: message.retain,
        bytes: message.payload.len(),
        outcome,
    }))
}

/// A publish that did not succeed: what the caller must know is whether the message may be out.
pub(super) enum Failure {
    NotSent(String),
    Unknown(String),
}

/// The word for a good outcome.
pub(super) fn say(ended: Result<Outcome, PublishError>) -> Result<&'static str, Failure> {
    match ended {
        Ok(Outcome::Sent) => Ok("sent"),
        Ok(Outcome::Delivered) => Ok("delivered"),
        Ok(Outcome::NotSent(reason)) => Err(Failure::NotSent(reason.to_string())),
        Ok(Outcome::Unknown(reason)) => Err(Failure::Unknown(reason.to_string())),
        Err(error) => Err(Failure::NotSent(error.to_string())),
    }
}

impl std::fmt::Display for Failure {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::NotSent(why) => write!(
                f,
                "not published: {why}. The message did not reach the broker."
            ),
            Self::Unknown(why) => write!(
                f,
                "outcome unknown: {why}. The message was sent and may have reached the broker; \
                 it is not sent again. Check its effect before you repeat it."
            ),
        }
    }
}

const MAY_BE_OUT: &str = "The message may have reached the broker; it is not sent again.";
