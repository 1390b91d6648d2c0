//! Cuts a stream of bytes into lines.
//!
//! Promises: no more than the cap and one chunk is ever held; a line over the cap is reported once and skipped to its
//! end; blank lines and a byte order mark at the very start are ignored.
//! Does not: look into a line, or at UTF-8 split between chunks.

use std::io::BufRead;

pub(super) struct Lines {
    kept: Vec<u8>,
    cap: usize,
    /// `kept` was given out and is to be emptied.
    used: bool,
    /// Within a line over the cap.
    skipping: bool,
    /// Nothing was given out yet.
    first: bool,
}

#[derive(Debug, PartialEq, Eq)]
pub(super) enum InputLine<'a> {
    /// A line without its end.
    Whole(&'a [u8]),
    TooLong,
}

impl Lines {
    pub(super) fn new(cap: usize) -> Lines {
        Lines {
            kept: Vec::new(),
            cap,
            used: false,
            skipping: false,
            first: true,
        }
    }

    /// The next line that ends in (or grows too long with) the bytes of `rest`, which are taken
    /// off it; `None` when they are used up.
    pub(super) fn next(&mut self, rest: &mut &[u8]) -> Option<InputLine<'_>> {
        while !rest.is_empty() {
            self.recycle();
            // Reading from a slice into memory cannot fail.
            let _ = rest.read_until(b'\n', &mut self.kept);
            let ended = self.kept.last() == Some(&b'\n');
            if self.skipping {
                self.skipping = !ended;
                self.used = true;
            } else if self.kept.len() - usize::from(ended) > self.cap {
                self.skipping = !ended;
                self.used = true;
                return Some(InputLine::TooLong);
            } else if ended && !self.text().is_empty() {
                return Some(self.give());
            } else {
                self.used = ended;
            }
        }
        // It may be long until the next line comes.
        self.recycle();
        None
    }

    /// At the end of input: the line that was not ended, if any.
    pub(super) fn last(&mut self) -> Option<InputLine<'_>> {
        if self.used || self.skipping || self.text().is_empty() {
            return None;
        }
        Some(self.give())
    }

    fn give(&mut self) -> InputLine<'_> {
        self.used = true;
        let start = if std::mem::take(&mut self.first) {
            self.bom()
        } else {
            0
        };
        InputLine::Whole(self.kept.get(start..).unwrap_or_default().trim_ascii())
    }

    /// What is kept, if it is not blank.
    fn text(&self) -> &[u8] {
        let start = if self.first { self.bom() } else { 0 };
        self.kept.get(start..).unwrap_or_default().trim_ascii()
    }

    fn bom(&self) -> usize {
        if self.kept.starts_with(BOM) {
            BOM.len()
        } else {
            0
        }
    }

    fn recycle(&mut self) {
        if self.used {
            self.used = false;
            self.kept.clear();
            // One long line must not hold its memory for the rest of the connection.
            self.kept.shrink_to(KEPT_BYTES);
        }
    }
}

const BOM: &[u8] = b"\xEF\xBB\xBF";
const KEPT_BYTES: usize = 64 << 10;

#[cfg(test)]
mod tests {
    use super::*;

    fn cut(cap: usize, chunks: &[&[u8]]) -> Vec<String> {
        let mut lines = Lines::new(cap);
        let mut found = Vec::new();
        let mut note = |line: InputLine<'_>| match line {
            InputLine::Whole(bytes) => found.push(String::from_utf8_lossy(bytes).into_owned()),
            InputLine::TooLong => found.push("TOO LONG".into()),
        };
        for chunk in chunks {
            let mut rest = *chunk;
            while let Some(line) = lines.next(&mut rest) {
                note(line);
            }
        }
        if let Some(line) = lines.last() {
            note(line);
        }
        found
    }

    #[test]
    fn ends_of_both_kinds_blank_lines_and_a_missing_last_end() {
        assert_eq!(cut(9, &[b"a\nb\r\n\n \t\r\nc"]), ["a", "b", "c"]);
        assert_eq!(cut(9, &[b""]), [""; 0]);
        assert_eq!(cut(9, &[b"\n\n"]), [""; 0]);
    }

    #[test]
    fn a_byte_order_mark_counts_only_at_the_start() {
        assert_eq!(
            cut(9, &[b"\xEF\xBB\xBFa\n\xEF\xBB\xBFb\n"]),
            ["a", "\u{FEFF}b"]
        );
        assert_eq!(cut(9, &[b"\n", b"\xEF\xBB", b"\xBF", b"a\n"]), ["a"]);
    }

    #[test]
    fn every_way_to_split_the_bytes_gives_the_same_lines() {
        let bytes = "{\"é\"}\r\n\n0123456789\nxy".as_bytes();
        let whole = cut(9, &[bytes]);
        assert_eq!(whole, ["{\"é\"}", "TOO LONG", "xy"]);
        for first in 0..=bytes.len() {
            for second in first..=bytes.len() {
                let parts = [&bytes[..first], &bytes[first..second], &bytes[second..]];
                assert_eq!(cut(9, &parts), whole, "split at {first} and {second}");
            }
        }
    }

    #[test]
    fn the_cap_is_exact_and_an_endless_line_is_told_once() {
        assert_eq!(
            cut(4, &[b"1234\n12345\n1234"]),
            ["1234", "TOO LONG", "1234"]
        );
        let many = vec![&b"xxxxxxxx"[..]; 1000];
        assert_eq!(cut(4, &many), ["TOO LONG"]);
        let mut lines = Lines::new(4);
        for chunk in many {
            let mut rest = chunk;
            while lines.next(&mut rest).is_some() {}
        }
        assert!(lines.kept.capacity() < 1000);
    }

    #[test]
    fn a_long_line_is_let_go_when_it_was_used_not_when_the_next_one_comes() {
        let mut lines = Lines::new(4 << 20);
        let long = [&vec![b'x'; 4 << 20][..], b"\n"].concat();
        let mut rest = &long[..];
        while lines.next(&mut rest).is_some() {}
        assert!(lines.kept.capacity() <= KEPT_BYTES);
        assert_eq!(lines.last(), None);
    }
}
