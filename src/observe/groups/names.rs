//! Several values of one level, written for people: `{1..4}`, `{hall,kitchen}`, `{24 names: attic,bath,…}`.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use mcpmqtt_protocol::topic::disturbs;

use super::label::{Segment, cut, is_hex, is_mixed, natural, segments, shape};
use mcpmqtt_protocol::sort::{sort_by, sort_by_key};

/// The most characters that a pattern shows of one level.
const LONGEST_LABEL: usize = 48;
/// The most entries and characters of a list in braces.
const LONGEST_LIST: usize = 8;
/// The most stems that describe many names.
const MOST_STEMS: usize = 5;
const LONGEST_TEXT: usize = 96;

/// All values of a level, each once. Reorders them.
pub(super) fn names(labels: &mut [&str]) -> String {
    if labels.len() <= 64 {
        sort_by(labels, |a, b| natural(a, b));
    } else {
        // Of many names only the first two are shown, and of many numbers the ranges.
        labels.select_nth_unstable(1);
        labels.split_at_mut(2).0.sort_unstable();
    }
    match &*labels {
        [only] => clean(only),
        all if same_shape(all) => skeleton(all),
        all => list(all),
    }
}

/// A level as a pattern shows it: cut, and without characters that are invisible or look like others.
fn clean(label: &str) -> String {
    let mut shown = String::new();
    let mut chars = label.chars();
    for c in chars.by_ref().take(LONGEST_LABEL) {
        match disturbs(c) {
            true => shown.extend(c.escape_default()),
            false => shown.push(c),
        }
    }
    if chars.next().is_some() {
        shown.push('…');
    }
    shown
}

fn same_shape(labels: &[&str]) -> bool {
    let mut shapes = labels.iter().map(|label| shape(label));
    let first = shapes.next();
    first.is_some_and(|first| first.varies && shapes.all(|other| other == first))
}

/// Labels of the same shape: what they have in common, and ranges.
fn skeleton(labels: &[&str]) -> String {
    let mut rows: Vec<_> = labels.iter().map(|label| segments(label)).collect();
    let mut shown = String::new();
    loop {
        let column: Vec<Segment<'_>> = rows.iter_mut().filter_map(Iterator::next).collect();
        match column.first() {
            None => return shown,
            Some(Segment::Text(text)) => shown.push_str(&clean(text)),
            Some(_) => shown.push_str(&values(&column)),
        }
    }
}

/// One column of numbers or identifiers.
fn values(column: &[Segment<'_>]) -> String {
    let texts = column.iter().map(|segment| match segment {
        Segment::Text(text) | Segment::Number(text) | Segment::Id(text) => *text,
    });
    let mut texts: Vec<&str> = texts.collect();
    sort_by_key(&mut texts, |text| *text);
    texts.dedup();
    if let [only] = texts.as_slice() {
        return clean(only);
    }
    if let Some(range) = ranges(&texts) {
        return range;
    }
    let length: usize = texts.iter().map(|text| text.len() + 1).sum();
    if texts.len() <= 4 && length <= LONGEST_TEXT {
        return format!("{{{}}}", texts.join(","));
    }
    let (prefix, _) = affixes(&texts);
    let prefix = letters(prefix);
    format!("{}{{{} ids}}", clean(prefix), texts.len())
}

/// The part of a prefix of identifiers that is a word: `ESP` of `ESP4A`.
fn letters(prefix: &str) -> &str {
    let end = prefix.find(|c: char| c.is_ascii_digit()).unwrap_or(0);
    if end >= 2 { cut(prefix, end).0 } else { "" }
}

/// Decimal numbers: `{1..6,8}`, or `{24 of 1001..9987}` if there are too many holes.
fn ranges(texts: &[&str]) -> Option<String> {
    let mut numbers = Vec::with_capacity(texts.len());
    for text in texts {
        let digits = text.len() <= 18 && text.bytes().all(|byte| byte.is_ascii_digit());
        numbers.push(text.parse::<u64>().ok().filter(|_| digits)?);
    }
    let padded = texts
        .iter()
        .any(|text| text.len() > 1 && text.starts_with('0'));
    let width = texts.first().map_or(0, |text| text.len());
    if padded && texts.iter().any(|text| text.len() != width) {
        return None;
    }
    let width = if padded { width } else { 0 };
    numbers.sort_unstable();
    let runs: Vec<&[u64]> = numbers.chunk_by(|a, b| a + 1 == *b).collect();
    let parts = |run: &&[u64]| if run.len() == 2 { 2 } else { 1 };
    let mut shown = String::from("{");
    if runs.iter().map(parts).sum::<usize>() > LONGEST_LIST {
        let (low, high) = (numbers.first()?, numbers.last()?);
        let count = numbers.len();
        let _ = write!(shown, "{count} of {low:0width$}..{high:0width$}");
    } else {
        for (at, run) in runs.iter().enumerate() {
            let (low, high) = (run.first()?, run.last()?);
            let comma = if at > 0 { "," } else { "" };
            let _ = match run.len() {
                1 => write!(shown, "{comma}{low:0width$}"),
                2 => write!(shown, "{comma}{low:0width$},{high:0width$}"),
                _ => write!(shown, "{comma}{low:0width$}..{high:0width$}"),
            };
        }
    }
    shown.push('}');
    Some(shown)
}

/// Names: all of them if that is short, else how many there are and what they look like.
fn list(labels: &[&str]) -> String {
    let (prefix, suffix) = affixes(labels);
    let (prefix, suffix) = (after_separator(prefix), before_separator(suffix));
    let inner: Vec<&str> = labels
        .iter()
        .filter_map(|label| label.get(prefix.len()..label.len() - suffix.len()))
        .collect();
    let body = match entries(&inner) {
        _ if are_ids(&inner) => format!("{} ids", labels.len()),
        Some(all) => all,
        None => format!("{} names: {}", labels.len(), taste(&inner)),
    };
    format!("{}{{{body}}}{}", clean(prefix), clean(suffix))
}

/// Every name, numbered ones as ranges, if they are few.
fn entries(names: &[&str]) -> Option<String> {
    let mut shapes: BTreeMap<u64, Vec<&str>> = BTreeMap::new();
    for name in names {
        shapes.entry(shape(name).hash).or_default().push(name);
        if shapes.len() > LONGEST_LIST {
            return None;
        }
    }
    let mut families: Vec<Vec<&str>> = shapes.into_values().collect();
    sort_by_key(&mut families, |family| family.iter().min().copied());
    let shown: Vec<String> = families.iter_mut().map(names_of_family).collect();
    let text = shown.join(",");
    (text.chars().count() <= LONGEST_TEXT).then_some(text)
}

fn names_of_family(family: &mut Vec<&str>) -> String {
    match family.as_slice() {
        [only] => clean(only),
        all => skeleton(all),
    }
}

/// Whether names are many hexadecimal identifiers of the same length.
fn are_ids(names: &[&str]) -> bool {
    let length = names.first().map(|name| name.len());
    let equal = names
        .iter()
        .all(|name| is_hex(name) && Some(name.len()) == length);
    equal && names.iter().filter(|name| is_mixed(name)).count() * 2 >= names.len()
}

/// What many names look like: `lamp_*,plug_*` or `*_humidity,*_temperature` if nearly all are like that, else two of
/// them.
fn taste(names: &[&str]) -> String {
    let first = |name: &str| name.find(is_separator).map_or(0, |at| at + 1);
    let last = |name: &str| name.rfind(is_separator).unwrap_or(name.len());
    let firsts = names.iter().map(|name| cut(name, first(name)).0);
    if let Some(stems) = stems(firsts) {
        let shown: Vec<String> = stems.iter().map(|stem| clean(stem) + "*").collect();
        return shown.join(",");
    }
    let lasts = names.iter().map(|name| cut(name, last(name)).1);
    if let Some(stems) = stems(lasts) {
        let shown: Vec<String> = stems
            .iter()
            .map(|stem| format!("*{}", clean(stem)))
            .collect();
        return shown.join(",");
    }
    let mut shown: String = names.iter().take(2).map(|name| clean(name) + ",").collect();
    shown.push('…');
    shown
}

/// The stems that occur more than once, if a few cover nearly all names; the most frequent first. A name without a stem
/// gives an empty one.
fn stems<'a>(all: impl Iterator<Item = &'a str>) -> Option<Vec<&'a str>> {
    let mut stems: BTreeMap<&str, usize> = BTreeMap::new();
    let mut names = 0;
    for stem in all {
        names += 1;
        *stems.entry(stem).or_default() += 1;
    }
    stems.retain(|stem, count| !stem.is_empty() && *count > 1);
    let covered: usize = stems.values().sum();
    if stems.is_empty() || stems.len() > MOST_STEMS || covered * 5 < names * 4 {
        return None;
    }
    let mut stems: Vec<(&str, usize)> = stems.into_iter().collect();
    sort_by_key(&mut stems, |&(_, count)| std::cmp::Reverse(count));
    Some(stems.into_iter().map(|(stem, _)| stem).collect())
}

/// The longest common beginning and end, which do not overlap in any name.
fn affixes<'a>(names: &[&'a str]) -> (&'a str, &'a str) {
    let Some((first, others)) = names.split_first() else {
        return ("", "");
    };
    let shortest = names.iter().map(|name| name.len()).min().unwrap_or(0);
    let (mut before, mut after) = (shortest, shortest);
    for other in others {
        let same = |(a, b): &(u8, u8)| a == b;
        before = first
            .bytes()
            .zip(other.bytes())
            .take(before)
            .take_while(same)
            .count();
        let backwards = first.bytes().rev().zip(other.bytes().rev());
        after = backwards.take(after).take_while(same).count();
    }
    while !first.is_char_boundary(before) {
        before -= 1;
    }
    after = after.min(shortest - before);
    while !first.is_char_boundary(first.len() - after) {
        after -= 1;
    }
    (cut(first, before).0, cut(first, first.len() - after).1)
}

/// A prefix up to its last separator: names are not cut within words.
fn after_separator(prefix: &str) -> &str {
    let end = prefix.char_indices().rev().find(|&(_, c)| is_separator(c));
    end.map_or("", |(at, c)| cut(prefix, at + c.len_utf8()).0)
}

/// A suffix from its first separator, or from a capital letter that begins a word.
fn before_separator(suffix: &str) -> &str {
    let next = suffix.chars().skip(1).map(Some).chain([None]);
    let mut starts = suffix.char_indices().zip(next).filter(|&((_, c), next)| {
        is_separator(c) || (c.is_uppercase() && next.is_some_and(char::is_lowercase))
    });
    starts.next().map_or("", |((at, _), _)| cut(suffix, at).1)
}

fn is_separator(c: char) -> bool {
    c.is_ascii_punctuation() || c == ' '
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_of_levels() {
        let many: Vec<String> = (1..=24)
            .map(|n| format!("{}oom", (b'a' + n) as char))
            .collect();
        let cases: Vec<(Vec<&str>, &str)> = vec![
            (vec!["hall"], "hall"),
            (vec!["4", "2", "1", "3"], "{1..4}"),
            (vec!["m1", "m2", "m3", "m4", "m5", "m6", "m8"], "m{1..6,8}"),
            (vec!["m1", "m2"], "m{1,2}"),
            (vec!["002", "001", "003"], "{001..003}"),
            (vec!["9", "10", "11"], "{9..11}"),
            (vec!["1", "02"], "{02,1}"),
            (vec!["kitchen", "hall"], "{hall,kitchen}"),
            (
                vec!["kitchen", "room1", "room2", "room3"],
                "{kitchen,room{1..3}}",
            ),
            (
                vec!["temperature_hall", "temperature_bath"],
                "temperature_{bath,hall}",
            ),
            (
                vec!["hall_temperature", "bath_temperature"],
                "{bath,hall}_temperature",
            ),
            (
                vec!["1", "11", "13", "25", "37", "49", "61", "73", "85"],
                "{9 of 1..85}",
            ),
            (vec!["line1-motor1", "line2-motor1"], "line{1,2}-motor1"),
            (
                vec![
                    "gw-a1b2c3",
                    "gw-b1b2c3",
                    "gw-c1b2c3",
                    "gw-d1b2c3",
                    "gw-e1b2c3",
                ],
                "gw-{5 ids}",
            ),
            (vec!["a\u{202e}b"], "a\\u{202e}b"),
            (vec!["größe", "grüße"], "{größe,grüße}"),
            (vec!["", "a"], "{,a}"),
            (
                many.iter().map(String::as_str).collect(),
                "{24 names: boom,coom,…}",
            ),
        ];
        for (mut labels, want) in cases {
            assert_eq!(names(&mut labels), want);
        }
    }
}
