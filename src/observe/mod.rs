//! What came on the topics that are watched, without I/O or a clock.

pub mod cover;
mod index;
pub mod kind;
pub mod record;
pub mod rhythm;
pub mod table;
