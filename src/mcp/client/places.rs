//! A bounded number of places that callers share.
//!
//! Promises: a place is free again when its [`Place`] is dropped. Where several callers share the places, a caller that
//! holds as many places as are still free gets no more: one caller alone gets half of the places, and some are always
//! left for the next caller. All callers of one name together get at most fifteen sixteenths, however many sessions they
//! begin, and of 16 places or more one at least is left for the next name.
//! Does not: wait for a place.

use std::cell::{Cell, RefCell};
use std::collections::HashMap;
use std::fmt;
use std::hash::Hash;
use std::rc::Rc;

use super::caller::CallerId;

/// A bounded set of places. Cheap to clone; clones share the places.
#[derive(Clone, Debug)]
pub struct Places(Rc<PlacesState>);

#[derive(Debug)]
struct PlacesState {
    limit: usize,
    /// True when the program has a single caller, which may take every place.
    alone: bool,
    taken: Cell<usize>,
    held: RefCell<HashMap<CallerId, usize>>,
    /// By the name of the principal.
    held_by_name: RefCell<HashMap<Rc<str>, usize>>,
}

/// The callers of one name hold at most so many times as many places as are still free.
const SHARE_OF_NAME: usize = 15;

/// A place taken by a caller; dropping the place frees it.
#[derive(Debug)]
pub struct Place {
    room: Rc<PlacesState>,
    caller: CallerId,
}

/// The error for a caller that gets no place.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct NoPlace {
    /// The number of places, taken or free.
    pub limit: usize,
    /// The number of places taken by all callers.
    pub taken: usize,
    /// The number of places taken by this caller.
    pub held: usize,
    /// The number of places taken by all callers of its name, where this is the reason.
    pub held_by_name: Option<usize>,
}

impl Places {
    /// Places for a program with a single caller, which may take every place.
    #[must_use]
    pub fn alone(limit: usize) -> Places {
        Places::new(limit, true)
    }

    /// Places for a program with any number of callers, each of which gets a share.
    #[must_use]
    pub fn shared(limit: usize) -> Places {
        Places::new(limit, false)
    }

    fn new(limit: usize, alone: bool) -> Places {
        Places(Rc::new(PlacesState {
            limit,
            alone,
            taken: Cell::new(0),
            held: RefCell::default(),
            held_by_name: RefCell::default(),
        }))
    }

    /// Takes a place.
    ///
    /// # Errors
    /// When no place is free, or the caller, or all callers of its name, have their share.
    pub fn enter(&self, caller: &CallerId) -> Result<Place, NoPlace> {
        let PlacesState {
            limit,
            alone,
            taken,
            ..
        } = &*self.0;
        let count = |held: Option<&usize>| held.copied().unwrap_or_default();
        let own = count(self.0.held.borrow().get(caller));
        let of_name = count(self.0.held_by_name.borrow().get(caller.name()));
        let free = limit.saturating_sub(taken.get());
        let own_is_used = free == 0 || (own >= free && !alone);
        let name_is_used = of_name >= free * SHARE_OF_NAME && !alone;
        if own_is_used || name_is_used {
            return Err(NoPlace {
                limit: *limit,
                taken: taken.get(),
                held: own,
                held_by_name: (!own_is_used).then_some(of_name),
            });
        }
        taken.set(taken.get() + 1);
        self.0.add(caller);
        Ok(Place {
            room: Rc::clone(&self.0),
            caller: caller.clone(),
        })
    }
}

impl Place {
    /// The caller that holds the place.
    #[must_use]
    pub fn caller(&self) -> &CallerId {
        &self.caller
    }

    /// Gives the place to another caller, which may exceed its share that way.
    pub fn pass_to(&mut self, next: &CallerId) {
        self.room.release(&self.caller);
        self.caller = next.clone();
        self.room.add(next);
    }
}

impl PlacesState {
    /// Counts one more place of the caller.
    fn add(&self, caller: &CallerId) {
        add(&self.held, caller);
        add(&self.held_by_name, caller.name());
    }

    /// Gives back one of the caller's places.
    fn release(&self, caller: &CallerId) {
        release(&self.held, caller);
        release(&self.held_by_name, caller.name());
    }
}

fn add<K: Clone + Eq + Hash>(held: &RefCell<HashMap<K, usize>>, key: &K) {
    *held.borrow_mut().entry(key.clone()).or_default() += 1;
}

/// A key without a place is removed from the table, because callers come and go without end.
fn release<K: Clone + Eq + Hash>(held: &RefCell<HashMap<K, usize>>, key: &K) {
    let mut held = held.borrow_mut();
    let left = held.get(key).map_or(0, |own| own.saturating_sub(1));
    match left {
        0 => held.remove(key),
        left => held.insert(key.clone(), left),
    };
}

impl Drop for Place {
    fn drop(&mut self) {
        let PlacesState { taken, .. } = &*self.room;
        taken.set(taken.get().saturating_sub(1));
        self.room.release(&self.caller);
    }
}

impl fmt::Display for NoPlace {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let NoPlace { limit, taken, .. } = self;
        write!(f, "{taken} of {limit} are in use, ")?;
        match self.held_by_name {
            Some(held) => write!(
                f,
                "{held} of them by clients with this client's name or key"
            ),
            None => write!(f, "{} of them by this client", self.held),
        }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use crate::mcp::Principal;

    fn fill(places: &Places, caller: &CallerId) -> Vec<Place> {
        std::iter::from_fn(|| places.enter(caller).ok()).collect()
    }

    fn caller_of(name: &str) -> CallerId {
        CallerId::session(&Principal {
            name: name.into(),
            ..Principal::default()
        })
    }

    #[test]
    fn callers_of_one_name_leave_some_for_the_next_name_however_many_they_are() {
        let places = Places::shared(256);
        let taken: Vec<_> = (0..300)
            .map_while(|_| places.enter(&caller_of("a")).ok())
            .collect();
        assert_eq!(taken.len(), 240);
        let refused = places.enter(&caller_of("a")).unwrap_err();
        assert_eq!(
            refused.to_string(),
            "240 of 256 are in use, 240 of them by clients with this client's name or key"
        );
        let next: Vec<_> = (0..300)
            .map_while(|_| places.enter(&caller_of("b")).ok())
            .collect();
        assert_eq!(next.len(), 15);
        assert!(places.enter(&caller_of("c")).is_ok());
        drop((taken, next));
        assert!(places.0.held_by_name.borrow().is_empty());
        assert!(places.0.held.borrow().is_empty());
    }

    #[test]
    fn one_caller_of_several_gets_half_and_the_next_a_share_of_the_rest() {
        let places = Places::shared(256);
        let callers: Vec<_> = (0..4).map(|n| caller_of(&n.to_string())).collect();
        let mut all: Vec<_> = callers.iter().map(|caller| fill(&places, caller)).collect();
        let counts: Vec<_> = all.iter().map(Vec::len).collect();
        assert_eq!(counts, [128, 64, 32, 16]);
        let refused = places.enter(callers.first().unwrap()).unwrap_err();
        assert_eq!(
            refused.to_string(),
            "240 of 256 are in use, 128 of them by this client"
        );
        all.remove(0);
        assert_eq!(places.0.taken.get(), 112);
        assert_eq!(places.0.held.borrow().len(), 3, "the first is forgotten");
        let more = fill(&places, callers.get(3).unwrap());
        assert_eq!(16 + more.len(), 80);
    }

    #[test]
    fn the_only_caller_may_have_all_places_and_no_more() {
        let (places, caller) = (Places::alone(3), CallerId::default());
        let mut held = fill(&places, &caller);
        assert_eq!(held.len(), 3);
        held.pop();
        assert!(places.enter(&caller).is_ok());
    }
}
