//! The halts that outlive the process, in a file of the service's state directory.
//!
//! Promises: the file is whole or as it was; one that cannot be read is a halt, not the lack of one. A lift that was used does
//! not count again after a restart.

use std::fs::{self, File, OpenOptions};
use std::io::{self, ErrorKind, Write as _};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use base64::Engine as _;
use base64::prelude::BASE64_STANDARD as BASE64;
use mcpmqtt_protocol::topic::ShownPath;
use serde_json::{Value, json};

use super::halt::Halt;
use crate::file;
use crate::logger;

/// Where halts are kept; without a state directory they are not.
#[derive(Clone, Debug, Default)]
pub struct Kept(Option<PathBuf>);

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
        Kept(directory.map(|directory| directory.join("halt.json")))
    }

    /// What was kept by an earlier process.
    pub(super) fn load(&self) -> KeptHalts {
        let Some(path) = &self.0 else {
            return KeptHalts::default();
        };
        let bytes = match file::read(path, MAX_BYTES) {
            Ok(bytes) => bytes,
            Err(error) if error.kind() == ErrorKind::NotFound => return KeptHalts::default(),
            Err(error) => return unreadable(path, &error.to_string()),
        };
        match serde_json::from_slice(&bytes).ok().as_ref().and_then(parse) {
            Some(kept) => kept,
            None => unreadable(path, "it is not what this program wrote"),
        }
    }

    /// Keeps these halts and no others.
    ///
    /// # Errors
    /// In words; what is kept is as it was.
    pub(super) fn store(&self, kept: &KeptHalts) -> Result<(), String> {
        let Some(path) = &self.0 else { return Ok(()) };
        let written = match *kept == KeptHalts::default() {
            true => remove(path),
            false => replace(path, told(kept).to_string().as_bytes()),
        };
        written.map_err(|error| format!("{}: {error}", ShownPath(path)))
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

fn remove(path: &Path) -> io::Result<()> {
    match fs::remove_file(path) {
        Err(error) if error.kind() == ErrorKind::NotFound => Ok(()),
        removed => removed,
    }
}

/// By a file beside it, which takes its place when it is whole and on the disk.
fn replace(path: &Path, bytes: &[u8]) -> io::Result<()> {
    let beside = path.with_extension("json.new");
    let mut file = OpenOptions::new()
        .write(true)
        .create(true)
        .truncate(true)
        .mode(0o600)
        .open(&beside)?;
    file.write_all(bytes)?;
    file.sync_all()?;
    fs::rename(&beside, path)?;
    if let Some(folder) = path.parent() {
        // A folder that cannot be synced loses at most the rename.
        let _ = File::open(folder).and_then(|folder| folder.sync_all());
    }
    Ok(())
}

/// Room for the largest message of the operator's that is kept, and what stands around it.
const MAX_BYTES: usize = 1 << 20;

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    fn halt(seconds: u64, by: Option<&str>) -> Halt {
        Halt::new(UNIX_EPOCH + Duration::from_secs(seconds), by, "why")
    }

    #[test]
    fn what_is_kept_is_loaded_and_what_cannot_be_read_is_a_halt() {
        let directory = std::env::temp_dir().join(format!("mcpmqtt-kept-{}", std::process::id()));
        fs::create_dir_all(&directory).unwrap();
        let kept = Kept::in_directory(Some(directory.clone()));
        assert_eq!(kept.load(), KeptHalts::default());
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
            kept.store(&halts).unwrap();
            assert_eq!(kept.load(), halts);
        }
        let path = directory.join("halt.json");
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
            let found = kept.load().signal.map(|halt| halt.reason);
            assert!(found.unwrap().contains("cannot be read"), "{broken}");
        }
        kept.store(&KeptHalts::default()).unwrap();
        assert!(!path.exists());
        kept.store(&KeptHalts::default()).unwrap();
        fs::remove_dir_all(&directory).unwrap();
        assert!(
            kept.store(&KeptHalts {
                signal: Some(halt(1, None)),
                ..KeptHalts::default()
            })
            .is_err()
        );
        assert_eq!(Kept::default().store(&KeptHalts::default()), Ok(()));
    }
}
