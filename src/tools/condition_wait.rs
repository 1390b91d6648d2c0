//! Waits until a condition holds on the messages of a filter.
//!
//! Promises: each message is judged as it arrives, in the order of arrival and with the breaks of the connection between
//! them; nothing is judged that the policy does not permit, and the wait ends when the permission is withdrawn.

use std::cell::{Cell, RefCell};
use std::rc::Rc;
use std::time::{Duration, Instant};

use mcpmqtt_protocol::topic::SubscribeFilter;
use smol::future;

use super::access::{Access, Denied, Follow};
use super::deadline::Deadline;
use crate::local::notify::Notify;
use crate::local::time;
use crate::mqtt::{Tap, Tapped};
use crate::observe::watcher::{ConditionWatch, Met, Step};

/// A condition that is watched on a filter. Dropping it ends the subscription.
pub(super) struct ConditionWait {
    follow: Follow,
    state: Rc<WaitState>,
}

struct WaitState {
    watch: RefCell<ConditionWatch>,
    end: RefCell<Option<WaitEnd>>,
    changed: Notify,
    too_large: Cell<u64>,
    interruptions: Cell<u64>,
    /// Called at the moment when the condition is met.
    on_met: Box<dyn Fn(Instant)>,
}

/// The end of a wait.
#[derive(Clone, Debug)]
pub(super) enum WaitEnd {
    Met(Box<Met>),
    /// The time is over.
    NotMet,
    /// No more messages will come, for this reason.
    Lost(String),
}

impl ConditionWait {
    /// Begins to watch; when this returns, the broker has granted the subscription. `on_met` is called as soon as the
    /// condition is met, before any later message is handled.
    ///
    /// # Errors
    /// As [`Access::follow`], also when the deadline passes first.
    pub(super) async fn begin(
        access: &Access,
        deadline: &Deadline,
        filter: SubscribeFilter,
        watch: ConditionWatch,
        on_met: impl Fn(Instant) + 'static,
    ) -> Result<ConditionWait, Denied> {
        let state = Rc::new(WaitState {
            watch: RefCell::new(watch),
            end: RefCell::default(),
            changed: Notify::default(),
            too_large: Cell::new(0),
            interruptions: Cell::new(0),
            on_met: Box::new(on_met),
        });
        let follow = deadline.follow(access, filter, state.tap()).await?;
        Ok(ConditionWait { follow, state })
    }

    /// Starts a watch that was only prepared: from now on a message can meet the condition.
    pub(super) fn start(&self, timeout: Duration) {
        let now = time::now();
        self.state.watch.borrow_mut().start(now, now + timeout);
    }

    /// Waits for the end. Reports the latest value as progress.
    ///
    /// # Errors
    /// [`Denied::Withdrawn`].
    pub(super) async fn end(&self, deadline: &Deadline) -> Result<WaitEnd, Denied> {
        let waiting = deadline.with_reports(self.state.ended(), || self.state.status());
        self.follow.run(waiting).await
    }

    /// What was seen so far.
    pub(super) fn watch(&self) -> std::cell::Ref<'_, ConditionWatch> {
        self.state.watch.borrow()
    }

    /// The number of messages that were too large to be judged.
    pub(super) fn too_large(&self) -> u64 {
        self.state.too_large.get()
    }

    /// How often the connection was lost; messages sent meanwhile may be missing.
    pub(super) fn interruptions(&self) -> u64 {
        self.state.interruptions.get()
    }
}

impl WaitState {
    fn tap(self: &Rc<Self>) -> Tap {
        let state = Rc::clone(self);
        Rc::new(move |now, tapped| {
            state.take(now, tapped);
            state.changed.notify();
        })
    }

    fn take(&self, now: Instant, tapped: Tapped<'_>) {
        match tapped {
            Tapped::Message { message, .. } => {
                let topic = message.topic.as_str();
                let mut watch = self.watch.borrow_mut();
                watch.message(now, topic, &message.payload, message.retain);
            }
            Tapped::TooLarge(large) => {
                self.too_large.set(self.too_large.get() + 1);
                self.watch.borrow_mut().unread(now, large.topic.as_str());
            }
            Tapped::Interrupted => {
                self.interruptions.set(self.interruptions.get() + 1);
                self.watch.borrow_mut().interrupted(now);
            }
            Tapped::Ended(reason) => {
                let lost = WaitEnd::Lost(reason.to_string());
                self.end.borrow_mut().get_or_insert(lost);
            }
        }
        self.poll(now);
    }

    /// Records the end, if it has come; otherwise returns when it is to be looked for again.
    fn poll(&self, now: Instant) -> Option<Instant> {
        if self.end.borrow().is_some() {
            return None;
        }
        let step = self.watch.borrow_mut().poll(now);
        let end = match step {
            Step::Wait(until) => return Some(until),
            Step::Met(met) => {
                (self.on_met)(met.at);
                WaitEnd::Met(met)
            }
            Step::Prepared => return None,
            Step::TimedOut | Step::Ended => WaitEnd::NotMet,
        };
        *self.end.borrow_mut() = Some(end);
        None
    }

    async fn ended(&self) -> WaitEnd {
        loop {
            let until = self.poll(time::now());
            if let Some(end) = &*self.end.borrow() {
                return end.clone();
            }
            let Some(until) = until else {
                return WaitEnd::NotMet;
            };
            let changed = self.changed.until(|| self.poll(time::now()) != Some(until));
            future::or(changed, async {
                time::at(until).await;
            })
            .await;
        }
    }

    fn status(&self) -> String {
        let watch = self.watch.borrow();
        match watch.last() {
            Some((topic, last)) => format!("{topic} is {}", last.reading.to_json(60).value),
            None => "no message yet".into(),
        }
    }
}
