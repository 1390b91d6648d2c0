//! The server that the official conformance suite is run against: the engine and the HTTP front
//! door of the product, with the tools, resources and prompts that the suite's scenarios name.
//!
//! It listens on a free port of loopback, prints the port and the key, and serves until it is
//! killed. `scripts/conformance` builds and runs it; it is no part of the product.

#![allow(
    clippy::unwrap_used,
    clippy::print_stdout,
    unreachable_pub,
    missing_docs,
    missing_debug_implementations
)]

mod asking;
mod contents;
mod tools;

use std::cell::Cell;
use std::future::pending;
use std::rc::Rc;

use mcpmqtt::http::{Admission, Deadlines, Limits, Listener, NamedCallers, Server, ServerSettings};
use mcpmqtt::mcp::catalog::{Catalog, ServerInfo};
use mcpmqtt::mcp::{Engine, Notifier};
use mcpmqtt_config::{ApiKey, Secret};
use smol::LocalExecutor;

fn main() {
    let listener = smol::block_on(Listener::tcp("127.0.0.1", 0)).unwrap();
    let port = listener.place().rsplit(':').next().unwrap().to_owned();
    let settings = ServerSettings {
        engine: Engine::new(catalog(), info()).unwrap(),
        mqtt_connected: Box::new(|| false),
        halted: Box::new(|| false),
        admission: Admission {
            api_key: ApiKey::Plain(Secret::new(KEY)),
            callers: NamedCallers::default(),
            allowed_hosts: Vec::new(),
            allowed_origins: Vec::new(),
            tls: None,
        },
        metrics: mcpmqtt::metrics::Metrics::default(),
        report: Box::new(String::new),
        limits: Limits::default(),
        deadlines: Deadlines::default(),
    };
    println!("{port} {KEY}");
    let server = Server::new(listener, settings).unwrap();
    let executor = Rc::new(LocalExecutor::new());
    async_io::block_on(executor.run(server.serve(&executor, pending())));
}

fn catalog() -> Catalog {
    let notifier = Notifier::default();
    let mut tools = tools::all(&notifier);
    tools.extend(asking::tools());
    Catalog {
        tools,
        resources: contents::resources(),
        templates: contents::templates(),
        prompts: contents::prompts(),
        notifier,
        dismiss: None,
        offers: None,
        lists_change: true,
        asks: Rc::new(Cell::new(true)),
        logging: true,
    }
}

fn info() -> ServerInfo {
    ServerInfo {
        name: "mcpmqtt-conformance".into(),
        title: "Conformance fixture".into(),
        version: env!("CARGO_PKG_VERSION").into(),
        instructions: "For the official conformance suite.".into(),
    }
}

/// What clients have to show.
const KEY: &str = "conformance";
