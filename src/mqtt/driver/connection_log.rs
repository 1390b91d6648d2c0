//! The log lines about the connection.

use std::time::Duration;

use mcpmqtt_protocol::client::Reason;

use crate::logger;
use crate::mqtt::transport::Target;

/// Logs one line for each connection and one for each loss; a failed attempt with the same reason as the last one is
/// logged at debug level.
#[derive(Default)]
pub(super) struct ConnectionLog {
    last: Option<Reason>,
    is_up: bool,
}

impl ConnectionLog {
    pub(super) fn up(&mut self, target: &Target, protocol: &str, session_present: bool) {
        self.last = None;
        self.is_up = true;
        let session = if session_present {
            ", the session went on"
        } else {
            ""
        };
        logger::info(format_args!(
            "connected to the broker at {} over {protocol}{session}",
            target.place()
        ));
    }

    pub(super) fn old_session(&self, target: &Target) {
        logger::info(format_args!(
            "the broker at {} still had a session of this client id from before this start; it is ended, \
             with the messages kept for it",
            target.place()
        ));
    }

    pub(super) fn down(&mut self, target: &Target, reason: &Reason, retry_in: Option<Duration>) {
        let was_up = std::mem::take(&mut self.is_up);
        let Some(wait) = retry_in else {
            if was_up {
                logger::info(format_args!("disconnected from the broker"));
            }
            return;
        };
        let wait = wait.as_secs_f64();
        let place = match reason {
            // The message names the address itself.
            Reason::Transport(_) => String::new(),
            _ => format!("broker {}: ", target.place()),
        };
        if self.last.as_ref() == Some(reason) {
            logger::debug(format_args!("{place}{reason}; next attempt in {wait:.1} s"));
        } else {
            logger::warning(format_args!("{place}{reason}; next attempt in {wait:.1} s"));
        }
        self.last = Some(reason.clone());
    }
}
