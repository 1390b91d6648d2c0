//! MCP over HTTP: the streamable HTTP transport on a socket file or a TCP port, in front of a network that may be hostile.
//!
//! Promises: whatever comes is answered or the connection ends; every byte, wait and connection has a bound; nothing
//! of a request but its head is looked at before its sender has shown the key.
//! Does not: know MQTT, or know methods and tools (see [`mcp`](crate::mcp)).
//!
//! Five modules, each of which may use those above it in this list:
//!
//! * `net`: listeners and connections, plain and in TLS.
//! * `h1`: HTTP/1.1 from bytes and to bytes: heads, bodies, answers.
//! * `guard`: who and what may come in: routes, hosts and origins, the key, budgets.
//! * `streamable`: MCP's streamable HTTP: from an admitted request to the engine and back, sessions, event streams.
//! * `conn`: one connection's life, from its first byte to its last, and what all connections share.
//!
//! A future that waits for a client is boxed where it is made: each `async fn` that it is handed through would otherwise
//! have room for it, and an idle connection would hold the sum of all of them.

use std::future::Future;
use std::rc::Rc;
use std::time::{Duration, Instant};

use async_io::Timer;
use smol::LocalExecutor;
use smol::future;

use self::conn::connection::Connection;
use self::conn::server_state::ServerState;
use self::conn::slots::{ConnectionSlots, Slot};
use self::guard::routes::Side;
use self::net::io::Stream;
use self::net::remote_addr::RemoteAddr;
use self::net::tls::Handshake;
use crate::logger;

#[cfg(fuzzing)]
pub mod fuzz;

mod conn;
mod guard;
mod h1;
mod net;
mod streamable;

pub use self::conn::server_state::{Admission, Deadlines, Limits, ServerSettings};
pub use self::guard::auth::KeyError;
pub use self::guard::principals::{NamedCallers, PeerCaller};
pub use self::net::listener::{ListenError, Listener};
pub use self::net::tls::Tls;

/// A server with its listener open, before it serves.
#[derive(Debug)]
pub struct Server {
    server_state: Rc<ServerState>,
    slots: Rc<ConnectionSlots>,
    listener: Listener,
    /// The operator's own listener.
    operators: Option<Listener>,
}

/// Changes who may come in while the server runs. Cheap to clone.
#[derive(Clone, Debug)]
pub struct ReloadHandle {
    server_state: Rc<ServerState>,
    slots: Rc<ConnectionSlots>,
}

impl ReloadHandle {
    /// Replaces the admission rules. The sessions, streams and calls of who is not let in any more end; connections
    /// stay.
    ///
    /// # Errors
    /// Without a usable key; then all stays as it was.
    pub fn admit_by(&self, admission: Admission) -> Result<(), KeyError> {
        if self.server_state.admit_by(admission)? {
            dismiss(&self.server_state, &self.slots);
        }
        Ok(())
    }
}

impl Server {
    /// Makes a server on this listener.
    ///
    /// # Errors
    /// Without a usable key there is no server.
    pub fn new(listener: Listener, settings: ServerSettings) -> Result<Server, KeyError> {
        let server_state = Rc::new(ServerState::new(settings, listener.reach())?);
        let slots = ConnectionSlots::new(server_state.limits.connections);
        Ok(Server {
            server_state,
            slots,
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

    /// The handle that replaces the admission rules while the server runs.
    #[must_use]
    pub fn reload_handle(&self) -> ReloadHandle {
        ReloadHandle {
            server_state: Rc::clone(&self.server_state),
            slots: Rc::clone(&self.slots),
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
            server_state,
            slots,
            listener,
            operators,
        } = self;
        let _ending = ShutdownGuard(Rc::clone(&slots), Some(Rc::clone(&server_state)));
        let open = opener(&server_state, executor);
        let tick = server_state.deadlines.tick();
        // Tasks of their own, which are woken for nothing else: an attempt to accept is a system call.
        let agents = accept(listener, Rc::clone(&slots), tick, {
            let open = open.clone();
            move |stream, peer, slot| open(Side::Agents, stream, peer, slot)
        });
        let agents = executor.spawn(agents);
        let operators = operators.map(|listener| {
            // Agents in any number must not keep the operator out.
            let slots = ConnectionSlots::new(OPERATORS);
            let ending = ShutdownGuard(Rc::clone(&slots), None);
            let open = move |stream, peer, slot| open(Side::Operator, stream, peer, slot);
            (executor.spawn(accept(listener, slots, tick, open)), ending)
        });
        let wrong_keys = Rc::clone(&server_state.wrong_keys);
        let _telling = executor.spawn(async move { wrong_keys.tell().await });
        let _expiring = executor.spawn(expire(Rc::clone(&server_state), Rc::clone(&slots)));
        stop.await;
        // From here on no client can connect: the listeners end with the tasks.
        agents.cancel().await;
        let mut _ending_operators = None;
        if let Some((operators, ending)) = operators {
            operators.cancel().await;
            _ending_operators = Some(ending);
        }
        server_state.stop();
        let ticking = async {
            while !(slots.is_over() && server_state.left.is_empty()) {
                slots.dismiss_waiting();
                Timer::after(STOP_TICK).await;
                slots.tick(Instant::now());
            }
        };
        let grace = async {
            Timer::after(server_state.deadlines.grace).await;
        };
        future::or(ticking, grace).await;
    }
}

/// Ends the exchanges of those who are not let in any more.
fn dismiss(server_state: &ServerState, slots: &ConnectionSlots) {
    let gate = server_state.gate();
    slots.dismiss(|principal| !gate.admits(principal));
}

/// Ends what belongs to a key when the key expires. Without a key that does, the task is never woken.
async fn expire(server_state: Rc<ServerState>, slots: Rc<ConnectionSlots>) {
    loop {
        let gate = server_state.gate();
        let is_another = || !Rc::ptr_eq(&gate, &server_state.gate());
        let replaced = server_state.gate_replaced.until(is_another);
        let Some(wait) = gate.next_expiry() else {
            replaced.await;
            continue;
        };
        let due = async {
            // The clock of the day may be set meanwhile.
            Timer::after(wait.min(LONGEST_WAIT)).await;
        };
        future::or(replaced, due).await;
        server_state.end_sessions();
        dismiss(&server_state, &slots);
    }
}

/// Ends the connections of these slots when it is dropped, and the calls of clients that left.
struct ShutdownGuard(Rc<ConnectionSlots>, Option<Rc<ServerState>>);

impl Drop for ShutdownGuard {
    fn drop(&mut self) {
        self.0.clear();
        if let Some(server_state) = &self.1 {
            server_state.left.clear();
        }
    }
}

/// Lets a connection in, through TLS where that is wanted.
fn opener(
    server_state: &Rc<ServerState>,
    executor: &Rc<LocalExecutor<'static>>,
) -> impl Fn(Side, Stream, RemoteAddr, Slot) + Clone + 'static {
    let (server_state, executor) = (Rc::clone(server_state), Rc::downgrade(executor));
    move |side, stream, peer, slot| {
        let Some(executor) = executor.upgrade() else {
            return;
        };
        let server_state = Rc::clone(&server_state);
        let keeper = slot.keeper();
        let serving = match server_state.tls().filter(|_| side == Side::Agents) {
            None => executor.spawn(Connection::new(stream, peer, side, slot, server_state).serve()),
            Some(tls) => executor.spawn(async move {
                // Boxed, so that nothing is left of the handshake when it is done.
                let secure = Box::pin(secure(&tls, stream, peer, &slot, &server_state)).await;
                if let Some(stream) = secure {
                    Connection::new(stream, peer, side, slot, server_state)
                        .serve()
                        .await;
                }
            }),
        };
        keeper.keep(serving);
    }
}

/// Shakes hands on a connection, if it is one over TCP; `None` when nothing comes of it.
async fn secure(
    tls: &Tls,
    stream: Stream,
    peer: RemoteAddr,
    slot: &Slot,
    server_state: &ServerState,
) -> Option<Stream> {
    let Stream::Tcp(socket) = stream else {
        return Some(stream);
    };
    let deadlines = &server_state.deadlines;
    match slot.within(deadlines.head, tls.handshake(socket)).await {
        Ok(Ok(Handshake::Secure(session))) => Some(Stream::Tls(session)),
        Ok(Ok(Handshake::PlainHttp(socket))) => {
            let stream = Stream::Tcp(socket);
            logger::debug(format_args!("{peer}: plain HTTP where HTTPS is spoken"));
            let limit = deadlines.linger;
            let _ = slot.within(limit, stream.write_all(PLAIN_HTTP)).await;
            if stream.finish().is_ok() {
                let _ = slot.within(limit, stream.drain(64 * 1024)).await;
            }
            None
        }
        Ok(Err(error)) => {
            logger::debug(format_args!("{peer}: the TLS handshake failed: {error}"));
            None
        }
        Err(_) => {
            logger::debug(format_args!(
                "{peer}: the TLS handshake did not end in time"
            ));
            None
        }
    }
}

/// Takes connections in, and looks at the clock for those that are in.
async fn accept(
    listener: Listener,
    slots: Rc<ConnectionSlots>,
    tick: Duration,
    open: impl Fn(Stream, RemoteAddr, Slot),
) {
    let mut ticks = Timer::interval(tick);
    let mut said = None::<Instant>;
    loop {
        let ticking = async {
            if slots.is_empty() {
                // Without a connection nothing can be late, and the processor may sleep.
                future::pending::<()>().await;
            }
            (&mut ticks).await;
            None
        };
        let accepting = async { Some(listener.accept().await) };
        match future::or(ticking, accepting).await {
            None => slots.tick(Instant::now()),
            Some(Ok((stream, peer))) => {
                // Meanwhile the others wait in the system's queue, where they lose nothing.
                if let Some(rest) = slots.rest(Instant::now()) {
                    Timer::after(rest).await;
                    // Where the processor was away for longer than that, a client's first request may have come
                    // meanwhile: it is read before its connection is judged.
                    future::yield_now().await;
                }
                match slots.take(peer) {
                    Some(slot) => open(stream, peer, slot),
                    None => {
                        logger::debug(format_args!(
                            "{peer}: refused, every connection waits for an answer"
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
                        "cannot accept connections: {}; until this ends, each new connection \
                         replaces a waiting one",
                        crate::io_error::describe(&error)
                    ));
                    said = Some(Instant::now());
                }
                // Most likely too many open files: the connection that waits longest is evicted, so that new
                // connections succeed, the connection to the broker among them.
                slots.let_one_go();
                Timer::after(ACCEPT_PAUSE).await;
                slots.tick(Instant::now());
            }
        }
    }
}

/// Refuses a connection because every slot is owed an answer. One attempt to write, which does not wait.
async fn turn_away(stream: &Stream) {
    let _ = future::poll_once(stream.write_all(FULL)).await;
    let _ = stream.finish();
}

const PLAIN_HTTP: &[u8] = b"HTTP/1.1 400 Bad Request\r\nconnection: close\r\ncontent-type: text/plain\r\ncontent-length: 36\r\n\r\nthis port speaks HTTPS; use https://";
const FULL: &[u8] = b"HTTP/1.1 503 Service Unavailable\r\nconnection: close\r\ncontent-length: 0\r\nretry-after: 1\r\n\r\n";
/// The most connections to the operator's own listener.
const OPERATORS: usize = 16;
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);
const ACCEPT_SILENCE: Duration = Duration::from_secs(60);
const LONGEST_WAIT: Duration = Duration::from_secs(600);
const STOP_TICK: Duration = Duration::from_millis(20);
