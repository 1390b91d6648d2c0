//! The pump between the protocol client and the socket: the only owner of both, and its only clock.
//!
//! It promises: everything that is ready is encoded into one write; reading is never blocked by
//! writing; calls, the socket and the timer are looked at in every turn, and other tasks get their
//! turn between two of them. It knows nothing of tools.

use std::collections::HashMap;
use std::future::{Future, poll_fn};
use std::io::{self, Read as _, Write as _};
use std::net::TcpStream;
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll};
use std::time::{Duration, Instant};

use async_channel::{Receiver, Sender};
use async_io::{Async, Timer};
use mcpmqtt_protocol::client::{
    Client, Event, Options, Outcome, Output, PublishError, Reason, Ticket,
};
use smol::future::BoxedLocal;
use smol::stream::Stream;

use crate::broker::{
    Broker, CallId, InboxLimits, LinkEnd, ListenFailure, Mailbox, Request, Shared,
};
use crate::logger;
use crate::transport::{self, Target};

/// A handle to the broker at `target`, and the future that does the work: it connects, reconnects,
/// and ends when the handle is shut down. `seed` spreads reconnects.
#[must_use = "nothing happens until the future is polled"]
pub fn open(
    options: Options,
    target: Target,
    limits: InboxLimits,
    seed: u64,
) -> (Broker, impl Future<Output = ()>) {
    let (broker, end) = Broker::pair(limits);
    (broker, run(options, target, end, seed))
}

async fn run(options: Options, target: Target, end: LinkEnd, seed: u64) {
    let mut link = Link {
        client: Client::new(options, seed, Instant::now()),
        target,
        shared: end.shared,
        requests: Box::pin(end.requests),
        gone: Box::pin(end.gone),
        wire: Wire::None,
        timer: None,
        wait: None,
        calls: Calls::default(),
        buffer: vec![0; READ_BYTES].into_boxed_slice(),
        log: ConnectionLog::default(),
    };
    poll_fn(|cx| link.turn(cx)).await;
}

struct Link {
    client: Client,
    target: Target,
    shared: Rc<Shared>,
    requests: Pin<Box<Receiver<Request>>>,
    gone: Pin<Box<Receiver<CallId>>>,
    wire: Wire,
    /// Fires at its time or earlier than `wait`; a later deadline does not re-arm it.
    timer: Option<(Instant, Timer)>,
    wait: Option<Instant>,
    calls: Calls,
    buffer: Box<[u8]>,
    log: ConnectionLog,
}

enum Wire {
    None,
    Opening(BoxedLocal<Result<Async<TcpStream>, String>>),
    Open(Async<TcpStream>),
}

/// The calls under way, by the protocol's tickets and by the callers' numbers.
#[derive(Default)]
struct Calls {
    tickets: HashMap<CallId, Ticket>,
    publishes: HashMap<Ticket, (CallId, Sender<Result<Outcome, PublishError>>)>,
    listeners: HashMap<Ticket, Listener>,
}

struct Listener {
    id: CallId,
    mailbox: Rc<Mailbox>,
    /// Until the broker has granted the filter.
    reply: Option<Sender<Result<(), ListenFailure>>>,
}

impl Link {
    fn turn(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        for _ in 0..TURNS {
            let now = Instant::now();
            let mut moved = self.take_gone(now, cx);
            moved |= self.take_requests(now, cx);
            moved |= self.open_or_read(now, cx);
            moved |= self.check_timer(now, cx);
            moved |= self.drain(now);
            moved |= self.write(now, cx);
            if self.client.is_closed() {
                return Poll::Ready(());
            }
            if !moved && !self.arm_timer() {
                return Poll::Pending;
            }
        }
        cx.waker().wake_by_ref();
        Poll::Pending
    }

    fn take_gone(&mut self, now: Instant, cx: &mut Context<'_>) -> bool {
        let mut moved = false;
        while let Poll::Ready(Some(id)) = self.gone.as_mut().poll_next(cx) {
            let Some(ticket) = self.calls.tickets.remove(&id) else {
                continue;
            };
            if self.calls.publishes.remove(&ticket).is_some() {
                self.client.cancel(now, ticket);
            } else if self.calls.listeners.remove(&ticket).is_some() {
                self.client.leave(now, ticket);
                moved = true;
            }
        }
        moved
    }

    fn take_requests(&mut self, now: Instant, cx: &mut Context<'_>) -> bool {
        let mut moved = false;
        for _ in 0..REQUESTS_PER_TURN {
            match self.requests.as_mut().poll_next(cx) {
                Poll::Ready(Some(request)) => self.take_request(now, request),
                Poll::Ready(None) => {
                    self.client.disconnect(now);
                    break;
                }
                Poll::Pending => break,
            }
            moved = true;
        }
        moved
    }

    fn take_request(&mut self, now: Instant, request: Request) {
        match request {
            Request::Publish {
                id,
                message,
                deadline,
                reply,
            } => match self.client.publish(now, message, Some(deadline)) {
                Ok(ticket) => {
                    self.calls.tickets.insert(id, ticket);
                    self.calls.publishes.insert(ticket, (id, reply));
                }
                Err(error) => answer(&reply, Err(error)),
            },
            Request::Listen {
                id,
                listen,
                mailbox,
                reply,
            } => match self.client.listen(now, listen) {
                Ok(ticket) => {
                    let reply = Some(reply);
                    self.calls.tickets.insert(id, ticket);
                    self.calls
                        .listeners
                        .insert(ticket, Listener { id, mailbox, reply });
                }
                Err(error) => answer(&reply, Err(ListenFailure::Refused(error))),
            },
        }
    }

    fn open_or_read(&mut self, now: Instant, cx: &mut Context<'_>) -> bool {
        match &mut self.wire {
            Wire::None => false,
            Wire::Opening(opening) => {
                let Poll::Ready(opened) = opening.as_mut().poll(cx) else {
                    return false;
                };
                match opened {
                    Ok(stream) => {
                        self.wire = Wire::Open(stream);
                        self.client.handle_connected(now);
                    }
                    Err(words) => {
                        self.wire = Wire::None;
                        self.client.handle_connect_failed(now, words);
                    }
                }
                true
            }
            Wire::Open(_) => self.read(now, cx),
        }
    }

    /// Reads once when the system says that there is something: asking the socket itself in every
    /// turn would cost a system call each.
    fn read(&mut self, now: Instant, cx: &mut Context<'_>) -> bool {
        let Wire::Open(stream) = &self.wire else {
            return false;
        };
        if !self.client.wants_bytes() || stream.poll_readable(cx).is_pending() {
            return false;
        }
        match stream.get_ref().read(&mut self.buffer) {
            Ok(0) => self.closed(now, String::new()),
            Ok(n) => {
                let bytes = self.buffer.get(..n).unwrap_or_default();
                self.client.handle_bytes(now, bytes);
                if !self.calls.listeners.is_empty() {
                    transport::acknowledge_now(stream);
                }
            }
            Err(error) if is_transient(&error) => {}
            Err(error) => self.closed(now, transport::words(&error)),
        }
        true
    }

    fn closed(&mut self, now: Instant, words: String) {
        self.wire = Wire::None;
        self.client.handle_closed(now, words);
    }

    fn write(&mut self, now: Instant, cx: &mut Context<'_>) -> bool {
        let mut moved = false;
        while let Wire::Open(stream) = &self.wire {
            let outgoing = self.client.outgoing();
            if outgoing.is_empty() {
                break;
            }
            match stream.get_ref().write(outgoing) {
                Ok(0) => self.closed(now, "it takes no more bytes".into()),
                Ok(n) => self.client.handle_written(now, n),
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                    if stream.poll_writable(cx).is_pending() {
                        break;
                    }
                }
                Err(error) if is_transient(&error) => {}
                Err(error) => self.closed(now, transport::words(&error)),
            }
            moved = true;
        }
        moved
    }

    /// Drains the client; afterwards `wait` says when to look again. True when there is a new
    /// attempt to connect, which nobody has polled yet.
    fn drain(&mut self, now: Instant) -> bool {
        let mut moved = false;
        loop {
            match self.client.poll(now) {
                Output::Connect => {
                    let opening = transport::open(self.target.clone());
                    self.wire = Wire::Opening(Box::pin(opening));
                    moved = true;
                }
                Output::Close => self.wire = Wire::None,
                Output::Event(event) => self.handle_event(event),
                Output::Wait(until) => {
                    self.wait = until;
                    return moved;
                }
            }
        }
    }

    fn handle_event(&mut self, event: Event) {
        match event {
            Event::Message { ticket, message } => {
                if let Some(listener) = self.calls.listeners.get(&ticket) {
                    listener.mailbox.put(message, &self.shared);
                }
            }
            Event::Published { ticket, outcome } => {
                if let Some((id, reply)) = self.calls.publishes.remove(&ticket) {
                    self.calls.tickets.remove(&id);
                    answer(&reply, Ok(outcome));
                }
            }
            Event::Listening { ticket, .. } => {
                let listener = self.calls.listeners.get_mut(&ticket);
                if let Some(reply) = listener.and_then(|listener| listener.reply.take()) {
                    answer(&reply, Ok(()));
                }
            }
            Event::ListenRefused { ticket, reason } => {
                if let Some(listener) = self.calls.listeners.remove(&ticket) {
                    self.calls.tickets.remove(&listener.id);
                    match listener.reply {
                        Some(reply) => answer(&reply, Err(ListenFailure::Broker(reason))),
                        None => listener.mailbox.end(reason),
                    }
                }
            }
            Event::Connected { session_present } => {
                self.log.up(&self.target, session_present);
                self.shared.set_up();
            }
            Event::Disconnected { reason, retry_in } => self.handle_disconnected(reason, retry_in),
        }
    }

    fn handle_disconnected(&mut self, reason: Reason, retry_in: Option<Duration>) {
        if self.shared.connected.get() {
            for listener in self.calls.listeners.values() {
                listener.mailbox.interrupt();
            }
        }
        if retry_in.is_none() {
            for listener in self.calls.listeners.values() {
                listener.mailbox.end(reason.clone());
            }
        }
        self.log.down(&self.target, &reason, retry_in);
        self.shared.set_down(reason);
    }

    fn check_timer(&mut self, now: Instant, cx: &mut Context<'_>) -> bool {
        if let Some((_, timer)) = &mut self.timer {
            if Pin::new(timer).poll(cx).is_ready() {
                self.timer = None;
            }
        }
        if self.wait.is_some_and(|at| at <= now) {
            self.wait = None;
            self.client.handle_timeout(now);
            return true;
        }
        false
    }

    /// Makes sure something wakes us at `wait`. True when a new timer wants its first poll.
    fn arm_timer(&mut self) -> bool {
        let Some(wait) = self.wait else { return false };
        if self.timer.as_ref().is_some_and(|(at, _)| *at <= wait) {
            return false;
        }
        self.timer = Some((wait, Timer::at(wait)));
        true
    }
}

/// One line when the connection comes and one when it goes; attempts that fail for the same reason
/// as the last are for those who debug.
#[derive(Default)]
struct ConnectionLog {
    last: Option<Reason>,
}

impl ConnectionLog {
    fn up(&mut self, target: &Target, session_present: bool) {
        self.last = None;
        let session = if session_present {
            ", the session went on"
        } else {
            ""
        };
        logger::info(format_args!(
            "connected to the broker at {}:{}{session}",
            target.host, target.port
        ));
    }

    fn down(&mut self, target: &Target, reason: &Reason, retry_in: Option<Duration>) {
        let Some(wait) = retry_in else {
            return logger::info(format_args!("disconnected from the broker"));
        };
        let wait = wait.as_secs_f64();
        let Target { host, port, .. } = target;
        if self.last.as_ref() == Some(reason) {
            logger::debug(format_args!(
                "broker {host}:{port}: {reason}; next attempt in {wait:.1} s"
            ));
        } else {
            logger::warning(format_args!(
                "broker {host}:{port}: {reason}; next attempt in {wait:.1} s"
            ));
        }
        self.last = Some(reason.clone());
    }
}

fn is_transient(error: &io::Error) -> bool {
    matches!(
        error.kind(),
        io::ErrorKind::WouldBlock | io::ErrorKind::Interrupted
    )
}

/// A caller that is gone needs no answer.
fn answer<T>(reply: &Sender<T>, value: T) {
    let _ = reply.try_send(value);
}

/// Bytes asked of the socket at once.
const READ_BYTES: usize = 16 * 1024;

/// Requests taken before the socket gets its turn.
const REQUESTS_PER_TURN: usize = 256;

/// Rounds before other tasks get theirs.
const TURNS: usize = 4;
