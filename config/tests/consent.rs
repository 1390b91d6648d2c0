//! Consent in the file: who agrees to a write where several entries match, and what a new file changes.
#![allow(clippy::unwrap_used)]

use mcpmqtt_config::{Config, Consent, Policy};
use mcpmqtt_protocol::topic::TopicName;
use serde_json::{Value, json};

fn topic(name: &str) -> TopicName {
    TopicName::parse(name).unwrap()
}

/// The policy of these entries, each with what it says of consent.
fn policy(entries: &[(&str, &str, Value)]) -> std::rc::Rc<Policy> {
    let topics = entries.iter().map(|(pattern, permission, consent)| {
        json!({"pattern": pattern, "permissions": [permission], "description": "d", "consent": consent})
    });
    let topics: Vec<_> = topics.collect();
    let file = json!({"topics": topics, "operator": {"topic": "operator"}});
    Config::parse(&file.to_string()).unwrap().0.policy
}

#[test]
fn all_entries_that_match_demand_it_together() {
    use Consent::{Both, Client, Either, Operator};
    let names = [None, Some(Client), Some(Operator), Some(Either)];
    for first in names {
        for second in names {
            let named =
                |consent: Option<Consent>| consent.map_or(Value::Null, |it| it.name().into());
            let policy = policy(&[
                ("a/+", "write", named(first)),
                ("a/b", "write", named(second)),
            ]);
            let expected = match (first, second) {
                (one, None) | (None, one) => one,
                (Some(one), Some(other)) if one == other => Some(one),
                (Some(Either), Some(one)) | (Some(one), Some(Either)) => Some(one),
                _ => Some(Both),
            };
            assert_eq!(
                policy.consent(&topic("a/b")),
                expected,
                "{first:?} {second:?}"
            );
            assert_eq!(policy.consent(&topic("a/c")), first);
        }
    }
}

#[test]
fn what_permits_no_write_demands_no_consent() {
    let policy = policy(&[("a", "read", json!("client")), ("#", "write", Value::Null)]);
    assert_eq!(policy.consent(&topic("a")), None);
}

#[test]
fn a_file_that_changes_what_was_asked_for_is_told_from_one_that_does_not() {
    let before = policy(&[
        ("a", "write", json!("client")),
        ("b", "write", json!("client")),
    ]);
    let other = policy(&[("a", "write", json!("client")), ("b", "write", Value::Null)]);
    assert!(other.asks_the_same(&before, &topic("a")).is_ok());
    assert!(other.asks_the_same(&before, &topic("b")).is_err());
    let of = |more: Value| {
        let mut entry = json!({"pattern": "a", "permissions": ["write"], "description": "d", "consent": "client"});
        entry
            .as_object_mut()
            .unwrap()
            .extend(more.as_object().unwrap().clone());
        Config::parse(&json!({"topics": [entry]}).to_string())
            .unwrap()
            .0
            .policy
    };
    let narrow = json!({"payload": {"type": "number", "min": 0, "max": 5}});
    let wide = json!({"payload": {"type": "number", "min": 0, "max": 50}});
    let slow = json!({"write": {"min_interval": 5}});
    let ways = [json!({}), narrow, wide, slow];
    for (n, one) in ways.iter().enumerate() {
        for (m, other) in ways.iter().enumerate() {
            let same = of(one.clone())
                .asks_the_same(&of(other.clone()), &topic("a"))
                .is_ok();
            assert_eq!(same, n == m, "{one} {other}");
        }
    }
}
