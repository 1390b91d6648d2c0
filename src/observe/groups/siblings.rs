//! Which siblings are alike: the levels that a pattern shows as one.

use std::collections::BTreeMap;

use super::label::{Hash, Shape, cut, is_hex, is_mixed, natural};
use super::likeness::by_likeness;
use super::naming::{by_name, enough_names, is_schema};
use super::tree::{Node, Tree};
use mcpmqtt_protocol::sort::sort_by;

/// The children of one or more nodes that have the same label.
#[derive(Debug)]
pub(super) struct Sibling<'a, 't> {
    pub(super) label: &'a str,
    shape: Shape,
    pub(super) nodes: Vec<&'t Node<'a>>,
}

/// Siblings that are one level of a pattern.
pub(super) type Class<'a, 't> = Vec<Sibling<'a, 't>>;

/// So many names of one kind below one parent are names of things, not of properties.
pub(super) const MANY: usize = 8;

/// The children of `parents` as classes, in natural order.
pub(super) fn classes<'a, 't>(tree: &'t Tree<'a>, parents: &[&'t Node<'a>]) -> Vec<Class<'a, 't>> {
    let siblings = siblings(tree, parents);
    if siblings.len() < 2 {
        return siblings.into_iter().map(|sibling| vec![sibling]).collect();
    }
    let mut done = Vec::new();
    let (leaves, inner) = by_shape(siblings);
    let leaves = by_likeness(inner, leaves, parents.len(), &mut done);
    let names = match is_schema(&leaves) {
        true => leaves,
        false => by_name(leaves, enough_names(parents), &mut done),
    };
    done.extend(names.into_iter().map(|sibling| vec![sibling]));
    let first = |class: &Class<'a, 't>| class.iter().map(|s| s.label).min().unwrap_or_default();
    let mut done: Vec<_> = done
        .into_iter()
        .map(|class| (first(&class), class))
        .collect();
    sort_by(&mut done, |(a, _), (b, _)| natural(a, b));
    done.into_iter().map(|(_, class)| class).collect()
}

/// The children by label.
fn siblings<'a, 't>(tree: &'t Tree<'a>, parents: &[&'t Node<'a>]) -> Vec<Sibling<'a, 't>> {
    let nodes = parents.iter().flat_map(|node| tree.children(node));
    // The first bytes decide most comparisons without a look at the label.
    let mut nodes: Vec<(u64, &Node<'a>)> =
        nodes.map(|node| (first_bytes(node.label), node)).collect();
    nodes.sort_unstable_by_key(|&(first, node)| (first, node.label));
    let mut siblings: Vec<Sibling<'a, 't>> = nodes
        .chunk_by(|(_, a), (_, b)| a.label == b.label)
        .filter_map(|same| {
            let (_, first) = same.first()?;
            Some(Sibling {
                label: first.label,
                shape: first.shape,
                nodes: same.iter().map(|&(_, node)| node).collect(),
            })
        })
        .collect();
    unite_hex(&mut siblings);
    siblings
}

/// A number in the order of labels, as far as eight bytes tell it.
fn first_bytes(label: &str) -> u64 {
    let bytes = label.bytes().chain(std::iter::repeat(0)).take(8);
    bytes.fold(0, |number, byte| (number << 8) | u64::from(byte))
}

/// Gives one shape to identifiers such as `00b2`, `a3f1` and `gw-abcdef`, which only their number and equal length tell
/// from words.
fn unite_hex(siblings: &mut [Sibling<'_, '_>]) {
    // How many there are with the same beginning and length, and how many of them have both letters and digits.
    let mut families: BTreeMap<(&str, usize), (usize, usize)> = BTreeMap::new();
    for (head, tail) in siblings.iter().filter_map(|s| hex_tail(s.label)) {
        let (all, mixed) = families.entry((head, tail.len())).or_default();
        *all += 1;
        *mixed += usize::from(is_mixed(tail));
    }
    families.retain(|_, &mut (all, mixed)| all >= MANY && mixed * 2 >= all);
    if families.is_empty() {
        return;
    }
    for sibling in siblings {
        let Some((head, tail)) = hex_tail(sibling.label) else {
            continue;
        };
        if families.contains_key(&(head, tail.len())) {
            let mut hash = Hash::new();
            hash.text(head);
            // Bytes that UTF-8 has not.
            hash.byte(0xFE);
            sibling.shape = Shape {
                hash: hash.0,
                varies: true,
            };
        }
    }
}

/// What stands before the last word of a label, and the word if it is hexadecimal and long enough for an identifier.
fn hex_tail(label: &str) -> Option<(&str, &str)> {
    let start = label.rfind(|c: char| !c.is_ascii_alphanumeric());
    let end_of_char = |at: usize| label.get(at..)?.chars().next().map(|c| at + c.len_utf8());
    let (head, tail) = cut(label, start.and_then(end_of_char).unwrap_or(0));
    is_hex(tail).then_some((head, tail))
}

impl<'a> Sibling<'a, '_> {
    /// Whether all topics end here.
    pub(super) fn is_leaf(&self) -> bool {
        self.nodes.iter().all(|node| node.features.is_empty())
    }

    /// The most frequent kind of the topics that end here.
    pub(super) fn kind(&self) -> Option<&'a str> {
        if let [only] = self.nodes.as_slice() {
            return (!only.topics.is_empty()).then_some(only.kind);
        }
        most_frequent(
            self.nodes
                .iter()
                .filter(|n| !n.topics.is_empty())
                .map(|n| n.kind),
        )
    }
}

/// The most frequent word; of equally frequent ones the last in order.
pub(super) fn most_frequent<'a>(words: impl Iterator<Item = &'a str>) -> Option<&'a str> {
    let mut counts: BTreeMap<&str, usize> = BTreeMap::new();
    words.for_each(|word| *counts.entry(word).or_default() += 1);
    counts
        .into_iter()
        .max_by_key(|&(_, n)| n)
        .map(|(word, _)| word)
}

/// Unites what differs in numbers and identifiers only. Returns the single leaves, and the rest as units; units of leaves
/// are complete.
fn by_shape<'a, 't>(siblings: Vec<Sibling<'a, 't>>) -> (Vec<Sibling<'a, 't>>, Vec<Class<'a, 't>>) {
    let mut shapes: BTreeMap<u64, Class<'a, 't>> = BTreeMap::new();
    let (mut leaves, mut units) = (Vec::new(), Vec::new());
    let mut single = |sibling: Sibling<'a, 't>, units: &mut Vec<_>| match sibling.is_leaf() {
        true => leaves.push(sibling),
        false => units.push(vec![sibling]),
    };
    for sibling in siblings {
        match sibling.shape.varies {
            true => shapes.entry(sibling.shape.hash).or_default().push(sibling),
            false => single(sibling, &mut units),
        }
    }
    for mut class in shapes.into_values() {
        match class.pop() {
            Some(only) if class.is_empty() => single(only, &mut units),
            Some(last) => {
                class.push(last);
                units.extend(by_kind(class));
            }
            None => {}
        }
    }
    (leaves, units)
}

/// Takes leaves apart that are clearly of several kinds: `tag{1..50}` are numbers and `tag{51..80}` words. A few that
/// stand out do not break a class: kinds are a guess from few messages.
fn by_kind<'a, 't>(class: Class<'a, 't>) -> Vec<Class<'a, 't>> {
    let kinds: Vec<&str> = class
        .iter()
        .filter(|s| s.is_leaf())
        .filter_map(Sibling::kind)
        .collect();
    let mut counts: BTreeMap<&str, usize> = BTreeMap::new();
    kinds
        .iter()
        .for_each(|kind| *counts.entry(kind).or_default() += 1);
    counts.retain(|_, n| *n >= 3 && *n * 5 >= class.len());
    if kinds.len() < class.len() || counts.len() < 2 {
        return vec![class];
    }
    let main = most_frequent(kinds.into_iter()).unwrap_or_default();
    let mut parts: BTreeMap<&str, Class<'a, 't>> = BTreeMap::new();
    for sibling in class {
        let kind = sibling.kind().filter(|kind| counts.contains_key(kind));
        parts.entry(kind.unwrap_or(main)).or_default().push(sibling);
    }
    parts.into_values().collect()
}
