//! Reads one JSON object of the configuration file.
//!
//! Every read names its key, its rule and its default. A fault is reported and the default returned, so that reading
//! continues and all faults are reported together. `null` counts as absent. Numbers are accepted in the forms that the
//! original accepts (`"1883"`, `1883.0`, `true`), with a warning.

use std::cell::RefCell;
use std::fmt::Display;
use std::ops::RangeInclusive;
use std::path::PathBuf;
use std::time::Duration;

use mcpmqtt_protocol::topic::Shown;
use serde_json::{Map, Value};

use crate::finding::Report;
use crate::hint;
use crate::secret::Secret;

/// The keys that hold agents back, of sections in which another unknown key is a warning, since files of the Python program
/// may have it. Misspelt they would let through what was meant to be refused.
const HOLD_AGENTS: [&str; 9] = [
    "audit",
    "consent",
    "expires",
    "operator",
    "payload",
    "profiles",
    "publishes_per_minute",
    "publishes_per_second",
    "write",
];

/// Keys that hold agents back and stand a level too high: where they are found, and where they belong.
const TOO_HIGH: [(Level, &str, &[&str]); 5] = [
    (
        Level::File,
        "limits",
        &["publishes_per_minute", "publishes_per_second"],
    ),
    (Level::File, "topics[]", &["consent", "payload", "write"]),
    (Level::File, "operator", &["safe"]),
    (Level::Topic, "payload", &["max", "min", "values"]),
    (
        Level::Topic,
        "write",
        &["max_change", "max_per_minute", "min_interval", "requires"],
    ),
];

#[derive(Clone, Copy, PartialEq, Eq)]
enum Level {
    File,
    Topic,
}

/// The place that the unknown `key` of the section at `path` is probably meant for, if it would hold agents back there.
fn place_below(path: &str, key: &str) -> Option<String> {
    let level = match path.rsplit('.').next().unwrap_or_default() {
        "" => Level::File,
        last if last.starts_with("topics[") => Level::Topic,
        _ => return None,
    };
    let above = if path.is_empty() { "" } else { "." };
    TOO_HIGH.iter().find_map(|(at, below, keys)| {
        // A short name is a word that may stand there for something else.
        let is_meant = |name: &&&str| match name.contains('_') {
            true => hint::stands_for(key, name),
            false => name.eq_ignore_ascii_case(key),
        };
        let name = keys.iter().find(is_meant)?;
        (*at == level).then(|| format!("{path}{above}{below}.{name}"))
    })
}

/// Whether the key at `path` holds agents back: in the sections that do, not in those that are unknown here.
pub(crate) fn holds_agents(path: &str) -> bool {
    let first = path.split(['.', '[']).next().unwrap_or_default();
    let is_section =
        HOLD_AGENTS.contains(&first) || ["limits", "remote_server", "topics"].contains(&first);
    path == "limits"
        || is_section
            && path
                .split(['.', '['])
                .any(|name| HOLD_AGENTS.contains(&name))
}

/// Whether it looks like a misspelt section `limits`, with one that holds agents back.
fn is_limits(key: &str, value: &Value) -> bool {
    let holds =
        |limits: &Map<String, Value>| limits.keys().any(|it| HOLD_AGENTS.contains(&it.as_str()));
    hint::stands_for(key, "limits") && value.as_object().is_some_and(holds)
}

fn not_held(hint: &str) -> String {
    format!("unknown key; the intended limit would not hold{hint}")
}

/// An object and the keys read from it; every other key is unknown.
#[derive(Debug)]
pub(crate) struct Section<'a> {
    path: String,
    /// `None` for an absent object, in which every key is absent.
    keys: Option<&'a Map<String, Value>>,
    report: &'a Report,
    known: RefCell<Vec<&'static str>>,
}

impl<'a> Section<'a> {
    /// The object `value` at `path`; any other type is a fault.
    pub(crate) fn new(path: String, value: Option<&'a Value>, report: &'a Report) -> Self {
        let keys = match value {
            None => None,
            Some(Value::Object(keys)) => Some(keys),
            Some(other) => {
                report.problem(&path, not_an_object(&path, other));
                None
            }
        };
        Self {
            path,
            keys,
            report,
            known: RefCell::default(),
        }
    }

    /// Warns of every key that was not read. One that looks like a key that holds agents back is a fault.
    pub(crate) fn finish(self) {
        let known = self.known.borrow();
        for (key, value) in self.keys.into_iter().flatten() {
            if known.contains(&key.as_str()) {
                continue;
            }
            let below = place_below(&self.path, key);
            let hint = match &below {
                Some(below) => format!("; did you mean `{below}`?"),
                None => hint::of_key(key, &self.path, &known),
            };
            let place = join(&self.path, key);
            let mut holding = known.iter().filter(|name| HOLD_AGENTS.contains(name));
            let holds = below.is_some()
                || holding.any(|name| hint::stands_for(key, name))
                || known.contains(&"limits") && is_limits(key, value);
            match holds && !value.is_null() {
                true => self.report.problem(place, not_held(&hint)),
                false => {
                    let text = format!("unknown key, ignored{hint}");
                    self.report.warning(place, text);
                }
            }
        }
    }

    /// Like [`finish`](Self::finish), with a fault for each such key: where limits are set, a key that is not understood
    /// must not be passed over.
    pub(crate) fn finish_strictly(self) {
        let known = self.known.borrow();
        for key in self.keys.into_iter().flat_map(Map::keys) {
            if !known.contains(&key.as_str()) {
                let hint = hint::of_key(key, &self.path, &known);
                self.report.problem(join(&self.path, key), not_held(&hint));
            }
        }
    }

    /// The value of a key, if it is present and not `null`.
    pub(crate) fn value(&self, key: &'static str) -> Option<&'a Value> {
        self.known.borrow_mut().push(key);
        self.keys?.get(key).filter(|value| !value.is_null())
    }

    /// The object under a key; an empty object when the key is absent.
    pub(crate) fn section(&self, key: &'static str) -> Section<'a> {
        Section::new(self.path_of(key), self.value(key), self.report)
    }

    pub(crate) fn text(&self, key: &'static str) -> Option<&'a str> {
        let value = self.value(key)?;
        let text = value.as_str();
        if text.is_none() {
            self.refuse(key, value, "a string");
        }
        text
    }

    /// Like [`text`](Self::text), but no message shows the value.
    pub(crate) fn secret(&self, key: &'static str) -> Option<Secret> {
        let value = self.value(key)?;
        if let Some(text) = value.as_str() {
            return Some(Secret::new(text));
        }
        self.problem(
            key,
            "found something other than a string; allowed: a string",
        );
        None
    }

    /// Reads the path of a file; an empty string counts as absent.
    pub(crate) fn path(&self, key: &'static str) -> Option<PathBuf> {
        let path = self.text(key).filter(|path| !path.is_empty())?;
        if path.contains('\0') {
            self.refuse(key, &Value::from(path), "a path without the NUL character");
        }
        Some(path.into())
    }

    pub(crate) fn flag(&self, key: &'static str, default: bool) -> bool {
        let Some(value) = self.value(key) else {
            return default;
        };
        value.as_bool().unwrap_or_else(|| {
            let word = value.as_str().map(str::to_ascii_lowercase);
            let allowed = match word.as_deref() {
                Some("true" | "yes" | "on" | "1") => "true or false; write `true` without quotes",
                Some("false" | "no" | "off" | "0") => "true or false; write `false` without quotes",
                _ => "true or false",
            };
            self.refuse(key, value, allowed);
            default
        })
    }

    /// A whole number in `range`.
    pub(crate) fn whole<T>(&self, key: &'static str, range: RangeInclusive<T>, default: T) -> T
    where
        T: TryFrom<i64> + PartialOrd + Display + Copy,
    {
        let Some(value) = self.value(key) else {
            return default;
        };
        let number = whole_number(value)
            .and_then(|(number, exact)| Some((T::try_from(number).ok()?, exact)));
        match number {
            Some((number, exact)) if range.contains(&number) => {
                if !exact {
                    self.warn(
                        key,
                        format!("found {}, read as the number {number}", found(value)),
                    );
                }
                number
            }
            _ => {
                self.refuse(
                    key,
                    value,
                    &format!("a whole number from {} to {}", range.start(), range.end()),
                );
                default
            }
        }
    }

    /// A time in seconds, fractions allowed.
    pub(crate) fn seconds(
        &self,
        key: &'static str,
        range: RangeInclusive<f64>,
        default: f64,
    ) -> Duration {
        let mut seconds = default;
        if let Some(value) = self.value(key) {
            let text = value.as_str().and_then(|text| text.trim().parse().ok());
            match value
                .as_f64()
                .or(text)
                .filter(|number| range.contains(number))
            {
                Some(number) => {
                    if value.is_string() {
                        self.warn(
                            key,
                            format!("found {}, read as the number {number}", found(value)),
                        );
                    }
                    seconds = number;
                }
                None => {
                    let allowed = format!(
                        "a number of seconds from {} to {}",
                        range.start(),
                        range.end()
                    );
                    self.refuse(key, value, &allowed);
                }
            }
        }
        Duration::try_from_secs_f64(seconds).unwrap_or_default()
    }

    /// Reports a value that violates its rule.
    pub(crate) fn refuse(&self, key: &str, value: &Value, allowed: &str) {
        self.problem(key, format!("found {}; allowed: {allowed}", found(value)));
    }

    pub(crate) fn problem(&self, key: &str, text: impl Into<String>) {
        self.report.problem(self.path_of(key), text);
    }

    pub(crate) fn warn(&self, key: &str, text: impl Into<String>) {
        self.report.warning(self.path_of(key), text);
    }

    pub(crate) fn problem_of_itself(&self, text: impl Into<String>) {
        self.report.problem(self.path.clone(), text);
    }

    pub(crate) fn warn_of_itself(&self, text: impl Into<String>) {
        self.report.warning(self.path.clone(), text);
    }

    pub(crate) fn report(&self) -> &'a Report {
        self.report
    }

    /// The path of the object itself.
    pub(crate) fn place(&self) -> &str {
        &self.path
    }

    pub(crate) fn path_of(&self, key: &str) -> String {
        join(&self.path, key)
    }
}

/// The path of a key inside the object at `path`. A key that is not a plain word is shown in backticks.
pub(crate) fn join(path: &str, key: &str) -> String {
    let plain = (1..=64).contains(&key.len())
        && key
            .bytes()
            .all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'-'));
    let key = if plain {
        key.to_owned()
    } else {
        Shown(key).to_string()
    };
    if path.is_empty() {
        key
    } else {
        format!("{path}.{key}")
    }
}

/// The fault of a value where an object is expected. A string in the place of a section may be an address with a login,
/// a password or a key, so it is not shown.
fn not_an_object(path: &str, value: &Value) -> String {
    match (path, value) {
        ("mqtt", Value::String(_)) => {
            "found a string; allowed: an object, such as `{\"host\": \"localhost\", \"port\": \
                                       1883, \"username\": null, \"password_file\": null}`"
                .into()
        }
        (path, Value::String(_)) if !path.starts_with("topics") => {
            "found a string; allowed: an object".into()
        }
        (_, value) => format!("found {}; allowed: an object", found(value)),
    }
}

/// Shows a value in a message. The part before the `@` of an address is a login and is hidden.
pub(crate) fn found(value: &Value) -> String {
    match value {
        Value::String(text)
            if text
                .rsplit_once('@')
                .is_some_and(|(login, _)| login.contains(':')) =>
        {
            let host = text.rsplit_once('@').unwrap_or_default().1;
            format!("the string {}", Shown(&format!("…@{host}")))
        }
        Value::Null | Value::Bool(_) | Value::Number(_) => format!("`{value}`"),
        Value::String(text) => format!("the string {}", Shown(text)),
        Value::Array(_) => "a list".to_owned(),
        Value::Object(_) => "an object".to_owned(),
    }
}

/// The whole number that a value stands for, and whether it is written as one.
fn whole_number(value: &Value) -> Option<(i64, bool)> {
    match value {
        Value::Number(number) => match number.as_i64() {
            Some(number) => Some((number, true)),
            None => Some((without_fraction(number.as_f64()?)?, false)),
        },
        Value::String(text) => {
            let text = text.trim();
            let number = text
                .parse()
                .ok()
                .or_else(|| without_fraction(text.parse().ok()?))?;
            Some((number, false))
        }
        Value::Bool(flag) => Some((i64::from(*flag), false)),
        _ => None,
    }
}

#[allow(clippy::cast_possible_truncation)]
fn without_fraction(number: f64) -> Option<i64> {
    // Beyond 2^53 a double does not hold every integer, and no setting is that large.
    (number.fract() == 0.0 && number.abs() < 9e15).then_some(number as i64)
}
