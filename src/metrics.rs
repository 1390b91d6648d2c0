//! What the program counts, and how Prometheus reads it (text format 0.0.4).
//!
//! Promises: counting is an addition to a plain integer, since there is one thread; no label has a value that a
//! client or a broker chose.
//! Does not: serve anything, or know what is counted where.

mod histogram;
mod process;
mod text;

use std::cell::{Cell, RefCell};
use std::collections::BTreeMap;
use std::rc::Rc;
use std::time::{Duration, Instant, SystemTime};

pub use self::histogram::Histogram;
use self::text::Text;
use crate::local::watch::Watch;
use crate::mqtt;
use crate::protocol::client::Count;

/// All of the program's numbers. Cheap to clone; clones count together.
#[derive(Clone, Debug, Default)]
pub struct Metrics(Rc<Numbers>);

#[derive(Debug)]
struct Numbers {
    started: SystemTime,
    connections: Cell<u64>,
    connections_open: Cell<u64>,
    sessions: Watch<usize>,
    /// Requests by status; the server chooses the statuses, so there are few.
    answers: RefCell<BTreeMap<u16, u64>>,
    requests: Histogram,
    failures: [Cell<u64>; FAILURES.len()],
    key_hashes: Cell<u64>,
    writes: [Cell<u64>; WRITES.len()],
    /// Lines of the record that were written, and that were not; `None` without a record.
    record: Cell<Option<(u64, u64)>>,
    answers_ignored: Cell<u64>,
    tools: RefCell<Vec<Rc<ToolCounter>>>,
}

/// Why a client was refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Failure {
    /// No key was shown.
    NoKey,
    /// The key was wrong.
    WrongKey,
    /// The peer has sent too many wrong keys.
    Throttled,
}

/// What came of a publish that a caller attempted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum WriteOutcome {
    /// Written to the connection at QoS 0.
    Sent,
    /// The broker took it.
    Delivered,
    /// Refused by a rule; nothing was sent.
    Refused,
    /// Nothing was sent for another reason.
    NotSent,
    /// It may have been sent.
    Unknown,
}

impl WriteOutcome {
    /// The name in metrics and in the record.
    #[must_use]
    pub fn name(self) -> &'static str {
        WRITES.get(self as usize).copied().unwrap_or_default()
    }
}

/// A connection that is open until this is dropped.
#[derive(Debug)]
pub struct OpenConnection(Metrics);

/// The calls of one tool.
#[derive(Debug)]
pub struct ToolCounter {
    name: String,
    calls: [Cell<u64>; OUTCOMES.len()],
    in_flight: Cell<u64>,
    seconds: Histogram,
}

/// A call that is under way; dropped before its end it counts as cancelled.
#[derive(Debug)]
pub struct CountedCall {
    tool: Rc<ToolCounter>,
    start: Instant,
    outcome: usize,
}

impl Default for Numbers {
    fn default() -> Numbers {
        Numbers {
            started: SystemTime::now(),
            connections: Cell::default(),
            connections_open: Cell::default(),
            sessions: Watch::default(),
            answers: RefCell::default(),
            requests: Histogram::default(),
            failures: Default::default(),
            key_hashes: Cell::default(),
            writes: Default::default(),
            record: Cell::default(),
            answers_ignored: Cell::default(),
            tools: RefCell::default(),
        }
    }
}

impl Metrics {
    /// The number of sessions, which the session table sets.
    #[must_use]
    pub fn sessions(&self) -> Watch<usize> {
        self.0.sessions.clone()
    }

    /// Counts an accepted connection.
    #[must_use]
    pub fn connection(&self) -> OpenConnection {
        add(&self.0.connections);
        add(&self.0.connections_open);
        OpenConnection(self.clone())
    }

    /// Counts a request that was answered, or whose stream has ended.
    pub fn answered(&self, status: u16, time: Duration) {
        *self.0.answers.borrow_mut().entry(status).or_default() += 1;
        self.0.requests.observe(time);
    }

    /// Counts a refused client.
    pub fn refused(&self, why: Failure) {
        if let Some(count) = self.0.failures.get(why as usize) {
            add(count);
        }
    }

    /// A slow hash was begun to prove a key.
    pub fn key_hashed(&self) {
        add(&self.0.key_hashes);
    }

    /// How many slow hashes were begun to prove keys.
    #[must_use]
    pub fn key_hashes(&self) -> u64 {
        self.0.key_hashes.get()
    }

    /// Counts what came of an attempted publish.
    pub fn written(&self, outcome: WriteOutcome) {
        if let Some(count) = self.0.writes.get(outcome as usize) {
            add(count);
        }
    }

    /// There is a record of writes, whose lines are counted.
    pub fn keeps_record(&self) {
        self.0.record.set(Some((0, 0)));
    }

    /// Counts a line of the record, which was written or not.
    pub fn recorded(&self, is_written: bool) {
        if let Some((written, missing)) = self.0.record.get() {
            let (one, other) = if is_written { (1, 0) } else { (0, 1) };
            self.0.record.set(Some((written + one, missing + other)));
        }
    }

    /// Counts an operator's answer that changed nothing.
    pub fn answer_ignored(&self) {
        add(&self.0.answers_ignored);
    }

    /// Where calls of this tool are counted.
    #[must_use]
    pub fn tool(&self, name: &str) -> Rc<ToolCounter> {
        let tool = Rc::new(ToolCounter {
            name: name.to_owned(),
            calls: Default::default(),
            in_flight: Cell::default(),
            seconds: Histogram::default(),
        });
        self.0.tools.borrow_mut().push(Rc::clone(&tool));
        tool
    }

    /// Renders every metric in Prometheus' text format.
    #[must_use]
    pub fn render(&self, broker: &mqtt::Client, is_halted: bool) -> String {
        let mut text = Text::default();
        self.program(&mut text);
        self.http(&mut text);
        self.calls(&mut text);
        mqtt(&mut text, broker, is_halted);
        process::describe(&mut text, self.0.started);
        text.into_string()
    }

    fn program(&self, text: &mut Text) {
        let labels = [
            ("version", env!("CARGO_PKG_VERSION")),
            ("tls", if cfg!(feature = "tls") { "yes" } else { "no" }),
        ];
        text.family("mcpmqtt_build_info", "gauge", "What runs.");
        text.sample("mcpmqtt_build_info", &labels, 1.0);
    }

    fn http(&self, text: &mut Text) {
        let numbers = &self.0;
        text.counter(
            "mcpmqtt_http_connections_total",
            "Connections accepted.",
            numbers.connections.get(),
        );
        text.gauge(
            "mcpmqtt_http_connections",
            "Connections that are open.",
            numbers.connections_open.get(),
        );
        text.gauge(
            "mcpmqtt_http_sessions",
            "Sessions of protocol versions before 2026-07-28.",
            numbers.sessions.get() as u64,
        );
        let name = "mcpmqtt_http_requests_total";
        text.family(name, "counter", "Answered requests by status.");
        for (status, count) in &*numbers.answers.borrow() {
            text.sample(name, &[("code", &status.to_string())], *count as f64);
        }
        let name = "mcpmqtt_http_request_duration_seconds";
        let help = "From a request's head to the end of its answer; streams last as long as they are open.";
        text.family(name, "histogram", help);
        text.histogram(name, &[], &numbers.requests);
        let name = "mcpmqtt_http_auth_failures_total";
        text.family(
            name,
            "counter",
            "Requests refused for want of a valid key, by reason.",
        );
        for (reason, count) in FAILURES.iter().zip(&numbers.failures) {
            text.sample(name, &[("reason", reason)], count.get() as f64);
        }
        text.counter(
            "mcpmqtt_http_key_hashes_total",
            "Slow hashes computed to prove an API key.",
            numbers.key_hashes.get(),
        );
    }

    fn calls(&self, text: &mut Text) {
        let tools = self.0.tools.borrow();
        let name = "mcpmqtt_tool_calls_total";
        let help = "Calls that had arguments of the right kind, by tool and outcome.";
        text.family(name, "counter", help);
        for tool in &*tools {
            for (outcome, count) in OUTCOMES.iter().zip(&tool.calls) {
                let labels = [("tool", tool.name.as_str()), ("outcome", outcome)];
                text.sample(name, &labels, count.get() as f64);
            }
        }
        let name = "mcpmqtt_writes_total";
        let help = "Publishes that callers attempted, by outcome.";
        text.family(name, "counter", help);
        for (outcome, count) in WRITES.iter().zip(&self.0.writes) {
            text.sample(name, &[("outcome", outcome)], count.get() as f64);
        }
        if let Some((written, missing)) = self.0.record.get() {
            let lines = "Lines of the record of writes.";
            text.counter("mcpmqtt_audit_lines_total", lines, written);
            let lost = "Lines that could not be written to the record of writes.";
            text.counter("mcpmqtt_audit_missing_lines_total", lost, missing);
        }
        text.counter(
            "mcpmqtt_operator_answers_ignored_total",
            "Answers of an operator that changed nothing: retained, unsigned, late, repeated, or to no question.",
            self.0.answers_ignored.get(),
        );
        let name = "mcpmqtt_tool_calls_in_flight";
        text.family(name, "gauge", "Calls in progress.");
        for tool in &*tools {
            text.sample(name, &[("tool", &tool.name)], tool.in_flight.get() as f64);
        }
        let name = "mcpmqtt_tool_call_duration_seconds";
        let help = "From a call to its result; those that wait for messages wait as long as they were told.";
        text.family(name, "histogram", help);
        for tool in &*tools {
            text.histogram(name, &[("tool", &tool.name)], &tool.seconds);
        }
    }
}

impl ToolCounter {
    /// Counts a call that begins.
    #[must_use]
    pub fn begin(self: &Rc<Self>) -> CountedCall {
        add(&self.in_flight);
        CountedCall {
            tool: Rc::clone(self),
            start: Instant::now(),
            outcome: CANCELLED,
        }
    }
}

impl CountedCall {
    /// Counts the end of the call, whose result is an error or not.
    pub fn end(mut self, is_error: bool) {
        self.outcome = if is_error { ERROR } else { OK };
    }
}

impl Drop for CountedCall {
    fn drop(&mut self) {
        let ToolCounter {
            calls,
            in_flight,
            seconds,
            ..
        } = &*self.tool;
        in_flight.set(in_flight.get().saturating_sub(1));
        seconds.observe(self.start.elapsed());
        if let Some(count) = calls.get(self.outcome) {
            add(count);
        }
    }
}

impl Drop for OpenConnection {
    fn drop(&mut self) {
        let open = &self.0.0.connections_open;
        open.set(open.get().saturating_sub(1));
    }
}

fn mqtt(text: &mut Text, broker: &mqtt::Client, is_halted: bool) {
    let counts = broker.counts();
    text.gauge(
        "mcpmqtt_mqtt_connected",
        "Whether the broker connection is up.",
        broker.is_connected().into(),
    );
    text.gauge(
        "mcpmqtt_writing_halted",
        "Whether nothing is written because an operator halted it, or because no operator could.",
        is_halted.into(),
    );
    for (name, help, value) in [
        (
            "mcpmqtt_mqtt_reconnects_total",
            "Connections to the broker after the first.",
            counts.connects.saturating_sub(1),
        ),
        (
            "mcpmqtt_mqtt_connections_lost_total",
            "Connections to the broker that were lost.",
            counts.connections_lost,
        ),
        (
            "mcpmqtt_mqtt_connect_failures_total",
            "Attempts to connect to the broker that failed.",
            counts.connect_failures,
        ),
        (
            "mcpmqtt_mqtt_messages_lost_total",
            "Messages that found no room with the call that waited for them, or were too large to be kept.",
            counts.messages_lost,
        ),
    ] {
        text.counter(name, help, value);
    }
    type Reading = fn(&Count) -> u64;
    let messages: Reading = |count| count.messages;
    let bytes: Reading = |count| count.bytes;
    let traffic = counts.traffic;
    for (name, help, by_qos, value) in [
        (
            "mcpmqtt_mqtt_messages_received_total",
            "Messages from the broker, by QoS.",
            &traffic.received,
            messages,
        ),
        (
            "mcpmqtt_mqtt_received_bytes_total",
            "Topics and payloads of those messages.",
            &traffic.received,
            bytes,
        ),
        (
            "mcpmqtt_mqtt_messages_sent_total",
            "Messages written to the broker connection, by QoS; each once, however often the protocol repeats it.",
            &traffic.sent,
            messages,
        ),
        (
            "mcpmqtt_mqtt_sent_bytes_total",
            "Topics and payloads of those messages.",
            &traffic.sent,
            bytes,
        ),
    ] {
        text.family(name, "counter", help);
        for (qos, count) in ["0", "1", "2"].iter().zip(by_qos) {
            text.sample(name, &[("qos", qos)], value(count) as f64);
        }
    }
}

fn add(count: &Cell<u64>) {
    count.set(count.get() + 1);
}

/// In the order of [`Failure`].
const FAILURES: [&str; 3] = ["no_key", "wrong_key", "throttled"];
/// In the order of [`WriteOutcome`].
const WRITES: [&str; 5] = ["sent", "delivered", "refused", "not_sent", "unknown"];
const OUTCOMES: [&str; 3] = ["ok", "error", "cancelled"];
const OK: usize = 0;
const ERROR: usize = 1;
const CANCELLED: usize = 2;
