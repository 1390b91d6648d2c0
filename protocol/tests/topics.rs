//! Topic names, filters and the filter tree, against vectors and against brute force.
//!
//! `data/topic_vectors.json` was made for this project: its match vectors agree with paho-mqtt's
//! `topic_matches_sub`, its containment vectors with an enumeration of topics.
#![allow(clippy::unwrap_used, clippy::indexing_slicing)]

use mcpmqtt_protocol::topic::{
    FilterTree, MAX_LEVELS, Shown, SubscribeFilter, TopicFault, TopicFilter, TopicName,
};
use serde_json::Value;
use std::collections::HashMap;

fn vectors(section: &str) -> Vec<Value> {
    let all: Value = serde_json::from_str(include_str!("data/topic_vectors.json")).unwrap();
    let vectors = all[section].as_array().unwrap().clone();
    assert!(
        vectors.len() >= 14,
        "{section} has only {} vectors",
        vectors.len()
    );
    vectors
}

fn text(value: &Value) -> String {
    match value {
        Value::String(text) => text.clone(),
        long => {
            let times = usize::try_from(long["times"].as_u64().unwrap()).unwrap();
            long["repeat"].as_str().unwrap().repeat(times) + long["then"].as_str().unwrap_or("")
        }
    }
}

fn filter(text: &str) -> TopicFilter {
    TopicFilter::parse(text).unwrap()
}

fn tree<'a>(filters: impl IntoIterator<Item = &'a TopicFilter>) -> FilterTree<TopicFilter> {
    let mut tree = FilterTree::new();
    for filter in filters {
        tree.insert(filter, filter.clone());
    }
    tree
}

#[test]
fn match_vectors_hold_for_a_filter_and_for_a_tree() {
    for vector in vectors("match") {
        let (written, topic) = (text(&vector["filter"]), text(&vector["topic"]));
        let wanted = filter(&written);
        assert_eq!(wanted.to_string(), written);
        let expected = vector["match"].as_bool().unwrap();
        assert_eq!(wanted.matches(&topic), expected, "{vector}");
        assert_eq!(tree([&wanted]).matches(&topic), expected, "{vector}");
    }
}

#[test]
fn validity_vectors_hold_for_names_and_filters() {
    for vector in vectors("valid") {
        let text = text(&vector["s"]);
        let shown = Shown(&text);
        assert_eq!(
            TopicName::parse(&text).is_ok(),
            vector["name"].as_bool().unwrap(),
            "name {shown}"
        );
        assert_eq!(
            TopicFilter::parse(&text).is_ok(),
            vector["filter"].as_bool().unwrap(),
            "filter {shown}"
        );
    }
}

#[test]
fn shared_subscription_vectors_hold() {
    for vector in vectors("shared") {
        let wire = text(&vector["s"]);
        let parsed = SubscribeFilter::parse(&wire);
        match &vector["result"] {
            Value::String(verdict) if verdict == "invalid" => assert!(parsed.is_err(), "{vector}"),
            Value::String(_) => assert_eq!(parsed.unwrap().group(), None, "{vector}"),
            shared => {
                let parsed = parsed.unwrap();
                assert_eq!(parsed.as_str(), wire);
                assert_eq!(parsed.group(), shared["group"].as_str(), "{vector}");
                assert_eq!(parsed.filter().as_str(), shared["filter"], "{vector}");
            }
        }
    }
}

#[test]
fn containment_vectors_hold() {
    for vector in vectors("covered") {
        let requested = filter(&text(&vector["requested"]));
        let allowed: Vec<_> = vector["allowed"]
            .as_array()
            .unwrap()
            .iter()
            .map(|a| filter(&text(a)))
            .collect();
        let expected = vector["covered"].as_bool().unwrap();
        assert_eq!(tree(&allowed).covers(&requested), expected, "{vector}");
        if let [single] = allowed.as_slice() {
            assert_eq!(single.covers(&requested), expected, "{vector}");
        }
    }
}

/// Every filter of up to three levels over a small alphabet, and every topic of up to five levels over the same
/// alphabet and one level more that no filter names, with and without `$`.
struct Universe {
    filters: Vec<TopicFilter>,
    topics: Vec<String>,
    /// Per filter one bit per topic, by a matcher that shares no code with the product.
    matched: Vec<Vec<u64>>,
}

impl Universe {
    fn new() -> Self {
        let literals = ["a", "b", "", "$x"];
        let mut filters = Vec::new();
        for depth in 0..=3 {
            let stems = strings(&[&literals[..], &["+"]].concat(), depth);
            filters.extend(
                stems
                    .iter()
                    .filter(|stem| !stem.is_empty())
                    .map(|stem| stem.join("/")),
            );
            if depth < 3 {
                filters.extend(
                    stems
                        .iter()
                        .map(|stem| [&stem[..], &["#"]].concat().join("/")),
                );
            }
        }
        filters.retain(|filter| !filter.is_empty());
        let topics: Vec<String> = (1..=5)
            .flat_map(|depth| strings(&[&literals[..], &["fresh", "$fresh"]].concat(), depth))
            .map(|levels| levels.join("/"))
            .filter(|topic| !topic.is_empty())
            .collect();
        assert!(filters.len() > 180 && topics.len() > 9000);
        let matched = filters
            .iter()
            .map(|filter| bits(&topics, |topic| reference_match(filter, topic)))
            .collect();
        Self {
            filters: filters.iter().map(|text| filter(text)).collect(),
            topics,
            matched,
        }
    }
}

/// All sequences of `depth` levels.
fn strings<'a>(alphabet: &[&'a str], depth: usize) -> Vec<Vec<&'a str>> {
    (0..depth).fold(vec![vec![]], |stems, _| {
        stems
            .iter()
            .flat_map(|stem| alphabet.iter().map(|level| [&stem[..], &[*level]].concat()))
            .collect()
    })
}

fn bits(topics: &[String], matched: impl Fn(&str) -> bool) -> Vec<u64> {
    topics
        .chunks(64)
        .map(|chunk| {
            chunk
                .iter()
                .rev()
                .fold(0, |word, t| word << 1 | u64::from(matched(t)))
        })
        .collect()
}

/// The standard's rules as a recursion over lists of levels.
fn reference_match(filter: &str, topic: &str) -> bool {
    fn levels(filter: &[&str], topic: &[&str]) -> bool {
        match (filter, topic) {
            (["#"], _) | ([], []) => true,
            (["+", f @ ..], [_, t @ ..]) => levels(f, t),
            ([a, f @ ..], [b, t @ ..]) => a == b && levels(f, t),
            _ => false,
        }
    }
    let (filter, topic): (Vec<_>, Vec<_>) =
        (filter.split('/').collect(), topic.split('/').collect());
    let hidden = topic[0].starts_with('$') && matches!(filter[0], "+" | "#");
    !hidden && levels(&filter, &topic)
}

fn subset(narrow: &[u64], wide: &[u64]) -> bool {
    narrow.iter().zip(wide).all(|(n, w)| n & !w == 0)
}

#[test]
fn matching_agrees_with_brute_force() {
    let universe = Universe::new();
    let all = tree(&universe.filters);
    for (filter, expected) in universe.filters.iter().zip(&universe.matched) {
        assert_eq!(
            &bits(&universe.topics, |topic| filter.matches(topic)),
            expected,
            "{filter}"
        );
    }
    for topic in &universe.topics {
        let mut found = Vec::new();
        all.for_each_match(topic, &mut |filter| found.push(filter));
        let mut expected: Vec<_> = universe
            .filters
            .iter()
            .filter(|filter| filter.matches(topic))
            .collect();
        found.sort();
        expected.sort();
        assert_eq!(found, expected, "{topic}");
    }
}

#[test]
fn containment_and_overlap_of_all_pairs_agree_with_brute_force() {
    let Universe {
        filters, matched, ..
    } = Universe::new();
    for (wide, wide_bits) in filters.iter().zip(&matched) {
        for (other, other_bits) in filters.iter().zip(&matched) {
            assert_eq!(
                wide.covers(other),
                subset(other_bits, wide_bits),
                "{wide} covers {other}"
            );
            let common = other_bits.iter().zip(wide_bits).any(|(a, b)| a & b != 0);
            assert_eq!(wide.overlaps(other), common, "{wide} overlaps {other}");
        }
    }
}

#[test]
fn the_intersection_of_all_pairs_agrees_with_brute_force() {
    let Universe {
        filters,
        topics,
        matched,
    } = Universe::new();
    let mut bits_of: HashMap<String, Vec<u64>> = filters
        .iter()
        .zip(&matched)
        .map(|(filter, bits)| (filter.to_string(), bits.clone()))
        .collect();
    let mut of_neither = 0;
    for (one, one_bits) in filters.iter().zip(&matched) {
        for (other, other_bits) in filters.iter().zip(&matched) {
            let expected: Vec<u64> = one_bits
                .iter()
                .zip(other_bits)
                .map(|(a, b)| a & b)
                .collect();
            let Some(common) = one.intersection(other) else {
                assert!(expected.iter().all(|word| *word == 0), "{one} and {other}");
                continue;
            };
            let found = bits_of
                .entry(common.to_string())
                .or_insert_with(|| bits(&topics, |topic| reference_match(common.as_str(), topic)));
            assert_eq!(*found, expected, "{one} and {other}: {common}");
            of_neither += usize::from(common != *one && common != *other);
        }
    }
    assert!(
        of_neither > 1_000,
        "{of_neither} intersections are neither filter"
    );
}

#[test]
fn containment_in_a_union_agrees_with_brute_force() {
    let Universe {
        filters, matched, ..
    } = Universe::new();
    let (mut seed, mut only_the_union) = (1_u64, 0);
    // Half of the unions are of few different levels, so that their members often complete each other.
    let everything: Vec<usize> = (0..filters.len()).collect();
    let mut alike = everything.clone();
    alike.retain(|&i| {
        filters[i]
            .as_str()
            .split('/')
            .all(|level| matches!(level, "a" | "+" | "#"))
    });
    for round in 0..3_000 {
        let pool = if round % 2 == 0 { &everything } else { &alike };
        let union: Vec<usize> = (0..2 + random(&mut seed, 5))
            .map(|_| pool[random(&mut seed, pool.len())])
            .collect();
        let allowed = tree(union.iter().map(|&i| &filters[i]));
        let union_bits: Vec<u64> = (0..matched[0].len())
            .map(|w| union.iter().fold(0, |word, &i| word | matched[i][w]))
            .collect();
        for (requested, requested_bits) in filters.iter().zip(&matched) {
            let covered = allowed.covers(requested);
            let names = || {
                union
                    .iter()
                    .map(|&i| filters[i].as_str())
                    .collect::<Vec<_>>()
            };
            assert_eq!(
                covered,
                subset(requested_bits, &union_bits),
                "{requested} in {:?}",
                names()
            );
            only_the_union +=
                usize::from(covered && !union.iter().any(|&i| filters[i].covers(requested)));
        }
    }
    assert!(
        only_the_union > 50,
        "only {only_the_union} cases needed the union"
    );
}

/// A fixed sequence is all this needs (an LCG's high bits).
fn random(seed: &mut u64, below: usize) -> usize {
    *seed = seed
        .wrapping_mul(6_364_136_223_846_793_005)
        .wrapping_add(1_442_695_040_888_963_407);
    usize::try_from(*seed >> 33).unwrap() % below
}

#[test]
fn removing_from_a_tree_leaves_the_rest_and_then_nothing() {
    let filters: Vec<_> = ["a/+/c", "a/+/c", "a/#", "#", "+", "a", "$x/+/#"]
        .map(filter)
        .into();
    let mut tree = FilterTree::new();
    for (id, filter) in filters.iter().enumerate() {
        tree.insert(filter, id);
    }
    assert_eq!(tree.len(), 7);
    assert!(
        !tree.remove(&filter("a/+"), |_| true),
        "a node on the way to others is no entry"
    );
    assert!(
        !tree.remove(&filters[0], |id| *id == 5),
        "the value is under another filter"
    );
    assert!(tree.remove(&filters[0], |id| *id == 0));
    assert!(!tree.remove(&filters[0], |id| *id == 0), "it is gone");
    let mut found = Vec::new();
    tree.for_each_match("a/b/c", &mut |id| found.push(*id));
    found.sort_unstable();
    assert_eq!(found, [1, 2, 3]);
    for (id, filter) in filters.iter().enumerate().skip(1) {
        assert!(tree.remove(filter, |value| *value == id));
    }
    assert!(tree.is_empty());
    assert_eq!(
        format!("{tree:?}"),
        format!("{:?}", FilterTree::<usize>::new()),
        "no node is left behind"
    );
}

#[test]
fn the_deepest_filters_and_deeper_topics_are_handled() {
    let deepest = vec!["+"; MAX_LEVELS].join("/");
    let mut tree = tree([
        &filter(&deepest),
        &filter(&format!("{}/#", vec!["+"; MAX_LEVELS - 1].join("/"))),
    ]);
    let topic = |levels| vec!["x"; levels].join("/");
    assert!(tree.matches(&topic(MAX_LEVELS - 1)));
    assert!(!tree.matches(&topic(MAX_LEVELS - 2)));
    assert!(
        tree.matches(&topic(32_768)),
        "a name may be deeper than any filter"
    );
    assert!(!tree.covers(&filter("#")));
    for depth in 1..MAX_LEVELS - 1 {
        tree.insert(&filter(&vec!["+"; depth].join("/")), filter("+"));
    }
    assert!(tree.covers(&filter("#")), "127 filters together are `#`");
    let too_deep = TopicFilter::parse(&vec!["+"; MAX_LEVELS + 1].join("/")).unwrap_err();
    assert_eq!(too_deep.fault, TopicFault::TooManyLevels { max: 128 });
    let slashes = "/".repeat(65_535);
    assert!(TopicFilter::parse(&slashes).is_err() && TopicName::parse(&slashes).is_ok());
}

#[test]
fn an_empty_string_matches_nothing() {
    for wide in ["#", "+", "/#", "+/#"].map(filter) {
        assert!(!wide.matches("") && !tree([&wide]).matches(""), "{wide}");
    }
}

#[test]
fn errors_say_what_is_wrong_and_where() {
    let cases = [
        ("", "`` is not a valid topic filter: it is empty"),
        (
            "a/\0b",
            r"`a/\u{0}b` is not a valid topic filter: it contains the NUL character at byte 2",
        ),
        (
            "a/#/b",
            "`a/#/b` is not a valid topic filter: `#` must be the last level, and is in level 2",
        ),
        (
            "a/b+/c",
            "`a/b+/c` is not a valid topic filter: `+` in level 2 must be the whole level",
        ),
        (
            "a/##",
            "`a/##` is not a valid topic filter: `#` in level 2 must be the whole level",
        ),
        (
            "$share/g+/a",
            "`$share/g+/a` is not a valid shared subscription: `$share/` must be followed by a group name without \
             wildcards",
        ),
        (
            "$share/g",
            "`$share/g` is not a valid shared subscription: `$share/group/` must be followed by a topic filter",
        ),
        (
            "$share/g/a#",
            "`a#` is not a valid topic filter: `#` in level 1 must be the whole level",
        ),
    ];
    for (text, expected) in cases {
        assert_eq!(
            SubscribeFilter::parse(text).unwrap_err().to_string(),
            expected
        );
    }
    let name = TopicName::parse("lights/+/on").unwrap_err().to_string();
    assert_eq!(
        name,
        "`lights/+/on` is not a valid topic name: `+` in level 2 is a wildcard, and a message goes to one exact topic"
    );
}

#[test]
fn an_error_about_a_long_topic_is_short() {
    let error = TopicName::parse(&"é".repeat(35_000))
        .unwrap_err()
        .to_string();
    let expected = format!(
        "`{}…` (70000 bytes) is not a valid topic name: it has 70000 bytes, at most 65535 are allowed",
        "é".repeat(100)
    );
    assert_eq!(error, expected);
}

#[test]
fn what_could_disturb_a_message_is_shown_escaped() {
    let shown = |text| Shown(text).to_string();
    assert_eq!(shown("a\nb\u{1b}[31m"), r"`a\nb\u{1b}[31m`");
    assert_eq!(
        shown("a\u{202e}b\u{feff}\u{200b}"),
        r"`a\u{202e}b\u{feff}\u{200b}`"
    );
    assert_eq!(shown("grün/日本 x"), "`grün/日本 x`");
}

/// MQTT 3.1.1 §1.5.3: characters a sender should not use and a receiver may close the connection for. What
/// comes with them is taken; in what is sent each is refused by its name and place.
#[test]
fn characters_that_brokers_do_not_take_are_refused_in_what_is_sent_and_taken_in_what_comes() {
    let mut bad: Vec<u32> = (1..=0x1F)
        .chain(0x7F..=0x9F)
        .chain(0xFDD0..=0xFDEF)
        .collect();
    bad.extend((0..=0x10).flat_map(|plane| [plane << 16 | 0xFFFE, plane << 16 | 0xFFFF]));
    assert_eq!(bad.len(), 31 + 33 + 32 + 34);
    for code in 1..=0x0010_FFFF_u32 {
        let Some(character) = char::from_u32(code) else {
            continue;
        };
        if matches!(character, '+' | '#' | '/') {
            continue;
        }
        let text = format!("a/{character}b");
        let name = TopicName::parse(&text).unwrap();
        assert_eq!(
            name.sendable().is_err(),
            bad.contains(&code),
            "U+{code:04X}"
        );
        assert_eq!(TopicFilter::parse(&text).is_err(), bad.contains(&code));
    }
    for text in ["a/b\u{1}", "$share/g/b\u{1}", "$share/\u{1}/b"] {
        let error = SubscribeFilter::parse(text).unwrap_err();
        let at = text.find('\u{1}').unwrap();
        assert_eq!(
            error.fault,
            TopicFault::Unsendable {
                character: '\u{1}',
                at
            },
            "{text:?}"
        );
    }
    let error = TopicName::parse("a\u{FDD0}")
        .unwrap()
        .sendable()
        .unwrap_err();
    assert_eq!(
        error.to_string(),
        "`a\\u{fdd0}` is not a valid topic name to send: it contains U+FDD0 at byte 1, for which brokers may \
         close the connection"
    );
}

#[test]
fn names_that_are_sent_have_as_many_levels_as_filters_at_most() {
    let levels = |n: usize| vec!["l"; n].join("/");
    assert!(
        TopicName::parse(&levels(MAX_LEVELS))
            .unwrap()
            .sendable()
            .is_ok()
    );
    assert!(TopicFilter::parse(&levels(MAX_LEVELS)).is_ok());
    let deep = levels(MAX_LEVELS + 1);
    let error = TopicName::parse(&deep).unwrap().sendable().unwrap_err();
    assert_eq!(error.fault, TopicFault::TooManyLevels { max: MAX_LEVELS });
    assert!(TopicFilter::parse(&deep).is_err());
}
