//! `mqtt_query`: a request and the first message on the response topic behind it.

use std::rc::Rc;
use std::sync::Arc;
use std::time::Instant;

use mcpmqtt_config::Policy;
use mcpmqtt_protocol::client::Listen;
use mcpmqtt_protocol::message::Message;
use mcpmqtt_protocol::topic::SubscribeFilter;
use serde::Serialize;
use smol::future;

use super::Access;
use super::arguments::Arguments;
use super::message::{Budget, Fit, Received};
use super::publish::{self, Failure};
use super::subscribe::{missed, shown};
use super::wait::{Wait, Waited};
use crate::mcp::catalog::{ToolCall, ToolResult};
use crate::mcp::{CallerId, Room};
use crate::mqtt::Inbox;

#[derive(Serialize)]
struct Reply {
    #[serde(flatten)]
    message: Received,
    latency_ms: f64,
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    truncated: bool,
}

struct Query {
    request: Message,
    response: SubscribeFilter,
    wait: Wait,
    caller: CallerId,
    room: Room,
}

/// What happened to the request, as far as it is known.
enum Request {
    UnderWay,
    Out(&'static str),
    Unknown(String),
}

pub(super) async fn call(access: Rc<Access>, call: ToolCall) -> Result<ToolResult, String> {
    let mut arguments = Arguments::new(call.arguments);
    let query = Query {
        caller: call.client.caller().clone(),
        room: call.room,
        wait: Wait::new(arguments.timeout()?, call.progress, &call.client),
        response: arguments.filter("response_topic")?,
        request: Message {
            topic: arguments.topic("request_topic")?,
            qos: arguments.qos()?,
            retain: false,
            payload: Arc::from(arguments.payload()?),
        },
    };
    let allowed = |policy: &Policy| {
        policy.may_publish(&query.request.topic, false)?;
        policy.may_subscribe(&query.response)
    };
    let ended = access.rules.within(allowed, query.run(&access)).await;
    ended.map_err(|stopped| stopped.tell(MAY_BE_OUT))?
}

impl Query {
    async fn run(&self, access: &Access) -> Result<ToolResult, String> {
        let counted = access.rates.take(&self.caller, Instant::now());
        counted.map_err(|too_many| format!("no query: {too_many}. Nothing was sent."))?;
        let turn = access.turns.line_up(self.response.filter().clone());
        if self.wait.until_deadline(turn.come()).await.is_none() {
            return Err(format!(
                "other queries whose response topic overlaps {} took all of the {} s; \
                 nothing was sent. Use a response topic of your own, or a longer timeout.",
                shown(&self.response),
                self.wait.seconds()
            ));
        }
        let listen = Listen {
            filter: self.response.clone(),
            qos: self.request.qos,
            // A retained message is older than the request.
            retained: false,
        };
        let listening = self.wait.listen(access, listen).await;
        let mut inbox = listening.map_err(|why| format!("no query: {why}. Nothing was sent."))?;
        // What came while the subscription was set up is older than the request, too.
        inbox.clear();
        self.ask(access, &mut inbox).await
    }

    async fn ask(&self, access: &Access, inbox: &mut Inbox) -> Result<ToolResult, String> {
        let start = Instant::now();
        let mut request = Request::UnderWay;
        let publish = access
            .broker
            .publish(self.request.clone(), self.wait.deadline());
        let sending = async {
            match publish::say(publish.await) {
                Ok(outcome) => request = Request::Out(outcome),
                Err(Failure::NotSent(why)) => {
                    return Err(format!(
                        "no query: {why}. The request did not reach the broker."
                    ));
                }
                // It may be out, so a reply may come.
                Err(Failure::Unknown(why)) => request = Request::Unknown(why),
            }
            future::pending().await
        };
        let replying = async {
            Ok(self
                .wait
                .next(access, inbox, || "request sent, no reply yet".into())
                .await)
        };
        let ended = future::or(sending, replying).await?;
        match ended {
            Waited::Message(message) => {
                let latency = start.elapsed();
                reply(access, &message, latency.as_secs_f64() * 1000.0, &self.room)
            }
            Waited::TooLarge(large) => Err(format!("no reply: {large}; {}", request.say())),
            Waited::Ended(why) => Err(format!("no reply: {why}; {}", request.say())),
            Waited::Timeout => Err(self.no_reply(&request, inbox)),
        }
    }

    fn no_reply(&self, request: &Request, inbox: &Inbox) -> String {
        let mut text = format!(
            "no reply on {} within {} s; {}",
            shown(&self.response),
            self.wait.seconds(),
            request.say()
        );
        text.push_str(&missed(inbox));
        text
    }
}

impl Request {
    fn say(&self) -> String {
        match self {
            Self::UnderWay => "the request may have reached the broker".into(),
            Self::Out("delivered") => "the broker has taken the request".into(),
            Self::Out(_) => "the request was sent".into(),
            Self::Unknown(why) => format!("the request may have reached the broker ({why})"),
        }
    }
}

fn reply(
    access: &Access,
    message: &Message,
    latency_ms: f64,
    room: &Room,
) -> Result<ToolResult, String> {
    let (mut message, truncated) = match Budget::new(access.result_bytes).take(message) {
        Fit::Whole(message) => (message, false),
        Fit::Cut(message) => (message, true),
        Fit::No => return Err("the reply does not fit a result".into()),
    };
    let truncated = message.fit(room.bytes()) || truncated;
    let latency_ms = (latency_ms * 1000.0).round() / 1000.0;
    Ok(ToolResult::structured(&Reply {
        message,
        latency_ms,
        truncated,
    }))
}

const MAY_BE_OUT: &str = "The request may have reached the broker; no reply is delivered.";
