//! Puts another text into a configuration file.
//!
//! Promises: nothing changes before [`Replacement::put_in_force`], and the file is then replaced in one step where its
//! folder allows that, and written in place after a copy is safe where not; what another process wrote meanwhile is not
//! undone; a symlink stays and its target is replaced; mode, owner and group are kept, or nothing is done; no one but the
//! owner can read the new text before it is in place; no temporary file stays behind, unless it is all that is left of the
//! old text.
//!
//! Access control lists and extended attributes are carried over only where the file is written in place.

use std::fs::{DirBuilder, File, Metadata, OpenOptions};
use std::io::{self, ErrorKind, Read as _, Seek as _, Write as _};
use std::os::unix::fs::{DirBuilderExt as _, MetadataExt as _, OpenOptionsExt as _, fchown};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use mcpmqtt_config::{FIRST_FILE, MAX_FILE_BYTES};
use rustix::fs::{CWD, RenameFlags, renameat_with};
use rustix::io::Errno;

use super::keyfile::KeyfileError;
use super::{exposure, lock};

/// The new text of a file, which is not in force yet.
#[derive(Debug)]
pub(super) struct Replacement {
    /// The file that will hold it, symlinks resolved.
    pub(super) file: PathBuf,
    /// Whether there was no file.
    pub(super) is_new: bool,
    /// The path as the file was named.
    named: PathBuf,
    before: Vec<u8>,
    text: String,
    /// The temporary file that takes the file's place; `None` where the folder takes no new file, or the file has other
    /// names.
    beside: Option<Temporary>,
    /// Held until the new text is in force.
    _lock: Option<File>,
}

/// A file as it is.
#[derive(Debug)]
pub(super) struct Before {
    /// The path as it was named.
    named: PathBuf,
    /// The same, symlinks resolved.
    target: PathBuf,
    /// `None`: there is no file.
    found: Option<(Vec<u8>, Metadata)>,
    /// The file, or the folder of one that is not there yet: no other command of ours edits the file while it is open.
    lock: Option<File>,
}

impl Before {
    /// Locks and reads the file, which has to be one that we may also write.
    ///
    /// # Errors
    /// The file system refuses.
    pub(super) fn read(path: &Path) -> Result<Before, KeyfileError> {
        let until = Instant::now() + PATIENCE;
        loop {
            let (target, found) = match path.canonicalize() {
                Ok(target) => {
                    // It is opened for both, so that may be what is not allowed.
                    let found =
                        open(&target).map_err(|error| failed("read and write", path, error))?;
                    (target, Some(found))
                }
                Err(error) if error.kind() == ErrorKind::NotFound && !path.is_symlink() => {
                    (path.to_owned(), None)
                }
                Err(error) => return Err(failed("find", path, error)),
            };
            let is_there = found.is_some();
            // A folder that cannot be opened is not locked: a new file takes nobody's place in any case.
            let lock = found.or_else(|| File::open(folder_of(&target)).ok());
            if let Some(lock) = &lock {
                lock::wait(lock, until);
            }
            // Only now: its mode may have been changed while the lock was waited for.
            let metadata = lock.as_ref().filter(|_| is_there).map(File::metadata);
            let metadata = metadata.transpose();
            let metadata = metadata.map_err(|error| failed("read", path, error))?;
            // The process that had the lock has put another file there. Some file systems number a file twice, so that this
            // is asked for no longer than the lock; what comes after it finds a change.
            let place = |of: Metadata| (of.dev(), of.ino());
            let is_other = path.metadata().ok().map(place) != metadata.clone().map(place);
            if is_other && Instant::now() < until {
                std::thread::sleep(PAUSE);
                continue;
            }
            let found = match (&lock, metadata) {
                (Some(file), Some(metadata)) => {
                    let text = text_of(file).map_err(|error| failed("read", path, error))?;
                    Some((text, metadata))
                }
                _ => None,
            };
            return Ok(Before {
                named: path.to_owned(),
                target,
                found,
                lock,
            });
        }
    }

    /// What is in the file, if there is one.
    pub(super) fn bytes(&self) -> Option<&[u8]> {
        self.found.as_ref().map(|(bytes, _)| bytes.as_slice())
    }

    /// Prepares `text` to take its place. The folder of a new file is made, too, with `folders`.
    ///
    /// # Errors
    /// The file is as it was.
    pub(super) fn replaced_by(
        self,
        text: String,
        folders: bool,
    ) -> Result<Replacement, KeyfileError> {
        let metadata = self.found.as_ref().map(|(_, metadata)| metadata);
        let made = match metadata {
            None if folders => make_folders(&self.target),
            _ => Ok(()),
        };
        let beside = made.and_then(|()| beside(&self.target, &text, metadata));
        Ok(Replacement {
            beside: beside.map_err(|error| failed("write", &self.named, error))?,
            file: self.target,
            is_new: self.found.is_none(),
            named: self.named,
            before: self.found.map(|(bytes, _)| bytes).unwrap_or_default(),
            text,
            _lock: self.lock,
        })
    }
}

fn failed(doing: &'static str, path: &Path, error: io::Error) -> KeyfileError {
    KeyfileError::File {
        doing,
        path: path.to_owned(),
        error,
    }
}

impl Replacement {
    /// Prepares what `edit` makes of the bytes of the configuration file at `path`; of a file that is not there, of the
    /// built-in defaults. The folder of such a file is made, too, with `folders`.
    ///
    /// # Errors
    /// The file is as it was.
    pub(super) fn prepare<T>(
        path: &Path,
        folders: bool,
        edit: impl FnOnce(&[u8]) -> Result<(String, T), KeyfileError>,
    ) -> Result<(Replacement, T), KeyfileError> {
        let before = Before::read(path)?;
        let (text, edited) = edit(before.bytes().unwrap_or(FIRST_FILE.as_bytes()))?;
        Ok((before.replaced_by(text, folders)?, edited))
    }

    /// What the operator should know about the file.
    pub(super) fn warnings(&self) -> Vec<String> {
        let exposed = exposure::of_file(&self.file, "the configuration", Some("it holds a secret"));
        exposed.into_iter().collect()
    }

    /// Keeps a copy of the old text beside the file, in the place of an earlier copy.
    ///
    /// # Errors
    /// There is no new copy.
    pub(super) fn keep_copy(&self, ending: &str) -> Result<PathBuf, KeyfileError> {
        let mut path = self.file.clone().into_os_string();
        path.push(ending);
        let path = PathBuf::from(path);
        let kept = Temporary::create(folder_of(&path)).and_then(|mut copy| {
            copy.file.write_all(&self.before)?;
            copy.file.sync_all()?;
            copy.rename(&path)
        });
        let named = &self.named;
        kept.map(|()| path)
            .map_err(|error| failed("keep a copy of", named, error))
    }

    /// Writes the new text into the file.
    ///
    /// # Errors
    /// The file is as it was, unless the error says otherwise.
    pub(super) fn put_in_force(self) -> Result<(), KeyfileError> {
        let named = self.named.clone();
        let failed = |error| failed("write", &named, error);
        // The lock keeps no editor away, and not every file system has locks.
        let is_same = self.is_new
            || crate::file::read(&self.file, MAX_FILE_BYTES + 1)
                .is_ok_and(|now| now == self.before);
        if !is_same {
            let why = "another process has changed it meanwhile; do it again with what it is now";
            return Err(failed(io::Error::other(why)));
        }
        if let Some(beside) = self.beside {
            let placed = match self.is_new {
                true => beside.place(&self.file),
                false => beside.rename(&self.file),
            };
            match placed {
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

/// A file that we may also write: renaming would get around a write protection that is meant.
fn open(target: &Path) -> io::Result<File> {
    if !target.metadata()?.is_file() {
        return Err(io::Error::new(
            ErrorKind::InvalidInput,
            "not a regular file",
        ));
    }
    OpenOptions::new().read(true).write(true).open(target)
}

fn text_of(file: &File) -> io::Result<Vec<u8>> {
    let mut text = Vec::new();
    file.take(MAX_FILE_BYTES as u64 + 1)
        .read_to_end(&mut text)?;
    Ok(text)
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

/// Makes a file that only its owner can read, in one step, where there is none; its folder is made, too.
///
/// # Errors
/// There is no new file; something may be in its place.
pub(super) fn create(target: &Path, bytes: &[u8]) -> io::Result<()> {
    make_folders(target)?;
    let mut temporary = Temporary::create(folder_of(target))?;
    temporary.file.write_all(bytes)?;
    temporary.file.sync_all()?;
    temporary.place(target)
}

/// Whether a file can be made in the folder; none stays there.
///
/// # Errors
/// None can.
pub(super) fn try_folder(folder: &Path) -> io::Result<()> {
    Temporary::create(folder).map(drop)
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
pub(super) fn random<const N: usize>() -> io::Result<[u8; N]> {
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

    /// As [`rename`](Self::rename), where there is no file yet.
    fn place(mut self, target: &Path) -> io::Result<()> {
        match renameat_with(CWD, &self.path, CWD, target, RenameFlags::NOREPLACE) {
            Ok(()) => self.present = false,
            // A file system without this takes a second name, and the first goes with this.
            Err(Errno::INVAL | Errno::NOSYS) => std::fs::hard_link(&self.path, target)?,
            Err(error) => return Err(error.into()),
        }
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

/// Between two looks at a file that another process puts in its place.
const PAUSE: Duration = Duration::from_millis(20);
/// Commands before this one may make a key on a slow machine, which takes seconds.
const PATIENCE: Duration = Duration::from_secs(30);
