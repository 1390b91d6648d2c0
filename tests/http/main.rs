//! The HTTP server within this process: what it answers, whom it lets in, and what it tells over its streams.

#![allow(clippy::unwrap_used, unreachable_pub)]

#[path = "../common"]
mod common {
    pub mod addresses;
    pub mod engine;
    /// It is made for attackers, too.
    #[allow(dead_code)]
    pub mod http_client;
    pub mod http_server;
    pub mod messages;
    pub mod requests;
    pub mod schema;
    pub mod scratch;
    pub mod waiting;
}

mod cases;
mod front;
mod guard;
mod mcp;
mod names;
mod pages;
mod streams;
