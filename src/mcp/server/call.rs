//! The engine's result for a message: a response, or a call that yields one.
//!
//! Promises: every call ends in at most one answer; a cancelled or dropped call in none, and its
//! handler is dropped with it; no progress follows the answer.
//! Does not: run anything by itself; the transport does.

use std::rc::Rc;

use smol::future::{self, BoxedLocal};

use super::batch;
use crate::mcp::client::progress::Progress;
use crate::mcp::client::session::{Cancel, End, Ticket};
use crate::mcp::jsonrpc::message::{self, INTERNAL_ERROR, RpcError};
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
pub struct Call(Work);

#[derive(Debug)]
enum Work {
    One(Pending),
    Batch(Vec<Part>),
}

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

impl Call {
    pub(super) fn single(pending: Pending) -> Call {
        Call(Work::One(pending))
    }

    pub(super) fn batch(parts: Vec<Part>) -> Call {
        Call(Work::Batch(parts))
    }

    /// How many requests it is.
    #[must_use]
    pub fn requests(&self) -> usize {
        match &self.0 {
            Work::One(_) => 1,
            Work::Batch(parts) => parts.len(),
        }
    }

    /// To be kept while it runs.
    #[must_use]
    pub fn ender(&self) -> Ender {
        match &self.0 {
            Work::One(pending) => Ender(pending.cancel().into_iter().collect()),
            Work::Batch(parts) => {
                let pending = parts.iter().filter_map(|part| match part {
                    Part::Wait(pending) => pending.cancel(),
                    Part::Done(_) => None,
                });
                Ender(pending.collect())
            }
        }
    }

    /// Runs it to its answer; `None` when all of it was cancelled. Requests of a batch run side by
    /// side.
    pub async fn run(self) -> Option<Reply> {
        match self.0 {
            Work::One(pending) => {
                let (outcome, ticket) = pending.run().await?;
                Some(Reply {
                    text: outcome.text,
                    refused: outcome.refused,
                    after: outcome.after,
                    _tickets: vec![ticket],
                })
            }
            // Boxed, since one request must not pay for what a batch needs.
            Work::Batch(parts) => Box::pin(batch::run(parts)).await,
        }
    }

    /// Answers it with an error instead of running it.
    #[must_use]
    pub fn refuse(self, reason: &str) -> Reply {
        let error = RpcError::new(INTERNAL_ERROR, reason);
        let (text, tickets) = match self.0 {
            Work::One(pending) => {
                let (text, ticket) = pending.refuse(&error);
                (text, vec![ticket])
            }
            Work::Batch(parts) => batch::refuse(parts, &error),
        };
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

    /// Tells the call that its client has left, and lets it go on.
    pub fn client_left(&self) {
        for cancel in &self.0 {
            cancel.client_left();
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

    /// What ends it from outside; `None` when it has no end but the client's or ours.
    fn cancel(&self) -> Option<Rc<Cancel>> {
        (!self.endless).then(|| Rc::clone(self.ticket.cancel()))
    }

    /// Its answer when it is not run.
    pub(super) fn refuse(self, error: &RpcError) -> (Vec<u8>, Ticket) {
        let text = response::failure(Some(self.ticket.id()), error, false);
        (text, self.ticket)
    }

    pub(super) async fn run(self) -> Option<(RequestOutcome, Ticket)> {
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

    /// The answers of a batch, whose requests are in flight until this is dropped.
    pub(super) fn of_batch(text: Vec<u8>, tickets: Vec<Ticket>) -> Reply {
        Reply {
            _tickets: tickets,
            ..Reply::now(text)
        }
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
