//! The command line, parsed into one [`Command`].
//!
//! Promises: every argument is understood or refused by name, nothing is silently ignored and no
//! option may be given twice; paths need not be UTF-8. Valued options come in three forms:
//! `--config P`, `--config=P` and the single argument `"--config P"`, which existing client
//! configurations hold.
//!
//! Does not read files or the environment: [`default_config_path`] is told what it needs.

use std::ffi::{OsStr, OsString};
use std::fmt;
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::path::PathBuf;
use std::time::Duration;

use mcpmqtt_config::LogLevel;

/// What the user asked the program to do.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Command {
    /// Serve agents until told to stop.
    Serve {
        /// The front door.
        transport: Transport,
        /// Run the broker and the simulated plant inside the program.
        demo: bool,
        /// What the command line says over the file.
        settings: Settings,
    },
    /// Put a new API key into the configuration file and print it.
    GenKey {
        /// The file named by `--config`.
        config: Option<PathBuf>,
    },
    /// Load the configuration, print what was understood, exit.
    Check {
        /// The transport it is to be fit for.
        transport: Transport,
        /// What the command line says over the file.
        settings: Settings,
    },
    /// Print the help text.
    Help,
    /// Print the version.
    Version,
}

/// The front door agents come in by.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Transport {
    /// JSON lines on standard input and output.
    #[default]
    Stdio,
    /// HTTP on a Unix socket or TCP port.
    RemoteHttp,
}

/// Settings of the command line that win over the configuration file.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Settings {
    /// `--config`: a file that must exist. `None`: the default path, which need not.
    pub config: Option<PathBuf>,
    /// `--log-level`.
    pub log_level: Option<LogLevel>,
    /// `--logfile`.
    pub logfile: Option<PathBuf>,
    /// `--drain`: over stdio, how long calls in flight may go on after the end of input.
    pub drain: Option<Duration>,
}

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
        /// The option.
        option: &'static str,
        /// What was given.
        found: OsString,
        /// What may be given.
        allowed: &'static str,
    },
    /// Two options that exclude each other.
    Contradiction(&'static str, &'static str),
}

/// Parses the arguments after the program's name.
pub fn parse(args: impl IntoIterator<Item = OsString>) -> Result<Command, UsageError> {
    let mut words = pico_args::Arguments::from_vec(split_values(args));
    // Help wins over everything: who asks for it may have the rest wrong.
    if words.contains(["-h", "--help"]) {
        return Ok(Command::Help);
    }
    let config = value(&mut words, CONFIG)?.map(PathBuf::from);
    let logfile = value(&mut words, LOGFILE)?.map(PathBuf::from);
    let log_level = parsed_value(&mut words, LOG_LEVEL, LogLevel::ALLOWED, LogLevel::parse)?;
    let transport = parsed_value(&mut words, TRANSPORT, TRANSPORTS, Transport::from_name)?;
    let drain = parsed_value(&mut words, DRAIN, DRAINS, seconds)?;
    let version = flag(&mut words, "-V")? | flag(&mut words, VERSION)?;
    let genkey = flag(&mut words, GENKEY)?;
    let check = flag(&mut words, CHECK)?;
    let demo = flag(&mut words, DEMO)?;
    refuse_rest(words)?;

    let chosen = [
        (version, VERSION),
        (genkey, GENKEY),
        (check, CHECK),
        (demo, DEMO),
    ];
    let mut chosen = chosen
        .iter()
        .filter(|(given, _)| *given)
        .map(|(_, name)| *name);
    if let (Some(first), Some(second)) = (chosen.next(), chosen.next()) {
        return Err(UsageError::Contradiction(first, second));
    }

    let transport = transport.unwrap_or_default();
    if drain.is_some() && transport == Transport::RemoteHttp {
        return Err(UsageError::Contradiction(DRAIN, "--transport remotehttp"));
    }
    let settings = Settings {
        config,
        log_level,
        logfile,
        drain,
    };
    Ok(if version {
        Command::Version
    } else if genkey {
        Command::GenKey {
            config: settings.config,
        }
    } else if check {
        Command::Check {
            transport,
            settings,
        }
    } else {
        Command::Serve {
            transport,
            demo,
            settings,
        }
    })
}

/// Where the configuration is looked for when `--config` is not given, from the values of
/// `XDG_CONFIG_HOME` and `HOME`. `None` when neither says where the user's files are.
pub fn default_config_path(
    xdg_config_home: Option<&OsStr>,
    home: Option<&OsStr>,
) -> Option<PathBuf> {
    // XDG Base Directory Specification 0.8: relative paths in these variables are to be ignored.
    let absolute = |path: &OsStr| Some(PathBuf::from(path)).filter(|path| path.is_absolute());
    let base = xdg_config_home
        .and_then(absolute)
        .or_else(|| home.and_then(absolute).map(|home| home.join(".config")))?;
    Some(base.join("mcpmqtt").join("config.json"))
}

impl Transport {
    fn from_name(name: &str) -> Option<Self> {
        match name {
            "stdio" => Some(Self::Stdio),
            "remotehttp" => Some(Self::RemoteHttp),
            _ => None,
        }
    }
}

impl fmt::Display for UsageError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Unknown(word) => write!(f, "unknown option `{}`", shown(word)),
            Self::Unexpected(word) => write!(f, "unexpected argument `{}`", shown(word)),
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
        }?;
        write!(f, "; see `mcpmqtt --help`")
    }
}

impl std::error::Error for UsageError {}

/// Takes `--config=P` and the single argument `"--config P"` apart, so that one form is left.
fn split_values(args: impl IntoIterator<Item = OsString>) -> Vec<OsString> {
    let mut words = Vec::new();
    for arg in args {
        match VALUED.iter().find_map(|option| value_inside(option, &arg)) {
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

/// Takes one valued option out of the words. What begins with `--` is the next option, not a
/// value; a file of such a name can be given as `./--name`.
fn value(
    words: &mut pico_args::Arguments,
    option: &'static str,
) -> Result<Option<OsString>, UsageError> {
    let mut take = || {
        words
            .opt_value_from_os_str(option, |value| Ok::<_, String>(value.to_os_string()))
            .map_err(|_| UsageError::MissingValue(option))
    };
    let Some(found) = take()? else {
        return Ok(None);
    };
    if found.is_empty() || found.as_bytes().starts_with(b"--") {
        return Err(UsageError::MissingValue(option));
    }
    match take() {
        Ok(None) => Ok(Some(found)),
        _ => Err(UsageError::Repeated(option)),
    }
}

fn parsed_value<T>(
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

/// Whole seconds, as many as a call may take at most.
fn seconds(text: &str) -> Option<Duration> {
    let seconds = text.parse().ok().filter(|seconds| *seconds <= MAX_DRAIN)?;
    Some(Duration::from_secs(seconds))
}

/// Takes one flag out of the words.
fn flag(words: &mut pico_args::Arguments, name: &'static str) -> Result<bool, UsageError> {
    let given = words.contains(name);
    if given && words.contains(name) {
        return Err(UsageError::Repeated(name));
    }
    Ok(given)
}

/// Whatever is left over was not understood.
fn refuse_rest(words: pico_args::Arguments) -> Result<(), UsageError> {
    let Some(word) = words.finish().into_iter().next() else {
        return Ok(());
    };
    let before_equals = word.as_bytes().split(|byte| *byte == b'=').next();
    let flag = FLAGS
        .iter()
        .find(|flag| before_equals == Some(flag.as_bytes()));
    Err(match flag {
        Some(flag) => UsageError::UnwantedValue(flag),
        None if word.as_bytes().starts_with(b"-") => UsageError::Unknown(word),
        None => UsageError::Unexpected(word),
    })
}

/// Text of the user's for an error message: on one line, whatever it holds.
fn shown(word: &OsStr) -> String {
    word.to_string_lossy().escape_debug().to_string()
}

const CONFIG: &str = "--config";
const TRANSPORT: &str = "--transport";
const LOG_LEVEL: &str = "--log-level";
const LOGFILE: &str = "--logfile";
const DRAIN: &str = "--drain";
const VALUED: [&str; 5] = [CONFIG, TRANSPORT, LOG_LEVEL, LOGFILE, DRAIN];

const VERSION: &str = "--version";
const GENKEY: &str = "--genkey";
const CHECK: &str = "--check";
const DEMO: &str = "--demo";
const FLAGS: [&str; 5] = [VERSION, GENKEY, CHECK, DEMO, "--help"];

const TRANSPORTS: &str = "`stdio` or `remotehttp`";
const DRAINS: &str = "whole seconds from 0 to 300";
const MAX_DRAIN: u64 = 300;

/// The text of `--help`.
pub const HELP: &str = "\
mcpmqtt lets AI agents use an MQTT broker, within a list of permitted topics.
An MCP client starts it and speaks to it on standard input and output.

Usage: mcpmqtt [OPTIONS]

Options:
  --config PATH      configuration file (default: mcpmqtt/config.json in
                     $XDG_CONFIG_HOME, else in ~/.config)
  --transport NAME   stdio (default) or remotehttp
  --log-level LEVEL  DEBUG, INFO, WARNING, ERROR or CRITICAL; wins over the file
  --logfile PATH     append the log to this file, not to standard error
  --drain SECONDS    stdio: how long calls may go on when the input has ended
                     (default: 1, at most 300)
  --check            load the configuration, print what was understood, exit
  --genkey           put a new API key into the configuration, print it, exit
  --demo             use a broker and a simulated plant inside the program
  -h, --help         print this help
  -V, --version      print the version

Examples:
  mcpmqtt --demo
  mcpmqtt --config /etc/mcpmqtt/config.json --check

Exit codes: 0 done, 1 failed (a bad configuration, say), 2 wrong arguments.
";
