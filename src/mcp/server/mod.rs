//! The server: from a message to its answer.

pub(in crate::mcp) mod call;
pub(in crate::mcp) mod engine;
pub(in crate::mcp) mod methods;
pub(in crate::mcp) mod unready;

mod admission;
mod batch;
mod complete;
mod mrtr;
mod request_state;
mod subscribe;
