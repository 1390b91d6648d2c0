//! The connections that are served at one time, and the one clock of all their deadlines.
//!
//! Promises: never more connections than the limit; a wait that is given a limit ends soon after it; when all slots
//! are taken, a newcomer gets the slot of a connection that is owed nothing, in the order of [`Rank`]; a name with few
//! connections keeps them while another name has more.
//! Does not: keep a timer for each connection. A deadline is noted at the price of a store, and one tick looks at
//! them all.

use std::cell::{Cell, RefCell};
use std::cmp::Reverse;
use std::collections::{BTreeMap, HashMap};
use std::future::{Future, poll_fn};
use std::pin::pin;
use std::rc::{Rc, Weak};
use std::task::Poll;
use std::time::{Duration, Instant};

use smol::Task;

pub(in crate::http) use self::slot_state::Stage;
use self::slot_state::{Rank, SlotState};
use crate::http::net::remote_addr::RemoteAddr;
use crate::mcp::Principal;

mod slot_state;

/// The connection slots of one listener.
#[derive(Debug)]
pub(in crate::http) struct ConnectionSlots {
    limit: usize,
    /// In the order of arrival.
    taken: RefCell<BTreeMap<u64, Weak<SlotState>>>,
    /// The task of each slot, until the slot is given up.
    tasks: RefCell<BTreeMap<u64, Task<()>>>,
    last: Cell<u64>,
}

/// Stores the task that serves a slot's connection.
pub(in crate::http) struct TaskKeeper {
    number: u64,
    slots: Rc<ConnectionSlots>,
}

/// One connection's slot; dropping it frees it.
#[derive(Debug)]
pub(in crate::http) struct Slot {
    number: u64,
    place: Rc<SlotState>,
    slots: Rc<ConnectionSlots>,
}

/// A connection that can make room for another.
struct Candidate {
    rank: Rank,
    number: u64,
    place: Rc<SlotState>,
}

/// The signal to one connection that its key counts no longer.
#[derive(Clone, Debug)]
pub(in crate::http) struct Dismissal(Rc<SlotState>);

/// Why a wait ended without its result.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::http) enum Interrupted {
    Late,
    /// Another connection has the slot.
    Evicted,
}

impl ConnectionSlots {
    pub(in crate::http) fn new(limit: usize) -> Rc<ConnectionSlots> {
        Rc::new(ConnectionSlots {
            limit,
            taken: RefCell::default(),
            tasks: RefCell::default(),
            last: Cell::new(0),
        })
    }

    /// A slot for a newcomer, if there is one or someone can be asked to leave.
    pub(in crate::http) fn take(self: &Rc<Self>, peer: RemoteAddr) -> Option<Slot> {
        if self.is_full() {
            self.evict()?;
        }
        let number = self.last.get() + 1;
        self.last.set(number);
        let place = Rc::new(SlotState::of(peer));
        self.taken
            .borrow_mut()
            .insert(number, Rc::downgrade(&place));
        Some(Slot {
            number,
            place,
            slots: Rc::clone(self),
        })
    }

    pub(in crate::http) fn is_empty(&self) -> bool {
        self.taken.borrow().is_empty()
    }

    pub(in crate::http) fn is_full(&self) -> bool {
        self.taken.borrow().len() >= self.limit
    }

    /// How long a new connection has to wait until one without a key can be evicted for it: each has a moment to show a
    /// key.
    pub(in crate::http) fn rest(&self, now: Instant) -> Option<Duration> {
        if !self.is_full() {
            return None;
        }
        let Candidate { rank, place, .. } = self.next_to_leave()?;
        let stayed = now.saturating_duration_since(place.since.get());
        (rank == Rank::Stranger && stayed < STAY).then(|| STAY - stayed)
    }

    /// Whether every connection has come to its end, of those that were evicted, too.
    pub(in crate::http) fn is_over(&self) -> bool {
        self.tasks.borrow().is_empty()
    }

    /// Ends every wait whose time is up.
    pub(in crate::http) fn tick(&self, now: Instant) {
        for place in self.taken.borrow().values().filter_map(Weak::upgrade) {
            if place.deadline.get().is_some_and(|deadline| deadline <= now) {
                place.call(Interrupted::Late);
            }
        }
    }

    /// Ends the wait of every connection that is between two requests.
    pub(in crate::http) fn dismiss_waiting(&self) {
        for place in self.taken.borrow().values().filter_map(Weak::upgrade) {
            if place.stage.get() == Stage::Request {
                place.call(Interrupted::Evicted);
            }
        }
    }

    /// Ends the exchange of every connection of these principals.
    pub(in crate::http) fn dismiss(&self, whose: impl Fn(&Principal) -> bool) {
        for place in self.taken.borrow().values().filter_map(Weak::upgrade) {
            let is_concerned = place.principal.borrow().as_deref().is_some_and(&whose);
            if is_concerned {
                place.dismissed.replace(place.principal.take());
                place.dismissal.notify();
            }
        }
    }

    /// Ends every task, whatever it is at.
    pub(in crate::http) fn clear(&self) {
        let tasks = self.tasks.take();
        drop(tasks);
    }

    /// Evicts one connection although there are free slots, because another resource is exhausted: of the connections
    /// that are owed nothing one without a key before others, and the one that waits longest.
    pub(in crate::http) fn let_one_go(&self) {
        let mut candidates = self.candidates();
        let first = candidates.iter().map(|it| it.rank).min();
        candidates.retain(|it| Some(it.rank) == first);
        let candidates = self.of_first_name(candidates);
        let next = candidates.into_iter().min_by_key(Candidate::age);
        if let Some(Candidate { number, place, .. }) = next {
            place.call(Interrupted::Evicted);
            self.taken.borrow_mut().remove(&number);
        }
    }

    /// Frees a slot; `None` when all are owed an answer.
    fn evict(&self) -> Option<()> {
        let Candidate { number, place, .. } = self.next_to_leave()?;
        place.call(Interrupted::Evicted);
        // Its connection ends in the next turn; the slot counts as free from now on.
        self.taken.borrow_mut().remove(&number);
        Some(())
    }

    /// The connection to evict: among those of the first rank, and of the first name, the oldest of the peer that has
    /// most of them.
    fn next_to_leave(&self) -> Option<Candidate> {
        let mut candidates = self.candidates();
        let rank = self.first_rank(candidates.iter().map(|it| it.rank))?;
        candidates.retain(|it| it.rank == rank);
        let candidates = self.of_first_name(candidates);
        let mut of_peer = HashMap::<RemoteAddr, usize>::new();
        for it in &candidates {
            *of_peer.entry(it.place.peer).or_default() += 1;
        }
        candidates
            .into_iter()
            .max_by_key(|it| (of_peer.get(&it.place.peer).copied(), Reverse(it.age())))
    }

    /// The connections that can make room.
    fn candidates(&self) -> Vec<Candidate> {
        let taken = self.taken.borrow();
        let candidates = taken.iter().filter_map(|(number, place)| {
            let place = place.upgrade()?;
            let (rank, number) = (place.rank()?, *number);
            Some(Candidate {
                rank,
                number,
                place,
            })
        });
        candidates.collect()
    }

    /// Of connections of one rank, those of the name that has most connections, if the rank is that of proven ones.
    /// Otherwise one caller would push out another by opening connections, from however many addresses.
    fn of_first_name(&self, mut candidates: Vec<Candidate>) -> Vec<Candidate> {
        if candidates.first().map(|it| it.rank) != Some(Rank::Proven) {
            return candidates;
        }
        // Those that are owed an answer count, too: a name whose calls hold most connections is not the smaller one.
        let mut of_name = HashMap::<Rc<str>, usize>::new();
        for place in self.taken.borrow().values().filter_map(Weak::upgrade) {
            if let Some(name) = place.name() {
                *of_name.entry(name).or_default() += 1;
            }
        }
        let count = |it: &Candidate| it.place.name().and_then(|name| of_name.get(&name).copied());
        let first = candidates
            .iter()
            .max_by_key(|it| (count(it), Reverse(it.age())))
            .and_then(|it| it.place.name());
        candidates.retain(|it| it.place.name() == first);
        self.without_streams(candidates)
    }

    /// Those of these connections of one name that have no stream, if there are some: a client loses less with an idle
    /// connection. Where nearly all have streams, they make room as the others do, because otherwise an agent that
    /// opens streams without end would leave others of its name no connection from one request to the next.
    fn without_streams(&self, mut candidates: Vec<Candidate>) -> Vec<Candidate> {
        let streams = candidates.iter().filter(|it| it.is_stream()).count();
        if streams < candidates.len() && streams <= self.limit - self.limit / STREAMLESS {
            candidates.retain(|it| !it.is_stream());
        }
        candidates
    }

    /// The rank that makes room. Some slots are left to clients that have yet to show a key, because otherwise a crowd
    /// of clients without keys would push out a client with the right key before the client could show it.
    fn first_rank(&self, ranks: impl Iterator<Item = Rank> + Clone) -> Option<Rank> {
        let strangers = ranks.clone().filter(|rank| *rank == Rank::Stranger).count();
        let first = ranks.clone().min()?;
        match first == Rank::Stranger && strangers <= self.limit / STRANGERS {
            true => ranks.max(),
            false => Some(first),
        }
    }
}

impl Candidate {
    /// Since when it waits; of two, the lesser waits longer.
    fn age(&self) -> (Instant, u64) {
        (self.place.since.get(), self.number)
    }

    fn is_stream(&self) -> bool {
        self.place.stage.get() == Stage::Stream
    }
}

impl Slot {
    /// Waits for `work`, but not longer than `limit`.
    pub(in crate::http) async fn within<T>(
        &self,
        limit: Duration,
        work: impl Future<Output = T>,
    ) -> Result<T, Interrupted> {
        self.within_at(self.place.stage.get(), limit, work).await
    }

    /// Waits as `within` does; meanwhile the connection is at this stage.
    pub(in crate::http) async fn within_at<T>(
        &self,
        stage: Stage,
        limit: Duration,
        work: impl Future<Output = T>,
    ) -> Result<T, Interrupted> {
        let mut work = pin!(work);
        let place = &self.place;
        let before = (place.stage.get(), place.since.get());
        if place.called.get() == Some(Interrupted::Late) {
            place.called.set(None);
        }
        let mut armed = false;
        let result = poll_fn(|context| {
            // First of all: nothing is begun for a connection that has no slot any more.
            if place.called.get() == Some(Interrupted::Evicted) {
                return Poll::Ready(Err(Interrupted::Evicted));
            }
            if let Poll::Ready(result) = work.as_mut().poll(context) {
                return Poll::Ready(Ok(result));
            }
            if let Some(called) = place.called.get() {
                return Poll::Ready(Err(called));
            }
            if !armed {
                // Most waits are over before this is reached, and cost no look at the clock.
                let now = Instant::now();
                place.deadline.set(now.checked_add(limit));
                if stage != before.0 {
                    place.enter(stage, now);
                }
                armed = true;
            }
            place.interrupted.register(context);
            Poll::Pending
        })
        .await;
        place.deadline.set(None);
        place.enter(before.0, before.1);
        result
    }

    /// The slot's number, which no other slot has or had.
    pub(in crate::http) fn number(&self) -> u64 {
        self.number
    }

    /// Notes that the connection waits for a request.
    pub(in crate::http) fn waits(&self) {
        self.place.enter(Stage::Request, Instant::now());
    }

    /// Notes that the next request is here already, which gives a client without a key no claim.
    pub(in crate::http) fn has_asked_ahead(&self) {
        if !self.place.is_proven() {
            self.waits();
        }
    }

    /// Whether every slot is taken.
    pub(in crate::http) fn is_in_a_crowd(&self) -> bool {
        self.slots.is_full()
    }

    /// Notes that the client is owed an answer.
    pub(in crate::http) fn is_served(&self) {
        self.place.stage.set(Stage::Served);
        self.place.has_asked.set(true);
        self.place.dismissed.take();
    }

    /// Notes that the client listens to an event stream.
    pub(in crate::http) fn listens(&self) {
        self.place.enter(Stage::Stream, Instant::now());
    }

    /// Gives the slot back; the task that had it, which goes on.
    pub(in crate::http) fn leave(self) -> Option<Task<()>> {
        self.slots.tasks.borrow_mut().remove(&self.number)
    }

    /// The signal that the exchange has to end.
    pub(in crate::http) fn dismissal(&self) -> Dismissal {
        Dismissal(Rc::clone(&self.place))
    }

    /// Whose key or place counts no longer since the exchange began.
    pub(in crate::http) fn dismissed(&self) -> Option<Rc<Principal>> {
        self.place.dismissed.borrow().clone()
    }

    /// For the task that is to have it.
    pub(in crate::http) fn keeper(&self) -> TaskKeeper {
        TaskKeeper {
            number: self.number,
            slots: Rc::clone(&self.slots),
        }
    }

    /// Notes that the client has shown a key, or needs none.
    pub(in crate::http) fn is_let_in(&self, principal: &Rc<Principal>) {
        let mut known = self.place.principal.borrow_mut();
        if !known
            .as_ref()
            .is_some_and(|known| Rc::ptr_eq(known, principal))
        {
            *known = Some(Rc::clone(principal));
        }
    }
}

impl TaskKeeper {
    /// Keeps `task`, which has the slot and has not begun, until the slot is left.
    pub(in crate::http) fn keep(self, task: Task<()>) {
        self.slots.tasks.borrow_mut().insert(self.number, task);
    }
}

impl Dismissal {
    /// Waits until the key counts no longer, or another connection has the slot.
    pub(in crate::http) async fn comes(&self) {
        let place = &self.0;
        let is_dismissed = || place.dismissed.borrow().is_some();
        let is_over = || is_dismissed() || place.called.get() == Some(Interrupted::Evicted);
        place.dismissal.until(is_over).await;
    }
}

impl Drop for Slot {
    fn drop(&mut self) {
        self.slots.taken.borrow_mut().remove(&self.number);
        let task = self.slots.tasks.borrow_mut().remove(&self.number);
        if let Some(task) = task {
            // The task is about to end by itself.
            task.detach();
        }
    }
}

/// Time for a client without a key to send a head; 256 slots let 5,000 such clients a second through.
const STAY: Duration = Duration::from_millis(50);
/// One slot in this many is left to clients that have yet to show a key.
const STRANGERS: usize = 4;
/// One slot in this many is left to connections without a stream, as far as they are of the same name.
const STREAMLESS: usize = 4;
