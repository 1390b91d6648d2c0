//! The state of the running program in one line, for the service manager.

use std::time::Duration;

use async_io::Timer;
use smol::future;

use crate::app::service::Service;
use crate::local::watch::Watch;
use crate::mqtt::{self, Status};
use crate::operator::{Operator, Verdict};

/// Keeps the service manager's status line up to date, for as long as it is polled. State that changes more than once a
/// second is sent once.
pub(super) async fn tell(
    service: &Service,
    broker: &mqtt::Client,
    operator: &Operator,
    place: &str,
    sessions: &Watch<usize>,
) {
    let mut changes = broker.changes();
    let mut told = String::new();
    loop {
        let count = sessions.get();
        let halts = operator.changes();
        let halted = operator.verdict();
        let text = line(&changes.latest(), &halted, place, count);
        if text != told {
            service.status(&text).await;
            told = text;
            Timer::after(PAUSE).await;
        }
        let connection = async {
            changes.next().await;
        };
        let sessions = sessions.until(|now| *now != count);
        let halts = halts.until(|now| *now != halted);
        future::or(connection, future::or(sessions, halts)).await;
    }
}

fn line(status: &Status, verdict: &Verdict, place: &str, sessions: usize) -> String {
    let sessions = match sessions {
        1 => "1 session".to_owned(),
        count => format!("{count} sessions"),
    };
    // What a person has to see comes first.
    let halted = match verdict.is_halted() {
        true => format!("{verdict}; "),
        false => String::new(),
    };
    match status {
        Status::Connected { .. } => format!("{halted}connected to {place}, {sessions}"),
        Status::Disconnected { reason, .. } => {
            format!("{halted}not connected to {place}, {sessions}: {reason}")
        }
    }
}

const PAUSE: Duration = Duration::from_secs(1);
