//! The answers on their way out.
//!
//! Promises: whole lines, in the order they were pushed; what is ready together goes out together;
//! an answer's request counts as in flight until its last byte is written; progress is dropped
//! rather than queued when the peer does not keep up.
//! Does not: bound what it is given: the reader stops asking for more (see `stdio`).

use std::cell::{Cell, RefCell};
use std::collections::VecDeque;
use std::io;
use std::mem;
use std::rc::Rc;

use smol::future::yield_now;

use super::descriptor::Sink;
use super::load::{Signal, Slot};
use crate::mcp::Reply;

/// A queue with one writer.
#[derive(Default)]
pub(super) struct Outbox {
    queued: RefCell<Queued>,
    /// Bytes pushed and not yet written.
    unwritten: Cell<usize>,
    filled: Signal,
    emptied: Signal,
}

#[derive(Default)]
struct Queued {
    bytes: Vec<u8>,
    /// Requests that end when the bytes up to the mark are written.
    ends: VecDeque<(usize, Reply, Slot)>,
}

impl Outbox {
    pub(super) fn new() -> Rc<Outbox> {
        Rc::default()
    }

    /// Takes an answer. With `slot`, its request counts as in flight until it is written.
    pub(super) fn push(&self, mut reply: Reply, slot: Option<Slot>) {
        self.append(&reply.text);
        if let Some(slot) = slot {
            reply.text = Vec::new();
            let mut queued = self.queued.borrow_mut();
            let end = queued.bytes.len();
            queued.ends.push_back((end, reply, slot));
        }
    }

    /// Takes a notification that may as well be lost, if there is room.
    pub(super) fn offer(&self, text: &[u8]) -> bool {
        let room = self.unwritten.get() <= MAX_BACKLOG;
        if room {
            self.append(text);
        }
        room
    }

    /// Waits until at most `bytes` are unwritten.
    pub(super) async fn below(&self, bytes: usize) {
        self.emptied.until(|| self.unwritten.get() <= bytes).await;
    }

    /// Writes what is pushed until that fails, and says why.
    pub(super) async fn run(self: Rc<Self>, mut sink: Sink) -> io::Error {
        let mut batch = Queued::default();
        loop {
            self.filled.until(|| self.unwritten.get() > 0).await;
            mem::swap(&mut batch, &mut *self.queued.borrow_mut());
            if let Err(error) = self.write(&mut batch, &mut sink).await {
                return error;
            }
            batch.bytes.clear();
            batch.bytes.shrink_to(MAX_BACKLOG);
        }
    }

    async fn write(&self, batch: &mut Queued, sink: &mut Sink) -> io::Result<()> {
        let mut start = 0;
        while let Some(rest) = batch.bytes.get(start..).filter(|rest| !rest.is_empty()) {
            let written = sink.write(rest).await?;
            if written == 0 {
                return Err(io::ErrorKind::WriteZero.into());
            }
            start += written;
            self.unwritten.set(self.unwritten.get() - written);
            while batch.ends.front().is_some_and(|(end, ..)| *end <= start) {
                batch.ends.pop_front();
            }
            self.emptied.notify();
            if start < batch.bytes.len() && start % FAIR_SHARE < written {
                yield_now().await;
            }
        }
        Ok(())
    }

    fn append(&self, text: &[u8]) {
        let mut queued = self.queued.borrow_mut();
        queued.bytes.reserve(text.len() + 1);
        queued.bytes.extend_from_slice(text);
        queued.bytes.push(b'\n');
        self.unwritten.set(self.unwritten.get() + text.len() + 1);
        self.filled.notify();
    }
}

/// With more unwritten than this, progress is dropped.
const MAX_BACKLOG: usize = 64 << 10;
/// Bytes written at a stretch before others get their turn.
const FAIR_SHARE: usize = 64 << 10;
