//! `mqtt_subscribe` and `mqtt_read`.

use std::rc::Rc;

use mcpmqtt_protocol::QoS;
use mcpmqtt_protocol::client::Listen;
use mcpmqtt_protocol::topic::SubscribeFilter;
use serde::Serialize;

use super::Context;
use super::access::{Denied, Reader, Wording};
use super::arguments::Arguments;
use super::message::{self, Fit, ReceivedMessage, ResultBudget};
use super::wait::{Wait, Waited};
use crate::mcp::AnswerRoom;
use crate::mcp::catalog::{ToolCall, ToolResult};
use crate::mqtt::Inbox;

#[derive(Serialize)]
struct Collected<'a> {
    topic: &'a str,
    messages_received: usize,
    messages: Vec<ReceivedMessage>,
    ended_by: &'static str,
    /// Why the subscription ended, when it ended before the deadline.
    #[serde(skip_serializing_if = "Option::is_none")]
    reason: Option<String>,
    lost: u64,
    /// The first messages that were lost because they were too large to be kept.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    too_large: Vec<Large>,
    interrupted: bool,
    truncated: bool,
}

#[derive(Serialize)]
struct Large {
    topic: String,
    payload_bytes: usize,
}

#[derive(Serialize)]
struct First {
    #[serde(flatten)]
    message: ReceivedMessage,
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    truncated: bool,
}

pub(super) async fn subscribe(context: Rc<Context>, call: ToolCall) -> Result<ToolResult, String> {
    let mut arguments = Arguments::new(call.arguments);
    let wait = Wait::new(arguments.timeout()?, call.progress, &call.client);
    let most = arguments.count("max_messages")?;
    let listen = Listen {
        filter: arguments.filter("topic")?,
        qos: arguments.qos()?,
        retained: arguments.flag("include_retained")?,
    };
    let topic = listen.filter.clone();
    let in_words = |denied: Denied| denied.tell(&NOT_SUBSCRIBED);
    let subscribing = wait.subscribe(&context.access, listen);
    let mut reader = subscribing.await.map_err(in_words)?;
    // Messages collected before the permission was withdrawn are not delivered either.
    let collecting = collect(&context, &wait, &mut reader, most);
    let mut collected = collecting.await.map_err(in_words)?;
    if let Some(left_out) = message::fit(&mut collected.messages, call.room.bytes()) {
        collected.lost += left_out as u64;
        collected.truncated = true;
    }
    collected.topic = topic.as_str();
    collected.messages_received = collected.messages.len();
    collected.lost += reader.inbox().lost();
    collected.interrupted = reader.inbox().interruptions() > 0;
    Ok(ToolResult::structured(&collected))
}

/// Collects messages until the deadline, the wanted number or a full result.
async fn collect<'a>(
    context: &Context,
    wait: &Wait,
    reader: &mut Reader,
    most: usize,
) -> Result<Collected<'a>, Denied> {
    let mut budget = ResultBudget::new(context.result_bytes);
    let mut collected = Collected {
        topic: "",
        messages_received: 0,
        messages: Vec::new(),
        ended_by: "max_messages",
        reason: None,
        lost: 0,
        too_large: Vec::new(),
        interrupted: false,
        truncated: false,
    };
    while collected.messages.len() < most {
        let so_far = collected.messages.len();
        let status = || format!("{so_far} of {most} messages");
        match wait.next(reader, status).await? {
            Waited::Message(message) => match budget.take(&message) {
                Fit::Whole(received) => {
                    reader.hold_bytes(message.size());
                    collected.messages.push(received);
                }
                Fit::Cut(received) => {
                    collected.messages.push(received);
                    collected.truncated = true;
                }
                Fit::No => {
                    // This message and those behind it arrived and do not fit.
                    collected.lost = 1 + reader.inbox().waiting() as u64;
                    collected.truncated = true;
                    collected.ended_by = "result_bytes";
                    break;
                }
            },
            Waited::TooLarge(large) => {
                if collected.too_large.len() < LARGE_NAMED {
                    collected.too_large.push(Large {
                        topic: large.topic.to_string(),
                        payload_bytes: large.payload_bytes,
                    });
                }
            }
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
    Ok(collected)
}

pub(super) async fn read(context: Rc<Context>, call: ToolCall) -> Result<ToolResult, String> {
    let mut arguments = Arguments::new(call.arguments);
    let wait = Wait::new(arguments.timeout()?, call.progress, &call.client);
    let listen = Listen {
        filter: arguments.filter("topic")?,
        qos: QoS::AtMostOnce,
        retained: arguments.flag("include_retained")?,
    };
    let (topic, retained) = (listen.filter.clone(), listen.retained);
    let in_words = |denied: Denied| denied.tell(&NOT_READ);
    let subscribing = wait.subscribe(&context.access, listen);
    let mut reader = subscribing.await.map_err(in_words)?;
    let mut too_large = None;
    let next = loop {
        let next = wait.next(&mut reader, || "no message yet".into());
        match next.await.map_err(in_words)? {
            // Under a filter with wildcards a later message may be small enough.
            Waited::TooLarge(large) if has_wildcards(&topic) => too_large = Some(large),
            next => break next,
        }
    };
    match next {
        Waited::Message(message) => match ResultBudget::new(context.result_bytes).take(&message) {
            Fit::Whole(message) => Ok(first(message, false, &call.room)),
            Fit::Cut(message) => Ok(first(message, true, &call.room)),
            Fit::No => Err("not read: the message does not fit a result".into()),
        },
        Waited::Ended(reason) => Err(format!("not read: {reason}")),
        Waited::TooLarge(large) => Err(format!("not read: {large}")),
        Waited::Timeout => Err(match too_large {
            Some(large) => format!("not read: {large}"),
            None => nothing(&topic, retained, &wait, reader.inbox()),
        }),
    }
}

fn first(mut message: ReceivedMessage, truncated: bool, room: &AnswerRoom) -> ToolResult {
    let truncated = message.fit(room.bytes()) || truncated;
    ToolResult::structured(&First { message, truncated })
}

/// Reports only what was observed: a broker's access list hides messages without an error.
fn nothing(topic: &SubscribeFilter, retained: bool, wait: &Wait, inbox: &Inbox) -> String {
    let text = format!("no message on {} within {} s", shown(topic), wait.seconds());
    let missed = missed(inbox);
    if inbox.lost() > 0 {
        return format!("{text} that could be given out{missed}");
    }
    let kept = match retained {
        true => "the broker sent no retained message",
        false => "retained messages were not asked for (include_retained)",
    };
    format!(
        "{text}: {kept}, and no new one came{missed}. Raise `timeout` (at most 300) for a topic that is published now \
         and then, and check its spelling; the broker's own access list may hide it, too."
    )
}

/// Why there may have been more messages than the result contains.
pub(super) fn missed(inbox: &Inbox) -> String {
    let mut text = String::new();
    if inbox.lost() > 0 {
        let lost = inbox.lost();
        text =
            format!("; messages that came and found no room here: {lost} (`limits.waiting_bytes`)");
    }
    if inbox.interruptions() > 0 {
        text.push_str(
            "; the connection to the broker was lost meanwhile, so one may have been missed",
        );
    }
    text
}

fn has_wildcards(filter: &SubscribeFilter) -> bool {
    filter.filter().as_str().contains(['+', '#'])
}

pub(super) fn shown(filter: &SubscribeFilter) -> mcpmqtt_protocol::topic::Shown<'_> {
    mcpmqtt_protocol::topic::Shown(filter.as_str())
}

/// The limit on lost messages that a result names.
const LARGE_NAMED: usize = 10;

const NOT_SUBSCRIBED: Wording = Wording {
    not_done: "not subscribed",
    meaning: "Nothing was received.",
    withdrawn: NOTHING_MORE,
};
pub(super) const NOT_READ: Wording = Wording {
    not_done: "not read",
    meaning: "",
    withdrawn: NOTHING_MORE,
};
const NOTHING_MORE: &str = "Nothing is delivered any more.";
