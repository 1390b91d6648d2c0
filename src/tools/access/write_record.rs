//! What came of each publish that a caller attempted: a line in the log, and a count by outcome.
//!
//! Promises: every attempt has exactly one line and one count, also when its call is cancelled; the line names the
//! caller, the tool, the topic and the number of bytes, and never the payload.

use std::cell::Cell;

use mcpmqtt_config::LogLevel;
use mcpmqtt_protocol::message::Message;
use mcpmqtt_protocol::topic::Shown;

use super::consent::AgreedBy;
use super::denied::{Denied, Published};
use crate::logger;
use crate::mcp::Caller;
use crate::metrics::{Metrics, WriteOutcome};

/// One attempt, recorded when it is dropped.
#[derive(Debug)]
pub(super) struct WriteRecord<'a> {
    metrics: Metrics,
    caller: &'a Caller,
    tool: &'static str,
    message: &'a Message,
    /// Who agreed to it, where somebody has to.
    consent: Option<AgreedBy>,
    state: Cell<State>,
}

#[derive(Clone, Copy, Debug)]
enum State {
    /// Nothing was sent, and the call has ended.
    Waiting,
    /// The message may be on its way.
    Sending,
    Over(WriteOutcome, &'static str),
}

impl<'a> WriteRecord<'a> {
    pub(super) fn begin(
        metrics: &Metrics,
        caller: &'a Caller,
        tool: &'static str,
        message: &'a Message,
    ) -> WriteRecord<'a> {
        WriteRecord {
            metrics: metrics.clone(),
            caller,
            tool,
            message,
            consent: None,
            state: Cell::new(State::Waiting),
        }
    }

    /// The same with the consent to it.
    pub(super) fn with_consent(self, by: Option<&AgreedBy>) -> WriteRecord<'a> {
        let mut record = self;
        record.consent = by.cloned();
        record
    }

    /// The message is handed to the connection.
    pub(super) fn begins(&self) {
        self.state.set(State::Sending);
    }

    /// The attempt was refused.
    pub(super) fn refused(self, denied: &Denied) {
        self.state.set(of(denied));
    }

    /// The attempt has ended.
    pub(super) fn ended(&self, ended: Result<&Published, &Denied>) {
        self.state.set(match ended {
            Ok(Published::Sent) => State::Over(WriteOutcome::Sent, "sent"),
            Ok(Published::Delivered) => State::Over(WriteOutcome::Delivered, "delivered"),
            Err(denied) => of(denied),
        });
    }
}

fn of(denied: &Denied) -> State {
    let (outcome, words) = match denied {
        Denied::Policy(_) => (WriteOutcome::Refused, "refused: not permitted"),
        Denied::Rate(_) => (WriteOutcome::Refused, "refused: too many in a second"),
        Denied::Quota(_) => (WriteOutcome::Refused, "refused: too many in a minute"),
        Denied::Rule(_) => (WriteOutcome::Refused, "refused: a rule on writes"),
        Denied::Halted(_) => (WriteOutcome::Refused, "refused: an operator halted writing"),
        Denied::Consent(_) => (WriteOutcome::Refused, "refused: nobody agreed"),
        Denied::Listeners(_) | Denied::Broker(_) => (WriteOutcome::NotSent, "not sent"),
        Denied::Withdrawn(_) => (
            WriteOutcome::Unknown,
            "unknown: the permission was withdrawn meanwhile",
        ),
        Denied::Unknown(_) => (WriteOutcome::Unknown, "unknown"),
    };
    State::Over(outcome, words)
}

impl Drop for WriteRecord<'_> {
    fn drop(&mut self) {
        let (outcome, words) = match self.state.get() {
            State::Waiting => (WriteOutcome::NotSent, "not sent: the call ended before"),
            State::Sending => (WriteOutcome::Unknown, "unknown: the call ended meanwhile"),
            State::Over(outcome, words) => (outcome, words),
        };
        self.metrics.written(outcome);
        if logger::enabled(LogLevel::Info) {
            let consent = self.consent.as_ref();
            let consent = consent.map(|by| format!(", with the consent of {by}"));
            logger::info(format_args!(
                "{}: {}: {} bytes to {}: {words}{}",
                self.caller.name(),
                self.tool,
                self.message.payload.len(),
                Shown(self.message.topic.as_str()),
                consent.unwrap_or_default()
            ));
        }
    }
}
