//! The program at a terminal, as a person has it before them.

use std::fs::{File, OpenOptions};
use std::io::{Read as _, Write as _};
use std::os::fd::{AsFd as _, OwnedFd};
use std::os::unix::ffi::OsStrExt as _;
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::Instant;

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::fs::OFlags;
use rustix::pty::{OpenptFlags, grantpt, openpt, ptsname, unlockpt};

use super::waiting::PATIENCE;

pub struct Terminal {
    child: Child,
    screen: File,
    /// What was on the screen so far.
    pub seen: String,
    /// Up to where `until` has read it.
    read: usize,
}

impl Terminal {
    /// Starts the command with standard input and standard error at a terminal; standard output is piped.
    pub fn start(command: &mut Command) -> Terminal {
        let master: OwnedFd =
            openpt(OpenptFlags::RDWR | OpenptFlags::NOCTTY | OpenptFlags::CLOEXEC).unwrap();
        grantpt(&master).unwrap();
        unlockpt(&master).unwrap();
        let name = ptsname(&master, Vec::new()).unwrap();
        let slave = OpenOptions::new()
            .read(true)
            .write(true)
            .custom_flags(OFlags::NOCTTY.bits() as i32)
            .open(Path::new(std::ffi::OsStr::from_bytes(name.as_bytes())))
            .unwrap();
        let child = command
            .stdin(Stdio::from(slave.try_clone().unwrap()))
            .stderr(Stdio::from(slave))
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        // The command holds copies of the terminal, without which it would never be seen to end.
        command.stdin(Stdio::null()).stderr(Stdio::null());
        let (seen, read) = (String::new(), 0);
        Terminal {
            child,
            screen: File::from(master),
            seen,
            read,
        }
    }

    /// Reads up to these words, which come after those of the last call.
    pub fn until(&mut self, words: &str) {
        loop {
            let new = self.seen.get(self.read..).unwrap();
            if let Some(at) = new.find(words) {
                self.read += at + words.len();
                return;
            }
            assert!(self.more(), "the end, without `{words}`: {}", self.seen);
        }
    }

    /// Waits for a question and answers it.
    pub fn answer(&mut self, question: &str, answer: &str) {
        self.until(question);
        self.until(": ");
        self.screen.write_all(answer.as_bytes()).unwrap();
        self.screen.write_all(b"\r").unwrap();
    }

    /// Presses keys.
    pub fn press(&mut self, keys: &[u8]) {
        self.screen.write_all(keys).unwrap();
    }

    /// Waits for the end: the exit code, what was on the screen, and standard output.
    pub fn end(mut self) -> (Option<i32>, String, String) {
        while self.more() {}
        let mut output = String::new();
        let mut stdout = self.child.stdout.take().unwrap();
        stdout.read_to_string(&mut output).unwrap();
        let code = self.child.wait().unwrap().code();
        (code, std::mem::take(&mut self.seen), output)
    }

    /// Reads what comes next; false at the end.
    fn more(&mut self) -> bool {
        let end = Instant::now() + PATIENCE;
        let left = end.saturating_duration_since(Instant::now());
        let left = Timespec::try_from(left).unwrap();
        let ready = poll(
            &mut [PollFd::from_borrowed_fd(self.screen.as_fd(), PollFlags::IN)],
            Some(&left),
        );
        assert_eq!(ready, Ok(1), "nothing came: {}", self.seen);
        let mut bytes = [0; 4096];
        // Linux says EIO when nobody has the other side any more.
        match self.screen.read(&mut bytes) {
            Ok(0) | Err(_) => false,
            Ok(count) => {
                let text = String::from_utf8_lossy(bytes.get(..count).unwrap());
                self.seen.push_str(&text.replace('\r', ""));
                true
            }
        }
    }
}

impl Drop for Terminal {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
