//! The HTTP front door: MCP's streamable HTTP on a socket file or a TCP port, in front of a network that may be hostile.
//!
//! Promises: whatever comes is answered or the connection ends; every byte, wait and connection has a bound; nothing
//! of a request but its head is looked at before its sender has shown the key.
//! Does not: know MQTT, or know methods and tools (see [`mcp`](crate::mcp)).
//!
//! From the outside in: `listener` (with `activation`) and `seats` bring connections; `connection` runs one over
//! `wire` (with `tls`), `head` (with `target`) and `upload` (with `body`); `routes` (with `cors`), `auth` (with `throttle`, `line`, `peer`
//! and `wrong_keys` with `repeats`) and `media` judge it; `door` (with `envelope` and `sessions`) hands it to the engine;
//! `client`, `running` (with `telling` and `left`) and `events`
//! (with `news`) send what comes of it, `trail` and `replay` send it again, `watch` logs it. `message` has async-h1 encode the answers.

use std::future::Future;
use std::rc::Rc;
use std::time::{Duration, Instant};

use async_io::Timer;
use smol::LocalExecutor;
use smol::future;

use self::connection::Connection;
use self::peer::Peer;
use self::routes::Side;
use self::seats::{Seat, Seats};
use self::site::Site;
use self::wire::Stream;
use crate::logger;

mod activation;
mod answer;
mod auth;
mod body;
mod budget;
mod client;
mod connection;
mod cors;
mod door;
mod envelope;
mod events;
mod front;
#[cfg(fuzzing)]
pub mod fuzz;
mod head;
mod left;
mod line;
mod listener;
mod media;
mod message;
mod peer;
mod refusal;
mod repeats;
mod replay;
mod routes;
mod running;
mod seats;
mod sessions;
mod site;
mod target;
mod telling;
mod throttle;
#[cfg_attr(not(feature = "tls"), path = "http/no_tls.rs")]
mod tls;
mod trail;
mod unread;
mod upload;
mod watch;
mod wire;
mod wrong_keys;

pub use auth::KeyError;
pub use listener::{ListenError, Listener};
pub use site::{Admission, Deadlines, Limits, Settings};
pub use tls::Tls;

/// A server that is about to serve.
#[derive(Debug)]
pub struct Server {
    site: Rc<Site>,
    seats: Rc<Seats>,
    listener: Listener,
    /// The operator's own.
    operators: Option<Listener>,
}

/// Changes who may come in while the server runs. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Steward {
    site: Rc<Site>,
    seats: Rc<Seats>,
}

impl Steward {
    /// From now on these come in and no others. Another key ends every session, stream and call of the one before;
    /// connections stay.
    ///
    /// # Errors
    /// Without a usable key; then all stays as it was.
    pub fn admit_by(&self, admission: Admission) -> Result<(), KeyError> {
        if self.site.admit_by(admission)? {
            self.seats.dismiss_served();
        }
        Ok(())
    }
}

impl Server {
    /// A server on this listener.
    ///
    /// # Errors
    /// Without a usable key the door stays shut.
    pub fn new(listener: Listener, settings: Settings) -> Result<Server, KeyError> {
        let site = Rc::new(Site::new(settings, &listener)?);
        let seats = Seats::new(site.limits.connections);
        Ok(Server {
            site,
            seats,
            listener,
            operators: None,
        })
    }

    /// Serves `/metrics` and the like on this listener, too, without a key: it must be one of this machine only.
    #[must_use]
    pub fn with_operators(self, listener: Listener) -> Server {
        let operators = Some(listener);
        Server { operators, ..self }
    }

    /// Who changes its rules.
    #[must_use]
    pub fn steward(&self) -> Steward {
        Steward {
            site: Rc::clone(&self.site),
            seats: Rc::clone(&self.seats),
        }
    }

    /// Serves on `executor`, which has to run meanwhile, until `stop` comes, then gives calls in flight their grace.
    /// Dropping the future ends everything in the executor's next turn.
    // The program has one executor: to wake a task of another one costs a look at all sockets, several system calls.
    pub async fn serve(
        self,
        executor: &Rc<LocalExecutor<'static>>,
        stop: impl Future<Output = ()>,
    ) {
        let Server {
            site,
            seats,
            listener,
            operators,
        } = self;
        let _ending = Ending(Rc::clone(&seats), Some(Rc::clone(&site)));
        let open = opener(&site, executor);
        let tick = site.deadlines.tick();
        // Tasks of their own, which are woken for nothing else: an attempt to accept is a system call.
        let agents = accept(listener, Rc::clone(&seats), tick, {
            let open = open.clone();
            move |stream, peer, seat| open(Side::Agents, stream, peer, seat)
        });
        let agents = executor.spawn(agents);
        let operators = operators.map(|listener| {
            // Agents in any number must not keep the operator out.
            let seats = Seats::new(OPERATORS);
            let ending = Ending(Rc::clone(&seats), None);
            let open = move |stream, peer, seat| open(Side::Operator, stream, peer, seat);
            (executor.spawn(accept(listener, seats, tick, open)), ending)
        });
        let wrong_keys = Rc::clone(&site.wrong_keys);
        let _telling = executor.spawn(async move { wrong_keys.tell().await });
        stop.await;
        // From here on nobody finds the door: with the tasks go the listeners.
        agents.cancel().await;
        let mut _ending_operators = None;
        if let Some((operators, ending)) = operators {
            operators.cancel().await;
            _ending_operators = Some(ending);
        }
        site.stop();
        let ticking = async {
            while !(seats.is_over() && site.left.is_empty()) {
                seats.dismiss_waiting();
                Timer::after(STOP_TICK).await;
                seats.tick(Instant::now());
            }
        };
        let grace = async {
            Timer::after(site.deadlines.grace).await;
        };
        future::or(ticking, grace).await;
    }
}

/// Ends the connections of these seats when it is dropped, and the calls of clients that left.
struct Ending(Rc<Seats>, Option<Rc<Site>>);

impl Drop for Ending {
    fn drop(&mut self) {
        self.0.clear();
        if let Some(site) = &self.1 {
            site.left.clear();
        }
    }
}

/// Lets a connection in, through TLS where that is wanted.
fn opener(
    site: &Rc<Site>,
    executor: &Rc<LocalExecutor<'static>>,
) -> impl Fn(Side, Stream, Peer, Seat) + Clone + 'static {
    let (site, executor) = (Rc::clone(site), Rc::downgrade(executor));
    move |side, stream, peer, seat| {
        let Some(executor) = executor.upgrade() else {
            return;
        };
        let site = Rc::clone(&site);
        let keeper = seat.keeper();
        let serving = match site.tls().filter(|_| side == Side::Agents) {
            None => executor.spawn(Connection::new(stream, peer, side, seat, site).serve()),
            Some(tls) => executor.spawn(async move {
                // Boxed, so that nothing is left of the handshake when it is done.
                let secure = Box::pin(tls.secure(stream, peer, &seat, &site)).await;
                if let Some(stream) = secure {
                    Connection::new(stream, peer, side, seat, site)
                        .serve()
                        .await;
                }
            }),
        };
        keeper.keep(serving);
    }
}

/// Takes connections in, and looks at the clock for those that are in.
async fn accept(
    listener: Listener,
    seats: Rc<Seats>,
    tick: Duration,
    open: impl Fn(Stream, Peer, Seat),
) {
    let mut ticks = Timer::interval(tick);
    let mut said = None::<Instant>;
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
                // Meanwhile the others wait in the system's queue, where they lose nothing.
                if let Some(rest) = seats.rest(Instant::now()) {
                    Timer::after(rest).await;
                }
                match seats.take(peer) {
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
                if said.is_none_or(|said| said.elapsed() > ACCEPT_SILENCE) {
                    logger::warning(format_args!(
                        "cannot take connections in: {}; until it is over, each that comes costs one that waits its place",
                        crate::io_error::describe(&error)
                    ));
                    said = Some(Instant::now());
                }
                // Most likely too many open files: whoever waits longest is let go, so that others get in, the broker's
                // connection among them.
                seats.let_one_go();
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
/// Connections to the operator's own listener.
const OPERATORS: usize = 16;
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);
const ACCEPT_SILENCE: Duration = Duration::from_secs(60);
const STOP_TICK: Duration = Duration::from_millis(20);
