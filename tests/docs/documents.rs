//! The documents: every file of the repository that ends in `.md`. They lead to each other, and can be read.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Component, Path, PathBuf};
use std::process::Command;

use serde_json::Value;

/// The first page has this many lines at most; what it does not hold stands beside what it describes.
const FIRST_PAGE: usize = 300;

/// A document of this many lines says at its beginning what is in it.
const LONG: usize = 200;

pub(crate) fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

/// A file for people, in Markdown.
pub(crate) struct Document {
    /// From the root of the repository.
    pub(crate) path: PathBuf,
    pub(crate) text: String,
}

impl Document {
    /// The lines outside of fenced blocks.
    fn prose(&self) -> impl Iterator<Item = &str> {
        let mut fenced = false;
        self.text.lines().filter(move |line| {
            let is_fence = line.trim_start().starts_with("```");
            fenced ^= is_fence;
            !fenced && !is_fence
        })
    }

    /// The headings below the title: their level and their words.
    fn headings(&self) -> impl Iterator<Item = (usize, &str)> {
        self.prose().filter_map(|line| {
            let (marks, words) = line.split_once(' ')?;
            let is_heading = marks.len() > 1 && marks.chars().all(|mark| mark == '#');
            is_heading.then_some((marks.len(), words))
        })
    }

    /// What its links and pictures lead to, as written.
    fn targets(&self) -> Vec<&str> {
        let mut found = Vec::new();
        for line in self.prose() {
            for (opening, closing) in [("](", ')'), ("src=\"", '"')] {
                let rests = line.split(opening).skip(1);
                found.extend(rests.filter_map(|rest| rest.split(closing).next()));
            }
        }
        found
    }

    /// The file that a link leads to, from the root of the repository, and the place in it. A link to somewhere else on
    /// the internet has none.
    fn leads_to<'a>(&self, target: &'a str) -> Option<(PathBuf, Option<&'a str>)> {
        if target.contains("://") {
            return None;
        }
        let (file, place) = match target.split_once('#') {
            Some((file, place)) => (file, Some(place)),
            None => (target, None),
        };
        if file.is_empty() {
            return Some((self.path.clone(), place));
        }
        let mut path = self.path.parent().unwrap().to_owned();
        for part in Path::new(file).components() {
            match part {
                Component::ParentDir => assert!(path.pop(), "{target} leaves the repository"),
                part => path.push(part),
            }
        }
        Some((path, place))
    }
}

/// All documents, those that Git does not know yet included, in the order of their paths.
pub(crate) fn documents() -> Vec<Document> {
    let listed = Command::new("git")
        .args(["ls-files", "-z", "--cached", "--others"])
        .args(["--exclude-standard", "--", "*.md"])
        .current_dir(root())
        .output()
        .unwrap();
    assert!(listed.status.success(), "{listed:?}");
    let listed = String::from_utf8(listed.stdout).unwrap();
    let paths: BTreeSet<_> = listed.split_terminator('\0').map(PathBuf::from).collect();
    let existing = paths.into_iter().filter(|path| root().join(path).exists());
    let read = |path: PathBuf| {
        let text = fs::read_to_string(root().join(&path)).unwrap();
        Document { path, text }
    };
    existing.map(read).collect()
}

/// The document at this path.
pub(crate) fn document(path: &str) -> Document {
    let mut all = documents().into_iter();
    all.find(|it| it.path == Path::new(path)).unwrap()
}

/// The fenced blocks of one language in all documents.
pub(crate) fn blocks(language: &str) -> Vec<String> {
    let mut found = Vec::new();
    for document in documents() {
        let mut open: Option<(&str, Vec<&str>)> = None;
        for line in document.text.lines() {
            match (&mut open, line.strip_prefix("```")) {
                (None, Some(language)) => open = Some((language, Vec::new())),
                (Some(_), Some("")) => {
                    let (kind, lines) = open.take().unwrap();
                    if kind == language {
                        found.push(lines.join("\n"));
                    }
                }
                (Some((_, lines)), _) => lines.push(line),
                (None, None) => {}
            }
        }
        assert!(open.is_none(), "{}: an open block", document.path.display());
    }
    found
}

pub(crate) fn json_blocks() -> Vec<Value> {
    let parse = |text: &String| {
        serde_json::from_str(text).unwrap_or_else(|error| panic!("{error} in\n{text}"))
    };
    blocks("json").iter().map(parse).collect()
}

/// The rows of the one table whose header begins with `header`: their cells.
pub(crate) fn table(header: &str) -> Vec<Vec<String>> {
    let documents = documents();
    let lines = documents.iter().flat_map(|document| document.text.lines());
    let starts = lines.clone().filter(|line| line.starts_with(header));
    assert_eq!(starts.count(), 1, "tables `{header}`");
    let lines = lines.skip_while(|line| !line.starts_with(header));
    let rows = lines.skip(2).take_while(|line| line.starts_with('|'));
    let cells = |row: &str| {
        let cells = row.trim_matches('|').split('|');
        cells.map(|cell| cell.trim().to_owned()).collect()
    };
    let rows: Vec<_> = rows.map(cells).collect();
    assert!(!rows.is_empty(), "no rows in `{header}`");
    rows
}

/// What stands in backticks.
pub(crate) fn quoted(text: &str) -> Vec<&str> {
    text.split('`').skip(1).step_by(2).collect()
}

/// The place of a heading in a link, as GitHub makes it.
fn anchor(heading: &str) -> String {
    let kept = heading.to_lowercase().replace(' ', "-");
    kept.chars()
        .filter(|char| char.is_alphanumeric() || "-_".contains(*char))
        .collect()
}

#[test]
fn every_link_leads_somewhere() {
    let documents = documents();
    let mut places = BTreeMap::new();
    for document in &documents {
        let anchors = document.headings().map(|(_, heading)| anchor(heading));
        places.insert(document.path.clone(), anchors.collect::<BTreeSet<_>>());
    }
    let mut links = 0;
    for document in &documents {
        for target in document.targets() {
            let Some((path, place)) = document.leads_to(target) else {
                continue;
            };
            let from = document.path.display();
            assert!(root().join(&path).exists(), "{from}: no file for {target}");
            if let Some(place) = place {
                let known = places.get(&path).is_some_and(|all| all.contains(place));
                assert!(known, "{from}: no heading for {target}");
            }
            links += 1;
        }
    }
    assert!(links >= 80, "only {links} links");
}

#[test]
fn every_document_can_be_reached_from_the_first_page() {
    let documents = documents();
    let mut reached = BTreeSet::from([PathBuf::from("README.md")]);
    let mut next: Vec<_> = reached.iter().cloned().collect();
    while let Some(path) = next.pop() {
        let Some(document) = documents.iter().find(|it| it.path == path) else {
            continue;
        };
        let targets = document.targets().into_iter();
        for (path, _) in targets.filter_map(|target| document.leads_to(target)) {
            if reached.insert(path.clone()) {
                next.push(path);
            }
        }
    }
    for document in &documents {
        let path = &document.path;
        assert!(
            reached.contains(path),
            "nothing leads to {}",
            path.display()
        );
    }
    assert!(documents.len() >= 12);
}

#[test]
fn a_long_document_says_at_its_beginning_what_is_in_it() {
    for document in documents() {
        let path = document.path.display();
        let lines: Vec<_> = document.text.lines().collect();
        if lines.len() < LONG {
            continue;
        }
        let start = lines.iter().position(|line| line.starts_with("Contents: "));
        let start = start.unwrap_or_else(|| panic!("{path} has no line `Contents: …`"));
        let end = lines[start..].iter().position(|line| line.is_empty());
        let contents = lines[start..start + end.unwrap()].join(" ");
        let listed: Vec<_> = contents
            .split("](#")
            .skip(1)
            .map(|rest| rest.split(')').next().unwrap().to_owned())
            .collect();
        let chapters = document.headings().filter(|(level, _)| *level == 2);
        let chapters: Vec<_> = chapters.map(|(_, heading)| anchor(heading)).collect();
        assert_eq!(listed, chapters, "{path}");
    }
}

#[test]
fn the_first_page_stays_short() {
    let lines = document("README.md").text.lines().count();
    assert!(lines <= FIRST_PAGE, "{lines} lines, above {FIRST_PAGE}");
}

/// Every document that the first page leads to is in its table of what to read on.
#[test]
fn the_first_page_lists_where_to_read_on() {
    let listed: BTreeSet<_> = table("| document |")
        .iter()
        .map(|row| {
            row[0]
                .split("](")
                .nth(1)
                .unwrap()
                .trim_end_matches(')')
                .to_owned()
        })
        .collect();
    let first = document("README.md");
    for target in first.targets() {
        let Some((path, _)) = first.leads_to(target) else {
            continue;
        };
        let is_chapter = path.extension().is_some_and(|it| it == "md")
            && !["README.md", "LICENSE.md"].contains(&path.to_str().unwrap());
        assert!(
            !is_chapter || listed.contains(path.to_str().unwrap()),
            "`Read on` lacks {}",
            path.display()
        );
    }
}

#[test]
fn the_changelog_begins_with_this_version() {
    let changelog = document("scripts/package/CHANGELOG.md");
    let (_, latest) = changelog.headings().next().unwrap();
    assert_eq!(latest, env!("CARGO_PKG_VERSION"));
}
