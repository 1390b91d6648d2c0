//! The MQTT client: a handle for the rest of the program, and the driver that owns the connection.
//!
//! [`connect`] creates both. The handle, [`Client`], sends requests to the driver over one bounded channel; the driver
//! runs the state machine of [`mcpmqtt_protocol::client`] and the socket (`transport`), and puts received messages into
//! each listener's [`Inbox`].
//!
//! Does not: know MCP, tools or permissions.

mod client;
mod driver;
mod failure;
mod inbox;
mod sending;
#[cfg(test)]
pub(crate) mod simulated;
mod state;
mod tap;
mod too_large;
mod transport;

pub use self::client::{Client, Counts};
pub use self::driver::connect;
pub use self::failure::ListenFailure;
pub use self::inbox::{Arrival, Inbox, InboxLimits};
pub use self::state::{StateReceiver, Status};
pub use self::tap::{Observing, Tap, Tapped};
pub use self::too_large::TooLarge;
pub use self::transport::{Target, Tls};
pub(crate) use self::transport::{place, resolve};
