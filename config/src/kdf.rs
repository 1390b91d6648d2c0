//! The record of an API key: an argon2id hash instead of the key.
//!
//! Promises: every record can be computed; its cost is bounded; comparison takes constant time.

use std::fmt;

use argon2::{Algorithm, Argon2, Block, Params, Version};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use ctutils::CtEq;

use crate::key_check::{self, KeyDigest};
use crate::section::Section;

/// The costs of one derivation, within their bounds and consistent.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Costs {
    /// The number of passes over the memory.
    pub(crate) time_cost: u32,
    /// The memory in KiB.
    pub(crate) memory_cost: u32,
    /// The number of lanes.
    pub(crate) parallelism: u32,
    /// The length of the hash in bytes.
    pub(crate) hash_len: u32,
}

impl Costs {
    /// Reads the costs of an `api_key_kdf` block; a fault is reported and the default used.
    pub(crate) fn read(section: &Section<'_>) -> Self {
        let defaults = Self::default();
        let costs = Self {
            time_cost: section.whole("time_cost", 1..=MAX_TIME_COST, defaults.time_cost),
            memory_cost: section.whole("memory_cost", 8..=MAX_MEMORY_COST, defaults.memory_cost),
            parallelism: section.whole("parallelism", 1..=MAX_PARALLELISM, defaults.parallelism),
            hash_len: section.whole("hash_len", 16..=MAX_HASH_LEN, defaults.hash_len),
        };
        // RFC 9106 §3.1: at least 8 KiB for each lane.
        let least = 8 * costs.parallelism;
        if costs.memory_cost < least {
            let text = format!(
                "is {}; at least {least} is needed for this `parallelism`",
                costs.memory_cost
            );
            section.problem("memory_cost", text);
            return defaults;
        }
        costs
    }

    /// The hash of `key`: of its UTF-8 text, not decoded.
    pub(crate) fn derive(&self, key: &str, salt: &[u8]) -> Result<Vec<u8>, OutOfMemory> {
        let mut hash = vec![0; self.hash_len as usize];
        // The costs are within their bounds, so only lack of memory can fail.
        let params = Params::new(
            self.memory_cost,
            self.time_cost,
            self.parallelism,
            Some(hash.len()),
        )
        .map_err(|_| OutOfMemory)?;
        let mut blocks = Vec::new();
        blocks
            .try_reserve_exact(params.block_count())
            .map_err(|_| OutOfMemory)?;
        blocks.resize(params.block_count(), Block::new());
        Argon2::new(Algorithm::Argon2id, Version::V0x13, params)
            .hash_password_into_with_memory(key.as_bytes(), salt, &mut hash, &mut blocks)
            .map_err(|_| OutOfMemory)?;
        Ok(hash)
    }
}

impl Default for Costs {
    /// The costs of the original: 64 MiB, three passes, one lane, 32 bytes.
    fn default() -> Self {
        Self {
            time_cost: 3,
            memory_cost: 65_536,
            parallelism: 1,
            hash_len: 32,
        }
    }
}

/// A key known only by its hash.
#[derive(Clone)]
pub struct KeyRecord {
    costs: Costs,
    salt: Vec<u8>,
    hash: Vec<u8>,
    digest: Option<KeyDigest>,
}

impl KeyRecord {
    /// Whether `key` is the key. Takes the memory and time of the record, by default 64 MiB and some tenths of a
    /// second.
    pub fn verify(&self, key: &str) -> Result<bool, OutOfMemory> {
        let hash = self.costs.derive(key, &self.salt)?;
        Ok(hash.as_slice().ct_eq(self.hash.as_slice()).into())
    }

    /// Whether both records are equal, and so belong to the same key.
    pub(crate) fn is_same(&self, other: &Self) -> bool {
        self.costs == other.costs
            && self.salt == other.salt
            && self.digest == other.digest
            && self.hash.as_slice().ct_eq(other.hash.as_slice()).into()
    }

    /// The digest of the key, which replaces [`verify`](Self::verify). `None` for a key that a person chose, and for a
    /// key that `--genkey` made before digests existed.
    pub fn digest(&self) -> Option<KeyDigest> {
        self.digest
    }

    /// The memory of one [`verify`](Self::verify) in KiB.
    pub fn memory_cost(&self) -> u32 {
        self.costs.memory_cost
    }

    /// Reads an `api_key_kdf` block, and the `api_key_check` beside it. `Err` is the reason why the record cannot check
    /// any key: placeholders, as in the original's own example, are not a fault of the file. Costs out of bounds are a
    /// fault and are reported.
    pub(crate) fn read(section: Section<'_>, check: Option<Section<'_>>) -> Result<Self, String> {
        if let Some(value) = section.value("algorithm") {
            if value != ALGORITHM {
                section.refuse("algorithm", value, &format!("`{ALGORITHM}`"));
            }
        }
        let costs = Costs::read(&section);
        let (salt, hash) = (bytes(&section, "salt"), bytes(&section, "hash"));
        section.finish();
        let (salt, hash) = (salt?, hash?);
        if salt.len() < argon2::MIN_SALT_LEN {
            return Err(format!(
                "`salt` has {} bytes, at least {} are needed",
                salt.len(),
                argon2::MIN_SALT_LEN
            ));
        }
        if hash.len() != costs.hash_len as usize {
            return Err(format!(
                "`hash` has {} bytes, `hash_len` says {}",
                hash.len(),
                costs.hash_len
            ));
        }
        let digest = check.and_then(|check| key_check::read(check, &salt, &hash));
        Ok(Self {
            costs,
            salt,
            hash,
            digest,
        })
    }
}

/// Shows how the hash was made, and no part of it.
impl fmt::Debug for KeyRecord {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("KeyRecord")
            .field("costs", &self.costs)
            .finish_non_exhaustive()
    }
}

/// The memory that a record requires is not available.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct OutOfMemory;

impl fmt::Display for OutOfMemory {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("not enough memory to compute the hash of a key; lower `memory_cost`")
    }
}

impl std::error::Error for OutOfMemory {}

fn bytes(section: &Section<'_>, key: &'static str) -> Result<Vec<u8>, String> {
    // No message shows the salt or the hash.
    match section.value(key).map(|value| value.as_str()) {
        None => Err(format!("`{key}` is missing")),
        Some(text) => {
            let bytes = text
                .and_then(|text| STANDARD.decode(text).ok())
                .filter(|bytes| !bytes.is_empty());
            bytes.ok_or_else(|| format!("`{key}` is not base64 with padding"))
        }
    }
}

/// The only algorithm of the file format.
pub(crate) const ALGORITHM: &str = "argon2id";

/// Minutes of work at the default memory: longer than any caller waits.
const MAX_TIME_COST: u32 = 100;
/// 1 GiB: more than the target machines can spare for one check.
const MAX_MEMORY_COST: u32 = 1024 * 1024;
const MAX_PARALLELISM: u32 = 64;
const MAX_HASH_LEN: u32 = 1024;
