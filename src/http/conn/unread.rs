//! Answers that clients have not read yet, over all connections.
//!
//! Promises: the bytes of unread answers are bounded together, at the cost of clients that do not read: when there are
//! too many bytes, the connection that has read nothing for the longest time is evicted, and until that is done no call
//! takes a step that could yield one more answer.
//! Does not: write anything, or know time; each read makes its connection the last to be evicted.

use std::cell::{Cell, RefCell};
use std::collections::BTreeMap;
use std::future::{Future, poll_fn};
use std::pin::pin;
use std::rc::Rc;
use std::task::Poll;

use crate::local::notify::{Notify, NotifyAll};
use mcpmqtt_protocol::sort::sort_by_key;

/// The unread answers of all connections, with their common bound.
#[derive(Debug)]
pub(in crate::http) struct Unread {
    limit: usize,
    bytes: Cell<usize>,
    /// The connections with unread bytes, by the numbers of their slots.
    readers: RefCell<BTreeMap<u64, Rc<SlowReader>>>,
    /// The number of evicted connections that have not ended yet.
    leaving: Cell<usize>,
    /// A logical clock, which advances with every read.
    clock: Cell<u64>,
    /// Calls that are held back until there is room.
    room: NotifyAll,
}

/// What one connection has not read yet; dropping it gives the bytes back.
#[derive(Debug)]
pub(in crate::http) struct Unsent {
    unread: Rc<Unread>,
    slot: u64,
    reader: Rc<SlowReader>,
}

#[derive(Debug, Default)]
struct SlowReader {
    bytes: Cell<usize>,
    /// Whether bytes are freed when the client reads them, not with the last byte.
    frees: Cell<bool>,
    /// The logical time of the client's last read.
    taken: Cell<u64>,
    parted: Cell<bool>,
    changed: Notify,
}

impl Unread {
    pub(in crate::http) fn new(limit: usize) -> Rc<Unread> {
        Rc::new(Unread {
            limit,
            bytes: Cell::new(0),
            readers: RefCell::default(),
            leaving: Cell::new(0),
            clock: Cell::new(0),
            room: NotifyAll::default(),
        })
    }

    /// For the answers on the connection with this slot.
    pub(in crate::http) fn on(self: &Rc<Self>, slot: u64) -> Unsent {
        Unsent {
            unread: Rc::clone(self),
            slot,
            reader: Rc::default(),
        }
    }

    /// Notes that the client at this slot has read `bytes` bytes.
    pub(in crate::http) fn taken(&self, slot: u64, bytes: usize) {
        let reader = self.readers.borrow().get(&slot).cloned();
        let Some(reader) = reader else { return };
        reader.taken.set(self.now());
        if reader.frees.get() {
            let left = reader.bytes.get().saturating_sub(bytes);
            self.count(slot, &reader, left);
        }
    }

    fn count(&self, slot: u64, reader: &Rc<SlowReader>, bytes: usize) {
        let before = reader.bytes.replace(bytes);
        let others = self.bytes.get().saturating_sub(before);
        self.bytes.set(others + bytes);
        let mut readers = self.readers.borrow_mut();
        if bytes == 0 {
            readers.remove(&slot);
        } else if before == 0 {
            readers.insert(slot, Rc::clone(reader));
        }
    }

    /// Runs `work`, but after the first poll holds it back while there is no room and an evicted connection has not
    /// ended. The first poll sends a request, as a rule, and is not put off.
    pub(in crate::http) async fn leave_room<T>(&self, work: impl Future<Output = T>) -> T {
        let mut work = pin!(work);
        let mut has_begun = false;
        poll_fn(|context| {
            if has_begun && self.leaving.get() > 0 && self.bytes.get() > self.limit {
                self.room.register(context);
                return Poll::Pending;
            }
            has_begun = true;
            work.as_mut().poll(context)
        })
        .await
    }

    fn now(&self) -> u64 {
        let now = self.clock.get() + 1;
        self.clock.set(now);
        now
    }

    /// Evicts slow readers until the rest is within the limit. The newest reader stays, because it had no time to read.
    fn make_room(&self, last: u64) {
        let readers = self.readers.borrow();
        let staying = readers.iter().filter(|(_, reader)| !reader.parted.get());
        let mut bytes: usize = staying.clone().map(|(_, reader)| reader.bytes.get()).sum();
        let others = staying.filter(|(slot, _)| **slot != last);
        let mut others: Vec<_> = others.map(|(_, reader)| reader).collect();
        sort_by_key(&mut others, |reader| reader.taken.get());
        for reader in others {
            if bytes <= self.limit {
                return;
            }
            bytes = bytes.saturating_sub(reader.bytes.get());
            self.leaving.set(self.leaving.get() + 1);
            reader.part();
        }
    }
}

impl Unsent {
    /// Adds an answer of `bytes` bytes, which counts until the client has read all of it.
    pub(in crate::http) fn hold(&self, bytes: usize) {
        self.reader.frees.set(false);
        self.set(bytes);
    }

    /// Adds `bytes` bytes, each of which is freed when the client has read it.
    pub(in crate::http) fn add(&self, bytes: usize) {
        self.reader.frees.set(true);
        self.set(self.reader.bytes.get() + bytes);
    }

    fn set(&self, bytes: usize) {
        let Unsent {
            unread,
            slot,
            reader,
        } = self;
        unread.count(*slot, reader, bytes);
        reader.taken.set(unread.now());
        if bytes > 0 && unread.bytes.get() > unread.limit {
            unread.make_room(*slot);
        }
    }

    /// Waits until this connection is evicted.
    pub(in crate::http) async fn parting(&self) {
        self.reader.changed.until(|| self.reader.parted.get()).await;
    }
}

impl SlowReader {
    fn part(&self) {
        self.parted.set(true);
        self.changed.notify();
    }
}

impl Drop for Unsent {
    fn drop(&mut self) {
        self.hold(0);
        let Unread { leaving, room, .. } = &*self.unread;
        if self.reader.parted.get() {
            leaving.set(leaving.get().saturating_sub(1));
        }
        room.notify_all();
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use smol::future::{block_on, poll_once};

    use super::*;

    fn is_parted(unsent: &Unsent) -> bool {
        block_on(poll_once(unsent.parting())).is_some()
    }

    #[test]
    fn whoever_took_nothing_for_longest_makes_room_and_who_reads_stays() {
        let unread = Unread::new(100);
        let answers: Vec<_> = (0..4).map(|slot| unread.on(slot)).collect();
        for unsent in answers.iter().take(3) {
            unsent.hold(30);
        }
        assert!(!answers.iter().any(is_parted));
        unread.taken(0, 30);
        answers.get(3).unwrap().hold(30);
        let parted: Vec<_> = answers.iter().map(is_parted).collect();
        assert_eq!(parted, [false, true, false, false]);
        assert_eq!(unread.bytes.get(), 120, "until it is gone");
    }

    #[test]
    fn what_a_stream_has_sent_does_not_count_any_more() {
        let unread = Unread::new(100);
        let (stream, answer) = (unread.on(1), unread.on(2));
        stream.add(40);
        stream.add(40);
        unread.taken(1, 60);
        answer.hold(80);
        assert_eq!(unread.bytes.get(), 100);
        unread.taken(2, 79);
        unread.taken(1, 100);
        assert_eq!(unread.bytes.get(), 80);
        assert!(!is_parted(&stream) && !is_parted(&answer));
    }

    #[test]
    fn calls_wait_until_there_is_room_but_their_first_step_does_not() {
        let unread = Unread::new(100);
        let (one, other) = (unread.on(1), unread.on(2));
        one.hold(60);
        other.hold(60);
        assert!(is_parted(&one) && !is_parted(&other));
        block_on(async {
            let steps = Cell::new(0);
            let work = async {
                steps.set(1);
                smol::future::yield_now().await;
                steps.set(2);
            };
            let mut work = Box::pin(unread.leave_room(work));
            for _ in 0..3 {
                assert!(poll_once(&mut work).await.is_none());
                assert_eq!(steps.get(), 1);
            }
            drop(one);
            assert!(poll_once(&mut work).await.is_some());
            assert_eq!(steps.get(), 2);
        });
        drop(other);
        assert_eq!(unread.bytes.get(), 0);
        assert!(unread.readers.borrow().is_empty());
    }

    #[test]
    fn one_answer_that_is_larger_than_the_limit_is_sent_all_the_same() {
        let unread = Unread::new(100);
        let unsent = unread.on(1);
        unsent.hold(1000);
        assert!(!is_parted(&unsent));
        let work = async { smol::future::yield_now().await };
        block_on(unread.leave_room(work));
        // Somebody else's comes first, though.
        let next = unread.on(2);
        next.hold(10);
        assert!(is_parted(&unsent) && !is_parted(&next));
    }
}
