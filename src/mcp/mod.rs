//! The MCP engine: it answers JSON-RPC messages of five protocol versions from one catalog.
//!
//! Promises: the era is chosen per message; every answer has the shape of the caller's version; no
//! bytes, however wrong, end in anything but an answer or a silence the protocol asks for.
//! Does not: do I/O, spawn tasks, or know stdio, HTTP and MQTT. A front door gives it bytes, a
//! [`Session`] and an [`Outlet`], runs the [`Call`]s and writes the [`Reply`]s.
//!
//! From the outside in: `engine` over `rpc` (messages) and `answer`; `admission` (the one method
//! table) with `modern` and `legacy` (the eras' envelopes); `methods` over `catalog`, `schema` and
//! `rule` (arguments) and `results` (shapes by `version`); `call`, `session` and `progress` are a
//! request's life.

pub mod catalog;
pub mod rpc;
pub mod schema;

mod admission;
mod answer;
mod call;
mod engine;
mod json;
mod legacy;
mod methods;
mod modern;
mod progress;
mod results;
mod rule;
mod session;
mod version;

pub use call::{Call, Received, Reply};
pub use engine::Engine;
pub use methods::CatalogError;
pub use progress::{Outlet, Progress};
pub use session::Session;
pub use version::{Shape, Version};
