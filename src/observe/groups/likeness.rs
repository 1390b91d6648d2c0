//! Siblings with different names and like topics below: rooms, devices, machines.

use std::cmp::Reverse;
use std::collections::{BTreeMap, HashMap};

use super::siblings::{Class, MANY, Sibling};
use super::terms::is_term;
use super::tree::{Features, depth, own_feature, tidy};
use mcpmqtt_protocol::sort::sort_by_key;

/// So many clusters are compared with what is in none.
const MOST_LEADERS: usize = 16;

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
pub(super) fn by_likeness<'a, 't>(
    units: Vec<Class<'a, 't>>,
    leaves: Vec<Sibling<'a, 't>>,
    parents: usize,
    done: &mut Vec<Class<'a, 't>>,
) -> Vec<Sibling<'a, 't>> {
    let mut open = Vec::new();
    for unit in units {
        let alone =
            matches!(unit.as_slice(), [only] if is_term(only.label) || is_property(only, parents));
        match alone || unit.iter().all(Sibling::is_leaf) {
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
    for cluster in unite_holders(clusters) {
        close(cluster, done);
    }
    leaves
}

/// Whether a sibling has a value of its own below most of several parents: a property with details, and no thing.
fn is_property(sibling: &Sibling<'_, '_>, parents: usize) -> bool {
    parents >= 3 && sibling.nodes.len() * 2 >= parents && sibling.kind().is_some()
}

/// Units of equal features together, those first that have the most labels and then the most features.
fn most_typical_first<'a, 't>(
    mut units: Vec<(Features, Class<'a, 't>)>,
) -> Vec<(Features, Vec<Class<'a, 't>>)> {
    // Stable: units stand in the order of their first labels.
    sort_by_key(&mut units, |(_, unit)| {
        unit.first().map(|sibling| sibling.label)
    });
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
    sort_by_key(&mut typical, |(labels, features, _)| {
        Reverse((*labels, features.len()))
    });
    typical
        .into_iter()
        .map(|(_, features, units)| (features, units))
        .collect()
}

/// Unites many siblings that have nothing but one topic each, all equally deep: `alice/phone`, `bob/tablet`.
fn unite_holders<'a, 't>(clusters: Vec<Cluster<'a, 't>>) -> Vec<Cluster<'a, 't>> {
    let is_holder = |cluster: &Cluster<'_, '_>| match cluster.units.as_slice() {
        [unit] => unit.len() == 1 && cluster.all.len() == 1,
        _ => false,
    };
    let (holders, mut rest): (Vec<_>, Vec<_>) = clusters.into_iter().partition(is_holder);
    let mut by_depth: BTreeMap<_, Vec<Cluster<'a, 't>>> = BTreeMap::new();
    for holder in holders {
        let depth = holder.all.first().map(|&feature| depth(feature));
        by_depth.entry(depth).or_default().push(holder);
    }
    for mut holders in by_depth.into_values() {
        if holders.len() >= MANY {
            let units = holders.drain(..).flat_map(|holder| holder.units).collect();
            let (core, all) = (Features::new(), Features::new());
            holders.push(Cluster { core, all, units });
        }
        rest.append(&mut holders);
    }
    rest
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
