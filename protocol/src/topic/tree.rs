//! A tree of filters with a node per level, so that a lookup costs the depth of a topic and not the number of filters.
//!
//! Promises: matching does not allocate; every walk visits a node at most once and recurses at most
//! [`MAX_LEVELS`] deep; containment in the union of all filters is exact.
//!
//! Keys are ordered maps: results and their order depend on the content alone, and no choice of topics makes lookups
//! slow.

use std::collections::BTreeMap;
use std::ops::ControlFlow;
use std::str::Split;

use super::filter::{MAX_LEVELS, TopicFilter};

/// A set of `(filter, value)` pairs; one filter may carry several values.
#[derive(Clone, Debug)]
pub struct FilterTree<V> {
    root: Node<V>,
    len: usize,
}

impl<V> FilterTree<V> {
    /// An empty tree.
    pub fn new() -> Self {
        Self {
            root: Node::default(),
            len: 0,
        }
    }

    /// The number of values.
    pub fn len(&self) -> usize {
        self.len
    }

    /// Whether there is no value.
    pub fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// Adds a value under a filter; values already there stay.
    pub fn insert(&mut self, filter: &TopicFilter, value: V) {
        let mut node = &mut self.root;
        for level in filter.levels() {
            node = match level {
                "#" => {
                    node.below.push(value);
                    self.len += 1;
                    return;
                }
                "+" => node.any.get_or_insert_default(),
                literal => node.literals.entry(literal.into()).or_default(),
            };
        }
        node.here.push(value);
        self.len += 1;
    }

    /// Removes the values under exactly this filter that `unwanted` selects; returns whether there were any.
    pub fn remove(&mut self, filter: &TopicFilter, unwanted: impl Fn(&V) -> bool) -> bool {
        let removed = self.root.remove(filter.levels(), &unwanted);
        self.len -= removed;
        removed > 0
    }

    /// Calls `f` with every value whose filter matches `topic`.
    pub fn for_each_match<'t>(&'t self, topic: &str, f: &mut impl FnMut(&'t V)) {
        let _ = self.visit(topic, &mut |value| {
            f(value);
            ControlFlow::Continue(())
        });
    }

    /// Whether some filter matches `topic`.
    pub fn matches(&self, topic: &str) -> bool {
        self.visit(topic, &mut |_| ControlFlow::Break(()))
            .is_break()
    }

    /// Whether the filters together match every topic that `requested` matches.
    ///
    /// Each `+` of the request is taken as a fresh level, one that equals no literal in the tree. A filter that
    /// matches such a witness has a wildcard there and so contains the request: without `#`, one filter must do it
    /// alone. A final `#` stands for any number of fresh levels, and each number needs some filter.
    pub fn covers(&self, requested: &TopicFilter) -> bool {
        let text = requested.as_str();
        let mut covered = Depths {
            exact: [false; MAX_LEVELS + 1],
            from: usize::MAX,
        };
        self.root
            .cover(requested.levels(), text.starts_with('$'), &mut covered);
        // The empty string is not a topic: these two filters need no filter for zero levels in place of `#`.
        let least = usize::from(matches!(text, "#" | "/#"));
        if text == "#" || text.ends_with("/#") {
            covered.all(least)
        } else {
            covered.from == 0
        }
    }

    fn visit<'t>(
        &'t self,
        topic: &str,
        f: &mut impl FnMut(&'t V) -> ControlFlow<()>,
    ) -> ControlFlow<()> {
        if topic.is_empty() {
            return ControlFlow::Continue(());
        }
        self.root.visit(topic.split('/'), topic.starts_with('$'), f)
    }
}

impl<V> Default for FilterTree<V> {
    fn default() -> Self {
        Self::new()
    }
}

#[derive(Clone, Debug)]
struct Node<V> {
    /// Boxed: a map makes room for eleven children at once, and most levels have one.
    literals: BTreeMap<Box<str>, Box<Node<V>>>,
    /// The child for `+`.
    any: Option<Box<Node<V>>>,
    /// Values of filters that end at this level.
    here: Vec<V>,
    /// Values of filters that continue with `#`, which matches this level and all below.
    below: Vec<V>,
}

impl<V> Default for Node<V> {
    fn default() -> Self {
        Self {
            literals: BTreeMap::new(),
            any: None,
            here: Vec::new(),
            below: Vec::new(),
        }
    }
}

impl<V> Node<V> {
    fn is_empty(&self) -> bool {
        self.literals.is_empty()
            && self.any.is_none()
            && self.here.is_empty()
            && self.below.is_empty()
    }

    /// `dollar`: this is the root and the topic starts with `$`, which no wildcard here matches ([MQTT-4.7.2-1]).
    fn visit<'t>(
        &'t self,
        mut levels: Split<'_, char>,
        dollar: bool,
        f: &mut impl FnMut(&'t V) -> ControlFlow<()>,
    ) -> ControlFlow<()> {
        if !dollar {
            self.below.iter().try_for_each(&mut *f)?;
        }
        let Some(level) = levels.next() else {
            return self.here.iter().try_for_each(f);
        };
        if let Some(child) = self.literals.get(level) {
            child.visit(levels.clone(), false, f)?;
        }
        match &self.any {
            Some(child) if !dollar => child.visit(levels, false, f),
            _ => ControlFlow::Continue(()),
        }
    }

    /// Walks the request's witness and records in `covered` what the tree covers.
    fn cover(&self, mut levels: Split<'_, char>, dollar: bool, covered: &mut Depths) {
        if !dollar && !self.below.is_empty() {
            covered.from = 0;
        }
        if covered.from == 0 {
            return;
        }
        match levels.next() {
            None if !self.here.is_empty() => covered.from = 0,
            None => {}
            Some("#") => self.cover_below(covered),
            Some(level) => {
                if let Some(child) = self.literals.get(level) {
                    child.cover(levels.clone(), false, covered);
                }
                match &self.any {
                    Some(child) if !dollar => child.cover(levels, false, covered),
                    _ => {}
                }
            }
        }
    }

    /// The request has `#` here: records for how many fresh levels the tree has a filter. Only `+` matches fresh
    /// levels.
    fn cover_below(&self, covered: &mut Depths) {
        let nodes = std::iter::successors(Some(self), |node| node.any.as_deref());
        for ((depth, node), exact) in nodes.enumerate().zip(&mut covered.exact) {
            *exact |= !node.here.is_empty();
            if !node.below.is_empty() {
                covered.from = covered.from.min(depth);
            }
        }
    }

    fn remove(&mut self, mut levels: Split<'_, char>, unwanted: &impl Fn(&V) -> bool) -> usize {
        match levels.next() {
            None => remove_from(&mut self.here, unwanted),
            Some("#") => remove_from(&mut self.below, unwanted),
            Some("+") => {
                let Some(child) = &mut self.any else { return 0 };
                let removed = child.remove(levels, unwanted);
                if child.is_empty() {
                    self.any = None;
                }
                removed
            }
            Some(literal) => {
                let Some(child) = self.literals.get_mut(literal) else {
                    return 0;
                };
                let removed = child.remove(levels, unwanted);
                if child.is_empty() {
                    self.literals.remove(literal);
                }
                removed
            }
        }
    }
}

/// The numbers of levels in place of a request's `#` for which the tree has a filter.
struct Depths {
    exact: [bool; MAX_LEVELS + 1],
    /// A filter's own `#` reaches this depth and all beyond. 0 also says that the whole request is covered.
    from: usize,
}

impl Depths {
    fn all(&self, least: usize) -> bool {
        self.exact
            .iter()
            .take(self.from)
            .skip(least)
            .all(|exact| *exact)
            && self.from != usize::MAX
    }
}

fn remove_from<V>(values: &mut Vec<V>, unwanted: &impl Fn(&V) -> bool) -> usize {
    let before = values.len();
    values.retain(|value| !unwanted(value));
    before - values.len()
}
