//! One connection's life, and what all connections share.

mod access_log;
pub(super) mod connection;
mod exchange;
mod left_calls;
mod respond;
pub(super) mod server_state;
pub(super) mod slots;
mod streamed_call;
mod unread;
mod upload;
