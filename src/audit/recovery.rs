//! Where a record that was left in any state goes on.
//!
//! A process that is killed, a full disk or a power failure leaves a last line without its end. Such a line was never
//! whole, so nothing was sent on its account: it is taken out of the file, and the next line tells what was there. Whole
//! lines with wrong hashes are somebody's doing or the disk's: they stay, and the verification names them.

use super::chain::{Head, Line, is_begun};
use super::entry::start_of;
use super::members::Members;

/// The end of a file.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Tail {
    /// The last line whose hash is right.
    pub(crate) head: Option<Head>,
    /// What follows that line.
    pub(crate) rest: Rest,
    /// The bytes that the file keeps.
    pub(crate) kept: usize,
    /// The last line lacks its line end alone.
    pub(crate) lacks_line_end: bool,
}

/// What follows the last line whose hash is right.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Rest {
    Nothing,
    /// The beginning of a line.
    Cut {
        bytes: usize,
        text: String,
    },
    /// Whole lines.
    Damaged {
        bytes: usize,
    },
}

impl Tail {
    /// Looks at the last bytes of a file, or at all of them.
    pub(crate) fn of(bytes: &[u8]) -> Tail {
        let whole = bytes.iter().rposition(|byte| *byte == b'\n');
        let whole = whole.map_or(0, |at| at + 1);
        let (lines, last) = bytes.split_at(whole);
        if let Some(line) = Line::read(last) {
            return Tail {
                head: Some(line.head()),
                rest: Rest::Nothing,
                kept: bytes.len(),
                lacks_line_end: true,
            };
        }
        let mut end = lines.len();
        let mut head = None;
        while let (None, Some(before)) = (head, end.checked_sub(1)) {
            let line = lines.get(..before).unwrap_or_default();
            let start = line.iter().rposition(|byte| *byte == b'\n');
            let start = start.map_or(0, |at| at + 1);
            head = Line::read(line.get(start..).unwrap_or_default()).map(|line| line.head());
            end = if head.is_some() { end } else { start };
        }
        let rest = if end < lines.len() || !is_begun(last) {
            Rest::Damaged {
                bytes: bytes.len() - end,
            }
        } else if last.is_empty() {
            Rest::Nothing
        } else {
            let text = String::from_utf8_lossy(last);
            Rest::Cut {
                bytes: last.len(),
                text: start_of(&text, CUT_SHOWN).to_owned(),
            }
        };
        Tail {
            head,
            kept: match rest {
                Rest::Damaged { .. } => bytes.len(),
                Rest::Nothing | Rest::Cut { .. } => whole,
            },
            lacks_line_end: matches!(rest, Rest::Damaged { .. }) && !last.is_empty(),
            rest,
        }
    }
}

impl Rest {
    /// Tells of it in the line that follows.
    pub(crate) fn add_to(&self, members: &mut Members) {
        let mut found = Members::default();
        match self {
            Rest::Nothing => {}
            Rest::Cut { bytes, text } => {
                found.plain("bytes", bytes).text("text", text);
                members.object("cut", &found);
            }
            Rest::Damaged { bytes } => {
                found.plain("bytes", bytes);
                members.object("damaged", &found);
            }
        }
    }
}

impl Rest {
    /// What an operator should know of it.
    pub(crate) fn doubt(&self) -> Option<&'static str> {
        match self {
            Rest::Nothing => None,
            Rest::Cut { .. } => {
                Some("the last line was not whole; the record goes on after the line before it")
            }
            Rest::Damaged { .. } => {
                Some("the last lines were changed; `--verify-audit` names the first of them")
            }
        }
    }
}

/// How much of a line that was cut is told.
const CUT_SHOWN: usize = 2048;

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use std::time::UNIX_EPOCH;

    use super::*;

    fn lines(count: usize) -> (String, Head) {
        let mut head = Head::default();
        let mut text = String::new();
        for _ in 0..count {
            let (line, next) = head.next(UNIX_EPOCH, "read", "");
            text += &line;
            head = next;
        }
        (text, head)
    }

    #[test]
    fn a_record_cut_anywhere_goes_on_after_its_last_whole_line() {
        let (text, head) = lines(3);
        let (two, second) = lines(2);
        for cut in two.len()..=text.len() {
            let tail = Tail::of(text.as_bytes().get(..cut).unwrap());
            let is_whole = cut >= text.len() - 1;
            assert_eq!(tail.head, Some(if is_whole { head } else { second }));
            assert_eq!(tail.lacks_line_end, cut == text.len() - 1);
            let left = cut - two.len();
            match tail.rest {
                Rest::Cut { bytes, text } => {
                    assert!(!is_whole && bytes == left && text.len() == left);
                    assert_eq!(tail.kept, two.len());
                }
                rest => {
                    assert_eq!(rest, Rest::Nothing);
                    assert!(is_whole || left == 0);
                    assert_eq!(tail.kept, cut);
                }
            }
        }
    }

    #[test]
    fn zeros_of_a_power_failure_are_a_cut_and_a_changed_line_is_none() {
        let (text, head) = lines(2);
        let tail = Tail::of(format!("{text}{}", "\0".repeat(4096)).as_bytes());
        assert_eq!((tail.head, tail.kept), (Some(head), text.len()));
        assert!(matches!(tail.rest, Rest::Cut { bytes: 4096, .. }));
        let changed = text.replacen("\"n\":2", "\"n\":3", 1);
        let tail = Tail::of(changed.as_bytes());
        let (one, first) = lines(1);
        assert_eq!((tail.head, tail.kept), (Some(first), text.len()));
        let bytes = text.len() - one.len();
        assert_eq!(tail.rest, Rest::Damaged { bytes });
        assert!(!tail.lacks_line_end);
        let tail = Tail::of(format!("{changed}{{\"n\":").as_bytes());
        assert!(tail.lacks_line_end, "{tail:?}");
    }

    #[test]
    fn what_is_no_record_has_no_head() {
        assert_eq!(Tail::of(b"").rest, Rest::Nothing);
        let tail = Tail::of(b"127.0.0.1 localhost\n");
        assert_eq!((tail.head, tail.kept), (None, 20));
        assert!(matches!(tail.rest, Rest::Damaged { .. }));
        // Also without a line end; what somebody added to a record is his, too.
        for foreign in ["{\"mqtt\": {}}", &(lines(2).0 + "x")] {
            let tail = Tail::of(foreign.as_bytes());
            assert_eq!(tail.kept, foreign.len());
            assert!(matches!(tail.rest, Rest::Damaged { .. }), "{tail:?}");
        }
    }
}
