//! Listeners and connections: sockets of the system, plain and in TLS.

mod activation;
pub(super) mod io;
pub(super) mod listener;
pub(super) mod remote_addr;
#[cfg_attr(not(feature = "tls"), path = "no_tls.rs")]
pub(super) mod tls;
