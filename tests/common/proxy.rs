//! A network that misbehaves: a TCP proxy on loopback that can be cut, frozen and made a black hole.

use std::io::{Read, Write};
use std::net::{Shutdown, TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard};
use std::thread::JoinHandle;

use super::waiting::PATIENCE;

/// Passes connections on to another port. Dropping it ends them.
pub struct Proxy {
    pub port: u16,
    wire: Arc<Wire>,
    accepting: Option<JoinHandle<()>>,
}

/// What becomes of the bytes of one direction.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Flow {
    /// They pass.
    Open,
    /// They wait, and back up into their sender.
    Frozen,
    /// They vanish, while the sender's system believes they arrived.
    Swallowed,
}

#[derive(Clone, Copy)]
enum Direction {
    ToBroker,
    ToClient,
}

struct Wire {
    upstream: u16,
    ended: AtomicBool,
    gate: Mutex<Gate>,
    changed: Condvar,
}

struct Gate {
    to_broker: Flow,
    to_client: Flow,
    /// Bytes that still pass, both ways together, before the next cut.
    budget: Option<usize>,
    /// Cuts so far; connections of before a cut move nothing any more.
    cuts: u64,
    streams: Vec<TcpStream>,
}

impl Proxy {
    pub fn start(upstream: u16) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let port = listener.local_addr().unwrap().port();
        let wire = Arc::new(Wire {
            upstream,
            ended: AtomicBool::new(false),
            gate: Mutex::new(Gate {
                to_broker: Flow::Open,
                to_client: Flow::Open,
                budget: None,
                cuts: 0,
                streams: Vec::new(),
            }),
            changed: Condvar::new(),
        });
        let shared = Arc::clone(&wire);
        let accepting = std::thread::spawn(move || {
            for client in listener.incoming() {
                if shared.ended.load(Ordering::Relaxed) {
                    break;
                }
                shared.join(client.unwrap());
            }
        });
        Self {
            port,
            wire,
            accepting: Some(accepting),
        }
    }

    /// Ends every connection now.
    pub fn cut(&self) {
        self.wire.gate().cut();
        self.wire.changed.notify_all();
    }

    /// Ends every connection when `bytes` more have passed, in the middle of a packet or not.
    pub fn cut_after(&self, bytes: usize) {
        self.wire.gate().budget = Some(bytes);
    }

    /// Waits for the cut that `cut_after` promised.
    pub fn await_cut(&self) {
        let waited = self
            .wire
            .changed
            .wait_timeout_while(self.wire.gate(), PATIENCE, |gate| gate.budget.is_some())
            .unwrap();
        assert!(!waited.1.timed_out(), "no traffic for the cut");
    }

    /// Decides over both directions. When this returns, it is so: no byte is on its way through.
    pub fn set(&self, to_broker: Flow, to_client: Flow) {
        let mut gate = self.wire.gate();
        gate.to_broker = to_broker;
        gate.to_client = to_client;
        drop(gate);
        self.wire.changed.notify_all();
    }
}

impl Drop for Proxy {
    fn drop(&mut self) {
        self.wire.ended.store(true, Ordering::Relaxed);
        self.cut();
        // Wakes the accepting thread.
        let _ = TcpStream::connect(("127.0.0.1", self.port));
        if let Some(accepting) = self.accepting.take() {
            let _ = accepting.join();
        }
    }
}

impl Wire {
    fn gate(&self) -> MutexGuard<'_, Gate> {
        self.gate.lock().unwrap()
    }

    fn join(self: &Arc<Self>, client: TcpStream) {
        let Ok(broker) = TcpStream::connect(("127.0.0.1", self.upstream)) else {
            return;
        };
        client.set_nodelay(true).unwrap();
        broker.set_nodelay(true).unwrap();
        let mut gate = self.gate();
        gate.streams.push(client.try_clone().unwrap());
        gate.streams.push(broker.try_clone().unwrap());
        let since = gate.cuts;
        drop(gate);
        for (from, to, direction) in [
            (&client, &broker, Direction::ToBroker),
            (&broker, &client, Direction::ToClient),
        ] {
            let (from, to) = (from.try_clone().unwrap(), to.try_clone().unwrap());
            let wire = Arc::clone(self);
            std::thread::spawn(move || wire.carry(from, to, direction, since));
        }
    }

    fn carry(&self, mut from: TcpStream, mut to: TcpStream, direction: Direction, since: u64) {
        let mut buffer = [0; 4096];
        while let Ok(n @ 1..) = from.read(&mut buffer) {
            if !self.pass(&buffer[..n], &mut to, direction, since) {
                break;
            }
        }
        let _ = to.shutdown(Shutdown::Both);
        let _ = from.shutdown(Shutdown::Both);
    }

    /// Lets bytes through as the gate has it; false when the connection is over. Written under the
    /// lock, so that whoever closes the gate knows what is through.
    fn pass(&self, bytes: &[u8], to: &mut TcpStream, direction: Direction, since: u64) -> bool {
        let mut gate = self
            .changed
            .wait_while(self.gate(), |gate| {
                gate.cuts == since && gate.flow(direction) == Flow::Frozen
            })
            .unwrap();
        if gate.cuts != since {
            return false;
        }
        if gate.flow(direction) == Flow::Swallowed {
            return true;
        }
        match gate.budget {
            Some(left) if left <= bytes.len() => {
                let _ = to.write_all(&bytes[..left]);
                gate.cut();
                drop(gate);
                self.changed.notify_all();
                return false;
            }
            Some(left) => gate.budget = Some(left - bytes.len()),
            None => {}
        }
        to.write_all(bytes).is_ok()
    }
}

impl Gate {
    fn flow(&self, direction: Direction) -> Flow {
        match direction {
            Direction::ToBroker => self.to_broker,
            Direction::ToClient => self.to_client,
        }
    }

    fn cut(&mut self) {
        self.cuts += 1;
        self.budget = None;
        for stream in self.streams.drain(..) {
            let _ = stream.shutdown(Shutdown::Both);
        }
    }
}
