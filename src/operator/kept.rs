//! The halts that outlive the process, in a directory that several processes may share.
//!
//! Promises: a file is whole from its first moment and is never changed; one that cannot be read is a halt, not the lack of
//! one. A lift that was used does not count again after a restart. No process forgets the halt of another that runs.
//!
//! Each process keeps its own halts in a file of its own, which it holds locked, and for each change it makes another. A
//! process that starts takes up what all files say. It removes a file of another process only if that process has ended, which
//! the lock tells, and only after its own file says the same; what it did not take up it leaves in another file.

use std::cell::RefCell;
use std::fs::{self, File, OpenOptions};
use std::io::{self, ErrorKind, Write as _};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use base64::Engine as _;
use base64::prelude::BASE64_STANDARD as BASE64;
use mcpmqtt_protocol::sort::sort_by_key;
use mcpmqtt_protocol::topic::ShownPath;
use rustix::fs::{FlockOperation, Mode, OFlags, flock};
use rustix::io::Errno;
use serde_json::{Value, json};

use super::MOST_LIFTED;
use super::halt::Halt;
use crate::file;
use crate::logger;

/// Where halts are kept; without a state directory they are not.
#[derive(Debug, Default)]
pub struct Kept(Option<Place>);

#[derive(Debug)]
struct Place {
    directory: PathBuf,
    /// What this process keeps.
    own: RefCell<Option<Own>>,
    /// The files of others whose halts this process took up, and its own that are out of date.
    taken: RefCell<Vec<Taken>>,
}

/// A file that is to go when its process has ended.
#[derive(Debug)]
struct Taken {
    path: PathBuf,
    /// What it says that this process did not take up. Another file is to say it.
    rest: Option<KeptHalts>,
}

/// A file of this process, which is locked as long as this is.
#[derive(Debug)]
struct Own {
    path: PathBuf,
    _lock: File,
}

/// What is kept.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct KeptHalts {
    pub(super) signal: Option<Halt>,
    /// That of the operator's topic, with the message that a lift has to be signed for. Kept where it has to be.
    pub(super) topic: Option<(Halt, Vec<u8>)>,
    /// The tags of lifts, none of which counts twice.
    pub(super) lifted: Vec<String>,
}

impl Kept {
    /// In the directory that the service manager gave this program (`STATE_DIRECTORY`, systemd.exec(5)), if it did.
    #[must_use]
    pub fn from_environment() -> Kept {
        let named = std::env::var_os("STATE_DIRECTORY");
        let Some(named) = named.filter(|named| !named.is_empty()) else {
            return Kept::default();
        };
        // Of several the first is this program's.
        let first = std::env::split_paths(&named).next().unwrap_or_default();
        if !first.is_absolute() || !first.is_dir() {
            logger::warning(format_args!(
                "STATE_DIRECTORY: {} is not the whole path of a directory; a halt is not kept over a restart",
                ShownPath(&first)
            ));
            return Kept::default();
        }
        Kept::in_directory(Some(first))
    }

    /// In this directory.
    #[must_use]
    pub fn in_directory(directory: Option<PathBuf>) -> Kept {
        Kept(directory.map(|directory| Place {
            directory,
            own: RefCell::default(),
            taken: RefCell::default(),
        }))
    }

    /// What other processes keep, those that have ended and those that run. Without `with_topic` the halt of the operator's
    /// topic is left to them.
    pub(super) fn load(&self, with_topic: bool) -> KeptHalts {
        let Some(place) = &self.0 else {
            return KeptHalts::default();
        };
        let mut rounds = (0..ROUNDS).filter_map(|_| place.load(with_topic));
        // What is listed and never there is no file of a process that has ended: a link that leads nowhere.
        rounds
            .next()
            .unwrap_or_else(|| unreadable(&place.directory, "what it names is not there"))
    }

    /// Takes up, of processes that have ended, the halts by a message whose lift is signed: they go with the next change. The
    /// tags of lifts that are kept with them.
    pub(super) fn take_lifted(&self, halting: &[u8]) -> Vec<String> {
        let mut tags = Vec::new();
        let Some(place) = &self.0 else { return tags };
        for path in files(&place.directory).unwrap_or_default() {
            match read(&path) {
                Some(Ok(KeptHalts {
                    signal,
                    topic: Some((_, payload)),
                    lifted,
                })) if payload == halting && has_ended(&path).unwrap_or(false) => {
                    tags.extend(lifted);
                    let rest = signal.map(|signal| KeptHalts {
                        signal: Some(signal),
                        ..KeptHalts::default()
                    });
                    let taken = Taken { path, rest };
                    place.taken.borrow_mut().push(taken);
                }
                _ => {}
            }
        }
        tags
    }

    /// Keeps these halts and no others for this process, and no longer what it took up of processes that have ended.
    ///
    /// # Errors
    /// In words: what is not kept, or still is.
    pub(super) fn store(&self, kept: &KeptHalts) -> Result<(), String> {
        self.0.as_ref().map_or(Ok(()), |place| place.store(kept))
    }
}

impl Place {
    /// `None`: a file went meanwhile, and what it said may be in another one now.
    fn load(&self, with_topic: bool) -> Option<KeptHalts> {
        let mut all = KeptHalts::default();
        let mut taken = Vec::new();
        let files = match files(&self.directory) {
            Ok(files) => files,
            Err(error) => return Some(unreadable(&self.directory, &error.to_string())),
        };
        for path in files {
            let KeptHalts {
                signal,
                topic,
                lifted,
            } = read(&path)?.unwrap_or_else(|why| unreadable(&path, &why));
            all.lifted.retain(|tag| !lifted.contains(tag));
            all.lifted.extend(lifted.iter().cloned());
            let is_signalled = signal.is_some();
            all.signal = signal.or(all.signal);
            if topic.is_none() || with_topic {
                all.topic = topic.or(all.topic);
                taken.push(Taken { path, rest: None });
            } else if is_signalled {
                let rest = Some(KeptHalts {
                    signal: None,
                    topic,
                    lifted,
                });
                taken.push(Taken { path, rest });
            }
        }
        let too_many = all.lifted.len().saturating_sub(MOST_LIFTED);
        all.lifted.drain(..too_many);
        self.taken.replace(taken);
        Some(all)
    }

    fn store(&self, kept: &KeptHalts) -> Result<(), String> {
        let new = match *kept == KeptHalts::default() {
            true => None,
            false => {
                let new = Own::write(&self.directory, told(kept).to_string().as_bytes());
                Some(new.map_err(|error| {
                    let directory = ShownPath(&self.directory);
                    format!("the halt is not kept over a restart: {directory}: {error}")
                })?)
            }
        };
        // Only now: a crash in between keeps too much, not too little.
        let mut taken = self.taken.borrow_mut();
        let old = self.own.replace(new).map(|old| old.path);
        taken.extend(old.map(|path| Taken { path, rest: None }));
        let mut removed = Ok(());
        taken.retain(|taken| match self.remove_of_ended(taken) {
            Ok(is_gone) => !is_gone,
            Err(error) => {
                let path = ShownPath(&taken.path);
                removed = Err(format!(
                    "what was halted once is halted again after a restart, since {path} cannot be removed: {error}"
                ));
                true
            }
        });
        removed
    }

    /// Removes a file unless its process runs. Whether it is gone.
    fn remove_of_ended(&self, Taken { path, rest }: &Taken) -> io::Result<bool> {
        if !has_ended(path)? {
            return Ok(false);
        }
        if let Some(rest) = rest {
            // Nobody holds it locked: it is that of a process that has ended.
            drop(Own::write(
                &self.directory,
                told(rest).to_string().as_bytes(),
            )?);
        }
        match fs::remove_file(path) {
            Err(error) if error.kind() != ErrorKind::NotFound => Err(error),
            _ => Ok(true),
        }
    }
}

impl Own {
    /// Makes a file, locked before it has its name, which it gets when it is whole and on the disk.
    fn write(directory: &Path, bytes: &[u8]) -> io::Result<Own> {
        let id = getrandom::u64().map_err(io::Error::other)?;
        let beside = directory.join(format!("halt-{id:016x}.new"));
        let path = beside.with_extension("json");
        let mut file = OpenOptions::new()
            .write(true)
            .create_new(true)
            .mode(0o600)
            .open(&beside)?;
        // Where the file system has no locks, nobody gets this one and takes this process for one that has ended.
        let _ = flock(&file, FlockOperation::NonBlockingLockExclusive);
        let written = file.write_all(bytes).and_then(|()| file.sync_all());
        if let Err(error) = written.and_then(|()| fs::rename(&beside, &path)) {
            let _ = fs::remove_file(&beside);
            return Err(error);
        }
        // A folder that cannot be synced loses at most the rename.
        let _ = File::open(directory).and_then(|folder| folder.sync_all());
        Ok(Own { path, _lock: file })
    }
}

/// The files that say something, the latest last.
fn files(directory: &Path) -> io::Result<Vec<PathBuf>> {
    let mut files = Vec::new();
    for entry in fs::read_dir(directory)? {
        let entry = entry?;
        let name = entry.file_name();
        let name = name.to_string_lossy();
        if name == ONE_FOR_ALL || (name.starts_with("halt-") && name.ends_with(".json")) {
            let modified = entry.metadata().and_then(|of| of.modified());
            files.push((modified.unwrap_or(UNIX_EPOCH), entry.path()));
        }
    }
    sort_by_key(&mut files, |file| file.0);
    Ok(files.into_iter().map(|(_, path)| path).collect())
}

/// What a file says, or why that is not known. `None`: it is gone.
fn read(path: &Path) -> Option<Result<KeptHalts, String>> {
    let bytes = match file::read(path, MAX_BYTES) {
        Ok(bytes) => bytes,
        Err(error) if error.kind() == ErrorKind::NotFound => return None,
        Err(error) => return Some(Err(error.to_string())),
    };
    let value = serde_json::from_slice(&bytes).ok();
    let parsed = value.as_ref().and_then(parse);
    Some(parsed.ok_or_else(|| "it is not what this program wrote".to_owned()))
}

/// Whether the process of a file runs no longer.
fn has_ended(path: &Path) -> io::Result<bool> {
    if path.file_name() == Some(ONE_FOR_ALL.as_ref()) {
        return Ok(true);
    }
    let flags = OFlags::RDONLY | OFlags::NONBLOCK | OFlags::CLOEXEC;
    let file = match rustix::fs::open(path, flags, Mode::empty()) {
        Err(Errno::NOENT) => return Ok(true),
        file => file?,
    };
    match flock(&file, FlockOperation::NonBlockingLockExclusive) {
        Err(Errno::WOULDBLOCK) => Ok(false),
        locked => Ok(locked.map(|()| true)?),
    }
}

/// A halt that was there may be lost with the file, so that there is one until somebody lifts it.
fn unreadable(path: &Path, why: &str) -> KeptHalts {
    let reason = format!("the kept halt in {} cannot be read: {why}", ShownPath(path));
    KeptHalts {
        signal: Some(Halt::new(SystemTime::now(), None, &reason)),
        ..KeptHalts::default()
    }
}

fn parse(value: &Value) -> Option<KeptHalts> {
    let object = value.as_object()?;
    let of = |name: &str| object.get(name).filter(|value| !value.is_null());
    // Both are always written, so that a file without them is not what this program wrote.
    object.get("signal").and(object.get("topic"))?;
    let lifted = match of("lifted").map(Value::as_array) {
        Some(tags) => tags?
            .iter()
            .map(|tag| tag.as_str().map(str::to_owned))
            .collect::<Option<Vec<_>>>()?,
        // A file of an earlier version.
        None => Vec::new(),
    };
    let topic = of("topic").map(|value| {
        let payload = value.get("payload")?.as_str()?;
        Some((halt(value)?, BASE64.decode(payload).ok()?))
    });
    Some(KeptHalts {
        signal: match of("signal") {
            Some(value) => Some(halt(value)?),
            None => None,
        },
        topic: match topic {
            Some(topic) => Some(topic?),
            None => None,
        },
        lifted,
    })
}

fn halt(value: &Value) -> Option<Halt> {
    let at = UNIX_EPOCH.checked_add(Duration::from_secs(value.get("at")?.as_u64()?))?;
    let by = value.get("by").and_then(Value::as_str);
    Some(Halt::new(at, by, value.get("reason")?.as_str()?))
}

fn told(kept: &KeptHalts) -> Value {
    let halt = |halt: &Halt| {
        let since = halt.at.duration_since(UNIX_EPOCH).unwrap_or_default();
        json!({"at": since.as_secs(), "by": halt.by, "reason": halt.reason})
    };
    let topic = kept.topic.as_ref().map(|(of, payload)| {
        let mut told = halt(of);
        told["payload"] = BASE64.encode(payload).into();
        told
    });
    json!({"signal": kept.signal.as_ref().map(halt), "topic": topic, "lifted": kept.lifted})
}

/// How often the directory is read again because a file went meanwhile.
const ROUNDS: usize = 100;

/// The file of an earlier version, in which all processes kept their halts. No process holds it.
const ONE_FOR_ALL: &str = "halt.json";

/// Room for the largest message of the operator's that is kept, and what stands around it.
const MAX_BYTES: usize = 1 << 20;

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    fn halt(seconds: u64, by: Option<&str>) -> Halt {
        Halt::new(UNIX_EPOCH + Duration::from_secs(seconds), by, "why")
    }

    struct Folder(PathBuf);

    impl Folder {
        fn new(test: &str) -> Folder {
            let name = format!("mcpmqtt-kept-{test}-{}", std::process::id());
            let path = std::env::temp_dir().join(name);
            fs::create_dir(&path).unwrap();
            Folder(path)
        }

        /// As a process that starts.
        fn kept(&self) -> Kept {
            Kept::in_directory(Some(self.0.clone()))
        }

        fn count(&self) -> usize {
            fs::read_dir(&self.0).unwrap().count()
        }
    }

    impl Drop for Folder {
        fn drop(&mut self) {
            let _ = fs::remove_dir_all(&self.0);
        }
    }

    fn by_signal(seconds: u64) -> KeptHalts {
        KeptHalts {
            signal: Some(halt(seconds, None)),
            ..KeptHalts::default()
        }
    }

    #[test]
    fn what_is_kept_is_loaded_and_what_cannot_be_read_is_a_halt() {
        let folder = Folder::new("loaded");
        assert_eq!(folder.kept().load(true), KeptHalts::default());
        let tags = || vec!["ab".to_owned(), "cd".to_owned()];
        for (signal, topic) in [
            (None, None),
            (Some(halt(1_000, None)), None),
            (None, Some((halt(2_000, Some("Anna")), b"\xff\n".to_vec()))),
            (Some(halt(7, Some("x"))), Some((halt(8, None), Vec::new()))),
        ] {
            let halts = KeptHalts {
                signal,
                topic,
                lifted: tags(),
            };
            let kept = folder.kept();
            kept.store(&halts).unwrap();
            drop(kept);
            let next = folder.kept();
            assert_eq!(next.load(true), halts);
            next.store(&KeptHalts::default()).unwrap();
            assert_eq!(folder.count(), 0);
        }
        for name in ["halt.json", "halt-1.json"] {
            let path = folder.0.join(name);
            for broken in [
                "",
                "{",
                "[]",
                "{}",
                r#"{"halt": 1}"#,
                r#"{"signal": null}"#,
                r#"{"signal": {}, "topic": null}"#,
                r#"{"signal": null, "topic": {"at": 1}}"#,
                r#"{"signal": null, "topic": null, "lifted": [1]}"#,
            ] {
                fs::write(&path, broken).unwrap();
                let kept = folder.kept();
                let found = kept.load(true).signal.map(|halt| halt.reason);
                assert!(found.unwrap().contains("cannot be read"), "{broken}");
                kept.store(&KeptHalts::default()).unwrap();
                assert_eq!(folder.count(), 0);
            }
        }
        let kept = folder.kept();
        drop(folder);
        assert_eq!(kept.store(&KeptHalts::default()), Ok(()));
        assert!(kept.store(&by_signal(1)).is_err());
        assert_eq!(Kept::default().store(&by_signal(1)), Ok(()));
    }

    #[test]
    fn a_link_that_leads_nowhere_is_a_halt_and_no_endless_wait() {
        let folder = Folder::new("link");
        std::os::unix::fs::symlink("/nonexistent", folder.0.join("halt-1.json")).unwrap();
        let found = folder.kept().load(true).signal.map(|halt| halt.reason);
        assert!(found.unwrap().contains("cannot be read"));
    }

    #[test]
    fn a_process_forgets_its_own_halt_and_those_it_took_up_of_processes_that_have_ended() {
        let folder = Folder::new("shared");
        let (a, b) = (folder.kept(), folder.kept());
        a.store(&by_signal(1)).unwrap();
        b.store(&by_signal(2)).unwrap();
        b.store(&KeptHalts::default()).unwrap();
        assert_eq!(folder.kept().load(true), by_signal(1));
        // One that starts while it runs is halted, too, and its lift is its own.
        let late = folder.kept();
        assert_eq!(late.load(true), by_signal(1));
        late.store(&by_signal(1)).unwrap();
        late.store(&KeptHalts::default()).unwrap();
        assert_eq!(folder.kept().load(true), by_signal(1));
        // What it halts later, the late one has not taken up.
        a.store(&by_signal(3)).unwrap();
        drop(a);
        late.store(&by_signal(4)).unwrap();
        late.store(&KeptHalts::default()).unwrap();
        let next = folder.kept();
        assert_eq!(next.load(true), by_signal(3));
        next.store(&by_signal(3)).unwrap();
        assert_eq!(folder.count(), 1);
        next.store(&KeptHalts::default()).unwrap();
        assert_eq!(folder.count(), 0);
    }

    #[test]
    fn a_signed_lift_ends_the_same_halt_of_processes_that_have_ended() {
        let folder = Folder::new("lifted");
        let halted = |payload: &[u8], tag: &str| KeptHalts {
            signal: None,
            topic: Some((halt(1, None), payload.to_vec())),
            lifted: vec![tag.to_owned()],
        };
        let [running, ended, other, own] = [(); 4].map(|()| folder.kept());
        running.store(&halted(b"fire", "a")).unwrap();
        ended.store(&halted(b"fire", "b")).unwrap();
        other.store(&halted(b"water", "c")).unwrap();
        let both = KeptHalts {
            signal: Some(halt(2, None)),
            ..halted(b"fire", "d")
        };
        folder.kept().store(&both).unwrap();
        drop((ended, other));
        own.store(&halted(b"fire", "e")).unwrap();
        let mut tags = own.take_lifted(b"fire");
        tags.sort();
        assert_eq!(tags, ["b", "d"]);
        own.store(&KeptHalts::default()).unwrap();
        let left = files(&folder.0).unwrap();
        let left = left.iter().map(|path| read(path).unwrap().unwrap().lifted);
        let mut left: Vec<_> = left.flatten().collect();
        left.sort();
        assert_eq!(left, ["a", "c"]);
        // What a signal halted is for a signal to lift.
        assert_eq!(folder.kept().load(true).signal, both.signal);
    }

    #[test]
    fn the_file_of_an_earlier_version_is_taken_up_and_a_topic_s_halt_only_by_who_can_lift_it() {
        let folder = Folder::new("earlier");
        let path = folder.0.join("halt.json");
        let text = r#"{"signal": {"at": 5, "by": null, "reason": "why"}, "topic": null}"#;
        fs::write(&path, text).unwrap();
        let kept = folder.kept();
        assert_eq!(kept.load(true), by_signal(5));
        kept.store(&by_signal(5)).unwrap();
        assert!(!path.exists());
        kept.store(&KeptHalts::default()).unwrap();
        let text = r#"{"signal": null, "topic": {"at": 5, "reason": "why", "payload": ""}}"#;
        fs::write(&path, text).unwrap();
        let kept = folder.kept();
        assert_eq!(kept.load(false), KeptHalts::default());
        kept.store(&KeptHalts::default()).unwrap();
        assert_eq!(
            folder.kept().load(true).topic,
            Some((halt(5, None), Vec::new()))
        );
    }

    #[test]
    fn a_signal_s_halt_goes_with_its_lift_where_the_topic_s_halt_beside_it_stays() {
        let folder = Folder::new("both");
        let both = KeptHalts {
            topic: Some((halt(4, None), b"fire".to_vec())),
            lifted: vec!["tag".to_owned()],
            ..by_signal(5)
        };
        let before = folder.kept();
        before.store(&both).unwrap();
        drop(before);
        // This one has no secret.
        let kept = folder.kept();
        let taken = kept.load(false);
        assert_eq!((taken.signal, taken.topic), (both.signal, None));
        kept.store(&by_signal(5)).unwrap();
        kept.store(&KeptHalts::default()).unwrap();
        drop(kept);
        assert_eq!(folder.kept().load(false).signal, None);
        let with_secret = folder.kept().load(true);
        assert_eq!(
            (with_secret.topic, with_secret.lifted),
            (both.topic, both.lifted)
        );
        assert_eq!(folder.count(), 1);
    }
}
