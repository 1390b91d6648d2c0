//! What is recorded of an attempt to write, of a read, and of the program itself.

use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use blake2::Blake2bMac;
use blake2::digest::consts::U32;
use blake2::digest::{KeyInit, Mac};
use mcpmqtt_config::AuditPayload;
use mcpmqtt_protocol::message::Message;

use super::chain::Hash;
use super::members::Members;
use crate::mcp::Caller;

/// The key by which payloads are hashed.
pub(crate) type Key = [u8; 32];

/// A message that a caller attempts to publish.
#[derive(Clone, Debug)]
pub struct Attempt {
    /// Who attempts it.
    pub caller: Caller,
    /// The name of the tool.
    pub tool: &'static str,
    /// What is to be published.
    pub message: Message,
    /// The places in the file of the rules that permit it, as in `topics[2]`; none when none does.
    pub rule: Vec<String>,
    /// The places in the file of the limits that it has to meet, as in `topics[2].payload`.
    pub limits: Vec<String>,
}

/// The agreement of a person to one attempt.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Consent {
    /// Who was asked: `client`, `operator`, or `client and operator`.
    pub of: &'static str,
    /// Who answered, as far as it is known.
    pub by: Option<String>,
    /// Whether it was permitted.
    pub allowed: bool,
}

/// What came of an attempt.
#[derive(Clone, Debug)]
pub struct Ending {
    /// `sent`, `delivered`, `refused`, `not_sent` or `unknown`.
    pub outcome: &'static str,
    /// Why, where there is something to say.
    pub reason: Option<String>,
    /// The same where payloads are not recorded: the reason may quote one.
    pub without_payload: Option<String>,
}

impl Attempt {
    /// The members of the line. Of the topic and the payload, not more than `most` bytes each are recorded.
    pub(crate) fn members(
        &self,
        id: &str,
        transport: &str,
        payload: (AuditPayload, &Key),
        most: usize,
    ) -> Members {
        let Message {
            topic,
            payload: bytes,
            qos,
            retain,
        } = &self.message;
        let mut members = caller(id, &self.caller, transport);
        members
            .text("tool", self.tool)
            .text("topic", start_of(topic.as_str(), most))
            .plain("qos", *qos as u8)
            .plain("retain", retain)
            .plain("bytes", bytes.len());
        match payload {
            (AuditPayload::Full, _) => full(&mut members, bytes, most),
            (AuditPayload::Hash, key) => {
                let hash = keyed_hash(key, bytes).to_string();
                members.text("payload_hash", &hash);
            }
            (AuditPayload::None, _) => {}
        }
        let records_payload = payload.0 == AuditPayload::Full;
        if topic.as_str().len() > most || records_payload && bytes.len() > most {
            members.plain("cut", true);
        }
        members.list("rule", &self.rule);
        members.list("limits", &self.limits);
        members
    }
}

/// The caller's part of a line.
pub(crate) fn caller(id: &str, caller: &Caller, transport: &str) -> Members {
    let mut members = Members::default();
    if !id.is_empty() {
        members.text("id", id);
    }
    members.text("caller", caller.name());
    members.text("profile", caller.profile());
    if let Some(info) = caller.client() {
        let mut client = Members::default();
        client
            .text("name", &info.name)
            .text("version", &info.version);
        members.object("client", &client);
    }
    members.text("transport", transport);
    members
}

impl Consent {
    pub(crate) fn add_to(&self, members: &mut Members) {
        let mut consent = Members::default();
        consent.text("of", self.of);
        if let Some(by) = &self.by {
            consent.text("by", by);
        }
        consent.plain("allowed", self.allowed);
        members.object("consent", &consent);
    }
}

impl Ending {
    /// The members of the line. `millis`: the time since the attempt began.
    pub(crate) fn members(&self, id: &str, millis: u128, payload: AuditPayload) -> Members {
        let reason = match payload {
            AuditPayload::Full => &self.reason,
            AuditPayload::Hash | AuditPayload::None => &self.without_payload,
        };
        let mut members = Members::default();
        members.text("id", id).text("outcome", self.outcome);
        if let Some(reason) = reason {
            members.text("reason", start_of(reason, REASON_BYTES));
        }
        members.plain("ms", millis);
        members
    }
}

/// The payload as text if it is text, else as base64.
fn full(members: &mut Members, bytes: &[u8], most: usize) {
    let shown = bytes.get(..most).unwrap_or(bytes);
    match std::str::from_utf8(bytes) {
        Ok(text) => members.text("payload", start_of(text, most)),
        Err(_) => members.text("payload_base64", &BASE64_STANDARD.encode(shown)),
    };
}

/// As many whole characters of a text as fit in `most` bytes.
pub(crate) fn start_of(text: &str, most: usize) -> &str {
    let mut end = most.min(text.len());
    while !text.is_char_boundary(end) {
        end -= 1;
    }
    text.get(..end).unwrap_or_default()
}

/// BLAKE2b with a key and 32 bytes.
fn keyed_hash(key: &Key, bytes: &[u8]) -> Hash {
    let Ok(mac) = Blake2bMac::<U32>::new_from_slice(key) else {
        return Hash::default();
    };
    let hash: Key = mac.chain_update(bytes).finalize().into_bytes().into();
    hash.into()
}

/// Of a refusal, which may name what the broker said.
const REASON_BYTES: usize = 512;

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    /// Computed with another program: `hashlib.blake2b(b'1400', key=bytes(range(32)), digest_size=32)` of Python.
    #[test]
    fn a_keyed_hash_is_the_one_that_another_program_makes() {
        let key = std::array::from_fn(|index| u8::try_from(index).unwrap());
        let hash = "849716db973659872ae9ac685c5d4f62ab0cf8f5cab4c0216f510f7a4e92aba1";
        assert_eq!(keyed_hash(&key, b"1400").to_string(), hash);
    }

    #[test]
    fn a_text_is_cut_between_characters() {
        assert_eq!(start_of("aäb", 2), "a");
        assert_eq!(start_of("aäb", 3), "aä");
        assert_eq!(start_of("aäb", usize::MAX), "aäb");
    }
}
