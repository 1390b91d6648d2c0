//! `--explain`: whether an agent may publish or subscribe, by which rules of the file, and within which limits.
//!
//! Promises: the verdict is that of the functions that every call goes through; nothing is connected to; one screen.

use std::fmt::Write as _;
use std::path::Path;

use mcpmqtt_config::{Attempt, Config, Grant, Policy};
use mcpmqtt_protocol::topic::{Shown, SubscribeFilter, TopicName};

use super::cli::Question;
use super::console;
use super::startup::{self, Loaded};

/// Answers on standard output. Whether it is permitted.
///
/// # Errors
/// There is no verdict: the configuration cannot be used, or standard output cannot be written to.
pub(crate) fn run(question: &Question, config: Option<&Path>) -> Result<bool, String> {
    let loaded = startup::load(config)?;
    let answer = answer(question, &loaded);
    console::print(&answer.text)?;
    Ok(answer.permitted)
}

/// The verdict, and the screen that explains it.
struct Explanation {
    permitted: bool,
    text: String,
}

fn answer(question: &Question, loaded: &Loaded) -> Explanation {
    // The policy of who asks: there is one for all.
    let policy = &loaded.config.policy;
    let mut explanation = match question {
        Question::Publish { topic, payload } => publish(policy, &loaded.config, topic, payload),
        Question::Subscribe { filter } => subscribe(policy, filter),
    };
    let _ = writeln!(explanation.text, "  configuration: {}", loaded.origin);
    explanation
}

fn publish(policy: &Policy, config: &Config, topic: &TopicName, payload: &str) -> Explanation {
    let attempt = |retain| Attempt {
        topic,
        payload: payload.as_bytes(),
        retain,
    };
    let judged = policy.judge(&attempt(false)).map(drop);
    let judged = judged.map_err(|refusal| refusal.to_string());
    let judged = judged.and_then(|()| can_be_sent(config, topic, payload));
    let (permitted, mut text) = verdict(judged, || {
        format!("{} to {}", Shown(payload), Shown(topic.as_str()))
    });
    let grants = policy.grants();
    let matching = grants.filter(|grant| grant.pattern.matches(topic.as_str()));
    let counts = |grant: &Grant| grant.permissions.write || grant.permissions.retain;
    rules(&mut text, matching.collect(), counts, |grant, text| {
        let _ = write!(text, "{}", permissions(grant));
        if let Some(limit) = grant.writes() {
            let kept = match limit.permits(payload.as_bytes()) {
                true => "kept",
                false => "not kept",
            };
            let _ = write!(text, "\n    payload: {limit}: {kept}");
        }
    });
    if permitted {
        let retain = match policy.judge(&attempt(true)) {
            Ok(_) => "permitted",
            Err(_) => "not permitted: no rule that matches has `retain`",
        };
        let _ = writeln!(text, "  with retain: {retain}");
        text.push_str(&rate(config));
    }
    Explanation { permitted, text }
}

/// What the MQTT client refuses, whatever the policy says.
fn can_be_sent(config: &Config, topic: &TopicName, payload: &str) -> Result<(), String> {
    topic.sendable().map_err(|error| error.to_string())?;
    let size = topic.as_str().len() + payload.len();
    let most = config.limits.publish_bytes;
    match size > most {
        true => Err(format!(
            "topic and payload have {size} bytes, above `limits.publish_bytes` of {most}"
        )),
        false => Ok(()),
    }
}

fn rate(config: &Config) -> String {
    match config.limits.publishes_per_second {
        0 => String::new(),
        rate => format!(
            "  limits.publishes_per_second: {rate} for each caller, counted by each running program for itself\n"
        ),
    }
}

fn subscribe(policy: &Policy, filter: &SubscribeFilter) -> Explanation {
    let judged = policy.may_subscribe(filter);
    let judged = judged.map_err(|refusal| refusal.to_string());
    let (permitted, mut text) = verdict(judged, || Shown(filter.as_str()).to_string());
    let grants = policy.grants();
    let overlapping = grants.filter(|grant| grant.pattern.overlaps(filter.filter()));
    let counts = |grant: &Grant| grant.permissions.read || grant.permissions.share;
    rules(&mut text, overlapping.collect(), counts, |grant, text| {
        let part = match grant.pattern.covers(filter.filter()) {
            true => "all of it",
            false => "a part of it",
        };
        let _ = write!(text, "{}, {part}", permissions(grant));
    });
    Explanation { permitted, text }
}

/// The first line: the verdict, and what is permitted or why not.
fn verdict(judged: Result<(), String>, what: impl FnOnce() -> String) -> (bool, String) {
    match judged {
        Ok(()) => (true, format!("permitted: {}\n", what())),
        Err(why) => (false, format!("refused: {why}\n")),
    }
}

/// The rules that have to do with it, a line or two each: first those that count, then in the order of the file.
fn rules(
    text: &mut String,
    mut grants: Vec<&Grant>,
    counts: fn(&Grant) -> bool,
    describe: impl Fn(&Grant, &mut String),
) {
    if grants.is_empty() {
        text.push_str("  no rule matches\n");
    }
    grants.sort_by_key(|grant| !counts(grant));
    for grant in grants.iter().take(MOST_RULES) {
        let pattern = Shown(grant.pattern.as_str());
        let _ = write!(text, "  {} {pattern}: ", place(grant));
        describe(grant, text);
        text.push('\n');
    }
    if let Some(more @ 1..) = grants.len().checked_sub(MOST_RULES) {
        let _ = writeln!(text, "  and {more} more rules");
    }
}

fn permissions(grant: &Grant) -> String {
    grant.permissions.names().collect::<Vec<_>>().join(", ")
}

/// The rule's place in the file.
fn place(grant: &Grant) -> String {
    let places = grant.places.iter().map(|place| format!("topics[{place}]"));
    places.collect::<Vec<_>>().join(" and ")
}

/// As many rules as fit on a screen with the rest, also where each takes two lines.
const MOST_RULES: usize = 8;
