//! The requests of one batch (MCP 2025-03-26 basic §Batching): run side by side, answered with one array.
//!
//! Promises: the answers together are bounded; the outcome of a write is among them.

use std::cell::Cell;
use std::rc::Rc;

use smol::future::BoxedLocal;

use super::call::{Call, Part, Received, Reply, RequestOutcome};
use crate::mcp::client::join;
use crate::mcp::client::session::Ticket;
use crate::mcp::jsonrpc::message::{INTERNAL_ERROR, Id, RpcError};
use crate::mcp::jsonrpc::response;

/// A batch's parts as one thing to do.
pub(super) fn received(parts: Vec<Part>) -> Received {
    if parts.iter().any(|part| matches!(part, Part::Wait(_))) {
        return Received::Call(Call::batch(parts));
    }
    let texts = parts.into_iter().filter_map(|part| match part {
        Part::Done(text) => Some(text),
        Part::Wait(_) => None,
    });
    match join_texts(texts.collect()) {
        Some(text) => Received::Answer(Reply::now(text)),
        None => Received::Nothing,
    }
}

/// Runs the parts side by side; `None` when all of them were cancelled.
pub(super) async fn run(parts: Vec<Part>) -> Option<Reply> {
    let mut open: Vec<BoxedLocal<Option<(RequestOutcome, Ticket)>>> = Vec::new();
    let mut texts = Vec::new();
    let room = Rc::new(BatchRoom::default());
    for part in parts {
        match part {
            Part::Done(text) => texts.push(text),
            Part::Wait(pending) => {
                let room = Rc::clone(&room);
                open.push(Box::pin(async move {
                    let (mut outcome, ticket) = pending.run().await?;
                    room.take(&mut outcome.text, ticket.id());
                    Some((outcome, ticket))
                }));
            }
        }
    }
    let mut tickets = Vec::new();
    for (outcome, ticket) in join::all(open).await.into_iter().flatten() {
        texts.push(outcome.text);
        tickets.push(ticket);
    }
    join_texts(texts).map(|text| Reply::of_batch(text, tickets))
}

/// Answers the parts with an error instead of running them.
pub(super) fn refuse(parts: Vec<Part>, error: &RpcError) -> (Vec<u8>, Vec<Ticket>) {
    let mut tickets = Vec::new();
    let texts = parts.into_iter().map(|part| match part {
        Part::Done(text) => text,
        Part::Wait(pending) => {
            let (text, ticket) = pending.refuse(error);
            tickets.push(ticket);
            text
        }
    });
    let text = join_texts(texts.collect()).unwrap_or_default();
    (text, tickets)
}

/// No texts make no answer at all, not even an empty array.
fn join_texts(texts: Vec<Vec<u8>>) -> Option<Vec<u8>> {
    if texts.is_empty() {
        return None;
    }
    let bytes = texts.iter().map(|text| text.len() + 1).sum::<usize>();
    let mut whole = Vec::with_capacity(bytes + 1);
    for text in texts {
        whole.push(if whole.is_empty() { b'[' } else { b',' });
        // Freed one by one: together they may be large.
        whole.extend(text);
    }
    whole.push(b']');
    Some(whole)
}

/// What is left for the answers of a batch.
struct BatchRoom(Cell<usize>);

impl BatchRoom {
    /// Puts an error in the place of a text for which there is no room. What is short always has some: it may be the
    /// outcome of a write, which nobody can ask for a second time.
    fn take(&self, text: &mut Vec<u8>, id: &Id) {
        let left = self.0.get();
        if text.len() <= left || text.len() <= SHORT_BYTES {
            self.0.set(left.saturating_sub(text.len()));
            return;
        }
        let why = format!(
            "this was done, but its answer of {} bytes does not fit: the answers of one batch have at most {BATCH_BYTES} bytes; send it alone",
            text.len()
        );
        let error = RpcError::new(INTERNAL_ERROR, why);
        *text = response::failure(Some(id), &error, false);
    }
}

impl Default for BatchRoom {
    fn default() -> BatchRoom {
        BatchRoom(Cell::new(BATCH_BYTES))
    }
}

/// The answers of one batch together, those that are short aside: as many as one usual answer may have.
const BATCH_BYTES: usize = 4 << 20;
/// An answer that takes no room of a batch.
const SHORT_BYTES: usize = 16 << 10;
