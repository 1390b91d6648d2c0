//! The names of a record's files.
//!
//! Lines are added to `audit.jsonl`. Once full, it is renamed to `audit.jsonl.0000000042`, after the number of its first
//! line; with ten digits the names sort as the lines do. `audit.jsonl.lock` is held by the process that writes, and
//! `audit.jsonl.key` holds the key of the payloads' hashes. A second process has the record `audit.2.jsonl`.

use std::ffi::{OsStr, OsString};
use std::fs;
use std::io;
use std::os::unix::ffi::OsStrExt as _;
use std::path::{Path, PathBuf};

use mcpmqtt_protocol::sort::sort_by_key;

/// The files of the record that the `place`th of several processes writes.
#[derive(Clone, Debug)]
pub(crate) struct Names {
    pub(crate) current: PathBuf,
    pub(crate) lock: PathBuf,
    /// Shared by the records of all processes, so that their hashes can be compared.
    pub(crate) key: PathBuf,
    /// The key while it is made.
    pub(crate) unfinished_key: PathBuf,
}

impl Names {
    /// `place` counts from 1.
    pub(crate) fn new(file: &Path, place: usize) -> Names {
        let current = match place {
            1 => file.to_owned(),
            place => {
                let mut name = file.file_stem().unwrap_or_default().to_owned();
                name.push(format!(".{place}"));
                if let Some(extension) = file.extension() {
                    name.push(".");
                    name.push(extension);
                }
                file.with_file_name(name)
            }
        };
        Names {
            lock: with(&current, LOCK),
            key: with(file, KEY),
            unfinished_key: with(file, UNFINISHED_KEY),
            current,
        }
    }

    /// The name of the full file whose first line has the number `first`.
    pub(crate) fn full(&self, first: u64) -> PathBuf {
        with(&self.current, &format!(".{first:0DIGITS$}"))
    }

    /// The full files, the oldest first.
    pub(crate) fn all_full(&self) -> io::Result<Vec<PathBuf>> {
        let mut found = Vec::new();
        for entry in fs::read_dir(self.folder())? {
            let path = self.current.with_file_name(entry?.file_name());
            match split(&path) {
                Some((of, first)) if of == self.current => found.push((first, path)),
                _ => {}
            }
        }
        sort_by_key(&mut found, |(first, _)| *first);
        Ok(found.into_iter().map(|(_, path)| path).collect())
    }

    pub(crate) fn folder(&self) -> &Path {
        let folder = self.current.parent();
        let folder = folder.filter(|folder| !folder.as_os_str().is_empty());
        folder.unwrap_or(Path::new("."))
    }
}

/// The record that a full file belongs to, and the number of the file's first line.
pub(crate) fn split(path: &Path) -> Option<(PathBuf, u64)> {
    let name = path.file_name()?.as_bytes();
    let dot = name.len().checked_sub(DIGITS + 1)?;
    let (of, digits) = name.split_at_checked(dot)?;
    let digits = std::str::from_utf8(digits.strip_prefix(b".")?).ok()?;
    let is_number = digits.bytes().all(|digit| digit.is_ascii_digit());
    let first = digits.parse().ok().filter(|_| is_number)?;
    Some((path.with_file_name(OsStr::from_bytes(of)), first))
}

/// Whether the path names a file that lies beside a record and holds no lines.
pub(crate) fn is_beside(path: &Path) -> bool {
    let name = path.as_os_str().as_bytes();
    [LOCK, KEY, UNFINISHED_KEY]
        .iter()
        .any(|end| name.ends_with(end.as_bytes()))
}

fn with(path: &Path, end: &str) -> PathBuf {
    let mut name: OsString = path.as_os_str().to_owned();
    name.push(end);
    name.into()
}

const LOCK: &str = ".lock";
const KEY: &str = ".key";
const UNFINISHED_KEY: &str = ".key.new";
/// Of the number in a full file's name. A longer number has more, and sorts wrongly in a listing alone.
const DIGITS: usize = 10;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_process_has_files_of_its_own_and_the_key_is_shared() {
        let at = |place| Names::new(Path::new("/v/audit.jsonl"), place);
        assert_eq!(at(1).current, Path::new("/v/audit.jsonl"));
        assert_eq!(at(2).current, Path::new("/v/audit.2.jsonl"));
        assert_eq!(at(2).lock, Path::new("/v/audit.2.jsonl.lock"));
        assert_eq!(at(2).key, Path::new("/v/audit.jsonl.key"));
        assert_eq!(Names::new(Path::new("r"), 3).current, Path::new("r.3"));
        assert_eq!(Names::new(Path::new("r"), 3).folder(), Path::new("."));
        let full = at(1).full(42);
        assert_eq!(full, Path::new("/v/audit.jsonl.0000000042"));
        assert_eq!(split(&full), Some((at(1).current, 42)));
        assert_eq!(split(&at(2).current), None);
        assert_eq!(split(Path::new("a.+000000042")), None);
        assert!(is_beside(&at(1).lock) && is_beside(&at(1).key) && !is_beside(&full));
    }
}
