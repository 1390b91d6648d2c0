//! The connected client: its session, its share of the limits, its notifications and its answers.

pub(in crate::mcp) mod caller;
pub(in crate::mcp) mod join;
pub(in crate::mcp) mod peer;
pub(in crate::mcp) mod places;
pub(in crate::mcp) mod progress;
pub(in crate::mcp) mod session;
pub(in crate::mcp) mod sink;
pub(in crate::mcp) mod subscriptions;
