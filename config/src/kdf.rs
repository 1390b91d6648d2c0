//! The record of an API key: an argon2id hash in place of the key.
//!
//! Promises: a record that exists can be computed with; its cost is bounded; comparison takes constant time.

use std::fmt;

use argon2::{Algorithm, Argon2, Block, Params, Version};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use ctutils::CtEq;

use crate::key_check::{self, KeyDigest};
use crate::section::Section;

/// The costs of one derivation, within bounds and consistent.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Costs {
    /// Passes over the memory.
    pub(crate) time_cost: u32,
    /// Memory in KiB.
    pub(crate) memory_cost: u32,
    /// Lanes.
    pub(crate) parallelism: u32,
    /// Bytes of the hash.
    pub(crate) hash_len: u32,
}

impl Costs {
    /// Reads the costs of an `api_key_kdf` block; a fault is reported and the default taken.
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

    /// The hash of `key`: over the UTF-8 text of the key as it is, not decoded.
    pub(crate) fn derive(&self, key: &str, salt: &[u8]) -> Result<Vec<u8>, OutOfMemory> {
        let mut hash = vec![0; self.hash_len as usize];
        // The bounds above leave lack of memory as the only thing that can fail.
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
    /// The original's: 64 MiB, three passes, one lane, 32 bytes.
    fn default() -> Self {
        Self {
            time_cost: 3,
            memory_cost: 65_536,
            parallelism: 1,
            hash_len: 32,
        }
    }
}

/// A key that is known by its hash only.
#[derive(Clone)]
pub struct KeyRecord {
    costs: Costs,
    salt: Vec<u8>,
    hash: Vec<u8>,
    digest: Option<KeyDigest>,
}

impl KeyRecord {
    /// Whether `key` is the key. Costs what the record says, by default 64 MiB and some tenths of a second.
    pub fn verify(&self, key: &str) -> Result<bool, OutOfMemory> {
        let hash = self.costs.derive(key, &self.salt)?;
        Ok(hash.as_slice().ct_eq(self.hash.as_slice()).into())
    }

    /// Whether both are the same record, and so of the same key.
    pub(crate) fn is_same(&self, other: &Self) -> bool {
        self.costs == other.costs
            && self.salt == other.salt
            && self.digest == other.digest
            && self.hash.as_slice().ct_eq(other.hash.as_slice()).into()
    }

    /// The digest of the key, which makes [`verify`](Self::verify) needless; a key that `--genkey` made before there
    /// were digests has none, nor has one that a person chose.
    pub fn digest(&self) -> Option<KeyDigest> {
        self.digest
    }

    /// The memory of one [`verify`](Self::verify) in KiB.
    pub fn memory_cost(&self) -> u32 {
        self.costs.memory_cost
    }

    /// Reads an `api_key_kdf` block, and the `api_key_check` beside it. `Err` says why no key can be checked by it: placeholders, as the original's own
    /// example has them, are no fault of the file. Costs out of bounds are, and are reported.
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

/// Says how the hash was made, and nothing of it.
impl fmt::Debug for KeyRecord {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("KeyRecord")
            .field("costs", &self.costs)
            .finish_non_exhaustive()
    }
}

/// The memory that a record asks for is not to be had.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct OutOfMemory;

impl fmt::Display for OutOfMemory {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("not enough memory to compute the hash of a key; lower `memory_cost`")
    }
}

impl std::error::Error for OutOfMemory {}

fn bytes(section: &Section<'_>, key: &'static str) -> Result<Vec<u8>, String> {
    // Neither salt nor hash is ever shown.
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

/// Minutes of work at the default memory: more than anyone waits for.
const MAX_TIME_COST: u32 = 100;
/// 1 GiB: more than the machines this runs on can spare for a login.
const MAX_MEMORY_COST: u32 = 1024 * 1024;
const MAX_PARALLELISM: u32 = 64;
const MAX_HASH_LEN: u32 = 1024;
