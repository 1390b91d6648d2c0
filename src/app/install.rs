//! `--install` and `--uninstall`: the program in an MCP client.
//!
//! Promises: the client's own command is run where it has one, and a file of strict JSON is edited otherwise, with a copy
//! kept and every other byte as it was; no key gets into a command line or a file; what cannot be done is shown, for a
//! person to do.

mod client;

use std::fmt::Write as _;
use std::os::unix::fs::PermissionsExt as _;
use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::Command;

use mcpmqtt_config::{ClientFileError, put_entry, take_entry};
use mcpmqtt_protocol::topic::{ShownPath, TopicFilter};
use serde_json::{Value, json};

pub use self::client::Client;
use self::client::{KEY, Target};
use super::cli::{Install, Server};
use super::console::print;
use super::keyfile::KeyfileError;
use super::location::{self, Environment, Location};
use super::replacement::Before;
use super::run::NO_DEMO;
use super::startup;

/// Puts the server into the client, or takes it out.
///
/// # Errors
/// Why that is not done.
pub(super) fn run(install: &Install) -> Result<(), String> {
    match install.uninstall {
        true => take_out(install),
        false => put_in(install),
    }
}

fn put_in(install: &Install) -> Result<(), String> {
    let (client, name) = (install.client, install.name.as_str());
    let target = target(&install.server)?;
    if let Some(arguments) = client.add(name, &target) {
        if on_path(client.name()).is_some() {
            return run_command(install, &arguments, &target);
        }
        return show(install, &target, Some(&arguments));
    }
    let Some(entry) = client.entry(&target).filter(|_| client.is_edited()) else {
        return show(install, &target, None);
    };
    edit(install, Some(&entry), &target)
}

fn take_out(install: &Install) -> Result<(), String> {
    let (client, name) = (install.client, install.name.as_str());
    let nothing = Target::Program(Vec::new());
    match client.remove(name) {
        Some(arguments) if on_path(client.name()).is_some() => {
            run_command(install, &arguments, &nothing)
        }
        None if client.is_edited() => edit(install, None, &nothing),
        _ => {
            let file = client.file(&Environment::of_process());
            let place = shown(file.path.as_deref());
            Err(format!(
                "take `{name}` out by hand: it is under `{}` in {place}",
                file.list
            ))
        }
    }
}

/// What the client is told.
fn target(server: &Server) -> Result<Target, String> {
    let arguments = match server {
        Server::Url(url) => return Ok(Target::Url(url.clone())),
        Server::Demo if !cfg!(feature = "demo") => return Err(NO_DEMO.into()),
        Server::Demo => vec!["--demo".to_owned()],
        Server::Program { config } => {
            let path = match location::locate(config.as_deref())? {
                Location::Named(path) | Location::Usual(path) => path,
                Location::Absent { why, .. } => {
                    return Err(format!("{why}; `mcpmqtt --init` makes one"));
                }
            };
            let path = std::path::absolute(&path)
                .map_err(|error| format!("{}: {error}", ShownPath(&path)))?;
            // A client says little of a server that does not start.
            startup::load(Some(&path))?;
            vec!["--config".to_owned(), utf8(&path)?]
        }
    };
    let program = own_program()?;
    let program = [utf8(&program)?];
    Ok(Target::Program(
        program.into_iter().chain(arguments).collect(),
    ))
}

/// Becomes the client's own command, whose words and exit code are then the client's.
fn run_command(install: &Install, arguments: &[String], target: &Target) -> Result<(), String> {
    let (client, name) = (install.client, &install.name);
    let line = command_line(client.name(), arguments);
    if install.dry_run {
        return print(&format!("Would run: {line}\n"));
    }
    let mut words = format!("Running: {line}\n");
    if !install.uninstall {
        let (shows, key) = (client.shows(), about_key(target));
        words = format!(
            "{words}That command of {} adds the server `{name}`; then {shows}.{key}\n",
            client.title()
        );
    }
    print(&words)?;
    let mut command = Command::new(client.name());
    // A client that expands variables as it reads its file would write the key into it.
    let error = command.args(arguments).env_remove(KEY).exec();
    Err(format!("cannot run `{}`: {error}", client.name()))
}

fn done(install: &Install, target: &Target) -> String {
    let (client, name) = (install.client, &install.name);
    match install.uninstall {
        true => format!("{} has no server `{name}` any more.\n", client.title()),
        false => {
            let shows = client.shows();
            let key = about_key(target);
            format!(
                "{} has the server `{name}` now; {shows}.{key}\n",
                client.title()
            )
        }
    }
}

fn about_key(target: &Target) -> String {
    match target {
        Target::Url(_) => format!(
            "\nIt takes the API key from the variable {KEY}: set that where the client is started."
        ),
        Target::Program(_) => String::new(),
    }
}

/// Edits the client's file; `entry`: what to put in, `None`: take it out.
fn edit(install: &Install, entry: Option<&Value>, target: &Target) -> Result<(), String> {
    let (client, name) = (install.client, install.name.as_str());
    let file = client.file(&Environment::of_process());
    let path = file
        .path
        .ok_or("HOME is not set, so the client's file cannot be found")?;
    if entry.is_none() && !path.exists() {
        return print(&format!("{} has no server `{name}`.\n", client.title()));
    }
    let before = Before::read(&path).map_err(|error| error.of_client())?;
    let old = before.bytes().unwrap_or_default();
    let edited = match entry {
        Some(entry) => put_entry(old, file.list, name, entry),
        None => take_entry(old, file.list, name),
    };
    let edited = edited.map_err(|error| {
        let is_taken = matches!(error, ClientFileError::Taken(_));
        let path = path.clone();
        let error = KeyfileError::Client { path, error };
        match entry {
            Some(entry) if !is_taken => {
                let snippet = snippet(file.list, name, entry);
                format!("{error}\nYou can add this there yourself:\n{snippet}")
            }
            _ => error.to_string(),
        }
    })?;
    let Some(text) = edited else {
        return print(&match entry {
            Some(_) => format!("{} has the server `{name}` already.\n", client.title()),
            None => format!("{} has no server `{name}`.\n", client.title()),
        });
    };
    if install.dry_run {
        return print(&match entry {
            Some(entry) => format!(
                "Would put this into {}:\n{}\n",
                ShownPath(&path),
                snippet(file.list, name, entry)
            ),
            None => format!("Would take `{name}` out of {}.\n", ShownPath(&path)),
        });
    }
    let mut words = done(install, target);
    let replacement = before
        .replaced_by(text, true)
        .map_err(|error| error.of_client())?;
    if !replacement.is_new {
        let copy = replacement
            .keep_copy(COPY)
            .map_err(|error| error.of_client())?;
        let _ = writeln!(words, "The file before is kept as {}.", ShownPath(&copy));
    }
    replacement
        .put_in_force()
        .map_err(|error| error.of_client())?;
    print(&words)
}

/// Shows what a person can do.
fn show(install: &Install, target: &Target, arguments: Option<&[String]>) -> Result<(), String> {
    let client = install.client;
    let title = client.title();
    let mut words = String::new();
    if let Some(arguments) = arguments {
        let line = command_line(client.name(), arguments);
        let _ = writeln!(
            words,
            "`{}` is not on PATH, so nothing was changed. Where it is installed, run:\n{line}",
            client.name()
        );
    }
    let file = client.file(&Environment::of_process());
    match client.entry(target) {
        // Codex has TOML, and its command is the way.
        Some(entry) if client != Client::Codex => {
            let or = if arguments.is_some() { "Or put" } else { "Put" };
            let _ = writeln!(
                words,
                "{or} this into {}:\n{}",
                shown(file.path.as_deref()),
                snippet(file.list, &install.name, &entry)
            );
        }
        None if arguments.is_none() => {
            return Err(format!(
                "{title} takes no such server from its file; add the address in its settings"
            ));
        }
        _ => {}
    }
    words.push_str(about_key(target).trim_start());
    print(&(words.trim_end().to_owned() + "\n"))?;
    match install.dry_run || arguments.is_none() {
        true => Ok(()),
        false => Err(format!("{title} is not set up")),
    }
}

/// The entry in the object that a file has outermost.
fn snippet(list: &str, name: &str, entry: &Value) -> String {
    format!("{:#}", json!({list: {name: entry}}))
}

fn shown(path: Option<&Path>) -> String {
    path.map_or_else(|| "its file".to_owned(), |path| ShownPath(path).to_string())
}

/// The lines that say what comes after a new configuration.
pub(super) fn next_steps(config: Option<&Path>, first: Option<&TopicFilter>, key: bool) -> String {
    let program = match on_path("mcpmqtt") {
        Some(_) => "mcpmqtt".to_owned(),
        None => own_program().map_or("mcpmqtt".to_owned(), |it| it.display().to_string()),
    };
    let line = |arguments: &[&str]| {
        let mut arguments: Vec<String> = arguments.iter().map(|&it| it.to_owned()).collect();
        if let Some(config) = config {
            arguments.push("--config".into());
            arguments.push(config.display().to_string());
        }
        command_line(&program, &arguments)
    };
    let mut steps = Vec::new();
    if let Some(filter) = first {
        let topic = format!("topic={}", filter.as_str());
        steps.push((
            line(&["--call", "mqtt_topics", &topic]),
            "shows what an agent sees".to_owned(),
        ));
    }
    if key {
        steps.push((
            line(&["--transport", "remotehttp"]),
            "serves agents over HTTP".to_owned(),
        ));
    }
    let begun = steps.len();
    let environment = Environment::of_process();
    let found = Client::ALL
        .into_iter()
        .filter(|it| it.is_found(&environment));
    steps.extend(found.map(|client| {
        (
            line(&["--install", client.name()]),
            format!("{} {}", client.adds(), client.title()),
        )
    }));
    let width = steps
        .iter()
        .map(|(line, _)| line.len())
        .max()
        .unwrap_or_default();
    let mut text = "Next:".to_owned();
    for (line, what) in &steps {
        let _ = write!(text, "\n  {line:width$}  {what}");
    }
    if steps.len() == begun {
        let line = line(&["--install", "CLIENT"]);
        let _ = write!(
            text,
            "\n  {line}  adds it to an MCP client, such as {}",
            Client::ALLOWED
        );
    }
    text
}

/// This program, as a client should name it: by the place on PATH if that is it, which stays the same at an update.
fn own_program() -> Result<PathBuf, String> {
    let own =
        std::env::current_exe().map_err(|error| format!("cannot find this program: {error}"))?;
    let real = |path: &Path| path.canonicalize().ok();
    let usual = on_path("mcpmqtt").filter(|path| real(path) == real(&own));
    Ok(usual.unwrap_or(own))
}

/// Where PATH has a program.
fn on_path(program: &str) -> Option<PathBuf> {
    let path = std::env::var_os("PATH")?;
    let is_program = |path: &PathBuf| {
        let found = path.metadata();
        found.is_ok_and(|found| found.is_file() && found.permissions().mode() & 0o111 != 0)
    };
    let folders = std::env::split_paths(&path).filter(|folder| folder.is_absolute());
    folders.map(|folder| folder.join(program)).find(is_program)
}

fn utf8(path: &Path) -> Result<String, String> {
    let text = path.to_str().map(str::to_owned);
    text.ok_or_else(|| format!("{} is not UTF-8 text, which clients want", ShownPath(path)))
}

/// A command as a shell takes it.
fn command_line(program: &str, arguments: &[String]) -> String {
    let words = std::iter::once(program).chain(arguments.iter().map(String::as_str));
    words.map(shell_word).collect::<Vec<_>>().join(" ")
}

fn shell_word(word: &str) -> String {
    let is_plain = |byte: u8| byte.is_ascii_alphanumeric() || b"_@%+=:,./-".contains(&byte);
    match !word.is_empty() && word.bytes().all(is_plain) {
        true => word.to_owned(),
        false => format!("'{}'", word.replace('\'', r"'\''")),
    }
}

const COPY: &str = ".before-mcpmqtt";
