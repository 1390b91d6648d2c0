//! The `operator` section: how a person holds agents back.
//!
//! What is below `operator.topic` is no agent's: the [`Policy`](crate::Policy) refuses it whatever is granted.

use std::path::PathBuf;

use mcpmqtt_protocol::topic::{Shown, TopicError, TopicFilter, TopicName};
use serde_json::Value;

use crate::finding::Report;
use crate::mqtt::Mqtt;
use crate::observe::Observe;
use crate::policy::{Attempt, Grant};
use crate::profile::Profiles;
use crate::section::{Section, found};
use crate::topic_template::TopicTemplate;
use crate::write_rule::WriteLimit;

/// What an operator has beside the permissions: topics of his own, and what may be written although he halted writing.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Operator {
    /// The topic below which the operator and this program speak to each other; without it they do not over MQTT.
    pub topic: Option<OperatorTopic>,
    /// The file with the secret that signs what the operator says.
    pub secret_file: Option<PathBuf>,
    /// Whether the operator's answers count although this program's own account could write them.
    pub unprotected: bool,
    /// What may be published although writing is halted.
    pub safe: Vec<SafeMessage>,
}

/// A message that may be published although writing is halted, if the policy permits it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SafeMessage {
    /// The topic.
    pub topic: TopicName,
    /// The payload, byte for byte.
    pub payload: Vec<u8>,
}

/// The topic that is the operator's, with all topics below it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OperatorTopic {
    topic: TopicName,
    all: TopicFilter,
}

impl Operator {
    /// Whether this message may be published although writing is halted.
    #[must_use]
    pub fn is_safe(&self, topic: &TopicName, payload: &[u8]) -> bool {
        let mut safe = self.safe.iter();
        safe.any(|it| it.topic == *topic && it.payload == payload)
    }

    pub(crate) fn read(section: Section<'_>) -> Self {
        let operator = Self {
            topic: topic(&section),
            secret_file: section.path("secret_file"),
            unprotected: section.flag("unprotected", false),
            safe: safe(&section),
        };
        if operator.topic.is_none() && section.value("topic").is_none() {
            if operator.secret_file.is_some() {
                let text = "signs what is said over `topic`, which is missing";
                section.problem("secret_file", text);
            }
            if operator.unprotected {
                section.warn("unprotected", "has no effect without `topic`");
            }
        }
        section.finish_strictly();
        operator
    }

    /// Reports what the rest of the file says about the operator's topics, where it has no effect or could not work.
    pub(crate) fn judge(
        &self,
        mqtt: &Mqtt,
        profiles: &Profiles,
        observe: &Observe,
        report: &Report,
    ) {
        for (index, safe) in self.safe.iter().enumerate() {
            let attempt = Attempt {
                topic: &safe.topic,
                payload: &safe.payload,
                retain: false,
            };
            if profiles.anyone().judge(&attempt).is_err() {
                let text = "no profile permits to publish it, halted or not";
                report.warning(format!("operator.safe[{index}]"), text);
            }
        }
        let Some(topic) = &self.topic else { return };
        for (path, message) in [("mqtt.birth", &mqtt.birth), ("mqtt.will", &mqtt.will)] {
            if message
                .as_ref()
                .is_some_and(|it| topic.all.matches(it.topic.as_str()))
            {
                let text = "is the operator's (`operator.topic`), and would be taken for what the operator says; choose \
                     another topic";
                report.problem(format!("{path}.topic"), text);
            }
        }
        for (index, filter) in observe.always.iter().enumerate() {
            if topic.all.covers(filter) {
                let text = "is the operator's (`operator.topic`) and is not observed";
                report.warning(format!("observe.always[{index}]"), text);
            }
        }
    }
}

impl OperatorTopic {
    /// Parses the topic.
    ///
    /// # Errors
    /// What is wrong, and what is allowed.
    pub fn parse(text: &str) -> Result<Self, String> {
        let topic = TopicName::parse(text).map_err(|error| error.to_string())?;
        topic.sendable().map_err(|error| error.to_string())?;
        if text.starts_with('$') {
            return Err("begins with `$`, and such topics are the broker's own".into());
        }
        if text.ends_with('/') {
            return Err("ends with `/`; the program adds it itself".into());
        }
        if text.len() > MAX_TOPIC_BYTES {
            return Err(format!(
                "is too long; allowed: at most {MAX_TOPIC_BYTES} bytes"
            ));
        }
        let all = TopicFilter::parse(&format!("{text}/#")).map_err(|error| error.to_string())?;
        Ok(Self { topic, all })
    }

    /// The topic itself.
    #[must_use]
    pub fn as_str(&self) -> &str {
        self.topic.as_str()
    }

    /// The filter of the topic and of all topics below it, which are the operator's.
    #[must_use]
    pub fn all(&self) -> &TopicFilter {
        &self.all
    }

    /// The topic at `levels` below it: `halt` makes `plant/operator/halt`.
    ///
    /// # Errors
    /// No topic can be made of `levels`.
    pub fn below(&self, levels: &str) -> Result<TopicName, TopicError> {
        TopicName::parse(&format!("{}/{levels}", self.topic.as_str()))
    }
}

/// Warns of a grant that is wholly the operator's, and refuses rules on writes that depend on a topic of the operator's:
/// nothing of it reaches a rule. Whether the grant grants anything; `path` is that of its pattern.
pub(crate) fn leaves(topic: &OperatorTopic, grant: &Grant, path: &str, report: &Report) -> bool {
    if topic.all.covers(&grant.pattern) {
        let pattern = Shown(grant.pattern.as_str());
        let text = format!(
            "{pattern} is the operator's (`operator.topic`), where no agent reads or writes; it grants nothing"
        );
        report.warning(path, text);
        return false;
    }
    for rule in &grant.write {
        let named = rule.limits.iter().filter_map(named);
        for template in named.filter(|it| it.is_within(&topic.all)) {
            let text = format!(
                "{} is the operator's (`operator.topic`), and no rule knows what is said there; name another topic",
                Shown(&template.to_string())
            );
            report.problem(&rule.place, text);
        }
    }
    true
}

/// The topic that a limit depends on.
fn named(limit: &WriteLimit) -> Option<&TopicTemplate> {
    match limit {
        WriteLimit::Requires(requirement) => Some(&requirement.source.topic),
        WriteLimit::MaxChange(change) => Some(&change.state.topic),
        WriteLimit::Confirm(effect) => Some(&effect.state),
        WriteLimit::MinInterval(_) | WriteLimit::MaxPerMinute(_) => None,
    }
}

fn topic(section: &Section<'_>) -> Option<OperatorTopic> {
    match OperatorTopic::parse(section.text("topic")?) {
        Ok(topic) => Some(topic),
        Err(error) => {
            section.problem("topic", error);
            None
        }
    }
}

fn safe(section: &Section<'_>) -> Vec<SafeMessage> {
    let entries = match section.value("safe") {
        None => return Vec::new(),
        Some(Value::Array(entries)) => entries,
        Some(other) => {
            let allowed = "a list of objects with `topic` and `payload`";
            section.refuse("safe", other, allowed);
            return Vec::new();
        }
    };
    let mut messages = Vec::new();
    for (index, entry) in entries.iter().enumerate() {
        let path = format!("{}[{index}]", section.path_of("safe"));
        if entry.is_object() {
            let section = Section::new(path, Some(entry), section.report());
            messages.extend(safe_message(&section));
            section.finish_strictly();
        } else {
            let text = format!(
                "found {}; allowed: an object with `topic` and `payload`",
                found(entry)
            );
            section.report().problem(path, text);
        }
    }
    messages
}

fn safe_message(section: &Section<'_>) -> Option<SafeMessage> {
    let payload = section.text("payload");
    if section.value("payload").is_none() {
        let text = "is missing; allowed: the payload that may be written, as a string";
        section.problem("payload", text);
    }
    let topic = match section.text("topic").map(TopicName::parse) {
        Some(Ok(topic)) => Some(topic),
        Some(Err(error)) => {
            section.problem("topic", error.to_string());
            None
        }
        None if section.value("topic").is_none() => {
            section.problem("topic", "is missing; allowed: a topic without wildcards");
            None
        }
        None => None,
    };
    Some(SafeMessage {
        topic: topic?,
        payload: payload?.as_bytes().to_vec(),
    })
}

/// With this much, every topic below it has a length that brokers take.
const MAX_TOPIC_BYTES: usize = 200;
