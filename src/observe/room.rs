//! The memory that all statistics by topic share.
//!
//! Promises: together they never take more than [`MOST_BYTES`], and those of callers of one name leave some to the next name.
//! Does not: allocate.

use std::cell::{Cell, RefCell};
use std::collections::HashMap;
use std::rc::Rc;

/// The memory of all. Cheap to clone; clones share it.
#[derive(Debug, Clone, Default)]
pub struct Rooms(Rc<Taken>);

#[derive(Debug, Default)]
struct Taken {
    all: Cell<usize>,
    by_name: RefCell<HashMap<Rc<str>, usize>>,
}

/// What one call takes of it, until this is dropped.
#[derive(Debug)]
pub struct Room {
    rooms: Rooms,
    name: Rc<str>,
    bytes: usize,
}

impl Rooms {
    /// Room for a call of a caller with this name; it takes nothing yet.
    pub fn of(&self, name: &str) -> Room {
        Room {
            rooms: self.clone(),
            name: name.into(),
            bytes: 0,
        }
    }
}

impl Room {
    /// Takes so many bytes more; false, and nothing is taken, where there is no room.
    pub fn take(&mut self, bytes: usize) -> bool {
        let Taken { all, by_name } = &*self.rooms.0;
        let mut by_name = by_name.borrow_mut();
        let own = by_name.get(&self.name).copied().unwrap_or_default();
        let is_full = self.bytes + bytes > CALL_BYTES
            || own + bytes > NAME_BYTES
            || all.get() + bytes > MOST_BYTES;
        if is_full {
            return false;
        }
        all.set(all.get() + bytes);
        by_name.insert(Rc::clone(&self.name), own + bytes);
        self.bytes += bytes;
        true
    }

    /// Gives back what was taken.
    pub fn clear(&mut self) {
        let Taken { all, by_name } = &*self.rooms.0;
        let bytes = std::mem::take(&mut self.bytes);
        all.set(all.get() - bytes);
        let mut by_name = by_name.borrow_mut();
        let left = by_name.get(&self.name).map_or(0, |own| own - bytes);
        // A name without a call is removed from the table, because names come and go.
        match left {
            0 => by_name.remove(&self.name),
            left => by_name.insert(Rc::clone(&self.name), left),
        };
    }
}

impl Drop for Room {
    fn drop(&mut self) {
        self.clear();
    }
}

/// The most bytes of one call.
pub const CALL_BYTES: usize = 4 << 20;

/// The most bytes of all calls.
pub const MOST_BYTES: usize = 16 << 20;

/// The most bytes of the calls of one name.
const NAME_BYTES: usize = MOST_BYTES / 16 * 15;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_call_a_name_and_all_have_bounds_and_give_back_what_they_took() {
        let rooms = Rooms::default();
        let fill = |name: &str| {
            let mut room = rooms.of(name);
            let taken = (0..5).filter(|_| room.take(1 << 20)).count();
            (taken, room)
        };
        let greedy: Vec<_> = (0..5).map(|_| fill("a")).collect();
        let taken: Vec<_> = greedy.iter().map(|(taken, _)| *taken).collect();
        assert_eq!(taken, [4, 4, 4, 3, 0]);
        let (taken, mut calm) = fill("b");
        assert_eq!(taken, 1);
        assert_eq!(fill("c").0, 0);
        drop(greedy);
        assert_eq!(fill("a").0, 4);
        calm.clear();
        assert_eq!(rooms.0.all.get(), 0);
        assert!(rooms.0.by_name.borrow().is_empty());
    }
}
