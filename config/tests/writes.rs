//! Rules on writes in the file: what is refused, with its place and exact words, and how they are described.
#![allow(clippy::unwrap_used)]

use std::time::Duration;

use mcpmqtt_config::{Config, Counts, Shows, WriteLimit, WriteRule};
use mcpmqtt_protocol::topic::TopicName;
use serde_json::{Value, json};

fn file(write: Value) -> String {
    let topic = json!({
        "pattern": "site/+/+/cmd/rpm", "permissions": ["write"], "description": "d", "write": write,
    });
    json!({"topics": [topic]}).to_string()
}

/// Each fault with its place.
fn faults(write: Value) -> Vec<String> {
    match Config::parse(&file(write)) {
        Ok(_) => Vec::new(),
        Err(refused) => refused.problems.iter().map(ToString::to_string).collect(),
    }
}

fn warnings(write: Value) -> Vec<String> {
    let (_, warnings) = Config::parse(&file(write)).unwrap();
    warnings.iter().map(ToString::to_string).collect()
}

fn rules(file: &str, topic: &str) -> Vec<WriteRule> {
    let (config, _) = Config::parse(file).unwrap();
    let rules = config.policy.write_rules(&TopicName::parse(topic).unwrap());
    rules.into_iter().cloned().collect()
}

#[test]
fn each_fault_names_its_place_and_what_is_allowed() {
    let state = json!({"topic": "site/{1}/{2}/rpm"});
    let table = [
        (
            json!({"max_per_minut": 5}),
            "topics[0].write.max_per_minut: unknown key; the intended limit would not hold; did you mean `max_per_minute`?",
        ),
        (
            json!({"requires": [{"topic": "a", "within": 5}]}),
            "topics[0].write.requires[0].within: unknown key; the intended limit would not hold",
        ),
        (json!(5), "topics[0].write: found `5`; allowed: an object"),
        (
            json!({"max_change": 0, "state": state}),
            "topics[0].write.max_change: found `0`; allowed: a number above 0",
        ),
        (
            json!({"max_change": "5", "state": state}),
            "topics[0].write.max_change: found the string `5`; allowed: a number above 0",
        ),
        (
            json!({"max_change": 5}),
            "topics[0].write.max_change: needs `state`: the topic that tells the present value",
        ),
        (
            json!({"confirm": {}}),
            "topics[0].write.confirm: needs `state`: the topic that tells the present value",
        ),
        (
            json!({"max_change": 5, "state": {}}),
            "topics[0].write.state.topic: is missing; allowed: a topic, in which `{1}` stands for what the pattern's first \
             wildcard matches",
        ),
        (
            json!({"max_change": 5, "state": {"topic": "site/{3}/rpm"}}),
            "topics[0].write.state.topic: `{3}` stands for a wildcard of the pattern, which has 2",
        ),
        (
            json!({"max_change": 5, "state": {"topic": "site/m{1}/rpm"}}),
            "topics[0].write.state.topic: write `{1}` as a level of its own, between two `/`",
        ),
        (
            json!({"max_change": 5, "state": {"topic": 7}}),
            "topics[0].write.state.topic: found `7`; allowed: a topic, in which `{1}` stands for what the pattern's first \
             wildcard matches",
        ),
        (
            json!({"max_change": 5, "state": {"topic": "a", "field": "a..b"}}),
            "topics[0].write.state.field: found the string `a..b`: a name is missing; write names with one dot between \
             them, as `a.b`",
        ),
        (
            json!({"max_change": 5, "state": {"topic": "a", "max_age": 0}}),
            "topics[0].write.state.max_age: found `0`; allowed: a number of seconds from 0.1 to 86400",
        ),
        (
            json!({"max_change": 5, "state": {"topic": "a", "max_age": 5, "retained": true}}),
            "topics[0].write.state.max_age: cannot be given with `retained`: no broker tells the \
             age of a retained value",
        ),
        (
            json!({"max_change": 5, "state": state, "if_unknown": "ask"}),
            "topics[0].write.if_unknown: found the string `ask`; allowed: `refuse`, `allow`",
        ),
        (
            json!({"min_interval": 0}),
            "topics[0].write.min_interval: found `0`; allowed: a number of seconds from 0.001 to 86400",
        ),
        (
            json!({"max_per_minute": 0}),
            "topics[0].write.max_per_minute: found `0`; allowed: a whole number from 1 to 600",
        ),
        (
            json!({"max_per_minute": 601}),
            "topics[0].write.max_per_minute: found `601`; allowed: a whole number from 1 to 600",
        ),
        (
            json!({"requires": {"topic": "a"}}),
            "topics[0].write.requires: found an object; allowed: a list of objects",
        ),
        (
            json!({"requires": vec![json!({"topic": "a"}); 17]}),
            "topics[0].write.requires: has 17 entries; at most 16",
        ),
        (
            json!({"requires": [{"value": "remote"}]}),
            "topics[0].write.requires[0].topic: is missing; allowed: a topic, in which `{1}` stands for what the pattern's \
             first wildcard matches",
        ),
        (
            json!({"requires": [{"topic": "a", "op": ">", "value": "x"}]}),
            "topics[0].write.requires[0]: `value` must be a number for `>`",
        ),
        (
            json!({"requires": [{"topic": "a", "op": "changed"}]}),
            "topics[0].write.requires[0].op: `changed` compares with a message before; use another",
        ),
        (
            json!({"requires": [{"topic": "a", "op": "near", "value": 1}]}),
            "topics[0].write.requires[0]: `op` is one of `=`, `!=`, `<`, `<=`, `>`, `>=`, `within`, `contains`, `changed`, \
             `any`",
        ),
        (
            json!({"confirm": {"within": 301}, "state": state}),
            "topics[0].write.confirm.within: found `301`; allowed: a number of seconds from 0.1 to 300",
        ),
        (
            json!({"confirm": {"tolerance": -1}, "state": state}),
            "topics[0].write.confirm.tolerance: found `-1`; allowed: a number, 0 or more",
        ),
        (
            json!({"confirm": {"op": "<"}, "state": state}),
            "topics[0].write.confirm: `value` is missing; `<` compares with it",
        ),
    ];
    for (write, words) in table {
        assert_eq!(faults(write.clone()), [words], "{write}");
    }
}

#[test]
fn what_has_no_effect_is_warned_of() {
    let table = [(
        json!({"state": {"topic": "a"}}),
        "topics[0].write.state: is used by `max_change` and `confirm`, and neither is given",
    )];
    for (write, words) in table {
        assert_eq!(warnings(write), [words]);
    }
    let reading = json!({"topics": [
        {"pattern": "a", "permissions": ["read"], "write": {"min_interval": 5}},
    ]});
    let (_, warnings) = Config::parse(&reading.to_string()).unwrap();
    let words = "topics[0].write: has no effect, since `permissions` has no `write`";
    assert_eq!(warnings[0].to_string(), words);
    assert!(rules(&reading.to_string(), "a").is_empty());
}

#[test]
fn the_rules_of_all_grants_that_match_hold_in_the_order_of_the_file() {
    let file = json!({"topics": [
        {"pattern": "a/#", "permissions": ["write"], "description": "d", "write": {"max_per_minute": 3}},
        {"pattern": "a/b", "permissions": ["read"], "description": "d"},
        {"pattern": "a/+", "permissions": ["write"], "description": "d", "write": {"min_interval": 2}},
        {"pattern": "a/+", "permissions": ["write"], "description": "d", "write": {"min_interval": 0.5}},
        {"pattern": "a/c", "permissions": ["write"], "description": "d"},
    ]})
    .to_string();
    let places = |topic| {
        let rules = rules(&file, topic);
        rules.into_iter().map(|rule| rule.place).collect::<Vec<_>>()
    };
    let all = ["topics[0].write", "topics[2].write", "topics[3].write"];
    assert_eq!(places("a/b"), all);
    assert_eq!(places("a/c"), all);
    assert_eq!(places("a"), ["topics[0].write"]);
    assert_eq!(places("b"), [""; 0]);
    // A narrow rule with limits takes something away, so it is not called covered.
    let (_, warnings) = Config::parse(&file).unwrap();
    assert!(
        warnings
            .iter()
            .all(|it| !it.path.starts_with("topics[2]") && !it.path.starts_with("topics[3]")),
        "{warnings:?}"
    );
}

#[test]
fn the_defaults_are_the_careful_ones() {
    let write = json!({
        "field": "rpm", "max_change": 200, "confirm": {},
        "state": {"topic": "site/{1}/{2}/rpm", "field": "value"},
        "requires": [{"topic": "site/{1}/mode", "value": "remote", "retained": true}, {"topic": "alive"}],
    });
    let rules = rules(&file(write), "site/line3/m1/cmd/rpm");
    let minute = Duration::from_secs(60);
    let [mode, alive, change, effect] = &rules[0].limits[..] else {
        panic!("{rules:?}")
    };
    let (WriteLimit::Requires(mode), WriteLimit::Requires(alive)) = (mode, alive) else {
        panic!("{rules:?}")
    };
    assert_eq!(
        (mode.source.counts, alive.source.counts),
        (Counts::Last, Counts::Live(minute))
    );
    let WriteLimit::MaxChange(change) = change else {
        panic!("{change:?}")
    };
    assert_eq!(change.state.counts, Counts::Live(minute));
    assert!(!change.may_be_unknown);
    let topic = TopicName::parse("site/line3/m1/cmd/rpm").unwrap();
    let state = change.state.topic.fill(&topic).unwrap();
    assert_eq!(state.as_str(), "site/line3/m1/rpm");
    let WriteLimit::Confirm(effect) = effect else {
        panic!("{effect:?}")
    };
    assert_eq!(effect.within, Duration::from_secs(5));
    assert!(matches!(
        effect.shows,
        Shows::Written { tolerance: 0.0, .. }
    ));
}

#[test]
fn a_change_is_judged_by_its_decimals() {
    let write = json!({"max_change": 0.1, "state": {"topic": "a"}});
    let rules = rules(&file(write), "site/line3/m1/cmd/rpm");
    let WriteLimit::MaxChange(change) = &rules[0].limits[0] else {
        panic!()
    };
    for (number, present, permitted) in [
        (0.3, 0.2, true),
        (0.1 + 0.2, 0.2, true),
        (0.31, 0.2, false),
        (0.1, 0.2, true),
        (0.09, 0.2, false),
        (-0.0, 0.0, true),
        (-0.05, 0.05, true),
        (f64::MAX, f64::MIN, false),
        (1.5e308, 1.0e308, false),
        (1e308, 1e308, true),
    ] {
        assert_eq!(
            change.permits(number, present),
            permitted,
            "{number} {present}"
        );
    }
}

#[test]
fn the_effect_is_the_written_value_or_what_meets_the_condition() {
    let shows = |confirm: Value, field: Option<&str>| {
        let write = json!({
            "field": field, "confirm": confirm, "state": {"topic": "a", "field": "is"},
        });
        let rules = rules(&file(write), "site/line3/m1/cmd/rpm");
        match rules[0].limits[0].clone() {
            WriteLimit::Confirm(effect) => effect.shows,
            other => panic!("{other:?}"),
        }
    };
    // The rule, the field of the payload, the payload, a message on the state, whether that is the effect.
    let table = [
        (json!({}), None, "on", r#"{"is": "on"}"#, Some(true)),
        (json!({}), None, "on", r#"{"is": "ON"}"#, Some(false)),
        (json!({}), None, "on", r#"{"was": "on"}"#, None),
        (json!({}), None, "on", "on", None),
        (json!({}), None, "20", r#"{"is": 20.0}"#, Some(true)),
        (json!({}), None, "20", r#"{"is": "20"}"#, Some(true)),
        (json!({}), None, "20", r#"{"is": 20.1}"#, Some(false)),
        (
            json!({"tolerance": 0.1}),
            None,
            "20",
            r#"{"is": 20.1}"#,
            Some(true),
        ),
        (
            json!({"tolerance": 0.1}),
            None,
            "20",
            r#"{"is": 20.2}"#,
            Some(false),
        ),
        (
            json!({}),
            Some("rpm"),
            r#"{"rpm": 5}"#,
            r#"{"is": 5}"#,
            Some(true),
        ),
        (
            json!({"op": ">", "value": 3}),
            None,
            "x",
            r#"{"is": 5}"#,
            Some(true),
        ),
        (
            json!({"value": "run"}),
            None,
            "x",
            r#"{"is": "stop"}"#,
            Some(false),
        ),
    ];
    for (confirm, field, payload, message, shown) in table {
        let expected = shows(confirm.clone(), field)
            .expected(payload.as_bytes())
            .unwrap();
        let judged = expected.judge(message.as_bytes()).map(|(_, shown)| shown);
        assert_eq!(judged, shown, "{confirm} {payload} {message}");
    }
    assert_eq!(shows(json!({}), Some("rpm")).expected(b"5"), None);
}

#[test]
fn check_describes_the_rules_and_who_counts() {
    let write = json!({
        "field": "rpm", "max_change": 200, "min_interval": 5, "max_per_minute": 6,
        "state": {"topic": "site/{1}/{2}/rpm", "field": "value"},
        "requires": [{"topic": "site/{1}/mode", "value": "remote"}, {"topic": "alive"}],
        "confirm": {"within": 3},
    });
    let (config, warnings) = Config::parse(&file(write)).unwrap();
    let words = "only while `site/{1}/mode` = \"remote\"; only while `alive` sends; at most 200 away from \
                 `site/{1}/{2}/rpm`; once in 5 s; 6 times in a minute; the effect shows on `site/{1}/{2}/rpm` within 3 s";
    let described = config.describe();
    assert!(
        described.contains(&format!("`d`; writes: {words} (`topics[0].write`)\n")),
        "{described}"
    );
    let counting = "writes: intervals, rates and changes are counted by each process for itself, and every agent that \
                    starts its own mcpmqtt over stdio has its own; limits for a whole plant need one remote server for \
                    all agents\n";
    assert!(described.contains(counting), "{described}");
    let json = config.describe_json(&warnings);
    assert_eq!(
        json["topics"][0]["write"],
        json!([{"place": "topics[0].write", "limits": words}])
    );
    let (config, _) = Config::parse(&file(json!({"requires": [{"topic": "a"}]}))).unwrap();
    assert!(!config.describe().contains("for itself"));
}

/// A caller is not told of a topic that it may not read.
#[test]
fn the_limits_are_told_without_topics_that_the_caller_may_not_read() {
    let write = json!({
        "state": {"topic": "site/{1}/{2}/rpm"}, "max_change": 10, "confirm": {"within": 2}, "min_interval": 1,
        "requires": [{"topic": "site/{1}/{2}/mode", "value": "remote"}],
    });
    let topic = TopicName::parse("site/a/m1/cmd/rpm").unwrap();
    let told = |readable: &[&str]| {
        let mut file: Value = serde_json::from_str(&file(write.clone())).unwrap();
        let topics = file["topics"].as_array_mut().unwrap();
        topics.extend(
            readable
                .iter()
                .map(|pattern| json!({"pattern": pattern, "permissions": ["read"]})),
        );
        let policy = Config::parse(&file.to_string()).unwrap().0.policy;
        let rules = policy.write_rules(&topic);
        rules[0].told(&policy)
    };
    let all = told(&["site/#"]);
    for part in [
        "only while `site/{1}/{2}/mode` = \"remote\"",
        "at most 10 away from `site/{1}/{2}/rpm`",
        "the effect shows on `site/{1}/{2}/rpm` within 2 s",
        "once in 1 s",
    ] {
        assert!(all.contains(part), "{all}");
    }
    let none = told(&[]);
    for part in [
        "only while a topic that you may not read has the required value",
        "at most 10 away from a topic that you may not read",
        "the effect shows on a topic that you may not read within 2 s",
        "once in 1 s",
    ] {
        assert!(none.contains(part), "{none}");
    }
}
