//! Which route a request is for, and whether its `Host` and `Origin` are allowed.
//!
//! Promises: a place is found by the raw path, byte for byte; `Host` and `Origin` are judged before any key is
//! looked at and any body read.
//! Does not: answer preflights (see `cors`).

use http_types::{Method, StatusCode};
use mcpmqtt_config::{Host, Origin};

use super::cors::{self, AnswerReader};
use super::front;
use crate::http::h1::head::Head;
use crate::http::h1::refusal::Refusal;
use crate::http::net::listener::Reach;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::http) enum Route {
    /// `/status`: what runs, for people.
    Status,
    /// `/healthz`: the process is alive, for supervisors.
    Health,
    /// `/readyz`: the server can do its work, for load balancers.
    Ready,
    /// `/metrics`, for Prometheus.
    Metrics,
    /// For people who look with a browser: what is here.
    Front,
    Mcp,
}

/// Which of our listeners a client came in by.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::http) enum Side {
    Agents,
    /// The operator's own, on this machine: all but MCP, and without a key.
    Operator,
}

/// What a request at a place that is there is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::http) enum Aim {
    Route(Route),
    /// The leave of a page to send another request, with these methods.
    Leave(&'static str),
}

/// Hosts and origins that may be named.
#[derive(Debug)]
pub(in crate::http) struct HostPolicy {
    pub(in crate::http) reach: Reach,
    pub(in crate::http) hosts: Vec<Host>,
    pub(in crate::http) origins: Vec<Origin>,
}

/// Finds what a request is for.
///
/// # Errors
/// 404, or 405 with what the place allows.
pub(in crate::http) fn find(head: &Head, side: Side) -> Result<Aim, Refusal> {
    let found = place(&head.path);
    let found = found.filter(|(place, ..)| side == Side::Agents || *place != Route::Mcp);
    let Some((place, allowed, allow)) = found else {
        if side == Side::Agents && front::is_asked_for(head) {
            return Ok(Aim::Route(Route::Front));
        }
        // `/.well-known/…` and `/register` too: there is no OAuth here, and clients ask.
        return Err(Refusal::new(
            StatusCode::NotFound,
            "nothing here; MCP is at `/mcp`",
        ));
    };
    if allowed.contains(&head.method) {
        return Ok(Aim::Route(place));
    }
    // The operator's side is not for pages.
    if side == Side::Agents && cors::is_preflight(head) {
        return Ok(Aim::Leave(allow));
    }
    let text = format!("this path takes {allow}");
    Err(Refusal::new(StatusCode::MethodNotAllowed, text).with("allow", allow))
}

/// A path for the log. One that is not ours may be a key in the wrong place.
pub(in crate::http) fn shown(path: &str) -> &str {
    place(path).map_or("(elsewhere)", |_| path)
}

/// What is at a path, and what may be done there.
fn place(path: &str) -> Option<(Route, &'static [Method], &'static str)> {
    match path {
        "/status" => Some((Route::Status, &[Method::Get], "GET")),
        "/healthz" => Some((Route::Health, &[Method::Get, Method::Head], "GET, HEAD")),
        "/readyz" => Some((Route::Ready, &[Method::Get, Method::Head], "GET, HEAD")),
        "/metrics" => Some((Route::Metrics, &[Method::Get, Method::Head], "GET, HEAD")),
        "/mcp" | "/mcp/" => Some((
            Route::Mcp,
            &[Method::Post, Method::Get, Method::Delete],
            "POST, GET, DELETE",
        )),
        _ => None,
    }
}

impl HostPolicy {
    /// Judges `Host` and `Origin`.
    ///
    /// # Errors
    /// 400 without a `Host`, 403 for one that another site's page would send, 421 for one that is not ours,
    /// 403 for an origin that is not allowed.
    pub(in crate::http) fn admit(&self, head: &Head) -> Result<(), Refusal> {
        self.host(head)?;
        match &head.origin {
            None => Ok(()),
            Some(origin) if self.allows_origin(origin, head.host.as_ref()) => Ok(()),
            Some(_) => Err(Refusal::new(
                StatusCode::Forbidden,
                "this `origin` is not allowed; see `allowed_origins` in the configuration",
            )),
        }
    }

    /// Who reads the answer to this head.
    pub(in crate::http) fn reader(&self, head: &Head) -> AnswerReader {
        match &head.origin {
            None => AnswerReader::Program,
            Some(origin) if self.admit(head).is_ok() => AnswerReader::Page(origin.clone()),
            Some(_) => AnswerReader::Foreign,
        }
    }

    fn host(&self, head: &Head) -> Result<(), Refusal> {
        let host = match &head.host {
            Some(host) if !host.is_empty() => host,
            // Nothing depends on it there.
            _ if self.reach == Reach::File => return Ok(()),
            Some(_) => return Err(Refusal::bad("the `host` field is empty")),
            // RFC 9112 §3.2.
            None if !head.http_1_0 => return Err(Refusal::bad("the `host` field is missing")),
            None if self.hosts.is_empty() => return Ok(()),
            None => return Err(misdirected()),
        };
        let listed = self.hosts.iter().any(|entry| host.is_covered_by(entry));
        if self.reach == Reach::Loopback {
            return match listed || host.is_loopback() {
                true => Ok(()),
                false => Err(Refusal::new(
                    StatusCode::Forbidden,
                    "this `host` is not a loopback name, and not in `remote_server.allowed_hosts` \
                     of the configuration",
                )),
            };
        }
        match listed || self.hosts.is_empty() {
            true => Ok(()),
            false => Err(misdirected()),
        }
    }

    /// Whether an origin is allowed: one on this machine for requests to this machine, others by the list, `null`
    /// never.
    fn allows_origin(&self, origin: &str, host: Option<&Host>) -> bool {
        let Some(origin) = Origin::parse(origin) else {
            return false;
        };
        let is_here = |host: &Host| host.is_empty() || host.is_loopback();
        self.origins.contains(&origin) || origin.is_loopback() && host.is_none_or(is_here)
    }
}

fn misdirected() -> Refusal {
    Refusal::new(
        StatusCode::MisdirectedRequest,
        "this `host` is not served here; see `allowed_hosts` in the configuration",
    )
}
