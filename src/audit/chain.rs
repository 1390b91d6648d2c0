//! The lines of a record, each with a hash over all of it and over the line before.
//!
//! A line is one JSON object. It begins with `n`, its number, `time` and `event`, and ends with `prev`, the hash of the
//! line before, and `hash`: BLAKE2b with 32 bytes over the line's own bytes up to the comma before `hash`. Anybody can
//! check it with what every language has.

use std::fmt;
use std::time::SystemTime;

use blake2::digest::consts::U32;
use blake2::{Blake2b, Digest as _};

use crate::clock;

/// A hash of 32 bytes, shown in hexadecimal.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Hash([u8; 32]);

/// The last line of a record: its number and its hash. Before the first line both are zero.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Head {
    pub(crate) n: u64,
    pub(crate) hash: Hash,
}

/// A line whose own hash is right.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Line<'a> {
    pub(crate) n: u64,
    pub(crate) time: &'a str,
    pub(crate) event: &'a str,
    pub(crate) prev: Hash,
    pub(crate) hash: Hash,
    /// The JSON object.
    pub(crate) text: &'a str,
}

impl Hash {
    pub(crate) fn of(bytes: &[u8]) -> Hash {
        Hash(Blake2b::<U32>::digest(bytes).into())
    }

    /// Reads 64 hexadecimal digits.
    pub(crate) fn parse(text: &str) -> Option<Hash> {
        let digits = text.as_bytes();
        let mut bytes = [0; 32];
        if digits.len() != 2 * bytes.len() {
            return None;
        }
        for (byte, pair) in bytes.iter_mut().zip(digits.chunks(2)) {
            for digit in pair {
                let value = DIGITS.iter().position(|it| it == digit)?;
                *byte = *byte << 4 | u8::try_from(value).ok()?;
            }
        }
        Some(Hash(bytes))
    }
}

impl From<[u8; 32]> for Hash {
    fn from(bytes: [u8; 32]) -> Hash {
        Hash(bytes)
    }
}

impl From<Hash> for [u8; 32] {
    fn from(hash: Hash) -> [u8; 32] {
        hash.0
    }
}

impl fmt::Display for Hash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for byte in self.0 {
            for digit in [byte >> 4, byte & 15] {
                let digit = DIGITS.get(usize::from(digit)).copied().unwrap_or_default();
                f.write_str(char::from(digit).encode_utf8(&mut [0; 4]))?;
            }
        }
        Ok(())
    }
}

/// As the log and `--anchor` have it.
impl fmt::Display for Head {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}", self.n, self.hash)
    }
}

impl Head {
    /// The line after this one, with its line end, and the head that it makes. `members` are members of a JSON object,
    /// each after a comma.
    pub(crate) fn next(&self, time: SystemTime, event: &str, members: &str) -> (String, Head) {
        let n = self.n + 1;
        let time = clock::rfc3339(time);
        let mut line = format!(
            "{{\"n\":{n},\"time\":\"{time}\",\"event\":\"{event}\"{members},\"prev\":\"{}\"",
            self.hash
        );
        let hash = Hash::of(line.as_bytes());
        line.push_str(BEFORE_HASH);
        line.push_str(&hash.to_string());
        line.push_str("\"}\n");
        (line, Head { n, hash })
    }
}

impl<'a> Line<'a> {
    /// Reads a line without its line end. `None`: its hash is another, or it never was a line of a record.
    pub(crate) fn read(bytes: &'a [u8]) -> Option<Line<'a>> {
        let text = std::str::from_utf8(bytes).ok()?;
        let (hashed, hash) = ends_with(text.strip_suffix("}")?, BEFORE_HASH)?;
        if hash != Hash::of(hashed.as_bytes()) {
            return None;
        }
        let (_, prev) = ends_with(hashed, ",\"prev\":\"")?;
        let (_, rest) = hashed.split_once(",\"time\":\"")?;
        let (time, rest) = rest.split_once("\",\"event\":\"")?;
        Some(Line {
            n: number(bytes)?,
            time,
            event: rest.split('"').next()?,
            prev,
            hash,
            text,
        })
    }

    pub(crate) fn head(&self) -> Head {
        Head {
            n: self.n,
            hash: self.hash,
        }
    }
}

/// Whether this may be the beginning of a line, or zeros that a power failure left in its place. Anything else is
/// somebody's.
pub(super) fn is_begun(bytes: &[u8]) -> bool {
    let start = bytes.get(..BEGINNING.len()).unwrap_or(bytes);
    BEGINNING.starts_with(start) || bytes.iter().all(|byte| *byte == 0)
}

/// The number of a line, whether its hash is right or not.
pub(crate) fn number(line: &[u8]) -> Option<u64> {
    let rest = line.strip_prefix(BEGINNING)?;
    let digits = rest.iter().take_while(|byte| byte.is_ascii_digit()).count();
    std::str::from_utf8(rest.get(..digits)?).ok()?.parse().ok()
}

/// What is before `key` and the hash that follows it, which ends the text.
fn ends_with<'a>(text: &'a str, key: &str) -> Option<(&'a str, Hash)> {
    let text = text.strip_suffix('"')?;
    let at = text.len().checked_sub(64)?;
    let (before, digits) = text.split_at_checked(at)?;
    Some((before.strip_suffix(key)?, Hash::parse(digits)?))
}

const DIGITS: &[u8; 16] = b"0123456789abcdef";
const BEGINNING: &[u8] = b"{\"n\":";
const BEFORE_HASH: &str = ",\"hash\":\"";

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use std::time::{Duration, UNIX_EPOCH};

    use super::*;

    /// Computed with another program: `hashlib.blake2b(digest_size=32)` of Python.
    #[test]
    fn a_line_is_the_one_that_another_program_makes() {
        let time = UNIX_EPOCH + Duration::from_millis(1_234_567_890_005);
        let (line, head) = Head::default().next(time, "stop", ",\"pid\":7");
        assert_eq!(line, include_str!("first_line.txt"));
        let read = Line::read(line.trim_end().as_bytes()).unwrap();
        assert_eq!((read.head(), read.prev), (head, Hash::default()));
        assert_eq!((read.n, read.event), (1, "stop"));
        assert_eq!(read.time, "2009-02-13T23:31:30.005Z");
        let (_, second) = head.next(time, "stop", "");
        assert_eq!(second.n, 2);
    }

    #[test]
    fn a_line_with_any_other_byte_is_none() {
        let (line, _) = Head::default().next(UNIX_EPOCH, "attempt", ",\"payload\":\"ä\"");
        let line = line.trim_end().as_bytes();
        for at in 0..line.len() {
            for mask in [1, 0x20, 0x80, 0xff] {
                let mut other = line.to_vec();
                *other.get_mut(at).unwrap() ^= mask;
                assert!(Line::read(&other).is_none(), "{at} {mask}");
            }
            assert!(Line::read(line.get(..at).unwrap()).is_none(), "cut at {at}");
        }
        assert!(Line::read(line).is_some());
    }
}
