//! The lines on their way to the client.
//!
//! Promises: lines go out whole and in order; what is ready at once goes out in one write; an
//! answer's request stays in flight until its last byte is written.
//! Does not: bound answers by itself; the reader stops taking requests (see [`Outbox::below`]), and calls go on at the
//! client's pace (see [`Outbox::at_its_pace`]).

use std::cell::{Cell, RefCell};
use std::collections::VecDeque;
use std::future::poll_fn;
use std::io;
use std::pin::pin;
use std::task::Poll;

use smol::future::yield_now;

use super::descriptor::Output;
use super::in_flight::Permit;
use crate::local::notify::{Notify, NotifyAll};
use crate::mcp::Reply;

#[derive(Default)]
pub(super) struct Outbox {
    lines: RefCell<VecDeque<Entry>>,
    /// Bytes in `lines` that are not written.
    pending: Cell<usize>,
    /// Bytes of the first line that are written.
    done: Cell<usize>,
    filled: Notify,
    drained: Notify,
    /// Calls that are held back until less waits.
    room: NotifyAll,
}

struct Entry {
    line: Vec<u8>,
    _flight: Option<(Reply, Option<Permit>)>,
}

impl Outbox {
    pub(super) fn push(&self, mut reply: Reply, permit: Option<Permit>) {
        let text = std::mem::take(&mut reply.text);
        let after = reply.after.take();
        self.enqueue(text, Some((reply, permit)));
        if let Some(after) = after {
            self.enqueue(after, None);
        }
    }

    /// Queues a notification unless more than `max` bytes wait already.
    pub(super) fn offer(&self, text: Vec<u8>, max: usize) -> bool {
        if self.pending.get() > max {
            return false;
        }
        self.enqueue(text, None);
        true
    }

    /// Waits until at most `max` bytes are not written.
    pub(super) async fn below(&self, max: usize) {
        self.drained.until(|| self.pending.get() <= max).await;
    }

    /// Does `work`, but takes a step of it, after the first, only while at most `max` bytes are not written: any step may
    /// yield an answer, and a client that does not read must not make them pile up. The first asks others for
    /// something, as a rule, and is not put off.
    pub(super) async fn at_its_pace<T>(&self, max: usize, work: impl Future<Output = T>) -> T {
        let mut work = pin!(work);
        let mut has_begun = false;
        poll_fn(|context| {
            if has_begun && self.pending.get() > max {
                self.room.register(context);
                return Poll::Pending;
            }
            has_begun = true;
            work.as_mut().poll(context)
        })
        .await
    }

    /// Waits until everything is written.
    pub(super) async fn empty(&self) {
        self.below(0).await;
    }

    /// Writes whatever comes, until that fails.
    pub(super) async fn write_to(&self, output: &mut Output) -> io::Error {
        let mut chunk = Vec::with_capacity(output.most());
        loop {
            for _ in 0..WRITES_IN_A_ROW {
                self.filled.until(|| self.pending.get() > 0).await;
                self.gather(&mut chunk, output.most());
                match output.write(&chunk).await {
                    Ok(count) => self.advance(count),
                    Err(why) => return why,
                }
            }
            yield_now().await;
        }
    }

    fn enqueue(&self, mut line: Vec<u8>, flight: Option<(Reply, Option<Permit>)>) {
        line.push(b'\n');
        self.pending.set(self.pending.get() + line.len());
        let entry = Entry {
            line,
            _flight: flight,
        };
        self.lines.borrow_mut().push_back(entry);
        self.filled.notify();
    }

    /// Copies the next bytes to write, at most `most`.
    fn gather(&self, chunk: &mut Vec<u8>, most: usize) {
        chunk.clear();
        let mut start = self.done.get();
        for entry in self.lines.borrow().iter() {
            let room = most - chunk.len();
            let rest = entry.line.get(start..).unwrap_or_default();
            chunk.extend_from_slice(rest.get(..room).unwrap_or(rest));
            start = 0;
            if chunk.len() == most {
                break;
            }
        }
    }

    /// Notes that `count` more bytes are written.
    fn advance(&self, count: usize) {
        self.pending.set(self.pending.get().saturating_sub(count));
        let mut done = self.done.get() + count;
        loop {
            let mut lines = self.lines.borrow_mut();
            match lines.front() {
                Some(entry) if entry.line.len() <= done => done -= entry.line.len(),
                _ => break,
            }
            let written = lines.pop_front();
            // The borrow ends before the entry is dropped, because the drop wakes tasks.
            drop(lines);
            drop(written);
        }
        self.done.set(done);
        self.drained.notify();
        self.room.notify_all();
    }
}

/// After so many writes the rest of the program gets its turn, however fast the client reads.
const WRITES_IN_A_ROW: usize = 16;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_notification_is_dropped_when_the_client_is_behind() {
        let outbox = Outbox::default();
        assert!(outbox.offer(vec![b'a'; 9], 10), "nothing waits");
        assert!(
            outbox.offer(vec![b'b'; 9], 10),
            "ten bytes wait, line end included"
        );
        assert!(!outbox.offer(vec![b'c'; 9], 10), "twenty bytes wait");
        let mut chunk = Vec::new();
        outbox.gather(&mut chunk, 4096);
        assert_eq!(chunk, b"aaaaaaaaa\nbbbbbbbbb\n");
        outbox.advance(15);
        assert!(outbox.offer(vec![b'd'; 2], 10), "five bytes wait");
        outbox.gather(&mut chunk, 7);
        assert_eq!(chunk, b"bbbb\ndd");
        outbox.advance(8);
        assert_eq!(outbox.pending.get(), 0);
        assert!(outbox.lines.borrow().is_empty());
    }
}
