//! The MCP engine: it answers JSON-RPC messages of five protocol versions from one catalog.
//!
//! Promises: the era is chosen per message; every answer has the shape of the caller's version; no
//! bytes, however wrong, end in anything but an answer or a silence the protocol asks for.
//! Does not: do I/O, spawn tasks, or know stdio, HTTP and MQTT. A front door gives it bytes, a
//! [`Session`] and an [`Outlet`], runs the [`Call`]s and writes the [`Reply`]s.
//!
//! From the outside in: `engine` over `rpc` (messages) and `answer`; `admission` (the one method
//! table) with `modern` and `legacy` (the eras' envelopes); `methods` over `catalog`, `schema` and
//! `rule` (arguments) and `results` and `items` (shapes by `version`, declared by `offer`); `call`,
//! `session` and `progress` are a request's life, `outlet` is its way out, `caller` says whose budget it
//! uses. A handler asks its
//! `client` a `question`, which takes `rounds` under a `seal` where there are no sessions; `listen`
//! and `notifier` tell what changed. `unready` stands in for an engine that could not be made.

pub mod catalog;
pub mod rpc;
pub mod schema;

mod admission;
mod answer;
mod call;
mod caller;
mod client;
mod complete;
mod engine;
mod items;
mod json;
mod legacy;
mod level;
mod listen;
mod methods;
mod modern;
mod notifier;
mod offer;
mod outlet;
mod places;
mod progress;
mod question;
mod results;
mod rounds;
mod rule;
mod seal;
mod separators;
mod session;
mod together;
mod unready;
mod version;

pub use call::{Call, Ender, Received, Reply};
pub use caller::CallerId;
pub use client::{AskError, Client};
pub use engine::Engine;
pub use level::Level;
pub use methods::CatalogError;
pub use notifier::{Notifier, Watch};
pub use outlet::{Outlet, Room};
pub use places::{NoPlace, Place, Places};
pub use progress::Progress;
pub use question::{Answers, Kind, Question};
pub use session::Session;
pub use unready::{Told, Unready};
pub use version::{Shape, Version};

pub(crate) use json::object as strict_object;
pub(crate) use modern::{CLIENT_CAPABILITIES, PROTOCOL_VERSION, claims};
pub(crate) use separators::escaped;
