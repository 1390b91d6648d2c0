//! Observation of the bus: what payloads say, conditions on them, and what came over time.
//!
//! No file here does I/O, reads a clock, draws randomness or writes a log: the time is an argument.

pub mod cover;
pub mod distribution;
pub mod each;
pub mod groups;
mod index;
pub mod kind;
pub mod record;
pub mod rhythm;
pub mod room;
pub mod statistics;
pub mod table;
pub mod watcher;

pub use mcpmqtt_config::{condition, path, reading};
