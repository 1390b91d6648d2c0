//! Text that resembles another program's syntax: a variable, a foreign wildcard, a placeholder.

use mcpmqtt_protocol::topic::Shown;

/// The first doubt about a valid pattern.
pub(crate) fn pattern(pattern: &str) -> Option<String> {
    let levels = || pattern.split('/').zip(1..);
    if let Some(variable) = variable(pattern) {
        return Some(format!("{} is not expanded; {WILDCARDS}", Shown(variable)));
    }
    if is_regular_expression(pattern) {
        return Some(format!(
            "{} looks like a regular expression; {WILDCARDS}",
            Shown(pattern)
        ));
    }
    for (level, number) in levels() {
        if is_placeholder(level) {
            return Some(format!("{} is taken literally; {WILDCARDS}", Shown(level)));
        }
        if let Some(wildcard) = foreign_wildcard(level) {
            return Some(format!(
                "`{wildcard}` in level {number} is an ordinary character; {WILDCARDS}"
            ));
        }
    }
    for (level, number) in levels() {
        if level.trim() != level {
            return Some(format!(
                "level {number}, {}, begins or ends with white space, which counts as a part of it",
                Shown(level)
            ));
        }
        if let Some(c) = level.chars().find(|c| is_invisible(*c)) {
            let hidden = Shown(c.encode_utf8(&mut [0; 4])).to_string();
            return Some(format!(
                "{hidden} in level {number} cannot be seen, and counts as a part of it"
            ));
        }
    }
    empty_level(pattern)
}

fn empty_level(pattern: &str) -> Option<String> {
    if let Some(rest) = pattern.strip_prefix('/') {
        let (with, without) = (Shown(pattern), Shown(rest));
        return Some(match rest {
            "" => "has two levels, both empty".to_owned(),
            _ => format!(
                "begins with `/`, so that its first level is empty; {with} and {without} are not the same"
            ),
        });
    }
    if let Some(rest) = pattern.strip_suffix('/') {
        let (with, without) = (Shown(pattern), Shown(rest));
        return Some(format!(
            "ends with `/`, so that its last level is empty; {with} and {without} are not the same"
        ));
    }
    pattern
        .contains("//")
        .then(|| "has an empty level between `//`".to_owned())
}

/// The variable of a shell, of Windows or of a template in `text`.
pub(crate) fn variable(text: &str) -> Option<&str> {
    let between = |begin: &str, end: &str| {
        let from = text.find(begin)?;
        let inner = text.get(from + begin.len()..)?;
        let length = inner.find(end)?;
        let name = inner.get(..length)?.trim();
        is_name(name.split([':', '-']).next()?.trim_end())
            .then(|| text.get(from..from + begin.len() + length + end.len()))?
    };
    between("${", "}")
        .or_else(|| between("$(", ")"))
        .or_else(|| between("{{", "}}"))
        .or_else(|| between("%", "%").filter(|found| is_loud(found.trim_matches('%'))))
        .or_else(|| {
            let mut parts = text.split(['/', ':', '@']);
            parts.find(|part| part.strip_prefix('$').is_some_and(is_loud_name))
        })
}

/// Whether a name is in capitals, as variables usually are. `$SYS` and other topic names are excluded.
fn is_loud_name(name: &str) -> bool {
    is_name(name) && is_loud(name) && !BROKER_TOPICS.contains(&name)
}

fn is_loud(name: &str) -> bool {
    name.len() > 1 && !name.contains(|c: char| c.is_lowercase())
}

fn is_name(name: &str) -> bool {
    let is_part = |c: char| c.is_ascii_alphanumeric() || matches!(c, '_' | '.' | '$');
    !name.is_empty() && name.chars().all(is_part)
}

fn is_regular_expression(pattern: &str) -> bool {
    pattern.starts_with('^')
        || (pattern.ends_with('$') && pattern.len() > 1)
        || pattern.contains('\\')
        || [".*", "(?", "[^", "[a-z", "[A-Z", "[0-9"]
            .iter()
            .any(|part| pattern.contains(part))
}

/// Finds `*` and `?` of shells, and `%` of SQL.
fn foreign_wildcard(level: &str) -> Option<char> {
    let is_sql = level == "%" || (level.len() > 1 && level.starts_with('%'));
    level
        .chars()
        .find(|c| matches!(c, '*' | '?'))
        .or(is_sql.then_some('%'))
}

/// Whether a level is a placeholder as in manuals: `{room}`, `<room>`, `[room]` or `:room`.
fn is_placeholder(level: &str) -> bool {
    let inner = |open: char, close: char| level.strip_prefix(open)?.strip_suffix(close);
    let inner = inner('{', '}')
        .or_else(|| inner('<', '>'))
        .or_else(|| inner('[', ']'))
        .or_else(|| level.strip_prefix(':'));
    inner.is_some_and(|name| name.starts_with(|c: char| c.is_alphabetic()))
}

fn is_invisible(c: char) -> bool {
    c.is_control()
        || Shown(c.encode_utf8(&mut [0; 4]))
            .to_string()
            .starts_with("`\\u")
}

const WILDCARDS: &str =
    "the wildcards are `+` (one level) and `#` (all levels from there on), each alone in its level";
/// Names after `$` that brokers use for topics about themselves.
const BROKER_TOPICS: [&str; 1] = ["SYS"];
