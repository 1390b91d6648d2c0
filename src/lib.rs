//! The runtime of mcpmqtt.

pub mod mcp;
