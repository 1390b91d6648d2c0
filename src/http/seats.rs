//! The connections that are served at one time, and the one clock of all their deadlines.
//!
//! Promises: never more connections than the limit; a wait that is given a limit ends soon after it; when all seats
//! are taken, a newcomer gets the seat of whoever has waited longest without asking anything, strangers first.
//! Does not: keep a timer for each connection. A deadline is noted at the price of a store, and one tick looks at
//! them all.

use std::cell::{Cell, RefCell};
use std::collections::BTreeMap;
use std::future::{Future, poll_fn};
use std::pin::pin;
use std::rc::{Rc, Weak};
use std::task::{Poll, Waker};
use std::time::{Duration, Instant};

use smol::Task;

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

#[derive(Debug, Default)]
struct Place {
    deadline: Cell<Option<Instant>>,
    /// Why a wait is to end.
    called: Cell<Option<Called>>,
    waker: RefCell<Option<Waker>>,
    /// It is waiting for a request, since then.
    waiting: Cell<Option<Instant>>,
    /// It has shown the key.
    proven: Cell<bool>,
    /// What it is being served has to end: its key counts no longer.
    dismissed: Cell<bool>,
    dismissal: RefCell<Option<Waker>>,
}

/// Tells one connection that its key counts no longer.
#[derive(Clone, Debug)]
pub(super) struct Dismissal(Rc<Place>);

/// Why a wait ended without its result.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Called {
    /// The time is up.
    Late,
    /// Someone else needs the seat.
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
    pub(super) fn take(self: &Rc<Self>) -> Option<Seat> {
        if self.taken.borrow().len() >= self.limit {
            self.evict()?;
        }
        let number = self.last.get() + 1;
        self.last.set(number);
        let place = Rc::<Place>::default();
        place.waiting.set(Some(Instant::now()));
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
            if place.waiting.get().is_some() {
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

    /// Asks whoever makes room first to leave; `None` when nobody can.
    pub(super) fn evict(&self) -> Option<()> {
        let taken = self.taken.borrow();
        let waiting = taken.iter().filter_map(|(number, place)| {
            let place = place.upgrade()?;
            Some((place.proven.get(), place.waiting.get()?, *number, place))
        });
        let (_, _, number, place) = waiting.min_by_key(|(proven, since, ..)| (*proven, *since))?;
        place.call(Called::Evicted);
        drop(taken);
        // Its connection ends in the next turn; the seat counts as free from now on.
        self.taken.borrow_mut().remove(&number);
        Some(())
    }
}

impl Seat {
    /// Waits for `work`, but not longer than `limit`.
    pub(super) async fn within<T>(
        &self,
        limit: Duration,
        work: impl Future<Output = T>,
    ) -> Result<T, Called> {
        let mut work = pin!(work);
        let place = &self.place;
        if place.called.get() == Some(Called::Late) {
            place.called.set(None);
        }
        let mut armed = false;
        let result = poll_fn(|context| {
            if let Poll::Ready(result) = work.as_mut().poll(context) {
                return Poll::Ready(Ok(result));
            }
            if let Some(called) = place.called.get() {
                return Poll::Ready(Err(called));
            }
            if !armed {
                // Most waits are over before this is reached, and cost no look at the clock.
                place.deadline.set(Instant::now().checked_add(limit));
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
        result
    }

    /// From now on it waits for a request, and may be asked to leave for a newcomer.
    pub(super) fn waits(&self) {
        self.place.waiting.set(Some(Instant::now()));
    }

    /// From now on it is being served.
    pub(super) fn is_served(&self) {
        self.place.waiting.set(None);
        self.place.dismissed.set(false);
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
    /// Waits until it does.
    pub(super) async fn comes(&self) {
        poll_fn(|context| {
            if self.0.dismissed.get() {
                return Poll::Ready(());
            }
            self.0.dismissal.replace(Some(context.waker().clone()));
            Poll::Pending
        })
        .await;
    }
}

impl Place {
    fn call(&self, why: Called) {
        if self.called.get() != Some(Called::Evicted) {
            self.called.set(Some(why));
        }
        if let Some(waker) = self.waker.take() {
            waker.wake();
        }
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
