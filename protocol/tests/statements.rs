//! Does every statement of the standard that binds a client or a receiver have a test that names it,
//! and every known way to fail?
//!
//! A test names a statement as `[MQTT-x.y.z-n]`, and a way to fail as `Pitfall n`, in its
//! documentation. They are listed in `data/statements.txt` and `data/pitfalls.txt`.

#![allow(clippy::unwrap_used)]

use std::collections::{BTreeMap, BTreeSet};
use std::io::{Write as _, stderr};
use std::path::{Path, PathBuf};

#[test]
fn every_statement_has_a_test_that_names_it() {
    let statements = statements();
    assert!(statements.len() > 90, "{} statements", statements.len());
    let named = named_by_tests();
    let missing: Vec<&String> = statements
        .iter()
        .filter(|statement| !named.contains_key(*statement))
        .collect();
    report("statements", statements.len(), missing.len());
    assert!(missing.is_empty(), "without a test: {missing:#?}");
}

#[test]
fn every_pitfall_has_a_test_that_names_it() {
    let list = include_str!("data/pitfalls.txt").lines();
    let pitfalls: Vec<u32> = list
        .filter(|line| !line.starts_with('#'))
        .map(|line| line.split_once(' ').unwrap().0.parse().unwrap())
        .collect();
    assert_eq!(pitfalls, (1..=20).collect::<Vec<u32>>());
    let mut named = BTreeSet::new();
    for (documentation, _) in tests() {
        for (at, word) in documentation.match_indices("itfall") {
            // `Pitfall 7:` or `Pitfalls 13, 14 and 15:`
            let after = &documentation[at + word.len()..];
            let numbers = after.split_once(':').unwrap().0;
            let numbers = numbers.split(|c: char| !c.is_ascii_digit());
            named.extend(numbers.filter_map(|number| number.parse::<u32>().ok()));
        }
    }
    let missing: Vec<&u32> = pitfalls.iter().filter(|n| !named.contains(n)).collect();
    report("pitfalls", pitfalls.len(), missing.len());
    assert!(missing.is_empty(), "without a test: {missing:?}");
}

/// A statement with a typing error would count for nothing and never be missed.
#[test]
fn no_test_names_a_statement_that_does_not_exist() {
    let mut sections: BTreeMap<String, u32> = BTreeMap::new();
    for statement in statements() {
        let (section, number) = statement.rsplit_once('-').unwrap();
        let highest = sections.entry(section.to_owned()).or_default();
        *highest = number.parse::<u32>().unwrap().max(*highest);
    }
    // Statements that bind only a server are in no list here, but some tests show them.
    let servers = [
        "MQTT-3.1.4",
        "MQTT-3.10.4",
        "MQTT-3.3.1",
        "MQTT-4.5.0",
        "MQTT-4.6.0",
    ];
    for (statement, test) in named_by_tests() {
        let (section, _) = statement.rsplit_once('-').unwrap();
        let known = sections.contains_key(section) || servers.contains(&section);
        assert!(known, "`{statement}`, named by `{test}`");
    }
}

/// Not by `println!`, which a test that passes keeps for itself.
fn report(what: &str, all: usize, missing: usize) {
    let mut out = stderr();
    writeln!(out, "{all} {what}, {missing} without a test").unwrap();
}

fn statements() -> BTreeSet<String> {
    let list = include_str!("data/statements.txt");
    let lines = list.lines().filter(|line| !line.starts_with('#'));
    lines
        .map(|line| line.split_once(' ').unwrap().0.to_owned())
        .collect()
}

/// Each statement that the documentation of a test names, and one such test.
fn named_by_tests() -> BTreeMap<String, String> {
    let mut named = BTreeMap::new();
    for (documentation, name) in tests() {
        for statement in in_brackets(&documentation) {
            named.insert(statement, name.clone());
        }
    }
    named
}

/// The documentation and the first line of every test of this crate and of the program.
fn tests() -> Vec<(String, String)> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let mut files = Vec::new();
    for directory in ["src", "tests", "../src", "../tests"] {
        collect(&root.join(directory), &mut files);
    }
    assert!(files.len() > 20, "{files:?}");
    let mut tests = Vec::new();
    for file in files {
        let source = std::fs::read_to_string(&file).unwrap();
        let mut documentation = String::new();
        let mut is_test = false;
        for line in source.lines().map(str::trim) {
            if let Some(words) = line.strip_prefix("///") {
                documentation.push_str(words);
            } else if line == "#[test]" {
                is_test = true;
            } else if !line.starts_with("#[") {
                let documentation = std::mem::take(&mut documentation);
                if std::mem::take(&mut is_test) {
                    tests.push((documentation, line.to_owned()));
                }
            }
        }
    }
    assert!(tests.len() > 100, "{} tests", tests.len());
    tests
}

fn in_brackets(text: &str) -> Vec<String> {
    let starts = text.match_indices("[MQTT-");
    starts
        .filter_map(|(at, _)| Some(text[at + 1..].split_once(']')?.0.to_owned()))
        .collect()
}

fn collect(directory: &Path, files: &mut Vec<PathBuf>) {
    for entry in std::fs::read_dir(directory).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            collect(&path, files);
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            files.push(path);
        }
    }
}
