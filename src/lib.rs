//! The runtime of mcpmqtt.

pub mod keyfile;
