//! Where those wait with a key who come from where wrong keys came from.
//!
//! Promises: everyone in it has a turn, in the order of arrival, so that the right key comes in however many wrong
//! ones come from the same address; the line is bounded, for each peer and for all; between two turns there is a
//! rest as long as the turn was, so that strangers never have more than half of a processor.
//! Does not: know keys.

use std::cell::{Cell, RefCell};
use std::collections::HashMap;
use std::rc::Rc;
use std::sync::Arc;
use std::time::{Duration, Instant};

use async_io::Timer;
use smol::lock::{Mutex, MutexGuardArc};

use super::peer::Peer;

/// Those who wait, and one whose turn it is.
#[derive(Debug, Default)]
pub(super) struct Line {
    waiting: Rc<RefCell<HashMap<Peer, usize>>>,
    /// Holds when the next turn may begin.
    turn: Arc<Mutex<Option<Instant>>>,
}

/// The turn of one of them, until it is dropped.
pub(super) struct Turn {
    next: MutexGuardArc<Option<Instant>>,
    began: Cell<Instant>,
}

/// A place in the line.
struct Place {
    peer: Peer,
    waiting: Rc<RefCell<HashMap<Peer, usize>>>,
}

impl Line {
    /// Waits for a turn; `None` when the line is too long already.
    pub(super) async fn turn(&self, peer: Peer) -> Option<Turn> {
        let place = self.enter(peer)?;
        let next = self.turn.lock_arc().await;
        if let Some(at) = *next {
            Timer::at(at).await;
        }
        drop(place);
        Some(Turn {
            next,
            began: Cell::new(Instant::now()),
        })
    }

    fn enter(&self, peer: Peer) -> Option<Place> {
        let mut waiting = self.waiting.borrow_mut();
        let all: usize = waiting.values().sum();
        let same = waiting.get(&peer).copied().unwrap_or_default();
        if all >= WAITING || same >= WAITING_OF_PEER {
            return None;
        }
        waiting.insert(peer, same + 1);
        let waiting = Rc::clone(&self.waiting);
        Some(Place { peer, waiting })
    }
}

impl Turn {
    /// What takes time begins now.
    pub(super) fn begins(&self) {
        self.began.set(Instant::now());
    }
}

impl Drop for Turn {
    fn drop(&mut self) {
        let took = self.began.get().elapsed().min(LONGEST_REST);
        *self.next = Instant::now().checked_add(took);
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let mut waiting = self.waiting.borrow_mut();
        if let Some(count) = waiting.get_mut(&self.peer) {
            *count -= 1;
            if *count == 0 {
                waiting.remove(&self.peer);
            }
        }
    }
}

/// Of one peer; each of them holds a connection.
const WAITING_OF_PEER: usize = 64;
/// Of all: half of the connections there are by default.
const WAITING: usize = 128;
const LONGEST_REST: Duration = Duration::from_secs(2);
