//! The HTTP front door: MCP's streamable HTTP on a socket file or a TCP port, in front of a network that may be hostile.
//!
//! Promises: whatever comes is answered or the connection ends; every byte, wait and connection has a bound; nothing
//! of a request but its head is looked at before its sender has shown the key.
//! Does not: speak TLS (a proxy in front does), know MQTT, or know methods and tools (see [`mcp`](crate::mcp)).
//!
//! From the outside in: `listener` (with `activation`) and `seats` bring connections; `connection` runs one over
//! `wire`, `head` (with `target`) and `body`; `routes`, `auth` (with `throttle`, `line` and `peer`) and `media` judge
//! it; `door` (with `envelope` and `sessions`) hands it to the engine; `client`, `running` and `events` send what comes
//! of it, `trail` and `replay` send it again, `watch` logs it. `message` is the seam to async-h1.

use std::future::Future;
use std::rc::Rc;
use std::time::{Duration, Instant};

use async_io::Timer;
use smol::LocalExecutor;
use smol::future;

use self::connection::Connection;
use self::peer::Peer;
use self::seats::{Seat, Seats};
use self::wire::Stream;
use crate::logger;

mod activation;
mod answer;
mod auth;
mod body;
mod budget;
mod client;
mod connection;
mod door;
mod envelope;
mod events;
#[cfg(fuzzing)]
pub mod fuzz;
mod head;
mod line;
mod listener;
mod media;
mod message;
mod peer;
mod refusal;
mod replay;
mod routes;
mod running;
mod seats;
mod sessions;
mod site;
mod target;
mod throttle;
mod trail;
mod watch;
mod wire;

pub use auth::KeyError;
pub use listener::{ListenError, Listener};
pub use site::{Deadlines, Limits, Settings};

/// Serves until `stop` comes, then gives calls in flight their grace. Dropping the future ends everything at once.
///
/// # Errors
/// Without a usable key the door stays shut.
pub async fn serve(
    listener: Listener,
    settings: Settings,
    stop: impl Future<Output = ()>,
) -> Result<(), KeyError> {
    let site = Rc::new(site::Site::new(settings, &listener)?);
    let seats = Seats::new(site.limits.connections);
    let connections = Rc::new(LocalExecutor::new());
    let (shared, executor) = (Rc::clone(&site), Rc::downgrade(&connections));
    let open = move |stream: Stream, peer: Peer, seat: Seat| {
        let connection = Connection::new(stream, peer, seat, Rc::clone(&shared));
        if let Some(executor) = executor.upgrade() {
            executor.spawn(connection.serve()).detach();
        }
    };
    let tick = site.deadlines.tick();
    // A task of its own, which is woken for nothing else: an attempt to accept is a system call.
    let accepting = connections.spawn(accept(listener, Rc::clone(&seats), tick, open));
    let serving = async {
        stop.await;
        // From here on nobody finds the door: with the task goes the listener.
        accepting.cancel().await;
        site.stop();
        let ticking = async {
            while !seats.is_empty() {
                seats.dismiss_waiting();
                Timer::after(STOP_TICK).await;
                seats.tick(Instant::now());
            }
        };
        let grace = async {
            Timer::after(site.deadlines.grace).await;
        };
        future::or(ticking, grace).await;
    };
    connections.run(serving).await;
    Ok(())
}

/// Takes connections in, and looks at the clock for those that are in.
async fn accept(
    listener: Listener,
    seats: Rc<Seats>,
    tick: Duration,
    open: impl Fn(Stream, Peer, Seat),
) {
    let mut ticks = Timer::interval(tick);
    loop {
        let ticking = async {
            if seats.is_empty() {
                // Nobody is in, so nothing can be late, and the processor may sleep.
                future::pending::<()>().await;
            }
            (&mut ticks).await;
            None
        };
        let accepting = async { Some(listener.accept().await) };
        match future::or(ticking, accepting).await {
            None => seats.tick(Instant::now()),
            Some(Ok((stream, peer))) => {
                match seats.take() {
                    Some(seat) => open(stream, peer, seat),
                    None => {
                        logger::debug(format_args!(
                            "{peer}: turned away, everyone is being served"
                        ));
                        turn_away(&stream).await;
                    }
                }
                // While more connections wait, `accept` never does: those who are in must get their turn.
                future::yield_now().await;
            }
            Some(Err(error)) => {
                // Most likely too many open files: some will be closed.
                logger::warning(format_args!("cannot take a connection in: {error}"));
                Timer::after(ACCEPT_PAUSE).await;
                seats.tick(Instant::now());
            }
        }
    }
}

/// Everyone who is in is being served. One attempt to say so, which does not wait.
async fn turn_away(stream: &Stream) {
    let _ = future::poll_once(stream.write_all(FULL)).await;
    let _ = stream.finish();
}

const FULL: &[u8] = b"HTTP/1.1 503 Service Unavailable\r\nconnection: close\r\ncontent-length: 0\r\nretry-after: 1\r\n\r\n";
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);
const STOP_TICK: Duration = Duration::from_millis(20);
