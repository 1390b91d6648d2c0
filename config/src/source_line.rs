//! Shows one line of a faulty file with a caret under the fault.
//!
//! Promises: the caret stands under the fault whatever precedes it on the line; no character on the line moves the
//! cursor or is invisible; the value of a key that names a secret is not shown.

use std::ops::Range;

use mcpmqtt_protocol::topic::disturbs;

use crate::secret_spans;

/// A place in a file, counted from 1.
#[derive(Debug)]
pub(crate) struct Place {
    /// The line, from 1.
    pub(crate) line: usize,
    /// The column in characters, from 1.
    pub(crate) column: usize,
    /// The line and the caret, each indented, each after a line break.
    pub(crate) excerpt: String,
}

/// Line and column of the byte at `at`, from 1.
pub(crate) fn position(bytes: &[u8], at: usize) -> (usize, usize) {
    let (line, range) = line_around(bytes, at);
    let before = bytes.get(range.start..at).unwrap_or_default();
    (line, characters(before).count() + 1)
}

/// The place of the byte at `at`, with its excerpt.
pub(crate) fn show(bytes: &[u8], at: usize) -> Place {
    let (line, range) = line_around(bytes, at);
    let (_, column) = position(bytes, at);
    let cells = cells(bytes, range);
    let fault = cells.iter().take_while(|cell| cell.at < at).count();
    let (shown, caret) = window(&cells, fault);
    let number = line.to_string();
    let margin = " ".repeat(number.len());
    Place {
        line,
        column,
        excerpt: format!("\n    {number} | {shown}\n    {margin} | {caret}^"),
    }
}

/// The number of the line that holds `at`, and its range without the line end.
fn line_around(bytes: &[u8], at: usize) -> (usize, Range<usize>) {
    let at = at.min(bytes.len());
    let before = bytes.get(..at).unwrap_or_default();
    let after = bytes.get(at..).unwrap_or_default();
    let line = before.iter().filter(|byte| **byte == b'\n').count() + 1;
    let begin = before.iter().rposition(|byte| *byte == b'\n');
    let begin = begin.map_or(0, |newline| newline + 1);
    let end = after.iter().position(|byte| *byte == b'\n');
    let end = end.map_or(bytes.len(), |newline| at + newline);
    let text = bytes.get(begin..end).unwrap_or_default();
    let text = text.strip_suffix(b"\r").unwrap_or(text);
    (line, begin..begin + text.len())
}

/// The characters of a line with their offsets; an invalid UTF-8 byte counts as one character.
fn characters(line: &[u8]) -> impl Iterator<Item = (usize, Result<char, u8>)> {
    let mut offset = 0;
    line.utf8_chunks().flat_map(move |chunk| {
        let begin = offset;
        let invalid = begin + chunk.valid().len();
        offset = invalid + chunk.invalid().len();
        let valid = chunk.valid().char_indices();
        let valid = valid.map(move |(at, c)| (begin + at, Ok(c)));
        let bytes = chunk.invalid().iter().zip(invalid..);
        valid.chain(bytes.map(|(byte, at)| (at, Err(*byte))))
    })
}

/// The form of one character on the screen.
struct Cell {
    at: usize,
    shown: String,
    columns: usize,
}

impl Cell {
    /// The columns that the cell counts for: a character of width 0 counts as well, or a line of such characters would
    /// have no end.
    fn room(&self) -> usize {
        self.columns.max(usize::from(!self.shown.is_empty()))
    }
}

fn cells(bytes: &[u8], line: Range<usize>) -> Vec<Cell> {
    let secrets = secret_spans::find(bytes);
    let text = bytes.get(line.clone()).unwrap_or_default();
    let cell = |(offset, character): (usize, Result<char, u8>)| {
        let at = line.start + offset;
        let next = secrets.partition_point(|span| span.end <= at);
        let shown = match secrets.get(next).filter(|span| span.contains(&at)) {
            // A secret that began on an earlier line is hidden from the first character of this line on.
            Some(span) if at == span.start.max(line.start) => MASK.to_owned(),
            Some(_) => String::new(),
            None => shown(character),
        };
        let columns = shown.chars().map(columns).sum();
        Cell { at, shown, columns }
    };
    characters(text).map(cell).collect()
}

fn shown(character: Result<char, u8>) -> String {
    match character {
        Ok('\t') => TAB.to_owned(),
        Ok(c) if disturbs(c) => c.escape_default().to_string(),
        Ok(c) => c.to_string(),
        Err(byte) => format!("\\x{byte:02X}"),
    }
}

/// The part of the line around the cell `fault` that fits, and the space before the caret.
fn window(cells: &[Cell], fault: usize) -> (String, String) {
    let (before, after) = cells.split_at_checked(fault).unwrap_or((cells, &[]));
    let whole: usize = cells.iter().map(Cell::room).sum();
    let (left, right) = if whole <= MAX_COLUMNS {
        (before.len(), after.len())
    } else {
        let (left, used) = fitting(before.iter().rev(), MAX_COLUMNS / 2);
        (left, fitting(after.iter(), MAX_COLUMNS - used).0)
    };
    let mut text = String::new();
    if left < before.len() {
        text.push(CUT);
    }
    for cell in before.iter().skip(before.len() - left) {
        text += &cell.shown;
    }
    let caret = " ".repeat(text.chars().map(columns).sum());
    for cell in after.iter().take(right) {
        text += &cell.shown;
    }
    if right < after.len() {
        text.push(CUT);
    }
    (text, caret)
}

/// The number of cells from the first on that fit into `room`, and the columns that they take.
fn fitting<'a>(cells: impl Iterator<Item = &'a Cell>, room: usize) -> (usize, usize) {
    let (mut count, mut used) = (0, 0);
    for cell in cells {
        if used + cell.room() > room {
            break;
        }
        count += 1;
        used += cell.room();
    }
    (count, used)
}

/// The columns of a character on a terminal: the Unicode blocks that are wide, or that combine with the character
/// before them (UAX #11, and the general categories Mn and Me).
fn columns(c: char) -> usize {
    match u32::from(c) {
        0x0300..=0x036F
        | 0x0483..=0x0489
        | 0x0591..=0x05BD
        | 0x0610..=0x061A
        | 0x064B..=0x065F
        | 0x0900..=0x0902
        | 0x0E34..=0x0E3A
        | 0x0E47..=0x0E4E
        | 0x1AB0..=0x1AFF
        | 0x1DC0..=0x1DFF
        | 0x20D0..=0x20FF
        | 0xFE00..=0xFE0F
        | 0xFE20..=0xFE2F
        | 0xE0100..=0xE01EF => 0,
        0x1100..=0x115F
        | 0x2E80..=0x303E
        | 0x3041..=0xA4CF
        | 0xAC00..=0xD7A3
        | 0xF900..=0xFAFF
        | 0xFE30..=0xFE6F
        | 0xFF00..=0xFF60
        | 0xFFE0..=0xFFE6
        | 0x1F300..=0x1F64F
        | 0x1F680..=0x1F6FF
        | 0x1F900..=0x1F9FF
        | 0x20000..=0x3FFFD => 2,
        _ => 1,
    }
}

/// Of fixed length, so that it does not reveal the length of the secret.
const MASK: &str = "***";
const TAB: &str = "    ";
const CUT: char = '…';
/// A line of up to this length is shown whole.
const MAX_COLUMNS: usize = 100;
