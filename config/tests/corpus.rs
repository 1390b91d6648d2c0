//! The corpus of configuration files: beside each stands what reading it says, word for word.
//!
//! `UPDATE_CORPUS=1 cargo test -p mcpmqtt-config --test corpus` writes the expectations anew: read the difference
//! before committing it. `valid/original_manual_example.json` is the example of the original program's manual.
#![allow(clippy::unwrap_used)]

use std::fmt::Write as _;
use std::path::{Path, PathBuf};

use mcpmqtt_config::Config;

fn files(folder: &str) -> Vec<PathBuf> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join(folder);
    let mut files: Vec<_> = std::fs::read_dir(folder)
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .collect();
    files.retain(|file| {
        file.extension()
            .is_some_and(|extension| extension == "json")
    });
    files.sort();
    files
}

fn check(file: &Path, said: &str) {
    let beside = file.with_extension("txt");
    if std::env::var_os("UPDATE_CORPUS").is_some() {
        std::fs::write(&beside, said).unwrap();
    }
    let expected =
        std::fs::read_to_string(&beside).unwrap_or_else(|e| panic!("{}: {e}", beside.display()));
    assert_eq!(said, expected, "{}", file.display());
}

#[test]
fn valid_files_load_and_say_what_they_mean() {
    let files = files("tests/valid");
    assert!(files.len() >= 15, "only {} files", files.len());
    for file in files {
        let (config, warnings) = Config::parse_bytes(&std::fs::read(&file).unwrap())
            .unwrap_or_else(|refused| panic!("{}: {refused}", file.display()));
        let mut said = String::new();
        for warning in warnings {
            writeln!(said, "warning: {warning}").unwrap();
        }
        check(&file, &(said + &config.describe()));
    }
}

#[test]
fn invalid_files_are_refused_with_every_fault() {
    let files = files("tests/invalid");
    assert!(files.len() >= 130, "only {} files", files.len());
    for file in files {
        let Err(refused) = Config::parse_bytes(&std::fs::read(&file).unwrap()) else {
            panic!("{} was accepted", file.display());
        };
        let mut said = format!("{refused}\n");
        for warning in refused.warnings {
            writeln!(said, "warning: {warning}").unwrap();
        }
        check(&file, &said);
    }
}

#[test]
fn the_examples_load_without_a_warning() {
    let files = files("examples");
    assert_eq!(files.len(), 4);
    for file in files {
        let (config, warnings) = Config::parse_bytes(&std::fs::read(&file).unwrap()).unwrap();
        assert_eq!(warnings, [], "{}", file.display());
        assert!(
            config
                .policy
                .grants()
                .all(|grant| grant.description.is_some()),
            "{}",
            file.display()
        );
    }
}
