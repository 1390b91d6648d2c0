//! The stdio transport: one JSON-RPC message a line on standard input and output.
//!
//! Promises: nothing but whole lines of JSON-RPC is written; requests run side by side, so that
//! `ping` and `notifications/cancelled` overtake a slow tool; memory is bounded whatever the client
//! sends or does not read; the descriptors' shared O_NONBLOCK flag is never touched.
//! Does not: know tools, versions or the broker; decide when the program stops.

mod descriptor;
mod failed_start;
mod in_flight;
mod lines;
mod outbox;

use std::cell::{Cell, RefCell};
use std::collections::HashMap;
use std::future::Future;
use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::pin::pin;
use std::rc::Rc;
use std::time::Duration;

use async_io::Timer;
use smol::future::{self, yield_now};
use smol::{LocalExecutor, Task};

use crate::mcp::jsonrpc::message::{INVALID_REQUEST, RpcError};
use crate::mcp::{Call, ClientSink, Ender, Engine, Received, Session};

pub use failed_start::{tell_client, tell_client_on};

use descriptor::{Input, Output};
use in_flight::InFlight;
use lines::{InputLine, Lines};
use outbox::Outbox;

/// What one client may ask of us at a time.
#[derive(Clone, Copy, Debug)]
pub struct StdioLimits {
    /// Longest line read, in bytes. A longer one is answered with an error and skipped in constant
    /// memory. Default 4 MiB.
    pub line_bytes: usize,
    /// Most requests in flight, that is, accepted and not yet answered *and written*. At the limit
    /// reading pauses for [`patience`](StdioLimits::patience). Default 1024.
    pub requests: usize,
    /// Most bytes of lines of requests in flight; one request is always admitted. Default 16 MiB.
    pub request_bytes: usize,
    /// How long reading pauses for room. After that, calls are refused until there is room, while
    /// everything that needs none is served. Default 250 ms.
    pub patience: Duration,
    /// Most bytes the client has not read yet; above it reading pauses and calls in flight are held
    /// back until it has, and a subscription that has something to tell ends. Default 4 MiB.
    pub output_bytes: usize,
    /// Above so many unread bytes progress is dropped instead of queued. Default 64 KiB.
    pub progress_bytes: usize,
    /// How long calls in flight may go on after the end of input. Default 1 s.
    pub drain: Duration,
    /// How long calls in flight may go on after a stop, whether input ended before or not. Default 1 s.
    pub grace: Duration,
}

/// Why [`serve`] returned.
#[derive(Debug)]
pub enum Ending {
    /// The client closed our standard input: it is done.
    EndOfInput,
    /// The `stop` future completed.
    Stopped,
    /// The client no longer reads our standard output.
    OutputBroken(io::Error),
    /// Standard input or output cannot be used.
    Failed(io::Error),
}

/// Serves the client on standard input and output until it leaves or `stop` completes; then calls
/// in flight are given time to finish. When it is over, `cut` ends what they wait for, and each of
/// them is answered with what came of it, or with an error.
pub async fn serve(
    engine: Engine,
    executor: Rc<LocalExecutor<'static>>,
    limits: StdioLimits,
    stop: impl Future<Output = ()>,
    cut: impl FnOnce(),
) -> Ending {
    let input = io::stdin().as_fd().try_clone_to_owned();
    let output = io::stdout().as_fd().try_clone_to_owned();
    match (input, output) {
        (Ok(input), Ok(output)) => {
            serve_on(input, output, engine, executor, limits, stop, cut).await
        }
        (Err(why), _) | (_, Err(why)) => Ending::Failed(why),
    }
}

/// Serves as [`serve`] does, on any two descriptors.
pub async fn serve_on(
    input: OwnedFd,
    output: OwnedFd,
    engine: Engine,
    executor: Rc<LocalExecutor<'static>>,
    limits: StdioLimits,
    stop: impl Future<Output = ()>,
    cut: impl FnOnce(),
) -> Ending {
    let (mut input, mut output) = match (Input::new(input), Output::new(output)) {
        (Ok(input), Ok(output)) => (input, output),
        (Err(why), _) | (_, Err(why)) => return Ending::Failed(why),
    };
    let server = StdioServer::new(engine, executor, limits);
    let _calls = DropCalls(server.calls.clone());
    let mut writing = pin!(server.outbox.write_to(&mut output));
    let mut stop = pin!(stop);
    let stopping = async {
        stop.as_mut().await;
        Ending::Stopped
    };
    let broken = async { Ending::OutputBroken(writing.as_mut().await) };
    let ending = future::or(stopping, future::or(broken, server.read(&mut input))).await;
    if matches!(ending, Ending::OutputBroken(_)) {
        return ending;
    }
    server.engine.end_listening();
    server.calls.client_left();
    let late = async {
        let stopped = async {
            // Input may end first, and the signal come while calls go on.
            if !matches!(ending, Ending::Stopped) {
                stop.await;
            }
            Timer::after(limits.grace).await;
        };
        let drained = async {
            if matches!(ending, Ending::Stopped) {
                future::pending::<()>().await;
            }
            Timer::after(limits.drain).await;
        };
        future::or(stopped, drained).await;
    };
    let last_words = async {
        late.await;
        cut();
        Timer::after(LAST_WORDS).await;
        server.calls.give_up();
        Timer::after(LAST_WORDS).await;
    };
    let mut failure = None;
    let broken = async {
        failure = Some(writing.await);
    };
    future::or(server.finished(), future::or(last_words, broken)).await;
    failure.map_or(ending, Ending::OutputBroken)
}

/// One client and all that is under way for it.
struct StdioServer {
    engine: Engine,
    executor: Rc<LocalExecutor<'static>>,
    limits: StdioLimits,
    session: Rc<Session>,
    sink: ClientSink,
    outbox: Rc<Outbox>,
    in_flight: Rc<InFlight>,
    calls: Rc<RunningCalls>,
    /// Whether the last wait for room ended without room: the reader does not wait again until there is some.
    impatient: Cell<bool>,
}

/// The tasks of calls in flight; a task takes itself out when it is done.
#[derive(Default)]
struct RunningCalls {
    tasks: RefCell<HashMap<u64, (Task<()>, Ender)>>,
    next: Cell<u64>,
}

/// Cancels what is still in flight, however [`serve_on`] ends.
struct DropCalls(Rc<RunningCalls>);

impl StdioServer {
    fn new(
        engine: Engine,
        executor: Rc<LocalExecutor<'static>>,
        limits: StdioLimits,
    ) -> StdioServer {
        let outbox = Rc::<Outbox>::default();
        let (sink, brink) = (outbox.clone(), outbox.clone());
        let sink = ClientSink::shared(move |text| sink.offer(text, limits.output_bytes))
            .with_progress(move |text| brink.offer(text, limits.progress_bytes));
        let session = Session::new();
        session.attach(sink.clone());
        StdioServer {
            engine,
            executor,
            limits,
            session,
            sink,
            outbox,
            in_flight: Rc::default(),
            calls: Rc::default(),
            impatient: Cell::new(false),
        }
    }

    async fn read(&self, input: &mut Input) -> Ending {
        let mut chunk = vec![0; CHUNK_BYTES];
        let mut lines = Lines::new(self.limits.line_bytes);
        loop {
            let mut rest = match input.read(&mut chunk).await {
                Ok(0) => break,
                Ok(count) => chunk.get(..count).unwrap_or_default(),
                Err(why) => return Ending::Failed(why),
            };
            while let Some(line) = lines.next(&mut rest) {
                self.take(line).await;
            }
            // A client that never stops writing must not keep its own calls from running.
            yield_now().await;
        }
        if let Some(line) = lines.last() {
            self.take(line).await;
        }
        Ending::EndOfInput
    }

    async fn take(&self, line: InputLine<'_>) {
        self.outbox.below(self.limits.output_bytes).await;
        let bytes = match line {
            InputLine::Whole(bytes) => bytes,
            InputLine::TooLong => {
                let cap = self.limits.line_bytes;
                let text = format!("the line is longer than {cap} bytes and was skipped");
                let error = RpcError::new(INVALID_REQUEST, text);
                return self
                    .outbox
                    .push(self.engine.refuse(&self.session, error), None);
            }
        };
        match self.engine.receive(&self.session, bytes, &self.sink) {
            Received::Nothing => {}
            Received::Answer(reply) => self.outbox.push(reply, None),
            Received::Call(call) => self.start(call, bytes.len()).await,
        }
    }

    async fn start(&self, call: Call, bytes: usize) {
        let requests = call.requests();
        let room = || self.in_flight.has_room(requests, bytes, &self.limits);
        if !room() {
            // Calls that were cancelled a line ago get the chance to leave.
            yield_now().await;
        }
        if !room() && !self.impatient.get() {
            let late = async {
                Timer::after(self.limits.patience).await;
            };
            future::or(self.in_flight.until(room), late).await;
        }
        self.impatient.set(!room());
        if self.impatient.get() {
            let busy = format!(
                "the server is busy: {} requests are in flight; try again after an answer",
                self.in_flight.requests()
            );
            return self.outbox.push(call.refuse(&busy), None);
        }
        let permit = self.in_flight.enter(requests, bytes);
        let (outbox, calls) = (self.outbox.clone(), self.calls.clone());
        let most = self.limits.output_bytes;
        let key = calls.next.replace(calls.next.get().wrapping_add(1));
        let ender = call.ender();
        let task = self.executor.spawn(async move {
            if let Some(reply) = outbox.at_its_pace(most, call.run()).await {
                outbox.push(reply, Some(permit));
            }
            let done = calls.tasks.borrow_mut().remove(&key);
            if let Some((task, _)) = done {
                task.detach();
            }
        });
        let call = (task, ender);
        self.calls.tasks.borrow_mut().insert(key, call);
    }

    /// Waits until every call is answered and every answer written.
    async fn finished(&self) {
        self.in_flight.idle().await;
        self.outbox.empty().await;
    }
}

impl RunningCalls {
    /// Tells the calls that their client has left.
    fn client_left(&self) {
        for (_, ender) in self.tasks.borrow().values() {
            ender.client_left();
        }
    }

    /// Makes the calls that are left end, each with an error as its answer.
    fn give_up(&self) {
        for (_, ender) in self.tasks.borrow().values() {
            ender.give_up_at_the_end();
        }
    }
}

impl Drop for DropCalls {
    fn drop(&mut self) {
        // Taken out first: a dropped task must not find the table borrowed.
        let tasks = self.0.tasks.take();
        drop(tasks);
    }
}

impl Default for StdioLimits {
    fn default() -> StdioLimits {
        StdioLimits {
            line_bytes: 4 << 20,
            requests: 1024,
            request_bytes: 16 << 20,
            patience: Duration::from_millis(250),
            output_bytes: 4 << 20,
            progress_bytes: 64 << 10,
            drain: Duration::from_secs(1),
            grace: Duration::from_secs(1),
        }
    }
}

/// For the answers to calls that are cut: they are ready by then, or hardly ever.
const LAST_WORDS: Duration = Duration::from_millis(250);
/// How much is read at once: some hundred calls.
const CHUNK_BYTES: usize = 16 << 10;
