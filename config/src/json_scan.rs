//! Finds the first fault of a JSON text, with the expected token and the open brackets.
//!
//! `serde_json` decides whether a text is JSON. This scanner runs only after `serde_json` refused the text, and
//! determines what `serde_json` does not report: the token before the fault, the open brackets, and the kind of the
//! broken token.

use std::ops::Range;

/// The first fault and its context.
#[derive(Debug)]
pub(crate) struct Stop {
    /// The byte offset of the fault; the end of the last token if the text ends too early.
    pub(crate) at: usize,
    pub(crate) expected: Expect,
    pub(crate) kind: Kind,
    /// The open brackets, the innermost last.
    pub(crate) open: Vec<Open>,
    /// The token before the fault.
    pub(crate) before: Range<usize>,
}

/// What the grammar allows next.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Expect {
    /// A value, or `]` because the array has just begun.
    FirstItem,
    Value,
    /// A key, or `}` because the object has just begun.
    FirstKey,
    Key,
    Colon,
    /// A comma or the closing bracket; outside all brackets the end.
    Next,
}

#[derive(Debug)]
pub(crate) enum Kind {
    /// The text ends too early.
    Ended,
    /// A character that is not allowed here.
    Unexpected,
    /// One bracket more than [`MAX_DEPTH`] allows.
    TooDeep,
    /// An invalid number.
    Number(Range<usize>),
    /// A bare word that is not `true`, `false` or `null`.
    Word(Range<usize>),
    /// A fault inside the string that begins at `begin`.
    Text { begin: usize, fault: TextFault },
}

#[derive(Clone, Copy, Debug)]
pub(crate) enum TextFault {
    /// The text ends before the closing quotation mark.
    Unclosed,
    /// A character below U+0020.
    Control,
    /// A backslash before something that it does not escape.
    Escape,
    /// `\u` without four hexadecimal digits.
    Hex,
    /// Half of a surrogate pair.
    Surrogate,
}

#[derive(Clone, Copy, Debug)]
pub(crate) struct Open {
    pub(crate) is_object: bool,
    pub(crate) at: usize,
}

impl Open {
    pub(crate) fn opener(self) -> char {
        if self.is_object { '{' } else { '[' }
    }

    pub(crate) fn closer(self) -> char {
        if self.is_object { '}' } else { ']' }
    }
}

/// The first fault of `text`; `None` if it is JSON.
pub(crate) fn find(text: &str) -> Option<Stop> {
    let mut scan = Scan {
        text,
        at: 0,
        expected: Expect::Value,
        open: Vec::new(),
        before: 0..0,
    };
    loop {
        match scan.step() {
            Ok(true) => {}
            Ok(false) => return None,
            Err((at, kind)) => {
                return Some(Stop {
                    at,
                    expected: scan.expected,
                    kind,
                    open: scan.open,
                    before: scan.before,
                });
            }
        }
    }
}

struct Scan<'a> {
    text: &'a str,
    at: usize,
    expected: Expect,
    open: Vec<Open>,
    before: Range<usize>,
}

type Fault = (usize, Kind);

impl Scan<'_> {
    /// Reads one token; `false` at the end of a complete text.
    fn step(&mut self) -> Result<bool, Fault> {
        while matches!(self.peek(), Some(b' ' | b'\t' | b'\n' | b'\r')) {
            self.at += 1;
        }
        let inside = self.open.last().map(|open| open.is_object);
        let Some(byte) = self.peek() else {
            return match (self.expected, inside) {
                (Expect::Next, None) => Ok(false),
                _ => Err((self.before.end, Kind::Ended)),
            };
        };
        let begin = self.at;
        let expected = match (self.expected, byte, inside) {
            (Expect::Next, b',', Some(true)) => self.punctuation(Expect::Key),
            (Expect::Next, b',', Some(false)) => self.punctuation(Expect::Value),
            (Expect::Next | Expect::FirstItem, b']', Some(false))
            | (Expect::Next | Expect::FirstKey, b'}', Some(true)) => {
                self.open.pop();
                self.punctuation(Expect::Next)
            }
            (Expect::Colon, b':', _) => self.punctuation(Expect::Value),
            (Expect::FirstKey | Expect::Key, b'"', _) => {
                self.string()?;
                Expect::Colon
            }
            (Expect::FirstItem | Expect::Value, b'"', _) => {
                self.string()?;
                Expect::Next
            }
            (Expect::FirstItem | Expect::Value, b'{' | b'[', _) => {
                if self.open.len() + 1 >= MAX_DEPTH {
                    return Err((self.at, Kind::TooDeep));
                }
                let is_object = byte == b'{';
                let at = self.at;
                self.open.push(Open { is_object, at });
                self.punctuation(if is_object {
                    Expect::FirstKey
                } else {
                    Expect::FirstItem
                })
            }
            (Expect::FirstItem | Expect::Value, b'-' | b'0'..=b'9', _) => {
                self.number()?;
                Expect::Next
            }
            (Expect::FirstItem | Expect::Value, b'a'..=b'z' | b'A'..=b'Z' | b'_', _) => {
                self.word()?;
                Expect::Next
            }
            _ => return Err((self.at, Kind::Unexpected)),
        };
        self.before = begin..self.at;
        self.expected = expected;
        Ok(true)
    }

    fn punctuation(&mut self, next: Expect) -> Expect {
        self.at += 1;
        next
    }

    fn string(&mut self) -> Result<(), Fault> {
        let begin = self.at;
        let fault = |at, fault| Err((at, Kind::Text { begin, fault }));
        self.at += 1;
        loop {
            match self.peek() {
                None => return fault(begin, TextFault::Unclosed),
                Some(b'"') => break,
                Some(0..0x20) => return fault(self.at, TextFault::Control),
                Some(b'\\') => match self.escape() {
                    Ok(()) => {}
                    Err((at, what)) => return fault(at, what),
                },
                Some(_) => self.at += 1,
            }
        }
        self.at += 1;
        Ok(())
    }

    /// Reads an escape sequence (RFC 8259 §7).
    fn escape(&mut self) -> Result<(), (usize, TextFault)> {
        let begin = self.at;
        self.at += 2;
        match self.byte(begin + 1) {
            Some(b'"' | b'\\' | b'/' | b'b' | b'f' | b'n' | b'r' | b't') => return Ok(()),
            Some(b'u') => {}
            _ => return Err((begin, TextFault::Escape)),
        }
        let first = self.hex().ok_or((begin, TextFault::Hex))?;
        match first {
            0xD800..=0xDBFF => {}
            0xDC00..=0xDFFF => return Err((begin, TextFault::Surrogate)),
            _ => return Ok(()),
        }
        let is_pair = self.byte(self.at) == Some(b'\\') && self.byte(self.at + 1) == Some(b'u');
        self.at += 2;
        match is_pair.then(|| self.hex()).flatten() {
            Some(0xDC00..=0xDFFF) => Ok(()),
            _ => Err((begin, TextFault::Surrogate)),
        }
    }

    fn hex(&mut self) -> Option<u32> {
        let digits = self.text.get(self.at..self.at + 4)?;
        if !digits.bytes().all(|byte| byte.is_ascii_hexdigit()) {
            return None;
        }
        self.at += 4;
        u32::from_str_radix(digits, 16).ok()
    }

    fn number(&mut self) -> Result<(), Fault> {
        let range = self.run();
        let text = self.text.get(range.clone()).unwrap_or_default();
        // `serde_json` refuses a number that exceeds a double.
        let fits = text.parse().is_ok_and(|number: f64| number.is_finite());
        if is_number(text) && fits {
            self.at = range.end;
            Ok(())
        } else {
            Err((range.start, Kind::Number(range)))
        }
    }

    fn word(&mut self) -> Result<(), Fault> {
        let range = self.run();
        match self.text.get(range.clone()) {
            Some("true" | "false" | "null") => {
                self.at = range.end;
                Ok(())
            }
            _ => Err((range.start, Kind::Word(range))),
        }
    }

    fn run(&self) -> Range<usize> {
        self.at..self.at + run_length(self.text.get(self.at..).unwrap_or_default())
    }

    fn peek(&self) -> Option<u8> {
        self.byte(self.at)
    }

    fn byte(&self, at: usize) -> Option<u8> {
        self.text.as_bytes().get(at).copied()
    }
}

/// The length of the word or number, as a person would read it, at the start of `text`.
pub(crate) fn run_length(text: &str) -> usize {
    let is_part = |byte: u8| byte.is_ascii_alphanumeric() || b"._+-".contains(&byte);
    text.bytes().take_while(|byte| is_part(*byte)).count()
}

/// Whether the text is a number (RFC 8259 §6).
pub(crate) fn is_number(text: &str) -> bool {
    let digits = |text: &str| !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    let text = text.strip_prefix('-').unwrap_or(text);
    let (mantissa, exponent) = match text.split_once(['e', 'E']) {
        Some((mantissa, exponent)) => (mantissa, Some(exponent)),
        None => (text, None),
    };
    let (whole, fraction) = match mantissa.split_once('.') {
        Some((whole, fraction)) => (whole, Some(fraction)),
        None => (mantissa, None),
    };
    let exponent = exponent.map(|text| text.strip_prefix(['+', '-']).unwrap_or(text));
    digits(whole)
        && (whole == "0" || !whole.starts_with('0'))
        && fraction.is_none_or(digits)
        && exponent.is_none_or(digits)
}

/// The nesting limit of `serde_json`, which keeps its stack small.
pub(crate) const MAX_DEPTH: usize = 128;
