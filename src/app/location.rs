//! Where the configuration is: in the file that was named, or in the first of the usual places that has one.
//!
//! Promises: a file that exists is taken or is an error. One that cannot be read is never passed over for the next
//! place, whose permissions may be other ones.

use std::ffi::OsString;
use std::fs;
use std::io::ErrorKind;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};

use mcpmqtt_protocol::topic::{Shown, ShownPath};

use super::home;
use crate::file;
use crate::io_error;

/// Where the configuration is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Location {
    /// In this file, which somebody named.
    Named(PathBuf),
    /// In this file, the first that exists.
    Usual(PathBuf),
    /// No configuration file exists.
    Absent {
        /// Where a first file belongs, if the environment says so.
        first: Option<PathBuf>,
        /// The places that were searched, as text.
        why: String,
    },
}

impl Location {
    /// The file that exists or was named.
    #[must_use]
    pub fn file(&self) -> Option<&Path> {
        match self {
            Self::Named(path) | Self::Usual(path) => Some(path),
            Self::Absent { .. } => None,
        }
    }
}

/// The environment variables that name places.
#[derive(Clone, Debug, Default)]
pub struct Environment {
    /// `MCPMQTT_CONFIG`: the configuration.
    pub config: Option<OsString>,
    /// `XDG_CONFIG_HOME`: the directory of the user's configurations.
    pub xdg_config_home: Option<OsString>,
    /// `HOME`: the user's own directory.
    pub home: Option<OsString>,
}

impl Environment {
    /// The environment of this process.
    #[must_use]
    pub fn of_process() -> Self {
        Self {
            config: std::env::var_os("MCPMQTT_CONFIG"),
            xdg_config_home: std::env::var_os("XDG_CONFIG_HOME"),
            home: std::env::var_os("HOME"),
        }
    }

    /// The user's own configuration file, whether it exists or not. `None` when neither variable names a directory.
    #[must_use]
    pub fn own_file(&self) -> Option<PathBuf> {
        let base = self.own_directory()?;
        Some(base.join("mcpmqtt").join("config.json"))
    }

    /// The directory of the user's configurations.
    #[must_use]
    pub fn own_directory(&self) -> Option<PathBuf> {
        let own = || Some(self.home_directory()?.join(".config"));
        absolute(self.xdg_config_home.as_ref()).or_else(own)
    }

    /// The user's own directory.
    #[must_use]
    pub fn home_directory(&self) -> Option<PathBuf> {
        absolute(self.home.as_ref())
    }
}

/// XDG Base Directory Specification 0.8: relative paths in these variables are to be ignored.
fn absolute(path: Option<&OsString>) -> Option<PathBuf> {
    path.map(PathBuf::from).filter(|path| path.is_absolute())
}

/// Where the configuration of this process is; `named` is the file of `--config`.
///
/// # Errors
/// `MCPMQTT_CONFIG` names no path.
pub fn locate(named: Option<&Path>) -> Result<Location, String> {
    locate_in(named, &Environment::of_process(), Path::new(SYSTEM_FILE))
}

/// As [`locate`], in this environment, where `system` is the file for all users of the machine.
///
/// # Errors
/// `MCPMQTT_CONFIG` names no path.
pub fn locate_in(
    named: Option<&Path>,
    environment: &Environment,
    system: &Path,
) -> Result<Location, String> {
    if let Some(path) = named {
        return Ok(Location::Named(path.to_owned()));
    }
    // An empty variable counts as unset, as in most programs.
    if let Some(path) = environment
        .config
        .as_deref()
        .filter(|path| !path.is_empty())
    {
        let path =
            home::expand(Path::new(path)).map_err(|why| format!("`MCPMQTT_CONFIG`: {why}"))?;
        return Ok(Location::Named(path));
    }
    let own = environment.own_file();
    let mut absent = Vec::new();
    let mut others = String::new();
    if let Some(own) = &own {
        match look_at(own) {
            Lookup::File => return Ok(Location::Usual(own.clone())),
            Lookup::Nothing => absent.push(own.as_path()),
            // HOME may be another user's, as under `sudo -u`, or `/dev/null`.
            Lookup::Hidden(why) => {
                others = format!("; {} cannot be looked for: {why}", ShownPath(own));
            }
        }
    }
    match look_at(system) {
        // A file whose existence cannot be determined is read all the same, so that the error gives the reason.
        Lookup::File | Lookup::Hidden(_) => return Ok(Location::Usual(system.to_owned())),
        Lookup::Nothing => absent.push(system),
    }
    let absent: Vec<_> = absent
        .into_iter()
        .map(|path| ShownPath(path).to_string())
        .collect();
    let mut why = format!("there is no configuration file {}", absent.join(" or "));
    if own.is_none() {
        why = format!("neither XDG_CONFIG_HOME nor HOME is set, and {why}");
    }
    Ok(Location::Absent {
        first: own,
        why: why + &others,
    })
}

enum Lookup {
    File,
    Nothing,
    /// It may be there, but this user cannot look; why.
    Hidden(String),
}

/// A symlink that leads nowhere counts: somebody put it there.
fn look_at(path: &Path) -> Lookup {
    match path.symlink_metadata() {
        Ok(_) => Lookup::File,
        Err(error) => match error.kind() {
            ErrorKind::NotFound => Lookup::Nothing,
            ErrorKind::NotADirectory | ErrorKind::PermissionDenied => {
                Lookup::Hidden(io_error::describe(&error))
            }
            _ => Lookup::File,
        },
    }
}

/// The advice for a user who is not allowed to read the file at `path`; text that follows the error, or nothing.
pub(crate) fn remedy_for(path: &Path) -> String {
    // The file may be readable, and a directory above it not.
    let Some((place, found)) = path
        .ancestors()
        .find_map(|place| Some((place, fs::metadata(place).ok()?)))
    else {
        return String::new();
    };
    let needed = if found.is_dir() {
        GROUP_SEARCH
    } else {
        GROUP_READ
    };
    // Nobody should join the group of root to read a file.
    if found.mode() & needed == 0 || found.gid() == 0 {
        let who = if found.uid() == 0 {
            "root"
        } else {
            "its owner"
        };
        return format!("; only {who} can read {}", ShownPath(place));
    }
    let group = group_name(found.gid()).unwrap_or_else(|| found.gid().to_string());
    let group = Shown(&group);
    format!(
        "; the members of the group {group} can read it: `sudo usermod -aG {} \"$USER\"`, then log in again",
        group.to_string().trim_matches('`')
    )
}

/// Where a server of this user can listen, whose configuration is the file at `config`. `None` for root, who can make
/// the usual socket, and where no text says the place.
pub(crate) fn own_socket(config: &Path) -> Option<String> {
    let user = rustix::process::geteuid();
    if user.is_root() {
        return None;
    }
    // XDG Base Directory Specification 0.8: the directory of sockets is the user's own.
    let is_own = |path: &PathBuf| {
        let found = fs::metadata(path);
        path.is_absolute()
            && found.is_ok_and(|found| found.is_dir() && found.uid() == user.as_raw())
    };
    let directory = std::env::var_os("XDG_RUNTIME_DIR")
        .map(PathBuf::from)
        .filter(is_own);
    let directory = match directory {
        Some(directory) => directory,
        None => std::path::absolute(config).ok()?.parent()?.to_owned(),
    };
    directory.join("mcpmqtt.sock").to_str().map(str::to_owned)
}

/// As the machine's own file has it. A static program can ask no directory service.
fn group_name(gid: u32) -> Option<String> {
    let text = file::read(Path::new("/etc/group"), GROUPS_BYTES).ok()?;
    let text = String::from_utf8_lossy(&text);
    // group(5): name:password:number:members
    text.lines().find_map(|line| {
        let mut fields = line.split(':');
        let name = fields.next()?;
        (fields.nth(1)?.parse() == Ok(gid)).then(|| name.to_owned())
    })
}

/// The configuration file for all users of the machine.
pub const SYSTEM_FILE: &str = "/etc/mcpmqtt/config.json";

const GROUPS_BYTES: usize = 1 << 20;
const GROUP_READ: u32 = 0o040;
const GROUP_SEARCH: u32 = 0o010;
