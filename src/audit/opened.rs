//! The files of a record that this process writes, and adding a line to them.
//!
//! Promises: one process writes a record, which it holds by a lock; a line is in the file whole or not at all, as far as
//! the process lives; files are kept in the size and number that the operator wants. A system call may fail at any
//! place, and the process may end at any place: the next one goes on after the last whole line.

use std::fs::{self, File, Metadata, OpenOptions, Permissions};
use std::io::{self, Read as _, Seek as _, SeekFrom, Write as _};
use std::os::unix::fs::{MetadataExt as _, OpenOptionsExt as _};
use std::path::Path;
use std::sync::Arc;
use std::time::SystemTime;

use mcpmqtt_config::{Audit, AuditPayload};
use mcpmqtt_protocol::topic::ShownPath;
use rustix::fs::{Access, FlockOperation, OFlags, flock};

use super::chain::{Hash, Head, number};
use super::entry::Key;
use super::names::Names;
use super::recovery::{Rest, Tail};
use crate::io_error;

/// The record that this process writes, and no other as long as this is there.
#[derive(Debug)]
pub(crate) struct Place {
    names: Names,
    _lock: File,
    is_first: bool,
}

/// The open record.
#[derive(Debug)]
pub(crate) struct Opened {
    names: Names,
    file: Arc<File>,
    /// The file's device and number, by which it is known that it is still in its place.
    identity: (u64, u64),
    pub(crate) head: Head,
    /// The number of the file's first line.
    first: u64,
    pub(crate) key: Key,
    /// What has to be synced beside the file: the files before it, and the folder.
    full: Vec<Arc<File>>,
}

impl Opened {
    /// Opens the record. `known` is the head of what this process has written already.
    ///
    /// # Errors
    /// The reason, with the path.
    pub(crate) fn open(
        settings: &Audit,
        place: &Place,
        known: Option<Head>,
    ) -> Result<(Opened, Rest), String> {
        let names = place.names.clone();
        let key = match settings.payload {
            AuditPayload::Hash => at(&names.key, read_or_make_key(&names, place.is_first))?,
            AuditPayload::Full | AuditPayload::None => Key::default(),
        };
        let path = &names.current;
        regular(path)?;
        let file = at(path, appending().create(true).open(path))?;
        let tail = at(path, tail(&file))?;
        let before = match (tail.head, known) {
            (None, _) if matches!(tail.rest, Rest::Damaged { .. }) => {
                let shown = ShownPath(path);
                return Err(format!("{shown} is no record of mcpmqtt; move it away"));
            }
            // Lines that somebody took away are missing in the record, too.
            (_, Some(known)) => known,
            (Some(head), None) => head,
            (None, None) => head_of_full(&names)?,
        };
        if let Rest::Cut { .. } = tail.rest {
            at(path, file.set_len(tail.kept))?;
        }
        if tail.lacks_line_end {
            at(path, (&file).write_all(b"\n"))?;
        }
        let first = at(path, first_number(&file))?;
        let identity = at(path, identity(&file))?;
        let opened = Opened {
            first: first.unwrap_or(before.n + 1),
            names,
            identity,
            file: Arc::new(file),
            head: before,
            key,
            full: Vec::new(),
        };
        Ok((opened, tail.rest))
    }

    /// Adds a line.
    ///
    /// # Errors
    /// The reason, with the path. Nothing of the line is in the file, unless it has to be opened again.
    pub(crate) fn add(
        &mut self,
        settings: &Audit,
        time: SystemTime,
        event: &str,
        members: &str,
    ) -> Result<(), NotAdded> {
        let (line, head) = self.head.next(time, event, members);
        let found = fs::metadata(&self.names.current).ok();
        let in_place = |found: &Metadata| (found.dev(), found.ino()) == self.identity;
        // Otherwise somebody moved the file away or deleted it.
        let Some(found) = found.filter(in_place) else {
            return Err(self.replaced());
        };
        let mut size = found.len();
        if size > 0 && size + line.len() as u64 > settings.max_bytes {
            let mode = found.permissions();
            let turned = self.turn_over(settings.keep, mode);
            turned.map_err(|error| self.not_added(&error, true))?;
            size = 0;
        }
        if size == 0 {
            self.first = head.n;
        }
        if let Err(error) = (&*self.file).write_all(line.as_bytes()) {
            let undone = self.file.set_len(size);
            return Err(self.not_added(&error, undone.is_err()));
        }
        self.head = head;
        Ok(())
    }

    /// Renames the full file and begins another; the oldest ones go.
    fn turn_over(&mut self, keep: usize, mode: Permissions) -> io::Result<()> {
        let full = self.names.full(self.first);
        if full.exists() {
            let why = format!("{} is there already", ShownPath(&full));
            return Err(io::Error::other(why));
        }
        fs::rename(&self.names.current, &full)?;
        // If the process ends here, the next one makes the file.
        let file = appending().create_new(true).open(&self.names.current)?;
        file.set_permissions(mode)?;
        self.identity = identity(&file)?;
        let before = std::mem::replace(&mut self.file, Arc::new(file));
        self.full.push(before);
        self.full.push(Arc::new(File::open(self.names.folder())?));
        let all = self.names.all_full()?;
        for oldest in all.iter().take(all.len().saturating_sub(keep)) {
            fs::remove_file(oldest)?;
        }
        Ok(())
    }

    /// What has to be synced so that all lines so far are on the disk.
    pub(crate) fn unsynced(&mut self) -> Vec<Arc<File>> {
        let mut files = std::mem::take(&mut self.full);
        files.push(Arc::clone(&self.file));
        files
    }

    /// The file that lines are added to.
    pub(crate) fn path(&self) -> &Path {
        &self.names.current
    }

    fn replaced(&self) -> NotAdded {
        NotAdded {
            why: format!("{} was moved away", ShownPath(self.path())),
            reopen: true,
            is_moved: true,
        }
    }

    fn not_added(&self, error: &io::Error, reopen: bool) -> NotAdded {
        NotAdded {
            why: words(self.path(), error),
            reopen,
            is_moved: false,
        }
    }
}

/// Why a line was not added.
#[derive(Debug)]
pub(crate) struct NotAdded {
    pub(crate) why: String,
    /// The file is in a state that only opening it again mends.
    pub(crate) reopen: bool,
    /// It was moved away or deleted, so another can be begun at once.
    pub(crate) is_moved: bool,
}

/// What would keep a start from writing the record. Nothing is made or written.
pub(crate) fn doubt(settings: &Audit) -> Option<String> {
    let path = &settings.file;
    let why = match fs::metadata(path) {
        Ok(found) if !found.is_file() => format!("{} is not a regular file", ShownPath(path)),
        Ok(_) => match at(path, appending().open(path).and_then(|file| tail(&file))) {
            Ok(tail) if tail.head.is_none() && matches!(tail.rest, Rest::Damaged { .. }) => {
                format!("{} is no record of mcpmqtt; move it away", ShownPath(path))
            }
            Ok(_) => return None,
            Err(why) => why,
        },
        Err(_) => {
            let names = Names::new(path, 1);
            let access = Access::WRITE_OK | Access::EXEC_OK;
            let tried = rustix::fs::access(names.folder(), access);
            words(names.folder(), &tried.err()?.into())
        }
    };
    Some(why)
}

/// Looked at before it is opened, since opening a device may set it in motion.
fn regular(path: &Path) -> Result<(), String> {
    match fs::metadata(path) {
        Ok(found) if !found.is_file() => Err(format!("{} is not a regular file", ShownPath(path))),
        _ => Ok(()),
    }
}

/// Takes the first record that no other process writes.
///
/// # Errors
/// The reason, with the path.
pub(crate) fn take_place(settings: &Audit) -> Result<Place, String> {
    regular(&settings.file)?;
    let places = if settings.required { 1 } else { MOST_PLACES };
    for place in 1..=places {
        let names = Names::new(&settings.file, place);
        let lock = OpenOptions::new()
            .write(true)
            .create(true)
            .truncate(false)
            .mode(MODE)
            .custom_flags(FLAGS.bits() as i32)
            .open(&names.lock);
        let lock = at(&names.lock, lock)?;
        match flock(&lock, FlockOperation::NonBlockingLockExclusive) {
            Ok(()) => {
                return Ok(Place {
                    names,
                    _lock: lock,
                    is_first: place == 1,
                });
            }
            Err(rustix::io::Errno::WOULDBLOCK) => {}
            Err(error) => return Err(words(&names.lock, &error.into())),
        }
    }
    let shown = ShownPath(&settings.file);
    Err(match settings.required {
        true => format!(
            "another process writes {shown}, and with `audit.required` there is one writer alone"
        ),
        false => format!("{MOST_PLACES} other processes write {shown} and the records beside it"),
    })
}

/// The tail of a file, which is looked for from its end.
fn tail(file: &File) -> io::Result<TailInFile> {
    let size = file.metadata()?.len();
    let mut window = FIRST_WINDOW;
    loop {
        let start = size.saturating_sub(window);
        let mut bytes = Vec::new();
        let mut reader = file;
        reader.seek(SeekFrom::Start(start))?;
        reader.take(window).read_to_end(&mut bytes)?;
        let tail = Tail::of(&bytes);
        if tail.head.is_some() || start == 0 {
            return Ok(TailInFile {
                kept: start + tail.kept as u64,
                head: tail.head,
                rest: tail.rest,
                lacks_line_end: tail.lacks_line_end,
            });
        }
        window *= 8;
    }
}

/// A [`Tail`] with its place in the file.
struct TailInFile {
    head: Option<Head>,
    rest: Rest,
    kept: u64,
    lacks_line_end: bool,
}

/// The last line of the newest full file; without one, the record begins.
fn head_of_full(names: &Names) -> Result<Head, String> {
    let full = at(names.folder(), names.all_full())?;
    let Some(newest) = full.last() else {
        return Ok(Head::default());
    };
    let tail = at(newest, File::open(newest).and_then(|file| tail(&file)))?;
    tail.head.ok_or_else(|| {
        format!(
            "{} is no record of mcpmqtt; move it away",
            ShownPath(newest)
        )
    })
}

fn identity(file: &File) -> io::Result<(u64, u64)> {
    let found = file.metadata()?;
    Ok((found.dev(), found.ino()))
}

fn first_number(file: &File) -> io::Result<Option<u64>> {
    let mut bytes = Vec::new();
    let mut reader = file;
    reader.seek(SeekFrom::Start(0))?;
    reader.take(64).read_to_end(&mut bytes)?;
    Ok(number(&bytes))
}

/// The key beside the record. The first of several processes makes it.
fn read_or_make_key(names: &Names, is_first: bool) -> io::Result<Key> {
    match read_key(&names.key) {
        Err(error) if error.kind() == io::ErrorKind::NotFound && is_first => {}
        read => return read,
    }
    let mut key = Key::default();
    getrandom::fill(&mut key).map_err(io::Error::other)?;
    let unfinished = &names.unfinished_key;
    let mut file = OpenOptions::new()
        .write(true)
        .create(true)
        .truncate(true)
        .mode(MODE)
        .open(unfinished)?;
    writeln!(file, "{}", Hash::from(key))?;
    file.sync_all()?;
    fs::rename(unfinished, &names.key)?;
    Ok(key)
}

fn read_key(path: &Path) -> io::Result<Key> {
    let bytes = crate::file::read(path, 128)?;
    let text = std::str::from_utf8(&bytes).unwrap_or_default();
    let key = Hash::parse(text.trim_end());
    let key = key.ok_or_else(|| io::Error::other("it is no key of 64 hexadecimal digits"))?;
    Ok(key.into())
}

fn appending() -> OpenOptions {
    let mut options = OpenOptions::new();
    options
        .read(true)
        .append(true)
        .mode(MODE)
        .custom_flags(FLAGS.bits() as i32);
    options
}

fn at<T>(path: &Path, done: io::Result<T>) -> Result<T, String> {
    done.map_err(|error| words(path, &error))
}

fn words(path: &Path, error: &io::Error) -> String {
    format!("{}: {}", ShownPath(path), io_error::describe(error))
}

const MODE: u32 = 0o600;
const FLAGS: OFlags = OFlags::NONBLOCK.union(OFlags::NOCTTY);
const FIRST_WINDOW: u64 = 64 << 10;
/// Processes that write at the same time, with the same configuration.
const MOST_PLACES: usize = 64;
