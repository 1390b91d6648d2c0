//! Puts a new API key into a configuration file: `--genkey` without its printing.
//!
//! Promises: the file is replaced in one step or not at all, whatever fails; a symlink stays and its target is
//! replaced; mode, owner and group are kept, or nothing is done; no one but the owner can read the new text before
//! it is in place; no temporary file stays behind.
//!
//! Access control lists and extended attributes are not carried over, and a second hard link keeps the old text.

use std::fmt;
use std::fs::{File, Metadata, OpenOptions};
use std::io::{self, Read as _, Write as _};
use std::os::unix::fs::{MetadataExt as _, OpenOptionsExt as _, fchown};
use std::path::{Path, PathBuf};

use mcpmqtt_config::{GenkeyError, MAX_FILE_BYTES, Rotation, Secret, rotate};
use mcpmqtt_protocol::topic::ShownPath;

/// A key that is in force.
#[derive(Debug)]
pub struct Rotated {
    /// Show it once; it is nowhere else.
    pub key: Secret,
    /// The file that was replaced, symlinks resolved.
    pub file: PathBuf,
    /// What the operator should know about the file.
    pub warnings: Vec<String>,
}

/// Makes a new API key and puts its hash into the configuration file at `path`. Takes some tenths of a second.
pub fn rotate_key(path: &Path) -> Result<Rotated, KeyfileError> {
    let at = |doing| {
        move |error| KeyfileError::File {
            doing,
            path: path.to_owned(),
            error,
        }
    };
    let target = path.canonicalize().map_err(at("find"))?;
    let (text, before) = read(&target).map_err(at("read"))?;
    let entropy = random().map_err(at("make a key for"))?;
    let Rotation { text, key } = rotate(&text, entropy).map_err(|error| KeyfileError::Content {
        path: path.to_owned(),
        error,
    })?;
    replace(&target, &text, &before).map_err(at("write"))?;
    let mut warnings = Vec::new();
    if before.mode() & 0o004 != 0 {
        let mode = before.mode() & 0o7777;
        let shown = ShownPath(&target);
        warnings.push(format!(
            "every user can read {shown} (mode {mode:04o}), secrets included; `chmod 600` it"
        ));
    }
    Ok(Rotated {
        key,
        file: target,
        warnings,
    })
}

/// Why there is no new key. The file is as it was.
#[derive(Debug)]
pub enum KeyfileError {
    /// The file system or the operating system refused.
    File {
        /// What was tried with the file.
        doing: &'static str,
        /// The file, as it was named.
        path: PathBuf,
        /// The reason.
        error: io::Error,
    },
    /// What is in the file cannot hold a key.
    Content {
        /// The file, as it was named.
        path: PathBuf,
        /// What is wrong.
        error: GenkeyError,
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
                )
            }
            Self::Content { path, error } => {
                write!(f, "{}: {error}; the file is unchanged", ShownPath(path))
            }
        }
    }
}

impl std::error::Error for KeyfileError {}

/// The text of a file that we may also write: renaming would get around a write protection that is meant.
fn read(target: &Path) -> io::Result<(String, Metadata)> {
    if !target.metadata()?.is_file() {
        return Err(io::Error::new(
            io::ErrorKind::InvalidInput,
            "not a regular file",
        ));
    }
    let file = OpenOptions::new().read(true).write(true).open(target)?;
    let before = file.metadata()?;
    let mut text = String::new();
    file.take(MAX_FILE_BYTES as u64 + 1)
        .read_to_string(&mut text)?;
    Ok((text, before))
}

fn replace(target: &Path, text: &str, before: &Metadata) -> io::Result<()> {
    let folder = target.parent().unwrap_or(Path::new("/"));
    let name = format!(".mcpmqtt-{:016x}.tmp", u64::from_ne_bytes(random()?));
    let (mut file, mut temporary) = Temporary::create(folder.join(name))?;
    file.write_all(text.as_bytes())?;
    let made = file.metadata()?;
    if (made.uid(), made.gid()) != (before.uid(), before.gid()) {
        fchown(&file, Some(before.uid()), Some(before.gid()))?;
    }
    // After the owner: a change of owner may clear bits of the mode.
    file.set_permissions(before.permissions())?;
    file.sync_all()?;
    std::fs::rename(&temporary.path, target)?;
    temporary.present = false;
    // The new file is in place: a folder that cannot be synced (some network file systems) loses at most the rename.
    let _ = File::open(folder).and_then(|folder| folder.sync_all());
    Ok(())
}

/// Bytes from the operating system.
fn random<const N: usize>() -> io::Result<[u8; N]> {
    let mut bytes = [0; N];
    getrandom::fill(&mut bytes).map_err(|error| io::Error::other(error.to_string()))?;
    Ok(bytes)
}

/// A file that is removed again unless it has been renamed.
struct Temporary {
    path: PathBuf,
    present: bool,
}

impl Temporary {
    fn create(path: PathBuf) -> io::Result<(File, Self)> {
        // `create_new` is O_EXCL: nobody's file is overwritten and no planted symlink is followed.
        let file = OpenOptions::new()
            .write(true)
            .create_new(true)
            .mode(0o600)
            .open(&path)?;
        Ok((
            file,
            Self {
                path,
                present: true,
            },
        ))
    }
}

impl Drop for Temporary {
    fn drop(&mut self) {
        if self.present {
            let _ = std::fs::remove_file(&self.path);
        }
    }
}
