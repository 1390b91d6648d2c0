//! `mqtt_subscribe` and `mqtt_read`.

use std::future::Future;
use std::rc::Rc;

use mcpmqtt_config::Policy;
use mcpmqtt_protocol::QoS;
use mcpmqtt_protocol::client::Listen;
use mcpmqtt_protocol::topic::SubscribeFilter;
use serde::Serialize;

use super::Access;
use super::arguments::Arguments;
use super::message::{self, Budget, Fit, Received};
use super::wait::{Wait, Waited};
use crate::broker::Inbox;
use crate::mcp::Room;
use crate::mcp::catalog::{ToolCall, ToolResult};

#[derive(Serialize)]
struct Collected<'a> {
    topic: &'a str,
    messages_received: usize,
    messages: Vec<Received>,
    ended_by: &'static str,
    /// Why no more messages can come, when that ended it.
    #[serde(skip_serializing_if = "Option::is_none")]
    reason: Option<String>,
    lost: u64,
    interrupted: bool,
    truncated: bool,
}

#[derive(Serialize)]
struct First {
    #[serde(flatten)]
    message: Received,
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    truncated: bool,
}

pub(super) async fn subscribe(access: Rc<Access>, call: ToolCall) -> Result<ToolResult, String> {
    let mut arguments = Arguments::new(call.arguments);
    let wait = Wait::new(arguments.timeout()?, call.progress);
    let most = arguments.count("max_messages")?;
    let listen = Listen {
        filter: arguments.filter("topic")?,
        qos: arguments.qos()?,
        retained: arguments.flag("include_retained")?,
    };
    let topic = listen.filter.clone();
    let collecting = async {
        let listening = wait.listen(&access, listen).await;
        let mut inbox =
            listening.map_err(|why| format!("not subscribed: {why}. Nothing was received."))?;
        let mut collected = collect(&access, &wait, &mut inbox, most).await;
        if let Some(left_out) = message::fit(&mut collected.messages, call.room.bytes()) {
            collected.lost += left_out as u64;
            collected.truncated = true;
        }
        collected.topic = topic.as_str();
        collected.messages_received = collected.messages.len();
        collected.lost += inbox.lost();
        collected.interrupted = inbox.interruptions() > 0;
        Ok(ToolResult::structured(&collected))
    };
    as_long_as_readable(&access, &topic, collecting).await
}

/// Waits the whole time unless there are enough messages or the result is full.
async fn collect<'a>(
    access: &Access,
    wait: &Wait,
    inbox: &mut Inbox,
    most: usize,
) -> Collected<'a> {
    let mut budget = Budget::new(access.result_bytes);
    let mut collected = Collected {
        topic: "",
        messages_received: 0,
        messages: Vec::new(),
        ended_by: "max_messages",
        reason: None,
        lost: 0,
        interrupted: false,
        truncated: false,
    };
    while collected.messages.len() < most {
        let so_far = collected.messages.len();
        let status = || format!("{so_far} of {most} messages");
        match wait.next(access, inbox, status).await {
            Waited::Message(message) => match budget.take(&message) {
                Fit::Whole(received) => {
                    inbox.hold(message.size());
                    collected.messages.push(received);
                }
                Fit::Cut(received) => {
                    collected.messages.push(received);
                    collected.truncated = true;
                }
                Fit::No => {
                    // This one and those behind it came and cannot be told.
                    collected.lost = 1 + inbox.waiting() as u64;
                    collected.truncated = true;
                    collected.ended_by = "result_bytes";
                    break;
                }
            },
            Waited::Timeout => {
                collected.ended_by = "timeout";
                break;
            }
            Waited::Ended(reason) => {
                collected.ended_by = "subscription_lost";
                collected.reason = Some(reason);
                break;
            }
        }
    }
    collected
}

pub(super) async fn read(access: Rc<Access>, call: ToolCall) -> Result<ToolResult, String> {
    let mut arguments = Arguments::new(call.arguments);
    let wait = Wait::new(arguments.timeout()?, call.progress);
    let listen = Listen {
        filter: arguments.filter("topic")?,
        qos: QoS::AtMostOnce,
        retained: arguments.flag("include_retained")?,
    };
    let topic = listen.filter.clone();
    let reading = async {
        let listening = wait.listen(&access, listen).await;
        let mut inbox = listening.map_err(|why| format!("not read: {why}"))?;
        let next = wait.next(&access, &mut inbox, || "no message yet".into());
        match next.await {
            Waited::Message(message) => match Budget::new(access.result_bytes).take(&message) {
                Fit::Whole(message) => Ok(first(message, false, &call.room)),
                Fit::Cut(message) => Ok(first(message, true, &call.room)),
                Fit::No => Err("not read: the message does not fit a result".into()),
            },
            Waited::Ended(reason) => Err(format!("not read: {reason}")),
            Waited::Timeout => Err(nothing(&topic, &wait, &inbox)),
        }
    };
    as_long_as_readable(&access, &topic, reading).await
}

fn first(mut message: Received, truncated: bool, room: &Room) -> ToolResult {
    let truncated = message.fit(room.bytes()) || truncated;
    ToolResult::structured(&First { message, truncated })
}

fn nothing(topic: &SubscribeFilter, wait: &Wait, inbox: &Inbox) -> String {
    let mut text = format!("no message on {} within {} s", shown(topic), wait.seconds());
    if inbox.interruptions() > 0 {
        text.push_str(
            "; the connection to the broker was lost meanwhile, so one may have been missed",
        );
    }
    text.push_str(
        ". Nothing is retained there and nothing was published meanwhile; \
         raise `timeout` (at most 300) for a topic that is published now and then, and check the topic's spelling.",
    );
    text
}

/// What was collected before the permission was withdrawn is not delivered either.
async fn as_long_as_readable<T>(
    access: &Access,
    filter: &SubscribeFilter,
    work: impl Future<Output = Result<T, String>>,
) -> Result<T, String> {
    let allowed = |policy: &Policy| policy.may_subscribe(filter);
    let ended = access.rules.within(allowed, work).await;
    ended.map_err(|stopped| stopped.to_string())?
}

pub(super) fn shown(filter: &SubscribeFilter) -> mcpmqtt_protocol::topic::Shown<'_> {
    mcpmqtt_protocol::topic::Shown(filter.as_str())
}
