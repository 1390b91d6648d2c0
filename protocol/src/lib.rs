//! Sans-IO MQTT 3.1.1.
#![warn(clippy::indexing_slicing)]

pub mod topic;
