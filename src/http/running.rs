//! Calls that take their time, and streams: what is sent while more is still to come.
//!
//! Promises: an answer is plain JSON unless something has to be told before it; a client that leaves is noticed
//! while it waits, and holds its connection no longer.

use std::rc::Rc;
use std::time::{Duration, Instant};

use async_io::Timer;
use http_types::{Method, Response, StatusCode};
use smol::future::{self, BoxedLocal, FutureExt as _};

use super::answer::{self, Era};
use super::auth;
use super::client::{Client, Next, pump};
use super::door::Running;
use super::events::{self, Feed, MESSAGE_BYTES};
use super::left::LeftCall;
use super::media::Accepts;
use super::message;
use super::news::News;
use super::refusal::Refusal;
use super::replay::Memory;
use super::seats::Called;
use super::trail::{Source, Trail};
use super::unread::Unsent;
use crate::mcp::{Ender, Reply};

/// What comes first.
enum Event {
    Reply(Option<Reply>),
    News(Vec<u8>),
    Beat,
    Late,
    /// The client closes, or takes nothing of what it is sent.
    ClientGone,
    Dismissed,
}

/// How far a call came without a stream.
pub(super) enum Begun {
    Over(Next),
    /// It has something to tell before its answer.
    Tells(Telling),
}

/// Runs a call until it is answered, or has something to tell before that.
pub(super) async fn call(client: &mut Client, running: Running, last: bool) -> Begun {
    let Running {
        call,
        news,
        accepts,
        era,
        memory,
        session,
    } = running;
    let unread = Rc::clone(&client.site.unread);
    let mut telling = Telling {
        started: Instant::now(),
        ender: call.ender(),
        work: async move { unread.leave_room(call.run()).await }.boxed_local(),
        news,
        first: None,
        // MCP 2026-07-28 demands that leaving cancels the call, earlier versions forbid it.
        ends_with_client: era == Era::Stateless,
        memory,
        unsent: Rc::new(client.site.unread.on(client.seat.number())),
        session,
    };
    if !accepts.json {
        telling.news.begin();
        return Begun::Tells(telling);
    }
    let deadlines = client.site.deadlines;
    let streams = accepts.events && deadlines.silence < deadlines.handler;
    let limit = match streams {
        true => deadlines.silence,
        false => deadlines.handler,
    };
    match telling.begins(client, limit).await {
        Ok(Event::Reply(reply)) if telling.news.is_empty() => {
            // Boxed, so that a stream does not hold the room for an answer.
            let (response, kept) = answer_with(reply, accepts, era);
            telling.unsent.hold(response.len().unwrap_or_default());
            let parted = async {
                telling.unsent.parting().await;
                Next::Gone
            };
            let sending = Box::pin(client.send(Method::Post, response, last));
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
            let refused = Box::pin(client.refuse(Method::Post, auth::replaced(), true));
            return Begun::Over(refused.await);
        }
        // What is between us and the client takes a connection without a byte for dead after a while.
        Err(Called::Late) if streams => telling.news.begin(),
        Err(_) => {
            let refusal = Refusal::overloaded("the call took too long and was given up");
            let refused = Box::pin(client.refuse(Method::Post, refusal, true));
            return Begun::Over(refused.await);
        }
    }
    Begun::Tells(telling)
}

/// A stream that is open until one side ends it.
// What it is made of is boxed: each future that a part is handed through would have room for it.
pub(super) async fn stream(client: &mut Client, mut source: Source) -> Next {
    let (feed, mut response) = events::open();
    client.outcome.status = Some(response.status());
    client.seat.listens();
    let unsent = client.site.unread.on(client.seat.number());
    std::mem::take(&mut client.reader).mark(&mut response);
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
    let Client {
        stream,
        buffer,
        seat,
        site,
        ..
    } = client;
    let mut encoder = Box::new(message::encode(response, Method::Get, true));
    let both = async {
        let sending = Box::pin(pump(stream, seat, site, &mut encoder));
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
    let dismissal = seat.dismissal();
    let dismissed = async {
        dismissal.comes().await;
        Next::Gone
    };
    // A stream whose session is over ends in good order, if its client takes the end of it.
    let ended = future::or(parted, dismissed);
    future::or(both, future::or(gone, ended)).await
}

/// A call that has something to tell before its answer.
pub(super) struct Telling {
    started: Instant,
    ender: Ender,
    work: BoxedLocal<Option<Reply>>,
    news: News,
    first: Option<Vec<u8>>,
    ends_with_client: bool,
    memory: Option<Rc<Memory>>,
    unsent: Rc<Unsent>,
    /// Whose it is, if it is a session's.
    session: u64,
}

/// Sends what a call tells, and then its answer.
// Boxed parts, as in `stream`.
pub(super) async fn told(client: &mut Client, telling: Telling, last: bool) -> Next {
    let (session, ender) = (telling.session, telling.ender.clone());
    let ends_with_client = telling.ends_with_client;
    let (feed, mut response) = events::open();
    client.outcome.status = Some(response.status());
    if ender.is_empty() {
        client.seat.listens();
    }
    std::mem::take(&mut client.reader).mark(&mut response);
    let limit = client.site.deadlines.handler;
    let unsent = Rc::clone(&telling.unsent);
    let mut feeding = async move {
        let reply = telling.tell(&feed, limit).await;
        feed.close();
        reply
    }
    .boxed_local();
    let Client {
        stream,
        buffer,
        seat,
        site,
        ..
    } = client;
    let mut encoder = Box::new(message::encode(response, Method::Post, last));
    // The request is in flight until its answer is written.
    let mut kept = None;
    let next = {
        let fed = async {
            kept = Some((&mut feeding).await);
            // The rest is to be written.
            future::pending().await
        };
        let sending = Box::pin(pump(stream, seat, site, &mut encoder));
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
        let dismissal = seat.dismissal();
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
        // With the encoder goes the stream's other end: the feeder does not wait for it any more.
        None => Next::Left(LeftCall {
            session,
            ender,
            work: async move { drop(feeding.await) }.boxed_local(),
        }),
    }
}

impl Telling {
    /// Waits for what decides between an answer and a stream.
    async fn begins(&mut self, client: &mut Client, limit: Duration) -> Result<Event, Called> {
        let Client {
            stream,
            buffer,
            seat,
            ..
        } = client;
        let gone = async {
            buffer.until_closed(stream).await;
            Event::ClientGone
        };
        let dismissal = seat.dismissal();
        let dismissed = async {
            dismissal.comes().await;
            Event::Dismissed
        };
        let happens = future::or(next(&mut self.work, &self.news), gone);
        // Boxed, because each future that it is handed through would have room for it.
        let happens = Box::pin(future::or(dismissed, happens));
        seat.within(limit, happens).await
    }

    /// The client is gone before anything was sent.
    fn leave(self, limit: Duration) -> Next {
        if self.ends_with_client {
            return Next::Gone;
        }
        let (work, until) = (self.work, self.started + limit);
        let late = async move {
            Timer::at(until).await;
            None
        };
        Next::Left(LeftCall {
            session: self.session,
            ender: self.ender,
            // Nobody is there to be told how it ended.
            work: async move { drop(future::or(work, late).await) }.boxed_local(),
        })
    }

    /// Tells the news and then the answer, which is handed back to be kept until it is written.
    async fn tell(mut self, feed: &Feed, limit: Duration) -> Option<Reply> {
        let mut late = Timer::at(self.started + limit);
        let way = Way {
            feed,
            trail: self.memory.take().map(Trail::open),
        };
        way.begin().await;
        if self.first.is_none() && self.news.is_empty() {
            // The head alone does not pass every proxy.
            put_heartbeat(feed).await;
        }
        if let Some(text) = self.first {
            way.send(&text).await;
        }
        loop {
            let waiting = async {
                (&mut late).await;
                Event::Late
            };
            let waiting = future::or(waiting, beat(Event::Beat));
            match future::or(next(&mut self.work, &self.news), waiting).await {
                Event::Late => {
                    late = Timer::never();
                    self.ender.give_up();
                }
                Event::News(text) => way.send(&text).await,
                Event::Beat => put_heartbeat(feed).await,
                Event::Reply(mut reply) => {
                    while let Some(text) = self.news.take() {
                        way.send(&text).await;
                    }
                    let bytes = reply.as_ref().map_or(0, |reply| reply.text.len());
                    self.unsent.hold(bytes);
                    let messages = reply.as_mut().map(|it| it.messages(MESSAGE_BYTES));
                    for message in messages.into_iter().flatten() {
                        way.send(&message).await;
                    }
                    return reply;
                }
                Event::ClientGone | Event::Dismissed => return None,
            }
        }
    }
}

/// The way of a call's messages: to its client, and where they are remembered if they are to be.
struct Way<'a> {
    feed: &'a Feed,
    trail: Option<Trail>,
}

impl Way<'_> {
    async fn begin(&self) {
        if let Some(event) = self.trail.as_ref().and_then(Trail::prime) {
            put(self.feed, event).await;
        }
    }

    async fn send(&self, message: &[u8]) {
        let event = match &self.trail {
            Some(trail) => trail.event(message),
            None => Some(events::event(message)),
        };
        if let Some(event) = event {
            put(self.feed, event).await;
        }
    }
}

/// The answer of a call that told nothing before it, and what is to be kept until it is written.
fn answer_with(reply: Option<Reply>, accepts: Accepts, era: Era) -> (Response, Option<Reply>) {
    let Some(mut reply) = reply else {
        // The client cancelled the call, so it gets no answer to it; but the exchange has to end.
        let response = match accepts.events {
            true => events::open().1,
            false => answer::empty(StatusCode::Accepted),
        };
        return (response, None);
    };
    let text = std::mem::take(&mut reply.text);
    (answer::json(era.status(reply.refused), text), Some(reply))
}

async fn next(work: &mut BoxedLocal<Option<Reply>>, news: &News) -> Event {
    let told = async {
        match news.next().await {
            Some(text) => Event::News(text),
            // Nothing more will be told.
            None => future::pending().await,
        }
    };
    future::or(told, async { Event::Reply(work.await) }).await
}

async fn beat<T>(beat: T) -> T {
    Timer::after(HEARTBEAT).await;
    beat
}

// Feeding fails only when the client is gone, which the sending side finds out by itself.

async fn put(feed: &Feed, event: Vec<u8>) {
    let _ = feed.send(event).await;
}

async fn put_heartbeat(feed: &Feed) {
    let _ = feed.send(events::heartbeat()).await;
}

/// Proxies and clients give up a silent stream after 60 s at the earliest.
const HEARTBEAT: Duration = Duration::from_secs(20);
