//! Queue for keys that only a slow hash can prove.
//!
//! Promises: one proof runs at a time; a peer that has shown fewer wrong keys comes before one that has shown more, and
//! otherwise the earlier one comes first; the queue is bounded, for each peer and for all, and the peer that has shown
//! most wrong keys makes room; before the turn of a peer that has shown too many there is a rest as long as the turn
//! before, so that clients without the key never have more than half of a processor.
//! Does not: know keys.

use std::cell::{Cell, RefCell};
use std::rc::Rc;
use std::time::{Duration, Instant};

use async_io::Timer;

use crate::http::net::remote_addr::RemoteAddr;
use crate::local::notify::Notify;

/// The waiting proofs and the one that runs. Clones are the same queue.
#[derive(Clone, Debug, Default)]
pub(in crate::http) struct ProofQueue(Rc<RefCell<WaitingProofs>>);

#[derive(Debug, Default)]
struct WaitingProofs {
    waiting: Vec<Rc<Waiter>>,
    last: u64,
    /// Whether a proof runs.
    taken: bool,
    /// When the rest after the last turn is over.
    rested: Option<Instant>,
}

#[derive(Debug)]
struct Waiter {
    peer: RemoteAddr,
    /// How long the peer's wrong keys still count.
    debt: Duration,
    number: u64,
    state: Cell<WaiterState>,
    changed: Notify,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum WaiterState {
    Waiting,
    /// The proof has its turn.
    HasTurn,
    /// Another proof needed the place in the queue.
    Dropped,
}

/// The permit to compute one proof, until it is dropped.
pub(in crate::http) struct ProofPermit {
    line: ProofQueue,
    began: Cell<Instant>,
}

/// A place in the queue; dropping it leaves the queue, or gives the turn to the next.
struct QueuedProof {
    line: ProofQueue,
    waiter: Rc<Waiter>,
}

impl ProofQueue {
    /// Waits for a turn; `None` when the queue is full of peers that have shown no more wrong keys.
    pub(in crate::http) async fn turn(
        &self,
        peer: RemoteAddr,
        debt: Duration,
        rests: bool,
    ) -> Option<ProofPermit> {
        let place = self.enter(peer, debt)?;
        self.call_next();
        let waiter = &place.waiter;
        let is_over = || waiter.state.get() != WaiterState::Waiting;
        waiter.changed.until(is_over).await;
        if waiter.state.get() == WaiterState::Dropped {
            return None;
        }
        let rested = self.0.borrow().rested;
        if let Some(at) = rested.filter(|_| rests) {
            Timer::at(at).await;
        }
        // From here on the turn is this one's to end.
        waiter.state.set(WaiterState::Dropped);
        Some(ProofPermit {
            line: self.clone(),
            began: Cell::new(Instant::now()),
        })
    }

    fn enter(&self, peer: RemoteAddr, debt: Duration) -> Option<QueuedProof> {
        let mut queue = self.0.borrow_mut();
        let same = queue.waiting.iter().filter(|it| it.peer == peer).count();
        if same >= WAITING_OF_PEER {
            return None;
        }
        if queue.waiting.len() >= WAITING {
            let worst = (0..queue.waiting.len()).max_by_key(|index| {
                let waiter = queue.waiting.get(*index);
                waiter.map(|waiter| (waiter.debt, waiter.number))
            })?;
            if queue.waiting.get(worst)?.debt <= debt {
                return None;
            }
            queue.waiting.swap_remove(worst).end(WaiterState::Dropped);
        }
        queue.last += 1;
        let waiter = Rc::new(Waiter {
            peer,
            debt,
            number: queue.last,
            state: Cell::new(WaiterState::Waiting),
            changed: Notify::default(),
        });
        queue.waiting.push(Rc::clone(&waiter));
        let line = self.clone();
        Some(QueuedProof { line, waiter })
    }

    fn call_next(&self) {
        let mut queue = self.0.borrow_mut();
        let first = (0..queue.waiting.len()).min_by_key(|index| {
            let waiter = queue.waiting.get(*index);
            waiter.map(|waiter| (waiter.debt, waiter.number))
        });
        if let Some(first) = first.filter(|_| !queue.taken) {
            queue.taken = true;
            queue.waiting.swap_remove(first).end(WaiterState::HasTurn);
        }
    }

    fn is_over(&self) {
        self.0.borrow_mut().taken = false;
        self.call_next();
    }
}

impl Waiter {
    fn end(&self, state: WaiterState) {
        self.state.set(state);
        self.changed.notify();
    }
}

impl ProofPermit {
    /// What takes time begins now.
    pub(in crate::http) fn begins(&self) {
        self.began.set(Instant::now());
    }
}

impl Drop for ProofPermit {
    fn drop(&mut self) {
        let took = self.began.get().elapsed().min(LONGEST_REST);
        self.line.0.borrow_mut().rested = Instant::now().checked_add(took);
        self.line.is_over();
    }
}

impl Drop for QueuedProof {
    fn drop(&mut self) {
        match self.waiter.state.get() {
            WaiterState::Dropped => {}
            WaiterState::HasTurn => self.line.is_over(),
            WaiterState::Waiting => {
                let number = self.waiter.number;
                let mut queue = self.line.0.borrow_mut();
                queue.waiting.retain(|it| it.number != number);
            }
        }
    }
}

/// The most waiting proofs of one peer; each holds a connection.
const WAITING_OF_PEER: usize = 64;
/// The most waiting proofs of all peers: half of the default number of connections.
const WAITING: usize = 128;
const LONGEST_REST: Duration = Duration::from_secs(2);

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use std::net::Ipv4Addr;
    use std::pin::Pin;

    use smol::future::{FutureExt as _, block_on, poll_once};

    use super::*;

    fn peer(number: usize) -> RemoteAddr {
        RemoteAddr::at(Ipv4Addr::from(0x0a00_0000 + u32::try_from(number).unwrap()).into())
    }

    type Waiting<'a> = Pin<Box<dyn Future<Output = Option<ProofPermit>> + 'a>>;

    fn waits(line: &ProofQueue, number: usize, debt: u64) -> Waiting<'_> {
        let mut waiting = line
            .turn(peer(number), Duration::from_secs(debt), false)
            .boxed_local();
        assert!(poll(&mut waiting).is_none(), "somebody has the turn");
        waiting
    }

    fn poll(waiting: &mut Waiting<'_>) -> Option<Option<ProofPermit>> {
        block_on(poll_once(waiting))
    }

    fn first(line: &ProofQueue) -> ProofPermit {
        block_on(line.turn(peer(0), Duration::ZERO, false)).unwrap()
    }

    #[test]
    fn whoever_has_shown_fewer_wrong_keys_comes_first_and_then_whoever_came_first() {
        let line = ProofQueue::default();
        let turn = first(&line);
        let mut worst = waits(&line, 1, 9);
        let mut one = waits(&line, 2, 0);
        let mut two = waits(&line, 3, 0);
        drop(turn);
        assert!(poll(&mut worst).is_none() && poll(&mut two).is_none());
        drop(poll(&mut one).unwrap());
        assert!(poll(&mut worst).is_none());
        drop(poll(&mut two).unwrap());
        assert!(poll(&mut worst).unwrap().is_some());
    }

    #[test]
    fn whoever_leaves_gives_the_turn_on() {
        let line = ProofQueue::default();
        let turn = first(&line);
        let (called, left) = (waits(&line, 1, 0), waits(&line, 2, 0));
        let mut last = waits(&line, 3, 0);
        drop(left);
        drop(turn);
        // It was called, and leaves before it knows.
        drop(called);
        assert!(poll(&mut last).unwrap().is_some());
        assert!(line.0.borrow().waiting.is_empty());
    }

    #[test]
    fn a_full_queue_makes_room_for_a_peer_that_has_shown_fewer_wrong_keys() {
        let line = ProofQueue::default();
        let _turn = first(&line);
        let mut waiting: Vec<_> = (1..=WAITING).map(|n| waits(&line, n, 4)).collect();
        assert!(block_on(line.turn(peer(999), Duration::from_secs(4), false)).is_none());
        let _better = waits(&line, 1000, 2);
        let told = waiting.iter_mut().filter_map(poll).count();
        assert_eq!(told, 1);
        assert_eq!(line.0.borrow().waiting.len(), WAITING);

        let line = ProofQueue::default();
        let _turn = first(&line);
        let _same: Vec<_> = (0..WAITING_OF_PEER).map(|_| waits(&line, 7, 0)).collect();
        assert!(block_on(line.turn(peer(7), Duration::ZERO, false)).is_none());
        drop(waits(&line, 8, 0));
    }
}
