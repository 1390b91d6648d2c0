//! The fixed settings of a client: its identity and its timing.

use std::fmt;
use std::time::Duration;

use crate::limits::Limits;
use crate::message::Message;

/// The identity and the timing of a [`Client`](super::Client).
#[derive(Clone)]
pub struct Options {
    /// The client identifier, the same over all reconnects ([MQTT-3.1.3-2]).
    pub client_id: String,
    /// The client identifier was generated at random, so that no other client can have it.
    pub is_client_id_generated: bool,
    /// True: the broker and this client discard the session at each disconnect ([MQTT-3.1.2-6]).
    pub clean_session: bool,
    /// The longest silence in seconds before a ping; 0 turns pings off ([MQTT-3.1.2-23]).
    pub keep_alive: u16,
    /// User name, if any.
    pub username: Option<String>,
    /// Password; needs a user name ([MQTT-3.1.2-22]).
    pub password: Option<Vec<u8>>,
    /// The message that the broker publishes when the connection ends without a DISCONNECT ([MQTT-3.1.2-8]). The client
    /// publishes it itself before a final DISCONNECT, so that every end is announced.
    pub will: Option<Message>,
    /// The first message that the client publishes on every accepted connection.
    pub birth: Option<Message>,
    /// One deadline for name lookup, transport and CONNACK together.
    pub connect_timeout: Duration,
    /// The waits between connection attempts.
    pub backoff: BackoffOptions,
    /// The limits on items and bytes.
    pub limits: Limits,
}

impl Options {
    /// A clean session for `client_id` with default settings.
    #[must_use]
    pub fn new(client_id: impl Into<String>) -> Self {
        Self {
            client_id: client_id.into(),
            is_client_id_generated: false,
            clean_session: true,
            keep_alive: 60,
            username: None,
            password: None,
            will: None,
            birth: None,
            connect_timeout: Duration::from_secs(10),
            backoff: BackoffOptions::default(),
            limits: Limits::default(),
        }
    }
}

impl fmt::Debug for Options {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Options")
            .field("client_id", &self.client_id)
            .field("clean_session", &self.clean_session)
            .field("keep_alive", &self.keep_alive)
            .field("username", &self.username.as_ref().map(|_| "…"))
            .field("password", &self.password.as_ref().map(|_| "…"))
            .finish_non_exhaustive()
    }
}

/// The waits between connection attempts: each is a random time between 0 and a bound that doubles.
#[derive(Debug, Clone)]
pub struct BackoffOptions {
    /// The bound after the first failure.
    pub initial: Duration,
    /// The largest bound.
    pub max: Duration,
    /// The first wait after the broker refused this client's identity (CONNACK 1, 2, 4, 5).
    pub refused_initial: Duration,
    /// The longest wait after such refusals.
    pub refused_max: Duration,
    /// A connection that lasts this long resets the bound.
    pub stable: Duration,
}

impl Default for BackoffOptions {
    fn default() -> Self {
        Self {
            initial: Duration::from_millis(250),
            max: Duration::from_secs(8),
            refused_initial: Duration::from_secs(5),
            refused_max: Duration::from_secs(60),
            stable: Duration::from_secs(10),
        }
    }
}
