//! `--explain`: whether an agent may publish or subscribe, by which rules of the file, and within which limits.
//!
//! Promises: the verdict is that of the functions that every call goes through; nothing is connected to; one screen.

use std::fmt::Write as _;
use std::path::Path;
use std::time::SystemTime;

use mcpmqtt_config::{ApiKey, Attempt, Config, Grant, Policy, Profile, Profiles, Quota};
use mcpmqtt_protocol::topic::{Shown, SubscribeFilter, TopicName};

use super::cli::Question;
use super::console;
use super::startup::{self, Loaded};
use mcpmqtt_protocol::sort::sort_by_key;

/// Answers on standard output. Whether it is permitted.
///
/// # Errors
/// There is no verdict: the configuration cannot be used, or standard output cannot be written to.
pub(crate) fn run(
    question: &Question,
    caller: Option<&str>,
    config: Option<&Path>,
) -> Result<bool, String> {
    let loaded = startup::load(config)?;
    let asking = asking(caller, &loaded.config)?;
    let answer = answer(question, &asking, &loaded);
    console::print(&answer.text)?;
    Ok(answer.permitted)
}

/// The verdict, and the screen that explains it.
struct Explanation {
    permitted: bool,
    text: String,
}

/// The caller that the question is asked for.
struct Asking<'c> {
    profile: &'c Profile,
    /// The place of the profile's topics in the file.
    topics: String,
    /// What is named by `--as`, and the profile that it has.
    told: Option<String>,
    /// Why the server does not let the caller in.
    expired: Option<String>,
}

impl Asking<'_> {
    fn is_let_in(&self) -> Result<(), String> {
        self.expired.clone().map_or(Ok(()), Err)
    }
}

/// Finds who `--as` names: a key, else a profile. Without it, it is a caller of the profile `default`.
///
/// # Errors
/// There is no such key and no such profile, or there are several keys of that name with different profiles.
fn asking<'c>(caller: Option<&str>, config: &'c Config) -> Result<Asking<'c>, String> {
    let profiles = &config.profiles;
    let Some(name) = caller else {
        return Ok(Asking {
            profile: profiles.default_profile(),
            topics: "topics".into(),
            told: None,
            expired: None,
        });
    };
    let key = keys_named(name, config, SystemTime::now())?;
    let profile_name = key.as_ref().map_or(name, |key| key.profile);
    let profile = profiles.get(profile_name).ok_or_else(|| {
        format!(
            "`--as`: no key and no profile has the name {}; profiles: {}",
            Shown(name),
            profiles.names()
        )
    })?;
    let topics = match profile_name {
        Profiles::DEFAULT => "topics".into(),
        name => format!("profiles.{name}.topics"),
    };
    let expired = key.as_ref().and_then(|key| key.expired.clone());
    let told = match key {
        Some(_) => format!("key {}, profile {}", Shown(name), Shown(profile_name)),
        None => format!("profile {}", Shown(name)),
    };
    Ok(Asking {
        profile,
        topics,
        told: Some(told),
        expired,
    })
}

/// What the keys with this name give their holder.
struct Held<'c> {
    profile: &'c str,
    /// Why the server lets none of them in.
    expired: Option<String>,
}

/// The keys with this name. One that has expired counts only where there is no other.
fn keys_named<'c>(
    name: &str,
    config: &'c Config,
    now: SystemTime,
) -> Result<Option<Held<'c>>, String> {
    let Some(server) = &config.remote_server else {
        return Ok(None);
    };
    let mut profiles: Vec<&str> = Vec::new();
    let mut over = None;
    for key in server.keys.iter().filter(|key| key.name == name) {
        match key.expires.as_ref().filter(|expires| expires.is_over(now)) {
            None => profiles.push(&key.profile),
            Some(expires) => {
                let (name, at) = (Shown(name), Shown(expires.as_str()));
                over = Some(Held {
                    profile: &key.profile,
                    expired: Some(format!("the API key {name} has expired ({at})")),
                });
            }
        }
    }
    if name == Profiles::DEFAULT && !matches!(server.api_key, ApiKey::None) {
        profiles.push(Profiles::DEFAULT);
    }
    sort_by_key(&mut profiles, |profile| *profile);
    profiles.dedup();
    match profiles.as_slice() {
        [] => Ok(over),
        [profile] => Ok(Some(Held {
            profile,
            expired: None,
        })),
        several => Err(format!(
            "`--as`: the keys with the name {} have different profiles; name one of these: {}",
            Shown(name),
            several.join(", ")
        )),
    }
}

fn answer(question: &Question, asking: &Asking<'_>, loaded: &Loaded) -> Explanation {
    let mut explanation = match question {
        Question::Publish { topic, payload } => publish(asking, &loaded.config, topic, payload),
        Question::Subscribe { filter } => subscribe(asking, filter),
    };
    if let Some(told) = &asking.told {
        let _ = writeln!(explanation.text, "  as: {told}");
    }
    let _ = writeln!(explanation.text, "  configuration: {}", loaded.origin);
    explanation
}

fn publish(asking: &Asking<'_>, config: &Config, topic: &TopicName, payload: &str) -> Explanation {
    let policy: &Policy = &asking.profile.policy;
    let attempt = |retain| Attempt {
        topic,
        payload: payload.as_bytes(),
        retain,
    };
    let by_policy = policy.judge(&attempt(false)).map(drop);
    let by_policy = by_policy.map_err(|refusal| refusal.to_string());
    let judged = asking.is_let_in().and(by_policy);
    let judged = judged.and_then(|()| can_be_sent(config, topic, payload));
    let judged = judged.and_then(|()| has_a_tool(asking.profile));
    let (permitted, mut text) = verdict(judged, || {
        format!("{} to {}", Shown(payload), Shown(topic.as_str()))
    });
    let grants = policy.grants();
    let matching = grants.filter(|grant| grant.pattern.matches(topic.as_str()));
    let counts = |grant: &Grant| grant.permissions.write || grant.permissions.retain;
    rules(
        &mut text,
        &asking.topics,
        matching.collect(),
        counts,
        |grant, text| {
            let _ = write!(text, "{}", permissions(grant));
            if let Some(limit) = grant.writes() {
                let kept = match limit.permits(payload.as_bytes()) {
                    true => "kept",
                    false => "not kept",
                };
                let _ = write!(text, "\n    payload: {limit}: {kept}");
            }
            for rule in grant.write.iter().filter(|_| grant.permissions.write) {
                let _ = write!(text, "\n    write: {rule}: judged when it is sent");
            }
            if let Some(consent) = grant.needs() {
                let _ = write!(text, "\n    consent: {}", consent.name());
            }
        },
    );
    if permitted {
        let retain = match policy.judge(&attempt(true)) {
            Ok(_) => "permitted",
            Err(_) => "not permitted: no rule that matches has `retain`",
        };
        let _ = writeln!(text, "  with retain: {retain}");
        if let Some(consent) = policy.consent(topic) {
            let _ = writeln!(text, "  consent: {}", consent.words());
        }
        text.push_str(&rates(asking.profile.quota));
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

/// Whether the caller is offered a tool that publishes.
fn has_a_tool(profile: &Profile) -> Result<(), String> {
    let offers = |name| profile.tools.offers(name);
    match offers("mqtt_publish") || offers("mqtt_query") {
        true => Ok(()),
        false => Err("the profile has neither `mqtt_publish` nor `mqtt_query`".into()),
    }
}

fn rates(quota: Quota) -> String {
    let mut text = String::new();
    for (name, rate, whom) in [
        ("publishes_per_second", quota.per_second, "each caller"),
        ("publishes_per_minute", quota.per_minute, "each name"),
    ] {
        if rate > 0 {
            let _ = writeln!(
                text,
                "  limits.{name}: {rate} for {whom}, counted by each running program for itself"
            );
        }
    }
    text
}

fn subscribe(asking: &Asking<'_>, filter: &SubscribeFilter) -> Explanation {
    let policy: &Policy = &asking.profile.policy;
    let by_policy = policy.may_subscribe(filter);
    let by_policy = by_policy.map_err(|refusal| refusal.to_string());
    let judged = asking.is_let_in().and(by_policy);
    let (permitted, mut text) = verdict(judged, || Shown(filter.as_str()).to_string());
    let grants = policy.grants();
    let overlapping = grants.filter(|grant| grant.pattern.overlaps(filter.filter()));
    let counts = |grant: &Grant| grant.permissions.read || grant.permissions.share;
    rules(
        &mut text,
        &asking.topics,
        overlapping.collect(),
        counts,
        |grant, text| {
            let part = match grant.pattern.covers(filter.filter()) {
                true => "all of it",
                false => "a part of it",
            };
            let _ = write!(text, "{}, {part}", permissions(grant));
        },
    );
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
    topics: &str,
    mut grants: Vec<&Grant>,
    counts: fn(&Grant) -> bool,
    describe: impl Fn(&Grant, &mut String),
) {
    if grants.is_empty() {
        text.push_str("  no rule matches\n");
    }
    sort_by_key(&mut grants, |grant| !counts(grant));
    for grant in grants.iter().take(MOST_RULES) {
        let pattern = Shown(grant.pattern.as_str());
        let _ = write!(text, "  {} {pattern}: ", place(topics, grant));
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
fn place(topics: &str, grant: &Grant) -> String {
    let places = grant.places.iter();
    let places = places.map(|place| format!("{topics}[{place}]"));
    places.collect::<Vec<_>>().join(" and ")
}

/// As many rules as fit on a screen with the rest, also where each takes two lines.
const MOST_RULES: usize = 8;
