//! The request target of one head: what of it is a path, a query and an authority.
//!
//! Promises: the path is kept as it came, byte for byte, in both forms that a server has to take.
//! Does not: judge the authority (see `routes`), or take the forms that are for proxies.

use mcpmqtt_config::{Host, Secret};

use super::refusal::Refusal;

/// A request target, taken apart.
#[derive(Debug)]
pub(in crate::http) struct RequestTarget {
    /// Of the absolute form alone; it counts instead of the `Host` field.
    pub(in crate::http) authority: Option<Host>,
    /// Nothing is decoded or normalised, so that no two parts of the program see two paths.
    pub(in crate::http) path: String,
    /// What follows `?`. A key may be in it.
    pub(in crate::http) query: Option<Secret>,
}

impl RequestTarget {
    /// Reads the origin form (`/mcp`) or the absolute form (`http://host/mcp`), RFC 9112 §3.2.
    ///
    /// # Errors
    /// 400 for anything else.
    pub(in crate::http) fn parse(text: &str) -> Result<RequestTarget, Refusal> {
        if text.contains('#') {
            return Err(malformed());
        }
        if text.starts_with('/') {
            return Ok(RequestTarget::of(None, text));
        }
        let (scheme, rest) = text.split_once("://").ok_or_else(malformed)?;
        // `https` comes through a proxy that ends TLS in front of us.
        if !["http", "https"]
            .iter()
            .any(|known| scheme.eq_ignore_ascii_case(known))
        {
            return Err(malformed());
        }
        let end = rest.find(['/', '?']).unwrap_or(rest.len());
        let (authority, rest) = rest.split_at_checked(end).ok_or_else(malformed)?;
        // RFC 9110 §4.2.1, §4.2.4: an empty host is invalid, and a user in front of it is a trick.
        let authority = Host::parse(authority)
            .filter(|host| !host.is_empty())
            .ok_or_else(|| {
                Refusal::bad("the authority in the request target is not a host and port")
            })?;
        Ok(RequestTarget::of(Some(authority), rest))
    }

    fn of(authority: Option<Host>, rest: &str) -> RequestTarget {
        let (path, query) = match rest.split_once('?') {
            Some((path, query)) => (path, Some(Secret::new(query))),
            None => (rest, None),
        };
        // RFC 9110 §4.2.3: the two are equivalent.
        let path = if path.is_empty() { "/" } else { path }.to_owned();
        RequestTarget {
            authority,
            path,
            query,
        }
    }
}

fn malformed() -> Refusal {
    Refusal::bad("the request target must be a path, as in `POST /mcp HTTP/1.1`")
}
