//! Finds the message of a kept session whose retransmission makes the broker end the connection.
//!
//! [MQTT-4.4.0-1] requires each message to be sent again, so one that the broker does not accept ends every connection.
//! After several connections that ended before any acknowledgement, the messages are sent one at a time, and not before
//! the connection has lasted for a while. A message that is cut off at once, alone, three times in a row is the cause.
//!
//! Promises: a connection loss that may have another cause does not count. Does not: know messages, only their
//! identifiers.

use std::time::Instant;

use mqttrs::Pid;

use crate::limits::{TRIAL_CUTS, TRIAL_MOMENT, TRIAL_QUIET};

#[derive(Default)]
pub(super) struct Trial {
    /// The messages that are sent one at a time; empty when there is no trial.
    suspects: Vec<Pid>,
    /// When the first of them may be sent on this connection.
    not_before: Option<Instant>,
    running: Option<Running>,
    /// The number of consecutive connections that ended at once when this message was sent.
    cut_off: Option<(Pid, u8)>,
}

/// The message that was sent and is not fully acknowledged.
struct Running {
    pid: Pid,
    /// Its end position in the stream.
    end: u64,
    /// When the socket had taken it whole; `None` again after the broker's response.
    written: Option<Instant>,
}

impl Trial {
    pub(super) fn is_on(&self) -> bool {
        !self.suspects.is_empty()
    }

    /// Starts a resumed session with these messages in flight.
    pub(super) fn resumed(&mut self, now: Instant, in_flight: &[Pid], is_doubted: bool) {
        if is_doubted && !self.is_on() {
            self.suspects = in_flight.to_vec();
        }
        self.not_before = self.is_on().then(|| now + TRIAL_QUIET);
    }

    /// Whether the next message may be sent.
    pub(super) fn may_send(&self, now: Instant) -> bool {
        self.running.is_none() && self.not_before.is_none_or(|at| now >= at)
    }

    /// When the next message may be sent, if only time has to pass.
    pub(super) fn next_turn(&self) -> Option<Instant> {
        self.not_before
            .filter(|_| self.is_on() && self.running.is_none())
    }

    /// Records an encoded message; it ends at `end` in the stream.
    pub(super) fn sent(&mut self, pid: Pid, end: u64) {
        self.not_before = None;
        self.running = self.is_on().then_some(Running {
            pid,
            end,
            written: None,
        });
    }

    /// Records that the socket took the stream up to `written`.
    pub(super) fn written(&mut self, now: Instant, before: u64, written: u64) {
        let running = self.running.as_mut();
        if let Some(running) = running.filter(|r| before < r.end && r.end <= written) {
            running.written = Some(now);
        }
    }

    /// Records the broker's response; `done` when the message is fully acknowledged.
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

    /// Handles the loss of the connection; `by_the_broker` when there is no other explanation. Returns the message that
    /// is found to be the cause.
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
