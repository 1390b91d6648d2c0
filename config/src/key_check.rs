//! A digest that recognises a generated key without the slow hash.
//!
//! A slow hash protects a key that a person chose, because an attacker with the file must not find the key by guessing.
//! A key of `--genkey` has 256 random bits, which cannot be guessed however fast the digest is; so it can be checked
//! fast, and a wrong key costs nothing. The digest has no salt, so that one digest finds its key among several.

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

/// The BLAKE2b digest of a key's text, with 32 bytes of output and the BLAKE2b key `mcpmqtt.api_key`.
#[derive(Clone, Copy, Eq)]
pub struct KeyDigest([u8; 32]);

impl KeyDigest {
    /// Computes the digest of a key, which takes about a microsecond.
    #[must_use]
    pub fn of(key: &str) -> Self {
        Self(keyed::<Blake2bMac<U32>, 32>(&[key.as_bytes()]))
    }

    /// The digest with these bytes.
    pub(crate) fn from_bytes(bytes: [u8; 32]) -> Self {
        Self(bytes)
    }

    /// The bytes of the digest. `==` compares two digests in constant time.
    #[must_use]
    pub fn as_bytes(&self) -> &[u8; 32] {
        &self.0
    }
}

/// Compares in constant time.
impl PartialEq for KeyDigest {
    fn eq(&self, other: &Self) -> bool {
        self.0.as_slice().ct_eq(other.0.as_slice()).into()
    }
}

/// Hides the digest.
impl fmt::Debug for KeyDigest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("KeyDigest(…)")
    }
}

/// The `api_key_check` of a key, for the record with this salt and hash.
pub(crate) fn block(key: &str, salt: &[u8], hash: &[u8]) -> Value {
    json!({
        "algorithm": ALGORITHM,
        "digest": STANDARD.encode(KeyDigest::of(key).0),
        "record": STANDARD.encode(record(salt, hash)),
    })
}

/// Reads an `api_key_check` beside the record with this salt and hash. `None` when the check cannot be used: a warning
/// is reported and the slow hash is used.
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
        // Another program or a person replaced the record but not the check.
        (true, Some(_), Some(_)) => Some("is of another key than `api_key_kdf`"),
        _ => Some("cannot be read"),
    };
    if let Some(doubt) = doubt {
        section.warn_of_itself(format!("{doubt}, {remedy}"));
    }
    section.finish();
    digest.filter(|_| doubt.is_none()).map(KeyDigest)
}

/// Binds a check to its record.
fn record(salt: &[u8], hash: &[u8]) -> [u8; 16] {
    keyed::<Blake2bMac<U16>, 16>(&[salt, hash])
}

fn keyed<M: Mac + KeyInit + OutputSizeUser, const N: usize>(parts: &[&[u8]]) -> [u8; N] {
    let mut out = [0; N];
    debug_assert_eq!(M::OutputSize::USIZE, N);
    // BLAKE2b accepts a key of 15 bytes, so this never fails.
    if let Ok(mut mac) = M::new_from_slice(KEY) {
        for part in parts {
            mac.update(part);
        }
        out.copy_from_slice(&mac.finalize().into_bytes());
    }
    out
}

/// Separates these digests from digests made for other purposes.
const KEY: &[u8] = b"mcpmqtt.api_key";
const ALGORITHM: &str = "blake2b-256";
