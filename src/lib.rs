//! The runtime of mcpmqtt: an MCP server that gives AI agents safe access to an MQTT broker.
//!
//! # The modules
//!
//! ```text
//!                    app                   arguments → configuration → serving → exit code
//!               ┌─────┴─────┐
//!             stdio       http             bytes ↔ messages; over HTTP: connections, guard, sessions, event streams
//!               └─────┬─────┘
//!         tools ────► mcp                  what agents may call  ►  five versions of MCP, one table of methods
//!           │
//!       operator                           a person who holds agents back
//!           │
//!         mqtt                             the MQTT client: a handle, and the driver that alone owns the socket
//!           │
//!   mcpmqtt_protocol, mcpmqtt_config       MQTT 3.1.1; configuration, permissions, keys: without I/O, clock or randomness
//! ```
//!
//! * [`app`]: the program from its arguments to its exit code.
//! * [`stdio`], [`http`]: the two transports. `http` has five rooms: `net`, `h1`, `guard`, `streamable`, `conn`.
//! * [`mcp`]: the MCP engine over a catalog. Its rooms: `jsonrpc`, `version`, `schema`, `client`, `catalog`, `server`. It
//!   imports nothing from the rest of the crate.
//! * [`tools`]: seven tools, two resources and every readable topic. Only `tools::access` has the MQTT client: it judges each
//!   attempt by the policy from its beginning to its end, so that no tool can forget to.
//! * [`audit`]: the record of attempts to write, and its verification.
//! * [`operator`]: a halt of all writes, by signals and over topics that no agent can reach.
//! * [`mqtt`]: the MQTT client.
//! * [`demo`]: a broker inside the program, with a simulated plant on it.
//! * [`metrics`], [`logger`], [`clock`], [`local`] (what tasks on one thread hand to each other), `io_error`, `file`,
//!   `pem`, `der`.
//!
//! An arrow means "imports". None runs back up: a test (`tests/docs/layers.rs`) holds the order of the modules, and of the
//! rooms of `mcp` and `http`. One thread, one executor; no lock on the way of a message.
//!
//! # One publish, station by station
//!
//! Over stdio:
//!
//! 1. `stdio::descriptor` reads bytes, `stdio::lines` cuts a line.
//! 2. `mcp::server::engine` has `mcp::jsonrpc::message` make a request of it.
//! 3. `mcp::server::admission` judges envelope, version and method, and says who calls (`mcp::client::caller`).
//! 4. `mcp::server::methods` finds the tool; `mcp::schema` holds the arguments against its schema. From here on the call is
//!    in flight (`mcp::client::session`).
//! 5. `stdio` spawns a task, which runs the call (`mcp::server::call`) to its end or its cancellation.
//! 6. `tools::publish` makes types of the arguments.
//! 7. `tools::access` admits the message (policy of the caller, halts, rate, quota), records what comes of it, and publishes it as
//!    long as that is permitted, by the rules on writes too.
//! 8. `mqtt::client` hands a request to the driver; a `local::oneshot` waits for the outcome.
//! 9. `mqtt::driver` gives the request to the state machine (`mcpmqtt_protocol::client`), which encodes the packet, and writes
//!    the bytes (`mqtt::transport`).
//! 10. Back the same way: the acknowledgement makes an outcome, the outcome a result of the tool, `mcp::catalog::results` its
//!     shape in the version spoken, and `stdio::outbox` a line.
//!
//! Over HTTP steps 1 and 5 are these:
//!
//! 1. `http::net::listener` takes a connection in, `http::conn::slots` gives it a slot, `http::net::tls` shakes hands.
//!    `http::conn::connection` reads the head (`http::net::io`, `http::h1::head`), has `http::guard` judge route, host, origin,
//!    key and content type, reads the body within its budget (`http::conn::upload`), and hands both to
//!    `http::streamable::endpoint`, which finds the session and asks the engine.
//! 2. `http::conn::respond` runs the call. The answer is JSON (`http::streamable::response`), or an event stream if something
//!    is to be told before it (`http::conn::streamed_call`, `http::streamable::sse`); `http::h1::encode` has async-h1 make
//!    bytes of both.
//!
//! # Why `mcp` is no crate of its own
//!
//! It could be: it imports nothing from here, and a test holds that. It has one user, and as a crate it would have to
//! publish what is private now, take its clock and its randomness from outside, and gain nothing that the test does not give.
//!
//! # An MQTT client without MCP
//!
//! [`mqtt::connect`] gives an [`mqtt::Client`] to any Rust program. All of it lives on one thread; the
//! broker here is the one inside the program, yours is at `Target::new("broker.example", 1883)`.
//!
//! ```
//! use std::time::{Duration, Instant};
//!
//! use mcpmqtt::mqtt::{self, Arrival, Client, InboxLimits, Status, Target};
//! use mcpmqtt::protocol::QoS;
//! use mcpmqtt::protocol::client::{Listen, Options, Outcome};
//! use mcpmqtt::protocol::message::Message;
//! use mcpmqtt::protocol::topic::{SubscribeFilter, TopicName};
//! use mcpmqtt::demo;
//!
//! async fn converse(broker: &Client) -> Result<(), Box<dyn std::error::Error>> {
//!     // Subscribes; when this returns, the broker has granted the filter.
//!     let filter = SubscribeFilter::parse("greetings/+")?;
//!     let listen = Listen { filter, qos: QoS::ExactlyOnce, retained: false };
//!     let mut inbox = broker.listen(listen).await?;
//!
//!     for qos in [QoS::AtMostOnce, QoS::AtLeastOnce, QoS::ExactlyOnce] {
//!         let topic = TopicName::parse("greetings/all")?;
//!         let message = Message { topic, payload: b"hello".as_slice().into(), qos, retain: false };
//!         // An error means that nothing was sent; otherwise there is exactly one outcome.
//!         match broker.publish(message, Instant::now() + Duration::from_secs(10)).await? {
//!             Outcome::Sent => assert_eq!(qos, QoS::AtMostOnce),
//!             Outcome::Delivered => assert_ne!(qos, QoS::AtMostOnce),
//!             Outcome::NotSent(reason) => println!("it did not reach the broker: {reason}"),
//!             Outcome::Unknown(reason) => println!("it may have reached the broker: {reason}"),
//!         }
//!         match inbox.next().await {
//!             Arrival::Message(message) => assert_eq!(*message.payload, *b"hello"),
//!             Arrival::TooLarge(what) => println!("{what}"),
//!             Arrival::Ended(reason) => println!("no more will come: {reason}"),
//!         }
//!     }
//!     // What a slow reader missed is counted, and so are the connections lost meanwhile.
//!     assert_eq!((inbox.lost(), inbox.interruptions()), (0, 0));
//!     broker.shut_down();
//!     Ok(())
//! }
//!
//! let executor = smol::LocalExecutor::new();
//! smol::block_on(executor.run(async {
//!     let demo = demo::start(&executor).await?;
//!     let target = Target::new("127.0.0.1", demo.port());
//!     // A fixed client identifier and `clean_session: false` resume the session after an outage.
//!     let options = Options { clean_session: false, ..Options::new("greeter") };
//!     let (broker, driver) = mqtt::connect(options, target, InboxLimits::default(), 1);
//!     let driver = executor.spawn(driver);
//!
//!     let mut changes = broker.changes();
//!     executor
//!         .spawn(async move {
//!             loop {
//!                 match changes.next().await {
//!                     Status::Connected { session_present } => println!("up, session kept: {session_present}"),
//!                     Status::Disconnected { reason, retry_in: Some(_) } => println!("down: {reason}"),
//!                     Status::Disconnected { reason, retry_in: None } => break println!("over: {reason}"),
//!                 }
//!             }
//!         })
//!         .detach();
//!
//!     converse(&broker).await?;
//!     driver.await;
//!     Ok::<_, Box<dyn std::error::Error>>(())
//! }))?;
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```

pub mod app;
pub mod audit;
pub mod clock;
pub mod demo;
#[cfg(feature = "tls")]
mod der;
mod file;
pub mod http;
mod io_error;
pub mod local;
pub mod logger;
pub mod mcp;
pub mod metrics;
pub mod mqtt;
pub mod observe;
pub mod operator;
#[cfg(feature = "tls")]
mod pem;
pub mod stdio;
pub mod tools;

/// The protocol itself, whose types the handle speaks.
pub use mcpmqtt_protocol as protocol;
