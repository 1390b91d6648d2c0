//! An agent: the real program at the other end of real pipes.

use std::cell::RefCell;
use std::collections::HashMap;
use std::io::{BufRead, BufReader, Read, Write};
use std::process::{Child, ChildStdin, Command, Stdio};
use std::sync::mpsc::{Receiver, Sender, channel};
use std::sync::{Arc, Mutex};
use std::thread::JoinHandle;

use serde_json::{Value, json};

use super::messages;
use super::scratch::Scratch;
use super::waiting::{PATIENCE, eventually};

pub struct Agent {
    child: Child,
    stdin: Option<ChildStdin>,
    waiting: Arc<Mutex<HashMap<String, Sender<Value>>>>,
    /// Everything that is no answer to a request of ours.
    pub others: Receiver<Value>,
    stderr: Option<JoinHandle<String>>,
    next_id: u64,
    _scratch: Scratch,
}

/// An answer that is still to come, or has been looked at already.
pub struct Answer(Receiver<Value>, RefCell<Option<Value>>);

impl Agent {
    /// Starts the program with a configuration and shakes hands.
    pub fn start(config: &Value) -> Self {
        Self::start_with(config, &[])
    }

    /// As `start`, with variables of the environment.
    pub fn start_with(config: &Value, variables: &[(&str, &str)]) -> Self {
        let scratch = Scratch::new();
        let path = scratch.file("config.json", &config.to_string());
        let args = ["--config", path.to_str().unwrap()].map(String::from);
        let mut agent = Self::spawn(&args, variables, scratch);
        agent.initialize();
        agent
    }

    /// Starts the program with arguments, and says nothing yet.
    pub fn with_args(args: &[&str]) -> Self {
        let args: Vec<String> = args.iter().map(|arg| String::from(*arg)).collect();
        Self::spawn(&args, &[], Scratch::new())
    }

    /// Has another program start the program, and says nothing yet.
    #[allow(dead_code)] // Of the tests over MCP none does.
    pub fn command(program: &str, args: &[&str]) -> Self {
        let args: Vec<String> = args.iter().map(|arg| String::from(*arg)).collect();
        Self::spawn_program(program, &args, &[], Scratch::new())
    }

    fn spawn(args: &[String], variables: &[(&str, &str)], scratch: Scratch) -> Self {
        Self::spawn_program(env!("CARGO_BIN_EXE_mcpmqtt"), args, variables, scratch)
    }

    fn spawn_program(
        program: &str,
        args: &[String],
        variables: &[(&str, &str)],
        scratch: Scratch,
    ) -> Self {
        let mut child = Command::new(program)
            .args(args)
            .env("HOME", scratch.path("home"))
            .env_remove("XDG_CONFIG_HOME")
            .env_remove("MCPMQTT_CONFIG")
            .envs(variables.iter().copied())
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let waiting: Arc<Mutex<HashMap<String, Sender<Value>>>> = Arc::default();
        let (other, others) = channel();
        let stdout = BufReader::new(child.stdout.take().unwrap());
        let answers = Arc::clone(&waiting);
        std::thread::spawn(move || {
            for line in stdout.lines() {
                let Ok(line) = line else { break };
                let message: Value = serde_json::from_str(&line).expect("only JSON reaches stdout");
                let id = message
                    .get("id")
                    .filter(|_| message.get("method").is_none());
                let waiter = id.and_then(|id| answers.lock().unwrap().remove(&id.to_string()));
                match waiter {
                    Some(waiter) => drop(waiter.send(message)),
                    None => drop(other.send(message)),
                }
            }
            answers.lock().unwrap().clear();
        });
        let mut stderr = child.stderr.take().unwrap();
        let stderr = std::thread::spawn(move || {
            let mut text = String::new();
            let _ = stderr.read_to_string(&mut text);
            text
        });
        Self {
            stdin: child.stdin.take(),
            child,
            waiting,
            others,
            stderr: Some(stderr),
            next_id: 1,
            _scratch: scratch,
        }
    }

    pub fn initialize(&mut self) -> Value {
        let answer = self
            .request("initialize", messages::initialize("2025-11-25"))
            .wait();
        self.notify("notifications/initialized", json!({}));
        answer
    }

    /// Sends a request; its answer is waited for later.
    pub fn request(&mut self, method: &str, params: Value) -> Answer {
        self.send(messages::request(self.next_id, method, params))
    }

    /// Sends a request of 2026-07-28.
    pub fn modern(&mut self, method: &str, params: Value) -> Answer {
        self.send(messages::modern(self.next_id, method, params))
    }

    fn send(&mut self, request: Value) -> Answer {
        let id = self.next_id;
        self.next_id += 1;
        let (sender, receiver) = channel();
        self.waiting.lock().unwrap().insert(id.to_string(), sender);
        self.line(&request.to_string());
        Answer(receiver, RefCell::new(None))
    }

    pub fn notify(&mut self, method: &str, params: Value) {
        self.line(&json!({"jsonrpc": "2.0", "method": method, "params": params}).to_string());
    }

    /// Writes a line as it is.
    pub fn line(&mut self, line: &str) {
        self.bytes(line.as_bytes());
        self.bytes(b"\n");
    }

    pub fn bytes(&mut self, bytes: &[u8]) {
        self.stdin.as_mut().unwrap().write_all(bytes).unwrap();
    }

    /// Calls a tool; its result is waited for later.
    pub fn tool(&mut self, name: &str, arguments: Value) -> Answer {
        self.request("tools/call", json!({"name": name, "arguments": arguments}))
    }

    /// Calls a tool that waits, and returns when its subscription is in place.
    pub fn listening(&mut self, name: &str, arguments: Value) -> Answer {
        let answer = self.request(
            "tools/call",
            json!({"name": name, "arguments": arguments, "_meta": {"progressToken": self.next_id}}),
        );
        let progress = self
            .others
            .recv_timeout(PATIENCE)
            .expect("progress when the subscription is in place");
        assert_eq!(progress["method"], "notifications/progress", "{progress}");
        answer
    }

    /// The id of the last request.
    pub fn last_id(&self) -> u64 {
        self.next_id - 1
    }

    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    /// Closes its standard input, waits for the end and returns the exit code and the log.
    pub fn finish(mut self) -> (Option<i32>, String) {
        drop(self.stdin.take());
        self.wait()
    }

    /// Waits for the end and returns the exit code and the log.
    pub fn wait(mut self) -> (Option<i32>, String) {
        let status = self.child.wait().unwrap();
        let log = self.stderr.take().unwrap().join().unwrap();
        (status.code(), log)
    }
}

impl Drop for Agent {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

impl Answer {
    /// The whole JSON-RPC message.
    pub fn wait(self) -> Value {
        let seen = self.1.borrow_mut().take();
        seen.unwrap_or_else(|| self.0.recv_timeout(PATIENCE).expect("an answer"))
    }

    /// The structured content of a tool result that is no error.
    pub fn structured(self) -> Value {
        let answer = self.wait();
        let result = &answer["result"];
        assert!(!result["isError"].as_bool().unwrap_or(false), "{answer}");
        let text: Value =
            serde_json::from_str(result["content"][0]["text"].as_str().unwrap()).unwrap();
        assert_eq!(text, result["structuredContent"], "the text says the same");
        result["structuredContent"].clone()
    }

    /// The text of a tool result that is an error.
    pub fn error(self) -> String {
        let answer = self.wait();
        assert_eq!(answer["result"]["isError"], true, "{answer}");
        assert!(
            answer["result"].get("structuredContent").is_none(),
            "{answer}"
        );
        answer["result"]["content"][0]["text"]
            .as_str()
            .unwrap()
            .to_owned()
    }

    /// How a tool call ended: the structured content, or the text of the error.
    pub fn outcome(self) -> Result<Value, String> {
        let answer = self.wait();
        let result = &answer["result"];
        match result["isError"].as_bool().unwrap_or(false) {
            false => Ok(result["structuredContent"].clone()),
            true => Err(result["content"][0]["text"].as_str().unwrap().to_owned()),
        }
    }

    /// Whether the answer has not come yet.
    pub fn is_pending(&self) -> bool {
        let mut seen = self.1.borrow_mut();
        if seen.is_none() {
            *seen = self.0.try_recv().ok();
        }
        seen.is_none()
    }
}

/// What calls are told once the first attempt to reach the broker has failed.
pub fn refusal(config: &Value) -> String {
    let mut agent = Agent::start(config);
    let mut said = String::new();
    eventually("an attempt fails", || {
        let call = json!({"topic": "t/a", "payload": "x", "timeout": 0.2});
        said = agent.tool("mqtt_publish", call).error();
        said.contains("not connected: ")
    });
    said
}
