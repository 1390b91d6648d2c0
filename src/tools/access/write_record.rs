//! What came of each publish that a caller attempted: a line in the log, a count by outcome, and where the operator has
//! a record, two lines there.
//!
//! Promises: every attempt has exactly one line in the log, one count and one pair of lines in the record, also when its
//! call is cancelled; the line in the log names the caller, the tool, the topic and the number of bytes, and never the
//! payload.

use std::cell::{Cell, RefCell};
use std::time::Instant;

use mcpmqtt_config::{Grant, LogLevel, Policy, Profiles};
use mcpmqtt_protocol::message::Message;
use mcpmqtt_protocol::topic::Shown;
use smol::future;

use super::consent::AgreedBy;
use super::denied::{Denied, Published};
use super::judged;
use crate::audit::{Attempt, Audit, Ending, OpenAttempt, Unrecorded};
use crate::local::time;
use crate::logger;
use crate::mcp::Caller;
use crate::metrics::{Metrics, WriteOutcome};

/// One attempt. Its outcome is told when it has ended, or when this is dropped.
#[derive(Debug)]
pub(super) struct WriteRecord<'a> {
    metrics: Metrics,
    caller: &'a Caller,
    tool: &'static str,
    message: &'a Message,
    /// Who agreed to it, where somebody has to.
    consent: Option<AgreedBy>,
    state: Cell<State>,
    is_told: Cell<bool>,
    /// The attempt in the operator's record.
    attempt: Option<OpenAttempt>,
    /// Why it was refused or failed, for that record.
    reason: RefCell<Option<String>>,
    quotes_payload: Cell<bool>,
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
    /// `record`: the operator's, with the policy by which the message is judged first.
    pub(super) fn begin(
        metrics: &Metrics,
        record: Option<(&Audit, &Policy)>,
        caller: &'a Caller,
        tool: &'static str,
        message: &'a Message,
    ) -> WriteRecord<'a> {
        let attempt = record.map(|(audit, policy)| {
            let (rule, limits) = places(policy, caller, message);
            audit.begin(Attempt {
                caller: caller.clone(),
                tool,
                message: message.clone(),
                rule,
                limits,
            })
        });
        WriteRecord {
            metrics: metrics.clone(),
            caller,
            tool,
            message,
            consent: None,
            state: Cell::new(State::Waiting),
            is_told: Cell::new(false),
            attempt,
            reason: RefCell::default(),
            quotes_payload: Cell::new(false),
        }
    }

    /// Writes the line of the attempt.
    ///
    /// # Errors
    /// [`Denied::Unrecorded`]: it is required, and cannot be written.
    pub(super) fn write(&self) -> Result<(), Denied> {
        let written = self.attempt.as_ref().map(OpenAttempt::record);
        written.unwrap_or(Ok(())).map_err(Denied::Unrecorded)
    }

    /// Waits until that line is on the disk, where the operator wants that before each write.
    ///
    /// # Errors
    /// [`Denied::Unrecorded`]: it is not by `deadline`.
    pub(super) async fn synced(&self, deadline: Instant) -> Result<(), Denied> {
        let Some(attempt) = &self.attempt else {
            return Ok(());
        };
        let late = async {
            time::at(deadline).await;
            Err(Unrecorded)
        };
        let synced = future::or(attempt.synced(), late).await;
        synced.map_err(Denied::Unrecorded)
    }

    /// The same with the consent to it.
    pub(super) fn with_consent(self, by: Option<&AgreedBy>) -> WriteRecord<'a> {
        if let (Some(attempt), Some(by)) = (&self.attempt, by) {
            attempt.consent(by.for_record());
        }
        let mut record = self;
        record.consent = by.cloned();
        record
    }

    /// The message is handed to the connection.
    pub(super) fn begins(&self) {
        self.state.set(State::Sending);
        if let Some(attempt) = &self.attempt {
            attempt.sending();
        }
    }

    /// The attempt was refused.
    pub(super) fn refused(self, denied: &Denied) {
        self.set(denied);
    }

    /// Nothing was sent.
    pub(super) fn not_sent(self, words: &'static str) {
        self.state.set(State::Over(WriteOutcome::NotSent, words));
    }

    /// The attempt has ended, however long its call goes on.
    pub(super) fn ended(&self, ended: Result<&Published, &Denied>) {
        match ended {
            Ok(Published::Sent) => self.state.set(State::Over(WriteOutcome::Sent, "sent")),
            Ok(Published::Delivered) => {
                let state = State::Over(WriteOutcome::Delivered, "delivered");
                self.state.set(state);
            }
            Err(denied) => self.set(denied),
        }
        self.tell();
    }

    fn set(&self, denied: &Denied) {
        self.state.set(match (denied, self.state.get()) {
            (Denied::Withdrawn(_), State::Waiting) => {
                let words = "refused: the permission was withdrawn";
                State::Over(WriteOutcome::Refused, words)
            }
            _ => of(denied),
        });
        if let Some(attempt) = &self.attempt {
            self.reason.replace(Some(denied.to_string()));
            self.quotes_payload.set(denied.quotes_payload());
            let consent = match denied {
                Denied::Consent(unagreed) => unagreed.for_record(),
                _ => None,
            };
            if let Some(consent) = consent {
                attempt.consent(consent);
            }
        }
    }

    fn tell(&self) {
        if self.is_told.replace(true) {
            return;
        }
        let (outcome, words) = match self.state.get() {
            State::Waiting => (WriteOutcome::NotSent, "not sent: the call ended before"),
            State::Sending => (WriteOutcome::Unknown, "unknown: the call ended meanwhile"),
            State::Over(outcome, words) => (outcome, words),
        };
        self.metrics.written(outcome);
        let attempt = self.attempt.as_ref();
        if logger::enabled(LogLevel::Info) {
            let id = attempt.map(|it| format!(" ({})", it.id()));
            let consent = self.consent.as_ref();
            let consent = consent.map(|by| format!(", with the consent of {by}"));
            logger::info(format_args!(
                "{}: {}: {} bytes to {}: {words}{}{}",
                self.caller.name(),
                self.tool,
                self.message.payload.len(),
                Shown(self.message.topic.as_str()),
                consent.unwrap_or_default(),
                id.unwrap_or_default()
            ));
        }
        if let Some(attempt) = attempt {
            let about = words.split_once(": ").map(|(_, why)| why.to_owned());
            let reason = self.reason.take().or(about.clone());
            attempt.end(&Ending {
                outcome: outcome.name(),
                without_payload: match self.quotes_payload.get() {
                    true => about,
                    false => reason.clone(),
                },
                reason,
            });
        }
    }
}

fn of(denied: &Denied) -> State {
    let (outcome, words) = match denied {
        Denied::Policy(_) => (WriteOutcome::Refused, "refused: not permitted"),
        Denied::Rate(_) => (WriteOutcome::Refused, "refused: too many in a second"),
        Denied::Quota(_) => (WriteOutcome::Refused, "refused: too many in a minute"),
        Denied::Rule(_) => (WriteOutcome::Refused, "refused: a rule on writes"),
        Denied::Halted(_) => (WriteOutcome::Refused, "refused: an operator halted writing"),
        Denied::Unrecorded(_) => (WriteOutcome::Refused, "refused: it cannot be recorded"),
        Denied::Consent(unagreed) => (WriteOutcome::Refused, unagreed.for_log()),
        Denied::Listeners(_) | Denied::Broker(_) => (WriteOutcome::NotSent, "not sent"),
        Denied::Withdrawn(_) => (
            WriteOutcome::Unknown,
            "unknown: the permission was withdrawn meanwhile",
        ),
        Denied::Unknown(_) => (WriteOutcome::Unknown, "unknown"),
    };
    State::Over(outcome, words)
}

/// The places in the file of the rules that permit the message, and of the limits that they set.
fn places(policy: &Policy, caller: &Caller, message: &Message) -> (Vec<String>, Vec<String>) {
    let Ok(permit) = judged(policy, message) else {
        return Default::default();
    };
    let topics = match &**caller.profile() {
        Profiles::DEFAULT => "topics".to_owned(),
        name => format!("profiles.{name}.topics"),
    };
    let (mut rules, mut limits) = (Vec::new(), Vec::new());
    for grant in permit.grants() {
        let Grant { places, write, .. } = grant;
        let at = |place: &usize| format!("{topics}[{place}]");
        if grant.payload.is_some() {
            limits.extend(places.iter().map(|place| at(place) + ".payload"));
        }
        limits.extend(write.iter().map(|rule| rule.place.clone()));
        rules.extend(places.iter().map(at));
    }
    (rules, limits)
}

impl Drop for WriteRecord<'_> {
    fn drop(&mut self) {
        self.tell();
    }
}
