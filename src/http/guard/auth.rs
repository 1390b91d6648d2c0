//! Authentication by an API key, as a user of this machine or by a certificate, at a cost that a client without the key cannot drive up.
//!
//! Promises: a key is recognized by its digest, in microseconds, right or wrong. Only a record without a digest costs
//! slow hashes, one at a time, and none any more once its key was proven; until then, a peer that fails too often waits
//! in a queue, in which the right key has its turn too. A user or a certificate that is listed needs no key; a key that is shown
//! decides alone.
//! Does not: keep, log or show a key.

use std::cell::RefCell;
use std::collections::HashSet;
use std::fmt;
use std::future::Future;
use std::rc::Rc;
use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime};

use async_channel::{Receiver, Sender};
use http_types::StatusCode;
use mcpmqtt_config::{ApiKey, KeyDigest, KeyRecord, Secret};
use smol::future;
use smol::lock::{Semaphore, SemaphoreGuardArc};

use super::credential::{credential, expired, unauthorized};
use super::principals::{NamedCallers, Principals};
use super::proof_queue::{ProofPermit, ProofQueue};
use super::throttle::Throttle;
use super::wrong_keys::WrongKeys;
use crate::http::h1::head::Head;
use crate::http::h1::refusal::Refusal;
use crate::http::net::remote_addr::RemoteAddr;
use crate::mcp::Principal;
use crate::metrics::{Failure, Metrics};

/// Judges keys.
pub(in crate::http) struct Gate {
    principals: Principals,
    callers: NamedCallers,
    key: ApiKey,
    /// How the single key is proven while its digest is not known; `None` when it was known from the start.
    record: Option<Arc<KeyRecord>>,
    /// Keys that were proven wrong: agents with an old key try it again and again.
    wrong: RefCell<HashSet<[u8; 32]>>,
    turn: Arc<Semaphore>,
    /// What hashes came to whose connection did not last until then: the work was done, and counts.
    verdicts: (Sender<HashVerdict>, Receiver<HashVerdict>),
    throttle: RefCell<Throttle>,
    metrics: Metrics,
    wrong_keys: Rc<WrongKeys>,
    line: ProofQueue,
}

/// Why there can be no gate.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum KeyError {
    /// No key is configured, and without a key nobody may come in.
    None,
    /// The configured key cannot be used, for this reason.
    Unusable(String),
}

/// Whether the key with this digest is the right one.
type HashVerdict = (KeyDigest, bool);

/// The result of proving a key.
enum Verdict {
    Right(Rc<Principal>),
    Wrong,
    /// From a peer of whom that is known; what to answer.
    WrongAgain(Refusal),
}

impl Gate {
    /// Makes a gate for the single key and these callers. What the gate `before` knows of the same key stays known.
    ///
    /// # Errors
    /// Without a usable key there is no way in, and none must be opened, unless the list of keys says so.
    pub(in crate::http) fn new(
        key: &ApiKey,
        callers: &NamedCallers,
        before: Option<&Gate>,
        metrics: &Metrics,
        wrong_keys: &Rc<WrongKeys>,
    ) -> Result<Gate, KeyError> {
        let is_complete = callers.is_complete || callers.need_no_key();
        let record = match key {
            ApiKey::None if !is_complete => return Err(KeyError::None),
            ApiKey::Unusable(why) if !is_complete => return Err(KeyError::Unusable(why.clone())),
            ApiKey::Hashed(record) if record.digest().is_none() => Some(Arc::new(record.clone())),
            _ => None,
        };
        let principals = Principals::new(callers, key.digest());
        let mut wrong = HashSet::new();
        if let Some(before) = before.filter(|before| record.is_some() && before.key.is_same(key)) {
            before.settle();
            principals.take_single_of(&before.principals);
            wrong.clone_from(&before.wrong.borrow());
        }
        Ok(Gate {
            principals,
            callers: callers.clone(),
            key: key.clone(),
            record,
            wrong: RefCell::new(wrong),
            // Room for one: a hash takes 64 MiB by default.
            turn: Arc::new(Semaphore::new(1)),
            // One hash is computed at a time, and what it came to is looked at before the next begins.
            verdicts: async_channel::bounded(1),
            throttle: RefCell::default(),
            metrics: metrics.clone(),
            wrong_keys: Rc::clone(wrong_keys),
            line: ProofQueue::default(),
        })
    }

    /// Whether the gate was made for this very key and these callers.
    pub(in crate::http) fn is_for(&self, key: &ApiKey, callers: &NamedCallers) -> bool {
        self.key.is_same(key) && self.callers == *callers
    }

    /// The principal of this head, if its key was proven before or its sender needs none.
    /// `subject` is that of a certificate that the handshake verified.
    pub(in crate::http) fn recognize(
        &self,
        peer: RemoteAddr,
        subject: Option<&str>,
        head: &Head,
    ) -> Option<Rc<Principal>> {
        match credential(head) {
            Some(key) => self.known(&key),
            None => self.principals.of_place(peer, subject),
        }
    }

    /// Whether the principal would still be let in.
    pub(in crate::http) fn admits(&self, principal: &Principal) -> bool {
        self.settle();
        self.principals.has(principal, SystemTime::now())
    }

    /// What somebody is told who was let in when the request began, and is not any more.
    pub(in crate::http) fn refusal_since(&self, principal: &Principal) -> Refusal {
        // One that is still known lets nobody in because it has expired.
        match self.principals.named().any(|it| **it == *principal) {
            true => expired(),
            false => replaced(),
        }
    }

    /// The names of the principals that this gate lets in and `next` does not, but for the single key.
    pub(in crate::http) fn names_without(&self, next: &Gate) -> Vec<Rc<str>> {
        let gone = self.principals.named().filter(|it| !next.admits(it));
        gone.map(|principal| Rc::clone(&principal.name)).collect()
    }

    /// How long it is until the next key expires.
    pub(in crate::http) fn next_expiry(&self) -> Option<Duration> {
        let now = SystemTime::now();
        let at = self.principals.next_expiry(now)?;
        Some(at.duration_since(now).unwrap_or_default())
    }

    /// Lets the sender of this head in; `gone` is ready when it has left.
    ///
    /// # Errors
    /// 401 without the right key, 429 after too many wrong ones, 503 when there is no memory to prove one.
    pub(in crate::http) async fn admit(
        &self,
        peer: RemoteAddr,
        head: &Head,
        gone: impl Future<Output = ()>,
    ) -> Result<Rc<Principal>, Refusal> {
        let Some(key) = credential(head) else {
            self.metrics.refused(Failure::NoKey);
            return Err(unauthorized(
                "an API key is needed: send it as `Authorization: Bearer <key>`",
                r#"Bearer realm="mcpmqtt""#,
            ));
        };
        if let Some(principal) = self.known(&key) {
            return Ok(principal);
        }
        let verdict = self.prove(peer, &key, gone).await.inspect_err(|refusal| {
            if refusal.status == StatusCode::TooManyRequests {
                self.metrics.refused(Failure::Throttled);
            }
        });
        match verdict? {
            Verdict::Right(principal) => {
                self.throttle.borrow_mut().forgive(peer);
                Ok(principal)
            }
            Verdict::WrongAgain(refusal) => {
                self.metrics.refused(Failure::Throttled);
                Err(refusal)
            }
            Verdict::Wrong => {
                self.metrics.refused(Failure::WrongKey);
                self.wrong_keys.note(peer);
                if self.is_known(&key) {
                    return Err(expired());
                }
                Err(unauthorized(
                    "wrong API key; ask the operator of this server for the right one",
                    r#"Bearer realm="mcpmqtt", error="invalid_token""#,
                ))
            }
        }
    }

    /// Costs microseconds, and the same for a wrong key as for the right one.
    fn known(&self, key: &str) -> Option<Rc<Principal>> {
        self.settle();
        let known = self.principals.of_key(KeyDigest::of(key))?;
        (!known.is_expired(SystemTime::now)).then_some(known.principal)
    }

    /// Whether the key is known, expired or not.
    fn is_known(&self, key: &str) -> bool {
        self.principals.of_key(KeyDigest::of(key)).is_some()
    }

    /// Whether the slow hash of this key is known to be, or need not be computed to be, another's.
    fn is_wrong(&self, key: &str) -> bool {
        self.settle();
        self.principals.has_single()
            || key.len() > KEY_BYTES
            || self.is_known(key)
            || self.wrong.borrow().contains(KeyDigest::of(key).as_bytes())
    }

    /// Takes note of what the last hash came to.
    fn settle(&self) {
        if self.record.is_none() {
            return;
        }
        while let Ok((digest, is_right)) = self.verdicts.1.try_recv() {
            if is_right {
                self.principals.set_single(digest);
                continue;
            }
            let mut wrong = self.wrong.borrow_mut();
            if wrong.len() >= WRONG_KEYS {
                wrong.clear();
            }
            wrong.insert(*digest.as_bytes());
        }
    }

    /// A peer that has failed too often waits in the queue, and a wrong key from the queue is not counted again.
    async fn prove(
        &self,
        peer: RemoteAddr,
        key: &str,
        gone: impl Future<Output = ()>,
    ) -> Result<Verdict, Refusal> {
        let checked = self.throttle.borrow().check(peer, Instant::now());
        let Some(record) = self.record.clone().filter(|_| !self.is_wrong(key)) else {
            checked?;
            self.throttle.borrow_mut().fail(peer, Instant::now());
            return Ok(Verdict::Wrong);
        };
        let debt = self.throttle.borrow().debt(peer, Instant::now());
        // Before the verdict: others may come from there until it is known.
        let charge = checked.is_ok().then(|| Charge::of(peer, &self.throttle));
        let refusal = checked.err();
        let waited = self.wait(peer, debt, refusal.clone(), gone).await?;
        let turn = self.turn.acquire_arc().await;
        // While it waited, others may have come with the same key, or the right one.
        if !self.is_wrong(key) {
            waited.begins();
            self.metrics.key_hashed();
            prove(record, Secret::new(key), turn, self.verdicts.0.clone()).await?;
        }
        if let Some(charge) = charge {
            charge.stands();
        }
        Ok(match (self.known(key), refusal) {
            (Some(principal), _) => Verdict::Right(principal),
            (None, Some(refusal)) => Verdict::WrongAgain(refusal),
            (None, None) => Verdict::Wrong,
        })
    }

    /// Waits for a turn in the queue.
    ///
    /// # Errors
    /// `refusal` when the queue has no place for a peer that showed too many wrong keys, 503 for another peer.
    async fn wait(
        &self,
        peer: RemoteAddr,
        debt: Duration,
        refusal: Option<Refusal>,
        gone: impl Future<Output = ()>,
    ) -> Result<ProofPermit, Refusal> {
        let left = async {
            gone.await;
            None
        };
        let turn = self.line.turn(peer, debt, refusal.is_some());
        let turn = future::or(turn, left).await;
        turn.ok_or_else(|| {
            let busy = || Refusal::overloaded("too many API keys are being checked");
            refusal.unwrap_or_else(busy)
        })
    }
}

/// A wrong key that is counted before it is judged. The count is taken back when the key is never judged, because a
/// peer whose wait ended without a turn has shown no wrong key.
struct Charge<'a> {
    peer: RemoteAddr,
    throttle: &'a RefCell<Throttle>,
    stands: bool,
}

impl<'a> Charge<'a> {
    fn of(peer: RemoteAddr, throttle: &'a RefCell<Throttle>) -> Charge<'a> {
        throttle.borrow_mut().fail(peer, Instant::now());
        Charge {
            peer,
            throttle,
            stands: false,
        }
    }

    fn stands(mut self) {
        self.stands = true;
    }
}

impl Drop for Charge<'_> {
    fn drop(&mut self) {
        if !self.stands {
            self.throttle.borrow_mut().refund(self.peer);
        }
    }
}

fn replaced() -> Refusal {
    unauthorized(
        "the API key was replaced; ask the operator for the new one",
        r#"Bearer realm="mcpmqtt", error="invalid_token""#,
    )
}

/// Computes the slow hash. The turn is held until that is done and the verdict is given, even when nobody waits for it any
/// more.
async fn prove(
    record: Arc<KeyRecord>,
    key: Secret,
    turn: SemaphoreGuardArc,
    verdicts: Sender<HashVerdict>,
) -> Result<(), Refusal> {
    let (done, ended) = async_channel::bounded(1);
    let hashing = smol::unblock(move || {
        let _turn = turn;
        let hashed = record.verify(key.expose()).map(|is_right| {
            // There is room: the one before was taken out before this hash began.
            let _ = verdicts.try_send((KeyDigest::of(key.expose()), is_right));
        });
        // Nobody may wait for it any more.
        let _ = done.try_send(hashed);
    });
    hashing.detach();
    let failed =
        |why: String| Refusal::new(StatusCode::ServiceUnavailable, why).with("retry-after", "5");
    match ended.recv().await {
        Ok(hashed) => hashed.map_err(|error| failed(error.to_string())),
        Err(_) => Err(failed("the key could not be checked".into())),
    }
}

impl fmt::Debug for Gate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Gate")
            .field("proven", &self.principals.has_single())
            .finish_non_exhaustive()
    }
}

impl fmt::Display for KeyError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            KeyError::None => f.write_str(
                "no API key is configured, so no client can connect; `mcpmqtt --genkey` makes one",
            ),
            KeyError::Unusable(why) => write!(
                f,
                "remote_server.api_key_kdf: no key can be checked: {why}; `mcpmqtt --genkey` makes a new key"
            ),
        }
    }
}

impl std::error::Error for KeyError {}

/// Longer texts are no keys of ours (43 characters) nor of anyone who types them.
const KEY_BYTES: usize = 1024;
/// More than there are agents with an old key; each takes 32 bytes.
const WRONG_KEYS: usize = 1024;

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use mcpmqtt_config::Config;
    use smol::future::{block_on, pending, poll_once};

    use super::*;

    /// A connection that makes room for another one while its key is hashed.
    #[test]
    fn what_a_hash_came_to_counts_when_its_connection_is_gone() {
        let before = r#"{"remote_server": {"api_key_kdf": {"memory_cost": 8192, "time_cost": 1}}}"#;
        let rotation = mcpmqtt_config::rotate(before, [7; 48]).unwrap();
        let mut file: serde_json::Value = serde_json::from_str(&rotation.text).unwrap();
        // As an older version made it: with a slow hash and nothing else.
        let section = file["remote_server"].as_object_mut().unwrap();
        section.remove("api_key_check").unwrap();
        let (config, _) = Config::parse(&file.to_string()).unwrap();
        let metrics = Metrics::default();
        let key = config.remote_server.unwrap().api_key;
        let callers = NamedCallers::default();
        let head = |key: &str| {
            let text = format!("GET /mcp HTTP/1.1\r\nhost: a\r\nx-api-key: {key}\r\n\r\n");
            Head::parse(text.as_bytes()).unwrap()
        };
        let (right, wrong) = (head(rotation.key.expose()), head("guess"));
        // The gate whose hash of this key was under way when its connection went.
        let left = async |head| {
            loop {
                let gate = Gate::new(&key, &callers, None, &metrics, &Rc::default()).unwrap();
                let admitting = gate.admit(RemoteAddr::Unknown, head, pending());
                // On a busy machine the hash may have ended before anybody looked.
                if poll_once(admitting).await.is_none() {
                    // The turn is free again when the hash has ended.
                    drop(gate.turn.acquire_arc().await);
                    return gate;
                }
            }
        };
        block_on(async {
            let gate = left(&wrong).await;
            assert!(gate.is_wrong("guess"));
            let gate = left(&right).await;
            assert!(gate.recognize(RemoteAddr::Unknown, None, &right).is_some());
            assert!(gate.recognize(RemoteAddr::Unknown, None, &wrong).is_none());
        });
    }
}
