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
    let size = topic.as_str().len() + payload.len();
    let limits = &config.limits;
    let judged = policy.judge(&attempt(false)).map(drop);
    let judged = judged.map_err(|refusal| refusal.to_string());
    let judged = judged.and_then(|()| topic.sendable().map_err(|error| error.to_string()));
    let judged = judged.and_then(|()| match size > limits.publish_bytes {
        true => Err(format!(
            "topic and payload have {size} bytes, above `limits.publish_bytes` of {}",
            limits.publish_bytes
        )),
        false => Ok(()),
    });
    let (permitted, mut text) = verdict(judged, || {
        format!("{} to {}", Shown(payload), Shown(topic.as_str()))
    });
    let matching = policy
        .grants()
        .filter(|grant| grant.pattern.matches(topic.as_str()));
    rules(&mut text, matching, |grant, text| {
        let _ = write!(text, "{}", permissions(grant));
        if let Some(limit) = grant.writes() {
            let verdict = match limit.permits(payload.as_bytes()) {
                true => "kept",
                false => "not kept",
            };
            let _ = write!(text, "\n    payload: {limit}: {verdict}");
        }
    });
    if permitted {
        let retain = match policy.judge(&attempt(true)) {
            Ok(_) => "permitted",
            Err(_) => "not permitted: no rule that matches has `retain`",
        };
        let _ = writeln!(text, "  with retain: {retain}");
        if limits.publishes_per_second > 0 {
            let _ = writeln!(
                text,
                "  limits.publishes_per_second: {} for each caller, counted by each running program for itself",
                limits.publishes_per_second
            );
        }
    }
    Explanation { permitted, text }
}

fn subscribe(policy: &Policy, filter: &SubscribeFilter) -> Explanation {
    let judged = policy
        .may_subscribe(filter)
        .map_err(|refusal| refusal.to_string());
    let (permitted, mut text) = verdict(judged, || Shown(filter.as_str()).to_string());
    let overlapping = policy
        .grants()
        .filter(|grant| grant.pattern.overlaps(filter.filter()));
    rules(&mut text, overlapping, |grant, text| {
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

/// The rules that have to do with it, in the order of the file, a line or two each.
fn rules<'p>(
    text: &mut String,
    grants: impl Iterator<Item = &'p Grant>,
    describe: impl Fn(&Grant, &mut String),
) {
    let (mut told, mut more) = (0, 0);
    for grant in grants {
        if told == MOST_RULES {
            more += 1;
            continue;
        }
        told += 1;
        let pattern = Shown(grant.pattern.as_str());
        let _ = write!(text, "  {} {pattern}: ", place(grant));
        describe(grant, text);
        text.push('\n');
    }
    match (told, more) {
        (0, _) => text.push_str("  no rule matches\n"),
        (_, 0) => {}
        (_, more) => {
            let _ = writeln!(text, "  and {more} more rules");
        }
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
