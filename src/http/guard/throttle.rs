//! How often a peer may show a wrong key.
//!
//! Promises: a peer without recent failures is never refused here; memory is bounded.
//! Does not: know keys. A proven key is never checked here.

use std::collections::HashMap;
use std::time::{Duration, Instant};

use http_types::StatusCode;

use crate::http::h1::refusal::Refusal;
use crate::http::net::remote_addr::RemoteAddr;

/// Failures by peer.
#[derive(Debug, Default)]
pub(in crate::http) struct Throttle {
    /// When all of a peer's failures will be forgotten: each pushes it further out.
    peers: HashMap<RemoteAddr, Instant>,
}

impl Throttle {
    /// Whether a key that is not known may be tried.
    ///
    /// # Errors
    /// 429 with the seconds to wait.
    pub(in crate::http) fn check(&self, peer: RemoteAddr, now: Instant) -> Result<(), Refusal> {
        let ahead = self.debt(peer, now) + EACH;
        if ahead <= EACH * BURST {
            return Ok(());
        }
        let wait = (ahead - EACH * BURST).as_secs_f64().ceil();
        let text = "too many wrong API keys from this peer; wait and try again";
        Err(Refusal::new(StatusCode::TooManyRequests, text).with("retry-after", format!("{wait}")))
    }

    /// How long the wrong keys of a peer still count: nothing for one that has shown none.
    pub(in crate::http) fn debt(&self, peer: RemoteAddr, now: Instant) -> Duration {
        let clear = self.peers.get(&peer).copied().unwrap_or(now);
        clear.saturating_duration_since(now)
    }

    /// Counts a wrong key.
    pub(in crate::http) fn fail(&mut self, peer: RemoteAddr, now: Instant) {
        self.make_room(now);
        let clear = self.peers.entry(peer).or_insert(now);
        *clear = (*clear).max(now) + EACH;
    }

    /// Takes back a failure that was counted before its key was judged, when the key never was judged.
    pub(in crate::http) fn refund(&mut self, peer: RemoteAddr) {
        if let Some(clear) = self.peers.get_mut(&peer) {
            *clear = clear.checked_sub(EACH).unwrap_or(*clear);
        }
    }

    pub(in crate::http) fn forgive(&mut self, peer: RemoteAddr) {
        self.peers.remove(&peer);
    }

    /// Forgets peers whose wait is over, and if need be the peer with the shortest wait.
    fn make_room(&mut self, now: Instant) {
        if self.peers.len() < PEERS {
            return;
        }
        self.peers.retain(|_, clear| *clear > now);
        if self.peers.len() >= PEERS {
            let least = self.peers.iter().min_by_key(|(_, clear)| **clear);
            if let Some(peer) = least.map(|(peer, _)| *peer) {
                self.peers.remove(&peer);
            }
        }
    }
}

/// What one wrong key costs a peer in the long run.
const EACH: Duration = Duration::from_secs(2);
/// Wrong keys before the waiting starts: someone with an old key in a script should read the 401 first.
const BURST: u32 = 5;
const PEERS: usize = 1024;

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use std::net::Ipv4Addr;

    use super::*;

    fn peer(last: u8) -> RemoteAddr {
        RemoteAddr::at(Ipv4Addr::new(192, 0, 2, last).into())
    }

    fn exhaust(throttle: &mut Throttle, peer: RemoteAddr, now: Instant) -> u32 {
        let mut failures = 0;
        while throttle.check(peer, now).is_ok() {
            throttle.fail(peer, now);
            failures += 1;
        }
        failures
    }

    #[test]
    fn a_burst_is_let_through_and_then_one_attempt_each_two_seconds() {
        let (mut throttle, start) = (Throttle::default(), Instant::now());
        assert_eq!(exhaust(&mut throttle, peer(1), start), 5);
        let refusal = throttle.check(peer(1), start).unwrap_err();
        assert_eq!(refusal.status, StatusCode::TooManyRequests);
        assert_eq!(refusal.header, Some(("retry-after", "2".into())));
        assert_eq!(exhaust(&mut throttle, peer(1), start + EACH), 1);
        assert_eq!(exhaust(&mut throttle, peer(1), start + EACH * 100), 5);
    }

    #[test]
    fn another_peer_is_not_punished() {
        let (mut throttle, start) = (Throttle::default(), Instant::now());
        exhaust(&mut throttle, peer(1), start);
        throttle.check(peer(2), start).unwrap();
    }

    #[test]
    fn a_key_that_was_not_judged_does_not_count() {
        let (mut throttle, start) = (Throttle::default(), Instant::now());
        for _ in 0..100 {
            throttle.fail(peer(1), start);
            throttle.refund(peer(1));
        }
        assert_eq!(throttle.debt(peer(1), start), Duration::ZERO);
        assert_eq!(exhaust(&mut throttle, peer(1), start), 5);
        throttle.refund(peer(2));
        assert_eq!(exhaust(&mut throttle, peer(2), start), 5);
    }

    #[test]
    fn a_peer_that_proves_its_key_starts_afresh() {
        let (mut throttle, start) = (Throttle::default(), Instant::now());
        exhaust(&mut throttle, peer(1), start);
        throttle.forgive(peer(1));
        throttle.check(peer(1), start).unwrap();
    }

    #[test]
    fn memory_stays_bounded_and_the_worst_are_remembered() {
        let (mut throttle, start) = (Throttle::default(), Instant::now());
        exhaust(&mut throttle, peer(1), start);
        for n in 0..5000_u32 {
            let address = Ipv4Addr::from(0x0a00_0000 + n);
            throttle.fail(RemoteAddr::at(address.into()), start);
        }
        assert!(throttle.peers.len() <= PEERS);
        throttle.check(peer(1), start).unwrap_err();
    }
}
