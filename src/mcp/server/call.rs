//! The engine's result for a message: a response, or a call that yields one.
//!
//! Promises: every call ends in at most one answer; a cancelled or dropped call in none, and its
//! handler is dropped with it; no progress follows the answer.
//! Does not: run anything by itself; the transport does.

use std::cell::Cell;
use std::rc::Rc;

use smol::future::{self, BoxedLocal};

use crate::mcp::client::join;
use crate::mcp::client::progress::Progress;
use crate::mcp::client::session::{Cancel, End, Ticket};
use crate::mcp::jsonrpc::message::{self, INTERNAL_ERROR, Id, RpcError};
use crate::mcp::jsonrpc::response;

/// The action that a message requires.
#[derive(Debug)]
pub enum Received {
    /// No action: the message was a notification, or the response to a request of the server.
    Nothing,
    /// Send this response.
    Answer(Reply),
    /// Run this call, then send its response.
    Call(Call),
}

/// An answer. Its request is in flight until this is dropped: keep it until it is written.
#[derive(Debug)]
pub struct Reply {
    /// JSON text without a line end.
    pub text: Vec<u8>,
    /// The error code, when the request was refused before any handler saw it, or for want of a
    /// capability of the client (an HTTP server chooses its status by it); `None` for all else
    /// that a handler produced.
    pub refused: Option<i64>,
    /// A notification to send right after the text, on a channel that outlives the request.
    pub after: Option<Vec<u8>>,
    // Held, not read.
    _tickets: Vec<Ticket>,
}

/// One request, or the requests of one batch, on the way.
#[derive(Debug)]
pub struct Call(Vec<Part>, Form);

/// One message's share of a call.
#[derive(Debug)]
pub(in crate::mcp) enum Part {
    Done(Vec<u8>),
    Wait(Pending),
}

/// A handler at work for one request.
pub(in crate::mcp) struct Pending {
    ticket: Ticket,
    progress: Progress,
    work: BoxedLocal<RequestOutcome>,
    /// Only the client or the server ends the call, however long it takes.
    endless: bool,
}

/// Ends a call from outside, before its handler returns.
#[derive(Clone, Debug)]
pub struct Ender(Vec<Rc<Cancel>>);

/// What one request came to.
#[derive(Debug, Default)]
pub(in crate::mcp) struct RequestOutcome {
    pub(in crate::mcp) text: Vec<u8>,
    pub(in crate::mcp) refused: Option<i64>,
    pub(in crate::mcp) after: Option<Vec<u8>>,
}

#[derive(Clone, Copy, Debug)]
enum Form {
    Single,
    Array,
}

impl Call {
    pub(in crate::mcp) fn single(pending: Pending) -> Call {
        Call(vec![Part::Wait(pending)], Form::Single)
    }

    /// How many requests it is.
    #[must_use]
    pub fn requests(&self) -> usize {
        self.0.len()
    }

    /// To be kept while it runs.
    #[must_use]
    pub fn ender(&self) -> Ender {
        let pending = self.0.iter().filter_map(|part| match part {
            Part::Wait(pending) if !pending.endless => Some(pending.ticket.cancel().clone()),
            _ => None,
        });
        Ender(pending.collect())
    }

    /// Runs it to its answer; `None` when all of it was cancelled. Requests of a batch run side by
    /// side.
    pub async fn run(self) -> Option<Reply> {
        let Call(parts, form) = self;
        let mut open: Vec<BoxedLocal<Option<(RequestOutcome, Ticket)>>> = Vec::new();
        let mut texts = Vec::new();
        let room = Rc::new(BatchRoom::default());
        for part in parts {
            match part {
                Part::Done(text) => texts.push(text),
                Part::Wait(pending) => {
                    let (room, alone) = (Rc::clone(&room), matches!(form, Form::Single));
                    open.push(Box::pin(async move {
                        let (mut outcome, ticket) = pending.run().await?;
                        if !alone {
                            room.take(&mut outcome.text, ticket.id());
                        }
                        Some((outcome, ticket))
                    }));
                }
            }
        }
        let (mut tickets, mut refused, mut after) = (Vec::new(), None, None);
        let ended = match (open.pop(), open.is_empty()) {
            (Some(only), true) => vec![only.await],
            (one, _) => {
                open.extend(one);
                join::all(open).await
            }
        };
        for (outcome, ticket) in ended.into_iter().flatten() {
            texts.push(outcome.text);
            tickets.push(ticket);
            // Of a single request; in a batch there is neither.
            refused = outcome.refused;
            after = outcome.after;
        }
        form.join(texts).map(|text| Reply {
            text,
            refused,
            after,
            _tickets: tickets,
        })
    }

    /// Answers it with an error instead of running it.
    #[must_use]
    pub fn refuse(self, reason: &str) -> Reply {
        let Call(parts, form) = self;
        let error = RpcError::new(INTERNAL_ERROR, reason);
        let mut tickets = Vec::new();
        let texts = parts.into_iter().map(|part| match part {
            Part::Done(text) => text,
            Part::Wait(pending) => {
                let text = response::failure(Some(pending.ticket.id()), &error, false);
                tickets.push(pending.ticket);
                text
            }
        });
        let text = form.join(texts.collect()).unwrap_or_default();
        Reply {
            text,
            refused: Some(INTERNAL_ERROR),
            after: None,
            _tickets: tickets,
        }
    }
}

impl Ender {
    /// Ends the call with an error for its exceeded time limit. A subscription continues.
    pub fn give_up(&self) {
        for cancel in &self.0 {
            cancel.end(End::Late);
        }
    }

    /// Ends the call with an error because the program stops. A subscription continues.
    pub fn give_up_at_the_end(&self) {
        for cancel in &self.0 {
            cancel.end(End::Ending);
        }
    }

    /// Ends a call whose client has disconnected, when there are too many such calls.
    pub fn crowd_out(&self) {
        for cancel in &self.0 {
            cancel.end(End::Crowded);
        }
    }

    /// Whether there is nothing to end: the call goes on until its client or the server ends it.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

impl Part {
    /// The same, not to be given up.
    pub(in crate::mcp) fn without_end(mut self) -> Part {
        if let Part::Wait(pending) = &mut self {
            pending.endless = true;
        }
        self
    }
}

impl Pending {
    pub(in crate::mcp) fn new(
        ticket: Ticket,
        progress: Progress,
        work: BoxedLocal<RequestOutcome>,
    ) -> Pending {
        Pending {
            ticket,
            progress,
            work,
            endless: false,
        }
    }

    async fn run(self) -> Option<(RequestOutcome, Ticket)> {
        let Pending {
            ticket,
            progress,
            work,
            ..
        } = self;
        let _closing = Closing(progress);
        let ended = async { Err(ticket.ended().await) };
        let outcome = match future::or(ended, async { Ok(work.await) }).await {
            Ok(outcome) => outcome,
            Err(End::Cancelled) => return None,
            Err(why) => {
                let error = RpcError::new(INTERNAL_ERROR, why.tell());
                response::failure(Some(ticket.id()), &error, false).into()
            }
        };
        Some((outcome, ticket))
    }
}

impl Reply {
    /// Takes its text for a channel whose messages have at most `most` bytes: as it is if it fits, a batch otherwise
    /// as the answers that it is made of, and what is longer as an error that says so.
    pub fn messages(&mut self, most: usize) -> Vec<Vec<u8>> {
        let text = std::mem::take(&mut self.text);
        if text.len() <= most {
            return vec![text];
        }
        let whole = vec![text];
        let answers = whole.first().and_then(|text| message::batched(text));
        answers
            .unwrap_or(whole)
            .into_iter()
            .map(|text| response::within(most, text))
            .collect()
    }

    pub(in crate::mcp) fn now(text: Vec<u8>) -> Reply {
        Reply {
            text,
            refused: None,
            after: None,
            _tickets: Vec::new(),
        }
    }

    pub(in crate::mcp) fn refused(text: Vec<u8>, code: i64) -> Reply {
        Reply {
            text,
            refused: Some(code),
            after: None,
            _tickets: Vec::new(),
        }
    }
}

impl From<Vec<u8>> for RequestOutcome {
    fn from(text: Vec<u8>) -> RequestOutcome {
        RequestOutcome {
            text,
            ..RequestOutcome::default()
        }
    }
}

/// A batch's parts as one thing to do.
pub(in crate::mcp) fn batch(parts: Vec<Part>) -> Received {
    if parts.iter().any(|part| matches!(part, Part::Wait(_))) {
        return Received::Call(Call(parts, Form::Array));
    }
    let texts = parts.into_iter().filter_map(|part| match part {
        Part::Done(text) => Some(text),
        Part::Wait(_) => None,
    });
    match Form::Array.join(texts.collect()) {
        Some(text) => Received::Answer(Reply::now(text)),
        None => Received::Nothing,
    }
}

impl Form {
    /// No texts make no answer at all, not even an empty array.
    fn join(self, mut texts: Vec<Vec<u8>>) -> Option<Vec<u8>> {
        match self {
            Form::Single => texts.pop(),
            Form::Array if texts.is_empty() => None,
            Form::Array => {
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
        }
    }
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

/// However a call ends, its progress ends with it.
struct Closing(Progress);

impl Drop for Closing {
    fn drop(&mut self) {
        self.0.close();
    }
}

impl std::fmt::Debug for Pending {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Pending({:?})", self.ticket)
    }
}

/// The answers of one batch together, those that are short aside: as many as one usual answer may have.
const BATCH_BYTES: usize = 4 << 20;
/// An answer that takes no room of a batch.
const SHORT_BYTES: usize = 16 << 10;
