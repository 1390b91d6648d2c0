//! The stdio front door: JSON-RPC messages as lines on standard input and output.
//!
//! Promises: one message per line and nothing else on the output; calls run side by side, and a
//! ping or a cancellation overtakes a slow one; every queue has a bound and a stated behaviour at
//! it; no thread is started and no flag set on descriptors that are shared with the parent.
//! Does not: know methods or tools (see [`mcp`](crate::mcp)), signals or exit codes.

use std::cell::{Cell, RefCell};
use std::io;
use std::os::fd::{AsFd, BorrowedFd};
use std::rc::Rc;
use std::time::Duration;

use async_io::Timer;
use smol::future::{self, FutureExt as _, yield_now};
use smol::{LocalExecutor, Task};

use self::descriptor::{Sink, Source};
use self::lines::{Line, Lines};
use self::load::{Load, Slot};
use self::outbox::Outbox;
use crate::mcp::{Call, Engine, Outlet, Received, Session};

mod descriptor;
mod lines;
mod load;
mod outbox;

/// What one peer may ask for.
#[derive(Clone, Copy, Debug)]
pub struct Limits {
    /// Longest line in bytes, its end not counted. A longer one is answered with an error and
    /// skipped.
    pub line_bytes: usize,
    /// Most calls in flight. A call is in flight until its answer is written.
    pub requests: usize,
    /// Most bytes of lines whose calls are in flight; a single call may exceed it.
    pub request_bytes: usize,
}

/// Why serving ended.
#[derive(Debug)]
pub enum Ending {
    /// The peer closed our input: the regular end.
    InputClosed,
    /// The peer no longer reads our output.
    OutputClosed,
    /// The caller's `stop` came.
    Stopped,
    /// A descriptor failed in another way.
    Failed(io::Error),
}

impl Default for Limits {
    fn default() -> Limits {
        Limits {
            line_bytes: 4 << 20,
            requests: 1024,
            request_bytes: 16 << 20,
        }
    }
}

/// Serves the peer at standard input and output until it leaves or `stop` comes. Calls then in
/// flight have one second to finish.
///
/// Calls run on `executor`, which must be run by the caller, best as `executor.run(serve(…))`.
pub async fn serve(
    engine: Engine,
    executor: &LocalExecutor<'static>,
    limits: Limits,
    stop: impl Future<Output = ()>,
) -> Ending {
    let (stdin, stdout) = (io::stdin(), io::stdout());
    let ends = (stdin.as_fd(), stdout.as_fd());
    serve_between(ends, engine, executor, limits, stop).await
}

/// The same between any two descriptors, (input, output).
pub async fn serve_between(
    ends: (BorrowedFd<'_>, BorrowedFd<'_>),
    engine: Engine,
    executor: &LocalExecutor<'static>,
    limits: Limits,
    stop: impl Future<Output = ()>,
) -> Ending {
    let opened = Source::open(ends.0).and_then(|source| Ok((source, Sink::open(ends.1)?)));
    let (source, sink) = match opened {
        Ok(opened) => opened,
        Err(error) => return Ending::of(error),
    };
    let outbox = Outbox::new();
    let mut writer = executor.spawn(outbox.clone().run(sink));
    let desk = Desk::new(engine, executor, limits, outbox);
    let stopped = async {
        stop.await;
        Ending::Stopped
    };
    let broken = async { Ending::of((&mut writer).await) };
    let ending = stopped.or(broken.or(desk.read(source))).await;
    if !matches!(ending, Ending::OutputClosed) && !writer.is_finished() {
        let broken = async {
            writer.await;
        };
        let expired = async {
            Timer::after(GRACE).await;
        };
        broken.or(desk.drained()).or(expired).await;
    }
    ending
}

impl Ending {
    fn of(error: io::Error) -> Ending {
        match error.kind() {
            io::ErrorKind::BrokenPipe | io::ErrorKind::ConnectionReset => Ending::OutputClosed,
            _ => Ending::Failed(error),
        }
    }
}

/// Takes lines, hands them to the engine, and sees to what it yields.
struct Desk<'a> {
    engine: Engine,
    session: Rc<Session>,
    executor: &'a LocalExecutor<'static>,
    limits: Limits,
    load: Rc<Load>,
    outbox: Rc<Outbox>,
    outlet: Outlet,
    /// The calls that run; dropping them is what ends them. Finished ones are swept out.
    tasks: RefCell<Vec<Task<()>>>,
    /// The last wait for room was in vain: refuse at once until there is some.
    full: Cell<bool>,
}

impl<'a> Desk<'a> {
    fn new(
        engine: Engine,
        executor: &'a LocalExecutor<'static>,
        limits: Limits,
        outbox: Rc<Outbox>,
    ) -> Desk<'a> {
        let offered = outbox.clone();
        Desk {
            engine,
            session: Session::new(),
            executor,
            limits,
            load: Load::new(limits.requests, limits.request_bytes),
            outbox,
            outlet: Outlet::new(move |text| offered.offer(&text)),
            tasks: RefCell::default(),
            full: Cell::new(false),
        }
    }

    /// Reads until the input ends.
    async fn read(&self, mut source: Source) -> Ending {
        let mut lines = Lines::new(self.limits.line_bytes);
        loop {
            match source.read(lines.room()).await {
                Ok(0) => break,
                Ok(_) => {}
                // A socket's peer that left without reading everything.
                Err(error) if error.kind() == io::ErrorKind::ConnectionReset => break,
                Err(error) => return Ending::Failed(error),
            }
            while let Some(line) = lines.next() {
                self.take(line).await;
            }
            // Let the calls run and their answers go out before the next look at the input.
            yield_now().await;
        }
        if let Some(line) = lines.last() {
            self.take(line).await;
        }
        Ending::InputClosed
    }

    async fn take(&self, line: Line<'_>) {
        // A peer that does not read its answers gets to ask no more questions.
        self.outbox.below(MAX_UNREAD).await;
        let received = match line {
            Line::Text(text) => {
                let received = self.engine.receive(&self.session, text, &self.outlet);
                (received, text.len())
            }
            Line::TooLong => {
                let max = self.limits.line_bytes;
                let reason = format!("the line is longer than {max} bytes");
                let answer = self.engine.refuse(&self.session, &reason);
                (Received::Answer(answer), 0)
            }
        };
        match received {
            (Received::Nothing, _) => {}
            (Received::Answer(reply), _) => self.outbox.push(reply, None),
            (Received::Call(call), bytes) => match self.slot(call.requests(), bytes).await {
                Some(slot) => self.start(call, slot),
                None => self.outbox.push(call.refuse(&self.busy()), None),
            },
        }
    }

    /// A place among the calls in flight. Waits a little for one, so that a peer that pipelines
    /// faster than its calls finish is slowed down instead of refused; but not for long, so that
    /// pings and cancellations behind it are seen.
    async fn slot(&self, requests: usize, bytes: usize) -> Option<Slot> {
        if !self.load.has_room(requests, bytes) {
            if self.full.get() {
                return None;
            }
            let room = async {
                self.load.room(requests, bytes).await;
                true
            };
            let expired = async {
                Timer::after(PATIENCE).await;
                false
            };
            if !future::or(room, expired).await {
                self.full.set(true);
                return None;
            }
        }
        self.full.set(false);
        Some(self.load.take(requests, bytes))
    }

    fn busy(&self) -> String {
        let Limits {
            requests,
            request_bytes,
            ..
        } = self.limits;
        format!(
            "too many calls in flight (at most {requests}, and {request_bytes} bytes of them): \
             wait for answers, or cancel some"
        )
    }

    fn start(&self, call: Call, slot: Slot) {
        let outbox = self.outbox.clone();
        let task = self.executor.spawn(async move {
            if let Some(reply) = call.run().await {
                outbox.push(reply, Some(slot));
            }
        });
        let mut tasks = self.tasks.borrow_mut();
        if tasks.len() > 2 * self.load.requests() + 16 {
            tasks.retain(|task| !task.is_finished());
        }
        tasks.push(task);
    }

    /// Waits until every call has ended and every answer is written.
    async fn drained(&self) {
        self.load.empty().await;
        self.outbox.below(0).await;
    }
}

/// How long calls may go on after the input has ended.
const GRACE: Duration = Duration::from_secs(1);
/// How long the reader waits for one of the calls in flight to end before it refuses the next.
const PATIENCE: Duration = Duration::from_millis(250);
/// With more bytes of output unread than this, nothing is read.
const MAX_UNREAD: usize = 4 << 20;
