//! The observation of topics for the overview: which filters are subscribed to, how long, and the table of what came.
//!
//! Promises: nothing is subscribed to until a caller asks, or the operator names a filter; then only the part of the filter
//! that may be read, at QoS 0, and no filter inside another; it ends some time after its last use, and above a rate of
//! bytes. A filter for which the broker ended a connection is not requested again, and callers are told.
//! Does not: judge what a caller may see of the table.

mod always;
mod flow;
mod look;
mod too_large;

use std::cell::{Cell, RefCell};
use std::rc::{Rc, Weak};
use std::time::{Duration, Instant};

use mcpmqtt_config::{Observe, Policy};
use mcpmqtt_protocol::topic::{Shown, SubscribeFilter, TopicFilter};
use smol::{LocalExecutor, Task, future};

pub(super) use self::always::MOST_ALWAYS;
use self::always::STOPPED_FOR;
use self::flow::Flow;
use self::look::Look;
use self::too_large::TooLargeTopics;
use super::access::{Access, NotObserved};
use super::deadline::Deadline;
use crate::local::notify::Notify;
use crate::local::time;
use crate::logger;
use crate::mcp::{Caller, Place, Places};
use crate::mqtt::{Observing, Tap, Tapped};
use crate::observe::cover::Cover;
use crate::observe::table::{Limits, Table};

/// The observation. Cheap to clone; clones share it.
#[derive(Clone, Debug)]
pub(super) struct Observation(Rc<ObservationState>);

#[derive(Debug)]
struct ObservationState {
    access: Access,
    settings: Observe,
    /// Of the filters that are observed because callers ask.
    places: Places,
    table: RefCell<Table>,
    watched: RefCell<Vec<Watched>>,
    /// What calls look at now.
    looks: RefCell<Vec<TopicFilter>>,
    /// The filters that the broker does not allow, with its reason.
    refused: RefCell<Vec<(TopicFilter, String)>>,
    flow: RefCell<Flow>,
    too_large: RefCell<TooLargeTopics>,
    /// When the connection was last lost.
    interrupted: Cell<Option<Instant>>,
    /// Why observation was stopped, until it is asked for again.
    stopped: RefCell<Option<String>>,
    /// Notified when the task that ends observation has something to do.
    due: Notify,
    is_tended: Cell<bool>,
    /// Begins to watch what is always watched; a new policy begins anew.
    beginning: RefCell<Option<Task<()>>>,
    executor: Weak<LocalExecutor<'static>>,
}

/// A filter that is subscribed to.
#[derive(Debug)]
struct Watched {
    filter: TopicFilter,
    since: Instant,
    last_used: Instant,
    always: bool,
    /// Of the caller who asked first; `observe.always` needs none.
    place: Option<Place>,
    _observing: Observing,
}

/// What an overview has to say about its own completeness.
#[derive(Debug, Default)]
pub(super) struct Watching {
    /// Since when all of it was watched.
    pub(super) since: Option<Instant>,
    pub(super) notes: Vec<String>,
    /// Held until the table was read, and dropped after it.
    pub(super) look: Option<Look>,
}

impl Observation {
    pub(super) fn new(
        access: Access,
        settings: Observe,
        places: Places,
        executor: Weak<LocalExecutor<'static>>,
    ) -> Observation {
        let limits = Limits {
            topics: settings.topics,
            bytes: settings.bytes,
        };
        let flow = Flow::new(settings.bytes_per_second, time::now());
        let observation = Observation(Rc::new(ObservationState {
            access,
            settings,
            places,
            table: RefCell::new(Table::new(limits)),
            watched: RefCell::default(),
            looks: RefCell::default(),
            refused: RefCell::default(),
            flow: RefCell::new(flow),
            too_large: RefCell::default(),
            interrupted: Cell::new(None),
            stopped: RefCell::default(),
            due: Notify::default(),
            is_tended: Cell::new(false),
            beginning: RefCell::default(),
            executor,
        }));
        observation.begin_always(Duration::ZERO);
        observation
    }

    /// Watches the part of `filter` that the caller may read. The notes say what is not watched, and why.
    pub(super) async fn watch(
        &self,
        caller: &Caller,
        filter: &TopicFilter,
        deadline: &Deadline,
    ) -> Watching {
        let state = &self.0;
        state.stopped.take();
        let mut watching = Watching::default();
        state.access.tell_read(caller, filter.as_str(), None);
        let wanted = readable(&state.access.policy(caller), filter);
        watching.look = Some(Look::at(state, wanted.clone()));
        for filter in &wanted {
            let watch = deadline.until_deadline(state.watch(filter, Some(caller)));
            match watch.await {
                Some(Ok(())) => {}
                Some(Err(why)) => watching
                    .notes
                    .push(format!("{} is not watched: {why}", Shown(filter.as_str()))),
                None => {
                    let seconds = deadline.seconds();
                    watching.notes.push(format!(
                        "not all filters were granted within {seconds} s; ask again"
                    ));
                    break;
                }
            }
        }
        let watched = state.watched.borrow();
        let of_wanted = watched
            .iter()
            .filter(|it| wanted.iter().any(|wanted| it.filter.covers(wanted)));
        watching.since = of_wanted.map(|it| it.since).max();
        drop(watched);
        self.tend();
        watching
    }

    /// What is missing because the connection was lost after `since`, from which all that was asked for was watched.
    pub(super) fn gap(&self, since: Option<Instant>) -> Option<String> {
        let lost = self.0.interrupted.get();
        let at = lost.filter(|at| since.is_some_and(|since| since < *at))?;
        Some(format!(
            "the connection to the broker was lost {:.0} s ago; what came until it was there again is missing",
            time::now().saturating_duration_since(at).as_secs_f64()
        ))
    }

    /// Which of the topics for which `is_asked` holds sent messages that were too large to be kept.
    pub(super) fn too_large(&self, is_asked: impl Fn(&str) -> bool) -> Option<String> {
        self.0.too_large.borrow().told(is_asked)
    }

    /// Why the observation was stopped meanwhile.
    pub(super) fn stopped(&self) -> Option<String> {
        self.0.stopped.borrow().clone()
    }

    /// The table, for reading.
    pub(super) fn table(&self) -> std::cell::Ref<'_, Table> {
        if self.0.access.is_connected() && !self.0.watched.borrow().is_empty() {
            self.0.table.borrow_mut().resumed(time::now());
        }
        self.0.table.borrow()
    }

    /// Ends the observation of what no caller may read any more.
    pub(super) fn replace_policy(&self) {
        let policy = self.0.access.policy_of_anyone();
        let permitted = |watched: &Watched| {
            let filter = SubscribeFilter::parse(watched.filter.as_str());
            filter.is_ok_and(|filter| policy.may_subscribe(&filter).is_ok())
        };
        self.0.keep(permitted);
        if let Some(reserved) = policy.reserved() {
            let mut table = self.0.table.borrow_mut();
            table.retain(|topic| !reserved.matches(topic));
        }
        self.0.refused.take();
        self.begin_always(Duration::ZERO);
    }

    /// Starts the task that ends what is idle, unless it runs.
    fn tend(&self) {
        if self.0.watched.borrow().is_empty() || self.0.is_tended.replace(true) {
            return;
        }
        match self.0.executor.upgrade() {
            Some(executor) => {
                executor.spawn(Rc::clone(&self.0).tend()).detach();
            }
            None => self.0.is_tended.set(false),
        }
    }
}

impl ObservationState {
    /// Watches a filter, unless a filter that covers it is watched: for a caller, or always.
    async fn watch(
        self: &Rc<Self>,
        filter: &TopicFilter,
        caller: Option<&Caller>,
    ) -> Result<(), String> {
        let always = caller.is_none();
        if self.is_covered(filter, always) {
            return Ok(());
        }
        if let Some(why) = self.refusal(filter) {
            return Err(why);
        }
        let place = self.place(caller)?;
        let subscribed = SubscribeFilter::parse(filter.as_str()).map_err(|why| why.to_string())?;
        let observing = self
            .access
            .observe(subscribed, self.tap(filter.clone()))
            .await;
        let observing = observing.map_err(|NotObserved { why, is_final }| {
            if is_final {
                self.refuse(filter, &why);
            }
            why
        })?;
        let mut watched = self.watched.borrow_mut();
        // The wider filter takes the place of those inside it.
        let inside = |it: &Watched| filter.covers(&it.filter);
        let always = always || watched.iter().any(|it| inside(it) && it.always);
        watched.retain(|it| !inside(it));
        let now = time::now();
        watched.push(Watched {
            filter: filter.clone(),
            since: now,
            last_used: now,
            always,
            place: place.filter(|_| !always),
            _observing: observing,
        });
        Ok(())
    }

    /// The place of one more filter.
    fn place(&self, caller: Option<&Caller>) -> Result<Option<Place>, String> {
        match caller {
            Some(caller) => self.places.enter(caller.id()).map(Some).map_err(|full| {
                format!("of the filters that can be observed at the same time, {full}; ask for a wider topic, or later")
            }),
            None => {
                let watched = self.watched.borrow();
                match watched.iter().filter(|it| it.always).count() >= MOST_ALWAYS {
                    true => Err(format!("{MOST_ALWAYS} filters are observed always")),
                    false => Ok(None),
                }
            }
        }
    }

    /// Whether a filter that covers this one is watched; then it is used now.
    fn is_covered(&self, filter: &TopicFilter, always: bool) -> bool {
        let mut watched = self.watched.borrow_mut();
        let covering = watched.iter_mut().find(|it| it.filter.covers(filter));
        covering.is_some_and(|watched| {
            watched.last_used = time::now();
            if always {
                watched.always = true;
                watched.place = None;
            }
            true
        })
    }

    /// When a filter is no longer used, if nobody looks again.
    fn end_of_use(&self, watched: &Watched, now: Instant) -> Instant {
        let looks = self.looks.borrow();
        let last_used = match looks.iter().any(|look| watched.filter.covers(look)) {
            true => now,
            false => watched.last_used,
        };
        last_used + self.settings.idle
    }

    fn tap(self: &Rc<Self>, filter: TopicFilter) -> Tap {
        let state = Rc::downgrade(self);
        Rc::new(move |now, tapped| {
            if let Some(state) = state.upgrade() {
                state.take(now, &filter, tapped);
            }
        })
    }

    fn take(&self, now: Instant, filter: &TopicFilter, tapped: Tapped<'_>) {
        match tapped {
            Tapped::Message {
                message,
                may_be_copy,
            } => {
                let mut table = self.table.borrow_mut();
                let topic = message.topic.as_str();
                table.message(now, topic, &message.payload, message.retain, may_be_copy);
                self.flows(now, message.size());
            }
            Tapped::TooLarge(large) => {
                self.too_large.borrow_mut().note(&large.topic);
                self.flows(now, large.payload_bytes);
            }
            Tapped::Interrupted => {
                self.interrupted.set(Some(now));
                self.table.borrow_mut().interrupted(now);
            }
            Tapped::Ended(reason) => {
                self.refuse(filter, &reason.to_string());
                self.due.notify();
            }
        }
    }

    /// Why the broker does not allow a filter, if it showed that.
    fn refusal(&self, filter: &TopicFilter) -> Option<String> {
        let refused = self.refused.borrow();
        let (_, why) = refused.iter().find(|(refused, _)| refused == filter)?;
        Some(why.clone())
    }

    fn refuse(&self, filter: &TopicFilter, why: &str) {
        let mut refused = self.refused.borrow_mut();
        if refused.len() < MOST_REFUSED {
            refused.push((filter.clone(), why.to_owned()));
        }
    }

    /// Counts bytes; above the rate, observation stops.
    fn flows(&self, now: Instant, bytes: usize) {
        if self.flow.borrow_mut().take(now, bytes) || self.stopped.borrow().is_some() {
            return;
        }
        let rate = self.settings.bytes_per_second;
        self.stopped.replace(Some(format!(
            "observation was stopped: more than {rate} bytes a second came (`observe.bytes_per_second`). Ask for a \
             narrower topic"
        )));
        self.due.notify();
    }

    /// Ends what is idle, until nothing is watched.
    async fn tend(self: Rc<Self>) {
        loop {
            let now = time::now();
            let is_stopped = self.stopped.borrow().is_some();
            let refused = self.refused.borrow().clone();
            self.keep(|watched| {
                let is_used = watched.always || self.end_of_use(watched, now) > now;
                let is_refused = refused.iter().any(|(filter, _)| *filter == watched.filter);
                is_used && !is_stopped && !is_refused
            });
            if is_stopped {
                logger::warning(format_args!(
                    "observation was stopped: more than {} bytes a second came",
                    self.settings.bytes_per_second
                ));
                Observation(Rc::clone(&self)).begin_always(STOPPED_FOR);
            }
            let Some(next) = self.next_end(now) else {
                break;
            };
            let idle = async {
                time::at(next).await;
            };
            let due = self.due.until(|| {
                let is_refused = self.refused.borrow().len() != refused.len();
                self.stopped.borrow().is_some() || is_refused
            });
            future::or(idle, due).await;
        }
        self.is_tended.set(false);
    }

    /// When the next filter is idle; None when nothing is watched.
    fn next_end(&self, now: Instant) -> Option<Instant> {
        let watched = self.watched.borrow();
        let ends = watched.iter().map(|it| match it.always {
            true => now + A_DAY,
            false => self.end_of_use(it, now),
        });
        ends.min()
    }

    /// Keeps these filters, and the rows of their topics.
    fn keep(&self, keep: impl Fn(&Watched) -> bool) {
        let mut watched = self.watched.borrow_mut();
        let before = watched.len();
        watched.retain(keep);
        let has_ended = watched.len() < before;
        drop(watched);
        if has_ended {
            self.forget_unwatched();
        }
    }

    /// Drops the rows of topics that nobody watches or looks at: a row must not go on after a gap that it does not know of.
    fn forget_unwatched(&self) {
        let (watched, looks) = (self.watched.borrow(), self.looks.borrow());
        let cover = || watched.iter().map(|it| &it.filter).chain(&*looks);
        let is_covered = |topic: &str| cover().any(|filter| filter.matches(topic));
        self.table.borrow_mut().retain(is_covered);
        self.too_large.borrow_mut().retain(is_covered);
    }
}

/// The part of a filter that the policy permits to read, as filters of which none is inside another.
fn readable(policy: &Policy, filter: &TopicFilter) -> Vec<TopicFilter> {
    let whole = SubscribeFilter::parse(filter.as_str());
    if whole.is_ok_and(|whole| policy.may_subscribe(&whole).is_ok()) {
        return vec![filter.clone()];
    }
    let grants = policy.grants().filter(|grant| grant.permissions.read);
    let parts: Vec<_> = grants
        .filter_map(|grant| grant.pattern.intersection(filter))
        .collect();
    Cover::plan(&parts).filters().to_vec()
}

/// The most refused filters that are remembered.
const MOST_REFUSED: usize = 100;

const A_DAY: Duration = Duration::from_secs(86_400);

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests;
