//! A connection in the course of an exchange: what is sent to the client, and how the connection ends.
//!
//! Promises: an answer that ends the connection is not lost to bytes still on their way.
//! Does not: read requests.

use std::borrow::Cow;
use std::io;
use std::rc::Rc;

use async_h1::server::Encoder;
use http_types::{Method, Response, StatusCode};

use super::left_calls::LeftCall;
use super::server_state::ServerState;
use super::slots::{Slot, Stage};
use crate::http::guard::cors::AnswerReader;
use crate::http::h1::encode;
use crate::http::h1::refusal::Refusal;
use crate::http::net::io::{Buffer, Stream, gather};
use crate::http::streamable::response;

/// One client connection with its slot, and the state of the exchange in course.
pub(in crate::http) struct Exchange {
    pub(in crate::http) stream: Stream,
    pub(in crate::http) buffer: Buffer,
    pub(in crate::http) slot: Slot,
    pub(in crate::http) server_state: Rc<ServerState>,
    /// Whether an answer that is not the last one has to say so: HTTP/1.0 closes otherwise (RFC 9112 §C.2.2).
    pub(in crate::http) http_1_0: bool,
    /// The reader of the next answer, for CORS.
    pub(in crate::http) reader: AnswerReader,
    /// Of the exchange in course, for the log.
    pub(in crate::http) outcome: ExchangeOutcome,
}

/// The outcome of an exchange, for the log.
#[derive(Debug, Default)]
pub(in crate::http) struct ExchangeOutcome {
    /// `None`: the client left before an answer.
    pub(in crate::http) status: Option<StatusCode>,
    /// The reason of a refusal; never text that the client sent.
    pub(in crate::http) why: Option<Cow<'static, str>>,
}

/// What comes after an exchange.
pub(in crate::http) enum Next {
    Request,
    /// The connection closes after its last answer.
    Close,
    /// The client has left.
    Gone,
    /// The client has left, but its call has to go on.
    Left(LeftCall),
}

/// Why there is no head or body to go on with.
pub(in crate::http) enum Broken {
    Refused(Refusal),
    Gone,
}

impl Exchange {
    /// Sends a whole answer.
    // No `async fn`, whose future would have room for the response beside its encoder.
    pub(in crate::http) fn send(
        &mut self,
        method: Method,
        mut response: Response,
        last: bool,
    ) -> impl Future<Output = Next> {
        self.complete(&mut response, last);
        let mut encoder = encode::encode(response, method, last);
        async move {
            match pump(&self.stream, &self.slot, &self.server_state, &mut encoder).await {
                Ok(()) if last => Next::Close,
                Ok(()) => Next::Request,
                Err(_) => Next::Gone,
            }
        }
    }

    /// Sends an answer with status 204.
    pub(in crate::http) async fn send_empty(
        &mut self,
        method: Method,
        mut response: Response,
        last: bool,
    ) -> Next {
        self.complete(&mut response, last);
        let bytes = encode::encode_empty(response, method, last);
        let writing = self.stream.write_all(&bytes);
        let limit = self.server_state.deadlines.write;
        match self.slot.within_at(Stage::Unread, limit, writing).await {
            Ok(Ok(())) if last => Next::Close,
            Ok(Ok(())) => Next::Request,
            _ => Next::Gone,
        }
    }

    /// Adds the fields that depend on the request's origin, and notes the status for the log.
    fn complete(&mut self, response: &mut Response, last: bool) {
        self.outcome.status = Some(response.status());
        if self.http_1_0 && !last {
            response.insert_header("connection", "keep-alive");
        }
        std::mem::take(&mut self.reader).mark(response);
    }

    pub(in crate::http) async fn refuse(
        &mut self,
        method: Method,
        refusal: Refusal,
        last: bool,
    ) -> Next {
        let response = response::refusal(&refusal);
        self.outcome.why = Some(refusal.sentence);
        self.send(method, response, last).await
    }

    /// Ends the connection at once, and runs the call to its end.
    pub(in crate::http) async fn leave(self, call: LeftCall) {
        let Exchange {
            stream,
            slot,
            server_state,
            ..
        } = self;
        drop(stream);
        let task = slot.leave();
        server_state.left.run(call, task).await;
    }

    /// Ends the connection so that the last answer arrives: a socket that is closed with unread bytes in it takes back
    /// what it has sent (RFC 9112 §9.6).
    pub(in crate::http) async fn close(self) {
        if self.stream.finish().is_err() {
            return;
        }
        let (most, limit) = (LINGER_BYTES, self.server_state.deadlines.linger);
        let parting = self.stream.drain(most);
        let _ = self.slot.within_at(Stage::Parting, limit, parting).await;
    }
}

pub(in crate::http) fn late(text: &'static str) -> Refusal {
    Refusal::new(StatusCode::RequestTimeout, text)
}

impl From<Refusal> for Broken {
    fn from(refusal: Refusal) -> Broken {
        Broken::Refused(refusal)
    }
}

/// Writes each piece of the encoder's output as it is ready. The write deadline holds for each piece, not for the
/// whole.
pub(in crate::http) async fn pump(
    stream: &Stream,
    slot: &Slot,
    server_state: &ServerState,
    encoder: &mut Encoder,
) -> io::Result<()> {
    loop {
        let mut out = Vec::new();
        let more = gather(encoder, &mut out).await?;
        if !out.is_empty() {
            let writing = stream.write_all(&out);
            slot.within_at(Stage::Unread, server_state.deadlines.write, writing)
                .await
                .map_err(|_| io::Error::from(io::ErrorKind::TimedOut))??;
            server_state.unread.taken(slot.number(), out.len());
        }
        if !more {
            return Ok(());
        }
    }
}

const LINGER_BYTES: usize = 256 * 1024;
