//! `mqtt_query`: publishes a request and waits for the first later message on the response topic.

use std::cell::Cell;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Instant;

use mcpmqtt_config::Policy;
use mcpmqtt_protocol::client::Listen;
use mcpmqtt_protocol::message::Message;
use mcpmqtt_protocol::topic::SubscribeFilter;
use serde::Serialize;
use smol::future;

use super::Context;
use super::access::{
    Admitted, Agreed, Denied, Effects, Needed, Published, Reader, Wording, may_publish,
};
use super::arguments::Arguments;
use super::consent::Attempt;
use super::deadline::{Deadline, Waited};
use super::effects::{Confirmed, EffectRow, EffectsShown};
use super::message::{Fit, ReceivedMessage, ResultBudget};
use super::own_reply::OwnReply;
use super::query_queue::QueryTurn;
use super::subscribe::{missed, shown};
use crate::mcp::catalog::{ToolCall, ToolResult};
use crate::mcp::{AnswerRoom, Caller};

#[derive(Serialize)]
struct QueryResult {
    #[serde(flatten)]
    message: ReceivedMessage,
    latency_ms: f64,
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    truncated: bool,
    /// Whether all effects showed that the operator's rules ask for.
    #[serde(skip_serializing_if = "Option::is_none")]
    confirmed: Option<Confirmed>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    effects: Vec<EffectRow>,
}

struct Query {
    request: Message,
    response: SubscribeFilter,
    /// What tells the caller's own reply from others on the same topic.
    own: Option<OwnReply>,
    wait: Deadline,
    caller: Caller,
    room: AnswerRoom,
}

/// The messages that came and are not the reply.
#[derive(Default)]
struct Others {
    without_value: Cell<u64>,
    too_large: Cell<u64>,
}

/// What is known of the request message.
enum RequestFate {
    UnderWay,
    Published(Published),
    Unknown(String),
}

pub(super) async fn call(context: Rc<Context>, call: ToolCall) -> Result<ToolResult, String> {
    let mut arguments = Arguments::new(call.arguments);
    let own = OwnReply::parse(&mut arguments)?;
    let mut query = Query {
        own,
        caller: call.client.caller().clone(),
        room: call.room,
        wait: Deadline::new(arguments.timeout()?, call.progress, &call.client),
        response: arguments.filter("response_topic")?,
        request: Message {
            topic: arguments.topic("request_topic")?,
            qos: arguments.qos()?,
            retain: false,
            payload: Arc::from(arguments.payload()?),
        },
    };
    let attempt = Attempt {
        client: &call.client,
        tool: TOOL,
        message: &query.request,
        when: None,
        reads: vec![&query.response],
    };
    let agreed = attempt.agreed(&context, &mut query.wait).await;
    let agreed = agreed.map_err(|denied| denied.tell(&NO_QUERY))?;
    let permitted = |policy: &Policy| {
        may_publish(policy, &query.request)?;
        policy.may_subscribe(&query.response)
    };
    // A query that waits for another one ends when its permission is withdrawn.
    let ended =
        context
            .access
            .while_permitted(&query.caller, permitted, query.run(&context, agreed));
    let ended = ended.await;
    ended.map_err(|denied| {
        if matches!(denied, Denied::Policy(_)) {
            let access = &context.access;
            access
                .begin(&query.caller, TOOL, &query.request, Agreed::default())
                .refused(&denied);
        }
        denied.tell(&NO_QUERY)
    })?
}

impl Query {
    async fn run(&self, context: &Context, agreed: Agreed) -> Result<ToolResult, String> {
        let no_query = |denied: Denied| denied.tell(&NO_QUERY);
        let access = &context.access;
        let begun = access.begin(&self.caller, TOOL, &self.request, agreed);
        let admitted = begun.admit().map_err(no_query)?;
        let preparing = access.unless_halted(&self.request, self.prepare(context));
        let prepared = preparing.await;
        let prepared = prepared.map_err(|denied| no_query(admitted.refused(denied)))?;
        let (mut reader, _turn, _needed) = prepared?;
        self.ask(context, &admitted, &mut reader).await
    }

    /// All that a request needs before it is sent: what rules on writes depend on, the turn, the subscription.
    async fn prepare(
        &self,
        context: &Context,
    ) -> Result<(Reader, Option<QueryTurn>, Needed), String> {
        let until = self.wait.until();
        let access = &context.access;
        let needed = access
            .prepare(&self.caller, &self.request.topic, until)
            .await;
        needed.known(until).await;
        // Replies that carry an id can be told apart.
        let turn = match self.own {
            Some(_) => None,
            None => Some(self.turn(context).await?),
        };
        let listen = Listen {
            filter: self.response.clone(),
            qos: self.request.qos,
            // A retained message is older than the request.
            retained: false,
        };
        let subscribing = self.wait.subscribe(&context.access, listen);
        let mut reader = subscribing.await.map_err(|denied| denied.tell(&NO_QUERY))?;
        // Messages that arrived while the subscription was set up are older than the request, too.
        reader.clear();
        Ok((reader, turn, needed))
    }

    /// Waits for the turn among the queries whose response topics overlap.
    async fn turn(&self, context: &Context) -> Result<QueryTurn, String> {
        let turn = context.queries.line_up(self.response.filter().clone());
        if self.wait.until_deadline(turn.come()).await.is_some() {
            return Ok(turn);
        }
        Err(format!(
            "other queries whose response topic overlaps {} took all of the {} s; nothing was sent. Use a response topic \
             of your own, `field` and `value` to tell replies apart, or a longer timeout.",
            shown(&self.response),
            self.wait.seconds()
        ))
    }

    /// Waits for the caller's own reply, and counts the others.
    async fn own_reply(&self, reader: &mut Reader, others: &Others) -> Result<Waited, Denied> {
        let has_its_topic = self.response.as_str() == self.request.topic.as_str();
        // The request comes back, in as many copies as the broker sends. Who names its topic as that of the reply, and no
        // id, asks for just that.
        let comes_back = has_its_topic && self.own.is_some();
        loop {
            let next = self
                .wait
                .next(reader, || "request sent, no reply yet".into());
            let next = next.await?;
            match (&self.own, &next) {
                // Under a wider filter, what comes on the topic of requests is one, this caller's or another's.
                (_, Waited::Message(message))
                    if !has_its_topic && message.topic == self.request.topic => {}
                (_, Waited::Message(message)) if comes_back && self.is_request(message) => {}
                (Some(own), Waited::Message(message)) if !own.is(&message.payload) => {
                    others.without_value.set(others.without_value.get() + 1);
                }
                // It may be another's.
                (Some(_), Waited::TooLarge(_)) => {
                    others.too_large.set(others.too_large.get() + 1);
                }
                _ => return Ok(next),
            }
        }
    }

    fn is_request(&self, message: &Message) -> bool {
        message.topic == self.request.topic && message.payload == self.request.payload
    }

    async fn ask(
        &self,
        context: &Context,
        admitted: &Admitted<'_>,
        reader: &mut Reader,
    ) -> Result<ToolResult, String> {
        let start = Instant::now();
        let mut request = RequestFate::UnderWay;
        let mut effects = Effects::default();
        let publish = admitted.publish(self.wait.until());
        let sending = async {
            match publish.await {
                Ok(sent) => {
                    request = RequestFate::Published(sent.published);
                    effects = sent.effects;
                }
                // The request may have been sent, so a reply may come.
                Err(Denied::Unknown(why)) => request = RequestFate::Unknown(why),
                Err(denied) => return Err(denied),
            }
            future::pending().await
        };
        let others = Others::default();
        let replying = self.own_reply(reader, &others);
        let ended = future::or(sending, replying).await;
        match ended.map_err(|denied| denied.tell(&NO_REQUEST))? {
            Waited::Message(message) => {
                let latency = start.elapsed();
                let latency_ms = latency.as_secs_f64() * 1000.0;
                let effects = EffectsShown::wait(&effects, &self.wait).await;
                reply(context, &message, latency_ms, &self.room, effects)
            }
            Waited::TooLarge(large) => Err(format!("no reply: {large}; {}", request.tell())),
            Waited::Ended(why) => Err(format!("no reply: {why}; {}", request.tell())),
            Waited::Timeout => Err(self.no_reply(&request, reader, &others)),
        }
    }

    fn no_reply(&self, request: &RequestFate, reader: &Reader, others: &Others) -> String {
        let mut text = format!(
            "no reply on {} within {} s; {}",
            shown(&self.response),
            self.wait.seconds(),
            request.tell()
        );
        for (count, what) in [
            (&others.without_value, "came without the value asked for"),
            (&others.too_large, "were larger than `limits.packet_bytes`"),
        ] {
            if count.get() > 0 {
                text.push_str(&format!("; messages that {what}: {}", count.get()));
            }
        }
        text.push_str(&missed(reader.inbox(), others.too_large.get()));
        text
    }
}

impl RequestFate {
    fn tell(&self) -> String {
        match self {
            Self::UnderWay => "the request may have reached the broker".into(),
            Self::Published(Published::Delivered) => {
                "the broker has acknowledged the request".into()
            }
            Self::Published(Published::Sent) => "the request was sent".into(),
            Self::Unknown(why) => format!("the request may have reached the broker ({why})"),
        }
    }
}

fn reply(
    context: &Context,
    message: &Message,
    latency_ms: f64,
    room: &AnswerRoom,
    effects: EffectsShown,
) -> Result<ToolResult, String> {
    let (mut message, truncated) = match ResultBudget::new(context.result_bytes).take(message) {
        Fit::Whole(message) => (message, false),
        Fit::Cut(message) => (message, true),
        Fit::No => return Err("the reply does not fit a result".into()),
    };
    let truncated = message.fit(room.bytes()) || truncated;
    let latency_ms = (latency_ms * 1000.0).round() / 1000.0;
    Ok(ToolResult::structured(&QueryResult {
        message,
        latency_ms,
        truncated,
        confirmed: effects.confirmed(),
        effects: effects.0,
    }))
}

const TOOL: &str = "mqtt_query";
const NO_QUERY: Wording = Wording {
    not_done: "no query",
    meaning: "Nothing was sent.",
    withdrawn: WITHDRAWN,
};
const NO_REQUEST: Wording = Wording {
    not_done: "no query",
    meaning: "The request did not reach the broker.",
    withdrawn: WITHDRAWN,
};
const WITHDRAWN: &str = "The request may have reached the broker; no reply is delivered.";
