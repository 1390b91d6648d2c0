//! Which siblings are alike: the levels that a pattern shows as one.

use std::cmp::Reverse;
use std::collections::{BTreeMap, HashMap};

use super::label::{Hash, Shape, cut, is_hex, is_mixed, natural, tokens};
use super::terms::{has_term, is_plural, is_term, is_word};
use super::tree::{Features, Node, Tree, own_feature, tidy};

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
const MANY: usize = 8;

/// Unlike parents are compared with so many classes each.
const MOST_LEADERS: usize = 16;

/// The children of `parents` as classes, in natural order.
pub(super) fn classes<'a, 't>(tree: &'t Tree<'a>, parents: &[&'t Node<'a>]) -> Vec<Class<'a, 't>> {
    let siblings = siblings(tree, parents);
    if siblings.len() < 2 {
        return siblings.into_iter().map(|sibling| vec![sibling]).collect();
    }
    let mut done = Vec::new();
    let (leaves, inner) = by_shape(siblings);
    let leaves = by_likeness(inner, leaves, &mut done);
    let names = match is_schema(&leaves, parents.len()) {
        true => leaves,
        false => by_name(leaves, enough_names(parents), &mut done),
    };
    done.extend(names.into_iter().map(|sibling| vec![sibling]));
    let first = |class: &Class<'a, 't>| class.iter().map(|s| s.label).min().unwrap_or_default();
    let mut done: Vec<_> = done
        .into_iter()
        .map(|class| (first(&class), class))
        .collect();
    done.sort_by(|(a, _), (b, _)| natural(a, b));
    done.into_iter().map(|(_, class)| class).collect()
}

/// The children by label.
fn siblings<'a, 't>(tree: &'t Tree<'a>, parents: &[&'t Node<'a>]) -> Vec<Sibling<'a, 't>> {
    let mut nodes: Vec<&Node<'a>> = parents
        .iter()
        .flat_map(|node| tree.children(node))
        .collect();
    nodes.sort_unstable_by_key(|node| node.label);
    let mut siblings: Vec<Sibling<'a, 't>> = nodes
        .chunk_by(|a, b| a.label == b.label)
        .filter_map(|same| {
            let first = same.first()?;
            Some(Sibling {
                label: first.label,
                shape: first.shape,
                nodes: same.to_vec(),
            })
        })
        .collect();
    unite_hex(&mut siblings);
    siblings
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
    fn is_leaf(&self) -> bool {
        self.nodes.iter().all(|node| node.features.is_empty())
    }

    /// The most frequent kind of the topics that end here.
    fn kind(&self) -> Option<&'a str> {
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

/// Units with like features.
struct Cluster<'a, 't> {
    /// The features of the most typical unit.
    core: Features,
    /// The features of all units.
    all: Features,
    units: Vec<Class<'a, 't>>,
}

impl Cluster<'_, '_> {
    /// Whether at least half of the features are those of the core, or most are known from some unit: a missing one or
    /// an additional one does not make a difference.
    fn is_like(&self, other: &[u64]) -> bool {
        let shared = common(&self.core, other);
        shared > 0 && shared * 2 >= self.core.len() + other.len() - shared
            || common(&self.all, other) * 3 >= other.len() * 2
    }
}

/// The number of features that both have; both are sorted.
fn common(a: &[u64], b: &[u64]) -> usize {
    let mut rest = b.iter().peekable();
    let mut shared = 0;
    for x in a {
        while rest.next_if(|y| *y < x).is_some() {}
        shared += usize::from(rest.next_if_eq(&x).is_some());
    }
    shared
}

/// Unites units whose topics below are alike. Puts the classes into `done`, and returns the leaves that are in none.
fn by_likeness<'a, 't>(
    units: Vec<Class<'a, 't>>,
    leaves: Vec<Sibling<'a, 't>>,
    done: &mut Vec<Class<'a, 't>>,
) -> Vec<Sibling<'a, 't>> {
    let mut open = Vec::new();
    for unit in units {
        let term = matches!(unit.as_slice(), [only] if is_term(only.label));
        match term || unit.iter().all(Sibling::is_leaf) {
            true => done.push(unit),
            false => open.push((features(&unit), unit)),
        }
    }
    let mut clusters: Vec<Cluster<'a, 't>> = Vec::new();
    for (features, units) in most_typical_first(open) {
        let like = clusters
            .iter_mut()
            .take(MOST_LEADERS)
            .find(|cluster| cluster.is_like(&features));
        if let Some(cluster) = like {
            cluster.all.extend(features);
            tidy(&mut cluster.all);
            cluster.units.extend(units);
        } else {
            let (core, all) = (features.clone(), features);
            clusters.push(Cluster { core, all, units });
        }
    }
    let leaves = into_clusters(leaves, &mut clusters);
    clusters
        .into_iter()
        .for_each(|cluster| close(cluster, done));
    leaves
}

/// Units of equal features together, those first that have the most labels and then the most features.
fn most_typical_first<'a, 't>(
    mut units: Vec<(Features, Class<'a, 't>)>,
) -> Vec<(Features, Vec<Class<'a, 't>>)> {
    // Stable: units stand in the order of their first labels.
    units.sort_by_key(|(_, unit)| unit.first().map(|sibling| sibling.label));
    let mut equal: HashMap<Features, usize> = HashMap::new();
    let mut typical: Vec<(usize, Features, Vec<Class<'a, 't>>)> = Vec::new();
    for (features, unit) in units {
        let at = *equal.entry(features).or_insert_with_key(|features| {
            typical.push((0, features.clone(), Vec::new()));
            typical.len() - 1
        });
        if let Some((labels, _, units)) = typical.get_mut(at) {
            *labels += unit.len();
            units.push(unit);
        }
    }
    typical.sort_by_key(|(labels, features, _)| Reverse((*labels, features.len())));
    typical
        .into_iter()
        .map(|(_, features, units)| (features, units))
        .collect()
}

/// Puts a leaf to those of its siblings that have a topic of the same kind and others below: a device whose
/// availability was not seen.
fn into_clusters<'a, 't>(
    leaves: Vec<Sibling<'a, 't>>,
    clusters: &mut [Cluster<'a, 't>],
) -> Vec<Sibling<'a, 't>> {
    let mut left = Vec::new();
    for leaf in leaves {
        let own = leaf
            .kind()
            .map(own_feature)
            .filter(|_| !is_term(leaf.label));
        let fits = |cluster: &&mut Cluster<'_, '_>| {
            let size: usize = cluster.units.iter().map(Vec::len).sum();
            size >= 3 && own.is_some_and(|own| cluster.all.binary_search(&own).is_ok())
        };
        match clusters.iter_mut().take(MOST_LEADERS).find(fits) {
            Some(cluster) => cluster.units.push(vec![leaf]),
            None => left.push(leaf),
        }
    }
    left
}

/// Makes a class of a cluster; numbered families of some size stay on their own: `fan{1..3}` and `pump{1..9}`.
fn close<'a, 't>(cluster: Cluster<'a, 't>, done: &mut Vec<Class<'a, 't>>) {
    let enough = if cluster.units.len() <= 3 { 3 } else { MANY };
    let (families, rest): (Vec<_>, Vec<_>) = cluster
        .units
        .into_iter()
        .partition(|unit| unit.len() >= enough);
    done.extend(families);
    let rest: Class<'a, 't> = rest.into_iter().flatten().collect();
    if !rest.is_empty() {
        done.push(rest);
    }
}

/// The features of a unit: its own kinds and what is below.
fn features(unit: &[Sibling<'_, '_>]) -> Features {
    let mut features = Features::new();
    for sibling in unit {
        features.extend(sibling.kind().map(own_feature));
        for node in &sibling.nodes {
            features.extend(&node.features);
        }
        if features.len() > 4096 {
            tidy(&mut features);
        }
    }
    tidy(&mut features);
    features
}

/// Whether leaves are what each of several parents has: properties, then, and not names of things.
fn is_schema(leaves: &[Sibling<'_, '_>], parents: usize) -> bool {
    let occurrences: usize = leaves.iter().map(|leaf| leaf.nodes.len()).sum();
    parents >= 3 && occurrences * 2 >= leaves.len() * parents
}

/// How many names of one kind below these parents are names of things.
fn enough_names(parents: &[&Node<'_>]) -> usize {
    if parents.iter().all(|node| is_term(node.label)) {
        2
    } else if parents.iter().all(|node| is_plural(node.label)) {
        3
    } else {
        MANY
    }
}

/// Unites leaves of one kind that are named after many things. Returns those that stay alone.
fn by_name<'a, 't>(
    leaves: Vec<Sibling<'a, 't>>,
    enough: usize,
    done: &mut Vec<Class<'a, 't>>,
) -> Vec<Sibling<'a, 't>> {
    let (mut alone, mut frames, mut names) = (Vec::new(), BTreeMap::new(), BTreeMap::new());
    // In `alarms/{fire,leak,pressure_low}` the term is a name too.
    let terms = || leaves.iter().filter(|leaf| has_term(leaf.label)).count();
    let terms_are_names = enough < MANY && terms() * 2 < leaves.len();
    for leaf in leaves {
        let kind = leaf.kind().unwrap_or_default();
        let term = has_term(leaf.label) && (!terms_are_names || leaf.label.starts_with('$'));
        if !term {
            names.entry(kind).or_insert_with(Vec::new).push(leaf);
        } else if is_term(leaf.label) {
            alone.push(leaf);
        } else {
            let key = (kind, frame(leaf.label));
            frames.entry(key).or_insert_with(Vec::new).push(leaf);
        }
    }
    for family in frames.into_values() {
        settle(family, 3, done, &mut alone);
    }
    for family in names.into_values() {
        if family.len() < enough {
            alone.extend(family);
            continue;
        }
        let mut rest = Vec::new();
        for stem in by_stem(family) {
            settle(stem, 3, done, &mut rest);
        }
        settle(rest, enough.min(3), done, &mut alone);
    }
    alone
}

/// A class if there are enough, else each alone.
fn settle<'a, 't>(
    family: Class<'a, 't>,
    enough: usize,
    done: &mut Vec<Class<'a, 't>>,
    alone: &mut Vec<Sibling<'a, 't>>,
) {
    match family.len() >= enough {
        true => done.push(family),
        false => alone.extend(family),
    }
}

/// The terms of a label with one sign for whatever stands between them: equal for `hall_temperature` and
/// `living_room_temperature`.
fn frame(label: &str) -> u64 {
    let mut hash = Hash::new();
    let mut gap = false;
    for token in tokens(label) {
        if is_word(token) {
            hash.text(&token.to_ascii_lowercase());
            hash.byte(b'/');
        } else if !gap {
            hash.byte(b'*');
        }
        gap = !is_word(token);
    }
    hash.0
}

/// Takes names apart by their first or last word, if nearly all of them share one with others: `lamp_hall`,
/// `lamp_porch`, `plug_hall`.
fn by_stem<'a, 't>(family: Class<'a, 't>) -> Vec<Class<'a, 't>> {
    let first = |label: &'a str| tokens(label).next().unwrap_or(label);
    let last = |label: &'a str| tokens(label).last().unwrap_or(label);
    let by = |stem: &dyn Fn(&'a str) -> &'a str| {
        let mut counts: HashMap<&str, usize> = HashMap::new();
        for sibling in &family {
            *counts.entry(stem(sibling.label)).or_default() += 1;
        }
        let covered: usize = counts.values().filter(|&&n| n >= 3).sum();
        (covered * 5 >= family.len() * 4).then_some(counts.len())
    };
    let (by_first, by_last) = (by(&first), by(&last));
    let stem: &dyn Fn(&'a str) -> &'a str = match (by_first, by_last) {
        (None, None) => return vec![family],
        (Some(a), Some(b)) if b < a => &last,
        (None, Some(_)) => &last,
        _ => &first,
    };
    let mut parts: BTreeMap<&str, Class<'a, 't>> = BTreeMap::new();
    for sibling in family {
        parts.entry(stem(sibling.label)).or_default().push(sibling);
    }
    parts.into_values().collect()
}
