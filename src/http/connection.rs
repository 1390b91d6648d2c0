//! One connection, from its first byte to its last.
//!
//! Promises: every wait has a limit; requests are answered one by one and in order; whatever comes is answered or
//! the connection ends.
//! Does not: know MCP (see `door`).

use std::rc::Rc;
use std::time::Duration;

use http_types::{Method, StatusCode};
use smol::future;

use super::auth::{self, Gate, Principal};
use super::budget::Share;
use super::client::{Client, Next, Outcome};
use super::cors::{self, Reader};
use super::door::Served;
use super::head::{Finder, Head};
use super::media::Accepts;
use super::peer::Peer;
use super::refusal::Refusal;
use super::routes::{self, Aim, Place, Side};
use super::running::{self, Begun};
use super::seats::{Called, Seat, Stage};
use super::site::Site;
use super::upload;
use super::watch::Watch;
use super::wire::{Buffer, Stream};
use crate::logger;

/// A client and what is asked of it.
pub(super) struct Connection {
    client: Client,
    peer: Peer,
    side: Side,
}

/// Why there is no head or body to go on with.
pub(super) enum Broken {
    Refused(Refusal),
    Gone,
}

/// Who was let in.
// Made and taken apart once per request: a box would cost more than the move.
#[allow(clippy::large_enum_variant)]
enum Admitted {
    /// Gets this, by its head alone.
    Visitor(Served),
    Caller(Caller),
}

/// A client's request for MCP, let in.
struct Caller {
    gate: Rc<Gate>,
    principal: Principal,
    accepts: Accepts,
}

/// What is to be done about a request.
struct Verdict {
    method: Method,
    served: Served,
    /// The connection ends with it.
    last: bool,
    /// Held until the answer is sent.
    _share: Option<Share>,
}

impl Connection {
    pub(super) fn new(
        stream: Stream,
        peer: Peer,
        side: Side,
        seat: Seat,
        site: Rc<Site>,
    ) -> Connection {
        let client = Client {
            stream,
            buffer: Buffer::default(),
            seat,
            site,
            http_1_0: false,
            reader: Reader::default(),
            outcome: Outcome::default(),
        };
        Connection { client, peer, side }
    }

    /// Serves it to its end.
    pub(super) async fn serve(mut self) {
        let peer = self.peer;
        logger::debug(format_args!("{peer}: connection opened"));
        let open = self.client.site.metrics.connection();
        // Under load a newcomer has sent its first request before it is taken in. It need not wait for the sockets to be
        // looked at, and cannot be taken for silent meanwhile.
        if self.client.seat.is_in_a_crowd() {
            let Client { stream, buffer, .. } = &mut self.client;
            buffer.take(stream);
        }
        let mut requests = 0;
        loop {
            self.client.seat.waits();
            let head = self.head().await;
            self.client.seat.is_served();
            let watch = Watch::start(head.as_ref().ok());
            requests += 1;
            let last = requests >= self.client.site.limits.requests_per_connection;
            let next = match head {
                // Boxed, so that a connection that waits is small.
                Ok(head) => Box::pin(self.exchange(head, last)).await,
                Err(Broken::Refused(refusal)) => {
                    Box::pin(self.client.refuse(Method::Get, refusal, true)).await
                }
                Err(Broken::Gone) => {
                    requests -= 1;
                    break;
                }
            };
            let outcome = std::mem::take(&mut self.client.outcome);
            if let Some(status) = outcome.status {
                let metrics = &self.client.site.metrics;
                metrics.answered(status.into(), watch.time());
            }
            watch.tell(peer, &outcome);
            match next {
                // Whoever sends requests ahead gets one answered in each turn, like everybody else.
                Next::Request if !self.client.buffer.is_empty() => {
                    self.client.seat.has_asked_ahead();
                    future::yield_now().await;
                }
                Next::Request => {}
                Next::Close => {
                    Box::pin(self.client.close()).await;
                    break;
                }
                Next::Gone => break,
                Next::Left(call) => {
                    logger::debug(format_args!("{peer}: left before the answer"));
                    drop(open);
                    return self.client.leave(call).await;
                }
            }
        }
        logger::debug(format_args!(
            "{peer}: connection closed after {requests} request{}",
            if requests == 1 { "" } else { "s" }
        ));
    }

    /// The next head: the client may take its time to begin, but not to finish.
    async fn head(&mut self) -> Result<Head, Broken> {
        let Client {
            stream,
            buffer,
            seat,
            site,
            ..
        } = &mut self.client;
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

    async fn exchange(&mut self, head: Head, last: bool) -> Next {
        // Boxed, so that of a request nothing is left while its answer is on its way, which may take days.
        let Some(verdict) = Box::pin(self.judge(head, last)).await else {
            return Next::Gone;
        };
        let Verdict {
            method,
            served,
            last,
            _share,
        } = verdict;
        match served {
            Served::Leave(response) => {
                Box::pin(self.client.send_empty(method, response, last)).await
            }
            Served::Answer(response) => Box::pin(self.client.send(method, response, last)).await,
            Served::Refused(refusal) => Box::pin(self.client.refuse(method, refusal, last)).await,
            Served::Call(call) => {
                let begun = Box::pin(running::call(&mut self.client, call, last)).await;
                match begun {
                    Begun::Over(next) => next,
                    // Of what came before the stream nothing is left.
                    Begun::Tells(telling) => {
                        Box::pin(running::told(&mut self.client, telling, last)).await
                    }
                }
            }
            Served::Stream(stream) => Box::pin(running::stream(&mut self.client, stream)).await,
        }
    }

    /// From a head to what is to be done; `None` when nobody is there to be answered.
    async fn judge(&mut self, head: Head, last: bool) -> Option<Verdict> {
        let last = last || !head.keep_alive || self.client.site.is_stopping();
        self.client.http_1_0 = head.http_1_0;
        let method = head.method;
        self.client.reader = self.client.site.reader(self.side, &head);
        let refused = |refusal, last| Verdict {
            method,
            served: Served::Refused(refusal),
            last,
            _share: None,
        };
        // A body that is not read would be taken for the next request.
        let unread = last || head.has_body();
        let caller = match self.admit(&head).await {
            Ok(Admitted::Caller(caller)) => caller,
            Ok(Admitted::Visitor(served)) => {
                return Some(Verdict {
                    method,
                    served,
                    last: unread,
                    _share: None,
                });
            }
            Err(refusal) => {
                if refusal.status == StatusCode::TooManyRequests && !self.holds_back().await {
                    return None;
                }
                return Some(refused(refusal, unread));
            }
        };
        let (body, share) = match upload::read(&mut self.client, &head).await {
            Ok(body) => body,
            Err(Broken::Refused(refusal)) => {
                return Some(refused(refusal, true));
            }
            Err(Broken::Gone) => return None,
        };
        let site = &self.client.site;
        if !Rc::ptr_eq(&caller.gate, &site.gate()) {
            return Some(refused(auth::replaced(), last));
        }
        let door = &site.door;
        Some(Verdict {
            method,
            served: door.serve(&head, &body, caller.principal, self.peer, caller.accepts),
            last,
            _share: Some(share),
        })
    }

    /// All that is decided by the head alone.
    async fn admit(&mut self, head: &Head) -> Result<Admitted, Refusal> {
        let aim = routes::find(head, self.side)?;
        self.client.site.judge_place(self.side, head)?;
        let place = match aim {
            Aim::Place(place) => place,
            Aim::Leave(allow) => {
                let leave = Served::Leave(cors::leave(head, allow));
                return Ok(Admitted::Visitor(leave));
            }
        };
        let is_open = match place {
            Place::Status | Place::Health | Place::Ready | Place::Front => true,
            Place::Metrics => self.side == Side::Operator,
            Place::Mcp => false,
        };
        if is_open {
            return Ok(self.visitor(place));
        }
        let gate = self.client.site.gate();
        let principal = self.prove(&gate, head).await?;
        if place != Place::Mcp {
            return Ok(self.visitor(place));
        }
        self.client.seat.has_shown_the_key();
        let accepts = Accepts::of(head)?;
        Ok(Admitted::Caller(Caller {
            gate,
            principal,
            accepts,
        }))
    }

    fn visitor(&self, place: Place) -> Admitted {
        Admitted::Visitor(Served::Answer(self.client.site.page(place)))
    }

    /// Who shows a key, if it is the right one.
    async fn prove(&mut self, gate: &Gate, head: &Head) -> Result<Principal, Refusal> {
        match gate.recognize(head) {
            Some(principal) => Ok(principal),
            // Boxed, as is the rest of a body: requests that need it are few, and the others are smaller.
            None => Box::pin(self.prove_anew(gate, head)).await,
        }
    }

    async fn prove_anew(&mut self, gate: &Gate, head: &Head) -> Result<Principal, Refusal> {
        let Client {
            stream,
            buffer,
            seat,
            site,
            ..
        } = &mut self.client;
        let waiting = gate.admit(self.peer, head, buffer.until_closed(stream));
        match seat
            .within_at(Stage::Request, site.deadlines.handler, waiting)
            .await
        {
            Ok(principal) => principal,
            Err(_) => Err(Refusal::overloaded(
                "the API key could not be checked in time",
            )),
        }
    }

    /// Lets a stranger who tries key after key wait for the refusal, so that others need not. False when somebody else
    /// needs the seat.
    async fn holds_back(&self) -> bool {
        let seat = &self.client.seat;
        seat.waits();
        let held = seat.within(HOLD, future::pending::<()>()).await;
        seat.is_served();
        held != Err(Called::Evicted)
    }
}

pub(super) fn late(text: &'static str) -> Refusal {
    Refusal::new(StatusCode::RequestTimeout, text)
}

impl From<Refusal> for Broken {
    fn from(refusal: Refusal) -> Broken {
        Broken::Refused(refusal)
    }
}

/// 50 clients that try keys as fast as they are refused cost less than a hundredth of a processor at this.
const HOLD: Duration = Duration::from_millis(250);
