//! A client that talks to the stdio front door over real pipes, in one thread with it.

use std::fs::File;
use std::future::Future;
use std::os::fd::OwnedFd;
use std::rc::Rc;
use std::time::Duration;

use async_io::{Async, Timer};
use mcpmqtt::mcp::Engine;
use mcpmqtt::stdio::{Ending, StdioLimits, serve_on};
use serde_json::Value;
use smol::io::{AsyncBufReadExt as _, AsyncWriteExt as _, BufReader};
use smol::{LocalExecutor, Task, future};

use crate::common::engine::engine_with;
use crate::common::messages::{initialize, request};
use crate::common::pipes::pipe;

/// The client's two ends and the server's task.
pub struct Wire {
    to: Option<Async<File>>,
    from: Option<BufReader<Async<File>>>,
    pub gate: async_channel::Sender<()>,
    stop: async_channel::Sender<()>,
    serving: Task<Ending>,
}

/// StdioLimits that no test comes near unless it means to.
pub fn limits() -> StdioLimits {
    StdioLimits {
        drain: Duration::from_secs(30),
        grace: Duration::from_secs(30),
        patience: Duration::from_secs(30),
        ..StdioLimits::default()
    }
}

/// Runs a test's dialogue; the server's tasks run beside it.
pub fn dialogue<F: Future<Output = ()>>(test: impl FnOnce(Rc<LocalExecutor<'static>>) -> F) {
    let executor = Rc::new(LocalExecutor::new());
    let late = async {
        Timer::after(Duration::from_secs(60)).await;
        panic!("the dialogue hangs");
    };
    future::block_on(executor.clone().run(future::or(test(executor), late)));
}

impl Wire {
    /// A server on a pair of pipes.
    pub fn open(executor: &Rc<LocalExecutor<'static>>, limits: StdioLimits) -> Wire {
        let (input, to) = pipe();
        let (from, output) = pipe();
        Wire::on(executor, limits, input, output, Some(to), Some(from))
    }

    /// A server of this engine on a pair of pipes.
    pub fn open_to(
        executor: &Rc<LocalExecutor<'static>>,
        engine: (Engine, async_channel::Sender<()>),
    ) -> Wire {
        let (input, to) = pipe();
        let (from, output) = pipe();
        let ends = (input, output, Some(to), Some(from));
        Wire::between(executor, limits(), ends, engine)
    }

    /// A server on these descriptors.
    pub fn on(
        executor: &Rc<LocalExecutor<'static>>,
        limits: StdioLimits,
        input: OwnedFd,
        output: OwnedFd,
        to: Option<OwnedFd>,
        from: Option<OwnedFd>,
    ) -> Wire {
        Wire::between(
            executor,
            limits,
            (input, output, to, from),
            engine_with(|_| {}),
        )
    }

    fn between(
        executor: &Rc<LocalExecutor<'static>>,
        limits: StdioLimits,
        (input, output, to, from): (OwnedFd, OwnedFd, Option<OwnedFd>, Option<OwnedFd>),
        (engine, gate): (Engine, async_channel::Sender<()>),
    ) -> Wire {
        let (stop, stopped) = async_channel::bounded::<()>(1);
        let stopping = async move {
            // A client that is dropped is no order to stop.
            if stopped.recv().await.is_err() {
                future::pending::<()>().await;
            }
        };
        let serving = serve_on(
            input,
            output,
            engine,
            executor.clone(),
            limits,
            stopping,
            || {},
        );
        Wire {
            to: to.map(|fd| Async::new(File::from(fd)).unwrap()),
            from: from.map(|fd| BufReader::new(Async::new(File::from(fd)).unwrap())),
            gate,
            stop,
            serving: executor.spawn(serving),
        }
    }

    /// Writes bytes as they are.
    pub async fn write(&mut self, bytes: &[u8]) {
        self.to.as_mut().unwrap().write_all(bytes).await.unwrap();
    }

    /// Writes one line.
    pub async fn say(&mut self, message: &Value) {
        self.write(format!("{message}\n").as_bytes()).await;
    }

    /// The next line of the server.
    pub async fn hear(&mut self) -> Value {
        let mut line = String::new();
        let count = self
            .from
            .as_mut()
            .unwrap()
            .read_line(&mut line)
            .await
            .unwrap();
        assert!(count > 0, "the server closed its output");
        assert!(line.ends_with('\n'));
        serde_json::from_str(&line).unwrap()
    }

    /// Says one message and hears one.
    pub async fn ask(&mut self, message: &Value) -> Value {
        self.say(message).await;
        self.hear().await
    }

    /// Shakes hands.
    pub async fn initialize(&mut self, version: &str) {
        let answer = self
            .ask(&request("init", "initialize", initialize(version)))
            .await;
        assert_eq!(answer["result"]["protocolVersion"], version);
    }

    /// Closes the server's input.
    pub fn hang_up(&mut self) {
        self.to = None;
    }

    /// Stops reading for good.
    pub fn turn_away(&mut self) {
        self.from = None;
    }

    /// Orders the server to stop.
    pub fn stop(&self) {
        self.stop.try_send(()).unwrap();
    }

    /// How it ended.
    pub async fn ending(self) -> Ending {
        self.serving.await
    }

    /// How it ended, with all it still had to say.
    pub async fn end(self) -> (Ending, Vec<Value>) {
        let Wire {
            from, serving, to, ..
        } = self;
        let ending = serving.await;
        drop(to);
        let mut rest = Vec::new();
        if let Some(mut from) = from {
            let mut line = String::new();
            while from.read_line(&mut line).await.unwrap() > 0 {
                rest.push(serde_json::from_str(&line).unwrap());
                line.clear();
            }
        }
        (ending, rest)
    }
}
