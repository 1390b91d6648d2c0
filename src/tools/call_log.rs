//! What the log says about each call of a tool, at the level DEBUG: the same over every transport.
//!
//! Promises: one line for each call, also for one that is cancelled; never an argument or a result.

use std::rc::Rc;
use std::time::Instant;

use mcpmqtt_config::LogLevel;

use crate::logger;
use crate::mcp::Caller;
use crate::mcp::catalog::ToolCall;

/// One call's log line in the making, if the level DEBUG is logged; logged when it is dropped.
pub(super) struct CallLog(Option<Entry>);

struct Entry {
    caller: Caller,
    tool: Rc<str>,
    start: Instant,
    outcome: &'static str,
}

impl CallLog {
    /// Of a call that begins.
    pub(super) fn begin(tool: &Rc<str>, call: &ToolCall) -> CallLog {
        let entry = || Entry {
            caller: call.client.caller().clone(),
            tool: Rc::clone(tool),
            start: Instant::now(),
            outcome: "cancelled",
        };
        CallLog(logger::enabled(LogLevel::Debug).then(entry))
    }

    /// The call has its result, which is an error or not.
    pub(super) fn end(&mut self, is_error: bool) {
        if let Some(entry) = &mut self.0 {
            entry.outcome = if is_error { "error" } else { "ok" };
        }
    }
}

impl Drop for CallLog {
    fn drop(&mut self) {
        let Some(entry) = &self.0 else { return };
        logger::debug(format_args!(
            "{}: {}: {} in {:.1} ms",
            entry.caller.name(),
            entry.tool,
            entry.outcome,
            entry.start.elapsed().as_secs_f64() * 1e3
        ));
    }
}
