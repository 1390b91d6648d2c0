//! `confirm` with `each`: every topic of the filter has to show the effect.

use std::cell::{Cell, RefCell};
use std::rc::Rc;
use std::time::{Duration, Instant};

use mcpmqtt_protocol::topic::SubscribeFilter;
use serde::Serialize;
use serde_json::Value;

use super::confirm::Confirmation;
use super::{NOT_YET, WORDING};
use crate::local::notify::Notify;
use crate::local::time;
use crate::mqtt::{Tap, Tapped};
use crate::observe::condition::Condition;
use crate::observe::each::EachTopic;
use crate::tools::access::{Access, Follow};
use crate::tools::deadline::Deadline;
use crate::tools::effects::Confirmed;
use crate::tools::sighting::{is_zero, milliseconds};

/// The topics that are being waited for. Dropping it ends the subscription.
pub(super) struct ConfirmingEach {
    follow: Follow,
    state: Rc<EachState>,
    timeout: Duration,
}

struct EachState {
    topics: RefCell<EachTopic>,
    /// When the last message came.
    last: Cell<Option<Instant>>,
    too_large: Cell<u64>,
    interrupted: Cell<bool>,
    ended: RefCell<Option<String>>,
    changed: Notify,
}

#[derive(Serialize)]
pub(super) struct SeenEach {
    /// The topics that met the condition after the publish.
    met: usize,
    /// The topics that met it before and sent nothing since.
    #[serde(skip_serializing_if = "crate::tools::stats::is_none")]
    met_before: usize,
    /// The topics that do not meet it, with their last values.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    not_met: Vec<TopicValue>,
    #[serde(skip_serializing_if = "crate::tools::stats::is_none")]
    not_met_left_out: usize,
    /// From the publish until the last message came.
    #[serde(skip_serializing_if = "Option::is_none")]
    after_ms: Option<f64>,
    messages: u64,
    #[serde(skip_serializing_if = "is_zero")]
    lost: u64,
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    interrupted: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    reason: Option<String>,
}

#[derive(Serialize)]
struct TopicValue {
    topic: String,
    value: Value,
}

impl ConfirmingEach {
    /// Subscribes, so that no message after the publish is missed.
    pub(super) async fn begin(
        access: &Access,
        call: &Deadline,
        filter: SubscribeFilter,
        condition: Condition,
        timeout: Duration,
    ) -> Result<ConfirmingEach, String> {
        let state = Rc::new(EachState {
            topics: RefCell::new(EachTopic::new(condition)),
            last: Cell::new(None),
            too_large: Cell::new(0),
            interrupted: Cell::new(false),
            ended: RefCell::default(),
            changed: Notify::default(),
        });
        let deadline = call.part(timeout);
        let follow = deadline.follow(access, filter, state.tap()).await;
        let follow = follow.map_err(|denied| format!("`confirm`: {}", denied.tell(&NOT_YET)))?;
        // Retained values tell which topics there are; brokers send them around the answer to a ping. Without them the
        // first topic to answer would stand for all.
        let known = async {
            let answered = deadline.until_deadline(access.ping()).await;
            time::after(KNOWN_WITHIN).await;
            answered
        };
        let known = follow.run(known).await;
        let known = known.map_err(|denied| format!("`confirm`: {}", denied.tell(&NOT_YET)))?;
        if known != Some(true) {
            let seconds = deadline.seconds();
            return Err(format!(
                "`confirm`: the broker did not answer a ping within {seconds} s, so that it is not known which topics \
                 there are. Nothing was sent."
            ));
        }
        Ok(ConfirmingEach {
            follow,
            state,
            timeout,
        })
    }

    /// The message is published now: what came before is no confirmation.
    pub(super) fn begin_anew(&self) {
        self.state.topics.borrow_mut().start();
    }

    /// Waits until all topics have confirmed it.
    pub(super) async fn end(&self, call: &Deadline, sent: Instant) -> Result<Confirmation, String> {
        let deadline = call.part(self.timeout);
        let state = &self.state;
        let complete = state.changed.until(|| {
            let has_ended = state.ended.borrow().is_some();
            has_ended || state.topics.borrow().is_complete()
        });
        let waiting = deadline.until_deadline(complete);
        let waiting = deadline.with_reports(waiting, || state.status());
        let waited = self.follow.run(waiting).await;
        waited.map_err(|denied| denied.tell(&WORDING))?;
        Ok(state.told(sent))
    }
}

impl EachState {
    fn tap(self: &Rc<Self>) -> Tap {
        let state = Rc::clone(self);
        Rc::new(move |now, tapped| state.take(now, tapped))
    }

    fn take(&self, now: Instant, tapped: Tapped<'_>) {
        match tapped {
            Tapped::Message { message, .. } => {
                let topic = message.topic.as_str();
                let mut topics = self.topics.borrow_mut();
                topics.message(topic, &message.payload, message.retain);
                if !message.retain {
                    self.last.set(Some(now));
                }
            }
            Tapped::TooLarge(_) => self.too_large.set(self.too_large.get() + 1),
            Tapped::Interrupted => self.interrupted.set(true),
            Tapped::Ended(reason) => {
                self.ended.replace(Some(reason.to_string()));
            }
        }
        self.changed.notify();
    }

    fn told(&self, sent: Instant) -> Confirmation {
        let topics = self.topics.borrow();
        let not_met: Vec<_> = topics.not_met().collect();
        let shown = not_met
            .iter()
            .take(MOST_SHOWN)
            .map(|(topic, last)| TopicValue {
                topic: (*topic).to_owned(),
                value: last.to_json(VALUE_BYTES).value,
            });
        let confirmed = match topics.messages() {
            0 => Confirmed::NothingCame,
            _ if topics.is_complete() => Confirmed::Yes,
            _ => Confirmed::No,
        };
        let last = self.last.get().filter(|at| *at >= sent);
        Confirmation::of_each(
            confirmed,
            SeenEach {
                met: topics.met(),
                met_before: topics.met_before(),
                not_met: shown.collect(),
                not_met_left_out: not_met.len().saturating_sub(MOST_SHOWN),
                after_ms: last.map(|at| milliseconds(at.saturating_duration_since(sent))),
                messages: topics.messages(),
                lost: self.too_large.get() + topics.no_room(),
                interrupted: self.interrupted.get(),
                reason: self.ended.borrow().clone(),
            },
        )
    }

    fn status(&self) -> String {
        let topics = self.topics.borrow();
        let missing = topics.not_met().count();
        format!(
            "{} topics have confirmed it, {missing} have not",
            topics.met()
        )
    }
}

/// How long after the answer to a ping retained messages are waited for: some brokers send them after it.
const KNOWN_WITHIN: Duration = Duration::from_millis(300);

/// The most topics that are shown, and the most bytes of a value.
const MOST_SHOWN: usize = 20;
const VALUE_BYTES: usize = 60;
