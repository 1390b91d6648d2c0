//! The state of the running program in one line, for the service manager.

use std::time::Duration;

use async_io::Timer;
use smol::future;

use crate::app::service::Service;
use crate::local::watch::Watch;
use crate::mqtt::{self, Status};

/// Keeps the service manager's status line up to date, for as long as it is polled. State that changes more than once a
/// second is sent once.
pub(super) async fn tell(
    service: &Service,
    broker: &mqtt::Client,
    place: &str,
    sessions: &Watch<usize>,
) {
    let mut changes = broker.changes();
    let mut told = String::new();
    loop {
        let count = sessions.get();
        let text = line(&changes.latest(), place, count);
        if text != told {
            service.status(&text).await;
            told = text;
            Timer::after(PAUSE).await;
        }
        let connection = async {
            changes.next().await;
        };
        future::or(connection, sessions.until(|now| *now != count)).await;
    }
}

fn line(status: &Status, place: &str, sessions: usize) -> String {
    let sessions = match sessions {
        1 => "1 session".to_owned(),
        count => format!("{count} sessions"),
    };
    match status {
        Status::Connected { .. } => format!("connected to {place}, {sessions}"),
        Status::Disconnected { reason, .. } => {
            format!("not connected to {place}, {sessions}: {reason}")
        }
    }
}

const PAUSE: Duration = Duration::from_secs(1);
