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
use super::message;
use super::refusal::Refusal;
use super::seats::Seat;
use super::site::Site;
use super::wire::{Buffer, Stream, gather};

/// A client.
pub(super) struct Client {
    pub(super) stream: Stream,
    pub(super) buffer: Buffer,
    pub(super) seat: Seat,
    pub(super) site: Rc<Site>,
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
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Next {
    /// Another request.
    Request,
    /// The end, told to the client.
    Close,
    /// Nothing: the client is not there any more.
    Gone,
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
        self.outcome.status = Some(response.status());
        std::mem::take(&mut self.reader).mark(&mut response);
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
        self.outcome.status = Some(response.status());
        std::mem::take(&mut self.reader).mark(&mut response);
        let bytes = message::encode_empty(response, method, last);
        let writing = self.stream.write_all(&bytes);
        match self.seat.within(self.site.deadlines.write, writing).await {
            Ok(Ok(())) if last => Next::Close,
            Ok(Ok(())) => Next::Request,
            _ => Next::Gone,
        }
    }

    /// Sends a refusal.
    pub(super) async fn refuse(&mut self, method: Method, refusal: Refusal, last: bool) -> Next {
        let response = answer::refusal(&refusal);
        self.outcome.why = Some(refusal.sentence);
        self.send(method, response, last).await
    }

    /// Ends it so that the last answer arrives: a socket that is closed with unread bytes in it takes back what it
    /// has sent (RFC 9112 §9.6).
    pub(super) async fn close(self) {
        if self.stream.finish().is_err() {
            return;
        }
        let (most, limit) = (LINGER_BYTES, self.site.deadlines.linger);
        let _ = self.seat.within(limit, self.stream.drain(most)).await;
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
            seat.within(site.deadlines.write, stream.write_all(&out))
                .await
                .map_err(|_| io::Error::from(io::ErrorKind::TimedOut))??;
        }
        if !more {
            return Ok(());
        }
    }
}

const LINGER_BYTES: usize = 256 * 1024;
