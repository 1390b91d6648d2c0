//! Who is at the other end of a connection, as far as the system tells.

use std::fmt;
use std::hash::{Hash, Hasher};
use std::net::{IpAddr, Ipv6Addr};

/// What failures are counted by.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) enum Peer {
    /// An IPv4 address, or an IPv6 network of 64 bits: one machine has all of its addresses.
    Address(IpAddr),
    /// A user of this machine, by a socket file.
    User(User),
    /// The system does not say.
    Unknown,
}

/// A user of this machine. The process that connected says nothing about who it is: a user has any number of them.
#[derive(Clone, Copy, Debug)]
pub(super) struct User {
    id: u32,
    process: u32,
}

impl Peer {
    pub(super) fn at(address: IpAddr) -> Peer {
        Peer::Address(match address.to_canonical() {
            IpAddr::V6(address) => {
                let network = u128::from(address) >> 64 << 64;
                IpAddr::V6(Ipv6Addr::from(network))
            }
            address => address,
        })
    }

    pub(super) fn of(user: u32, process: i32) -> Peer {
        let process = u32::try_from(process).unwrap_or_default();
        Peer::User(User { id: user, process })
    }

    /// The address or the process: what tells callers with one key apart.
    pub(super) fn bytes(self) -> [u8; 17] {
        let (kind, place) = match self {
            Peer::Address(IpAddr::V4(address)) => (b'4', u32::from(address).into()),
            Peer::Address(IpAddr::V6(address)) => (b'6', u128::from(address)),
            Peer::User(User { id, process }) => (b'u', u128::from(id) << 32 | u128::from(process)),
            Peer::Unknown => (b'?', 0),
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

impl fmt::Display for Peer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Peer::Address(address) => write!(f, "{address}"),
            Peer::User(user) => write!(f, "user {}", user.id),
            Peer::Unknown => f.write_str("an unknown peer"),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::net::Ipv4Addr;

    use super::*;

    #[test]
    fn failures_are_counted_by_user_and_callers_told_apart_by_process() {
        let (one, other) = (Peer::of(1000, 7), Peer::of(1000, 8));
        assert_eq!(one, other);
        assert_ne!(one.bytes(), other.bytes());
        assert_eq!(one.bytes(), Peer::of(1000, 7).bytes());
        let address = Peer::at(Ipv4Addr::new(192, 0, 2, 1).into());
        assert_eq!(
            address.bytes(),
            Peer::at(Ipv4Addr::new(192, 0, 2, 1).into()).bytes()
        );
        assert_ne!(
            address.bytes(),
            Peer::at(Ipv4Addr::new(192, 0, 2, 2).into()).bytes()
        );
    }
}
