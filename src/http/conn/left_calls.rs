//! Calls whose clients have left before the answer, which MCP before 2026-07-28 forbids to take for a cancellation
//! (2025-11-25 basic/transports §Sending Messages to the Server).
//!
//! Promises: such a call holds no connection; how many there are is bounded, for each session and over all. At a bound
//! the oldest ends: of the session itself, or of the one that has most of them.
//! Does not: end those of a session with it (see [`Session::end_calls`](crate::mcp::Session::end_calls)).

use std::cell::{Cell, RefCell};
use std::collections::{BTreeMap, HashMap};

use smol::Task;
use smol::future::BoxedLocal;

use crate::mcp::Ender;

/// A call that goes on after its client has left.
pub(in crate::http) struct LeftCall {
    /// The number of the session that the call belongs to.
    pub(in crate::http) session: u64,
    pub(in crate::http) ender: Ender,
    /// The rest of the call. The call ends by itself, with its deadline at the latest.
    pub(in crate::http) work: BoxedLocal<()>,
}

/// The calls that go on without a client, over all sessions.
#[derive(Debug, Default)]
pub(in crate::http) struct LeftCalls {
    /// Oldest first.
    calls: RefCell<BTreeMap<u64, OngoingCall>>,
    last: Cell<u64>,
}

#[derive(Debug)]
struct OngoingCall {
    session: u64,
    ender: Ender,
    /// Whether the call was asked to end, which happens in the next turn.
    ending: bool,
    /// The task that runs the call. Dropping the task ends the call.
    task: Option<Task<()>>,
}

/// Holds a call's entry in the table while the call runs.
struct OngoingGuard<'a> {
    number: u64,
    calls: &'a LeftCalls,
}

impl LeftCalls {
    /// Runs a call to its end on the task that this is polled by.
    pub(in crate::http) async fn run(&self, call: LeftCall, task: Option<Task<()>>) {
        let LeftCall {
            session,
            ender,
            work,
        } = call;
        ender.client_left();
        self.make_room(session);
        let number = self.last.get() + 1;
        self.last.set(number);
        let entry = OngoingCall {
            session,
            ender,
            ending: false,
            task,
        };
        self.calls.borrow_mut().insert(number, entry);
        let running = OngoingGuard {
            number,
            calls: self,
        };
        work.await;
        drop(running);
    }

    pub(in crate::http) fn is_empty(&self) -> bool {
        self.calls.borrow().is_empty()
    }

    /// Ends every call at once.
    pub(in crate::http) fn clear(&self) {
        let calls = self.calls.take();
        drop(calls);
    }

    fn make_room(&self, session: u64) {
        let mut calls = self.calls.borrow_mut();
        let mut of_session = HashMap::<u64, usize>::new();
        for entry in calls.values().filter(|entry| !entry.ending) {
            *of_session.entry(entry.session).or_default() += 1;
        }
        let all: usize = of_session.values().sum();
        let own = of_session.get(&session).copied().unwrap_or_default();
        let from = match own >= LEFT_OF_SESSION {
            true => Some(session),
            false if all >= LEFT => of_session
                .iter()
                .max_by_key(|(_, n)| **n)
                .map(|(it, _)| *it),
            false => None,
        };
        let oldest = calls
            .values_mut()
            .find(|entry| Some(entry.session) == from && !entry.ending);
        if let Some(oldest) = oldest {
            oldest.ending = true;
            oldest.ender.crowd_out();
        }
    }
}

impl Drop for OngoingGuard<'_> {
    fn drop(&mut self) {
        let entry = self.calls.calls.borrow_mut().remove(&self.number);
        if let Some(task) = entry.and_then(|entry| entry.task) {
            // The task is about to end by itself.
            task.detach();
        }
    }
}

/// The most calls of one session.
const LEFT_OF_SESSION: usize = 32;
/// The most calls of all sessions.
const LEFT: usize = 128;
