//! Groups of topics that are alike, so that a plant of thousands of topics is told in a few lines.
//!
//! The topics become a tree of levels. From the top down, siblings are united that differ in a number or an identifier
//! only, or that have like topics below (each room has a temperature), or that are many names of one kind. Every node of
//! the united tree where topics end is a group. Properties (`temperature`, `humidity`) stay apart. When there are more
//! groups than there is room for, the largest parts of the tree are cut back until all fit, and say so.

mod branch;
mod label;
mod likeness;
mod names;
mod naming;
mod siblings;
mod terms;
mod tree;

use std::collections::HashSet;

use mcpmqtt_protocol::topic::{TopicFilter, unsendable};

use self::branch::{Branch, Bundle, shares};
use self::names::names;
use self::tree::Tree;
use mcpmqtt_protocol::sort::sort_by_key;

/// Topics that are alike.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Group {
    /// For people: `site/line{1..4}/motor{1..6}/rpm`. At most 512 characters, with nothing in them that disturbs a text.
    /// A combination that it admits need not exist.
    pub pattern: String,
    /// Matches every member, and is as narrow as a filter of at most 512 bytes can be.
    pub filter: TopicFilter,
    /// Indexes into the input, ascending.
    pub members: Vec<usize>,
    /// How many different beginnings the members have up to each level that varies, and how many members there are below
    /// the last: `[4, 24, 96]` of `line{1..4}/motor{1..6}/{…}`. Empty where no more than one level varies.
    pub counts: Vec<usize>,
    /// Whether unlike topics are together because there was no room to tell them apart.
    pub merged: bool,
}

/// All groups.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Grouped {
    /// In the order of the tree; topics that start with `$` come last.
    pub groups: Vec<Group>,
    /// The number of topics that are in no group. No filter matches both `$SYS/…` and other topics, so that few groups
    /// may be too few; and some topics have no filter that matches them.
    pub left_out: usize,
}

/// Groups topics, each given with a word for its kind; equal words mean equal kinds. At most `most` groups.
pub fn group(topics: &[(&str, &str)], most: usize) -> Grouped {
    let known = topics.iter().enumerate();
    let usable = known.filter(|(_, (topic, _))| has_filter(topic));
    let tree = Tree::new(usable.map(|(index, &(topic, kind))| (index, topic, kind)));
    let mut bundles = bundles(&tree, most);
    let mut groups = Vec::with_capacity(bundles.len());
    for bundle in &mut bundles {
        bundle.topics.sort_unstable();
        let members: Vec<&str> = bundle
            .topics
            .iter()
            .filter_map(|&index| topics.get(index).map(|&(topic, _)| topic))
            .collect();
        let levels = Levels::of(&members);
        let Ok(filter) = TopicFilter::parse(&levels.filter()) else {
            continue;
        };
        groups.push(Group {
            counts: levels.counts(&members),
            pattern: levels.pattern(),
            filter,
            members: std::mem::take(&mut bundle.topics),
            merged: bundle.merged,
        });
    }
    let grouped: usize = groups.iter().map(|group| group.members.len()).sum();
    let left_out = topics.len() - grouped;
    Grouped { groups, left_out }
}

/// Whether a filter can match the topic: a wildcard stands for any level but a first one that starts with `$`
/// ([MQTT-4.7.2-1]).
fn has_filter(topic: &str) -> bool {
    let first = topic.split('/').next().unwrap_or_default();
    let fixed = topic.starts_with('$');
    !topic.is_empty() && !(fixed && (!is_literal(first) || first.len() > LONGEST_FILTER / 2))
}

/// Whether a filter can name the level.
fn is_literal(level: &str) -> bool {
    !level.contains(['+', '#', '\0']) && unsendable(level).is_none()
}

/// The members of at most `most` groups.
fn bundles(tree: &Tree<'_>, most: usize) -> Vec<Bundle> {
    let mut special: Vec<_> = tree
        .special()
        .map(|node| (node.label, Branch::of(tree, &[node])))
        .collect();
    sort_by_key(&mut special, |(label, branch)| {
        (std::cmp::Reverse(branch.total), *label)
    });
    let plain = tree
        .root()
        .map(|root| Branch::of(tree, &[root]))
        .filter(|branch| branch.total > 0);
    let has_plain = plain.is_some();
    let mut parts: Vec<Branch<'_>> = plain.into_iter().collect();
    parts.extend(special.into_iter().map(|(_, branch)| branch));
    parts.truncate(most);
    let mut demands: Vec<usize> = parts.iter().map(|part| part.groups).collect();
    if has_plain {
        // The broker's own topics are not what the plant is.
        demands
            .iter_mut()
            .skip(1)
            .for_each(|demand| *demand = (*demand).min(most.div_ceil(8)));
    }
    let mut bundles = Vec::new();
    for (part, share) in parts.into_iter().zip(shares(&demands, most)) {
        part.fit(share, &mut bundles);
    }
    bundles
}

/// The longest filter and pattern: the answer that they are part of is bounded.
const LONGEST_FILTER: usize = 512;
/// So many levels of a topic are looked at.
const MOST_LEVELS: usize = 64;

/// The levels that the members of a group have.
struct Levels<'a> {
    /// The values of each level.
    values: Vec<Vec<&'a str>>,
    /// Whether some members have more levels.
    deeper: bool,
}

impl<'a> Levels<'a> {
    fn of(members: &[&'a str]) -> Self {
        let mut rests: Vec<_> = members.iter().map(|topic| topic.split('/')).collect();
        let (mut values, mut deeper) = (Vec::new(), false);
        while !deeper {
            let mut level = Vec::new();
            let mut known = HashSet::new();
            let mut ended = 0;
            for rest in &mut rests {
                match rest.next() {
                    Some(label) if level.last() != Some(&label) => {
                        if known.insert(label) {
                            level.push(label);
                        }
                    }
                    Some(_) => {}
                    None => ended += 1,
                }
            }
            if ended == rests.len() {
                break;
            }
            deeper = ended > 0 || values.len() == MOST_LEVELS;
            if !deeper {
                values.push(level);
            }
        }
        Self { values, deeper }
    }

    /// The narrowest filter for all; shorter ones are wider.
    fn filter(&self) -> String {
        let one = |values: &Vec<&'a str>| match values.as_slice() {
            [only] if is_literal(only) => *only,
            _ => "+",
        };
        let mut levels: Vec<&str> = self.values.iter().map(one).collect();
        let length = |levels: &[&str]| levels.iter().map(|level| level.len() + 1).sum::<usize>();
        while length(&levels) > LONGEST_FILTER {
            let longest = levels.iter_mut().enumerate();
            let longest = longest.filter(|(at, level)| *at > 0 || !level.starts_with('$'));
            match longest.max_by_key(|(_, level)| level.len()) {
                Some((_, level)) if level.len() > 1 => *level = "+",
                _ => break,
            }
        }
        match self.deeper {
            // The same as `+/#`.
            true if levels == ["+"] => return "#".to_owned(),
            true => levels.push("#"),
            false => {}
        }
        levels.join("/")
    }

    fn counts(&self, members: &[&str]) -> Vec<usize> {
        let varying = self.values.iter().enumerate();
        let varying = varying.filter(|(_, values)| values.len() > 1);
        let mut counts: Vec<usize> = varying
            .map(|(level, _)| beginnings(members, level + 1))
            .collect();
        if self.deeper {
            counts.push(members.len());
        }
        if counts.len() < 2 {
            counts.clear();
        }
        counts
    }

    /// The text for people.
    fn pattern(mut self) -> String {
        let levels: Vec<String> = self.values.iter_mut().map(|level| names(level)).collect();
        let mut pattern = levels.join("/");
        if self.deeper {
            pattern.push_str("/#");
        }
        if let Some((at, _)) = pattern.char_indices().nth(LONGEST_FILTER) {
            pattern.truncate(at);
            pattern.push('…');
        }
        pattern
    }
}

/// How many different beginnings of so many levels there are.
fn beginnings(topics: &[&str], levels: usize) -> usize {
    let beginnings = topics.iter().map(|topic| {
        let end = topic.match_indices('/').nth(levels - 1);
        end.map_or(*topic, |(end, _)| topic.get(..end).unwrap_or(topic))
    });
    beginnings.collect::<HashSet<_>>().len()
}

#[cfg(test)]
mod tests;
