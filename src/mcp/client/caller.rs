//! Whose share of a budget a request uses.

use std::rc::Rc;
use std::sync::atomic::{AtomicU64, Ordering};

/// One client, as far as it can be told from the others. Cheap to clone.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum CallerId {
    /// The client of one session: the process at standard input and output, or a session over HTTP.
    Session(u64),
    /// Whoever shows one key at one place, in the era without sessions.
    Place(Rc<[u8]>),
}

impl CallerId {
    /// Whoever shows the key of `principal` at `peer`.
    pub(in crate::mcp) fn at(principal: &[u8], peer: &[u8]) -> CallerId {
        CallerId::Place([principal, peer].concat().into())
    }
}

/// One that no other session of the process has.
impl Default for CallerId {
    fn default() -> CallerId {
        CallerId::Session(LAST.fetch_add(1, Ordering::Relaxed))
    }
}

static LAST: AtomicU64 = AtomicU64::new(0);
