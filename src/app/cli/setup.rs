//! `--init` and `--install`: the options of the commands that set up the first configuration and the clients.

use std::ffi::OsString;
use std::path::PathBuf;
use std::time::Duration;

use mcpmqtt_protocol::topic::TopicFilter;

use super::options::{self, CONFIG, DEMO, SECONDS};
use super::words::{flag, not_understood, optional_path, parsed_value, text, value, values};
use super::{Command, LISTENING, UsageError, listening};
use crate::app::install::Client;

/// What `--init` is told on the command line.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Init {
    /// The file to make; `None`: the user's own.
    pub path: Option<PathBuf>,
    /// `--broker`: `HOST` or `HOST:PORT`.
    pub broker: Option<String>,
    /// `--username`.
    pub username: Option<String>,
    /// `--password-file`: the file that holds the password.
    pub password_file: Option<PathBuf>,
    /// `--tls`, which `--ca-file` implies.
    pub tls: bool,
    /// `--ca-file`: the certificate that the broker's must be signed by.
    pub ca_file: Option<PathBuf>,
    /// `--topic`: what agents may read.
    pub topics: Vec<TopicFilter>,
    /// `--seconds`: how long to listen.
    pub seconds: Option<Duration>,
    /// `--key`: make an API key, too.
    pub key: bool,
    /// `--yes`: ask nothing.
    pub yes: bool,
}

/// What `--install` or `--uninstall` is told on the command line.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Install {
    /// The client.
    pub client: Client,
    /// Take the server out of the client.
    pub uninstall: bool,
    /// `--name`: the server's name in the client.
    pub name: String,
    /// What the client connects to.
    pub server: Server,
    /// Only say what would be done.
    pub dry_run: bool,
}

/// What a client connects to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Server {
    /// It starts this program.
    Program {
        /// The file of `--config`.
        config: Option<PathBuf>,
    },
    /// It starts this program with `--demo`.
    Demo,
    /// `--url`: a running server.
    Url(String),
}

/// Takes the options out of the arguments if one of the commands is among them.
pub(super) fn command(words: &mut pico_args::Arguments) -> Result<Option<Command>, UsageError> {
    let init = flag(words, INIT)?;
    let install = value(words, INSTALL)?;
    let uninstall = flag(words, UNINSTALL)?;
    match (init, install, uninstall) {
        (true, Some(_), _) => Err(UsageError::Contradiction(INIT, INSTALL)),
        (true, _, true) => Err(UsageError::Contradiction(INIT, UNINSTALL)),
        (true, None, false) => parse_init(words).map(|init| Some(Command::Init(Box::new(init)))),
        (false, None, false) => refuse_alone(words).map(|()| None),
        (false, client, uninstall) => {
            parse_install(words, client, uninstall).map(|install| Some(Command::Install(install)))
        }
    }
}

fn parse_init(words: &mut pico_args::Arguments) -> Result<Init, UsageError> {
    let config = value(words, CONFIG)?.map(PathBuf::from);
    let ca_file = value(words, CA_FILE)?.map(PathBuf::from);
    let mut init = Init {
        path: None,
        broker: value(words, BROKER)?.map(text).transpose()?,
        username: value(words, USERNAME)?.map(text).transpose()?,
        password_file: value(words, PASSWORD_FILE)?.map(PathBuf::from),
        tls: flag(words, TLS)? || ca_file.is_some(),
        ca_file,
        topics: topics(words)?,
        seconds: parsed_value(words, SECONDS, LISTENING, listening)?,
        key: flag(words, KEY)?,
        yes: flag(words, YES)?,
    };
    let path = optional_path(take_rest(words), INIT)?;
    init.path = match (config, path) {
        (Some(_), Some(_)) => return Err(UsageError::Contradiction("--init PATH", CONFIG)),
        (config, path) => config.or(path),
    };
    if init.password_file.is_some() && init.username.is_none() {
        return Err(UsageError::Without(PASSWORD_FILE, USERNAME));
    }
    if init.yes && init.topics.is_empty() {
        return Err(UsageError::Incomplete(
            "`--yes` accepts nothing that is not named: add `--topic FILTER` for each filter that agents may read",
        ));
    }
    Ok(init)
}

fn topics(words: &mut pico_args::Arguments) -> Result<Vec<TopicFilter>, UsageError> {
    let found = values(words, TOPIC)?;
    let mut filters = Vec::new();
    for found in found {
        match found.to_str().and_then(readable) {
            Some(filter) if filters.contains(&filter) => {}
            Some(filter) => filters.push(filter),
            None => {
                return Err(UsageError::BadValue {
                    option: TOPIC,
                    found,
                    allowed: "a topic filter that is not a shared subscription",
                });
            }
        }
    }
    Ok(filters)
}

/// The filter that `text` is, if a grant can hold it.
pub(crate) fn readable(text: &str) -> Option<TopicFilter> {
    let is_shared = text == "$share" || text.starts_with("$share/");
    TopicFilter::parse(text).ok().filter(|_| !is_shared)
}

fn parse_install(
    words: &mut pico_args::Arguments,
    client: Option<OsString>,
    uninstall: bool,
) -> Result<Install, UsageError> {
    let config = value(words, CONFIG)?.map(PathBuf::from);
    let url = parsed_value(words, URL, URLS, url)?;
    let demo = flag(words, DEMO)?;
    let name = parsed_value(words, NAME, NAMES, name)?;
    let dry_run = flag(words, DRY_RUN)?;
    let mut rest = take_rest(words);
    // `--uninstall CLIENT` and `--install CLIENT --uninstall` mean the same.
    let client = match client {
        Some(client) => client,
        None if rest.is_empty() => return Err(UsageError::MissingValue(UNINSTALL)),
        None => rest.remove(0),
    };
    let option = if uninstall { UNINSTALL } else { INSTALL };
    if client.to_string_lossy().starts_with('-') {
        return Err(stray(client, option));
    }
    if let Some(word) = rest.into_iter().next() {
        return Err(stray(word, option));
    }
    let client = match client.to_str().and_then(Client::from_name) {
        Some(client) => client,
        None => {
            return Err(UsageError::BadValue {
                option,
                found: client,
                allowed: Client::ALLOWED,
            });
        }
    };
    let server = match (config, demo, url) {
        (Some(_), true, _) => return Err(UsageError::Contradiction(DEMO, CONFIG)),
        (Some(_), _, Some(_)) => return Err(UsageError::Contradiction(URL, CONFIG)),
        (_, true, Some(_)) => return Err(UsageError::Contradiction(URL, DEMO)),
        (config, false, None) => Server::Program { config },
        (None, true, None) => Server::Demo,
        (None, false, Some(url)) => Server::Url(url),
    };
    Ok(Install {
        client,
        uninstall,
        name: name.unwrap_or_else(|| USUAL_NAME.to_owned()),
        server,
        dry_run,
    })
}

fn take_rest(words: &mut pico_args::Arguments) -> Vec<OsString> {
    std::mem::replace(words, pico_args::Arguments::from_vec(Vec::new())).finish()
}

/// The error for a word that is left over beside `command`.
pub(super) fn stray(word: OsString, command: &'static str) -> UsageError {
    let known = options::VALUED.iter().chain(&options::FLAGS);
    let mut known = known.chain(&VALUED).chain(&FLAGS).copied();
    let option = known.find(|option| word == *option);
    match option {
        Some(option) => UsageError::Contradiction(command, option),
        None => not_understood(word),
    }
}

/// Refuses the options of the commands where none of the commands is.
fn refuse_alone(words: &mut pico_args::Arguments) -> Result<(), UsageError> {
    for (options, command) in [(&FOR_INIT[..], INIT), (&FOR_INSTALL[..], INSTALL)] {
        for option in options {
            if words.contains(*option) {
                return Err(UsageError::Without(option, command));
            }
        }
    }
    Ok(())
}

fn url(text: &str) -> Option<String> {
    let rest = text
        .strip_prefix("http://")
        .or_else(|| text.strip_prefix("https://"))?;
    let is_plain = text.bytes().all(|byte| byte.is_ascii_graphic());
    // RFC 3986 §2.1: `_` may be written so.
    let spelt = text.to_ascii_lowercase().replace("%5f", "_");
    let is_secret = text.contains('@') || spelt.contains("api_key");
    (is_plain && !is_secret && !rest.is_empty() && !text.contains(['"', '\\']))
        .then(|| text.to_owned())
}

/// Every client takes such a name.
fn name(text: &str) -> Option<String> {
    let is_part = |byte: u8| byte.is_ascii_alphanumeric() || b"-_".contains(&byte);
    let begins = text.starts_with(|first: char| first.is_ascii_alphanumeric());
    (begins && text.len() <= 64 && text.bytes().all(is_part)).then(|| text.to_owned())
}

pub(super) const INIT: &str = "--init";
const BROKER: &str = "--broker";
const USERNAME: &str = "--username";
const PASSWORD_FILE: &str = "--password-file";
const TLS: &str = "--tls";
const CA_FILE: &str = "--ca-file";
const TOPIC: &str = "--topic";
const KEY: &str = "--key";
const YES: &str = "--yes";
const INSTALL: &str = "--install";
const UNINSTALL: &str = "--uninstall";
const NAME: &str = "--name";
const URL: &str = "--url";
const DRY_RUN: &str = "--dry-run";

pub(super) const COMMANDS: [&str; 3] = [INIT, INSTALL, UNINSTALL];
pub(super) const VALUED: [&str; 8] = [
    BROKER,
    USERNAME,
    PASSWORD_FILE,
    CA_FILE,
    TOPIC,
    INSTALL,
    NAME,
    URL,
];
pub(super) const FLAGS: [&str; 6] = [INIT, TLS, KEY, YES, UNINSTALL, DRY_RUN];

const FOR_INIT: [&str; 8] = [
    BROKER,
    USERNAME,
    PASSWORD_FILE,
    TLS,
    CA_FILE,
    TOPIC,
    KEY,
    YES,
];
const FOR_INSTALL: [&str; 3] = [NAME, URL, DRY_RUN];

const URLS: &str = "an `http://` or `https://` address without a login or a key";
const NAMES: &str = "letters, digits, `-` and `_`, 64 at most";
const USUAL_NAME: &str = "mqtt";
