//! The peer of a connection, as far as the system identifies it.

use std::fmt;
use std::hash::{Hash, Hasher};
use std::net::{IpAddr, Ipv6Addr};

/// The identity of a peer, by which failures are counted.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(in crate::http) enum RemoteAddr {
    /// An IPv4 address, or an IPv6 network of 64 bits: one machine has all of its addresses.
    Address(IpAddr),
    /// A user of this machine, by a socket file.
    User(User),
    /// The system does not say.
    Unknown,
}

/// A user of this machine. The process that connected says nothing about who it is: a user has any number of them.
#[derive(Clone, Copy, Debug)]
pub(in crate::http) struct User {
    id: u32,
    process: u32,
}

impl RemoteAddr {
    pub(in crate::http) fn at(address: IpAddr) -> RemoteAddr {
        RemoteAddr::Address(match address.to_canonical() {
            IpAddr::V6(address) => {
                let network = u128::from(address) >> 64 << 64;
                IpAddr::V6(Ipv6Addr::from(network))
            }
            address => address,
        })
    }

    pub(in crate::http) fn of(user: u32, process: i32) -> RemoteAddr {
        let process = u32::try_from(process).unwrap_or_default();
        RemoteAddr::User(User { id: user, process })
    }

    /// The number of the user, for one of this machine.
    pub(in crate::http) fn user(self) -> Option<u32> {
        match self {
            RemoteAddr::User(user) => Some(user.id),
            RemoteAddr::Address(_) | RemoteAddr::Unknown => None,
        }
    }

    /// The address or the user as bytes, which distinguish callers with one key.
    pub(in crate::http) fn bytes(self) -> [u8; 17] {
        let (kind, place) = match self {
            RemoteAddr::Address(IpAddr::V4(address)) => (b'4', u32::from(address).into()),
            RemoteAddr::Address(IpAddr::V6(address)) => (b'6', u128::from(address)),
            RemoteAddr::User(User { id, process }) => {
                (b'u', u128::from(id) << 32 | u128::from(process))
            }
            RemoteAddr::Unknown => (b'?', 0),
        };
        let mut bytes = [kind; 17];
        if let Some((_, rest)) = bytes.split_first_mut() {
            rest.copy_from_slice(&place.to_be_bytes());
        }
        bytes
    }
}

impl PartialEq for User {
    fn eq(&self, other: &User) -> bool {
        self.id == other.id
    }
}

impl Eq for User {}

impl Hash for User {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.id.hash(state);
    }
}

impl fmt::Display for RemoteAddr {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            RemoteAddr::Address(address) => write!(f, "{address}"),
            RemoteAddr::User(user) => write!(f, "user {}", user.id),
            RemoteAddr::Unknown => f.write_str("an unknown peer"),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::net::Ipv4Addr;

    use super::*;

    #[test]
    fn failures_are_counted_by_user_and_callers_told_apart_by_process() {
        let (one, other) = (RemoteAddr::of(1000, 7), RemoteAddr::of(1000, 8));
        assert_eq!(one, other);
        assert_ne!(one.bytes(), other.bytes());
        assert_eq!(one.bytes(), RemoteAddr::of(1000, 7).bytes());
        let address = RemoteAddr::at(Ipv4Addr::new(192, 0, 2, 1).into());
        assert_eq!(
            address.bytes(),
            RemoteAddr::at(Ipv4Addr::new(192, 0, 2, 1).into()).bytes()
        );
        assert_ne!(
            address.bytes(),
            RemoteAddr::at(Ipv4Addr::new(192, 0, 2, 2).into()).bytes()
        );
    }
}
