//! The runtime of mcpmqtt: an MCP server that gives AI agents safe access to an MQTT broker.
//!
//! # Layout
//!
//! * [`cli`], [`clock`], [`logger`]: the command line, the time of day, the log.
//! * [`broker`], [`link`], [`transport`]: the connection to the broker, and the handle that everything else
//!   uses.
//! * [`mcp`]: the dispatcher of both MCP eras, over a catalog of tools and resources.
//! * [`tools`]: that catalog: four tools and two resources.
//! * [`keyfile`]: a new API key in the configuration file.
//! * [`run`]: which of them are needed, and for how long.
//!
//! Dependencies go one way: front doors → `mcp` → `tools` → `broker` ← `link` → `mcpmqtt_protocol`.

pub mod broker;
pub mod cli;
pub mod clock;
pub mod keyfile;
pub mod link;
pub mod logger;
pub mod mcp;
pub mod run;
pub mod tools;
pub mod transport;
