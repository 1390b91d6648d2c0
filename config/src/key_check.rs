//! A digest by which a generated key is known without its slow hash.
//!
//! A slow hash protects a key that people chose, since those who steal the file must not find it by trying. A key of
//! `--genkey` is 256 random bits, which nobody finds by trying however fast the digest is; so it can be checked fast,
//! and a stranger's wrong key costs nothing. The digest has no salt: digests of several keys are looked up by one.

use std::fmt;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use blake2::Blake2bMac;
use blake2::digest::consts::{U16, U32};
use blake2::digest::typenum::Unsigned;
use blake2::digest::{KeyInit, Mac, OutputSizeUser};
use ctutils::CtEq as _;
use serde_json::{Value, json};

use crate::section::Section;

/// BLAKE2b of a key's text, with 32 bytes of output and the key `mcpmqtt.api_key`.
#[derive(Clone, Copy, Eq)]
pub struct KeyDigest([u8; 32]);

impl KeyDigest {
    /// The digest of this key. Costs about a microsecond.
    #[must_use]
    pub fn of(key: &str) -> Self {
        Self(keyed::<Blake2bMac<U32>, 32>(&[key.as_bytes()]))
    }

    /// Its bytes; two digests are compared by `==`, which takes constant time.
    #[must_use]
    pub fn as_bytes(&self) -> &[u8; 32] {
        &self.0
    }
}

/// In constant time, whatever differs.
impl PartialEq for KeyDigest {
    fn eq(&self, other: &Self) -> bool {
        self.0.as_slice().ct_eq(other.0.as_slice()).into()
    }
}

/// Shows nothing of it.
impl fmt::Debug for KeyDigest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("KeyDigest(…)")
    }
}

/// The `api_key_check` of this key, for the record with this salt and hash.
pub(crate) fn block(key: &str, salt: &[u8], hash: &[u8]) -> Value {
    json!({
        "algorithm": ALGORITHM,
        "digest": STANDARD.encode(KeyDigest::of(key).0),
        "record": STANDARD.encode(record(salt, hash)),
    })
}

/// Reads an `api_key_check` beside the record with this salt and hash. `None` when it cannot be used: it is warned of
/// and the slow hash decides.
pub(crate) fn read(section: Section<'_>, salt: &[u8], hash: &[u8]) -> Option<KeyDigest> {
    let bytes = |key| STANDARD.decode(section.value(key)?.as_str()?).ok();
    let known = section
        .value("algorithm")
        .is_some_and(|name| name == ALGORITHM);
    let digest: Option<[u8; 32]> = bytes("digest").and_then(|it| it.try_into().ok());
    let of = bytes("record");
    let remedy = "so it is not used; `--genkey` makes a new key with one that is";
    let doubt = match (known, &digest, &of) {
        (true, Some(_), Some(of)) if *of == record(salt, hash) => None,
        // Another program, or a person, put another key's record beside it.
        (true, Some(_), Some(_)) => Some("is of another key than `api_key_kdf`"),
        _ => Some("cannot be read"),
    };
    if let Some(doubt) = doubt {
        section.warn_of_itself(format!("{doubt}, {remedy}"));
    }
    section.finish();
    digest.filter(|_| doubt.is_none()).map(KeyDigest)
}

/// By this a check is tied to its record.
fn record(salt: &[u8], hash: &[u8]) -> [u8; 16] {
    keyed::<Blake2bMac<U16>, 16>(&[salt, hash])
}

fn keyed<M: Mac + KeyInit + OutputSizeUser, const N: usize>(parts: &[&[u8]]) -> [u8; N] {
    let mut out = [0; N];
    debug_assert_eq!(M::OutputSize::USIZE, N);
    // A key of 15 bytes is none that BLAKE2b refuses.
    if let Ok(mut mac) = M::new_from_slice(KEY) {
        for part in parts {
            mac.update(part);
        }
        out.copy_from_slice(&mac.finalize().into_bytes());
    }
    out
}

/// So that no digest made for something else is taken for one of these.
const KEY: &[u8] = b"mcpmqtt.api_key";
const ALGORITHM: &str = "blake2b-256";
