//! The runtime of mcpmqtt.
