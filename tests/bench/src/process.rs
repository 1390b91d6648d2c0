//! A process that is measured, and what the system says of it.

use std::fs;
use std::ops::Sub;
use std::process::{Child, Command};
use std::time::Duration;

/// Ended when it is dropped.
pub struct Process(pub Child);

/// What it has needed until now.
#[derive(Clone, Copy, Debug)]
pub struct Spent {
    /// Processor time of all its threads.
    pub cpu: Duration,
    /// How often its first thread waited: each costs a wake-up.
    pub waits: u64,
}

impl Process {
    pub fn start(command: &mut Command) -> Self {
        let child = command.spawn();
        Self(child.unwrap_or_else(|error| panic!("{command:?}: {error}")))
    }

    pub fn spent(&self) -> Spent {
        let tasks = fs::read_dir(format!("/proc/{}/task", self.0.id())).expect("a process");
        let nanos = tasks.flatten().filter_map(|task| {
            // Nanoseconds on a processor come first; a thread may have ended meanwhile.
            let text = fs::read_to_string(task.path().join("schedstat")).ok()?;
            text.split(' ').next()?.parse::<u64>().ok()
        });
        Spent {
            cpu: Duration::from_nanos(nanos.sum()),
            waits: number(&self.file("status"), "voluntary_ctxt_switches:"),
        }
    }

    /// Bytes that are resident.
    pub fn resident(&self) -> f64 {
        resident(self.0.id())
    }

    /// Those of them that it has written and shares with nobody.
    pub fn private(&self) -> f64 {
        bytes(&self.file("smaps_rollup"), "Private_Dirty:")
    }

    /// Bytes that were resident at most.
    pub fn peak(&self) -> f64 {
        bytes(&self.file("status"), "VmHWM:")
    }

    fn file(&self, name: &str) -> String {
        file(self.0.id(), name)
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        // The original needs half a second for each session to stop by itself.
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

impl Sub for Spent {
    type Output = Self;

    fn sub(self, other: Self) -> Self {
        Self {
            cpu: self.cpu - other.cpu,
            waits: self.waits - other.waits,
        }
    }
}

/// Resident bytes of the process with this number.
pub fn resident(id: u32) -> f64 {
    bytes(&file(id, "smaps_rollup"), "Rss:")
}

fn file(id: u32, name: &str) -> String {
    fs::read_to_string(format!("/proc/{id}/{name}")).expect("a process")
}

/// The system counts in KiB.
fn bytes(text: &str, name: &str) -> f64 {
    number(text, name) as f64 * 1024.0
}

fn number(text: &str, name: &str) -> u64 {
    let line = text.lines().find_map(|line| line.strip_prefix(name));
    let word = line.and_then(|line| line.split_whitespace().next());
    word.and_then(|word| word.parse().ok()).expect("a number")
}
