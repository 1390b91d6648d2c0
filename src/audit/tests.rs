//! The record in the file system: rotation, failures, restarts and several processes.
#![allow(clippy::unwrap_used, clippy::indexing_slicing)]

use std::fs;
use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant, UNIX_EPOCH};

use mcpmqtt_config::{Audit as Settings, AuditPayload, AuditSync};
use serde_json::Value;

use super::chain::Head;
use super::members::Members;
use super::names::Names;
use super::verify::{Place, Summary, Verifier};
use super::writer::Writer;

/// A folder of one test.
struct Folder(PathBuf);

impl Folder {
    fn new(name: &str) -> Folder {
        let path =
            std::env::temp_dir().join(format!("mcpmqtt-audit-{}-{name}", std::process::id()));
        let _ = fs::remove_dir_all(&path);
        fs::create_dir(&path).unwrap();
        Folder(path)
    }

    fn settings(&self) -> Settings {
        Settings {
            file: self.0.join("audit.jsonl"),
            payload: AuditPayload::Full,
            max_bytes: 4000,
            keep: 3,
            sync: AuditSync::Never,
            required: false,
            reads: false,
            feed: None,
        }
    }

    /// All lines of the record, the oldest first.
    fn lines(&self) -> Vec<String> {
        let names = Names::new(&self.settings().file, 1);
        let mut files = names.all_full().unwrap();
        files.push(names.current);
        let texts = files
            .iter()
            .filter_map(|path| fs::read_to_string(path).ok());
        let text: String = texts.collect();
        text.lines().map(str::to_owned).collect()
    }

    fn verify(&self) -> Summary {
        let mut verifier = Verifier::new(None);
        for (index, line) in self.lines().iter().enumerate() {
            let place = Place {
                file: "f".into(),
                line: index as u64 + 1,
            };
            verifier.line(&place, line.as_bytes(), true);
        }
        verifier.end().unwrap_or_else(|fault| panic!("{fault}")).0
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

struct Hand {
    writer: Writer,
    now: Instant,
}

impl Hand {
    fn new(settings: Settings) -> Hand {
        let mut start = Members::default();
        start.plain("pid", 7);
        Hand {
            writer: Writer::new(settings, start),
            now: Instant::now(),
        }
    }

    fn add(&mut self, text: &str) -> Result<Head, String> {
        let mut members = Members::default();
        members.text("text", text);
        let time = UNIX_EPOCH + Duration::from_secs(1_700_000_000);
        self.writer
            .add(self.now, time, "read", &|_| members.clone())
    }

    fn later(&mut self) {
        self.now += Duration::from_secs(2);
    }
}

fn field(line: &str, name: &str) -> Value {
    serde_json::from_str::<Value>(line).unwrap()[name].clone()
}

fn size(path: &Path) -> u64 {
    fs::metadata(path).unwrap().len()
}

#[test]
fn files_are_bounded_in_size_and_number_and_the_chain_goes_on_over_them_and_over_restarts() {
    let folder = Folder::new("rotation");
    let settings = folder.settings();
    let mut hand = Hand::new(settings.clone());
    hand.add("first").unwrap();
    fs::set_permissions(&settings.file, fs::Permissions::from_mode(0o640)).unwrap();
    for index in 0..200 {
        if index % 30 == 0 {
            hand = Hand::new(settings.clone());
        }
        hand.add(&"x".repeat(index)).unwrap();
    }
    let names = Names::new(&settings.file, 1);
    let full = names.all_full().unwrap();
    assert_eq!(full.len(), 3);
    assert!(full.iter().all(|path| size(path) <= 4000));
    assert_eq!(fs::metadata(&settings.file).unwrap().mode() & 0o777, 0o640);
    let summary = folder.verify();
    assert!(summary.numbers.0 > 1 && summary.lines > 20, "{summary:?}");
    assert_eq!(summary.numbers.1, 201 + 8);
    // A line that is longer than a file may be has one of its own.
    hand.add(&"y".repeat(9000)).unwrap();
    hand.add("z").unwrap();
    assert!(size(names.all_full().unwrap().last().unwrap()) > 9000);
    assert!(size(&settings.file) < 4000);
    folder.verify();
}

#[test]
fn a_restart_in_the_middle_of_a_rotation_loses_nothing() {
    let folder = Folder::new("half");
    let settings = folder.settings();
    let mut hand = Hand::new(settings.clone());
    for _ in 0..5 {
        hand.add("text").unwrap();
    }
    drop(hand);
    // After the rename; after the new file was made.
    let names = Names::new(&settings.file, 1);
    fs::rename(&settings.file, names.full(1)).unwrap();
    for made in [false, true] {
        if made {
            fs::remove_file(&settings.file).unwrap();
            fs::write(&settings.file, "").unwrap();
        }
        Hand::new(settings.clone()).add("after").unwrap();
        let lines = folder.lines();
        assert_eq!(lines.len(), 8);
        assert_eq!(field(&lines[6], "event"), "start");
        folder.verify();
    }
    // Before the oldest ones were removed.
    for first in [100, 200, 300, 400] {
        fs::write(names.full(first), "{}\n").unwrap();
    }
}

#[test]
fn a_line_that_was_not_whole_is_told_by_the_next_start() {
    let folder = Folder::new("cut");
    let settings = folder.settings();
    let mut hand = Hand::new(settings.clone());
    hand.add("one").unwrap();
    hand.add("two").unwrap();
    drop(hand);
    let whole = fs::read(&settings.file).unwrap();
    let two = whole[..whole.len() - 1]
        .iter()
        .rposition(|it| *it == b'\n')
        .unwrap()
        + 1;
    for cut in [two + 1, two + 40, whole.len() - 2] {
        fs::write(&settings.file, &whole[..cut]).unwrap();
        Hand::new(settings.clone()).add("three").unwrap();
        let lines = folder.lines();
        assert_eq!(lines.len(), 4);
        let told = field(&lines[2], "cut");
        assert_eq!(told["bytes"], cut - two);
        assert_eq!(told["text"].as_str().unwrap().as_bytes(), &whole[two..cut]);
        let summary = folder.verify();
        assert!(summary.notes[0].contains("cut off"), "{:?}", summary.notes);
    }
    // The line end alone is missing.
    fs::write(&settings.file, &whole[..whole.len() - 1]).unwrap();
    Hand::new(settings.clone()).add("three").unwrap();
    assert_eq!(folder.lines().len(), 5);
    assert_eq!(folder.verify().notes, [""; 0]);
}

#[test]
fn what_cannot_be_written_is_counted_and_told() {
    let folder = Folder::new("failure");
    let settings = folder.settings();
    let mut hand = Hand::new(settings.clone());
    hand.add("one").unwrap();
    // The place of the next full file is taken, so the file cannot be turned over.
    let names = Names::new(&settings.file, 1);
    fs::write(names.full(1), "{}").unwrap();
    let why = hand.add(&"x".repeat(3900)).unwrap_err();
    assert!(why.contains("is there already"), "{why}");
    assert_eq!(
        hand.add("short").unwrap_err(),
        why,
        "it is not tried again at once"
    );
    fs::remove_file(names.full(1)).unwrap();
    assert!(hand.add("short").is_err());
    hand.later();
    hand.add("two").unwrap();
    let lines = folder.lines();
    assert_eq!(field(&lines[2], "event"), "resume");
    assert_eq!(field(&lines[2], "missing"), 3);
    assert_eq!(lines.len(), 4);
    let summary = folder.verify();
    assert!(summary.notes[0].contains("3 lines could not be written"));
}

#[test]
fn a_file_that_somebody_moved_away_is_missed_and_another_goes_on() {
    let folder = Folder::new("moved");
    let settings = folder.settings();
    let mut hand = Hand::new(settings.clone());
    hand.add("one").unwrap();
    let away = folder.0.join("away");
    fs::rename(&settings.file, &away).unwrap();
    hand.add("two").unwrap();
    let lines = folder.lines();
    assert_eq!(field(&lines[0], "event"), "resume");
    assert_eq!(field(&lines[0], "n"), 3);
    // With the file that was moved, the record is whole.
    let before = fs::read_to_string(&away).unwrap();
    fs::write(&settings.file, before + &lines.join("\n")).unwrap();
    assert_eq!(folder.verify().lines, 4);
}

#[test]
fn each_of_several_processes_has_a_record_and_where_it_is_required_one_alone_writes() {
    let folder = Folder::new("several");
    let settings = folder.settings();
    let mut first = Hand::new(settings.clone());
    first.add("first").unwrap();
    let mut second = Hand::new(settings.clone());
    second.add("second").unwrap();
    assert!(folder.0.join("audit.2.jsonl").exists());
    let required = Settings {
        required: true,
        ..settings.clone()
    };
    let mut third = Hand::new(required);
    let why = third.add("third").unwrap_err();
    assert!(why.contains("another process writes"), "{why}");
    drop(first);
    third.later();
    third.add("third").unwrap();
    let lines = folder.lines();
    assert_eq!(field(&lines[2], "event"), "start");
    assert_eq!(field(&lines[2], "missing"), 1);
    folder.verify();
}

#[test]
fn a_file_that_is_no_record_stays_as_it_is() {
    let folder = Folder::new("foreign");
    let settings = folder.settings();
    for text in ["127.0.0.1 localhost\n", "{\"mqtt\": {}}"] {
        fs::write(&settings.file, text).unwrap();
        let why = Hand::new(settings.clone()).add("one").unwrap_err();
        assert!(why.contains("is no record of mcpmqtt"), "{why}");
        assert_eq!(fs::read_to_string(&settings.file).unwrap(), text);
    }
    let device = Settings {
        file: "/dev/full".into(),
        ..settings
    };
    let why = Hand::new(device).add("one").unwrap_err();
    assert!(why.contains("not a regular file"), "{why}");
}

#[test]
fn the_key_is_made_once_for_its_owner_alone() {
    let folder = Folder::new("key");
    let settings = Settings {
        payload: AuditPayload::Hash,
        ..folder.settings()
    };
    let key = Names::new(&settings.file, 1).key;
    let mut keys = Vec::new();
    for _ in 0..2 {
        let mut hand = Hand::new(settings.clone());
        keys.push(hand.writer.open(hand.now, UNIX_EPOCH).unwrap());
    }
    assert_eq!(keys[0], keys[1]);
    assert_ne!(keys[0], [0; 32]);
    assert_eq!(fs::metadata(&key).unwrap().mode() & 0o777, 0o600);
    assert_eq!(size(&key), 65);
    fs::write(&key, "short\n").unwrap();
    let why = Hand::new(settings).add("one").unwrap_err();
    assert!(why.contains("it is no key"), "{why}");
}
