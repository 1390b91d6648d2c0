//! The program from its arguments to its exit code.
//!
//! Promises: what goes wrong is said on standard error, and the exit code is 0 (done), 1 (failed)
//! or 2 (wrong arguments).

use std::ffi::OsString;
use std::fmt::Write as _;
use std::io::{self, Write};
use std::os::fd::AsFd;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use mcpmqtt_config::{Config, LogLevel, Secret};
use mcpmqtt_protocol::topic::{Printable, ShownPath};

use super::call::{self, CallError};
use super::cli::{self, Command, Server, Settings, Transport};
use super::console::{complain, print};
use super::keyfile::Change;
use super::location::Location;
use super::serve::ServeEnd;
use super::startup::{self, Loaded};
use super::{
    check, descriptors, explain, home, init, install, keyfile, location, named_keys, serve,
    verify_audit,
};
use crate::logger;

/// Runs the program with the arguments after its name.
pub fn run(args: impl IntoIterator<Item = OsString>) -> ExitCode {
    let args: Vec<OsString> = args.into_iter().collect();
    // A client that starts the program with wrong arguments has nowhere else to look either.
    let for_client = cli::is_meant_for_stdio(&args);
    let parsed = cli::parse(args).map_err(|error| error.to_string());
    let command = match parsed.and_then(expand) {
        Ok(command) => command,
        Err(words) if for_client => return fail_to_start(&words, WRONG_ARGUMENTS),
        Err(words) => return complain(&words, WRONG_ARGUMENTS),
    };
    let done = match command {
        Command::Help => print(cli::HELP),
        Command::Version => print(concat!("mcpmqtt ", env!("CARGO_PKG_VERSION"), "\n")),
        Command::Init(init) => init::run(&init),
        Command::Install(install) => install::run(&install),
        Command::GenKey { config } => new_key(config.as_deref()),
        Command::AddKey {
            name,
            profile,
            config,
        } => named_keys::add(config.as_deref(), &name, &profile),
        Command::Revoke { name, config } => named_keys::revoke(config.as_deref(), &name),
        Command::Keys { config } => named_keys::list(config.as_deref()),
        Command::Check {
            transport,
            json,
            connect,
            settings,
        } => {
            return match check::run(transport, &settings, connect.as_ref(), json) {
                Ok(true) => ExitCode::SUCCESS,
                Ok(false) => ExitCode::from(FAILED),
                Err(words) => complain(&words, FAILED),
            };
        }
        Command::Explain {
            question,
            caller,
            config,
        } => {
            return match explain::run(&question, caller.as_deref(), config.as_deref()) {
                Ok(true) => ExitCode::SUCCESS,
                Ok(false) => ExitCode::from(REFUSED),
                Err(words) => complain(&words, NO_VERDICT),
            };
        }
        Command::VerifyAudit { files, anchor } => {
            return match verify_audit::run(&files, anchor) {
                Ok(true) => ExitCode::SUCCESS,
                Ok(false) => ExitCode::from(FAILED),
                Err(words) => complain(&words, FAILED),
            };
        }
        Command::Call {
            tool,
            arguments,
            json,
            settings,
        } => return call_tool(&tool, &arguments, json, &settings),
        Command::Serve {
            transport,
            demo,
            settings,
        } => match serve(transport, demo, &settings) {
            Ok(ServeEnd::ToTheEnd) => Ok(()),
            Ok(ServeEnd::InVain) => {
                logger::flush();
                return ExitCode::from(FAILED);
            }
            Err(words) if transport == Transport::Stdio => return fail_to_start(&words, FAILED),
            Err(words) => Err(words),
        },
    };
    logger::flush();
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(words) => complain(&words, FAILED),
    }
}

/// Puts the user's own directory in the place of `~` in the paths of the command line.
fn expand(mut command: Command) -> Result<Command, String> {
    let settings = match &mut command {
        Command::Help | Command::Version | Command::VerifyAudit { .. } => return Ok(command),
        Command::Init(init) => {
            expand_option(&mut init.path, "--init")?;
            expand_option(&mut init.password_file, "--password-file")?;
            expand_option(&mut init.ca_file, "--ca-file")?;
            return Ok(command);
        }
        Command::Install(install) => {
            if let Server::Program { config } = &mut install.server {
                expand_option(config, "--config")?;
            }
            return Ok(command);
        }
        Command::GenKey { config }
        | Command::AddKey { config, .. }
        | Command::Revoke { config, .. }
        | Command::Keys { config }
        | Command::Explain { config, .. } => {
            expand_option(config, "--config")?;
            return Ok(command);
        }
        Command::Check { settings, .. }
        | Command::Call { settings, .. }
        | Command::Serve { settings, .. } => settings,
    };
    expand_option(&mut settings.config, "--config")?;
    expand_option(&mut settings.logfile, "--logfile")?;
    Ok(command)
}

fn expand_option(path: &mut Option<PathBuf>, option: &str) -> Result<(), String> {
    if let Some(path) = path {
        *path = home::expand(path).map_err(|why| format!("`{option}`: {why}"))?;
    }
    Ok(())
}

fn serve(transport: Transport, demo: bool, settings: &Settings) -> Result<ServeEnd, String> {
    descriptors::require()?;
    if demo && !cfg!(feature = "demo") {
        return Err(NO_DEMO.into());
    }
    if demo && transport == Transport::RemoteHttp {
        return Err(NO_REMOTE_DEMO.into());
    }
    if demo {
        start_log(settings, None);
        logger::started();
        return serve::demo_over_stdio(settings.drain);
    }
    let mut loaded = startup::load(settings.config.as_deref())?;
    choose_profile(&mut loaded.config, settings)?;
    start_log(settings, Some(&loaded.config));
    tell(&loaded);
    match transport {
        Transport::Stdio => {
            logger::started();
            serve::over_stdio(loaded, settings.drain)
        }
        Transport::RemoteHttp => {
            serve::has_key(&loaded.config, settings.config.as_deref())?;
            // A reload looks at this file again, whatever other files there are by then.
            let settings = Settings {
                config: loaded.file,
                ..settings.clone()
            };
            serve::over_http(loaded.config, &settings).map(|()| ServeEnd::ToTheEnd)
        }
    }
}

fn choose_profile(config: &mut Config, settings: &Settings) -> Result<(), String> {
    let chosen = settings.profile.as_deref();
    let chosen = chosen.map_or(Ok(()), |name| config.choose_profile(name));
    chosen.map_err(|why| format!("`--profile`: {why}"))
}

/// Calls one tool. The log of the configuration is the server's, not this call's.
fn call_tool(tool: &str, words: &[String], json: bool, settings: &Settings) -> ExitCode {
    let level = settings.log_level.unwrap_or(LogLevel::Warning);
    logger::start(level, settings.logfile.as_deref());
    let mut doubts = 0;
    let called = call::request(tool, words).and_then(|request| {
        descriptors::require().map_err(CallError::Failed)?;
        let mut loaded = startup::load(settings.config.as_deref()).map_err(CallError::Failed)?;
        // The warnings are for the operator of the file, not for each call.
        for warning in std::mem::take(&mut loaded.warnings) {
            doubts += 1;
            logger::info(format_args!("{warning}"));
        }
        tell(&loaded);
        choose_profile(&mut loaded.config, settings).map_err(CallError::Failed)?;
        if settings.profile.is_some() {
            // The running server goes by the profile of the key.
            loaded.config.remote_server = None;
        }
        let key = std::env::var_os("MCPMQTT_KEY");
        call::run(&request, loaded, key.as_deref(), json)
    });
    logger::flush();
    match called {
        Ok(()) => ExitCode::SUCCESS,
        Err(CallError::Usage(words)) => complain(&words, WRONG_ARGUMENTS),
        // The warnings may be the reason of the failure.
        Err(CallError::Failed(words)) if doubts > 0 => {
            let noun = if doubts == 1 { "warning" } else { "warnings" };
            let doubts =
                format!("\n  `mcpmqtt --check` shows {doubts} {noun} of the configuration");
            complain(&(words + &doubts), FAILED)
        }
        Err(CallError::Failed(words)) => complain(&words, FAILED),
    }
}

/// A fault at the start over stdio: on standard error at once, then to the client, who shows it to people.
fn fail_to_start(words: &str, code: u8) -> ExitCode {
    logger::flush();
    let code = complain(words, code);
    // A client cannot be waited for without descriptors.
    if descriptors::require().is_ok() {
        serve::tell_client(words);
    }
    code
}

fn start_log(settings: &Settings, config: Option<&Config>) {
    let level = settings
        .log_level
        .or_else(|| config.map(|config| config.logging.level));
    let file = config.and_then(|config| config.logging.logfile.clone());
    let file = settings.logfile.clone().or(file);
    logger::start(level.unwrap_or_default(), file.as_deref());
}

fn tell(loaded: &Loaded) {
    for warning in &loaded.warnings {
        logger::warning(format_args!("{warning}"));
    }
    logger::info(format_args!(
        "mcpmqtt {} with {}",
        env!("CARGO_PKG_VERSION"),
        loaded.origin
    ));
}

/// Puts a new key into the file and prints it: the key alone, on standard output, once. The key is printed before the
/// file changes, so that a key that could not be printed replaces no other.
fn new_key(named: Option<&Path>) -> Result<(), String> {
    let (path, folders) = key_file(named)?;
    refuse_to_lose_a_key()?;
    let prepared = keyfile::prepare(&path, folders).map_err(|error| error.to_string())?;
    print_key(&prepared.key)?;
    let (file, change) = (prepared.file.clone(), prepared.change);
    let socket = prepared.socket.clone();
    let mut notes = String::new();
    for warning in &prepared.warnings {
        let _ = writeln!(notes, "warning: {warning}");
    }
    prepared
        .put_in_force()
        .map_err(|error| format!("{error}. The key on standard output is not in force"))?;
    let shown = ShownPath(&file);
    let _ = match change {
        Change::NewFile => writeln!(
            notes,
            "{shown} is new: the broker at localhost:1883, `test/+` to read and write, and the hash of the API key above, which is shown this once"
        ),
        Change::FirstKey => writeln!(
            notes,
            "{shown} now holds the hash of the API key above, which is shown this once"
        ),
        Change::Replaces => writeln!(
            notes,
            "{shown} now holds the hash of the API key above, which is shown this once; the key \
             before it ends when the server restarts or gets SIGHUP"
        ),
    };
    if let Some(socket) = socket {
        notes.push_str(&about_socket(&socket));
    }
    let _ = write!(io::stderr(), "{}", Printable(&notes));
    Ok(())
}

/// The configuration file that holds the keys, and whether its folder may be made.
///
/// # Errors
/// No place is known for it.
pub(super) fn key_file(named: Option<&Path>) -> Result<(PathBuf, bool), String> {
    Ok(match location::locate(named)? {
        Location::Named(path) => (path, false),
        Location::Usual(path) => (path, true),
        Location::Absent { first, .. } => {
            let first = first
                .ok_or("neither XDG_CONFIG_HOME nor HOME is set; name the file with --config")?;
            (first, true)
        }
    })
}

/// Refuses to make a key that could not be seen.
pub(super) fn refuse_to_lose_a_key() -> Result<(), String> {
    match goes_nowhere(io::stdout()) {
        true => Err(format!(
            "standard output is closed or `/dev/null`, so the key would be lost; {KEPT}"
        )),
        false => Ok(()),
    }
}

/// Prints a new key alone, on standard output, once.
pub(super) fn print_key(key: &Secret) -> Result<(), String> {
    let key = format!("{}\n", key.expose());
    let printed = io::stdout().write_all(key.as_bytes());
    printed
        .and_then(|()| io::stdout().flush())
        .map_err(|error| format!("cannot write the key to standard output: {error}; {KEPT}"))
}

/// A line about the socket of a section that is new.
pub(super) fn about_socket(socket: &str) -> String {
    format!(
        "the remote server will listen on {}, since `/var/run` takes only root's sockets; for TCP set `remote_server.port`, and `host` to `127.0.0.1`\n",
        ShownPath(Path::new(socket))
    )
}

/// Whether it is `/dev/null`, which the standard library puts in the place of a closed descriptor.
fn goes_nowhere(output: impl AsFd) -> bool {
    let of = |stat: rustix::fs::Stat| (stat.st_mode, stat.st_rdev);
    let output = rustix::fs::fstat(output).map(of);
    output.is_ok() && output == rustix::fs::stat("/dev/null").map(of)
}

/// What is said to `--demo` by a program that has none.
pub(super) const NO_DEMO: &str = "this program was built without the demo; build it with the feature `demo`, \
or use a broker of yours: `mcpmqtt --init`";
const NO_REMOTE_DEMO: &str = "the demo has no API key, so it is served over `stdio` only";
const KEPT: &str = "the configuration is unchanged";
const FAILED: u8 = 1;
const WRONG_ARGUMENTS: u8 = 2;
/// `--explain`: not permitted.
const REFUSED: u8 = 1;
/// `--explain`: there is no configuration to judge by, which must not be taken for a refusal.
const NO_VERDICT: u8 = 2;
