//! The state that all connections share: the endpoint, the admission rules, the limits.

use std::cell::{Cell, RefCell};
use std::fmt;
use std::rc::Rc;
use std::time::Duration;

use http_types::{Response, StatusCode};
use mcpmqtt_config::{ApiKey, Host, Origin};

use super::left_calls::LeftCalls;
use super::unread::Unread;
use crate::http::guard::auth::{Gate, KeyError};
use crate::http::guard::budget::ByteBudget;
use crate::http::guard::cors::AnswerReader;
use crate::http::guard::front;
use crate::http::guard::principals::NamedCallers;
use crate::http::guard::routes::{HostPolicy, Route, Side};
use crate::http::guard::wrong_keys::WrongKeys;
use crate::http::h1::head::Head;
use crate::http::h1::refusal::Refusal;
use crate::http::net::listener::Reach;
use crate::http::net::tls::Tls;
use crate::http::streamable::endpoint::Endpoint;
use crate::http::streamable::event_store::ReplayBounds;
use crate::http::streamable::response;
use crate::http::streamable::sessions::Sessions;
use crate::local::notify::Notify;
use crate::logger;
use crate::mcp::Engine;
use crate::metrics::Metrics;

/// Everything that a server is made from.
pub struct ServerSettings {
    /// Answers MCP.
    pub engine: Engine,
    /// Whether the broker connection is up, for `/status`.
    pub mqtt_connected: Box<dyn Fn() -> bool>,
    /// Whether writing is halted, for `/status`.
    pub halted: Box<dyn Fn() -> bool>,
    /// The admission rules at the start.
    pub admission: Admission,
    /// The counters that the server increments.
    pub metrics: Metrics,
    /// Renders the text of `/metrics`.
    pub report: Box<dyn Fn() -> String>,
    /// Bounds of memory and work.
    pub limits: Limits,
    /// Bounds of waiting.
    pub deadlines: Deadlines,
}

/// The admission rules, which can be replaced while the server runs.
#[derive(Clone, Debug)]
pub struct Admission {
    /// The single key.
    pub api_key: ApiKey,
    /// Whom else to let in.
    pub callers: NamedCallers,
    /// Hosts that requests may name; none: any host of the network, this machine's on a loopback port.
    pub allowed_hosts: Vec<Host>,
    /// Origins that pages may have, besides this machine's.
    pub allowed_origins: Vec<Origin>,
    /// What HTTPS is spoken with on TCP; `None`: what it was before, at first nothing.
    pub tls: Option<Tls>,
}

/// Bounds of memory and work.
#[derive(Clone, Copy, Debug)]
pub struct Limits {
    /// Connections at one time. A newcomer takes the slot of a connection that is owed nothing, of the name that has
    /// most.
    pub connections: usize,
    /// Requests on one connection; the last one's answer says that it ends.
    pub requests_per_connection: usize,
    /// Bytes of one body.
    pub body_bytes: usize,
    /// Bytes of all bodies that are being received or worked on. Those of one name get at most fifteen sixteenths.
    pub bodies_bytes: usize,
    /// Bytes of all answers to calls that clients have not read yet. The connection that has read nothing for the
    /// longest time makes room.
    pub answers_bytes: usize,
    /// Sessions of versions before 2026-07-28.
    pub sessions: usize,
    /// Events of one session's streams that can be had again after a lost connection; the oldest make room.
    pub session_replay_events: usize,
    /// Bytes of one session's resumable events; more than the largest event.
    pub session_replay_bytes: usize,
    /// Events of all sessions together; the oldest of the name that has most make room.
    pub replay_events: usize,
    /// Bytes of the resumable events of all sessions together; the oldest of the name that has most make room.
    pub replay_bytes: usize,
}

/// Bounds of waiting.
#[derive(Clone, Copy, Debug)]
pub struct Deadlines {
    /// Between two requests.
    pub idle: Duration,
    /// For a head, from its first byte to its last.
    pub head: Duration,
    /// For a body.
    pub body: Duration,
    /// For a call; tools have limits of their own below this.
    pub handler: Duration,
    /// For a call before its answer begins as an event stream, if its client takes one: proxies give up a connection
    /// without a byte.
    pub silence: Duration,
    /// For the client to take some more of an answer.
    pub write: Duration,
    /// For the client to close after a last answer.
    pub linger: Duration,
    /// For calls in flight when the server stops.
    pub grace: Duration,
    /// For a session without a request.
    pub session: Duration,
}

pub(in crate::http) struct ServerState {
    pub(in crate::http) endpoint: Endpoint,
    gate: RefCell<Rc<Gate>>,
    /// Notified when the gate is another.
    pub(in crate::http) gate_replaced: Notify,
    host_policy: RefCell<HostPolicy>,
    operators_host_policy: HostPolicy,
    tls: RefCell<Option<Tls>>,
    pub(in crate::http) metrics: Metrics,
    pub(in crate::http) wrong_keys: Rc<WrongKeys>,
    report: Box<dyn Fn() -> String>,
    pub(in crate::http) bodies: Rc<ByteBudget>,
    pub(in crate::http) unread: Rc<Unread>,
    pub(in crate::http) left: LeftCalls,
    pub(in crate::http) limits: Limits,
    pub(in crate::http) deadlines: Deadlines,
    mqtt_connected: Box<dyn Fn() -> bool>,
    halted: Box<dyn Fn() -> bool>,
    stopping: Cell<bool>,
}

impl ServerState {
    pub(in crate::http) fn new(
        settings: ServerSettings,
        reach: Reach,
    ) -> Result<ServerState, KeyError> {
        let ServerSettings {
            engine,
            mqtt_connected,
            halted,
            admission,
            metrics,
            report,
            limits,
            deadlines,
        } = settings;
        let replay = limits.replay();
        let sessions = metrics.sessions();
        let sessions = Sessions::new(limits.sessions, deadlines.session, replay, sessions);
        let wrong_keys = Rc::default();
        Ok(ServerState {
            endpoint: Endpoint::new(engine, sessions, limits.connections),
            gate: RefCell::new(Rc::new(Gate::new(
                &admission.api_key,
                &admission.callers,
                None,
                &metrics,
                &wrong_keys,
            )?)),
            gate_replaced: Notify::default(),
            host_policy: RefCell::new(HostPolicy {
                reach,
                hosts: admission.allowed_hosts,
                origins: admission.allowed_origins,
            }),
            tls: RefCell::new(admission.tls),
            operators_host_policy: HostPolicy {
                reach: Reach::Loopback,
                hosts: Vec::new(),
                origins: Vec::new(),
            },
            metrics,
            wrong_keys,
            report,
            bodies: ByteBudget::new(limits.bodies_bytes),
            unread: Unread::new(limits.answers_bytes),
            left: LeftCalls::default(),
            limits,
            deadlines,
            mqtt_connected,
            halted,
            stopping: Cell::new(false),
        })
    }

    /// The gate that judges keys at this moment.
    pub(in crate::http) fn gate(&self) -> Rc<Gate> {
        Rc::clone(&self.gate.borrow())
    }

    /// What HTTPS is spoken with, if it is.
    pub(in crate::http) fn tls(&self) -> Option<Tls> {
        self.tls.borrow().clone()
    }

    /// Judges `Host` and `Origin`.
    ///
    /// # Errors
    /// See [`HostPolicy::admit`].
    pub(in crate::http) fn judge_place(&self, side: Side, head: &Head) -> Result<(), Refusal> {
        match side {
            Side::Agents => self.host_policy.borrow().admit(head),
            Side::Operator => self.operators_host_policy.admit(head),
        }
    }

    /// Who reads the answer to a head. Pages are for agents' side alone.
    pub(in crate::http) fn reader(&self, side: Side, head: &Head) -> AnswerReader {
        match side {
            Side::Agents => self.host_policy.borrow().reader(head),
            Side::Operator => AnswerReader::Program,
        }
    }

    /// Replaces the admission rules. True when keys or users have changed, so that who is not let in any more has to
    /// leave.
    ///
    /// # Errors
    /// Without a usable key; then all stays as it was.
    pub(in crate::http) fn admit_by(&self, admission: Admission) -> Result<bool, KeyError> {
        let before = self.gate();
        let Admission {
            api_key, callers, ..
        } = &admission;
        let changed = !before.is_for(api_key, callers);
        if changed {
            let (metrics, wrong_keys) = (&self.metrics, &self.wrong_keys);
            let gate = Gate::new(api_key, callers, Some(&before), metrics, wrong_keys)?;
            for name in before.names_without(&gate) {
                logger::info(format_args!(
                    "{name}: a key or user of this name has no access any more; its sessions, \
                     streams and calls end"
                ));
            }
            self.gate.replace(Rc::new(gate));
            self.gate_replaced.notify();
            self.end_sessions();
        }
        let mut host_policy = self.host_policy.borrow_mut();
        host_policy.hosts = admission.allowed_hosts;
        host_policy.origins = admission.allowed_origins;
        if admission.tls.is_some() {
            self.tls.replace(admission.tls);
        }
        Ok(changed)
    }

    /// Ends the sessions of those who are not let in any more.
    pub(in crate::http) fn end_sessions(&self) {
        let gate = self.gate();
        self.endpoint
            .end_sessions(|principal| !gate.admits(principal));
    }

    /// What is at a place that is not MCP's: true at this moment.
    pub(in crate::http) fn page(&self, place: Route) -> Response {
        let connected = (self.mqtt_connected)();
        let (status, text) = match place {
            Route::Metrics => return response::metrics((self.report)()),
            Route::Front => return front::page(connected),
            Route::Health => (StatusCode::Ok, r#"{"serving": true}"#.to_owned()),
            Route::Ready => (
                match connected {
                    true => StatusCode::Ok,
                    false => StatusCode::ServiceUnavailable,
                },
                format!(r#"{{"ready": {connected}, "mqtt_connected": {connected}}}"#),
            ),
            Route::Status | Route::Mcp => {
                // Why is not for strangers.
                let halted = match (self.halted)() {
                    true => r#", "writing_halted": true"#,
                    false => "",
                };
                (
                    StatusCode::Ok,
                    format!(r#"{{"running": true, "mqtt_connected": {connected}{halted}}}"#),
                )
            }
        };
        response::json(status, text.into_bytes())
    }

    pub(in crate::http) fn is_stopping(&self) -> bool {
        self.stopping.get()
    }

    pub(in crate::http) fn stop(&self) {
        self.stopping.set(true);
        self.endpoint.close();
    }
}

impl Default for Limits {
    fn default() -> Limits {
        Limits {
            connections: 256,
            requests_per_connection: 100_000,
            body_bytes: 4 << 20,
            bodies_bytes: 32 << 20,
            answers_bytes: 32 << 20,
            sessions: 256,
            session_replay_events: 256,
            session_replay_bytes: 2 << 20,
            replay_events: 8192,
            replay_bytes: 8 << 20,
        }
    }
}

impl Limits {
    fn replay(&self) -> ReplayBounds {
        ReplayBounds {
            session_events: self.session_replay_events,
            session_bytes: self.session_replay_bytes,
            events: self.replay_events,
            bytes: self.replay_bytes,
        }
    }
}

impl Default for Deadlines {
    fn default() -> Deadlines {
        Deadlines {
            idle: Duration::from_secs(75),
            head: Duration::from_secs(10),
            body: Duration::from_secs(20),
            handler: Duration::from_secs(15 * 60),
            silence: Duration::from_secs(3),
            write: Duration::from_secs(10),
            linger: Duration::from_secs(1),
            grace: Duration::from_secs(5),
            session: Duration::from_secs(30 * 60),
        }
    }
}

impl Deadlines {
    /// How often deadlines are looked at: none is overrun by more than an eighth of the shortest, or a second.
    pub(in crate::http) fn tick(&self) -> Duration {
        let waits = [
            self.idle,
            self.head,
            self.body,
            self.handler,
            self.silence,
            self.write,
            self.linger,
        ];
        let shortest = waits.into_iter().min().unwrap_or_default();
        (shortest / 8).clamp(Duration::from_millis(5), Duration::from_secs(1))
    }
}

impl fmt::Debug for ServerState {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ServerState")
            .field("door", &self.endpoint)
            .finish_non_exhaustive()
    }
}

impl fmt::Debug for ServerSettings {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ServerSettings")
            .field("limits", &self.limits)
            .field("deadlines", &self.deadlines)
            .finish_non_exhaustive()
    }
}
