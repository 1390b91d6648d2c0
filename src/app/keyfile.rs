//! Puts a new API key into a configuration file: `--genkey` without its printing.
//!
//! Promises: nothing changes before [`Prepared::put_in_force`]; `replacement` says how the file is changed then.

use std::fmt;
use std::io::{self, ErrorKind};
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};

use mcpmqtt_config::{ClientFileError, GenkeyError, NamedKeyError, Rotation, Secret, rotate_bytes};
use mcpmqtt_protocol::topic::ShownPath;

use super::location;
use super::replacement::{Replacement, random};

/// A new key that is not in force yet.
#[derive(Debug)]
pub struct Prepared {
    /// The key as text. Show the key once; it is stored nowhere else.
    pub key: Secret,
    /// The file that will hold its hash, symlinks resolved.
    pub file: PathBuf,
    /// What the key is to the file.
    pub change: Change,
    /// Where the server will listen, if the file did not say so before.
    pub socket: Option<String>,
    /// What the operator should know about the file.
    pub warnings: Vec<String>,
    replacement: Replacement,
}

/// What a new key is to its file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Change {
    /// There was no file.
    NewFile,
    /// The file had no key.
    FirstKey,
    /// The key before it ends.
    Replaces,
}

/// Makes a new API key for the configuration file at `path`, which is made with the built-in defaults if it is not
/// there; so is its folder, with `folders`. Takes some tenths of a second.
///
/// # Errors
/// The file is as it was.
pub fn prepare(path: &Path, folders: bool) -> Result<Prepared, KeyfileError> {
    let entropy = random().map_err(|error| KeyfileError::no_key(path, error))?;
    let (replacement, rotation) = Replacement::prepare(path, folders, |old| {
        let rotated = rotate_bytes(old, entropy, location::own_socket(path).as_deref());
        let rotated = rotated.map_err(|error| KeyfileError::Content {
            path: path.to_owned(),
            error,
        })?;
        Ok((rotated.text.clone(), rotated))
    })?;
    let Rotation {
        key,
        replaces,
        socket,
        ..
    } = rotation;
    Ok(Prepared {
        key,
        socket,
        change: match (replacement.is_new, replaces) {
            (true, _) => Change::NewFile,
            (false, false) => Change::FirstKey,
            (false, true) => Change::Replaces,
        },
        warnings: replacement.warnings(),
        file: replacement.file.clone(),
        replacement,
    })
}

impl Prepared {
    /// Writes the key's hash into the file.
    ///
    /// # Errors
    /// The key is not in force; the file is as it was, unless the error says otherwise.
    pub fn put_in_force(self) -> Result<(), KeyfileError> {
        self.replacement.put_in_force()
    }
}

/// Why there is no new key.
#[derive(Debug)]
pub enum KeyfileError {
    /// The file system or the operating system refused; the file is as it was.
    File {
        /// What was tried with the file.
        doing: &'static str,
        /// The file, as it was named.
        path: PathBuf,
        /// The reason, from the operating system.
        error: io::Error,
    },
    /// The named keys in the file are not changed; the file is as it was.
    Key {
        /// The file, as it was named.
        path: PathBuf,
        /// The reason.
        error: NamedKeyError,
    },
    /// What is in the file cannot hold a key; the file is as it was.
    Content {
        /// The file, as it was named.
        path: PathBuf,
        /// What is wrong with the file's content.
        error: GenkeyError,
    },
    /// The file is that of an MCP client and is not edited; it is as it was.
    Client {
        /// The file, as it was named.
        path: PathBuf,
        /// The reason.
        error: ClientFileError,
    },
    /// Neither the new text nor the old one could be written in place.
    Damaged {
        /// The file, as it was named.
        path: PathBuf,
        /// A file with the old text.
        copy: PathBuf,
        /// The reason, from the operating system.
        error: io::Error,
    },
}

impl fmt::Display for KeyfileError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::File { doing, path, error } => {
                write!(
                    f,
                    "cannot {doing} {}: {error}; the file is unchanged",
                    ShownPath(path)
                )?;
                if error.kind() == ErrorKind::PermissionDenied {
                    let other = "; run it as the user who may write there, such as with `sudo`";
                    f.write_str(&remedy(path).unwrap_or_else(|| other.to_owned()))?;
                }
                Ok(())
            }
            Self::Content { path, error } => unchanged(f, path, &error.to_string()),
            Self::Client { path, error } => unchanged(f, path, &error.to_string()),
            Self::Key { path, error } => unchanged(f, path, &error.to_string()),
            Self::Damaged { path, copy, error } => {
                write!(
                    f,
                    "cannot write {}: {error}; the file is damaged, and {} has what was in it",
                    ShownPath(path),
                    ShownPath(copy)
                )
            }
        }
    }
}

/// What lets this user write the file, where its mode alone forbids that.
fn remedy(path: &Path) -> Option<String> {
    let found = path.metadata().ok()?;
    let is_own = found.is_file() && found.uid() == rustix::process::geteuid().as_raw();
    (is_own && found.mode() & 0o200 == 0).then(|| {
        let path = ShownPath(path).to_string();
        format!(
            "; the file is yours: `chmod u+w {}` permits it",
            path.trim_matches('`')
        )
    })
}

impl KeyfileError {
    /// In words, for the file of an MCP client, which is no work for root.
    pub(super) fn of_client(&self) -> String {
        match self {
            Self::File { doing, path, error } if error.kind() == ErrorKind::PermissionDenied => {
                let other = "; the file and its directory have to be yours";
                format!(
                    "cannot {doing} {}: {error}; the file is unchanged{}",
                    ShownPath(path),
                    remedy(path).unwrap_or_else(|| other.to_owned())
                )
            }
            other => other.to_string(),
        }
    }

    /// There are no random bytes to make a key of.
    pub(super) fn no_key(path: &Path, error: io::Error) -> Self {
        Self::File {
            doing: "make a key for",
            path: path.to_owned(),
            error,
        }
    }
}

/// Why the file is unchanged. The line of a fault in the file, with its caret, comes after the sentence.
fn unchanged(f: &mut fmt::Formatter<'_>, path: &Path, why: &str) -> fmt::Result {
    let (reason, line) = why.split_at(why.find('\n').unwrap_or(why.len()));
    write!(
        f,
        "{}: {reason}; the file is unchanged{line}",
        ShownPath(path)
    )
}

impl std::error::Error for KeyfileError {}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use std::os::unix::fs::PermissionsExt as _;

    use super::*;

    #[test]
    fn a_failure_names_the_file_and_what_is_in_it_now() {
        let path = Path::new("/etc/mcpmqtt/config.json");
        let denied = KeyfileError::no_key(path, ErrorKind::PermissionDenied.into());
        assert_eq!(
            denied.to_string(),
            "cannot make a key for `/etc/mcpmqtt/config.json`: permission denied; the file is unchanged; run it as the user who \
             may write there, such as with `sudo`"
        );
        let damaged = KeyfileError::Damaged {
            path: path.to_owned(),
            copy: PathBuf::from("/etc/mcpmqtt/.config.json.17"),
            error: ErrorKind::StorageFull.into(),
        };
        assert_eq!(
            damaged.to_string(),
            "cannot write `/etc/mcpmqtt/config.json`: no storage space; the file is damaged, and `/etc/mcpmqtt/.config.json.17` \
             has what was in it"
        );
    }

    /// That is no work for another user.
    #[test]
    fn a_file_of_ones_own_that_is_write_protected_has_its_remedy() {
        let path = std::env::temp_dir().join(format!("mcpmqtt-keyfile-{}", std::process::id()));
        std::fs::write(&path, "{}").unwrap();
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o400)).unwrap();
        let failed = |path: &Path| KeyfileError::File {
            doing: "read and write",
            path: path.to_owned(),
            error: ErrorKind::PermissionDenied.into(),
        };
        let own = failed(&path);
        let remedy = format!(
            "; the file is yours: `chmod u+w {}` permits it",
            path.display()
        );
        for words in [own.to_string(), own.of_client()] {
            assert!(words.ends_with(&remedy), "{words}");
        }
        std::fs::remove_file(&path).unwrap();
        let other = failed(&path);
        assert!(other.to_string().contains("sudo"));
        assert!(!other.of_client().contains("sudo"));
    }
}
