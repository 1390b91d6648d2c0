//! Admission of requests: routes, hosts and origins, the key and its cost for clients without it, content types,
//! budgets.

pub(super) mod accept;
pub(super) mod auth;
pub(super) mod budget;
pub(super) mod cors;
mod credential;
pub(super) mod front;
pub(in crate::http) mod principals;
mod proof_queue;
mod repeats;
pub(super) mod routes;
mod throttle;
pub(super) mod wrong_keys;
