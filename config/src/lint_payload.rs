//! Doubts about the limits of payloads: those that nothing meets together, and those that another one swallows.

use mcpmqtt_protocol::topic::{FilterTree, Shown};

use crate::lint::{Entry, Few, witness};
use crate::payload::{PayloadRule, can_be_met, includes};

/// Warns of limits in a rule that permits no publishing.
pub(crate) fn without_write(rules: &[Entry], few: &mut Few<'_>) {
    for rule in rules {
        if rule.grant.payload.is_some() && !rule.grant.permissions.write {
            few.warning(&rule.path_of("payload"), || {
                "has no effect, since `permissions` has no `write`".to_owned()
            });
        }
    }
}

/// Warns of a rule whose limits no payload meets together with those of wider rules, which hold there, too.
pub(crate) fn unmet(rules: &[Entry], few: &mut Few<'_>) {
    for (rule, limit, wider) in limited(rules) {
        let together = |others: &[&Limited<'_>]| {
            let others = others.iter().map(|other| other.limit);
            can_be_met(&others.chain([limit]).collect::<Vec<_>>())
        };
        let all: Vec<_> = wider.iter().collect();
        // A limit that nothing meets by itself is a fault of the file.
        if all.is_empty() || together(&all) {
            continue;
        }
        // One that excludes this limit alone says more than all of them.
        let alone = all.iter().find(|other| !together(&[other]));
        let others = alone.map_or(all.as_slice(), std::slice::from_ref);
        few.warning(&rule.path_of("payload"), || {
            let pattern = Shown(rule.grant.pattern.as_str());
            format!(
                "nothing can be published to {pattern}: no payload meets this limit and {}, which {} here, too",
                names(others),
                if others.len() == 1 { "holds" } else { "hold" }
            )
        });
    }
}

/// Warns of limits that let everything through that a wider rule lets through, which holds there, too.
pub(crate) fn slack(rules: &[Entry], few: &mut Few<'_>) {
    for (rule, limit, wider) in limited(rules) {
        let swallows = |other: &&Limited<'_>| includes(limit, other.limit);
        if let Some(other) = wider.iter().find(swallows) {
            few.warning(&rule.path_of("payload"), || {
                format!(
                    "takes nothing away: {} lets no more through, and holds here, too",
                    names(&[other])
                )
            });
        }
    }
}

/// The limit of a rule that permits publishing.
struct Limited<'r> {
    rule: &'r Entry,
    limit: &'r PayloadRule,
}

/// Each rule with a limit, and the first limits of others that hold for all of its topics. Of two rules for the same
/// topics only the later one has the other.
fn limited(rules: &[Entry]) -> impl Iterator<Item = (&Entry, &PayloadRule, Vec<Limited<'_>>)> {
    let mut tree = FilterTree::new();
    for (index, rule) in rules
        .iter()
        .enumerate()
        .filter(|(_, rule)| rule.grant.writes().is_some())
    {
        tree.insert(&rule.grant.pattern, index);
    }
    let indexed = rules
        .iter()
        .enumerate()
        .filter(|(_, rule)| rule.grant.writes().is_some());
    indexed.filter_map(move |(index, rule)| {
        let mut wider = Vec::new();
        tree.for_each_match(&witness(&rule.grant.pattern), &mut |other: &usize| {
            if wider.len() < MOST_WIDER && *other != index {
                wider.push(*other);
            }
        });
        wider.sort_unstable();
        let wider = wider.into_iter().filter_map(|other| {
            let (wide, narrow) = (rules.get(other)?, &rule.grant.pattern);
            let is_later_twin = other > index && narrow.covers(&wide.grant.pattern);
            let limit = wide.grant.writes()?;
            let holds = wide.grant.pattern.covers(narrow) && !is_later_twin;
            holds.then_some(Limited { rule: wide, limit })
        });
        Some((rule, rule.grant.writes()?, wider.collect()))
    })
}

/// The patterns of the rules and their places.
fn names(rules: &[&Limited<'_>]) -> String {
    let names = rules.iter().map(|other| {
        let pattern = Shown(other.rule.grant.pattern.as_str());
        format!("that of {pattern} in {}", other.rule.place())
    });
    names.collect::<Vec<_>>().join(" and ")
}

/// How many wider rules are looked at for each rule, so that ten thousand of one pattern cost no more.
const MOST_WIDER: usize = 16;
