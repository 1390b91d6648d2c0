//! The runtime of mcpmqtt: an MCP server that gives AI agents safe access to an MQTT broker.
//!
//! # Layout
//!
//! * [`cli`], [`clock`], [`logger`]: the command line, the time of day, the log.
//! * [`startup`], [`keyfile`]: the configuration in force; a new API key in the configuration file.
//! * [`broker`], [`link`], [`transport`]: the connection to the broker, and the handle that everything else
//!   uses.
//! * [`tools`]: four tools and two resources on that handle, within the policy.
//! * [`mcp`]: the dispatcher of both MCP eras, over a catalog such as `tools` makes.
//! * [`stdio`]: the front door on standard input and output.
//! * [`http`]: the front door for remote agents.
//! * [`demo`]: a broker inside the program, with a simulated plant on it.
//! * [`serve`], [`run`]: all of it together, and the program from its arguments to its exit code.
//!
//! Dependencies go one way: `run` → `serve` → `stdio` → `mcp` ← `tools` → `broker` ← `link` →
//! `mcpmqtt_protocol`.

pub mod broker;
pub mod cli;
pub mod clock;
pub mod demo;
pub mod http;
pub mod keyfile;
pub mod link;
pub mod logger;
pub mod mcp;
pub mod run;
pub mod serve;
pub mod startup;
pub mod stdio;
pub mod tools;
pub mod transport;
