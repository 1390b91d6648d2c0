//! Why a command line cannot be obeyed, in words, with what was probably meant.

use std::ffi::{OsStr, OsString};
use std::fmt;

use super::options::OPTIONS;
use super::{setup, suggest};

/// A command line that cannot be obeyed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum UsageError {
    /// An option that does not exist.
    Unknown(OsString),
    /// An argument that is no option.
    Unexpected(OsString),
    /// An option given more than once.
    Repeated(&'static str),
    /// An option that needs a value and has none.
    MissingValue(&'static str),
    /// A value for an option that takes none.
    UnwantedValue(&'static str),
    /// A value that is not one of those allowed.
    BadValue {
        /// The option's name, with its dashes.
        option: &'static str,
        /// The value as it was given.
        found: OsString,
        /// The values that are allowed.
        allowed: &'static str,
    },
    /// Two options that exclude each other.
    Contradiction(&'static str, &'static str),
    /// Two options of which the first leaves nothing for the second to say, for this reason.
    Pointless(&'static str, &'static str, &'static str),
    /// An option that says something about another, which is not there.
    Without(&'static str, &'static str),
    /// Options that do not suffice: what is missing.
    Incomplete(&'static str),
    /// An argument that has to be text.
    NotText(OsString),
    /// `--explain` without what it is asked about, or with something that is none: the reason.
    Unexplainable(String),
}

impl fmt::Display for UsageError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Unknown(word) => {
                let meant = word
                    .to_str()
                    .and_then(|word| suggest::option(word, &options()));
                write!(f, "unknown option `{}`", shown(word))?;
                told(f, meant)
            }
            Self::Unexpected(word) => {
                let meant = word
                    .to_str()
                    .and_then(|word| suggest::argument(word, &options()));
                write!(f, "unexpected argument `{}`", shown(word))?;
                told(f, meant.as_deref())
            }
            Self::Repeated(option) => write!(f, "`{option}` is given more than once"),
            Self::MissingValue(option) => write!(f, "`{option}` needs a value"),
            Self::UnwantedValue(option) => write!(f, "`{option}` takes no value"),
            Self::BadValue {
                option,
                found,
                allowed,
            } => {
                write!(
                    f,
                    "`{option}` cannot be `{}`; allowed: {allowed}",
                    shown(found)
                )
            }
            Self::Contradiction(a, b) => write!(f, "`{a}` and `{b}` exclude each other"),
            Self::Pointless(a, b, why) => write!(f, "`{a}` and `{b}` exclude each other: {why}"),
            Self::Without(a, b) => write!(f, "`{a}` is for `{b}` only"),
            Self::Incomplete(why) => f.write_str(why),
            Self::NotText(word) => write!(
                f,
                "`{}` is not UTF-8 text; other bytes go as base64, with `encoding=base64`",
                shown(word)
            ),
            Self::Unexplainable(why) => write!(f, "`--explain`: {why}"),
        }?;
        write!(f, "; see `mcpmqtt --help`")
    }
}

impl std::error::Error for UsageError {}

/// Every option that a suggestion may name.
fn options() -> Vec<&'static str> {
    let setup = setup::VALUED.iter().chain(&setup::FLAGS);
    OPTIONS.iter().chain(setup).copied().collect()
}

fn told(f: &mut fmt::Formatter<'_>, meant: Option<&str>) -> fmt::Result {
    match meant {
        Some(meant) => write!(f, " (did you mean `{meant}`?)"),
        None => Ok(()),
    }
}

/// Escapes the user's text for an error message, to one line.
fn shown(word: &OsStr) -> String {
    word.to_string_lossy().escape_debug().to_string()
}
