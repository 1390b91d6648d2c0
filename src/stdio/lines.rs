//! Cuts a stream of bytes into lines.
//!
//! Promises: memory stays below the cap and one read, whatever comes; a line is handed out without
//! being copied; blank lines, `\r` before `\n` and a byte order mark at the start are taken away.
//! Does not: read, or look into a line.

use std::ops::Range;

/// The bytes that came and were not handed out yet.
#[derive(Debug)]
pub(super) struct Lines {
    buffer: Vec<u8>,
    /// Where the line begins that is not handed out yet.
    start: usize,
    /// Up to here there is no line end after `start`.
    scanned: usize,
    max: usize,
    /// The line is too long and was reported; the rest of it is thrown away.
    skipping: bool,
    /// Nothing was handed out yet.
    fresh: bool,
}

/// One line that is not blank.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Line<'a> {
    /// Without its end.
    Text(&'a [u8]),
    /// Longer than allowed; told once, when it becomes so.
    TooLong,
}

impl Lines {
    pub(super) fn new(max: usize) -> Lines {
        Lines {
            buffer: Vec::new(),
            start: 0,
            scanned: 0,
            max,
            skipping: false,
            fresh: true,
        }
    }

    /// Where to append what is read next: at least [`CHUNK`] bytes of spare capacity.
    pub(super) fn room(&mut self) -> &mut Vec<u8> {
        self.buffer.drain(..self.start);
        self.scanned -= self.start;
        self.start = 0;
        if self.buffer.is_empty() && self.buffer.capacity() > 4 * CHUNK {
            self.buffer = Vec::new();
        }
        self.buffer.reserve(CHUNK);
        &mut self.buffer
    }

    /// The next complete line.
    pub(super) fn next(&mut self) -> Option<Line<'_>> {
        loop {
            let rest = self.buffer.get(self.scanned..).unwrap_or_default();
            let Some(length) = rest.iter().position(|byte| *byte == b'\n') else {
                return self.unfinished();
            };
            let range = self.start..self.scanned + length;
            self.scanned = range.end + 1;
            self.start = self.scanned;
            if !std::mem::take(&mut self.skipping) {
                let range = self.trim(range);
                if range.len() > self.max {
                    return Some(Line::TooLong);
                }
                if !range.is_empty() {
                    return self.buffer.get(range).map(Line::Text);
                }
            }
        }
    }

    /// What is left when the input has ended: a line that lacks its end.
    pub(super) fn last(&mut self) -> Option<Line<'_>> {
        if self.skipping {
            return None;
        }
        let range = self.trim(self.start..self.buffer.len());
        self.start = self.buffer.len();
        self.scanned = self.start;
        let text = self.buffer.get(range).filter(|text| !text.is_empty())?;
        Some(Line::Text(text))
    }

    fn unfinished(&mut self) -> Option<Line<'_>> {
        self.scanned = self.buffer.len();
        if self.skipping {
            self.start = self.scanned;
        } else if self.scanned - self.start > self.max + SLACK {
            self.start = self.scanned;
            self.skipping = true;
            self.fresh = false;
            return Some(Line::TooLong);
        }
        None
    }

    /// The line without white space around it, and without the mark that some editors and shells
    /// put before the first.
    fn trim(&mut self, mut range: Range<usize>) -> Range<usize> {
        let text = self.buffer.get(range.clone()).unwrap_or_default();
        let text = match text.strip_prefix(BYTE_ORDER_MARK) {
            Some(rest) if self.fresh => rest,
            _ => text,
        };
        self.fresh = false;
        range.start = range.end - text.trim_ascii_start().len();
        range.end -= text.len() - text.trim_ascii_end().len();
        range.start = range.start.min(range.end);
        range
    }
}

/// Least room for one read: what a pipe holds.
const CHUNK: usize = 64 << 10;
/// A line's `\r`, and a mark before it, are not counted.
const SLACK: usize = 4;
const BYTE_ORDER_MARK: &[u8] = b"\xEF\xBB\xBF";

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::*;

    /// Every line of `input` fed in pieces of `size` bytes; `None` for one that is too long.
    fn cut(input: &[u8], size: usize, max: usize) -> Vec<Option<Vec<u8>>> {
        let mut lines = Lines::new(max);
        let mut found = Vec::new();
        let own = |line: Line<'_>| match line {
            Line::Text(text) => Some(text.to_vec()),
            Line::TooLong => None,
        };
        for piece in input.chunks(size) {
            lines.room().extend_from_slice(piece);
            while let Some(line) = lines.next() {
                found.push(own(line));
            }
            assert!(lines.buffer.len() <= max + SLACK + size);
        }
        found.extend(lines.last().map(own));
        found
    }

    fn text(line: &str) -> Option<Vec<u8>> {
        Some(line.into())
    }

    #[test]
    fn lines_are_the_same_however_they_arrive() {
        let input = b"\xEF\xBB\xBF  one\r\n\n \t\r\n two\ntwelve chars\nthree\n\nlast";
        let expected = [text("one"), text("two"), None, text("three"), text("last")];
        for size in 1..=input.len() {
            assert_eq!(cut(input, size, 6), expected, "in pieces of {size}");
        }
    }

    #[test]
    fn the_cap_counts_neither_line_end_nor_mark() {
        assert_eq!(cut(b"\xEF\xBB\xBF123456\r\n", 3, 6), [text("123456")]);
        assert_eq!(cut(b"1234567\n1\n", 3, 6), [None, text("1")]);
        assert_eq!(cut(b"1234567", 3, 6), [text("1234567")]);
        assert_eq!(cut(&[b'x'; 100], 3, 6), [None]);
    }

    #[test]
    fn a_mark_is_taken_away_only_at_the_very_start() {
        let later = b"a\n\xEF\xBB\xBFb\n";
        let kept = Some(b"\xEF\xBB\xBFb".to_vec());
        assert_eq!(cut(later, 100, 9), [text("a"), kept]);
    }

    #[test]
    fn the_room_after_a_long_line_is_given_back() {
        let mut lines = Lines::new(1 << 20);
        for _ in 0..15 {
            lines.room().extend_from_slice(&[b'x'; CHUNK]);
            assert_eq!(lines.next(), None);
        }
        lines.room().push(b'\n');
        assert!(matches!(lines.next(), Some(Line::Text(text)) if text.len() == 15 * CHUNK));
        assert!(lines.room().capacity() <= 2 * CHUNK);
    }
}
