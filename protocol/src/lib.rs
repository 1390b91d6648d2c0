//! Sans-IO MQTT 3.1.1.

#![warn(clippy::indexing_slicing, clippy::expect_used, clippy::panic)]

pub mod client;
pub mod encode;
pub mod frame;
pub mod limits;
pub mod message;
pub mod topic;

pub use mqttrs::{
    Connack, ConnectReturnCode, Packet, PacketType, Pid, Publish, QoS, QosPid, Suback,
    SubscribeReturnCodes,
};
