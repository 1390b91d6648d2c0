//! What came on the topics that are watched, without I/O or a clock.

pub mod cover;
