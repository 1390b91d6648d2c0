//! The client at the other end: its session, what it may use, what it is told and what it can be asked.

pub(in crate::mcp) mod caller;
pub(in crate::mcp) mod join;
pub(in crate::mcp) mod peer;
pub(in crate::mcp) mod places;
pub(in crate::mcp) mod progress;
pub(in crate::mcp) mod session;
pub(in crate::mcp) mod sink;
pub(in crate::mcp) mod subscriptions;
