//! A host and port as `Host` and `Origin` name them.
//!
//! Promises: what exists has the characters of RFC 3986 `host [":" port]` and no others; comparison ignores case.

use std::fmt;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::str::FromStr as _;

use super::refusal::Refusal;

/// `host [":" port]`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Host {
    /// In small letters; IPv6 addresses without brackets.
    name: String,
    port: Option<u16>,
}

impl Host {
    /// Reads the value of a `Host` field. It may be empty, as for a target without an authority.
    ///
    /// # Errors
    /// 400.
    pub(super) fn parse(text: &str) -> Result<Host, Refusal> {
        Host::read(text).ok_or_else(|| Refusal::bad("the `host` field is no host and port"))
    }

    /// Reads a name of a list of hosts.
    pub fn read(text: &str) -> Option<Host> {
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
            // RFC 3986 §3.2.3: an empty port is the default one.
            Some("") => None,
            Some(digits) if digits.bytes().all(|byte| byte.is_ascii_digit()) => {
                Some(digits.parse().ok()?)
            }
            Some(_) => return None,
            None if port.is_empty() => None,
            None => return None,
        };
        Some(Host { name, port })
    }

    pub(super) fn is_empty(&self) -> bool {
        self.name.is_empty()
    }

    /// Whether it names this machine: no page of another host can be behind it.
    pub(super) fn is_loopback(&self) -> bool {
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

    /// Whether an entry of `allowed_hosts` covers it: one without a port covers every port.
    pub(super) fn is_covered_by(&self, entry: &Host) -> bool {
        self.name == entry.name && (entry.port.is_none() || entry.port == self.port)
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

/// RFC 3986 `reg-name`, of which IPv4 addresses are a part.
fn is_reg_name(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || b"-._~%!$&'()*+,;=".contains(&byte)
}
