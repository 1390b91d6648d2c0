//! The driver of the connection: the only owner of the state machine and the socket, and the only reader of the clock
//! for them.
//!
//! Promises: all output that is ready leaves in one write; reading is never blocked by writing; requests, the socket
//! and the timer are checked in every turn, and other tasks run between two turns.
//! Does not: know tools.

mod calls;
mod coalesce;
mod connection_log;
mod events;
#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::indexing_slicing)]
mod halting;

use std::future::{Future, poll_fn};
use std::io::Read as _;
use std::net::TcpStream;
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll};
use std::time::{Duration, Instant};

use async_channel::Receiver;
use async_io::{Async, Timer};
use mcpmqtt_protocol::client::{self as protocol, Options, Output};
use smol::future::{self, BoxedLocal};
use smol::stream::Stream as _;

use self::calls::Calls;
use self::coalesce::ReadCoalescer;
use self::connection_log::ConnectionLog;
use super::client::{CallId, Client, ClientRequest, DriverEnd, Shared};
use super::inbox::InboxLimits;
use super::transport::{self, BrokerStream, Target};

/// Creates a handle to the broker at `target`, and the future that connects, reconnects, and ends when the handle is
/// shut down. `seed` spreads reconnects over time.
#[must_use = "nothing happens until the future is polled"]
pub fn connect(
    options: Options,
    target: Target,
    limits: InboxLimits,
    seed: u64,
) -> (Client, impl Future<Output = ()>) {
    let (client, end) = Client::pair(limits, options.limits.clone());
    (client, run(options, target, end, seed))
}

async fn run(options: Options, target: Target, end: DriverEnd, seed: u64) {
    let mut driver = Driver {
        packet_bytes: options.limits.packet_bytes,
        client: protocol::Client::new(options, seed, Instant::now()),
        target,
        shared: end.shared,
        requests: Box::pin(end.requests),
        cancelled: Box::pin(end.cancelled),
        socket: SocketState::None,
        timer: None,
        wait: None,
        calls: Calls::default(),
        buffer: vec![0; READ_BYTES].into_boxed_slice(),
        coalescer: ReadCoalescer::new(),
        told: 0,
        owes_acknowledgement: false,
        log: ConnectionLog::default(),
        leaving: None,
    };
    poll_fn(|cx| driver.turn(cx)).await;
    if let Some(socket) = driver.leaving {
        future::or(drain(&socket), async {
            Timer::after(FAREWELL).await;
        })
        .await;
    }
}

/// Reads until the broker has closed. Closing a socket with unread bytes resets the connection, and the reset can
/// overtake DISCONNECT: the broker would publish the will.
async fn drain(socket: &Async<TcpStream>) {
    let mut rest = [0; 512];
    while let Ok(1..) = socket.read_with(|mut stream| stream.read(&mut rest)).await {}
}

struct Driver {
    client: protocol::Client,
    /// The size of the largest packet that the client keeps.
    packet_bytes: usize,
    target: Target,
    shared: Rc<Shared>,
    requests: Pin<Box<Receiver<ClientRequest>>>,
    cancelled: Pin<Box<Receiver<CallId>>>,
    socket: SocketState,
    /// Fires at `wait` or earlier; a later deadline does not re-arm the timer.
    timer: Option<(Instant, Timer)>,
    wait: Option<Instant>,
    calls: Calls,
    buffer: Box<[u8]>,
    coalescer: ReadCoalescer,
    /// The number of events dispatched since the start.
    told: u64,
    /// True when bytes were read and nothing was written since.
    owes_acknowledgement: bool,
    log: ConnectionLog,
    /// The last connection that this client closed, until the broker has closed its side.
    leaving: Option<Async<TcpStream>>,
}

enum SocketState {
    None,
    Opening(BoxedLocal<Result<BrokerStream, String>>),
    Open(BrokerStream),
}

impl Driver {
    fn turn(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        for _ in 0..TURNS {
            let now = Instant::now();
            // Before the requests, which a halt refuses.
            self.take_sending(now);
            // Requests come before cancellations: a cancelled call may have left a request in the queue.
            let mut moved = self.take_requests(now, cx);
            moved |= self.take_cancelled(now, cx);
            let told = self.told;
            moved |= self.check_timer(now, cx);
            moved |= self.drain(now);
            if self.told != told {
                // Tasks that got an event run first: their requests leave in one write with the acknowledgements.
                break;
            }
            moved |= self.write(now, cx);
            moved |= self.open_or_read(now, cx);
            if self.client.is_closed() {
                // The last byte written may have ended the connection: its events are dispatched now.
                self.drain(now);
                return Poll::Ready(());
            }
            if !moved && !self.arm_timer() {
                self.acknowledge();
                return Poll::Pending;
            }
        }
        cx.waker().wake_by_ref();
        Poll::Pending
    }

    fn take_requests(&mut self, now: Instant, cx: &mut Context<'_>) -> bool {
        let mut moved = false;
        for _ in 0..REQUESTS_PER_TURN {
            match self.requests.as_mut().poll_next(cx) {
                Poll::Ready(Some(request)) => {
                    self.coalescer.asked();
                    self.calls
                        .take(&mut self.client, now, request, &self.shared);
                }
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

    /// Allows, holds or halts what is sent, when somebody has said so: another task between two turns, or a tap within one.
    fn take_sending(&mut self, now: Instant) {
        while let Some(sending) = self.shared.sending.hear() {
            self.client.set_sending(now, sending);
        }
    }

    fn take_cancelled(&mut self, now: Instant, cx: &mut Context<'_>) -> bool {
        let mut moved = false;
        while let Poll::Ready(Some(id)) = self.cancelled.as_mut().poll_next(cx) {
            moved |= self.calls.cancel(&mut self.client, now, id);
        }
        moved
    }

    fn open_or_read(&mut self, now: Instant, cx: &mut Context<'_>) -> bool {
        match &mut self.socket {
            SocketState::None => false,
            SocketState::Opening(opening) => {
                let Poll::Ready(opened) = opening.as_mut().poll(cx) else {
                    return false;
                };
                match opened {
                    Ok(stream) => {
                        self.socket = SocketState::Open(stream);
                        self.client.handle_connected(now);
                    }
                    Err(words) => {
                        self.socket = SocketState::None;
                        self.client.handle_connect_failed(now, words);
                    }
                }
                true
            }
            SocketState::Open(_) => self.read(now, cx),
        }
    }

    fn read(&mut self, now: Instant, cx: &mut Context<'_>) -> bool {
        let SocketState::Open(socket) = &mut self.socket else {
            return false;
        };
        if !self.client.wants_bytes() || self.coalescer.holds(cx) {
            return false;
        }
        match socket.poll_read(cx, &mut self.buffer) {
            Poll::Pending => return false,
            Poll::Ready(Ok(0)) => self.closed(now, String::new()),
            Poll::Ready(Ok(n)) => {
                // A filled buffer means that more bytes wait: no pause.
                if n < self.buffer.len() {
                    let usage = self.client.usage();
                    self.coalescer
                        .has_read(now, usage.live_packet_ids + usage.received_qos2);
                }
                let bytes = self.buffer.get(..n).unwrap_or_default();
                self.client.handle_bytes(now, bytes);
                self.owes_acknowledgement = self.calls.listening();
            }
            Poll::Ready(Err(words)) => self.closed(now, words),
        }
        true
    }

    /// Lets the system acknowledge the received bytes, unless a write has carried the acknowledgement.
    fn acknowledge(&mut self) {
        if std::mem::take(&mut self.owes_acknowledgement) {
            if let SocketState::Open(socket) = &self.socket {
                socket.acknowledge_now();
            }
        }
    }

    fn closed(&mut self, now: Instant, words: String) {
        self.socket = SocketState::None;
        self.client.handle_closed(now, words);
    }

    fn write(&mut self, now: Instant, cx: &mut Context<'_>) -> bool {
        let mut moved = false;
        while let SocketState::Open(socket) = &mut self.socket {
            let outgoing = self.client.outgoing();
            if outgoing.is_empty() && !socket.wants_write() {
                break;
            }
            match socket.poll_write(cx, outgoing) {
                Poll::Pending => break,
                Poll::Ready(Ok(n)) => {
                    self.client.handle_written(now, n);
                    // Every segment carries an acknowledgement.
                    self.owes_acknowledgement = false;
                }
                Poll::Ready(Err(words)) => self.closed(now, words),
            }
            moved = true;
        }
        moved
    }

    /// Drains the client's outputs; afterwards `wait` holds the next deadline. True when there is a new connection
    /// attempt, which has not been polled yet.
    fn drain(&mut self, now: Instant) -> bool {
        let mut moved = false;
        loop {
            match self.client.poll(now) {
                Output::Connect => {
                    self.leaving = None;
                    let opening = transport::open(self.target.clone());
                    self.socket = SocketState::Opening(Box::pin(opening));
                    moved = true;
                }
                Output::Close => {
                    if let SocketState::Open(socket) =
                        std::mem::replace(&mut self.socket, SocketState::None)
                    {
                        self.leaving = Some(socket.close());
                    }
                }
                Output::Event(event) => {
                    self.handle_event(now, event);
                    self.take_sending(now);
                }
                Output::Wait(until) => {
                    self.wait = until;
                    let traffic = self.client.traffic();
                    self.shared.count(|counts| counts.traffic = traffic);
                    return moved;
                }
            }
        }
    }

    fn check_timer(&mut self, now: Instant, cx: &mut Context<'_>) -> bool {
        if let Some((_, timer)) = &mut self.timer {
            if Pin::new(timer).poll(cx).is_ready() {
                self.timer = None;
            }
        }
        if !self.is_due(now) {
            return false;
        }
        // Expected packets may have arrived already: a process that was suspended must not take its own delay for the
        // broker's.
        self.read(now, cx);
        self.drain(now);
        if self.is_due(now) {
            self.wait = None;
            self.client.handle_timeout(now);
        }
        true
    }

    fn is_due(&self, now: Instant) -> bool {
        self.wait.is_some_and(|at| at <= now)
    }

    /// Arms a timer for `wait`. True when a new timer needs its first poll.
    fn arm_timer(&mut self) -> bool {
        let Some(wait) = self.wait else { return false };
        if self.timer.as_ref().is_some_and(|(at, _)| *at <= wait) {
            return false;
        }
        self.timer = Some((wait, Timer::at(wait)));
        true
    }
}

/// How long the driver waits for the broker to close after DISCONNECT.
const FAREWELL: Duration = Duration::from_millis(200);

/// The size of one read.
const READ_BYTES: usize = 16 * 1024;

/// The number of requests handled before the socket gets its turn.
const REQUESTS_PER_TURN: usize = 256;

/// The number of turns before other tasks run.
const TURNS: usize = 4;
