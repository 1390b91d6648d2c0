//! The tree of patterns, and how it is cut back to a number of groups.

use std::mem;

use super::siblings::{classes, most_frequent};
use super::tree::{Node, Tree};
use mcpmqtt_protocol::sort::sort_by_key;

/// A node of the tree of patterns: like nodes of the tree of topics, united.
#[derive(Debug, Default)]
pub(super) struct Branch<'a> {
    /// The topics that end here: one group.
    topics: Vec<usize>,
    kind: &'a str,
    children: Vec<Branch<'a>>,
    /// The groups here and below.
    pub(super) groups: usize,
    /// The topics here and below.
    pub(super) total: usize,
    /// Whether unlike things were united here for want of room.
    merged: bool,
}

/// The topics of one group.
#[derive(Debug)]
pub(super) struct Bundle {
    pub(super) topics: Vec<usize>,
    pub(super) merged: bool,
}

impl<'a> Branch<'a> {
    /// The pattern of nodes that are united, with all below them.
    pub(super) fn of(tree: &Tree<'a>, nodes: &[&Node<'a>]) -> Self {
        let own = nodes.iter().filter(|node| !node.topics.is_empty());
        let kind = most_frequent(own.clone().map(|node| node.kind)).unwrap_or_default();
        let topics = own.flat_map(|node| &node.topics).copied().collect();
        let children = classes(tree, nodes).into_iter().map(|class| {
            let nodes: Vec<_> = class
                .into_iter()
                .flat_map(|sibling| sibling.nodes)
                .collect();
            Self::of(tree, &nodes)
        });
        Self::new(topics, kind, children.collect())
    }

    fn new(topics: Vec<usize>, kind: &'a str, children: Vec<Self>) -> Self {
        let sum = |count: fn(&Self) -> usize| children.iter().map(count).sum::<usize>();
        Self {
            groups: usize::from(!topics.is_empty()) + sum(|child| child.groups),
            total: topics.len() + sum(|child| child.total),
            topics,
            kind,
            children,
            merged: false,
        }
    }

    /// Everything here and below as one group.
    fn join(branches: impl IntoIterator<Item = Self>) -> Self {
        let mut topics = Vec::new();
        let mut kind = "";
        for branch in branches {
            kind = branch.kind;
            branch.collect(&mut topics);
        }
        Self {
            merged: true,
            ..Self::new(topics, kind, Vec::new())
        }
    }

    fn collect(self, into: &mut Vec<usize>) {
        into.extend(self.topics);
        self.children
            .into_iter()
            .for_each(|child| child.collect(into));
    }

    /// Puts the groups into `bundles`, at most `most` (at least 1).
    pub(super) fn fit(mut self, most: usize, bundles: &mut Vec<Bundle>) {
        if self.groups > 1 && most <= 1 {
            self = Self::join([self]);
        }
        let topics = mem::take(&mut self.topics);
        let own = usize::from(!topics.is_empty());
        if own > 0 {
            let merged = self.merged;
            bundles.push(Bundle { topics, merged });
        }
        let mut children = self.children;
        if self.groups > most {
            children = fewer(children, most.saturating_sub(own));
        }
        let demands: Vec<usize> = children.iter().map(|child| child.groups).collect();
        let shares = shares(&demands, most.saturating_sub(own));
        for (child, share) in children.into_iter().zip(shares) {
            child.fit(share, bundles);
        }
    }
}

/// At most `most` (at least 1) of the siblings: leaves of one kind are united first, then all leaves, then the smallest.
fn fewer(siblings: Vec<Branch<'_>>, most: usize) -> Vec<Branch<'_>> {
    let (mut leaves, mut inner): (Vec<_>, Vec<_>) = siblings
        .into_iter()
        .partition(|branch| branch.children.is_empty());
    let mut excess = (leaves.len() + inner.len()).saturating_sub(most);
    let mut rounds = 0;
    while excess > 0 && leaves.len() > 1 {
        leaves = unite_leaves(leaves, excess, rounds < MOST_ROUNDS);
        excess = (leaves.len() + inner.len()).saturating_sub(most);
        rounds += 1;
    }
    leaves.append(&mut inner);
    if leaves.len() > most {
        sort_by_key(&mut leaves, |branch| std::cmp::Reverse(branch.total));
        let rest = leaves.split_off(most.saturating_sub(1));
        leaves.push(Branch::join(rest));
    }
    leaves
}

/// So many kinds are united one by one: thousands of kinds must not cost thousands of rounds.
const MOST_ROUNDS: usize = 8;

/// Unites leaves (at least 2), by kind those of the most frequent one if there are two of a kind: the smallest if a few
/// are too many, else all of them.
fn unite_leaves(leaves: Vec<Branch<'_>>, excess: usize, by_kind: bool) -> Vec<Branch<'_>> {
    let frequent = most_frequent(leaves.iter().map(|leaf| leaf.kind));
    let (mut family, mut others): (Vec<_>, Vec<_>) = leaves
        .into_iter()
        .partition(|leaf| !by_kind || Some(leaf.kind) == frequent);
    if family.len() < 2 {
        family.append(&mut others);
    }
    if excess * 2 < family.len() {
        sort_by_key(&mut family, |leaf| leaf.total);
        others.extend(family.split_off(excess + 1));
    }
    others.push(Branch::join(family));
    others
}

/// Divides `most` so that small demands are met in full and large ones get equal shares; each gets at least 1.
pub(super) fn shares(demands: &[usize], most: usize) -> Vec<usize> {
    let mut order: Vec<usize> = (0..demands.len()).collect();
    sort_by_key(&mut order, |&at| demands.get(at));
    let mut shares = vec![1; demands.len()];
    let mut left = most;
    for (served, at) in order.into_iter().enumerate() {
        if let (Some(demand), Some(share)) = (demands.get(at), shares.get_mut(at)) {
            let equal = left / (demands.len() - served);
            *share = (*demand).min(equal).max(1);
            left = left.saturating_sub(*share);
        }
    }
    shares
}
