//! Which of the messages that a kept session has to send again makes the broker end the connection.
//!
//! [MQTT-4.4.0-1] demands that each is sent again, so one that the broker does not take ends every
//! connection. After some that ended before anything was acknowledged, each goes alone, and not before the
//! connection has proved itself. One that is cut off at once, alone, three times in a row is convicted.
//!
//! Promises: a cut that may have another cause does not count. It knows no message, only identifiers.

use std::time::Instant;

use mqttrs::Pid;

use crate::limits::{TRIAL_CUTS, TRIAL_MOMENT, TRIAL_QUIET};

#[derive(Default)]
pub(super) struct Trial {
    /// Those that are sent one at a time; none when there is no trial.
    suspects: Vec<Pid>,
    /// When the first of them may be sent on this connection.
    not_before: Option<Instant>,
    running: Option<Running>,
    /// Connections in a row that ended at once when this one was sent.
    cut_off: Option<(Pid, u8)>,
}

/// The one that was sent and is not acknowledged to its end.
struct Running {
    pid: Pid,
    /// Where it ends in the stream.
    end: u64,
    /// When the socket had taken it whole; `None` again when the broker has answered it.
    written: Option<Instant>,
}

impl Trial {
    pub(super) fn is_on(&self) -> bool {
        !self.suspects.is_empty()
    }

    /// A kept session goes on with these in flight.
    pub(super) fn resumed(&mut self, now: Instant, in_flight: &[Pid], is_doubted: bool) {
        if is_doubted && !self.is_on() {
            self.suspects = in_flight.to_vec();
        }
        self.not_before = self.is_on().then(|| now + TRIAL_QUIET);
    }

    /// Whether the next one may be sent.
    pub(super) fn may_send(&self, now: Instant) -> bool {
        self.running.is_none() && self.not_before.is_none_or(|at| now >= at)
    }

    /// When the next one may be sent, if only time has to pass.
    pub(super) fn next_turn(&self) -> Option<Instant> {
        self.not_before
            .filter(|_| self.is_on() && self.running.is_none())
    }

    /// One was encoded; it ends at `end` in the stream.
    pub(super) fn sent(&mut self, pid: Pid, end: u64) {
        self.not_before = None;
        self.running = self.is_on().then_some(Running {
            pid,
            end,
            written: None,
        });
    }

    /// The socket took the stream up to `written`.
    pub(super) fn written(&mut self, now: Instant, before: u64, written: u64) {
        let running = self.running.as_mut();
        if let Some(running) = running.filter(|r| before < r.end && r.end <= written) {
            running.written = Some(now);
        }
    }

    /// The broker answered it; `done` when it owes nothing more.
    pub(super) fn answered(&mut self, pid: Pid, done: bool) {
        if done {
            self.suspects.retain(|suspect| *suspect != pid);
        }
        if self.cut_off.is_some_and(|(cut_off, _)| cut_off == pid) {
            self.cut_off = None;
        }
        if let Some(running) = self.running.as_mut().filter(|running| running.pid == pid) {
            running.written = None;
            if done {
                self.running = None;
            }
        }
    }

    /// The connection is gone; `by_the_broker` when nothing else explains it. Returns the one that is
    /// convicted.
    pub(super) fn connection_ended(&mut self, now: Instant, by_the_broker: bool) -> Option<Pid> {
        self.not_before = None;
        let running = self.running.take();
        let at_once = |written: Instant| now.saturating_duration_since(written) < TRIAL_MOMENT;
        let cut_off = running
            .filter(|running| by_the_broker && running.written.is_some_and(at_once))
            .map(|running| running.pid);
        self.cut_off = cut_off.map(|pid| match self.cut_off {
            Some((before, times)) if before == pid => (pid, times + 1),
            _ => (pid, 1),
        });
        let (pid, times) = self.cut_off?;
        (times >= TRIAL_CUTS).then_some(pid)
    }
}
