//! A call that sends notifications before its answer, in the order in which they go to the client.
//!
//! Promises: messages come before the answer, the answer comes once, and a stream without messages is kept alive; the
//! messages are stored for a client that reconnects, if the session has an event store.
//! Does not: write to a connection (see `respond`).

use std::future::Future;
use std::pin::pin;
use std::rc::Rc;
use std::time::{Duration, Instant};

use async_io::Timer;
use smol::future::{self, BoxedLocal, FutureExt as _};

use super::exchange::{Exchange, Next};
use super::left_calls::LeftCall;
use super::slots::Interrupted;
use super::unread::Unsent;
use crate::http::streamable::event_store::SessionEvents;
use crate::http::streamable::resume::CallStream;
use crate::http::streamable::sse::Outgoing;
use crate::http::streamable::sse::{self, Feed, MESSAGE_BYTES};
use crate::mcp::{Ender, Place, Reply};

/// The first event of those that a call waits for.
pub(in crate::http) enum Event {
    Reply(Option<Reply>),
    News(Vec<u8>),
    Beat,
    Late,
    /// The client closes, or takes nothing of what it is sent.
    ClientGone,
    Dismissed,
}

/// A call that sends notifications before its answer.
pub(in crate::http) struct StreamedCall {
    pub(in crate::http) started: Instant,
    pub(in crate::http) ender: Ender,
    pub(in crate::http) work: BoxedLocal<Option<Reply>>,
    pub(in crate::http) news: Outgoing,
    pub(in crate::http) first: Option<Vec<u8>>,
    pub(in crate::http) ends_with_client: bool,
    pub(in crate::http) memory: Option<Rc<SessionEvents>>,
    pub(in crate::http) unsent: Rc<Unsent>,
    /// The name of the caller's principal.
    pub(in crate::http) name: Rc<str>,
    /// The number of the session; 0 without one.
    pub(in crate::http) session: u64,
    /// The caller's share of the waiting connections, given back when the client has its answer or has left: the code
    /// that serves the client takes it out for that time.
    pub(in crate::http) place: Option<Place>,
}

impl StreamedCall {
    /// Waits for the event that decides between a plain answer and an event stream.
    pub(in crate::http) async fn begins(
        &mut self,
        exchange: &mut Exchange,
        limit: Duration,
    ) -> Result<Event, Interrupted> {
        let Exchange {
            stream,
            buffer,
            slot,
            ..
        } = exchange;
        let gone = async {
            buffer.until_closed(stream).await;
            Event::ClientGone
        };
        let dismissal = slot.dismissal();
        let dismissed = async {
            dismissal.comes().await;
            Event::Dismissed
        };
        let happens = future::or(next(&mut self.work, &self.news), gone);
        // Boxed: see the module docs of `http`.
        let happens = Box::pin(future::or(dismissed, happens));
        slot.within(limit, happens).await
    }

    /// The client is gone before anything was sent.
    pub(in crate::http) fn leave(self, limit: Duration) -> Next {
        if self.ends_with_client {
            return Next::Gone;
        }
        let (work, until) = (self.work, self.started + limit);
        let late = async move {
            Timer::at(until).await;
            None
        };
        Next::Left(LeftCall {
            name: self.name,
            session: self.session,
            ender: self.ender,
            // The client has left: the outcome goes nowhere.
            work: async move { drop(future::or(work, late).await) }.boxed_local(),
        })
    }

    /// Sends the messages and then the answer, and returns the reply, which is kept until the answer is written.
    pub(in crate::http) async fn tell(mut self, feed: &Feed, limit: Duration) -> Option<Reply> {
        let mut late = Timer::at(self.started + limit);
        let way = Way {
            feed,
            trail: self.memory.take().map(CallStream::open),
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
                Event::News(text) => {
                    let sending = way.send(&text);
                    meanwhile(&mut self.work, &self.unsent, sending).await;
                }
                Event::Beat => {
                    meanwhile(&mut self.work, &self.unsent, put_heartbeat(feed)).await;
                }
                Event::Reply(mut reply) => {
                    while let Some(text) = self.news.take() {
                        way.send(&text).await;
                    }
                    self.unsent.hold(size(reply.as_ref()));
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

/// The path of a call's messages: to the client, and into the event store if the session has one.
struct Way<'a> {
    feed: &'a Feed,
    trail: Option<CallStream>,
}

impl Way<'_> {
    async fn begin(&self) {
        if let Some(event) = self.trail.as_ref().and_then(CallStream::prime) {
            put(self.feed, event).await;
        }
    }

    async fn send(&self, message: &[u8]) {
        let event = match &self.trail {
            Some(trail) => trail.event(message),
            None => Some(sse::event(message)),
        };
        if let Some(event) = event {
            put(self.feed, event).await;
        }
    }
}

/// Sends a message while the work goes on. A client that does not read delays neither the end of the work nor a reload
/// of the rules, which waits for it.
async fn meanwhile(
    work: &mut BoxedLocal<Option<Reply>>,
    unsent: &Unsent,
    sending: impl Future<Output = ()>,
) {
    let mut sending = pin!(sending);
    let sent = async {
        sending.as_mut().await;
        None
    };
    let Some(reply) = future::or(sent, async { Some((&mut *work).await) }).await else {
        return;
    };
    // It is to be read, too, though not yet on its way.
    unsent.hold(size(reply.as_ref()));
    *work = future::ready(reply).boxed_local();
    sending.await;
}

fn size(reply: Option<&Reply>) -> usize {
    reply.map_or(0, |reply| reply.text.len())
}

async fn next(work: &mut BoxedLocal<Option<Reply>>, news: &Outgoing) -> Event {
    let told = async {
        match news.next().await {
            Some(text) => Event::News(text),
            // No more notifications will come.
            None => future::pending().await,
        }
    };
    future::or(told, async { Event::Reply(work.await) }).await
}

pub(in crate::http) async fn beat<T>(beat: T) -> T {
    Timer::after(HEARTBEAT).await;
    beat
}

// Feeding fails only when the client is gone, which the sending side finds out by itself.

pub(in crate::http) async fn put(feed: &Feed, event: Vec<u8>) {
    let _ = feed.send(event).await;
}

pub(in crate::http) async fn put_heartbeat(feed: &Feed) {
    let _ = feed.send(sse::heartbeat()).await;
}

/// Proxies and clients give up a silent stream after 60 s at the earliest.
const HEARTBEAT: Duration = Duration::from_secs(20);
