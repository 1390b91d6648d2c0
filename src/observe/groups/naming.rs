//! Topics that end below the same parent and differ in their names: are these things, or properties of one thing?

use std::collections::{BTreeMap, HashMap};

use super::label::{Hash, tokens};
use super::siblings::{Class, MANY, Sibling};
use super::terms::{has_term, is_above, is_plural, is_term, is_word};
use super::tree::Node;

/// Whether at least half of the leaves are below more than one parent: properties, then, and not names of things.
pub(super) fn is_schema(leaves: &[Sibling<'_, '_>]) -> bool {
    let repeated = leaves.iter().filter(|leaf| leaf.nodes.len() > 1).count();
    repeated * 2 >= leaves.len()
}

/// How many names of one kind below these parents are names of things.
pub(super) fn enough_names(parents: &[&Node<'_>]) -> usize {
    if parents.iter().all(|node| is_above(node.label)) {
        2
    } else if parents.iter().all(|node| is_plural(node.label)) {
        3
    } else {
        MANY
    }
}

/// Unites leaves of one kind that are named after many things. Returns those that stay alone.
pub(super) fn by_name<'a, 't>(
    leaves: Vec<Sibling<'a, 't>>,
    enough: usize,
    done: &mut Vec<Class<'a, 't>>,
) -> Vec<Sibling<'a, 't>> {
    let (mut alone, mut frames, mut names) = (Vec::new(), BTreeMap::new(), BTreeMap::new());
    // In `alarms/{fire,leak,pressure_low}` the term is a name too.
    let terms = || leaves.iter().filter(|leaf| has_term(leaf.label)).count();
    let terms_are_names = enough < MANY && terms() * 4 <= leaves.len();
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
