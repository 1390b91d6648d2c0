//! The resources: `mcpmqtt://topics/allowed` and `mcpmqtt://topics/examples` describe the permitted topics, and every
//! topic is a resource of its own.

mod topic;
mod uri;
mod watcher;

use std::rc::Rc;

use mcpmqtt_config::{Grant, Policy};
use serde_json::{Value, json};

use super::Context;
use super::access::Access;
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

pub(super) fn all(access: &Access, broker: BrokerInfo) -> Vec<Resource> {
    let (allowed, examples) = (access.clone(), access.clone());
    vec![
        resource(
            ALLOWED,
            "allowed_topics",
            "Allowed topics",
            "The topic patterns that may be used, with their permissions and descriptions.",
            move || allowed_topics(&allowed.policy(), &broker),
        ),
        resource(
            EXAMPLES,
            "topic_examples",
            "Topic examples",
            "For each allowed pattern, topics that match it and how to use them.",
            move || topic_examples(&examples.policy()),
        ),
    ]
}

/// Whether `uri` is the resource of a topic that may no longer be read.
pub(super) fn is_withdrawn(access: &Access, uri: &str) -> bool {
    uri::belongs(uri) && topic::may_read(access, uri).is_err()
}

pub(super) fn templates(context: &Rc<Context>) -> Vec<Template> {
    vec![topic::template(context)]
}

fn resource(
    uri: &'static str,
    name: &str,
    title: &str,
    description: &str,
    content: impl Fn() -> Value + 'static,
) -> Resource {
    Resource {
        uri: uri.into(),
        name: name.into(),
        title: title.into(),
        description: description.into(),
        mime_type: JSON.into(),
        reader: Rc::new(move |_| {
            let contents = Contents {
                uri: uri.into(),
                mime_type: JSON.into(),
                body: Body::Text(content().to_string()),
            };
            Box::pin(async { Ok(vec![contents]) })
        }),
        watcher: None,
    }
}

fn allowed_topics(policy: &Policy, broker: &BrokerInfo) -> Value {
    let topics: Vec<Value> = policy.grants().map(described).collect();
    json!({
        "topics": topics,
        "mqtt_info": {
            "host": broker.host,
            "port": broker.port,
            "requires_auth": broker.requires_auth,
        },
    })
}

fn topic_examples(policy: &Policy) -> Value {
    let examples: Vec<Value> = policy
        .grants()
        .map(|grant| {
            let mut example = described(grant);
            example["examples"] = examples_of(grant).into();
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

fn described(grant: &Grant) -> Value {
    let description = grant
        .description
        .as_deref()
        .unwrap_or("No description provided");
    json!({
        "pattern": grant.pattern.as_str(),
        "permissions": grant.permissions.names().collect::<Vec<_>>(),
        "description": description,
    })
}

/// Examples of a grant: the topic itself for an exact pattern; for a pattern with wildcards a matching topic and, where
/// the pattern may be read, the pattern itself as a filter.
fn examples_of(grant: &Grant) -> Vec<Value> {
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
    let mut examples =
        vec![json!({"topic": topic, "usage": format!("one topic of the pattern: {tools}")})];
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
