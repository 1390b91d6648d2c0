//! An MCP server as a child process, spoken to over blocking pipes: the least a client can add.

use std::io::{BufRead, BufReader, Write};
use std::process::{ChildStdin, ChildStdout, Command, Stdio};
use std::time::{Duration, Instant};

use mcpmqtt_bench::histogram::Histogram;
use mcpmqtt_bench::process::Process;
use serde_json::{Value, json};

pub struct Server {
    pub process: Process,
    stdin: ChildStdin,
    stdout: BufReader<ChildStdout>,
    last_id: u64,
    line: String,
}

impl Server {
    pub fn spawn(command: &[String]) -> Self {
        let (program, arguments) = command.split_first().expect("a command");
        let mut process = Process::start(
            Command::new(program)
                .args(arguments)
                .stdin(Stdio::piped())
                .stdout(Stdio::piped())
                .stderr(Stdio::null()),
        );
        let stdin = process.0.stdin.take().expect("a pipe");
        let stdout = process.0.stdout.take().expect("a pipe");
        Self {
            process,
            stdin,
            stdout: BufReader::with_capacity(1 << 16, stdout),
            last_id: 0,
            line: String::new(),
        }
    }

    /// Spawns the command and greets it; the time is until its first answer.
    pub fn start(command: &[String]) -> (Self, Duration) {
        let start = Instant::now();
        let mut server = Self::spawn(command);
        server.request(
            "initialize",
            &json!({"protocolVersion": "2025-06-18", "capabilities": {}, "clientInfo": {"name": "bench", "version": "1"}}),
        );
        let took = start.elapsed();
        server.write(b"{\"jsonrpc\":\"2.0\",\"method\":\"notifications/initialized\"}\n");
        (server, took)
    }

    pub fn request(&mut self, method: &str, params: &Value) -> Value {
        let line = self.next_request(method, params);
        self.write(line.as_bytes());
        self.answer()
    }

    /// A call that must succeed.
    pub fn call(&mut self, tool: &str, arguments: Value) -> Value {
        let answer = self.request("tools/call", &json!({"name": tool, "arguments": arguments}));
        succeeded(&answer);
        answer
    }

    /// One call after the other, timed from the write to the answer.
    pub fn call_repeatedly(&mut self, count: usize, tool: &str, arguments: &Value) -> Histogram {
        let params = json!({"name": tool, "arguments": arguments});
        let mut latencies = Histogram::default();
        for _ in 0..count {
            let line = self.next_request("tools/call", &params);
            let start = Instant::now();
            self.write(line.as_bytes());
            self.read_line();
            latencies.add(start.elapsed());
            succeeded_text(&self.line);
        }
        latencies
    }

    /// Calls with up to `WINDOW` unanswered; the time is for all of them. The window is small
    /// enough for the pipes, so that neither side waits for the other to read.
    pub fn call_pipelined(&mut self, count: usize, tool: &str, arguments: &Value) -> Duration {
        let params = json!({"name": tool, "arguments": arguments});
        let lines: Vec<_> = (0..count)
            .map(|_| self.next_request("tools/call", &params))
            .collect();
        let start = Instant::now();
        let (mut written, mut answered) = (0, 0);
        while answered < count {
            if written < count && written - answered <= WINDOW / 2 {
                let end = count.min(answered + WINDOW);
                let batch = lines[written..end].concat();
                self.write(batch.as_bytes());
                written = end;
            }
            self.read_line();
            succeeded_text(&self.line);
            answered += 1;
        }
        start.elapsed()
    }

    /// Sends the line as it is and reads one back.
    pub fn echo(&mut self, line: &str) {
        self.write(line.as_bytes());
        self.read_line();
        assert_eq!(self.line, line);
    }

    /// Ends it by closing its input.
    pub fn end(self) {
        let Self {
            mut process, stdin, ..
        } = self;
        drop(stdin);
        process.0.wait().expect("an exit");
    }

    fn next_request(&mut self, method: &str, params: &Value) -> String {
        self.last_id += 1;
        let id = self.last_id;
        format!(
            "{}\n",
            json!({"jsonrpc": "2.0", "id": id, "method": method, "params": params})
        )
    }

    fn write(&mut self, bytes: &[u8]) {
        self.stdin.write_all(bytes).expect("a server that reads");
    }

    fn answer(&mut self) -> Value {
        self.read_line();
        serde_json::from_str(&self.line).expect("JSON")
    }

    /// Reads the next answer; notifications between answers are passed over.
    fn read_line(&mut self) {
        loop {
            self.line.clear();
            let bytes = self
                .stdout
                .read_line(&mut self.line)
                .expect("a server that writes");
            assert!(bytes > 0, "the server ended");
            if !self.line.contains("\"method\":\"notifications/") {
                return;
            }
        }
    }
}

fn succeeded(answer: &Value) {
    let error = answer["result"]["isError"].as_bool();
    assert!(
        answer["result"].is_object() && error != Some(true),
        "{answer}"
    );
}

/// Whether a call's answer is good, cheaply. The original says `isError: false` even when it
/// failed, but then its text begins with `Error` or `Failed`.
fn succeeded_text(line: &str) {
    let bad = [
        "\"isError\":true",
        "\"error\":",
        "\"text\":\"Error",
        "\"text\":\"Failed",
        "\\\"success\\\": false",
    ];
    assert!(!bad.iter().any(|mark| line.contains(mark)), "{line}");
}

const WINDOW: usize = 256;
