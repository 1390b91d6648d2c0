//! The arguments of a command line, taken out one option after the other.
//!
//! Promises: what is taken is taken whole, once; what is left over is named.

use std::ffi::{OsStr, OsString};
use std::os::unix::ffi::{OsStrExt as _, OsStringExt as _};
use std::path::PathBuf;

use super::UsageError;
use super::options::{FLAGS, GENKEY, VALUED};
use super::setup::{self, INIT, stray};

/// Takes `--config=P` and the single argument `"--config P"` apart, so that one form is left. `--genkey`
/// and `--init` may have a value.
pub(super) fn split_values(args: impl IntoIterator<Item = OsString>) -> Vec<OsString> {
    let mut words = Vec::new();
    for arg in args {
        let mut valued = VALUED.iter().chain(&setup::VALUED).chain([&GENKEY, &INIT]);
        match valued.find_map(|option| value_inside(option, &arg)) {
            Some((option, value)) => words.extend([option.into(), value]),
            None => words.push(arg),
        }
    }
    words
}

fn value_inside(option: &'static str, arg: &OsStr) -> Option<(&'static str, OsString)> {
    let rest = arg.as_bytes().strip_prefix(option.as_bytes())?;
    let value = match rest.split_first()? {
        (b'=', value) => value,
        (b' ', value) => value.trim_ascii(),
        _ => return None,
    };
    Some((option, OsString::from_vec(value.to_vec())))
}

/// Takes one option with a value out of the arguments. An argument that begins with `--` is the next option, not a
/// value; a file of such a name can be given as `./--name`.
pub(super) fn value(
    words: &mut pico_args::Arguments,
    option: &'static str,
) -> Result<Option<OsString>, UsageError> {
    let Some(found) = next_value(words, option)? else {
        return Ok(None);
    };
    match next_value(words, option) {
        Ok(None) => Ok(Some(found)),
        _ => Err(UsageError::Repeated(option)),
    }
}

/// Takes an option that may be given several times out of the arguments.
pub(super) fn values(
    words: &mut pico_args::Arguments,
    option: &'static str,
) -> Result<Vec<OsString>, UsageError> {
    let mut found = Vec::new();
    while let Some(value) = next_value(words, option)? {
        found.push(value);
    }
    Ok(found)
}

fn next_value(
    words: &mut pico_args::Arguments,
    option: &'static str,
) -> Result<Option<OsString>, UsageError> {
    let value = words
        .opt_value_from_os_str(option, |value| Ok::<_, String>(value.to_os_string()))
        .map_err(|_| UsageError::MissingValue(option))?;
    match value {
        Some(found) if found.is_empty() || found.as_bytes().starts_with(b"--") => {
            Err(UsageError::MissingValue(option))
        }
        value => Ok(value),
    }
}

pub(super) fn parsed_value<T>(
    words: &mut pico_args::Arguments,
    option: &'static str,
    allowed: &'static str,
    parse: fn(&str) -> Option<T>,
) -> Result<Option<T>, UsageError> {
    let Some(found) = value(words, option)? else {
        return Ok(None);
    };
    match found.to_str().and_then(parse) {
        Some(parsed) => Ok(Some(parsed)),
        None => Err(UsageError::BadValue {
            option,
            found,
            allowed,
        }),
    }
}

/// Takes one flag out of the arguments.
pub(super) fn flag(
    words: &mut pico_args::Arguments,
    name: &'static str,
) -> Result<bool, UsageError> {
    let given = words.contains(name);
    if given && words.contains(name) {
        return Err(UsageError::Repeated(name));
    }
    Ok(given)
}

/// The name of a key, if one is left over. What looks like a file is taken for a mistake.
pub(super) fn name(words: pico_args::Arguments) -> Result<Option<String>, UsageError> {
    let mut rest = words.finish().into_iter();
    let Some(word) = rest.next() else {
        return Ok(None);
    };
    let bytes = word.as_bytes();
    let is_file = bytes.contains(&b'/')
        || [b".json".as_slice(), b".conf"]
            .iter()
            .any(|it| bytes.ends_with(it));
    if bytes.starts_with(b"-") || is_file {
        return Err(not_understood(word));
    }
    if let Some(second) = rest.next() {
        return Err(not_understood(second));
    }
    text(word).map(Some)
}

/// The path of `command`, if it is left over.
pub(super) fn optional_path(
    rest: Vec<OsString>,
    command: &'static str,
) -> Result<Option<PathBuf>, UsageError> {
    let mut rest = rest.into_iter();
    let path = rest.next();
    let is_option = |word: &OsString| word.as_bytes().starts_with(b"-");
    match path.clone().filter(is_option).or(rest.next()) {
        Some(word) => Err(stray(word, command)),
        None => Ok(path.map(PathBuf::from)),
    }
}

/// Refuses the first argument that is left over.
pub(super) fn refuse_rest(words: pico_args::Arguments) -> Result<(), UsageError> {
    match words.finish().into_iter().next() {
        Some(word) => Err(not_understood(word)),
        None => Ok(()),
    }
}

pub(super) fn not_understood(word: OsString) -> UsageError {
    let before_equals = word.as_bytes().split(|byte| *byte == b'=').next();
    let mut flags = FLAGS.iter().chain(&setup::FLAGS);
    let flag = flags.find(|flag| before_equals == Some(flag.as_bytes()));
    match flag {
        Some(flag) => UsageError::UnwantedValue(flag),
        None if word.as_bytes().starts_with(b"-") => UsageError::Unknown(word),
        None => UsageError::Unexpected(word),
    }
}

/// The arguments of a tool: all that is left and is no option.
pub(super) fn arguments(words: pico_args::Arguments) -> Result<Vec<String>, UsageError> {
    let words = words.finish();
    let is_option = |word: &&OsString| word.as_bytes().starts_with(b"-");
    if let Some(word) = words.iter().find(is_option) {
        return Err(not_understood(word.clone()));
    }
    words.into_iter().map(text).collect()
}

/// The files that are left over.
pub(super) fn paths(words: pico_args::Arguments) -> Result<Vec<PathBuf>, UsageError> {
    let words = words.finish();
    let is_option = |word: &&OsString| word.as_bytes().starts_with(b"-");
    match words.iter().find(is_option) {
        Some(word) => Err(not_understood(word.clone())),
        None => Ok(words.into_iter().map(PathBuf::from).collect()),
    }
}

pub(super) fn text(word: OsString) -> Result<String, UsageError> {
    word.into_string().map_err(UsageError::NotText)
}
