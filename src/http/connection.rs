//! One connection, from its first byte to its last.
//!
//! Promises: every wait has a limit; requests are answered one by one and in order; whatever comes is answered or
//! the connection ends; an answer that ends the connection is not lost to bytes still on their way.
//! Does not: know MCP (see `door`).

use std::io;
use std::rc::Rc;

use http_types::{Method, Request, Response, StatusCode};

use super::answer;
use super::auth::Principal;
use super::body::Body;
use super::budget::Share;
use super::door::Served;
use super::head::{Finder, Framing, Head};
use super::media::{self, Accepts};
use super::message;
use super::peer::Peer;
use super::refusal::Refusal;
use super::routes::{self, Place};
use super::running;
use super::seats::{Called, Seat};
use super::site::Site;
use super::wire::{Buffer, Stream, gather};

/// A client.
pub(super) struct Connection {
    pub(super) stream: Stream,
    pub(super) buffer: Buffer,
    pub(super) seat: Seat,
    pub(super) site: Rc<Site>,
    peer: Peer,
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

/// Why there is no head or body to go on with.
enum Broken {
    Refused(Refusal),
    Gone,
}

/// A client's request for MCP, let in.
struct Caller {
    request: Request,
    principal: Principal,
    accepts: Accepts,
}

impl Connection {
    pub(super) fn new(stream: Stream, peer: Peer, seat: Seat, site: Rc<Site>) -> Connection {
        Connection {
            stream,
            buffer: Buffer::default(),
            seat,
            site,
            peer,
        }
    }

    /// Serves it to its end.
    pub(super) async fn serve(mut self) {
        let mut requests = 0;
        loop {
            self.seat.waits();
            let head = self.head().await;
            self.seat.is_served();
            requests += 1;
            let last = requests >= self.site.limits.requests_per_connection;
            let next = match head {
                // Boxed, so that a connection that waits is small.
                Ok(head) => Box::pin(self.exchange(&head, last)).await,
                Err(Broken::Refused(refusal)) => {
                    self.send(Method::Get, answer::refusal(&refusal), true)
                        .await
                }
                Err(Broken::Gone) => return,
            };
            match next {
                Next::Request => {}
                Next::Close => return self.close().await,
                Next::Gone => return,
            }
        }
    }

    /// The next head: the client may take its time to begin, but not to finish.
    async fn head(&mut self) -> Result<Head, Broken> {
        let Connection {
            stream,
            buffer,
            seat,
            site,
            ..
        } = self;
        let deadlines = &site.deadlines;
        if buffer.is_empty() {
            match seat.within(deadlines.idle, buffer.fill(stream)).await {
                Ok(Ok(1..)) => {}
                _ => return Err(Broken::Gone),
            }
        }
        let mut finder = Finder::default();
        let finding = async {
            loop {
                if let Some(found) = finder.find(buffer.bytes())? {
                    return Ok(found);
                }
                match buffer.fill(stream).await {
                    Ok(1..) => {}
                    // Someone who only looked whether the port is open, or a stray line end.
                    Ok(0) if buffer.bytes().trim_ascii().is_empty() => return Err(Broken::Gone),
                    Ok(0) => return Err(Refusal::bad("the head is cut off").into()),
                    Err(_) => return Err(Broken::Gone),
                }
            }
        };
        let found = match seat.within(deadlines.head, finding).await {
            Ok(found) => found?,
            Err(Called::Late) => {
                return Err(late("the head of the request did not come in time").into());
            }
            Err(Called::Evicted) => return Err(Broken::Gone),
        };
        let head = Head::parse(buffer.bytes().get(found.clone()).unwrap_or_default());
        buffer.consume(found.end);
        Ok(head?)
    }

    async fn exchange(&mut self, head: &Head, last: bool) -> Next {
        let last = last || !head.keep_alive || self.site.is_stopping();
        let method = head.method;
        // A body that is not read would be taken for the next request.
        let unread = last || head.has_body();
        let caller = match self.admit(head).await {
            Ok(Some(caller)) => caller,
            Ok(None) => return self.send(method, self.site.status(), unread).await,
            Err(refusal) => return self.send(method, answer::refusal(&refusal), unread).await,
        };
        let (body, share) = match self.body(head).await {
            Ok(body) => body,
            Err(Broken::Refused(refusal)) => {
                return self.send(method, answer::refusal(&refusal), true).await;
            }
            Err(Broken::Gone) => return Next::Gone,
        };
        let Caller {
            request,
            principal,
            accepts,
        } = caller;
        let served = self.site.door.serve(&request, &body, principal, accepts);
        drop(body);
        let next = match served {
            Served::Answer(response) => self.send(method, response, last).await,
            Served::Call(call) => running::call(self, call, last).await,
            Served::Stream(stream) => running::stream(self, stream).await,
        };
        drop(share);
        next
    }

    /// All that is decided by the head alone; `None` is a request for the status.
    async fn admit(&mut self, head: &Head) -> Result<Option<Caller>, Refusal> {
        let place = routes::find(head)?;
        self.site.boundary.admit(head)?;
        if place == Place::Status {
            return Ok(None);
        }
        let waiting = self.site.gate.admit(self.peer, head);
        let principal = match self.seat.within(self.site.deadlines.handler, waiting).await {
            Ok(principal) => principal?,
            Err(_) => return Err(overloaded("the API key could not be checked in time")),
        };
        self.seat.has_shown_the_key();
        let request = message::decode(head).await?;
        let mut accepts = Accepts::read(&request);
        match head.method {
            Method::Post => {
                if head.framing == Framing::None {
                    let text = "a POST needs a `content-length` or `transfer-encoding: chunked`";
                    return Err(Refusal::new(StatusCode::LengthRequired, text));
                }
                media::demand_json(&request)?;
                accepts = accepts.demand_any()?;
            }
            Method::Get => accepts.demand_events()?,
            _ => {}
        }
        if head.http_1_0 {
            // A stream needs chunks, which HTTP/1.0 does not have.
            accepts = accepts.without_events()?;
        }
        Ok(Some(Caller {
            request,
            principal,
            accepts,
        }))
    }

    async fn body(&mut self, head: &Head) -> Result<(Vec<u8>, Share), Broken> {
        let Connection {
            stream,
            buffer,
            seat,
            site,
            ..
        } = self;
        let mut body = Body::new(head.framing, site.limits.body_bytes)?;
        let mut share = site.bodies.share();
        // RFC 9110 §10.1.1: not needed when the client did not wait for it.
        if head.expects_continue && head.has_body() && buffer.is_empty() {
            let go = stream.write_all(b"HTTP/1.1 100 Continue\r\n\r\n");
            match seat.within(site.deadlines.write, go).await {
                Ok(Ok(())) => {}
                _ => return Err(Broken::Gone),
            }
        }
        let reading = async {
            loop {
                let before = body.len();
                let used = body.take(buffer.bytes())?;
                buffer.consume(used);
                share.grow(body.len() - before)?;
                if body.is_complete() {
                    return Ok(());
                }
                match buffer.fill(stream).await {
                    Ok(1..) => {}
                    Ok(0) => return Err(Refusal::bad("the body is cut off").into()),
                    Err(_) => return Err(Broken::Gone),
                }
            }
        };
        match seat.within(site.deadlines.body, reading).await {
            Ok(read) => read?,
            Err(Called::Late) => return Err(late("the body did not come in time").into()),
            Err(Called::Evicted) => return Err(Broken::Gone),
        }
        Ok((body.into_bytes(), share))
    }

    /// Sends a whole answer.
    pub(super) async fn send(&mut self, method: Method, response: Response, last: bool) -> Next {
        let mut encoder = message::encode(response, method, last);
        match pump(&self.stream, &self.seat, &self.site, &mut encoder).await {
            Ok(()) if last => Next::Close,
            Ok(()) => Next::Request,
            Err(_) => Next::Gone,
        }
    }

    /// Ends it so that the last answer arrives: a socket that is closed with unread bytes in it takes back what it
    /// has sent (RFC 9112 §9.6).
    async fn close(self) {
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
    encoder: &mut async_h1::server::Encoder,
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

fn late(text: &'static str) -> Refusal {
    Refusal::new(StatusCode::RequestTimeout, text)
}

pub(super) fn overloaded(text: &'static str) -> Refusal {
    Refusal::new(StatusCode::ServiceUnavailable, text).with("retry-after", "1")
}

impl From<Refusal> for Broken {
    fn from(refusal: Refusal) -> Broken {
        Broken::Refused(refusal)
    }
}

const LINGER_BYTES: usize = 256 * 1024;
