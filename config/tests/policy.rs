//! What the policy allows and refuses, and in which words.
#![allow(clippy::unwrap_used)]

use mcpmqtt_config::{Attempt, Config, Grant, Permissions, Policy};
use mcpmqtt_protocol::topic::{SubscribeFilter, TopicFilter, TopicName};

fn grant(pattern: &str, permissions: &str) -> Grant {
    let held = |name| permissions.split(' ').any(|word| word == name);
    Grant {
        pattern: TopicFilter::parse(pattern).unwrap(),
        permissions: Permissions {
            read: held("read"),
            write: held("write"),
            retain: held("retain"),
            share: held("share"),
        },
        description: None,
        payload: None,
        write: Vec::new(),
        consent: None,
        places: Vec::new(),
    }
}

fn policy(grants: &[(&str, &str)]) -> Policy {
    Policy::new(
        grants
            .iter()
            .map(|(pattern, permissions)| grant(pattern, permissions))
            .collect(),
    )
}

fn readable(pattern: &str) -> Policy {
    policy(&[(pattern, "read")])
}

fn publish(policy: &Policy, topic: &str, retain: bool) -> Result<(), String> {
    policy
        .may_publish(&TopicName::parse(topic).unwrap(), retain)
        .map_err(|refusal| refusal.to_string())
}

fn subscribe(policy: &Policy, filter: &str) -> Result<(), String> {
    policy
        .may_subscribe(&SubscribeFilter::parse(filter).unwrap())
        .map_err(|refusal| refusal.to_string())
}

#[test]
fn a_request_wider_than_the_pattern_is_refused() {
    let cases = [
        ("sensors/+", "sensors/#"),
        ("+", "#"),
        ("sensors/+/temperature", "sensors/#"),
        ("sensors/+/temperature", "+/+/temperature"),
        ("sensors/room1", "sensors/+"),
    ];
    for (pattern, request) in cases {
        assert!(
            subscribe(&readable(pattern), request).is_err(),
            "{pattern} let {request} through"
        );
        assert_eq!(
            subscribe(&readable(pattern), pattern),
            Ok(()),
            "{pattern} does not allow itself"
        );
    }
}

#[test]
fn wildcards_do_not_reach_dollar_topics() {
    for request in ["$SYS/#", "$SYS/broker/uptime", "$share/g/$SYS/#"] {
        assert!(subscribe(&readable("#"), request).is_err(), "{request}");
    }
    assert!(subscribe(&readable("+/broker/uptime"), "$SYS/broker/uptime").is_err());
    assert!(!readable("#").may_receive("$SYS/broker/uptime"));
    assert_eq!(subscribe(&readable("$SYS/#"), "$SYS/broker/uptime"), Ok(()));
    assert!(publish(&policy(&[("#", "write")]), "$SYS/x", false).is_err());
}

#[test]
fn a_shared_subscription_is_judged_by_its_inner_filter() {
    assert!(subscribe(&readable("+/+/temperature"), "$share/g/temperature").is_err());
    let shareable = policy(&[("a/#", "read share")]);
    assert_eq!(subscribe(&shareable, "$share/g/a/b"), Ok(()));
    assert_eq!(
        subscribe(&shareable, "$share/g/#"),
        Err("`$share/g/#` is not readable; readable: `a/#`".to_owned())
    );
}

/// The agent of a group takes away what it is given: reading is not enough.
#[test]
fn all_of_a_shared_subscription_needs_the_permission_to_share() {
    let words = "would take messages away from the others in its group, for which a topic needs the permission `share` \
                 beside `read`; ";
    assert_eq!(
        subscribe(&readable("a/#"), "$share/g/a/b"),
        Err(format!("`$share/g/a/b` {words}no topic has it"))
    );
    let partly = policy(&[("a/#", "read"), ("a/+", "share"), ("b/#", "read share")]);
    assert_eq!(
        subscribe(&partly, "$share/g/a/b"),
        Ok(()),
        "two patterns may give the two"
    );
    assert_eq!(subscribe(&partly, "$share/g/a/+"), Ok(()));
    assert_eq!(
        subscribe(&partly, "$share/g/a/#"),
        Err(format!(
            "`$share/g/a/#` {words}topics that have it: `a/+`, `b/#`"
        ))
    );
    let union = policy(&[("a/#", "read"), ("a", "share"), ("a/+/#", "share")]);
    assert_eq!(subscribe(&union, "$share/g/a/#"), Ok(()));
    let unread = policy(&[("a/#", "share")]);
    assert!(
        subscribe(&unread, "$share/g/a").is_err(),
        "sharing alone reads nothing"
    );
    assert!(subscribe(&unread, "a").is_err());
}

#[test]
fn what_may_be_shared_is_read_from_the_file_and_told() {
    let file = r#"{"topics": [{"pattern": "a/#", "permissions": ["share", "read"]}]}"#;
    let (config, _) = Config::parse(file).unwrap();
    assert_eq!(subscribe(&config.policy, "$share/g/a/b"), Ok(()));
    let words = config.describe();
    assert!(
        words.contains("topic `a/#`: read, share; no description\n"),
        "{words}"
    );
}

#[test]
fn a_pattern_means_its_characters() {
    assert!(!readable("a.b/c").may_receive("aXb/c"));
    assert!(readable("a.b/c").may_receive("a.b/c"));
    assert!(!readable("a|secret/x").may_receive("a"));
    assert!(!readable("x/y|.*").may_receive("anything"));
    for pattern in ["a(b)/c", "dev*/x", "$SYS/x", "a|b"] {
        assert!(readable(pattern).may_receive(pattern), "{pattern}");
    }
}

#[test]
fn a_trailing_newline_is_another_topic() {
    let policy = policy(&[("status/system", "read write")]);
    assert!(!policy.may_receive("status/system\n"));
    assert_eq!(
        publish(&policy, "status/system\n", false),
        Err(r"`status/system\n` is not writable; writable: `status/system`".to_owned())
    );
    assert!(SubscribeFilter::parse("status/system\n").is_err());
}

#[test]
fn the_parent_level_and_empty_levels_belong_to_a_pattern() {
    let policy = policy(&[("actuators/#", "write"), ("a/+", "read")]);
    assert_eq!(publish(&policy, "actuators", false), Ok(()));
    assert!(publish(&policy, "actuators2", false).is_err());
    assert!(policy.may_receive("a/"));
}

#[test]
fn patterns_count_together() {
    let policy = policy(&[("a", "read"), ("a/+/#", "read")]);
    assert_eq!(subscribe(&policy, "a/#"), Ok(()));
}

#[test]
fn each_permission_is_its_own() {
    let policy = policy(&[
        ("r", "read"),
        ("w", "write"),
        ("x/+", "retain"),
        ("x/y", "write"),
    ]);
    assert!(publish(&policy, "r", false).is_err());
    assert!(subscribe(&policy, "w").is_err());
    assert!(!policy.may_receive("w"));
    assert_eq!(publish(&policy, "w", false), Ok(()));
    assert_eq!(
        publish(&policy, "w", true),
        Err("`w` may not be published with retain; retain is allowed on: `x/+`".to_owned())
    );
    assert_eq!(
        publish(&policy, "x/y", true),
        Ok(()),
        "two patterns may give the two permissions"
    );
    assert_eq!(
        publish(&policy, "x/z", true),
        Err("`x/z` is not writable; writable: `w`, `x/y`".to_owned()),
        "retain alone does not publish"
    );
}

#[test]
fn a_policy_of_nothing_refuses_everything_and_says_so() {
    let policy = Policy::default();
    assert_eq!(
        publish(&policy, "a", false),
        Err("`a` is not writable; nothing is writable".to_owned())
    );
    assert_eq!(
        subscribe(&policy, "a"),
        Err("`a` is not readable; nothing is readable".to_owned())
    );
    let writable = readable_and_writable();
    assert_eq!(
        publish(&writable, "a", true),
        Err("`a` may not be published with retain; retain is allowed nowhere".to_owned())
    );
}

fn readable_and_writable() -> Policy {
    policy(&[("a", "read write")])
}

#[test]
fn a_refusal_names_ten_patterns_and_counts_the_rest() {
    let grants: Vec<_> = (0..25)
        .map(|i| grant(&format!("room{i}/light"), "write"))
        .collect();
    let refusal = publish(&Policy::new(grants), "garden/light", false).unwrap_err();
    assert!(
        refusal.starts_with(
            "`garden/light` is not writable; writable: `room0/light`, `room1/light`, "
        ),
        "{refusal}"
    );
    assert!(refusal.ends_with("`room9/light` and 15 more"), "{refusal}");
}

#[test]
fn no_refusal_is_longer_than_4_kb() {
    for character in ["x", "\u{10fffd}", "\u{202e}", "\u{200b}"] {
        let long = |i: usize| format!("{i}/{}", character.repeat(300));
        let policy = Policy::new((0..20).map(|i| grant(&long(i), "read write")).collect());
        for refusal in [
            publish(&policy, &long(99), false),
            subscribe(&policy, &long(99)),
            publish(&policy, &long(1), true),
            subscribe(&policy, &format!("$share/{}", long(1))),
        ] {
            let refusal = refusal.unwrap_err();
            assert!(refusal.len() <= 4096, "{} bytes", refusal.len());
            assert!(
                refusal.contains(" more")
                    || refusal.contains("nowhere")
                    || refusal.ends_with("no topic has it"),
                "{refusal}"
            );
        }
    }
}

#[test]
fn a_shared_pattern_in_the_file_grants_nothing() {
    let file = r#"{"topics": [{"pattern": "$share/g/a", "permissions": ["read", "write"]}]}"#;
    let (config, warnings) = Config::parse(file).unwrap();
    assert_eq!(warnings.len(), 1);
    assert_eq!(config.policy.grants().len(), 0);
    for request in ["a", "$share/g/a", "$share/g/$share/g/a"] {
        assert!(subscribe(&config.policy, request).is_err(), "{request}");
    }
}

#[test]
fn a_permitted_attempt_names_every_grant_that_matches_it_in_the_order_of_the_file() {
    let policy = policy(&[
        ("site/#", "write"),
        ("site/+/rpm", "read"),
        ("site/1/rpm", "write retain"),
        ("+/1/+", "write"),
        ("site/2/rpm", "write"),
    ]);
    let topic = TopicName::parse("site/1/rpm").unwrap();
    let attempt = |retain| Attempt {
        topic: &topic,
        payload: b"2600",
        retain,
    };
    for retain in [false, true] {
        let permit = policy.judge(&attempt(retain)).unwrap();
        let patterns: Vec<_> = permit.grants().map(|it| it.pattern.as_str()).collect();
        assert_eq!(patterns, ["site/#", "site/1/rpm", "+/1/+"]);
    }
    let topic = TopicName::parse("site/2/rpm").unwrap();
    let refused = policy.judge(&Attempt {
        topic: &topic,
        ..attempt(true)
    });
    assert!(refused.unwrap_err().to_string().contains("retain"));
}

#[test]
fn what_is_reserved_is_open_to_no_grant() {
    let operator = TopicFilter::parse("plant/op/#").unwrap();
    let policy = policy(&[("#", "read write retain share")]).reserving(Some(operator));
    for theirs in ["plant/op", "plant/op/", "plant/op/halt", "plant/op/a/b"] {
        for said in [
            publish(&policy, theirs, false),
            publish(&policy, theirs, true),
            subscribe(&policy, theirs),
            subscribe(&policy, &format!("$share/g/{theirs}")),
        ] {
            let words = format!("`{theirs}` is kept for the operator; no agent may");
            let shared = format!("`$share/g/{theirs}` is kept for the operator; no agent may");
            let said = said.unwrap_err();
            assert!(
                said.starts_with(&words) || said.starts_with(&shared),
                "{said}"
            );
        }
        assert!(!policy.may_receive(theirs), "{theirs}");
    }
    for filter in ["plant/op/#", "plant/op/+", "plant/op/+/#"] {
        assert!(subscribe(&policy, filter).is_err(), "{filter}");
    }
    // What has other topics, too, stays permitted.
    for filter in ["#", "+/#", "plant/#", "plant/+", "+/op/#", "$share/g/#"] {
        assert_eq!(subscribe(&policy, filter), Ok(()), "{filter}");
    }
    for topic in ["plant", "plant/opera", "plant/o", "plant//op", "Plant/op"] {
        assert_eq!(publish(&policy, topic, true), Ok(()), "{topic}");
        assert!(policy.may_receive(topic), "{topic}");
    }
}

#[test]
fn who_may_not_do_it_anyway_is_not_told_whose_it_is() {
    let operator = TopicFilter::parse("plant/op/#").unwrap();
    let policy = policy(&[("plant/a", "read write")]).reserving(Some(operator));
    for said in [
        publish(&policy, "plant/op/halt", false),
        subscribe(&policy, "plant/op/halt"),
    ] {
        assert!(!said.unwrap_err().contains("operator"));
    }
}
