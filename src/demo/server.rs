//! What moves bytes between the broker's state machine, its sockets and the plant: the only owner of all
//! three, and their only clock.
//!
//! It promises: reading is never blocked by writing, nor one client by another; each socket gets
//! everything that is ready in one write; other tasks get their turn. It does not know what the
//! messages mean.

use std::collections::BTreeMap;
use std::future::{Future, poll_fn};
use std::io;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::{Duration, Instant};

use async_channel::{Receiver, Sender};
use async_io::Timer;
use async_net::{TcpListener, TcpStream};
use mcpmqtt_protocol::broker::{Broker, ConnId, Output};
use mcpmqtt_protocol::limits::BrokerLimits;
use smol::io::{AsyncRead, AsyncWrite};
use smol::stream::Stream;

use super::plant::Plant;
use crate::logger;

/// The two futures that do the work: one accepts connections, the other serves them.
pub(super) fn open(
    listener: TcpListener,
    plant: Plant,
) -> (impl Future<Output = ()>, impl Future<Output = ()>) {
    let (arrived, arrivals) = async_channel::bounded(1);
    (accept(listener, arrived), serve(plant, arrivals))
}

async fn accept(listener: TcpListener, arrived: Sender<TcpStream>) {
    loop {
        match listener.accept().await {
            Ok((stream, _)) => {
                // Small packets both ways: waiting to fill a segment would only add latency.
                let _ = stream.set_nodelay(true);
                if arrived.send(stream).await.is_err() {
                    return;
                }
            }
            Err(error) => {
                logger::warning(format_args!("demo broker: cannot accept: {error}"));
                Timer::after(ACCEPT_PAUSE).await;
            }
        }
    }
}

async fn serve(plant: Plant, arrivals: Receiver<TcpStream>) {
    let mut broker = Broker::new(BrokerLimits::default());
    for filter in Plant::filters() {
        broker.subscribe_local(&filter);
    }
    let mut server = DemoServer {
        broker,
        wait: None,
        plant,
        arrivals: Box::pin(arrivals),
        streams: BTreeMap::new(),
        timer: Timer::never(),
        armed: None,
        buffer: vec![0; READ_BYTES].into_boxed_slice(),
    };
    poll_fn(|cx| server.turn(cx)).await;
}

struct DemoServer {
    broker: Broker,
    /// When the broker wants to be looked at again.
    wait: Option<Instant>,
    plant: Plant,
    arrivals: Pin<Box<Receiver<TcpStream>>>,
    streams: BTreeMap<ConnId, TcpStream>,
    timer: Timer,
    /// When the timer fires, at the latest deadline or before it.
    armed: Option<Instant>,
    buffer: Box<[u8]>,
}

impl DemoServer {
    fn turn(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        for _ in 0..TURNS {
            let now = Instant::now();
            // First of all: the plant's states are there before the first client asks.
            let mut moved = self.check_timer(now, cx);
            moved |= self.welcome(now, cx);
            let conns: Vec<ConnId> = self.streams.keys().copied().collect();
            for conn in &conns {
                moved |= self.read(now, *conn, cx);
            }
            for conn in &conns {
                moved |= self.write(now, *conn, cx);
            }
            if !moved {
                return Poll::Pending;
            }
        }
        cx.waker().wake_by_ref();
        Poll::Pending
    }

    fn check_timer(&mut self, now: Instant, cx: &mut Context<'_>) -> bool {
        let mut due = self.plant.next_deadline();
        due = self.wait.map_or(due, |wait| wait.min(due));
        if due <= now {
            self.broker.handle_timeout(now);
            self.settle(now);
            for message in self.plant.handle_timeout(now) {
                self.broker.publish_local(now, message);
                self.settle(now);
            }
            return true;
        }
        if self.armed.is_none_or(|armed| armed > due) {
            self.timer.set_at(due);
            self.armed = Some(due);
        }
        let fired = Pin::new(&mut self.timer).poll(cx).is_ready();
        if fired {
            self.armed = None;
        }
        fired
    }

    fn welcome(&mut self, now: Instant, cx: &mut Context<'_>) -> bool {
        let Poll::Ready(Some(stream)) = self.arrivals.as_mut().poll_next(cx) else {
            return false;
        };
        let conn = self.broker.open(now);
        self.streams.insert(conn, stream);
        self.settle(now);
        true
    }

    fn read(&mut self, now: Instant, conn: ConnId, cx: &mut Context<'_>) -> bool {
        let Some(stream) = self.streams.get_mut(&conn) else {
            return false;
        };
        match Pin::new(stream).poll_read(cx, &mut self.buffer) {
            Poll::Pending => return false,
            Poll::Ready(Ok(n)) if n > 0 => {
                let bytes = self.buffer.get(..n).unwrap_or_default();
                self.broker.handle_bytes(now, conn, bytes);
                self.settle(now);
            }
            Poll::Ready(ended) => self.gone(now, conn, ended.err()),
        }
        true
    }

    fn write(&mut self, now: Instant, conn: ConnId, cx: &mut Context<'_>) -> bool {
        let mut moved = false;
        while let Some(stream) = self.streams.get_mut(&conn) {
            let output = self.broker.output(conn);
            if output.is_empty() {
                break;
            }
            match Pin::new(stream).poll_write(cx, output) {
                Poll::Pending => break,
                Poll::Ready(Ok(n)) if n > 0 => {
                    self.broker.wrote(now, conn, n);
                    self.settle(now);
                }
                Poll::Ready(ended) => self.gone(now, conn, ended.err()),
            }
            moved = true;
        }
        moved
    }

    fn gone(&mut self, now: Instant, conn: ConnId, error: Option<io::Error>) {
        self.streams.remove(&conn);
        if let Some(error) = error {
            logger::debug(format_args!("demo broker: {conn}: {error}"));
        }
        self.broker.handle_closed(now, conn);
        self.settle(now);
    }

    /// Drains the broker; the plant's answers go back in.
    fn settle(&mut self, now: Instant) {
        loop {
            match self.broker.poll(now) {
                Output::Close(conn, reason) => {
                    self.streams.remove(&conn);
                    logger::debug(format_args!("demo broker: {conn}: {reason}"));
                }
                Output::Local(message) => {
                    for answer in self.plant.handle_message(now, &message) {
                        self.broker.publish_local(now, answer);
                    }
                }
                Output::Wait(wait) => {
                    self.wait = wait;
                    return;
                }
            }
        }
    }
}

/// Bytes asked of one socket at once.
const READ_BYTES: usize = 16 * 1024;

/// Rounds before other tasks get theirs.
const TURNS: usize = 4;

/// When the system has no descriptor left, one may be free a little later.
const ACCEPT_PAUSE: Duration = Duration::from_secs(1);
