//! `mqtt://topic/{+topic}`: a topic's value as a resource, under the permissions of `mqtt_read`.
//!
//! Promises: a read returns the retained value, or the next message within a short wait; completion names only topics
//! that may be read.

use std::collections::BTreeSet;
use std::rc::Rc;
use std::time::Duration;

use mcpmqtt_config::Policy;
use mcpmqtt_protocol::QoS;
use mcpmqtt_protocol::client::Listen;
use mcpmqtt_protocol::message::Message;
use mcpmqtt_protocol::topic::SubscribeFilter;
use smol::future::FutureExt as _;

use super::{uri, watcher};
use crate::mcp::catalog::{Body, Completing, Contents, ReadCall, ReadError, Template, Watcher};
use crate::tools::Context;
use crate::tools::access::{Access, Denied};
use crate::tools::deadline::{Deadline, Waited};
use crate::tools::read::NOT_READ;
use crate::tools::subscribe::{missed, shown};

pub(super) fn template(context: &Rc<Context>) -> Template {
    let (reading, watching) = (Rc::clone(context), Rc::clone(context));
    let (permitting, completing) = (Rc::clone(context), Rc::clone(context));
    Template {
        uri_template: uri::TEMPLATE.into(),
        name: "topic".into(),
        title: "An MQTT topic".into(),
        description: "The retained value of a readable topic, or else the next one within 2 s. \
                      Subscribe to hear of new ones."
            .into(),
        mime_type: String::new(),
        accepts: Box::new(uri::belongs),
        reader: Rc::new(move |call| read(Rc::clone(&reading), call).boxed_local()),
        watcher: Some(
            Watcher::new(move |uri| watcher::start(Rc::clone(&watching), uri).boxed_local())
                .permitting(move |uri, caller| {
                    may_read(&permitting.access.policy(caller), uri).map(drop)
                }),
        ),
        completer: Some(Box::new(move |asked| complete(&completing.access, asked))),
    }
}

/// The filter that matches exactly the URI's topic.
pub(super) fn filter(uri: &str) -> Result<SubscribeFilter, ReadError> {
    let topic = uri::topic(uri).map_err(ReadError::Refused)?;
    let filter = SubscribeFilter::parse(topic.as_str())
        .map_err(|error| ReadError::Refused(error.to_string()))?;
    if filter.group().is_some() {
        return Err(ReadError::Refused(format!(
            "{} is a shared subscription, which is not a topic and takes messages away from others; name the topic, or use \
             mqtt_subscribe",
            shown(&filter)
        )));
    }
    Ok(filter)
}

/// The filter, when the policy permits reading it now.
pub(super) fn may_read(policy: &Policy, uri: &str) -> Result<SubscribeFilter, ReadError> {
    let filter = filter(uri)?;
    let judged = policy.may_subscribe(&filter);
    judged.map_err(|refusal| ReadError::Refused(refusal.to_string()))?;
    Ok(filter)
}

/// Reads the retained value, or waits for the next message.
async fn read(context: Rc<Context>, call: ReadCall) -> Result<Vec<Contents>, ReadError> {
    let filter = filter(&call.uri)?;
    let wait = Deadline::new(WAIT, call.progress, &call.client);
    let listen = Listen {
        filter: filter.clone(),
        qos: QoS::AtMostOnce,
        retained: true,
    };
    let mut reader = wait
        .subscribe(&context.access, listen)
        .await
        .map_err(not_read)?;
    let arrived = wait.next(&mut reader, || "no message yet".into());
    match arrived.await.map_err(not_read)? {
        Waited::Message(message) if message.size() > context.result_bytes => {
            Err(ReadError::Failed(format!(
                "not read: the message has {} bytes, more than a result may have; \
                 mqtt_read gives its beginning",
                message.size()
            )))
        }
        Waited::Message(message) => Ok(vec![contents(call.uri, &message)]),
        Waited::TooLarge(large) => Err(ReadError::Failed(format!("not read: {large}"))),
        Waited::Ended(reason) => Err(ReadError::Failed(format!("not read: {reason}"))),
        Waited::Timeout => Err(ReadError::Absent(format!(
            "no message on {} within {} s, neither a retained one nor a new one{}; \
             for a topic that is published now and then use mqtt_read with a longer timeout",
            shown(&filter),
            wait.seconds(),
            missed(reader.inbox(), 0)
        ))),
    }
}

fn not_read(denied: Denied) -> ReadError {
    let text = denied.tell(&NOT_READ);
    match denied {
        Denied::Policy(_) | Denied::Withdrawn(_) => ReadError::Refused(text),
        _ => ReadError::Failed(text),
    }
}

fn contents(uri: String, message: &Message) -> Contents {
    match std::str::from_utf8(&message.payload) {
        Ok(text) => Contents {
            uri,
            mime_type: "text/plain".into(),
            body: Body::Text(text.to_owned()),
        },
        Err(_) => Contents {
            uri,
            mime_type: "application/octet-stream".into(),
            body: Body::Blob(message.payload.to_vec()),
        },
    }
}

/// The readable topics: recent ones, exact patterns, and the literal beginnings of other patterns.
fn complete(access: &Access, asked: &Completing) -> Vec<String> {
    if asked.argument != "topic" {
        return Vec::new();
    }
    let mut found: BTreeSet<String> = BTreeSet::new();
    let policy = access.policy(&asked.caller);
    let readable = policy.grants().filter(|grant| grant.permissions.read);
    for grant in readable {
        let pattern = grant.pattern.as_str();
        let fixed = pattern.find(['+', '#']).and_then(|end| pattern.get(..end));
        let fixed = fixed.unwrap_or(pattern);
        if fixed.starts_with(&asked.value) && !fixed.is_empty() {
            found.insert(fixed.to_owned());
        }
    }
    let recent = access.recent_topics(&asked.value);
    found.extend(recent.into_iter().filter(|topic| policy.may_receive(topic)));
    found.into_iter().collect()
}

const WAIT: Duration = Duration::from_secs(2);
