//! What the log says about each request, at the level DEBUG.
//!
//! Promises: one line per request; never a query, a header field or a path that is not one of ours, since a key can
//! be in any of them.

use std::time::{Duration, Instant};

use mcpmqtt_config::LogLevel;

use super::exchange::ExchangeOutcome;
use crate::http::guard::routes;
use crate::http::h1::head::Head;
use crate::http::net::remote_addr::RemoteAddr;
use crate::logger;

/// One request's log line in the making, if the level DEBUG is logged.
pub(in crate::http) struct LogEntry {
    start: Instant,
    asked: Option<String>,
}

impl LogEntry {
    /// Of a request with this head, or of bytes that had none.
    pub(in crate::http) fn start(head: Option<&Head>) -> LogEntry {
        let asked = || match head {
            Some(head) => format!("{} {}", head.method, routes::shown(&head.path)),
            None => "no request".into(),
        };
        LogEntry {
            start: Instant::now(),
            asked: logger::enabled(LogLevel::Debug).then(asked),
        }
    }

    /// The time that it has taken so far.
    pub(in crate::http) fn time(&self) -> Duration {
        self.start.elapsed()
    }

    /// Logs the outcome.
    pub(in crate::http) fn tell(self, peer: RemoteAddr, outcome: &ExchangeOutcome) {
        let ms = self.time().as_secs_f64() * 1e3;
        let Some(asked) = self.asked else { return };
        let end = match (outcome.status, &outcome.why) {
            (Some(status), Some(why)) => format!("{} in {ms:.1} ms: {why}", u16::from(status)),
            (Some(status), None) => format!("{} in {ms:.1} ms", u16::from(status)),
            (None, _) => format!("the client left after {ms:.1} ms"),
        };
        logger::debug(format_args!("{peer}: {asked}: {end}"));
    }
}
