//! What the log says about each request, at the level DEBUG.
//!
//! Promises: one line per request; never a query, a header field or a path that is not one of ours, since a key can
//! be in any of them.

use std::time::Instant;

use mcpmqtt_config::LogLevel;

use super::client::Outcome;
use super::head::Head;
use super::peer::Peer;
use super::routes;
use crate::logger;

/// What was asked, and since when; nothing when nobody wants to know.
pub(super) struct Watch(Option<(Instant, String)>);

impl Watch {
    /// Of a request with this head, or of bytes that had none.
    pub(super) fn start(head: Option<&Head>) -> Watch {
        Watch(logger::enabled(LogLevel::Debug).then(|| {
            let asked = match head {
                Some(head) => format!("{} {}", head.method, routes::shown(&head.path)),
                None => "no request".into(),
            };
            (Instant::now(), asked)
        }))
    }

    /// Tells what came of it.
    pub(super) fn tell(self, peer: Peer, outcome: &Outcome) {
        let Some((start, asked)) = self.0 else { return };
        let ms = start.elapsed().as_secs_f64() * 1e3;
        let end = match (outcome.status, &outcome.why) {
            (Some(status), Some(why)) => format!("{} in {ms:.1} ms: {why}", u16::from(status)),
            (Some(status), None) => format!("{} in {ms:.1} ms", u16::from(status)),
            (None, _) => format!("the client left after {ms:.1} ms"),
        };
        logger::debug(format_args!("{peer}: {asked}: {end}"));
    }
}
