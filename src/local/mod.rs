//! Communication between tasks on one thread: each primitive once, without locks or atomics.
//!
//! | | carries | wakes |
//! |---|---|---|
//! | [`Notify`](notify::Notify) | nothing: a condition may have changed | the one that waits |
//! | [`NotifyAll`](notify::NotifyAll) | the same | everybody who waits |
//! | [`oneshot`] | one value, given once | its receiver |
//! | [`queue`] | messages, unbounded; the sender can ask how many wait | its receiver |
//! | [`Watch`](watch::Watch) | the latest value | every waiting task |

pub(crate) mod notify;
pub(crate) mod oneshot;
pub(crate) mod queue;
pub(crate) mod time;
pub mod watch;
