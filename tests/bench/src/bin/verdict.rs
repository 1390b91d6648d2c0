//! What a verdict costs: 100 profiles, 10,000 patterns, 1,000 of them with limits on the payload and 1,000 with rules.
//!
//! Prints rows for `table.py`.

use std::time::Instant;

use mcpmqtt_bench::median;
use mcpmqtt_bench::process::resident;
use mcpmqtt_bench::row::{Row, Unit};
use mcpmqtt_config::{Attempt, Config, Profiles};
use mcpmqtt_protocol::topic::{SubscribeFilter, TopicName};
use serde_json::{Value, json};

const PROFILES: usize = 100;
const PATTERNS: usize = 100;
const ROUNDS: usize = 50;

fn pattern(profile: usize, n: usize) -> Value {
    let topic = format!("site/{profile}/line{}/motor{n}/+/cmd", n / 10);
    match n % 10 {
        0 => json!({"pattern": topic, "permissions": ["write"], "description": "d",
            "payload": {"type": "number", "min": 0, "max": 2000, "unit": "rpm"}}),
        1 => json!({"pattern": topic, "permissions": ["write"], "description": "d",
            "write": {"min_interval": 5, "requires": [{"topic": "mode/{1}", "value": "remote"}]}}),
        _ => json!({"pattern": topic, "permissions": ["read", "write"], "description": "d"}),
    }
}

fn profiles() -> Profiles {
    let names = (0..PROFILES).map(|profile| {
        let topics: Vec<Value> = (0..PATTERNS).map(|n| pattern(profile, n)).collect();
        (format!("p{profile}"), json!({"topics": topics}))
    });
    let named: serde_json::Map<String, Value> = names.collect();
    let file = json!({"mqtt": {"host": "localhost"}, "topics": [], "profiles": named});
    Config::parse(&file.to_string())
        .expect("a configuration")
        .0
        .profiles
}

/// The median of the microseconds that a verdict takes.
fn measure(mut all: impl FnMut() -> usize) -> f64 {
    let micros: Vec<f64> = (0..ROUNDS)
        .map(|_| {
            let start = Instant::now();
            let verdicts = all();
            start.elapsed().as_secs_f64() * 1e6 / verdicts as f64
        })
        .collect();
    median(&micros)
}

fn main() {
    let before = resident(std::process::id());
    let profiles = profiles();
    let held = resident(std::process::id()) - before;
    let topics: Vec<(String, TopicName, SubscribeFilter)> = (0..PROFILES * PATTERNS)
        .map(|n| {
            let (profile, n) = (n % PROFILES, n / PROFILES);
            let topic = format!("site/{profile}/line{}/motor{n}/rpm/cmd", n / 10);
            let name = TopicName::parse(&topic).expect("a topic");
            let filter = SubscribeFilter::parse(&topic).expect("a filter");
            (format!("p{profile}"), name, filter)
        })
        .collect();
    let publish = |payload: &'static str| {
        measure(|| {
            for (profile, topic, _) in &topics {
                let policy = &profiles.get(profile).expect("a profile").policy;
                let attempt = Attempt {
                    topic,
                    payload: payload.as_bytes(),
                    retain: false,
                };
                let verdict = policy
                    .judge(&attempt)
                    .map(|_| policy.write_rules(topic).len());
                let _ = std::hint::black_box(verdict);
            }
            topics.len()
        })
    };
    let (permitted, refused) = (publish("1500"), publish("2600"));
    let subscribe = measure(|| {
        for (profile, _, filter) in &topics {
            let policy = &profiles.get(profile).expect("a profile").policy;
            let _ = std::hint::black_box(policy.may_subscribe(filter));
        }
        topics.len()
    });
    let part = "Permission: 100 profiles, 10,000 patterns, 1,000 with limits, 1,000 with rules";
    Row::new("a publish, permitted", Unit::Micros, permitted)
        .at_most(5.0, "")
        .print(part);
    Row::new(
        "a publish, one in ten refused by its limit",
        Unit::Micros,
        refused,
    )
    .at_most(5.0, "")
    .print(part);
    Row::new("a subscription", Unit::Micros, subscribe)
        .at_most(5.0, "")
        .print(part);
    Row::new("resident memory", Unit::Bytes, held).print(part);
}
