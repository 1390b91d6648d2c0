//! The guard without its sockets, for the fuzz target `http` alone.

use super::guard::routes::{self, Side};
use super::h1::body::BodyReader;
use super::h1::head::{Finder, Head};
use super::h1::refusal::Refusal;

/// What the guard makes of one request that arrives in pieces of so many bytes: what it admits, or what
/// it answers instead. `None` when more has to come.
#[must_use]
pub fn request(input: &[u8], piece: usize) -> Option<String> {
    judge(input, piece.max(1)).unwrap_or_else(|refusal| Some(format!("{refusal:?}")))
}

fn judge(input: &[u8], piece: usize) -> Result<Option<String>, Refusal> {
    let mut finder = Finder::default();
    let mut arrived = 0;
    let found = loop {
        if arrived == input.len() {
            return Ok(None);
        }
        arrived = (arrived + piece).min(input.len());
        let so_far = input.get(..arrived).unwrap_or_default();
        if let Some(found) = finder.find(so_far)? {
            break found;
        }
    };
    let end = found.end;
    let head = Head::parse(input.get(found).unwrap_or_default())?;
    routes::find(&head, Side::Agents)?;
    let mut body = BodyReader::new(head.framing, BODY_BYTES)?;
    for piece in input.get(end..).unwrap_or_default().chunks(piece) {
        let used = body.take(piece)?;
        assert!(used == piece.len() || body.is_complete());
        assert!(body.len() <= BODY_BYTES);
        if body.is_complete() {
            break;
        }
    }
    let admitted = format!("{head:?} {:?}", body.is_complete());
    let bytes = body.into_bytes();
    Ok(Some(format!("{admitted} {bytes:?}")))
}

const BODY_BYTES: usize = 1000;
