//! What an agent is told about the topics that are there.

pub mod groups;
