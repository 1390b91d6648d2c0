//! The connections that are served at one time, and the one clock of all their deadlines.
//!
//! Promises: never more connections than the limit; a wait that is given a limit ends soon after it; when all seats
//! are taken, a newcomer gets the seat of a connection that is owed nothing, in the order of [`Rank`].
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

pub(super) use self::place::Stage;
use self::place::{Place, Rank};
use super::peer::Peer;

mod place;

/// All seats.
#[derive(Debug)]
pub(super) struct Seats {
    limit: usize,
    /// In the order of arrival.
    taken: RefCell<BTreeMap<u64, Weak<Place>>>,
    /// What goes on there, each until its seat is left.
    tasks: RefCell<BTreeMap<u64, Task<()>>>,
    last: Cell<u64>,
}

/// Keeps the task that has a seat.
pub(super) struct Keeper {
    number: u64,
    seats: Rc<Seats>,
}

/// One connection's seat; dropping it frees it.
#[derive(Debug)]
pub(super) struct Seat {
    number: u64,
    place: Rc<Place>,
    seats: Rc<Seats>,
}

/// Tells one connection that its key counts no longer.
#[derive(Clone, Debug)]
pub(super) struct Dismissal(Rc<Place>);

/// Why a wait ended without its result.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Called {
    /// The time is up.
    Late,
    /// Someone else has the seat.
    Evicted,
}

impl Seats {
    pub(super) fn new(limit: usize) -> Rc<Seats> {
        Rc::new(Seats {
            limit,
            taken: RefCell::default(),
            tasks: RefCell::default(),
            last: Cell::new(0),
        })
    }

    /// A seat for a newcomer, if there is one or someone can be asked to leave.
    pub(super) fn take(self: &Rc<Self>, peer: Peer) -> Option<Seat> {
        if self.is_full() {
            self.evict()?;
        }
        let number = self.last.get() + 1;
        self.last.set(number);
        let place = Rc::new(Place::of(peer));
        self.taken
            .borrow_mut()
            .insert(number, Rc::downgrade(&place));
        Some(Seat {
            number,
            place,
            seats: Rc::clone(self),
        })
    }

    pub(super) fn is_empty(&self) -> bool {
        self.taken.borrow().is_empty()
    }

    pub(super) fn is_full(&self) -> bool {
        self.taken.borrow().len() >= self.limit
    }

    /// How long a newcomer has to wait until a stranger can be asked to leave for it: each has a moment to show a key.
    pub(super) fn rest(&self, now: Instant) -> Option<Duration> {
        if !self.is_full() {
            return None;
        }
        let (rank, _, place) = self.next_to_leave()?;
        let stayed = now.saturating_duration_since(place.since.get());
        (rank == Rank::Stranger && stayed < STAY).then(|| STAY - stayed)
    }

    /// Whether every connection has come to its end, of those that were evicted, too.
    pub(super) fn is_over(&self) -> bool {
        self.tasks.borrow().is_empty()
    }

    /// Ends every wait whose time is up.
    pub(super) fn tick(&self, now: Instant) {
        for place in self.taken.borrow().values().filter_map(Weak::upgrade) {
            if place.deadline.get().is_some_and(|deadline| deadline <= now) {
                place.call(Called::Late);
            }
        }
    }

    /// Ends the wait of everyone who is between two requests.
    pub(super) fn dismiss_waiting(&self) {
        for place in self.taken.borrow().values().filter_map(Weak::upgrade) {
            if place.stage.get() == Stage::Request {
                place.call(Called::Evicted);
            }
        }
    }

    /// Ends what everyone is being served who has shown a key.
    pub(super) fn dismiss_served(&self) {
        for place in self.taken.borrow().values().filter_map(Weak::upgrade) {
            place.proven.set(false);
            place.dismissed.set(true);
            if let Some(waker) = place.dismissal.take() {
                waker.wake();
            }
        }
    }

    /// Ends every task, whatever it is at.
    pub(super) fn clear(&self) {
        let tasks = self.tasks.take();
        drop(tasks);
    }

    /// Lets one go although there are seats, since something else is lacking: of those that are owed nothing a stranger
    /// before others, and whoever waits longest.
    pub(super) fn let_one_go(&self) {
        let next = {
            let taken = self.taken.borrow();
            let ranked = taken.iter().filter_map(|(number, place)| {
                let place = place.upgrade()?;
                Some((place.rank()?, place.since.get(), *number, place))
            });
            ranked.min_by_key(|(rank, since, number, _)| (*rank, *since, *number))
        };
        if let Some((_, _, number, place)) = next {
            place.call(Called::Evicted);
            self.taken.borrow_mut().remove(&number);
        }
    }

    /// Frees a seat; `None` when all are owed an answer.
    fn evict(&self) -> Option<()> {
        let (_, number, place) = self.next_to_leave()?;
        place.call(Called::Evicted);
        // Its connection ends in the next turn; the seat counts as free from now on.
        self.taken.borrow_mut().remove(&number);
        Some(())
    }

    /// Of the connections that make room first one of the peer that has most of them, and of its the oldest.
    fn next_to_leave(&self) -> Option<(Rank, u64, Rc<Place>)> {
        let taken = self.taken.borrow();
        let ranked = taken.iter().filter_map(|(number, place)| {
            let place = place.upgrade()?;
            Some((place.rank()?, *number, place))
        });
        let ranked: Vec<_> = ranked.collect();
        let rank = self.first_rank(ranked.iter().map(|(rank, ..)| *rank))?;
        let ranked = ranked.iter().filter(|(it, ..)| *it == rank);
        let mut of_peer = HashMap::<Peer, usize>::new();
        for (_, _, place) in ranked.clone() {
            *of_peer.entry(place.peer).or_default() += 1;
        }
        let next = ranked.max_by_key(|(_, number, place)| {
            let same = of_peer.get(&place.peer).copied();
            (same, Reverse((place.since.get(), *number)))
        });
        next.cloned()
    }

    /// Which of these make room. Some seats are left to those who have yet to show a key, or a crowd of strangers would
    /// push out whoever comes with the right one before it could show it.
    fn first_rank(&self, ranks: impl Iterator<Item = Rank> + Clone) -> Option<Rank> {
        let strangers = ranks.clone().filter(|rank| *rank == Rank::Stranger).count();
        let first = ranks.clone().min()?;
        match first == Rank::Stranger && strangers <= self.limit / STRANGERS {
            true => ranks.max(),
            false => Some(first),
        }
    }
}

impl Seat {
    /// Waits for `work`, but not longer than `limit`.
    pub(super) async fn within<T>(
        &self,
        limit: Duration,
        work: impl Future<Output = T>,
    ) -> Result<T, Called> {
        self.within_at(self.place.stage.get(), limit, work).await
    }

    /// The same; as long as it lasts, the connection is at this stage.
    pub(super) async fn within_at<T>(
        &self,
        stage: Stage,
        limit: Duration,
        work: impl Future<Output = T>,
    ) -> Result<T, Called> {
        let mut work = pin!(work);
        let place = &self.place;
        let before = (place.stage.get(), place.since.get());
        if place.called.get() == Some(Called::Late) {
            place.called.set(None);
        }
        let mut armed = false;
        let result = poll_fn(|context| {
            // First of all: nothing is begun for a connection that has no seat any more.
            if place.called.get() == Some(Called::Evicted) {
                return Poll::Ready(Err(Called::Evicted));
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
            let mut waker = place.waker.borrow_mut();
            if !waker
                .as_ref()
                .is_some_and(|waker| waker.will_wake(context.waker()))
            {
                *waker = Some(context.waker().clone());
            }
            Poll::Pending
        })
        .await;
        place.deadline.set(None);
        place.enter(before.0, before.1);
        result
    }

    /// Its number, which no other seat has or had.
    pub(super) fn number(&self) -> u64 {
        self.number
    }

    /// From now on it waits for a request.
    pub(super) fn waits(&self) {
        self.place.enter(Stage::Request, Instant::now());
    }

    /// Its next request is here already; a stranger has no claim by that.
    pub(super) fn has_asked_ahead(&self) {
        if !self.place.proven.get() {
            self.waits();
        }
    }

    /// Whether every seat is taken.
    pub(super) fn is_in_a_crowd(&self) -> bool {
        self.seats.is_full()
    }

    /// From now on it is owed an answer.
    pub(super) fn is_served(&self) {
        self.place.stage.set(Stage::Served);
        self.place.dismissed.set(false);
    }

    /// From now on it listens to a stream.
    pub(super) fn listens(&self) {
        self.place.enter(Stage::Stream, Instant::now());
    }

    /// Gives the seat back; the task that had it, which goes on.
    pub(super) fn leave(self) -> Option<Task<()>> {
        self.seats.tasks.borrow_mut().remove(&self.number)
    }

    /// Tells when what it is being served has to end.
    pub(super) fn dismissal(&self) -> Dismissal {
        Dismissal(Rc::clone(&self.place))
    }

    /// For the task that is to have it.
    pub(super) fn keeper(&self) -> Keeper {
        Keeper {
            number: self.number,
            seats: Rc::clone(&self.seats),
        }
    }

    pub(super) fn has_shown_the_key(&self) {
        self.place.proven.set(true);
    }
}

impl Keeper {
    /// Keeps `task`, which has the seat and has not begun, until the seat is left.
    pub(super) fn keep(self, task: Task<()>) {
        self.seats.tasks.borrow_mut().insert(self.number, task);
    }
}

impl Dismissal {
    /// Waits until it does, or somebody else has the seat.
    pub(super) async fn comes(&self) {
        poll_fn(|context| {
            if self.0.dismissed.get() || self.0.called.get() == Some(Called::Evicted) {
                return Poll::Ready(());
            }
            self.0.dismissal.replace(Some(context.waker().clone()));
            Poll::Pending
        })
        .await;
    }
}

impl Drop for Seat {
    fn drop(&mut self) {
        self.seats.taken.borrow_mut().remove(&self.number);
        let task = self.seats.tasks.borrow_mut().remove(&self.number);
        if let Some(task) = task {
            // It is about to end by itself.
            task.detach();
        }
    }
}

/// For a stranger to send a head; 256 seats let 5,000 of them a second through.
const STAY: Duration = Duration::from_millis(50);
/// One of so many seats is left to those who have yet to show a key.
const STRANGERS: usize = 4;
