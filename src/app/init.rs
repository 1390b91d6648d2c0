//! `--init`: from nothing to a configuration that works.
//!
//! Promises: nothing is written before the broker took the connection; an existing file is never changed; the file and a
//! password that was typed are the owner's alone to read; agents may read what a person accepted or the command line
//! named, and write nothing.

mod choice;
mod dialog;
mod draft;
mod listen;
mod name;
mod proposal;
mod write;

use std::io::ErrorKind;
use std::path::{Path, PathBuf};
use std::time::Duration;

use mcpmqtt_protocol::topic::{Shown, ShownPath, TopicFilter};

use self::dialog::{agree, ask, say, show};
use self::draft::Draft;
use self::listen::{Heard, Remedy, Unreached};
use self::proposal::Proposals;
use super::cli::Init;
use super::location::Environment;
use super::{home, install, replacement, run};
use crate::logger;

/// Makes the file.
///
/// # Errors
/// Why there is none.
pub(super) fn run(init: &Init) -> Result<(), String> {
    let path = target(init.path.as_deref())?;
    refuse_existing(&path)?;
    let asks = !init.yes;
    if asks && !dialog::can_ask() {
        return Err(NO_TERMINAL.into());
    }
    if init.key {
        run::refuse_to_lose_a_key()?;
    }
    // What the connection has to say is said here.
    logger::set_level(mcpmqtt_config::LogLevel::Critical);
    say(&format!("This makes {}.", ShownPath(&path)));
    let mut draft = first_draft(init, asks)?;
    let named = !init.topics.is_empty();
    let mut filters = init.topics.clone();
    if !named {
        filters.extend(TopicFilter::parse("#"));
    }
    let time = init.seconds.unwrap_or(USUAL_TIME);
    let mut heard = reach(&mut draft, &filters, time, asks)?;
    if named {
        refuse_ungranted(&heard)?;
        say(&summary(&heard, None));
        say_odd(&heard, filters.iter());
    } else {
        filters = choose(&mut draft, &mut heard, time)?;
    }
    draft.topics = filters
        .into_iter()
        .map(|filter| {
            let is_unknown = heard.is_lost && !proposal::is_heard(&heard.table, &filter);
            let description = match is_unknown {
                true => UNKNOWN.to_owned(),
                false => {
                    let about = proposal::about_filter(&heard.table, &filter, heard.looked);
                    format!("{about} {SEEN}")
                }
            };
            (filter, description)
        })
        .collect();
    let key =
        init.key || (asks && agree("Make an API key, for agents that come over HTTP?", false)?);
    write::write(&draft, &path, key)?;
    let config = init.path.is_some().then_some(path.as_path());
    let first = draft.topics.first().map(|(filter, _)| filter);
    say(&install::next_steps(config, first, key));
    Ok(())
}

/// The file to make.
fn target(named: Option<&Path>) -> Result<PathBuf, String> {
    let path = match named {
        Some(path) => path.to_owned(),
        None => match std::env::var_os("MCPMQTT_CONFIG").filter(|path| !path.is_empty()) {
            Some(path) => {
                home::expand(Path::new(&path)).map_err(|why| format!("`MCPMQTT_CONFIG`: {why}"))?
            }
            None => Environment::of_process().own_file().ok_or(
                "neither XDG_CONFIG_HOME nor HOME is set; name the file: `mcpmqtt --init PATH`",
            )?,
        },
    };
    let path =
        std::path::absolute(&path).map_err(|error| format!("{}: {error}", ShownPath(&path)))?;
    match path.is_dir() {
        true => Ok(path.join("config.json")),
        false => Ok(path),
    }
}

fn refuse_existing(path: &Path) -> Result<(), String> {
    match path.symlink_metadata() {
        Ok(_) => Err(format!(
            "{} is there already, and `--init` changes no file; `mcpmqtt --check --connect` tries it, \
             `mcpmqtt --init PATH` makes another",
            ShownPath(path)
        )),
        Err(_) => refuse_unwritable(path),
    }
}

/// Before the person has answered anything.
fn refuse_unwritable(path: &Path) -> Result<(), String> {
    let folder = path.ancestors().skip(1).find(|folder| folder.exists());
    let folder = folder.unwrap_or(Path::new("/"));
    // A permission says too little: no mode tells of `/proc` or of a read-only file system.
    replacement::try_folder(folder).map_err(|error| {
        let other = match error.kind() {
            ErrorKind::PermissionDenied => "run it as the user who may write there, or ",
            _ => "",
        };
        let error = crate::io_error::describe(&error);
        format!(
            "cannot make {}: {error} in {}; {other}name another file: `mcpmqtt --init PATH`",
            ShownPath(path),
            ShownPath(folder)
        )
    })
}

/// What the command line and the first questions say of the broker.
fn first_draft(init: &Init, asks: bool) -> Result<Draft, String> {
    let absolute = |path: &PathBuf| {
        std::path::absolute(path).map_err(|error| format!("{}: {error}", ShownPath(path)))
    };
    let mut draft = Draft {
        tls: init.tls,
        ca_file: init.ca_file.as_ref().map(absolute).transpose()?,
        username: init.username.clone(),
        password_file: init.password_file.as_ref().map(absolute).transpose()?,
        ..Draft::default()
    };
    match (&init.broker, asks) {
        (Some(broker), _) => draft
            .set_broker(broker)
            .map_err(|why| format!("`--broker`: {why}"))?,
        (None, false) => draft.set_broker(USUAL_BROKER)?,
        (None, true) => ask_for_broker(&mut draft, USUAL_BROKER)?,
    }
    if asks && draft.username.is_some() && draft.password_file.is_none() {
        ask_for_password(&mut draft)?;
    }
    Ok(draft)
}

/// Connects and listens; asks for what is missing until the broker takes it.
fn reach(
    draft: &mut Draft,
    filters: &[TopicFilter],
    time: Duration,
    asks: bool,
) -> Result<Heard, String> {
    loop {
        say(&format!("Connecting to the broker at {}.", draft.place()));
        let unreached = match draft.config() {
            Ok(mut config) => {
                let listened = listen::listen(&mut config, filters, time, &mut show);
                show("");
                match listened {
                    Ok(heard) => return Ok(heard),
                    Err(unreached) => unreached,
                }
            }
            Err(words) => Unreached {
                words,
                remedy: Remedy::Address,
            },
        };
        if !asks {
            let option = match unreached.remedy {
                Remedy::Login => " (`--username`, `--password-file`)",
                Remedy::Tls => " (`--tls`)",
                Remedy::Authority | Remedy::PasswordFile | Remedy::Address => "",
            };
            return Err(unreached.words + option + "; nothing is written");
        }
        say(&format!("Not connected: {}.", unreached.words));
        mend(draft, unreached.remedy)?;
    }
}

/// Asks for what may help.
fn mend(draft: &mut Draft, remedy: Remedy) -> Result<(), String> {
    match remedy {
        Remedy::Login => {
            let before = draft.username.clone().unwrap_or_default();
            let name = ask("User name", &before)?;
            draft.username = Some(name).filter(|name| !name.is_empty());
            ask_for_password(draft)
        }
        Remedy::Tls if agree("Connect with TLS?", true)? => {
            draft.tls = true;
            Ok(())
        }
        Remedy::Authority => {
            let before = draft.ca_file.take();
            draft.ca_file = ask_for_file("File with the authority's certificate (PEM)")?;
            match before.is_some() || draft.ca_file.is_some() {
                true => Ok(()),
                false => ask_for_broker(draft, &draft.address()),
            }
        }
        Remedy::PasswordFile => {
            draft.password_file = ask_for_file("File with the password, or Enter to type it")?;
            match draft.password_file {
                Some(_) => Ok(()),
                None => ask_for_password(draft),
            }
        }
        Remedy::Tls | Remedy::Address => ask_for_broker(draft, &draft.address()),
    }
}

fn ask_for_broker(draft: &mut Draft, default: &str) -> Result<(), String> {
    loop {
        match draft.set_broker(&ask("Broker, as host or host:port", default)?) {
            Ok(()) => return Ok(()),
            Err(why) => say(&format!("{why}.")),
        }
    }
}

/// `None`: the person named no file.
fn ask_for_file(question: &str) -> Result<Option<PathBuf>, String> {
    loop {
        let path = ask(question, "")?;
        if path.is_empty() {
            return Ok(None);
        }
        let path = home::expand(Path::new(&path));
        match path.map(|path| std::path::absolute(&path)) {
            Ok(Ok(path)) => return Ok(Some(path)),
            Ok(Err(error)) => say(&format!("{error}.")),
            Err(why) => say(&format!("{why}.")),
        }
    }
}

fn ask_for_password(draft: &mut Draft) -> Result<(), String> {
    draft.password_file = None;
    draft.typed = None;
    if draft.username.is_some() {
        let typed = dialog::secret("Password")?;
        draft.typed = Some(typed).filter(|typed| !typed.expose().is_empty());
    }
    Ok(())
}

/// A filter that is named has to be granted.
fn refuse_ungranted(heard: &Heard) -> Result<(), String> {
    match heard.refused.first() {
        Some((filter, why)) => Err(format!(
            "the broker does not grant {}: {why}; nothing is written",
            Shown(filter.as_str())
        )),
        None => Ok(()),
    }
}

/// Has the person choose among what came.
fn choose(
    draft: &mut Draft,
    heard: &mut Heard,
    time: Duration,
) -> Result<Vec<TopicFilter>, String> {
    for (filter, why) in &heard.refused {
        say(&format!(
            "The broker does not grant {}: {why}.",
            Shown(filter.as_str())
        ));
    }
    let proposals = proposal::propose(&heard.table, heard.looked);
    say(&summary(heard, Some(&proposals)));
    for (number, proposal) in (1..).zip(&proposals.list) {
        let filter = proposal.filter.as_str();
        say(&format!("{number:3}  {filter}"));
        if proposal.pattern != filter {
            say(&format!("     {}", proposal.pattern));
        }
        say(&format!("     {}", proposal.about));
        if proposal.odd > 0 {
            say(&format!("     This {}", also_odd(proposal.odd)));
        }
        if filter.starts_with('+') {
            say(&format!("     {WIDE}"));
        }
    }
    let is_empty = proposals.list.is_empty();
    let (question, default) = match is_empty {
        true => ("Topics that agents may read (such as sensors/#)", "none"),
        false => {
            say(HOW_TO_CHOOSE);
            ("What may agents read?", "all")
        }
    };
    loop {
        let filters = match choice::choose(&ask(question, default)?, &proposals.list) {
            Ok(filters) => filters,
            Err(why) => {
                say(&format!("{why}."));
                continue;
            }
        };
        let is_typed = |it: &&TopicFilter| !proposals.list.iter().any(|known| known.filter == **it);
        say_odd(heard, filters.iter().filter(is_typed));
        if filters.is_empty() && !agree("Agents may then read nothing. Go on?", false)? {
            continue;
        }
        if confirm_unheard(draft, heard, &filters, time)? {
            return Ok(filters);
        }
    }
}

/// Says which of the filters permit topics with odd names.
fn say_odd<'f>(heard: &Heard, filters: impl Iterator<Item = &'f TopicFilter>) {
    for filter in filters {
        match proposal::odd_topics(&heard.table, filter) {
            0 => {}
            odd => say(&format!("{} {}", Shown(filter.as_str()), also_odd(odd))),
        }
    }
}

fn also_odd(odd: usize) -> String {
    let noun = if odd == 1 { "topic" } else { "topics" };
    format!("also permits {odd} {noun} with an odd name, which agents then see.")
}

/// Listens to filters of which nothing came, which may be wrong, or just not retained.
fn confirm_unheard(
    draft: &mut Draft,
    heard: &mut Heard,
    filters: &[TopicFilter],
    time: Duration,
) -> Result<bool, String> {
    let is_unheard = |filter: &&TopicFilter| !proposal::is_heard(&heard.table, filter);
    let unheard: Vec<_> = filters.iter().filter(is_unheard).cloned().collect();
    if unheard.is_empty() {
        return Ok(true);
    }
    // A broker that withheld `#` may grant less.
    if !heard.refused.is_empty() {
        *heard = reach(draft, filters, time, true)?;
        for (filter, why) in &heard.refused {
            say(&format!(
                "The broker does not grant {}: {why}.",
                Shown(filter.as_str())
            ));
        }
        if !heard.refused.is_empty() {
            return Ok(false);
        }
    }
    for filter in &unheard {
        if !proposal::is_heard(&heard.table, filter) {
            let filter = Shown(filter.as_str());
            if !agree(
                &format!("Nothing came on {filter}. Permit it anyway?"),
                false,
            )? {
                return Ok(false);
            }
        }
    }
    Ok(true)
}

/// What came, in a line or two.
fn summary(heard: &Heard, proposals: Option<&Proposals>) -> String {
    let topics = heard.table.len();
    let seconds = heard.looked.as_secs();
    if topics == 0 {
        return match heard.refused.is_empty() {
            true => format!("Connected, but nothing came within {seconds} s. {SILENT}"),
            false => "Connected.".into(),
        };
    }
    let noun = if topics == 1 { "topic" } else { "topics" };
    let mut words = format!("Connected. {topics} {noun} came within {seconds} s");
    if let Some(why) = &heard.cut_short {
        words.push_str(&format!("; {why}"));
    }
    words.push('.');
    if let Some(left_out) = heard.table.left_out() {
        let more = left_out.topics_at_least;
        words.push_str(&format!(
            " There are at least {more} more, for which there was no room."
        ));
    }
    let (odd, left_out) = proposals.map_or((0, 0), |it| (it.odd, it.left_out));
    match odd {
        0 => {}
        1 => words.push_str(" One has an odd name and is not counted below."),
        odd => words.push_str(&format!(" {odd} have odd names and are not counted below.")),
    }
    if left_out > 0 {
        words.push_str(&format!(
            " {left_out} are in no group; name a filter for them."
        ));
    }
    words
}

const USUAL_BROKER: &str = "localhost";
const USUAL_TIME: Duration = Duration::from_secs(5);

const NO_TERMINAL: &str = "`--init` asks questions, and this is not a terminal; name everything instead: \
    `mcpmqtt --init --yes --broker HOST --topic FILTER`";
const SILENT: &str = "The broker may have no retained values, or its access list may keep this user from reading: \
    most brokers do not report that.";
const HOW_TO_CHOOSE: &str = "Agents may then read these topics, and write nothing. Answer with all, none, numbers \
    (1 3-5, or -2 for all but 2) or topic filters.";
const WIDE: &str = "This also permits topics below any other first level.";
const UNKNOWN: &str = "Not known: the connection to the broker was lost while this file was made.";
const SEEN: &str = "(Seen when this file was made.)";
