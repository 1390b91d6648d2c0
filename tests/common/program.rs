//! The program as an operator runs it over HTTP, and what it logs.

use std::ffi::OsString;
use std::io::{BufRead as _, BufReader, Read as _};
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::process::{Child, ChildStderr, Command, ExitStatus, Stdio};
use std::time::Instant;

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::process::Signal;

use super::waiting::PATIENCE;

pub const PROGRAM: &str = env!("CARGO_BIN_EXE_mcpmqtt");
/// Where a program that is built to count its lines leaves the counts, for one that starts without variables.
#[allow(dead_code)]
pub fn counts() -> Option<(&'static str, OsString)> {
    let file = std::env::var_os("LLVM_PROFILE_FILE")?;
    Some(("LLVM_PROFILE_FILE", file))
}

pub const STATUS: &str = "GET /status HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\n\r\n";

/// The program and what it logs; dropping it ends it.
pub struct Program {
    child: Child,
    log: BufReader<ChildStderr>,
    /// What it logged so far, as far as it was read.
    pub seen: String,
}

impl Program {
    pub fn start(command: &mut Command) -> Program {
        let mut child = command.stderr(Stdio::piped()).spawn().unwrap();
        let log = BufReader::new(child.stderr.take().unwrap());
        let seen = String::new();
        Program { child, log, seen }
    }

    pub fn over(config: &Path) -> Program {
        Program::over_with(config, &[])
    }

    /// As `over`, with variables of the environment.
    pub fn over_with(config: &Path, variables: &[(&str, &str)]) -> Program {
        let mut command = Command::new(PROGRAM);
        command.envs(variables.iter().copied());
        command.args([
            "--transport",
            "remotehttp",
            "--log-level",
            "DEBUG",
            "--config",
        ]);
        Program::start(command.arg(config).stdin(Stdio::null()))
    }

    /// Reads the log up to a line with these words.
    pub fn until(&mut self, words: &str) {
        let end = Instant::now() + PATIENCE;
        loop {
            if self.log.buffer().is_empty() {
                self.wait_for_log(end, words);
            }
            let mut line = String::new();
            let count = self.log.read_line(&mut line).unwrap();
            self.seen.push_str(&line);
            assert!(count > 0, "the log ended before `{words}`:\n{}", self.seen);
            if line.contains(words) {
                return;
            }
        }
    }

    /// Returns when there is something to read.
    fn wait_for_log(&self, end: Instant, words: &str) {
        let left = end.saturating_duration_since(Instant::now());
        let left = Timespec::try_from(left).unwrap();
        let log = PollFd::new(self.log.get_ref(), PollFlags::IN);
        let ready = poll(&mut [log], Some(&left)).unwrap();
        assert!(ready > 0, "no `{words}` came:\n{}", self.seen);
    }

    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    pub fn signal(&self, signal: Signal) {
        let pid = rustix::process::Pid::from_child(&self.child);
        rustix::process::kill_process(pid, signal).unwrap();
    }

    /// Asks it to end; everything it logged, and how it ended.
    pub fn end(mut self) -> (String, ExitStatus) {
        self.signal(Signal::TERM);
        self.log.read_to_string(&mut self.seen).unwrap();
        let status = self.child.wait().unwrap();
        (std::mem::take(&mut self.seen), status)
    }

    /// It ends by itself.
    pub fn ended(mut self) -> (String, ExitStatus) {
        self.log.read_to_string(&mut self.seen).unwrap();
        let status = self.child.wait().unwrap();
        (std::mem::take(&mut self.seen), status)
    }
}

impl Drop for Program {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// What a server answers to this, until it closes.
pub fn ask(
    mut socket: impl std::io::Read + std::io::Write,
    request: &(impl AsRef<[u8]> + ?Sized),
) -> String {
    socket.write_all(request.as_ref()).unwrap();
    let mut answer = String::new();
    socket.read_to_string(&mut answer).unwrap();
    answer
}

pub fn unix(path: &Path) -> UnixStream {
    let socket = UnixStream::connect(path).unwrap();
    socket.set_read_timeout(Some(PATIENCE)).unwrap();
    socket
}
