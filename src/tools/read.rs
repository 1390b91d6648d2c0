//! `mqtt_read`.

use std::rc::Rc;

use mcpmqtt_protocol::QoS;
use mcpmqtt_protocol::client::Listen;
use mcpmqtt_protocol::topic::SubscribeFilter;
use serde::Serialize;

use super::Context;
use super::access::{Denied, Wording};
use super::arguments::Arguments;
use super::deadline::{Deadline, Waited};
use super::message::{Fit, ReceivedMessage, ResultBudget};
use super::subscribe::{NOTHING_MORE, missed, shown};
use crate::mcp::AnswerRoom;
use crate::mcp::catalog::{ToolCall, ToolResult};
use crate::mqtt::Inbox;

#[derive(Serialize)]
struct First {
    #[serde(flatten)]
    message: ReceivedMessage,
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    truncated: bool,
}

pub(super) async fn read(context: Rc<Context>, call: ToolCall) -> Result<ToolResult, String> {
    let mut arguments = Arguments::new(call.arguments);
    let wait = Deadline::new(arguments.timeout()?, call.progress, &call.client);
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
fn nothing(topic: &SubscribeFilter, retained: bool, wait: &Deadline, inbox: &Inbox) -> String {
    let text = format!("no message on {} within {} s", shown(topic), wait.seconds());
    let missed = missed(inbox, 0);
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

fn has_wildcards(filter: &SubscribeFilter) -> bool {
    filter.filter().as_str().contains(['+', '#'])
}

pub(super) const NOT_READ: Wording = Wording {
    not_done: "not read",
    meaning: "",
    withdrawn: NOTHING_MORE,
};
