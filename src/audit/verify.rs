//! Whether a record is as it was written, and if not, at which line that begins to show.
//!
//! Promises: any change of a byte, and any line that was taken out, doubled or moved, is named by file and line; a record
//! whose end was taken away, or which was written anew, is named where an anchor of it is known. Reads no file.

use std::collections::BTreeSet;
use std::fmt;

pub(crate) use super::chain::number;
use super::chain::{Hash, Head, Line, is_begun};
pub(crate) use super::names::{is_beside, split};

/// A hash of the record that was kept elsewhere.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Anchor {
    n: Option<u64>,
    hash: Hash,
}

/// A line by its file and its number there, from 1.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Place {
    /// The name of the file.
    pub file: String,
    /// The line.
    pub line: u64,
}

/// What is wrong with a record.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Fault {
    /// The line is not as it was written.
    Changed(Place),
    /// The line was written anew, with a right hash: the line after it follows another.
    Replaced(Place),
    /// At this place lines are missing: from the one number to the other.
    Missing(Place, u64, u64),
    /// The line, with this number, comes after one with a greater or the same number.
    Misplaced(Place, u64),
    /// What the anchor names is not there.
    Anchor(String),
}

/// What is told of a record that is not a fault.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Summary {
    /// The number of lines.
    pub lines: u64,
    /// The numbers of the first and the last line.
    pub numbers: (u64, u64),
    /// Their times.
    pub times: (String, String),
    /// The hash of the last line.
    pub head: String,
    /// The attempts without an outcome, which is unknown.
    pub open: usize,
    /// What an operator may want to know: lines that were cut, that are missing, or at which the clock went back.
    pub notes: Vec<String>,
}

/// Holds the lines of one record against each other, in their order.
#[derive(Debug, Default)]
pub struct Verifier {
    anchor: Option<Anchor>,
    is_anchored: bool,
    before: Option<(Head, Place)>,
    time: String,
    set_back: u64,
    open: BTreeSet<String>,
    summary: Summary,
    fault: Option<Fault>,
}

impl Anchor {
    /// Reads `N:HASH`, as the log has it, or the hash alone.
    #[must_use]
    pub fn parse(text: &str) -> Option<Anchor> {
        let (n, hash) = match text.split_once(':') {
            Some((n, hash)) => (Some(n.parse().ok()?), hash),
            None => (None, text),
        };
        let hash = Hash::parse(&hash.to_ascii_lowercase())?;
        Some(Anchor { n, hash })
    }
}

impl Verifier {
    /// A verifier of one record; `anchor`: what is known of it.
    #[must_use]
    pub fn new(anchor: Option<Anchor>) -> Verifier {
        Verifier {
            anchor,
            ..Verifier::default()
        }
    }

    /// Takes the next line, which ended with a line end or with its file. Once there is a fault, only the lines that are
    /// missing are looked for.
    pub fn line(&mut self, place: &Place, bytes: &[u8], has_end: bool) {
        let line = Line::read(bytes);
        if self.fault.is_some() {
            if let Some(line) = line {
                self.find_missing(line.n);
            }
            return;
        }
        let Some(line) = line else {
            let is_whole = bytes
                .split_last()
                .is_some_and(|(_, it)| Line::read(it).is_some());
            let may_be_cut = !has_end && !is_whole && is_begun(bytes) && !bytes.ends_with(b"}");
            match may_be_cut {
                true => self.note(format_args!(
                    "{place}: {} bytes of a line that is not whole: the program was ended here, or is writing now",
                    bytes.len()
                )),
                false => self.fault = Some(Fault::Changed(place.clone())),
            }
            return;
        };
        match &self.before {
            Some((before, _)) if line.n <= before.n => {
                self.fault = Some(Fault::Misplaced(place.clone(), line.n));
                return;
            }
            Some((before, _)) if line.n > before.n + 1 => {
                let fault = Fault::Missing(place.clone(), before.n + 1, line.n - 1);
                self.fault = Some(fault);
                return;
            }
            Some((before, at)) if line.prev != before.hash => {
                self.fault = Some(Fault::Replaced(at.clone()));
                return;
            }
            None if line.n == 1 && line.prev != Hash::default() => {
                self.fault = Some(Fault::Changed(place.clone()));
                return;
            }
            _ => {}
        }
        self.take(place, &line);
    }

    /// A line that is in its place.
    fn take(&mut self, place: &Place, line: &Line<'_>) {
        let summary = &mut self.summary;
        if summary.lines == 0 {
            summary.numbers.0 = line.n;
            summary.times.0 = line.time.to_owned();
        }
        summary.lines += 1;
        summary.numbers.1 = line.n;
        if line.time < self.time.as_str() {
            self.set_back += 1;
            if self.set_back == 1 {
                let before = std::mem::take(&mut self.time);
                self.note(format_args!(
                    "{place}: the clock was set back, from {before} to {}",
                    line.time
                ));
            }
        }
        line.time.clone_into(&mut self.time);
        let is_it =
            |anchor: Anchor| anchor.hash == line.hash && anchor.n.is_none_or(|n| n == line.n);
        self.is_anchored |= self.anchor.is_some_and(is_it);
        self.look_into(place, line);
        self.before = Some((line.head(), place.clone()));
    }

    /// What the line says of the record itself.
    fn look_into(&mut self, place: &Place, line: &Line<'_>) {
        let is_of_attempt = matches!(line.event, "attempt" | "outcome");
        if !is_of_attempt && !matches!(line.event, "start" | "resume") {
            return;
        }
        let Ok(read) = serde_json::from_str::<serde_json::Value>(line.text) else {
            return;
        };
        if is_of_attempt {
            let id = read.get("id").and_then(serde_json::Value::as_str);
            match line.event {
                "attempt" => self.open.extend(id.map(str::to_owned)),
                _ => {
                    self.open.remove(id.unwrap_or_default());
                }
            }
            return;
        }
        if let Some(bytes) = read.pointer("/cut/bytes") {
            self.note(format_args!(
                "{place}: before this line, {bytes} bytes of a line were cut off: the program was ended while it wrote"
            ));
        }
        if let Some(missing) = read.get("missing") {
            self.note(format_args!(
                "{place}: before this line, {missing} lines could not be written"
            ));
        }
    }

    fn note(&mut self, text: fmt::Arguments<'_>) {
        if self.summary.notes.len() < MOST_NOTES {
            self.summary.notes.push(text.to_string());
        }
    }

    /// The lines that seemed to be missing were moved, if one of them comes later.
    fn find_missing(&mut self, n: u64) {
        if let Some(Fault::Missing(place, first, last)) = &self.fault {
            if (*first..=*last).contains(&n) {
                self.fault = Some(Fault::Misplaced(place.clone(), last + 1));
            }
        }
    }

    /// What is to be said of the record, and whether the anchor was found in it.
    ///
    /// # Errors
    /// The first fault.
    pub fn end(self) -> Result<(Summary, bool), Fault> {
        if let Some(fault) = self.fault {
            return Err(fault);
        }
        let mut summary = self.summary;
        summary.times.1 = self.time;
        if let Some((head, _)) = &self.before {
            summary.head = head.to_string();
        }
        summary.open = self.open.len();
        if let Some(more @ 1..) = self.set_back.checked_sub(1) {
            summary
                .notes
                .push(format!("the clock was set back {more} more times"));
        }
        Ok((summary, self.is_anchored))
    }
}

impl Summary {
    /// Why the anchor is not in this record.
    #[must_use]
    pub fn without(&self, anchor: &Anchor) -> Fault {
        let (first, last) = self.numbers;
        Fault::Anchor(match anchor.n {
            Some(n) if n > last => format!(
                "the record was cut: it ends with the line number {last}, and the anchor is that of number {n}"
            ),
            Some(n) if n < first => format!(
                "the anchor is that of the line number {n}, before the first one here, number {first}; its file is not among \
                 these"
            ),
            Some(n) => format!(
                "the record was written anew: its line number {n} has another hash than the anchor, from there or before"
            ),
            None => format!(
                "no line from number {first} to {last} has the hash of the anchor: the record was cut or written anew, or \
                 the anchor is that of another file"
            ),
        })
    }
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}", self.file, self.line)
    }
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Fault::Changed(place) => write!(f, "{place}: the line is not as it was written"),
            Fault::Replaced(place) => write!(
                f,
                "{place}: the line was written anew: the line after it follows another"
            ),
            Fault::Missing(place, first, last) if first == last => {
                write!(
                    f,
                    "{place}: before this line, the line number {first} is missing"
                )
            }
            Fault::Missing(place, first, last) => write!(
                f,
                "{place}: before this line, the lines number {first} to {last} are missing"
            ),
            Fault::Misplaced(place, n) => write!(
                f,
                "{place}: the line number {n} is out of order, or there twice"
            ),
            Fault::Anchor(words) => f.write_str(words),
        }
    }
}

const MOST_NOTES: usize = 20;

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::indexing_slicing)]
    use std::time::{Duration, UNIX_EPOCH};

    use super::*;
    use crate::audit::members::Members;

    /// The lines of a record with attempts, outcomes and a start, each with its line end.
    fn record(rng: &mut fastrand::Rng, count: usize) -> Vec<String> {
        let mut head = Head::default();
        let mut lines = Vec::new();
        for index in 0..count {
            let time = UNIX_EPOCH + Duration::from_millis(1_700_000_000_000 + index as u64);
            let mut members = Members::default();
            let id = index.div_ceil(2).to_string();
            let payload: String = (0..rng.usize(0..30))
                .map(|_| rng.char(' '..'\u{300}'))
                .collect();
            let event = match index {
                0 => "start",
                _ if index % 2 == 1 => "attempt",
                _ => "outcome",
            };
            members.text("id", &id).text("payload", &payload);
            let (line, next) = head.next(time, event, members.as_str());
            lines.push(line);
            head = next;
        }
        lines
    }

    fn judge(bytes: &[u8], anchor: Option<Anchor>) -> Result<(Summary, bool), Fault> {
        let mut verifier = Verifier::new(anchor);
        for (index, line) in bytes.split_inclusive(|byte| *byte == b'\n').enumerate() {
            let bytes = line.strip_suffix(b"\n").unwrap_or(line);
            verifier.line(&at(index), bytes, bytes.len() < line.len());
        }
        verifier.end()
    }

    fn at(index: usize) -> Place {
        Place {
            file: "f".into(),
            line: index as u64 + 1,
        }
    }

    /// The place that a fault names.
    fn place(fault: &Fault) -> &Place {
        match fault {
            Fault::Changed(place) | Fault::Replaced(place) => place,
            Fault::Missing(place, ..) | Fault::Misplaced(place, _) => place,
            Fault::Anchor(words) => panic!("{words}"),
        }
    }

    #[test]
    fn any_changed_byte_is_named_by_its_line() {
        let mut rng = fastrand::Rng::with_seed(15);
        let lines = record(&mut rng, 9);
        let whole = lines.concat().into_bytes();
        assert_eq!(judge(&whole, None).unwrap().0.lines, 9);
        let mut index = 0;
        for at_byte in 0..whole.len() {
            let mut bytes = whole.clone();
            let was = bytes[at_byte];
            while bytes[at_byte] == was {
                bytes[at_byte] = rng.u8(..);
            }
            let fault = judge(&bytes, None).unwrap_err();
            assert_eq!(fault, Fault::Changed(at(index)), "byte {at_byte}");
            index += usize::from(was == b'\n');
        }
    }

    #[test]
    fn lines_that_were_taken_out_doubled_moved_or_written_anew_are_named() {
        let mut rng = fastrand::Rng::with_seed(16);
        for _ in 0..2000 {
            let count = rng.usize(3..12);
            let lines = record(&mut rng, count);
            let mut other = lines.clone();
            // Not the first and the last, whose absence only an anchor shows.
            let index = rng.usize(1..count - 1);
            let fault = match rng.u8(..4) {
                0 => {
                    other.remove(index);
                    let n = index as u64 + 1;
                    Fault::Missing(at(index), n, n)
                }
                1 => {
                    other.insert(index + 1, lines[index].clone());
                    Fault::Misplaced(at(index + 1), index as u64 + 1)
                }
                2 => {
                    other.swap(index, index + 1);
                    Fault::Misplaced(at(index), index as u64 + 2)
                }
                _ => {
                    let before = Line::read(lines[index - 1].trim_end().as_bytes()).unwrap();
                    let (line, _) = before.head().next(UNIX_EPOCH, "attempt", ",\"payload\":0");
                    other[index] = line;
                    Fault::Replaced(at(index))
                }
            };
            let found = judge(other.concat().as_bytes(), None).unwrap_err();
            assert_eq!(found, fault, "{:#?}", place(&found));
        }
    }

    #[test]
    fn a_record_may_begin_and_end_anywhere_and_an_anchor_shows_it() {
        let mut rng = fastrand::Rng::with_seed(17);
        let lines = record(&mut rng, 8);
        let heads: Vec<_> = lines
            .iter()
            .map(|line| Line::read(line.trim_end().as_bytes()).unwrap().head())
            .collect();
        for (from, to) in [(0, 8), (0, 5), (3, 8), (3, 5)] {
            for (index, head) in heads.iter().enumerate() {
                let part = lines[from..to].concat();
                let anchor = Anchor::parse(&head.to_string()).unwrap();
                let (summary, is_anchored) = judge(part.as_bytes(), Some(anchor)).unwrap();
                assert_eq!(is_anchored, (from..to).contains(&index));
                let words = summary.without(&anchor).to_string();
                assert_eq!(words.contains("was cut"), index >= to, "{words}");
                assert_eq!(words.contains("before the first"), index < from, "{words}");
                let alone = Anchor::parse(&head.hash.to_string()).unwrap();
                assert_eq!(judge(part.as_bytes(), Some(alone)).unwrap().1, is_anchored);
            }
        }
        // The same numbers, and other lines.
        let mut anew = record(&mut rng, 8);
        let anchor = Anchor::parse(&heads[6].to_string()).unwrap();
        let (summary, is_anchored) = judge(anew.concat().as_bytes(), Some(anchor)).unwrap();
        assert!(!is_anchored);
        let words = summary.without(&anchor).to_string();
        assert!(words.contains("was written anew"), "{words}");
        anew.truncate(1);
        assert!(Anchor::parse("12").is_none() && Anchor::parse("x:12").is_none());
    }

    #[test]
    fn an_end_that_is_not_whole_is_no_fault_and_attempts_without_outcome_are_counted() {
        let lines = record(&mut fastrand::Rng::with_seed(18), 8);
        let whole = lines.concat();
        let last = whole.len() - lines[7].len();
        for end in last..whole.len() - 1 {
            let (summary, _) = judge(&whole.as_bytes()[..end], None).unwrap();
            assert_eq!((summary.lines, summary.open), (7, 0));
            let is_cut = summary.notes.iter().any(|it| it.contains("not whole"));
            assert_eq!(is_cut, end > last, "{:?}", summary.notes);
        }
        let (summary, _) = judge(whole.as_bytes(), None).unwrap();
        assert_eq!((summary.lines, summary.open), (8, 1));
    }

    #[test]
    fn a_clock_that_was_set_back_is_told_and_is_no_fault() {
        let mut text = String::new();
        let mut head = Head::default();
        for seconds in [100, 200, 50, 60, 40] {
            let time = UNIX_EPOCH + Duration::from_secs(seconds);
            let (line, next) = head.next(time, "read", "");
            text += &line;
            head = next;
        }
        let (summary, _) = judge(text.as_bytes(), None).unwrap();
        assert_eq!(
            summary.notes,
            [
                "f:3: the clock was set back, from 1970-01-01T00:03:20.000Z to 1970-01-01T00:00:50.000Z",
                "the clock was set back 1 more times",
            ]
        );
    }
}
