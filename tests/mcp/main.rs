//! The MCP engine within this process: its catalog, its versions, its notifications, and stdio over pipes.

#![allow(clippy::unwrap_used, unreachable_pub)]

#[path = "../common"]
mod common {
    pub mod engine;
    pub mod messages;
    pub mod pipes;
    pub mod schema;
}

mod catalog;
mod eras;
mod hostile;
mod peer;
mod questions;
mod stdio;
mod subscriptions;
mod wire;
