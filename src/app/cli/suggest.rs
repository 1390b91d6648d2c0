//! What was probably meant by an argument that is not understood.
//!
//! Promises: a suggestion is something that the program takes; between two equally near names there is no suggestion.

/// The options by which a word that begins with `-` may have been meant, with what people write for them who know
/// other programs.
const SYNONYMS: [(&str, &str); 30] = [
    ("-c", "--config"),
    ("-f", "--config"),
    ("--file", "--config"),
    ("-t", "--transport"),
    ("--mode", "--transport"),
    ("--stdio", "--transport stdio"),
    ("--http", "--transport remotehttp"),
    ("--remotehttp", "--transport remotehttp"),
    ("--remote", "--transport remotehttp"),
    ("--serve", "--transport remotehttp"),
    ("-l", "--log-level"),
    ("--level", "--log-level"),
    ("-v", "--log-level DEBUG"),
    ("--verbose", "--log-level DEBUG"),
    ("--debug", "--log-level DEBUG"),
    ("-d", "--log-level DEBUG"),
    ("-q", "--log-level ERROR"),
    ("--quiet", "--log-level ERROR"),
    ("--log", "--logfile"),
    ("--test", "--check"),
    ("--validate", "--check"),
    ("--setup", "--init"),
    ("--host", "--broker"),
    ("--remove", "--uninstall"),
    ("--new-key", "--genkey"),
    ("-?", "--help"),
    ("--usage", "--help"),
    ("-j", "--json"),
    ("--verify", "--verify-audit"),
    ("--audit", "--verify-audit"),
];

/// The option that was meant by `word`, which begins with `-`; `options` are those that there are.
pub(super) fn option(word: &str, options: &[&'static str]) -> Option<&'static str> {
    // `--confg=/a` and `"--confg /a"`: what follows is its value.
    let word = word.split(['=', ' ']).next().unwrap_or_default();
    let exact = SYNONYMS.iter().find(|(tried, _)| *tried == word);
    if let Some((_, meant)) = exact {
        return Some(meant);
    }
    let plain = plain(word);
    if plain.is_empty() {
        return None;
    }
    nearest(&plain, options)
}

/// What was meant by `word`, which is no option: one without its dashes, a file without its `--config`, a tool without
/// its `--call`.
pub(super) fn argument(word: &str, options: &[&'static str]) -> Option<String> {
    let word = word.trim();
    let bare = plain(word);
    let known = options
        .iter()
        .find(|option| plain_is(option, &bare) && !bare.is_empty());
    if let Some(option) = known {
        return Some((*option).to_owned());
    }
    let tried = SYNONYMS
        .iter()
        .find(|(tried, _)| tried.len() > 2 && plain_is(tried, &bare));
    if let Some((_, meant)) = tried {
        return Some((*meant).to_owned());
    }
    let is_short = word.len() <= 200;
    if word.starts_with("mqtt_") && is_short {
        return Some(format!("--call {}", word.escape_debug()));
    }
    let names_a_file = word.ends_with(".json") || word.ends_with(".conf");
    (names_a_file && is_short).then(|| format!("--config {}", word.escape_debug()))
}

/// One beginning or ending of the other, else the one that differs in the fewest letters.
fn nearest(word: &str, options: &[&'static str]) -> Option<&'static str> {
    let alone = |fits: &dyn Fn(&str) -> bool| {
        let mut found = options.iter().filter(|option| fits(&plain(option)));
        let first = found.next().copied();
        first.filter(|_| found.next().is_none())
    };
    let begins = |option: &str| {
        let shorter = option.len().min(word.len());
        shorter >= MOST_ALIKE && (option.starts_with(word) || word.starts_with(option))
    };
    if let Some(found) = alone(&begins) {
        return Some(found);
    }
    let allowed = 1 + word.len() / 5;
    (0..=allowed).find_map(|steps| alone(&|option| distance(word, option) == steps))
}

/// Without what people vary: dashes, underscores, capital letters.
fn plain(word: &str) -> String {
    let letters = word.chars().filter(|letter| !"-_".contains(*letter));
    letters.take(LONGEST).flat_map(char::to_lowercase).collect()
}

fn plain_is(option: &str, word: &str) -> bool {
    plain(option) == word
}

/// Letters to insert, remove, replace or swap with their neighbour.
fn distance(from: &str, to: &str) -> usize {
    let (from, to): (Vec<char>, Vec<char>) = (from.chars().collect(), to.chars().collect());
    let mut before: Vec<usize> = Vec::new();
    let mut row: Vec<usize> = (0..=to.len()).collect();
    for (i, a) in from.iter().enumerate() {
        let mut next = vec![i + 1];
        for (j, b) in to.iter().enumerate() {
            let at =
                |row: &[usize], index: usize| row.get(index).copied().unwrap_or(usize::MAX / 2);
            let replaced = at(&row, j) + usize::from(a != b);
            let mut least = replaced.min(at(&row, j + 1) + 1).min(at(&next, j) + 1);
            let swapped = i > 0 && j > 0 && from.get(i - 1) == Some(b) && to.get(j - 1) == Some(a);
            if swapped {
                least = least.min(at(&before, j - 1) + 1);
            }
            next.push(least);
        }
        before = std::mem::replace(&mut row, next);
    }
    row.last().copied().unwrap_or_default()
}

/// So many letters at the beginning say which option is meant.
const MOST_ALIKE: usize = 3;
/// Longer than any option.
const LONGEST: usize = 40;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_distance_counts_each_slip_once() {
        for (from, to, steps) in [
            ("config", "config", 0),
            ("confg", "config", 1),
            ("cofnig", "config", 1),
            ("konfig", "config", 1),
            ("configg", "config", 1),
            ("", "json", 4),
            ("jsn", "", 3),
            ("check", "genkey", 5),
        ] {
            assert_eq!(distance(from, to), steps, "{from} {to}");
        }
    }
}
