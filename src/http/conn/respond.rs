//! Calls that take their time, and streams: what is sent while more is still to come.
//!
//! Promises: an answer is plain JSON unless a notification has to be sent before it; a client that leaves during the
//! wait is noticed, and holds its connection no longer.

use std::rc::Rc;
use std::time::Instant;

use http_types::{Method, Response, StatusCode};
use smol::future::{self, FutureExt as _};

use super::exchange::{Exchange, Next, pump};
use super::left_calls::LeftCall;
use super::slots::Interrupted;
use super::streamed_call::{Event, StreamedCall, beat, put, put_heartbeat};
use crate::http::guard::accept::Accepts;
use crate::http::h1::encode;
use crate::http::h1::refusal::Refusal;
use crate::http::streamable::endpoint::RunningCall;
use crate::http::streamable::response::{self, Era};
use crate::http::streamable::resume::SseSource;
use crate::http::streamable::sse;
use crate::mcp::Reply;

/// How a call has begun: answered at once, or as an event stream.
pub(in crate::http) enum Begun {
    Over(Next),
    /// The call sends something before its answer.
    Tells(StreamedCall),
}

/// Runs a call until it has its answer, or has a notification to send before it.
pub(in crate::http) async fn call(
    exchange: &mut Exchange,
    running: RunningCall,
    last: bool,
) -> Begun {
    let RunningCall {
        call,
        news,
        accepts,
        era,
        memory,
        name,
        session,
        place,
    } = running;
    let unread = Rc::clone(&exchange.server_state.unread);
    let mut telling = StreamedCall {
        started: Instant::now(),
        ender: call.ender(),
        work: async move { unread.leave_room(call.run()).await }.boxed_local(),
        news,
        first: None,
        // MCP 2026-07-28 demands that leaving cancels the call, earlier versions forbid it.
        ends_with_client: era == Era::Stateless,
        memory,
        unsent: Rc::new(exchange.server_state.unread.on(exchange.slot.number())),
        name,
        session,
        place,
    };
    if !accepts.json {
        telling.news.begin();
        return Begun::Tells(telling);
    }
    let deadlines = exchange.server_state.deadlines;
    let streams = accepts.events && deadlines.silence < deadlines.handler;
    let limit = match streams {
        true => deadlines.silence,
        false => deadlines.handler,
    };
    match telling.begins(exchange, limit).await {
        Ok(Event::Reply(reply)) if telling.news.is_empty() => {
            // Boxed, so that a stream does not hold the room for an answer.
            let (response, kept) = answer_with(reply, accepts, era);
            telling.unsent.hold(response.len().unwrap_or_default());
            let parted = async {
                telling.unsent.parting().await;
                Next::Gone
            };
            let sending = Box::pin(exchange.send(Method::Post, response, last));
            let next = future::or(parted, sending).await;
            // The request is in flight until its answer is written.
            drop(kept);
            return Begun::Over(next);
        }
        Ok(Event::Reply(reply)) => telling.work = future::ready(reply).boxed_local(),
        Ok(Event::News(text)) => telling.first = Some(text),
        Ok(Event::ClientGone | Event::Beat | Event::Late) => {
            return Begun::Over(telling.leave(deadlines.handler));
        }
        Ok(Event::Dismissed) => {
            drop(telling);
            let Some(principal) = exchange.slot.dismissed() else {
                return Begun::Over(Next::Gone);
            };
            let refusal = exchange.server_state.gate().refusal_since(&principal);
            let refused = Box::pin(exchange.refuse(Method::Post, refusal, true));
            return Begun::Over(refused.await);
        }
        // A proxy between server and client takes a connection without a byte for dead after a while.
        Err(Interrupted::Late) if streams => telling.news.begin(),
        Err(_) => {
            let refusal = Refusal::overloaded("the call took too long and was given up");
            let refused = Box::pin(exchange.refuse(Method::Post, refusal, true));
            return Begun::Over(refused.await);
        }
    }
    Begun::Tells(telling)
}

/// A stream that is open until one side ends it.
// The parts are boxed: see the module docs of `http`.
pub(in crate::http) async fn stream(exchange: &mut Exchange, mut source: SseSource) -> Next {
    let (feed, mut response) = sse::open();
    exchange.outcome.status = Some(response.status());
    exchange.slot.listens();
    let unsent = exchange.server_state.unread.on(exchange.slot.number());
    std::mem::take(&mut exchange.reader).mark(&mut response);
    let feeding = Box::pin(async {
        loop {
            let told = async { Some(source.next().await) };
            match future::or(told, beat(None)).await {
                Some(Some(event)) => {
                    unsent.add(event.len());
                    put(&feed, event).await;
                }
                Some(None) => break,
                None => put_heartbeat(&feed).await,
            }
        }
        feed.close();
        Ok(())
    });
    let Exchange {
        stream,
        buffer,
        slot,
        server_state,
        ..
    } = exchange;
    let mut encoder = Box::new(encode::encode(response, Method::Get, true));
    let both = async {
        let sending = Box::pin(pump(stream, slot, server_state, &mut encoder));
        match future::try_zip(feeding, sending).await {
            Ok(_) => Next::Close,
            Err(_) => Next::Gone,
        }
    };
    let gone = async {
        buffer.until_closed(stream).await;
        Next::Gone
    };
    let parted = async {
        unsent.parting().await;
        Next::Gone
    };
    let dismissal = slot.dismissal();
    let dismissed = async {
        dismissal.comes().await;
        Next::Gone
    };
    // A stream whose session is over ends in good order, if its client takes the end of it.
    let ended = future::or(parted, dismissed);
    future::or(both, future::or(gone, ended)).await
}

/// Sends a call's notifications, and then its answer.
// Boxed parts, as in `stream`.
pub(in crate::http) async fn told(
    exchange: &mut Exchange,
    mut telling: StreamedCall,
    last: bool,
) -> Next {
    // Left in place, it would be held until the end of a call that goes on without its client.
    let _place = telling.place.take();
    let (name, session) = (Rc::clone(&telling.name), telling.session);
    let ender = telling.ender.clone();
    let ends_with_client = telling.ends_with_client;
    let (feed, mut response) = sse::open();
    exchange.outcome.status = Some(response.status());
    if ender.is_empty() {
        exchange.slot.listens();
    }
    std::mem::take(&mut exchange.reader).mark(&mut response);
    let limit = exchange.server_state.deadlines.handler;
    let unsent = Rc::clone(&telling.unsent);
    let mut feeding = async move {
        let reply = telling.tell(&feed, limit).await;
        feed.close();
        reply
    }
    .boxed_local();
    let Exchange {
        stream,
        buffer,
        slot,
        server_state,
        ..
    } = exchange;
    let mut encoder = Box::new(encode::encode(response, Method::Post, last));
    // The request is in flight until its answer is written.
    let mut kept = None;
    let next = {
        let fed = async {
            kept = Some((&mut feeding).await);
            // The rest is to be written.
            future::pending().await
        };
        let sending = Box::pin(pump(stream, slot, server_state, &mut encoder));
        let sent = async {
            match sending.await {
                Ok(()) if last => Some(Next::Close),
                Ok(()) => Some(Next::Request),
                Err(_) => None,
            }
        };
        let gone = async {
            buffer.until_closed(stream).await;
            None
        };
        let dismissal = slot.dismissal();
        let dismissed = async {
            dismissal.comes().await;
            Some(Next::Gone)
        };
        let parted = async {
            unsent.parting().await;
            Some(Next::Gone)
        };
        let ended = future::or(dismissed, parted);
        future::or(ended, future::or(fed, future::or(sent, gone))).await
    };
    match next {
        Some(next) => next,
        None if ends_with_client || kept.is_some() => Next::Gone,
        // The drop of the encoder closes the stream's other end, so that the feeder does not wait for it.
        None => Next::Left(LeftCall {
            name,
            session,
            ender,
            work: async move { drop(feeding.await) }.boxed_local(),
        }),
    }
}

/// The answer of a call without notifications, and the reply that is kept until the answer is written.
fn answer_with(reply: Option<Reply>, accepts: Accepts, era: Era) -> (Response, Option<Reply>) {
    let Some(mut reply) = reply else {
        // The client cancelled the call, so it gets no answer to it; but the exchange has to end.
        let response = match accepts.events {
            true => sse::open().1,
            false => response::empty(StatusCode::Accepted),
        };
        return (response, None);
    };
    let text = std::mem::take(&mut reply.text);
    (response::json(era.status(reply.refused), text), Some(reply))
}
