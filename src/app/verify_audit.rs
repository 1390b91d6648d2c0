//! `--verify-audit`: whether the files of a record are as they were written.
//!
//! Promises: files are taken in any order, as a shell lists them; the records of several processes are told apart by
//! their names, and each is judged by itself.

use std::fmt::Write as _;
use std::fs::File;
use std::io::{self, BufRead as _, BufReader, Read as _};
use std::path::{Path, PathBuf};

use mcpmqtt_protocol::topic::ShownPath;

use super::console;
use crate::audit::verify::{self, Anchor, Fault, Place, Summary, Verifier};
use crate::io_error;
use mcpmqtt_protocol::sort::sort_by_key;

/// Says what is found. Whether all is as it was written.
///
/// # Errors
/// A file cannot be read, or standard output cannot be written to.
pub(crate) fn run(files: &[PathBuf], anchor: Option<Anchor>) -> Result<bool, String> {
    let mut is_well = true;
    let mut is_anchored = anchor.is_none();
    let mut without = None;
    for (name, files) in records(files)? {
        let mut text = format!("{}: ", ShownPath(&name));
        match judge(&files, anchor)? {
            Ok((summary, has_anchor)) => {
                is_anchored |= has_anchor;
                describe(&summary, has_anchor, &mut text);
                without = without.or_else(|| Some(summary.without(&anchor?)));
            }
            Err(fault) => {
                is_well = false;
                let _ = writeln!(text, "not as it was written\n  {fault}");
            }
        }
        console::print(&text)?;
    }
    if let (false, Some(fault)) = (is_anchored, without) {
        is_well = false;
        console::print(&format!("not as it was written: {fault}\n"))?;
    }
    Ok(is_well)
}

/// The records that the files belong to, each with its files in the order of their lines.
fn records(files: &[PathBuf]) -> Result<Vec<(PathBuf, Vec<PathBuf>)>, String> {
    let mut records: Vec<(PathBuf, Vec<(u64, PathBuf)>)> = Vec::new();
    for path in files.iter().filter(|path| !verify::is_beside(path)) {
        let (name, first) = match verify::split(path) {
            Some((name, first)) => (name, first),
            None => (path.clone(), first_number(path)?),
        };
        let file = (first, path.clone());
        match records.iter_mut().find(|(known, _)| *known == name) {
            Some((_, files)) => files.push(file),
            None => records.push((name, vec![file])),
        }
    }
    let ordered = records.into_iter().map(|(name, mut files)| {
        sort_by_key(&mut files, |(first, _)| *first);
        (name, files.into_iter().map(|(_, path)| path).collect())
    });
    Ok(ordered.collect())
}

/// A file without a line, or without a number in it, comes last.
fn first_number(path: &Path) -> Result<u64, String> {
    let mut start = Vec::new();
    let read = File::open(path).and_then(|file| file.take(64).read_to_end(&mut start));
    read.map_err(|error| unreadable(path, &error))?;
    Ok(verify::number(&start).unwrap_or(u64::MAX))
}

fn judge(
    files: &[PathBuf],
    anchor: Option<Anchor>,
) -> Result<Result<(Summary, bool), Fault>, String> {
    let mut verifier = Verifier::new(anchor);
    for (index, path) in files.iter().enumerate() {
        let file = File::open(path).map_err(|error| unreadable(path, &error))?;
        let mut reader = BufReader::new(file);
        let mut place = Place {
            file: path.to_string_lossy().into_owned(),
            line: 0,
        };
        let mut bytes = Vec::new();
        loop {
            bytes.clear();
            let count = reader.read_until(b'\n', &mut bytes);
            if count.map_err(|error| unreadable(path, &error))? == 0 {
                break;
            }
            place.line += 1;
            let has_end = bytes.ends_with(b"\n");
            bytes.truncate(bytes.len() - usize::from(has_end));
            // Lines follow only in the last file.
            let is_last = index + 1 == files.len();
            verifier.line(&place, &bytes, has_end || !is_last);
        }
    }
    Ok(verifier.end())
}

fn describe(summary: &Summary, has_anchor: bool, text: &mut String) {
    let (first, last) = summary.numbers;
    let (since, until) = (&summary.times.0, &summary.times.1);
    if summary.lines == 0 {
        text.push_str("holds no line\n");
        return;
    }
    let _ = writeln!(
        text,
        "as it was written: {} lines, number {first} ({since}) to {last} ({until})\n  head: {}",
        summary.lines, summary.head
    );
    if has_anchor {
        text.push_str("  the anchor is in it\n");
    }
    if first > 1 {
        let _ = writeln!(text, "  the lines before number {first} are not here");
    }
    if summary.open > 0 {
        let _ = writeln!(
            text,
            "  attempts without an outcome, which is unknown: {}",
            summary.open
        );
    }
    for note in &summary.notes {
        let _ = writeln!(text, "  {note}");
    }
}

fn unreadable(path: &Path, error: &io::Error) -> String {
    format!(
        "cannot read {}: {}",
        ShownPath(path),
        io_error::describe(error)
    )
}
