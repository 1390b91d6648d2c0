//! The runtime of mcpmqtt.

pub mod cli;
pub mod clock;
pub mod logger;
pub mod run;
