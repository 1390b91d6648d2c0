//! What the person answers to the proposals.

use mcpmqtt_protocol::topic::{Shown, TopicFilter};

use super::proposal::Proposal;
use crate::app::cli::readable;

/// The filters that the answer means: `all`, `none`, numbers of proposals (`1 3-5`, `-2` for all but it), and filters.
///
/// # Errors
/// The part that means nothing.
pub(super) fn choose(answer: &str, proposals: &[Proposal]) -> Result<Vec<TopicFilter>, String> {
    let parts: Vec<&str> = answer
        .split([' ', ',', '\t'])
        .filter(|part| !part.is_empty())
        .collect();
    let mut chosen = vec![false; proposals.len()];
    let mut further = Vec::new();
    // `-2` alone takes something away from all.
    if parts
        .first()
        .is_some_and(|first| range(first).is_some_and(|(without, ..)| without))
    {
        chosen.fill(true);
    }
    for part in parts {
        if let Some((without, first, last)) = range(part) {
            if first == 0 || last > proposals.len() || first > last {
                return Err(format!(
                    "{} is none of the numbers 1 to {}",
                    Shown(part),
                    proposals.len()
                ));
            }
            if let Some(chosen) = chosen.get_mut(first - 1..last) {
                chosen.fill(!without);
            }
            continue;
        }
        match part.to_lowercase().as_str() {
            "all" | "a" | "yes" | "y" => chosen.fill(true),
            "none" | "no" | "n" => chosen.fill(false),
            _ => match readable(part) {
                Some(filter) if further.contains(&filter) => {}
                Some(filter) => further.push(filter),
                None => {
                    return Err(format!(
                        "{} is neither a number nor a topic filter",
                        Shown(part)
                    ));
                }
            },
        }
    }
    let filters = proposals.iter().zip(chosen).filter(|(_, chosen)| *chosen);
    let mut filters: Vec<_> = filters.map(|(it, _)| it.filter.clone()).collect();
    filters.retain(|filter| !further.contains(filter));
    filters.extend(further);
    Ok(filters)
}

/// Numbers: `3`, `3-5`; with `-` before them they are to be left out.
fn range(part: &str) -> Option<(bool, usize, usize)> {
    let (without, numbers) = match part.strip_prefix('-') {
        Some(numbers) => (true, numbers),
        None => (false, part),
    };
    let (first, last) = numbers.split_once('-').unwrap_or((numbers, numbers));
    Some((without, first.parse().ok()?, last.parse().ok()?))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn an_answer_accepts_narrows_or_leaves_out() {
        let proposal = |filter: &str| Proposal {
            filter: TopicFilter::parse(filter).unwrap(),
            pattern: String::new(),
            about: String::new(),
            odd: 0,
        };
        let proposals = ["a/+", "b/+", "c/+", "d"].map(proposal);
        for (answer, filters) in [
            ("all", "a/+ b/+ c/+ d"),
            ("none", ""),
            ("n", ""),
            ("1", "a/+"),
            ("2-3, 1", "a/+ b/+ c/+"),
            ("-2", "a/+ c/+ d"),
            ("-1-3", "d"),
            ("all -4", "a/+ b/+ c/+"),
            ("1 b/kitchen", "a/+ b/kitchen"),
            ("x/# 4", "d x/#"),
            ("1 a/+", "a/+"),
            ("x/# x/#", "x/#"),
            ("2 none", ""),
        ] {
            let chosen = choose(answer, &proposals).unwrap();
            let chosen: Vec<_> = chosen.iter().map(TopicFilter::as_str).collect();
            assert_eq!(chosen.join(" "), filters, "{answer}");
        }
        for (answer, words) in [
            ("5", "`5` is none of the numbers 1 to 4"),
            ("0", "`0` is none of the numbers 1 to 4"),
            ("3-2", "`3-2` is none of the numbers 1 to 4"),
            ("a/#/b", "`a/#/b` is neither a number nor a topic filter"),
            (
                "$share/g/a",
                "`$share/g/a` is neither a number nor a topic filter",
            ),
        ] {
            assert_eq!(choose(answer, &proposals).unwrap_err(), words, "{answer}");
        }
    }
}
