//! `mqtt_subscribe`.

mod rows;
mod selection;

use std::rc::Rc;
use std::time::{Duration, Instant};

use async_io::Timer;
use mcpmqtt_protocol::QoS;
use mcpmqtt_protocol::client::Listen;
use mcpmqtt_protocol::message::Message;
use mcpmqtt_protocol::topic::SubscribeFilter;
use serde::Serialize;
use smol::future;

use self::rows::Rows;
use self::selection::{Retained, Selection};
use super::Context;
use super::access::{Denied, Reader, Wording};
use super::arguments::Arguments;
use super::deadline::{Deadline, Waited};
use super::message::{self, Fit, ReceivedMessage, ResultBudget};
use super::sighting::is_zero;
use crate::mcp::catalog::{ToolCall, ToolResult};
use crate::mqtt::{Inbox, TooLarge};
use crate::observe::path::Path;

#[derive(Default, Serialize)]
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
    /// Messages that did not meet `where`.
    #[serde(skip_serializing_if = "is_zero")]
    not_met: u64,
}

#[derive(Serialize)]
struct Large {
    topic: String,
    payload_bytes: usize,
}

pub(super) async fn subscribe(context: Rc<Context>, call: ToolCall) -> Result<ToolResult, String> {
    let mut arguments = Arguments::new(call.arguments);
    let deadline = Deadline::new(arguments.timeout()?, call.progress, &call.client);
    let selection = Selection::parse(&mut arguments)?;
    let fields = fields(arguments.texts("fields")?)?;
    let latest = arguments.text("format")? == "latest";
    let most = arguments.optional_count("max_messages")?;
    let most = most.unwrap_or(match latest || selection.retained == Retained::Only {
        true => MOST_MESSAGES,
        false => 1,
    });
    let listen = Listen {
        filter: arguments.filter("topic")?,
        qos: match selection.retained {
            // Brokers send retained messages at QoS 0 before they answer a ping; at QoS 1 they wait for acknowledgements.
            Retained::Only => QoS::AtMostOnce,
            Retained::Also | Retained::None => arguments.qos()?,
        },
        retained: selection.retained != Retained::None,
    };
    let topic = listen.filter.clone();
    let in_words = |denied: Denied| denied.tell(&NOT_SUBSCRIBED);
    let subscribing = deadline.subscribe(&context.access, listen);
    let mut reader = subscribing.await.map_err(in_words)?;
    let mut collecting = Collecting {
        context: &context,
        deadline: &deadline,
        selection,
        most,
        quiet: None,
    };
    if latest || !fields.is_empty() {
        let most = collecting.selection.max_payload_bytes;
        let room = call.room.bytes();
        let all = collecting.selection.retained == Retained::Only;
        let rows = Rows::new(fields, latest, all, most, context.result_bytes, room);
        let rows = collecting.rows(&mut reader, rows).await;
        return Ok(ToolResult::structured(
            &rows.map_err(in_words)?.told(topic.as_str(), reader.inbox()),
        ));
    }
    // Messages collected before the permission was withdrawn are not delivered either.
    let collected = collecting.messages(&mut reader).await;
    let mut collected = collected.map_err(in_words)?;
    if let Some(left_out) = message::fit(&mut collected.messages, call.room.bytes()) {
        collected.lost += left_out as u64;
        collected.truncated = true;
    }
    collected.topic = topic.as_str();
    collected.messages_received = collected.messages.len();
    collected.not_met = collecting.selection.not_met;
    collected.lost += reader.inbox().lost();
    collected.interrupted = reader.inbox().interruptions() > 0;
    Ok(ToolResult::structured(&collected))
}

fn fields(texts: Vec<String>) -> Result<Vec<Path>, String> {
    if texts.len() > MOST_FIELDS {
        return Err(format!(
            "`fields` has {} items; at most {MOST_FIELDS}",
            texts.len()
        ));
    }
    let fields = texts.iter().enumerate().map(|(n, text)| {
        let path = Path::parse(text);
        path.map_err(|why| format!("`fields[{n}]`: {why}"))
    });
    fields.collect()
}

/// The collection of one call.
struct Collecting<'a> {
    context: &'a Context,
    deadline: &'a Deadline,
    selection: Selection,
    most: usize,
    /// When the retained messages count as complete, unless one more comes.
    quiet: Option<Quiet>,
}

/// The end of the retained messages. MQTT 3.1.1 does not mark it. Mosquitto sends all of them before it answers a ping
/// that came after the subscription; aedes and rumqttd answer first. So a pause is waited for after the answer.
#[derive(Clone, Copy)]
struct Quiet {
    pause: Duration,
    until: Instant,
}

/// What ends a collection.
enum Next {
    Message(Message),
    TooLarge(TooLarge),
    Over(&'static str, Option<String>),
}

impl Collecting<'_> {
    /// Collects messages until the deadline, the wanted number or a full result.
    async fn messages<'b>(&mut self, reader: &mut Reader) -> Result<Collected<'b>, Denied> {
        let mut budget = ResultBudget::new(self.context.result_bytes);
        let mut collected = Collected {
            ended_by: "max_messages",
            ..Collected::default()
        };
        while collected.messages.len() < self.most {
            match self.next(reader, collected.messages.len()).await? {
                Next::Message(message) => {
                    let size = message.size();
                    let (message, whole) = self.selection.cut(message);
                    match budget.take(&message) {
                        Fit::Whole(received) => {
                            reader.hold_bytes(size);
                            collected.messages.push(received.of(whole));
                        }
                        Fit::Cut(received) => {
                            collected.messages.push(received.of(whole));
                            collected.truncated = true;
                        }
                        Fit::No => {
                            // This message and those behind it arrived and do not fit.
                            collected.lost = 1 + reader.inbox().waiting() as u64;
                            collected.truncated = true;
                            collected.ended_by = "result_bytes";
                            break;
                        }
                    }
                }
                Next::TooLarge(large) => {
                    if collected.too_large.len() < LARGE_NAMED {
                        collected.too_large.push(Large {
                            topic: large.topic.to_string(),
                            payload_bytes: large.payload_bytes,
                        });
                    }
                }
                Next::Over(ended_by, reason) => {
                    collected.ended_by = ended_by;
                    collected.reason = reason;
                    break;
                }
            }
        }
        Ok(collected)
    }

    /// Collects rows until the deadline, the wanted number or a full result.
    async fn rows(&mut self, reader: &mut Reader, mut rows: Rows) -> Result<Rows, Denied> {
        while rows.len() < self.most || rows.is_latest() {
            match self.next(reader, rows.len()).await? {
                Next::Message(message) => {
                    if !rows.take(&message, self.most) {
                        break;
                    }
                }
                // The inbox counts it.
                Next::TooLarge(_) => {}
                Next::Over(ended_by, reason) => {
                    rows.over(ended_by, reason);
                    break;
                }
            }
        }
        rows.not_met(self.selection.not_met);
        Ok(rows)
    }

    /// The next message that was asked for.
    async fn next(&mut self, reader: &mut Reader, so_far: usize) -> Result<Next, Denied> {
        if self.selection.retained == Retained::Only && self.quiet.is_none() {
            self.quiet = self.after_ping(reader).await?;
        }
        loop {
            let most = self.most;
            let status = || format!("{so_far} of {most} messages");
            let quiet = async {
                match self.quiet {
                    Some(quiet) => Timer::at(quiet.until).await,
                    None => future::pending().await,
                };
                Ok(None)
            };
            let next = async { self.deadline.next(reader, status).await.map(Some) };
            let Some(waited) = future::or(next, quiet).await? else {
                return Ok(Next::Over("quiet", None));
            };
            return Ok(match waited {
                Waited::Message(message) => {
                    if let (Some(quiet), true) = (&mut self.quiet, message.retain) {
                        quiet.until = Instant::now() + quiet.pause;
                    }
                    if !self.selection.takes(&message) {
                        continue;
                    }
                    Next::Message(message)
                }
                Waited::TooLarge(large) => Next::TooLarge(large),
                Waited::Timeout => Next::Over("timeout", None),
                Waited::Ended(reason) => Next::Over("subscription_lost", Some(reason)),
            });
        }
    }

    /// Waits until the broker has answered a ping, while messages wait in the inbox. None when the connection or the
    /// time ends first.
    async fn after_ping(&self, reader: &mut Reader) -> Result<Option<Quiet>, Denied> {
        let asked = Instant::now();
        let ping = self.deadline.until_deadline(self.context.access.ping());
        if reader.while_permitted(ping).await? != Some(true) {
            return Ok(None);
        }
        let pause = (asked.elapsed() * QUIET_ROUND_TRIPS).max(QUIET);
        Ok(Some(Quiet {
            pause,
            until: Instant::now() + pause,
        }))
    }
}

/// Why there may have been more messages than the result contains.
/// The text does not count those that are told as `too_large` already.
pub(super) fn missed(inbox: &Inbox, too_large: u64) -> String {
    let mut text = String::new();
    let lost = inbox.lost().saturating_sub(too_large);
    if lost > 0 {
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

pub(super) fn shown(filter: &SubscribeFilter) -> mcpmqtt_protocol::topic::Shown<'_> {
    mcpmqtt_protocol::topic::Shown(filter.as_str())
}

/// The most messages, or topics, that one call collects.
const MOST_MESSAGES: usize = 1000;

/// The most fields of one call.
const MOST_FIELDS: usize = 20;

/// How long no retained message comes before they count as complete: this time, or so many round trips to the broker.
const QUIET: Duration = Duration::from_millis(300);
const QUIET_ROUND_TRIPS: u32 = 3;

/// The limit on lost messages that a result names.
const LARGE_NAMED: usize = 10;

const NOT_SUBSCRIBED: Wording = Wording {
    not_done: "not subscribed",
    meaning: "Nothing was received.",
    withdrawn: NOTHING_MORE,
};
pub(super) const NOTHING_MORE: &str = "Nothing is delivered any more.";
