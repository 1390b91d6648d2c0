//! The real program: its command line, its start, its tools over stdio and HTTP, real brokers and broken ones.

#![allow(clippy::unwrap_used, clippy::print_stdout, unreachable_pub)]

#[path = "../common"]
mod common {
    pub mod addresses;
    pub mod agent;
    pub mod config;
    pub mod copy;
    pub mod device;
    /// It is made for tests of the server, which look closer.
    #[allow(dead_code)]
    pub mod http_client;
    pub mod messages;
    pub mod mosquitto;
    pub mod pipes;
    pub mod ports;
    pub mod process;
    pub mod program;
    pub mod requests;
    /// Other tests look closer.
    #[allow(dead_code)]
    pub mod schema;
    pub mod scratch;
    pub mod size;
    pub mod terminal;
    pub mod waiting;
}

mod audit;
mod broker_limits;
mod call;
mod calls;
mod chapter;
mod check;
mod check_connect;
mod cli;
mod condition_ends;
mod conditions;
mod consent;
mod demo;
mod end_of_input;
mod escapes;
mod examples;
mod explain;
mod failed_start;
mod hostile_brokers;
mod house;
mod http_program;
mod http_results;
mod http_strangers;
#[cfg(feature = "tls")]
mod https;
mod init;
mod install;
mod keyfile;
mod large_messages;
mod memory;
mod metrics;
mod mosquitto;
#[cfg(not(feature = "demo"))]
mod no_demo;
#[cfg(not(feature = "tls"))]
mod no_tls;
mod operator_halt;
mod operator_topics;
mod outages;
mod overview;
mod payload_limits;
mod presence;
mod profiles;
mod reload;
mod selection;
mod service;
mod stalls;
mod startup;
#[cfg(feature = "tls")]
mod tls;
mod tools;
mod topic_resources;
mod watches;
mod write_rules;
