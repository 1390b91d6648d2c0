//! HTTP/1.1 (RFC 9112): request heads and bodies from bytes, answers to bytes.

pub(super) mod body;
pub(super) mod encode;
pub(super) mod head;
pub(super) mod refusal;
mod target;
