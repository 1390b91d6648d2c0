//! Which siblings are alike: the levels that a pattern shows as one.

use std::collections::{BTreeMap, HashMap};

use super::label::{Hash, Shape, natural, shape, tokens};
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
    for class in &mut done {
        class.sort_unstable_by(|a, b| natural(a.label, b.label));
    }
    done.sort_by(|a, b| match (a.first(), b.first()) {
        (Some(a), Some(b)) => natural(a.label, b.label),
        _ => a.len().cmp(&b.len()),
    });
    done
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
    unite_short_ids(&mut siblings);
    siblings
}

/// Gives one shape to identifiers such as `00b2` and `a3f1`, which only their number and equal length tell from words.
fn unite_short_ids(siblings: &mut [Sibling<'_, '_>]) {
    let hex = |label: &str| label.len() >= 4 && label.bytes().all(|b| b.is_ascii_hexdigit());
    // How many there are of each length, and how many of them have both letters and digits.
    let mut lengths: BTreeMap<usize, (usize, usize)> = BTreeMap::new();
    for label in siblings.iter().map(|s| s.label).filter(|label| hex(label)) {
        let digits = label.bytes().filter(u8::is_ascii_digit).count();
        let (all, mixed) = lengths.entry(label.len()).or_default();
        *all += 1;
        *mixed += usize::from(digits > 0 && digits < label.len());
    }
    lengths.retain(|_, &mut (all, mixed)| all >= MANY && mixed * 2 >= all);
    if lengths.is_empty() {
        return;
    }
    let id = shape("00000000");
    for sibling in siblings {
        if hex(sibling.label) && lengths.contains_key(&sibling.label.len()) {
            sibling.shape = id;
        }
    }
}

impl<'a> Sibling<'a, '_> {
    /// Whether all topics end here.
    fn is_leaf(&self) -> bool {
        self.nodes.iter().all(|node| node.features.is_empty())
    }

    /// The most frequent kind of the topics that end here.
    fn kind(&self) -> Option<&'a str> {
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
    features: Features,
    units: Vec<Class<'a, 't>>,
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
    // The most typical lead.
    open.sort_by(|(a_features, a), (b_features, b)| {
        (b.len(), b_features.len(), a.first().map(|s| s.label)).cmp(&(
            a.len(),
            a_features.len(),
            b.first().map(|s| s.label),
        ))
    });
    let mut clusters: Vec<Cluster<'a, 't>> = Vec::new();
    let mut known: HashMap<Features, usize> = HashMap::new();
    for (features, unit) in open {
        let like = known.get(&features).copied().or_else(|| {
            let mut leaders = clusters.iter().take(MOST_LEADERS);
            leaders.position(|leader| alike(&leader.features, &features))
        });
        match like.and_then(|at| clusters.get_mut(at)) {
            Some(cluster) => cluster.units.push(unit),
            None => {
                known.insert(features.clone(), clusters.len());
                let units = vec![unit];
                clusters.push(Cluster { features, units });
            }
        }
    }
    let leaves = into_clusters(leaves, &mut clusters);
    clusters
        .into_iter()
        .for_each(|cluster| close(cluster, done));
    leaves
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
            size >= 3 && own.is_some_and(|own| cluster.features.binary_search(&own).is_ok())
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

/// Whether at least half of all features are common, or `leader` has all of the other's.
fn alike(leader: &[u64], other: &[u64]) -> bool {
    let common = other
        .iter()
        .filter(|f| leader.binary_search(f).is_ok())
        .count();
    let all = leader.len() + other.len() - common;
    common > 0 && (common * 2 >= all || common == other.len())
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
    for leaf in leaves {
        let kind = leaf.kind().unwrap_or_default();
        if is_term(leaf.label) {
            alone.push(leaf);
        } else if has_term(leaf.label) {
            let key = (kind, frame(leaf.label));
            frames.entry(key).or_insert_with(Vec::new).push(leaf);
        } else {
            names.entry(kind).or_insert_with(Vec::new).push(leaf);
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
        let mut counts: BTreeMap<&str, usize> = BTreeMap::new();
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
