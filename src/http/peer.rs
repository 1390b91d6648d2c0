//! Who is at the other end of a connection, as far as the system tells.

use std::fmt;
use std::net::{IpAddr, Ipv6Addr};

/// What failures are counted by.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) enum Peer {
    /// An IPv4 address, or an IPv6 network of 64 bits: one machine has all of its addresses.
    Address(IpAddr),
    /// A user of this machine, by a socket file.
    User(u32),
    /// The system does not say.
    Unknown,
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
}

impl fmt::Display for Peer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Peer::Address(address) => write!(f, "{address}"),
            Peer::User(uid) => write!(f, "user {uid}"),
            Peer::Unknown => f.write_str("an unknown peer"),
        }
    }
}
