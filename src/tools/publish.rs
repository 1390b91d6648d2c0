//! `mqtt_publish`.

use std::rc::Rc;
use std::sync::Arc;
use std::time::Instant;

use mcpmqtt_protocol::message::Message;
use serde::Serialize;

use super::Context;
use super::access::{Denied, Wording};
use super::arguments::Arguments;
use crate::mcp::catalog::{ToolCall, ToolResult};

#[derive(Serialize)]
struct PublishResult<'a> {
    topic: &'a str,
    qos: u8,
    retain: bool,
    bytes: usize,
    outcome: &'static str,
}

pub(super) async fn call(context: Rc<Context>, call: ToolCall) -> Result<ToolResult, String> {
    let mut arguments = Arguments::new(call.arguments);
    let deadline = Instant::now() + arguments.timeout()?;
    let message = Message {
        topic: arguments.topic("topic")?,
        qos: arguments.qos()?,
        retain: arguments.flag("retain")?,
        payload: Arc::from(arguments.payload()?),
    };
    let in_words = |denied: Denied| denied.tell(&WORDING);
    let admitted = context.access.admit(call.client.caller(), &message);
    let publishing = admitted.map_err(in_words)?;
    let published = publishing.publish(deadline).await.map_err(in_words)?;
    Ok(ToolResult::structured(&PublishResult {
        topic: message.topic.as_str(),
        qos: message.qos as u8,
        retain: message.retain,
        bytes: message.payload.len(),
        outcome: published.name(),
    }))
}

const WORDING: Wording = Wording {
    not_done: "not published",
    meaning: "The message did not reach the broker.",
    withdrawn: "The message may have reached the broker; it is not sent again.",
};
