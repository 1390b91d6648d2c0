//! The command line, parsed into one [`Command`].
//!
//! Promises: every argument is understood or refused by name, nothing is silently ignored and no
//! option may be given twice; paths need not be UTF-8. Valued options come in three forms:
//! `--config P`, `--config=P` and the single argument `"--config P"`, which existing client
//! configurations hold.
//!
//! Does not read files or the environment: where the config file lies, [`location`](super::location) finds out.

mod explain;
mod help;
mod options;
mod setup;
mod suggest;
mod usage_error;
mod words;

use std::ffi::OsString;
use std::path::PathBuf;
use std::time::Duration;

use mcpmqtt_config::{LogLevel, Profiles};
use mcpmqtt_protocol::topic::TopicName;

use crate::audit::verify::Anchor;

pub use self::explain::Question;
pub use self::help::HELP;
use self::options::{
    ANCHOR, AS, CALL, CALL_OR_CHECK, CHECK, CHECK_CONNECT, CONFIG, CONNECT, DEMO, DRAIN, EXPLAIN,
    FOR_PROFILE, GENKEY, JSON, KEYS, LOG_LEVEL, LOGFILE, PROFILE, PUBLISH, REMOTE, REVOKE, SECONDS,
    TRANSPORT, VERIFY_AUDIT, VERSION,
};
pub(crate) use self::setup::readable;
pub use self::setup::{Init, Install, Server};
pub use self::usage_error::UsageError;
use self::words::{flag, name, parsed_value, refuse_rest, split_values, text, value};

/// What the user asked the program to do.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Command {
    /// Serve agents until told to stop.
    Serve {
        /// The transport that agents connect over.
        transport: Transport,
        /// Run the broker and the simulated plant inside the program.
        demo: bool,
        /// Settings of the command line that win over the file.
        settings: Settings,
    },
    /// Make a first configuration file.
    Init(Box<Init>),
    /// Put the server into an MCP client, or take it out.
    Install(Install),
    /// Put a new API key into the configuration file and print it.
    GenKey {
        /// The file named by `--config`.
        config: Option<PathBuf>,
    },
    /// Put a key with a name into the configuration file beside the others and print it.
    AddKey {
        /// The name.
        name: String,
        /// `--profile`: the profile of its callers.
        profile: String,
        /// The file named by `--config`.
        config: Option<PathBuf>,
    },
    /// Take a key out of the configuration file.
    Revoke {
        /// The name of the key.
        name: String,
        /// The file named by `--config`.
        config: Option<PathBuf>,
    },
    /// Print the names and dates of the keys.
    Keys {
        /// The file named by `--config`.
        config: Option<PathBuf>,
    },
    /// Say what the configuration means and whether the program would start, exit.
    Check {
        /// The transport whose settings are checked, too.
        transport: Transport,
        /// Print one JSON object.
        json: bool,
        /// Try the broker, too.
        connect: Option<Connect>,
        /// Settings of the command line that win over the file.
        settings: Settings,
    },
    /// Say whether an agent may do something, by which rules and limits, exit.
    Explain {
        /// What an agent would do.
        question: Question,
        /// `--as`: the name of the key or the profile that asks.
        caller: Option<String>,
        /// The file named by `--config`.
        config: Option<PathBuf>,
    },
    /// Call one tool, print its result, exit.
    Call {
        /// The tool's name.
        tool: String,
        /// Its arguments, as they were given: `NAME=VALUE`, or one JSON object.
        arguments: Vec<String>,
        /// Print the whole result as JSON.
        json: bool,
        /// Settings of the command line that win over the file.
        settings: Settings,
    },
    /// Say whether a record of writes is as it was written, exit.
    VerifyAudit {
        /// The files of the record, in any order.
        files: Vec<PathBuf>,
        /// `--anchor`: what is known of it from elsewhere.
        anchor: Option<Anchor>,
    },
    /// Print the help text.
    Help,
    /// Print the version.
    Version,
}

/// How `--check` tries the broker.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Connect {
    /// `--seconds`: how long to listen to one pattern at most.
    pub patience: Duration,
    /// `--publish`: where to publish one message.
    pub publish: Option<TopicName>,
}

/// The transport that agents connect over.
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
    /// `--config`: a file that must exist. `None`: see [`super::location`].
    pub config: Option<PathBuf>,
    /// `--log-level`.
    pub log_level: Option<LogLevel>,
    /// `--logfile`.
    pub logfile: Option<PathBuf>,
    /// `--profile`: over stdio and for one call, the profile of the caller.
    pub profile: Option<String>,
    /// `--drain`: over stdio, how long calls in flight may go on after the end of input.
    pub drain: Option<Duration>,
}

/// Parses the arguments after the program's name.
pub fn parse(args: impl IntoIterator<Item = OsString>) -> Result<Command, UsageError> {
    let mut words = pico_args::Arguments::from_vec(split_values(args));
    // Help wins over everything: who asks for it may have the rest wrong.
    if words.contains(["-h", "--help"]) {
        return Ok(Command::Help);
    }
    if let Some(command) = setup::command(&mut words)? {
        return Ok(command);
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
    let revoke = value(&mut words, REVOKE)?.map(text).transpose()?;
    let keys = flag(&mut words, KEYS)?;
    let profile = value(&mut words, PROFILE)?.map(text).transpose()?;
    let connect = flag(&mut words, CONNECT)?;
    let publish = parsed_value(&mut words, PUBLISH, TOPICS, topic)?;
    let patience = parsed_value(&mut words, SECONDS, LISTENING, listening)?;
    let call = value(&mut words, CALL)?.map(text).transpose()?;
    let explain = parsed_value(&mut words, EXPLAIN, EXPLAINED, explain::verb)?;
    let caller = value(&mut words, AS)?.map(text).transpose()?;
    let record = value(&mut words, VERIFY_AUDIT)?.map(PathBuf::from);
    let anchor = parsed_value(&mut words, ANCHOR, ANCHORS, Anchor::parse)?;
    let json = flag(&mut words, JSON)?;
    let (mut arguments, mut key_name, mut question) = (Vec::new(), None, None);
    let mut files: Vec<_> = record.into_iter().collect();
    match (&call, explain) {
        (Some(_), _) => arguments = words::arguments(words)?,
        (None, Some(verb)) => question = Some(explain::question(verb, words)?),
        (None, None) if genkey => key_name = name(words)?,
        (None, None) if !files.is_empty() => files.extend(words::paths(words)?),
        (None, None) => refuse_rest(words)?,
    }

    let chosen = [
        (version, VERSION),
        (genkey, GENKEY),
        (revoke.is_some(), REVOKE),
        (keys, KEYS),
        (check, CHECK),
        (demo, DEMO),
        (call.is_some(), CALL),
        (explain.is_some(), EXPLAIN),
        (!files.is_empty(), VERIFY_AUDIT),
    ];
    let mut chosen = chosen
        .iter()
        .filter(|(given, _)| *given)
        .map(|(_, name)| *name);
    if let (Some(first), Some(second)) = (chosen.next(), chosen.next()) {
        return Err(UsageError::Contradiction(first, second));
    }

    if demo && config.is_some() {
        let why = "the demo has a broker and a configuration of its own";
        return Err(UsageError::Pointless(DEMO, CONFIG, why));
    }
    let is_remote = transport == Some(Transport::RemoteHttp);
    if profile.is_some() && demo {
        let why = "the demo has a broker and a configuration of its own";
        return Err(UsageError::Pointless(DEMO, PROFILE, why));
    }
    let is_without = genkey && key_name.is_none() || version || check || keys || revoke.is_some();
    let is_without = is_without || explain.is_some() || !files.is_empty();
    if profile.is_some() && is_without {
        return Err(UsageError::Without(PROFILE, FOR_PROFILE));
    }
    if profile.is_some() && is_remote {
        let why = "the profile of a caller is that of its key";
        return Err(UsageError::Pointless(PROFILE, REMOTE, why));
    }
    if call.is_some() && transport.is_some() {
        let why = "a call is made through the running server where there is one";
        return Err(UsageError::Pointless(CALL, TRANSPORT, why));
    }
    if explain.is_some() && transport.is_some() {
        let why = "the permissions are the same over each";
        return Err(UsageError::Pointless(EXPLAIN, TRANSPORT, why));
    }
    if config.is_some() && !files.is_empty() {
        let why = "the files are named, and may be of another machine";
        return Err(UsageError::Pointless(VERIFY_AUDIT, CONFIG, why));
    }
    if caller.is_some() && explain.is_none() {
        return Err(UsageError::Without(AS, EXPLAIN));
    }
    if anchor.is_some() && files.is_empty() {
        return Err(UsageError::Without(ANCHOR, VERIFY_AUDIT));
    }
    if json && call.is_none() && !check {
        return Err(UsageError::Without(JSON, CALL_OR_CHECK));
    }
    if connect && !check {
        return Err(UsageError::Without(CONNECT, CHECK));
    }
    let for_connect = [(publish.is_some(), PUBLISH), (patience.is_some(), SECONDS)];
    if let Some((_, option)) = for_connect.iter().find(|(given, _)| *given && !connect) {
        return Err(UsageError::Without(option, CHECK_CONNECT));
    }
    let connect = connect.then(|| Connect {
        patience: patience.unwrap_or(DEFAULT_LISTENING),
        publish,
    });

    let transport = transport.unwrap_or_default();
    if drain.is_some() && transport == Transport::RemoteHttp {
        return Err(UsageError::Contradiction(DRAIN, REMOTE));
    }
    let settings = Settings {
        config,
        log_level,
        logfile,
        profile,
        drain,
    };
    if !files.is_empty() {
        return Ok(Command::VerifyAudit { files, anchor });
    }
    if let Some(question) = question {
        return Ok(Command::Explain {
            question,
            caller,
            config: settings.config,
        });
    }
    if let Some(tool) = call {
        return Ok(Command::Call {
            tool,
            arguments,
            json,
            settings,
        });
    }
    let config = settings.config.clone();
    if let Some(name) = revoke {
        return Ok(Command::Revoke { name, config });
    }
    if let Some(name) = key_name {
        let profile = settings.profile;
        let profile = profile.unwrap_or_else(|| Profiles::DEFAULT.to_owned());
        return Ok(Command::AddKey {
            name,
            profile,
            config,
        });
    }
    Ok(if version {
        Command::Version
    } else if keys {
        Command::Keys { config }
    } else if genkey {
        Command::GenKey {
            config: settings.config,
        }
    } else if check {
        Command::Check {
            transport,
            json,
            connect,
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

/// Whether arguments that were not understood were probably to serve on standard input, as a client starts it.
#[must_use]
pub fn is_meant_for_stdio(args: &[OsString]) -> bool {
    let others = [
        CHECK,
        GENKEY,
        REVOKE,
        KEYS,
        CALL,
        EXPLAIN,
        VERIFY_AUDIT,
        VERSION,
        "-V",
    ];
    let others = others.iter().chain(&setup::COMMANDS);
    let others: Vec<_> = others.copied().collect();
    !args.iter().any(|word| {
        let word = word.to_string_lossy();
        let option = word.split(['=', ' ']).next().unwrap_or_default();
        others.contains(&option) || word.ends_with("remotehttp")
    })
}

/// Whole seconds, as many as a call may take at most.
fn seconds(text: &str) -> Option<Duration> {
    let seconds = text.parse().ok().filter(|seconds| *seconds <= MAX_DRAIN)?;
    Some(Duration::from_secs(seconds))
}

fn listening(text: &str) -> Option<Duration> {
    let seconds = text.parse().ok()?;
    (1..=MAX_LISTENING)
        .contains(&seconds)
        .then(|| Duration::from_secs(seconds))
}

fn topic(text: &str) -> Option<TopicName> {
    TopicName::parse(text).ok()
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

const TRANSPORTS: &str = "`stdio` or `remotehttp`";
const DRAINS: &str = "whole seconds from 0 to 300";
const MAX_DRAIN: u64 = 300;
const LISTENING: &str = "whole seconds from 1 to 60";
const MAX_LISTENING: u64 = 60;
const DEFAULT_LISTENING: Duration = Duration::from_secs(3);
const TOPICS: &str = "a topic without wildcards";
const ANCHORS: &str = "`NUMBER:HASH` as the log has it, or the hash alone";
const EXPLAINED: &str = "`publish TOPIC PAYLOAD` or `subscribe FILTER`";
