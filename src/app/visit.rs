//! A short connection to the broker, for the commands that look at it and leave again.
//!
//! Promises: every wait ends.

use std::future::Future;
use std::time::Duration;

use async_io::Timer;
use mcpmqtt_protocol::client::{BackoffOptions, Reason};
use smol::future;

use crate::mqtt::{self, Status};

/// Waits for the outcome of the first attempt to connect.
///
/// # Errors
/// Why there is no connection; `None`: nothing was known within `limit`.
pub(super) async fn reach(broker: &mqtt::Client, limit: Duration) -> Result<(), Option<Reason>> {
    let mut changes = broker.changes();
    let first = async {
        loop {
            match changes.next().await {
                Status::Connected { .. } => return Ok(()),
                Status::Disconnected {
                    reason: Reason::NeverConnected,
                    ..
                } => {}
                Status::Disconnected { reason, .. } => return Err(Some(reason)),
            }
        }
    };
    within(limit, first).await.unwrap_or(Err(None))
}

/// What `work` comes to, if it ends in time.
pub(super) async fn within<T>(limit: Duration, work: impl Future<Output = T>) -> Option<T> {
    let late = async {
        Timer::after(limit).await;
        None
    };
    future::or(async { Some(work.await) }, late).await
}

/// The waits have deadlines of their own; this one guards against mistakes there.
pub(super) const GRACE: Duration = Duration::from_secs(2);
/// For the broker to answer, or to be found again after it ended the connection.
pub(super) const SUBSCRIBING: Duration = Duration::from_secs(20);
/// A person waits.
pub(super) const BACKOFF: BackoffOptions = BackoffOptions {
    initial: Duration::from_millis(100),
    max: Duration::from_secs(1),
    refused_initial: Duration::from_secs(1),
    refused_max: Duration::from_secs(1),
    stable: Duration::from_secs(10),
};
