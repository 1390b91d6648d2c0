//! The algebra of topic filters against what it means: a universe of topics, each asked one by one.
//!
//! Input: two filters, with a zero byte between them; each byte is a level, of few, so that they meet.
#![no_main]

use std::sync::LazyLock;

use libfuzzer_sys::fuzz_target;
use mcpmqtt_protocol::topic::{FilterTree, SubscribeFilter, TopicFilter, TopicName};

/// Filters of more levels could tell topics apart that are not in the universe.
const LEVELS: usize = 3;

/// All topics of up to `LEVELS + 1` levels. No filter names `z`: it stands for every other level.
static UNIVERSE: LazyLock<Vec<String>> = LazyLock::new(|| {
    let mut all: Vec<String> = Vec::new();
    let mut longest = vec![String::new()];
    for depth in 0..=LEVELS {
        longest = longest
            .iter()
            .flat_map(|start| {
                ["", "a", "b", "$", "$a", "z"].map(|level| match depth {
                    0 => level.to_owned(),
                    _ => format!("{start}/{level}"),
                })
            })
            .collect();
        all.extend(longest.iter().filter(|topic| !topic.is_empty()).cloned());
    }
    all
});

fuzz_target!(|input: &[u8]| {
    // Any text at all is parsed without harm, and what parses is what was written.
    if let Ok(text) = std::str::from_utf8(input) {
        if let Ok(filter) = SubscribeFilter::parse(text) {
            assert_eq!(filter.as_str(), text);
        }
        // A name that is received may have more levels than a filter, and characters that are never sent.
        if let Ok(name) = TopicName::parse(text) {
            let filter = TopicFilter::parse(name.as_str());
            assert_eq!(filter.is_ok_and(|filter| filter.matches(text)), name.sendable().is_ok());
        }
    }
    let mut texts = input.split(|byte| *byte == 0).map(spell);
    let (Some(a), Some(b)) = (texts.next(), texts.next()) else { return };
    let (Ok(a), Ok(b)) = (TopicFilter::parse(&a), TopicFilter::parse(&b)) else { return };
    if [&a, &b].iter().any(|filter| filter.as_str().split('/').count() > LEVELS) {
        return;
    }
    let (mut covers, mut overlaps) = (true, false);
    let mut tree = FilterTree::new();
    tree.insert(&a, 'a');
    tree.insert(&b, 'b');
    for topic in UNIVERSE.iter() {
        let (in_a, in_b) = (means(a.as_str(), topic), means(b.as_str(), topic));
        assert_eq!((a.matches(topic), b.matches(topic)), (in_a, in_b), "{a} {b} {topic}");
        covers &= in_a || !in_b;
        overlaps |= in_a && in_b;
        let mut found = Vec::new();
        tree.for_each_match(topic, &mut |value| found.push(*value));
        found.sort_unstable();
        let expected: Vec<char> = [('a', in_a), ('b', in_b)].iter().filter(|(_, is)| *is).map(|(c, _)| *c).collect();
        assert_eq!(found, expected, "{a} {b} {topic}");
    }
    assert_eq!(a.covers(&b), covers, "{a} covers {b}");
    assert_eq!(a.overlaps(&b), overlaps, "{a} overlaps {b}");
});

fn spell(bytes: &[u8]) -> String {
    let levels = bytes.iter().map(|byte| ["", "a", "b", "$", "$a", "+", "+", "#"][usize::from(byte & 7)]);
    levels.collect::<Vec<_>>().join("/")
}

/// MQTT 3.1.1 §4.7, level by level.
fn means(filter: &str, topic: &str) -> bool {
    if topic.starts_with('$') && filter.starts_with(['+', '#']) {
        return false;
    }
    fn rest(filter: &[&str], topic: &[&str]) -> bool {
        match (filter, topic) {
            (["#"], _) => true,
            ([f, filter @ ..], [t, topic @ ..]) => (*f == "+" || f == t) && rest(filter, topic),
            ([], []) => true,
            _ => false,
        }
    }
    rest(&filter.split('/').collect::<Vec<_>>(), &topic.split('/').collect::<Vec<_>>())
}
