//! Sans-IO MQTT 3.1.1: topics, framing, a client and a small broker as state machines.
//!
//! * [`topic`]: topic names and filters as types, matching and containment.
//! * [`frame`] and [`encode`]: bytes to packets and back; `mqttrs` parses the fields, this crate does the framing and
//!   every check of a peer's input.
//! * [`client`]: the client state machine.
//! * [`broker`]: a small broker, for demonstrations and tests.
//! * [`limits`]: the limits on memory and time.
//!
//! Does not: open a socket, read a clock, draw a random number or write a log.

#![warn(clippy::indexing_slicing, clippy::expect_used, clippy::panic)]

pub mod broker;
pub mod client;
pub mod encode;
pub mod frame;
mod ids;
pub mod limits;
pub mod message;
mod outbox;
pub mod sort;
pub mod topic;

pub use mqttrs::{
    Connack, ConnectReturnCode, Packet, PacketType, Pid, Publish, QoS, QosPid, Suback,
    SubscribeReturnCodes,
};
