//! Puts a new API key into a configuration file: `--genkey` without its printing.
//!
//! Promises: nothing changes before [`Prepared::put_in_force`], and the file is then replaced in one step where its
//! folder allows that, and written in place after a copy is safe where not; a symlink stays and its target is
//! replaced; mode, owner and group are kept, or nothing is done; no one but the owner can read the new text before
//! it is in place; no temporary file stays behind, unless it is all that is left of the old text.
//!
//! Access control lists and extended attributes are carried over only where the file is written in place.

use std::fmt;
use std::fs::{DirBuilder, File, Metadata, OpenOptions};
use std::io::{self, ErrorKind, Read as _, Seek as _, Write as _};
use std::os::unix::fs::{DirBuilderExt as _, MetadataExt as _, OpenOptionsExt as _, fchown};
use std::path::{Path, PathBuf};

use mcpmqtt_config::{FIRST_FILE, GenkeyError, MAX_FILE_BYTES, Rotation, Secret, rotate_bytes};
use mcpmqtt_protocol::topic::ShownPath;

use super::{exposure, location};

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
    /// The path as the file was named.
    named: PathBuf,
    before: Vec<u8>,
    text: String,
    /// The temporary file that takes the file's place; `None` where the folder takes no new file, or the file has other
    /// names.
    beside: Option<Temporary>,
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
    let at = |doing| {
        move |error| KeyfileError::File {
            doing,
            path: path.to_owned(),
            error,
        }
    };
    let (target, before) = match path.canonicalize() {
        Ok(target) => {
            // It is opened for both, so that may be what is not allowed.
            let before = read(&target).map_err(at("read and write"))?;
            (target, Some(before))
        }
        Err(error) if error.kind() == ErrorKind::NotFound && !path.is_symlink() => {
            (path.to_owned(), None)
        }
        Err(error) => return Err(at("find")(error)),
    };
    let old = before
        .as_ref()
        .map_or(FIRST_FILE.as_bytes(), |(old, _)| old);
    let entropy = random().map_err(at("make a key for"))?;
    let Rotation {
        text,
        key,
        replaces,
        socket,
    } = rotate_bytes(old, entropy, location::own_socket(path).as_deref()).map_err(|error| {
        KeyfileError::Content {
            path: path.to_owned(),
            error,
        }
    })?;
    let metadata = before.as_ref().map(|(_, metadata)| metadata);
    if before.is_none() && folders {
        make_folders(&target).map_err(at("write"))?;
    }
    let beside = beside(&target, &text, metadata).map_err(at("write"))?;
    Ok(Prepared {
        key,
        socket,
        change: match (&before, replaces) {
            (None, _) => Change::NewFile,
            (Some(_), false) => Change::FirstKey,
            (Some(_), true) => Change::Replaces,
        },
        warnings: exposure::of_file(&target, "the configuration", Some("it holds a secret"))
            .into_iter()
            .collect(),
        file: target,
        named: path.to_owned(),
        before: before.map(|(old, _)| old).unwrap_or_default(),
        text,
        beside,
    })
}

impl Prepared {
    /// Writes the key's hash into the file.
    ///
    /// # Errors
    /// The key is not in force; the file is as it was, unless the error says otherwise.
    pub fn put_in_force(self) -> Result<(), KeyfileError> {
        let failed = |error| KeyfileError::File {
            doing: "write",
            path: self.named.clone(),
            error,
        };
        if let Some(beside) = self.beside {
            match beside.rename(&self.file) {
                // A file that is a mount point cannot be replaced.
                Err(error) if error.kind() == ErrorKind::ResourceBusy => {}
                other => return other.map_err(failed),
            }
        }
        let kept = copy(&self.before).map_err(failed)?;
        let Err(error) = overwrite(&self.file, self.text.as_bytes()) else {
            return Ok(());
        };
        if overwrite(&self.file, &self.before).is_ok() {
            return Err(failed(error));
        }
        Err(KeyfileError::Damaged {
            path: self.named.clone(),
            copy: kept.keep(),
            error,
        })
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
    /// What is in the file cannot hold a key; the file is as it was.
    Content {
        /// The file, as it was named.
        path: PathBuf,
        /// What is wrong with the file's content.
        error: GenkeyError,
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
                    f.write_str("; run it as the user who may write there, such as with `sudo`")?;
                }
                Ok(())
            }
            Self::Content { path, error } => {
                // The line of a fault in the file, with its caret, comes after the sentence.
                let text = error.to_string();
                let (reason, line) = text.split_at(text.find('\n').unwrap_or(text.len()));
                write!(
                    f,
                    "{}: {reason}; the file is unchanged{line}",
                    ShownPath(path)
                )
            }
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

impl std::error::Error for KeyfileError {}

/// The text of a file that we may also write: renaming would get around a write protection that is meant.
fn read(target: &Path) -> io::Result<(Vec<u8>, Metadata)> {
    if !target.metadata()?.is_file() {
        return Err(io::Error::new(
            ErrorKind::InvalidInput,
            "not a regular file",
        ));
    }
    let file = OpenOptions::new().read(true).write(true).open(target)?;
    let before = file.metadata()?;
    let mut text = Vec::new();
    file.take(MAX_FILE_BYTES as u64 + 1)
        .read_to_end(&mut text)?;
    Ok((text, before))
}

/// A file with the new text that can take the place of the one at `target`; none where it has to be written in place.
fn beside(target: &Path, text: &str, before: Option<&Metadata>) -> io::Result<Option<Temporary>> {
    // Its other names would keep the old key.
    if before.is_some_and(|before| before.nlink() > 1) {
        return Ok(None);
    }
    let folder = folder_of(target);
    let mut temporary = match Temporary::create(folder) {
        Ok(temporary) => temporary,
        Err(error)
            if before.is_some()
                && matches!(
                    error.kind(),
                    ErrorKind::PermissionDenied | ErrorKind::ReadOnlyFilesystem
                ) =>
        {
            return Ok(None);
        }
        Err(error) => return Err(error),
    };
    let file = &mut temporary.file;
    file.write_all(text.as_bytes())?;
    if let Some(before) = before {
        let made = file.metadata()?;
        if (made.uid(), made.gid()) != (before.uid(), before.gid()) {
            fchown(&*file, Some(before.uid()), Some(before.gid()))?;
        }
        // After the owner: a change of owner may clear bits of the mode.
        file.set_permissions(before.permissions())?;
    }
    file.sync_all()?;
    Ok(Some(temporary))
}

fn folder_of(target: &Path) -> &Path {
    match target.parent() {
        Some(folder) if !folder.as_os_str().is_empty() => folder,
        _ => Path::new("."),
    }
}

fn make_folders(target: &Path) -> io::Result<()> {
    let mut builder = DirBuilder::new();
    builder
        .recursive(true)
        .mode(0o700)
        .create(folder_of(target))
}

/// A copy of the old text, where the system keeps temporary files.
fn copy(text: &[u8]) -> io::Result<Temporary> {
    let mut copy = Temporary::create(&std::env::temp_dir())?;
    copy.file.write_all(text)?;
    copy.file.sync_all()?;
    Ok(copy)
}

fn overwrite(target: &Path, text: &[u8]) -> io::Result<()> {
    let mut file = OpenOptions::new().write(true).open(target)?;
    file.rewind()?;
    file.write_all(text)?;
    file.set_len(text.len() as u64)?;
    file.sync_all()
}

/// Random bytes from the operating system.
fn random<const N: usize>() -> io::Result<[u8; N]> {
    let mut bytes = [0; N];
    getrandom::fill(&mut bytes).map_err(|error| io::Error::other(error.to_string()))?;
    Ok(bytes)
}

/// A file that is removed again unless it is renamed or kept.
#[derive(Debug)]
struct Temporary {
    file: File,
    path: PathBuf,
    present: bool,
}

impl Temporary {
    fn create(folder: &Path) -> io::Result<Self> {
        let name = format!(".mcpmqtt-{:016x}.tmp", u64::from_ne_bytes(random()?));
        let path = folder.join(name);
        // `create_new` is O_EXCL: nobody's file is overwritten and no planted symlink is followed.
        let file = OpenOptions::new()
            .write(true)
            .create_new(true)
            .mode(0o600)
            .open(&path)?;
        Ok(Self {
            file,
            path,
            present: true,
        })
    }

    fn rename(mut self, target: &Path) -> io::Result<()> {
        std::fs::rename(&self.path, target)?;
        self.present = false;
        // The new file is in place: a folder that cannot be synced (some network file systems) loses at most the
        // rename.
        let _ = File::open(folder_of(target)).and_then(|folder| folder.sync_all());
        Ok(())
    }

    fn keep(mut self) -> PathBuf {
        self.present = false;
        std::mem::take(&mut self.path)
    }
}

impl Drop for Temporary {
    fn drop(&mut self) {
        if self.present {
            let _ = std::fs::remove_file(&self.path);
        }
    }
}
