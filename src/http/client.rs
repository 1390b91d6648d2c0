//! A client in the course of an exchange: what is sent to it, and how it is parted from.
//!
//! Promises: an answer that ends the connection is not lost to bytes still on their way.
//! Does not: read requests.

use std::borrow::Cow;
use std::io;
use std::rc::Rc;

use async_h1::server::Encoder;
use http_types::{Method, Response, StatusCode};

use super::answer;
use super::cors::Reader;
use super::left::LeftCall;
use super::message;
use super::refusal::Refusal;
use super::seats::{Seat, Stage};
use super::site::Site;
use super::wire::{Buffer, Stream, gather};

/// A client.
pub(super) struct Client {
    pub(super) stream: Stream,
    pub(super) buffer: Buffer,
    pub(super) seat: Seat,
    pub(super) site: Rc<Site>,
    /// Whether an answer that is not the last one has to say so: HTTP/1.0 closes otherwise (RFC 9112 §C.2.2).
    pub(super) http_1_0: bool,
    /// Who reads the next answer.
    pub(super) reader: Reader,
    /// Of the exchange in course, for the log.
    pub(super) outcome: Outcome,
}

/// What an exchange came to.
#[derive(Debug, Default)]
pub(super) struct Outcome {
    /// None: the client left before an answer.
    pub(super) status: Option<StatusCode>,
    /// Why it was refused; never anything that the client sent.
    pub(super) why: Option<Cow<'static, str>>,
}

/// What comes after an exchange.
pub(super) enum Next {
    /// Another request.
    Request,
    /// The end, told to the client.
    Close,
    /// Nothing: the client is not there any more.
    Gone,
    /// Nothing here: the client is not there any more, but its call has to go on.
    Left(LeftCall),
}

impl Client {
    /// Sends a whole answer.
    // No `async fn`, whose future would have room for the response beside its encoder.
    pub(super) fn send(
        &mut self,
        method: Method,
        mut response: Response,
        last: bool,
    ) -> impl Future<Output = Next> {
        self.complete(&mut response, last);
        let mut encoder = message::encode(response, method, last);
        async move {
            match pump(&self.stream, &self.seat, &self.site, &mut encoder).await {
                Ok(()) if last => Next::Close,
                Ok(()) => Next::Request,
                Err(_) => Next::Gone,
            }
        }
    }

    /// Sends an answer with status 204.
    pub(super) async fn send_empty(
        &mut self,
        method: Method,
        mut response: Response,
        last: bool,
    ) -> Next {
        self.complete(&mut response, last);
        let bytes = message::encode_empty(response, method, last);
        let writing = self.stream.write_all(&bytes);
        let limit = self.site.deadlines.write;
        match self.seat.within_at(Stage::Unread, limit, writing).await {
            Ok(Ok(())) if last => Next::Close,
            Ok(Ok(())) => Next::Request,
            _ => Next::Gone,
        }
    }

    /// Adds the fields that depend on who asked, and notes the status.
    fn complete(&mut self, response: &mut Response, last: bool) {
        self.outcome.status = Some(response.status());
        if self.http_1_0 && !last {
            response.insert_header("connection", "keep-alive");
        }
        std::mem::take(&mut self.reader).mark(response);
    }

    /// Sends a refusal.
    pub(super) async fn refuse(&mut self, method: Method, refusal: Refusal, last: bool) -> Next {
        let response = answer::refusal(&refusal);
        self.outcome.why = Some(refusal.sentence);
        self.send(method, response, last).await
    }

    /// Ends the connection at once, and runs the call to its end.
    pub(super) async fn leave(self, call: LeftCall) {
        let Client {
            stream, seat, site, ..
        } = self;
        drop(stream);
        let task = seat.leave();
        site.left.run(call, task).await;
    }

    /// Ends it so that the last answer arrives: a socket that is closed with unread bytes in it takes back what it
    /// has sent (RFC 9112 §9.6).
    pub(super) async fn close(self) {
        if self.stream.finish().is_err() {
            return;
        }
        let (most, limit) = (LINGER_BYTES, self.site.deadlines.linger);
        let parting = self.stream.drain(most);
        let _ = self.seat.within_at(Stage::Parting, limit, parting).await;
    }
}

/// Writes what the encoder yields as it yields it. Each piece has to be taken in time, not the whole.
pub(super) async fn pump(
    stream: &Stream,
    seat: &Seat,
    site: &Site,
    encoder: &mut Encoder,
) -> io::Result<()> {
    loop {
        let mut out = Vec::new();
        let more = gather(encoder, &mut out).await?;
        if !out.is_empty() {
            let writing = stream.write_all(&out);
            seat.within_at(Stage::Unread, site.deadlines.write, writing)
                .await
                .map_err(|_| io::Error::from(io::ErrorKind::TimedOut))??;
            site.unread.taken(seat.number(), out.len());
        }
        if !more {
            return Ok(());
        }
    }
}

const LINGER_BYTES: usize = 256 * 1024;
