//! Progress notifications of one call, for a client that asked for them.
//!
//! Promises: without a progress token every report costs one comparison; reported values strictly increase, at most ten
//! notifications a second are sent, none after the response, and none while the client does not keep up.
//! Does not: invent reports; the tool reports its progress.

use std::cell::Cell;
use std::fmt;
use std::rc::Rc;
use std::time::{Duration, Instant};

use serde_json::{Map, Value};

use super::sink::ClientSink;
use crate::mcp::jsonrpc::message::Id;
use crate::mcp::version::Version;

/// Reports a call's progress to its client. Cheap to clone.
#[derive(Clone, Debug, Default)]
pub struct Progress(Option<Rc<Wanted>>);

struct Wanted {
    token: Id,
    sink: ClientSink,
    with_message: bool,
    last: Cell<Option<(f64, Instant)>>,
    closed: Cell<bool>,
}

impl Progress {
    pub(in crate::mcp) fn new(token: Option<Id>, sink: &ClientSink, version: Version) -> Progress {
        Progress(token.map(|token| {
            Rc::new(Wanted {
                token,
                sink: sink.clone(),
                with_message: version.shape().annotations,
                last: Cell::new(None),
                closed: Cell::new(false),
            })
        }))
    }

    /// Whether the client asked for progress; when it did not, a handler can skip costly preparations.
    #[must_use]
    pub fn is_wanted(&self) -> bool {
        self.0.as_ref().is_some_and(|wanted| !wanted.closed.get())
    }

    /// Reports `done` of `total` in any unit. A report is dropped when its value does not exceed the last one sent,
    /// when it comes too soon, or when the client has no room for it.
    pub fn report(&self, done: f64, total: Option<f64>, message: &str) {
        let Some(wanted) = &self.0 else { return };
        let now = Instant::now();
        if wanted.is_due(done, now)
            && wanted
                .sink
                .offer_progress(wanted.notification(done, total, message))
        {
            wanted.last.set(Some((done, now)));
        }
    }

    pub(in crate::mcp) fn close(&self) {
        if let Some(wanted) = &self.0 {
            wanted.closed.set(true);
        }
    }
}

impl Wanted {
    fn is_due(&self, done: f64, now: Instant) -> bool {
        let later = self
            .last
            .get()
            .is_none_or(|(value, at)| done > value && now.duration_since(at) >= INTERVAL);
        later && done.is_finite() && !self.closed.get()
    }

    fn notification(&self, done: f64, total: Option<f64>, message: &str) -> Vec<u8> {
        let mut rest = Map::new();
        rest.insert("progress".into(), done.into());
        if let Some(total) = total.filter(|total| total.is_finite()) {
            rest.insert("total".into(), total.into());
        }
        if self.with_message && !message.is_empty() {
            rest.insert("message".into(), message.into());
        }
        let rest = Value::Object(rest).to_string();
        // The token is JSON text already: it is spliced in as the first member.
        let rest = rest.strip_prefix('{').unwrap_or_default();
        let token = self.token.as_json();
        format!(
            r#"{{"jsonrpc":"2.0","method":"notifications/progress","params":{{"progressToken":{token},{rest}}}"#
        )
        .into_bytes()
    }
}

impl fmt::Debug for Wanted {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Wanted({})", self.token.as_json())
    }
}

/// The shortest time between two notifications of one call.
const INTERVAL: Duration = Duration::from_millis(100);
