//! The MCP engine: it answers JSON-RPC messages of five protocol versions from one catalog.
//!
//! Promises: the era is determined for each message; every response has the shape of the caller's version; whatever the
//! bytes, the outcome is a response, or no response where the protocol requires none.
//! Does not: do I/O, spawn tasks, or know stdio, HTTP and MQTT. A transport gives it bytes, a
//! [`Session`] and a [`ClientSink`], runs the [`Call`]s and writes the [`Reply`]s.
//!
//! Six modules; each depends only on those above it in this list, and on nothing else in the crate:
//!
//! * `jsonrpc`: JSON-RPC messages from bytes, responses to bytes.
//! * `version`: what differs between the five revisions, and the envelopes of the two eras.
//! * `schema`: a tool's input schema, and the validation of arguments against it.
//! * `client`: the connected client: its session, its share of the limits, its notifications and its answers.
//! * `catalog`: the tools, resources and prompts of a server, and their shape in each version.
//! * `server`: from a message to its response.

pub mod catalog;
pub mod jsonrpc;
pub mod schema;

mod client;
mod server;
mod version;

pub use self::client::caller::{Caller, CallerId, ClientInfo, Principal};
pub use self::client::peer::{AskError, Peer};
pub use self::client::places::{NoPlace, Place, Places};
pub use self::client::progress::Progress;
pub use self::client::session::Session;
pub use self::client::sink::{AnswerRoom, ClientSink};
pub use self::client::subscriptions::{Notifier, WatchGuard};
pub use self::server::call::{Call, Ender, Received, Reply};
pub use self::server::engine::Engine;
pub use self::server::methods::CatalogError;
pub use self::server::unready::{Told, Unready};
pub use self::version::log_level::Level;
pub use self::version::question::{Answers, Kind, Question};
pub use self::version::{Shape, Version};

pub(crate) use self::jsonrpc::line_separators::escaped;
pub(crate) use self::jsonrpc::strict::object as strict_object;
pub(crate) use self::version::stateless::{CLIENT_CAPABILITIES, PROTOCOL_VERSION, claims};
