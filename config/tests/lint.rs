//! Doubts about rules: complete and right against an independent judge, and quick for ten thousand rules. Their words
//! are held by the corpus.
#![allow(clippy::unwrap_used)]

use std::collections::BTreeSet;
use std::time::Duration;

use mcpmqtt_config::{Config, Grant, Policy};
use mcpmqtt_protocol::topic::TopicName;
use serde_json::{Value, json};

/// Pattern and permissions of each rule; every rule gets a description.
fn file(rules: &[(String, &[&str])]) -> Value {
    let rule = |(pattern, permissions): &(String, &[&str])| json!({"pattern": pattern, "permissions": permissions, "description": "d"});
    json!({"topics": rules.iter().map(rule).collect::<Vec<_>>()})
}

fn check(rules: &[(String, &[&str])]) -> (Config, Vec<(String, String)>) {
    let (config, warnings) = Config::parse(&file(rules).to_string()).unwrap();
    let warnings = warnings
        .into_iter()
        .map(|warning| (warning.path, warning.text));
    (config, warnings.collect())
}

/// The indices of the rules of which a warning contains `words`.
fn told(warnings: &[(String, String)], words: &str) -> BTreeSet<usize> {
    let index = |path: &str| {
        path.strip_prefix("topics[")?
            .split(']')
            .next()?
            .parse()
            .ok()
    };
    let told = warnings.iter().filter(|(_, text)| text.contains(words));
    told.map(|(path, _)| index(path).unwrap()).collect()
}

/// All topics of up to three levels over the letters of the patterns, an unused one, and a `$` topic.
fn topics() -> Vec<TopicName> {
    let mut topics = vec!["$a".to_owned()];
    for first in ["a", "b", "z", ""] {
        topics.push(first.to_owned());
        for second in ["a", "b", "z", ""] {
            topics.push(format!("{first}/{second}"));
            for third in ["a", "b", "z", ""] {
                topics.push(format!("{first}/{second}/{third}"));
            }
        }
    }
    topics
        .iter()
        .filter_map(|topic| TopicName::parse(topic).ok())
        .collect()
}

/// What the rules permit on each of the topics: publish, publish with retain, receive.
fn answers(grants: &[Grant]) -> Vec<(bool, bool, bool)> {
    let policy = Policy::new(grants.to_vec());
    let answer = |topic: &TopicName| {
        (
            policy.may_publish(topic, false).is_ok(),
            policy.may_publish(topic, true).is_ok(),
            policy.may_receive(topic.as_str()),
        )
    };
    topics().iter().map(answer).collect()
}

/// Random rules over a small alphabet, so that they often cover each other.
fn random_rules(draw: &mut impl FnMut(usize) -> usize) -> Vec<(String, &'static [&'static str])> {
    let permissions: [&'static [&'static str]; 6] = [
        &["read"],
        &["write"],
        &["retain"],
        &["read", "write"],
        &["write", "retain"],
        &["read", "write", "retain"],
    ];
    let mut rules: Vec<(String, &[&str])> = Vec::new();
    for _ in 0..2 + draw(7) {
        let depth = 1 + draw(3);
        let mut levels: Vec<_> = (0..depth).map(|_| ["a", "b", "+", ""][draw(4)]).collect();
        if draw(3) == 0 {
            levels[depth - 1] = "#";
        }
        let pattern = levels.join("/");
        if !pattern.is_empty() && rules.iter().all(|(other, _)| *other != pattern) {
            rules.push((pattern, permissions[draw(6)]));
        }
    }
    rules
}

/// What the system's bookkeeping may be off.
const GRAIN: Duration = Duration::from_millis(4);

/// What this thread took of the processor, which other programs do not change.
fn processor_time() -> Duration {
    // The system brings the figure up to date when it changes threads.
    std::thread::yield_now();
    let text = std::fs::read_to_string("/proc/thread-self/schedstat").unwrap();
    Duration::from_nanos(text.split(' ').next().unwrap().parse().unwrap())
}

#[test]
fn a_rule_is_called_covered_exactly_when_another_permits_as_much() {
    let mut random = 7_u64;
    let mut draw = |below: usize| {
        random = random
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1);
        usize::try_from(random >> 33).unwrap() % below
    };
    let mut seen = (0, 0);
    for _ in 0..600 {
        let rules = random_rules(&mut draw);
        let (config, warnings) = check(&rules);
        let grants: Vec<Grant> = config.policy.grants().cloned().collect();
        let restricting = told(&warnings, "takes nothing away");
        for (index, narrow) in grants.iter().enumerate() {
            let is_subset = |wide: &Grant| {
                let wide: Vec<_> = wide.permissions.names().collect();
                narrow.permissions.names().all(|name| wide.contains(&name))
            };
            // With a description of its own a rule of the same permissions is no doubt.
            let covers = |wide: &&Grant| {
                wide.pattern.covers(&narrow.pattern)
                    && is_subset(wide)
                    && wide.permissions != narrow.permissions
            };
            let others: Vec<_> = grants.iter().filter(|other| *other != narrow).collect();
            let by_same = others.iter().enumerate().any(|(other, wide)| {
                wide.pattern.covers(&narrow.pattern)
                    && wide.permissions == narrow.permissions
                    && (other < index || !narrow.pattern.covers(&wide.pattern))
            });
            let is_covered = others.iter().copied().any(|wide| covers(&wide));
            // The first in the file that covers is the one that is named, so both kinds at once may go either way.
            if !by_same {
                assert_eq!(
                    restricting.contains(&index),
                    is_covered,
                    "{narrow:?} in {rules:?}"
                );
            }
        }
        for index in &restricting {
            let mut without = grants.clone();
            without.remove(*index);
            assert_eq!(answers(&without), answers(&grants), "{index} of {rules:?}");
            seen.0 += 1;
        }
        for index in told(&warnings, "`retain` counts only") {
            let mut without = grants.clone();
            without[index].permissions.retain = false;
            assert_eq!(answers(&without), answers(&grants), "{index} of {rules:?}");
            seen.1 += 1;
        }
    }
    assert!(seen.0 > 300 && seen.1 > 100, "{seen:?}");
}

#[test]
fn ten_thousand_rules_are_judged_in_no_more_than_their_share() {
    let time = |rules: &[(String, &[&str])]| {
        let file = file(rules).to_string();
        let run = || {
            let start = processor_time();
            let (_, warnings) = Config::parse(&file).unwrap();
            assert!(warnings.len() < 60, "{}", warnings.len());
            processor_time() - start
        };
        (0..3).map(|_| run()).min().unwrap_or(Duration::MAX)
    };
    type Rule = fn(usize) -> (String, &'static [&'static str]);
    let kinds: [Rule; 5] = [
        |i| (format!("plant/line{}/{i}/value", i % 10), &["read"]),
        |i| (format!("+/{i}/#"), &["read", "write"]),
        // No rule with `write` is near one with `retain`.
        |i| match i % 2 {
            0 => (format!("a/{i}"), &["retain"]),
            _ => (format!("b/{i}"), &["write"]),
        },
        |i| (format!("{i}/*"), &["write"]),
        |i| match i {
            0 => ("all/#".to_owned(), &["read", "write"]),
            _ => (format!("all/{i}/#"), &["read"]),
        },
    ];
    let is_full = std::env::var_os("MCPMQTT_TEST_FULL").is_some();
    let count = if is_full { 1_250 } else { 150 };
    for kind in kinds {
        let rules = |count: usize| (0..count).map(kind).collect::<Vec<_>>();
        let (few, many) = (time(&rules(count)), time(&rules(8 * count)));
        // Eight times as many; squared it would be 64 times.
        assert!(many < few * 32 + GRAIN, "{:?}: {few:?}, {many:?}", kind(1));
    }
}
