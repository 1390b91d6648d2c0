//! Where the head of one HTTP/1 request ends.
//!
//! Promises: each byte is looked at once; lines end in CR LF and nothing else; what another HTTP program could take for the
//! end of a line is refused, and so is every byte that no head may have.
//! Does not: know fields.

use std::ops::Range;

use http_types::StatusCode;

use crate::http::h1::refusal::Refusal;

/// Looks for the end of a head in a buffer that grows; each byte is looked at once.
#[derive(Debug, Default)]
pub(in crate::http) struct Finder {
    seen: usize,
    line: usize,
    lead: usize,
}

impl Finder {
    /// Where the head is in `bytes`, once it is all there.
    ///
    /// # Errors
    /// A byte that no head may have, or too many of them.
    pub(in crate::http) fn find(&mut self, bytes: &[u8]) -> Result<Option<Range<usize>>, Refusal> {
        let start = self.seen;
        let fresh = bytes.get(start..bytes.len().min(HEAD_BYTES));
        let before = start.checked_sub(1).and_then(|at| bytes.get(at));
        let mut last = before.copied().unwrap_or_default();
        for (offset, &byte) in fresh.unwrap_or_default().iter().enumerate() {
            let at = start + offset;
            // RFC 9112 §2.2: a recipient may take a bare LF for a line's end; two that differ in this are smuggled past.
            match (last, byte) {
                (b'\r', b'\n') => {
                    if self.line <= self.lead && at >= LINE_BYTES {
                        return Err(too_large(true));
                    }
                    let empty = at - self.line == 1;
                    self.line = at + 1;
                    if empty && at > 1 + self.lead {
                        return Ok(Some(self.lead..at + 1));
                    }
                    if empty {
                        self.lead_in()?;
                    }
                }
                (b'\r', _) => return Err(Refusal::bad(BARE_CR)),
                (_, b'\n') => return Err(Refusal::bad(BARE_LF)),
                (_, b'\r' | b'\t' | 0x20..=0x7e) => {}
                // RFC 9110 §5.5: in a field it is opaque, and refused where the field is read.
                (_, 0x80..) if self.line > self.lead => {}
                (_, 0x80..) => return Err(Refusal::bad(NOT_ASCII)),
                _ => return Err(Refusal::bad(CONTROL)),
            }
            last = byte;
        }
        let in_request_line = self.line <= self.lead;
        if bytes.len() > HEAD_BYTES || in_request_line && bytes.len() > LINE_BYTES {
            return Err(too_large(in_request_line));
        }
        self.seen = bytes.len();
        Ok(None)
    }

    /// RFC 9112 §2.2: one empty line before a request is to be ignored.
    fn lead_in(&mut self) -> Result<(), Refusal> {
        if self.lead > 0 {
            return Err(Refusal::bad("empty lines instead of a request"));
        }
        self.lead = 2;
        Ok(())
    }
}

fn too_large(in_request_line: bool) -> Refusal {
    if in_request_line {
        let text = format!("the request line is longer than {LINE_BYTES} bytes");
        return Refusal::new(StatusCode::UriTooLong, text);
    }
    let text = format!("the head is longer than {HEAD_BYTES} bytes");
    Refusal::new(StatusCode::RequestHeaderFieldsTooLarge, text)
}

/// Bytes of a head, lead-in included. Most clients send less than 1 KiB; a proxy with single sign-on sends cookies of 8 KiB,
/// identities and certificates. 256 connections that never end theirs hold 8 MiB, for as long as a head may take.
pub(in crate::http) const HEAD_BYTES: usize = 32 * 1024;
/// Bytes of the request line; RFC 9112 §3 asks for 8000.
const LINE_BYTES: usize = 8 * 1024;

const BARE_LF: &str = "a line ends in LF alone; lines end in CR LF";
const BARE_CR: &str = "a CR without its LF; lines end in CR LF";
const NOT_ASCII: &str = "a byte beyond ASCII in the request line; write it as `%` and two digits";
const CONTROL: &str = "a control character in the head; is this plain HTTP?";
