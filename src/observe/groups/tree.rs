//! The topics as a tree of levels, with what is known below each node.

use std::collections::HashMap;

use super::label::{Hash, Shape, shape};

/// Levels beyond are one level together, so that recursion stays shallow and a hostile topic cheap.
pub(super) const DEEPEST: usize = 32;

/// The most features that a node keeps: a sketch that still estimates how alike two large nodes are.
const MOST_FEATURES: usize = 64;

/// One level of one or more topics.
#[derive(Debug)]
pub(super) struct Node<'a> {
    pub(super) label: &'a str,
    pub(super) shape: Shape,
    /// The positions of its children in [`Tree::nodes`].
    children: Vec<usize>,
    /// The topics that end here, as indexes into the input.
    pub(super) topics: Vec<usize>,
    /// The kind of the topic that ends here.
    pub(super) kind: &'a str,
    /// See [`Features`].
    pub(super) features: Features,
}

/// The topics below a node by depth and shape of the last level, whatever lies between: sorted hashes. Equal for two
/// buildings with different rooms that have the same sensors.
pub(super) type Features = Vec<u64>;

/// All topics.
#[derive(Debug)]
pub(super) struct Tree<'a> {
    /// The first one is above all first levels.
    nodes: Vec<Node<'a>>,
    /// The first levels that start with `$`. They are not children of the first node, since no wildcard matches them and
    /// others ([MQTT-4.7.2-1]).
    special: Vec<usize>,
}

impl<'a> Tree<'a> {
    /// Builds the tree of the topics with their kinds and indexes.
    pub(super) fn new(topics: impl Iterator<Item = (usize, &'a str, &'a str)>) -> Self {
        let expected = topics.size_hint().1.unwrap_or(0);
        let mut tree = Self {
            nodes: Vec::with_capacity(expected),
            special: Vec::new(),
        };
        tree.nodes.push(Node::new(""));
        let mut places: HashMap<(usize, &'a str), usize> = HashMap::with_capacity(expected);
        for (index, topic, kind) in topics {
            let mut at = 0;
            for label in topic.splitn(DEEPEST, '/') {
                at = *places.entry((at, label)).or_insert_with(|| {
                    let new = tree.nodes.len();
                    tree.nodes.push(Node::new(label));
                    if at == 0 && label.starts_with('$') {
                        tree.special.push(new);
                    } else if let Some(parent) = tree.nodes.get_mut(at) {
                        parent.children.push(new);
                    }
                    new
                });
            }
            if let Some(node) = tree.nodes.get_mut(at) {
                // A topic that is there twice has one kind, whatever the order.
                if node.topics.is_empty() || kind < node.kind {
                    node.kind = kind;
                }
                node.topics.push(index);
            }
        }
        tree.describe();
        tree
    }

    /// The node above all first levels but the [`special`](Self::special) ones.
    pub(super) fn root(&self) -> Option<&Node<'a>> {
        self.nodes.first()
    }

    /// The first levels that start with `$`.
    pub(super) fn special(&self) -> impl Iterator<Item = &Node<'a>> {
        self.special.iter().filter_map(|&at| self.nodes.get(at))
    }

    /// The children of a node.
    pub(super) fn children(&self, node: &Node<'a>) -> impl Iterator<Item = &Node<'a>> {
        node.children.iter().filter_map(|&at| self.nodes.get(at))
    }

    /// Fills in the features. Children stand behind their parents.
    fn describe(&mut self) {
        for at in (0..self.nodes.len()).rev() {
            let mut features = Vec::new();
            if let Some(node) = self.nodes.get(at) {
                for child in self.children(node) {
                    if !child.topics.is_empty() {
                        features.push(feature(child.shape.hash, 1));
                    }
                    features.extend(child.features.iter().map(|deeper| deeper + 1));
                }
            }
            tidy(&mut features);
            if let Some(node) = self.nodes.get_mut(at) {
                node.features = features;
            }
        }
    }
}

impl<'a> Node<'a> {
    fn new(label: &'a str) -> Self {
        Self {
            label,
            shape: shape(label),
            children: Vec::new(),
            topics: Vec::new(),
            kind: "",
            features: Vec::new(),
        }
    }
}

/// The feature of a topic that ends in a node itself.
pub(super) fn own_feature(kind: &str) -> u64 {
    feature(Hash::of(kind), 0)
}

/// The depth has the six lowest bits: a parent adds one. `DEEPEST` fits.
fn feature(hash: u64, depth: u64) -> u64 {
    (hash << 6) | depth
}

/// How many levels below the topic of a feature ends.
pub(super) fn depth(feature: u64) -> u64 {
    feature & 63
}

/// Sorts, drops what stands twice, and what is too much.
pub(super) fn tidy(features: &mut Features) {
    features.sort_unstable();
    features.dedup();
    features.truncate(MOST_FEATURES);
}
