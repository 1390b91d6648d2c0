//! Calls whose clients have left before the answer, which MCP before 2026-07-28 forbids to take for a cancellation
//! (2025-11-25 basic/transports §Sending Messages to the Server).
//!
//! Promises: such a call holds no connection; how many there are is bounded, for each session and over all. At a bound
//! the oldest ends: of the session itself, or, of the name that has most of them, that of the session that has most.
//! Does not: end those of a session with it (see [`Session::end_calls`](crate::mcp::Session::end_calls)).

use std::cell::{Cell, RefCell};
use std::collections::{BTreeMap, HashMap};
use std::rc::Rc;

use smol::Task;
use smol::future::BoxedLocal;

use crate::mcp::Ender;

/// A call that goes on after its client has left.
pub(in crate::http) struct LeftCall {
    /// The name of the principal that the session belongs to.
    pub(in crate::http) name: Rc<str>,
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
    name: Rc<str>,
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
            name,
            session,
            ender,
            work,
        } = call;
        ender.client_left();
        self.make_room(&name, session);
        let number = self.last.get() + 1;
        self.last.set(number);
        let entry = OngoingCall {
            name,
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

    /// Makes room for one more call of this name and session.
    fn make_room(&self, name: &str, session: u64) {
        let mut calls = self.calls.borrow_mut();
        let going = calls.values().filter(|entry| !entry.ending);
        let mut of_session = HashMap::<u64, usize>::new();
        // The one that comes counts for its name, so that no name takes from another that has no more than it.
        let mut of_name = HashMap::from([(name, 1_usize)]);
        for entry in going.clone() {
            *of_session.entry(entry.session).or_default() += 1;
            *of_name.entry(&entry.name).or_default() += 1;
        }
        let own = of_session.get(&session).copied().unwrap_or_default();
        let from = match own >= LEFT_OF_SESSION {
            true => Some(session),
            // Of equals, the last is taken: here the oldest.
            false if going.clone().count() >= LEFT => going
                .rev()
                .max_by_key(|it| (of_name.get(&*it.name), of_session.get(&it.session)))
                .map(|it| it.session),
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
