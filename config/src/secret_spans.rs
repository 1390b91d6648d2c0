//! Finds the parts of a faulty file that may be secret: the values of keys like `password`.
//!
//! The text need not be JSON, so this is a heuristic, which rather hides too much.

use std::ops::Range;

/// The ranges of `bytes` that must not be shown, in order.
pub(crate) fn find(bytes: &[u8]) -> Vec<Range<usize>> {
    let mut spans = Vec::new();
    let mut at = 0;
    while let Some(word) = next_word(bytes, at) {
        at = word.end;
        let name = bytes.get(word).unwrap_or_default();
        if is_secret(name) {
            if let Some(span) = value(bytes, at) {
                at = span.end;
                spans.push(span);
            }
        } else if let Some(span) = login_of_address(bytes, at) {
            at = span.end;
            spans.push(span);
        }
    }
    spans
}

/// The next run of characters that occur in keys.
fn next_word(bytes: &[u8], from: usize) -> Option<Range<usize>> {
    let is_part = |byte: &u8| byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'-');
    let rest = bytes.get(from..)?;
    let begin = from + rest.iter().position(is_part)?;
    let length = bytes
        .get(begin..)?
        .iter()
        .take_while(|b| is_part(b))
        .count();
    Some(begin..begin + length)
}

/// Whether a key with this name may hold a secret; the name of a file or a variable is not a secret.
fn is_secret(name: &[u8]) -> bool {
    let name = String::from_utf8_lossy(name).to_ascii_lowercase();
    SECRETS.iter().any(|secret| name.contains(secret))
        && !name.ends_with("file")
        && !name.ends_with("env")
}

/// The value after the key that ends at `at`, with or without the `:` or `=` between them.
fn value(bytes: &[u8], at: usize) -> Option<Range<usize>> {
    let at = skip(bytes, at, |byte| {
        byte.is_ascii_whitespace() || matches!(byte, b'\'' | b'\\') || byte >= 0x80
    });
    // The quotation mark that ends the key.
    let at = at + usize::from(bytes.get(at) == Some(&b'"'));
    let begin = skip(bytes, at, |byte| {
        byte.is_ascii_whitespace() || matches!(byte, b':' | b'=')
    });
    // The keys of an object are checked on their own.
    if matches!(bytes.get(begin)?, b'{' | b'}' | b']' | b',') {
        return None;
    }
    if let Some(end) = clean_string(bytes, begin) {
        return Some(begin + 1..end);
    }
    let end = skip(bytes, begin, |byte| byte != b'\n');
    (begin < end).then_some(begin..end)
}

/// The closing quotation mark of the string that begins at `begin`, if it is on the same line and followed by a valid
/// character: otherwise a quotation mark may be missing, or be part of the secret.
fn clean_string(bytes: &[u8], begin: usize) -> Option<usize> {
    bytes.get(begin).filter(|byte| **byte == b'"')?;
    let mut end = begin + 1;
    loop {
        match bytes.get(end)? {
            b'"' => break,
            b'\n' => return None,
            b'\\' => end += 2,
            _ => end += 1,
        }
    }
    let after = skip(bytes, end + 1, |byte| matches!(byte, b' ' | b'\t' | b'\r'));
    match bytes.get(after) {
        None | Some(b',' | b'}' | b'\n') => Some(end),
        Some(_) => None,
    }
}

/// `user:password` in `scheme://user:password@host`, of which the scheme ends at `at`.
fn login_of_address(bytes: &[u8], at: usize) -> Option<Range<usize>> {
    let begin = at + 3;
    bytes.get(at..begin).filter(|found| found == b"://")?;
    let is_part = |byte: u8| !byte.is_ascii_whitespace() && byte != b'"';
    let rest = bytes.get(begin..skip(bytes, begin, is_part))?;
    let end = rest.iter().rposition(|byte| *byte == b'@')?;
    Some(begin..begin + end)
}

fn skip(bytes: &[u8], from: usize, is_skipped: impl Fn(u8) -> bool) -> usize {
    let rest = bytes.get(from..).unwrap_or_default();
    from + rest.iter().take_while(|byte| is_skipped(**byte)).count()
}

/// Parts of key names that people use for secrets.
const SECRETS: [&str; 10] = [
    "pass", "pw", "secret", "key", "token", "salt", "hash", "auth", "cred", "psk",
];
