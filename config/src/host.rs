//! Hosts and origins, in `Host` and `Origin` header fields and in the lists of the `remote_server` section.
//!
//! Promises: every value has only the characters of RFC 3986 `host [":" port]`; comparison ignores case.

use std::fmt;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::str::FromStr as _;

/// `host [":" port]`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Host {
    /// The name in lower case; an IPv6 address without brackets.
    name: String,
    port: Option<u16>,
}

/// `scheme "://" host [":" port]`, the form in which browsers send it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Origin {
    scheme: String,
    host: Host,
}

impl Host {
    /// Parses a host and port; `None` when the text is invalid. The name may be empty, as in the `Host` field of a
    /// request whose target has no authority.
    #[must_use]
    pub fn parse(text: &str) -> Option<Host> {
        let (name, port) = match text.strip_prefix('[') {
            Some(rest) => {
                let (address, port) = rest.split_once(']')?;
                (Ipv6Addr::from_str(address).ok()?.to_string(), port)
            }
            None => {
                let at = text.find(':').unwrap_or(text.len());
                let (name, port) = text.split_at_checked(at)?;
                if !name.bytes().all(is_reg_name) {
                    return None;
                }
                (name.to_ascii_lowercase(), port)
            }
        };
        let port = match port.strip_prefix(':') {
            // RFC 3986 §3.2.3: an empty port stands for the default port.
            Some("") => None,
            Some(digits) if digits.bytes().all(|byte| byte.is_ascii_digit()) => {
                Some(digits.parse().ok()?)
            }
            None if port.is_empty() => None,
            _ => return None,
        };
        Some(Host { name, port })
    }

    /// Whether the name is empty.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.name.is_empty()
    }

    /// Whether the host is this machine: no page of another host can have this name.
    #[must_use]
    pub fn is_loopback(&self) -> bool {
        let name = self.name.strip_suffix('.').unwrap_or(&self.name);
        if name == "localhost" || name.ends_with(".localhost") {
            return true;
        }
        match name.parse() {
            Ok(IpAddr::V4(address)) => address.is_loopback(),
            Ok(IpAddr::V6(address)) => {
                address.is_loopback()
                    || address
                        .to_ipv4_mapped()
                        .is_some_and(|address: Ipv4Addr| address.is_loopback())
            }
            Err(_) => false,
        }
    }

    /// Whether an entry of `allowed_hosts` matches the host: an entry without a port matches every port.
    #[must_use]
    pub fn is_covered_by(&self, entry: &Host) -> bool {
        self.name == entry.name && (entry.port.is_none() || entry.port == self.port)
    }
}

impl Origin {
    /// Parses an origin; `None` when the text is invalid, and for `null`.
    #[must_use]
    pub fn parse(text: &str) -> Option<Origin> {
        let (scheme, host) = text.split_once("://")?;
        let host = Host::parse(host).filter(|host| !host.is_empty())?;
        let legal = |byte: u8| byte.is_ascii_alphanumeric() || b"+-.".contains(&byte);
        if !scheme.starts_with(|c: char| c.is_ascii_alphabetic()) || !scheme.bytes().all(legal) {
            return None;
        }
        let scheme = scheme.to_ascii_lowercase();
        Some(Origin { scheme, host })
    }

    /// Whether this machine serves the origin.
    #[must_use]
    pub fn is_loopback(&self) -> bool {
        matches!(self.scheme.as_str(), "http" | "https") && self.host.is_loopback()
    }
}

impl fmt::Display for Origin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}://{}", self.scheme, self.host)
    }
}

impl fmt::Display for Host {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let brackets = self.name.contains(':');
        match (brackets, self.port) {
            (false, None) => write!(f, "{}", self.name),
            (false, Some(port)) => write!(f, "{}:{port}", self.name),
            (true, None) => write!(f, "[{}]", self.name),
            (true, Some(port)) => write!(f, "[{}]:{port}", self.name),
        }
    }
}

/// RFC 3986 `reg-name`, which includes IPv4 addresses.
fn is_reg_name(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || b"-._~%!$&'()*+,;=".contains(&byte)
}

/// What would be right, if `host` is neither a host name nor an address.
pub(crate) fn rule(host: &str) -> Option<&'static str> {
    if host.is_empty() {
        Some("the name or address of the broker")
    } else if host.contains("://") {
        Some("the host alone, without `://`; the port has its own key")
    } else if host.contains('@') {
        Some("the host alone; the user name and the password have their own keys")
    } else if host.starts_with('[') {
        Some("an IPv6 address without brackets")
    } else if host.matches(':').count() == 1 {
        Some("the host alone; the port has its own key")
    } else if host.len() > MAX_HOST_BYTES
        || host.contains(|c: char| c.is_control() || c.is_whitespace() || c == '/')
    {
        Some("a host name or IP address")
    } else {
        None
    }
}

/// The longest name DNS can carry, in its text form.
const MAX_HOST_BYTES: usize = 253;
