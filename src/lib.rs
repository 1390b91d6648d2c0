//! The runtime of mcpmqtt: an MCP server that gives AI agents safe access to an MQTT broker.
//!
//! # Layout
//!
//! * [`app`]: the program from its arguments to its exit code: command line, configuration in force, serving.
//! * [`stdio`]: MCP on standard input and output.
//! * [`http`]: MCP over HTTP, for remote agents.
//! * [`mcp`]: the dispatcher of both MCP eras, over a catalog such as `tools` makes.
//! * [`tools`]: four tools and two resources on an MQTT client, within the policy.
//! * [`mqtt`]: the MQTT client: a handle that everything else uses, and the driver of the connection.
//! * [`demo`]: a broker inside the program, with a simulated plant on it.
//! * [`metrics`], [`logger`]: what is counted; the log.
//! * [`local`], [`clock`], `io_error`, `file`, `pem`: what tasks on one thread hand to each other; the time of day as text; I/O
//!   errors in words; files, read without waiting for anybody; certificates and keys.
//!
//! Dependencies go one way: `app` → `stdio`, `http` → `mcp` ← `tools` → `mqtt` → `mcpmqtt_protocol`.
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
pub mod clock;
pub mod demo;
mod file;
pub mod http;
mod io_error;
pub mod local;
pub mod logger;
pub mod mcp;
pub mod metrics;
pub mod mqtt;
#[cfg(feature = "tls")]
mod pem;
pub mod stdio;
pub mod tools;

/// The protocol itself, whose types the handle speaks.
pub use mcpmqtt_protocol as protocol;
