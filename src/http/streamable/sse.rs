//! Event streams (`text/event-stream`, HTML Standard §9.2) as the body of an answer.
//!
//! Promises: what is fed leaves at once, in order; a reader that does not keep up makes the feeder wait.

use std::cell::Cell;
use std::io;
use std::pin::{Pin, pin};
use std::rc::Rc;
use std::task::{Context, Poll, Waker, ready};

use async_channel::{Receiver, Sender};
use http_types::{Body, Response, StatusCode};
use smol::io::{AsyncBufRead, AsyncRead};
use smol::stream::Stream as _;

use crate::local::queue;
use crate::mcp::ClientSink;

/// Where the pieces of a stream go in; closing it ends the stream.
pub(in crate::http) type Feed = Sender<Vec<u8>>;

/// A stream to be sent, and its feed.
pub(in crate::http) fn open() -> (Feed, Response) {
    let (feed, pieces) = async_channel::bounded(PIECES);
    let mut response = Response::new(StatusCode::Ok);
    response.insert_header("content-type", "text/event-stream");
    response.insert_header("cache-control", "no-cache, no-transform");
    // nginx would otherwise keep events until it has some kilobytes of them.
    response.insert_header("x-accel-buffering", "no");
    response.replace_body(Body::from_reader(Pieces::new(pieces), None));
    // Their channels would be the larger part of what an idle stream holds.
    drop((response.send_trailers(), response.recv_trailers()));
    drop(response.send_upgrade());
    // Takes the channel's other end when it is first polled, and waits for nothing before that.
    let _ = pin!(response.recv_upgrade()).poll(&mut Context::from_waker(Waker::noop()));
    (feed, response)
}

/// The queue of a request's or a session's messages beside the answer, until they are sent.
#[derive(Debug)]
pub(in crate::http) struct Outgoing {
    messages: queue::Receiver<Vec<u8>>,
    /// The stream of these messages has begun, or has to.
    begun: Rc<Cell<bool>>,
}

impl Outgoing {
    /// Lets the stream begin, with or without a message.
    pub(in crate::http) fn begin(&self) {
        self.begun.set(true);
    }

    /// The next message; `None` when no more will come.
    pub(in crate::http) async fn next(&self) -> Option<Vec<u8>> {
        self.messages.recv().await
    }

    /// A message that is there already.
    pub(in crate::http) fn take(&self) -> Option<Vec<u8>> {
        self.messages.try_recv()
    }

    pub(in crate::http) fn is_empty(&self) -> bool {
        self.messages.is_empty()
    }

    /// Closes the queue: no message goes in; queued messages can still be taken.
    pub(in crate::http) fn close(&self) {
        self.messages.close();
    }

    pub(in crate::http) fn is_closed(&self) -> bool {
        self.messages.is_closed()
    }
}

/// The queue of a request that sends no notifications.
pub(in crate::http) fn nothing() -> Outgoing {
    sink().1
}

/// A sink that keeps what it takes until it is sent.
pub(in crate::http) fn sink() -> (ClientSink, Outgoing) {
    sink_or(|_| false)
}

/// Makes the same sink; messages after the end of the stream go to `else_to`.
pub(in crate::http) fn sink_or(
    else_to: impl Fn(&[u8]) -> bool + 'static,
) -> (ClientSink, Outgoing) {
    let (sender, messages) = queue::unbounded();
    let sender = Rc::new(sender);
    let begun = Rc::<Cell<bool>>::default();
    let outgoing = Outgoing {
        messages,
        begun: Rc::clone(&begun),
    };
    let (progress, begins) = (Rc::clone(&sender), Rc::clone(&begun));
    let offer = move |text: Vec<u8>| {
        if sender.len() >= WAITING && !sender.is_closed() {
            return false;
        }
        match send(&sender, &begins, text) {
            Ok(()) => true,
            Err(text) => else_to(&text),
        }
    };
    let begins = Rc::clone(&begun);
    let sink = ClientSink::new(move |text| text.len() <= MESSAGE_BYTES && offer(text))
        // The rest is for what must not be lost.
        .with_progress(move |text| {
            progress.len() < WAITING / 2 && send(&progress, &begins, text).is_ok()
        })
        .with_most(move || begun.get().then_some(MESSAGE_BYTES));
    (sink, outgoing)
}

fn send(sender: &queue::Sender<Vec<u8>>, begun: &Cell<bool>, text: Vec<u8>) -> Result<(), Vec<u8>> {
    sender.send(text)?;
    begun.set(true);
    Ok(())
}

/// One event with a message, which is one line of JSON.
pub(in crate::http) fn event(message: &[u8]) -> Vec<u8> {
    let mut text = Vec::with_capacity(message.len() + 24);
    text.extend_from_slice(b"event: message\ndata: ");
    text.extend_from_slice(message);
    text.extend_from_slice(b"\n\n");
    text
}

/// One event with an id by which its stream can be resumed.
pub(in crate::http) fn numbered(stream: u64, number: u64, message: &[u8]) -> Vec<u8> {
    let mut text = format!("id: {stream}.{number}\n").into_bytes();
    text.extend_from_slice(&event(message));
    text
}

/// An id without a message, and the milliseconds to wait before it is used (MCP 2025-11-25 basic/transports).
pub(in crate::http) fn priming(stream: u64, number: u64) -> Vec<u8> {
    format!("id: {stream}.{number}\nretry: {RETRY_MS}\ndata:\n\n").into_bytes()
}

/// A line that clients ignore; the line keeps proxies from taking the stream for dead.
pub(in crate::http) fn heartbeat() -> Vec<u8> {
    b":\n\n".to_vec()
}

struct Pieces {
    source: Pin<Box<Receiver<Vec<u8>>>>,
    piece: Vec<u8>,
    used: usize,
}

impl Pieces {
    fn new(source: Receiver<Vec<u8>>) -> Pieces {
        Pieces {
            source: Box::pin(source),
            piece: Vec::new(),
            used: 0,
        }
    }
}

impl AsyncBufRead for Pieces {
    fn poll_fill_buf(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<&[u8]>> {
        let this = self.get_mut();
        while this.used >= this.piece.len() {
            match ready!(this.source.as_mut().poll_next(cx)) {
                Some(piece) => {
                    this.piece = piece;
                    this.used = 0;
                }
                None => return Poll::Ready(Ok(&[])),
            }
        }
        Poll::Ready(Ok(this.piece.get(this.used..).unwrap_or_default()))
    }

    fn consume(mut self: Pin<&mut Self>, count: usize) {
        self.used += count;
        if self.used >= self.piece.len() {
            // Freed: streams are idle most of the time.
            self.piece = Vec::new();
            self.used = 0;
        }
    }
}

impl AsyncRead for Pieces {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        room: &mut [u8],
    ) -> Poll<io::Result<usize>> {
        let piece = ready!(self.as_mut().poll_fill_buf(cx))?;
        let count = piece.len().min(room.len());
        for (to, from) in room.iter_mut().zip(piece) {
            *to = *from;
        }
        self.consume(count);
        Poll::Ready(Ok(count))
    }
}

/// Bytes of one message: with its framing an event is below 1 MiB, which several clients take at most.
pub(in crate::http) const MESSAGE_BYTES: usize = (1 << 20) - 128;
/// Pieces that wait for a slow reader.
const PIECES: usize = 4;
/// The most messages of one stream that wait to be sent.
const WAITING: usize = 64;
/// Milliseconds before a client reconnects: without a pause it would loop while the server does not run.
const RETRY_MS: u64 = 1000;
