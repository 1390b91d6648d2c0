//! Who may come in: the principals of named keys, of the single key once it is known, of users of this machine and of
//! certificates.
//!
//! Promises: a key costs one digest, one look-up and one comparison, whether it is known or not and whatever the number of
//! keys; a key that has expired lets nobody in.
//! Does not: read the clock, or keep a key.

use std::cell::RefCell;
use std::collections::HashMap;
use std::rc::Rc;
use std::time::SystemTime;

use mcpmqtt_config::{CertificateRule, Expiry, KeyDigest, NamedKey};

use crate::http::net::remote_addr::RemoteAddr;
use crate::mcp::Principal;

/// The callers that have a profile of their own.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct NamedCallers {
    /// The keys with names.
    pub keys: Vec<NamedKey>,
    /// The users of this machine that need no key on a Unix socket.
    pub peers: Vec<PeerCaller>,
    /// The certificates whose holders need no key.
    pub certificates: Vec<CertificateRule>,
    /// Whether the keys are all that there are to be, also if there are none: then nobody may come in.
    pub is_complete: bool,
}

/// A user of this machine.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PeerCaller {
    /// The user's number.
    pub id: u32,
    /// The name for the log.
    pub name: String,
    /// The name of the profile of the user's programs.
    pub profile: String,
}

impl NamedCallers {
    /// Whether somebody may come in without a key.
    pub(in crate::http) fn need_no_key(&self) -> bool {
        !self.peers.is_empty() || !self.certificates.is_empty()
    }
}

/// The principals, each by what shows it.
pub(in crate::http) struct Principals {
    named: HashMap<[u8; 32], Known>,
    /// The single key, once its digest is known.
    single: RefCell<Option<Known>>,
    peers: HashMap<u32, Rc<Principal>>,
    certificates: HashMap<String, Rc<Principal>>,
}

/// A key that is known.
#[derive(Clone, Debug)]
pub(in crate::http) struct Known {
    digest: KeyDigest,
    pub(in crate::http) principal: Rc<Principal>,
    expires: Option<SystemTime>,
}

impl Known {
    /// The single key.
    pub(in crate::http) fn single(digest: KeyDigest) -> Known {
        let name = Principal::DEFAULT_KEY;
        let profile = Principal::DEFAULT_PROFILE;
        Known::new(digest, name, profile, None)
    }

    fn new(digest: KeyDigest, name: &str, profile: &str, expires: Option<SystemTime>) -> Known {
        let principal = Principal {
            name: name.into(),
            profile: profile.into(),
            proof: digest.as_bytes().as_slice().into(),
        };
        Known {
            digest,
            principal: Rc::new(principal),
            expires,
        }
    }

    /// Whether the key lets nobody in any more at this time. Only a key that expires needs the time.
    pub(in crate::http) fn is_expired(&self, now: impl Fn() -> SystemTime) -> bool {
        self.expires.is_some_and(|expires| now() >= expires)
    }
}

impl Principals {
    pub(in crate::http) fn new(callers: &NamedCallers, single: Option<KeyDigest>) -> Principals {
        let named = callers.keys.iter().map(|key| {
            let expires = key.expires.as_ref().map(Expiry::at);
            let known = Known::new(key.digest, &key.name, &key.profile, expires);
            (*key.digest.as_bytes(), known)
        });
        let peers = callers.peers.iter().map(|peer| {
            let principal = Principal {
                name: format!("user {}", peer.name).into(),
                profile: peer.profile.as_str().into(),
                // Shorter than every digest, so that no key has it.
                proof: [b"user ".as_slice(), &peer.id.to_be_bytes()]
                    .concat()
                    .into(),
            };
            (peer.id, Rc::new(principal))
        });
        let certificates = callers.certificates.iter().map(|certificate| {
            let subject = &certificate.subject;
            let principal = Principal {
                name: format!("certificate {subject}").into(),
                profile: certificate.profile.as_str().into(),
                // No key has a digest that reads like this.
                proof: [b"certificate ", subject.as_bytes()].concat().into(),
            };
            (subject.clone(), Rc::new(principal))
        });
        Principals {
            named: named.collect(),
            single: RefCell::new(single.map(Known::single)),
            peers: peers.collect(),
            certificates: certificates.collect(),
        }
    }

    /// The key with this digest.
    pub(in crate::http) fn of_key(&self, digest: KeyDigest) -> Option<Known> {
        let single = self.single.borrow();
        // Both are looked at in any case, so that it takes the same time.
        let named = self.named.get(digest.as_bytes());
        let single = single.as_ref().filter(|known| known.digest == digest);
        named
            .filter(|known| known.digest == digest)
            .or(single)
            .cloned()
    }

    /// The user of this machine at the other end of a connection, or the holder of a certificate with this subject.
    pub(in crate::http) fn of_place(
        &self,
        peer: RemoteAddr,
        subject: Option<&str>,
    ) -> Option<Rc<Principal>> {
        let user = peer.user().and_then(|user| self.peers.get(&user));
        let holder = subject.and_then(|subject| self.certificates.get(subject));
        user.or(holder).cloned()
    }

    /// Whether the single key is known.
    pub(in crate::http) fn has_single(&self) -> bool {
        self.single.borrow().is_some()
    }

    /// The single key has this digest.
    pub(in crate::http) fn set_single(&self, digest: KeyDigest) {
        self.single.replace(Some(Known::single(digest)));
    }

    /// What is known of the single key, as `before` knows it.
    pub(in crate::http) fn take_single_of(&self, before: &Principals) {
        let known = before.single.borrow().clone();
        self.single.replace(known);
    }

    /// Whether this principal may come in at this time.
    pub(in crate::http) fn has(&self, principal: &Principal, now: SystemTime) -> bool {
        let single = self.single.borrow();
        let mut keys = self.named.values().chain(single.as_ref());
        keys.any(|known| *known.principal == *principal && !known.is_expired(|| now))
            || self.without_key().any(|it| **it == *principal)
    }

    /// Every principal but that of the single key.
    pub(in crate::http) fn named(&self) -> impl Iterator<Item = &Rc<Principal>> {
        let keys = self.named.values().map(|known| &known.principal);
        keys.chain(self.without_key())
    }

    fn without_key(&self) -> impl Iterator<Item = &Rc<Principal>> {
        self.peers.values().chain(self.certificates.values())
    }

    /// When the next key expires after this time.
    pub(in crate::http) fn next_expiry(&self, now: SystemTime) -> Option<SystemTime> {
        let expiries = self.named.values().filter_map(|known| known.expires);
        expiries.filter(|at| *at > now).min()
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use std::time::{Duration, UNIX_EPOCH};

    use super::*;

    fn key(name: &str, text: &str, expires: Option<&str>) -> NamedKey {
        NamedKey {
            name: name.into(),
            digest: KeyDigest::of(text),
            profile: "line".into(),
            created: None,
            expires: expires.map(|text| Expiry::parse(text).unwrap()),
        }
    }

    #[test]
    fn keys_expire_one_by_one_and_the_others_stay() {
        let callers = NamedCallers {
            keys: vec![
                key("a", "1", Some("1970-01-01T00:01:00Z")),
                key("a", "2", Some("1970-01-01T00:02:00Z")),
                key("b", "3", None),
            ],
            ..NamedCallers::default()
        };
        let principals = Principals::new(&callers, Some(KeyDigest::of("single")));
        let at = |seconds| UNIX_EPOCH + Duration::from_secs(seconds);
        let found = |text: &str| principals.of_key(KeyDigest::of(text)).unwrap();
        for (seconds, valid, next) in [
            (0, [true, true, true, true], Some(60)),
            (59, [true, true, true, true], Some(60)),
            (60, [false, true, true, true], Some(120)),
            (119, [false, true, true, true], Some(120)),
            (120, [false, false, true, true], None),
        ] {
            let now = at(seconds);
            for (text, valid) in ["1", "2", "3", "single"].into_iter().zip(valid) {
                let known = found(text);
                assert_eq!(!known.is_expired(|| now), valid, "{text} at {seconds}");
                assert_eq!(principals.has(&known.principal, now), valid);
            }
            assert_eq!(principals.next_expiry(now), next.map(at));
        }
        assert!(principals.of_key(KeyDigest::of("4")).is_none());
        assert_eq!(&*found("single").principal.name, "default");
        assert_eq!(&*found("single").principal.profile, "default");
        assert_eq!(&*found("3").principal.profile, "line");
        assert_ne!(
            found("1").principal,
            found("2").principal,
            "a session is of its key, not of its name"
        );
    }

    #[test]
    fn a_principal_with_another_profile_is_another() {
        let with = |profile: &str| {
            let callers = NamedCallers {
                peers: vec![PeerCaller {
                    id: 7,
                    name: "ann".into(),
                    profile: profile.into(),
                }],
                certificates: vec![CertificateRule {
                    subject: "CN=codex".into(),
                    profile: profile.into(),
                }],
                ..NamedCallers::default()
            };
            Principals::new(&callers, None)
        };
        let (before, after) = (with("line"), with("watch"));
        let user = RemoteAddr::of(7, 1);
        for (peer, subject) in [(user, None), (RemoteAddr::Unknown, Some("CN=codex"))] {
            let own = before.of_place(peer, subject).unwrap();
            assert!(before.has(&own, UNIX_EPOCH) && !after.has(&own, UNIX_EPOCH));
        }
        for (peer, subject) in [
            (RemoteAddr::of(8, 1), None),
            (RemoteAddr::Unknown, Some("CN=claude")),
            (RemoteAddr::Unknown, None),
        ] {
            assert!(before.of_place(peer, subject).is_none());
        }
    }
}
