//! One connection, from its first byte to its last.
//!
//! Promises: every wait has a limit; requests are answered one by one and in order; whatever comes is answered or
//! the connection ends.
//! Does not: know MCP (see `endpoint`).

use std::rc::Rc;
use std::time::Duration;

use http_types::{Method, StatusCode};
use smol::future;

use super::access_log::LogEntry;
use super::exchange::{Broken, Exchange, ExchangeOutcome, Next, late};
use super::respond::{self, Begun};
use super::server_state::ServerState;
use super::slots::{Interrupted, Slot, Stage};
use super::upload;
use crate::http::guard::accept::Accepts;
use crate::http::guard::auth::Gate;
use crate::http::guard::budget::Share;
use crate::http::guard::cors::{self, AnswerReader};
use crate::http::guard::routes::{self, Aim, Route, Side};
use crate::http::h1::head::{Finder, Head};
use crate::http::h1::refusal::Refusal;
use crate::http::net::io::{Buffer, Stream};
use crate::http::net::remote_addr::RemoteAddr;
use crate::http::streamable::endpoint::Served;
use crate::logger;
use crate::mcp::Principal;

pub(in crate::http) struct Connection {
    exchange: Exchange,
    peer: RemoteAddr,
    side: Side,
}

/// A client whose request head was admitted.
// Made and taken apart once per request: a box would cost more than the move.
#[allow(clippy::large_enum_variant)]
enum AdmittedClient {
    /// A client whose request is answered by its head alone.
    Visitor(Served),
    KeyHolder(KeyHolder),
}

/// An admitted client of MCP, with what it has proved.
struct KeyHolder {
    gate: Rc<Gate>,
    principal: Rc<Principal>,
    accepts: Accepts,
}

/// The decision about one request.
struct Judged {
    method: Method,
    served: Served,
    /// Whether the connection ends after the answer.
    last: bool,
    /// Held until the answer is sent.
    _share: Option<Share>,
}

impl Connection {
    pub(in crate::http) fn new(
        stream: Stream,
        peer: RemoteAddr,
        side: Side,
        slot: Slot,
        server_state: Rc<ServerState>,
    ) -> Connection {
        let exchange = Exchange {
            stream,
            buffer: Buffer::default(),
            slot,
            server_state,
            http_1_0: false,
            reader: AnswerReader::default(),
            outcome: ExchangeOutcome::default(),
        };
        Connection {
            exchange,
            peer,
            side,
        }
    }

    /// Serves it to its end.
    pub(in crate::http) async fn serve(mut self) {
        let peer = self.peer;
        logger::debug(format_args!("{peer}: connection opened"));
        let open = self.exchange.server_state.metrics.connection();
        // Under load a new connection has its first request ready before it is served. The request is read without a
        // wait for readiness, so that the client is not taken for silent.
        if self.exchange.slot.is_in_a_crowd() {
            let Exchange { stream, buffer, .. } = &mut self.exchange;
            buffer.take(stream);
        }
        let mut requests = 0;
        loop {
            self.exchange.slot.waits();
            let head = self.head().await;
            self.exchange.slot.is_served();
            let watch = LogEntry::start(head.as_ref().ok());
            requests += 1;
            let last = requests >= self.exchange.server_state.limits.requests_per_connection;
            let next = match head {
                // Boxed, so that a connection that waits is small.
                Ok(head) => Box::pin(self.exchange(head, last)).await,
                Err(Broken::Refused(refusal)) => {
                    Box::pin(self.exchange.refuse(Method::Get, refusal, true)).await
                }
                Err(Broken::Gone) => {
                    requests -= 1;
                    break;
                }
            };
            let outcome = std::mem::take(&mut self.exchange.outcome);
            if let Some(status) = outcome.status {
                let metrics = &self.exchange.server_state.metrics;
                metrics.answered(status.into(), watch.time());
            }
            watch.tell(peer, &outcome);
            match next {
                // A client that pipelines requests gets one answered in each turn, as every other client does.
                Next::Request if !self.exchange.buffer.is_empty() => {
                    self.exchange.slot.has_asked_ahead();
                    future::yield_now().await;
                }
                Next::Request => {}
                Next::Close => {
                    Box::pin(self.exchange.close()).await;
                    break;
                }
                Next::Gone => break,
                Next::Left(call) => {
                    logger::debug(format_args!("{peer}: left before the answer"));
                    drop(open);
                    return self.exchange.leave(call).await;
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
        let Exchange {
            stream,
            buffer,
            slot,
            server_state,
            ..
        } = &mut self.exchange;
        let deadlines = &server_state.deadlines;
        if buffer.is_empty() {
            match slot.within(deadlines.idle, buffer.fill(stream)).await {
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
                    // A port scan, or a stray line end.
                    Ok(0) if buffer.bytes().trim_ascii().is_empty() => return Err(Broken::Gone),
                    Ok(0) => return Err(Refusal::bad("the head is cut off").into()),
                    Err(_) => return Err(Broken::Gone),
                }
            }
        };
        let found = match slot.within(deadlines.head, finding).await {
            Ok(found) => found?,
            Err(Interrupted::Late) => {
                return Err(late("the head of the request did not come in time").into());
            }
            Err(Interrupted::Evicted) => return Err(Broken::Gone),
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
        let Judged {
            method,
            served,
            last,
            _share,
        } = verdict;
        match served {
            Served::Leave(response) => {
                Box::pin(self.exchange.send_empty(method, response, last)).await
            }
            Served::Answer(response) => Box::pin(self.exchange.send(method, response, last)).await,
            Served::Refused(refusal) => Box::pin(self.exchange.refuse(method, refusal, last)).await,
            Served::Call(call) => {
                let begun = Box::pin(respond::call(&mut self.exchange, call, last)).await;
                match begun {
                    Begun::Over(next) => next,
                    // What came before the stream is dropped.
                    Begun::Tells(telling) => {
                        Box::pin(respond::told(&mut self.exchange, telling, last)).await
                    }
                }
            }
            Served::Stream(stream) => Box::pin(respond::stream(&mut self.exchange, stream)).await,
        }
    }

    /// Decides what to do for a head; `None` when the client has left.
    async fn judge(&mut self, head: Head, last: bool) -> Option<Judged> {
        let last = last || !head.keep_alive || self.exchange.server_state.is_stopping();
        self.exchange.http_1_0 = head.http_1_0;
        let method = head.method;
        self.exchange.reader = self.exchange.server_state.reader(self.side, &head);
        let refused = |refusal, last| Judged {
            method,
            served: Served::Refused(refusal),
            last,
            _share: None,
        };
        // A body that is not read would be taken for the next request.
        let unread = last || head.has_body();
        let caller = match self.admit(&head).await {
            Ok(AdmittedClient::KeyHolder(caller)) => caller,
            Ok(AdmittedClient::Visitor(served)) => {
                return Some(Judged {
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
        let reading = upload::read(&mut self.exchange, &head, &caller.principal);
        let (body, share) = match reading.await {
            Ok(body) => body,
            Err(Broken::Refused(refusal)) => {
                return Some(refused(refusal, true));
            }
            Err(Broken::Gone) => return None,
        };
        let server_state = &self.exchange.server_state;
        let gate = server_state.gate();
        if !Rc::ptr_eq(&caller.gate, &gate) && !gate.admits(&caller.principal) {
            return Some(refused(gate.refusal_since(&caller.principal), last));
        }
        let endpoint = &server_state.endpoint;
        Some(Judged {
            method,
            served: endpoint.serve(&head, &body, caller.principal, self.peer, caller.accepts),
            last,
            _share: Some(share),
        })
    }

    /// Makes every decision that needs only the head.
    async fn admit(&mut self, head: &Head) -> Result<AdmittedClient, Refusal> {
        let aim = routes::find(head, self.side)?;
        self.exchange.server_state.judge_place(self.side, head)?;
        let place = match aim {
            Aim::Route(place) => place,
            Aim::Leave(allow) => {
                let leave = Served::Leave(cors::leave(head, allow));
                return Ok(AdmittedClient::Visitor(leave));
            }
        };
        let is_open = match place {
            Route::Status | Route::Health | Route::Ready | Route::Front => true,
            Route::Metrics => self.side == Side::Operator,
            Route::Mcp => false,
        };
        if is_open {
            return Ok(self.visitor(place));
        }
        let gate = self.exchange.server_state.gate();
        let principal = self.prove(&gate, head).await?;
        if place != Route::Mcp {
            return Ok(self.visitor(place));
        }
        self.exchange.slot.is_let_in(&principal);
        let accepts = Accepts::of(head)?;
        Ok(AdmittedClient::KeyHolder(KeyHolder {
            gate,
            principal,
            accepts,
        }))
    }

    fn visitor(&self, place: Route) -> AdmittedClient {
        AdmittedClient::Visitor(Served::Answer(self.exchange.server_state.page(place)))
    }

    /// Finds the principal of the key that the head shows.
    async fn prove(&mut self, gate: &Gate, head: &Head) -> Result<Rc<Principal>, Refusal> {
        let subject = self.exchange.stream.subject();
        match gate.recognize(self.peer, subject.as_deref(), head) {
            Some(principal) => Ok(principal),
            // Boxed, as is the rest of a body: requests that need it are few, and the others are smaller.
            None => Box::pin(self.prove_anew(gate, head)).await,
        }
    }

    async fn prove_anew(&mut self, gate: &Gate, head: &Head) -> Result<Rc<Principal>, Refusal> {
        let Exchange {
            stream,
            buffer,
            slot,
            server_state,
            ..
        } = &mut self.exchange;
        let waiting = gate.admit(self.peer, head, buffer.until_closed(stream));
        match slot
            .within_at(Stage::Request, server_state.deadlines.handler, waiting)
            .await
        {
            Ok(principal) => principal,
            Err(_) => Err(Refusal::overloaded(
                "the API key could not be checked in time",
            )),
        }
    }

    /// Delays the refusal of a client that tries key after key, so that others need not wait. False when another
    /// connection needs the slot.
    async fn holds_back(&self) -> bool {
        let slot = &self.exchange.slot;
        slot.waits();
        let held = slot.within(HOLD, future::pending::<()>()).await;
        slot.is_served();
        held != Err(Interrupted::Evicted)
    }
}

/// 50 clients that try keys as fast as they are refused cost less than a hundredth of a processor at this.
const HOLD: Duration = Duration::from_millis(250);
