//! The resources: `mcpmqtt://topics/allowed` and `mcpmqtt://topics/examples` describe the permitted topics, and every
//! topic is a resource of its own.

mod topic;
mod uri;
mod watcher;

use std::collections::BTreeSet;
use std::rc::Rc;

use mcpmqtt_config::{Grant, Policy};
use serde_json::{Value, json};

use super::Context;
use super::access::Access;
use crate::mcp::Caller;
use crate::mcp::catalog::{Body, Contents, Resource, Template};

/// The facts about the broker that an agent may know.
#[derive(Debug, Clone)]
pub struct BrokerInfo {
    /// The broker's host as configured.
    pub host: String,
    /// The broker's port as configured.
    pub port: u16,
    /// Whether the client logs in with a user name.
    pub requires_auth: bool,
}

pub(super) fn all(context: &Rc<Context>, broker: BrokerInfo) -> Vec<Resource> {
    let (allowed, examples) = (Rc::clone(context), Rc::clone(context));
    vec![
        resource(
            ALLOWED,
            "allowed_topics",
            "Allowed topics",
            "The topic patterns that may be used, with their permissions and descriptions.",
            move |caller| allowed_topics(&allowed.access.policy(caller), &broker),
        ),
        resource(
            EXAMPLES,
            "topic_examples",
            "Topic examples",
            "For each allowed pattern, topics that were seen, or else one that would match, and how to use them.",
            move |caller| topic_examples(&examples, caller),
        ),
    ]
}

/// Whether `uri` is the resource of a topic that the caller may no longer read.
pub(super) fn is_withdrawn(access: &Access, caller: &Caller, uri: &str) -> bool {
    uri::belongs(uri) && topic::may_read(&access.policy(caller), uri).is_err()
}

pub(super) fn templates(context: &Rc<Context>) -> Vec<Template> {
    vec![topic::template(context)]
}

fn resource(
    uri: &'static str,
    name: &str,
    title: &str,
    description: &str,
    content: impl Fn(&Caller) -> Value + 'static,
) -> Resource {
    Resource {
        uri: uri.into(),
        name: name.into(),
        title: title.into(),
        description: description.into(),
        mime_type: JSON.into(),
        reader: Rc::new(move |call| {
            let contents = Contents {
                uri: uri.into(),
                mime_type: JSON.into(),
                body: Body::Text(content(call.client.caller()).to_string()),
            };
            Box::pin(async { Ok(vec![contents]) })
        }),
        watcher: None,
    }
}

fn allowed_topics(policy: &Policy, broker: &BrokerInfo) -> Value {
    let topics: Vec<Value> = policy
        .grants()
        .map(|grant| described(grant, policy))
        .collect();
    json!({
        "topics": topics,
        "mqtt_info": {
            "host": broker.host,
            "port": broker.port,
            "requires_auth": broker.requires_auth,
        },
    })
}

fn topic_examples(context: &Context, caller: &Caller) -> Value {
    let policy = context.access.policy(caller);
    let seen = seen_topics(context, &policy);
    let examples: Vec<Value> = policy
        .grants()
        .map(|grant| {
            let mut example = described(grant, &policy);
            example["examples"] = examples_of(grant, &seen).into();
            example
        })
        .collect();
    json!({
        "examples": examples,
        "wildcard_info": {
            "+": "stands for exactly one level: `a/+` covers `a/b`, not `a` and not `a/b/c`",
            "#": "stands for all further levels, last only: `a/#` covers `a`, `a/b` and `a/b/c`",
        },
    })
}

fn described(grant: &Grant, policy: &Policy) -> Value {
    let description = grant
        .description
        .as_deref()
        .unwrap_or("No description provided");
    let mut described = json!({
        "pattern": grant.pattern.as_str(),
        "permissions": grant.permissions.names().collect::<Vec<_>>(),
        "description": description,
    });
    if let Some(payload) = grant.writes() {
        described["payload"] = payload.to_json();
    }
    if grant.permissions.write && !grant.write.is_empty() {
        described["write"] = grant.write.iter().map(|rule| rule.told(policy)).collect();
    }
    if let Some(consent) = grant.needs() {
        described["consent"] = consent.words().into();
    }
    described
}

/// The topics that messages came on and that may be read, in order.
fn seen_topics(context: &Context, policy: &Policy) -> BTreeSet<String> {
    let table = context.observation.table();
    let mut seen = BTreeSet::new();
    seen.extend(table.rows().map(|row| row.topic().to_owned()));
    seen.extend(context.access.recent_topics(""));
    seen.retain(|topic| policy.may_receive(topic));
    seen
}

/// Examples of a grant: topics of it that were seen; otherwise the topic itself for an exact pattern, or an invented one; and, where
/// the pattern may be read, the pattern itself as a filter.
fn examples_of(grant: &Grant, seen: &BTreeSet<String>) -> Vec<Value> {
    let pattern = grant.pattern.as_str();
    let topic = example_topic(pattern);
    let (read, write) = (grant.permissions.read, grant.permissions.write);
    let tools = match (read, write) {
        (true, true) => "read it with mqtt_read, send to it with mqtt_publish",
        (true, false) => "read it with mqtt_read",
        _ => "send to it with mqtt_publish",
    };
    if topic == pattern {
        return vec![json!({"topic": topic, "usage": format!("exactly this topic: {tools}")})];
    }
    let of_grant = seen.iter().filter(|topic| grant.pattern.matches(topic));
    let mut examples: Vec<_> = of_grant
        .take(SEEN_EXAMPLES)
        .map(|topic| json!({"topic": topic, "usage": format!("a topic that was seen: {tools}")}))
        .collect();
    if examples.is_empty() {
        let usage = format!("would be one topic of the pattern: {tools}");
        examples.push(json!({"topic": topic, "usage": usage}));
    }
    if read {
        let usage = "all topics of the pattern at once: watch them with mqtt_subscribe";
        examples.push(json!({"topic": pattern, "usage": usage}));
    }
    examples
}

fn example_topic(pattern: &str) -> String {
    let levels = pattern.split('/').map(|level| match level {
        "+" => "example",
        "#" => "example/data",
        literal => literal,
    });
    levels.collect::<Vec<_>>().join("/")
}

const ALLOWED: &str = "mcpmqtt://topics/allowed";
const EXAMPLES: &str = "mcpmqtt://topics/examples";
/// The resources whose contents depend on the policy.
pub(super) const ABOUT_TOPICS: [&str; 2] = [ALLOWED, EXAMPLES];
/// The most topics that were seen, as examples of a pattern.
const SEEN_EXAMPLES: usize = 3;

const JSON: &str = "application/json";

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use mcpmqtt_protocol::topic::{TopicFilter, TopicName};

    use super::*;

    #[test]
    fn every_example_is_a_topic_that_matches_its_pattern() {
        for pattern in [
            "a",
            "#",
            "+",
            "/",
            "+/#",
            "a/+/b/#",
            "sensors/+/temperature",
            "$SYS/#",
            "a//+",
        ] {
            let topic = TopicName::parse(&example_topic(pattern)).unwrap();
            assert!(
                TopicFilter::parse(pattern).unwrap().matches(topic.as_str()),
                "{pattern} {topic}"
            );
        }
    }
}
