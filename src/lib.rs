//! The runtime of mcpmqtt.

pub mod mcp;
pub mod stdio;
