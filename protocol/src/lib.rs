//! Sans-IO MQTT 3.1.1: topics, framing, a client and a small broker as state machines.
//!
//! * [`topic`]: topic names and filters as types, matching and containment.
//! * [`frame`] and [`encode`]: bytes to packets and back; the fields are `mqttrs`'s, the framing and
//!   every check on what comes from a peer are ours.
//! * [`client`]: the client state machine.
//! * [`broker`]: a small broker, for demonstrations and tests.
//! * [`limits`]: the bounds on all of it.
//!
//! Nothing here opens a socket, reads a clock, draws a random number or writes a log.

#![warn(clippy::indexing_slicing, clippy::expect_used, clippy::panic)]

pub mod broker;
pub mod client;
pub mod encode;
pub mod frame;
mod ids;
pub mod limits;
pub mod message;
mod outbox;
pub mod topic;

pub use mqttrs::{
    Connack, ConnectReturnCode, Packet, PacketType, Pid, Publish, QoS, QosPid, Suback,
    SubscribeReturnCodes,
};
